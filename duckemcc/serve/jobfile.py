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

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckemcc.errors import JobError, OptionError
from duckemcc.model.scm import Model
from duckemcc.query.assume import restrict
from duckemcc.query.check import check_query
from duckemcc.query.language import query
from duckemcc.serve.jobstudy import Entry, StudyReader, open_database
from duckemcc.serve.options import Options, read_options
from duckemcc.serve.output import Target, check_target
from duckemcc.serve.result import check_segment_names

TOP = ("title", "by", "queries", "database", "model", "studies", "options", "output")
MODEL = ("graph", "file", "name")
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


def read_job(
    path: str | os.PathLike[str], environ: Mapping[str, str] | None = None, *, located: bool = True
) -> JobFile:
    """The job of a file. located: tables need a database or a connection, as they will be read.

    Raises `JobError`, which lists every mistake with its line.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise JobError(f"the job {str(path)!r} cannot be read: {wrong}") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise JobError(f"{place.name} is no TOML: {wrong}") from None
    reader = _Reader(place, text, os.environ if environ is None else environ)
    reader.located = located
    job = reader.read(content)
    reader.refuse()
    assert job is not None
    return job


class _Reader(StudyReader):
    """One method per part of the file."""

    what, top = "a job", TOP

    # -- the parts -----------------------------------------------------------------------------

    def read(self, content: Mapping[str, Any]) -> JobFile | None:
        """The job, or None with mistakes kept."""
        content = self.filled(content, ())
        self.check_keys(content, TOP, ())
        model, catalog = self.read_model(content)
        entries = self.read_studies(content, model, stored=catalog is not None)
        options = self.read_options(content)
        by = self.read_names(content, "by")
        with self.noting("by"):
            check_segment_names(by)
        queries = self.read_queries(content, model)
        target, report, plot = self.read_output(content)
        title = self.text_of(content, "title", ()) or self.path.stem
        if self.mistakes or model is None:
            return None
        return JobFile(self.path, title, model, entries, queries, by, options, target, report, plot, catalog)

    def read_model(self, content: Mapping[str, Any]) -> tuple[Model | None, tuple[Path, str] | None]:
        """The model, and where it is stored if it is."""
        table = self.table_of(content, "model")
        self.check_keys(table, MODEL, ("model",))
        given = [key for key in MODEL if key in table]
        if len(given) != 1:
            found = ", ".join(given) or "none of them"
            self.note(("model",), f"[model] takes one of graph, file and name; found {found}")
            return None, None
        text = self.text_of(table, given[0], ("model",))
        if text is None:
            return None, None
        with self.noting("model", given[0]):
            if given[0] == "graph":
                return _checked(Model.parse(text)), None
            if given[0] == "file":
                return _checked(_read_model_file(self.folder / text)), None
            if "database" not in content:
                raise OptionError(f"the model {text!r} is one of a catalog; say in which database = … it lies")
            if (database := self.database_of(content, ())) is not None and database.is_file():
                return _load_stored(database, text), (database, text)
        return None, None

    def read_queries(self, content: Mapping[str, Any], model: Model | None) -> tuple[str, ...]:
        """The queries, which fit the model for some states at least."""
        texts = self.read_names(content, "queries", what="a query or a list of them")
        if not texts and not self.has_mistake("queries"):
            self.note(("queries",), 'there is no query; give queries = ["…"] above the first [section]')
        for i, text in enumerate(texts):
            with self.noting("queries", i):
                parsed = query(text)
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
            with self.noting("options", name):
                read_options(
                    {name: value, **({"method": table["method"]} if name == "confidence" and "method" in table else {})}
                )
                good[name] = value
        with self.noting("options"):
            return read_options(good)
        return Options()

    def read_output(self, content: Mapping[str, Any]) -> tuple[Target | None, Path | None, Path | None]:
        """Where the table goes, the report, the picture."""
        table = self.table_of(content, "output")
        self.check_keys(table, OUTPUT, ("output",))
        texts = {key: self.text_of(table, key, ("output",)) for key in OUTPUT}
        paths = {k: self.folder / v for k, v in texts.items() if v and k in ("file", "database", "report", "plot")}
        target = None
        with self.noting("output"):
            target = check_target(paths.get("file"), paths.get("database"), texts["connection"], texts["table"])
        for key, endings in (("report", (".html",)), ("plot", (".png", ".svg", ".pdf"))):
            if key in paths:
                with self.noting("output", key):
                    check_written(paths[key], endings)
        return target, paths.get("report"), paths.get("plot")


def check_written(path: Path, endings: Sequence[str]) -> None:
    """Raises `OptionError` where no file of that name can be written."""
    if not path.name.lower().endswith(tuple(endings)):
        raise OptionError(f"{path.name!r} is written as its name ends, in {', '.join(endings)}")
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {str(path.parent)!r}; create it")


def _checked(model: Model) -> Model:
    """The model, whose assumptions are read here if all states are known."""
    if all(model.states.values()):
        restrict(model)
    return model


def _read_model_file(path: Path) -> Model:
    if not path.is_file():
        raise OptionError(f"there is no file {str(path)!r}")
    if path.suffix.lower() == ".uai":
        return Model.from_uai(path)
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() != ".json":
        return Model.parse(text)
    try:
        return Model.from_dict(json.loads(text))
    except json.JSONDecodeError as wrong:
        raise OptionError(f"{path.name} is no JSON: {wrong}") from None


def _load_stored(database: Path, name: str) -> Model:
    from duckemcc.serve.catalog import load_model

    con = open_database(database)
    try:
        return load_model(con, name)
    finally:
        con.close()
