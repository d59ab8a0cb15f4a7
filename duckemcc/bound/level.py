"""max c·θ subject to Σ_p n_p log (Yθ)_p ≥ ℓ: the PMFs of one factor that are likely enough, searched along a barrier.

The set is convex but not a polytope. With f(m) = Σ_p n_p log m_p, the maximum of c·θ + μ (Σ_u log θ_u + log(f(Yθ) − ℓ))
on the simplex is followed as μ goes to zero (Newton's method; Boyd & Vandenberghe 2004, §11.3). In the scale of θ the
Hessian is I + BᵀB with a row of B per pattern, and one more, so a step solves equations of that size only: with Bᵀ =
QR, (I + BᵀB)⁻¹ = I − QQᵀ + Q(I + RRᵀ)⁻¹Qᵀ. As f is concave, c·θ' ≤ max_u (c + λYᵀ∇f)_u + λ(f − ℓ − ∇f·m) on the set
for every λ ≥ 0: the bound told.

The range of a query over {θ : 2 (LL_sat − LL(θ)) ≤ χ²} is a confidence interval (`confidence.py`). The same set, with ℓ
the best log-likelihood found, holds whatever attains it.

Axes: p pattern with records, u exogenous state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import PRICED, Polytope
from duckemcc.learn.maximum import find_largest

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LEAST = 1e-2
"""Nats of slack at least: what is closer to the maximum cannot be followed, and a larger set is as valid a bound."""

_CLOSE = 1e-6  # of the value and its bound
_NEAR = 1e-4  # the same, where columns are priced
_FIRST, _SHRINK, _LAST = 0.1, 0.15, 1e-13  # of the barrier's weight
_FIRST_NEWTON, _NEWTON = 200, 20  # steps at the first weight, and at each of the others
_DECREMENT = 1e-8
_RACE = 40  # primal and dual steps; then the barrier's way is taken
_FAR, _SHORT = 0.99, 1e-6  # of the way to the boundary; a step that gets nowhere
_LEFT = 1e-3  # of the margin, that a step leaves at least
_FAST, _SLOW = 0.05, 0.5  # of μ, that the next step aims at
_ROUNDS = 40
_USED = 1e-5  # mass of a column that the next program begins with


class _Both(NamedTuple):
    """θ with its own dual z [u] and the price λ of the likelihood; mu: what the next step aims at."""

    theta: Floats
    dual: Floats
    price: float
    mu: float


class LevelSet(Polytope):
    """{θ ≥ 0 : Σθ = 1, f(Yθ) ≥ f(Y peak) − slack}, f(m) = Σ_p count[p] log m[p].

    peak [column]: a point from which `slack` nats are counted, `LEAST` at least. What `Polytope` says of the other
    arguments holds.
    """

    def __init__(
        self, classes: Ints, yields: Floats, peak: Floats, count: Floats, slack: float, key: bytes = b""
    ) -> None:
        super().__init__(classes, yields, peak, b"level" + key)
        total = max(float(count.sum()), 1e-300)
        self.share, self.slack = count / total, max(slack, LEAST) / total  # per record
        self._chosen = np.flatnonzero(peak)
        self.level = float(self.share @ np.log(self.fitted)) - self.slack

    def residual(self, functions: Floats) -> Floats:
        """What is left of linear functions [k, u] without their constants: nothing else is settled in this set."""
        return functions - functions.mean(axis=1, keepdims=True)

    def _solve(self, costs: Floats) -> tuple[Floats, float, float]:
        """All columns at once, or few, and then those that could raise the maximum of these; errors of the
        peak do not matter, as the level is its own."""
        if len(costs) <= PRICED:
            return *self._follow(self.yields, self.inside, costs, self.yields, costs)[:2], 0.0
        size = 4 * len(self.fitted)
        chosen = np.union1d(self._chosen, find_largest(costs, size))
        upper = float(costs.max())
        for _ in range(_ROUNDS):
            inside = self.inside[chosen]
            masses, bound, priced = self._follow(self.yields[:, chosen], inside, costs[chosen], self.yields, costs)
            upper = min(upper, bound)
            gain = priced - priced[chosen].max()
            dear = find_largest(gain, size)
            if upper - costs[chosen] @ masses <= _NEAR * max(1.0, float(np.ptp(costs))) or gain[dear].max() <= _CLOSE:
                break
            chosen = np.union1d(chosen, dear[gain[dear] > 0])
        best = np.zeros(len(costs))
        best[chosen] = masses
        self._chosen = np.union1d(np.flatnonzero(self.inside), chosen[masses > _USED])
        return best, upper, 0.0

    def _follow(
        self, yields: Floats, inside: Floats, costs: Floats, all_yields: Floats, all_costs: Floats
    ) -> tuple[Floats, float, Floats]:
        """The barrier's way with some of the columns: masses of these, a bound over all columns, and what each of all
        columns is worth, its cost and its part in the likelihood."""
        theta = self._interior(yields, inside)
        span = max(float(np.ptp(costs)), 1e-300)
        with np.errstate(all="ignore"):  # what goes astray is found out by the bound
            best, upper, priced = self._race(yields, theta, costs, span, all_yields, all_costs)
        if upper - costs @ best <= _CLOSE * max(1.0, span):
            return best, min(upper, float(all_costs.max())), priced
        weight, steps = _FIRST * span / len(costs), _FIRST_NEWTON
        while weight >= _LAST * span:
            centered = self._center(yields, theta, costs / weight, steps)
            if centered is None:  # the weight is at the end of what rounding allows
                break
            theta = centered
            if costs @ theta > costs @ best:
                best = theta
            fitted = yields @ theta
            bound, worth = self._bound(fitted, all_yields, all_costs, weight / self._margin(fitted))
            if bound < upper:
                upper, priced = bound, worth
            if upper - costs @ best <= _CLOSE * max(1.0, span):
                break
            weight, steps = weight * _SHRINK, _NEWTON
        return best, min(upper, float(all_costs.max())), priced

    def _race(
        self, yields: Floats, theta: Floats, costs: Floats, span: float, all_yields: Floats, all_costs: Floats
    ) -> tuple[Floats, float, Floats]:
        """The same by primal and dual steps, which need a quarter of the iterations but may stray from the way."""
        best, upper, priced = theta, np.inf, all_costs
        mu, margin = _FIRST / len(costs), self._margin(yields @ theta)
        at: _Both | None = _Both(theta, mu / theta, mu / margin, mu) if margin > 0 else None
        for _ in range(_RACE):
            if at is None:
                break
            bound, worth = self._bound(yields @ at.theta, all_yields, all_costs, at.price * span)
            if bound < upper:
                upper, priced = bound, worth
            if costs @ at.theta > costs @ best:
                best = at.theta
            if not upper - costs @ best > _CLOSE * max(1.0, span):
                break
            at = self._move(yields, costs / span, at)
        return best, upper, priced

    def _move(self, yields: Floats, costs: Floats, at: _Both) -> _Both | None:
        """One Newton step towards z θ = μ, λ (f − ℓ) = μ and cost + λ Yᵀ∇f + z = ν: it solves (z / θ + AᵀA) dθ = cost +
        μ / θ + λ' Yᵀ∇f − ν, with a row of A per pattern, and (f − ℓ) λ' + λ ∇fᵀY dθ = μ for λ'. None where it is too
        short."""
        theta, dual, price, mu = at
        fitted = yields @ theta
        margin, pull = self._margin(fitted), (self.share / fitted) @ yields  # Yᵀ∇f
        rows = yields * (np.sqrt(price * self.share) / fitted)[:, None]
        right = np.stack([costs + mu / theta, pull, np.ones(len(theta))], axis=1)
        free, drawn, even = _solve_scaled(rows, np.sqrt(theta / dual), right).T
        free, drawn = (v - even * (v.sum() / even.sum()) for v in (free, drawn))
        aimed = float((mu / price - pull @ free) / (pull @ drawn + margin / price))
        step = free + aimed * drawn
        dual_step = (mu - dual * step) / theta - dual
        length = _length(theta, step)
        while not self._margin(yields @ (theta + length * step)) > _LEFT * margin:
            length /= 2
            if not length > _SHORT:
                return None
        dual_length = min(_length(dual, dual_step), _length(np.array([price]), np.array([aimed - price])))
        theta = theta + length * step
        theta, dual = theta / theta.sum(), dual + dual_length * dual_step
        price += dual_length * (aimed - price)
        margin = self._margin(yields @ theta)
        mu = float(dual @ theta + price * margin) / (len(theta) + 1)
        shrunk = mu * float(np.clip((1 - min(length, dual_length)) ** 2, _FAST, _SLOW))
        return _Both(theta, dual, price, shrunk) if margin > 0 else None

    def _interior(self, yields: Floats, inside: Floats) -> Floats:
        """A point with a log-likelihood above the level, and no chance zero."""
        share = 0.1
        while True:
            theta = (1 - share) * inside + share / len(inside)
            if self._margin(yields @ theta) > self.slack / 2 or share < 1e-15:
                return theta
            share /= 4

    def _margin(self, fitted: Floats) -> float:
        if fitted.min() <= 0:
            return -np.inf
        return float(self.share @ np.log(fitted)) - self.level

    def _center(self, yields: Floats, theta: Floats, costs: Floats, steps: int) -> Floats | None:
        """Newton's method for max costs·θ + Σ log θ + log margin on the simplex; None where it gets nowhere."""
        for _ in range(steps):
            fitted = yields @ theta
            margin = self._margin(fitted)
            slope = self.share / fitted
            if margin <= 0:
                return None
            gradient = costs + 1 / theta + slope @ yields / margin
            with np.errstate(over="ignore", invalid="ignore"):  # told from what follows: no step is taken
                step = self._newton_step(yields, theta, fitted, margin, gradient)
                gain = float(gradient @ step)
            if abs(gain) <= _DECREMENT:
                return theta
            advanced = self._advance(yields, theta, step, costs, gain) if 0 < gain < np.inf else None
            if advanced is None:
                return None
            theta = advanced
        return theta

    def _newton_step(self, yields: Floats, theta: Floats, fitted: Floats, margin: float, gradient: Floats) -> Floats:
        rows = yields * (np.sqrt(self.share / margin) / fitted)[:, None]
        return _along_simplex(np.vstack([rows, (self.share / fitted / margin) @ yields]), theta, gradient)

    def _advance(self, yields: Floats, theta: Floats, step: Floats, costs: Floats, gain: float) -> Floats | None:
        """Along the step as far as the objective grows and the point stays inside; None where it does not grow."""
        shrinking = step < 0
        length = min(1.0, 0.95 * float((-theta[shrinking] / step[shrinking]).min(initial=np.inf)))
        here = costs @ theta + np.log(theta).sum() + np.log(self._margin(yields @ theta))
        while length > 1e-6:
            new = theta + length * step
            margin = self._margin(yields @ new)
            if margin > 0 and costs @ new + np.log(new).sum() + np.log(margin) >= here + 0.1 * length * gain:
                return np.asarray(new / new.sum())
            length /= 2
        return None

    def _bound(self, fitted: Floats, yields: Floats, costs: Floats, price: float) -> tuple[float, Floats]:
        """The bound over all columns at a price λ of the likelihood, and what each is worth there."""
        margin = self._margin(fitted)
        slope = self.share / fitted
        worth = costs + price * (slope @ yields)
        return float(worth.max() + price * (margin - slope @ fitted)), worth


def _length(value: Floats, step: Floats) -> float:
    """How far along a step the values stay positive, one at most."""
    falling = step < 0
    return min(1.0, _FAR * float((-value[falling] / step[falling]).min(initial=np.inf)))


def _along_simplex(rows: Floats, scale: Floats, gradient: Floats) -> Floats:
    """The step dθ with (1 / scale² + rowsᵀ rows) dθ = gradient − ν and Σ dθ = 0; not a number where there is none."""
    free, even = _solve_scaled(rows, scale, np.stack([gradient, np.ones(len(scale))], axis=1)).T
    return np.asarray(free - even * (free.sum() / even.sum()))


def _solve_scaled(rows: Floats, scale: Floats, right: Floats) -> Floats:
    """(1 / scale² + rowsᵀ rows)⁻¹ right; not numbers where there is none."""
    basis, size = np.linalg.qr((rows * scale).T)
    inner = size @ size.T
    inner.flat[:: len(inner) + 1] += 1.0
    right = scale[:, None] * right
    inside = basis.T @ right
    try:
        return np.asarray(scale[:, None] * (right - basis @ inside + basis @ np.linalg.solve(inner, inside)))
    except np.linalg.LinAlgError:  # patterns so rare that one of the ones is lost
        return np.full(right.shape, np.nan)
