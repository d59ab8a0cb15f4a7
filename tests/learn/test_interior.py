"""The interior-point method for many segments: the maximum of the constrained Newton method, proven by duality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import table1

from duckemcc.learn.convex.interior import find_interior
from duckemcc.learn.convex.newton import maximise_one
from duckemcc.learn.likelihood import compile_likelihood


def group_of_table_1(part):
    model, parts = table1()
    groups = compile_likelihood(model, parts[part]).groups
    return next(g.stacked for g in groups if g.stacked.shape[1] > 2)


def draw(seed, yields, records, segments):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(len(yields), rng.choice([0.3, 3.0])), size=segments)
    return np.stack([rng.multinomial(records, p) for p in share]).astype(float)


def excess(yields, theta, share):
    """LL_max − LL(θ) per record at most, by duality."""
    fitted = theta @ yields.T
    return (np.where(share > 0, share / np.where(share > 0, fitted, 1), 0) @ yields).max(axis=1) - 1


@pytest.mark.parametrize("part", ["O", "I", "O+I"])
@pytest.mark.parametrize("records", [5, 50, 5000])
def test_nine_segments_in_ten_are_finished_to_rounding(part, records):
    """The others are finished by the constrained Newton method, at its price."""
    yields = group_of_table_1(part)
    count = np.vstack([draw(seed, yields, records, 50) for seed in range(10)])
    share = count / count.sum(axis=1, keepdims=True)
    theta, sound = find_interior(yields, share)
    np.testing.assert_allclose(theta[sound].sum(axis=1), 1)
    assert (theta[sound] >= 0).all()
    assert (excess(yields, theta[sound], share[sound]) <= 1e-12).sum() >= 0.9 * len(count)


@given(st.integers(0, 10_000), st.sampled_from(["O", "O+I"]), st.sampled_from([5, 500]))
def test_the_maximum_is_that_of_the_constrained_newton_method(seed, part, records):
    yields = group_of_table_1(part)
    count = draw(seed, yields, records, 4)
    theta, sound = find_interior(yields, count / count.sum(axis=1, keepdims=True))
    for n, chances, fine in zip(count, theta, sound, strict=True):
        seen = n > 0
        slow, loglik, _ = maximise_one(yields[seen], n[seen])
        if fine:
            fitted = yields[seen] @ chances
            assert n[seen] @ np.log(fitted) >= loglik - 1e-9 * n.sum()
            np.testing.assert_allclose(fitted, yields[seen] @ slow, atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from(["O", "I", "O+I"]), st.sampled_from([5, 500]))
def test_a_segment_in_a_batch_has_the_digits_that_it_has_alone(seed, part, records):
    yields = group_of_table_1(part)
    count = draw(seed, yields, records, 9)
    share = count / count.sum(axis=1, keepdims=True)
    together, _ = find_interior(yields, share)
    for s in range(9):
        np.testing.assert_array_equal(find_interior(yields, share[[s]])[0][0], together[s])
