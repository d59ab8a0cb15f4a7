"""n(pattern): the engine that holds the records counts them, and only the counts come to Python.

DuckDB counts relations, tables, files and Arrow streams, polars its own frames; `labels.labelled` then takes both the
same way through the checks of weights, NULLs and values. SQL callers bring a counted relation to `split_relation`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.errors import (
    DuckEmccError,
    EmptyStudy,
    OptionError,
    RepeatedName,
    SourceError,
    UnsupportedColumn,
)
from duckemcc.study.columns import Columns, cause_name, match_columns
from duckemcc.study.labels import (
    LARGEST_WEIGHT,
    MOST_PATTERNS,
    SMALLEST_WEIGHT,
    Nulls,
    Tally,
    find_absent,
    has_labels,
    labelled,
)
from duckemcc.study.selection import Rule, check_dropped, read_rule
from duckemcc.study.spark import count_spark
from duckemcc.study.study import CSV, Study, names_of

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
_AS_TEXT = {"enum", "hugeint", "uhugeint", "sqlnull", "null", "uuid"}  # what polars would not take as it is


class CountTable(NamedTuple):
    """A counted study: one row per distinct pattern.

    frame:  for each variable a String column of labels, NULL where it was not recorded, then the `by` columns in their
            own types (none if shared), then ``count`` (Float64, > 0); sorted by variables and segments
    absent: the segments without a record that counts, if any
    local:  exogenous variables with a distribution of their own. rule: which records were kept; rows without a value
            (but of `do`) stand for dropped ones. shared: its records count in every segment
    """

    name: str
    do: tuple[str, ...]
    frame: pl.DataFrame
    local: tuple[str, ...] = ()
    rule: Rule | None = None
    shared: bool = False
    absent: pl.DataFrame | None = None


def count_study(
    study: Study,
    variables: Sequence[str],
    *,
    name: str,
    by: Sequence[str] = (),
    nulls: Nulls = "mar",
    unmeasured: Sequence[str] = (),
    causes: Sequence[str] = (),
) -> CountTable:
    """Count a study's records by the model's variables and the segments.

    unmeasured: variables that no study measures. causes: the model's exogenous variables, some of which may be local.
    nulls: "drop" leaves out records with a NULL in a measured variable, "error" refuses them; else they are counted.

    Raises, with the study's name: MissingColumn, UnknownName, RepeatedName (names), UnsupportedColumn (types),
    OptionError (where, selected, by), InvalidWeight, NullValue, EmptyStudy, StudyError (no dropped records), TooLarge
    (patterns), SourceError.
    """
    variables, by = checked_names(variables, () if study.shared else by)
    check_nulls(nulls)
    local = tuple(cause_name(u, causes, f"study {name!r} has local= for") for u in study.local)
    rule = None if study.selected is None else read_rule(study.selected, variables, name)
    latent = [v for v in variables if v in unmeasured]
    columns, frame = count_patterns(study, variables, name, by, latent)
    check_some(frame, study.where, f"study {name!r}")
    return tabulate(CountTable(name, columns.do, frame, local, rule, study.shared), columns, variables, by, nulls)


def tabulate(
    counted: CountTable, columns: Columns, variables: Sequence[str], by: tuple[str, ...], nulls: Nulls
) -> CountTable:
    """The same study with labels for the values that an engine counted: its frame is as in `Tally`. Raises what
    `count_study` raises of values."""
    tally = Tally(
        counted.name,
        columns.do,
        tuple(columns.variables),
        by,
        columns.variables,
        columns.weight or "",
        counted.frame,
        counted.rule is not None,
    )
    frame = with_unmeasured(labelled(tally, nulls), variables)
    if counted.rule is not None:
        check_dropped(tally)
    return counted._replace(frame=frame, absent=find_absent(tally, frame))


def count_patterns(
    study: Study,
    variables: tuple[str, ...],
    name: str,
    by: tuple[str, ...],
    latent: Sequence[str],
    own: Sequence[str] = (),
) -> tuple[Columns, pl.DataFrame]:
    """A row per distinct pattern, counted by the engine that holds the records; columns as in `Tally`, and emcc_<name>
    for those of `own` that are there."""
    if study.kind == "named":
        raise SourceError(
            f"{study.source!r} is the name of a table or a SELECT; give its connection with con=…, or a path that ends "
            "in .parquet or .csv. For another warehouse, counts_sql writes the query to run there."
        )
    counters = {"polars": _count_polars, "pandas": _count_pandas, "spark": count_spark, "adbc": _count_remote}
    count = counters.get(study.kind, _count_duckdb)
    with engine_errors(name, study):
        return count(study, variables, name, by, latent, own)


def check_some(frame: pl.DataFrame, where: str | None, what: str) -> None:
    if frame.is_empty():
        kept = f" that satisfy where={where!r}" if where else ""
        raise EmptyStudy(f"{what} has no records{kept}.")


def with_unmeasured(frame: pl.DataFrame, variables: Sequence[str]) -> pl.DataFrame:
    """A labelled frame with a column of NULLs for each variable that was not measured, variables first."""
    import polars as pl

    absent = [pl.lit(None, pl.String).alias(v) for v in variables if v not in frame.columns]
    return frame.with_columns(absent).select(*variables, pl.exclude(variables)) if absent else frame


def check_nulls(nulls: str) -> None:
    if nulls not in ("mar", "mcar", "drop", "error"):
        raise OptionError(f"nulls takes 'mar', 'mcar', 'drop' or 'error'; found {nulls!r}.")


def checked_names(variables: Sequence[str], by: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    variables = names_of("variables", variables)
    if not variables:
        raise OptionError("there is no variable to count by.")
    return variables, names_of("by", by)


@contextmanager
def engine_errors(name: str, study: Study) -> Iterator[None]:
    """Engines' own errors as SourceError; which packages they come from is told without importing them."""
    try:
        yield
    except DuckEmccError:
        raise
    except Exception as error:
        package = type(error).__module__.split(".")[0].lstrip("_")
        if "Interrupt" in type(error).__name__ or (
            package not in ("duckdb", "polars", "pyarrow", "pyspark", "py4j") and not isinstance(error, OSError)
        ):
            raise
        if type(error).__name__ == "ResourceInUseException":  # ending it would lose the user's rows
            raise SourceError(
                f"study {name!r} cannot be counted while its connection has an unfinished result; fetch that to its "
                "end first, or run it on a cursor of its own."
            ) from error
        asked = f" with where={study.where!r}" if study.where else ""
        raise SourceError(f"study {name!r} cannot be read{asked}: {str(error).strip().splitlines()[0]}") from error


def _count_remote(*asked: Any) -> tuple[Columns, pl.DataFrame]:
    from duckemcc.study.remote import count_remote

    return count_remote(*asked)


# -- DuckDB ------------------------------------------------------------------------------------


def _count_duckdb(
    study: Study,
    variables: tuple[str, ...],
    name: str,
    by: tuple[str, ...],
    latent: Sequence[str],
    own: Sequence[str],
) -> tuple[Columns, pl.DataFrame]:
    """Through the relation's own connection: a cursor would not see temporary tables and uncommitted rows."""
    import polars as pl

    from duckemcc.study import dialect

    relation, con = _open(study)
    found = _true_names(study, relation, con)
    types = {c: type_name(t) for c, t in zip(relation.columns, relation.types, strict=True)}
    columns = match_columns(study, name, variables, by, found, latent, own)
    used = {*columns.keys.values(), columns.weight or ""}
    if study.where is not None:
        tree = dialect.check_filter(study.where, found, f"study {name!r}")
        used |= dialect.filter_columns(tree)
        relation = relation.filter(dialect.filter_text(tree, {c for c, t in types.items() if t in INTEGERS}))
    _refuse_twins(name, used, found)
    check_types(name, columns, types)
    keys = columns.keys
    if columns.weight is None:
        relation = relation.project(dialect.projection(keys))
        sums, totals = ["COUNT(*) AS emcc_s0"], ["CAST(emcc_s0 AS DOUBLE) AS emcc_count", "emcc_s0 AS emcc_records"]
    else:
        is_float = types[columns.weight] in FLOATS
        relation = relation.project(dialect.projection({**keys, "emcc_weight": columns.weight}))
        relation = relation.project(", ".join([*keys, *dialect.weight_items(is_float)]))
        for i in range(dialect.PIECES if is_float else 0):
            relation = relation.project(", ".join(["* EXCLUDE (emcc_rest)" if i else "*", *dialect.piece_items(i)]))
        sums, totals = dialect.weight_sums(is_float), dialect.weight_totals(is_float)
    relation = relation.aggregate(", ".join([*keys, *sums]), ", ".join(keys))
    items = [f"CAST({k} AS VARCHAR) AS {k}" if types[c] in _AS_TEXT else k for k, c in keys.items()]
    relation = relation.project(", ".join([*items, *totals])).limit(MOST_PATTERNS + 1)
    frame = pl.from_arrow(relation.to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return columns, frame


def known_columns(study: Study) -> list[str]:
    """The columns of a source that tells them before it is read; of another, or a file that cannot be read, none."""
    source = study.source
    if study.kind == "polars":
        return list(source.lazy().collect_schema().names())
    if study.kind == "pandas":
        from duckemcc.study.pandas import column_names

        return column_names(source)
    if study.kind in ("relation", "arrow"):
        return list(getattr(source, "columns", ()) if study.kind == "relation" else _schema_names(source))
    if study.kind != "file":
        return []
    try:
        return list(_open(study)[0].columns)
    except Exception:  # told with the study's name when it is counted
        return []


def _schema_names(source: Any) -> Sequence[str]:
    return getattr(getattr(source, "schema", None), "names", ())


def _open(study: Study) -> tuple[Any, Any]:
    """The source as a relation, and its connection."""
    if study.kind == "relation":
        return study.source, None
    import duckdb

    con = study.con if study.con is not None else duckdb.connect()
    if study.kind == "table":
        return _table(con, study.source), con
    if study.kind == "file":
        path = _found_path(os.fspath(study.source))
        packed = path.lower().endswith(CSV)  # names are needed, so there must be a header: no guessing
        return (con.read_csv(path, header=True) if packed else con.read_parquet(path)), con
    import pyarrow as pa

    source = study.source
    if not isinstance(source, (pa.Table, pa.RecordBatchReader)):  # DuckDB 1.4 takes the stream of others only once
        source = pa.RecordBatchReader.from_stream(source)
    return con.from_arrow(source), con


def _table(emcc_con: Any, emcc_table: str) -> Any:
    """In a scope of its own: DuckDB would take a Python variable of this name for a missing table."""
    return emcc_con.table(emcc_table)


def _found_path(path: str) -> str:
    if "://" in path:
        return path
    if os.path.isfile(path):
        return glob.escape(path)
    if not glob.has_magic(path):
        raise SourceError(f"the file {path!r} does not exist.")
    if not glob.glob(path, recursive=True):
        raise SourceError(f"no file matches {path!r}.")
    return path


def _true_names(study: Study, relation: Any, con: Any) -> list[str]:
    """The columns as the source spells them: where two differ by case only, DuckDB renames the second (a, A_1)."""
    names: list[str] = relation.columns
    if not any(n.endswith("_1") for n in names):
        return names
    if study.kind == "arrow":
        return list(getattr(getattr(study.source, "schema", None), "names", names))
    if study.kind == "file":
        path = _found_path(os.fspath(study.source))
        if path.lower().endswith(CSV):
            return list(con.read_csv(path, header=False, all_varchar=True).limit(1).fetchall()[0])
        rows = con.sql("SELECT file_name, name FROM parquet_schema($1)", params=[path]).fetchall()
        inside = [name for file, name in rows if file == rows[0][0]]
        return inside if _twins(inside) else names
    return names


def _twins(names: Sequence[str]) -> set[str]:
    folded = [n.casefold() for n in names]
    return {n for n in names if folded.count(n.casefold()) > 1}


def _refuse_twins(name: str, used: set[str], found: Sequence[str]) -> None:
    if twins := sorted(_twins(found) & used):
        raise RepeatedName(
            f"study {name!r} has several columns called {twins[0]} but for upper and lower case; "
            "DuckDB cannot tell them apart, so rename one in the source."
        )


def type_name(duckdb_type: Any) -> str:
    return "json" if str(duckdb_type) == "JSON" else str(duckdb_type.id).strip('"').lower()


def check_types(name: str, columns: Columns, types: Mapping[str, str]) -> None:
    for variable, column in columns.variables.items():
        if types[column] not in _STATES:
            raise _unsupported(name, variable, column, types[column].upper())
    for segment, column in columns.by.items():
        if types[column] not in _STATES | _TIMES:
            raise _no_segment(name, segment, types[column].upper())
    if columns.weight and types[columns.weight] not in INTEGERS | FLOATS | {"decimal"}:
        raise _no_number(name, columns.weight, types[columns.weight].upper())


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


# -- pandas ------------------------------------------------------------------------------------


def _count_pandas(
    study: Study,
    variables: tuple[str, ...],
    name: str,
    by: tuple[str, ...],
    latent: Sequence[str],
    own: Sequence[str],
) -> tuple[Columns, pl.DataFrame]:
    """Counted by DuckDB, which gets the columns that are used as Arrow."""
    from duckemcc.study.pandas import as_arrow, column_names

    found = column_names(study.source)
    columns = match_columns(study, name, variables, by, found, latent, own)
    used = {*columns.keys.values(), columns.weight or ""}
    if study.where is not None:
        from duckemcc.study.dialect import check_filter, filter_columns

        used |= filter_columns(check_filter(study.where, found, f"study {name!r}"))
    _refuse_twins(name, used, [c for c in found if c in used])
    study = replace(study, source=as_arrow(study.source, used, name))
    return _count_duckdb(study, variables, name, by, latent, own)


# -- polars ------------------------------------------------------------------------------------


def _count_polars(
    study: Study,
    variables: tuple[str, ...],
    name: str,
    by: tuple[str, ...],
    latent: Sequence[str],
    own: Sequence[str],
) -> tuple[Columns, pl.DataFrame]:
    import polars as pl

    frame = study.source.lazy()
    schema = frame.collect_schema()
    columns = match_columns(study, name, variables, by, schema.names(), latent, own)
    check_dtypes(name, columns, schema)
    if study.where is not None:
        from duckemcc.study.dialect import check_filter, filter_text

        tree = check_filter(study.where, schema.names(), f"study {name!r}")
        text = filter_text(tree, {c for c, t in schema.items() if t.is_integer()})
        frame = frame.filter(pl.sql_expr(text))
    keys = columns.keys
    named = [pl.col(c).alias(k) for k, c in keys.items()]
    if columns.weight is None:
        counted = (
            frame.select(named).group_by(list(keys)).agg(emcc_count=pl.len().cast(pl.Float64), emcc_records=pl.len())
        )
    else:
        weighted = _weigh(frame.select(*named, pl.col(columns.weight).alias("emcc_weight")), schema[columns.weight])
        counted = _sum_weights(weighted, list(keys), schema[columns.weight].is_float())
    other = (pl.Categorical, pl.Enum, pl.Int128, pl.UInt128)  # what Arrow lacks, or has in another form
    as_text = [pl.col(k).cast(pl.String) for k, c in keys.items() if isinstance(schema[c], other)]
    return columns, counted.head(MOST_PATTERNS + 1).with_columns(as_text).collect(engine="streaming")


def check_dtypes(name: str, columns: Columns, schema: Mapping[str, pl.DataType]) -> None:
    for variable, column in columns.variables.items():
        if not has_labels(schema[column]):
            raise _unsupported(name, variable, column, str(schema[column]))
    for segment, column in columns.by.items():
        if not (has_labels(schema[column]) or schema[column].is_temporal()):
            raise _no_segment(name, segment, str(schema[column]))
    if columns.weight and not schema[columns.weight].is_numeric():
        raise _no_number(name, columns.weight, str(schema[columns.weight]))


def _weigh(frame: pl.LazyFrame, dtype: pl.DataType) -> pl.LazyFrame:
    """As `dialect.weight_items` and `piece_items` say it in SQL."""
    import polars as pl

    from duckemcc.study.dialect import PIECES, STEP

    weight, good, rest = pl.col("emcc_weight"), pl.col("emcc_good"), pl.col("emcc_rest")
    value = weight if dtype.is_decimal() else weight.cast(pl.Float64)
    possible = (value == 0) | value.is_between(SMALLEST_WEIGHT if dtype.is_float() else 0, int(LARGEST_WEIGHT))
    frame = frame.with_columns(emcc_is_bad=~possible.fill_null(False), emcc_good=value)
    frame = frame.with_columns(
        emcc_good=pl.when("emcc_is_bad").then(0).otherwise(good), emcc_bad_weight=pl.when("emcc_is_bad").then(weight)
    )
    if dtype.is_float():
        frame = frame.with_columns(emcc_rest=good)
        for i in range(PIECES):
            frame = frame.with_columns(rest.floor().alias(f"emcc_p{i}"), emcc_rest=(rest - rest.floor()) * STEP)
    return frame


def _sum_weights(frame: pl.LazyFrame, keys: list[str], is_float: bool) -> pl.LazyFrame:
    """As `dialect.weight_sums` and `weight_totals` say it in SQL."""
    import polars as pl

    from duckemcc.study.dialect import PIECES, STEP

    pieces = [f"emcc_p{i}" for i in range(PIECES)] if is_float else ["emcc_good"]
    summed = frame.group_by(keys).agg(
        *(pl.col(piece).sum().alias(f"emcc_s{i}") for i, piece in enumerate(pieces)),
        emcc_records=(pl.col("emcc_good") > 0).sum(),
        emcc_bad=pl.col("emcc_is_bad").sum(),
        emcc_example=pl.col("emcc_bad_weight").min().cast(pl.String),
    )
    parts = [pl.col(f"emcc_s{i}").cast(pl.Float64) / STEP**i for i in range(len(pieces))]
    return summed.with_columns(emcc_count=reduce(add, parts))
