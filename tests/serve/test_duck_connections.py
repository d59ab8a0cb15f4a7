"""`register`: which connections then know the functions, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
import threading

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.serve.duckdb import register as duck

ALL = (96.0, 8)
EMCC = "SELECT region, emcc('X -> Y', 'P(X=true)', struct_pack(X, Y), restarts := 1).n FROM studies GROUP BY region"


@pytest.fixture
def path(tmp_path, make_studies):
    """A database file with `studies`; nobody has it open."""
    path = str(tmp_path / "f.db")
    with duckdb.connect(path) as con:
        make_studies(con)
    return path


def run_in_threads(work, number=8):
    """Runs them at once; gives what each returned. Raises what one raised."""
    found, wrong, gate = [], [], threading.Barrier(number)

    def run():
        try:
            gate.wait()
            found.append(work())
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return found


# -- who sees them -----------------------------------------------------------------------------


def test_registering_again_is_harmless(con, count):
    emcc.register(con)
    emcc.register(con.cursor())
    emcc.register(con)
    assert count(con, "studies") == ALL


def test_cursors_see_the_functions(con, count):
    assert count(con.cursor(), "studies") == ALL
    assert sorted(con.cursor().execute(EMCC).fetchall()) == [(0, 32), (1, 32), (2, 32)]


def test_all_connections_of_a_file_see_the_plain_names(path, count):
    con, before = duckdb.connect(path), duckdb.connect(path)
    emcc.register(con)
    assert count(con, "studies") == count(con.cursor(), "studies") == count(before, "studies") == ALL
    assert count(duckdb.connect(path), "studies") == ALL


def test_register_creates_no_table(path):
    con = duckdb.connect(path)
    con.execute("DROP TABLE studies")
    emcc.register(con)
    con.execute("FROM duckdb_tables()")
    assert con.fetchall() == []
    assert con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == []


def test_a_read_only_database_is_served_by_a_database_in_memory(path, count):
    con = duckdb.connect(path, read_only=True)
    emcc.register(con)
    emcc.register(con)
    assert count(con, "studies") == ALL
    assert len(con.execute(EMCC).fetchall()) == 3
    other = con.cursor()
    with pytest.raises(duckdb.Error, match=r"emcc_bounds does not exist(.|\n)*duckemcc\.emcc_bounds"):
        count(other, "studies")
    assert count(other, "studies", function="duckemcc.emcc_bounds") == ALL
    emcc.register(other)
    assert count(other, "studies") == ALL


def test_another_database_may_be_in_use(path, count):
    con = duckdb.connect()
    con.execute(f"ATTACH '{path}' AS f; USE f")
    emcc.register(con)
    assert count(con, "studies") == ALL
    cursor = con.cursor()
    assert count(cursor, "f.studies") == ALL
    cursor.execute("USE f")
    assert count(cursor, "studies", function="memory.emcc_bounds") == ALL


def test_the_default_connection_may_be_registered():
    emcc.register(duckdb)
    sql = "WITH d AS (SELECT true AS x, 1 AS y) SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', 'd', restarts := 1)"
    assert duckdb.sql(sql).fetchall() == [(1,)]


# -- who goes, who stays -----------------------------------------------------------------------


def test_the_functions_outlive_the_connection_that_registered(path, count):
    stays, goes = duckdb.connect(path), duckdb.connect(path)
    emcc.register(goes)
    goes.close()
    del goes
    gc.collect()
    assert [count(stays, "studies") for _ in range(5)] == [ALL] * 5
    assert len(stays.execute(EMCC).fetchall()) == 3


def test_the_functions_outlive_a_reload(con, count):
    importlib.reload(duck)
    gc.collect()
    assert count(con, "studies") == ALL
    duck.register(con)
    assert count(con, "studies") == ALL


def test_register_keeps_no_database_open(path):
    for _ in range(3):
        con = duckdb.connect(path)
        emcc.register(con)
        con.close()
    duckdb.connect(path, read_only=True).close()  # refused while somebody else writes


def test_a_view_that_is_opened_without_register_says_what_is_missing(path):
    con = duckdb.connect(path)
    emcc.register(con)
    con.execute("CREATE VIEW b AS SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', 'studies', restarts := 1)")
    con.close()
    script = f"""
import duckdb
con = duckdb.connect({path!r})
con.execute("SET enable_progress_bar = false")
for sql in ("FROM b", "SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', 'studies', restarts := 1)"):
    try:
        con.execute(sql)
    except duckdb.CatalogException as error:
        print(str(error).splitlines()[0])
import duckemcc
duckemcc.register(con)
print(con.execute("FROM b").fetchall())
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    *missing, last = ran.stdout.strip().splitlines()
    assert len(missing) == 2
    assert all("Function with name _emcc_" in line and "does not exist" in line for line in missing)
    assert (last, ran.returncode) == ("[(96.0,)]", 0)


# -- transactions ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize("dirty", [False, True])
def test_register_inside_a_transaction(path, make_studies, count, kind, end, dirty):
    con = duckdb.connect(path if kind == "file" else ":memory:")
    con.begin()
    if dirty:
        con.execute("CREATE TABLE z (a INT)")
    emcc.register(con)
    emcc.register(con)
    make_studies(con)
    assert count(con, "studies") == ALL
    getattr(con, end)()
    emcc.register(con)
    make_studies(con)
    cursor = con.cursor()
    emcc.register(cursor)
    assert count(con, "studies") == count(cursor, "studies") == ALL


def test_register_after_two_rollbacks(make_studies, count):
    con = duckdb.connect()
    con.begin()
    emcc.register(con)
    con.rollback()
    con.begin()
    with pytest.raises(emcc.DuckEmccError, match=r"COMMIT or ROLLBACK it, then register\(con\)"):
        emcc.register(con)
    con.rollback()
    emcc.register(con)
    make_studies(con)
    assert count(con, "studies") == ALL


def test_a_transaction_that_is_older_than_the_functions_is_refused():
    con = duckdb.connect()
    older = con.cursor()
    older.begin()
    older.execute("SELECT upper('x')").fetchall()  # its snapshot of the functions is taken here
    emcc.register(con)
    with pytest.raises(emcc.DuckEmccError, match="open transaction that cannot see the functions"):
        emcc.register(older)
    older.rollback()
    emcc.register(older)


def test_an_unfinished_result_does_not_hinder_register():
    con = duckdb.connect()
    con.execute("FROM range(10)")
    emcc.register(con)
    assert con.execute("SELECT count(*) > 0 FROM duckdb_functions() WHERE function_name = 'emcc'").fetchone() == (True,)


# -- threads -----------------------------------------------------------------------------------


def test_register_may_be_called_from_threads_at_once(make_studies, count):
    con = duckdb.connect()
    run_in_threads(lambda: emcc.register(con.cursor()))
    make_studies(con)
    assert count(con.cursor(), "studies") == ALL


def test_eight_threads_at_once_get_the_answers_of_one(con):
    asked = [
        "FROM emcc_bounds('X -> Y; X <-> Y', 'PNS(X=true, Y=a)', 'studies', restarts := 5, seed := {})",
        "FROM emcc_bounds_by('X -> Y; X <-> Y', 'ACE(X=true, Y=a)', 'studies', 'region', restarts := 5, seed := {})",
        "SELECT region, emcc('X -> Y; X <-> Y', 'PNS(X=true, Y=a)', studies, restarts := 5, seed := {}) "
        "FROM studies GROUP BY region ORDER BY region",
    ]
    serial = [con.execute(sql.format(seed)).fetchall() for sql in asked for seed in range(3)]

    def work():
        cursor = con.cursor()
        emcc.register(cursor)
        return [cursor.execute(sql.format(seed)).fetchall() for sql in asked for seed in range(3)]

    duck.bounds.__globals__["recall"].__globals__["forget"]()  # of the module that was loaded last
    assert run_in_threads(work) == [serial] * 8
