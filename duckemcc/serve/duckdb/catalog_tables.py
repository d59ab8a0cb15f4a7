"""The tables of the catalog: read, told to the SQL functions, and changed in a transaction.

Whoever changes them also writes, in the same transaction, the macro `_emcc_catalog()`, whose constant is all that the
catalog holds (see `serve.duckdb.stored`): what a statement sees of the one it sees of the other. The macro is not a
TEMP one and is always called by its full name, so every connection has the same.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.errors import DuckEmccError, NotSupported, OptionError, RepeatedName, engine_reason
from duckemcc.files import read_sql
from duckemcc.serve.duckdb.sources import quote, text_sql
from duckemcc.serve.duckdb.stored import Catalog, Entry, Registered, stamp_sql, write_catalog

if TYPE_CHECKING:
    import duckdb

VERSION = 1
"""Of the tables; a catalog of a later version is refused."""

WRITING = threading.RLock()
"""Held while this process writes functions or the catalog into a database: otherwise its threads would conflict."""

_TABLES = ("catalog_version", "models", "studies")
_STUDY = 'study, source, intervened, weight, "where", columns, unmeasured, local, selected, shared, types'
_TRIES = 10
_SERVING = "duckemcc"


class Place(NamedTuple):
    """tables: the database of the tables, the one the instance was opened on. macros: that of the macros, which is the
    same unless it is read-only."""

    tables: str
    macros: str

    @property
    def call(self) -> str:
        """`_emcc_catalog()` by its full name."""
        return f"{quote(self.macros)}.main._emcc_catalog()"


# -- reading -----------------------------------------------------------------------------------


def read_tables(con: duckdb.DuckDBPyConnection, database: str) -> Catalog:
    """What the tables hold; without entries, and with a `problem`, where this program cannot read them."""
    found = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = $1 AND schema_name = 'emcc'", [database]
    ).fetchall()
    missing = [name for name in _TABLES if (name,) not in found]
    if len(missing) == len(_TABLES):
        return Catalog()
    if missing:
        return Catalog(problem=f"the schema emcc of {database} is no catalog: it has no table {', '.join(missing)}")
    versions = con.execute(_placed("SELECT max(version) FROM emcc.catalog_version", database)).fetchall()
    if versions[0][0] != VERSION:
        return Catalog(
            problem=f"the catalog of {database} has version {versions[0][0]}, and this program knows version "
            f"{VERSION}; use a later duckemcc"
        )
    try:
        entries = tuple(_read_entries(con, database))
    except Exception as wrong:
        if "Interrupt" in type(wrong).__name__:
            raise
        return Catalog(problem=f"the catalog of {database} cannot be read: {engine_reason(wrong)}")
    stamp = con.execute(f"SELECT {stamp_sql(database)}").fetchall()[0][0]
    return Catalog(entries, None, database, stamp)


def _read_entries(con: duckdb.DuckDBPyConnection, database: str) -> Iterator[Entry]:
    studies = con.execute(_placed(f"SELECT model, {_STUDY} FROM emcc.studies", database)).fetchall()
    models = con.execute(_placed("SELECT name, spec, graph, comment FROM emcc.models", database)).fetchall()
    _check_once([name for name, *_ in models], "models")
    for name, spec, graph, comment in sorted(models, key=lambda row: row[0].casefold()):
        own = [_read_study(*row) for model, *row in studies if model.casefold() == name.casefold()]
        _check_once([study.name for study in own], f"studies of {name}")
        yield Entry(name, spec, graph, comment, tuple(sorted(own, key=lambda study: study.name.casefold())))


def _read_study(name: str, source: str, do: Any, weight: Any, where: Any, columns: Any, *rest: Any) -> Registered:
    unmeasured, local, selected, shared, types = rest
    lists = [tuple(names or ()) for names in (do, unmeasured, local)]
    return Registered(
        name, source, lists[0], weight, where, columns or {}, lists[1], lists[2], selected, bool(shared), types or {}
    )


def _check_once(names: Sequence[str], what: str) -> None:
    folded = [name.casefold() for name in names]
    if twins := sorted({name for name in names if folded.count(name.casefold()) > 1}):
        raise RepeatedName(f"two {what} are called {twins[0]}", remedy="delete one")


# -- writing -----------------------------------------------------------------------------------


def find_place(con: duckdb.DuckDBPyConnection) -> Place:
    """Where tables and macros are; a read-only database is served by one in memory, which is attached here."""
    other = con.cursor()  # a connection of its own begins on the database that the instance was opened on
    try:
        name, readonly = other.execute(
            "SELECT database_name, readonly FROM duckdb_databases() WHERE database_name = current_database()"
        ).fetchall()[0]
        if readonly:
            other.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_SERVING} (READ_WRITE)").fetchall()
        return Place(name, _SERVING if readonly else name)
    finally:
        other.close()


def publish(con: duckdb.DuckDBPyConnection, place: Place, published: str | None = None) -> None:
    """Writes `_emcc_catalog()` as the tables are now, if its text is not `published` already."""
    text = text_sql(write_catalog(read_tables(con, place.tables)))
    if text != published:  # its text, and not its value: in a file of somebody else it may be anything
        con.execute(f"CREATE OR REPLACE MACRO {place.call} AS {text}").fetchall()


def in_transaction(con: duckdb.DuckDBPyConnection) -> bool:
    """In autocommit, every statement has a transaction of its own."""
    first, second = (con.execute("SELECT txid_current()").fetchall() for _ in range(2))
    return bool(first == second)


@contextmanager
def session(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
    """`con` itself inside its transaction, and True; otherwise a cursor in a transaction of its own."""
    if in_transaction(con):
        yield con, True
        return
    other = con.cursor()  # so that nothing of the user's is disturbed
    try:
        other.begin()
        yield other, False
        other.commit()
    except BaseException:
        with _ignored():
            other.rollback()
        raise
    finally:
        other.close()


@contextmanager
def _ignored() -> Iterator[None]:
    """What is wrong with ending a transaction that has failed already says nothing more."""
    try:
        yield
    except Exception as again:
        if "Interrupt" in type(again).__name__:
            raise


def change(con: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection, Place, Catalog], None]) -> None:
    """Changes the catalog, all or nothing. Another's change at the same time is waited for, if shortly."""
    import duckdb

    place = find_place(con)
    if place.tables != place.macros:
        raise NotSupported(
            f"the database {place.tables} is read-only", remedy="open it for writing to change its catalog"
        )
    _check_lasting(con, place)
    for trial in range(_TRIES):
        try:
            with WRITING, session(con) as (own, inside):
                _change_once(own, place, work)
            return
        except duckdb.TransactionException as wrong:
            if inside or trial + 1 == _TRIES:
                raise _conflict(wrong) from wrong
            time.sleep(0.02)


def _change_once(
    own: duckdb.DuckDBPyConnection,
    place: Place,
    work: Callable[[duckdb.DuckDBPyConnection, Place, Catalog], None],
) -> None:
    before = read_tables(own, place.tables)
    if before.problem is not None:
        raise NotSupported(before.problem)
    publish(own, place)  # fails before a row is written where another connection changes the catalog, too
    work(own, place, before)
    publish(own, place)


def _check_lasting(con: duckdb.DuckDBPyConnection, place: Place) -> None:
    """A catalog in memory, of a connection that uses an attached file, would be lost without anybody noticing."""
    rows = con.execute("SELECT database_name, path FROM duckdb_databases()").fetchall()
    used = con.execute("SELECT current_database()").fetchall()[0][0]
    paths = dict(rows)
    if used != place.tables and paths[place.tables] is None and paths[used] is not None:
        raise OptionError(
            f"con uses the database {used}, but its catalog would be in {place.tables}, which is in memory and gone "
            f"at the end",
            remedy=f"open {paths[used]} itself with duckdb.connect, and save there",
        )


def _conflict(wrong: duckdb.TransactionException) -> DuckEmccError:
    """What DuckDB tells by its words alone."""
    if "single attached database" in str(wrong):
        return OptionError(
            "con has an open transaction that has changed another database, and DuckDB changes one at a time",
            remedy="COMMIT it, then change the catalog",
        )
    return OptionError(
        "another connection changes the catalog in a transaction that is open, or newer than this one; nothing was "
        "changed",
        remedy="COMMIT or ROLLBACK there (and ROLLBACK here), then try again",
    )


def create_tables(own: duckdb.DuckDBPyConnection, place: Place) -> None:
    text = re.sub(r"--[^\n]*", "", read_sql("catalog"))
    for statement in filter(str.strip, text.split(";")):
        run(own, place, statement)


def run(own: duckdb.DuckDBPyConnection, place: Place, statement: str, *values: Any) -> None:
    own.execute(_placed(statement, place.tables), list(values)).fetchall()


def _placed(statement: str, database: str) -> str:
    """With the schema's full name: a database may be called emcc, and another be in use."""
    return re.sub(r"\bemcc\b", lambda _: f"{quote(database)}.emcc", statement)
