"""A partially specified structural causal model (PSCM): variables, structural equations, components.

Notation (paper §2): endogenous variables V, exogenous variables U, equations f_V. A *canonical* exogenous variable
enumerates every combination of deterministic relations between its children and their endogenous parents (§6.1).
A *component* (c-component; Tian 2002) is a set of endogenous variables tied by shared exogenous parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import AmbiguousEquation, GraphError, InvalidEquation, RepeatedName, TooLarge, UnknownName, hint
from duckemcc.model.states import State, label

LARGEST_EXOGENOUS = 1_000_000
"""States of one exogenous variable that are enumerated at most."""

Table = NDArray[np.intp]


@dataclass(frozen=True)
class Endogenous:
    """A variable of the tables. ``states`` is None where they are learned from the data."""

    name: str
    parents: tuple[str, ...] = ()
    states: tuple[State, ...] | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        return None if self.states is None else tuple(map(label, self.states))


@dataclass(frozen=True)
class Exogenous:
    """An unmeasured cause. ``card`` is None where it is canonical."""

    name: str
    children: tuple[str, ...]
    card: int | None = None


class Component(NamedTuple):
    """Endogenous variables tied by shared exogenous parents, both in model order."""

    endogenous: tuple[str, ...]
    exogenous: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A PSCM. Make one with `Model.parse` (graph text) or `Model.from_dict` (storage form).

    equations: explicit f_V by variable, as arrays of state positions with axes exogenous parents in model order, then
    endogenous parents in their order; variables without one are canonical.

    Raises `GraphError` (a cycle, no variables), `UnknownName`, `RepeatedName` (also for names that differ only in case,
    as they are matched to columns without regard to it), `AmbiguousEquation` and `InvalidEquation`.
    """

    endogenous: tuple[Endogenous, ...]
    exogenous: tuple[Exogenous, ...]
    equations: Mapping[str, Table]

    # -- ways in and out -----------------------------------------------------------------------

    @staticmethod
    def parse(text: str) -> Model:
        """The model of a graph text, e.g. ``X -> Y; X <-> Y``. Raises as `Model` does, and `GraphError` with line and column."""
        from duckemcc.model.graph import parse

        return parse(text)

    @staticmethod
    def from_dict(spec: Mapping[str, Any]) -> Model:
        """The model of its storage form: keys ``endogenous``, ``exogenous``, ``equations``, ``assumptions``. Raises as `Model` does."""
        from duckemcc.model.storage import from_dict

        return from_dict(spec)

    def to_dict(self) -> dict[str, Any]:
        """The storage form, fit for JSON; ``Model.from_dict(model.to_dict()) == model``."""
        from duckemcc.model.storage import to_dict

        return to_dict(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.endogenous, self.exogenous))

    def __post_init__(self) -> None:
        if not self.endogenous:
            raise GraphError("the model has no variables; write an arc such as X -> Y, or declare one: X {0, 1}")
        _check_names(self)
        _check_states(self)
        _ = self.order
        _check_equations(self)

    # -- the graph -----------------------------------------------------------------------------

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the endogenous variables, in model order."""
        return tuple(v.name for v in self.endogenous)

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Endogenous parents of each endogenous variable."""
        return {v.name: v.parents for v in self.endogenous}

    @cached_property
    def causes(self) -> dict[str, tuple[str, ...]]:
        """Exogenous parents of each endogenous variable, in model order."""
        return {v.name: tuple(u.name for u in self.exogenous if v.name in u.children) for v in self.endogenous}

    @cached_property
    def states(self) -> dict[str, tuple[str, ...] | None]:
        """Labels of each endogenous variable's states; None where they are learned from the data."""
        return {v.name: v.labels for v in self.endogenous}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The topological order that keeps closest to the model's; raises `GraphError` where there is a cycle."""
        placed: dict[str, None] = {}
        while len(placed) < len(self.endogenous):
            free = [v.name for v in self.endogenous if v.name not in placed and all(p in placed for p in v.parents)]
            if not free:
                raise GraphError(f"the graph has a cycle: {_find_cycle(self.parents, set(placed))}; remove one of its arcs")
            placed[free[0]] = None
        return tuple(placed)

    def components(self, do: Iterable[str] = ()) -> tuple[Component, ...]:
        """The components of the model mutilated by `do`, intervened variables left out (Tian 2002).

        A variable that an equation makes deterministic is a component of its own, without exogenous variables.
        """
        kept = [v for v in self.variables if v not in set(do)]
        group = {v: {v} for v in kept}
        for cause in self.exogenous:
            tied = [v for v in kept if v in cause.children]
            merged = set().union(*(group[v] for v in tied)) if tied else set()
            group.update(dict.fromkeys(merged, merged))
        found = []
        for v in kept:
            if v == min(group[v], key=kept.index):
                members = tuple(w for w in kept if w in group[v])
                found.append(Component(members, tuple(u.name for u in self.exogenous if set(u.children) & group[v])))
        return tuple(found)

    # -- sizes and tables, once the states are known -------------------------------------------

    def with_states(self, states: Mapping[str, Sequence[str]]) -> Model:
        """This model with the states that the data show, for the variables that declare none."""
        return replace(
            self,
            endogenous=tuple(v if v.states is not None else replace(v, states=tuple(states[v.name])) for v in self.endogenous),
        )

    def card(self, name: str) -> int:
        """Number of states of an endogenous or exogenous variable; a canonical one is counted, not enumerated."""
        for v in self.endogenous:
            if v.name == name:
                if v.states is None:
                    raise GraphError(f"the states of {name} are not known yet; declare them: {name} {{…}}")
                return len(v.states)
        cause = next(u for u in self.exogenous if u.name == name)
        return cause.card if cause.card is not None else prod(self._relations(child) for child in cause.children)

    def table(self, name: str) -> Table:
        """f_V as an array of state positions: axes exogenous parents in model order, then endogenous parents.

        Raises `TooLarge` for a canonical exogenous variable with more than `LARGEST_EXOGENOUS` states.
        """
        if name in self.equations:
            return self.equations[name]
        return self._canonical[name]

    @cached_property
    def _canonical(self) -> dict[str, Table]:
        """The canonical tables: state u of U writes, in mixed radix, the relation of its first child, of its second, …"""
        tables: dict[str, Table] = {}
        for cause in self.exogenous:
            if cause.card is not None:
                continue
            size = self.card(cause.name)
            if size > LARGEST_EXOGENOUS:
                raise TooLarge(_too_large(self, cause, size))
            place = size
            for child in cause.children:
                place //= self._relations(child)
                relation = np.arange(size, dtype=np.intp) // place % self._relations(child)
                shape = tuple(self.card(p) for p in self.parents[child])
                contexts = prod(shape)
                digit = self.card(child) ** np.arange(contexts - 1, -1, -1, dtype=np.intp)
                tables[child] = (relation[:, None] // digit % self.card(child)).reshape(size, *shape)
        return tables

    def _relations(self, child: str) -> int:
        """Number of deterministic relations between a variable and its endogenous parents."""
        return int(self.card(child) ** prod(self.card(p) for p in self.parents[child]))


# -- what is checked -------------------------------------------------------------------------------


def _check_names(model: Model) -> None:
    seen: dict[str, str] = {}
    for name in [*model.variables, *(u.name for u in model.exogenous)]:
        if name.casefold() in seen:
            raise RepeatedName(
                f"the name {name} stands for two variables"
                + (f" (the other is written {seen[name.casefold()]}; case does not count)" if seen[name.casefold()] != name else "")
                + "; rename one of them"
            )
        seen[name.casefold()] = name
    for owner, names in [*((v.name, v.parents) for v in model.endogenous), *((u.name, u.children) for u in model.exogenous)]:
        for name in names:
            if name not in model.variables:
                raise UnknownName(
                    f"{owner} names {name}, which is no endogenous variable of the model; declare it, or correct the name."
                    + hint(name, model.variables)
                )
            if names.count(name) > 1:
                raise RepeatedName(f"{owner} names {name} twice; name it once")


def _check_states(model: Model) -> None:
    for v in model.endogenous:
        if v.labels is None:
            continue
        if not v.labels:
            raise GraphError(f"{v.name} has no states; declare at least one, or leave them to the data")
        twice = [s for s in v.labels if v.labels.count(s) > 1]
        if twice:
            raise RepeatedName(f"{v.name} declares the state {twice[0]} twice (1 and '1' are one state)")


def _check_equations(model: Model) -> None:
    for cause in model.exogenous:
        if not cause.children:
            raise GraphError(f"the exogenous variable {cause.name} has no children; remove it, or name them")
        if cause.card is not None and cause.card < 1:
            raise InvalidEquation(f"{cause.name} has cardinality {cause.card}; it needs at least one state")
    for v in model.endogenous:
        if v.name in model.equations:
            _check_table(model, v.name)
        else:
            _check_canonical(model, v.name)


def _check_canonical(model: Model, name: str) -> None:
    causes = model.causes[name]
    if len(causes) > 1:
        together = [c for u in model.exogenous if u.name in causes for c in u.children]
        children = ", ".join(dict.fromkeys(together))
        raise AmbiguousEquation(
            f"{name} has {len(causes)} exogenous parents ({', '.join(causes)}), and the graph does not say how they act together. "
            f"Give its equation (Model.from_dict or UAI), or merge them into one, which assumes less: U: {children}"
        )
    if not causes:
        raise AmbiguousEquation(f"{name} has no exogenous parent and no equation; give it one of the two")
    cause = next(u for u in model.exogenous if u.name == causes[0])
    if cause.card is not None or any(c in model.equations for c in cause.children):
        raise AmbiguousEquation(
            f"{name} has no equation, but its exogenous parent {cause.name} is not canonical (its states are fixed by a cardinality "
            f"or by another child's equation); give the equation of {name} as well, or leave out the others"
        )


def _check_table(model: Model, name: str) -> None:
    table = model.equations[name]
    unknown = [p for p in (name, *model.parents[name]) if model.states[p] is None]
    if unknown:
        raise InvalidEquation(f"the equation of {name} needs the states of {', '.join(unknown)} declared; its entries are positions in them")
    axes = (*model.causes[name], *model.parents[name])
    shape = tuple(model.card(a) for a in axes)
    if table.shape != shape:
        wanted = " × ".join(f"{n} ({a})" for a, n in zip(axes, shape, strict=True)) or "a single entry"
        found = " × ".join(map(str, table.shape)) or "a single entry"
        raise InvalidEquation(f"the equation of {name} has the shape {found}; it needs {wanted}")
    card = model.card(name)
    outside = sorted(set(table[(table < 0) | (table >= card)].tolist()))
    if outside:
        raise InvalidEquation(f"the equation of {name} has the entry {outside[0]}; entries are positions 0 to {card - 1} of its states {_list(model, name)}")
    missing = sorted(set(range(card)) - set(table.ravel().tolist()))
    if missing:
        state = (model.states[name] or ())[missing[0]]
        raise InvalidEquation(f"the equation of {name} is not surjective: it never yields {state}; drop that state, or correct the equation")


def _list(model: Model, name: str) -> str:
    return ", ".join(model.states[name] or ())


def _find_cycle(parents: Mapping[str, tuple[str, ...]], placed: set[str]) -> str:
    path = [next(v for v in parents if v not in placed)]
    while True:
        before = next(p for p in parents[path[-1]] if p not in placed)
        if before in path:
            return " -> ".join([before, *reversed(path[path.index(before) :])])
        path.append(before)


def _too_large(model: Model, cause: Exogenous, size: int) -> str:
    worst = max(cause.children, key=model._relations)
    contexts = prod(model.card(p) for p in model.parents[worst])
    return (
        f"the canonical exogenous variable {cause.name} over {', '.join(cause.children)} has {_count(size)} states, more than the "
        f"{LARGEST_EXOGENOUS:,} that are enumerated. {worst} alone has {model.card(worst)}^{contexts} relations to its parents "
        f"({', '.join(model.parents[worst])}): coarsen one of them to fewer states, remove a parent, or give explicit equations"
    )


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**12 else f"about 10^{len(str(size)) - 1 if size.bit_length() < 10_000 else int(size.bit_length() * 0.30103)}"
