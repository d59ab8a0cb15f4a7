"""max_θ Σ_p s_p log(Yθ)_p on the simplex for many segments at a time: an interior-point method on the dual.

With w_p = s_p / (Yθ)_p the conditions of the maximum are z = 1 − Yᵀw ≥ 0, θ ≥ 0 and θ_u z_u = 0 (Koenker & Mizera
2014). Mehrotra's predictor and corrector bring θ_u z_u to about zero in six or seven steps, each of which solves
(Y D Yᵀ + E) dw = …, D = θ/z, E = (Yθ)/w. Patterns are redundant (those of a context sum to one), and along what Yᵀ does
not see only E acts, so the system is written in the eigenvectors of Y Yᵀ, in which it is well scaled.

The states that stay positive are then known, and the maximum is *finished* on them: Yᵀw = 1 is linear there, w is found
by Newton's method within it, which leaves an error of 1e-15, and θ is moved to Yθ = s/w. θ is positive on all states
that some maximum has, or nearly.

What is not found this way, by the duality bound (`maximum.py`), is left to that module: the steps here are no proof.

Axes: s segment, p distinct pattern, u exogenous state, k eigenvector. Every matrix product has the shape of one
segment, and every system is solved on its own, so a segment's answer does not depend on its neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.linear import solve_each

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ITERATIONS = 40
_CENTRED = 1e-11  # Σ θ z at which the positive states are told apart
_POSITIVE = 0.1  # θ/z of a state that stays positive
_BACK = 0.9995  # of the way to the boundary
_SAFE = 0.7  # of the way to w = 0, near which s/w is far from linear
_FITTED = 1e-6  # |w Yθ − s| at most, when the steps end
_RANK = 1e-9  # of the largest eigenvalue
_RIDGE = 1e-15
_FINISHING = 4


class _Problem(NamedTuple):
    """yields [p, u], columns its transpose; share [s, p], seen where it is positive."""

    yields: Floats
    columns: Floats
    share: Floats
    seen: Bools

    def fit(self, theta: Floats) -> Floats:
        """Yθ [s, p]."""
        return np.asarray(np.matmul(theta[:, None, :], self.columns)[:, 0])

    def pull(self, weight: Floats) -> Floats:
        """Yᵀw [s, u]."""
        return np.asarray(np.matmul(weight[:, None, :], self.yields)[:, 0])

    def over(self, value: Floats) -> Floats:
        """s/v [s, p], zero for patterns without records."""
        return np.divide(self.share, value, out=np.zeros_like(self.share), where=self.seen)

    def part(self, chosen: Bools) -> _Problem:
        return self._replace(share=self.share[chosen], seen=self.seen[chosen])


class _State(NamedTuple):
    theta: Floats
    weight: Floats
    slack: Floats


def find_interior(yields: Floats, share: Floats) -> tuple[Floats, Bools]:
    """θ [s, u] at the maximum, as far as it was found, and whether it is a PMF [s] that gives every pattern seen some
    probability. share [s, p] sums to one."""
    problem = _Problem(yields, np.ascontiguousarray(yields.T), share, share > 0)
    with np.errstate(all="ignore"):  # what goes astray is found out here, or by the duality bound
        found = _approach(problem)
        alive = found.theta > _POSITIVE * found.slack
        theta = _finish(problem, found, alive)
        theta = np.where(_is_sound(problem, theta)[:, None], theta, np.where(alive, found.theta, 0.0))
        theta = theta / theta.sum(axis=1, keepdims=True)
        return theta, _is_sound(problem, theta)


def _is_sound(problem: _Problem, theta: Floats) -> Bools:
    return np.asarray(np.isfinite(theta).all(axis=1) & ((problem.fit(theta) > 0) | ~problem.seen).all(axis=1))


# -- the interior-point method -----------------------------------------------------------------------


def _approach(problem: _Problem) -> _State:
    """Steps until Σ θ z is small in every segment."""
    whole = _begin(problem)
    axes, rows = _axes_of(problem.yields[None], problem.seen)
    active = np.arange(len(problem.share))
    own = whole
    for _ in range(_ITERATIONS):
        missed = np.abs(own.weight * problem.fit(own.theta) - problem.share).max(axis=1)
        going = ((own.theta * own.slack).sum(axis=1) > _CENTRED) | (missed > _FITTED)  # false if not a number
        if not going.all():
            active, problem, axes, rows = active[going], problem.part(going), axes[going], rows[going]
            own = _State(*(a[going] for a in own))
        if not len(active):
            break
        own = _step(problem, own, axes, rows)
        for all_of, part in zip(whole, own, strict=True):
            all_of[active] = part
    return whole


def _begin(problem: _Problem) -> _State:
    """Equal chances, scaled up until every slack is positive."""
    segments, states = len(problem.share), problem.yields.shape[1]
    theta = np.full((segments, states), 1 / states)
    theta *= 1.05 * problem.pull(problem.over(problem.fit(theta))).max(axis=1, keepdims=True)
    weight = problem.over(problem.fit(theta))
    return _State(theta, weight, 1 - problem.pull(weight))


def _axes_of(yields: Floats, seen: Bools) -> tuple[Floats, Floats]:
    """Eigenvectors of Y Yᵀ among the patterns seen [s, k, p], and Y along them [s, k, u], zero where it must be."""
    shown, place = np.unique(seen, axis=0, return_inverse=True)
    own = yields * shown[:, :, None]
    values, vectors = np.linalg.eigh(np.matmul(own, np.swapaxes(own, 1, 2)))
    axes = np.ascontiguousarray(np.swapaxes(vectors, 1, 2))
    rows = np.matmul(axes, own) * (values > _RANK * values[:, -1:])[:, :, None]
    return axes[place.reshape(-1)], rows[place.reshape(-1)]


def _step(problem: _Problem, own: _State, axes: Floats, rows: Floats) -> _State:
    theta, weight, slack = own
    ratio = theta / slack
    off = 1 - problem.pull(weight) - slack
    safe = np.where(problem.seen, weight, 1.0)
    curve = np.where(problem.seen, problem.fit(theta) / safe, 1.0)
    matrix = np.matmul(rows * ratio[:, None, :], np.swapaxes(rows, 1, 2))
    matrix += np.matmul(axes * curve[:, None, :], np.swapaxes(axes, 1, 2))
    matrix, scale = _scaled(matrix)

    def aim(target: Floats, share: Floats) -> _State:
        """The change that brings θ z to the target and w Yθ to the share, to first order."""
        wanted = target / slack - ratio * off
        right = np.matmul(axes, (share / safe)[..., None])[..., 0] - np.matmul(rows, wanted[..., None])[..., 0]
        solved = solve_each(matrix, right * scale) * scale
        gain = off - np.matmul(solved[:, None, :], rows)[:, 0]
        moved = np.where(problem.seen, np.matmul(solved[:, None, :], axes)[:, 0], 0.0)
        return _State(target / slack - theta - ratio * gain, moved, gain)

    product = (theta * slack).sum(axis=1)
    ahead = aim(np.zeros_like(theta), problem.share)
    here = _go(problem, own, ahead, 1.0)
    centre = ((here.theta * here.slack).sum(axis=1) / product) ** 3 * product / theta.shape[1]
    share = problem.share - ahead.weight * problem.fit(ahead.theta)
    return _go(problem, own, aim(centre[:, None] - ahead.theta * ahead.slack, share), _BACK)


def _go(problem: _Problem, own: _State, change: _State, back: float) -> _State:
    """As far along the change as everything stays positive."""
    first = _reach(own.theta, change.theta, back)
    weight = np.where(problem.seen, own.weight, 1.0)
    second = np.minimum(_reach(own.slack, change.slack, back), _reach(weight, change.weight, _SAFE))
    return _State(
        own.theta + first * change.theta, own.weight + second * change.weight, own.slack + second * change.slack
    )


def _reach(value: Floats, change: Floats, back: float) -> Floats:
    """The part [s, 1] of the change, at most all of it, up to which values stay positive."""
    least = (change / value).min(axis=1, keepdims=True)
    return np.asarray(np.where(least * back < -back * back, -back / np.where(least < 0, least, -1.0), 1.0))


def _scaled(matrix: Floats) -> tuple[Floats, Floats]:
    """The matrices [s, k, k] with ones on their diagonals, and the factors [s, k] that made them so."""
    scale = 1 / np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
    matrix = matrix * scale[:, :, None] * scale[:, None, :]
    return matrix + _RIDGE * np.eye(matrix.shape[1]), scale


# -- the end -----------------------------------------------------------------------------------------


def _finish(problem: _Problem, found: _State, alive: Bools) -> Floats:
    """θ on the states that stay positive, where Yᵀw = 1."""
    kept = alive.astype(np.float64)
    own = problem.yields * kept[:, None, :] * problem.seen[:, :, None]
    own = np.where(np.isfinite(own).all(axis=(1, 2), keepdims=True), own, 0.0)
    values, vectors = np.linalg.eigh(np.matmul(own, np.swapaxes(own, 1, 2)))
    axes = np.ascontiguousarray(np.swapaxes(vectors, 1, 2))
    spanned = values > _RANK * np.maximum(values[:, -1:], 1e-300)
    weight = _settle_weights(problem, found.weight, own, kept, axes, values, spanned)
    return _settle_chances(problem, found.theta * kept, problem.over(weight), own, axes, spanned)


def _settle_weights(
    problem: _Problem, weight: Floats, own: Floats, kept: Floats, axes: Floats, values: Floats, spanned: Bools
) -> Floats:
    """w with Yᵀw = 1 on the states kept and the largest Σ s log w: Newton's method in what that leaves free."""
    free = ~spanned
    for _ in range(_FINISHING):
        off = np.matmul(own, ((1 - problem.pull(weight)) * kept)[..., None])
        across = np.divide(np.matmul(axes, off)[..., 0], values, out=np.zeros_like(values), where=spanned)
        fitted = problem.over(weight)
        curve = np.where(problem.seen, fitted / np.where(problem.seen, weight, 1.0), 1.0)
        matrix = np.matmul(axes * curve[:, None, :], np.swapaxes(axes, 1, 2))
        right = np.matmul(axes, fitted[..., None])[..., 0] - np.matmul(matrix, across[..., None])[..., 0]
        matrix = matrix * (free[:, :, None] & free[:, None, :]) + np.eye(matrix.shape[1]) * spanned[:, :, None]
        along = across + solve_each(matrix, np.where(free, right, 0.0))
        new = weight + np.matmul(along[:, None, :], axes)[:, 0]
        weight = np.where(problem.seen, np.maximum(new, 0.1 * weight), 0.0)
    return weight


def _settle_chances(
    problem: _Problem, theta: Floats, goal: Floats, own: Floats, axes: Floats, spanned: Bools
) -> Floats:
    """θ moved to Yθ = goal, each chance in proportion to itself."""
    rows = np.matmul(axes, own) * spanned[:, :, None]
    for _ in range(_FINISHING - 1):
        away = np.where(problem.seen, goal - problem.fit(theta), 0.0)
        matrix = np.matmul(rows * theta[:, None, :], np.swapaxes(rows, 1, 2))
        matrix, scale = _scaled(matrix + ~spanned[:, :, None] * np.eye(matrix.shape[1]))
        right = np.where(spanned, np.matmul(axes, away[..., None])[..., 0], 0.0)
        change = np.matmul((solve_each(matrix, right * scale) * scale)[:, None, :], rows)[:, 0]
        theta = theta * np.maximum(1 + change, 0.01)
    return theta
