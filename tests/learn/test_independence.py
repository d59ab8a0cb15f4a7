"""G² of an arm's records against the independences that its graph says they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import IV, LADDER, TWO, arms_of, study, table1

from duckemcc.learn.independence import independence_test
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel

CHAIN = Model.parse("X -> M -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")


def sampled(model, n, seed, segments=1):
    rng = np.random.default_rng(seed)
    full = FullModel(model, {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous})
    joint = full.distribution(*model.variables)
    codes = np.indices(joint.shape).reshape(joint.ndim, -1).T
    arm = study(model, (), dict.fromkeys(map(tuple, codes.tolist()), 1.0))
    return replace(arm, codes=codes, count=rng.multinomial(n, joint.ravel() / joint.sum(), size=segments).astype(float))


def test_it_is_the_g_statistic_of_a_contingency_table():
    from scipy.stats import chi2_contingency

    model = Model.parse("X {0, 1, 2}; Y {0, 1}")
    table = np.array([[20, 30], [15, 5], [7, 40]])
    arm = study(model, (), {(i, j): float(n) for (i, j), n in np.ndenumerate(table)})
    found, known = independence_test(model, arm), chi2_contingency(table, correction=False, lambda_="log-likelihood")
    assert found.g2[0] == pytest.approx(known.statistic, rel=1e-9)
    assert found.df[0] == known.dof == 2
    assert found.p_value[0] == pytest.approx(known.pvalue, rel=1e-6)


def test_a_graph_without_independences_has_none_to_test():
    model, parts = table1()
    for arm in parts["O"]:
        found = independence_test(model, arm)
        assert (found.g2[0], found.df[0], found.p_value[0]) == (0, 0, 1)


def test_a_trial_tests_that_what_was_set_is_independent_of_what_comes_before():
    """Within one arm the treatment is constant, so nothing is left to test."""
    model, parts = table1()
    assert all(independence_test(model, arm).df[0] == 0 for arm in parts["I"])


def test_records_that_follow_the_graph_pass_as_often_as_they_should():
    for model in (CHAIN, LADDER, IV):
        found = independence_test(model, sampled(model, 5000, 1, segments=400))
        assert found.p_value.shape == (400,)
        assert 0.01 < (found.p_value < 0.05).mean() < 0.09 or found.df.max() == 0


def test_a_missing_arc_is_noticed():
    full = Model.parse("X -> M -> Y; X -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
    found = independence_test(CHAIN, sampled(full, 5000, 2))
    assert found.p_value[0] < 1e-6
    assert independence_test(full, sampled(full, 5000, 2)).p_value[0] == 1


def test_exactly_independent_records_have_a_statistic_of_zero():
    cells = {
        (x, m, y): 8.0 * (1 + x) * (1 + 2 * (x == m)) * (1 + (m == y)) for x in (0, 1) for m in (0, 1) for y in (0, 1)
    }
    assert independence_test(CHAIN, study(CHAIN, (), cells)).g2[0] == 0


def test_incomplete_records_are_left_out_and_counted():
    complete = sampled(CHAIN, 1000, 3)
    more = replace(
        complete,
        codes=np.vstack([complete.codes, [[0, -1, 1]]]),
        count=np.hstack([complete.count, [[50.0]]]),
    )
    once, again = independence_test(CHAIN, complete), independence_test(CHAIN, more)
    assert again.left_out[0] == 50
    assert (once.g2[0], once.df[0], once.left_out[0]) == (again.g2[0], again.df[0], 0)


def test_an_unmeasured_variable_is_summed_over():
    """Without M the chain leaves X and Y dependent: nothing to test; without X and M of a ladder something is."""
    assert independence_test(CHAIN, study(CHAIN, (), {(0, -1, 0): 9.0, (1, -1, 1): 5.0})).df[0] == 0
    apart = Model.parse("A -> B; C -> D; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}")
    cells = {(a, -1, -1, d): 10.0 for a in (0, 1) for d in (0, 1)}
    assert independence_test(apart, study(apart, (), cells)).df[0] == 1


def test_contexts_and_values_that_were_never_seen_are_not_counted():
    cells = {(0, 0, 0): 10.0, (1, 0, 1): 10.0, (1, 0, 0): 5.0}
    assert independence_test(CHAIN, study(CHAIN, (), cells)).df[0] == 1  # M = 1 was never seen


def test_no_complete_record_leaves_nothing_to_test():
    arm = study(TWO, (), {(0, -1): 3.0, (-1, 1): 2.0})
    found = independence_test(TWO, arm)
    assert (found.g2[0], found.df[0], found.p_value[0], found.left_out[0]) == (0, 0, 1, 5)
    assert arms_of(arm, TWO) == [arm]
