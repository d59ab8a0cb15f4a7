"""P(event) = Σ_u Π_j θ_j(u_j) [the event holds at u]: a query as a network over exogenous states, contracted for all
restarts.

Every potential outcome becomes a node of one counterfactual network, keyed by its variable and by what its parents
resolve to: a constant (the variable is set), or another node (which may belong to another world: nested outcomes).
Worlds that agree on everything above a variable thus share its node; nothing else of the twin-network construction
(Balke & Pearl 1994) is needed. The network is summed out variable by variable (opt_einsum finds the order), so joint
states of different components are never enumerated.

Axes: r restart, u exogenous state; a node has an axis for its value where the event does not fix it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import QueryError, TooLarge
from duckemcc.model.scm import Model
from duckemcc.query.named import Combination, expand
from duckemcc.query.syntax import Atom, Event, PotentialOutcome, Query

Floats = NDArray[np.float64]

LARGEST_TENSOR = 50_000_000
"""Entries of the largest intermediate result of a contraction (400 MB)."""

ZERO_EVIDENCE = 1e-10
"""Probability of the condition below which it is taken as zero: fitted probabilities are good to about 1e-12."""


@dataclass(frozen=True, eq=False)
class Node:
    """A variable in the worlds where its parents are these: constants (state positions) or other nodes; compared by
    identity."""

    variable: str
    parents: tuple[int | Node, ...]
    number: int  # nodes are numbered as they are made, parents first


Resolved: TypeAlias = "int | Node"


class Value(NamedTuple):
    """value [r]: the query at each restart, meaningless where undefined. evidence [r]: the probability of its
    condition."""

    value: Floats
    evidence: Floats


class Compiled:
    """A query bound to a model, evaluated for any chances.

    model: with all states known. Raises as `expand` does, and `TooLarge` for a network whose contraction is too large.
    """

    def __init__(self, query: Query, model: Model) -> None:
        states = {v: labels for v, labels in model.states.items() if labels is not None}
        self.combination: Combination = expand(query, states, model.parents)
        self.model = model
        given = self.combination.given
        self._given = compile_event(model, given) if given else None
        self._terms = [(c, compile_event(model, (*event, *given))) for c, event in self.combination.terms]

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and largest value the query could have, whatever the data: [0, 1], or [-1, 1] for ACE."""
        coefficients = [c for c, _ in self.combination.terms]
        constant = self.combination.constant
        return constant + sum(c for c in coefficients if c < 0), constant + sum(c for c in coefficients if c > 0)

    def __call__(self, chances: Mapping[str, Floats]) -> Value:
        """The query at chances [r, u] of every exogenous variable."""
        restarts = len(next(iter(chances.values()))) if chances else 1
        evidence = self._given(chances, restarts) if self._given else np.ones(restarts)
        total = np.zeros(restarts)
        for coefficient, probability in self._terms:
            total += coefficient * probability(chances, restarts)
        safe = np.where(evidence > ZERO_EVIDENCE, evidence, 1.0)
        return Value(self.combination.constant + total / safe, evidence)


Probability: TypeAlias = Callable[[Mapping[str, Floats], int], Floats]


def compile_event(model: Model, event: Event) -> Probability:
    """The function from chances [r, u] per exogenous variable, and the number of restarts, to P(event) [r]."""
    worlds = _Worlds(model)
    allowed: dict[Node, set[int]] = {}
    for atom in event:
        outcome, values = worlds.resolve_outcome(atom.outcome), _positions(model, atom)
        if isinstance(outcome, int):  # a variable asked about where it is set
            if outcome not in values:
                return _zero
        else:
            allowed[outcome] = allowed.get(outcome, set(range(model.card(outcome.variable)))) & values
    if not all(allowed.values()):
        return _zero
    nodes = _ancestors(allowed)
    axis = {node: f"node {i}" for i, node in enumerate(nodes)}
    letters = _Letters()
    operands: list[Floats] = []
    inputs: list[str] = []
    for node in nodes:
        table, axes = _factor(model, node, allowed, axis)
        operands.append(table)
        inputs.append("".join(map(letters, axes)))
    causes = [u.name for u in model.exogenous if any(u.name in model.causes[n.variable] for n in nodes)]
    if not operands:
        return _one
    spec = ",".join([*inputs, *(letters("restart") + letters(u) for u in causes)])
    # a query that depends on no exogenous variable (all equations deterministic) is the same for all restarts
    spec += "->" + (letters("restart") if causes else "")
    return _Contraction(spec, operands, tuple(causes), [model.card(u) for u in causes], len(nodes))


class _Contraction:
    """The compiled contraction, run for as many restarts at a time as fit into `LARGEST_TENSOR`."""

    def __init__(self, spec: str, tables: list[Floats], causes: tuple[str, ...], cards: list[int], nodes: int) -> None:
        self._spec, self._tables, self._causes, self._cards = spec, tables, causes, cards
        self._expressions: dict[int, Any] = {}
        entries = max(self._find_path(1)[1].largest_intermediate, *(t.size for t in tables))
        if entries > LARGEST_TENSOR:
            raise TooLarge(
                f"evaluating the query needs a table of {int(entries):,} entries over {nodes} potential outcomes, "
                f"more than {LARGEST_TENSOR:,}; ask about fewer worlds at once, or coarsen a variable"
            )
        self._batch = max(1, int(LARGEST_TENSOR // entries))

    def __call__(self, chances: Mapping[str, Floats], restarts: int) -> Floats:
        values = np.empty(restarts)
        for first in range(0, restarts, self._batch):
            batch = slice(first, min(first + self._batch, restarts))
            operands = [np.ascontiguousarray(chances[u][batch]) for u in self._causes]
            values[batch] = self._expression(batch.stop - first)(*operands)
        return values.clip(0.0, None)

    def _shapes(self, restarts: int) -> list[tuple[int, int]]:
        return [(restarts, n) for n in self._cards]

    def _find_path(self, restarts: int) -> Any:
        import opt_einsum

        shapes = [*(t.shape for t in self._tables), *self._shapes(restarts)]
        return opt_einsum.contract_path(self._spec, *shapes, shapes=True, optimize="auto")

    def _expression(self, restarts: int) -> Any:
        import opt_einsum

        if restarts not in self._expressions:
            constants = list(range(len(self._tables)))
            path = self._find_path(restarts)[0]
            self._expressions[restarts] = opt_einsum.contract_expression(
                self._spec, *self._tables, *self._shapes(restarts), constants=constants, optimize=path
            )
        return self._expressions[restarts]


class _Worlds:
    """Resolves potential outcomes to nodes, equal ones to the same node."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: dict[tuple[str, tuple[Resolved, ...]], Node] = {}

    def resolve_outcome(self, outcome: PotentialOutcome) -> Resolved:
        set_to: dict[str, Resolved] = {}
        for setting in outcome.do:
            labels = self.model.states[setting.name] or ()
            value = setting.value
            if isinstance(value, str):
                set_to[setting.name] = labels.index(value)
            elif self.model.states[value.name] == labels:
                set_to[setting.name] = self.resolve_outcome(value)
            else:
                raise QueryError(
                    f"{outcome} sets {setting.name} to the value of {value.name}, which has other states; "
                    "they must be the same, in one order"
                )
        return self._resolve(outcome.name, set_to, {})

    def _resolve(self, name: str, set_to: Mapping[str, Resolved], known: dict[str, Resolved]) -> Resolved:
        for variable in self.model.order:  # parents first; stops at the variable asked about
            if variable in set_to:
                known[variable] = set_to[variable]
            else:
                parents = tuple(known[p] for p in self.model.parents[variable])
                known[variable] = self.nodes.setdefault((variable, parents), Node(variable, parents, len(self.nodes)))
            if variable == name:
                break
        return known[name]


def _positions(model: Model, atom: Atom) -> set[int]:
    labels = model.states[atom.outcome.name] or ()
    named = {labels.index(v) for v in atom.values}
    return set(range(len(labels))) - named if atom.negated else named


def _ancestors(allowed: Mapping[Node, set[int]]) -> list[Node]:
    """The nodes that the event depends on, parents first."""
    found: dict[Node, None] = {}
    stack = list(allowed)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(p for p in node.parents if isinstance(p, Node))
    return sorted(found, key=lambda n: n.number)


def _factor(
    model: Model, node: Node, allowed: Mapping[Node, set[int]], axis: Mapping[Node, str]
) -> tuple[Floats, list[str]]:
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


def _diagonal(table: Floats, axes: list[str]) -> tuple[Floats, list[str]]:
    """The table with each axis once: one node may stand for two parents (Y[M=Z[]] with Z a parent of Y)."""
    distinct = list(dict.fromkeys(axes))
    if len(distinct) == len(axes):
        return table, axes
    letters = {a: chr(ord("a") + i) for i, a in enumerate(distinct)}
    return np.einsum("".join(letters[a] for a in axes) + "->" + "".join(letters.values()), table), distinct


class _Letters:
    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        import opt_einsum

        return self.known.setdefault(name, str(opt_einsum.get_symbol(len(self.known))))


def _zero(chances: Mapping[str, Floats], restarts: int) -> Floats:
    return np.zeros(restarts)


def _one(chances: Mapping[str, Floats], restarts: int) -> Floats:
    return np.ones(restarts)
