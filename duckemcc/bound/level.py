"""max c·θ subject to Σ_p n_p log (Yθ)_p ≥ ℓ: the PMFs of one factor that are likely enough, searched along a barrier.

The set is convex but not a polytope. With a floor t_p ≤ log m_p for each pattern it is Σ_p n_p t_p ≥ ℓ within a product
of exponential cones, and the maximum of c·θ + μ (Σ_u log θ_u + Σ_p [log(log m_p − t_p) + log m_p] + log(Σ n t − ℓ)) is
followed as μ goes to zero: these are self-concordant, so Newton's method comes to each (Boyd & Vandenberghe 2004, §9.6,
§11.5). Floors are eliminated. In the scale of θ the Hessian is I + BᵀB with a row of B per pattern, and one more, so a
step solves equations of that size only: with Bᵀ = QR, (I + BᵀB)⁻¹ = I − QQᵀ + Q(I + RRᵀ)⁻¹Qᵀ. As f is concave, c·θ' ≤
max_u (c + λYᵀ∇f)_u + λ(f − ℓ − ∇f·m) on the set for every λ ≥ 0: the bound told.

The range of a query over {θ : 2 (LL_sat − LL(θ)) ≤ χ²} is a confidence interval (`confidence.py`). The same set, with ℓ
the best log-likelihood found, holds whatever attains it.

Axes: p pattern with records, u exogenous state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import PRICED, Polytope
from duckemcc.learn.convex.newton import find_largest
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LEAST = 1e-2
"""Nats of slack at least: what is closer to the maximum cannot be followed, and a larger set is as valid a bound."""

_CLOSE = 1e-6  # of the value and its bound
_NEAR = 1e-4  # the same, where columns are priced
_FIRST, _SHRINK, _LAST = 0.1, 0.3, 1e-11  # of the barrier's weight
_NEWTON = 100  # steps at each weight
_DECREMENT = 1e-3
_RACE = 40  # primal and dual steps; then the barrier's way is taken
_START = 0.1  # of mu over the number of columns, where primal and dual steps begin
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


class Way(NamedTuple):
    """What was found with some of the columns: their masses with the largest value; upper, a bound over all columns,
    and own, over these; worth of all columns, where `own` is least: their costs and parts in the likelihood, which are
    the patterns' weights there [p]; rest: the bound less the worth of the dearest column."""

    masses: Floats
    value: float
    upper: float
    own: float
    worth: Floats
    weight: Floats
    rest: float = 0.0

    def after(self, masses: Floats, value: float, worth: Floats, weight: Floats, rest: float, dearest: float) -> Way:
        """The same after a point whose bound is `rest` above the worth of the dearest column."""
        masses, value = (masses, value) if value > self.value else (self.masses, self.value)
        upper = min(self.upper, float(worth.max()) + rest)
        if dearest + rest < self.own:
            return Way(masses, value, upper, dearest + rest, worth, weight, rest)
        return Way(masses, value, upper, self.own, self.worth, self.weight, self.rest)


class _Cones(NamedTuple):
    """θ with the floors t [p] below the logarithms of its fitted probabilities."""

    theta: Floats
    floor: Floats


class LevelSet(Polytope):
    """{θ ≥ 0 : Σθ = 1, f(Yθ) ≥ f(Y peak) − slack}, f(m) = Σ_p count[p] log m[p].

    peak [column]: a point from which `slack` nats are counted, `LEAST` at least. What `Polytope` says of the other
    arguments holds.
    """

    curved = True

    def __init__(
        self, classes: Ints, yields: Floats, peak: Floats, count: Floats, slack: float, key: bytes = b""
    ) -> None:
        super().__init__(classes, yields, peak, b"level" + key)
        total = max(float(count.sum()), 1e-300)
        self.share, self.slack = count / total, max(slack, LEAST) / total  # per record
        self._chosen = np.flatnonzero(peak)
        self.level = float(self.share @ np.log(self.fitted)) - self.slack

    def follow(self, costs: Floats) -> Way:
        """The largest costs·θ over all columns, with what prices others."""
        return self._follow(costs, np.arange(len(costs)))

    def residual(self, functions: Floats) -> Floats:
        """What is left of linear functions [k, u] without their constants: nothing else is settled in this set."""
        return functions - functions.mean(axis=1, keepdims=True)

    def _solve(self, costs: Floats) -> tuple[Floats, float, float]:
        """All columns at once, or few, and then those that could raise the maximum of these; errors of the
        peak do not matter, as the level is its own."""
        highest = float(costs.max())
        if len(costs) <= PRICED:
            way = self._follow(costs, np.arange(len(costs)))
            return way.masses, min(way.upper, highest), 0.0
        size = 4 * len(self.fitted)
        chosen, upper = np.union1d(self._chosen, find_largest(costs, size)), highest
        for _ in range(_ROUNDS):
            way = self._follow(costs, chosen)
            best, upper = np.zeros(len(costs)), min(upper, way.upper)
            best[chosen] = way.masses
            gain = way.worth - way.worth[chosen].max()
            dear = find_largest(gain, size)
            if upper - way.value <= _NEAR * max(1.0, float(np.ptp(costs))) or gain[dear].max() <= _CLOSE:
                break
            chosen = np.union1d(chosen, dear[gain[dear] > 0])
        self._chosen = np.flatnonzero((self.inside > 0) | (best > _USED))
        return best, upper, 0.0

    def _follow(self, costs: Floats, chosen: Ints) -> Way:
        """The way with some of the columns."""
        yields, own = self.yields[:, chosen], costs[chosen]
        theta = self._interior(yields, self.inside[chosen])
        span = max(float(np.ptp(own)), 1e-300)
        close = _CLOSE * max(1.0, span)
        with np.errstate(all="ignore"):  # what goes astray is found out by the bound
            way = self._race(costs, chosen, theta, span, close)
        fitted = yields @ theta
        at, weight = _Cones(theta, np.log(fitted) - self._margin(fitted) / 2), _FIRST * span
        while weight >= _LAST * span and not way.own - way.value <= close:
            at, moved = self._center(yields, at, own / weight)
            price = weight / (float(self.share @ at.floor) - self.level)
            way = self._pass(way, costs, chosen, at.theta, price)
            if not moved:
                break
            weight *= _SHRINK
        return way

    def _race(self, costs: Floats, chosen: Ints, theta: Floats, span: float, close: float) -> Way:
        """The same by primal and dual steps, which need a quarter of the iterations but may stray from the way."""
        yields, own = self.yields[:, chosen], costs[chosen]
        mu, margin = _START / len(own), self._margin(yields @ theta)
        way = Way(theta, float(own @ theta), np.inf, np.inf, costs, np.zeros(len(yields)))
        at: _Both | None = _Both(theta, mu / theta, mu / margin, mu) if margin > 0 else None
        for _ in range(_RACE):
            if at is None:
                break
            tick()
            way = self._pass(way, costs, chosen, at.theta, at.price * span)
            if way.own - way.value <= close:
                break
            at = self._move(yields, own / span, at)
        return way

    def _pass(self, way: Way, costs: Floats, chosen: Ints, theta: Floats, price: float) -> Way:
        """What a point on the way tells: with ∇f there and a price λ of the likelihood, a bound."""
        fitted = self.yields[:, chosen] @ theta
        slope = self.share / fitted
        worth = costs + price * (slope @ self.yields)
        rest = price * (self._margin(fitted) - float(slope @ fitted))
        return way.after(theta, float(costs[chosen] @ theta), worth, price * slope, rest, float(worth[chosen].max()))

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

    def _center(self, yields: Floats, at: _Cones, costs: Floats) -> tuple[_Cones, bool]:
        """Newton's method for max costs·θ + barrier on the simplex, and whether it moved."""
        moved = False
        for _ in range(_NEWTON):
            tick()
            with np.errstate(all="ignore"):  # told from the gain: no step is taken
                step, gain = self._newton_step(yields, at, costs)
            new = self._advance(yields, at, step, costs, gain) if _DECREMENT < gain < np.inf else None
            if new is None:
                break
            at, moved = new, True
        return at, moved

    def _newton_step(self, yields: Floats, at: _Cones, costs: Floats) -> tuple[_Cones, float]:
        """The step, its floors eliminated, and what it gains to the first order."""
        theta, floor = at
        fitted, share = yields @ theta, self.share
        above, excess = np.log(fitted) - floor, float(share @ floor) - self.level
        size = excess**2 + float((share * above) @ (share * above))

        def over_floors(v: Floats) -> Floats:
            """(1 / above² + share shareᵀ / excess²)⁻¹ v, over above²."""
            return v - share * (float((share * above**2) @ v) / size)

        slope = share / excess - 1 / above  # of the floors
        gradient = costs + 1 / theta + ((1 / above + 1) / fitted) @ yields
        rows = np.vstack(
            [yields * (np.sqrt(1 / above + 1) / fitted)[:, None], (share / fitted) @ yields / np.sqrt(size)]
        )
        along = _along_simplex(rows, theta, gradient + (over_floors(slope) / fitted) @ yields)
        lift = above**2 * over_floors(slope + yields @ along / (above**2 * fitted))
        return _Cones(along, lift), float(gradient @ along + slope @ lift)

    def _advance(self, yields: Floats, at: _Cones, step: _Cones, costs: Floats, gain: float) -> _Cones | None:
        """Along the step as far as the objective grows and the point stays inside; None where it does not grow."""
        length, here = _length(at.theta, step.theta), self._worth(yields, at, costs)
        while length > 1e-9:
            new = _Cones(at.theta + length * step.theta, at.floor + length * step.floor)
            if self._worth(yields, new, costs) >= here + 0.1 * length * gain:
                return new._replace(theta=new.theta / new.theta.sum())
            length /= 2
        return None

    def _worth(self, yields: Floats, at: _Cones, costs: Floats) -> float:
        fitted = yields @ at.theta
        above, excess = np.log(fitted) - at.floor, float(self.share @ at.floor) - self.level
        if not (above.min() > 0 and excess > 0):
            return -np.inf
        return float(costs @ at.theta + np.log(at.theta).sum() + np.log(above * fitted).sum() + np.log(excess))


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
