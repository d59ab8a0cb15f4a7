"""The compiled likelihood against the definition: enumerate the exogenous states, run the equations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from algorithm1 import run_model
from hypothesis import given
from hypothesis import strategies as st
from problems import DRUG, IV, MULTI, arms_of, random_arms, study, table1

from duckemcc.errors import TooLarge
from duckemcc.learn.emcc import measure
from duckemcc.learn.likelihood import compile_likelihood, pattern_yields
from duckemcc.learn.restarts import _collapse
from duckemcc.learn.start import draw_starts
from duckemcc.model.scm import Model


def record_probability(model, do, record, chances):
    """P(v) under the mutilated model, the intervened variables given: the definition, Eq. (1) summed over u."""
    names = [u.name for u in model.exogenous]
    total = 0.0
    for state in product(*(range(model.card(u)) for u in names)):
        if run_model(model, do, record, dict(zip(names, state, strict=True))):
            total += np.prod([chances[u][s] for u, s in zip(names, state, strict=True)])
    return total


@given(random_arms(), st.integers(0, 99))
def test_the_blocks_give_the_log_likelihood_of_the_definition(problem, seed):
    model, arms = problem
    names = [u.name for u in model.exogenous]
    starts = dict(zip(names, draw_starts("dirichlet(1)", [model.card(u) for u in names], 1, seed), strict=True))
    chances = {u: rows[0] for u, rows in starts.items()}
    expected = sum(
        n * np.log(record_probability(model, arm.do, dict(zip(arm.variables, map(int, codes), strict=True)), chances))
        for arm in arms
        for codes, n in zip(arm.codes, arm.count[0], strict=True)
    )
    total = 0.0
    for group in compile_likelihood(model, arms).groups:
        total += measure(
            tuple(_collapse(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True)), group
        ).loglik[0, 0]
    assert total == pytest.approx(expected, rel=1e-10)


def test_a_component_that_a_study_does_not_touch_pools_its_counts_over_the_studies():
    model, parts = table1()
    likelihood = compile_likelihood(model, parts["O+I"])
    gender = next(g for g in likelihood.groups if g.names == ("U_Gender",))
    assert len(gender.blocks) == 1
    np.testing.assert_array_equal(gender.blocks[0].count, [[4000.0, 4000.0]])  # female and male, over all three arms


def test_patterns_do_not_grow_with_the_records():
    model, parts = table1()
    small = compile_likelihood(model, parts["O+I"])
    assert [b.yields.shape for g in small.groups for b in g.blocks] == [(16, 64), (2, 2)]
    assert small.n[0] == 8000


def test_states_that_no_pattern_tells_apart_are_collapsed():
    model, parts = table1()
    treatment = next(g for g in compile_likelihood(model, parts["O"]).groups if len(g.classes[0]) == 64)
    assert treatment.cards == (16,)  # given each gender only (t, s) is seen: 4 × 4
    joint = next(g for g in compile_likelihood(model, parts["O+I"]).groups if len(g.classes[0]) == 64)
    assert joint.cards == (64,)


def test_an_intervention_splits_a_component():
    cells = {(0, 0, 0): 2.0, (0, 1, 1): 1.0, (1, 0, 1): 3.0, (1, 1, 0): 1.0}
    arms = arms_of(study(MULTI, ("M",), cells, "trial"), MULTI)
    likelihood = compile_likelihood(MULTI, arms)
    assert [g.names for g in likelihood.groups] == [("U1",), ("U2",)]
    assert all(g.concave for g in likelihood.groups)


def test_records_that_no_exogenous_state_can_yield_are_set_apart():
    model = Model.from_dict(
        {
            "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
            "equations": {"Y": {"table": [1, 0]}},
        }
    )
    likelihood = compile_likelihood(model, [study(model, (), {(0, 1): 5.0, (1, 0): 4.0, (1, 1): 2.0}, "obs")])
    assert [(i.study, i.variables, i.codes, i.count.tolist()) for i in likelihood.impossible] == [
        ("obs", ("X", "Y"), (1, 1), [2.0])
    ]


def test_each_pattern_set_contains_the_states_that_yield_it():
    codes = np.indices((2, 2, 2)).reshape(3, -1).T
    yields = pattern_yields(IV, ("X", "Y"), ("U_X_Y",), IV.variables, codes)
    assert yields.shape == (8, 16)
    for z in (0, 1):  # given the instrument, every state yields exactly one (x, y)
        np.testing.assert_array_equal(yields[codes[:, 0] == z].sum(axis=0), 1)


def test_a_block_that_is_too_large_is_refused_before_it_is_allocated(monkeypatch):
    from duckemcc.learn import likelihood as module

    monkeypatch.setattr(module, "LARGEST_BLOCK", 100)
    with pytest.raises(
        TooLarge, match=r"component of Treatment, Survival has 64 joint states .* and 8 patterns.*coarsen"
    ):
        compile_likelihood(DRUG, table1()[1]["O"])
