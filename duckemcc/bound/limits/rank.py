"""r(q) = max(1, D − dim F): the degrees of freedom that the data leave a value of the query (Cox & Shi 2022).

D is the dimension of what the model can fit among the patterns that were seen or are fitted; F, the numbers that may be
positive at the maximum for q, spans dim F of them without moving the query. Both are ranks of a block's rows over its
ties, added up; only the query's row is shared.

Axes: f block of a stack, p pattern, u number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.limits.problem import Problem, Stack
from duckemcc.bound.limits.profile import Top

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

_RANK = 1e-8  # of the largest singular value
_MOVES = 1e-7  # of a slope, what is left of it on a face that counts


class _Face(NamedTuple):
    """all, own: D and dim F of a block without the query. ties, rows: orthonormal bases [k, F] of what ties, and ties
    and patterns together, settle on the face."""

    all: int
    own: int
    ties: Floats
    rows: Floats


class Ranks:
    """The degrees of freedom of one problem, whose faces are remembered."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._faces: dict[tuple[int, int, bytes, bytes], _Face] = {}

    def __call__(self, top: Top, segments: Ints) -> tuple[Ints, Ints]:
        """D and r [b] of maxima in these segments."""
        size = len(segments)
        every, own = np.zeros(size, np.intp), np.zeros(size, np.intp)
        moves, within = np.zeros(size, bool), np.ones(size, bool)
        for k, stack in enumerate(self._problem.stacks):
            face = stack.take(top.x) > stack.take(top.dual)
            slope = stack.take(top.slope)
            for b in range(size):
                for f in range(stack.rows.shape[0]):
                    found = self._look(k, stack, f, face[b, f], int(segments[b]))
                    every[b] += found.all
                    own[b] += found.own
                    here = slope[b, f, face[b, f]]
                    left = here - (found.ties @ here) @ found.ties
                    scale = _MOVES * max(float(np.abs(here).max(initial=0.0)), 1e-300)
                    if np.abs(left).max(initial=0.0) > scale:
                        moves[b] = True
                        left = here - (found.rows @ here) @ found.rows
                        within[b] &= bool(np.abs(left).max(initial=0.0) <= scale)
        own = own - (moves & within)
        return every, np.maximum(every - own, 1)

    def _look(self, k: int, stack: Stack, f: int, face: Bools, s: int) -> _Face:
        live = stack.live[s, f]
        count = stack.records[s, f] > 0
        key = k, f, face.tobytes(), np.packbits([live, count]).tobytes()
        if key not in self._faces:
            self._faces[key] = _find_face(stack.rows[f][live], count[live], stack.ties[f], face)
        return self._faces[key]


def _find_face(rows: Floats, count: Bools, ties: Floats, face: Bools) -> _Face:
    unseen = ~(count | (np.abs(rows[:, face]).max(axis=1, initial=0.0) > 0))
    kept = ~(np.abs(rows[unseen]) > 0).any(axis=0)
    both = np.vstack([rows, ties])
    of_ties, of_rows = _span(ties[:, face]), _span(both[:, face])
    every = len(_span(both[:, kept])) - len(_span(ties[:, kept]))
    return _Face(every, len(of_rows) - len(of_ties), of_ties, of_rows)


def _span(rows: Floats) -> Floats:
    """An orthonormal basis [k, u] of rows."""
    if not rows.size:
        return np.zeros((0, rows.shape[1]))
    _, size, basis = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(basis[size > _RANK * max(1.0, float(size[0]))])
