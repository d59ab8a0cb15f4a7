"""Equal parts of all arms' records made one, and the exogenous states that could tell their patterns apart.

Axes: s segment, p distinct pattern, v variable, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import Part, fill_in, pool, project, split, split_samples
from duckemcc.learn.yields import pattern_yields, refuse_large
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Pooled:
    """The patterns of a part under given distributions of its causes: codes [p, v] of its scope, count [s, p].

    sources: (arm, codes, count) of each arm that has such records.
    """

    part: Part
    names: tuple[str, ...]
    codes: Ints
    count: Floats
    sources: list[tuple[int, Ints, Floats]]

    def enumerate_states(self, model: Model, first: dict[str, Ints]) -> NDArray[np.bool_]:
        """yields [p, u] over all states of the causes, or over the `first` of each class where there are classes."""
        part = self.part
        states = {u: first[name] for u, name in zip(part.exogenous, self.names, strict=True) if name in first}
        return pattern_yields(
            model, part.measured, part.exogenous, part.scope, self.codes, latent=part.latent, states=states
        )


def pool_parts(model: Model, arms: Sequence[StudyCounts], causes: dict[str, str]) -> list[Pooled]:
    """The parts of all arms and of all that their records lack, equal ones once, in an order that is the model's."""
    found: dict[tuple[Part, tuple[str, ...]], list[tuple[int, Ints, Floats]]] = {}
    for k, arm in enumerate(arms):
        for sample in split_samples(fill_in(model, arm)):
            for part in split(model, arm.do, sample.missing):
                names = tuple(arm.local.get(u, u) for u in part.exogenous)
                found.setdefault((part, names), []).append((k, *project(sample.arm, part.scope)))
    place = {v: i for i, v in enumerate((*model.variables, *causes))}
    keys = sorted(found, key=lambda key: [[-len(key[0].measured)], *([place[v] for v in n] for n in (*key[0], key[1]))])
    return [Pooled(*key, *pool([(c, n) for _, c, n in found[key]]), found[key]) for key in keys]


def merge_states(model: Model, causes: dict[str, str], pooled: Sequence[Pooled]) -> dict[str, Ints]:
    """The class of each state [u], for the distributions some of whose states may act alike on all that is there."""
    seen: dict[str, set[str]] = {}
    for each in pooled:
        for name in each.names:
            seen.setdefault(name, set()).update(each.part.measured, each.part.latent)
    found = {name: find_classes(model, causes[name], members) for name, members in seen.items()}
    return {name: classes for name, classes in found.items() if classes is not None}


def find_classes(model: Model, cause: str, members: Collection[str], states: Ints | None = None) -> Ints | None:
    """The class of each state [u] of a cause, or of some: equal for those that act alike on its children among the
    members.

    None where no two states do: those of a canonical cause differ in some child.
    """
    exogenous = next(u for u in model.exogenous if u.name == cause)
    children = [c for c in exogenous.children if c in members]
    if exogenous.card is None and len(children) == len(exogenous.children):
        return None
    tables = [np.moveaxis(model.table(c), model.causes[c].index(cause), 0) for c in children]
    tables = tables if states is None else [t[states] for t in tables]
    return classify(np.hstack([t.reshape(len(t), -1) for t in tables]))


def refuse_blocks(model: Model, pooled: Sequence[Pooled], first: dict[str, Ints]) -> None:
    """Raise `TooLarge` where the parts with the same distributions have too many entries together."""
    entries: dict[tuple[str, ...], int] = {}
    for each in pooled:
        part, names = each.part, each.names
        cards = [len(first[n]) if n in first else model.card(u) for u, n in zip(part.exogenous, names, strict=True)]
        entries[names] = entries.get(names, 0) + prod(cards) * len(each.codes)
        refuse_large(entries[names], part.measured, part.latent, names, prod(cards))


def sum_by_class(chances: Floats, classes: Ints) -> Floats:
    """The mass of each class [r, class] of chances [r, u]."""
    mass = np.zeros((int(classes.max()) + 1, len(chances)))
    np.add.at(mass, classes, chances.T)
    return np.ascontiguousarray(mass.T)


def classify(rows: NDArray[np.generic]) -> Ints:
    """The class of each row: equal for equal rows, numbered by first appearance."""
    rows = np.ascontiguousarray(rows)
    _, first, place = np.unique(
        rows.view([("", rows.dtype)] * rows.shape[1]).ravel(), return_index=True, return_inverse=True
    )
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[place.ravel()]
