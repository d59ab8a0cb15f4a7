"""The functions of each cause in which patterns and query are not linear, once what is settled is a constant.

With Π_j the projection off the settled functions of cause j, a function T of two causes is linear but for Π_1 T Π_2,
whose left and right spaces are the functions of each cause that are multiplied. Few as a rule (1 to 4 where a variable
is not recorded): their ranges are what is searched, and not those of the chances.

Axes: k function, u state of one cause, w joint state of the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.problem import Problem

Floats = NDArray[np.float64]

_NOTHING = 1e-10
_RANK = 1e-8
_NEARLY_ALL = 2
"""Functions that a cause may lack to have as many as states, whose chances are then taken themselves."""


def find_bilinear(problem: Problem, settled: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Functions [k, u] of each cause with values from 0 to 1; none where all is linear in it."""
    off = [np.eye(len(basis.T)) - basis.T @ basis for basis in settled]
    return tuple(_find_one(problem, off, j) for j in range(problem.causes))


def _find_one(problem: Problem, off: list[Floats], j: int) -> Floats:
    import scipy.linalg

    card = problem.cards[j]
    raw, left = [], []
    for function in problem.functions:
        table = np.moveaxis(function, j, 0).reshape(card, -1)
        own = off[j] @ table
        raw.append(table)
        # with two others or more, what depends on none of them is what is surely linear
        left.append(own @ off[1 - j] if problem.causes == 2 else own - own.mean(axis=1, keepdims=True))
    slices, rest = np.hstack(raw), np.hstack(left)
    rest = np.where(np.abs(rest) < _NOTHING, 0.0, rest)
    size = np.linalg.svd(rest, compute_uv=False)
    rank = int((size > _RANK * max(1.0, size.max(initial=0.0))).sum())
    if not rank:
        return np.zeros((0, card))
    if rank >= card - _NEARLY_ALL:
        return np.eye(card)
    projected = off[j] @ slices
    simple = int((np.linalg.svd(projected, compute_uv=False) > _RANK).sum()) == rank
    order = scipy.linalg.qr(projected if simple else rest, mode="economic", pivoting=True)[2]
    chosen = (slices if simple else rest)[:, order[:rank]].T
    low = chosen.min(axis=1, keepdims=True)
    return np.asarray((chosen - low) / np.ptp(chosen, axis=1)[:, None])
