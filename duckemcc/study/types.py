"""Which types of columns can hold states, segments and weights, as DuckDB and polars call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from duckemcc.errors import UnsupportedColumn
from duckemcc.study.columns import Columns
from duckemcc.study.labels import has_labels

if TYPE_CHECKING:
    import polars as pl

INTEGERS = {f"{u}{size}int" for u in ("", "u") for size in ("tiny", "small", "big", "huge")} | {"integer", "uinteger"}
FLOATS = {"float", "double"}
_STATES = INTEGERS | FLOATS | {"boolean", "varchar", "enum", "decimal", "sqlnull", "null"}
_TIMES = {
    "date",
    "time",
    "timestamp",
    "timestamp_s",
    "timestamp_ms",
    "timestamp_ns",
    "timestamp with time zone",
    "timestamptz_ns",
    "uuid",
}
AS_TEXT = {"enum", "hugeint", "uhugeint", "sqlnull", "null", "uuid"}  # what polars would not take as it is


def type_name(duckdb_type: Any) -> str:
    return "json" if str(duckdb_type) == "JSON" else str(duckdb_type.id).strip('"').lower()


def check_types(name: str, columns: Columns, types: Mapping[str, str]) -> None:
    """Raises UnsupportedColumn. types: of the source's columns, as DuckDB calls them."""
    for variable, column in columns.variables.items():
        if types[column] not in _STATES:
            raise _unsupported(name, variable, column, types[column].upper())
    for segment, column in columns.by.items():
        if types[column] not in _STATES | _TIMES:
            raise _no_segment(name, segment, types[column].upper())
    if columns.weight and types[columns.weight] not in INTEGERS | FLOATS | {"decimal"}:
        raise _no_number(name, columns.weight, types[columns.weight].upper())


def check_dtypes(name: str, columns: Columns, schema: Mapping[str, pl.DataType]) -> None:
    """The same of a polars schema."""
    for variable, column in columns.variables.items():
        if not has_labels(schema[column]):
            raise _unsupported(name, variable, column, str(schema[column]))
    for segment, column in columns.by.items():
        if not (has_labels(schema[column]) or schema[column].is_temporal()):
            raise _no_segment(name, segment, str(schema[column]))
    if columns.weight and not schema[columns.weight].is_numeric():
        raise _no_number(name, columns.weight, str(schema[columns.weight]))


def _unsupported(name: str, variable: str, column: str, type_name: str) -> UnsupportedColumn:
    called = column if column == variable else f"{column} (variable {variable})"
    return UnsupportedColumn(
        f"study {name!r}: the column {called} has type {type_name}; cast it to text in the source."
    )


def _no_segment(name: str, segment: str, type_name: str) -> UnsupportedColumn:
    return UnsupportedColumn(
        f"study {name!r} has segments by {segment} of type {type_name}; cast it to text in the source."
    )


def _no_number(name: str, weight: str, type_name: str) -> UnsupportedColumn:
    return UnsupportedColumn(f"study {name!r} has weights {weight} of type {type_name}; a weight is a number.")
