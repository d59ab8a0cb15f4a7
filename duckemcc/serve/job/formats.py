"""Tables as CSV and JSON for other programs, and results read back from any file that a job writes.

A spreadsheet takes a text cell for a formula if it begins with one of = + - @ or with what it skips before them (tab,
line end). So such a text gets a single quote in front, as does one that has quotes before such a sign: one quote less
is then always what was meant. Numbers stay numbers, and so does text that spells one (-1), or is a bare + or -.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckemcc.answer.schema import COLUMNS, make_columns
from duckemcc.errors import OptionError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_SIGNS = "=+@\\-\t\r\n＝＋－＠"
_FORMULA = rf"^'*[{_SIGNS}]"
_HARMLESS = r"^(?:[+-]|-[0-9]+(?:\.[0-9]+)?)\z"


def to_csv(table: pa.Table) -> str:
    """Comma-separated, a NULL empty; lists as JSON; no cell and no heading is a formula."""
    import polars as pl
    import pyarrow as pa

    for i, column in enumerate(table.schema):
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            texts = [None if v is None else json.dumps(v, ensure_ascii=False) for v in table[i].to_pylist()]
            table = table.set_column(i, column.name, pa.array(texts, pa.string()))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    kinds = (pl.String, pl.Categorical, pl.Enum)
    columns = [_disarm(c.cast(pl.String)) if isinstance(c.dtype, kinds) else c for c in frame.iter_columns()]
    frame = pl.DataFrame(columns)
    return frame.rename(dict(zip(frame.columns, _disarm(pl.Series(frame.columns)).to_list(), strict=True))).write_csv()


def to_json(table: pa.Table) -> str:
    """An array of objects, one per row; numbers that JSON lacks (an infinite gap) and times are text."""
    rows = table.to_pylist()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = str(value)
    return json.dumps(rows, indent=1, ensure_ascii=False, default=str) + "\n"


def read_result_file(path: str) -> pa.Table:
    """The table of bounds in a Parquet, CSV or JSON file that a job wrote, told apart by what is in it.

    Segments of a CSV file are text. Raises `OptionError`.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or str(wrong)
        raise OptionError(f"{path!r} cannot be read: {reason}") from None
    kind, read = _choose_reader(data)
    if read is None:
        raise OptionError(
            f"{path!r} is {kind}", remedy="plot takes a Parquet, CSV or JSON file that `duckemcc run` wrote"
        )
    try:
        table = read(data)
    except _reading_errors() as wrong:
        reason = str(wrong).partition("\n")[0][:200]
        raise OptionError(f"{path!r} cannot be read as {kind}: {reason}") from None
    if table is None or not set(COLUMNS) <= set(table.column_names):
        raise OptionError(f"{path!r} is no table of bounds; `duckemcc run` writes one")
    return table


def _choose_reader(data: bytes) -> tuple[str, Any]:
    if data.startswith(b"PAR1"):
        return "Parquet", _read_parquet
    if data[8:12] == b"DUCK":
        return "a DuckDB database", None
    if data.lstrip()[:1] in (b"[", b"{"):
        return "JSON", _read_json
    if not data.strip():
        return "empty", None
    if b"\0" in data:
        return "neither Parquet nor text", None
    return "CSV", _read_csv


def _reading_errors() -> tuple[type[Exception], ...]:
    """What the readers raise for files of another kind, or that are cut off."""
    import polars as pl
    import pyarrow as pa

    plain = (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError)
    return (*plain, pl.exceptions.PolarsError, pa.ArrowException)


def _read_parquet(data: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.read_table(pa.BufferReader(data))


def _read_csv(data: bytes) -> pa.Table | None:
    import io

    import polars as pl

    frame = pl.read_csv(io.BytesIO(data), infer_schema=False)
    names = [str(name) for name in _rearm(pl.Series(frame.columns))]
    if not set(COLUMNS) <= set(names):
        return None
    read = {"double": _numbers(pl.Float64), "int64": _numbers(pl.Int64), "bool": _booleans, "list<string>": _lists}
    kinds = [COLUMNS.get(name, "string") for name in names]
    found = {n: read.get(k, _rearm)(c) for n, k, c in zip(names, kinds, frame.iter_columns(), strict=True)}
    return _put_together(found)


def _read_json(data: bytes) -> pa.Table | None:
    rows = json.loads(data)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    names = list(dict.fromkeys(name for row in rows for name in row))
    found = {name: [row.get(name) for row in rows] for name in names}
    for name in (n for n in names if COLUMNS.get(n) == "double"):
        found[name] = [None if value is None else float(value) for value in found[name]]
    return _put_together(found)


def _put_together(found: dict[str, list[Any]]) -> pa.Table:
    """The segments' columns as they are, the result's in their types."""
    import pyarrow as pa

    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    own = make_columns(rows)
    return pa.table({name: own[name] if name in own else pa.array(values) for name, values in found.items()})


def _disarm(texts: pl.Series) -> pl.Series:
    """With a quote before what a spreadsheet would take for a formula."""
    import polars as pl

    formula = texts.str.contains(_FORMULA) & ~texts.str.contains(_HARMLESS)
    return pl.select(pl.when(formula).then("'" + pl.lit(texts)).otherwise(pl.lit(texts)).alias(texts.name)).to_series()


def _rearm(texts: pl.Series) -> list[str | None]:
    """What `_disarm` was given."""
    return texts.str.replace(rf"^'('*[{_SIGNS}])", "${1}").to_list()


def _numbers(kind: Any) -> Any:
    return lambda texts: texts.cast(kind).to_list()


def _booleans(texts: pl.Series) -> list[bool | None]:
    return [None if text is None else {"true": True, "false": False}[text.lower()] for text in texts.to_list()]


def _lists(texts: pl.Series) -> list[Sequence[str] | None]:
    return [None if text is None else json.loads(text) for text in texts.to_list()]
