"""P(v | w_V): the factors of the Bayesian network that all fully specified models of a graph share (paper Eq. 2).

w_V are the other measured members of V's part and the measured parents outside, in the graph of the measured variables
up to V in topological order (Tian's minimal sets, 2002). What is not measured is summed over (`parts.py`).

Axes: s segment, p pattern, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import Part
from duckemcc.learn.parts import split as split_parts
from duckemcc.learn.patterns import probability
from duckemcc.learn.pieces.split import Split
from duckemcc.learn.pooling import find_classes, sum_by_class
from duckemcc.learn.yields import CHUNK, pattern_yields
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


WIDE = 4096
"""States of a cause above which only those with positive chances are looked at, segment by segment."""


class Conditional(NamedTuple):
    """P(variable | context). part: of the variable up to it, which determines the fitted value; names: the
    distributions of its causes."""

    variable: str
    context: tuple[str, ...]
    part: Part
    names: tuple[str, ...]


def factorise(model: Model, arm: StudyCounts, missing: Collection[str]) -> list[Conditional]:
    """The network of an arm's measured variables, where those `missing` are not: part by part, in topological order."""
    return [
        Conditional(v, tuple(w for w in part.scope if w != v), part, tuple(arm.local.get(u, u) for u in part.exogenous))
        for v, part in find_parts(model, arm.do, missing)
    ]


def find_parts(model: Model, do: Collection[str], missing: Collection[str]) -> Iterator[tuple[str, Part]]:
    """Each measured variable V and its part up to V, whose scope is V and w_V."""
    for whole in split_parts(model, do, missing):
        for v in (v for v in model.order if v in whole.measured):
            later = model.order[model.order.index(v) + 1 :]
            yield v, next(b for b in split_parts(model, do, {*missing, *later}) if v in b.measured)


def fit(
    model: Model,
    factor: Conditional,
    codes: Ints,
    chances: dict[str, Floats],
    segments: int,
    split: Split | None = None,
) -> Floats:
    """Fitted P(variable | context) [s, p] at one PMF [s, u] per distribution.

    codes [p, v] of the context and the variable, in this order. split: the pieces of which the distributions are.
    """
    if split is not None:
        columns = (*factor.context, factor.variable)
        part, names = factor.part, factor.names
        return _divide(factor, lambda v: probability(split, part, names, v, columns, codes, chances, segments))
    if max((chances[n].shape[1] for n in factor.names), default=1) > WIDE and segments > 1:
        own = [{n: c[s : s + 1] for n, c in chances.items()} for s in range(segments)]
        return np.concatenate([fit(model, factor, codes, one, 1) for one in own])
    states, joint = _join(model, factor, chances, segments)
    step = max(1, CHUNK // joint.shape[1])
    pieces = [_fit(model, factor, codes[i : i + step], states, joint) for i in range(0, len(codes), step)]
    return np.concatenate(pieces, axis=1)


def _join(
    model: Model, factor: Conditional, chances: dict[str, Floats], segments: int
) -> tuple[dict[str, Ints], Floats]:
    """The states of each cause that act differently, and their joint chances [s, u]."""
    states: dict[str, Ints] = {}
    joint = np.ones((segments, 1))
    for cause, name in zip(factor.part.exogenous, factor.names, strict=True):
        mass = chances[name]
        live = None
        if mass.shape[1] > WIDE:
            states[cause] = live = np.flatnonzero(mass[0])
            mass = mass[:, live]
        classes = find_classes(model, cause, {*factor.part.measured, *factor.part.latent}, live)
        if classes is not None:
            first = np.unique(classes, return_index=True)[1]
            states[cause] = first if live is None else live[first]
            mass = sum_by_class(mass, classes)
        joint = (joint[:, :, None] * mass[:, None, :]).reshape(segments, -1)
    return states, joint


def _fit(model: Model, factor: Conditional, codes: Ints, states: dict[str, Ints], joint: Floats) -> Floats:
    return _divide(factor, lambda v: _probability(model, factor, v, codes, states, joint))


def _divide(factor: Conditional, fitted: Callable[[tuple[str, ...]], Floats]) -> Floats:
    """P(variable | context) [s, p]. fitted: P(some measured variables | parents outside) [s, p]."""
    both = fitted(factor.part.measured)
    before = tuple(v for v in factor.part.measured if v != factor.variable)
    if not before:
        return both
    given = fitted(before)
    return np.divide(both, given, out=np.zeros_like(both), where=given > 0)


def _probability(
    model: Model,
    factor: Conditional,
    members: tuple[str, ...],
    codes: Ints,
    states: dict[str, Ints],
    joint: Floats,
) -> Floats:
    """P(members = their values | parents outside) [s, p]."""
    part, columns = factor.part, (*factor.context, factor.variable)
    yields = pattern_yields(model, members, part.exogenous, columns, codes, latent=part.latent, states=states)
    return np.matmul(joint[:, None, :], yields.astype(np.float64).T)[:, 0]
