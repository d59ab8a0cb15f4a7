"""Several causes as one that is read along a path: W, whose states say no more than what can be read together.

A variable that is never set lets its children be read at the value that it has, and at no other. So a state of W holds
one response of each variable in each context that can arise: G = g, and then T and S as they are where G = g (THEORY
§9, selectors). Σ_g of the states of T and S is all there is, where the causes themselves have the product over g.
A variable that a study or a world sets is read at each of its values by what is read there, and so are parents outside.

W forgets that the causes are independent, so it allows at least what they allow: its maximum is an upper bound, its
ends are outer. Where the graph leaves every P(V | earlier ones) free, any distribution of W is one of the causes, and
nothing is forgotten; whoever uses W finds out by turning a distribution of it back into theirs.

Axes: w state of W; g setting: the values of the parents outside, and of the variables that are set in one reading.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.scm import Exogenous, Model

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

MOST_STATES = 4096
"""States of the one cause at most: a linear program over as many columns takes some tenths of a second."""

MOST_SETTINGS = 4096
"""Settings at most."""


class Reading(NamedTuple):
    """What is read together: the variables that are set, at any values, and those that are looked at, with all that
    decides them."""

    do: frozenset[str]
    read: frozenset[str]


class Merged(NamedTuple):
    """The model in which `cause` stands for several causes, whose children have explicit equations of it.

    read: for each of these children, the value that a state fixes in each context [w, context], -1 where none. outside:
    parents of these children that no state of the cause determines.
    """

    model: Model
    cause: str
    read: dict[str, Ints]
    outside: tuple[str, ...]


class _Draft(NamedTuple):
    """The `size` states so far. read [w, context] by variable; value [w, g] of each variable as its children see it
    (w = 1 of one outside); left: which states of each explicit cause agree with what was read [w, u]."""

    size: int
    read: dict[str, Ints]
    value: dict[str, Ints]
    left: dict[str, Bools]


class _Settings(NamedTuple):
    """The settings g: values of the parents outside, set_to [g] of each variable that is set in some reading (-1 where
    it is not), and whether each variable is read [g]."""

    outside: dict[str, Ints]
    set_to: dict[str, Ints]
    read: dict[str, Bools]


def merge_causes(model: Model, causes: Sequence[str], readings: Collection[Reading]) -> Merged | None:
    """The causes made one, for these readings by records and worlds.

    None if a child has a second cause, or the states or settings are too many.
    """
    inside = [v for v in model.order if not set(model.causes[v]).isdisjoint(causes)]
    if any(len(model.causes[v]) > 1 for v in inside):
        return None
    members = _span(model, inside)
    outside = [p for p in model.variables if p not in members and any(p in model.parents[v] for v in members)]
    settings = _list_settings(model, members, outside, readings)
    if settings is None:
        return None
    explicit = [u for u in model.exogenous if u.name in causes and u.card is not None]
    left = {u.name: np.ones((1, model.card(u.name)), bool) for u in explicit}
    draft = _Draft(1, {}, {p: row[None] for p, row in settings.outside.items()}, left)
    for v in members:
        extended = _extend(model, v, draft, settings)
        if extended is None:
            return None
        draft = extended
    return _write(model, causes, inside, tuple(outside), draft)


def _list_settings(
    model: Model, members: Sequence[str], outside: Sequence[str], readings: Collection[Reading]
) -> _Settings | None:
    """The settings of all readings; None where they are too many."""
    read: dict[tuple[str, ...], set[str]] = {}
    for one in sorted(readings, key=lambda own: (sorted(own.do), sorted(own.read))):  # a set has no order of its own
        read.setdefault(tuple(v for v in members if v in one.do), set()).update(one.read)
    axes = [[model.card(v) for v in (*outside, *do)] for do in read]
    if sum(map(prod, axes)) > MOST_SETTINGS:
        return None
    grids = [np.indices(cards).reshape(len(cards), prod(cards)) for cards in axes]
    of = np.repeat(np.arange(len(grids)), [g.shape[1] for g in grids])
    values = {p: np.concatenate([g[i] for g in grids]) for i, p in enumerate(outside)}
    set_to = {v: np.full(len(of), -1) for do in read for v in do}
    for k, (do, grid) in enumerate(zip(read, grids, strict=True)):
        for i, v in enumerate(do):
            set_to[v][of == k] = grid[len(outside) + i]
    looked = {v: np.array([v in own and v not in do for do, own in read.items()], bool)[of] for v in members}
    return _Settings(values, set_to, looked)


def _span(model: Model, inside: Sequence[str]) -> list[str]:
    """The children of the causes, and the variables without a cause that lie between them; in topological order."""
    above = set(inside)  # with their ancestors
    for v in reversed(model.order):
        if v in above:
            above.update(model.parents[v])
    members: list[str] = []
    for v in model.order:
        if v in inside or (not model.causes[v] and v in above and not set(members).isdisjoint(model.parents[v])):
            members.append(v)
    return members


def _extend(model: Model, v: str, draft: _Draft, settings: _Settings) -> _Draft | None:
    """The states with one more variable: each with every value of it in the contexts that can arise."""
    parents, looked = model.parents[v], settings.read[v]
    shape = [model.card(p) for p in parents]
    rows = [np.broadcast_to(draft.value[p], (draft.size, len(looked))) for p in parents]
    contexts = np.ravel_multi_index(rows, shape) if parents else np.zeros((draft.size, len(looked)), np.intp)
    of, read, count = [], [], 0
    for arising, states in _equal_rows(contexts[:, looked]):
        own = np.unique(arising)
        values = _values(model, v, own)
        if values is None or (count := count + len(states) * len(values)) > MOST_STATES:
            return None
        table = np.full((len(values), prod(shape)), -1, np.intp)
        table[:, own] = values
        of.append(np.repeat(states, len(values)))
        read.append(np.tile(table, (len(states), 1)))
    parent, own_read = np.concatenate(of), np.concatenate(read)
    left = {u: mask[parent] for u, mask in draft.left.items()}
    if model.causes[v] and (cause := model.causes[v][0]) in left:
        left[cause] &= _agrees(model, v, own_read)
    kept = np.all([np.ones(len(parent), bool), *(mask.any(axis=1) for mask in left.values())], axis=0)
    parent, own_read = parent[kept], own_read[kept]
    value = np.maximum(np.take_along_axis(own_read, contexts[parent], axis=1), 0)
    if v in settings.set_to:
        value = np.where(settings.set_to[v] >= 0, settings.set_to[v], value)
    return _Draft(
        len(parent),
        {name: r[parent] for name, r in draft.read.items()} | {v: own_read},
        {name: x if len(x) == 1 else x[parent] for name, x in draft.value.items()} | {v: value},
        {u: mask[kept] for u, mask in left.items()},
    )


def _equal_rows(rows: Ints) -> list[tuple[Ints, Ints]]:
    """Each distinct row, and where it stands."""
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    return [(row, np.flatnonzero(place.ravel() == i)) for i, row in enumerate(distinct)]


def _values(model: Model, v: str, contexts: Ints) -> Ints | None:
    """What a variable can be in some contexts together [way, context]; None if the ways are too many."""
    if not model.causes[v]:
        return model.table(v).reshape(1, -1)[:, contexts]
    if model.card(v) ** len(contexts) > MOST_STATES:
        return None
    ways = [model.card(v)] * len(contexts)
    return np.indices(ways).reshape(len(ways), prod(ways)).T


def _agrees(model: Model, v: str, read: Ints) -> Bools:
    """Which states of an explicit cause yield what is read of a variable [w, u]."""
    table = model.table(v).reshape(model.table(v).shape[0], -1)
    distinct, place = np.unique(read, axis=0, return_inverse=True)
    agrees = np.array([((row < 0) | (table == row)).all(axis=1) for row in distinct])
    return agrees[place.ravel()]


def _write(
    model: Model, causes: Sequence[str], inside: Sequence[str], outside: tuple[str, ...], draft: _Draft
) -> Merged:
    name = " & ".join(causes)
    read = {v: draft.read[v] for v in inside}
    equations = dict(model.equations)
    for v in inside:
        shape = [model.card(p) for p in model.parents[v]]
        equations[v] = np.maximum(read[v], 0).reshape(draft.size, *shape)
    exogenous = [u for u in model.exogenous if u.name not in causes]
    place = next(i for i, u in enumerate(model.exogenous) if u.name in causes)
    exogenous.insert(place, Exogenous(name, tuple(inside), draft.size))
    return Merged(
        replace(model, exogenous=tuple(exogenous), equations=equations, surjective=False), name, read, outside
    )
