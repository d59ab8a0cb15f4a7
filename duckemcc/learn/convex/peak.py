"""max Σ_p n_p log (Yx)_p over the entries x of a junction tree: the maximum of a piece's likelihood, with its proof.

A primal-dual interior-point method on

    max Σ_p share_p log (Yx)_p   subject to   Ax = b, x ≥ 0

(A, b: what makes entries a distribution). Its equations have the size of patterns and ties, not of entries:
[Y; A] D⁻¹ [Y; A]ᵀ with D = z / x. The duals prove the maximum: with w = share / Yx and Yᵀw + Aᵀλ ≤ 0 in every entry,
LL_max ≤ LL − N (1 + λ·b). Which entries are zero is read off x and z; on the others the equations are then solved
exactly, and what that changes tells how far the fitted probabilities can be from those of the maximum (as in
`bound.certificate`).

Axes: p pattern, x entry, q tie.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.linear import solve_each
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ITERATIONS = 100
_CLOSE = 1e-14  # what is left of the conditions of a maximum when it ends
_IDLE = 3  # steps without less of it
_FAR = 0.9995  # of the way to the boundary
_CENTER = 0.1  # of the complementarity, that the next step aims at
_ROUNDING = 2.0**-52
_SMALL = 0.05
_FINISHED = 1_000_000  # live entries times patterns up to which the maximum is finished: some tenths of a second
_SIEVED = 5
_NEWTON = 20
_STILL = 1e-10  # relative change of the weights in a step, after which the next one would be rounding
_MET = 1e-12
_SOLVED = 1e-10
_DENSE = 100_000  # entries of equations that are solved at once; larger ones are sparse, and solved by iteration


class Peak(NamedTuple):
    """point [x] with its fitted probabilities [p]; excess: (LL_max - LL) / N at most; error [p]: |fitted - those of the
    maximum| at most, infinite if it is not known."""

    point: Floats
    fitted: Floats
    excess: float
    error: Floats


def find_peak(rows: Floats, ties: Floats, right: Floats, start: Floats, count: Floats) -> Peak:
    """The maximum for positive counts [p]. rows [p, x]; ties [q, x], right [q]; start [x]: inside the set, all entries
    positive."""
    from scipy.sparse import csr_array

    idle = 0
    share = count / count.sum()
    both = csr_array(np.vstack([rows, ties]))
    size, patterns = rows.shape[1], len(rows)
    x = start.copy()
    fitted = rows @ x
    price = np.zeros(len(ties))
    dual = np.maximum(1.0 / (size * x), 1e-8)
    best: tuple[float, Floats, Floats, Floats] | None = None
    for _ in range(_ITERATIONS):
        tick()
        weight = share / fitted
        # stationarity: rowsᵀ weight + tiesᵀ price + dual = 0
        mu = float(x @ dual) / size
        slack = -(weight @ rows) - price @ ties
        left = float(np.abs(slack - dual).max())
        excess = abs(1 + float(price @ right))
        if best is None or mu + left + excess < best[0]:
            best, idle = (mu + left + excess, x.copy(), dual.copy(), price.copy()), 0
        else:
            idle += 1
        if mu + left + excess < _CLOSE or idle >= _IDLE:
            break
        step = _step(both, patterns, share, fitted, x, dual, slack, right - ties @ x, _CENTER * mu)
        if step is None:
            break
        dx, dz, dprice = step
        length = min(_length(x, dx), _length(dual, dz), 1.0)  # one for both, as the objective is not linear
        x, dual, price = x + length * dx, dual + length * dz, price + length * dprice
        fitted = rows @ x
    assert best is not None
    _, x, dual, price = best
    return _settle(rows, ties, right, share, x, dual, price)


def _step(
    both: Any,
    patterns: int,
    share: Floats,
    fitted: Floats,
    x: Floats,
    dual: Floats,
    slack: Floats,
    lacking: Floats,
    mu: float,
) -> tuple[Floats, Floats, Floats] | None:
    """One Newton step. With dw = -share / fitted² · rows dx as unknowns beside dprice, dx = (x / z) (bothᵀ (dw, dprice)
    - slack + mu / x)."""
    from scipy.linalg.lapack import dgetrf, dgetrs

    scale = x / dual
    gram = (both.multiply(scale) @ both.T).toarray()
    gram[np.arange(patterns), np.arange(patterns)] += fitted**2 / share
    base = scale * (mu / x - slack)
    target = -(both @ base)
    target[patterns:] += lacking
    if not (np.isfinite(gram).all() and np.isfinite(target).all()):
        return None
    factors, pivots, _ = dgetrf(gram)  # singular if ties follow from others: not finite then, or solved all the same
    found = dgetrs(factors, pivots, target)[0]
    found = found + dgetrs(factors, pivots, target - gram @ found)[0]
    if not np.isfinite(found).all():
        return None
    dx = base + scale * (both.T @ found)
    dz = mu / x - dual - dual / x * dx
    return dx, dz, found[patterns:]


def _length(value: Floats, step: Floats) -> float:
    falling = step < 0
    return _FAR * float((-value[falling] / step[falling]).min(initial=np.inf))


def _settle(rows: Floats, ties: Floats, right: Floats, share: Floats, x: Floats, dual: Floats, price: Floats) -> Peak:
    """The point without the dust of entries that are zero, and the proof."""
    live = x > dual
    if live.sum() * len(share) <= _FINISHED:
        for _ in range(_SIEVED):
            found = _finish(rows, ties, right, share, x, live, price)
            if found is None or found[0].min() >= 0:
                break
            live = live & (found[0] > 0)  # that an entry was thought positive is what was wrong
        if found is not None and found[0].min() >= 0:
            x, price = found
    point = _repair(ties, right, np.where(live, x, 0.0), live)
    fitted = rows @ point
    if point.min() < 0 or fitted.min() <= 0:
        point = x / float(x @ ties[0])
        fitted = rows @ point
    weight = share / fitted
    excess = _excess(rows, ties, right, weight, price)
    return Peak(point, fitted, excess, _bound_error(rows, ties, share, fitted, live, price, right, point))


def _finish(
    rows: Floats, ties: Floats, right: Floats, share: Floats, x: Floats, live: Bools, price: Floats
) -> tuple[Floats, Floats] | None:
    """The maximum on the live entries, if these are all that are positive there, and its prices; None if it is not
    found. What is left is smooth: with v = (w, λ), min −Σ share log w − λ·b subject to rowsᵀ w + tiesᵀ λ = 0, by
    Newton's method in what that leaves free. The point is then moved to rows·x = share / w."""
    both = np.vstack([rows, ties])[:, live]
    _, sizes, axes = np.linalg.svd(both.T, full_matrices=True)
    rank = int((sizes > 1e-11 * sizes[0]).sum()) if len(sizes) else 0
    free, count = axes[rank:], len(share)
    v = free.T @ (free @ np.concatenate([share / (rows @ x), price]))
    for _ in range(_NEWTON):
        weight = v[:count]
        if weight.min(initial=1.0) <= 0 or not len(free):
            return None
        slope = free @ np.concatenate([share / weight, right])
        curve = (free[:, :count] * (share / weight**2)) @ free[:, :count].T
        scale = np.diagonal(curve).copy()
        scale = 1 / np.sqrt(
            np.where(scale > 0, scale, 1.0)
        )  # prices alone, of ties that follow from others, weigh nothing
        step = solve_each((curve * scale * scale[:, None])[None], (slope * scale)[None])[0] * scale @ free
        falling = step[:count] < 0
        length = min(1.0, _FAR * float((-weight[falling] / step[:count][falling]).min(initial=np.inf)))
        v = v + length * step
        if np.abs(step[:count] / weight).max() <= _STILL:
            break
    goal = np.append(share / v[:count], right)
    root = np.sqrt(np.where(live, np.abs(x), 0.0))[live]
    point = x[live]
    inverse = np.linalg.pinv(both * root, rcond=1e-12)
    for _ in range(3):
        point = point + root * (inverse @ (goal - both @ point))
    if not np.isfinite(point).all() or np.abs(goal - both @ point).max() > _MET:
        return None
    found = np.zeros_like(x)
    found[live] = point
    return found, v[count:]


def _repair(ties: Floats, right: Floats, point: Floats, live: Bools) -> Floats:
    """The nearest point that satisfies the ties, on the live entries, relative to their size."""
    for _ in range(3):
        left = right - ties @ point
        if np.abs(left).max() <= 4 * _ROUNDING:
            break
        root = np.sqrt(np.where(live, point, 0.0))
        point = point + root * _least(ties * root, left)
    return point


def _least(matrix: Floats, right: Floats) -> Floats:
    """The shortest solution of equations that have one, or nearly one."""
    if matrix.size <= _DENSE:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=1e-12)[0])
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import lsmr

    sparse = csr_array(matrix)
    found = np.zeros(matrix.shape[1])
    for _ in range(3):
        found = found + lsmr(sparse, right - sparse @ found, atol=1e-15, btol=1e-15, conlim=1e14, maxiter=4000)[0]
    return found


def _excess(rows: Floats, ties: Floats, right: Floats, weight: Floats, price: Floats) -> float:
    """max over the set of (rowsᵀ weight)·x - 1: a bound on what log-likelihood per record is missing, by the duals."""
    over = float((weight @ rows + price @ ties).max())
    return max(0.0, -float(price @ right) - 1) + max(over, 0.0) * _cliques(ties)


def _cliques(ties: Floats) -> float:
    """Entries sum to the number of cliques."""
    return float(len(ties))


def _bound_error(
    rows: Floats, ties: Floats, share: Floats, fitted: Floats, live: Bools, price: Floats, right: Floats, point: Floats
) -> Floats:
    """|fitted - m| at most [p]: the fitted probabilities are the exact maximum of counts that differ by factors 1 + δ,
    if weights exist with rowsᵀ w + tiesᵀ λ = 0 on the live entries and ≤ 0 on the others (`bound.certificate`)."""
    unknown = np.full(len(share), np.inf)
    weight = share / fitted
    both = np.vstack([rows, ties])[:, live]
    left = -(np.concatenate([weight, price]) @ both)
    scale = np.concatenate([weight, np.ones(len(price))])
    change = scale * _least((both * scale[:, None]).T, left)
    moved, dearer = weight + change[: len(weight)], price + change[len(weight) :]
    over = moved @ rows + dearer @ ties
    if np.abs(over[live]).max(initial=0.0) > _SOLVED or over.max() > _SOLVED or moved.min() <= 0:
        return unknown
    missing = np.abs(ties @ point - right).max()
    relative = np.abs(change[: len(weight)]) / weight + 4 * len(share) * _ROUNDING
    relative += max(np.abs(over[live]).max(initial=0.0), over.max()) * len(ties) + missing
    size = float(np.sqrt(share @ relative**2))
    if relative.max() > 0.25 or size > _SMALL * np.sqrt(share.min()):
        return unknown
    return np.asarray((1 + 2 * _SMALL) * size * fitted / np.sqrt(share))
