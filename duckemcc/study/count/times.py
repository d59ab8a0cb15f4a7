"""Dates and times of segments that an engine has and Python has not: infinity, years before 1 and after 9999, 24:00.

They are refused by name before polars reads what was counted: it has no seconds, so that an infinite TIMESTAMP_S would
wrap around to 1969, and no 24:00, which would become NULL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from duckemcc.errors import UnsupportedColumn, given

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from duckemcc.study.columns import Columns

_FIRST, _LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
_LONGEST = 999_999_999  # days of a timedelta
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def check_times(name: str, columns: Columns, counted: Any) -> None:
    """Raises `UnsupportedColumn` for a segment that is no date or time of Python's. name: of the study. counted: the
    patterns, as an Arrow table or a polars frame, with segments emcc_b0.."""
    for i, segment in enumerate(columns.by.values()):
        values = _read_times(counted, f"emcc_b{i}")
        if values is None or (value := _find_strange(values)) is None:
            continue
        raise UnsupportedColumn(
            f"study {name!r} has a segment by {segment} = {value}, which is no value in Python: its dates are of the "
            "years 1 to 9999, its times of day before 24:00",
            remedy="Cast it to text in the source, or leave it out by " + given("where", ...),
            study=name,
        )


def read_counted(name: str, columns: Columns, table: Any) -> pl.DataFrame:
    """The polars frame of counted patterns that an engine gave as Arrow. Raises as `check_times` does."""
    import polars as pl

    check_times(name, columns, table)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _read_times(counted: Any, key: str) -> pa.ChunkedArray | None:
    """A column as Arrow; None where it holds no dates or times."""
    import polars as pl
    import pyarrow as pa

    if isinstance(counted, pl.DataFrame):
        if not counted.schema[key].is_temporal():
            return None
        return counted.select(key).to_arrow().column(0)
    column = counted[key]
    return column if pa.types.is_temporal(column.type) else None


def _find_strange(values: pa.ChunkedArray) -> str | None:
    """The smallest value that Python lacks, else the largest, as DuckDB writes it; None where there is none."""
    import pyarrow as pa
    from pyarrow import compute

    kind = values.type
    whole = pa.int32() if kind.bit_width == 32 else pa.int64()
    ends = compute.min_max(values.cast(whole)).as_py()
    return next((_show(kind, n) for n in ends.values() if n is not None and not _has(kind, n)), None)


def _has(kind: pa.DataType, number: int) -> bool:
    """Whether Python has the value of an Arrow type that is stored as this number."""
    import pyarrow as pa

    unit = _unit(kind)
    if pa.types.is_time(kind):
        return 0 <= number < _PER_DAY[unit]
    if pa.types.is_duration(kind):
        return abs(number) <= _LONGEST * _PER_DAY[unit]
    if _infinity(kind, number) is not None:
        return False
    if unit == "ns":
        return True
    if not _FIRST.astype(f"M8[{unit}]").astype(int) <= number <= _LAST.astype(f"M8[{unit}]").astype(int):
        return False
    try:
        pa.scalar(number, kind).as_py()  # of the first and the last hours, the time zone decides
    except OverflowError:
        return False
    return True


def _infinity(kind: pa.DataType, number: int) -> str | None:
    """What DuckDB and PostgreSQL store as infinity. PostgreSQL counts from 2000, and its driver adds the years since
    1970 to infinity, too, which wraps around."""
    size = 2**kind.bit_width
    shift = 10_957 * (1 if _unit(kind) == "D" else _PER_DAY[_unit(kind)])
    most = size // 2 - 1
    names = {most: "infinity", -most: "-infinity", -most - 1: "-infinity"}
    return (names | {most + shift - size: "infinity", -most - 1 + shift: "-infinity"}).get(number)


def _unit(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_date(kind):
        return "D" if kind.bit_width == 32 else "ms"
    return str(kind.unit)


def _show(kind: pa.DataType, number: int) -> str:
    import pyarrow as pa

    unit = _unit(kind)
    if pa.types.is_time(kind):
        seconds = number // (_PER_DAY[unit] // 86_400)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if pa.types.is_duration(kind):
        return f"{number // _PER_DAY[unit]} days"
    if (infinity := _infinity(kind, number)) is not None:
        return infinity
    date, _, time = str(np.array(number).astype(f"M8[{unit}]")).partition("T")
    year, _, day = date.removeprefix("-").partition("-")
    before = date.startswith("-") or int(year) == 0  # numpy counts the year before 1 as 0
    time = time.rstrip("0").rstrip(".") if "." in time else time
    shown = f"{int(year) + 1:04}-{day} (BC)" if before else date.removeprefix("+")
    return f"{shown} {time}".strip() + ("+00" if pa.types.is_timestamp(kind) and kind.tz else "")
