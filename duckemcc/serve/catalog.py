"""The catalog: models and studies that live in a database, in the plain tables of sql/catalog.sql.

Whoever saves or drops also writes, in the same transaction, the macro `_emcc_catalog()`, whose constant is all that the
catalog holds (see `serve.stored`): what a statement sees of the one it sees of the other. The macro is not a TEMP one
and is always called by its full name, so every connection has the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from duckemcc.errors import DuckEmccError, NotSupported, OptionError, RepeatedName, SourceError
from duckemcc.model.scm import Model
from duckemcc.serve.ask import is_name, read_model
from duckemcc.serve.counting import quote, source_sql, text_sql
from duckemcc.serve.files import read_sql
from duckemcc.serve.registered import check_registered
from duckemcc.serve.stored import (
    Catalog,
    Entry,
    Registered,
    find_entry,
    find_studies,
    read_spec,
    stamp_sql,
    write_catalog,
)
from duckemcc.study.study import Study, study_name
from duckemcc.study.types import type_name

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
_Found = TypeVar("_Found")


class Place(NamedTuple):
    """tables: the database of the tables, the one the instance was opened on. macros: that of the macros, which is the
    same unless it is read-only."""

    tables: str
    macros: str

    @property
    def call(self) -> str:
        """`_emcc_catalog()` by its full name."""
        return f"{quote(self.macros)}.main._emcc_catalog()"


# -- the public functions ----------------------------------------------------------------------


def save_model(
    con: duckdb.DuckDBPyConnection,
    name: str,
    model: Model | str,
    *,
    comment: str | None = None,
    replace: bool = False,
) -> None:
    """Stores a model, or graph text, under a name that every SQL function takes.

    The tables are made if need be, in the database that was opened as `con`. All or nothing; in an open transaction of
    `con`, a part of it. Storing the same again changes nothing. replace: take the place of another model of that name,
    whose registered studies stay and are to fit. Raises `OptionError` for a name that is not one word, `RepeatedName`,
    `NotSupported` for a catalog of a later version or a database that is read-only, and what reading a model or a
    registered study raises.
    """
    pscm, graph = read_model(model), model if isinstance(model, str) else None
    if not isinstance(name, str) or not is_name(name) or name != name.strip():
        raise OptionError(f"a model's name is one word of letters, digits and _; found {name!r}")
    if comment is not None and not isinstance(comment, str):
        raise OptionError(f"comment takes a text; found {comment!r}")
    spec = json.dumps(pscm.to_dict(), ensure_ascii=False)

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        old = _entry(catalog, name)
        if old is not None and (old.spec, old.graph, old.comment) == (spec, graph, comment):
            return
        if old is not None and not replace:
            raise RepeatedName(f"there is a model {old.name!r} in the catalog already; replace=True takes its place")
        for study in old.studies if old is not None else ():
            check_registered(study, pscm)
        if old is not None:
            _run(own, place, "DELETE FROM emcc.models WHERE name = $1", old.name)
            _run(own, place, "UPDATE emcc.studies SET model = $1 WHERE model = $2", name, old.name)
        if catalog.database is None:
            _create_tables(own, place)
        _run(own, place, "INSERT INTO emcc.models VALUES ($1, $2, $3, $4, $5)", name, spec, graph, comment, _now())

    _write(con, work)


def save_study(con: duckdb.DuckDBPyConnection, model: str, study: Study, *, replace: bool = False) -> None:
    """Registers a study for a stored model: SQL functions that are given no `studies` take those of the model.

    Its source is the name of a table or view, or the path of Parquet or CSV files, and is looked at now; everything
    else that a `Study` says is kept as well. Its name is unique among the model's; replace: take the place of that
    one. Transactions are as in `save_model`. Raises `SourceError` for other sources, `UnknownModel`, `RepeatedName`,
    `NotSupported`, and what `bounds` raises for a study that does not fit the model.
    """
    if not isinstance(study, Study) or study.kind not in ("table", "named", "file"):
        found = study.kind if isinstance(study, Study) else type(study).__name__
        raise SourceError(
            f"a registered study is a Study of a table's name or of a file's path; found {found}. Create a table or "
            "view of these records, and give Study(its name, con=con, …)"
        )
    source = os.fspath(study.source)
    columns, types = _look(con, source)

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, model)
        new = check_registered(_registered(study, source), read_spec(entry.name, entry.spec), columns, types)
        old = next((s for s in entry.studies if s.name.casefold() == new.name.casefold()), None)
        if new == old:
            return
        if old is not None and not replace and dataclasses.replace(new, types=old.types) != old:
            raise RepeatedName(
                f"the model {entry.name!r} has a study {old.name!r} already; give another name=…, or replace=True"
            )
        if old is not None:
            _run(own, place, "DELETE FROM emcc.studies WHERE model = $1 AND study = $2", entry.name, old.name)
        maps = ["MAP($7::VARCHAR[], $8::VARCHAR[])", "MAP($13::VARCHAR[], $14::VARCHAR[])"]
        values = f"$1, $2, $3, $4, $5, $6, {maps[0]}, $9, $10, $11, $12, {maps[1]}, $15"
        given: list[Any] = [entry.name, new.name, new.source, list(new.do), new.weight, new.where, *_pairs(new.columns)]
        given += [list(new.unmeasured), list(new.local), new.selected, new.shared, *_pairs(new.types), _now()]
        _run(own, place, f"INSERT INTO emcc.studies VALUES ({values})", *given)

    _write(con, work)


def drop_model(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Removes a model and the studies that are registered for it. Raises `UnknownModel`, `NotSupported`."""

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, name)
        _run(own, place, "DELETE FROM emcc.studies WHERE model = $1", entry.name)
        _run(own, place, "DELETE FROM emcc.models WHERE name = $1", entry.name)

    _write(con, work)


def drop_study(con: duckdb.DuckDBPyConnection, model: str, study: str) -> None:
    """Removes a registered study; its records stay. Raises `UnknownModel`, `SourceError`, `NotSupported`."""

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, model)
        (old,) = find_studies(entry, [study])
        _run(own, place, "DELETE FROM emcc.studies WHERE model = $1 AND study = $2", entry.name, old.name)

    _write(con, work)


def load_model(con: duckdb.DuckDBPyConnection, name: str) -> Model:
    """A stored model. Raises `UnknownModel`, which says what there is, and `GraphError`."""
    entry = _load(con, name)
    return read_spec(entry.name, entry.spec)


def load_studies(con: duckdb.DuckDBPyConnection, model: str, names: Sequence[str] | None = None) -> list[Study]:
    """The studies that are registered for a model, or those of these names. Raises `UnknownModel`, `SourceError`."""
    chosen = find_studies(_load(con, model), None if names is None else [names] if isinstance(names, str) else [*names])
    return [
        Study(
            s.source,
            do=s.do,
            name=s.name,
            weight=s.weight,
            where=s.where,
            columns=s.columns,
            unmeasured=s.unmeasured,
            local=s.local,
            selected=s.selected,
            shared=s.shared,
            con=con,
        )
        for s in chosen
    ]


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
        return Catalog(problem=f"the catalog of {database} cannot be read: {str(wrong).splitlines()[0]}")
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
        raise RepeatedName(f"two {what} are called {twins[0]}; delete one")


def _entry(catalog: Catalog, name: str) -> Entry | None:
    return next((entry for entry in catalog.entries if entry.name.casefold() == name.casefold()), None)


def _load(con: duckdb.DuckDBPyConnection, name: str) -> Entry:
    if not isinstance(name, str):
        raise OptionError(f"a model's name is a text; found {name!r}")
    with _session(con) as (own, _):
        return find_entry(read_tables(own, find_place(con).tables), name)


def _look(con: duckdb.DuckDBPyConnection, source: str) -> tuple[list[str], dict[str, str]]:
    """The columns of a source and their types. Raises `SourceError`."""
    try:
        relation = con.sql(f"FROM {source_sql(source)}")
    except Exception as wrong:
        if isinstance(wrong, DuckEmccError) or "Interrupt" in type(wrong).__name__:
            raise
        raise SourceError(f"the source {source!r} cannot be read: {str(wrong).splitlines()[0]}") from wrong
    return relation.columns, {c: type_name(t) for c, t in zip(relation.columns, relation.types, strict=True)}


def _registered(study: Study, source: str) -> Registered:
    kept = {k: getattr(study, k) for k in ("do", "weight", "where", "unmeasured", "local", "selected", "shared")}
    return Registered(name=study_name(study, 1), source=source, columns=dict(study.columns), types={}, **kept)


def _pairs(names: Any) -> tuple[list[str], list[str]]:
    return list(names), list(names.values())


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


def publish(con: duckdb.DuckDBPyConnection, place: Place, *, anew: bool = False) -> None:
    """Writes `_emcc_catalog()` as the tables are now; only with `anew` where it is so already."""
    text = text_sql(write_catalog(read_tables(con, place.tables)))
    known = con.execute(  # its text, and not its value: in a file of somebody else it may be anything
        "SELECT macro_definition FROM duckdb_functions() WHERE database_name = $1 AND schema_name = 'main' AND "
        "function_name = '_emcc_catalog'",
        [place.macros],
    ).fetchall()
    if anew or known != [(text,)]:
        con.execute(f"CREATE OR REPLACE MACRO {place.call} AS {text}").fetchall()


def in_transaction(con: duckdb.DuckDBPyConnection) -> bool:
    """In autocommit, every statement has a transaction of its own."""
    first, second = (con.execute("SELECT txid_current()").fetchall() for _ in range(2))
    return bool(first == second)


@contextmanager
def _session(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
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


def _write(con: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection, Place, Catalog], None]) -> None:
    """Changes the catalog, all or nothing. Another's change at the same time is waited for, if shortly."""
    place = find_place(con)
    if place.tables != place.macros:
        raise NotSupported(f"the database {place.tables} is read-only; open it for writing to change its catalog")
    _check_lasting(con, place)
    for trial in range(_TRIES):
        try:
            with WRITING, _session(con) as (own, inside):
                _change(own, place, work)
            return
        except Exception as wrong:
            if type(wrong).__name__ != "TransactionException":
                raise
            if inside or trial + 1 == _TRIES:
                raise _conflict(wrong) from wrong
            time.sleep(0.02)


def _change(
    own: duckdb.DuckDBPyConnection,
    place: Place,
    work: Callable[[duckdb.DuckDBPyConnection, Place, Catalog], None],
) -> None:
    before = read_tables(own, place.tables)
    if before.problem is not None:
        raise NotSupported(before.problem)
    publish(own, place, anew=True)  # fails before a row is written where another connection changes the catalog, too
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
            f"at the end; open {paths[used]} itself with duckdb.connect, and save there"
        )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _conflict(wrong: Exception) -> DuckEmccError:
    if "single attached database" in str(wrong):
        return OptionError(
            "con has an open transaction that has changed another database, and DuckDB changes one at a time; COMMIT "
            "it, then change the catalog"
        )
    return OptionError(
        "another connection changes the catalog in a transaction that is open, or newer than this one; nothing was "
        "changed. COMMIT or ROLLBACK there (and ROLLBACK here), then try again"
    )


def _create_tables(own: duckdb.DuckDBPyConnection, place: Place) -> None:
    text = re.sub(r"--[^\n]*", "", read_sql("catalog"))
    for statement in filter(str.strip, text.split(";")):
        _run(own, place, statement)


def _run(own: duckdb.DuckDBPyConnection, place: Place, statement: str, *values: Any) -> None:
    own.execute(_placed(statement, place.tables), list(values)).fetchall()


def _placed(statement: str, database: str) -> str:
    """With the schema's full name: a database may be called emcc, and another be in use."""
    return re.sub(r"\bemcc\b", lambda _: f"{quote(database)}.emcc", statement)
