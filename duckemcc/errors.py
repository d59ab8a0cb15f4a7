"""What can go wrong at the boundary: one base class, and one name per kind of remedy.

Every message says what was wrong, what was found and what to do, in the user's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DuckEmccError(ValueError):
    """Base of every error that duckemcc raises on purpose."""


# -- what is assumed ---------------------------------------------------------------------------


class GraphError(DuckEmccError):
    """A model text or dictionary that cannot be read, or whose graph has a cycle."""


class UnknownName(DuckEmccError):
    """A variable that the model does not have."""


class RepeatedName(DuckEmccError):
    """A name that is given twice, or twice but for upper and lower case."""


class InvalidEquation(DuckEmccError):
    """A structural equation of the wrong shape, with unknown states, or not surjective."""


class AmbiguousEquation(DuckEmccError):
    """An equation that the graph alone does not determine: several exogenous parents, or a given cardinality."""


class AssumptionSpansCauses(DuckEmccError):
    """An assumed event that no single exogenous variable determines."""


class TooLarge(DuckEmccError):
    """Something that would have to be enumerated and is too large for it."""


class NotSupported(DuckEmccError):
    """A part of the language or an option that is not yet supported."""


# -- what is asked -----------------------------------------------------------------------------


class QueryError(DuckEmccError):
    """A query that cannot be read, or that does not fit the model."""


class OptionError(DuckEmccError):
    """An option with a value that it cannot take."""


class JobError(DuckEmccError):
    """A job file with mistakes; the message lists all of them, each with its line."""


class UnknownModel(DuckEmccError):
    """A model name that is not in the catalog."""


# -- what was measured -------------------------------------------------------------------------


class StudyError(DuckEmccError):
    """A study that cannot be used as it is."""


class UnknownState(StudyError):
    """A value that the model does not declare as a state of its variable."""


class MissingColumn(StudyError):
    """A variable, weight or segment without a column."""


class UnsupportedColumn(StudyError):
    """A column whose type has no exact states (floating point, nested, ...)."""


class InvalidWeight(StudyError):
    """A weight that is NULL, negative or not a number."""


class EmptyStudy(StudyError):
    """A study without records."""


class NullValue(StudyError):
    """A NULL where a value is needed."""


class SourceError(StudyError):
    """A source that does not exist, cannot be read, or is of an unknown kind."""


class Timeout(DuckEmccError):
    """A call that ran longer than ``max_seconds``."""


def engine_reason(error: Exception) -> str:
    """What an engine's error says, in one line: the first of its text, and the names that it suggests."""
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    near = [line.strip() for line in more if line.strip().startswith("Did you mean")]
    return " ".join([first, *near[:1]])


def hint(name: str, candidates: Iterable[str], what: str = "names") -> str:
    """`` Hint: did you mean one of these names: [...]`` for close matches (case ignored), or nothing."""
    by_fold = {c.casefold(): c for c in candidates}
    close = [by_fold[k] for k in get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.5)]
    return f" Hint: did you mean one of these {what}: {close}?" if close else ""
