"""How far fitted probabilities are from those of the maximum, shown without the last digits of a log-likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizes import examples

from duckemcc.bound import certificate as module
from duckemcc.bound.certificate import bound_error, bound_error_of_product
from duckemcc.learn.likelihood import Block, Group
from duckemcc.learn.maximum import maximise


def draw_counts(seed, patterns=6, columns=20, rare=1.0):
    """0/1 patterns, each with some state and each state in one at least, and counts, one of them rare."""
    rng = np.random.default_rng(seed)
    yields = rng.integers(0, 2, (patterns, columns)).astype(float)
    yields[rng.integers(0, patterns, columns), np.arange(columns)] = 1.0
    yields[np.arange(patterns), rng.integers(0, columns, patterns)] = 1.0
    count = rng.integers(1, 1000, patterns).astype(float)
    count[0] *= rare
    return yields, count


def fit(yields, count):
    return maximise(Group(("U",), (np.arange(yields.shape[1]),), (Block((0,), yields, count[None]),))).chances[0]


def draw_contexts(seed, contexts, rare):
    """Counts that are exactly as likely as can be: a value in each of some contexts, one of which is rare."""
    rng = np.random.default_rng(seed)
    states = np.indices((2,) * contexts).reshape(contexts, -1)
    yields = np.concatenate([states == 0, states == 1]).astype(float)
    theta = rng.dirichlet(np.ones(yields.shape[1]))
    weight = rng.dirichlet(np.ones(contexts)) + 0.01
    weight[0] *= rare
    return yields, yields @ theta * np.tile(weight, 2), theta


@examples(60)
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([1.0, 1e-3, 1e-6, 1e-9]))
def test_what_is_exactly_compatible_is_shown_to_be_fitted_as_rounding_allows(seed, contexts, rare):
    yields, count, theta = draw_contexts(seed, contexts, rare)
    chances = fit(yields, count)
    error = bound_error(yields, count, chances)
    assert np.all(np.abs(yields @ chances - yields @ theta) <= error + 1e-15)
    assert error.max() <= 1e-10 + 1e-13 * count.sum() / (count[:contexts] + count[contexts:]).min()


@examples(60)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 1e-3, 1e-6]))
def test_the_bound_of_a_maximum_holds_its_neighbours_maxima_apart(seed, rare):
    """Two runs from counts that differ by rounding are as near as each is told to be, whatever the gap says."""
    yields, count = draw_counts(seed, rare=rare)
    noise = 1 + 1e-15 * np.random.default_rng(seed).normal(size=len(count))
    one, other = fit(yields, count), fit(yields, count * noise)
    bounds = bound_error(yields, count, one) + bound_error(yields, count, other)
    assert np.all(np.abs(yields @ (one - other)) <= bounds + 1e-13)


@examples(60)
@given(st.integers(0, 10_000), st.floats(1e-9, 1e-3))
def test_a_point_beside_the_maximum_is_never_told_to_be_nearer_than_it_is(seed, share):
    yields, count = draw_counts(seed)
    peak = fit(yields, count)
    beside = (1 - share) * peak + share * np.random.default_rng(seed).dirichlet(np.ones(len(peak)))
    error = bound_error(yields, count, beside)
    assert np.all(np.abs(yields @ (beside - peak)) <= error + bound_error(yields, count, peak) + 1e-14)


def test_a_rare_pattern_is_as_well_known_as_rounding_allows_where_the_gap_says_nothing():
    """Counts of a trial (vitamin A): the gap per record is some 5e-13 through rounding alone, its root 1e-6."""
    yields, count, _ = draw_contexts(0, 2, 1e-4)
    chances = fit(yields, count)
    for seed in range(20):  # as other orders of summation would leave it
        rounded = chances * (1 + 2e-16 * np.random.default_rng(seed).normal(size=len(chances)))
        assert bound_error(yields, count, rounded).max() <= 1e-9


def test_a_pattern_that_hardly_any_record_shows_leaves_the_others_known():
    yields, count = np.eye(4), np.array([1e10, 1.0, 1e-10, 1e-10])
    error = bound_error(yields, count, count / count.sum())
    assert error.max() <= 1e-6
    assert error[2:].max() <= 1e-12


def test_patterns_that_the_chances_exclude_are_not_told():
    yields, count = np.eye(2), np.array([3.0, 1.0])
    assert np.isinf(bound_error(yields, count, np.array([1.0, 0.0]))).all()
    assert np.all(bound_error(yields, count, np.array([0.5, 0.5])) >= 0.25)
    assert bound_error(yields, count, np.array([0.75, 0.25])).max() <= 1e-14
    assert not bound_error(np.zeros((0, 3)), np.zeros(0), np.full(3, 1 / 3)).size


@pytest.mark.parametrize("size", [1, 3, 7])
def test_columns_are_taken_in_pieces_of_any_size(size, monkeypatch):
    yields, count = draw_counts(3)
    chances = fit(yields, count)
    whole = bound_error(yields, count, chances)
    monkeypatch.setattr(module, "_AT_ONCE", size)
    assert np.isfinite(whole).all()
    assert np.abs(bound_error(yields, count, chances) - whole).max() <= 1e-12


@examples(60)
@given(st.integers(0, 10_000), st.floats(1e-12, 1e-6))
def test_a_product_beside_the_maximum_is_told_with_all_that_are_as_likely(seed, share):
    yields, count = draw_counts(seed)
    rng = np.random.default_rng(seed)
    peak = fit(yields, count)

    def likelihood(chances):
        return count @ np.log(yields @ chances)

    one, other = ((1 - share) * peak + share * rng.dirichlet(np.ones(len(peak)), 2)[i] for i in (0, 1))
    worse, better = sorted((one, other), key=likelihood)
    error = bound_error_of_product(yields, count, peak, worse)
    assert np.all(np.abs(yields @ (worse - better)) <= error + 1e-14)
    assert np.all(bound_error_of_product(yields, count, peak, peak) <= 3e-5)
