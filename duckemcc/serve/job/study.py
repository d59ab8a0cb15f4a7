"""The [[studies]] of a job: what each takes, and its checks as far as they go without a look at the data."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duckemcc.errors import DuckEmccError, SourceError, engine_reason, hint
from duckemcc.model.scm import Model
from duckemcc.serve.job.toml_lines import Path as KeyPath
from duckemcc.serve.job.toml_lines import find_line
from duckemcc.serve.job.toml_reader import TomlReader
from duckemcc.study.count.relation import Studies
from duckemcc.study.names import cause_name, model_name
from duckemcc.study.study import CSV, PARQUET, SELECT, Study, is_postgres, names_of, study_name

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
    or the connection's URI of a table, None for a file. relation: the source holds several studies. line: of the job,
    on which it begins."""

    source: str = field(repr=False)  # these may hold secrets
    database: Path | None = field(repr=False)
    connection: str | None = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    relation: bool = False
    line: int = 0

    @property
    def is_file(self) -> bool:
        """Whether it is no table: a file, or several."""
        return self.database is None and self.connection is None and self.source.lower().endswith(PARQUET + CSV)

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
        seen: set[str] = set()
        for i, entry in enumerate(entries):
            name = str(entry.options.get("name", ""))
            if name.casefold() in seen:
                self.note(("studies", i, "name"), f"two studies are called {name!r}; give each a name of its own")
            seen |= {name.casefold()} if name else set()
        return tuple(entries)

    def read_study(self, content: Mapping[str, Any], study: Mapping[str, Any], i: int, model: Model | None) -> Entry:
        """A study with the options that are good; its source is empty where it has none, which is noted."""
        at = ("studies", i)
        self.check_keys(study, STUDY, at)
        if "source" not in study:
            self.note(at, "a study has a source: a file, a table of a database, or a SELECT for a connection")
        source = self.text_of(study, "source", at) or ""
        connection = self.connection_of(study, at)
        database = None if "connection" in study else self.database_of(study, at) or self.database_of(content, ())
        if "connection" not in study and source.lower().endswith(PARQUET + CSV):
            source, database = self.file_of(source, (*at, "source")), None
        elif "connection" not in study and source and self.located:
            self.check_table(source, database, (*at, "source"))
        relation = study.get("relation", False)
        if not isinstance(relation, bool):
            self.note((*at, "relation"), f"relation takes true or false; found {relation!r}")
        options = self.options_of(study, relation is True, at)
        line = find_line(self.text, (*at, "source"))
        entry = Entry(source, database, connection, options, relation is True, line)
        if model is not None:
            named = entry.open(source or "study.parquet", None)
            name = "studies" if isinstance(named, Studies) else study_name(named, i + 1) if source else f"study {i + 1}"
            self.check_study(entry, name, model, at)
        return entry

    def options_of(self, study: Mapping[str, Any], relation: bool, at: KeyPath) -> dict[str, Any]:
        """What `Study` takes, as far as each is of the right kind."""
        good: dict[str, Any] = {}
        for key in (k for k in study if k in STUDY and k not in PLACE):
            if relation and key not in RELATION:
                advice = f"it takes {', '.join(RELATION)}, and its columns study and intervened say the rest"
                self.note((*at, key), f"a relation of several studies has no {key}; {advice}")
                continue
            try:
                Study("study.parquet", **{key: study[key]})
                good[key] = study[key]
            except DuckEmccError as wrong:
                self.note((*at, key), wrong)
        return good

    def check_study(self, entry: Entry, name: str, model: Model, at: KeyPath) -> None:
        """The names that a study gives, and its conditions."""
        from duckemcc.study.dialect import check_condition
        from duckemcc.study.selection import read_rule

        causes = [u.name for u in model.exogenous]

        def check(key: str, find: Callable[[str], Any]) -> None:
            for one in names_of(key, entry.options.get(key, ())):
                with self.noting(*at, key, study=name):
                    find(one)

        def variable(said: str) -> Callable[[str], str]:
            return lambda v: model_name(v, model.variables, f"study {name!r} {said}")

        check("do", variable("has do for"))
        check("unmeasured", variable("calls unmeasured"))
        check("columns", variable("has columns for"))
        check("local", lambda u: cause_name(u, causes, f"study {name!r} has local for"))
        if "where" in entry.options:
            with self.noting(*at, "where", study=name):
                check_condition(entry.options["where"])
        if "selected" in entry.options:
            with self.noting(*at, "selected", study=name):
                read_rule(entry.options["selected"], model.variables, name)

    # -- places ----------------------------------------------------------------------------------

    def connection_of(self, study: Mapping[str, Any], at: KeyPath) -> str | None:
        text = self.text_of(study, "connection", at)
        if text is not None and not is_postgres(text):  # not told what it is: it may hold a password
            advice = "the address of a PostgreSQL server, postgresql://…; for others see `duckemcc counts --sql`"
            self.note((*at, "connection"), f"connection takes {advice}")
        if text is not None and "database" in study:
            self.note((*at, "database"), "a study lies in a database or behind a connection; give one of them")
        return text

    def check_table(self, source: str, database: Path | None, path: KeyPath) -> None:
        """What is no file is the name of a table, in a database."""
        if SELECT.match(source):
            self.note(
                path, "a SELECT goes with a connection to PostgreSQL; in a database, make a view of it and name that"
            )
        elif database is None:
            self.note(
                path,
                f"{source!r} is no Parquet or CSV file by its name ({', '.join(PARQUET + CSV)}); if it is a table, say "
                "in which database = … it lies",
            )

    def database_of(self, table: Mapping[str, Any], path: KeyPath) -> Path | None:
        text = self.text_of(table, "database", path)
        if text is None:
            return None
        file = self.folder / text
        if not os.path.isfile(file):
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
        raise SourceError(f"the database {str(path)!r} cannot be opened: {engine_reason(wrong)}") from wrong


def check_table(con: Any, entry: Entry, name: str) -> None:
    """Raises `SourceError` for a table that the database does not have, with the names of those that it has."""
    import duckdb

    from duckemcc.study.count.duckdb import open_source

    try:
        open_source(Study(entry.source, con=con))
    except duckdb.CatalogException:
        rows = con.sql(
            "SELECT if(schema_name = 'main', name, schema_name || '.' || name) FROM ("
            "SELECT schema_name, table_name AS name FROM duckdb_tables() UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal) ORDER BY ALL"
        ).fetchall()
        tables = [table for (table,) in rows]
        shown = ", ".join(tables[:20]) + (", …" if len(tables) > 20 else "")
        place = entry.database.name if entry.database is not None else "the database"
        raise SourceError(
            f"study {name!r}: {place} has no table {entry.source!r}; its tables are {shown or 'none'}",
            remedy=hint(entry.source, tables, "tables"),
            study=name,
        ) from None
    except duckdb.Error:  # told when it is counted
        return
