"""The maximum of a concave likelihood, and the second-order stage that brings restarts to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import MULTI, TWO, arms_of, random_arms, study, table1
from test_emcc import starts_of

from duckemcc.learn.accelerate import find_dead, project_onto
from duckemcc.learn.emcc import join, measure, run
from duckemcc.learn.likelihood import Block, Group, compile_likelihood
from duckemcc.learn.maximum import joint_yields, maximise
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.restarts import Effort, learn


def one_group(yields, count):
    return Group(("U",), (np.arange(yields.shape[1]),), (Block((0,), yields, np.atleast_2d(count)),))


@given(random_arms(names=("two", "iv")))
def test_the_duality_bound_proves_the_maximum(problem):
    for group in compile_likelihood(*problem).groups:
        peak = maximise(group)
        assert (peak.loglik <= peak.upper).all()
        assert ((peak.upper - peak.loglik) / group.total <= 1e-11).all()


@given(random_arms(names=("two", "iv")), st.integers(0, 50))
def test_long_em_never_passes_the_proven_bound(problem, seed):
    model, arms = problem
    for group in compile_likelihood(model, arms).groups:
        start = (sum_by_class(starts_of(model, seed=seed)[group.names[0]], group.classes[0])[None],)
        _, step, _ = run(start, group, steps=500, gap=0.0)
        assert (step.loglik <= maximise(group).upper[:, None] + 1e-9).all()


@pytest.mark.parametrize("local", [(), ("U1",), ("U2",), ("U1", "U2")])
def test_merged_variables_have_the_patterns_of_all_in_the_order_of_their_product(local):
    """A study's own distributions come last in their group, wherever their variables stand in the model."""
    rng = np.random.default_rng(0)
    arm = study(MULTI, (), {c: float(rng.integers(1, 50)) for c in np.ndindex(2, 2, 2)})
    (group,) = compile_likelihood(MULTI, [replace(arm, local={u: f"own {u}" for u in local})]).groups
    chances = tuple(rng.dirichlet(np.ones(card))[None, None] for card in group.cards)
    fitted = [join(chances, b)[0, 0] @ b.yields.T for b in group.blocks]
    joint = np.multiply.outer(chances[0][0, 0], chances[1][0, 0]).ravel()
    np.testing.assert_allclose(joint_yields(group) @ joint, np.concatenate(fitted), atol=1e-15)


@pytest.mark.parametrize("part", ["O", "I", "O+I"])
@pytest.mark.parametrize("gender", [True, False])
def test_table_1_is_fitted_exactly(part, gender):
    model, parts = table1(gender)
    for group in compile_likelihood(model, parts[part]).groups:
        peak = maximise(group)
        assert ((peak.upper - peak.loglik) / group.total <= 1e-12).all()


@given(random_arms(names=("two", "iv")), st.sampled_from(["dirichlet(1)", "dirichlet(0.02)", "stick"]))
def test_the_projection_attains_the_fitted_probabilities_and_never_lowers_the_likelihood(problem, start):
    model, arms = problem
    for group in compile_likelihood(model, arms).groups:
        chances = (sum_by_class(starts_of(model, start=start)[group.names[0]], group.classes[0])[None],)
        peak = maximise(group)
        moved = project_onto(chances, group, peak.fitted)
        assert (measure(moved, group).loglik >= measure(chances, group).loglik - 1e-9).all()
        fitted = np.matmul(join(moved, group.blocks[0]), group.blocks[0].yields.T)
        np.testing.assert_allclose(fitted, np.broadcast_to(peak.fitted[0][:, None], fitted.shape), atol=1e-9)


def test_the_projection_is_the_nearest_point_in_divergence():
    """Against a general optimiser: min KL(θ' ‖ θ) over {Yθ' = m} by SLSQP."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    half = (rng.random((3, 8)) < 0.5).astype(float)
    yields = np.vstack([half, 1 - half])  # three binary contexts, so that the target is where the likelihood is largest
    target = yields @ rng.dirichlet(np.ones(8))
    theta = rng.dirichlet(np.ones(8))
    moved = project_onto((theta[None, None],), one_group(yields, target), (target[None],))[0][0, 0]
    rows = np.vstack([half, np.ones(8)])
    found = minimize(
        lambda x: (x * np.log(x / theta)).sum(),
        theta,
        constraints={"type": "eq", "fun": lambda x: rows @ x - np.append(target[:3], 1)},
        bounds=[(1e-12, 1)] * 8,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(moved, found.x, atol=1e-5)


def test_a_large_concave_problem_is_solved_on_few_states():
    rng = np.random.default_rng(0)
    first = (rng.random((20, 5000)) < 0.3).astype(float)
    yields = np.vstack([first, 1 - first])
    count = yields @ rng.dirichlet(np.full(5000, 0.01)) * 1000 + rng.random(40)
    peak = maximise(one_group(yields, count))
    assert (peak.upper - peak.loglik)[0] / count.sum() <= 1e-11


def test_several_variables_are_relaxed_to_one_whose_maximum_bounds_theirs():
    from problems import MULTI

    rng = np.random.default_rng(1)
    cells = {tuple(map(int, c)): float(rng.integers(1, 9)) for c in np.indices((2, 2, 2)).reshape(3, -1).T}
    group = compile_likelihood(MULTI, [study(MULTI, (), cells)]).groups[0]
    assert len(group.names) == 2
    assert joint_yields(group).shape[1] == np.prod(group.cards)
    starts = starts_of(MULTI, restarts=20)
    chances = tuple(sum_by_class(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True))
    _, step, _ = run(chances, group, steps=2000, gap=0.0)
    assert (step.loglik <= maximise(group).upper[:, None] + 1e-9).all()


def test_a_segment_without_records_is_no_obstacle():
    yields = np.array([[1.0, 0.0], [0.0, 1.0]])
    peak = maximise(one_group(yields, np.array([[0.0, 0.0], [3.0, 1.0]])))
    np.testing.assert_allclose(peak.fitted[0][1], [0.75, 0.25])
    assert peak.loglik[0] == 0


def test_the_projection_does_not_depend_on_how_many_restarts_are_moved_at_a_time(monkeypatch):
    from duckemcc.learn import accelerate

    model, parts = table1()
    group = next(g for g in compile_likelihood(model, parts["O+I"]).groups if len(g.classes[0]) == 64)
    chances = (sum_by_class(starts_of(model, restarts=7)["U_Treatment_Survival"], group.classes[0])[None],)
    goal = maximise(group).fitted
    together = project_onto(chances, group, goal)
    monkeypatch.setattr(accelerate, "LARGEST_BATCH", 1)
    np.testing.assert_array_equal(project_onto(chances, group, goal)[0], together[0])


@given(random_arms(names=("two", "iv")), st.integers(0, 50))
def test_states_called_dead_vanish_under_long_em_and_the_others_carry_the_maximum(problem, seed):
    model, arms = problem
    for group in compile_likelihood(model, arms).groups:
        peak = maximise(group)
        dead = find_dead(group, peak.chances, peak.fitted)[0]
        assert (peak.chances[0][dead] == 0).all()
        start = (sum_by_class(starts_of(model, seed=seed)[group.names[0]], group.classes[0])[None],)
        early, late = (run(start, group, steps=n, gap=0.0)[0][0][0] for n in (50, 500))
        assert (late[:, dead] <= early[:, dead] + 1e-12).all()


def test_restarts_reach_the_maximum_where_patterns_are_as_rare_as_one_in_a_billion():
    rng = np.random.default_rng(1)
    codes = np.indices((2, 2)).reshape(2, -1).T
    cells = dict(zip(map(tuple, codes.tolist()), (0.4, 7.9e-10, 0.6 - 3e-8, 3e-8), strict=True))
    trial = {(0, 0): 1 - 2.2e-9, (0, 1): 2.2e-9, (1, 0): 0.9, (1, 1): 0.1}
    arms = [study(TWO, (), cells, "obs"), *arms_of(study(TWO, ("Treatment",), trial, "trial"), TWO)]
    learned = learn(compile_likelihood(TWO, arms), starts_of(TWO, restarts=10, seed=int(rng.integers(9))), Effort())
    assert learned.converged.all()
    assert learned.optimality_gap[0] < 1e-9
