"""Several causes as one that is read along a path: W, whose states say no more than what can be read together.

A variable that is never set lets its children be read at the value that it has, and at no other. So a state of W holds
one response of each variable in each context that can arise: G = g, and then T and S as they are where G = g (THEORY
§9, selectors). Σ_g of the states of T and S is all there is, where the causes themselves have the product over g.
Variables that some study or query sets are read at each of their values, and so are parents outside.

W forgets that the causes are independent, so it allows at least what they allow: its maximum is an upper bound, its
ends are outer. Where the graph leaves every P(V | earlier ones) free, any distribution of W is one of the causes, and
nothing is forgotten; whoever uses W finds out by turning a distribution of it back into theirs.

Axes: w state of W; g setting: values of the parents outside, and of the variables that are set (or their own value).
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


class Merged(NamedTuple):
    """The model in which `cause` stands for several causes, whose children have explicit equations of it.

    read: for each of these children, the value that a state fixes in each context [w, context], -1 where none.
    """

    model: Model
    cause: str
    read: dict[str, Ints]


class _Draft(NamedTuple):
    """The `size` states so far. read [w, context] by variable; value [w, g] of each variable as its children see it
    (w = 1 of one outside); left: which states of each explicit cause agree with what was read [w, u]."""

    size: int
    read: dict[str, Ints]
    value: dict[str, Ints]
    left: dict[str, Bools]


def merge_causes(model: Model, causes: Sequence[str], settable: Collection[str]) -> Merged | None:
    """The causes made one. settable: the variables that some study or query sets.

    None if a child has a second cause, or the states or settings are too many.
    """
    inside = [v for v in model.order if not set(model.causes[v]).isdisjoint(causes)]
    if any(len(model.causes[v]) > 1 for v in inside):
        return None
    members = _span(model, inside)
    outside = [p for p in model.variables if p not in members and any(p in model.parents[v] for v in members)]
    switches = [v for v in members if v in settable]
    sizes = [*(model.card(p) for p in outside), *(model.card(v) + 1 for v in switches)]
    if prod(sizes) > MOST_SETTINGS:
        return None
    grid = np.indices(sizes).reshape(len(sizes), prod(sizes))
    explicit = [u for u in model.exogenous if u.name in causes and u.card is not None]
    left = {u.name: np.ones((1, model.card(u.name)), bool) for u in explicit}
    draft = _Draft(1, {}, {p: row[None] for p, row in zip(outside, grid, strict=False)}, left)
    set_to = dict(zip(switches, grid[len(outside) :] - 1, strict=True))  # -1: as it is
    as_it_is = np.full(grid.shape[1], -1)
    for v in members:
        extended = _extend(model, v, draft, set_to.get(v, as_it_is))
        if extended is None:
            return None
        draft = extended
    return _write(model, causes, inside, draft)


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


def _extend(model: Model, v: str, draft: _Draft, set_to: Ints) -> _Draft | None:
    """The states with one more variable: each with every value of it in the contexts that can arise."""
    parents = model.parents[v]
    shape = [model.card(p) for p in parents]
    rows = [np.broadcast_to(draft.value[p], (draft.size, len(set_to))) for p in parents]
    contexts = np.ravel_multi_index(rows, shape) if parents else np.zeros((draft.size, len(set_to)), np.intp)
    of, read, count = [], [], 0
    for arising, states in _equal_rows(contexts[:, set_to < 0]):
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
    value = np.where(set_to >= 0, set_to, np.take_along_axis(own_read, contexts[parent], axis=1))
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
    return np.indices([model.card(v)] * len(contexts)).reshape(len(contexts), -1).T


def _agrees(model: Model, v: str, read: Ints) -> Bools:
    """Which states of an explicit cause yield what is read of a variable [w, u]."""
    table = model.table(v).reshape(model.table(v).shape[0], -1)
    distinct, place = np.unique(read, axis=0, return_inverse=True)
    agrees = np.array([((row < 0) | (table == row)).all(axis=1) for row in distinct])
    return agrees[place.ravel()]


def _write(model: Model, causes: Sequence[str], inside: Sequence[str], draft: _Draft) -> Merged:
    name = " & ".join(causes)
    read = {v: draft.read[v] for v in inside}
    equations = dict(model.equations)
    for v in inside:
        shape = [model.card(p) for p in model.parents[v]]
        equations[v] = np.maximum(read[v], 0).reshape(draft.size, *shape)
    exogenous = [u for u in model.exogenous if u.name not in causes]
    place = next(i for i, u in enumerate(model.exogenous) if u.name in causes)
    exogenous.insert(place, Exogenous(name, tuple(inside), draft.size))
    return Merged(replace(model, exogenous=tuple(exogenous), equations=equations, surjective=False), name, read)
