"""P(event) = Σ_u Π_j θ_j(u_j) [the event holds at u]: a query as a network over exogenous states, contracted for all
restarts.

`worlds.py` makes a node of every potential outcome, `network.py` sums the network out.

Axes: r restart, u exogenous state; a node has an axis for its value where the event does not fix it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.scm import Model
from duckemcc.query.named import Combination, expand
from duckemcc.query.network import Factor, Impossible, Network, Table
from duckemcc.query.syntax import Event, Query
from duckemcc.query.worlds import MOST_OUTCOMES, Node, Worlds, find_ancestors, refuse_too_many

Floats = NDArray[np.float64]

ZERO_EVIDENCE = 1e-10
"""Probability of the condition below which it is taken as zero: fitted probabilities are good to about 1e-12. Less
where records were seen that are as rare."""


class Value(NamedTuple):
    """value [r]: the query at each restart, meaningless where undefined. evidence [r]: the probability of its
    condition."""

    value: Floats
    evidence: Floats


class Slopes(NamedTuple):
    """The query's numerator and condition as linear functions of one factor's chances, the others being held.

    value, evidence [r, u]: Σ_u θ(u) value(u) is the numerator (without the constant), Σ_u θ(u) evidence(u) the
    probability of the condition, where the query depends on the factor at all.
    """

    value: Floats
    evidence: Floats


class Compiled:
    """A query bound to a model, evaluated for any chances.

    model: with all states known. merged: exogenous variables that are given one PMF over their joint states; their
    chances then stand under the tuple of their names. Raises as `expand` does, and `TooLarge` for a network whose
    contraction is too large.
    """

    def __init__(self, query: Query, model: Model, merged: Sequence[Factor] = ()) -> None:
        states = {v: labels for v, labels in model.states.items() if labels is not None}
        self.combination: Combination = expand(query, states, model.parents)
        self.model = model
        factors = find_factors(model, merged)
        given = self.combination.given
        joint = [(*event, *given) for _, event in self.combination.terms]
        first, *others = _compile_events(model, [given, *joint], factors)
        self._given = first if given else None
        self._terms = [(c, network) for (c, _), network in zip(self.combination.terms, others, strict=True)]
        networks = [*(n for _, n in self._terms), *([self._given] if self._given else [])]
        self.factors = tuple(f for f in factors if any(f in n.factors for n in networks))
        """Those that the query depends on, in model order."""

    def card(self, factor: Factor) -> int:
        """Joint states of a factor."""
        return prod(self.model.card(u) for u in factor)

    @property
    def causes(self) -> tuple[str, ...]:
        """The exogenous variables that the query depends on."""
        return tuple(dict.fromkeys(u for factor in self.factors for u in factor))

    @property
    def conditional(self) -> bool:
        return self._given is not None

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and largest value the query could have, whatever the data: [0, 1], or [-1, 1] for ACE."""
        coefficients = [c for c, _ in self.combination.terms]
        constant = self.combination.constant
        return constant + sum(c for c in coefficients if c < 0), constant + sum(c for c in coefficients if c > 0)

    def __call__(self, chances: Mapping[str, Floats]) -> Value:
        """The query at chances [r, u] of every exogenous variable."""
        return self.at({(name,): c for name, c in chances.items()})

    def at(self, chances: Mapping[Factor, Floats]) -> Value:
        """The query at chances [r, u] of every factor."""
        restarts, evidence = _count_restarts(chances), self.evidence(chances)
        total = np.zeros(restarts)
        for coefficient, network in self._terms:
            total += coefficient * network(chances, restarts)
        safe = np.where(evidence > 0, evidence, 1.0)
        return Value(self.combination.constant + total / safe, evidence)

    def evidence(self, chances: Mapping[Factor, Floats]) -> Floats:
        """The probability [r] of the query's condition; one where there is none."""
        restarts = _count_restarts(chances)
        return self._given(chances, restarts) if self._given else np.ones(restarts)

    def slopes(self, factor: Factor, chances: Mapping[Factor, Floats]) -> Slopes:
        """The query as a function of one factor, at chances [r, u] of all.

        Terms that do not depend on the factor are spread over its states: its chances sum to one.
        """
        restarts = len(chances[factor])
        value = np.zeros(chances[factor].shape)
        for coefficient, network in self._terms:
            value += coefficient * _slope(network, factor, chances, restarts)
        evidence = _slope(self._given, factor, chances, restarts) if self._given else np.ones(value.shape)
        return Slopes(value, evidence)


def _count_restarts(chances: Mapping[Factor, Floats]) -> int:
    return len(next(iter(chances.values()))) if chances else 1


def _slope(network: Network, factor: Factor, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
    if factor in network.factors:
        return network.slope(factor, chances, restarts)
    return np.broadcast_to(network(chances, restarts)[:, None], chances[factor].shape)


def find_factors(model: Model, merged: Sequence[Factor] = ()) -> tuple[Factor, ...]:
    """Every exogenous variable by itself, but for those that are merged; ordered by their first in model order."""
    of = {name: factor for factor in merged for name in factor}
    return tuple(dict.fromkeys(of.get(u.name, (u.name,)) for u in model.exogenous))


def _compile_events(model: Model, events: Sequence[Event], factors: Sequence[Factor]) -> list[Network]:
    """P(event) for each event, as a network over the chances of the factors."""
    worlds, room = Worlds(model), MOST_OUTCOMES
    resolved = []
    for event in events:
        allowed = worlds.resolve_event(event)
        nodes = find_ancestors(allowed or {})
        room -= len(nodes)
        if room < 0:  # before the first network is made
            raise refuse_too_many()
        resolved.append((allowed, nodes))
    cards = {u.name: model.card(u.name) for u in model.exogenous}
    networks: list[Network] = []
    for allowed, nodes in resolved:
        axis = {node: f"node {i}" for i, node in enumerate(nodes)}
        tables = [Table(*_factor(model, node, allowed or {}, axis)) for node in nodes]
        networks.append(Impossible() if allowed is None else Network(tables, factors, cards))
    return networks


def _factor(
    model: Model, node: Node, allowed: Mapping[Node, set[int]], axis: Mapping[Node, str]
) -> tuple[Floats, tuple[str, ...]]:
    """[f_V(u, parents) = v] as a table with named axes: exogenous parents, parent nodes, and the node's own value.

    A node that the event fixes to one value has no axis: its own table and its children's are taken at that value.
    """
    table = model.table(node.variable)
    axes = list(model.causes[node.variable])
    index: list[Any] = [slice(None)] * len(axes)
    for parent in node.parents:
        value = parent if isinstance(parent, int) else _only(allowed.get(parent))
        index.append(slice(None) if value is None else value)
        if isinstance(parent, Node) and value is None:
            axes.append(axis[parent])
    table = table[tuple(index)]
    value = _only(allowed.get(node))
    if value is not None:
        return _diagonal((table == value).astype(np.float64), axes)
    states = np.arange(model.card(node.variable))
    onehot = (table[..., None] == states).astype(np.float64)
    if node in allowed:
        onehot[..., [v not in allowed[node] for v in states]] = 0.0
    return _diagonal(onehot, [*axes, axis[node]])


def _only(values: set[int] | None) -> int | None:
    return next(iter(values)) if values is not None and len(values) == 1 else None


def _diagonal(table: Floats, axes: list[str]) -> tuple[Floats, tuple[str, ...]]:
    """The table with each axis once: one node may stand for two parents (Y[M=Z[]] with Z a parent of Y)."""
    distinct = list(dict.fromkeys(axes))
    if len(distinct) == len(axes):
        return table, tuple(axes)
    letters = {a: chr(ord("a") + i) for i, a in enumerate(distinct)}
    return np.einsum("".join(letters[a] for a in axes) + "->" + "".join(letters.values()), table), tuple(distinct)
