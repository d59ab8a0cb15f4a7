"""DuckDB: `register`, which makes the SQL functions known to a database.

How it is arranged, as measured on duckdb 1.4 and 2.0:

- DuckDB has scalar Python UDFs only. The macros (sql/macros.sql) count the relation through `query(…)`, whose text
  `_emcc_counts_sql` writes at bind time, pack the counts into one BLOB, hand it to `_emcc_bounds` and unnest the rows.
- No UDF is declared volatile: their arguments come from rows, so nothing but the SQL text is folded when a query is
  bound or explained, and equal calls (the .lower and .upper of one emcc(…)) are merged.
- DuckDB puts UDFs into the instance's system catalog, where every connection sees them, and keeps a borrowed pointer to
  the Python functions: they are never freed.
- The macros go into the database that the instance was opened on, so that cursors and other connections see them, and
  as TEMP macros onto the connection itself. A read-only database takes only those; an attached in-memory database
  `duckemcc` then serves its other connections as `duckemcc.emcc_bounds(…)`.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS, struct_type
from duckemcc.errors import DuckEmccError, placing
from duckemcc.files import read_sql
from duckemcc.serve.duckdb.aggregate import groups
from duckemcc.serve.duckdb.catalog_tables import WRITING, Place, find_place, in_transaction, publish
from duckemcc.serve.duckdb.models import MODELS, list_models, model_text, stamp_query
from duckemcc.serve.duckdb.sources import quote
from duckemcc.serve.duckdb.udf import bounds, compatibility, counts_sql, pack

if TYPE_CHECKING:
    import duckdb

_SEGMENT = {"segment": "int64"}
_FUNCTIONS: dict[str, tuple[Any, str, str]] = {
    # name: (function, return type, native or arrow)
    "_emcc_counts_sql": (counts_sql, "VARCHAR", "native"),
    "_emcc_pack": (pack, "BLOB", "arrow"),
    "_emcc_bounds": (bounds, struct_type(_SEGMENT | COLUMNS) + "[]", "arrow"),
    "_emcc_compatibility": (compatibility, struct_type(_SEGMENT | STUDY_COLUMNS) + "[]", "arrow"),
    "_emcc_groups": (groups, struct_type(COLUMNS), "arrow"),
    "_emcc_model": (model_text, "VARCHAR", "native"),
    "_emcc_models": (list_models, MODELS + "[]", "arrow"),
    "_emcc_stamp_sql": (stamp_query, "VARCHAR", "native"),
}


def _take_any(function: Any) -> Any:
    """A function for DuckDB, which passes any number of arguments of any type where none are declared and *args are.

    DuckDB borrows it for as long as a database lives, longer than this module may. So it is never freed.
    """

    def call(*args: Any) -> Any:
        with placing(spelling="sql"):
            return function(*args)

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(call))
    return call


_callables = {name: _take_any(function) for name, (function, *_) in _FUNCTIONS.items()}


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Makes emcc_bounds, emcc_bounds_by, emcc_compatibility and emcc known to the database behind `con`.

    Creates no table. Cursors and other connections of the same database see them as well; of a read-only database as
    ``duckemcc.emcc_bounds``, or after `register` of their own. Registering again is harmless.
    Raises `DuckEmccError` inside a transaction that began before another connection registered.
    """
    with WRITING:
        place = find_place(con)
        if in_transaction(con):
            _register_inside(con, place)
        else:
            _register_for_all(con, place)
        _create_macros(con, "TEMP MACRO ", place)


def _register_for_all(con: duckdb.DuckDBPyConnection, place: Place) -> None:
    other = con.cursor()  # a connection of its own, so that nothing of the user's is disturbed
    try:
        known = _NOTHING if _is_new(other, place) else _find_known(other, place)
        _create_functions(other, known)
        _publish(other, place, known)
        _create_macros(other, f"MACRO {quote(place.macros)}.main.", place)
    finally:
        other.close()


def _publish(con: duckdb.DuckDBPyConnection, place: Place, known: _Known) -> None:
    try:
        publish(con, place, known.published)
    except Exception as wrong:
        if type(wrong).__name__ != "TransactionException":
            raise
        raise DuckEmccError(
            "there is an open transaction that changes the catalog, or has registered the functions or changed another "
            "database",
            remedy="COMMIT or ROLLBACK it, then register(con)",
        ) from wrong


class _Known(NamedTuple):
    """What a connection sees of an earlier `register`."""

    functions: frozenset[str]
    published: str | None
    """The text of `_emcc_catalog()`."""


_NOTHING = _Known(frozenset(), None)


def _is_new(con: duckdb.DuckDBPyConnection, place: Place) -> bool:
    """Whether a database in memory has never been registered with, in a tenth of `_find_known`'s time.

    A file keeps the macros, though not the functions. con: outside of a transaction, as the call fails where it is new.
    """
    sql = "SELECT path IS NULL FROM duckdb_databases() WHERE database_name = $1"
    if con.execute(sql, [place.macros]).fetchall() != [(True,)]:
        return False
    try:
        con.execute(f"EXPLAIN SELECT {next(iter(_FUNCTIONS))}()").fetchall()
    except Exception as wrong:
        return type(wrong).__name__ == "CatalogException"
    return False


def _find_known(con: duckdb.DuckDBPyConnection, place: Place) -> _Known:
    """In one query: each costs 14 ms, as DuckDB writes out all its functions for it."""
    rows = con.execute(
        "SELECT function_name, macro_definition, database_name = $1 AND schema_name = 'main' FROM duckdb_functions() "
        "WHERE list_contains($2, function_name)",
        [place.macros, [*_FUNCTIONS, "_emcc_catalog"]],
    ).fetchall()
    texts = [text for name, text, is_here in rows if name == "_emcc_catalog" and is_here]
    return _Known(frozenset(name for name, *_ in rows) & _FUNCTIONS.keys(), texts[0] if len(texts) == 1 else None)


def _create_functions(con: duckdb.DuckDBPyConnection, known: _Known) -> None:
    for name in [name for name in _FUNCTIONS if name not in known.functions]:
        _, returns, kind = _FUNCTIONS[name]
        con.create_function(name, _callables[name], None, returns, type=kind, null_handling="special")


def _create_macros(con: duckdb.DuckDBPyConnection, how: str, place: Place) -> None:
    for part in read_sql("macros").split("CREATE OR REPLACE MACRO ")[1:]:
        con.execute(f"CREATE OR REPLACE {how}{part.replace('_emcc_catalog()', place.call)}").fetchall()


def _register_inside(con: duckdb.DuckDBPyConnection, place: Place) -> None:
    """For `con` alone, and gone after a ROLLBACK: its snapshot is older than what another connection commits now."""
    import duckdb

    known = _find_known(con, place)
    hidden = known.functions != _FUNCTIONS.keys() and _is_whole_elsewhere(con, place)
    try:
        if not hidden:
            _create_functions(con, known)
    except duckdb.Error as wrong:  # rolled back once before: DuckDB's Python client still believes them created
        if "already created" not in str(wrong):
            raise
        hidden = True
    if hidden:
        raise DuckEmccError(
            "con has an open transaction that cannot see the functions",
            remedy="COMMIT or ROLLBACK it, then register(con)",
        )
    _publish(con, place, known)


def _is_whole_elsewhere(con: duckdb.DuckDBPyConnection, place: Place) -> bool:
    other = con.cursor()
    try:
        return _find_known(other, place).functions == _FUNCTIONS.keys()
    finally:
        other.close()
