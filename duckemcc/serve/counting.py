"""The SQL by which DuckDB counts a `studies` relation: written here, run by `query(…)` inside the macros.

Only a table's name or a file's path is let through as the relation, and only quoted names as columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from duckemcc.errors import OptionError, SourceError
from duckemcc.model.scm import Model

_NAME = r'(?:[^\W\d]\w*|"(?:[^"\0]|"")+")'
_TABLE = re.compile(rf"\s*{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}\s*\Z")
_PART = re.compile(_NAME)
_FILE = re.compile(r"[^'\"\0;]+\.(?:parquet|parq|pq|csv|tsv)(?:\.gz|\.zst)?\s*\Z", re.IGNORECASE)


def write_counts_sql(model: Model, studies: Any, weight: Any = None, by: Sequence[str] | None = None) -> str:
    """A query of one row: columns STRUCT(name, type)[], all of the relation's; segments STRUCT(segment, patterns)[], sorted.

    A pattern is a struct of those of the model's variables, `study` and `intervened` that the relation has, with `emcc_count`
    (records, or the sum of weights) and `emcc_bad` (records whose weight is NULL, negative or not a finite number).
    Raises `SourceError` where `studies` is neither a name nor a path, `OptionError` for a weight or segment that is no name.
    """
    source = source_sql(studies)
    keys = [_quote(_check_name("by", name)) for name in by or ()]
    wanted = sorted({v.casefold() for v in model.variables} | {"study", "intervened", "emcc_row"})
    names = ", ".join(_text(name) for name in wanted)
    # emcc_row is there so that COLUMNS finds at least one; it is one value, so it groups nothing
    patterns = (
        f"SELECT {''.join(f'{k}, ' for k in keys)}COLUMNS(lambda c: lower(c) IN ({names})), {_count_sql(weight)} "
        f"FROM (SELECT *, true AS emcc_row FROM {source}) GROUP BY ALL"
    )
    segment = f"struct_pack({', '.join(f'{k} := {k}' for k in keys)})" if keys else "NULL"
    grouped = (
        f"SELECT {segment} AS segment, list(emcc_pattern) AS patterns FROM ({patterns}) AS emcc_pattern"
        f"{' GROUP BY segment' if keys else ''}"
    )
    columns = f"(SELECT list(struct_pack(name := column_name, type := column_type)) FROM (DESCRIBE FROM {source}))"
    order = " ORDER BY segment" if keys else ""
    return f"SELECT {columns} AS columns, list(struct_pack(segment := segment, patterns := patterns){order}) AS segments FROM ({grouped})"


def source_sql(studies: Any) -> str:
    """The relation as SQL: a name (bare or quoted, up to catalog.schema.table), or the path or glob of Parquet or CSV files."""
    if not isinstance(studies, str):
        raise SourceError(f"studies is {studies!r}; give the name of a table or view, or the path of a Parquet or CSV file, as text")
    if _FILE.match(studies.strip()):  # before the name: x.parquet also reads as schema.table
        return _text(studies.strip())
    if _TABLE.match(studies):
        return ".".join(part if part[0] == '"' else _quote(part) for part in _PART.findall(studies))
    raise SourceError(
        f"studies = {studies!r} is neither the name of a table or view nor the path of a Parquet or CSV file; "
        "for anything else, create a view over it and name the view"
    )


def _count_sql(weight: Any) -> str:
    if weight is None:
        return "count(*)::DOUBLE AS emcc_count, 0 AS emcc_bad"
    value = f"{_quote(_check_name('weight', weight))}::DOUBLE"
    good = f"({value} >= 0 AND isfinite({value}))"
    return f"fsum({value}) FILTER {good.replace('(', '(WHERE ', 1)} AS emcc_count, count(*) FILTER (WHERE {good} IS NOT TRUE) AS emcc_bad"


def _check_name(option: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise OptionError(f"{option} is {name!r}; it takes the name of a column, as text")
    return name


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
