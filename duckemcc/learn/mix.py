"""P(record q) = Σ_{r completes q} Π_k P(pattern r_k): records whose missing values tie several causes together.

A record that lacks a value is the sum over its completions, each a product of patterns of the complete parts. So the
likelihood of incomplete records needs the patterns of each part only, never the joint states of the causes. Complete
records of the same causes stand here as well, as the product of their patterns: where incomplete records tie causes, it
is the *products* that are determined at the maximum, and not each factor by itself (THEORY §11).

Axes: s segment, r completion, q record (a distinct combination of the values that its parts read), p pattern of the
parts, all blocks of the group one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.pooling import Key, Records

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class Table(NamedTuple):
    """A conditional table P(measured | given) of one kind of study. do: what is set by design; names: of the
    distributions that it depends on; given: values of the variables that it is conditional on."""

    do: frozenset[str]
    names: frozenset[str]
    measured: frozenset[str]
    given: frozenset[tuple[str, int]]

    def determines(self, other: Table) -> bool:
        """Whether the other table is a marginal of this one."""
        return (
            self.do == other.do
            and self.names >= other.names
            and self.measured >= other.measured
            and self.given >= other.given
        )


@dataclass(frozen=True, eq=False)
class Products:
    """The records of a group as sums of products of its patterns.

    members [r, k]: positions of the patterns of each completion among all `patterns` of the group; where a completion
    has fewer than k, the position is `patterns`, which stands for one. of [r]: the record that it completes, ascending.
    table [r]: which of the `tables` it is a cell of; codes [r, v]: the values in it of the model's variables.
    """

    patterns: int
    members: Ints
    of: Ints
    table: Ints
    tables: tuple[Table, ...]
    codes: Ints

    @cached_property
    def first(self) -> Ints:
        """The first completion of each record [q]."""
        return np.flatnonzero(np.diff(self.of, prepend=-1))

    @cached_property
    def whole(self) -> Bools:
        """Whether a record is complete [q]: its own only completion."""
        return np.bincount(self.of) == 1

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self.first)

    def complete(self, fitted: Floats) -> Floats:
        """The probability of each completion [.., r] at those of the patterns [.., p]."""
        return np.asarray(reduce(np.multiply, self._gather(fitted)))

    def fit(self, fitted: Floats) -> Floats:
        """The probability of each record [.., q] at those of the patterns [.., p]."""
        return np.asarray(np.add.reduceat(self.complete(fitted), self.first, axis=-1))

    def pull(self, fitted: Floats, weight: Floats) -> Floats:
        """Σ_q weight_q ∂P_q/∂P_p [.., p], weights [.., q]."""
        weights = weight[..., self.of]
        total = np.zeros((*fitted.shape[:-1], self.patterns + 1))
        for others, (order, starts, places) in zip(self._others(fitted), self._by_pattern, strict=True):
            total[..., places] += np.add.reduceat((others * weights)[..., order], starts, axis=-1)
        return np.ascontiguousarray(total[..., :-1])

    def slope(self, fitted: Floats) -> Floats:
        """∂P_q/∂P_p [.., q, p]."""
        slope = np.zeros((self.patterns + 1, self.records, *fitted.shape[:-1]))
        for column, others in zip(self.members.T, self._others(fitted), strict=True):
            np.add.at(slope, (column, self.of), np.moveaxis(others, -1, 0))
        return np.ascontiguousarray(np.moveaxis(slope[:-1], (1, 0), (-2, -1)))

    def count_patterns(self, each: Floats) -> Floats:
        """Records of each pattern [s, p], those of each completion [s, r] being known."""
        total = np.zeros((len(each), self.patterns + 1))
        for order, starts, places in self._by_pattern:
            total[:, places] += np.add.reduceat(np.ascontiguousarray(each[:, order]), starts, axis=-1)
        return np.ascontiguousarray(total[:, :-1])

    def _gather(self, fitted: Floats) -> list[Floats]:
        """P(pattern r_k) [.., r] for each k."""
        longer = np.concatenate([fitted, np.ones((*fitted.shape[:-1], 1))], axis=-1)
        return [longer[..., column] for column in self.members.T]

    def _others(self, fitted: Floats) -> list[Floats]:
        """Π_{k' ≠ k} P(pattern r_k') [.., r] for each k."""
        parts = self._gather(fitted)
        one = np.ones((1,) * parts[0].ndim)
        before = list(accumulate(parts[:-1], np.multiply, initial=one))
        after = list(accumulate(parts[:0:-1], np.multiply, initial=one))[::-1]
        return [np.broadcast_to(a * b, parts[0].shape) for a, b in zip(before, after, strict=True)]

    @cached_property
    def _by_pattern(self) -> list[tuple[Ints, Ints, Ints]]:
        """For each k the completions in the order of their k-th pattern, where each pattern starts, and which it is."""
        found = []
        for column in self.members.T:
            order = np.argsort(column, kind="stable")
            starts = np.flatnonzero(np.diff(column[order], prepend=-1))
            found.append((order, starts, column[order][starts]))
        return found


@dataclass(frozen=True, eq=False)
class Mix:
    """A group's records [s, q], and the products that they are sums of."""

    products: Products
    count: Floats

    def part(self, segments: slice | Bools | Ints) -> Mix:
        """The same records in some of the segments."""
        return Mix(self.products, self.count[segments])

    def expect(self, fitted: Floats) -> Floats:
        """The expected records of each completion [s, r], at probabilities [s, p] of the patterns."""
        cells = self.products.complete(fitted)
        records = np.add.reduceat(cells, self.products.first, axis=-1)
        ratio = np.divide(self.count, records, out=np.zeros_like(records), where=records > 0)
        return np.asarray(ratio[:, self.products.of] * cells)


# -- making one ----------------------------------------------------------------------------------


def mix_records(
    records: Sequence[Records],
    stands: Mapping[Key, tuple[int, Bools]],
    blocks: Sequence[tuple[str, ...]],
    sizes: Sequence[int],
) -> tuple[Mix, list[tuple[Records, tuple[int, ...], Floats]]]:
    """The mix of the records of one group, and the records that no state of its causes can yield, with their counts.

    stands: for each part where its patterns begin in the block of its distributions, and which of them [p] are
    possible. blocks, sizes: the distributions of each block of the group, and how many patterns it has.
    """
    begins = dict(zip(blocks, np.cumsum([0, *sizes]).tolist(), strict=False))
    patterns = sum(sizes)
    distinct: dict[object, int] = {}
    tables: dict[Table, int] = {}
    rows: list[tuple[int, tuple[int, ...], int, Ints]] = []
    count: list[Floats] = []
    refused = []
    for own in records:
        columns = [_positions(own, k, key, stands, begins) for k, key in enumerate(own.keys)]
        possible = np.all([c >= 0 for c in columns], axis=0)
        shown = np.stack([c for c, (_, names) in zip(columns, own.keys, strict=True) if names], axis=1)
        table = _find_tables(own, tables)
        cuts = np.flatnonzero(np.diff(own.of, prepend=-1))
        for q, inside in enumerate(np.split(np.arange(len(own.of)), cuts[1:])):
            left = inside[possible[inside]]
            if not len(left):
                refused.append((own, tuple(own.codes[q].tolist()), own.count[:, q]))
                continue
            name = (own.keys, table[left].tobytes(), shown[left].tobytes())
            if name not in distinct:
                distinct[name] = len(distinct)
                count.append(np.zeros(own.count.shape[0]))
                rows += [(distinct[name], tuple(shown[r].tolist()), int(table[r]), own.completed[r]) for r in left]
            count[distinct[name]] = count[distinct[name]] + own.count[:, q]
    width = max((len(row[1]) for row in rows), default=1)
    members = np.full((len(rows), width), patterns, np.intp)
    for r, row in enumerate(rows):
        members[r, : len(row[1])] = row[1]
    of, table = (np.array([row[i] for row in rows], np.intp) for i in (0, 2))
    codes = np.array([row[3] for row in rows], np.intp).reshape(len(rows), len(records[0].variables))
    total = np.ascontiguousarray(np.stack(count, axis=1)) if count else np.zeros((records[0].count.shape[0], 0))
    return Mix(Products(patterns, members, of, table, tuple(tables), codes), total), refused


def _positions(
    own: Records, k: int, key: Key, stands: Mapping[Key, tuple[int, Bools]], begins: Mapping[tuple[str, ...], int]
) -> Ints:
    """Where among the group's patterns each completion's pattern of one part is [r]; -1 for an impossible one."""
    begin, possible = stands[key]
    place = np.where(possible, np.cumsum(possible) - 1 + begin + begins.get(key[1], 0), -1)
    return np.asarray(place[own.places[:, k]])


def _find_tables(own: Records, tables: dict[Table, int]) -> Ints:
    """Which conditional table each completion is a cell of [r]."""
    measured = frozenset(v for part, _ in own.keys for v in part.measured)
    names = frozenset(n for _, names in own.keys for n in names)
    outside = sorted({v for part, _ in own.keys for v in part.scope} - measured)
    codes, place = np.unique(own.completed[:, [own.variables.index(v) for v in outside]], axis=0, return_inverse=True)
    found = [
        Table(frozenset(own.do), names, measured, frozenset(zip(outside, row, strict=True))) for row in codes.tolist()
    ]
    number = [tables.setdefault(table, len(tables)) for table in found]
    return np.array(number, np.intp)[place.ravel()]
