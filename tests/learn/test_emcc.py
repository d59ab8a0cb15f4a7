"""Algorithm 1 on counts: the laws of EM, and equality with its literal form."""

from __future__ import annotations

import numpy as np
import pytest
from algorithm1 import iterate
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import DRUG, MULTI, arms_of, draw_chances, incomplete_arms, random_arms, study, table1

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.emcc import em_step, measure
from duckemcc.learn.likelihood import Block, Group, compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.start import draw_starts


def starts_of(model, restarts=5, start="dirichlet(1)", seed=0):
    names = [u.name for u in model.exogenous]
    return dict(zip(names, draw_starts(start, [model.card(u) for u in names], restarts, seed), strict=True))


def literal_run(model, arms, starts, steps):
    """The learned chances after exactly so many literal steps."""
    effort = Effort(gap=0.0, max_steps=steps, accelerate=False)
    return learn(compile_likelihood(model, arms), starts, effort)


def loglik_of(model, arms, chances):
    """The log-likelihood of the first restart's chances, from the compiled blocks."""
    groups = compile_likelihood(model, arms).groups
    return sum(
        measure(tuple(sum_by_class(chances[n][0], c)[None] for n, c in zip(g.names, g.classes, strict=True)), g).loglik[
            0, 0
        ]
        for g in groups
    )


def thin(arms, factor):
    """Small whole counts, so that the literal algorithm can take record by record."""
    return [
        StudyCounts(name=a.name, variables=a.variables, do=a.do, codes=a.codes, count=np.ceil(a.count / factor))
        for a in arms
    ]


@pytest.mark.parametrize("problem", ["two", "multi"])
def test_counted_em_equals_the_literal_algorithm_1_over_the_block_dataset_iteration_by_iteration(problem):
    if problem == "two":
        model, parts = table1(gender=False)
        arms = thin(parts["O+I"], 200)
    else:
        model = MULTI
        rng = np.random.default_rng(3)
        cells = {tuple(map(int, c)): float(rng.integers(1, 3)) for c in np.indices((2, 2, 2)).reshape(3, -1).T}
        arms = arms_of(study(model, (), cells, "obs"), model) + arms_of(study(model, ("X",), cells, "trial"), model)
    starts = starts_of(model, restarts=1)
    reference = {name: rows[0] for name, rows in starts.items()}
    ours = {name: rows[0][None, None] for name, rows in starts.items()}
    for step in range(1, 9 if problem == "two" else 5):  # the literal algorithm visits every joint state
        before = loglik_of(model, arms, ours)
        reference, loglik = iterate(model, arms, reference)
        assert before == pytest.approx(loglik, rel=1e-11)
        ours = literal_run(model, arms, starts, step).chances
        for name in reference:
            np.testing.assert_allclose(ours[name][0, 0], reference[name], rtol=1e-10, atol=1e-14)


@settings(max_examples=12)
@given(incomplete_arms(names=("multi", "selected"), records=6), st.integers(0, 99))
def test_counted_em_equals_the_literal_algorithm_1_where_values_are_missing(problem, seed):
    model, arms, _ = problem
    starts = draw_chances(likelihood := compile_likelihood(model, arms), seed)
    reference = {name: rows[0] for name, rows in starts.items()}
    for step in range(1, 4):
        reference, _ = iterate(model, arms, reference)
        ours = learn(likelihood, starts, Effort(gap=0.0, max_steps=step, accelerate=False)).chances
        for name in reference:
            np.testing.assert_allclose(ours[name][0, 0], reference[name], rtol=1e-9, atol=1e-14)


@given(incomplete_arms(), st.integers(0, 99))
def test_em_never_lowers_the_likelihood_where_values_are_missing(problem, seed):
    model, arms, _ = problem
    starts = draw_chances(likelihood := compile_likelihood(model, arms), seed)
    for group in likelihood.groups:
        chances = tuple(sum_by_class(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True))
        before = -np.inf
        for _ in range(6):
            chances, step = em_step(chances, group)
            assert step.loglik[0, 0] >= before - 1e-9 * abs(step.loglik[0, 0])
            before = step.loglik[0, 0]
            for chance in chances:
                np.testing.assert_allclose(chance.sum(axis=2), 1)


def test_counted_em_equals_em_over_single_records():
    model, parts = table1(gender=True)
    counted = thin(parts["O+I"], 100)
    rows = [
        StudyCounts(name=arm.name, variables=arm.variables, do=arm.do, codes=arm.codes[[p]], count=np.ones((1, 1)))
        for arm in counted
        for p, n in enumerate(arm.count[0])
        for _ in range(int(n))
    ]
    starts = starts_of(model)
    once, apart = literal_run(model, counted, starts, 20), literal_run(model, rows, starts, 20)
    for name in starts:
        np.testing.assert_allclose(once.chances[name], apart.chances[name], rtol=1e-12, atol=1e-15)


def group_steps(model, arms, steps, seed):
    """For every group, what em_step gives from a random start, `steps` times."""
    for group in compile_likelihood(model, arms).groups:
        starts = starts_of(model, seed=seed)
        chances = tuple(sum_by_class(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True))
        for _ in range(steps):
            new, step = em_step(chances, group)
            yield group, chances, new, step
            chances = new


@given(random_arms(), st.integers(0, 99))
def test_every_step_stays_on_the_simplex_and_never_lowers_the_likelihood(problem, seed):
    model, arms = problem
    for group, _, new, step in group_steps(model, arms, 6, seed):
        for chance in new:
            np.testing.assert_allclose(chance.sum(axis=2), 1, atol=1e-12)
            assert (chance >= 0).all()
        assert (measure(new, group).loglik >= step.loglik - 1e-9).all()


@given(random_arms(), st.integers(0, 99))
def test_the_gradient_is_the_derivative_of_the_log_likelihood(problem, seed):
    model, arms = problem
    for group, chances, _, step in group_steps(model, arms, 1, seed):
        for j, gradient in enumerate(step.gradient):
            bumped = [c.copy() for c in chances]
            h = 1e-6 * chances[j][0, 0, 0]
            bumped[j][0, 0, 0] += h
            slope = (measure(tuple(bumped), group).loglik[0, 0] - step.loglik[0, 0]) / h
            assert gradient[0, 0, 0] * group.records[0, j] == pytest.approx(slope, rel=1e-3, abs=1e-4)


@given(random_arms(names=("two", "iv")), st.integers(0, 99))
def test_with_one_exogenous_variable_the_gap_bounds_what_is_missing_to_the_maximum(problem, seed):
    from duckemcc.learn.maximum import maximise

    model, arms = problem
    for group, _, _, step in group_steps(model, arms, 4, seed):
        if group.concave:
            peak = maximise(group)
            assert (peak.upper[:, None] - step.loglik <= step.gap + 1e-8).all()
            assert (step.loglik <= peak.upper[:, None] + 1e-8).all()


@given(random_arms(), st.integers(0, 99))
def test_splitting_a_pattern_or_reordering_rows_changes_nothing(problem, seed):
    model, arms = problem
    rng = np.random.default_rng(seed)
    split = []
    for arm in arms:
        codes = np.concatenate([arm.codes, arm.codes])
        count = np.concatenate([arm.count, arm.count], axis=1) / 2
        order = rng.permutation(len(codes))
        split.append(
            StudyCounts(name=arm.name, variables=arm.variables, do=arm.do, codes=codes[order], count=count[:, order])
        )
    starts = starts_of(model)
    one, two = (learn(compile_likelihood(model, a), starts, Effort(max_steps=100)) for a in (arms, split))
    for name in starts:
        np.testing.assert_array_equal(one.chances[name], two.chances[name])


@given(random_arms(names=("two", "iv")), st.sampled_from([0.25, 4.0, 1024.0]))
def test_scaling_all_counts_leaves_the_learned_models_and_scales_the_log_likelihood(problem, factor):
    model, arms = problem
    scaled = [
        StudyCounts(name=a.name, variables=a.variables, do=a.do, codes=a.codes, count=a.count * factor) for a in arms
    ]
    starts = starts_of(model)
    one, two = (learn(compile_likelihood(model, a), starts, Effort()) for a in (arms, scaled))
    for name in starts:
        np.testing.assert_allclose(one.chances[name], two.chances[name], atol=1e-9)
    assert two.loglik[0] == pytest.approx(factor * one.loglik[0], rel=1e-9, abs=1e-9)


@given(random_arms(names=("two", "iv")))
def test_every_concave_restart_ends_at_the_maximum_with_a_proof(problem):
    model, arms = problem
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, starts_of(model, restarts=8, start="dirichlet(0.1)"), Effort())
    assert learned.converged.all()
    assert (learned.kept == 8).all()
    assert (learned.optimality_gap / likelihood.n <= 1e-9).all()


def test_acceleration_does_not_lower_the_likelihood_that_plain_em_reaches():
    model, parts = table1()
    starts = starts_of(model, restarts=10)
    for arms in parts.values():
        likelihood = compile_likelihood(model, arms)
        plain = learn(likelihood, starts, Effort(max_steps=400, accelerate=False))
        fast = learn(likelihood, starts, Effort())
        worst = {"plain": plain.upper - plain.optimality_gap, "fast": fast.upper - fast.optimality_gap}
        assert (worst["fast"] >= worst["plain"] - 1e-9).all()
        assert (fast.optimality_gap <= 1e-9 * likelihood.n).all()


def test_a_step_budget_that_is_too_small_is_reported_as_not_converged():
    model, parts = table1()
    learned = learn(compile_likelihood(model, parts["O+I"]), starts_of(model), Effort(max_steps=3, accelerate=False))
    assert not learned.converged[0]
    assert learned.steps[0] == 3
    assert learned.optimality_gap[0] > 1


def test_segments_learned_together_equal_segments_learned_alone():
    model, parts = table1()
    rng = np.random.default_rng(0)
    together = [
        StudyCounts(
            name=a.name,
            variables=a.variables,
            do=a.do,
            codes=a.codes,
            count=rng.multinomial(2000, a.count[0] / a.count.sum(), size=5).astype(float),
        )
        for a in parts["O+I"]
    ]
    starts = starts_of(model)
    all_at_once = learn(compile_likelihood(model, together), starts, Effort())
    for s in range(5):
        alone = [
            StudyCounts(name=a.name, variables=a.variables, do=a.do, codes=a.codes, count=a.count[[s]])
            for a in together
        ]
        single = learn(compile_likelihood(model, alone), starts, Effort())
        for name in starts:
            np.testing.assert_array_equal(all_at_once.chances[name][s], single.chances[name][0])


def test_restarts_in_a_worse_optimum_are_counted_and_borrow_from_the_others():
    model = MULTI
    rng = np.random.default_rng(0)
    truth = {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}
    codes = np.indices((2, 2, 2)).reshape(3, -1).T
    from duckemcc.learn.yields import pattern_yields

    joint = np.outer(truth["U1"], truth["U2"]).ravel()
    p = pattern_yields(model, model.variables, ("U1", "U2"), model.variables, codes) @ joint
    counts = study(model, (), {tuple(map(int, c)): float(q) for c, q in zip(codes, p, strict=True)}, "obs")
    starts = starts_of(model, restarts=40, start="dirichlet(0.1)")
    learned = learn(compile_likelihood(model, [counts]), starts, Effort())
    assert 1 <= learned.kept[0] <= 40
    fitted = [
        pattern_yields(model, model.variables, ("U1", "U2"), model.variables, codes) @ np.outer(a, b).ravel()
        for a, b in zip(learned.chances["U1"][0], learned.chances["U2"][0], strict=True)
    ]
    np.testing.assert_allclose(fitted, np.tile(p, (40, 1)), atol=1e-5)


def test_an_exogenous_variable_that_no_study_tells_of_keeps_its_start():
    cells = {(0, 0, 0): 3.0, (0, 0, 1): 4.0, (1, 1, 0): 2.0}
    trial = arms_of(study(DRUG, ("Gender", "Treatment", "Survival"), cells), DRUG)
    starts = starts_of(DRUG)
    learned = learn(compile_likelihood(DRUG, trial), starts, Effort())
    for name in starts:
        np.testing.assert_array_equal(learned.chances[name][0], starts[name])


@given(random_arms(names=("two", "iv")))
def test_restarts_that_keep_to_their_heaviest_states_reach_the_maximum_of_all_states(problem):
    from duckemcc.learn import restarts

    model, arms = problem
    likelihood = compile_likelihood(model, arms)
    starts = starts_of(model, restarts=8, start="dirichlet(0.1)")
    wide = learn(likelihood, starts, Effort())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restarts, "WIDEST", 2)
        patch.setattr(restarts, "HEAVIEST", 2)
        narrow = learn(likelihood, starts, Effort())
    assert narrow.converged.all()
    assert (narrow.optimality_gap / likelihood.n <= 1e-9).all()
    assert narrow.loglik[0] == pytest.approx(wide.loglik[0], rel=1e-12, abs=1e-9)
    for chances in narrow.chances.values():
        np.testing.assert_allclose(chances.sum(axis=2), 1, atol=1e-9)


@pytest.mark.parametrize("listed", [2**12, 2**20])
def test_a_component_with_tens_of_thousands_of_states_and_hundreds_of_patterns_is_learned(listed, monkeypatch):
    from duckemcc.model.scm import Model

    monkeypatch.setattr("duckemcc.learn.pieces.split.LISTED", listed)
    model = Model.parse(
        "A -> X; B -> X; C -> Y; D -> Y; X -> Y; X <-> Y; A {0, 1}; B {0, 1, 2}; C {0, 1}; D {0, 1}; X {0, 1}; Y {0, 1}"
    )
    assert model.card("U_X_Y") == 2**6 * 2**8
    rng = np.random.default_rng(0)
    codes = np.indices([model.card(v) for v in model.variables]).reshape(6, -1).T
    cells = {tuple(map(int, c)): float(n) for c, n in zip(codes, rng.integers(1, 200, len(codes)), strict=True)}
    likelihood = compile_likelihood(model, [study(model, (), cells)])
    drawn = draw_starts("dirichlet(0.03)", list(likelihood.cards.values()), 10, 0)
    learned = learn(likelihood, dict(zip(likelihood.cards, drawn, strict=True)), Effort())
    assert learned.converged.all()
    assert learned.optimality_gap[0] / likelihood.n[0] <= 1e-9


@pytest.mark.parametrize("records", [1.0, 1e15, 1e24])
def test_a_pattern_that_the_chances_exclude_has_a_finite_slope_whatever_its_weight(records):
    yields = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    block = Block((0, 1), yields, np.array([[1.0, records]]))
    group = Group(("U", "V"), (np.arange(2), np.arange(2)), (block,))
    chances = (np.array([[[1.0, 0.0]]]), np.array([[[0.5, 0.5]]]))
    new, step = em_step(chances, group)
    assert all(np.isfinite(g).all() for g in (*new, *step.gradient))
