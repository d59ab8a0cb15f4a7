"""The SQL by which DuckDB counts a `studies` relation: written here, run by `query(…)` inside the macros.

Only a table's name or a file's path is let through as the relation, and only quoted names as columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
_ROW = "emcc: a row"
SOURCE = "the studies relation"
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
    names = [v for v in model.variables if v not in model.unmeasured]
    keys = [f"emcc_b{i}" for i in range(len(by))]
    patterns = patterns_sql(source, [*names, "study", "intervened"], dict(zip(keys, by, strict=True)), weight)
    segment = ", ".join(f"{quote(name)} := {key}" for name, key in zip(by, keys, strict=True))
    segments = (
        f"SELECT {f'struct_pack({segment})' if by else 'NULL'} AS segment, "
        "list(emcc_pattern ORDER BY emcc_pattern) AS patterns "  # in order, so that equal counts are equal bytes
        f"FROM ({patterns} LIMIT {MOST_PATTERNS + 1}) AS emcc_pattern{' GROUP BY segment' if by else ''}"
    )
    order = ", ".join(f"segment.{quote(name)} NULLS FIRST" for name in by)  # as in Python
    order = f" ORDER BY {order}" if by else ""
    return (
        f"SELECT {columns_sql(source)} AS columns, "
        f"list(struct_pack(segment := segment, patterns := patterns){order}) AS segments "
        f"FROM ({segments})"
    )


def columns_sql(source: str) -> str:
    """An expression for the columns of a relation: STRUCT(name, type)[]."""
    return f"(SELECT list(struct_pack(name := column_name, type := column_type)) FROM (DESCRIBE FROM {source}))"


def source_sql(studies: Any) -> str:
    """The relation as SQL: a name (bare or quoted, up to catalog.schema.table), or files by their path or glob."""
    if not isinstance(studies, str):
        raise SourceError(
            f"studies is {studies!r}; give the name of a table or view, or the path of a Parquet or CSV file, as text"
        )
    path = studies.strip()
    if path.lower().endswith(PARQUET + CSV) and _PATH.fullmatch(path):  # before: x.parquet is also schema.table
        is_csv = path.lower().endswith(CSV)  # names are needed, so there must be a header: no guessing
        return f"read_csv({text_sql(path)}, header := true)" if is_csv else f"read_parquet({text_sql(path)})"
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
    return ".".join(part if part[0] == '"' else quote(part) for part in _PART.findall(name))


def check_by(model: Model, by: Any) -> tuple[str, ...]:
    """The names of the segments' columns, from one text or a list. Raises `OptionError`, `RepeatedName`."""
    names = names_of("by", () if by is None else by)
    if not names:
        raise OptionError("by is empty or NULL; name one column or a list of columns, or use emcc_bounds")
    check_segments(model.variables, names, {}, {name: name for name in names})
    check_segment_names(names)
    return names


def patterns_sql(
    source: str,
    names: Sequence[str],
    keys: Mapping[str, str] = MappingProxyType({}),
    weight: str | None = None,
    *,
    where: str | None = None,
    is_float: bool = True,
    alias: str = SOURCE,
) -> str:
    """One row per distinct pattern: the columns that bear one of these names, in any case; `keys`, our name -> column;
    emcc_count, emcc_bad, and with a weight the rest of `dialect.weight_totals`.

    Columns are said to be of `alias`, which messages show: a bare name that the relation lacks would mean a column of
    the query around the macro. where: a condition on these, written by `dialect`. is_float: whether the weight, whose
    type is not known, is to be summed as a double; that is exact, whatever the order of records.
    """
    found = {n for v in names for n in (v.lower(), v.casefold())}  # lower is what DuckDB knows: ß is not ss
    wanted = ", ".join(map(text_sql, [*sorted(found), _ROW]))
    chosen = [f"COLUMNS(lambda c: lower(c) IN ({wanted}))"]
    chosen += [f"{quote(alias)}.{quote(column)} AS {key}" for key, column in keys.items()]
    chosen += [f"{quote(alias)}.{quote(weight)} AS emcc_weight"] if weight is not None else []
    filtered = f" WHERE {where}" if where is not None else ""
    records = (  # one value of its own, which groups nothing: COLUMNS needs a column to find
        f"SELECT {', '.join(chosen)} FROM (SELECT *, true AS {quote(_ROW)} FROM {source}) AS {quote(alias)}{filtered}"
    )
    if weight is None:
        return f"SELECT *, count(*)::DOUBLE AS emcc_count, 0 AS emcc_bad FROM ({records}) GROUP BY ALL"
    from duckemcc.study.dialect import PIECES, piece_items, weight_items, weight_sums, weight_totals

    def items(listed: list[str]) -> str:
        return ", ".join(listed)

    records = f"SELECT *, {items(weight_items(is_float))} FROM ({records})"
    for i in range(PIECES if is_float else 0):
        records = f"SELECT *{' EXCLUDE (emcc_rest)' if i else ''}, {items(piece_items(i))} FROM ({records})"
    own = ["emcc_weight", "emcc_good", "emcc_is_bad", "emcc_bad_weight"]
    own += [*(f"emcc_p{i}" for i in range(PIECES)), "emcc_rest"] if is_float else []
    sums = [f"emcc_s{i}" for i in range(PIECES if is_float else 1)] + ["emcc_records", "emcc_bad", "emcc_example"]
    grouped = f"SELECT * EXCLUDE ({items(own)}), {items(weight_sums(is_float))} FROM ({records}) GROUP BY ALL"
    return f"SELECT * EXCLUDE ({items(sums)}), {items(weight_totals(is_float))} FROM ({grouped})"


def _check_weight(model: Model, weight: Any) -> str | None:
    if weight is None:
        return None
    if not isinstance(weight, str) or not weight.strip() or "\0" in weight:
        raise OptionError(f"weight is {weight!r}; it takes the name of a column, as text")
    if weight.casefold() in {v.casefold() for v in model.variables}:
        raise OptionError(f"weight is {weight!r}, which is also the column of a variable")
    return weight


def quote(name: str) -> str:
    """A name as SQL. Raises `OptionError` for one that DuckDB would read only up to a NUL character."""
    if "\0" in name:
        raise OptionError(f"the name {name!r} holds a NUL character; rename the column")
    return '"' + name.replace('"', '""') + '"'


def text_sql(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
