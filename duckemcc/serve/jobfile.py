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

import glob
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from duckemcc.errors import DuckEmccError, JobError, OptionError
from duckemcc.model.scm import Model
from duckemcc.query.assume import restrict
from duckemcc.query.check import check_query
from duckemcc.query.language import query
from duckemcc.serve.options import Options, read_options
from duckemcc.serve.output import Target, check_target
from duckemcc.serve.result import check_segment_names
from duckemcc.serve.toml_lines import Path as KeyPath
from duckemcc.serve.toml_reader import TomlReader
from duckemcc.study.columns import cause_name, model_name
from duckemcc.study.relation import Studies
from duckemcc.study.study import CSV, PARQUET, Study, name_studies, names_of, study_name

TOP = ("title", "by", "queries", "database", "model", "studies", "options", "output")
MODEL = ("graph", "file", "name")
STUDY = (
    "source", "database", "connection", "name", "do", "weight", "where", "columns", "unmeasured", "local", "selected",
    "shared", "relation",
)  # fmt: skip
PLACE = ("source", "database", "connection", "relation")
"""Keys of a study that are no options of `Study`."""
RELATION = ("weight", "where", "columns", "shared")
"""Options of a source with several studies."""
OUTPUT = ("file", "database", "connection", "table", "report", "plot")


@dataclass(frozen=True)
class Entry:
    """A study before its source is opened. source: as `Study` takes it, paths made absolute; place: the database file
    or the connection's URI of a table, None for a file. relation: the source holds several studies."""

    source: str
    database: Path | None
    connection: str | None = field(repr=False)  # may hold a password
    options: Mapping[str, Any]
    relation: bool = False

    def open(self, source: str, con: Any) -> Study | Studies:
        """The study, or the several, with this connection."""
        given = dict(self.options) | ({} if con is None else {"con": con})
        return Studies(source, **given) if self.relation else Study(source, **given)


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


class _Reader(TomlReader):
    """One method per part of the file."""

    what, top, located = "a job", TOP, True

    @property
    def folder(self) -> Path:
        """Where relative paths begin."""
        return self.path.resolve().parent

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
            database = self.database_of(content, ())
            if database is None:
                raise OptionError(f"the model {text!r} is one of a catalog; say in which database = … it lies")
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

    def read_studies(self, content: Mapping[str, Any], model: Model | None, *, stored: bool) -> tuple[Entry, ...]:
        """The studies, checked as far as that goes without their columns."""
        listed = content.get("studies", [])
        if not isinstance(listed, list) or not all(isinstance(study, Mapping) for study in listed):
            self.note(("studies",), "studies are tables: write [[studies]] above each")
            return ()
        if not listed and not stored:
            self.note((), "there is no study; give at least one [[studies]] with its source")
        entries = [self.read_study(content, study, i, model) for i, study in enumerate(listed)]
        with self.noting("studies"):
            name_studies([Study("study.parquet", name=e.options["name"]) for e in entries if e and "name" in e.options])
        return tuple(entry for entry in entries if entry is not None)

    def read_study(
        self, content: Mapping[str, Any], study: Mapping[str, Any], i: int, model: Model | None
    ) -> Entry | None:
        at = ("studies", i)
        self.check_keys(study, STUDY, at)
        source = self.text_of(study, "source", at)
        if source is None:
            if "source" not in study:
                self.note(at, "a study has a source: a file, a table of a database, or a SELECT for a connection")
            return None
        options = {k: v for k, v in study.items() if k in STUDY and k not in PLACE}
        connection = self.text_of(study, "connection", at)
        database = None if connection else self.database_of(study, at) or self.database_of(content, ())
        is_file = connection is None and source.lower().endswith(PARQUET + CSV)
        if is_file:
            source, database = self.file_of(source, (*at, "source")), None
        elif connection is None and database is None and self.located:
            self.note(
                (*at, "source"), f"{source!r} is no Parquet or CSV file; say in which database = … the table lies"
            )
        entry = Entry(source, database, connection, options, study.get("relation", False) is True)
        if not isinstance(study.get("relation", False), bool):
            self.note((*at, "relation"), f"relation takes true or false; found {study['relation']!r}")
        if entry.relation:
            for key in set(options) - set(RELATION):
                advice = f"it takes {', '.join(RELATION)}, and its columns study and intervened say the rest"
                self.note((*at, key), f"a relation of several studies has no {key}; {advice}")
            entry = replace(entry, options={k: v for k, v in options.items() if k in RELATION})
        try:
            sample = entry.open("studies.parquet", None)
        except DuckEmccError as wrong:
            self.note(at, str(wrong))
            return None
        if model is not None:
            name = "studies" if isinstance(sample, Studies) else study_name(sample, i + 1)
            self.check_study(entry, name, model, at)
        return entry

    def check_study(self, entry: Entry, name: str, model: Model, at: KeyPath) -> None:
        """The names that a study gives, and its conditions."""
        from duckemcc.study.dialect import check_condition
        from duckemcc.study.selection import read_rule

        def check(key: str, names: Any, find: Callable[[str], Any]) -> None:
            for one in names_of(key, names):
                with self.noting(*at, key):
                    find(one)

        options = entry.options
        called = f"study {name!r}"
        check("do", options.get("do", ()), lambda v: model_name(v, model.variables, f"{called} has do= for"))
        check(
            "unmeasured",
            options.get("unmeasured", ()),
            lambda v: model_name(v, model.variables, f"{called} calls unmeasured"),
        )
        check(
            "columns",
            options.get("columns", {}),
            lambda v: model_name(v, model.variables, f"{called} has columns= for"),
        )
        causes = [u.name for u in model.exogenous]
        check("local", options.get("local", ()), lambda u: cause_name(u, causes, f"{called} has local= for"))
        if "where" in options:
            with self.noting(*at, "where"):
                check_condition(options["where"])
        if "selected" in options:
            with self.noting(*at, "selected"):
                read_rule(options["selected"], model.variables, name)

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

    # -- files -----------------------------------------------------------------------------------

    def database_of(self, table: Mapping[str, Any], path: KeyPath) -> Path | None:
        text = self.text_of(table, "database", path)
        if text is None:
            return None
        file = self.folder / text
        if not file.is_file():
            self.note((*path, "database"), f"there is no database file {str(file)!r}")
        return file

    def file_of(self, source: str, path: KeyPath) -> str:
        """An absolute path; a glob or an address of a remote file stays one."""
        if "://" in source:
            return source
        whole = str(self.folder / source)
        if not os.path.isfile(whole) and not glob.glob(whole, recursive=True):
            self.note(path, f"no file matches {source!r} in {str(self.folder)!r}")
        return whole


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
    import duckdb

    from duckemcc.serve.catalog import load_model

    con = duckdb.connect(str(database), read_only=True)
    try:
        return load_model(con, name)
    finally:
        con.close()
