"""A PostgreSQL server for tests: started from the binaries that are there, or one that DUCKEMCC_TEST_POSTGRES names.

`postgres` gives the address of a new, empty database, and is skipped with a reason where there is no server or no ADBC.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

GIVEN = "DUCKEMCC_TEST_POSTGRES"
SETTINGS = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def find_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: of the newest version that is there."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


def server_user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root. None is whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextlib.contextmanager
def start_server(binaries: Path) -> Iterator[str]:
    """A server in a folder of its own, reached by a socket in that folder; its address."""
    folder = Path(tempfile.mkdtemp(prefix="duckemcc-pg-", dir="/tmp" if os.path.isdir("/tmp") else None))
    user = server_user()
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", str(folder / "data"), *arguments]
        with (folder / "log.txt").open("a") as log:
            subprocess.run(command, check=True, cwd=folder, user=user, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        run("pg_ctl", "start", "-w", "-t", "60", "-o", f"-k {folder} {SETTINGS}")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def execute(uri: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(uri, autocommit=True) as con, con.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fetch(uri: str, query: str) -> list[tuple]:
    """The rows of a query."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(uri, autocommit=True) as con, con.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a server on which databases may be created."""
    if importlib.util.find_spec("adbc_driver_postgresql") is None:
        pytest.skip("needs adbc-driver-postgresql, of the extra duckemcc[postgres]")
    if given := os.environ.get(GIVEN):
        yield given
        return
    if (binaries := find_binaries()) is None:
        pytest.skip(f"needs PostgreSQL: initdb and pg_ctl, or the address of a server in {GIVEN}")
    with start_server(binaries) as uri:
        yield uri


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The address of an empty database, which is dropped after the test."""
    name = f"duckemcc_{uuid.uuid4().hex[:12]}"
    execute(postgres_server, f"CREATE DATABASE {name}")
    parts = urlsplit(postgres_server)
    yield urlunsplit(parts._replace(path=f"/{name}"))
    _drop(postgres_server, name)


def _drop(server: str, name: str) -> None:
    """Also while a connection that a test left is being closed."""
    for _ in range(20):
        try:
            return execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except Exception:  # the driver is imported by nobody else here
            time.sleep(0.1)
    return execute(server, f"DROP DATABASE IF EXISTS {name}")
