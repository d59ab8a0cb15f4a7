"""Connections to PostgreSQL by ADBC: opened, asked within a transaction, and their errors in the user's words.

A connection of the user's is used as it is: in a transaction that is open already, behind a savepoint and read-only; if
none is open, in one of our own, which is ended. No message holds a password.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from duckemcc.errors import NotSupported, SourceError, engine_reason, hiding

_SAVEPOINT = "emcc_savepoint"
_HIDDEN = "postgresql://***"


@contextmanager
def connected(place: Any, what: str) -> Iterator[Any]:
    """The connection itself, or one to an address, which is closed at the end; messages begin with `what`.

    Raises NotSupported without the driver or for another database, SourceError where there is no connection.
    """
    if not isinstance(place, str):
        _check_vendor(place, what)
        yield place
        return
    with hiding(dict.fromkeys(passwords(place), "***")):
        own = _connect(place, what)
        try:
            yield own
        finally:
            own.close()


def _check_vendor(con: Any, what: str) -> None:
    """Whether it tells a state that only PostgreSQL's driver knows; to ask for its name would begin a transaction."""
    try:
        _status(con)
    except Exception:  # the driver's, which may be any
        with driver_errors(what):
            vendor = con.adbc_get_info().get("vendor_name")
        raise NotSupported(
            f"{what}: by ADBC records are counted in PostgreSQL, not in {vendor}",
            remedy="counts_sql writes the query for other warehouses",
        ) from None


def _connect(address: str, what: str) -> Any:
    try:
        dbapi = importlib.import_module("adbc_driver_postgresql.dbapi")
    except ImportError:
        raise NotSupported(
            f"{what}: PostgreSQL needs the package adbc-driver-postgresql: pip install 'duckemcc[postgres]'"
        ) from None
    try:
        return dbapi.connect(address, autocommit=True)
    except dbapi.Error as error:  # from None: the cause may hold the address, and so the password
        problem = _connect_problem(_server_reason(error), address)
    raise SourceError(f"{what}: there is no connection to {without_password(address)}: {problem}")


def _connect_problem(problem: str, address: str) -> str:
    """What is known, unless it quotes the address."""
    if without_password(address) == _HIDDEN or address.count("@") > 1:  # the driver takes a part for the host
        return "the address cannot be read; write what is special in a password as %XX"
    if "connection to server" in problem or "could not translate host" in problem:  # read, so not quoted
        return problem  # masked as every message is
    quoted = ["***", address, *passwords(address)]  # the first, as secrets are masked already
    return "the address cannot be read" if any(part in problem for part in quoted if part) else problem


def without_password(address: str) -> str:
    """The address with stars for what may be a secret: the password, and every option after the question mark but
    the host, the port and the names of database and user."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return _HIDDEN
    if not parts.scheme or "@" in parts.path + parts.query + parts.fragment:
        return _HIDDEN  # no address, or one with a part of the password anywhere
    user, mark, _ = parts.netloc.rpartition("@")[0].partition(":")
    place = parts.netloc.rpartition("@")[2]
    login = f"{user}{':***' if mark else ''}@" if user or mark else ""
    shown = ("host", "port", "dbname", "user")
    options = [o if o.partition("=")[0] in shown else f"{o.partition('=')[0]}=***" for o in parts.query.split("&") if o]
    return f"{parts.scheme}://{login}{place}{parts.path}{'?' if options else ''}{'&'.join(options)}"


_LOGIN = re.compile(r"://(\S*)@")
_MOST_CUTS = 20
_OPTION = re.compile(
    r"""(?:(?:pass|secret|credential)\w{0,20}|pwd|token|_key) \s{0,9}[=:]\s{0,9}
    (?: '((?:\\.|[^'\\])*)'? | "((?:\\.|[^"\\])*)"? | ((?:\\.|[^\s&\\])+) )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def passwords(text: str) -> list[str]:
    """All that may be a password in a text, as it is written and as it is meant: in an address (also one with an
    unescaped @ or :), in its options, or in key = value, with quotes or without."""
    found: list[str] = []
    for login in _LOGIN.findall(text):
        password = login.partition(":")[2]
        cut = [i for i, c in enumerate(password) if c in "@/?#"][:_MOST_CUTS]
        found += [password, *(password[:i] for i in cut), *(password[i + 1 :] for i in cut)]
        found += re.split("[@:/?#]", password, maxsplit=_MOST_CUTS)
    for groups in _OPTION.findall(text):
        found += [part for part in groups if part]
    found += [re.sub(r"\\(.)", r"\1", part) for part in found]
    return [form for part in dict.fromkeys(found) for form in dict.fromkeys((part, unquote(part))) if form]


@contextmanager
def driver_errors(what: str) -> Iterator[None]:
    """The driver's errors as SourceError, told by name so that the driver need not be imported."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("adbc_driver_manager"):
            raise
        raise SourceError(f"{what}: {_server_reason(error)}") from error


def _server_reason(error: Exception) -> str:
    """What the server says, detail and hint included, without what the driver adds to it."""
    text = engine_reason(error)
    for mark in ("ERROR:  ", "FATAL:  "):
        if mark in text:
            return re.sub(r"\.? SQLSTATE: \w+$", "", text.partition(mark)[2])
    return (text.partition("[libpq] ")[2] or text).removeprefix("Failed to connect: ")


# -- asking ------------------------------------------------------------------------------------


def run(con: Any, statement: str) -> None:
    with con.cursor() as cursor:
        cursor.execute(statement)


def fetch(con: Any, query: str, *, copy: bool = True) -> Any:
    """The Arrow table of a query's result. copy: it is fetched by COPY, which is faster, and takes SELECT only."""
    with con.cursor() as cursor:
        if not copy:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        cursor.execute(query)
        return cursor.fetch_arrow_table()


@contextmanager
def reading(con: Any, what: str) -> Iterator[None]:
    """A transaction that cannot write. Nothing of it is left, unless the server refused a statement within a
    transaction of the user's: that has to be rolled back, as after any error. Raises SourceError."""
    with driver_errors(what), _transaction(con, what, "ISOLATION LEVEL REPEATABLE READ READ ONLY", keep=False):
        yield


@contextmanager
def writing(con: Any, what: str) -> Iterator[None]:
    """A transaction that is committed; on a connection without autocommit, or within a transaction of the user's, it is
    theirs to commit. Raises SourceError."""
    with driver_errors(what), _transaction(con, what, "READ WRITE", keep=True):
        yield


@contextmanager
def _transaction(con: Any, what: str, mode: str, *, keep: bool) -> Iterator[None]:
    """A transaction of our own, or a savepoint in the user's: all or nothing of it is done."""
    status = _status(con)
    if status == "active":
        if _is_fetching(con):  # to go on would end that, and lose the user's rows
            raise SourceError(
                f"{what}: its connection has an unfinished result",
                remedy="fetch that to its end and close its cursor first",
            )
        fetch(con, "SELECT 1 AS one")  # after an ingest the driver tells its state at the next statement
        status = _status(con)
    commits = con.adbc_connection.get_option("adbc.connection.autocommit") == "true"
    inside = status != "idle" or (keep and not commits)
    if inside:
        run(con, f"SAVEPOINT {_SAVEPOINT}")
        if not keep:
            run(con, "SET LOCAL transaction_read_only = on")
    else:
        run(con, f"BEGIN {mode}" if commits else f"SET TRANSACTION {mode}")
    done = False
    try:
        yield
        done = keep
    finally:
        if inside:
            _leave(con, done)
        elif commits:
            run(con, "COMMIT" if done else "ROLLBACK")
        else:
            con.rollback()


def _leave(con: Any, done: bool) -> None:
    if _status(con) == "inerror":  # the driver takes nothing but a rollback of the whole, which is the user's to do
        return
    if not done:
        run(con, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
    run(con, f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _status(con: Any) -> str:
    return str(con.adbc_connection.get_option("adbc.postgresql.transaction_status"))


def _is_fetching(con: Any) -> bool:
    """Whether a cursor has a result that is not at its end; the state of the connection is the same after an ingest."""
    cursors = [c for c in getattr(con, "_cursors", ()) if not getattr(c, "_closed", True)]
    results = [r for c in cursors if (r := getattr(c, "_results", None)) is not None]
    return any(not getattr(r, "_finished", False) for r in results)
