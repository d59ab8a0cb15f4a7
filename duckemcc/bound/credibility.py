"""P(true ends within ε L of the learned ones | r runs): credible intervals (the paper's Figure 3, right).

For r runs spread uniformly over the true interval, whose smallest and largest values are a and b, L = b − a, and a
flat prior on the true ends inside the query's range [0, 1], the posterior density of the ends (a − x, b + y) is
∝ (L + x + y)^−r (Zaffalon et al. 2022), so

    P = G(min(εL, a), min(εL, 1 − b)) / G(a, 1 − b),
    G(α, β) = 1 − (1 + α/L)^(2−r) − (1 + β/L)^(2−r) + (1 + (α + β)/L)^(2−r)

It assumes that the runs spread uniformly over the true interval, and they do not: on Table 1's observational data 30
runs from `dirichlet(1)` give about .87 for an interval that covers a third of the true one. It is no guarantee.
"""

from __future__ import annotations

import math

import numpy as np

EPSILON = 0.1

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def credibility(
    lower: float, upper: float, runs: int, *, low: float = 0.0, high: float = 1.0, epsilon: float = EPSILON
) -> float | None:
    """The probability that the true interval is within a margin ε L of [lower, upper] on either side.

    low, high: the query's own range, such as −1 and 1 for an average causal effect. None for fewer than three runs,
    where the posterior is improper. Always in [0, 1].
    """
    if runs < 3:
        return None
    scale = high - low
    a, b = min(max((lower - low) / scale, 0.0), 1.0), min(max((upper - low) / scale, 0.0), 1.0)
    width = max(b - a, 1e-12)
    left, right = a, 1 - b
    near_left, near_right = min(epsilon * width, left), min(epsilon * width, right)
    whole = _mass(left / width, right / width, runs)
    near = _mass(near_left / width, near_right / width, runs)
    return min(max(near / whole, 0.0), 1.0)


def credibility_as_published(width: float, runs: int, *, epsilon: float = EPSILON) -> float:
    """The authors' form, for comparison: it depends on L alone and exceeds 1 for large L (THEORY §6)."""
    k = runs - 2
    near = 1 + (1 + 2 * epsilon) ** -k - 2 * (1 + epsilon) ** -k
    log_width = math.log(width)
    return near / (1 - math.exp(k * log_width) - k * (1 - width) * math.exp(k * log_width))


def _mass(alpha: float, beta: float, runs: int) -> float:
    """∫₀^α ∫₀^β (1 + x + y)^−r dy dx, in units that cancel in the ratio; with no room on a side, over the other alone.

    α and β in units of L. The closed form cancels where both are small, so the inner integral is then summed
    numerically.
    """
    k = runs - 2
    if alpha == 0 or beta == 0:
        return -math.expm1(-(k + 1) * math.log1p(max(alpha, beta))) if max(alpha, beta) > 0 else 1.0
    if k * math.log1p(min(alpha, beta)) > 0.1:
        return 1 - (1 + alpha) ** -k - (1 + beta) ** -k + (1 + alpha + beta) ** -k
    alpha, beta = min(alpha, beta), max(alpha, beta)
    x = alpha * (_NODES + 1) / 2
    inner = np.exp(-(k + 1) * np.log1p(x)) * -np.expm1(-(k + 1) * np.log1p(beta / (1 + x)))
    return float(k * alpha / 2 * (_WEIGHTS @ inner))
