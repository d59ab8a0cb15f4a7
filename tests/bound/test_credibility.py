"""Credible intervals: the published check values, the integral they come from, and where they must not break."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.bound.credibility import credibility, credibility_as_published


@pytest.mark.parametrize(("runs", "value"), [(10, 0.300), (20, 0.678), (30, 0.867), (50, 0.980), (100, 0.9998)])
def test_small_intervals_have_the_published_credibility(runs, value):
    assert credibility(0.4, 0.4 + 1e-6, runs) == pytest.approx(value, abs=5e-4)
    assert credibility_as_published(1e-3, runs) == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize(("width", "runs", "value"), [(0.9, 10, 1.33), (0.99, 30, 25)])
def test_the_authors_form_passes_one_for_wide_intervals_and_ours_does_not(width, runs, value):
    assert credibility_as_published(width, runs) == pytest.approx(value, rel=0.05)
    assert credibility(0.5 - width / 2, 0.5 + width / 2, runs) <= 1


@pytest.mark.parametrize(("a", "b", "runs"), [(0.2, 0.5, 5), (0.05, 0.9, 12), (0.4, 0.41, 30), (0.001, 0.7, 8)])
def test_it_is_the_posterior_probability_by_direct_integration(a, b, runs):
    width, margin = b - a, 0.1 * (b - a)

    def integrate(left, right):
        nodes, weights = np.polynomial.legendre.leggauss(200)
        x = [h * (nodes + 1) / 2 for h in (left, right)]
        f = (width + x[0][:, None] + x[1][None, :]) ** -float(runs) * width**runs
        return left * right / 4 * weights @ f @ weights

    direct = integrate(min(margin, a), min(margin, 1 - b)) / integrate(a, 1 - b)
    assert credibility(a, b, runs) == pytest.approx(direct, rel=1e-3)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(3, 10_000))
def test_it_is_always_a_probability(x, y, runs):
    value = credibility(min(x, y), max(x, y), runs)
    assert 0 <= value <= 1
    assert not math.isnan(value)


@given(st.floats(0, 1e-300), st.integers(3, 500))
def test_points_and_tiny_intervals_are_no_obstacle(width, runs):
    assert 0 <= credibility(0.3, 0.3 + width, runs) <= 1


def test_an_interval_that_fills_the_range_is_certain():
    assert credibility(0.0, 1.0, 5) == 1.0
    assert credibility(-1.0, 1.0, 5, low=-1, high=1) == 1.0


@given(st.floats(0.01, 0.45), st.floats(0.55, 0.99), st.integers(3, 60))
def test_more_runs_make_it_more_credible(a, b, runs):
    assert credibility(a, b, runs + 1) >= credibility(a, b, runs) - 1e-9


@given(st.floats(0, 1), st.floats(0, 1), st.integers(3, 60), st.sampled_from([(-1.0, 1.0), (-140.0, 100.0)]))
def test_the_range_of_the_query_is_its_unit(x, y, runs, span):
    low, high = span
    a, b = min(x, y), max(x, y)
    scaled = credibility(low + a * (high - low), low + b * (high - low), runs, low=low, high=high)
    assert scaled == pytest.approx(credibility(a, b, runs), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("edge", [0.0, 1e-14, 1e-9, 1e-5, 1e-3])
def test_it_is_continuous_where_the_interval_touches_the_range(edge):
    assert credibility(edge, 0.6, 20) == pytest.approx(credibility(1e-12, 0.6, 20), abs=0.02)


def test_two_runs_say_nothing():
    assert credibility(0.1, 0.2, 2) is None
