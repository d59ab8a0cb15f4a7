"""The comparison with the peers, as far as it goes without them: the same problems for all, a fair judgement."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import duckemcc as emcc

FOLDER = Path(__file__).resolve().parent / "benchmarks"
for folder in (FOLDER / "peers", FOLDER):
    sys.path.insert(0, str(folder))
import peers  # noqa: E402
from cases import Case, Records, all_cases, instruments, join_studies, ladder_case, payload, table_1  # noqa: E402
from child import Findings, plan, take_median  # noqa: E402
from compare import HEAD, OWN, against_exact, list_faults, make_row, render, summarise  # noqa: E402
from scipy.optimize import linprog  # noqa: E402

SMALL = [*table_1(), *instruments()]
FACTS = {"exact": (0.0, 0.4), "truth": None, "value": 0.25}


def study_of(model, records):
    import polars as pl

    rows = pl.DataFrame(records.codes, schema=list(model.variables)).with_columns(n=pl.Series(records.count))
    return emcc.Study(rows, do=records.do, name=records.name, weight="n")


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_linear_programme_attains_the_published_exact_bounds(case):
    programme = payload(case)["programme"]
    for sign, end in zip((1, -1), case.exact, strict=True):
        found = linprog(sign * np.array(programme["objective"]), A_eq=programme["matrix"], b_eq=programme["right"])
        assert sign * found.fun == pytest.approx(end, abs=1e-8)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_bounds_of_this_program_lie_within_the_exact_ones_of_every_problem(case):
    studies = [study_of(case.model, s) for s in case.studies]
    row = emcc.bounds(case.model, studies, case.query, level=None).to_pylist()[0]
    assert against_exact((row["lower"], row["upper"]), case.exact).overshoot < 1e-5


@pytest.mark.parametrize("case", [*SMALL, ladder_case(5, 1000)], ids=lambda case: case.name)
def test_the_selector_changes_no_study(case):
    """Given its arm, the joined model has the distribution of the mutilated one, at any chances."""
    joined, rows = join_studies(case.model, case.studies)
    assert sum(row[-1] for row in rows) == case.records
    rng = np.random.default_rng(0)
    chances = {u.name: rng.dirichlet(np.ones(joined.card(u.name))) for u in joined.exogenous}
    whole = emcc.FullModel(joined, chances)
    alone = emcc.FullModel(case.model, {u.name: chances[u.name] for u in case.model.exogenous})
    assert whole.evaluate(case.query) == pytest.approx(alone.evaluate(case.query))
    for study in case.studies:
        for state in (0, 1) if study.do else (None,):
            do = {study.do[0]: state} if study.do else {}
            arm = {"Study": 1 + state if study.do else 0} if "Study" in joined.variables else {}
            expected = alone.distribution(case.effect, do=do)
            assert whole.distribution(case.effect, do=arm) == pytest.approx(expected)


def test_every_program_is_given_the_same_records_and_a_file_that_reads_back():
    for case in [*SMALL, ladder_case(7, 2000)]:
        job = payload(case)
        assert sum(job["count"]) == case.records == sum(sum(s["count"]) for s in job["studies"])
        full = emcc.FullModel.from_uai(job["uai"])
        numbers = {f"V{i}" for i in job["columns"]}
        assert numbers == set(full.model.variables)
        assert {f"V{job['cause']}", f"V{job['effect']}"} <= numbers
        assert {f"U{i}" for i in job["trainable"]} <= {u.name for u in full.model.exogenous}
        assert "e-" not in job["uai"]  # a peer does not read exponents
        assert emcc.Model.from_dict(job["model"]).variables == case.model.variables


def test_half_of_a_ladders_records_are_randomised():
    registry, trial = ladder_case(5, 2000).studies
    assert (registry.do, trial.do) == ((), ("V0",))
    assert registry.count.sum() == trial.count.sum() == 1000


def test_the_problems_have_names_of_their_own_and_do_without_the_authors_folder(tmp_path):
    names = [case.name for case in all_cases(authors=tmp_path)]
    assert len(set(names)) == len(names) == 6 + 9


def test_the_authors_own_models_come_with_their_records_and_a_true_or_exact_answer():
    own = all_cases()[15:]
    if not own:
        pytest.skip("needs ../shared/benchmarks")
    assert len(own) == 13
    for case in own:
        assert case.studies[0].codes.shape[1] == len(case.model.variables)
        assert case.records >= 1000
        assert case.truth is not None or case.exact is not None


def test_a_problem_with_two_causes_that_matter_is_no_linear_programme():
    assert payload(ladder_case(5, 1000))["programme"] is None


def test_records_that_the_model_cannot_weigh_are_counted_by_arm():
    model = emcc.Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    both = Records("trial", ("X",), np.array([[0, 0], [1, 0], [1, 1]]), np.array([3.0, 2.0, 1.0]))
    joined, rows = join_studies(model, (both,))
    assert rows == [[0, 0, 1, 3], [1, 0, 2, 2], [1, 1, 2, 1]]
    assert joined.parents["X"] == ("Study",)
    case = Case("arms", model, (both,), "PNS", "X", "Y")
    assert case.query == "PNS(X=1 vs 0, Y=1)"


@pytest.mark.parametrize(
    ("bounds", "share", "overshoot"),
    [((0.1, 0.3), 0.5, 0), ((0, 0.4), 1, 0), ((-0.1, 0.2), 0.5, 0.1), ((0.5, 0.7), 0, 0.3), ((0.2, 0.2), 0, 0)],
)
def test_share_counts_what_lies_inside_and_overshoot_the_farther_end_outside(bounds, share, overshoot):
    assert against_exact(bounds, (0.0, 0.4)) == pytest.approx((share, overshoot))


def test_a_point_has_no_share_and_what_is_no_interval_is_refused():
    assert against_exact((0.3, 0.5), (0.3845, 0.3845)) == (None, pytest.approx(0.1155))
    for wrong in ((0.5, 0.3), (math.nan, 0.3)):
        with pytest.raises(ValueError, match="is no interval"):
            against_exact(wrong, (0.0, 1.0))


def test_a_program_that_answers_another_question_or_none_is_said_to():
    assert list_faults({"value": 0.25, "bounds": [0.1, 0.2]}, FACTS) == []
    assert "0.300000 for the query, not 0.250000" in list_faults({"value": 0.3}, FACTS)[0]
    assert "nan for the query" in list_faults({"value": math.nan}, FACTS)[0]
    fewer = list_faults({"iteration": 9.0, "iterations": 2}, FACTS | {"iterations": 20})
    assert fewer == ["the median of 2 iterations"]
    assert list_faults({"bounds": [math.nan, 0.2]}, FACTS) == ["no bounds"]
    assert list_faults({"bounds": [None, None]}, FACTS) == ["no bounds"]
    assert list_faults({"bounds": [0.1, 0.2]}, FACTS | {"truth": 0.3}) == ["the model's own 0.3000 is outside"]


def test_the_table_has_every_column_in_every_line_and_ratios_of_one_run():
    own = {
        "iteration": 1e-6,
        "alone": 1e-5,
        "full_seconds": 0.02,
        "seconds": 0.02,
        "bounds": [0.0, 0.4],
        "memory": 200.0,
    }
    peer = {"iteration": 2e-3, "full_seconds": 90.0, "seconds": 9.0, "restarts": 3, "steps": 100, "bounds": [0.1, 0.5]}
    rows = [make_row("problem", p, found, own, FACTS) for p, found in ((OWN, own), ("peer", peer), ("ended", {}))]
    assert {len(row) for row in rows} == {len(HEAD)}
    assert rows[1][3:9] == ("2,000", "200", "3 × 100", "~90", "4,500", "")
    assert rows[1][9:] == ("[0.1000, 0.5000]", "0.750", "0.1000", "9.0 s measured, scaled")
    lines = render(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 2 + len(rows)
    assert all(a.count("|") == b.count("|") for a, b in pairwise(lines))


def test_the_summary_compares_only_what_both_measured():
    own = {"iteration": 1e-6, "alone": 1e-5}
    results = [
        {"records": 1000, "found": {OWN: own, "peer": {"iteration": 1e-3}}},
        {"records": 1000, "found": {OWN: own, "peer": {"failed": "failed (1)"}}},
        {"records": 1000, "found": {OWN: {}, "peer": {"iteration": 1e-3}}},
    ]
    (said,) = summarise(results, ["peer"])
    assert said.startswith("peer, N < 2,000, 1 problems: an iteration takes 1,000 to 1,000 (median 1,000) times ours")


@pytest.mark.parametrize(
    ("seconds", "planned"), [(1000, (30, 100)), (50, (5, 100)), (20, (2, 100)), (4, (2, 20)), (0.001, (2, 1))]
)
def test_fewer_restarts_come_before_fewer_steps(seconds, planned):
    assert plan(30, 100, 0.1, seconds) == planned


def test_a_median_is_of_what_began_within_the_time():
    assert take_median(lambda: None, 7, 10.0)[1] == 7
    assert take_median(lambda: None, 7, -1.0)[1] == 1


def test_findings_are_there_before_the_program_ends(tmp_path):
    findings = Findings(tmp_path / "found.json")
    findings.add(iteration=0.5)
    assert '"iteration": 0.5' in findings.path.read_text()
    assert findings.found["memory"] > 1


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Stand-ins for peers: one that fails, and one that says something and does not end."""
    (tmp_path / "run_fails.py").write_text("raise SystemExit('the jar | is not there')")
    (tmp_path / "run_stays.py").write_text(
        "import json, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[3]).write_text(json.dumps({'iteration': 0.5}))\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(peers, "FOLDER", tmp_path)


def test_a_peer_that_fails_or_does_not_end_is_reported_with_what_it_said(programs):
    assert peers.run_program("fails", sys.executable, {}, {}, 30) == {"failed": "failed (1): the jar / is not there"}
    assert peers.run_program("stays", sys.executable, {}, {}, 3) == {"iteration": 0.5, "ended": "ended after 3 s"}


def test_this_program_and_a_peer_that_cannot_be_had_come_out_of_one_run_as_a_report():
    arguments = peers.read_arguments(["--restarts", "3", "--iterations", "2", "--seconds", "1"])
    pythons = {OWN: sys.executable, "bcause": RuntimeError("no environment: no such package")}
    results = [peers.measure(table_1()[0], pythons, arguments)]
    text = peers.report(results, arguments)
    assert "no environment: no such package" in text
    (line,) = (line for line in text.splitlines() if OWN in line and "Table 1" in line)
    assert "none" in line
    assert " alone)" in line
