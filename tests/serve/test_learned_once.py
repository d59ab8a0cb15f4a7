"""A question is learned once, whoever reads what was learned; and a job has one clock for all that it makes of it."""

from __future__ import annotations

import itertools
import re
import weakref

import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.answer import options, plan
from duckemcc.answer.api import count_studies, read_queries, read_studies
from duckemcc.answer.bounds import bound_segments
from duckemcc.answer.closely import Picked, answer_closely
from duckemcc.answer.options import Clock, Options, read_options
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.run import run_job

GRAPH = "X -> Y; X {0, 1}; Y {0, 1}"
QUERIES = ["PNS(X=1, Y=1)", "ACE(X=1, Y=1)"]
TIES = "X -> M -> Y; X <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}"


def records(segments):
    """A trial and a registry; each third segment contradicts a graph without a shared cause."""
    trial, registry = [], []
    for s in range(segments):
        for x, y in itertools.product((0, 1), repeat=2):
            n = (80, 20, 30, 70)[2 * x + y]
            trial.append({"X": x, "Y": y, "part": s, "n": n + s})
            registry.append({"X": x, "Y": y, "part": s, "n": (10, 90, 60, 40)[2 * x + y] + s if s % 3 == 1 else n})
    return pl.DataFrame(trial), pl.DataFrame(registry)


def studies(segments):
    trial, registry = records(segments)
    return [
        emcc.Study(trial, do="X", weight="n", name="trial"),
        emcc.Study(registry, weight="n", name="registry"),
    ]


def job(folder, segments, more="", by='by = "part"'):
    for name, frame in zip(("trial", "registry"), records(segments), strict=True):
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "job.toml").write_text(
        f'queries = {QUERIES}\n{by}\n[model]\ngraph = "{GRAPH}"\n'
        '[[studies]]\nsource = "trial.parquet"\ndo = "X"\nweight = "n"\n'
        '[[studies]]\nsource = "registry.parquet"\nweight = "n"\n'
        f'[output]\nfile = "bounds.parquet"\nreport = "report.html"\n[options]\n{more}\n'
    )
    return read_job(folder / "job.toml")


@pytest.fixture
def calls(monkeypatch):
    """How many segments each call of these had."""
    made = {"compile_likelihood": [], "learn": []}
    for name in made:
        work = getattr(plan, name)

        def counted(first, *rest, name=name, work=work):
            found = work(first, *rest)
            made[name].append(len((found if name == "compile_likelihood" else first).n))
            return found

        monkeypatch.setattr(plan, name, counted)
    return made


# -- once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sharp", "emcc"])
def test_a_job_with_a_report_compiles_and_learns_each_batch_once(tmp_path, calls, monkeypatch, method):
    monkeypatch.setattr(plan, "BATCH", 4)
    asked = job(tmp_path, 9, f'method = "{method}"\nrestarts = 5')
    run_job(asked)
    assert "Observed and fitted" in (tmp_path / "report.html").read_text()
    assert calls == {"compile_likelihood": [9], "learn": [4, 4, 1]}


def test_each_kind_of_segments_is_compiled_and_learned_once(calls):
    trial, registry = records(6)
    holes = registry.with_columns(Y=pl.when((pl.col("part") > 3) & (pl.col("X") == 0)).then(None).otherwise("Y"))
    given = [emcc.Study(trial, do="X", weight="n", name="trial"), emcc.Study(holes, weight="n", name="registry")]
    model, settings = emcc.Model.parse(GRAPH), Options()
    tables = count_studies(model, read_studies(given), settings, ("part",))
    answer_closely(model, tables, read_queries(QUERIES), ("part",), settings, Clock(None))
    assert len(calls["learn"]) == len(calls["compile_likelihood"]) > 1
    assert sum(calls["learn"]) == sum(calls["compile_likelihood"]) == 6


@pytest.mark.parametrize(
    "ask",
    [
        lambda given: emcc.bounds(GRAPH, given, QUERIES),
        lambda given: emcc.bounds(GRAPH, given, QUERIES, method="emcc"),
        lambda given: emcc.compatibility(GRAPH, given),
        lambda given: emcc.frequencies(GRAPH, given),
        lambda given: emcc.fit(GRAPH, given),
        lambda given: emcc.witness(GRAPH, given, QUERIES[0]),
    ],
    ids=["bounds", "emcc", "compatibility", "frequencies", "fit", "witness"],
)
def test_every_question_compiles_and_learns_once(calls, ask):
    ask(studies(1))
    assert calls == {"compile_likelihood": [1], "learn": [1]}


@pytest.mark.parametrize("method", ["sharp", "emcc"])
@pytest.mark.parametrize("batch", [2, 128])
def test_a_report_beside_them_does_not_change_the_bounds(tmp_path, monkeypatch, method, batch):
    monkeypatch.setattr(plan, "BATCH", batch)
    asked = job(tmp_path, 5, f'method = "{method}"\nrestarts = 5')
    assert run_job(asked).table.equals(emcc.bounds(GRAPH, studies(5), QUERIES, by="part", method=method, restarts=5))


def test_the_agreement_of_a_report_is_that_of_compatibility_where_causes_are_tied_and_restarted():
    rng = np.random.default_rng(1)
    cells = list(itertools.product((0, 1), repeat=3))
    rows = [
        {"X": x, "M": m if rng.uniform() < 0.9 else None, "Y": y, "part": s, "n": int(rng.integers(5, 60))}
        for s in range(3)
        for x, m, y in cells
    ]
    given, model = [emcc.Study(pl.DataFrame(rows), weight="n", name="logs")], emcc.Model.parse(TIES)
    settings = read_options({"method": "emcc", "restarts": 4})
    tables = count_studies(model, read_studies(given), settings, ("part",))
    found = answer_closely(model, tables, read_queries("P(M=1)"), ("part",), settings, Clock(None))
    apart = emcc.compatibility(model, given, by="part", method="emcc", restarts=4).to_pylist()
    for row, other in zip(found.compatibility.to_pylist(), apart, strict=True):
        numbers = [name for name, value in row.items() if isinstance(value, float)]
        assert {n: row[n] for n in numbers} == pytest.approx({n: other[n] for n in numbers}, abs=1e-6)
        assert {k: v for k, v in row.items() if k not in numbers} == {
            k: v for k, v in other.items() if k not in numbers
        }


# -- what is kept --------------------------------------------------------------------------------


def test_a_batch_is_forgotten_when_the_next_one_is_learned_and_only_what_is_picked_is_kept(monkeypatch):
    monkeypatch.setattr(plan, "BATCH", 1)
    model, settings = emcc.Model.parse(GRAPH), read_options({"method": "emcc", "restarts": 3})
    asked = plan.prepare(model, count_studies(model, studies(12), settings, ("part",)), ("part",), settings)
    picked, seen, alive = Picked(asked, 3), [], []

    def tell(batch):
        picked.read(batch)
        seen.append(weakref.ref(batch))
        alive.append(sum(ref() is not None for ref in seen))

    bound_segments(asked, read_queries(QUERIES), Clock(None), {}, tell)
    assert len(alive) == 12
    assert max(alive) == 1
    assert [s for look in picked.looks for s in look.kept.segments] == picked.segments
    assert len(picked.segments) == 3
    assert all(c.ndim == 2 for look in picked.looks for c in look.kept.best.values())


def test_a_study_that_a_rule_selected_from_is_told_in_a_report_as_in_compatibility():
    cells = [{"X": x, "Y": y, "n": 10 + 7 * x + 11 * y} for x, y in itertools.product((0, 1), repeat=2)]
    kept = [row for row in cells if row["Y"] > 0 or row["X"] == 0]
    frame = pl.DataFrame([*kept, {"X": None, "Y": None, "n": 20}])
    study = emcc.Study(frame, weight="n", name="clinic", selected="Y > 0 OR X = 0")
    model, settings = emcc.Model.parse(GRAPH), Options()
    tables = count_studies(model, [study], settings, ())
    found = answer_closely(model, tables, read_queries(QUERIES), (), settings, Clock(None))
    assert found.compatibility.equals(emcc.compatibility(model, study))
    assert found.compatibility["selected_lower"].to_pylist()[1] is not None


def test_segments_without_records_and_those_that_are_too_large_say_so_in_a_report(monkeypatch):
    trial, registry = records(3)
    holes = registry.with_columns(Y=pl.when((pl.col("part") == 2) & (pl.col("X") == 0)).then(None).otherwise("Y"))
    nothing = pl.DataFrame({"X": [0], "Y": [0], "part": [9], "n": [0]})
    given = [
        emcc.Study(trial, do="X", weight="n", name="trial"),
        emcc.Study(pl.concat([holes, nothing], how="vertical_relaxed"), weight="n", name="registry"),
    ]
    model, settings = emcc.Model.parse(GRAPH), Options()
    tables = count_studies(model, read_studies(given), settings, ("part",))
    compile_likelihood = plan.compile_likelihood

    def refuse(model, arms, *how):
        if any((arm.codes < 0).any() for arm in arms):
            raise emcc.errors.TooLarge("no machine holds it")
        return compile_likelihood(model, arms, *how)

    monkeypatch.setattr(plan, "compile_likelihood", refuse)
    found = answer_closely(model, tables, read_queries(QUERIES), ("part",), settings, Clock(None))
    told = {row["part"]: row for row in found.compatibility.to_pylist() if row["study"] is None}
    assert sorted(told) == [0, 1, 2, 9]
    assert (told[2]["message"], told[2]["compatible"]) == ("no machine holds it", None)
    assert "no record" in told[9]["message"]
    assert found.bounds["status"].to_pylist()[4] == "too_large"


# -- one clock -----------------------------------------------------------------------------------


@pytest.fixture
def seconds(monkeypatch):
    """The clock goes on by one second whenever somebody looks at it."""
    now = itertools.count()
    monkeypatch.setattr(options.time, "perf_counter", lambda: float(next(now)))
    return now


def test_max_seconds_is_one_clock_for_bounds_and_report(tmp_path, seconds, monkeypatch):
    """With more and more time there are bounds first, then the agreement of some segments, then of all."""
    monkeypatch.setattr(plan, "BATCH", 1)
    begun = next(seconds)
    run_job(job(tmp_path, 4, "max_seconds = 1e9"))
    needed = next(seconds) - begun
    stages = []
    for limit in np.linspace(0, 1, 15) * needed:
        before = next(seconds)
        table = run_job(job(tmp_path, 4, f"max_seconds = {limit}")).table
        assert next(seconds) - before < limit + 200  # of steps that are not looked at, at the end
        page = re.sub(r"<[^>]+>", " ", (tmp_path / "report.html").read_text())
        late = sum(status == "timeout" for status in table["status"].to_pylist())
        none = "There was no time to test that" in page
        some = "There was no time for all of it" in page
        assert not (late and not none and not some)
        assert ("stopped after max_seconds" in page) == bool(late or none or some)
        stages.append("bounds" if late else "none" if none else "some" if some else "all")
    assert list(dict.fromkeys(stages)) == ["bounds", "none", "some", "all"]


def test_a_report_without_any_time_says_so(tmp_path):
    run_job(job(tmp_path, 2, "max_seconds = 0", by=""))
    page = (tmp_path / "report.html").read_text()
    assert "Do the studies agree?" in page
    assert "There was no time to test that: stopped after max_seconds=0" in page


def test_segments_that_a_report_had_no_time_for_are_rows_with_a_message(seconds, monkeypatch):
    monkeypatch.setattr(plan, "BATCH", 1)
    model, settings = emcc.Model.parse(GRAPH), Options()
    tables = count_studies(model, read_studies(studies(4)), settings, ("part",))

    def look(limit):
        clock = Clock(limit)
        found = answer_closely(model, tables, read_queries(QUERIES), ("part",), settings, clock)
        return found, clock.spent

    whole, needed = look(1e9)
    found = next(f for share in range(30) if (f := look(share / 30 * needed)[0]).compatibility is not None)
    assert found.bounds.equals(whole.bounds)
    assert isinstance(found.late, emcc.errors.Timeout)
    rows = found.compatibility.to_pylist()
    assert [row for row in rows if row["compatible"] is not None] == whole.compatibility.to_pylist()[
        : sum(row["compatible"] is not None for row in rows)
    ]
    late = [row for row in rows if row["compatible"] is None]
    assert late
    assert all("max_seconds" in row["message"] for row in late)
