"""Many at once give the answers of one; nothing outlives its memory; a long call ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.serve.duckdb import cache as remembered

MODEL = "X -> Y; X <-> Y"
EQUAL = [
    "FROM emcc_bounds('{model}', ['PNS(X=true, Y=a)', 'P(Y[X=true]=a)'], 'studies', method := 'emcc', restarts := 3)",
    "FROM emcc_bounds_by('{model}', 'ACE(X=true, Y=a)', 'studies', 'region', restarts := 3)",
    "FROM emcc_compatibility('{model}', 'studies', restarts := 3)",
    "SELECT region, emcc('{model}', 'PNS(X=true, Y=a)', studies, restarts := 3) FROM studies GROUP BY region "
    "ORDER BY region",
]


def at_once(works):
    """Runs each in a thread of its own, all at once; gives what they returned, or raises what one raised."""
    found, wrong, gate = [None] * len(works), [], threading.Barrier(len(works))

    def run(place, work):
        try:
            gate.wait(30)
            found[place] = work()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return found


def run_all(con, statements):
    return [con.execute(sql).fetchall() for sql in statements]


def forget():
    remembered.forget()


# -- many at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cursors", "file", "memory"])
def test_eight_threads_get_the_serial_answers(kind, tmp_path, make_studies):
    path = str(tmp_path / "f.db") if kind == "file" else ":memory:"
    cons = [duckdb.connect(path)]
    cons += [cons[0].cursor() if kind == "cursors" else duckdb.connect(path) for _ in range(7)]
    for con in cons if kind == "memory" else cons[:1]:
        emcc.register(con)
        make_studies(con)
        emcc.save_model(con, "stored", MODEL)
    same = [sql.format(model="stored") for sql in EQUAL]
    own = [f"{EQUAL[0][:-1]}, seed := {{}})".format(i, model="stored") for i in range(8)]
    alike = run_all(cons[0], same)
    serial = [[*alike, *run_all(cons[0], [sql])] for sql in own]
    forget()
    works = [lambda con=con, sql=sql: run_all(con, [*same, sql]) for con, sql in zip(cons, own, strict=True)]
    assert at_once(works) == serial


def test_threads_of_python_get_the_serial_answers(con):
    def ask(seed):
        cursor = con.cursor()
        frame = cursor.sql("FROM studies").to_arrow_table()
        return emcc.bounds(MODEL, frame, "PNS(X=true, Y=a)", method="emcc", restarts=3, seed=seed).to_pylist()

    assert at_once([lambda s=s: ask(s % 3) for s in range(6)]) == [ask(s % 3) for s in range(6)]


def test_models_may_be_saved_while_others_ask(con):
    emcc.save_model(con, "stored", MODEL)
    (expected,) = run_all(con, [EQUAL[1].format(model="stored")])

    def save(number):
        cursor = con.cursor()
        for i in range(4):
            emcc.save_model(cursor, f"m{number}_{i}", MODEL)

    def ask():
        cursor = con.cursor()
        return [run_all(cursor, [EQUAL[1].format(model="stored")]) == [expected] for _ in range(6)]

    found = at_once([lambda n=n: save(n) for n in range(3)] + [ask] * 3)
    assert found[3:] == [[True] * 6] * 3
    assert con.execute("SELECT count(*) FROM emcc_models()").fetchone() == (13,)


def test_a_call_that_fails_leaves_the_others_alone(con):
    good = EQUAL[1].format(model=MODEL)
    (expected,) = run_all(con, [good])

    def fail():
        with pytest.raises(duckdb.Error, match="QueryError"):
            con.cursor().execute(good.replace("ACE(X=true, Y=a)", "nonsense")).fetchall()

    found = at_once([fail, lambda: run_all(con.cursor(), [good])] * 3)
    assert found[1::2] == [[expected]] * 3


# -- what crashes, in a process of its own -----------------------------------------------------

BEGIN = f"""
import gc, threading, duckdb, duckemcc
SQL = "SELECT n FROM emcc_bounds('{MODEL}', 'P(X=1)', 't')"
TABLE = "CREATE OR REPLACE TABLE t AS SELECT range % 2 AS X, range % 3 AS Y FROM range(60)"
def churn():  # overwrite what was freed
    gc.collect()
    return [bytes(64) for _ in range(100_000)]
"""


FREED = {
    "the connection that registered is closed and collected, another goes on": """
        a = duckdb.connect(PATH); b = duckdb.connect(PATH); a.execute(TABLE)
        duckemcc.register(a); a.close(); del a; churn()
        print(b.execute(SQL).fetchall())
        b.close()
        """,
    "a rollback takes the registration back, and the connection goes": """
        a = duckdb.connect(PATH); b = duckdb.connect(PATH); a.execute(TABLE)
        a.begin(); duckemcc.register(a); a.rollback(); a.close(); del a; churn()
        duckemcc.register(b); churn()
        print(b.execute(SQL).fetchall())
        b.close()
        """,
    "databases come and go, each with its registration": """
        for _ in range(20):
            a = duckdb.connect(); a.execute(TABLE); duckemcc.register(a); found = a.execute(SQL).fetchall()
            a.close(); del a
        churn()
        print(found)
        """,
    "a cursor outlives its connection, in another thread": """
        a = duckdb.connect(PATH); a.execute(TABLE); duckemcc.register(a); b = a.cursor(); del a; churn()
        found = []
        thread = threading.Thread(target=lambda: found.extend(b.execute(SQL).fetchall())); thread.start(); thread.join()
        print(found)
        b.close()
        """,
    "the module that registered is gone as well": """
        import sys
        a = duckdb.connect(PATH); b = duckdb.connect(PATH); a.execute(TABLE)
        duckemcc.register(a); a.close(); del a
        del sys.modules["duckemcc.serve.duckdb.register"], duckemcc.serve.duckdb.register, duckemcc.register; churn()
        print(b.execute(SQL).fetchall())
        """,
}
LAST = """
        # the main thread ends first, with connections open and another thread inside a call
        a = duckdb.connect(PATH); a.execute(TABLE); duckemcc.register(a)
        b = a.cursor()
        threading.Thread(target=lambda: b.execute(SQL).fetchall()).start()
        print(a.execute(SQL).fetchall())
        """


@pytest.mark.parametrize("scripts", [[*FREED.values()], [LAST]], ids=["freed", "the main thread ends first"])
def test_nothing_is_called_after_it_was_freed(scripts, tmp_path):
    code = BEGIN
    for i, script in enumerate(scripts):
        code += f"PATH = {str(tmp_path / f'{i}.db')!r}\n" + textwrap.dedent(script)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    told = [line for line in ran.stdout.splitlines() if line.startswith("[(")]  # a busy machine shows DuckDB's progress
    assert (ran.returncode, told) == (0, ["[(60.0,)]"] * len(scripts)), ran.stderr


# -- a long call ends --------------------------------------------------------------------------

LONG = """
import numpy as np, polars as pl, duckemcc
rng = np.random.default_rng(0)
def onto(*shape):
    table = rng.integers(0, 3, shape)
    table.reshape(-1)[:3] = range(3)
    return {"table": table.tolist()}
STATES = {"states": [0, 1, 2]}
MODEL = duckemcc.Model.from_dict({  # two causes share a component, so every restart has a way to go
    "endogenous": {"A": STATES, "B": STATES | {"parents": ["A"]}, "C": STATES | {"parents": ["B"]}},
    "exogenous": {"U": {"children": ["A", "B"], "card": 60}, "V": {"children": ["B", "C"], "card": 60}},
    "equations": {"A": onto(60), "B": onto(60, 60, 3), "C": onto(60, 3)},
})
records = pl.DataFrame(rng.integers(0, 3, (4000, 3)), schema=["A", "B", "C"])
QUERY = "PNS(A=1 vs 0, C=2)"
HARD = {"restarts": 1000, "gap": 0.0, "max_steps": 1_000_000, "accelerate": False, "incompatible": "report"}
"""


@pytest.fixture
def long():
    scope = {}
    exec(LONG, scope)
    con = duckdb.connect()
    emcc.register(con)
    con.register("frame", scope["records"])
    con.execute("CREATE TABLE records AS FROM frame").fetchall()
    emcc.save_model(con, "long", scope["MODEL"])
    return con, scope


@pytest.mark.parametrize("method", ["sharp", "emcc"])
def test_max_seconds_stops_one_slow_segment(long, method):
    con, scope = long
    more = "".join(f", {name} := {value!r}" for name, value in scope["HARD"].items())
    sql = f"SELECT status, message, lower FROM emcc_bounds('long', '{scope['QUERY']}', 'records'{more}, method := $1"
    rows = con.execute(f"{sql}, max_seconds := 0.5)", [method]).fetchall()
    assert [(status, lower) for status, _, lower in rows] == [("timeout", None)]
    assert "stopped after max_seconds=0.5" in rows[0][1]


def test_a_call_that_ran_out_of_time_is_not_remembered(long):
    con, _ = long
    sql = "SELECT status FROM emcc_bounds('A -> B', 'P(A=1)', 'records', seed := 77, max_seconds := {})"
    assert con.execute(sql.format(0)).fetchall() == [("timeout",)]
    assert con.execute(sql.format(60)).fetchall() == [("identified",)]
    with pytest.raises(duckdb.Error, match="Timeout: stopped after max_seconds := 0"):
        con.execute("FROM emcc_compatibility('A -> B', 'records', max_seconds := 0)").fetchall()
    assert con.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("method", ["sharp", "emcc"])
def test_ctrl_c_ends_a_python_call_and_leaves_the_connection_usable(method, tmp_path):
    code = LONG + textwrap.dedent(f"""
        import duckdb, signal, time, duckemcc as emcc
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs behind its back
        con = duckdb.connect({str(tmp_path / "f.db")!r})
        con.execute("CREATE TABLE records AS FROM records").fetchall()
        emcc.bounds("A -> B", con.table("records"), "P(A=1)")  # all is imported
        print("begun", flush=True)
        try:
            emcc.bounds(MODEL, con.table("records"), QUERY, method={method!r}, **HARD)
            print("ended by itself")
        except KeyboardInterrupt:
            print(con.execute("SELECT count(*) FROM records").fetchall(), flush=True)
        """)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)  # unhindered it takes minutes
    finally:
        process.kill()
    assert said == "[(4000,)]\n"
