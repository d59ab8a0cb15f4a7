"""The SQL by which DuckDB counts a `studies` relation: written here, run by `query(…)` inside the macros.

Only what `serve.sources` lets through is the relation, and only quoted names are columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from duckemcc.answer.schema import check_segment_names
from duckemcc.errors import OptionError
from duckemcc.model.scm import Model
from duckemcc.serve.duckdb.sources import quote, source_sql, text_sql
from duckemcc.study.columns import check_segments
from duckemcc.study.labels import MOST_PATTERNS
from duckemcc.study.study import names_of

_ROW = "emcc: a row"


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
    grouped = f" GROUP BY {', '.join(keys)}" if by else ""
    segments = (
        f"SELECT {f'struct_pack({segment})' if by else 'NULL'} AS emcc_keys, "
        "list(emcc_pattern ORDER BY emcc_pattern) AS patterns "  # in order, so that equal counts are equal bytes
        f"FROM ({patterns} LIMIT {MOST_PATTERNS + 1}) AS emcc_pattern{grouped}"
    )
    order = f" ORDER BY {segment_order([f'emcc_keys.{quote(name)}' for name in by])}" if by else ""
    return (
        f"SELECT {columns_sql(source)} AS columns, "
        f"list(struct_pack(segment := emcc_keys, patterns := patterns){order}) AS segments "
        f"FROM ({segments})"
    )


def segment_order(keys: Sequence[str]) -> str:
    """The order of segments, as in Python: NULLs first; an ENUM by its text, as other engines and files know no order
    of its values."""
    text = "CASE WHEN starts_with(typeof({0}), 'ENUM') THEN CAST({0} AS VARCHAR) END NULLS FIRST, {0} NULLS FIRST"
    return ", ".join(text.format(key) for key in keys)


def columns_sql(source: str) -> str:
    """An expression for the columns of a relation: STRUCT(name, type)[]."""
    return f"(SELECT list(struct_pack(name := column_name, type := column_type)) FROM (DESCRIBE FROM {source}))"


class Where(NamedTuple):
    """A condition on columns that bear names of ours. columns: our name -> the relation's."""

    text: str
    columns: Mapping[str, str]


def check_by(model: Model, by: Any) -> tuple[str, ...]:
    """The names of the segments' columns, from one text or a list. Raises `OptionError`, `RepeatedName`."""
    names = names_of("by", () if by is None else by)
    if not names:
        raise OptionError(
            "by is empty or NULL", remedy="name one column or a list of columns, or use emcc_bounds", option="by"
        )
    check_segments(model.variables, names, {}, {name: name for name in names})
    check_segment_names(names)
    return names


def patterns_sql(
    source: str,
    names: Sequence[str],
    keys: Mapping[str, str] = MappingProxyType({}),
    weight: str | None = None,
    *,
    where: Where | None = None,
    is_float: bool = True,
) -> str:
    """One row per distinct pattern: the columns that bear one of these names, in any case; `keys`, our name -> column;
    emcc_count, emcc_bad, and with a weight the rest of `dialect.weight_totals`.

    A column that the relation lacks is NULL, as a bare name then means that of emcc_lacking: whoever reads the counts
    looks for it. is_float: whether the weight, whose type is not known, is to be summed as a double; that is exact,
    whatever the order of records.
    """
    own = {f"emcc: {key}": column for key, column in keys.items()}  # no such names are in a relation
    own |= {"emcc: weight": weight} if weight is not None else {}
    own |= {} if where is None else where.columns
    lacking = ", ".join(f"NULL AS {quote(column)}" for column in dict.fromkeys((_ROW, *own.values())))
    named = [f"true AS {quote(_ROW)}", *(f"{quote(column)} AS {quote(name)}" for name, column in own.items())]
    found = {n for v in names for n in (v.lower(), v.casefold())}  # lower is what DuckDB knows: ß is not ss
    wanted = ", ".join(map(text_sql, [*sorted(found), _ROW]))  # the row groups nothing: COLUMNS needs a column to find
    chosen = [f"COLUMNS(lambda c: lower(c) IN ({wanted}))"]
    chosen += [f"{quote(f'emcc: {key}')} AS {key}" for key in keys]
    chosen += ['"emcc: weight" AS emcc_weight'] if weight is not None else []
    filtered = f" WHERE {where.text}" if where is not None else ""
    records = (
        f"SELECT {', '.join(chosen)} FROM (SELECT emcc_record.* FROM (SELECT {lacking}) AS emcc_lacking, "
        f"LATERAL (SELECT {', '.join(named)}, * FROM {source}) AS emcc_record){filtered}"
    )
    if weight is None:
        return f"SELECT *, count(*)::DOUBLE AS emcc_count, 0 AS emcc_bad FROM ({records}) GROUP BY ALL"
    from duckemcc.study.dialect import PIECES, piece_items, weight_items, weight_sums, weight_totals

    def items(listed: list[str]) -> str:
        return ", ".join(listed)

    records = f"SELECT *, {items(weight_items(is_float))} FROM ({records})"
    for i in range(PIECES if is_float else 0):
        records = f"SELECT *{' EXCLUDE (emcc_rest)' if i else ''}, {items(piece_items(i))} FROM ({records})"
    spent = ["emcc_weight", "emcc_good", "emcc_is_bad", "emcc_bad_weight"]
    spent += [*(f"emcc_p{i}" for i in range(PIECES)), "emcc_rest"] if is_float else []
    sums = [f"emcc_s{i}" for i in range(PIECES if is_float else 1)] + ["emcc_records", "emcc_bad", "emcc_example"]
    grouped = f"SELECT * EXCLUDE ({items(spent)}), {items(weight_sums(is_float))} FROM ({records}) GROUP BY ALL"
    return f"SELECT * EXCLUDE ({items(sums)}), {items(weight_totals(is_float))} FROM ({grouped})"


def _check_weight(model: Model, weight: Any) -> str | None:
    if weight is None:
        return None
    if not isinstance(weight, str) or not weight.strip() or "\0" in weight:
        raise OptionError(f"weight is {weight!r}", remedy="it takes the name of a column, as text", option="weight")
    if weight.casefold() in {v.casefold() for v in model.variables}:
        raise OptionError(f"weight is {weight!r}, which is also the column of a variable", option="weight")
    return weight
