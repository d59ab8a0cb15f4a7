"""max_seconds: what was found by then is an answer, and what an engine or a library does is stopped.

Time is what a counter says where a test can choose it; no test asks how late it is.
"""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc.answer import options
from duckemcc.bound.programs.program import Program
from duckemcc.errors import Timeout
from duckemcc.learn.convex.newton import _solve_positive
from duckemcc.model.ticking import tick, ticking
from duckemcc.serve.duckdb import cache as remembered
from duckemcc.study.count.read import count_study
from duckemcc.study.watch import watched

GRAPH = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
PNS = "PNS(X=1, Y=1)"
SLOW = "SELECT (range % 2)::INT AS X, (hash(range) % 2)::INT AS Y, range % 3 AS part FROM range(100000000000)"
"""Minutes of work for DuckDB."""


def records(segments=1):
    rng = np.random.default_rng(5)
    n = 40 * segments
    return pl.DataFrame({"X": rng.integers(0, 2, n), "Y": rng.integers(0, 2, n), "part": np.arange(n) % segments})


@pytest.fixture(autouse=True)
def patient():
    """Here counting has no more time than users have."""


@pytest.fixture
def looks(monkeypatch):
    """How often something looked at the clock, which goes on by one second each time."""
    count = itertools.count()
    monkeypatch.setattr(options.time, "perf_counter", lambda: float(next(count)))

    def looks(ask):
        before = next(count)
        ask()
        return next(count) - before

    return looks


# -- what was found by then ----------------------------------------------------------------------


def test_limits_that_run_out_of_time_leave_the_bounds(looks):
    def ask(**more):
        return emcc.bounds(GRAPH, records(), PNS, **more)

    without = looks(lambda: ask(max_seconds=1e9))
    whole = looks(lambda: ask(max_seconds=1e9, confidence=0.9))
    assert whole > without + 4
    found = ask(max_seconds=(without + whole) / 2, confidence=0.9).to_pylist()[0]
    plain = ask().to_pylist()[0]
    kept = ("status", "lower", "upper", "outer_lower", "outer_upper", "exact_lower", "exact_upper", "n")
    assert {name: found[name] for name in kept} == {name: plain[name] for name in kept}
    assert (found["lower_ci"], found["upper_ci"]) == (None, None)
    assert "max_seconds" in found["message"]


@pytest.mark.parametrize("ask", [emcc.compatibility, emcc.frequencies])
def test_segments_that_there_was_time_for_are_told_as_without_a_limit(ask, looks, monkeypatch):
    from duckemcc.answer import plan as work

    monkeypatch.setattr(work, "BATCH", 1)
    whole = ask(GRAPH, records(6), by="part")
    needed = looks(lambda: ask(GRAPH, records(6), by="part", max_seconds=1e9))
    some = ask(GRAPH, records(6), by="part", max_seconds=0.6 * needed).to_pylist()
    told = [row for row in some if row["study"] is not None or row.get("n")]
    assert 0 < len(told) < whole.num_rows
    assert [row for row in whole.to_pylist() if row["part"] in {r["part"] for r in told}] == told
    late = [row for row in some if row not in told]
    assert sorted({row["part"] for row in some}) == list(range(6))
    assert all(row["study"] is None for row in late)
    if ask is emcc.compatibility:
        assert all("max_seconds" in row["message"] and row["compatible"] is None for row in late)


@pytest.mark.parametrize("ask", [emcc.compatibility, emcc.frequencies, emcc.fit])
def test_an_entry_that_found_nothing_says_that_time_is_over(ask):
    with pytest.raises(Timeout, match="max_seconds"):
        ask(GRAPH, records(), max_seconds=0)


def test_rows_without_an_answer_describe_their_segment_as_others_do(monkeypatch):
    whole = emcc.bounds(GRAPH, records(9), [PNS, "P(Y=1)"], by="part")
    monkeypatch.setattr(options.time, "perf_counter", lambda: 7.0)  # counting takes no time, and there is none
    late = emcc.bounds(GRAPH, records(9), [PNS, "P(Y=1)"], by="part", max_seconds=0).to_pylist()
    assert {row["status"] for row in late} == {"timeout"}
    known = ("part", "query", "n", "studies", "patterns", "restarts", "method", "seed", "version")
    assert [{k: row[k] for k in known} for row in late] == whole.select(known).to_pylist()


# -- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "relation"])
def test_duckdb_is_stopped_while_it_counts_and_its_connection_goes_on(kind):
    if kind == "relation" and duckdb.__version__ < "2":
        pytest.skip("duckdb 1 does not tell the connection of a relation")
    con = duckdb.connect()
    con.execute(f"CREATE VIEW slow AS {SLOW}")
    study = emcc.Study("slow", con=con) if kind == "table" else emcc.Study(con.table("slow"))
    rows = emcc.bounds(GRAPH, study, [PNS, "P(Y=1)"], max_seconds=0.1).to_pylist()
    assert [(row["query"], row["status"], row["n"]) for row in rows] == [
        (PNS, "timeout", None),
        ("P(Y=1)", "timeout", None),
    ]
    for ask in (emcc.compatibility, emcc.frequencies, emcc.fit, lambda *a, **k: emcc.witness(*a, PNS, **k)):
        with pytest.raises(Timeout):
            ask(GRAPH, study, max_seconds=0.1)
    with pytest.raises(Timeout):  # which segments there are is not known
        emcc.bounds(GRAPH, study, PNS, by="part", max_seconds=0.1)
    assert con.execute("SELECT 42").fetchall() == [(42,)]


def test_polars_is_not_waited_for():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({v: rng.integers(0, 900, 2_000_000) for v in "ABCD"})
    with pytest.raises(Timeout):
        count_study(
            emcc.Study(frame), tuple("ABCD"), name="s", watch=lambda stop: watched(0.0, stop, lambda: Timeout("late"))
        )


def test_what_is_done_when_the_time_is_over_is_not_lost():
    stopped = []
    with watched(0.0, lambda: stopped.append(None), lambda: Timeout("late")):
        while not stopped:
            pass

    def work():
        stopped.clear()
        with watched(0.0, lambda: stopped.append(None), lambda: Timeout("late")):
            while not stopped:
                pass
            raise ValueError("as an engine does that is told to stop")

    with pytest.raises(Timeout):
        work()


def test_an_error_of_its_own_is_told_as_it_is():
    with pytest.raises(ZeroDivisionError), watched(60.0, lambda: None, lambda: Timeout("late")):
        1 / 0  # noqa: B018


# -- kernels -------------------------------------------------------------------------------------


def late_after(calls):
    """A clock that is over after so many looks, and tells before that nearly no time is left."""
    looks = itertools.count(1)

    def look(needed):
        if next(looks) > calls:
            raise Timeout("late")
        return 0.0

    return look


def test_a_linear_program_ends_with_the_time_and_can_be_asked_again():
    rng = np.random.default_rng(1)
    entries, cost = rng.random((200, 2000)), rng.random(2000)
    program = Program(entries @ rng.dirichlet(np.ones(2000)))
    program.add(entries)
    with ticking(late_after(1)), pytest.raises(Timeout):
        program.maximise(cost)
    found = program.maximise(cost)
    assert found is not None
    assert cost @ found.point == pytest.approx(found.duals @ (entries @ found.point), abs=1e-6)  # strong duality


def test_least_squares_are_the_same_with_and_without_a_limit_and_end_if_time_is_short():
    rng = np.random.default_rng(2)
    matrix, right = (rng.random((300, 900)) < 0.05).astype(float), rng.random(300)
    free = _solve_positive(matrix, right, 27_000)
    with ticking(lambda needed: 1e9):
        assert (_solve_positive(matrix, right, 27_000) == free).all()

    def short(needed):
        if needed > 0:
            raise Timeout("late")
        return 1.0

    with ticking(short), pytest.raises(Timeout):
        _solve_positive(matrix, right, 27_000)


def test_there_is_no_limit_outside():
    assert tick() is None
    with ticking(lambda needed: 3.0):
        assert tick() == 3.0
    assert tick() is None


# -- SQL -----------------------------------------------------------------------------------------


def test_the_clock_of_a_statement_begins_when_it_is_bound_or_its_transaction_begins(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(remembered.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(remembered.time, "time", lambda: 1000.0 + now[0])
    remembered.note_bound("asked")
    now[0] = 107.0
    early, late = 1e6 * (1000 + 90), 1e6 * (1000 + 105)
    assert remembered.statement_clock("asked", early, 60.0).begun == pytest.approx(100)  # long after its transaction
    assert remembered.statement_clock("asked", late, 60.0).begun == pytest.approx(105)  # prepared, executed later
    assert remembered.statement_clock("another", early, 60.0).begun == pytest.approx(107)


def test_groups_that_there_was_no_time_for_say_so():
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE records AS SELECT range % 2 AS X, range // 2 % 2 AS Y, range // 8 AS g FROM range(20000)")
    call = f"emcc('{GRAPH}', '{PNS}', struct_pack(X, Y), max_seconds := 0)"
    found = con.execute(f"SELECT DISTINCT ({call}).status FROM records GROUP BY g").fetchall()
    assert found == [("timeout",)]


# -- what is handed over -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "reader", "stream"])
def test_only_the_columns_that_are_read_are_handed_over(kind):
    class Stream:
        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    frame = records()
    unreadable = pa.UnionArray.from_dense(
        pa.array([0] * len(frame), pa.int8()),
        pa.array(range(len(frame)), pa.int32()),
        [pa.array(range(len(frame)))] * 70,
    )
    table = pa.table({"other": unreadable, "Y": frame["Y"].to_arrow(), "X": frame["X"].to_arrow()})
    source = {"table": table, "reader": table.to_reader(), "stream": Stream(table)}[kind]
    assert emcc.bounds(GRAPH, emcc.Study(source, where="Y >= 0"), PNS).drop(["studies"]) == emcc.bounds(
        GRAPH, emcc.Study(frame), PNS
    ).drop(["studies"])
