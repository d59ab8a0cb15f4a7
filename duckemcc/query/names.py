"""The names and values of a query as a model spells them: case does not count in names where that is unambiguous."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

from duckemcc.errors import QueryError, TooLarge, UnknownName, hint, masked
from duckemcc.model.check import LONGEST_NAME, MOST_HINTED, find_repeated
from duckemcc.model.states import show_names
from duckemcc.query.syntax import Atom, Event, PotentialOutcome, Setting

States: TypeAlias = Mapping[str, Sequence[str]]

LARGEST_EVENTS = 20_000_000
"""States of the variables in all atoms of a query together at most."""


class Known(dict[str, Sequence[str]]):
    """The states by variable, and what many atoms look up in them."""

    def __init__(self, states: States) -> None:
        super().__init__(states)
        self._positions: dict[str, dict[str, int]] = {}
        self.room = LARGEST_EVENTS

    @cached_property
    def place(self) -> dict[str, int]:
        return {v: i for i, v in enumerate(self)}

    @cached_property
    def folded(self) -> dict[str, list[str]]:
        """The variables by their names without regard to case."""
        folded: dict[str, list[str]] = {}
        for v in self:
            folded.setdefault(v.casefold(), []).append(v)
        return folded

    def positions(self, name: str) -> dict[str, int]:
        if name not in self._positions:
            self._positions[name] = {s: i for i, s in enumerate(self[name])}
        return self._positions[name]


def resolve_atoms(event: Event, states: Known) -> Event:
    """The event in the model's spelling, each atom once. Raises `QueryError`, `UnknownName`, `TooLarge`."""
    atoms = (_resolve_atom(atom, states) for atom in event)
    resolved = tuple(dict.fromkeys(atoms))
    states.room -= sum(len(states[atom.outcome.name]) for atom in resolved)
    if states.room < 0:  # before sets of states are made of them
        raise TooLarge(
            f"the atoms of the query stand for more than {LARGEST_EVENTS:,} states together",
            remedy="ask in several queries",
        )
    return resolved


def _resolve_atom(atom: Atom, states: Known) -> Atom:
    outcome = _resolve_outcome(atom.outcome, states)
    return Atom(outcome, resolve_values(outcome.name, atom.values, states), atom.negated)


def _resolve_outcome(outcome: PotentialOutcome, states: Known) -> PotentialOutcome:
    name = resolve_name(outcome.name, states)
    do = [_resolve_setting(setting, states) for setting in outcome.do]
    names = [setting.name for setting in do]
    if name in names:
        raise QueryError(
            f"{cut(outcome)} sets {name}, the variable that it asks about", remedy="set other variables", variable=name
        )
    if (twice := find_repeated(names)) is not None:
        raise QueryError(f"{cut(outcome)} sets {twice} twice", remedy="set each variable once", variable=twice)
    return PotentialOutcome(name, tuple(sorted(do, key=lambda s: states.place[s.name])))  # one spelling for each world


def cut(part: object, most: int = 200) -> str:
    """The text of it as a message shows it."""
    text = masked(str(part))  # a secret that is cut would not be found any more
    return text if len(text) <= most else text[:most] + "…"


def _resolve_setting(setting: Setting, states: Known) -> Setting:
    name = resolve_name(setting.name, states)
    if isinstance(setting.value, str):
        return Setting(name, *resolve_values(name, (setting.value,), states))
    source = _resolve_outcome(setting.value, states)
    known = states.positions(name)
    if source.name != name and (foreign := [s for s in states[source.name] if s not in known]):
        found = f"{cut(setting)} sets {name} to what {source.name} would be, which can be {cut(repr(foreign[0]))};"
        listed = cut(show_names(states[name]))
        raise QueryError(
            f"{found} the states of {name} are {listed}", remedy="use variables of equal states", variable=name
        )
    return Setting(name, source)


def resolve_name(name: str, states: Known) -> str:
    """The model's spelling of a variable's name. Raises `UnknownName`."""
    if name in states:
        return name
    close = states.folded.get(name.casefold(), [])
    if len(close) == 1:
        return close[0]
    if close:
        raise UnknownName(
            f"the query's {name!r} could be {' or '.join(close)}",
            remedy="write it with the model's capitals",
            variable=name,
        )
    known, advice = show_names(tuple(states)), _hint(name, states, "variables")
    found = cut(repr(name))
    said = f"the query names {found}, which the model does not have; its variables are {known}"
    raise UnknownName(said, remedy=advice, variable=name)


def resolve_values(name: str, values: tuple[str, ...], states: Known) -> tuple[str, ...]:
    """The values once each, in the order of the states."""
    known = states.positions(name)
    unknown = next((v for v in values if v not in known), None)
    if unknown is not None:
        listed, advice = cut(show_names(states[name]), 1000), _hint(unknown, states[name], "states")
        said = f"in the query, {name} has no state {cut(repr(unknown))}; its states are {listed}"
        raise QueryError(said, remedy=advice, variable=name)
    return tuple(sorted(set(values), key=known.__getitem__))


def _hint(name: str, known: Iterable[str], what: str) -> str:
    """The hint, where comparing with all names takes no time."""
    names = list(known)
    return hint(name[:LONGEST_NAME], names, what) if len(names) <= MOST_HINTED else ""
