"""What limits are sought in: concave likelihoods of several distributions, and a query that is linear in each.

    max Σ_f Σ_p count_fp log (Y_f x_f)_p   over   x_f ≥ 0,  A_f x_f = b_f

A *block* f is one distribution: of a cause, of one of its pieces, or of causes merged into one. Blocks of equal shape
are stacked, so that a covariate of a thousand levels is one array and not a thousand.

Patterns of a context exclude each other. What they leave is a row of its own, without records: it tells which states
are outside all that was seen.

Axes: s segment, b problem, f block of a stack, p pattern, t tie, u number that a distribution is written in; U: those
of all blocks, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.terms import Terms
from duckemcc.query.event import Compiled
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_NONE = 1e-9  # of a row that leaves nothing


@dataclass(frozen=True, eq=False)
class Block:
    """One distribution. rows [p, u], count [s, p]; context [p]: which patterns exclude each other, numbered from 0.

    ties [t, u], right [t]: what makes numbers a distribution; start [u]: one without a zero. of [u]: the state of the
    query's factor that each is, where the block has more of them.
    """

    rows: Floats
    count: Floats
    context: Ints
    ties: Floats
    right: Floats
    start: Floats
    of: Ints | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Ties and numbers: blocks that have as many are stacked."""
        return self.ties.shape


def make_block(
    rows: Floats,
    count: Floats,
    context: Ints | None,
    ties: Floats,
    right: Floats,
    start: Floats,
    of: Ints | None = None,
) -> Block:
    """A block with what its contexts leave as further rows; without contexts, nothing is known to be left."""
    if context is None:
        return Block(rows, count, np.zeros(len(rows), np.intp), ties, right, start, of)
    size = int(context.max()) + 1 if len(context) else 0
    left = np.tile(ties[0], (size, 1))  # the first tie is the sum, of one clique of a tree
    np.subtract.at(left, context, rows)
    if len(ties) > 1:  # rows of other cliques: what they leave cannot be told entry by entry
        left = np.zeros((0, rows.shape[1]))
    open_ = np.flatnonzero(np.abs(left).max(axis=1, initial=0.0) > _NONE)
    return Block(
        np.vstack([rows, left[open_]]),
        np.hstack([count, np.zeros((len(count), len(open_)))]),
        np.concatenate([context, open_]),
        ties,
        right,
        start,
        of,
    )


def of_states(rows: Floats, count: Floats, context: Ints | None, of: Ints | None = None) -> Block:
    """A block over a list of states."""
    size = rows.shape[1]
    return make_block(rows, count, context, np.ones((1, size)), np.ones(1), np.full(size, 1 / size), of)


class Stack(NamedTuple):
    """Blocks of equal shape. rows [f, p, u] and records [s, f, p], filled up with zeros; live [s, f, p]: the patterns
    of contexts that have records. ties [f, t, u], right [f, t]; begin: of its numbers among all."""

    rows: Floats
    records: Floats
    live: NDArray[np.bool_]
    ties: Floats
    right: Floats
    begin: int

    @property
    def size(self) -> int:
        """Numbers of all its blocks."""
        return int(self.rows.shape[0] * self.rows.shape[2])

    def take(self, x: Floats) -> Floats:
        """Its own [b, f, u] of all numbers [b, U]."""
        f, _, u = self.rows.shape
        return x[:, self.begin : self.begin + self.size].reshape(len(x), f, u)


class At(NamedTuple):
    """The query at some x: numerator and condition [b], and their slopes [b, U]."""

    value: Floats
    given: Floats
    value_slope: Floats
    given_slope: Floats


@dataclass(eq=False)
class Problem:
    """Blocks by factor of the query, stacked."""

    query: Compiled | Terms
    blocks: Mapping[Factor, Block]
    stacks: list[Stack] = field(init=False)
    start: Floats = field(init=False)

    def __post_init__(self) -> None:
        shapes: dict[tuple[int, int], list[Factor]] = {}
        for factor in self.query.factors:
            shapes.setdefault(self.blocks[factor].shape, []).append(factor)
        self.stacks, self._place, begin = [], dict[Factor, slice](), 0
        for own in shapes.values():
            stack = _stack([self.blocks[f] for f in own], begin)
            for f in own:
                size = self.blocks[f].rows.shape[1]
                self._place[f] = slice(begin, begin + size)
                begin += size
            self.stacks.append(stack)
        self.start = np.concatenate([self.blocks[f].start for own in shapes.values() for f in own])
        self._fixed: At | None = None
        linear = len(self.query.factors) == 1
        if not linear and isinstance(self.query, Terms):
            linear = not self.query.meets(set(self.query.factors))
        if linear:
            self._fixed = self._evaluate(self.start[None])

    @property
    def linear(self) -> bool:
        """Whether numerator and condition are: no two distributions meet in a term."""
        return self._fixed is not None

    @property
    def total(self) -> Floats:
        """Records of all blocks together [s]."""
        return np.sum([stack.records.sum(axis=(1, 2)) for stack in self.stacks], axis=0)

    def at(self, x: Floats) -> At:
        """The query at x [b, U], without its constant."""
        if self._fixed is None:
            return self._evaluate(x)
        fixed = self._fixed
        value, given = (
            at[0] + (x - self.start) @ slope[0]
            for at, slope in ((fixed.value, fixed.value_slope), (fixed.given, fixed.given_slope))
        )
        shape = x.shape
        slopes = (np.broadcast_to(s, shape) for s in (fixed.value_slope, fixed.given_slope))
        return At(value, given, *slopes)

    def _evaluate(self, x: Floats) -> At:
        chances = {f: self._fold(f, x[:, place]) for f, place in self._place.items()}
        found = self.query.at(chances)
        value_slope, given_slope = np.zeros_like(x), np.zeros_like(x)
        if isinstance(self.query, Terms):
            slopes = self.query.all_slopes(chances)
        else:
            slopes = {f: self.query.slopes(f, chances) for f in chances}
        for f, place in self._place.items():
            value_slope[:, place] = self._spread(f, slopes[f].value)
            if self.query.conditional:
                given_slope[:, place] = self._spread(f, slopes[f].evidence)
        value = (found.value - self.query.combination.constant) * np.where(found.evidence > 0, found.evidence, 1.0)
        return At(value, found.evidence, value_slope, given_slope)

    def _fold(self, factor: Factor, x: Floats) -> Floats:
        of = self.blocks[factor].of
        if of is None:
            return x
        found = np.zeros((len(x), int(of.max()) + 1))
        np.add.at(found.T, of, x.T)
        return found

    def _spread(self, factor: Factor, slope: Floats) -> Floats:
        of = self.blocks[factor].of
        return slope if of is None else slope[:, of]


def _stack(blocks: Sequence[Block], begin: int) -> Stack:
    most = max(len(b.rows) for b in blocks)
    segments = len(blocks[0].count)
    rows = np.zeros((len(blocks), most, blocks[0].rows.shape[1]))
    records = np.zeros((segments, len(blocks), most))
    live = np.zeros(records.shape, bool)
    for f, block in enumerate(blocks):
        size = len(block.rows)
        rows[f, :size], records[:, f, :size] = block.rows, block.count
        if size:
            there = np.zeros((segments, int(block.context.max()) + 1))
            np.add.at(there.T, block.context, block.count.T)
            live[:, f, :size] = there[:, block.context] > 0
    ties, right = (np.stack([getattr(b, name) for b in blocks]) for name in ("ties", "right"))
    return Stack(rows, records, live, ties, right, begin)
