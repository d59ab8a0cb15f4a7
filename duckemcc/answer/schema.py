"""The answer: one Arrow row per segment and query, always the same columns, null where not computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import OptionError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

COLUMNS: dict[str, str] = {
    "query": "string",
    "lower": "double",
    "upper": "double",
    "lower_ci": "double",
    "upper_ci": "double",
    "outer_lower": "double",
    "outer_upper": "double",
    "exact_lower": "bool",
    "exact_upper": "bool",
    "status": "string",
    "message": "string",
    "fault": "string",
    "compatible": "bool",
    "misfit": "double",
    "loglik_gap": "double",
    "p_value": "double",
    "optimality_gap": "double",
    "n": "double",
    "studies": "list<string>",
    "patterns": "int64",
    "restarts": "int64",
    "kept": "int64",
    "converged": "bool",
    "steps": "int64",
    "credibility": "double",
    "method": "string",
    "seed": "int64",
    "version": "string",
}
"""The result's columns and their types, after the `by` columns.

lower, upper: the bounds. status: bounded | identified | incompatible | undefined | no_data | too_large | timeout |
invalid.
message: what to do. fault: the study, component and pattern that contradict most. loglik_gap, optimality_gap: nats.
n: sum of weights. kept: restarts at the maximum. steps: EM steps of the slowest restart.
"""

STUDY_COLUMNS: dict[str, str] = {
    "study": "string",
    "compatible": "bool",
    "loglik_gap": "double",
    "misfit": "double",
    "p_value": "double",
    "df": "int64",
    "independences": "int64",
    "n": "double",
    "patterns": "int64",
    "selected_lower": "double",
    "selected_upper": "double",
    "fault": "string",
    "message": "string",
}
"""The columns of the compatibility report, after the `by` columns; `study` is null in the row for all studies
together. p_value, misfit: of the test that failed by the largest misfit, else of the likelihood ratio, which leaves df
degrees of freedom. independences: how many that the graph implies were tested. selected_lower, selected_upper: the
bounds of P(selected), where a rule dropped records."""


def was_untested(row: Mapping[str, Any]) -> bool:
    """Whether nothing in a row of the compatibility report could have contradicted it."""
    return row["df"] == 0 and row["independences"] == 0


CONFIDENCE = "duckemcc.confidence"
"""The key of the metadata that says of what level lower_ci and upper_ci are."""

SQL_TYPES = {"string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN", "int64": "BIGINT", "list<string>": "VARCHAR[]"}


def check_segment_names(by: Sequence[str], columns: Mapping[str, str] = COLUMNS) -> None:
    """Raises `OptionError` where a `by` column would stand beside a column of the result of the same name."""
    for name in by:
        if name.casefold() in columns:
            raise OptionError(
                f"by names the column {name!r}, which is a column of the result",
                remedy="rename it in the source, or in a view",
                option="by",
            )


def struct_type(columns: Mapping[str, str]) -> str:
    """The DuckDB type of one row."""
    return "STRUCT(" + ", ".join(f'"{name}" {SQL_TYPES[kind]}' for name, kind in columns.items()) + ")"


def make_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    segments: pl.DataFrame,
    place: Sequence[int],
    timings: Mapping[str, float],
) -> pa.Table:
    """The Arrow table of these rows, each behind the `by` columns of its segment; timings (seconds) go into the
    metadata."""
    import pyarrow as pa

    return put_together(pa.table(make_columns(rows, columns)), segments, np.asarray(place, np.intp), timings)


def make_columns(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS) -> dict[str, pa.Array]:
    """The columns of these rows, without those of their segments."""
    import pyarrow as pa

    types = _arrow_types()
    return {name: pa.array([row.get(name) for row in rows], types[kind]) for name, kind in columns.items()}


def fill_columns(size: int, given: Mapping[str, Any], columns: Mapping[str, str] = COLUMNS) -> dict[str, pa.Array]:
    """The columns of so many rows, of which some are given, each as an array or as one value for all."""
    import pyarrow as pa

    types = _arrow_types()

    def fill(value: Any, kind: pa.DataType) -> pa.Array:
        if value is None:
            return pa.nulls(size, kind)
        return value if isinstance(value, pa.Array) else pa.repeat(pa.scalar(value, kind), size)

    return {name: fill(given.get(name), types[kind]) for name, kind in columns.items()}


def put_together(
    rows: pa.Table, segments: pl.DataFrame, place: NDArray[np.intp], timings: Mapping[str, float]
) -> pa.Table:
    """The rows behind the `by` columns of their segments, which stand at these places; timings go into the metadata."""
    import pyarrow as pa

    told = {"duckemcc.seconds": json.dumps({k: round(v, 6) for k, v in timings.items()})}
    front = segments[place].to_arrow() if segments.width else pa.table({})
    return pa.table([*front.columns, *rows.columns], names=[*front.column_names, *rows.column_names], metadata=told)


def _arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "list<string>": pa.list_(pa.string()),
    }
