"""Incomplete records as sums of products of the patterns of complete parts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import FRONTDOOR, LADDER, MULTI, SELECTED, define_loglik, draw_chances, study

from duckemcc.learn.accelerate import linearise
from duckemcc.learn.emcc import measure
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.model.scm import Model

COVARIATE = Model.parse("Z -> X -> Y; Z -> Y; X <-> Y; Z {0, 1, 2}; X {0, 1}; Y {0, 1}")
ROOTS = Model.parse("A -> Y; B -> Y; A {0, 1}; B {0, 1, 2}; Y {0, 1}")


def cells_with_gaps(model, lost, seed=0, least=1):
    """Random counts of all complete patterns that can be, and of those without the values of each set of `lost`
    variables."""
    rng = np.random.default_rng(seed)
    found = {}
    for codes in product(*(range(model.card(v)) for v in model.variables)):
        value = dict(zip(model.variables, codes, strict=True))
        known = {v: model.table(v)[tuple(value[p] for p in model.parents[v])] for v in value if not model.causes[v]}
        if any(value[v] != known[v] for v in known):
            continue
        for own in [(), *lost]:
            key = tuple(-1 if v in own else c for v, c in zip(model.variables, codes, strict=True))
            found[key] = found.get(key, 0.0) + float(rng.integers(least, 1000))
    return found


CASES = {
    "covariate": (COVARIATE, [("Z",)]),
    "covariate and treatment": (COVARIATE, [("Z",), ("X",), ("Z", "X")]),
    "roots": (ROOTS, [("A",), ("B",), ("A", "B")]),
    "front door": (FRONTDOOR, [("M",)]),
    "ladder": (LADDER, [("B",), ("B", "C")]),
    "several causes": (MULTI, [("X",), ("M",)]),
    "a known rule": (SELECTED, [("A", "B")]),
}


def masses(group, starts):
    """The starts [1, r, class] of a group's distributions."""
    return tuple(sum_by_class(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True))


def mixed(name, seed=0):
    model, lost = CASES[name]
    arm = study(model, (), cells_with_gaps(model, lost, seed))
    return model, arm, compile_likelihood(model, [arm])


@pytest.mark.parametrize("name", CASES)
def test_the_log_likelihood_is_that_of_the_definition(name):
    model, arm, likelihood = mixed(name)
    starts = draw_chances(likelihood, restarts=3)
    total = sum(measure(masses(group, starts), group).loglik[0] for group in likelihood.groups)
    for r in range(3):
        own = {u: c[r] for u, c in starts.items()}
        assert total[r] == pytest.approx(define_loglik(model, [arm], own), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_slope_of_the_log_likelihood(name):
    _, _, likelihood = mixed(name)
    starts = draw_chances(likelihood, restarts=1)
    for group in likelihood.groups:
        chances = masses(group, starts)
        step = measure(chances, group)
        for j, own in enumerate(chances):
            for u in range(own.shape[2]):
                moved = [tuple(c.copy() for c in chances) for _ in range(2)]
                moved[0][j][..., u] += 1e-6
                moved[1][j][..., u] -= 1e-6
                up, down = (measure(m, group).loglik[0, 0] for m in moved)
                slope = step.gradient[j][0, 0, u] * group.records[0, j]
                assert (up - down) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_the_jacobian_is_the_slope_of_the_records(name):
    _, _, likelihood = mixed(name)
    starts = draw_chances(likelihood, restarts=1)
    for group in likelihood.groups:
        flat = [c[0] for c in masses(group, starts)]
        _, slope = linearise(flat, group)
        place = 0
        for j, own in enumerate(flat):
            for u in range(own.shape[1]):
                moved = [[c.copy() for c in flat] for _ in range(2)]
                moved[0][j][:, u] += 1e-5
                moved[1][j][:, u] -= 1e-5
                up, down = (linearise(m, group)[0][0] for m in moved)
                np.testing.assert_allclose((up - down) / 2e-5, slope[0, :, place], atol=1e-8)
                place += 1


@pytest.mark.parametrize("name", CASES)
def test_every_record_counts_once(name):
    _, arm, likelihood = mixed(name)
    for group in likelihood.groups:
        if group.mix is not None:
            assert group.total[0] == arm.count.sum()
            assert group.mix.products.records == group.count.shape[1]


def test_completions_of_a_record_are_as_many_as_its_missing_values_can_be():
    _, _, likelihood = mixed("covariate")
    (group,) = likelihood.groups
    products = group.mix.products
    assert sorted(np.bincount(products.of).tolist()) == [1] * 12 + [3] * 4
    assert products.patterns == 3 + 12  # of Z, and of X and Y where Z = z
    assert [b.causes for b in group.blocks] in ([(0,), (1,)], [(1,), (0,)])


def test_causes_that_only_complete_records_read_are_not_mixed():
    model = Model.parse("A -> B; C -> D; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}")
    arm = study(model, (), cells_with_gaps(model, [("A",)]))
    groups = {group.names: group for group in compile_likelihood(model, [arm]).groups}
    assert set(groups) == {("U_A", "U_B"), ("U_C",), ("U_D",)}
    assert [group.mix is None for group in groups.values()] == [len(names) == 1 for names in groups]


def test_a_completion_that_the_equations_rule_out_is_left_out_and_a_record_without_one_is_impossible():
    arm = study(SELECTED, (), {(0, 0, 1): 5.0, (0, 1, 0): 2.0, (-1, -1, 0): 3.0, (-1, 1, 1): 4.0})
    likelihood = compile_likelihood(SELECTED, [arm])
    assert not likelihood.impossible
    never = study(SELECTED, (), {(0, 0, 0): 5.0, (-1, 0, 1): 1.0})
    (refused,) = compile_likelihood(SELECTED, [never]).impossible
    assert refused.count.tolist() == [5.0]


@given(st.integers(0, 10_000), st.sampled_from(["covariate", "roots", "front door"]))
def test_the_order_of_studies_and_rows_changes_nothing(seed, name):
    model, lost = CASES[name]
    cells = cells_with_gaps(model, lost, seed)
    keys = list(cells)
    halves = [
        study(
            model,
            (),
            {k: cells[k] for k in part},
        )
        for part in (keys[::2], keys[1::2])
    ]
    starts = draw_chances(compile_likelihood(model, halves), restarts=2)

    def loglik(arms):
        likelihood = compile_likelihood(model, arms)
        return sum(measure(masses(g, starts), g).loglik for g in likelihood.groups)

    one = loglik([study(model, (), cells)])
    np.testing.assert_allclose(loglik(halves), one, rtol=1e-12)
    np.testing.assert_allclose(loglik(halves[::-1]), one, rtol=1e-12)
