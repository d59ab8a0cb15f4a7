"""The storage form of a model: plain dictionaries and lists, fit for JSON.

    endogenous: {"Y": {"states": [...], "parents": ["X"]}}     no states: learned from the data
    exogenous:  {"U": {"children": ["X", "Y"], "card": 4}}     no card: canonical
    equations:  {"Y": {"table": [[0, 1], [1, 1]]}}             nested or flat (or axes merged); exogenous parents, then endogenous;
                                                               entries are positions in Y's states, or its states as text
    assumptions: [{"event": [...]}]                            not yet supported
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import numpy as np

from duckemcc.errors import GraphError, InvalidEquation, NotSupported, UnknownName, hint
from duckemcc.model.scm import Endogenous, Exogenous, Model, Table
from duckemcc.model.states import State, label

_KEYS = ("endogenous", "exogenous", "equations", "assumptions")


def from_dict(spec: Mapping[str, Any]) -> Model:
    """The model of its storage form; an endogenous variable with neither exogenous parent nor equation gets its own ``U_name``."""
    _check_keys(spec)
    endogenous = tuple(_read_endogenous(name, body) for name, body in _mapping(spec, "endogenous").items())
    given = _mapping(spec, "equations")
    declared = [_read_exogenous(name, body) for name, body in _mapping(spec, "exogenous").items()]
    exogenous = add_private(endogenous, declared, given)
    for name in given:
        if name not in {v.name for v in endogenous}:
            raise UnknownName(f"equations name {name}, which is no endogenous variable." + hint(name, [v.name for v in endogenous]))
    tables = {name: _read_table(name, body, endogenous) for name, body in given.items()}
    exogenous, tables = _infer_cards(endogenous, exogenous, tables)
    return Model(endogenous, exogenous, tables)


def to_dict(model: Model) -> dict[str, Any]:
    """The storage form of a model."""
    return {
        "endogenous": {
            v.name: ({} if v.states is None else {"states": list(v.states)}) | {"parents": list(v.parents)} for v in model.endogenous
        },
        "exogenous": {u.name: {"children": list(u.children)} | ({} if u.card is None else {"card": u.card}) for u in model.exogenous},
        "equations": {name: {"table": table.tolist()} for name, table in model.equations.items()},
        "assumptions": [],
    }


def add_private(
    endogenous: Sequence[Endogenous], exogenous: Sequence[Exogenous], equations: Mapping[str, object]
) -> tuple[Exogenous, ...]:
    """The exogenous variables with one more, ``U_name``, for each variable that has none and no equation."""
    caused = {c for u in exogenous for c in u.children}
    alone = [v.name for v in endogenous if v.name not in caused and v.name not in equations]
    return (*exogenous, *(Exogenous(f"U_{name}", (name,)) for name in alone))


def _check_keys(spec: Mapping[str, Any]) -> None:
    if not isinstance(spec, Mapping):
        raise GraphError(f"a model's storage form is a dictionary; found {type(spec).__name__}")
    for key in spec:
        near = hint(str(key), _KEYS, "keys")
        if key not in _KEYS and near:  # a typo must not silently drop an equation; foreign keys may travel along
            raise GraphError(f"the model has the key {key!r}; its keys are {', '.join(_KEYS)}.{near}")
    if spec.get("assumptions"):
        raise NotSupported("assumptions are not yet supported; leave them out, or restrict the equations explicitly")


def _mapping(spec: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    body = spec.get(key) or {}
    if not isinstance(body, Mapping):
        raise GraphError(f"{key!r} is a dictionary from names to their definitions; found {type(body).__name__}")
    for name in body:
        if not isinstance(name, str) or not name:
            raise GraphError(f"{key!r} names {name!r}; names are non-empty text")
    return body


def _fields(name: str, body: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise GraphError(f"{name} is defined by a dictionary with {', '.join(allowed)}; found {type(body).__name__}")
    for key in body:
        if key not in allowed:
            raise GraphError(f"{name} has the key {key!r}; it may have {', '.join(allowed)}." + hint(str(key), allowed, "keys"))
    return body


def _names(name: str, key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
        raise GraphError(f"{key} of {name} is a list of names; found {value!r}")
    return tuple(value)


def _read_endogenous(name: str, body: Any) -> Endogenous:
    fields = _fields(name, body, ("states", "parents"))
    states = fields.get("states")
    if states is not None and (isinstance(states, str) or not isinstance(states, Sequence)):
        raise GraphError(f"states of {name} is a list; found {states!r}")
    return Endogenous(name, _names(name, "parents", fields.get("parents", ())), None if states is None else tuple(_state(name, s) for s in states))


def _state(name: str, value: Any) -> State:
    try:
        text = label(value)
    except TypeError as wrong:
        raise GraphError(f"states of {name}: {wrong}") from None
    return value if isinstance(value, (bool, int, str)) else int(text)


def _read_exogenous(name: str, body: Any) -> Exogenous:
    fields = _fields(name, body, ("children", "card"))
    card = fields.get("card")
    if card is not None and (isinstance(card, bool) or not isinstance(card, int)):
        raise GraphError(f"card of {name} is a whole number; found {card!r}")
    return Exogenous(name, _names(name, "children", fields.get("children", ())), card)


def _read_table(name: str, body: Any, endogenous: Sequence[Endogenous]) -> Table:
    raw = _fields(name, body, ("table",)).get("table") if isinstance(body, Mapping) else body
    labels = next(v for v in endogenous if v.name == name).labels or ()
    try:
        cells = np.array(raw, dtype=object)
        flat = [labels.index(c) if isinstance(c, str) else c for c in cells.ravel().tolist()]
    except ValueError:
        raise InvalidEquation(f"the equation of {name} is ragged, or names a state that {name} does not have; its states are {', '.join(labels)}") from None
    wrong = [c for c in flat if isinstance(c, bool) or not isinstance(c, int)]
    if wrong or not flat:
        found = repr(wrong[0]) if wrong else "nothing"
        raise InvalidEquation(f"the equation of {name} has {found} as an entry; entries are positions in its states, and rows are of one length")
    return np.array(flat, dtype=np.intp).reshape(cells.shape)


def _infer_cards(
    endogenous: Sequence[Endogenous], exogenous: tuple[Exogenous, ...], tables: dict[str, Table]
) -> tuple[tuple[Exogenous, ...], dict[str, Table]]:
    """Cardinalities that only the tables tell, and flat tables brought to their shape."""
    states = {v.name: len(v.states) for v in endogenous if v.states is not None}
    parents = {v.name: v.parents for v in endogenous}
    cards = {u.name: u.card for u in exogenous}
    for name, table in tables.items():
        causes = [u.name for u in exogenous if name in u.children]
        unknown = [c for c in causes if cards[c] is None]
        if table.ndim > 1 and table.ndim >= len(causes):
            cards.update({c: table.shape[i] for i, c in enumerate(causes) if c in unknown})
        elif table.ndim == 1 and len(unknown) == 1 and all(p in states for p in parents[name]):
            known = prod(cards[c] or 1 for c in causes) * prod(states[p] for p in parents[name])
            cards[unknown[0]] = table.size // known if known and table.size % known == 0 else None
    exogenous = tuple(replace(u, card=cards[u.name]) for u in exogenous)
    for name, table in tables.items():
        shape = tuple(cards[u.name] or 0 for u in exogenous if name in u.children) + tuple(states.get(p, 0) for p in parents[name])
        if _merges(table.shape, shape):
            tables[name] = table.reshape(shape)
    return exogenous, tables


def _merges(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether `found` is `wanted` with neighbouring axes written as one: a flat list, or one row per joint state of the parents."""
    return prod(found) == prod(wanted) and set(accumulate(found, mul)) <= {1, *accumulate(wanted, mul)}
