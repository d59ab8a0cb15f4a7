"""Ask: read the studies, learn, bound, answer. The one way that Python, SQL and the command line all take.

studies ─► count tables ─► counts [s, p] ─► likelihood ─► chances [s, r, u] ─► bounds ─► Arrow
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.bounds import answer, unanswered
from duckemcc.answer.compatibility import report
from duckemcc.answer.options import Clock, Options, Report, read_options, timed
from duckemcc.answer.plan import prepare
from duckemcc.answer.schema import STUDY_COLUMNS, check_segment_names
from duckemcc.bound.sharp import Sharp
from duckemcc.errors import GraphError, OptionError, QueryError, StudyError, Timeout, UnknownModel, given, placing
from duckemcc.learn.likelihood import Floats
from duckemcc.learn.pieces.glue import glue
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel
from duckemcc.query.language import query
from duckemcc.query.syntax import Query
from duckemcc.study.count.read import count_study, known_columns
from duckemcc.study.count.relation import Studies, check_names, count_relation
from duckemcc.study.study import Study, name_studies, names_of
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


_log = logging.getLogger(__name__)

# -- the public functions ----------------------------------------------------------------------


def bounds(
    model: Model | str,
    studies: Any,
    queries: Any,
    *,
    by: str | Sequence[str] = (),
    progress: Report | None = None,
    **options: Any,
) -> pa.Table:
    """Bounds on counterfactual queries from several studies, one row per segment and query.

    model: a `Model`, or graph text. studies: a `Study`, anything that `Study` takes, `Studies`, or a list of them.
    queries: query texts or parsed queries, one or a list. by: columns of the studies; every distinct combination is a
    segment of its own. progress: called with a `answer.options.Progress` as the work goes on.
    options: see `answer.options.Options`.

    Returns a pyarrow.Table with the `by` columns and those of `schema.COLUMNS`; timings are in the schema's metadata.
    With `method="sharp"` lower and upper are the ends of the query's range over all models at the maximum of the
    likelihood, exact where `exact_lower`, `exact_upper` say so, and `outer_lower`, `outer_upper` bound them from
    outside; with `method="emcc"` they are the range over the learned models (paper §6), which lies inside.
    Raises a `DuckEmccError` for whatever is wrong with the input; "incompatible" and "undefined" are answers, not
    errors, and so is "timeout", but where max_seconds end before it is known which segments there are: `Timeout`.
    """
    settings = read_options(options)
    pscm, asked = read_model(model), read_queries(queries)
    names = names_of("by", by)
    clock = Clock(settings.max_seconds, progress)
    try:
        tables = count_studies(pscm, read_studies(studies), settings, names, clock)
        clock.lap("count")
        return answer(pscm, tables, asked, names, settings, clock)
    except Timeout as late:  # without segments it is known which rows there are
        if names:
            raise
        return unanswered(asked, settings, late)


def compatibility(
    model: Model | str,
    studies: Any,
    *,
    by: str | Sequence[str] = (),
    progress: Report | None = None,
    **options: Any,
) -> pa.Table:
    """Whether the studies contradict the graph, or each other: M-compatibility (paper Definition 2, Theorem 3).

    Arguments as for `bounds`. Returns per segment one row with `study` null for all studies together, and one per
    arm, each tested against the saturated model: columns of `schema.STUDY_COLUMNS`. Raises as `bounds` does.
    """
    settings = read_options(options)
    pscm = read_model(model)
    names = names_of("by", by)
    check_segment_names(names, STUDY_COLUMNS)
    clock = Clock(settings.max_seconds, progress)
    tables = count_studies(pscm, read_studies(studies), settings, names, clock)
    clock.lap("count")
    return report(pscm, tables, names, settings, clock)


@dataclass(frozen=True, eq=False)
class Fit:
    """What was learned from all records together.

    model: with its states. chances: for each distribution the learned PMFs [r, u]; a study's own one of a cause U is
    called ``U@study``, the others bear the names of their exogenous variables. distributions: for each exogenous
    variable the name of the one that the models have, that of the population asked about. loglik: of the best;
    optimality_gap: nats that it may still be below the maximum. kept: restarts at the maximum, of `restarts`; the
    others have borrowed the chances of these. compatible, misfit, loglik_gap, p_value: as in the result's columns.
    """

    model: Model
    chances: dict[str, Floats]
    distributions: dict[str, str]
    loglik: float
    optimality_gap: float
    restarts: int
    kept: int
    converged: bool
    steps: int
    compatible: bool
    misfit: float
    loglik_gap: float
    p_value: float

    @cached_property
    def models(self) -> tuple[FullModel, ...]:
        """For each restart the fully specified model that it learned, which evaluates, samples and writes UAI."""
        own = {u: self.chances[name] for u, name in self.distributions.items()}
        return tuple(FullModel(self.model, {u: pmfs[r] for u, pmfs in own.items()}) for r in range(self.restarts))


def fit(model: Model | str, studies: Any, **options: Any) -> Fit:
    """Algorithm 1 by itself: the distributions of the exogenous variables that all studies allow. Arguments as for
    `bounds`."""
    settings = read_options(options)
    pscm = read_model(model)
    clock = Clock(settings.max_seconds)
    return _fit(pscm, count_studies(pscm, read_studies(studies), settings, (), clock), settings, clock)


@timed
def _fit(pscm: Model, tables: Sequence[CountTable], settings: Options, clock: Clock) -> Fit:
    plan = prepare(pscm, tables, (), settings, clock, spread=True)
    batch = next(plan.batches(clock))
    learned, verdict = batch.learned, batch.verdict
    found, chances = plan.model, {name: chances[0].copy() for name, chances in learned.chances.items()}
    if batch.likelihood.split is not None:
        found, chances = glue(batch.likelihood.split, found, chances)
    return Fit(
        found,
        chances,
        plan.names_of(plan.options.population),
        float(learned.loglik[0]),
        float(learned.optimality_gap[0]),
        settings.restarts,
        int(learned.kept[0]),
        bool(learned.converged[0]),
        int(learned.steps[0]),
        bool(verdict.compatible[0]),
        float(verdict.misfit[0]),
        float(verdict.loglik_gap[0]),
        float(verdict.p_value[0]),
    )


class Witness(NamedTuple):
    """The ends of a query over the maximum-likelihood set, and a fully specified model that attains each."""

    query: str
    lower: float
    upper: float
    lower_model: FullModel
    upper_model: FullModel


def witness(model: Model | str, studies: Any, asked: Query | str, **options: Any) -> Witness:
    """The models behind the sharp bounds on one query: each fits the records best, and the query has there its lower
    or upper value.

    Arguments as for `bounds`, without segments. The models evaluate other queries, sample, and write UAI.
    Raises as `bounds` does, `QueryError` where the query is undefined, `StudyError` for incompatible data unless
    incompatible="report".
    """
    settings = read_options(options)
    pscm, queries = read_model(model), read_queries(asked)
    if settings.method != "sharp" or len(queries) != 1:
        raise OptionError("a witness is that of one query, with " + given("method", "sharp"), option="method")
    clock = Clock(settings.max_seconds)
    return _witness(pscm, count_studies(pscm, read_studies(studies), settings, (), clock), queries[0], settings, clock)


@timed
def _witness(
    pscm: Model, tables: Sequence[CountTable], asked: tuple[str, Query], settings: Options, clock: Clock
) -> Witness:
    text, parsed = asked
    plan = prepare(pscm, tables, (), settings, clock, queries=[asked])
    batch = next(plan.batches(clock))
    learned, names = batch.learned, plan.names_of(settings.population, batch.likelihood)
    if not batch.verdict.compatible[0] and settings.incompatible == "null":
        raise StudyError(
            f"the data are incompatible: {batch.verdict.reason[0]}",
            remedy=given("incompatible", "report") + " takes the best fit",
            query=text,
            option="incompatible",
        )
    with placing(query=text):
        ends = Sharp(parsed, plan.model, batch.likelihood, names, clock.tick).find(learned, 0)
    if ends is None:
        raise QueryError(
            f"{text} is undefined: its condition has probability zero",
            remedy="condition on something possible",
            query=text,
        )
    models = []
    for end in ends:
        chances = {u: end.chances.get(name, learned.best[name][0]) for u, name in names.items()}
        model = plan.model
        if (split := batch.likelihood.split) is not None:
            model, rows = glue(split, model, {names[u]: p[None] for u, p in chances.items()}, end.chances)
            chances = {u: rows[name][0] for u, name in plan.names_of(settings.population).items()}
        models.append(FullModel(model, {u: pmf / pmf.sum() for u, pmf in chances.items()}))
    return Witness(text, ends[0].value, ends[1].value, *models)


# -- what is given -----------------------------------------------------------------------------


def read_model(model: Model | str) -> Model:
    """A model as it is, or that of a graph text."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        if is_name(model):
            name = model.strip()
            raise UnknownModel(
                f"{name!r} is the name of a stored model, and Python has no database to look it up in",
                remedy=f"give emcc.load_model(con, {name!r}), or graph text such as 'X -> Y; X <-> Y'",
                option="model",
            )
        return Model.parse(model)
    raise GraphError(
        f"a model is a Model or graph text; found {type(model).__name__}",
        remedy="Model.from_dict reads its storage form",
        option="model",
    )


def is_name(model: str) -> bool:
    """Whether a text names a stored model: no graph text is a single word."""
    return re.fullmatch(r"\s*\w+\s*", model) is not None


def read_queries(queries: Any) -> list[tuple[str, Query]]:
    """Each query with the text it is reported under."""
    listed = (
        [queries] if isinstance(queries, (str, Query)) else list(queries) if isinstance(queries, Sequence) else None
    )
    if not listed:
        raise QueryError(f"queries are a text, a query or a list of them; found {queries!r}", option="queries")
    return [(text := q if isinstance(q, str) else str(q), _read_query(q, text)) for q in listed]


def _read_query(asked: Any, text: str) -> Query:
    with placing(query=text):
        return query(asked)


def read_studies(studies: Any) -> list[Study | Studies]:
    """The studies, sources without options made into studies: several where a column `intervened` tells them apart."""
    listed = list(studies) if isinstance(studies, (list, tuple)) else [studies]
    if not listed:
        raise OptionError("studies is an empty list", remedy="give at least one Study", option="studies")
    return [s if isinstance(s, (Study, Studies)) else _read_source(s) for s in listed]


def _read_source(source: Any) -> Study | Studies:
    study = Study(source)
    return Studies(source) if any(c.casefold() == "intervened" for c in known_columns(study)) else study


def count_studies(
    model: Model, studies: Sequence[Study | Studies], options: Options, by: tuple[str, ...], clock: Clock | None = None
) -> list[CountTable]:
    """Each study's count table, counted in its engine. Raises `Timeout`."""
    check_segment_names(by)
    clock = clock or Clock(None)
    names = iter(name_studies([s for s in studies if isinstance(s, Study)]))
    tables: list[CountTable] = []
    for done, study in enumerate(studies, 1):
        clock.count_on()
        begun, before = time.monotonic(), len(tables)
        if isinstance(study, Studies):
            tables += count_relation(
                study,
                model.variables,
                by=by,
                nulls=options.nulls,
                unmeasured=model.unmeasured,
                watch=clock.watch,
            )
        else:
            tables.append(
                count_study(
                    study,
                    model.variables,
                    name=next(names),
                    by=by,
                    nulls=options.nulls,
                    unmeasured=model.unmeasured,
                    causes=[u.name for u in model.exogenous],
                    watch=clock.watch,
                )
            )
        found = sum(t.frame.height for t in tables[before:])
        told = done, len(studies), len(tables) - before, found, time.monotonic() - begun
        _log.info("counted source %d of %d: %d studies, %d patterns, %.3f s", *told)
        clock.advance("count", done, len(studies))
    check_names(tables)
    return tables
