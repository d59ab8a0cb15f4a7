"""The errors: one name for each kind of remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from duckemcc.errors.base import DuckEmccError, Fields
from duckemcc.errors.hidden import masked
from duckemcc.errors.words import Spelling


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
    """A query that cannot be read, or that does not fit the model.

    picture: the part that cannot be read, with a mark below it; its position in the whole query is `column`.
    """

    picture: str = ""

    def __init__(self, message: str = "", *, picture: str = "", **fields: Unpack[Fields]) -> None:
        self.picture = picture
        super().__init__(message, **fields)

    def mask(self) -> None:
        """Takes out what is hidden now, also of the picture."""
        self.picture = masked(self.picture)
        super().mask()

    def text(self, spelling: Spelling | None = None, *, place: bool = True) -> str:
        """All of it, the picture last."""
        return super().text(spelling, place=place) + self.picture


class OptionError(DuckEmccError):
    """An option with a value that it cannot take."""


class JobError(DuckEmccError):
    """A job file with mistakes; the message lists all of them, each with its line.

    mistakes: an error for each, in the order of their lines.
    """

    mistakes: tuple[DuckEmccError, ...] = ()

    def __init__(self, message: str = "", mistakes: Sequence[DuckEmccError] = (), **fields: Unpack[Fields]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(message, **fields)

    def _shown_place(self) -> str:
        return "" if self.line is None else super()._shown_place()  # the message names the file

    def mask(self) -> None:
        """Takes out what is hidden now, also of the mistakes."""
        for mistake in self.mistakes:
            mistake.mask()
        super().mask()

    @staticmethod
    def told(message: str) -> str:
        """As it is: each of its lines is short."""
        return message


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
