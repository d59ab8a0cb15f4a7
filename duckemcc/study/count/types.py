"""Which types of columns can hold states, segments and weights, as DuckDB and polars call them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from duckemcc.errors import UnsupportedColumn
from duckemcc.study.columns import Columns
from duckemcc.study.labels import has_labels

if TYPE_CHECKING:
    import polars as pl

INTEGERS = {f"{u}{size}int" for u in ("", "u") for size in ("tiny", "small", "big", "huge")} | {"integer", "uinteger"}
FLOATS = {"float", "double"}
SPARK_INTEGERS = ("tinyint", "smallint", "int", "bigint")
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
HUGE = {"hugeint", "uhugeint"}
AS_TEXT = {"enum", *HUGE, "sqlnull", "null", "uuid"}  # what polars would not take as it is


def type_name(duckdb_type: Any) -> str:
    return "json" if str(duckdb_type) == "JSON" else str(duckdb_type.id).strip('"').lower()


def column_type(text: str) -> str:
    """DuckDB's type, as DESCRIBE says it, as `type_name` tells it: DECIMAL(4,1) is decimal, and a list of it is not."""
    text = text.strip('"').lower()
    return text if text.endswith("]") else re.sub(r"\(.*", "", text, flags=re.DOTALL).strip()


def check_types(name: str, columns: Columns, types: Mapping[str, str]) -> None:
    """Raises UnsupportedColumn. name: of the study. types: of the source's columns, as `type_name` calls them."""
    check_source_types(f"study {name!r}", columns, types)


def check_source_types(where: str, columns: Columns, types: Mapping[str, str]) -> None:
    """The same. where: what messages call the source."""
    for variable, column in columns.variables.items():
        if types[column] not in _STATES:
            raise _unsupported(where, variable, column, types[column].upper())
    for segment, column in columns.by.items():
        if types[column] not in _STATES | _TIMES:
            raise _no_segment(where, segment, types[column].upper())
    if columns.weight and types[columns.weight] not in INTEGERS | FLOATS | {"decimal"}:
        raise _no_number(where, columns.weight, types[columns.weight].upper())


def check_dtypes(name: str, columns: Columns, schema: Mapping[str, pl.DataType]) -> None:
    """The same of a polars schema."""
    for variable, column in columns.variables.items():
        if not has_labels(schema[column]):
            raise _unsupported(f"study {name!r}", variable, column, str(schema[column]))
    for segment, column in columns.by.items():
        if not (has_labels(schema[column]) or schema[column].is_temporal()):
            raise _no_segment(f"study {name!r}", segment, str(schema[column]))
    if columns.weight and not schema[columns.weight].is_numeric():
        raise _no_number(f"study {name!r}", columns.weight, str(schema[columns.weight]))


def _unsupported(where: str, variable: str, column: str, type_name: str) -> UnsupportedColumn:
    called = column if column == variable else f"{column} (variable {variable})"
    return UnsupportedColumn(
        f"{where}: the column {called} has type {type_name}",
        remedy="cast it to text in the source",
        variable=variable,
    )


def _no_segment(where: str, segment: str, type_name: str) -> UnsupportedColumn:
    return UnsupportedColumn(
        f"{where} has segments by {segment} of type {type_name}", remedy="cast it to text in the source", option="by"
    )


def _no_number(where: str, weight: str, type_name: str) -> UnsupportedColumn:
    return UnsupportedColumn(
        f"{where} has weights {weight} of type {type_name}", remedy="a weight is a number", option="weight"
    )
