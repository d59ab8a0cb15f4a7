"""What is lost where ``<->`` arcs that meet are taken for one cause.

One cause of all their children lets any of the responses depend on any other; arcs drawn one by one make the responses
of two of them independent. Nothing is lost if no pattern of records and no world of the query reads responses of two
arcs together. Elsewhere the range under the arcs may be narrower than the one that is found.
"""

from __future__ import annotations

from collections.abc import Collection

from duckemcc.model.scm import Exogenous, Model
from duckemcc.query.named import Combination
from duckemcc.query.worlds import find_readings

Read = frozenset[str]
"""Children of one cause whose responses are read together."""


def forgets(cause: Exogenous, sets: Collection[Read]) -> bool:
    """Whether a merged cause allows more than its arcs do, for what is read of it.

    One arc allows its two responses any joint distribution. A set that no arc joins, and two arcs that share a child
    of which both are read, are what the arcs restrict.
    """
    arcs = {frozenset(arc) for arc in cause.arcs}
    several = {own for own in (read & frozenset(cause.children) for read in sets) if len(own) > 1}
    if not arcs or not several:
        return False
    return not several <= arcs or len(frozenset().union(*several)) < sum(map(len, several))


def find_read(model: Model, combination: Combination) -> list[Read]:
    """The variables whose responses the worlds of one event of a query read, for each of its events."""
    events = [combination.given, *((*event, *combination.given) for _, event in combination.terms)]
    return [frozenset().union(*(own.read for own in find_readings(model, [event]))) for event in events]
