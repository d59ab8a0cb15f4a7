"""The [[studies]] of a job: what each takes, and its checks as far as they go without a look at the data."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from duckemcc.errors import DuckEmccError, SourceError
from duckemcc.model.scm import Model
from duckemcc.serve.toml_lines import Path as KeyPath
from duckemcc.serve.toml_reader import TomlReader
from duckemcc.study.columns import cause_name, model_name
from duckemcc.study.relation import Studies
from duckemcc.study.study import CSV, PARQUET, Study, name_studies, names_of, study_name

STUDY = (
    "source", "database", "connection", "name", "do", "weight", "where", "columns", "unmeasured", "local", "selected",
    "shared", "relation",
)  # fmt: skip
PLACE = ("source", "database", "connection", "relation")
"""Keys of a study that are no options of `Study`."""
RELATION = ("weight", "where", "columns", "shared")
"""Options of a source with several studies."""


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


class StudyReader(TomlReader):
    """Reads the studies. located: tables need a database or a connection, as they will be read."""

    located = True

    @property
    def folder(self) -> Path:
        """Where relative paths begin."""
        return self.path.resolve().parent

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


def open_database(path: Path) -> Any:
    """A DuckDB connection that cannot write. Raises `SourceError`."""
    import duckdb

    try:
        return duckdb.connect(os.fspath(path), read_only=True)
    except duckdb.Error as wrong:
        raise SourceError(f"the database {str(path)!r} cannot be opened: {str(wrong).splitlines()[0]}") from wrong
