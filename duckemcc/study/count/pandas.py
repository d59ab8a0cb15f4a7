"""pandas frames: the columns that matter, and no other, as an Arrow table.

Whole frames are not converted (`__arrow_c_stream__` would): a column that nobody asks for may hold anything. NaN, None
and NA are NULL, as everywhere in pandas. Named levels of the index are columns, too, as in pandas' own conversion.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from duckemcc.errors import UnsupportedColumn
from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.duckdb import count_duckdb, refuse_twins

if TYPE_CHECKING:
    import polars as pl


def count_pandas(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """Counted by DuckDB, which gets the columns that are used as Arrow."""
    found = column_names(wanted.study.source)
    used = wanted.match(found).used
    refuse_twins(wanted.name, used, [c for c in found if c in used])
    source = as_arrow(wanted.study.source, used, wanted.name)
    return count_duckdb(wanted._replace(study=replace(wanted.study, source=source)))


def column_names(frame: Any) -> list[str]:
    """The names of all columns and of the index; some may occur twice."""
    names = [str(c) for c in frame.columns]
    return names + [str(n) for n in frame.index.names if n is not None and str(n) not in names]


def as_arrow(frame: Any, wanted: Collection[str], study: str) -> Any:
    """The Arrow table of the wanted columns. Raises UnsupportedColumn where one has no single Arrow type."""
    import pyarrow as pa

    names = column_names(frame)
    arrays = {n: _as_array(_series(frame, names.index(n), n), n, study) for n in names if n in wanted}
    if not arrays:  # a table without columns would have no rows
        arrays = {"emcc_row": pa.nulls(len(frame))}
    return pa.table(arrays)


def _series(frame: Any, position: int, name: str) -> Any:
    if position < len(frame.columns):
        return frame.iloc[:, position]
    level = next(n for n in frame.index.names if str(n) == name)
    return frame.index.get_level_values(level).to_series()


def _as_array(series: Any, name: str, study: str) -> Any:
    import pyarrow as pa

    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        raise UnsupportedColumn(
            f"study {study!r}: the column {name} of type {series.dtype} {_held(series)}",
            remedy="cast it to text in the source: .astype('string')",
            study=study,
        ) from None
    values = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if isinstance(values, pa.BaseExtensionType):  # periods would be counted by number, intervals crash DuckDB
        raise UnsupportedColumn(
            f"study {study!r}: the column {name} has type {series.dtype}",
            remedy="cast it to text in the source: .astype('string')",
            study=study,
        )
    return array.cast(pa.float32()) if pa.types.is_float16(values) else array  # DuckDB knows no halves


def _held(series: Any) -> str:
    """What is wrong with a column, in the user's words."""
    if str(series.dtype) not in ("object", "category"):
        return "has values without exact states"
    kinds = sorted({type(v).__name__ for v in series.dropna().head(100_000)})
    return f"mixes values of the types {', '.join(kinds)}" if len(kinds) > 1 else "has values without exact states"
