"""The storage form of a model: plain dictionaries and lists, fit for JSON.

endogenous: {"Y": {"states": [...], "parents": ["X"]}}     no states: learned from the data
exogenous:  {"U": {"children": ["X", "Y"], "card": 4}}     no card: canonical; "arcs": the <-> arcs that
                                                           it was merged from
equations:  {"Y": {"table": [[0, 1], [1, 1]]}}             nested or flat (or axes merged); exogenous parents, then
                                                           endogenous; entries are positions in Y's states, or its
                                                           states as text
assumptions: [{"event": "Y[X=0]=1, Y[X=1]=0"}]            events of probability zero, in the query language, or as
                                                           lists of atoms {"var": "Y", "do": {"X": 0}, "val": 1}, where
                                                           "val" may be a list
unmeasured: ["M"]                                          absent: none
surjective: false                                          only where assumptions took states of the causes away,
                                                           so that an equation may never yield one of its states
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import numpy as np

from duckemcc.errors import GraphError, InvalidEquation
from duckemcc.model.canonical import MOST_AXES, Table
from duckemcc.model.check import check_known
from duckemcc.model.fields import hint_key, is_list, read_fields, read_flag, read_list, read_mapping, read_names
from duckemcc.model.scm import Endogenous, Exogenous, Model
from duckemcc.model.states import State, label, show_names, show_value, to_state

_KEYS = ("endogenous", "exogenous", "equations", "assumptions", "unmeasured", "surjective")


def from_dict(spec: Mapping[str, Any]) -> Model:
    """The model of its storage form; a variable with neither exogenous parent nor equation gets its own ``U_name``."""
    _check_keys(spec)
    endogenous = {name: _read_endogenous(name, body) for name, body in read_mapping(spec, "endogenous").items()}
    declared = [_read_exogenous(name, body) for name, body in read_mapping(spec, "exogenous").items()]
    given = read_mapping(spec, "equations")
    check_known("there is an equation of", given, endogenous)
    tables = {name: _read_table(endogenous[name], body) for name, body in given.items()}
    exogenous, tables = _fit_tables(endogenous, add_private(tuple(endogenous.values()), declared, given), tables)
    return Model(
        tuple(endogenous.values()),
        exogenous,
        tables,
        tuple(_read_assumption(body) for body in read_list(spec, "assumptions")),
        read_names("the model", "unmeasured", spec.get("unmeasured")),
        read_flag(spec, "surjective"),
    )


def to_dict(model: Model) -> dict[str, Any]:
    """The storage form of a model."""
    endogenous: dict[str, Any] = {v.name: {"parents": list(v.parents)} for v in model.endogenous}
    for v in model.endogenous:
        if v.states is not None:
            endogenous[v.name]["states"] = list(v.states)
    exogenous: dict[str, Any] = {u.name: {"children": list(u.children)} for u in model.exogenous}
    for u in model.exogenous:
        if u.card is not None:
            exogenous[u.name]["card"] = u.card
        if u.arcs:
            exogenous[u.name]["arcs"] = [list(arc) for arc in u.arcs]
    equations = {name: {"table": table.tolist()} for name, table in model.equations.items()}
    assumptions = [{"event": event} for event in model.assumptions]
    form: dict[str, Any] = {
        "endogenous": endogenous,
        "exogenous": exogenous,
        "equations": equations,
        "assumptions": assumptions,
    }
    if model.unmeasured:
        form["unmeasured"] = list(model.unmeasured)
    if not model.surjective:
        form["surjective"] = False
    return form


def add_private(
    endogenous: Sequence[Endogenous], exogenous: Sequence[Exogenous], equations: Mapping[str, object]
) -> tuple[Exogenous, ...]:
    """The exogenous variables with one more, ``U_name``, for each variable that has none and no equation."""
    caused = {c for u in exogenous for c in u.children}
    alone = [v.name for v in endogenous if v.name not in caused and v.name not in equations]
    return (*exogenous, *(Exogenous(f"U_{name}", (name,)) for name in alone))


# -- reading, field by field -----------------------------------------------------------------------


def _check_keys(spec: Mapping[str, Any]) -> None:
    if not isinstance(spec, Mapping):
        raise GraphError(f"a model's storage form is a dictionary; found {type(spec).__name__}")
    for key in spec:
        if _is_typo(key):
            near = hint_key(key, _KEYS)
            raise GraphError(f"the model has the key {show_value(key)}; its keys are {', '.join(_KEYS)}", remedy=near)


def _is_typo(key: object) -> bool:
    """Whether it looks like a key: a typo must not silently drop an equation; foreign keys may travel along."""
    if key in _KEYS or not isinstance(key, str):
        return False
    return bool(get_close_matches(key[:40].casefold(), _KEYS, n=1, cutoff=0.75))


def _read_endogenous(name: str, body: Any) -> Endogenous:
    fields = read_fields(name, body, ("states", "parents"))
    states = fields.get("states")
    if states is not None and not is_list(states):
        raise GraphError(f"states of {name} is a list; found {show_value(states)}", variable=name)
    read = None if states is None else tuple(_read_state(name, s) for s in states)
    return Endogenous(name, read_names(name, "parents", fields.get("parents")), read)


def _read_exogenous(name: str, body: Any) -> Exogenous:
    fields = read_fields(name, body, ("children", "card", "arcs"))
    card = fields.get("card")
    if card is not None and (isinstance(card, bool) or not isinstance(card, int)):
        raise GraphError(f"card of {name} is a whole number; found {show_value(card)}", variable=name)
    children = read_names(name, "children", fields.get("children"))
    return Exogenous(name, children, card, _read_arcs(name, children, fields.get("arcs")))


def _read_arcs(name: str, children: tuple[str, ...], value: Any) -> tuple[tuple[str, str], ...]:
    """The arcs that a cause was merged from: pairs of its children."""
    if value is None:
        return ()
    if not is_list(value):
        raise GraphError(f"arcs of {name} is a list of pairs of its children; found {show_value(value)}", variable=name)
    arcs = []
    for arc in value:
        if not is_list(arc) or len(arc) != 2 or arc[0] == arc[1] or not all(v in children for v in arc):
            raise GraphError(
                f"each of the arcs of {name} joins two of its children; found {show_value(arc)}", variable=name
            )
        arcs.append((arc[0], arc[1]))
    return tuple(arcs)


def _read_state(name: str, value: Any) -> State:
    try:
        return to_state(value)
    except TypeError as wrong:
        raise GraphError(f"states of {name}: {wrong}", variable=name) from None


# -- assumptions -----------------------------------------------------------------------------------


def _read_assumption(body: Any) -> str:
    """The event in the query language: as it is, or written from its atoms."""
    event = read_fields("an assumption", body, ("event",)).get("event")
    if isinstance(event, str):
        return event
    if not is_list(event) or not event:
        raise GraphError(f"the event of an assumption is text, or a list of atoms; found {show_value(event)}")
    return ", ".join(map(_write_atom, event))


def _write_atom(body: Any) -> str:
    atom = read_fields("an atom", body, ("var", "do", "val"))
    do = {} if atom.get("do") is None else atom["do"]
    if not isinstance(do, Mapping):
        raise GraphError(f"'do' of an atom is a dictionary from variables to states; found {show_value(do)}")
    settings = ", ".join(f"{_write_name(name)}={_write_value(value)}" for name, value in do.items())
    outcome = _write_name(atom.get("var")) + (f"[{settings}]" if do else "")
    values = atom.get("val")
    if not is_list(values):
        return f"{outcome}={_write_value(values)}"
    if not values:
        raise GraphError(
            f"'val' of an atom of {outcome} is a state, or a list of some; found an empty one", variable=outcome
        )
    return f"{outcome} IN ({', '.join(map(_write_value, values))})"


def _write_name(name: Any) -> str:
    if not isinstance(name, str):
        raise GraphError(f"an atom names a variable by text; found {show_value(name)}")
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _write_value(value: Any) -> str:
    try:
        doubled = label(value).replace("'", "''")
    except TypeError as wrong:
        raise GraphError(f"'val' or 'do' of an atom: {wrong}") from None
    return f"'{doubled}'"


# -- tables ----------------------------------------------------------------------------------------


def _read_table(variable: Endogenous, body: Any) -> Table:
    raw = read_fields(variable.name, body, ("table",)).get("table") if isinstance(body, Mapping) else body
    try:
        cells = np.array(raw, dtype=object)
    except ValueError:  # ragged below the first axis
        raise _wrong_entry(variable, "rows of different lengths") from None
    place = {text: i for i, text in enumerate(variable.labels or ())}
    flat = [place.get(c, c) if isinstance(c, str) else c for c in cells.ravel().tolist()]
    if not flat:
        raise _wrong_entry(variable, "no entries")
    for entry in flat:
        if isinstance(entry, bool) or not isinstance(entry, (int, np.integer)) or not -(2**31) <= entry < 2**31:
            raise _wrong_entry(variable, f"the entry {show_value(entry)}")
    return np.array(flat, dtype=np.intp).reshape(cells.shape)


def _wrong_entry(variable: Endogenous, found: str) -> InvalidEquation:
    states = f"states {show_names(variable.labels)}" if variable.labels else "states, which are to be declared"
    return InvalidEquation(
        f"the equation of {variable.name} has {found}",
        remedy=f"it is a list, nested or flat, with rows of one length, of "
        f"positions in its {states}, or of these states as text",
        variable=variable.name,
    )


def _fit_tables(
    endogenous: Mapping[str, Endogenous], exogenous: tuple[Exogenous, ...], tables: dict[str, Table]
) -> tuple[tuple[Exogenous, ...], dict[str, Table]]:
    """Cardinalities that only the tables tell, and flat tables brought to their shape."""
    causes: dict[str, list[str]] = {name: [] for name in tables}
    for u in exogenous:
        for child in u.children:
            causes.get(child, []).append(u.name)
    shapes = {
        name: tuple(len(endogenous[p].states or ()) if p in endogenous else 0 for p in endogenous[name].parents)
        for name in tables
    }
    cards = {u.name: u.card for u in exogenous}
    for name in sorted(
        tables, key=lambda name: len(causes[name])
    ):  # one cause first: it may tell a size that others need
        _infer_cards(cards, causes[name], shapes[name], tables[name].shape)
    fitted = {}
    for name, table in tables.items():
        shape = (*(cards[u] or 0 for u in causes[name]), *shapes[name])
        fitted[name] = table.reshape(shape) if _merges(table.shape, shape) else table
    return tuple(replace(u, card=cards[u.name]) for u in exogenous), fitted


def _infer_cards(
    cards: dict[str, int | None], causes: list[str], parents: tuple[int, ...], found: tuple[int, ...]
) -> None:
    unknown = [i for i, u in enumerate(causes) if cards[u] is None]
    if len(found) == len(causes) + len(parents):  # an axis each
        cards.update({causes[i]: found[i] for i in unknown})
    elif len(unknown) == 1:
        others = prod(cards[u] or 1 for u in causes) * prod(parents)
        if others and prod(found) % others == 0:
            cards[causes[unknown[0]]] = prod(found) // others


def _merges(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether `found` is `wanted` with neighbouring axes written as one: a flat list, or one row per joint state."""
    fits = len(wanted) <= MOST_AXES and prod(found) == prod(wanted)
    return fits and set(accumulate(found, mul)) <= {1, *accumulate(wanted, mul)}
