"""yields[p, u] = 1 where the joint exogenous state u gives pattern p: every measured variable its value.

Then P(p) = Σ_u yields[p, u] Π_j θ_j(u_j). The value of a latent variable is what its equation gives at u, computed
forward in topological order; no completion of a pattern is enumerated.

Axes: p distinct pattern, u exogenous state, joint over several variables, the first slowest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge, given
from duckemcc.model.scm import Model
from duckemcc.model.ticking import tick

Ints = NDArray[np.intp]

LARGEST_BLOCK = 70_000_000
"""Entries of a block's `yields` that are held at most (560 MB)."""

CHUNK = 1 << 20
"""Entries that are worked out at a time."""


def pattern_yields(
    model: Model,
    endogenous: Sequence[str],
    exogenous: Sequence[str],
    columns: Sequence[str],
    codes: Ints,
    *,
    latent: Sequence[str] = (),
    states: Mapping[str, Ints] | None = None,
) -> NDArray[np.bool_]:
    """yields [p, u]: whether the joint state u of `exogenous` gives `endogenous` their values in pattern p.

    codes [p, v] are the values of `columns`, which hold `endogenous` and their parents but for the `latent` ones.
    states: the states of each exogenous variable that are looked at, all where it has no entry.
    Raises `TooLarge` before more than `LARGEST_BLOCK` entries are allocated.
    """
    states = states or {}
    cards = [len(states[u]) if u in states else model.card(u) for u in exogenous]
    refuse_large(len(codes) * prod(cards), endogenous, latent, exogenous, prod(cards))
    axes = {
        u: np.reshape(states.get(u, np.arange(card)), (1, *(card if w == u else 1 for w in exogenous)))
        for u, card in zip(exogenous, cards, strict=True)
    }
    inside = [v for v in model.order if v in endogenous or v in latent]
    tables = {v: model.table(v).astype(np.min_scalar_type(model.card(v))) for v in inside}
    yields = np.empty((len(codes), prod(cards)), dtype=bool)
    step = max(1, CHUNK // prod(cards))
    for first in range(0, len(codes), step):
        part = codes[first : first + step]
        column = (-1, *(1 for _ in cards))
        value: dict[str, NDArray[np.integer]] = {c: part[:, i].reshape(column) for i, c in enumerate(columns)}
        agrees = np.ones((len(part), *cards), dtype=bool)
        for v in inside:
            tick()
            given = _apply(tables[v], [*(axes[u] for u in model.causes[v]), *(value[p] for p in model.parents[v])])
            if v in latent:
                value[v] = given
            else:
                agrees &= given == value[v]
        yields[first : first + step] = agrees.reshape(len(part), -1)
    return yields


def _apply(table: NDArray[np.unsignedinteger], at: Sequence[NDArray[np.integer]]) -> NDArray[np.unsignedinteger]:
    """The table's entries at positions that broadcast against each other, one array per axis of the table."""
    place = np.zeros((), dtype=np.intp)
    for size, position in zip(table.shape, at, strict=True):
        place = place * size + position
    return table.reshape(-1).take(place)


def refuse_large(
    entries: int, measured: Sequence[str], latent: Sequence[str], exogenous: Sequence[str], joint: int
) -> None:
    """Raise `TooLarge` where a block would have more than `LARGEST_BLOCK` entries."""
    if entries <= LARGEST_BLOCK:
        return
    size = (
        f"has {joint:,} joint states of {', '.join(exogenous)} and {entries // joint:,} patterns, more than "
        f"{LARGEST_BLOCK:,} entries together"
    )
    if latent:
        names = ", ".join(latent)
        raise TooLarge(
            f"the component of {', '.join(measured)}, tied together by {names} without a value in some records, {size}",
            remedy=f"measure {names}, leave these records out ("
            + given("nulls", "drop")
            + "), or coarsen the variable with the most states",
        )
    raise TooLarge(
        f"the component of {', '.join(measured)} {size}",
        remedy="coarsen the variable with the most states, or remove a parent",
    )
