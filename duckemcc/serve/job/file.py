"""A batch job as a TOML file: read and checked whole before any data are read, every mistake with its line.

    title = "Did the drug help?"          queries = ["PNS(Treatment=drug, Survival=survived)"]        by = ["region"]
    database = "clinic.duckdb"            # where sources that are names of tables lie
    [model]      graph = "X -> Y; X <-> Y"   or  file = "model.txt | .json | .uai"   or  name = "drug" (of the catalog)
    [[studies]]  source = "trial.parquet"    and what `Study` takes; `connection` for a table or SELECT in PostgreSQL
    [options]    those of `bounds`; level = "exact" takes the data as exact
    [output]     file = "bounds.parquet"     or  database | connection with table;  report = "x.html"; plot = "x.png"

Paths are relative to the job's folder. ``${NAME}`` in a text stands for an environment variable.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from duckemcc.answer.options import Options, read_options
from duckemcc.answer.schema import check_segment_names
from duckemcc.errors import JobError, NotSupported, OptionError, QueryError, hiding
from duckemcc.model.scm import Model
from duckemcc.query.check import check_query
from duckemcc.query.language import query
from duckemcc.serve.job.clash import refuse_files, refuse_tables
from duckemcc.serve.job.model import ModelReader
from duckemcc.serve.job.output import Target, check_place, check_target
from duckemcc.serve.job.study import Entry
from duckemcc.serve.job.toml_lines import find_excess, find_line
from duckemcc.study.columns import check_segments
from duckemcc.study.study import names_of

TOP = ("title", "by", "queries", "database", "model", "studies", "options", "output")
ADVICE = {
    "Invalid value": "a text stands in quotes",
    "Expected '=' after a key": "a key with letters beyond a-z stands in quotes",
    "Cannot declare": "a section stands once, but for [[studies]]",
    "Cannot overwrite": "a key stands once",
}
OUTPUT = ("file", "database", "connection", "table", "report", "plot")


@dataclass(frozen=True)
class JobFile:
    """What is to be done, all of it checked but the data."""

    path: Path
    title: str
    model: Model
    entries: tuple[Entry, ...]
    queries: tuple[str, ...]
    by: tuple[str, ...]
    options: Options
    target: Target | None
    report: Path | None
    plot: Path | None
    catalog: tuple[Path, str] | None = None
    """The database and name of a stored model, whose registered studies are asked where the job lists none."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each query stands, and each option."""
    model_file: Path | None = None
    """The file that the model was read from."""
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What is not told of it, each with what is shown instead: see `errors.hiding`."""

    def __repr__(self) -> str:
        """Its file alone, as its texts may hold secrets."""
        return f"{type(self).__name__}({str(self.path)!r})"


def read_job(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] | None = None,
    *,
    located: bool = True,
    asked: bool = True,
) -> JobFile:
    """The job of a file. located: tables need a database or a connection, as they will be read. asked: it needs a
    query, as they will be answered.

    Raises `JobError`, which lists every mistake with its line.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")  # editors of Windows put a mark before it
    except (OSError, ValueError) as wrong:
        no_text = "it is no text; a job is a TOML file" if isinstance(wrong, UnicodeDecodeError) else "it is no name"
        problem = wrong.strerror if isinstance(wrong, OSError) else no_text
        raise JobError(f"the job {str(path)!r} cannot be read: {problem}", file=place.name) from None
    if excess := find_excess(text):
        raise JobError(f"{excess[1]}; nothing was read", file=place.name, line=excess[0])
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise JobError(f"{place.name} is no TOML: {wrong}", file=place.name, remedy=_advise_on_toml(wrong)) from None
    reader = _Reader(place, text, os.environ if environ is None else environ)
    reader.located, reader.asked = located, asked
    content = reader.filled(content, ())
    with hiding(reader.hidden):
        job = reader.read(content)
        reader.refuse()
    assert job is not None
    return job


class _Reader(ModelReader):
    """One method per part of the file."""

    what, top = "a job", TOP
    asked = True

    # -- the parts -----------------------------------------------------------------------------

    def read(self, content: Mapping[str, Any]) -> JobFile | None:
        """The job, or None with mistakes kept."""
        self.check_keys(content, TOP, ())
        model, catalog = self.read_model(content)
        entries = self.read_studies(content, model, stored=catalog is not None)
        options = self.read_options(content)
        by = self.read_names(content, "by")
        with self.noting("by"):
            names_of("by", by)
            check_segment_names(by)
            check_segments(model.variables if model is not None else (), by, {}, {b: b for b in by})
        queries = self.read_queries(content, model)
        target, report, plot = self.read_output(content)
        title = self.text_of(content, "title", ()) or self.path.stem
        if self.mistakes or model is None:
            return None
        lines = {text: find_line(self.text, ("queries", i)) for i, text in enumerate(queries)}
        lines |= {name: find_line(self.text, ("options", name)) for name in content.get("options", ())}
        asked = self.path, title, model, entries, queries, by, options
        job = JobFile(*asked, target, report, plot, catalog, lines, self.model_file, self.hidden)
        with self.noting("output"):
            refuse_files(job)
            refuse_tables(job)
        return job

    def read_queries(self, content: Mapping[str, Any], model: Model | None) -> tuple[str, ...]:
        """The queries, which fit the model for some states at least."""
        texts = self.read_names(content, "queries", what="a query or a list of them")
        if not texts and not self.has_mistake("queries") and (self.asked or "queries" in content):
            self.note(("queries",), 'there is no query; give queries = ["…"] above the first [section]')
        for i, text in enumerate(texts):
            try:
                parsed = query(text)
            except QueryError as wrong:
                self.note_within(("queries", i), text, wrong, query=text)
                continue
            with self.noting("queries", i, query=text):
                if model is not None:
                    check_query(parsed, model.states, model.parents)
        return texts

    def read_options(self, content: Mapping[str, Any]) -> Options:
        """The options of `bounds`."""
        table = dict(self.table_of(content, "options"))
        if table.get("level") == "exact":
            table["level"] = None
        good: dict[str, Any] = {}
        for name, value in table.items():
            try:
                read_options({name: value})
                good[name] = value
            except OptionError as wrong:
                self.note(("options", name), _or_exact(wrong) if name == "level" else wrong)
        if len(good) == len(table):  # else what they say together is not known
            try:
                return read_options(good)
            except OptionError as wrong:
                named = [wrong.option] if wrong.option in good else []
                self.note(("options", *named), wrong)
        return Options()

    def read_output(self, content: Mapping[str, Any]) -> tuple[Target | None, Path | None, Path | None]:
        """Where the table goes, the report, the picture."""
        table = self.table_of(content, "output")
        self.check_keys(table, OUTPUT, ("output",))
        texts = {key: self.text_of(table, key, ("output",)) for key in OUTPUT}
        paths = {k: self.folder / v for k, v in texts.items() if v and k in ("file", "database", "report", "plot")}
        target = None
        places = [key for key in ("file", "database", "connection") if key in table]
        alone = len(places) == 1 and ("table" in table) != ("file" in table)  # else what is wrong is all of it
        with self.noting("output", *(places if alone else [])):
            target = check_target(paths.get("file"), paths.get("database"), texts["connection"], texts["table"])
        for key, check in (("report", check_page), ("plot", check_picture)):
            if key in paths:
                with self.noting("output", key):
                    check(paths[key])
        return target, paths.get("report"), paths.get("plot")


def _advise_on_toml(wrong: tomllib.TOMLDecodeError) -> str | None:
    """What helps; `tomllib` says by its words alone what is wrong."""
    return next((advice for words, advice in ADVICE.items() if words in str(wrong)), None)


def _or_exact(wrong: OptionError) -> OptionError:
    """A level may also be a word here, as TOML has no NULL."""
    return OptionError(wrong.message, option="level", remedy=f'{wrong.remedy}, or "exact"')


def check_page(path: Path) -> None:
    """Raises `OptionError` where no HTML of that name can be written."""
    check_place(path, (".html",))


def check_picture(path: Path) -> None:
    """Raises `OptionError` where no picture of that name can be written, `NotSupported` without matplotlib."""
    check_place(path, (".png", ".svg", ".pdf"))
    if find_spec("matplotlib") is None:
        raise NotSupported("pictures need matplotlib, of the extra `plot`: pip install 'duckemcc[plot]'")
