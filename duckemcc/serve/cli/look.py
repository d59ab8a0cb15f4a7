"""`duckemcc explain` and `plot`: a look before a job and after it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duckemcc.errors import OptionError, hiding, masked_all
from duckemcc.model.scm import Model
from duckemcc.serve.cli.job import FILE, JSON
from duckemcc.serve.cli.terminal import show_explained, tell_written
from duckemcc.serve.job.file import JobFile, check_picture, read_job
from duckemcc.serve.job.formats import read_result_file
from duckemcc.serve.job.model import read_model_file
from duckemcc.serve.job.run import count

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("what")
@click.option("-q", "--query", "queries", multiple=True, help="Say what this query asks and how its ends are found.")
@click.option("--plot", type=FILE, help="Draw the graph: .png .svg .pdf. Needs duckemcc[plot].")
@JSON
def explain(what: str, queries: tuple[str, ...], plot: Path | None, as_json: bool) -> None:
    """What a model or a job means and will cost, before it is asked.

    WHAT is a job (.toml), whose studies are then counted, a model's file (.txt, .json, .uai) or graph text. Shown are
    the unmeasured causes with their numbers of states, the components, what merged <-> arcs leave open, and for each
    query what it asks, on which causes it depends, and whether its ends can be proven. The job needs no queries.

    \b
    duckemcc explain job.toml --plot graph.svg
    duckemcc explain 'X {0, 1}; Y {0, 1}; X -> Y; X <-> Y' -q 'PNS(X=1, Y=1)'
    """
    if plot is not None:
        check_picture(plot)
    job = read_job(what, asked=False) if what.lower().endswith(".toml") else None
    with hiding({} if job is None else job.hidden):
        model, told = _explained(what, job, queries)
        told = masked_all(told)
        if plot is not None:
            from duckemcc.show.plot import graph as plot_graph

            plot_graph(model).save(plot)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show_explained(told)
        tell_written(plot)


@click.command()
@click.argument("tables", nargs=-1, required=True)
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
def plot(tables: tuple[str, ...], picture: Path) -> None:
    """Draw the intervals of result tables, as written by `duckemcc run`.

    TABLES are Parquet, CSV or JSON files; several, with a name before each, stand side by side. PICTURE ends in .png,
    .svg or .pdf. Needs duckemcc[plot].

    \b
    duckemcc plot bounds.parquet bounds.svg
    duckemcc plot before=old.parquet after=bounds.parquet both.png
    """
    from duckemcc.show.plot import bounds as plot_bounds
    from duckemcc.show.plot import compare

    check_picture(picture)
    named = [text.partition("=") if "=" in text else (Path(text).stem, "=", text) for text in tables]
    read = {name: read_result_file(path) for name, _, path in named}
    if len(read) < len(tables):
        raise OptionError("two tables bear the same name", remedy="name them, as in O=registry.parquet I=trial.parquet")
    if len(read) == 1:
        plot_bounds(next(iter(read.values()))).save(picture)
    else:
        compare(read).save(picture)
    tell_written(picture)


# -- what they need ----------------------------------------------------------------------------


def _explained(what: str, asked: JobFile | None, queries: Sequence[str]) -> tuple[Model, Mapping[str, Any]]:
    from duckemcc.answer.explain import explain_model, explain_plan, explain_query
    from duckemcc.answer.plan import prepare
    from duckemcc.query.language import query

    if asked is not None:
        queries = [*asked.queries, *queries]
        plan = prepare(
            asked.model, count(asked), asked.by, asked.options, queries=[(text, query(text)) for text in queries]
        )
        told = explain_model(plan.model) | explain_plan(plan)
        model = plan.model
    else:
        model = _model_of(what)
        told = explain_model(model)
    if queries and not all(model.states.values()):
        unknown = next(v for v, states in model.states.items() if not states)
        raise OptionError(
            f"the states of {unknown} are not known",
            remedy=f"declare them: {unknown} {{0, 1}}, or explain a job",
            variable=unknown,
        )
    return model, told | {"queries": [explain_query(model, text) for text in queries]}


def _model_of(what: str) -> Model:
    """The model of a file, or of graph text."""
    if not re.fullmatch(r"[\w./\\:~-]+", what):  # a path; graph text has an arrow or braces
        return Model.parse(what)
    if not os.path.isfile(what):
        raise OptionError(
            f"there is no file {what!r}",
            remedy="explain takes a job (.toml), a file of a model (.txt, .json, .uai), or graph "
            "text such as 'X -> Y; X <-> Y'",
            option="what",
        )
    return read_model_file(Path(what))
