"""P(measured | set by design) = Π_b P_b(measured in b | its parents outside): which variables a pattern ties together.

For complete records the parts b are the components of the mutilated model (Tian 2002). A variable without a value and
without measured descendants sums to one and drops out; any other is *latent*: it is summed over together with its own
component and with those of its children, so it ties them into one part (THEORY §2). The parents outside a part are then
all measured or set by design.

Axes: p distinct pattern, v variable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.model.scm import Model, tie
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Part(NamedTuple):
    """Endogenous variables, measured and latent, with their causes; scope: the measured ones and the parents outside.

    All in model order.
    """

    measured: tuple[str, ...]
    latent: tuple[str, ...]
    exogenous: tuple[str, ...]
    scope: tuple[str, ...]


class Sample(NamedTuple):
    """The records of one arm that lack the same values, and the variables without one."""

    arm: StudyCounts
    missing: tuple[str, ...]


def split(model: Model, do: Collection[str], missing: Collection[str] = ()) -> tuple[Part, ...]:
    """The parts of the model mutilated by `do` for records without values of `missing`."""
    tick()
    kept = find_relevant(model, do, missing)
    inside = set(kept)
    ties = [[c for c in u.children if c in inside] for u in model.exogenous]
    ties += [[v, *(c for c in kept if v in model.parents[c])] for v in kept if v in missing]
    return tuple(_make_part(model, members, missing) for members in tie(kept, ties))


def find_relevant(model: Model, do: Collection[str], missing: Collection[str]) -> tuple[str, ...]:
    """The variables that are not set by design and are measured, or have a measured descendant; in model order."""
    relevant: set[str] = set()
    for v in reversed(model.order):  # children before parents
        if v not in do and (v not in missing or any(v in model.parents[c] for c in relevant)):
            relevant.add(v)
    return tuple(v for v in model.variables if v in relevant)


def _make_part(model: Model, members: tuple[str, ...], missing: Collection[str]) -> Part:
    latent = tuple(v for v in members if v in missing)
    exogenous = tuple(u.name for u in model.exogenous if not set(u.children).isdisjoint(members))
    inside = {*members, *(p for v in members for p in model.parents[v])} - set(latent)
    return Part(
        tuple(v for v in members if v not in missing),
        latent,
        exogenous,
        tuple(v for v in model.variables if v in inside),
    )


def split_samples(arm: StudyCounts) -> list[Sample]:
    """The arm's records by what they lack, complete ones first."""
    masks, mask_of = np.unique(arm.codes < 0, axis=0, return_inverse=True)
    if len(masks) == 1:
        return [Sample(arm, _missing(arm, masks[0]))]
    return [
        Sample(replace(arm, codes=arm.codes[rows], count=arm.count[:, rows]), _missing(arm, mask))
        for mask, rows in zip(masks, (mask_of.ravel() == i for i in range(len(masks))), strict=True)
    ]


def _missing(arm: StudyCounts, mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(v for v, lacks in zip(arm.variables, mask, strict=True) if lacks)


def fill_in(model: Model, arm: StudyCounts) -> StudyCounts:
    """The arm with the values that follow from recorded ones, by equations without exogenous variables.

    Such a value is no longer missing, so that it ties nothing.
    """
    if (arm.codes >= 0).all():
        return arm
    codes = np.array(arm.codes)
    column = {v: i for i, v in enumerate(arm.variables)}
    for v in model.order:
        if not model.causes[v] and v not in arm.do:
            given = codes[:, [column[p] for p in model.parents[v]]]
            rows = (codes[:, column[v]] < 0) & (given >= 0).all(axis=1)
            codes[rows, column[v]] = model.table(v)[tuple(given[rows].T)]
    return replace(arm, codes=codes)


def project(arm: StudyCounts, columns: Sequence[str]) -> tuple[Ints, Floats]:
    """The arm's distinct patterns over some of its variables: codes [p, v] and counts [s, p]."""
    return pool([(arm.codes[:, [arm.variables.index(c) for c in columns]].astype(np.intp), arm.count)])


def pool(parts: Sequence[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """Equal patterns made one, their counts added."""
    tick()
    codes = np.concatenate([c for c, _ in parts])
    count = np.concatenate([n for _, n in parts], axis=1)
    distinct, place = np.unique(codes, axis=0, return_inverse=True)
    total = np.zeros((count.shape[0], len(distinct)))
    np.add.at(total.T, place.ravel(), count.T)
    return distinct, total


def number_rows(rows: Ints) -> Ints:
    """Which of the distinct rows each is [p], in the order of their codes."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()
