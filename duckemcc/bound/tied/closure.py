"""Rows over W that hold of every product in the set: what is identified of some causes, times the others.

Besides T_p·W = m_p, a function g of causes S whose expectation is known to be c gives (g − c)·W(·, v) = 0 for every
joint state v of the other causes (the reformulation-linearisation of Sherali & Adams 1990, with equations only). What
is known are patterns that read S alone, what ranks imply (`lowrank.py`), and every g that these rows settle: those with
g ⊗ 1 in their span. Their rows may settle more, so this goes on until nothing is new.

Each row carries its error: |row·W| ≤ error · W(its support). A function that is y·(rows so far) is known up to
Σ|y|·error and what rounding leaves of it.

Axes: i row, w joint state, u state of one cause, v joint state of the causes outside S.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.lowrank import deduce
from duckemcc.bound.tied.problem import Problem
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Causes = tuple[int, ...]

LARGEST_MARGIN = 300
"""Joint states of causes up to which their functions are looked through."""

_ROUNDS = 6
_RANK = 1e-9
_SETTLED = 1e-8  # what may be left of a unit function outside the span
_LARGEST_ERROR = 1e-7


class Closure(NamedTuple):
    """rows [i, w] and right [i]: rows·W = right ΣW. errors [i, w]: |row·W − right| ≤ errors·W. settled: for each cause
    a basis [k, u] of its functions whose expectation the rows settle; the constant one is among them."""

    rows: Floats
    right: Floats
    errors: Floats
    settled: tuple[Floats, ...]


class _Drafts(NamedTuple):
    rows: Floats
    right: Floats
    errors: Floats


def close(problem: Problem) -> Closure:
    """The rows of a problem."""
    size, cards = problem.size, problem.cards
    span = _Span(size)
    span.add(_Drafts(np.ones((1, size)), np.ones(1), np.zeros((1, size))))
    patterns = problem.patterns.reshape(-1, size)
    span.add(_Drafts(patterns, problem.fitted, np.repeat(problem.error[:, None], size, axis=1)))
    for pattern, fitted, error in zip(problem.patterns, problem.fitted, problem.error, strict=True):
        reads = tuple(j for j in range(problem.causes) if np.ptp(pattern, axis=j).any())
        if reads and len(reads) < problem.causes:
            own = pattern[tuple(slice(None) if j in reads else 0 for j in range(problem.causes))]
            span.add(_times_others(cards, reads, own, float(fitted), float(error)))
    for one in deduce(problem):
        span.add(_times_others(cards, (one.cause,), one.function, 0.0, one.error))
    sets: list[Causes] = [(j,) for j in range(problem.causes)]
    for count in range(2, problem.causes):
        sets += [s for s in combinations(range(problem.causes), count) if prod(cards[j] for j in s) <= LARGEST_MARGIN]
    known = dict.fromkeys(sets, 0)
    settled: dict[Causes, Floats] = {}
    for _ in range(_ROUNDS):
        tick()
        settled = {s: _find_settled(span, cards, s) for s in sets}
        new = [s for s in sets if len(settled[s]) > known[s]]
        if not new:
            break
        drafts = [draft for s in new for draft in _multiply(span, problem.cards, s, settled[s])]
        known |= {s: len(settled[s]) for s in new}
        for draft in drafts:
            span.add(draft)
    return Closure(span.rows, span.right, span.errors, tuple(settled[j,] for j in range(problem.causes)))


class _Span:
    """Independent rows over W, and an orthonormal basis of what they span."""

    def __init__(self, size: int) -> None:
        self.rows, self.right, self.errors = np.zeros((0, size)), np.zeros(0), np.zeros((0, size))
        self.basis = np.zeros((0, size))

    def add(self, new: _Drafts) -> None:
        """Those of the rows that are independent of all before."""
        import scipy.linalg

        scale = np.abs(new.rows).max(axis=1, initial=0.0)
        kept = scale > 1e-11
        if not kept.any():
            return
        unit = scale[kept, None]
        rows, right, errors = new.rows[kept] / unit, new.right[kept] / unit[:, 0], new.errors[kept] / unit
        norm = np.linalg.norm(rows, axis=1, keepdims=True)
        left = self._without_span(self._without_span(rows / norm))
        q, r, order = scipy.linalg.qr(left.T, mode="economic", pivoting=True)
        rank = int((np.abs(np.diag(r)) > _RANK).sum())
        if not rank:
            return
        basis = self._without_span(q[:, :rank].T)
        self.basis = np.vstack([self.basis, basis / np.linalg.norm(basis, axis=1, keepdims=True)])
        chosen = np.sort(order[:rank])
        self.rows = np.vstack([self.rows, rows[chosen]])
        self.right = np.concatenate([self.right, right[chosen]])
        self.errors = np.vstack([self.errors, errors[chosen]])

    def _without_span(self, rows: Floats) -> Floats:
        return np.asarray(rows - (rows @ self.basis.T) @ self.basis)

    def outside(self, rows: Floats) -> Floats:
        """What is left of rows [k, w] outside of the span."""
        return self._without_span(rows)

    def solve(self, targets: Floats) -> Floats:
        """Weights [k, i] of the rows with weights · rows = targets [k, w], which are in the span."""
        return np.asarray(np.linalg.solve(self.basis @ self.rows.T, self.basis @ targets.T).T)


def _find_settled(span: _Span, cards: Sequence[int], own: Causes) -> Floats:
    """An orthonormal basis [k, u] of the functions of these causes that, times one, are in the span."""
    wide = _widen(np.eye(prod(cards[j] for j in own)), cards, own)
    scale = np.linalg.norm(wide, axis=1, keepdims=True)
    left = span.outside(wide / scale)
    turned, size, _ = np.linalg.svd(left, full_matrices=False)
    return np.asarray(turned[:, size <= _SETTLED].T)


def _multiply(span: _Span, cards: Sequence[int], own: Causes, functions: Floats) -> list[_Drafts]:
    """The rows of each settled function, times the other causes' states."""
    wide = _widen(functions, cards, own)
    weights = span.solve(wide)
    rounding = np.abs(weights @ span.rows - wide).max(axis=1)
    errors = (np.abs(weights) @ span.errors).max(axis=1) + rounding
    shape = [cards[j] for j in own]
    return [
        _times_others(cards, own, g.reshape(shape), float(c), float(e))
        for g, c, e in zip(functions, weights @ span.right, errors, strict=True)
        if e <= _LARGEST_ERROR
    ]


def _widen(functions: Floats, cards: Sequence[int], own: Causes) -> Floats:
    """Functions [k, states of some causes] as functions [k, w] of all."""
    shape = [cards[j] if j in own else 1 for j in range(len(cards))]
    cube = functions.reshape(-1, *shape)
    return np.broadcast_to(cube, (len(cube), *cards)).reshape(len(cube), -1)


def _times_others(cards: Sequence[int], own: Causes, function: Floats, constant: float, error: float) -> _Drafts:
    """(g − c)·W(·, v) = 0 for each joint state v of the other causes."""
    others = [j for j in range(len(cards)) if j not in own]
    shape = [cards[j] if j in own else 1 for j in range(len(cards))]
    gain = np.broadcast_to(function.reshape(shape) - constant, cards).reshape(-1)
    grid = np.indices(cards).reshape(len(cards), -1)
    place = np.ravel_multi_index(tuple(grid[j] for j in others), [cards[j] for j in others])
    at = (place == np.arange(prod(cards[j] for j in others))[:, None]).astype(np.float64)
    return _Drafts(at * gain, np.zeros(len(at)), at * error)
