"""Whether a query fits a model before the data have shown its states: names, arguments and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from duckemcc.query.named import expand
from duckemcc.query.syntax import Atom, Contrast, Named, PotentialOutcome, Probability, Query, Setting, Term


def check_query(query: Query, states: Mapping[str, Sequence[str] | None], parents: Mapping[str, Sequence[str]]) -> None:
    """Raises what `expand` does, where the query fits no states of the variables that do not declare theirs (None)."""
    named: dict[str, dict[str, None]] = {v.casefold(): {} for v in states}
    for variable, label in _named_states(query):
        named.setdefault(variable.casefold(), {})[label] = None
    possible = {
        v: declared or (*named[v.casefold()], *("another", "and another")[: 2 - len(named[v.casefold()])])
        for v, declared in states.items()
    }
    expand(query, possible, parents)


def _named_states(part: Any) -> Iterator[tuple[str, str]]:
    """Every pair of a variable and a state of it that a query names."""
    if isinstance(part, tuple):
        for item in part:
            yield from _named_states(item)
    elif isinstance(part, Atom):
        yield from ((part.outcome.name, label) for label in part.values)
        yield from _named_states(part.outcome)
    elif isinstance(part, (Setting, Contrast)):
        labels = (part.value, part.versus) if isinstance(part, Contrast) else (part.value,)
        yield from ((part.name, label) for label in labels if isinstance(label, str))
        yield from _named_states(part.value)
    elif isinstance(part, (PotentialOutcome, Named, Probability, Term, Query)):
        yield from _named_states(tuple(getattr(part, f.name) for f in fields(part)))
