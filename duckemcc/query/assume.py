"""P(event) = 0 for an event that one exogenous variable decides: the states of it at which the event holds go.

    θ_U(u) = 0 wherever the event holds at u;  U keeps its other states, and its children's equations their rows

An event is evaluated forward, on the nodes of its counterfactual network (`duckemcc.query.event`), at many states of U
at once: variables that are set cut off what lies above them. All that the event speaks of must depend on U alone; what
lies above may have causes of its own, such as a covariate: then the event is excluded for each value of these.

A canonical U is never enumerated whole. Its states are written cell by cell (a cell is what the relation of one child
yields in one context of its parents), and those that an assumption excludes are left out as soon as the last cell that
it reads is written. A monotone instrument of 24 levels thus has 25 relations from the start, and not 2^24. If too many
are left, and the cause can be split into pieces, it stays as it is: `forbid` then tells what its responses cannot be.

Axes: u exogenous state; c cell, those of the first child first, contexts in the order of its table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import AssumptionSpansCauses, GraphError, QueryError, TooLarge, UnknownName
from duckemcc.model.canonical import LARGEST_EXOGENOUS, LARGEST_TABLE, LISTED, Table, check_table_size
from duckemcc.model.check import missing_states
from duckemcc.model.responses import Conjunctions, Responses
from duckemcc.model.scm import Exogenous, Model
from duckemcc.model.states import show_names
from duckemcc.query.language import parse_event
from duckemcc.query.named import expand
from duckemcc.query.spell import spell_nodes
from duckemcc.query.syntax import Event, Probability, Query, Term
from duckemcc.query.worlds import Node, Worlds, find_ancestors

Rows: TypeAlias = NDArray[np.int32]
"""States of one exogenous variable [u, c]: what its children's relations yield."""


def restrict(model: Model, *, pieces: bool = False, listed: int | None = None) -> Model:
    """The model in which what is assumed never to happen cannot: explicit equations, and no assumptions.

    model: with all states known. A cause that no assumption restricts stays as it is. The order of the states that are
    left is that of the unrestricted ones. pieces: leave a canonical cause as it is, with its assumptions, if more than
    `listed` states are left, `LISTED` by default, and it can be split into pieces.
    Raises `AssumptionSpansCauses`, `GraphError` for assumptions that contradict each other or the equations,
    `QueryError` and `UnknownName` for events that do not fit the model, and `TooLarge`.
    """
    if not model.assumptions:
        return model
    unknown = [v for v, labels in model.states.items() if labels is None]
    if unknown:
        raise GraphError(
            f"the states of {show_names(unknown)} are not known", remedy="declare them, or use with_states"
        )
    excluded = _resolve_all(model)
    equations, exogenous, left = dict(model.equations), [], set()
    for cause in model.exogenous:
        own = [e for found in excluded.get(cause.name, {}).values() for e in found]
        if own and cause.card is None:
            try:
                found = _enumerate(model, cause, own, equations)
                wide = found[1] > (listed or LISTED)
            except TooLarge:
                if not (pieces and model.splits):
                    raise
                wide = True
            if wide and pieces and model.splits:
                left |= set(excluded[cause.name])
                own = []
        elif own:
            found = _select(model, cause, own, equations)
        if own and found[1] < model.card(cause.name):
            cause = replace(cause, card=found[1])
            equations |= found[0]
        exogenous.append(cause)
    surjective = model.surjective and all(not missing_states(t, model.card(v)) for v, t in equations.items())
    kept = tuple(text for text in model.assumptions if text in left)
    return replace(model, exogenous=tuple(exogenous), equations=equations, assumptions=kept, surjective=surjective)


def forbid(responses: Responses) -> dict[str, list[Conjunctions]]:
    """For each cause the conjunctions of its responses that the assumptions of a model exclude. Raises as `restrict`
    does."""
    model, found = responses.model, dict[str, list[Conjunctions]]()
    for cause, excluded in (_resolve_all(model) if model.assumptions else {}).items():
        for own in excluded.values():
            found.setdefault(cause, []).extend(spell_nodes(responses, e.nodes, e.allowed) for e in own)
    return found


def _resolve_all(model: Model) -> dict[str, dict[str, list[Excluded]]]:
    """What the assumptions exclude of each cause, by their texts."""
    excluded: dict[str, dict[str, list[Excluded]]] = {}
    for text in sorted(model.assumptions):
        for found in _resolve(model, text):
            excluded.setdefault(found.cause, {}).setdefault(text, []).append(found)
    return excluded


def read_assumption(text: str) -> Query:
    """``P(event)`` of an assumed event. Raises `QueryError` with the position in the text of the event."""
    return Query((Term(1.0, Probability(parse_event(text))),))


class Excluded(NamedTuple):
    """An event that the states of `cause` decide: the states allowed to each of its nodes, of all its `nodes`."""

    event: Event
    cause: str
    allowed: dict[Node, set[int]]
    nodes: list[Node]

    def __str__(self) -> str:
        return _show(self.event)


def _resolve(model: Model, text: str) -> list[Excluded]:
    """The assumption in terms of the model's states, for each value of what lies above if that has causes of its own;
    nothing if it cannot but be true."""
    asked = read_assumption(text)
    states = {v: labels or () for v, labels in model.states.items()}
    try:
        (_, event), *_ = expand(asked, states, model.parents).terms
        allowed = Worlds(model).resolve_event(event)
    except (QueryError, UnknownName) as wrong:
        raise wrong.placed(f"the assumption {asked} = 0 does not fit the model") from None
    if allowed is None:
        return []
    allowed = {node: values for node, values in allowed.items() if len(values) < model.card(node.variable)}
    nodes = find_ancestors(allowed)
    causes = [u for u in model.exogenous if any(u.name in model.causes[n.variable] for n in nodes)]
    if len(causes) > 1:
        return _in_each_context(model, event, causes, allowed, nodes)
    if causes:
        return [Excluded(event, causes[0].name, allowed, nodes)]
    if _holds(model, nodes, allowed, np.zeros((1, 0), np.int32), {}).all():
        raise GraphError(f"the assumption {_show(event)} contradicts the model, in which the event always holds")
    return []


def _in_each_context(
    model: Model, event: Event, causes: Sequence[Exogenous], allowed: dict[Node, set[int]], nodes: Sequence[Node]
) -> list[Excluded]:
    """The event for each value of what lies above it, if all that it speaks of has one cause: it never happens just if
    it does not in any context that can occur. Raises `AssumptionSpansCauses` otherwise."""
    spoken = {u for node in allowed for u in model.causes[node.variable]}
    if len(spoken) != 1 or any(len(model.causes[n.variable]) > 1 for n in nodes):
        raise AssumptionSpansCauses(_spans(event, causes, nodes))
    cause = next(u for u in causes if u.name in spoken)
    responses = Responses(model)
    rows = spell_nodes(responses, nodes, allowed).of(cause.children)
    rows = Conjunctions(rows.variables, *np.split(np.unique(np.hstack(rows[1:]), axis=0), 2, axis=1))
    found = []
    for numbers, values in zip(rows.responses, rows.values, strict=True):
        held: dict[Node, set[int]] = {}
        for k, (number, value) in enumerate(dict(zip(numbers.tolist(), values.tolist(), strict=True)).items()):
            variable, context = responses.read(number)
            shape = responses.shape[variable]
            held[Node(variable, tuple(map(int, np.unravel_index(context, shape))) if shape else (), k)] = {value}
        found.append(Excluded(event, cause.name, held, list(held)))
    return found


def _spans(event: Event, causes: Sequence[Exogenous], nodes: Sequence[Node]) -> str:
    asked = {n.variable for n in nodes}
    each = [f"{u.name}, through {show_names([c for c in u.children if c in asked])}" for u in causes]
    children = list(dict.fromkeys(c for u in causes for c in u.children))
    return (
        f"the assumption {_show(event)} depends on {len(causes)} exogenous variables ({'; '.join(each)}), and only one "
        "may determine an assumed event. Fix the variables of the others by setting them, as in Y[X=0], or merge the "
        f"causes into one, which assumes less: U: {show_names(children)}"
    )


def _show(event: Event) -> str:
    return f"{Probability(event)} = 0"


# -- the states that are left ----------------------------------------------------------------------


def _select(
    model: Model, cause: Exogenous, excluded: Sequence[Excluded], equations: Mapping[str, Table]
) -> tuple[dict[str, Table], int]:
    """The tables of an explicit cause's children without the states that are excluded, and how many are left.

    equations: these tables, some perhaps without states of another cause already.
    """
    own = [c for c in cause.children if model.causes[c] == (cause.name,)]  # only these can be in the events
    parts = [model.table(c).reshape(model.card(cause.name), -1) for c in own]
    first = dict(zip(own, np.cumsum([0, *(p.shape[1] for p in parts)]).tolist(), strict=False))
    rows = np.concatenate(parts, axis=1).astype(np.int32)
    out = np.logical_or.reduce([_holds(model, e.nodes, e.allowed, rows, first) for e in excluded])
    if out.all():
        raise GraphError(_contradict(cause, excluded), variable=cause.name)
    tables = {c: np.compress(~out, equations[c], axis=model.causes[c].index(cause.name)) for c in cause.children}
    return tables, int((~out).sum())


def _enumerate(
    model: Model, cause: Exogenous, excluded: Sequence[Excluded], equations: Mapping[str, Table]
) -> tuple[dict[str, Table], int]:
    """The tables of a canonical cause's children over the states that are left, in mixed radix order."""
    relations = model.relations(cause)
    first: dict[str, int] = {}  # cell of a child; one with a single state has none
    cards: list[int] = []
    for r in relations:
        check_table_size(r.child, r.parents, r.shape)
        if r.card > 1:
            first[r.child] = len(cards)
            cards += [r.card] * prod(r.shape)
    ends: dict[int, list[Excluded]] = {}
    for e in excluded:
        ends.setdefault(_last_cell(model, e.nodes, first), []).append(e)
    rows = np.zeros((1, 0), np.int32)
    for cell in range(-1, len(cards)):
        if cell >= 0:
            rows = _extend(rows, cards[cell], cause)
        for e in ends.get(cell, ()):
            rows = rows[~_holds(model, e.nodes, e.allowed, rows, first)]
        if not len(rows):
            raise GraphError(_contradict(cause, excluded), variable=cause.name)
    _check_size(len(rows), cause)
    tables = {
        r.child: rows[:, first[r.child] :][:, : prod(r.shape)].reshape(len(rows), *r.shape).astype(np.intp)
        if r.card > 1
        else np.zeros((len(rows), *r.shape), np.intp)
        for r in relations
    }
    return tables, len(rows)


def _extend(rows: Rows, card: int, cause: Exogenous) -> Rows:
    """Every state with every value of one more cell."""
    if len(rows) * card * (rows.shape[1] + 1) > LARGEST_TABLE:
        _check_size(max(len(rows) * card, LARGEST_EXOGENOUS + 1), cause)
    longer = np.empty((len(rows), card, rows.shape[1] + 1), np.int32)
    longer[..., :-1] = rows[:, None]
    longer[..., -1] = np.arange(card)
    return longer.reshape(len(rows) * card, -1)


def _check_size(states: int, cause: Exogenous) -> None:
    if states > LARGEST_EXOGENOUS:
        raise TooLarge(
            f"the exogenous variable {cause.name} over {show_names(cause.children)} has more than "
            f"{LARGEST_EXOGENOUS:,} states that its assumptions leave",
            remedy="coarsen a variable to fewer states, remove a parent, or assume more",
            variable=cause.name,
        )


def _contradict(cause: Exogenous, excluded: Iterable[Excluded]) -> str:
    said = [str(e) for e in excluded]
    if len(said) == 1:
        return f"the assumption {said[0]} leaves {cause.name} without a state: its event always holds; leave it out"
    return f"the assumptions {show_names(said)} contradict each other: they leave {cause.name} without a state"


# -- events at states ------------------------------------------------------------------------------


def _holds(
    model: Model, nodes: Sequence[Node], allowed: dict[Node, set[int]], rows: Rows, first: dict[str, int]
) -> NDArray[np.bool_]:
    """Whether the event holds [u], at states of which at least the cells that it reads are written."""
    value: dict[Node, NDArray[np.intp]] = {}
    holds = np.ones(len(rows), dtype=bool)
    for node in nodes:
        at = [value[p] if isinstance(p, Node) else p for p in node.parents]
        value[node] = _read(model, node.variable, at, rows, first)
        if node in allowed:
            holds &= np.isin(np.arange(model.card(node.variable)), list(allowed[node]))[value[node]]
    return holds


def _read(
    model: Model, variable: str, at: list[int | NDArray[np.intp]], rows: Rows, first: dict[str, int]
) -> NDArray[np.intp]:
    """What a variable is [u] where its parents are these."""
    parents = [np.broadcast_to(p, len(rows)) for p in at]
    if model.card(variable) == 1:
        return np.zeros(len(rows), np.intp)
    if variable not in first:  # an equation without exogenous parents
        return np.broadcast_to(model.table(variable)[tuple(parents)], len(rows))
    shape = [model.card(p) for p in model.parents[variable]]
    cell = first[variable] + (np.ravel_multi_index(parents, shape) if shape else np.zeros(len(rows), np.intp))
    return np.take_along_axis(rows, cell[:, None], axis=1)[:, 0].astype(np.intp)


def _last_cell(model: Model, nodes: Sequence[Node], first: dict[str, int]) -> int:
    """The last cell that the event can read, -1 for none."""
    last = -1
    for node in nodes:
        if node.variable in first:
            shape = [model.card(p) for p in model.parents[node.variable]]
            far = [model.card(p.variable) - 1 if isinstance(p, Node) else p for p in node.parents]
            last = max(last, first[node.variable] + (int(np.ravel_multi_index(far, shape)) if shape else 0))
    return last
