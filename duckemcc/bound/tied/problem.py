"""max N·W / E·W over W = θ_1 ⊗ … ⊗ θ_J with T_p·W = m_p: the causes of a query that share patterns.

States of a cause that neither a pattern nor the query tells apart are one: exact, as only their mass matters.

Axes: p pattern with records, u state of one cause (raw, or merged), w joint state of all causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

Point = tuple[Floats, ...]
"""Chances [u] of each cause."""

_DIGITS = 12  # to which slices of the query are equal
_AT_FIRST = 20  # times as many joint states as there may be, before those are merged that no record tells apart
_LETTERS = "abcdefghijklmnopqrstuvw"


class Problem:
    """One query over causes in one segment.

    cards: merged states of each cause. patterns [p, u_1, …, u_J], fitted [p], error [p]: T, m, and how far m may be
    off. value, evidence [u_1, …, u_J]: N, and E where the query has a condition. zero: probability of the condition up
    to which it is none. classes: for each cause the merged state of each raw one.
    """

    def __init__(
        self,
        patterns: Floats,
        fitted: Floats,
        error: Floats,
        value: Floats,
        evidence: Floats | None,
        *,
        zero: float = 1e-10,
        classes: tuple[Ints, ...] = (),
    ) -> None:
        self.cards, self.patterns, self.fitted, self.error = value.shape, patterns, fitted, error
        self.value, self.evidence, self.zero = value, evidence, zero
        self.classes = classes or tuple(np.arange(card) for card in self.cards)

    @property
    def causes(self) -> int:
        """How many there are."""
        return len(self.cards)

    @property
    def size(self) -> int:
        """Joint states."""
        return prod(self.cards)

    @cached_property
    def functions(self) -> Floats:
        """Patterns and query [p + 1 or 2, u_1, …, u_J]."""
        asked = [self.value] if self.evidence is None else [self.value, self.evidence]
        return np.concatenate([self.patterns, np.stack(asked)])

    @cached_property
    def cuts(self) -> Ints:
        """Where each cause but the first begins among the states of all, one cause after the other."""
        return np.cumsum(self.cards)[:-1]

    @cached_property
    def sums(self) -> Floats:
        """Σ_u θ_j(u) as rows [j, u] over the states of all causes."""
        return np.repeat(np.eye(self.causes), self.cards, axis=1)

    def at(self, point: Point) -> tuple[float, float]:
        """The query, and the probability of its condition; NaN where that is none."""
        masses = join(point)
        total = float((self.value * masses).sum())
        if self.evidence is None:
            return total, 1.0
        evidence = float((self.evidence * masses).sum())
        return (total / evidence if evidence > self.zero else np.nan), evidence

    def linearise(self, point: Point) -> tuple[Floats, Floats]:
        """All `functions` at a point [f], and their slopes [f, u] in the states of all causes."""
        letters, slopes = _LETTERS[: self.causes], []
        for j in range(self.causes):
            others = [c for i, c in enumerate(point) if i != j]
            spec = ",".join(["z" + letters, *(x for x in letters if x != letters[j])]) + "->z" + letters[j]
            slopes.append(np.einsum(spec, self.functions, *others))
        return slopes[0] @ point[0], np.concatenate(slopes, axis=1)

    def residual(self, point: Point) -> float:
        """The largest violation of an equation."""
        fitted = np.tensordot(self.patterns, join(point), self.causes)
        sums = max(abs(float(c.sum()) - 1) for c in point)
        return max(float(np.abs(fitted - self.fitted).max(initial=0.0)), sums)

    def fold(self, raw: Sequence[Floats]) -> Point:
        """Chances of the merged states, of those of all."""
        return tuple(
            np.bincount(c, r, n).astype(np.float64) for c, r, n in zip(self.classes, raw, self.cards, strict=True)
        )

    def spread(self, point: Point) -> list[Floats]:
        """Chances of all states, each merged one's mass on the first of those that it stands for."""
        found = []
        for classes, own in zip(self.classes, point, strict=True):
            first = np.unique(classes, return_index=True)[1]
            chances = np.zeros(len(classes))
            chances[first] = own
            found.append(chances)
        return found


def join(point: Point) -> Floats:
    """W [u_1, …, u_J] of independent causes."""
    return reduce(np.multiply.outer, point)


def sum_out(masses: Floats) -> Point:
    """The chances of each cause under W, which need not be a product."""
    axes = range(masses.ndim)
    return tuple(masses.sum(axis=tuple(a for a in axes if a != j)) for j in axes)


class Pattern(NamedTuple):
    """A block of patterns: the causes that it reads, ascending; yields [p, class, …] over these, m [p] and how far that
    may be off [p]."""

    causes: tuple[int, ...]
    yields: Floats
    fitted: Floats
    error: Floats


def merge_states(
    classes: Sequence[Ints],
    patterns: Sequence[Pattern],
    value: Floats,
    evidence: Floats | None,
    *,
    zero: float,
    largest: int,
) -> Problem | None:
    """The problem over merged states; None where more than `largest` joint ones are left.

    classes: for each cause the class [u] of its raw states that patterns tell apart. value, evidence [u_1, …, u_J]: the
    query at raw states, with one entry along causes that it does not read.
    """
    asked = [value] if evidence is None else [value, evidence]
    merged = [
        _tell_apart(
            np.hstack([own[:, None], *(_unfold(np.round(a, _DIGITS) + 0.0, j) for a in asked if a.shape[j] > 1)])
        )
        for j, own in enumerate(classes)
    ]
    first = [f for f, _ in merged]
    cards = [len(f) for f in first]
    if prod(cards) > _AT_FIRST * largest:
        return None
    asked = [np.array(np.broadcast_to(_take(a, first), cards)) for a in asked]
    cubes = [np.zeros((0, *cards))]
    for causes, yields, _, _ in patterns:
        for axis, j in enumerate(causes, start=1):
            yields = yields.take(classes[j][first[j]], axis=axis)
        shape = [cards[j] if j in causes else 1 for j in range(len(cards))]
        cubes.append(np.broadcast_to(yields.reshape(-1, *shape), (len(yields), *cards)))
    cube = np.concatenate(cubes)
    again = [
        _tell_apart(np.hstack([_unfold(x, j) for x in (*(np.round(a, _DIGITS) + 0.0 for a in asked), *cube)]))
        for j in range(len(cards))
    ]
    kept = [f for f, _ in again]
    if prod(map(len, kept)) > largest:
        return None
    fitted = np.concatenate([np.zeros(0), *(own.fitted for own in patterns)])
    error = np.concatenate([np.zeros(0), *(own.error for own in patterns)])
    asked = [_take(a, kept) for a in asked]
    for axis, own in enumerate(kept, start=1):
        cube = cube.take(own, axis=axis)
    joint = tuple(of[m] for (_, m), (_, of) in zip(merged, again, strict=True))
    return Problem(cube, fitted, error, asked[0], None if evidence is None else asked[1], zero=zero, classes=joint)


def _unfold(values: Floats, j: int) -> Floats:
    return np.moveaxis(values, j, 0).reshape(values.shape[j], -1)


def _take(values: Floats, chosen: Sequence[Ints]) -> Floats:
    for axis, own in enumerate(chosen):
        if values.shape[axis] > 1:
            values = values.take(own, axis=axis)
    return values


def _tell_apart(rows: Floats) -> tuple[Ints, Ints]:
    """The first of each set of equal rows, in their order, and which set each row is in."""
    _, first, place = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), np.intp)
    rank[order] = np.arange(len(first))
    return first[order], rank[place.ravel()]
