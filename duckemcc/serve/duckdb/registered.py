"""Registered studies: the SQL by which they are counted, and their counts as Python would have counted them.

Each study is counted by itself, as its columns have types of their own; values meet as labels only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from duckemcc.errors import DuckEmccError, OptionError, SourceError, StudyError, placing
from duckemcc.model.scm import Model
from duckemcc.serve.duckdb.counting import Where, columns_sql, patterns_sql, segment_order
from duckemcc.serve.duckdb.sources import quote, registered_sql, source_sql
from duckemcc.serve.duckdb.stored import Registered
from duckemcc.study.columns import Columns, match_columns
from duckemcc.study.count.read import check_some, tabulate
from duckemcc.study.count.types import AS_TEXT, FLOATS, HUGE, INTEGERS, check_types, column_type
from duckemcc.study.labels import MOST_PATTERNS, Nulls
from duckemcc.study.literal import named
from duckemcc.study.names import cause_name, find_column
from duckemcc.study.selection import Rule, read_rule
from duckemcc.study.study import Study
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import polars as pl


def check_registered(
    study: Registered,
    model: Model,
    types: Mapping[str, str] | None = None,
) -> Registered:
    """The study, with the types of its source's columns, in their order, if these are given.

    Raises what `count_study` raises of a study that does not fit the model, before anything is counted.
    """
    with placing(study=study.name):
        return _check_registered(study, model, types)


def _check_registered(study: Registered, model: Model, types: Mapping[str, str] | None) -> Registered:
    source_sql(study.source)
    _own_parts(study, model)
    for column in (*study.columns.values(), *([study.weight] if study.weight else [])):
        if column.casefold().startswith("emcc_"):
            raise OptionError(
                f"study {study.name!r} has the column {column}; in SQL, names in emcc_ are taken", study=study.name
            )
    if types is None:
        _check_names(study, model)
        return study
    from duckemcc.study.dialect import check_filter, fitted

    matched = match_columns(study, study.name, model.variables, (), list(types), model.unmeasured)
    check_types(study.name, matched, types)
    if study.where is not None:
        tree = check_filter(study.where, list(types), f"study {study.name!r}")
        fitted(f"study {study.name!r}", study.where, tree, types)
    return replace(study, types=dict(types))


def _check_names(study: Registered, model: Model) -> None:
    """The names of variables in it, when its columns are not at hand."""
    columns = [study.columns.get(v, v) for v in model.variables if v not in model.unmeasured]
    mapped = {c.casefold(): c for c in (*columns, *study.columns.values(), *([study.weight] if study.weight else []))}
    match_columns(study, study.name, model.variables, (), list(mapped.values()), model.unmeasured)


def _own_parts(study: Registered, model: Model) -> tuple[tuple[str, ...], Rule | None]:
    causes = [u.name for u in model.exogenous]
    local = tuple(cause_name(u, causes, f"study {study.name!r} has local= for") for u in study.local)
    return local, None if study.selected is None else read_rule(study.selected, model.variables, study.name)


# -- the SQL -----------------------------------------------------------------------------------


def write_registered_sql(
    model: Model, studies: Sequence[Registered], by: Sequence[str] = (), home: str | None = None
) -> str:
    """A query of one row: studies STRUCT(s0 STRUCT(columns, patterns), …), in this order; keys STRUCT[], the segments
    in theirs, NULL without `by`.

    columns and patterns are as in `write_counts_sql`; a pattern has the number of its segment besides, from 1, unless
    it is of a shared study. Raises what reading a source or a condition raises.
    """
    for study in studies:
        _check_said(study)
    _check_kinds(studies, by)
    keys = {f"emcc_b{i}": name for i, name in enumerate(by)}
    tables = []
    for study in studies:
        with placing(study=study.name):
            tables.append(_study_sql(study, model, {} if study.shared else keys, home))
    apart = [i for i, study in enumerate(studies) if by and not study.shared]
    common = [f"emcc_counted_{i} AS MATERIALIZED ({sql})" for i, sql in enumerate(tables)]
    if apart:
        union = " UNION ALL ".join(f"SELECT {', '.join(keys)} FROM emcc_counted_{i}" for i in apart)
        numbered = (
            f"SELECT *, row_number() OVER (ORDER BY {segment_order([*keys])}) AS emcc_segment "
            f"FROM (SELECT DISTINCT * FROM ({union}))"
        )
        common.append(f"emcc_keys AS MATERIALIZED ({numbered})")
    cells = ", ".join(
        f"s{i} := struct_pack(columns := {columns_sql(registered_sql(study.source, home))}, "
        f"patterns := {_list_sql(i, keys if i in apart else {})})"
        for i, study in enumerate(studies)
    )
    segment = ", ".join(f"{quote(name)} := {key}" for key, name in keys.items())
    none = "NULL::STRUCT(emcc_segment BIGINT)[]"  # typed, for what is made of it is bound before it is refused
    listed = f"(SELECT list(struct_pack({segment}) ORDER BY emcc_segment) FROM emcc_keys)" if apart else none
    return f"WITH {', '.join(common)} SELECT struct_pack({cells}) AS studies, {listed} AS keys"


def _check_said(study: Registered) -> None:
    """What `Study` takes, of a row that may be written by hand. Raises a `DuckEmccError` with the study's name."""
    said = {k: getattr(study, k) for k in ("do", "weight", "columns", "unmeasured", "local", "selected", "where")}
    try:
        Study("study.parquet", name=study.name, **said)
    except DuckEmccError as wrong:
        raise wrong.placed(f"study {study.name!r} of the catalog", study=study.name) from wrong.__cause__


def _study_sql(study: Registered, model: Model, keys: Mapping[str, str], home: str | None) -> str:
    absent = {v.casefold() for v in (*model.unmeasured, *study.unmeasured)}
    mapped = {v.casefold(): column for v, column in study.columns.items()}
    names = [mapped.get(v.casefold(), v) for v in model.variables if v.casefold() not in absent]
    where = None if study.where is None else _read_where(study, study.where)
    kind = None if study.weight is None else _known_type(study, study.weight)
    is_float = kind not in INTEGERS | {"decimal"}  # also what is no number, which is told when its type is read
    source = registered_sql(study.source, home)
    sql = patterns_sql(source, names, keys, study.weight, where=where, is_float=is_float)
    return f"{sql} LIMIT {MOST_PATTERNS + 1}"


def _read_where(study: Registered, text: str) -> Where:
    from sqlglot import exp

    from duckemcc.study.dialect import check_condition, filter_text, fitted

    try:
        tree = check_condition(text, list(study.types))
    except OptionError as wrong:  # of a row that was written by hand
        raise wrong.placed(f"study {study.name!r}", study=study.name) from wrong.__cause__
    tree = fitted(f"study {study.name!r}", text, tree, study.types)
    names = {name: f"emcc: where {i}" for i, name in enumerate(sorted({c.name for c in tree.find_all(exp.Column)}))}
    for column in tree.find_all(exp.Column):
        column.set("this", exp.to_identifier(names[column.name], quoted=True))
    integers = {names[c] for c in names if study.types.get(c, "integer") in INTEGERS}  # any may be one
    return Where(f"({filter_text(tree, integers)})", {ours: name for name, ours in names.items()})


def _list_sql(i: int, keys: Mapping[str, str]) -> str:
    table = f"emcc_counted_{i}"
    if keys:
        same = " AND ".join(f"{table}.{key} IS NOT DISTINCT FROM emcc_keys.{key}" for key in keys)
        table = f"(SELECT {table}.* EXCLUDE ({', '.join(keys)}), emcc_segment FROM {table} JOIN emcc_keys ON {same})"
    return f"(SELECT list(emcc_pattern ORDER BY emcc_pattern) FROM {table} AS emcc_pattern)"


# -- the counts --------------------------------------------------------------------------------


def read_counted(
    counted: Any, studies: Sequence[Registered], model: Model, by: Sequence[str], nulls: Nulls, place: str
) -> list[CountTable]:
    """The count tables of `write_registered_sql`'s studies, an Arrow STRUCT of one row; segments by their number.

    place: what the column of that number is called. Raises what `count_study` raises, `SourceError` for a source that
    has changed since the study was registered.
    """
    tables = []
    for i, study in enumerate(studies):
        cell = counted.field(f"s{i}")
        with placing(study=study.name):
            tables.append(_read_study(cell, study, model, by, nulls, place))
    return tables


def _read_study(cell: Any, study: Registered, model: Model, by: Sequence[str], nulls: Nulls, place: str) -> CountTable:
    types = {row["name"]: column_type(row["type"]) for row in cell.field("columns")[0].as_py()}
    segments = () if study.shared else tuple(by)
    columns = match_columns(study, study.name, model.variables, segments, list(types), model.unmeasured)
    check_types(study.name, columns, types)
    _check_unchanged(study, types)
    return _tabulate(study, model, columns, _patterns(cell.field("patterns")), by, nulls, place)


def _tabulate(
    study: Registered,
    model: Model,
    columns: Columns,
    patterns: pl.DataFrame,
    by: Sequence[str],
    nulls: Nulls,
    place: str,
) -> CountTable:
    import polars as pl

    check_some(patterns, study.where, f"study {study.name!r}")
    local, rule = _own_parts(study, model)
    shared = study.shared and bool(by)
    if not by:
        patterns = patterns.with_columns(emcc_segment=pl.lit(1))
    values = [named(c).alias(f"emcc_v{i}") for i, c in enumerate(columns.variables.values())]
    counts = ["emcc_count", "emcc_records", "emcc_bad", "emcc_example"] if study.weight else ["emcc_count"]
    frame = patterns.select(
        *values, *([] if shared else [pl.col("emcc_segment").cast(pl.Int64).alias("emcc_b0")]), *counts
    )
    if not study.weight:
        frame = frame.with_columns(emcc_records=pl.col("emcc_count"))
    counted = CountTable(study.name, columns.do, frame, local, rule, shared)
    return tabulate(counted, columns, model.variables, () if shared else (place,), nulls)


def _patterns(found: Any) -> pl.DataFrame:
    import polars as pl

    values = pl.from_arrow(found)
    assert isinstance(values, pl.Series)
    return values.rename("pattern").explode().drop_nulls().struct.unnest()


def _known_type(study: Registered, column: str) -> str | None:
    """The type of a column when the study was registered; none is known of a study that was added by hand."""
    return next((kind for name, kind in study.types.items() if name.casefold() == column.casefold()), None)


def _check_unchanged(study: Registered, types: Mapping[str, str]) -> None:
    """Whether what was written for the types at registration means the same for those of now."""
    from duckemcc.study.dialect import check_condition, filter_columns

    used = filter_columns(check_condition(study.where)) if study.where is not None else set()
    for column in sorted(used | ({study.weight} if study.weight is not None else set())):
        known = _known_type(study, column)
        now = types[find_column(f"study {study.name!r}", column, f"name {column}", list(types))]
        if known is not None and any((known in kinds) != (now in kinds) for kinds in (INTEGERS, FLOATS)):
            raise SourceError(
                f"study {study.name!r}: the column {column} was {known.upper()} when the study was registered, and is "
                f"{now.upper()} now",
                remedy="register it again with save_study(…, replace=True)",
                study=study.name,
            )


def _check_kinds(studies: Sequence[Registered], by: Sequence[str]) -> None:
    """As for studies in Python: segments of different types are not the same. Raises `StudyError`."""
    for b in by:
        known = ((study.name, _known_type(study, b)) for study in studies if not study.shared)
        found = {name: kind for name, kind in known if kind is not None}
        if len({_kind(kind) for kind in found.values()} - {None}) > 1:
            said = "; ".join(f"{name} has {kind.upper()}" for name, kind in found.items())
            raise StudyError(
                f"the studies' segments by {b} are of different types: {said}", remedy="Cast them alike", option="by"
            )


def _kind(kind: str) -> str | None:
    if kind in ("sqlnull", "null"):
        return None
    if kind in (AS_TEXT - HUGE) | {"varchar"}:
        return "text"
    if kind in INTEGERS | FLOATS | {"decimal"}:
        return "number"
    if kind.startswith("timestamp"):
        return "instant" if kind.startswith("timestamptz") or kind.endswith("zone") else "timestamp"
    return kind
