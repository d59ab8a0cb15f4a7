"""Potential outcomes as nodes of one counterfactual network, keyed by a variable and by what its parents resolve to.

A parent resolves to a constant (the variable is set), or to another node (which may belong to another world: nested
outcomes). Worlds that agree on everything above a variable thus share its node; nothing else of the twin-network
construction (Balke & Pearl 1994) is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from duckemcc.errors import QueryError, TooLarge
from duckemcc.model.paths import Reading
from duckemcc.model.scm import Model
from duckemcc.query.syntax import Atom, Event, PotentialOutcome


@dataclass(frozen=True, eq=False)
class Node:
    """A variable in the worlds where its parents are these: constants (state positions) or other nodes; compared by
    identity."""

    variable: str
    parents: tuple[int | Node, ...]
    number: int  # nodes are numbered as they are made, parents first


Resolved: TypeAlias = "int | Node"

MOST_OUTCOMES = 10_000
"""Potential outcomes in all terms of a query at most; the order of their contraction takes time with their square."""


class Worlds:
    """Resolves events and potential outcomes to nodes, equal ones to the same node."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.place = {v: i for i, v in enumerate(model.order)}
        self.nodes: dict[tuple[str, tuple[Resolved, ...]], Node] = {}
        self.known: dict[frozenset[tuple[str, Resolved]], dict[str, Resolved]] = {}  # of each world, by variable

    def resolve_event(self, event: Event) -> dict[Node, set[int]] | None:
        """The states that an event, as `expand` gives it, allows each outcome in it; None if it is impossible."""
        allowed: dict[Node, set[int]] = {}
        for atom in event:
            outcome, values = self.resolve_outcome(atom.outcome), _positions(self.model, atom)
            if isinstance(outcome, int):  # a variable asked about where it is set
                if outcome not in values:
                    return None
            else:
                card = self.model.card(outcome.variable)
                allowed[outcome] = allowed.get(outcome, set(range(card))) & values
        return allowed if all(allowed.values()) else None

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
                    "they must be the same, in one order",
                    variable=setting.name,
                )
        known = self.known.setdefault(frozenset(set_to.items()), dict(set_to))
        for variable in self._above(outcome.name, known):
            parents = tuple(known[p] for p in self.model.parents[variable])
            known[variable] = self.nodes.setdefault((variable, parents), Node(variable, parents, len(self.nodes)))
        if len(self.nodes) > MOST_OUTCOMES:
            raise refuse_too_many()
        return known[outcome.name]

    def _above(self, name: str, known: Mapping[str, Resolved]) -> list[str]:
        """The variables that decide this one in a world where others are known, parents first."""
        found, stack = {name}, [name]
        while stack:
            above = {p for p in self.model.parents[stack.pop()] if p not in known} - found
            found |= above
            stack += above
        return sorted(found - known.keys(), key=self.place.__getitem__)


def _positions(model: Model, atom: Atom) -> set[int]:
    labels = model.states[atom.outcome.name] or ()
    wanted = set(atom.values)
    named = {i for i, label in enumerate(labels) if label in wanted}
    return set(range(len(labels))) - named if atom.negated else named


def find_readings(model: Model, events: Iterable[Event]) -> frozenset[Reading]:
    """What the worlds of some events read; a variable that is set to its value in another world may have any."""
    found: set[Reading] = set()
    left = [atom.outcome for event in events for atom in event]
    while left:
        outcome = left.pop()
        do = frozenset(setting.name for setting in outcome.do)
        left += [setting.value for setting in outcome.do if isinstance(setting.value, PotentialOutcome)]
        read, stack = set(), [outcome.name]
        while stack:
            name = stack.pop()
            if name not in do and name not in read:
                read.add(name)
                stack += model.parents[name]
        found.add(Reading(do, frozenset(read)))
    return frozenset(found)


def find_ancestors(allowed: Mapping[Node, set[int]]) -> list[Node]:
    """The nodes that the event depends on, parents first."""
    found: dict[Node, None] = {}
    stack = list(allowed)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(p for p in node.parents if isinstance(p, Node))
    return sorted(found, key=lambda n: n.number)


def refuse_too_many() -> TooLarge:
    return TooLarge(
        f"the query depends on more than {MOST_OUTCOMES:,} potential outcomes, in all its terms and worlds",
        remedy="ask about fewer at once",
    )
