"""A query against a model's structure: names resolved, the named queries written out, one condition for all terms.

    constant + Σ c_i P(event_i | given)

The named queries are those of Pearl (Causality, 2nd ed., ch. 4 and 9); ``_write_out`` has a line for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from duckemcc.errors import QueryError
from duckemcc.model.check import find_repeated
from duckemcc.query.names import Known, States, cut, resolve_atoms, resolve_name, resolve_values
from duckemcc.query.syntax import KINDS, Atom, Contrast, Event, Named, PotentialOutcome, Probability, Query, Setting

Parents: TypeAlias = Mapping[str, Sequence[str]]
Weighted: TypeAlias = tuple[tuple[float, Probability], ...]


class Combination(NamedTuple):
    """``constant + Σ c_i P(event_i | given)``, in the model's spelling; the events are distinct."""

    constant: float
    terms: tuple[tuple[float, Event], ...]
    given: Event


def expand(query: Query, states: States, parents: Parents) -> Combination:
    """The query as one combination of probabilities of a model with these states and endogenous parents."""
    states = Known(states)
    constant = sum((t.coefficient for t in query.terms if t.body is None), 0.0)
    weighted = [(t.coefficient, t.body) for t in query.terms if t.body is not None]
    parts = [(c * sign, p) for c, body in weighted for sign, p in _probabilities(body, states, parents)]
    if not parts:
        raise QueryError(f"{cut(query)} asks for no probability", remedy="a query has at least one, such as P(Y=y)")
    resolved = [(c, resolve_atoms(p.event, states), resolve_atoms(p.given, states)) for c, p in parts]
    given = _share_condition([condition for _, _, condition in resolved], states)
    terms = _merge([(c, event) for c, event, _ in resolved], states)
    if not all(map(math.isfinite, (constant, *(c for c, _ in terms)))):
        raise QueryError("the coefficients of the query do not add up to finite numbers", remedy="use smaller ones")
    return Combination(constant, terms, given)


# -- the named queries ---------------------------------------------------------------------------


def _probabilities(body: Probability | Named, states: Known, parents: Parents) -> Weighted:
    if isinstance(body, Probability):
        return ((1.0, body),)
    cause, outcome, held = _read_arguments(body, states)
    mediators = _find_mediators(cause.name, outcome.name, parents) if body.kind in ("NDE", "NIE") else ()
    written = _write_out(body.kind, cause, outcome, held, mediators)
    return tuple((sign, replace(p, given=p.given + body.given)) for sign, p in written)


def _write_out(
    kind: str, cause: Contrast, outcome: Contrast, held: tuple[Setting, ...], mediators: tuple[str, ...]
) -> Weighted:
    assert cause.versus is not None
    set_x, set_x0 = Setting(cause.name, cause.value), Setting(cause.name, cause.versus)
    saw_x, saw_x0 = (Atom(PotentialOutcome(cause.name), (x,)) for x in (cause.value, cause.versus))

    def y(*do: Setting) -> Atom:
        return Atom(PotentialOutcome(outcome.name, do), (outcome.value,))

    def not_y(*do: Setting) -> Atom:
        return replace(y(*do), negated=True)

    def as_under(x: Setting) -> tuple[Setting, ...]:
        return tuple(Setting(m, PotentialOutcome(m, (x,))) for m in mediators)

    def p(*event: Atom, given: Event = ()) -> tuple[float, Probability]:
        return 1.0, Probability(event, given)

    def minus(*event: Atom, given: Event = ()) -> tuple[float, Probability]:
        return -1.0, Probability(event, given)

    table: dict[str, Weighted] = {
        "PNS": (p(y(set_x), not_y(set_x0)),),
        "PN": (p(not_y(set_x0), given=(saw_x, y())),),
        "PS": (p(y(set_x), given=(saw_x0, not_y())),),
        "PD": (p(not_y(set_x0), given=(y(),)),),
        "PE": (p(y(set_x), given=(not_y(),)),),
        "ACE": (p(y(set_x)), minus(y(set_x0))),
        "ETT": (p(y(set_x), given=(saw_x,)), minus(y(set_x0), given=(saw_x,))),
        "CDE": (p(y(set_x, *held)), minus(y(set_x0, *held))),
        "NDE": (p(y(set_x, *as_under(set_x0))), minus(y(set_x0))),
        "NIE": (p(y(set_x0, *as_under(set_x))), minus(y(set_x0))),
    }
    return table[kind]


def _read_arguments(named: Named, states: Known) -> tuple[Contrast, Contrast, tuple[Setting, ...]]:
    """The cause with both its states, the outcome, and what CDE holds fixed."""
    _check_count(named)
    found = [replace(c, name=resolve_name(c.name, states)) for c in named.contrasts]
    names = [c.name for c in found]
    if (twice := find_repeated(names)) is not None:
        raise QueryError(
            f"{cut(named)} names {twice} twice", remedy="its arguments are different variables", variable=twice
        )
    for contrast in found[1:]:
        resolve_values(contrast.name, (contrast.value,), states)
        if contrast.versus is not None:
            raise QueryError(f"{cut(named)}: only the first argument, the cause, takes `vs`; found {cut(contrast)}")
    cause, outcome, *held = found
    return _complete_contrast(cause, states), outcome, tuple(Setting(c.name, c.value) for c in held)


def _check_count(named: Named) -> None:
    if named.kind not in KINDS:
        raise QueryError(f"there is no query named {named.kind!r}; there are {', '.join(KINDS)}")
    count, holds = len(named.contrasts), named.kind == "CDE"
    if count < 3 if holds else count != 2:
        takes = "a cause, an outcome and the variables to hold fixed" if holds else "a cause and an outcome"
        example = f"{named.kind}(X=x vs x0, Y=y{', M=m' if holds else ''})"
        arguments = "1 argument" if count == 1 else f"{count} arguments"
        raise QueryError(f"{named.kind} takes {takes}, as in {example}; found {arguments}: {cut(named)}")


def _complete_contrast(cause: Contrast, states: Known) -> Contrast:
    wanted = (cause.value,) if cause.versus is None else (cause.value, cause.versus)
    resolve_values(cause.name, wanted, states)
    if cause.value == cause.versus:
        raise QueryError(
            f"{cut(cause)} compares a state with itself", remedy=f"name two states of {cause.name}", variable=cause.name
        )
    if cause.versus is not None:
        return cause
    others = [s for s in states[cause.name] if s != cause.value]
    if not others:
        raise QueryError(
            f"{cause.name} has one state, {cause.value!r}: there is no other to compare it with", variable=cause.name
        )
    completed = replace(cause, versus=others[0])
    if len(others) > 1:
        count = len(others) + 1
        raise QueryError(
            f"{cause.name} has {count} states",
            remedy=f"say which two to compare: {completed}, for example",
            variable=cause.name,
        )
    return completed


def _find_mediators(cause: str, outcome: str, parents: Parents) -> tuple[str, ...]:
    """The parents of the outcome that descend from the cause."""
    children: dict[str, list[str]] = {}
    for v, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(v)
    descendants, stack = {cause}, [cause]
    while stack:
        found = set(children.get(stack.pop(), ())) - descendants
        descendants |= found
        stack += found
    return tuple(m for m in parents.get(outcome, ()) if m in descendants and m != cause)


# -- one condition, distinct events --------------------------------------------------------------

_Meaning: TypeAlias = frozenset[tuple[PotentialOutcome, frozenset[str]]]


def _normalise(event: Event, states: Known) -> _Meaning:
    """What the event allows each potential outcome to be, so that `Y!=y`, `Y=y0` and their repetition are one."""
    allowed: dict[PotentialOutcome, frozenset[str]] = {}
    for atom in event:
        everything, named = frozenset(states[atom.outcome.name]), frozenset(atom.values)
        allows = everything - named if atom.negated else named
        allowed[atom.outcome] = allowed.get(atom.outcome, everything) & allows
    return frozenset((o, a) for o, a in allowed.items() if len(a) < len(states[o.name]))


def _share_condition(conditions: Sequence[Event], states: Known) -> Event:
    first, meaning = conditions[0], _normalise(conditions[0], states)
    for other in conditions[1:]:
        if _normalise(other, states) != meaning:
            found = " and ".join(_describe(c) for c in (first, other))
            raise QueryError(
                f"all terms of a combination share one condition; found {found}", remedy="ask them one by one"
            )
    return first


def _describe(condition: Event) -> str:
    return f"`{cut(', '.join(map(str, condition)))}`" if condition else "no condition"


def _merge(terms: Sequence[tuple[float, Event]], states: Known) -> tuple[tuple[float, Event], ...]:
    merged: dict[_Meaning, tuple[float, Event]] = {}
    for coefficient, event in terms:
        key = _normalise(event, states)
        total, spelling = merged.get(key, (0.0, event))
        merged[key] = (total + coefficient, spelling)
    return tuple(merged.values())
