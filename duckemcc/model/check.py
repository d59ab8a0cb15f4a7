"""What a model must satisfy: names, states and equations; each failure says what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from duckemcc.errors import AmbiguousEquation, GraphError, InvalidEquation, RepeatedName, TooLarge, UnknownName, hint
from duckemcc.model.canonical import LARGEST_TABLE, Table, check_table_size
from duckemcc.model.states import show_names, show_value
from duckemcc.model.tokens import cut

if TYPE_CHECKING:
    from duckemcc.model.scm import Exogenous, Model

LONGEST_NAME = 1_000
MOST_HINTED = 10_000  # names that are compared for a hint; it takes their edit distance


# -- names and states ------------------------------------------------------------------------------


def check_names(model: Model) -> None:
    """Names are text, unique ignoring case, and refer to variables of the model."""
    for v in model.endogenous:
        if not v.name or len(v.name) > LONGEST_NAME:
            found = f"'{v.name[:40]}…', {len(v.name):,} characters" if v.name else "an empty one"
            raise GraphError(f"a name has 1 to {LONGEST_NAME:,} characters; found {found}")
    _check_unique([*model.variables, *(u.name for u in model.exogenous)])
    for v in model.endogenous:
        check_known(f"{v.name} has the parent", v.parents, model.parents)
        _check_once(f"{v.name} has the parent", v.parents)
    for u in model.exogenous:
        check_known(f"the exogenous variable {u.name} has the child", u.children, model.parents)
        _check_once(f"the exogenous variable {u.name} has the child", u.children)
    check_known("there is an equation of", model.equations, model.parents)


def check_known(said: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise `UnknownName` for a name that is none of the known variables (a set, or the keys of a dictionary)."""
    for name in names:
        if name not in known:
            near = hint(name[:LONGEST_NAME], known) if len(known) <= MOST_HINTED else ""
            raise UnknownName(
                f"{said} {cut(name, 200)}, which is no endogenous variable of the model",
                remedy="declare it, or correct the name" + ("." + near if near else ""),
                variable=name,
            )


def _check_once(said: str, names: Iterable[str]) -> None:
    twice = find_repeated(names)
    if twice is not None:
        raise RepeatedName(f"{said} {twice} twice", remedy="name it once", variable=twice)


def _check_unique(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        _check_text(name)
        other = seen.get(name.casefold())
        if other is not None:
            alike = "" if other == name else f" (the other is written {other}; case does not count)"
            raise RepeatedName(
                f"the name {name} stands for two variables{alike}",
                remedy="rename one of them "
                "(an exogenous variable is called U_… unless the model names it, as in U: X, Y)",
                variable=name,
            )
        seen[name.casefold()] = name


def check_states(model: Model) -> None:
    """Declared states are at least one, and differ in their labels."""
    for v in model.endogenous:
        if v.labels is None:
            continue
        if not v.labels:
            raise GraphError(
                f"{v.name} has no states", remedy="declare at least one, or leave them to the data", variable=v.name
            )
        _check_text("".join(v.labels))
        twice = find_repeated(v.labels)
        if twice is not None:
            raise RepeatedName(f"{v.name} declares the state {twice} twice (1 and '1' are one state)", variable=v.name)


def check_assumptions(model: Model) -> None:
    """Assumptions are text, and unmeasured variables known ones, whose states are declared."""
    for name in ("assumptions", "unmeasured"):
        found = getattr(model, name)
        if not isinstance(found, tuple) or not all(isinstance(text, str) for text in found):
            raise GraphError(f"{name} of a model is a tuple of texts; found {show_value(found)}")
    for event in model.assumptions:
        if not event.strip():
            raise GraphError("an assumption has no event; it is one such as Y[X=0]=1, Y[X=1]=0")
        _check_text(event)
    check_known("the model calls unmeasured", model.unmeasured, model.parents)
    _check_once("the model calls unmeasured", model.unmeasured)
    latent = set(model.unmeasured)
    for v in model.endogenous:
        if v.states is None and v.name in latent:
            raise GraphError(
                f"{v.name} is unmeasured, so no study tells its states",
                remedy=f"declare them: {v.name} {{0, 1}}",
                variable=v.name,
            )


def find_repeated(items: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as wrong:
            raise GraphError(f"{text[:40]!r} holds {text[wrong.start]!r}, which is no Unicode character") from None


# -- equations -------------------------------------------------------------------------------------


def check_equations(model: Model) -> None:
    """Every variable has a table that fits and is surjective, or one canonical exogenous parent."""
    for cause in model.exogenous:
        if not cause.children:
            raise GraphError(
                f"the exogenous variable {cause.name} has no children",
                remedy="remove it, or name them",
                variable=cause.name,
            )
        if cause.card is not None and cause.card < 1:
            raise InvalidEquation(
                f"{cause.name} has cardinality {show_value(cause.card)}",
                remedy="it needs at least one state",
                variable=cause.name,
            )
        if cause.card is not None and cause.card > LARGEST_TABLE:
            size = show_value(cause.card)
            raise TooLarge(
                f"{cause.name} has cardinality {size}; at most {LARGEST_TABLE:,} states are enumerated",
                variable=cause.name,
            )
    causes = {u.name: u for u in model.exogenous}
    fixed = {u.name for u in model.exogenous if u.card is not None or any(c in model.equations for c in u.children)}
    for name in model.variables:
        if name in model.equations:
            _check_table(model, name, causes)
        else:
            _check_canonical(model, name, causes, fixed)


def _check_canonical(model: Model, name: str, causes: Mapping[str, Exogenous], fixed: set[str]) -> None:
    parents = model.causes[name]
    if len(parents) > 1:
        children = list(dict.fromkeys(c for u in parents for c in causes[u].children))
        raise AmbiguousEquation(
            f"{name} has {len(parents)} exogenous parents ({show_names(parents)}), and the graph does not say how they "
            "act together",
            remedy="give its equation (Model.from_dict or UAI), or merge them into one, which assumes less: "
            f"U: {show_names(children)}",
            variable=name,
        )
    if not parents:
        raise AmbiguousEquation(
            f"{name} has no exogenous parent and no equation", remedy="give it one of the two", variable=name
        )
    if parents[0] in fixed:
        raise AmbiguousEquation(
            f"{name} has no equation, but its exogenous parent {parents[0]} is not canonical (its states are fixed by "
            f"a cardinality or another child's equation)",
            remedy=f"give the equation of {name} as well, or leave out the others",
            variable=name,
        )


def _check_table(model: Model, name: str, causes: Mapping[str, Exogenous]) -> None:
    unknown = [p for p in (name, *model.parents[name]) if model.states[p] is None]
    if unknown:
        raise InvalidEquation(
            f"the equation of {name} needs the states of {show_names(unknown)} declared; "
            "its entries are positions in them",
            variable=name,
        )
    unsized = [u for u in model.causes[name] if causes[u].card is None]
    if unsized:
        raise InvalidEquation(
            f"the shape of the equation of {name} does not tell how many states {show_names(unsized)} has",
            remedy="give its 'card'",
            variable=name,
        )
    _check_shape(model, name)
    _check_entries(model, name)


def _check_shape(model: Model, name: str) -> None:
    axes = (*model.causes[name], *model.parents[name])
    shape = tuple(model.card(a) for a in axes)
    check_table_size(name, axes, shape)
    found = model.equations[name].shape
    if found != shape:
        wanted = " × ".join(f"{n} ({a})" for a, n in zip(axes, shape, strict=True)) or "a single entry"
        given = " × ".join(map(str, found)) or "a single entry"
        raise InvalidEquation(
            f"the equation of {name} has the shape {given}", remedy=f"it needs {wanted}", variable=name
        )


def _check_entries(model: Model, name: str) -> None:
    states, table = model.states[name] or (), model.equations[name]
    outside = table[(table < 0) | (table >= len(states))]
    if outside.size:
        raise InvalidEquation(
            f"the equation of {name} has the entry {outside.min()}; entries are positions 0 to {len(states) - 1} of "
            f"its states {show_names(states)}",
            variable=name,
        )
    missing = missing_states(table, len(states)) if model.surjective else []
    if missing:
        raise InvalidEquation(
            f"the equation of {name} is not surjective: it never yields {states[missing[0]]}",
            remedy="drop that state, or correct the equation",
            variable=name,
        )


def missing_states(table: Table, card: int) -> list[int]:
    """The positions of states that an equation never yields."""
    found: list[int] = np.flatnonzero(np.bincount(table.ravel(), minlength=card) == 0).tolist()
    return found
