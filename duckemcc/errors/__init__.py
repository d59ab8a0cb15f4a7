"""What can go wrong at the boundary: one base class, and one name per kind of remedy.

Every message says what was wrong, what was found and what to do, in the user's words. It repeats no long text whole,
and nothing that is `hiding` at the time. What it is about is in fields too: see `DuckEmccError`.
"""

from duckemcc.errors.base import DuckEmccError, Fields, placing
from duckemcc.errors.hidden import is_hidden, is_hiding, masked, masked_all
from duckemcc.errors.hiding import hiding
from duckemcc.errors.kinds import (
    AmbiguousEquation,
    AssumptionSpansCauses,
    EmptyStudy,
    GraphError,
    InvalidEquation,
    InvalidWeight,
    JobError,
    MissingColumn,
    NotSupported,
    NullValue,
    OptionError,
    QueryError,
    RepeatedName,
    SourceError,
    StudyError,
    Timeout,
    TooLarge,
    UnknownModel,
    UnknownName,
    UnknownState,
    UnsupportedColumn,
)
from duckemcc.errors.texts import engine_reason, hint, shortened
from duckemcc.errors.words import Spelling, Words, given, literal

__all__ = [
    "AmbiguousEquation",
    "AssumptionSpansCauses",
    "DuckEmccError",
    "EmptyStudy",
    "Fields",
    "GraphError",
    "InvalidEquation",
    "InvalidWeight",
    "JobError",
    "MissingColumn",
    "NotSupported",
    "NullValue",
    "OptionError",
    "QueryError",
    "RepeatedName",
    "SourceError",
    "Spelling",
    "StudyError",
    "Timeout",
    "TooLarge",
    "UnknownModel",
    "UnknownName",
    "UnknownState",
    "UnsupportedColumn",
    "Words",
    "engine_reason",
    "given",
    "hiding",
    "hint",
    "is_hidden",
    "is_hiding",
    "literal",
    "masked",
    "masked_all",
    "placing",
    "shortened",
]
