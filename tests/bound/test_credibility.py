"""Credible intervals: the published check values, the integral they come from, and where they must not break."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.bound.credibility import credibility, credibility_as_published, credibility_of
from duckemcc.errors import OptionError

WIDTHS = [0.0, 5e-324, 1e-300, 1e-12, 1e-3, 0.5, 0.9, 0.999, 1 - 1e-16, 1.0]
RUNS = [3, 4, 10, 30, 100, 10_000, 1_000_000]


def exactly(a, b, runs):
    """The closed form in 900 digits."""
    with localcontext() as context:
        context.prec = 900
        low, high, k = Decimal(a), Decimal(b), runs - 2
        alpha, beta, margin = low / (high - low), (1 - high) / (high - low), Decimal("0.1")

        def mass(x, y):
            return 1 - (1 + x) ** -k - (1 + y) ** -k + (1 + x + y) ** -k

        return float(mass(min(margin, alpha), min(margin, beta)) / mass(alpha, beta))


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


@given(st.floats(0, 1), st.floats(0, 1), st.integers(3, 1_000_000))
def test_it_is_always_a_probability(x, y, runs):
    value = credibility(min(x, y), max(x, y), runs)
    assert 0 <= value <= 1
    assert not math.isnan(value)


@pytest.mark.parametrize("runs", RUNS)
def test_it_is_the_closed_form_in_900_digits_for_every_width_and_number_of_runs(runs):
    wide = [(0.25, 0.75), (1e-9, 1 - 1e-9), (1e-5, 0.999), (1e-12, 1e-3), (0.5, 0.5 + 1e-6), (1e-13, 0.5)]
    for a, b in (*wide, (0.3, 0.3 + 1e-12), (0.3, 0.3 + 1e-15), (1e-6, 1e-6 + 1e-12)):
        assert credibility(a, b, runs) == pytest.approx(exactly(a, b, runs), abs=1e-9)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_and_no_number_of_runs_breaks_it(width, runs):
    for a in (0.0, (1 - width) / 2, 1 - width):
        assert 0 <= credibility(a, a + width, runs) <= 1
    published = credibility_as_published(width, runs)
    assert published >= 0  # not so of NaN
    assert math.isinf(published) == (width == 1)


@pytest.mark.parametrize("runs", RUNS)
def test_a_point_has_the_credibility_of_the_tiniest_interval(runs):
    for a in (0.3, 0.0, 1.0):
        b = min(a + 1e-9, 1.0)
        assert credibility(a, a, runs) == pytest.approx(credibility(b - 1e-9, b, runs), abs=1e-6)


@pytest.mark.parametrize("room", [5e-324, 1e-300, 1e-150, 1e-90, 1e-40, 1e-13])
def test_hardly_any_room_is_as_good_as_none(room):
    for runs in RUNS:
        assert credibility(room, 0.6, runs) == pytest.approx(credibility(0, 0.6, runs), abs=1e-6)
        assert credibility(-room, 0.6, runs, low=-2 * room) == pytest.approx(credibility(0, 0.6, runs), abs=1e-6)


@given(st.floats(0, 1e-300), st.integers(3, 500))
def test_points_and_tiny_intervals_are_no_obstacle(width, runs):
    assert 0 <= credibility(0.3, 0.3 + width, runs) <= 1


def test_an_interval_that_fills_the_range_is_certain():
    assert credibility(0.0, 1.0, 5) == 1.0
    assert credibility(-1.0, 1.0, 5, low=-1, high=1) == 1.0
    assert credibility(2.0, 2.0, 5, low=2, high=2) == 1.0


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
    assert credibility_as_published(0.1, 2) is None
    assert credibility_of([0.1, 0.2]) is None
    assert credibility_of([]) is None


# -- the authors' form -----------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [3, 10, 30, 100])
@pytest.mark.parametrize("width", [1e-12, 0.01, 0.5, 0.9, 0.99])
def test_the_authors_form_is_the_printed_one_where_that_does_not_cancel(width, runs):
    k = runs - 2
    printed = (1 + 1.2**-k - 2 * 1.1**-k) / (1 - width**k - k * (1 - width) * width**k)
    assert credibility_as_published(width, runs) == pytest.approx(printed, rel=1e-9)


# -- the runs' values ------------------------------------------------------------------------------


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=50))
def test_the_runs_count_by_their_range_and_their_number(values):
    asked = credibility(min(values), max(values), len(values), low=-1, high=1)
    assert credibility_of(np.array(values), low=-1, high=1) == asked


def test_values_beyond_the_range_by_rounding_are_cut():
    assert credibility_of([-1e-15, 0.3, 1 + 1e-15]) == 1.0


@pytest.mark.parametrize("values", [[0.1, math.nan, 0.2], [0.1, 0.2, math.inf]])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(OptionError, match=r"is no interval; credibility takes two numbers"):
        credibility_of(values)


def test_what_is_no_interval_no_width_or_no_margin_is_refused():
    with pytest.raises(OptionError, match=r"\[0.3, 0.2\] is no interval"):
        credibility(0.3, 0.2, 10)
    with pytest.raises(OptionError, match=r"\[1, 0\] is no interval"):
        credibility(0.3, 0.4, 10, low=1, high=0)
    for width in (-0.1, 1.1, math.nan):
        with pytest.raises(OptionError, match=r"the width is .*; the authors' form takes one from 0 to 1"):
            credibility_as_published(width, 10)
    for epsilon in (0, -0.1, math.nan, math.inf):
        with pytest.raises(OptionError, match=r"epsilon is .*; it takes a number above 0"):
            credibility(0.3, 0.4, 10, epsilon=epsilon)
