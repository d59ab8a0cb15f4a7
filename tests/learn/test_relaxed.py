"""The causes that incomplete records tie, as one: to it and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import FRONTDOOR, draw_chances, study
from test_mix import CASES, COVARIATE, cells_with_gaps, mixed

from duckemcc.learn.convex.newton import maximise_records
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.maximum import joint_yields, maximise
from duckemcc.learn.relaxed import relax
from duckemcc.model.paths import Reading
from duckemcc.model.scm import Model

RECORDED = Model.parse("X -> Y -> R; X -> R; X {0, 1}; Y {0, 1}; R {0, 1}")
WORLD = frozenset({Reading(frozenset("X"), frozenset("ZY"))})


def relaxed_group(model, lost, worlds=frozenset(), seed=0):
    likelihood = compile_likelihood(model, [study(model, (), cells_with_gaps(model, lost, seed))])
    (group,) = [g for g in likelihood.groups if g.mix is not None]
    return likelihood, group, relax(model, group.names, group.mix.products, worlds)


def fit_of(group, likelihood, chances):
    """P [q] of the group's records at PMFs [u] of its causes."""
    from duckemcc.learn.accelerate import linearise
    from duckemcc.learn.pooling import sum_by_class

    masses = [sum_by_class(chances[n][None], c) for n, c in zip(group.names, group.classes, strict=True)]
    return linearise(masses, group)[0][0]


@given(st.integers(0, 10_000), st.sampled_from(["covariate", "covariate and treatment", "front door", "roots"]))
def test_independent_causes_and_the_merged_one_that_they_imply_fit_records_alike(seed, name):
    model, _, likelihood = mixed(name, seed)
    (group,) = [g for g in likelihood.groups if g.mix is not None]
    found = relax(model, group.names, group.mix.products)
    chances = {name: c[0] for name, c in draw_chances(likelihood, seed).items()}
    joint = found.join(chances)
    assert joint.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(found.yields @ joint, fit_of(group, likelihood, chances), atol=1e-12)


@pytest.mark.parametrize("worlds", [frozenset(), WORLD])
@given(seed=st.integers(0, 10_000))
def test_any_distribution_along_a_selector_comes_apart_into_independent_causes(worlds, seed):
    likelihood, group, found = relaxed_group(COVARIATE, [("Z",)], worlds)
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(found.states, 0.3))
    parts = found.part_with(joint)
    assert all(pmf.sum() == pytest.approx(1) and (pmf >= 0).all() for pmf in parts.values())
    np.testing.assert_allclose(found.join(parts), joint, atol=1e-12)
    np.testing.assert_allclose(fit_of(group, likelihood, parts), found.yields @ joint, atol=1e-12)
    assert all((pmf > 0).sum() <= found.states for pmf in parts.values())  # few states, not a product of all


@given(seed=st.integers(0, 10_000))
def test_contexts_outside_come_apart_where_they_cannot_all_together(seed):
    likelihood, group, found = relaxed_group(RECORDED, [("Y",)])
    joint = np.random.default_rng(seed).dirichlet(np.ones(found.states))
    parts = found.part_with(joint)
    np.testing.assert_allclose(fit_of(group, likelihood, parts), found.yields @ joint, atol=1e-12)


def test_what_is_read_in_overlapping_ways_does_not_come_apart():
    world = frozenset({Reading(frozenset("X"), frozenset("MY"))})
    _, _, found = relaxed_group(FRONTDOOR, [("M",)], world)
    assert found.part_with(np.full(found.states, 1 / found.states)) is None


@pytest.mark.parametrize("name", ["covariate", "covariate and treatment", "roots", "front door"])
def test_the_maximum_along_paths_is_that_over_all_joint_states(name):
    _, _, likelihood = mixed(name)
    (group,) = [g for g in likelihood.groups if g.mix is not None]
    found = relax(likelihood.model, group.names, group.mix.products)
    along, whole = maximise_records(found.yields, group.count), maximise(group)
    assert along.loglik[0] == pytest.approx(whole.loglik[0], rel=1e-11)
    assert found.states < joint_yields(group).shape[1]
    np.testing.assert_allclose(along.fitted[0], whole.fitted[0], atol=1e-8)


def test_a_distribution_of_a_study_s_own_is_not_merged():
    model, lost = CASES["covariate"]
    arm = study(model, (), cells_with_gaps(model, lost))
    from dataclasses import replace

    likelihood = compile_likelihood(model, [replace(arm, local={"U_Z": "U_Z@study"})])
    (group,) = [g for g in likelihood.groups if g.mix is not None]
    assert relax(model, group.names, group.mix.products) is None
