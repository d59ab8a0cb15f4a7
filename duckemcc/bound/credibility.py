"""P(true ends within ε L of the learned ones | r runs): credible intervals (the paper's Figure 3, right).

For r runs spread uniformly over the true interval, whose smallest and largest values are a and b, L = b − a, and a
flat prior on the true ends inside the query's range [0, 1], the posterior density of the ends (a − x, b + y) is
∝ (L + x + y)^−r (Zaffalon et al. 2022), so with lengths in units of L

    P = G(min(ε, α), min(ε, β)) / G(α, β),    α = a/L, β = (1 − b)/L the room on either side,
    G(α, β) = 1 − (1 + α)^(2−r) − (1 + β)^(2−r) + (1 + α + β)^(2−r)

The authors' form cuts no margin, and its true ends may lie anywhere within 1 of each other: it depends on L alone and
passes 1 for wide intervals. At L = 0 both are the limit for L → 0.

A width below 1e-12 of the range counts as that: nearer than this to an end of the range is rounding, not room.

It assumes that the runs spread uniformly over the true interval, and they do not: on Table 1's observational data 30
runs from `dirichlet(1)` give .87 for intervals that cover a third of the true one (`examples/credibility.py`). It is
no guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, inf, isfinite, log1p

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import OptionError

EPSILON = 0.1
NARROWEST = 1e-12
"""Of the query's range: the decimals of a bound (`bounds.DIGITS`)."""
NO_ROOM = 1e-100
"""Of the width: room below which the products of masses would underflow."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def credibility_of(
    values: Sequence[float] | NDArray[np.float64], *, low: float = 0.0, high: float = 1.0, epsilon: float = EPSILON
) -> float | None:
    """The credibility of the range of the runs' values [r]; see `credibility`."""
    runs = np.asarray(values, np.float64).ravel()
    if not runs.size:
        return None
    return credibility(float(runs.min()), float(runs.max()), runs.size, low=low, high=high, epsilon=epsilon)


def credibility(
    lower: float, upper: float, runs: int, *, low: float = 0.0, high: float = 1.0, epsilon: float = EPSILON
) -> float | None:
    """The probability that the true interval is within a margin ε L of [lower, upper] on either side.

    low, high: the query's own range, such as −1 and 1 for an average causal effect. None for fewer than three runs,
    where the posterior is improper. Always in [0, 1], and a number.
    Raises `OptionError` where lower and upper, or low and high, are no interval, or epsilon is not above 0.
    """
    _check_interval(lower, upper)
    _check_interval(low, high)
    _check_margin(epsilon)
    if runs < 3:
        return None
    lower, upper = min(max(lower, low), high), max(min(upper, high), low)
    width = max(upper - lower, NARROWEST * (high - low))
    if width == 0:
        return 1.0  # the range itself is a point
    alpha, beta = (room / width if room > NO_ROOM * width else 0.0 for room in (lower - low, high - upper))
    whole = _mass(alpha, beta, runs)
    near = _mass(min(epsilon, alpha), min(epsilon, beta), runs)
    return min(near / whole, 1.0)


def credibility_as_published(width: float, runs: int, *, epsilon: float = EPSILON) -> float | None:
    """The authors' form, for comparison: it depends on L alone, and is no probability for large L (THEORY §6).

        P = [1 + (1 + 2ε)^(2−r) − 2 (1 + ε)^(2−r)] / [1 − L^(r−2) − (r − 2)(1 − L) L^(r−2)]

    The denominator is an incomplete beta function, I_{1−L}(2, r − 2), which is exact where the printed form cancels.
    Infinite at L = 1, and None for fewer than three runs. Raises `OptionError` for an impossible width or epsilon.
    """
    from scipy.special import betainc

    if not 0 <= width <= 1:
        raise OptionError(f"the width is {width}", remedy="the authors' form takes one from 0 to 1", option="width")
    _check_margin(epsilon)
    if runs < 3:
        return None
    whole = float(betainc(2, runs - 2, 1 - width))
    return _mass(epsilon, epsilon, runs) / whole if whole > 0 else inf


def _mass(alpha: float, beta: float, runs: int) -> float:
    """G(α, β) = k (k + 1) ∫₀^α ∫₀^β (1 + x + y)^−r dy dx, k = r − 2; without room on a side, its ratios' limit.

    Where the closed form cancels, one of α and β being small, the inner integral is summed numerically over it.
    """
    k = runs - 2
    alpha, beta = min(alpha, beta), max(alpha, beta)
    if alpha == 0:
        return -expm1(-(k + 1) * log1p(beta)) if beta > 0 else 1.0
    if k * log1p(alpha) > 0.1:
        return -expm1(-k * log1p(alpha)) - _power(beta, k) + _power(alpha + beta, k)
    x = alpha * (_NODES + 1) / 2
    inner = np.exp(-(k + 1) * np.log1p(x)) * -np.expm1(-(k + 1) * np.log1p(beta / (1 + x)))
    return float(k * alpha / 2 * (_WEIGHTS @ inner))


def _power(x: float, k: int) -> float:
    """(1 + x)^−k"""
    return exp(-k * log1p(x))


def _check_interval(lower: float, upper: float) -> None:
    if not (isfinite(lower) and isfinite(upper) and lower <= upper):
        raise OptionError(
            f"[{lower}, {upper}] is no interval",
            remedy="credibility takes two numbers, the smaller first",
            option="lower",
        )


def _check_margin(epsilon: float) -> None:
    if not 0 < epsilon < inf:
        raise OptionError(f"epsilon is {epsilon}", remedy="it takes a number above 0", option="epsilon")
