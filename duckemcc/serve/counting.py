"""The SQL by which DuckDB counts a `studies` relation: written here, run by `query(…)` inside the macros.

Only a table's name or a file's path is let through as the relation, and only quoted names as columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from duckemcc.errors import OptionError, SourceError
from duckemcc.model.scm import Model
from duckemcc.serve.result import check_segment_names
from duckemcc.study.columns import check_segments
from duckemcc.study.labels import MOST_PATTERNS
from duckemcc.study.study import CSV, PARQUET, names_of

_NAME = r'(?:[^\W\d]\w*|"(?:[^"\0]|"")+")'
_TABLE = re.compile(rf"\s*{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}\s*\Z")
_PART = re.compile(_NAME)
_PATH = re.compile(r"[^'\"\0;]+")


def write_counts_sql(model: Model, studies: Any, weight: Any = None, by: Sequence[str] = ()) -> str:
    """A query of one row: columns STRUCT(name, type)[], all of the relation's; and segments STRUCT(segment,
    patterns)[], sorted by segment.

    A pattern is a struct of those of the model's measured variables, `study` and `intervened` that the relation has,
    with `emcc_count` (records, or the sum of weights), `emcc_bad` (records whose weight cannot be one) and more of
    what `dialect.weight_totals` gives. `by` must have passed `check_by`.
    Raises `SourceError` where `studies` is neither a name nor a path, `OptionError` for a weight that is no name.
    """
    source, weight = source_sql(studies), _check_weight(model, weight)
    measured = [v for v in model.variables if v not in model.unmeasured]
    names = {n for v in measured for n in (v.lower(), v.casefold())}  # lower is what DuckDB knows: ß is not ss
    wanted = ", ".join(map(_text, sorted(names | {"study", "intervened", "emcc_row"})))
    keys = [f"emcc_b{i}" for i in range(len(by))]
    chosen = "".join(f"{_quote(name)} AS {key}, " for name, key in zip(by, keys, strict=True))
    chosen += f"COLUMNS(lambda c: lower(c) IN ({wanted}))"
    patterns = _patterns_sql(f"SELECT *, true AS emcc_row FROM {source}", chosen, weight)
    segment = ", ".join(f"{_quote(name)} := {key}" for name, key in zip(by, keys, strict=True))
    segments = (
        f"SELECT {f'struct_pack({segment})' if by else 'NULL'} AS segment, "
        "list(emcc_pattern ORDER BY emcc_pattern) AS patterns "  # in order, so that equal counts are equal bytes
        f"FROM ({patterns} LIMIT {MOST_PATTERNS + 1}) AS emcc_pattern{' GROUP BY segment' if by else ''}"
    )
    order = ", ".join(f"segment.{_quote(name)} NULLS FIRST" for name in by)  # as in Python
    order = f" ORDER BY {order}" if by else ""
    return (
        "SELECT (SELECT list(struct_pack(name := column_name, type := column_type)) "
        f"FROM (DESCRIBE FROM {source})) AS columns, "
        f"list(struct_pack(segment := segment, patterns := patterns){order}) AS segments "
        f"FROM ({segments})"
    )


def source_sql(studies: Any) -> str:
    """The relation as SQL: a name (bare or quoted, up to catalog.schema.table), or files by their path or glob."""
    if not isinstance(studies, str):
        raise SourceError(
            f"studies is {studies!r}; give the name of a table or view, or the path of a Parquet or CSV file, as text"
        )
    path = studies.strip()
    if path.lower().endswith(PARQUET + CSV) and _PATH.fullmatch(path):  # before: x.parquet is also schema.table
        is_csv = path.lower().endswith(CSV)  # names are needed, so there must be a header: no guessing
        return f"read_csv({_text(path)}, header := true)" if is_csv else f"read_parquet({_text(path)})"
    if _TABLE.match(studies):
        return table_sql(studies)
    raise SourceError(
        f"studies = {studies!r} is neither the name of a table or view nor the path of a Parquet or CSV file; "
        "for anything else, create a view over it and name the view"
    )


def table_sql(name: str) -> str:
    """A table's name, up to catalog.schema.table, each part quoted. Raises `SourceError` for what is no name."""
    if not _TABLE.match(name):
        raise SourceError(f'{name!r} is no name of a table; it is a bare or "quoted" name, or schema.table')
    return ".".join(part if part[0] == '"' else _quote(part) for part in _PART.findall(name))


def check_by(model: Model, by: Any) -> tuple[str, ...]:
    """The names of the segments' columns, from one text or a list. Raises `OptionError`, `RepeatedName`."""
    names = names_of("by", () if by is None else by)
    if not names:
        raise OptionError("by is empty or NULL; name one column or a list of columns, or use emcc_bounds")
    check_segments(model.variables, names, {}, {name: name for name in names})
    check_segment_names(names)
    return names


def _patterns_sql(records: str, chosen: str, weight: str | None) -> str:
    """One row per distinct pattern. emcc_row is one value and groups nothing; COLUMNS needs a column to find."""
    if weight is None:
        return f"SELECT {chosen}, count(*)::DOUBLE AS emcc_count, 0 AS emcc_bad FROM ({records}) GROUP BY ALL"
    from duckemcc.study.dialect import PIECES, piece_items, weight_items, weight_sums, weight_totals

    def items(listed: list[str]) -> str:
        return ", ".join(listed)

    # the weight's type is not known here, so it is summed as a double: exactly, whatever the order of records
    records = f"SELECT *, {_quote(weight)} AS emcc_weight FROM ({records})"
    records = f"SELECT *, {items(weight_items(True))} FROM ({records})"
    for i in range(PIECES):
        records = f"SELECT *{' EXCLUDE (emcc_rest)' if i else ''}, {items(piece_items(i))} FROM ({records})"
    sums = [f"emcc_s{i}" for i in range(PIECES)] + ["emcc_records", "emcc_bad", "emcc_example"]
    grouped = f"SELECT {chosen}, {items(weight_sums(True))} FROM ({records}) GROUP BY ALL"
    return f"SELECT * EXCLUDE ({items(sums)}), {items(weight_totals(True))} FROM ({grouped})"


def _check_weight(model: Model, weight: Any) -> str | None:
    if weight is None:
        return None
    if not isinstance(weight, str) or not weight.strip() or "\0" in weight:
        raise OptionError(f"weight is {weight!r}; it takes the name of a column, as text")
    if weight.casefold() in {v.casefold() for v in model.variables}:
        raise OptionError(f"weight is {weight!r}, which is also the column of a variable")
    return weight


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
