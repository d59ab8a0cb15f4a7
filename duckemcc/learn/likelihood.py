"""log P(D | θ) = Σ_p n_p log P_p(θ): the likelihood of all studies, compiled once into blocks of patterns.

For complete records the likelihood factorises over the components of each study's mutilated model, P_k(v) = Π_c
Q_c(v_c | pa_c) (Tian 2002; THEORY §2), so only the distinct (component, v_c, pa_c) patterns matter, pooled over the
studies that share them. A pattern is a 0/1 set over the joint states of the exogenous variables of its component:
P_p(θ) = Σ_u yields[p, u] Π_j θ_j(u_j).

    Block   patterns over the same exogenous variables
    Group   blocks connected through shared exogenous variables: groups are learned independently of each other

States of an exogenous variable that no pattern of its group tells apart keep their initial proportions under EM; they
are collapsed into one class here and the class's mass is split again afterwards (exact).

Axes: s segment, p distinct pattern, u exogenous state (joint over a block's variables where it has several).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.learn.counts import StudyCounts
from duckemcc.model.scm import Model, tie

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST_BLOCK = 50_000_000
"""Entries of a block's `yields` that are held at most (400 MB)."""


@dataclass(frozen=True, eq=False)
class Block:
    """Patterns over the same exogenous variables.

    causes: positions of these variables in the group. yields [p, u]: 0/1, u joint over `causes`, the first slowest.
    count [s, p].
    """

    causes: tuple[int, ...]
    yields: Floats
    count: Floats


@dataclass(frozen=True, eq=False)
class Group:
    """Exogenous variables that share patterns, with their blocks.

    names: the variables. classes: for each, the class of every state [u]; `cards` counts classes. loose: no pattern
    at all.
    """

    names: tuple[str, ...]
    classes: tuple[Ints, ...]
    blocks: tuple[Block, ...]

    @cached_property
    def cards(self) -> tuple[int, ...]:
        return tuple(int(c.max()) + 1 for c in self.classes)

    @property
    def concave(self) -> bool:
        """Whether the log-likelihood is concave in the chances: one exogenous variable."""
        return len(self.names) == 1

    @cached_property
    def records(self) -> Floats:
        """N_j [s, j]: the records in whose patterns variable j takes part."""
        return np.stack(
            [sum((b.count.sum(1) for b in self.blocks if j in b.causes), 0.0) for j in range(len(self.names))], axis=1
        )

    @cached_property
    def total(self) -> Floats:
        """Σ_p n_p [s] over all blocks: the factor records of the group."""
        return np.sum([b.count.sum(1) for b in self.blocks], axis=0)

    def part(self, segments: slice) -> Group:
        """The same patterns in some of the segments."""
        return replace(self, blocks=tuple(replace(b, count=b.count[segments]) for b in self.blocks))


@dataclass(frozen=True, eq=False)
class Impossible:
    """Records that no state of the exogenous variables can yield: (study, variables, codes) and their count [s]."""

    study: str
    variables: tuple[str, ...]
    codes: tuple[int, ...]
    count: Floats


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The compiled likelihood. free: exogenous variables on which no pattern depends; n [s]: records."""

    model: Model
    groups: tuple[Group, ...]
    free: tuple[str, ...]
    impossible: tuple[Impossible, ...]
    n: Floats

    def part(self, segments: slice) -> Likelihood:
        """The same likelihood for some of the segments: what is compiled does not depend on the counts."""
        return replace(
            self,
            groups=tuple(group.part(segments) for group in self.groups),
            impossible=tuple(replace(i, count=i.count[segments]) for i in self.impossible),
            n=self.n[segments],
        )


def compile_likelihood(model: Model, arms: Sequence[StudyCounts]) -> Likelihood:
    """The likelihood of complete studies, one per arm, their segments aligned.

    Raises `TooLarge` before a block of more than `LARGEST_BLOCK` entries is allocated.
    """
    pooled: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Ints, Floats]]] = {}
    impossible: list[Impossible] = []
    for arm in arms:
        for component in model.components(arm.do):
            columns = scope(model, component.endogenous)
            codes, count = project(arm, columns)
            possible = pattern_yields(model, component.endogenous, component.exogenous, columns, codes).any(axis=1)
            impossible.extend(
                Impossible(arm.name, columns, tuple(map(int, codes[row])), count[:, row])
                for row in np.flatnonzero(~possible)
            )
            if component.exogenous and possible.any():
                pooled.setdefault((component.endogenous, component.exogenous), []).append(
                    (codes[possible], count[:, possible])
                )
    blocks: dict[tuple[str, ...], list[tuple[Floats, Floats]]] = {}
    for (endogenous, exogenous), parts in pooled.items():
        codes, count = pool(parts)
        yields = pattern_yields(model, endogenous, exogenous, scope(model, endogenous), codes).astype(np.float64)
        blocks.setdefault(exogenous, []).append((yields, count))
    merged = {
        names: (np.vstack([y for y, _ in parts]), np.hstack([n for _, n in parts])) for names, parts in blocks.items()
    }
    used = {name for names in merged for name in names}
    groups = tuple(
        _make_group(model, names, merged) for names in tie((u.name for u in model.exogenous if u.name in used), merged)
    )
    return Likelihood(
        model,
        groups,
        tuple(u.name for u in model.exogenous if u.name not in used),
        tuple(impossible),
        np.sum([arm.count.sum(axis=1) for arm in arms], axis=0),
    )


def scope(model: Model, endogenous: Sequence[str]) -> tuple[str, ...]:
    """The variables of the factor Q(endogenous | parents outside), in model order."""
    inside = {*endogenous, *(p for v in endogenous for p in model.parents[v])}
    return tuple(v for v in model.variables if v in inside)


def project(arm: StudyCounts, columns: Sequence[str]) -> tuple[Ints, Floats]:
    """The arm's distinct patterns over some of its variables: codes [p, v] and counts [s, p]."""
    return pool([(arm.codes[:, [arm.variables.index(c) for c in columns]].astype(np.intp), arm.count)])


def pool(parts: Sequence[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """Equal patterns made one, their counts added."""
    codes = np.concatenate([c for c, _ in parts])
    count = np.concatenate([n for _, n in parts], axis=1)
    distinct, place = np.unique(codes, axis=0, return_inverse=True)
    total = np.zeros((count.shape[0], len(distinct)))
    np.add.at(total.T, place.ravel(), count.T)
    return distinct, total


def pattern_yields(
    model: Model, endogenous: Sequence[str], exogenous: Sequence[str], columns: Sequence[str], codes: Ints
) -> NDArray[np.bool_]:
    """yields [p, u]: whether the joint state u of `exogenous` gives every variable of `endogenous` its value in
    pattern p.

    codes [p, v] are the values of `columns`, which hold `endogenous` and their parents.
    """
    cards = [model.card(u) for u in exogenous]
    if len(codes) * prod(cards) > LARGEST_BLOCK:
        raise TooLarge(
            f"the component of {', '.join(endogenous)} has {prod(cards):,} joint states of {', '.join(exogenous)} and "
            f"{len(codes):,} patterns, more than {LARGEST_BLOCK:,} entries together; "
            "coarsen the variable with the most states, or remove a parent"
        )
    value = {c: codes[:, i] for i, c in enumerate(columns)}
    yields = np.ones((len(codes), *cards), dtype=bool)
    for v in endogenous:
        causes = model.causes[v]
        table = model.table(v)
        # f_V at the pattern's parents: axes its own exogenous parents, then p
        at: tuple[Any, ...] = (*(slice(None) for _ in causes), *(value[p] for p in model.parents[v]))
        given = table[at] if model.parents[v] else np.broadcast_to(table[..., None], (*table.shape, len(codes)))
        agrees = np.moveaxis(given == value[v], -1, 0)
        yields &= agrees.reshape(len(codes), *(n if u in causes else 1 for u, n in zip(exogenous, cards, strict=True)))
    return yields.reshape(len(codes), -1)


# -- groups --------------------------------------------------------------------------------------


def _make_group(model: Model, names: tuple[str, ...], merged: dict[tuple[str, ...], tuple[Floats, Floats]]) -> Group:
    own = [(tuple(names.index(n) for n in causes), *parts) for causes, parts in merged.items() if causes[0] in names]
    cards = [model.card(n) for n in names]
    classes = tuple(_tell_apart(j, cards, own) for j in range(len(names)))
    first = [np.unique(c, return_index=True)[1] for c in classes]
    blocks = []
    for causes, yields, count in own:
        cube = yields.reshape(len(yields), *(cards[j] for j in causes))
        for axis, j in enumerate(causes, start=1):
            cube = cube.take(first[j], axis=axis)
        blocks.append(Block(causes, np.ascontiguousarray(cube.reshape(len(yields), -1)), count))
    return Group(names, classes, tuple(blocks))


def _tell_apart(j: int, cards: list[int], own: list[tuple[tuple[int, ...], Floats, Floats]]) -> Ints:
    """The class of each state of variable j: equal for states with identical slices of every block, numbered by
    first appearance."""
    slices = []
    for causes, yields, _ in own:
        if j in causes:
            cube = yields.reshape(len(yields), *(cards[i] for i in causes))
            slices.append(
                np.packbits(np.moveaxis(cube, 1 + causes.index(j), 0).reshape(cards[j], -1).astype(bool), axis=1)
            )
    rows = np.ascontiguousarray(np.concatenate(slices, axis=1))
    _, first, place = np.unique(
        rows.view([("", rows.dtype)] * rows.shape[1]).ravel(), return_index=True, return_inverse=True
    )
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[place.ravel()]
