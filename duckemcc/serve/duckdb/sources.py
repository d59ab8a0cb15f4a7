"""What SQL may name as a source of records: a table, a view or a CTE, or the path of Parquet or CSV files.

Only names and paths are let through, each part quoted anew. The source of a registered study is kept with its schema,
and found in the database of the catalog, whatever a statement calls by the same name.
"""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.errors import DuckEmccError, OptionError, SourceError, engine_reason
from duckemcc.study.count.types import type_name
from duckemcc.study.study import CSV, PARQUET

if TYPE_CHECKING:
    import duckdb

_BARE = r"[^\W\d]\w*"
_NAME = rf'(?:{_BARE}|"(?:[^"\0]|"")+")'
_TABLE = re.compile(rf"\s*{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}\s*\Z")
_PART = re.compile(_NAME)
_STEP = re.compile(r'"(?:[^"]|"")+"|[^,."]+')  # of DuckDB's search path, which quotes only what has a point
_PATH = re.compile(r"[^\"\0;]+")


class Found(NamedTuple):
    """A source that was looked at. name: for `registered_sql`. types: of its columns, in their order."""

    name: str
    types: dict[str, str]


def source_sql(studies: Any) -> str:
    """The relation as SQL: a name (bare or quoted, up to catalog.schema.table), or files by their path or glob.

    Raises `SourceError` for anything else.
    """
    if not isinstance(studies, str):
        raise SourceError(
            f"studies is {studies!r}",
            remedy="give the name of a table or view, or the path of a Parquet or CSV file, as text",
            option="studies",
        )
    if (files := _files_sql(studies)) is not None:  # before: x.parquet is also schema.table
        return files
    if _TABLE.match(studies):
        return table_sql(studies)
    raise SourceError(
        f"studies = {studies!r} is neither the name of a table or view nor the path of a Parquet or CSV file",
        remedy="for anything else, create a view over it and name the view",
        option="studies",
    )


def is_table(source: str) -> bool:
    """Whether it is a name, and no path of files."""
    return _files_sql(source) is None


def _files_sql(source: str) -> str | None:
    path = source.strip()
    if not path.lower().endswith(PARQUET + CSV) or not _PATH.fullmatch(path):
        return None
    is_csv = path.lower().endswith(CSV)  # names are needed, so there must be a header: no guessing
    if os.path.isfile(path):  # its name may be a pattern that matches another
        path = glob.escape(path)
    return f"read_csv({text_sql(path)}, header := true)" if is_csv else f"read_parquet({text_sql(path)})"


def table_sql(name: str) -> str:
    """A table's name, up to catalog.schema.table, each part quoted. Raises `SourceError` for what is no name."""
    return ".".join(quote(part) for part in name_parts(name))


def registered_sql(source: str, home: str | None) -> str:
    """The source of a registered study as SQL: a table is one of the catalog's database, `home`, unless its name says
    another. Raises `SourceError`."""
    if (files := _files_sql(source)) is not None:
        return files
    parts = name_parts(source)
    if len(parts) == 3 and parts[0].casefold() == "temp":
        raise SourceError(f"the source {source!r} is a TEMP table, which is another one for each connection")
    whole = [*([home] if home and len(parts) < 3 else []), *(["main"] if home and len(parts) == 1 else []), *parts]
    return ".".join(map(quote, whole))


def find_source(con: duckdb.DuckDBPyConnection, source: str, home: str) -> Found:
    """The source that `con` means, by a name that means the same to every connection.

    Raises `SourceError` for one that cannot be read, and for a table or view that only `con` sees.
    """
    source_sql(source)
    name = _find_table(con, source, home) if is_table(source) else source
    try:
        relation = con.sql(f"FROM {registered_sql(name, home)}")
    except Exception as wrong:
        if isinstance(wrong, DuckEmccError) or "Interrupt" in type(wrong).__name__:
            raise
        raise SourceError(f"the source {source!r} cannot be read: {engine_reason(wrong)}") from wrong
    return Found(name, {c: type_name(t) for c, t in zip(relation.columns, relation.types, strict=True)})


def _find_table(con: duckdb.DuckDBPyConnection, source: str, home: str) -> str:
    """[[database.]schema.]table, without what `registered_sql` adds."""
    parts = name_parts(source)
    path = _search_path(con)
    database, schema = path[0]
    places = {
        1: [("temp", "main", *parts), *((*place, *parts) for place in path)],
        2: [*((there, *parts) for there, _ in path), (parts[0], "main", parts[-1])],
        3: [tuple(parts)],
    }
    found = next((spelled for place in places[len(parts)] if (spelled := _spelled(con, place))), None)
    if found is None:
        raise SourceError(
            f"the source {source!r} cannot be read: {database}.{schema} has no table or view of that name",
            remedy="give it as schema.table, or database.schema.table",
        )
    if found[0] == "temp":
        raise SourceError(
            f"the source {source!r} is a TEMP table or view, which no other connection sees",
            remedy="create it without TEMP",
        )
    kept = found if found[0] != home else found[1:] if found[1] != "main" else found[2:]
    return ".".join(part if re.fullmatch(_BARE, part) else quote(part) for part in kept)


def _search_path(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """The databases and schemas in which a bare name is looked up, in order."""
    set_to, database, schema = con.execute(
        "SELECT current_setting('search_path'), current_database(), current_schema()"
    ).fetchall()[0]
    named: list[tuple[str, ...]] = [()]
    for found in re.finditer(rf"({_STEP.pattern})([.,]|$)", set_to):
        named[-1] += (_unquoted(found[1]),)
        if found[2] == ",":
            named.append(())
    path = [(steps[0], steps[1]) if len(steps) > 1 else (database, steps[0]) for steps in named if steps]
    return list(dict.fromkeys([(database, schema), *path, (database, "main")]))


def _spelled(con: duckdb.DuckDBPyConnection, place: tuple[str, ...]) -> tuple[str, ...] | None:
    """The database, schema and name of a table or view there, as they are spelled."""
    rows = con.execute(
        "SELECT database_name, schema_name, table_name FROM duckdb_tables() UNION ALL "
        "SELECT database_name, schema_name, view_name FROM duckdb_views()"
    ).fetchall()
    wanted = tuple(part.casefold() for part in place)
    return next((row for row in rows if tuple(part.casefold() for part in row) == wanted), None)


def name_parts(name: str) -> list[str]:
    """The parts of a table's name, unquoted. Raises `SourceError`."""
    if not _TABLE.match(name):
        raise SourceError(f"{name!r} is no name of a table", remedy='it is a bare or "quoted" name, or schema.table')
    return [_unquoted(part) for part in _PART.findall(name)]


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part[0] == '"' else part


def quote(name: str) -> str:
    """A name as SQL. Raises `OptionError` for one that DuckDB would read only up to a NUL character."""
    if "\0" in name:
        raise OptionError(f"the name {name!r} holds a NUL character", remedy="rename the column")
    return '"' + name.replace('"', '""') + '"'


def text_sql(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
