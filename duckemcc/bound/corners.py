"""{B θ : θ in a polytope}: the corners of a polytope's image under a few linear functions, found by linear programs.

A query depends on a factor only through the linear functions that its slope spans, and on the maximum-likelihood set
most of these are constant; the image that is left often has one or two dimensions, however many states there are. A
query that is multilinear in several factors, or a ratio of such, takes its extremes at corners of these images.

The image is grown from inside (a support oracle, as in projection by LP; Lassez & Lassez 1992): a program in a
direction orthogonal to the points found either leaves their affine hull or shows that there is nothing outside; then
every facet of their convex hull is either confirmed or yields a corner.

Axes: k corner, d linear function, u exogenous state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import Polytope
from duckemcc.learn.emcc import Tick

Floats = NDArray[np.float64]

THIN = 1e-9
"""Width of the image below which it is flat."""

MOST_DIMENSIONS = 9
"""Dimensions in which hulls are found, as their facets multiply with each."""

MOST_FACETS = 20_000
"""Facets of a hull up to which it is grown."""

_AT_ONCE = 100  # corners found before the next hull


class Corners(NamedTuple):
    """chances [k, u]: a PMF at each corner. complete: the image is the hull of these corners, to `THIN`."""

    chances: Floats
    complete: bool


def find_corners(polytope: Polytope, functions: Floats, most: int, tick: Tick = lambda: None) -> Corners:
    """The corners of the image under `functions` [d, u], at most about `most` of them; in more than `MOST_DIMENSIONS`
    only those furthest out along each of the functions.

    tick: called before each program.
    """
    if len(functions) > MOST_DIMENSIONS:
        sides = []
        for row in np.vstack([functions, -functions]):
            tick()
            sides.append(polytope.maximise(row).chances)
        return Corners(np.stack(sides), False)
    found = [polytope.point]
    flat: list[Floats] = []  # directions in which the image is flat
    basis = np.zeros((0, len(functions)))  # of the affine hull of the points found
    while len(basis) + len(flat) < len(functions):
        tick()
        direction = _outside(np.vstack([basis, *flat]) if flat else basis, len(functions))
        high = polytope.maximise(direction @ functions).chances
        low = polytope.maximise(-direction @ functions).chances
        ends = [c for c in (high, low) if abs(direction @ functions @ (c - found[0])) > THIN]
        if not ends:
            flat.append(direction[None])
            continue
        found += ends
        basis = _directions(functions, found)
    if not len(basis):
        return Corners(np.stack(found[:1]), True)
    return _complete(polytope, basis @ functions, found, most, tick)


def _outside(basis: Floats, dimension: int) -> Floats:
    """A unit vector orthogonal to the rows of `basis`."""
    if not len(basis):
        return np.eye(dimension)[0]
    return np.asarray(np.linalg.svd(basis, full_matrices=True)[2][-1])


def _directions(functions: Floats, found: list[Floats]) -> Floats:
    """An orthonormal basis [d', d] of the directions between the points found."""
    points = np.stack(found) @ functions.T
    _, size, rows = np.linalg.svd(points[1:] - points[0], full_matrices=False)
    return np.asarray(rows[size > THIN])


def _complete(polytope: Polytope, functions: Floats, found: list[Floats], most: int, tick: Tick) -> Corners:
    """The hull of the points found, grown until every facet is confirmed."""
    from scipy.spatial import ConvexHull, QhullError

    confirmed: set[tuple[float, ...]] = set()
    while True:
        points = np.stack(found) @ functions.T
        if points.shape[1] == 1:
            ends = [int(points.argmax()), int(points.argmin())]
            return Corners(np.stack([found[i] for i in ends]), True)
        try:
            hull = ConvexHull(points)
        except QhullError:
            return Corners(np.stack(found), False)
        if len(hull.equations) > MOST_FACETS:
            return Corners(np.stack([found[i] for i in hull.vertices]), False)
        new: list[Floats] = []
        for facet in np.unique(np.round(hull.equations, 9), axis=0):
            normal, offset = facet[:-1], -facet[-1]
            if tuple(facet) in confirmed:
                continue
            tick()
            best = polytope.maximise(normal @ functions)
            known = any(np.abs((best.chances - other) @ functions.T).max() <= THIN for other in [*found, *new])
            if best.value <= offset + 10 * THIN or known:
                confirmed.add(tuple(facet))
            else:
                new.append(best.chances)
            if len(found) + len(new) > most:
                return Corners(np.stack([found[i] for i in hull.vertices] + new), False)
            if len(new) == _AT_ONCE:
                break
        if not new:
            return Corners(np.stack([found[i] for i in hull.vertices]), True)
        found = [found[i] for i in hull.vertices] + new
