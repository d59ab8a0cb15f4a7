"""The verdict on records that lack values, taken as one sample or as several."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from problems import (
    IV,
    SELECTED,
    TWO,
    chances_of,
    define_loglik,
    draw_chances,
    expect_counts,
    study,
)
from test_compatibility import VIOLATED

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.verdict import tables
from duckemcc.learn.verdict.compatibility import check
from duckemcc.learn.verdict.saturated import degrees_of_freedom, saturate, saturated_loglik
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel


def judge(model, arms, nulls="mar", level=0.01, tolerance=0.01, restarts=10, **more):
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, draw_chances(likelihood, restarts=restarts), Effort())
    return check(likelihood, arms, learned.loglik, learned.best, level=level, tolerance=tolerance, nulls=nulls, **more)


def lose_some_of(cells):
    """Counts of 5000 records of (Z, X, Y), X lost in some of them and Y in others."""
    shares = [((), 0.6), ((1,), 0.3), ((2,), 0.1)]
    found = {}
    for codes, p in cells.items():
        for lost, share in shares:
            key = tuple(-1 if i in lost else c for i, c in enumerate(codes))
            found[key] = found.get(key, 0) + 5000 * share * p
    return found


def test_a_table_that_is_too_large_is_not_tested_but_its_freedom_counts(monkeypatch):
    arm = study(IV, (), lose_some_of(VIOLATED))
    tested = judge(IV, [arm])
    monkeypatch.setattr(tables, "LARGEST_TABLE", 1)
    untested = judge(IV, [arm], every_study=True)
    assert untested.loglik_gap[0] < tested.loglik_gap[0]
    assert untested.df[0] == 2 * 3  # none is left of Z's own
    assert degrees_of_freedom(saturate(IV, [arm]), 1)[0] == 1 + 2 * 3 > tested.df[0]
    assert [f.tested for f in saturate(IV, [arm])] == [True, *[False] * 4]  # X and Y, Y alone, X alone
    monkeypatch.setattr(tables, "MOST_FREE", 3)
    assert judge(IV, [arm]).df[0] == 3


def test_values_lost_at_random_given_what_is_recorded_leave_exact_data_at_the_truth():
    """X is lost by what Z is, Y by what Z and X are: at random (Rubin 1976), but not completely."""

    def lose(v):
        return {
            ("X",): 0.6 * v["Z"],
            ("Y",): 0.4 * v["X"] * (1 - v["Z"]),
            (): 1 - 0.6 * v["Z"] - 0.4 * v["X"] * (1 - v["Z"]),
        }

    arm = expect_counts(IV, truth := chances_of(IV, 2), lose)
    at_truth = define_loglik(IV, [arm], truth)
    assert saturated_loglik(saturate(IV, [arm], "mar"), 1)[0] == pytest.approx(at_truth, rel=1e-10, abs=1e-7)
    assert saturated_loglik(saturate(IV, [arm], "mcar"), 1)[0] > at_truth + 1
    assert judge(IV, [arm], "mar", level=None).compatible[0]
    assert judge(IV, [arm], "mar", level=None).misfit[0] < 1e-6
    assert not judge(IV, [arm], "mcar", level=None).compatible[0]


def test_a_segment_is_judged_as_if_it_were_alone():
    arm = expect_counts(IV, chances_of(IV, 1), lambda _: {(): 0.5, ("X",): 0.2, ("X", "Y"): 0.3})
    odd = np.where(np.arange(len(arm.codes)) % 3 == 0, 0.0, arm.count[0] ** 1.2)
    both = replace(arm, count=np.stack([arm.count[0], odd]))
    together = judge(IV, [both])
    for s, count in enumerate(both.count):
        alone = judge(IV, [replace(arm, count=count[None])])
        assert together.df[s] == alone.df[0]
        assert together.loglik_gap[s] == pytest.approx(alone.loglik_gap[0], rel=1e-6, abs=1e-6)
        assert together.misfit[s] == pytest.approx(alone.misfit[0], abs=1e-6)


def test_a_contradiction_among_incomplete_records_is_seen_and_named():
    """Pearl's instrumental inequality, violated, with X lost in some records and Y in others."""
    verdict = judge(IV, [study(IV, (), lose_some_of(VIOLATED), "obs")], every_study=True)
    assert not verdict.compatible[0]
    assert verdict.fault[0].startswith("study 'obs', component {X, Y}: P(X=")
    assert "estimated" in verdict.fault[0]
    assert verdict.misfit[0] > 0.01


def test_records_that_cannot_occur_are_incompatible_where_values_are_missing():
    cells = {(0, 0, 1): 20.0, (1, 0, 1): 30.0, (1, 1, 1): 25.0, (-1, -1, 0): 25.0}
    assert judge(SELECTED, [study(SELECTED, (), cells)], level=None).compatible[0]
    verdict = judge(SELECTED, [study(SELECTED, (), cells | {(1, -1, 0): 2.0})])
    assert not verdict.compatible[0]
    assert verdict.loglik_gap[0] == np.inf
    assert "2 records cannot occur" in verdict.reason[0]


def test_an_arm_without_any_value_says_nothing():
    cells = {(0, 1): 3.0, (1, 0): 2.0}
    arms = [
        study(TWO, (), cells, "obs"),
        study(TWO, (), {(-1, -1): 4.0}, "empty"),
        study(TWO, TWO.variables, cells, "set"),
    ]
    verdict, alone = judge(TWO, arms, every_study=True, level=None), judge(TWO, arms[:1], level=None)
    assert verdict.compatible[0]
    assert [t.df.tolist() for t in verdict.studies] == [alone.df.tolist(), [0], [0]]
    assert degrees_of_freedom(saturate(TWO, arms), 1)[0] == 3
    assert [t.misfit.tolist() for t in verdict.studies][1:] == [[0], [0]]
    assert verdict.df.tolist() == alone.df.tolist()


def test_study_specific_distributions_take_a_contradiction_away():
    half = {(0, 0): 250.0, (0, 1): 250.0, (1, 0): 250.0, (1, 1): 250.0}
    trial = {(0, 0): 50.0, (0, 1): 950.0}
    arms = [study(TWO, (), half, "registry"), study(TWO, ("Treatment",), trial, "trial")]
    assert not judge(TWO, arms).compatible[0]
    arms[1] = replace(arms[1], local={TWO.exogenous[0].name: "U@trial"})
    assert judge(TWO, arms, level=None).compatible[0]


def test_the_test_holds_its_size_where_values_are_missing_at_random():
    """At level .05 a compatible instrumental model is rejected in at most .05 of samples (here: of 200)."""
    arm = expect_counts(IV, chances_of(IV, 7), lambda v: {("X",): 0.5 * v["Z"], ("Y",): 0.2, (): 0.8 - 0.5 * v["Z"]})
    rng = np.random.default_rng(3)
    drawn = rng.multinomial(1000, arm.count[0] / arm.count.sum(), size=200).astype(float)
    verdict = judge(IV, [replace(arm, count=drawn)], level=0.05, tolerance=0.0, restarts=1)
    assert (verdict.p_value < 0.05).mean() <= 0.05


# -- problems with exact answers -----------------------------------------------------------------


def read_gold(case):
    """The model and the arms of a problem."""
    model = Model.from_dict({k: case[k] for k in ("endogenous", "exogenous", "equations") if k in case})
    arms = []
    for spec in case["studies"]:
        do = spec.get("do", {})
        rows = [row | do for row in spec["rows"]]
        codes = [
            [-1 if row.get(v) is None else model.states[v].index(str(row[v])) for v in model.variables] for row in rows
        ]
        arms.append(
            StudyCounts(spec["name"], model.variables, tuple(do), np.array(codes), np.array([[r["n"] for r in rows]]))
        )
    return model, arms


@pytest.mark.parametrize("name", ["null_mcar_conflict", "null_mcar_consistent"])
def test_samples_by_what_is_missing_contradict_each_other_or_not(gold, name):
    case = json.loads((gold / f"{name}.json").read_text())
    model, arms = read_gold(case)
    verdict = judge(model, arms, "mcar", level=None)
    assert verdict.compatible[0] == (case["expected"]["status"] == "feasible")
    assert judge(model, arms, "mar", level=None).compatible[0]  # X says which Y were lost: at random
    if not verdict.compatible[0]:
        assert "P(X=" in verdict.fault[0]
        assert not judge(model, arms, "mcar").compatible[0]


def test_studies_that_measure_some_of_the_variables_allow_what_they_should(gold):
    """An observational study of X and Y, trials of G and Y; the model's variables are X, Y and G."""
    case = json.loads((gold / "subsets_obsXY_rctGY.json").read_text())
    model, arms = read_gold(case)
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, draw_chances(likelihood, restarts=20, start="dirichlet(0.03)"), Effort())
    verdict = check(likelihood, arms, learned.loglik, learned.best, level=None, tolerance=0.0)
    assert verdict.compatible[0]
    text = f"P({', '.join(map(show_atom, case['query']['event']))})"
    values = [
        FullModel(model, {n: learned.chances[n][0, r] for n in likelihood.causes}).evaluate(text) for r in range(20)
    ]
    lower, upper = case["expected"]["lower"], case["expected"]["upper"]
    assert lower - 1e-6 <= min(values) < max(values) <= upper + 1e-6


def show_atom(atom):
    do = ", ".join(f"{v}={x}" for v, x in atom.get("do", {}).items())
    return f"{atom['var']}{f'[{do}]' if do else ''}={atom['val']}"
