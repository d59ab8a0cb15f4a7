"""The authors' own models: bounds inside the exact ones, and the truth within the bounds of both studies.

The tables over every start and several seeds are written by tests/benchmarks/evidence.py, whose problems these are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

import pytest

import duckemcc as emcc

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from authors import EXACT_PNS, HYBRID, IDENTIFIED, give_all, read_full, read_pns, sample
from evidence import DEFAULT, METHODS, ask

pytestmark = pytest.mark.skipif(not (EXACT_PNS and HYBRID), reason="needs ../shared/benchmarks")
each_exact = pytest.mark.parametrize("path", EXACT_PNS, ids=[p.stem.removeprefix("rand13_") for p in EXACT_PNS])
each_hybrid = pytest.mark.parametrize(
    "path", HYBRID, ids=[p.stem[11:].partition("_mid3")[0] + p.stem[-3:] for p in HYBRID]
)


def bound(hybrid, studies, **options):
    options = {"method": "emcc", "restarts": 30} | options
    return emcc.bounds(hybrid.full.model, studies, hybrid.query, **options).to_pylist()[0]


# -- exact bounds ------------------------------------------------------------------------------


@each_exact
def test_a_hundred_restarts_stay_inside_the_exact_bounds(path):
    problem = read_pns(path)
    found = ask(problem, DEFAULT, restarts=100)
    assert emcc.compatibility(problem.model, problem.studies).to_pylist()[0]["compatible"]  # records, not exact tables
    assert found.overshoot <= 1e-4
    if problem.width <= IDENTIFIED:
        assert found.upper - found.lower <= IDENTIFIED
    else:
        assert found.coverage > 0.7


@each_exact
def test_the_effect_is_the_files_wherever_that_is_no_larger_than_the_pns(path):
    problem = read_pns(path)
    found = ask(problem, DEFAULT, restarts=10, query=problem.effect)
    assert found.upper - found.lower <= IDENTIFIED  # of two Boolean variables ACE = PNS − P(Y[x]=n, Y[x0]=y)
    assert found.upper <= problem.lower + 1e-4
    if problem.ace <= problem.lower + 1e-4:  # one file's is not
        assert found.lower == pytest.approx(problem.ace, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=[m.name for m in METHODS])
def test_every_start_stays_inside_the_exact_bounds(method):
    found = [ask(read_pns(path), method, restarts=100, seed=seed) for path in EXACT_PNS for seed in range(4)]
    assert max(f.overshoot for f in found) <= 1e-4


@pytest.mark.slow
def test_no_other_start_covers_clearly_more_than_the_default():
    problems = [p for p in map(read_pns, EXACT_PNS) if p.width > IDENTIFIED]
    mean = {m.name: fmean(ask(p, m, restarts=30, seed=s).coverage for p in problems for s in range(4)) for m in METHODS}
    assert max(mean.values()) - mean[DEFAULT.name] < 0.05


# -- several causes in a component, O, I and O+I -----------------------------------------------


@each_hybrid
def test_infinite_data_agree_with_their_model_and_the_truth_is_within_the_bounds(path):
    hybrid = read_full(path)
    row = bound(hybrid, give_all(hybrid.full)["O+I"], level=None)
    width = row["upper"] - row["lower"]
    assert (row["status"], row["compatible"], row["converged"]) == ("bounded", True, True)
    assert row["misfit"] < 1e-9
    if width <= IDENTIFIED:
        assert row["lower"] == pytest.approx(hybrid.truth, abs=1e-5)
    # elsewhere bounds are inner, so that the truth may be out by a little
    assert row["lower"] - 0.1 * width - 1e-5 <= hybrid.truth <= row["upper"] + 0.1 * width + 1e-5


def test_what_both_studies_determine_is_found_in_some_of_the_models():
    smallest_first = sorted(HYBRID, key=lambda path: path.stat().st_size)
    assert any(m.truth > 0 and is_point(m) for m in map(read_full, smallest_first))


def is_point(hybrid):
    row = bound(hybrid, give_all(hybrid.full)["O+I"], level=None, restarts=5)
    return row["upper"] - row["lower"] <= IDENTIFIED


@pytest.mark.slow
@each_hybrid
@pytest.mark.parametrize("choice", ["O", "I", "O+I"])
def test_sampled_studies_are_learned_with_several_causes_in_a_component(path, choice):
    hybrid = read_full(path)
    row = bound(hybrid, sample(hybrid.full, 1000, 0)[choice], incompatible="report", restarts=100)
    one_each = all(len(c.exogenous) <= 1 for c in hybrid.full.model.components())
    if one_each:  # concave: every restart gets there
        assert (row["converged"], row["kept"]) == (True, 100)
        assert row["optimality_gap"] <= 1e-9 * row["n"]
    assert row["kept"] >= 1
    assert row["converged"] or "before it converged" in row["message"]
    assert 0 <= row["lower"] <= row["upper"] <= 1
    assert row["n"] == {"O": 1000, "I": 2000, "O+I": 3000}[choice]
