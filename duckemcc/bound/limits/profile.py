"""ℓ(q) = max {ℓ(x) : the query is q}: the profile likelihood, many samples and values of q at a time.

A primal-dual interior-point method on

    max Σ share log (Yx)   subject to   Ax = b,  N(x) − q D(x) = 0,  x ≥ 0

(N, D: the query's numerator and condition; without a condition D is one, and a ratio needs no Dinkelbach). Where N and
D are linear the problem is concave, and the maximum is found from any start. Where several distributions meet in a term
they are linear in each; each step takes the slopes where it stands, and what it comes to satisfies the conditions of a
maximum, of which there may be several.

With S = Y √share / Yx, a step solves (B X/Z Bᵀ + diag(1, 0)) = …, B = [S; A], block by block, and the one row that the
blocks share, the query's, is eliminated last (a Schur complement of size one).

Axes: b problem, f block of a stack, p pattern, t tie, u number, U: those of all blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.limits.problem import Problem, Stack
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

_STEPS = 70
_CLOSE = 1e-11  # complementarity at the end, per record
_NATS = 1e-4  # of all records that it may lose
_SOLVED, _NEARLY = 1e-8, 1e-6  # what the equations lack at the end, and where it gets no further
_LEVEL, _LEVELLED = 1e-6, 1e-4  # the same of the slopes, whose error tells in the second order only
_AIM = 0.3  # of the complementarity at the end, that a step aims at
_FAR = 0.995  # of the way to the boundary
_RIDGE = 1e-13  # of a diagonal, for ties that follow from others


class Top(NamedTuple):
    """The maximum of each problem. loglik [b] in nats, -inf where none was found; x, dual [b, U]: a number whose dual
    is larger is zero; slope [b, U]: of N − q D, zero without a q."""

    loglik: Floats
    x: Floats
    dual: Floats
    slope: Floats

    def put(self, places: Ints, others: Top) -> Top:
        """The same with other maxima at some places."""
        own = [part.copy() for part in self]
        for part, new in zip(own, others, strict=True):
            part[places] = new
        return Top(*own)


class _State(NamedTuple):
    x: Floats
    z: Floats
    ties: list[Floats]  # prices [b, f, t], by stack
    query: Floats  # price [b]


def maximise(problem: Problem, segments: Ints, q: Floats | None = None, start: Floats | None = None) -> Top:
    """The maximum in each of these segments [b], at q [b] (the query's constant taken off) if it is given. start
    [b, U]: without zeros, where several distributions meet in a term."""
    total = problem.total[segments]
    share = [stack.records[segments] / total[:, None, None] for stack in problem.stacks]
    size = len(segments)
    x = np.tile(problem.start, (size, 1)) if start is None else start
    state = _State(x, np.ones_like(x), [np.zeros((size, *s.right.shape)) for s in problem.stacks], np.zeros(size))
    best_x, best_z, best_h = x.copy(), state.z.copy(), np.zeros_like(x)
    found = np.zeros(size, bool)
    at = np.arange(size)  # the problems that are not done
    goal = np.minimum(_CLOSE, _NATS / np.maximum(total, 1.0))
    for step in range(_STEPS):
        tick()
        slope, off = _constrain(problem, state.x, None if q is None else q[at])
        rows, pull, lacking = _linearise(problem.stacks, state.x, [s[at] for s in share])
        mu = (state.x * state.z).mean(axis=1)
        price = np.concatenate(
            [
                (np.swapaxes(s.ties, 1, 2) @ p[..., None])[..., 0].reshape(len(at), -1)
                for s, p in zip(problem.stacks, state.ties, strict=True)
            ],
            axis=1,
        )
        left = pull + state.z - price - slope * state.query[:, None]
        short = np.maximum(np.abs(off), np.max([np.abs(v).max(axis=(1, 2)) for v in lacking], axis=0))
        rest = np.abs(left).max(axis=1)
        done = (mu < goal[at]) & (short < _SOLVED) & (rest < _LEVEL)
        lost = ~np.isfinite(mu) | ~np.isfinite(rest)
        stop = done | lost | (step == _STEPS - 1)
        if stop.any():
            own = at[stop]
            best_x[own], best_z[own], best_h[own] = state.x[stop], state.z[stop], slope[stop]
            near = (mu < 100 * goal[at]) & (short < _NEARLY) & (rest < _LEVELLED)
            found[own] = (done | near)[stop] & ~lost[stop]
            keep = ~stop
            if not keep.any():
                break
            at, slope, off, mu, left = at[keep], slope[keep], off[keep], mu[keep], left[keep]
            rows, lacking = [r[keep] for r in rows], [v[keep] for v in lacking]
            state = _State(state.x[keep], state.z[keep], [p[keep] for p in state.ties], state.query[keep])
        state = _move(problem.stacks, state, rows, slope, off, lacking, left, mu, goal[at], q is not None)
    loglik = np.where(found, total * _fit(problem.stacks, best_x, share), -np.inf)
    return Top(loglik, best_x, best_z, best_h)


def _constrain(problem: Problem, x: Floats, q: Floats | None) -> tuple[Floats, Floats]:
    """The slope of N − q D, and its value [b]."""
    if q is None:
        return np.zeros_like(x), np.zeros(len(x))
    here = problem.at(x)
    slope = here.value_slope - q[:, None] * here.given_slope if problem.query.conditional else here.value_slope
    return slope, here.value - q * here.given


def _fit(stacks: list[Stack], x: Floats, share: list[Floats]) -> Floats:
    """Σ share log (Yx) [b]."""
    total = np.zeros(len(x))
    for stack, own in zip(stacks, share, strict=True):
        fitted = (stack.rows @ stack.take(x)[..., None])[..., 0]
        total += np.where(own > 0, own * np.log(np.maximum(fitted, 1e-300)), 0.0).sum(axis=(1, 2))
    return total


def _linearise(stacks: list[Stack], x: Floats, share: list[Floats]) -> tuple[list[Floats], Floats, list[Floats]]:
    """S [b, f, p, u] of each stack, the likelihood's slope [b, U], and what the ties lack [b, f, t]."""
    rows, pull, lacking = [], [], []
    for stack, own in zip(stacks, share, strict=True):
        mine = stack.take(x)[..., None]
        fitted = np.maximum((stack.rows @ mine)[..., 0], 1e-300)
        rows.append(stack.rows * (np.sqrt(own) / fitted)[..., None])
        weight = np.where(own > 0, own / fitted, 0.0)
        pull.append((weight[..., None, :] @ stack.rows)[..., 0, :].reshape(len(x), -1))
        lacking.append(stack.right - (stack.ties @ mine)[..., 0])
    return rows, np.concatenate(pull, axis=1), lacking


def _move(
    stacks: list[Stack],
    state: _State,
    rows: list[Floats],
    slope: Floats,
    off: Floats,
    lacking: list[Floats],
    left: Floats,
    mu: Floats,
    goal: Floats,
    bound: bool,
) -> _State:
    """One step: where complementarity would go to zero, and then corrected for how far that gets (Mehrotra 1992).

    It is not to run ahead of the slopes: what is aimed at stays near the goal, or the equations lose their digits."""
    x, z = state.x, state.z
    solver = _Solver(stacks, x / z, rows, slope if bound else None)
    first = solver.solve(left - z, lacking, off)
    dz = -z - z / x * first[0]
    primal, dual = _length(x, first[0]), _length(z, dz)
    after = ((x + primal[:, None] * first[0]) * (z + dual[:, None] * dz)).mean(axis=1)
    sigma = np.clip((after / mu) ** 3, 1e-4, 1.0)
    least = np.minimum(primal, dual)
    sigma = np.where(least < 0.1, np.maximum(sigma, 0.5), sigma)
    aimed = np.maximum(sigma * mu, _AIM * goal)
    aim = aimed[:, None] - np.where(least[:, None] > 0.3, first[0] * dz, 0.0)
    dx, ties, query = solver.solve(left + (aim - x * z) / x, lacking, off)
    dz = (aim - x * z - z * dx) / x
    length = np.minimum(_length(x, dx), _length(z, dz))  # one for both, as the problem is not quadratic
    wide = length[:, None]
    return _State(
        x + wide * dx,
        z + wide * dz,
        [p + wide[..., None] * d for p, d in zip(state.ties, ties, strict=True)],
        state.query + length * query,
    )


class _Solver:
    """The equations of one step: (H + Z/X) dx + Aᵀ dν + h dη = r, A dx = lacking, h dx = −off."""

    def __init__(self, stacks: list[Stack], scale: Floats, rows: list[Floats], slope: Floats | None) -> None:
        self._stacks, self._scale, self._slope = stacks, scale, slope
        self._both, self._matrix = [], []
        for stack, own in zip(stacks, rows, strict=True):
            both = np.concatenate([own, np.broadcast_to(stack.ties, (len(own), *stack.ties.shape))], axis=2)
            matrix = (both * stack.take(scale)[..., None, :]) @ np.swapaxes(both, -1, -2)
            place, patterns = np.arange(both.shape[2]), own.shape[2]
            matrix[..., place, place] += np.where(place < patterns, 1.0, 0.0)
            matrix[..., place, place] *= 1 + _RIDGE
            matrix[..., place, place] += 1e-300
            self._both.append(both)
            self._matrix.append(matrix)
        if slope is not None:
            self._along = self._free(slope, None)  # dx and prices for a slope alone
            self._curve = np.maximum((slope * self._along[0]).sum(axis=1), 1e-300)

    def solve(self, right: Floats, lacking: list[Floats], off: Floats) -> tuple[Floats, list[Floats], Floats]:
        """dx, dν by stack, and dη."""
        dx, ties = self._free(right, lacking)
        if self._slope is None:
            return dx, ties, np.zeros(len(dx))
        query = ((self._slope * dx).sum(axis=1) + off) / self._curve
        dx = dx - query[:, None] * self._along[0]
        ties = [p - query[:, None, None] * d for p, d in zip(ties, self._along[1], strict=True)]
        return dx, ties, query

    def _free(self, right: Floats, lacking: list[Floats] | None) -> tuple[Floats, list[Floats]]:
        """The same without the query."""
        parts, prices = [], []
        for k, (stack, both, matrix) in enumerate(zip(self._stacks, self._both, self._matrix, strict=True)):
            scale, own = stack.take(self._scale), stack.take(right)
            goal = (both @ (scale * own)[..., None])[..., 0]
            patterns = both.shape[2] - stack.ties.shape[1]
            if lacking is not None:
                goal[..., patterns:] -= lacking[k]
            found = _solve(matrix, goal)
            parts.append((scale * (own - (found[..., None, :] @ both)[..., 0, :])).reshape(len(right), -1))
            prices.append(found[..., patterns:])
        return np.concatenate(parts, axis=1), prices


def _solve(matrix: Floats, right: Floats) -> Floats:
    size = np.sqrt(np.maximum(np.diagonal(matrix, axis1=-2, axis2=-1), 1e-300))
    scaled = matrix / size[..., None, :] / size[..., :, None]
    scaled = np.where(np.isfinite(scaled), scaled, 0.0) + _RIDGE * np.eye(scaled.shape[-1])
    try:
        return np.asarray(np.linalg.solve(scaled, (right / size)[..., None])[..., 0] / size)
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(scaled, hermitian=True) @ (right / size)[..., None])[..., 0] / size)


def _length(value: Floats, step: Floats) -> Floats:
    """The part [b] of a step, at most all of it, up to which values stay positive."""
    with np.errstate(all="ignore"):
        reach = np.where(step < 0, -value / step, np.inf)
    return np.minimum(1.0, _FAR * reach.min(axis=1))
