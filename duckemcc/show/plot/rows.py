"""Rows of a result as a picture needs them: what is asked, of which segment, and either numbers or words."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.schema import COLUMNS, CONFIDENCE
from duckemcc.errors import DuckEmccError, OptionError
from duckemcc.query.language import query as read_query
from duckemcc.query.syntax import Named
from duckemcc.show.plot.drawing import clean
from duckemcc.show.plot.segments import name_values, order_segments, read_segments

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 200_000
"""Rows of one picture at most."""

SIGNED = ("ACE", "ETT", "CDE", "NDE", "NIE")
"""Named queries that are differences of two probabilities."""

WORDS = {
    "bounded": "bounded",
    "identified": "identified",
    "incompatible": "incompatible: the data contradict the graph or each other",
    "undefined": "undefined: the condition has probability zero",
    "no_data": "no data",
    "too_large": "too large to compute",
    "timeout": "not computed: out of time",
    "invalid": "invalid: the query does not fit the model",
}
"""The status of a row in words."""

_NEEDED = ("query", "lower", "upper", "status")
_ENDS = ("lower", "upper", "outer_lower", "outer_upper", "lower_ci", "upper_ci")
_READ = (*_NEEDED, *_ENDS[2:], "exact_lower", "exact_upper", "message", "fault", "n", "credibility")


class Row(NamedTuple):
    """One row of a result. segment: the values of the `by` columns, as text. outer, limits: pairs of numbers or None.
    lower and upper are None unless both are there; doubtful: they are the best fit of incompatible data."""

    segment: tuple[str, ...]
    query: str
    status: str
    lower: float | None
    upper: float | None
    outer: tuple[float, float] | None
    limits: tuple[float, float] | None
    exact_lower: bool
    exact_upper: bool
    message: str | None
    fault: str | None
    n: float | None
    credibility: float | None

    @property
    def doubtful(self) -> bool:
        return self.status == "incompatible" and self.lower is not None

    @property
    def has_outer(self) -> bool:
        """Whether the outer bounds are wider than the bounds."""
        if self.outer is None or self.lower is None or self.upper is None:
            return False
        return self.outer[0] < self.lower - 1e-9 or self.outer[1] > self.upper + 1e-9

    @property
    def words(self) -> str:
        return WORDS.get(self.status, self.status)

    @property
    def reason(self) -> str:
        """What stands where there are no numbers."""
        known = self.status in ("bounded", "identified")
        return "no bounds were given" if known else self.words


class Result(NamedTuple):
    """by: names of the columns that tell segments apart. confidence: of the limits, where the table says so."""

    by: tuple[str, ...]
    rows: list[Row]
    confidence: float | None = None


def read_table(table: Any) -> pa.Table:
    """An Arrow table as it is, or that of anything with ``__arrow_c_stream__``. Raises `OptionError`."""
    import pyarrow as pa

    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "__arrow_c_stream__"):
        return pa.table(table)
    raise OptionError(f"a table is an Arrow table or a frame; found {type(table).__name__}. emcc.bounds returns one")


def require(table: pa.Table, columns: Iterable[str], source: str) -> None:
    """Raises `OptionError` where a column is missing; source: the function that gives such a table."""
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise OptionError(
            f"the table lacks the column {', '.join(map(repr, lacking))}; it has "
            f"{', '.join(table.column_names) or 'none'}",
            remedy=f"Give the table of {source} as it is",
        )


def read_result(table: Any) -> Result:
    """The rows of a result for a picture. Raises `OptionError` as `read_rows` does, and for too many rows."""
    found = read_table(table)
    if found.num_rows > MOST_ROWS:
        raise OptionError(
            f"the table has {found.num_rows:,} rows; a picture shows {MOST_ROWS:,} at most",
            remedy="Take some of them, as in table.slice(0, 500)",
        )
    return read_rows(found)


def read_rows(table: pa.Table) -> Result:
    """The rows of a result, segments as `order_segments` has them. Raises `OptionError` for another table, and for
    one without rows."""
    require(table, _NEEDED, "emcc.bounds")
    if not table.num_rows:
        raise OptionError("the table has no rows", remedy="ask at least one query of a segment that has records")
    by = tuple(name for name in table.column_names if name not in COLUMNS)
    segments = read_segments(table, by)
    order = order_segments(segments)
    held = [table[name].to_pylist() if name in table.column_names else [None] * table.num_rows for name in _READ]
    rows = list(map(_read_row, map(name_values, segments), *held))
    return Result(by, rows if order is None else [rows[i] for i in order], _read_confidence(table))


def _read_row(segment: tuple[str, ...], query: Any, low: Any, high: Any, status: Any, *rest: Any) -> Row:
    outer_low, outer_high, low_ci, high_ci, exact_lower, exact_upper, message, fault, n, credibility = rest
    lower, upper = _number(low), _number(high)
    known = lower is not None and upper is not None
    return Row(
        segment,
        clean(str(query)),
        str(status),
        lower if known else None,
        upper if known else None,
        _pair(_number(outer_low), _number(outer_high)),
        _pair(_number(low_ci), _number(high_ci)),
        bool(exact_lower),
        bool(exact_upper),
        message,
        fault,
        _number(n),
        _number(credibility),
    )


def _read_confidence(table: pa.Table) -> float | None:
    held = (table.schema.metadata or {}).get(CONFIDENCE.encode())
    try:
        return None if held is None else float(held)
    except ValueError:  # metadata of somebody else's
        return None


def name_limits(levels: Iterable[float | None], known: str = "confidence limits") -> str:
    """``95 % confidence limits``, with each level that the limits are of, where it is known."""
    told = sorted({level for level in levels if level is not None})
    return f"{' and '.join(f'{100 * level:.10g}' for level in told)} % {known}" if told else known


def _number(value: Any) -> float | None:
    """A number that can be shown; NaN is none."""
    return float(value) if value is not None and abs(float(value)) < float("inf") else None


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def name_segment(row: Row) -> str:
    return " · ".join(row.segment)


@lru_cache(maxsize=1 << 16)
def find_range(query: str) -> tuple[float, float]:
    """What values a query can have: [0, 1] for a probability, [-1, 1] for a difference."""
    try:
        terms = read_query(query).terms
    except DuckEmccError:  # a table from elsewhere may name its queries as it likes
        return 0.0, 1.0
    low = high = 0.0
    for term in terms:
        body = term.body
        span = (1.0, 1.0) if body is None else (0.0 if not _is_signed(body) else -1.0, 1.0)
        ends = sorted(term.coefficient * end for end in span)
        low, high = low + ends[0], high + ends[1]
    return low, high


def _is_signed(body: object) -> bool:
    return isinstance(body, Named) and body.kind in SIGNED


def find_axis(query: str, rows: Iterable[Row]) -> tuple[float, float]:
    """The range of a query, wider only where a number is outside."""
    low, high = find_range(query)
    for row in rows:
        for a, b in ((row.lower, row.upper), row.outer or (None, None), row.limits or (None, None)):
            if a is not None and b is not None:
                low, high = min(low, a), max(high, b)
    return low, high


def show_interval(lower: float, upper: float) -> str:
    """``[0.3395, 0.4295]``, or the one number where the ends meet; more digits where four would hide a difference."""
    for digits in (4, 5, 6):
        low, high = show_number(lower, digits), show_number(upper, digits)
        if low != high:
            return f"[{low}, {high}]"
    return show_number(lower)


def show_number(value: float, digits: int = 4) -> str:
    """A number to so many places; a whole one without any."""
    text = f"{abs(value):.{digits}f}"
    if abs(value - round(value)) < 1e-9:
        text = str(abs(round(value)))
    return f"−{text}" if value < 0 and float(text) else text
