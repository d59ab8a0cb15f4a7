"""What a job writes, compared with what it reads, by what the names resolve to.

Two spellings may mean one place: a link, another path of a database, a search path, quotes and cases, a view over the
table that is to be replaced. So files are compared by what the file system says they are, tables of DuckDB by what the
plan of a query reads, tables of PostgreSQL by what the server's plan reads. Files and tables of DuckDB are compared
before the work begins; tables, of either, inside the transaction that writes, before anything is changed.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from duckemcc.errors import OptionError

if TYPE_CHECKING:
    from duckemcc.serve.job.file import JobFile
    from duckemcc.serve.job.output import Target
    from duckemcc.serve.job.study import Entry

Identity: TypeAlias = "tuple[int, int] | str"
"""A file that is there by its device and number, which links share; another by its path."""

_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_CATALOG = ("catalog_version", "models", "studies")
"""Tables of sql/catalog.sql, which are records too."""


# -- files -------------------------------------------------------------------------------------


def refuse_files(job: JobFile) -> None:
    """Raises `OptionError` where a file that is written is one that is read, or another that is written."""
    read = [(f"the job {job.path.name}", job.path)]
    if job.model_file is not None:
        read.append((f"the model file {job.model_file.name}", job.model_file))
    databases = _databases_of(job)
    read += [(f"the database {path.name}", path) for path in sorted(databases)]
    target = job.target.file if job.target is not None else None
    written = [(name, p) for name, p in (("output", target), ("report", job.report), ("plot", job.plot)) if p]
    for i, (name, path) in enumerate(written):
        for what, other in read:
            if is_same(path, other):
                raise OptionError(
                    f"the {name} {str(path)!r} would take the place of {what}, which is read",
                    remedy="name another",
                    option=name,
                )
        for entry in job.entries:
            refuse_study_file(path, entry)
        for earlier, other in written[:i]:
            if is_same(path, other):
                raise OptionError(
                    f"the {name} and the {earlier} are one file, {str(path)!r}", remedy="give each its own", option=name
                )
    if job.target is not None and job.target.database is not None:
        for name, path in [*read[:2], *((f"the {name}", p) for name, p in written)]:
            if path not in databases and is_same(job.target.database, path):
                raise OptionError(
                    f"the output's database is {name}, {str(path)!r}", remedy="name another", option="database"
                )


def _databases_of(job: JobFile) -> set[Path]:
    """The databases that a job reads."""
    databases = {entry.database for entry in job.entries if entry.database is not None}
    return databases | ({job.catalog[0]} if job.catalog is not None else set())


def refuse_study_file(path: Path, entry: Entry) -> None:
    """Raises `OptionError` where a file would take the place of a study's records, or be read as some next time."""
    if not entry.is_file:
        return
    source = entry.source.removeprefix("file://")
    whole = os.path.realpath(path)
    pattern = os.path.join(os.path.realpath(_fixed_part(source)), os.path.relpath(source, _fixed_part(source) or "."))
    if any(is_same(path, Path(own)) for own in expand(source)) or fnmatch(whole, pattern):
        raise OptionError(
            f"the output {str(path)!r} would take the place of records that a study reads, or join them "
            f"({entry.source})",
            remedy="name another",
        )


def expand(source: str) -> list[str]:
    """The files that a path or a pattern means."""
    return [source] if os.path.isfile(source) else glob.glob(source, recursive=True) or [source]


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern up to its first sign."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def is_same(one: Path | str, other: Path | str) -> bool:
    """Whether two paths are one file, through links of either kind."""
    return _identify(one) == _identify(other)


def _identify(path: Path | str) -> Identity:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


# -- tables of DuckDB --------------------------------------------------------------------------


def refuse_tables(job: JobFile) -> None:
    """Raises `OptionError` where a table or file that is written is one that the job reads in a database: before the
    work, as far as that can be told by then."""
    import duckdb

    from duckemcc.errors import SourceError
    from duckemcc.serve.job.study import open_database

    target = job.target
    databases = _databases_of(job)
    if target is not None and target.database is not None and os.path.isfile(target.database):
        databases.add(target.database)
    for database in sorted(databases):
        try:
            opened = open_database(database)
        except SourceError:
            continue  # told when it is read, or written
        with closing(opened) as con:
            if target is not None and target.database is not None and is_same(target.database, database):
                refuse_table(con, target, job)
            files = [p for p in (target.file if target else None, job.report, job.plot) if p is not None]
            sources = [text for text, _ in _sources_in(con, job, database)]
            try:
                read = list(_files_read(con, sources))
            except duckdb.Error:
                continue
            for path in files:
                for own in read:
                    if any(is_same(path, file) for file in expand(own)):
                        raise OptionError(
                            f"the output {str(path)!r} would take the place of records that a view of "
                            f"{database.name} reads ({own})",
                            remedy="name another",
                        )


def refuse_table(con: Any, target: Target, job: JobFile) -> None:
    """Raises `OptionError` where a table that is to be written is one that the job reads, through whatever views and by
    whatever name, or one of the catalog's, or the source of a study that is registered there.

    con: a connection to the target's database, in the transaction that writes if there is one.
    """
    assert target.database is not None
    assert target.table is not None
    place = _find_place(con, target.table)
    if place is None:  # no name of a table, which is told by who writes it
        return
    if place[1] == "emcc" and place[2] in _CATALOG:
        raise OptionError(
            f"the output {target} is a table of the catalog, which holds models and studies",
            remedy="name another",
            option="table",
        )
    views = "SELECT lower(database_name), lower(schema_name), lower(view_name) FROM duckdb_views()"
    if place in con.execute(views).fetchall():
        raise OptionError(
            f"the output {target} is a view, which records may be read through", remedy="name a table", option="table"
        )
    for source, what in [*_sources_in(con, job, target.database), *_registered_in(con)]:
        if any(_is_place(place, read) for read in _tables_read(con, source)):
            raise OptionError(
                f"the output {target} would take the place of records that {what} reads",
                remedy="name another",
                option="table",
            )


def _sources_in(con: Any, job: JobFile, database: Path) -> Iterator[tuple[str, str]]:
    """The SQL of what the job reads in a database, by the names that `con` knows, and who reads it."""
    from duckemcc.errors import SourceError
    from duckemcc.serve.duckdb.sources import quote, source_sql

    here = con.sql("SELECT current_database()").fetchall()[0][0]
    for entry in job.entries:
        if entry.database is None or not is_same(entry.database, database):
            continue
        try:
            name = source_sql(entry.source)
        except SourceError:
            continue  # told when it is read
        spelled = re.compile(rf'"{re.escape(entry.database.stem)}"(?=\.)', re.IGNORECASE)
        for one in dict.fromkeys((name, spelled.sub(lambda _: quote(here), name, count=1))):
            yield one, f"the study of {entry.source!r}"


def _registered_in(con: Any) -> Iterator[tuple[str, str]]:
    """The sources of the studies that are registered in the database's catalog."""
    from duckemcc.errors import DuckEmccError
    from duckemcc.serve.duckdb.sources import registered_sql

    found = "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'emcc' AND table_name = 'studies'"
    if not con.execute(f"{found} AND database_name = current_database()").fetchall():
        return
    rows = con.execute("SELECT model, study, source FROM emcc.studies ORDER BY ALL").fetchall()
    for model, study, source in rows:
        try:
            home = con.sql("SELECT current_database()").fetchall()[0][0]
            yield registered_sql(source, home), f"the study {study!r}, registered for {model!r},"
        except DuckEmccError:
            continue


def _find_place(con: Any, table: str) -> tuple[str, str, str] | None:
    """(database, schema, table) that a name to be created means, in lower case."""
    from duckemcc.errors import SourceError
    from duckemcc.serve.duckdb.sources import name_parts

    try:
        parts = [part.casefold() for part in name_parts(table)]
    except SourceError:
        return None
    database, schema = (str(x).casefold() for x in con.sql("SELECT current_database(), current_schema()").fetchall()[0])
    if len(parts) == 2:
        databases = {str(x).casefold() for (x,) in con.sql("SELECT database_name FROM duckdb_databases()").fetchall()}
        parts = [parts[0], "main", parts[1]] if parts[0] in databases else [database, *parts]
    whole = (*[database, schema][: 3 - len(parts)], *parts)
    return whole[0], whole[1], whole[2]


def _is_place(place: tuple[str, str, str], read: str) -> bool:
    """Whether a plan's table is one. Older engines print the table alone, and its name as it is."""
    from duckemcc.errors import SourceError
    from duckemcc.serve.duckdb.sources import name_parts

    try:
        parts = tuple(part.casefold() for part in name_parts(read))
    except SourceError:
        parts = (read.casefold(),)
    return parts == place[-len(parts) :] or read.casefold() in (".".join(place), place[-1])


def _tables_read(con: Any, source: str) -> set[str]:
    """The tables that a source reads, as the engine's plan names them, before anything is optimised away."""
    import duckdb

    query = f"EXPLAIN (FORMAT json) FROM {source}"
    try:
        con.cursor().execute(query)  # an error would end the transaction of `con`
    except duckdb.Error:
        return set()  # told when it is read
    con.execute("SET explain_output = 'all'")
    plans = con.execute(query).fetchall()
    found: set[str] = set()
    for _, text in plans:
        todo = json.loads(text)
        while todo:
            node = todo.pop()
            todo += node.get("children", [])
            table = node.get("extra_info", {}).get("Table")
            found |= {str(table)} if table else set()
    return found


def _files_read(con: Any, sources: Sequence[str]) -> set[str]:
    """The texts in the definitions of the views that sources are made of: paths among them."""
    views = {name.casefold(): sql for name, sql in con.sql("SELECT view_name, sql FROM duckdb_views()").fetchall()}
    found: set[str] = set()
    seen: set[str] = set()
    todo = list(sources)
    while todo:
        text = todo.pop()
        found |= {literal.replace("''", "'") for literal in _LITERAL.findall(text)}
        for name in [name for name in views if name not in seen and name in text.casefold()]:
            seen.add(name)
            todo.append(views[name])
    return found


# -- tables of PostgreSQL ----------------------------------------------------------------------


def refuse_remote(con: Any, target: Target, entries: Iterable[Entry]) -> None:
    """Raises `OptionError` where a table of PostgreSQL that is to be written is one that a study reads there.

    con: the connection that writes, in its transaction.
    """
    from duckemcc.study.count.remote import find_relations, find_server, list_parts

    assert target.table is not None
    server = find_server(con)
    own = set(list_parts(con, target.table))
    if not own:
        return
    for entry in entries:
        if entry.connection is None:
            continue
        where, read = find_relations(entry.connection, entry.source)
        if where == server and not own.isdisjoint(read):
            raise OptionError(
                f"the output {target} would take the place of records that the study of {entry.source!r} reads",
                remedy="name another",
                option="table",
            )
