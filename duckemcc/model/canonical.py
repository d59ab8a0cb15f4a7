"""Canonical exogenous variables: |U| = Π_V |V|^(Π |pa_V|), over the children V of U (paper §6.1; Zhang et al. 2022).

A canonical U has one state for each combination of the deterministic relations between its children and their
endogenous parents. Its size is known without enumeration; the tables enumerate it, up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log2, log10, prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.model.states import show_names

Table: TypeAlias = NDArray[np.intp]

LARGEST_EXOGENOUS = 2**20
"""States of one exogenous variable that are enumerated at most."""
LISTED = 2**12
"""States of a canonical cause up to which it is one list, if it could be split into pieces (`learn.pieces.split`)."""
LARGEST_TABLE = 20_000_000
"""Entries of one equation's table at most."""
MOST_AXES = 32
"""Axes of an array at most, in every numpy that is supported."""
_MOST_BITS = 100_000  # up to here a size is an exact integer; beyond, only its order of magnitude is told


class Relations(NamedTuple):
    """The deterministic relations between a variable and its endogenous parents."""

    child: str
    card: int
    parents: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def bits(self) -> float:
        """log2 of their number, infinite where a float cannot tell."""
        return prod(map(float, self.shape)) * log2(self.card) if self.card > 1 else 0.0

    @property
    def number(self) -> int:
        return int(self.card ** prod(self.shape))


def canonical_card(name: str, relations: Sequence[Relations]) -> int:
    """The number of states of the canonical exogenous variable `name`; raises `TooLarge` beyond 2^100 000."""
    if sum(r.bits for r in relations) > _MOST_BITS:
        raise TooLarge(_too_large(name, relations), variable=name)
    return prod(r.number if r.card > 1 else 1 for r in relations)


def canonical_tables(name: str, relations: Sequence[Relations]) -> dict[str, Table]:
    """The tables of the children: state u writes, in mixed radix, the relation of the first child, of the second, …

    Raises `TooLarge` where there are more than `LARGEST_EXOGENOUS` states.
    """
    size = canonical_card(name, relations)
    if size > LARGEST_EXOGENOUS:
        raise TooLarge(_too_large(name, relations), variable=name)
    tables, place = {}, size
    for r in relations:
        check_table_size(r.child, r.parents, (size, *r.shape))
        place //= r.number
        relation = np.arange(size, dtype=np.intp) // place % r.number
        digit = r.card ** np.arange(prod(r.shape) - 1, -1, -1, dtype=np.intp)
        tables[r.child] = (relation[:, None] // digit % r.card).reshape(size, *r.shape)
        tables[r.child].setflags(write=False)
    return tables


def check_table_size(name: str, parents: Sequence[str], shape: Sequence[int]) -> None:
    """Raise `TooLarge` where the table of `name`'s equation has too many axes or entries for an array."""
    if len(shape) > MOST_AXES:
        raise TooLarge(
            f"the equation of {name} has {len(shape):,} arguments",
            remedy=f"at most {MOST_AXES} are read: remove parents",
            variable=name,
        )
    if prod(map(float, shape)) > LARGEST_TABLE:
        size = _show_size(sum(map(log2, shape)))
        raise TooLarge(
            f"the equation of {name} has {size} entries, more than the {LARGEST_TABLE:,} that are enumerated",
            remedy=f"remove one of its parents ({show_names(parents)}), or coarsen one to fewer states",
            variable=name,
        )


def _too_large(name: str, relations: Sequence[Relations]) -> str:
    worst = max(relations, key=lambda r: r.bits)
    name = name if len(name) <= 60 else f"{name[:60]}…"
    size = _show_size(sum(r.bits for r in relations))
    said = (
        f"the canonical exogenous variable {name} over {show_names([r.child for r in relations])} has {size} states; "
        f"at most {LARGEST_EXOGENOUS:,} are enumerated. {worst.child} alone has "
    )
    if not worst.parents:
        return said + f"{worst.card:,}: coarsen states, tie fewer variables together, or give explicit equations"
    contexts = _show_size(sum(map(log2, worst.shape))).removeprefix("about ")
    power = f"{worst.card:,}^{contexts}" if contexts.isdecimal() else f"{worst.card:,}^({contexts})"
    return said + (
        f"{power} relations to its parents ({show_names(worst.parents)}): "
        "coarsen one of them to fewer states, remove a parent, or give explicit equations"
    )


def _show_size(bits: float) -> str:
    """2^bits in words."""
    digits = bits * log10(2)
    if digits < 12:
        return f"{round(2**bits):,}"
    if digits < 1e12:
        return f"about 10^{digits:,.0f}"
    return f"about 10^(10^{log10(digits):.0f})" if digits < inf else "more than 10^(10^300)"
