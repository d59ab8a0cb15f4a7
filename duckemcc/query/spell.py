"""Events spelled out as conjunctions of responses: what the worlds of a query read of each cause.

An event is true in the worlds of some values of its potential outcomes; each such assignment reads one response per
outcome, at the values of its parents. The assignments exclude each other, so an event's probability is the sum of
theirs, and each is a product over the causes: P(event) = Σ_r Π_j P_θj(conjunction_rj) (THEORY §9).

Axes: r row (an assignment), k response read in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.model.responses import Conjunctions, Responses
from duckemcc.model.states import show_names
from duckemcc.model.ticking import tick
from duckemcc.query.syntax import Event
from duckemcc.query.worlds import Node, Worlds, find_ancestors

Ints = NDArray[np.intp]

MOST_ROWS = 2_000_000
"""Values of the responses in all assignments of one event at most."""


def spell_event(responses: Responses, worlds: Worlds, event: Event) -> Conjunctions:
    """The assignments in which an event holds; none if it is impossible. Raises `TooLarge` for too many."""
    allowed = worlds.resolve_event(event)
    return spell_nodes(responses, find_ancestors(allowed), allowed) if allowed is not None else _nothing()


def spell_nodes(responses: Responses, nodes: Sequence[Node], allowed: Mapping[Node, Collection[int]]) -> Conjunctions:
    """The same of outcomes, parents first, with the values that are allowed to some of them."""
    model = responses.model
    value: dict[Node, Ints] = {}
    read: dict[Node, Ints] = {}
    rows = 1
    for node in nodes:
        tick()
        wanted = np.array(sorted(allowed.get(node, range(model.card(node.variable)))), np.intp)
        number = responses.number(node.variable, [_value(value, p) for p in node.parents], rows)
        if not model.causes[node.variable]:
            fixed = model.table(node.variable).reshape(-1)[number - responses.first[node.variable]]
            kept = np.flatnonzero(np.isin(fixed, wanted))
            value, read = _take(value, kept), _take(read, kept)
            value[node], rows = fixed[kept], len(kept)
            continue
        if rows * len(wanted) * (len(read) + 1) > MOST_ROWS:
            variables = list(dict.fromkeys(n.variable for n in nodes))
            raise TooLarge(
                f"the query has more than {MOST_ROWS:,} combinations of values of {show_names(variables)}, over all "
                "its worlds",
                remedy="ask about fewer worlds at once, or coarsen one of these to fewer states",
            )
        kept = np.repeat(np.arange(rows), len(wanted))
        chosen = np.tile(wanted, rows)
        number = number[kept]
        agrees = np.ones(len(kept), bool)  # one response has one value, in whatever worlds it is read
        for other in (n for n in read if n.variable == node.variable):
            agrees &= (read[other][kept] != number) | (value[other][kept] == chosen)
        kept, chosen, number = kept[agrees], chosen[agrees], number[agrees]
        value, read = _take(value, kept), _take(read, kept)
        value[node], read[node], rows = chosen, number, len(kept)
    told = [n for n in nodes if n in read]
    return Conjunctions(
        tuple(n.variable for n in told),
        np.stack([read[n] for n in told], axis=1) if told else np.zeros((rows, 0), np.intp),
        np.stack([value[n] for n in told], axis=1) if told else np.zeros((rows, 0), np.intp),
    )


def _nothing() -> Conjunctions:
    return Conjunctions((), np.zeros((0, 0), np.intp), np.zeros((0, 0), np.intp))


def _value(value: Mapping[Node, Ints], parent: Node | int) -> Ints | int:
    return value[parent] if isinstance(parent, Node) else parent


def _take(columns: Mapping[Node, Ints], rows: Ints) -> dict[Node, Ints]:
    return {node: column[rows] for node, column in columns.items()}
