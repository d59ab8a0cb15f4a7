"""Degrees of freedom at the face of the fit, against tests that are known by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from problems import IV, TWO, chances_of, draw_chances, random_arms, study
from scipy.stats import chi2, chi2_contingency

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.verdict.compatibility import check
from duckemcc.learn.verdict.saturated import degrees_of_freedom, saturate
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel

COIN = Model.parse("X {a, b, c}")


def judge(model, arms, restarts=10, **more):
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, draw_chances(likelihood, restarts=restarts), Effort())
    return check(likelihood, arms, learned.loglik, learned.best, level=0.01, tolerance=1.0, **more)


@pytest.mark.parametrize("table", [[[30, 50, 20], [45, 30, 25]], [[300, 500, 200], [310, 470, 220], [80, 20, 90]]])
def test_two_studies_of_one_variable_make_the_g_test_of_homogeneity(table):
    arms = [study(COIN, (), {(i,): n for i, n in enumerate(row)}, f"study {k}") for k, row in enumerate(table)]
    known = chi2_contingency(table, lambda_="log-likelihood", correction=False)
    found = judge(COIN, arms)
    assert 2 * found.loglik_gap[0] == pytest.approx(known.statistic, rel=1e-9)
    assert found.df[0] == known.dof
    assert found.p_value[0] == pytest.approx(known.pvalue, rel=1e-9)


def test_a_factor_of_two_studies_is_tested_context_by_context():
    model = Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    tables = [[[30, 50], [40, 30]], [[55, 40], [35, 35]]]  # context, study, value
    cells = [{(x, y): tables[x][k][y] for x in (0, 1) for y in (0, 1)} for k in (0, 1)]
    arms = [
        study(model, ("X",), {c: n for c, n in cells[k].items() if c[0] == x}, f"{k} {x}")
        for k in (0, 1)
        for x in (0, 1)
    ]
    known = [chi2_contingency(t, lambda_="log-likelihood", correction=False) for t in tables]
    found = judge(model, arms)
    assert found.df[0] == sum(k.dof for k in known)
    assert 2 * found.loglik_gap[0] == pytest.approx(sum(k.statistic for k in known), rel=1e-9)


def test_a_model_that_can_fit_every_table_has_nothing_to_test():
    found = judge(TWO, [study(TWO, (), {(0, 0): 20.0, (0, 1): 30.0, (1, 0): 40.0, (1, 1): 10.0})])
    assert (found.df[0], found.loglik_gap[0], found.p_value[0]) == (0, 0, 1)


@pytest.mark.parametrize("n", [200, 20_000])
def test_one_violated_inequality_is_one_degree_of_freedom(n):
    """P(drug, survived) <= P(survived | do(drug)), which .45 and .40 violate: the other frequencies are free, so the
    fit is that of the two binomials with these two chances equal."""
    observed = {(0, 0): 0.45 * n, (0, 1): 0.05 * n, (1, 0): 0.25 * n, (1, 1): 0.25 * n}
    trial = {(0, 0): 0.40 * n, (0, 1): 0.60 * n}
    found = judge(TWO, [study(TWO, (), observed, "obs"), study(TWO, ("Treatment",), trial, "trial")])
    same = chi2_contingency([[45 * n, 55 * n], [40 * n, 60 * n]], lambda_="log-likelihood", correction=False)
    assert found.df[0] == 1
    assert 2 * found.loglik_gap[0] == pytest.approx(same.statistic / 100, rel=1e-8)
    assert found.p_value[0] == pytest.approx(chi2.sf(same.statistic / 100, 1), rel=1e-6)


def test_a_cell_without_records_stays_a_free_frequency():
    full, sparse = {(0,): 30.0, (1,): 50.0, (2,): 20.0}, {(0,): 30.0, (1,): 50.0}
    twice = [[study(COIN, (), cells, name) for name in ("one", "two")] for cells in (full, sparse)]
    assert [judge(COIN, arms).df[0] for arms in twice] == [2, 3]


@given(random_arms(names=("two", "iv")))
def test_there_are_never_more_degrees_of_freedom_than_free_frequencies(problem):
    model, arms = problem
    found = judge(model, arms, every_study=True)
    assert 0 <= found.df[0] <= degrees_of_freedom(saturate(model, arms), 1)[0]
    for test in found.studies:
        assert test.loglik_gap[0] <= found.loglik_gap[0] + 1e-9
        assert test.p_value[0] == pytest.approx(chi2.sf(2 * test.loglik_gap[0], max(test.df[0], 1)))


def test_independence_that_equations_force_is_tested_where_causes_share_a_component():
    """X and Y have causes of their own, which M ties into one group: what is left to test is X ⊥ Y and more."""
    equations = {"X": {"table": [0, 1]}, "M": {"table": [[0, 1], [1, 0]]}, "Y": {"table": [0, 1]}}
    exogenous = {"U": {"children": ["X", "M"], "card": 2}, "W": {"children": ["M", "Y"], "card": 2}}
    variables = {v: {"states": [0, 1]} for v in "XMY"}
    model = Model.from_dict({"endogenous": variables, "exogenous": exogenous, "equations": equations})
    table = np.array([[30.0, 50.0], [45.0, 30.0]])
    cells = {(x, (x + y) % 2, y): table[x, y] for x in (0, 1) for y in (0, 1)}
    found = judge(model, [study(model, (), cells)])
    known = chi2_contingency(table, lambda_="log-likelihood", correction=False)
    assert 2 * found.loglik_gap[0] == pytest.approx(known.statistic, rel=1e-6)
    # M = X + Y modulo 2 in every record: its frequencies are not known to be settled, and count
    assert found.df[0] == degrees_of_freedom(saturate(model, [study(model, (), cells)]), 1)[0] - 2


def test_p_values_of_studies_of_one_truth_are_uniform():
    """Where no inequality binds, as χ² says; 600 samples, five standard errors."""
    full = FullModel(IV, chances_of(IV, 4))
    rng = np.random.default_rng(5)
    joint = full.distribution(*IV.variables)
    codes = np.argwhere(joint > 0).astype(np.int32)
    arms = [
        StudyCounts(name, IV.variables, (), codes, rng.multinomial(2000, joint[tuple(codes.T)], size=600).astype(float))
        for name in ("one", "two")
    ]
    found = judge(IV, arms, restarts=1)
    assert np.median(found.df) == 7  # every frequency of P(z), P(x, y | z) is compared between the studies
    for level in (0.05, 0.5):
        error = np.sqrt(level * (1 - level) / 600)
        assert abs((found.p_value < level).mean() - level) < 5 * error
