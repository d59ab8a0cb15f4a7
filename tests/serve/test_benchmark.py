"""Section 6.2's benchmark: what a row says, that runs go on where they stopped, and the figures drawn from it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

import duckemcc as emcc
from duckemcc.answer.options import Options
from duckemcc.errors import NotSupported, OptionError, SourceError
from duckemcc.query.full import FullModel, first_on_last
from duckemcc.serve.section62 import benchmark as module
from duckemcc.serve.section62.benchmark import Benchmark, benchmark, list_tasks
from duckemcc.serve.section62.figure import SLACK, summarise
from duckemcc.serve.section62.ledger import make_table
from duckemcc.serve.section62.pool import Died, run_all
from duckemcc.serve.section62.trial import DATA, Settings, run_task, steps_to

QUICK = {"restarts": 3, "records": 100, "max_steps": 100, "processes": 1, "seed": 33}  # a seed of small models
BOW = "U: X, Y\nX {0, 1}; Y {0, 1}\nX -> Y"


def rows_of(found):
    """The rows without their times, which no two runs share."""
    return found.table.drop_columns(["seconds", "cpu_seconds"]).to_pylist()


@pytest.fixture(scope="module")
def found():
    return benchmark(4, **QUICK)


@pytest.fixture
def folder(tmp_path):
    """Two bow models as UAI files."""
    for k, name in enumerate(("one", "two")):
        rng = np.random.default_rng(k)
        model = emcc.Model.parse(BOW)
        text = FullModel(model, {"U": rng.dirichlet(np.ones(8))}).to_uai()
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / f"{name}.uai").write_text(text)
    return tmp_path / "models"


@pytest.fixture
def started(monkeypatch):
    """The names of the models that are run."""
    names = []
    monkeypatch.setattr(
        module, "run_task", lambda task, settings: [names.append(task.name), run_task(task, settings)][1]
    )
    return names


# -- what a row says -------------------------------------------------------------------------------


def test_each_model_has_a_row_for_o_for_i_and_for_both(found):
    table = found.table
    assert table["model"].to_pylist() == [f"random_{k:04d}" for k in range(4) for _ in range(3)]
    assert table["data"].to_pylist() == [*DATA] * 4
    assert set(table["status"].to_pylist()) == {"done"}
    for row in table.to_pylist():
        assert 0 <= row["lower"] <= row["upper"] <= 1
        assert 0 <= row["truth"] <= 1
        assert row["n"] == 100


def test_a_row_holds_what_bounds_says_of_the_same_studies(found):
    settings = Settings(100, 5500, Options(method="emcc", restarts=3, max_steps=100, seed=33))
    task = list_tasks(2)[1]
    full = settings.load(task)
    studies = settings.sample(full, task)
    observed = emcc.Study(pl.DataFrame(studies.observed))
    trial = emcc.Study(pl.DataFrame(studies.randomised), do=[studies.do])
    query = str(first_on_last(full.model))
    options = {"method": "emcc", "restarts": 3, "max_steps": 100, "seed": 33}
    for row, chosen in zip(found.table.to_pylist()[3:6], ([observed], [trial], [observed, trial]), strict=True):
        told = emcc.bounds(full.model, chosen, query, **options).to_pylist()[0]
        assert row["query"] == query
        assert row["truth"] == full.evaluate(query)
        for name in ("lower", "upper", "credibility", "compatible", "p_value", "loglik_gap", "kept", "converged"):
            assert row[name] == pytest.approx(told[name], abs=1e-11), name


def test_the_interventional_study_has_n_records_for_each_value_of_the_first_variable():
    settings = Settings(50, 5500, Options(method="emcc"))
    task = list_tasks(1)[0]
    studies = settings.sample(settings.load(task), task)
    assert studies.n == 50
    assert np.bincount(studies.randomised[studies.do]).tolist() == [50, 50]


def test_bounds_over_fewer_runs_are_inside_those_over_more(folder):
    table = benchmark(folder, restarts=25, records=200, processes=1).table
    for row in table.to_pylist():
        runs = row["runs"]
        assert [run["restarts"] for run in runs] == [10, 20, 25]
        for few, more in pairwise(runs):
            assert more["lower"] <= few["lower"] <= few["upper"] <= more["upper"]
        assert (row["lower"], row["upper"], row["credibility"]) == tuple(
            runs[-1][name] for name in ("lower", "upper", "credibility")
        )


def test_the_first_runs_are_those_of_a_benchmark_with_fewer(folder):
    options = {"records": 200, "processes": 1}
    many, few = (benchmark(folder, restarts=r, **options).table.to_pylist() for r in (20, 10))
    for long, short in zip(many, few, strict=True):
        for name in ("lower", "upper", "credibility"):
            assert long["runs"][0][name] == pytest.approx(short[name], abs=1e-9)


def test_runs_that_carry_the_chances_of_others_are_counted_once():
    table = benchmark(1, **QUICK | {"restarts": 20, "seed": 34}).table
    kept = [(row["kept"], row["runs"]) for row in table.to_pylist()]
    assert all(runs[-1]["kept"] == number for number, runs in kept)
    assert min(number for number, _ in kept) < 20  # so that the count was put to the test


@pytest.mark.parametrize(
    ("restarts", "steps"), [(1, [1]), (10, [10]), (30, [10, 20, 30]), (100, [10, 20, 30, 50, 100]), (120, None)]
)
def test_bounds_are_told_for_ten_twenty_and_so_on_up_to_all_runs(restarts, steps):
    assert steps_to(restarts) == (steps or [10, 20, 30, 50, 100, 120])


# -- which models ----------------------------------------------------------------------------------


def test_a_model_does_not_depend_on_how_many_are_run_nor_on_the_number_of_processes(found):
    assert rows_of(benchmark(2, **QUICK)) == rows_of(found)[:6]
    assert rows_of(benchmark(3, **QUICK | {"processes": 2})) == rows_of(found)[:9]


def test_another_seed_gives_other_models(found):
    other = rows_of(benchmark(2, **QUICK | {"seed": 6}))
    assert [row["truth"] for row in other] != [row["truth"] for row in rows_of(found)[:6]]


def test_a_file_gives_the_same_rows_alone_and_among_others(folder):
    both = rows_of(benchmark(folder, **QUICK))
    alone = rows_of(benchmark(folder / "two.uai", **QUICK))
    assert [row["model"] for row in both] == ["one"] * 3 + ["two"] * 3
    assert both[3:] == alone
    assert both[0]["truth"] == FullModel.from_uai(folder / "one.uai").evaluate(both[0]["query"])


def test_the_bounds_of_many_records_hold_the_truth_and_those_of_both_are_narrower(folder):
    table = benchmark(folder, restarts=30, records=20_000, most_records=100_000, processes=1)
    for o, i, both in zip(*[iter(table.table.to_pylist())] * 3, strict=True):
        assert both["lower"] - 0.02 <= both["truth"] <= both["upper"] + 0.02
        assert both["upper"] - both["lower"] <= min(o["upper"] - o["lower"], i["upper"] - i["lower"]) + 0.02


# -- incompatible studies --------------------------------------------------------------------------


def test_studies_grow_while_they_are_incompatible_and_never_beyond_the_limit(folder):
    # without a shared cause P(Y | X) is one in both studies, and samples are never; level=None takes them as exact
    for path in folder.iterdir():
        model = emcc.Model.parse("X {0, 1}; Y {0, 1}; X -> Y")
        path.write_text(FullModel(model, {"U_X": np.array([0.4, 0.6]), "U_Y": np.full(4, 0.25)}).to_uai())
    found = benchmark(folder, **QUICK, most_records=500, level=None)
    assert set(found.table["n"].to_pylist()) == {150}  # 100, 125, 150; three times 175 would be more than 500
    assert found.summary.compatible == 0
    assert found.summary.grown == 2
    assert found.summary.used == 0
    assert found.summary.shrink_of_i is None


def test_growing_adds_to_the_records_that_are_there():
    settings = Settings(100, 500, Options(method="emcc"))
    task = list_tasks(1)[0]
    full = settings.load(task)
    first = settings.sample(full, task)
    second = settings.grow(full, task, first)
    assert second.n == 125
    assert np.bincount(second.randomised[second.do]).tolist() == [125, 125]
    for v, codes in first.observed.items():
        assert (second.observed[v][:100] == codes).all()
    assert settings.grow(full, task, settings.grow(full, task, second)) is None


# -- models that fail ------------------------------------------------------------------------------


def test_a_model_that_fails_is_a_row_with_its_message_and_the_others_go_on(folder):
    (folder / "bad.uai").write_text("CAUSAL\n2\n2 nonsense\n")
    found = benchmark(folder, **QUICK)
    rows = found.table.to_pylist()
    assert [row["status"] for row in rows] == ["failed"] * 3 + ["done"] * 6
    assert re.match(r"GraphError: .*line 3", rows[0]["message"])
    assert found.summary.failed == 1
    assert found.summary.done == 2


def test_a_model_of_one_variable_has_no_pns_and_fails_alone(folder):
    (folder / "single.uai").write_text("CAUSAL\n2\n2 2\n2\n2 1 0\n1 1\n2 0 1\n2 .5 .5\n")
    rows = benchmark(folder / "single.uai", **QUICK).table.to_pylist()
    assert "needs two variables" in rows[0]["message"]


def test_a_fit_that_takes_too_long_makes_its_model_a_failed_one(folder):
    found = benchmark(folder, **QUICK, max_seconds=0)
    assert {row["message"].split(":")[0] for row in found.table.to_pylist()} == {"Timeout"}


def test_an_error_that_nobody_foresaw_is_a_message_too(folder, monkeypatch):
    monkeypatch.setattr("duckemcc.serve.section62.trial.fit", lambda *_, **__: 1 / 0)
    (message,) = set(benchmark(folder, **QUICK).table["message"].to_pylist())
    assert message == "unexpected ZeroDivisionError: division by zero"


def test_a_process_that_dies_takes_no_other_task_with_it():
    tasks = ["1 + 1", "__import__('os')._exit(1)", "2 + 2", "3 + 3", "4 + 4"]
    outcomes = dict(run_all(eval, tasks, 2))
    assert outcomes.pop(tasks[1]) == Died()
    assert outcomes == {"1 + 1": 2, "2 + 2": 4, "3 + 3": 6, "4 + 4": 8}


def test_processes_have_one_thread_and_leave_the_environment_as_it_was():
    before = dict(os.environ)
    task = "__import__('os').environ['OPENBLAS_NUM_THREADS']"
    assert [outcome for _, outcome in run_all(eval, [task], 2)] == ["1"]
    assert dict(os.environ) == before


# -- going on --------------------------------------------------------------------------------------


@pytest.fixture(params=["rows.parquet", "rows.duckdb"])
def out(request, tmp_path):
    return tmp_path / request.param


def test_what_is_in_the_file_is_not_run_again(out, started, found):
    first = benchmark(2, out=out, **QUICK)
    assert len(started) == 2
    more = benchmark(4, out=out, **QUICK)
    assert started[2:] == ["random_0002", "random_0003"]
    assert benchmark(4, out=out, **QUICK).table.equals(more.table)  # times as well: nothing was run
    assert rows_of(more) == rows_of(found)
    assert more.table.slice(0, 6).equals(first.table)


def test_a_file_with_more_models_than_asked_for_gives_those_asked_for(out):
    whole = benchmark(2, out=out, **QUICK)
    assert benchmark(1, out=out, **QUICK).table.equals(whole.table.slice(0, 3))


def test_failed_models_are_tried_again(out, folder, started):
    benchmark(folder, out=out, **QUICK, max_seconds=0)
    found = benchmark(folder, out=out, **QUICK)
    assert started == ["one", "two"] * 2
    assert set(found.table["status"].to_pylist()) == {"done"}
    assert benchmark(folder, out=out, **QUICK).table.equals(found.table)


def test_other_settings_are_refused(out):
    benchmark(1, out=out, **QUICK)
    with pytest.raises(
        OptionError, match=r"was made with seed=33, records=100, and this run has seed=3, records=150"
    ) as wrong:
        benchmark(1, out=out, **QUICK | {"records": 150, "seed": 3})
    assert "give the same options, or another out" in str(wrong.value)


def test_another_model_by_the_same_name_is_refused(out, folder):
    benchmark(folder, out=out, **QUICK)
    (folder / "two.uai").write_text((folder / "one.uai").read_text())
    with pytest.raises(OptionError, match=r"rows of another model named two: its source was crc32"):
        benchmark(folder, out=out, **QUICK)


def test_the_rows_can_be_read_with_sql(tmp_path):
    out = tmp_path / "rows.duckdb"
    benchmark(1, out=out, **QUICK)
    with duckdb.connect(out) as con:
        sql = "SELECT data, unnest(runs, recursive := true) FROM emcc_benchmark"
        assert [row[:2] for row in con.execute(sql).fetchall()] == [(data, 3) for data in DATA]


def test_a_database_with_other_tables_keeps_them(tmp_path):
    out = tmp_path / "rows.duckdb"
    with duckdb.connect(out) as con:
        con.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    benchmark(1, out=out, **QUICK)
    with duckdb.connect(out) as con:
        assert con.execute("FROM mine").fetchall() == [(42,)]


def test_a_file_that_is_no_benchmark_is_refused(tmp_path):
    junk, other, table = tmp_path / "junk.parquet", tmp_path / "other.parquet", tmp_path / "table.duckdb"
    junk.write_text("not a table")
    parquet.write_table(pa.table({"x": [1]}), other)
    with duckdb.connect(table) as con:
        con.execute("CREATE TABLE emcc_benchmark AS SELECT 1 AS x")
    with pytest.raises(SourceError, match=r"cannot be read as a Parquet file .* give another out"):
        benchmark(1, out=junk, **QUICK)
    for path in (other, table):
        with pytest.raises(SourceError, match="holds something else than a benchmark's rows"):
            benchmark(1, out=path, **QUICK)
    (tmp_path / "junk.duckdb").write_text("x" * 5000)
    with pytest.raises(SourceError, match=r"cannot be opened as a DuckDB database .* close what else uses it"):
        benchmark(1, out=tmp_path / "junk.duckdb", **QUICK)


SMALL = {"restarts": 3, "seed": 6, "records": 200}


def start(out):
    command = [sys.executable, "-m", "duckemcc.serve.cli.main", "benchmark", "--models", "30", "--processes", "2"]
    command += [f"--{name}={value}" for name, value in SMALL.items()] + ["--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_rows(out):
    """Waits until a first model is in the file (a database can be opened by one process alone)."""
    trace = out.with_name(out.name + ".wal") if out.suffix == ".duckdb" else out
    deadline = time.monotonic() + 60
    while not (trace.exists() and trace.stat().st_size > 3000):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def await_end(pids):
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_goes_on_where_it_stopped(out, how, started):
    run = start(out)
    await_rows(out)
    children = children_of(run.pid)
    run.send_signal(how)
    _, told = run.communicate(timeout=60)
    assert len(children) >= 2
    await_end(children)  # no process outlives the run
    if how == signal.SIGINT:
        assert run.returncode == 130
        assert told == f"stopped; what is done is in {out}, and the same command goes on from there\n"
    done = benchmark(1, out=out, processes=1, **SMALL)  # opens the file, and may run the first model
    assert done.summary.done == 1
    kept = models_in(out)
    assert 1 <= kept < 30
    started.clear()
    resumed = benchmark(kept + 1, out=out, processes=1, **SMALL)
    assert len(started) <= 2
    assert rows_of(resumed) == rows_of(benchmark(kept + 1, processes=1, **SMALL))


def models_in(out):
    if out.suffix == ".parquet":
        return len(set(parquet.read_table(out)["model"].to_pylist()))
    with duckdb.connect(out, read_only=True) as con:
        return con.execute("SELECT count(DISTINCT model) FROM emcc_benchmark").fetchone()[0]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        (0, {}, OptionError, "models is 0; it takes a whole number of at least 1"),
        (2.5, {}, OptionError, "models is 2.5"),
        ("nowhere", {}, SourceError, "neither a folder with .uai files nor such a file"),
        (1, {"out": "rows.csv"}, OptionError, r"out is 'rows.csv'; its name ends in .duckdb or .parquet"),
        (1, {"out": "nowhere/rows.parquet"}, SourceError, "there is no folder 'nowhere'; create it"),
        (1, {"processes": 0}, OptionError, "processes is 0"),
        (1, {"records": True}, OptionError, "records is True"),
        (1, {"most_records": -1}, OptionError, "most_records is -1"),
        (1, {"restarts": 0}, OptionError, "restarts is 0"),
        (1, {"method": "emcc"}, OptionError, "a benchmark has no option 'method'"),
        (1, {"max_step": 3}, OptionError, r"Hint: did you mean one of these options: \['max_steps'"),
    ],
)
def test_what_cannot_be_run_is_refused(models, options, error, message):
    with pytest.raises(error, match=message):
        benchmark(models, **options)


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import duckemcc\nduckemcc.benchmark(3, restarts=1, processes=2)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "in a script, call benchmark under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


# -- the summary -----------------------------------------------------------------------------------


def make(name, o, i, both, *, compatible=True, truth=0.5, n=1000, seconds=1.0):
    """The rows of a model with these bounds."""
    rows = []
    for data, (lower, upper) in zip(DATA, (o, i, both), strict=True):
        runs = [
            {"restarts": r, "kept": r, "lower": lower, "upper": upper, "credibility": sure}
            for r, sure in ((10, 0.3), (20, 0.7))
        ]
        row = {"model": name, "data": data, "status": "done", "lower": lower, "upper": upper, "runs": runs}
        row |= {"compatible": compatible, "truth": truth, "grown": n > 1000, "converged": True}
        rows.append(row | {"seconds": seconds, "cpu_seconds": 1.0})
    return rows


def test_the_mean_shrink_is_that_of_compatible_models_that_stay_unidentified():
    rows = make("a", (0.2, 1.0), (0.3, 0.7), (0.4, 0.6), seconds=2.0)  # ratios .25 to O, .5 to I
    rows += make("b", (0.1, 0.9), (0.2, 0.7), (0.3, 0.7), n=1250)  # .5 to O, .8 to I
    rows += make("identified", (0.1, 0.9), (0.5, 0.5), (0.5, 0.5))
    rows += make("incompatible", (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), compatible=False)
    found = summarise(make_table(rows))
    assert (found.models, found.done, found.used, found.grown) == (4, 4, 2, 1)
    assert found.compatible == 0.75
    assert found.identified == pytest.approx(1 / 3)
    assert found.ratio_to_o == pytest.approx(0.375)
    assert found.ratio_to_i == pytest.approx(0.65)
    assert found.shrink_of_o == pytest.approx(1 - 0.375)
    assert found.median_ratio_to_i == pytest.approx(0.65)
    assert found.width_ratio_to_o == pytest.approx((0.2 + 0.4) / (0.8 + 0.8))
    assert found.width_ratio_to_i == pytest.approx((0.2 + 0.4) / (0.4 + 0.5))
    assert found.shrink_of_i == pytest.approx(1 - 0.65)
    assert found.credibility == {data: {10: pytest.approx(0.3), 20: pytest.approx(0.7)} for data in DATA}
    assert (found.seconds_median, found.seconds_max) == (3.0, 6.0)


def test_inclusion_is_told_with_its_slack_and_the_worst_excess():
    rows = make("inside", (0.2, 0.8), (0.3, 0.7), (0.4, 0.6))
    rows += make("nearly", (0.2, 0.8), (0.3, 0.7), (0.3 - SLACK / 2, 0.6))
    rows += make("outside", (0.2, 0.8), (0.3, 0.7), (0.4, 0.85), truth=0.95)
    found = summarise(make_table(rows))
    assert found.slack == SLACK
    assert found.included == pytest.approx(2 / 3)
    assert found.largest_excess == pytest.approx(0.15)  # of I; it is .05 of O
    assert found.truth_included == pytest.approx(2 / 3)


def test_a_study_that_identifies_alone_has_no_ratio():
    rows = make("a", (0.5, 0.5), (0.4, 0.6), (0.45, 0.55))
    assert summarise(make_table(rows)).ratio_to_o is None
    assert summarise(make_table(rows)).ratio_to_i == pytest.approx(0.5)


def test_the_summary_is_made_of_what_json_can_hold(found):
    assert json.loads(json.dumps(found.summary._asdict()))["models"] == 4


# -- the picture -----------------------------------------------------------------------------------


def test_the_picture_is_in_the_format_that_its_name_says(found, tmp_path):
    found.plot(tmp_path / "figure.png")
    found.plot(tmp_path / "figure.svg")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_equal_tables_are_equal_pictures(found, tmp_path):
    for name in ("a", "b"):
        found.plot(tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_cannot_be_drawn_is_refused(found, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"its name ends in .png, .svg, .pdf"):
        found.plot(tmp_path / "figure.gif")
    with pytest.raises(OptionError, match=r"there is no folder .*nowhere"):
        found.plot(tmp_path / "nowhere" / "figure.png")
    with pytest.raises(OptionError, match="there is nothing to draw"):
        Benchmark(found.table.slice(0, 0)).plot(tmp_path / "figure.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NotSupported, match=r"needs matplotlib, of the extra `plot`: pip install 'duckemcc\[plot\]'"):
        found.plot(tmp_path / "figure.png")


# -- the authors' models ---------------------------------------------------------------------------


def test_models_of_the_authors_run():
    folder = Path(__file__).resolve().parents[3] / "shared" / "benchmarks" / "hybrid"
    if not folder.is_dir():
        pytest.skip("needs ../shared/benchmarks")
    smallest = min(folder.glob("*.uai"), key=lambda path: path.stat().st_size)
    (o, i, both) = benchmark(smallest, restarts=10, processes=1).table.to_pylist()
    assert o["status"] == i["status"] == both["status"] == "done"
    assert both["compatible"]


def test_the_bar_says_which_models_are_at_work(monkeypatch):
    told = []

    class Bars:
        def add_task(self, description, **_):
            told.append(description)

        def update(self, _, *, description, **__):
            told.append(description)

    monkeypatch.setattr(module, "show_bars", lambda: contextlib.nullcontext(Bars()))
    benchmark(2, **QUICK)
    assert told == ["models (at work: random_0000)", "models (at work: random_0001)", "models"]
