"""n(pattern) in Spark: one GROUP BY where the records are, as the other engines' modules say it to DuckDB and polars.

No SQL is written: columns of the source are renamed by their position first, so that no name needs quotes, and a
user's condition becomes columns of the DataFrame API (`spark_filter`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from duckemcc.errors import RepeatedName
from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.times import check_times
from duckemcc.study.count.types import FLOATS, SPARK_INTEGERS, check_dtypes
from duckemcc.study.labels import LARGEST_WEIGHT, MOST_PATTERNS, SMALLEST_WEIGHT
from duckemcc.study.watch import Watch, unwatched

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Grouped:
    """Records that Spark has counted (or will), a source of records in its turn.

    columns: of the source. types: of emcc_v0.. and emcc_b0.., as Spark calls them. dtypes: as polars calls them
    frame: a Spark DataFrame with the columns of `Tally`, and emcc_<name> for those of `columns.own`
    """

    columns: Columns
    types: dict[str, str]
    dtypes: dict[str, pl.DataType]
    frame: Any

    def kept(self) -> Grouped:
        """The same, counted now; Spark forgets the counts when nothing refers to them any more."""
        return replace(self, frame=self.frame.localCheckpoint())

    def without_segments(self) -> Grouped:
        """The counts of all segments together."""
        functions = _functions()
        keys = [k for k in self.columns.keys if not k.startswith("emcc_b")]
        totals = [c for c in ("emcc_count", "emcc_records", "emcc_bad") if c in self.frame.columns]
        sums = [functions.sum(c).alias(c) for c in totals]
        sums += [functions.min(c).alias(c) for c in self.frame.columns if c == "emcc_example"]
        columns = self.columns._replace(by={})
        return replace(self, columns=columns, frame=self.frame.groupBy(*keys).agg(*sums))


def count_spark(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """The counts, brought to the driver."""
    source = wanted.study.source
    grouped = source if isinstance(source, Grouped) else group_records(wanted)
    with stopped_by(wanted.watch, grouped.frame.sparkSession):
        found = collect(grouped.frame.limit(MOST_PATTERNS + 1))
    check_times(wanted.name, grouped.columns, found)
    return grouped.columns, found


@contextmanager
def stopped_by(watch: Watch, session: Any) -> Iterator[None]:
    """What Spark does inside, and nothing else of the session's, is stopped when the time is over."""
    if watch is unwatched:
        yield
        return
    tag = f"duckemcc-{uuid4().hex}"
    session.addTag(tag)
    try:
        with watch(lambda: session.interruptTag(tag)):
            yield
    finally:
        session.removeTag(tag)


def collect(frame: Any) -> pl.DataFrame:
    """A Spark DataFrame as a polars one."""
    import polars as pl

    found = pl.from_arrow(frame.toArrow())
    assert isinstance(found, pl.DataFrame)
    return found


def group_records(wanted: Wanted) -> Grouped:
    """The counting query of a study, not yet run. Raises of names, types and `where` what `count_study` raises."""
    functions = _functions()
    study = wanted.study
    source = study.con.table(study.source) if isinstance(study.source, str) else study.source
    found = list(source.columns)
    columns, condition, used = wanted.match(found)
    place = {c: f"emcc_c{i}" for i, c in enumerate(found)}
    source = source.toDF(*(f"emcc_c{i}" for i in range(len(found))))
    types = {c: kind for c, (_, kind) in zip(found, source.dtypes, strict=True)}
    if condition is not None:
        from duckemcc.study.count.spark_filter import filter_column
        from duckemcc.study.dialect import fitted

        zoned = {c: "timestamp with time zone" if kind == "timestamp" else kind for c, kind in types.items()}
        condition = fitted(f"study {wanted.name!r}", study.where, condition, zoned)
        source = source.filter(filter_column(condition, {c: functions.col(p) for c, p in place.items()}, types))
    _refuse_doubles(wanted.name, used, found)
    counted = {c for c in {*columns.keys.values(), columns.weight} if c}
    schema = collect(source.select(*(place[c] for c in counted)).limit(0)).schema
    dtypes = {c: schema[place[c]] for c in counted}
    check_dtypes(wanted.name, columns, dtypes)
    keys = {k: _plain(functions.col(place[c]), types[c]).alias(k) for k, c in columns.keys.items()}
    if columns.weight is None:
        grouped = source.select(*keys.values()).groupBy(*keys).agg(functions.count("*").alias("emcc_records"))
        grouped = grouped.withColumn("emcc_count", functions.col("emcc_records").cast("double"))
    else:
        weight = functions.col(place[columns.weight]).alias("emcc_weight")
        grouped = _sum_weights(source.select(*keys.values(), weight), list(keys), types[columns.weight])
    kinds = {k: (types[c], dtypes[c]) for k, c in columns.keys.items()}
    return Grouped(columns, {k: t for k, (t, _) in kinds.items()}, {k: t for k, (_, t) in kinds.items()}, grouped)


def label_column(column: Any, kind: str) -> Any:
    """`labels.label_series` in Spark, for values that it has labels for."""
    if kind in FLOATS:
        column = column.cast("bigint")
    elif kind.startswith("decimal"):
        column = column.cast("decimal(38,0)")
    return column.cast("string")


def _functions() -> Any:
    from pyspark.sql import functions

    return functions


def _plain(column: Any, kind: str) -> Any:
    """Without collation, which would merge a and A; a column without a type is text."""
    return column.cast("string") if kind.startswith("string") or kind == "void" else column


def _refuse_doubles(name: str, used: set[str], found: Sequence[str]) -> None:
    for column in sorted(used):
        if found.count(column) > 1:
            raise RepeatedName(
                f"study {name!r} has {found.count(column)} columns called {column}", remedy="rename one", study=name
            )


# -- weights -----------------------------------------------------------------------------------


def _sum_weights(records: Any, keys: list[str], kind: str) -> Any:
    """As `dialect.weight_items`, `piece_items`, `weight_sums` and `weight_totals` say it in SQL.

    Every sum is one of whole numbers, and exact, so that partitions cannot change a total. So that it cannot overflow
    either, a whole part is summed as multiples of 2^24 and the rest.
    """
    from duckemcc.study.dialect import PIECES, STEP

    functions = _functions()
    weight, good = functions.col("emcc_weight"), functions.col("emcc_good")
    is_float, is_whole = kind in FLOATS, kind in SPARK_INTEGERS
    value = weight.cast("double") if is_float else weight.cast("bigint") if is_whole else weight
    least = SMALLEST_WEIGHT if is_float else 0
    possible = functions.coalesce((value == 0) | value.between(least, int(LARGEST_WEIGHT)), functions.lit(False))
    records = records.select(
        *keys,
        functions.when(possible, value).otherwise(functions.lit(0)).alias("emcc_good"),
        functions.when(~possible, weight).alias("emcc_bad_weight"),
        (~possible).alias("emcc_is_bad"),
    )
    rest, pieces = good, []
    for _ in range(PIECES if is_float else 0):
        pieces.append(functions.floor(rest))
        rest = (rest - pieces[-1]) * functions.lit(STEP)
    whole = pieces[0] if is_float else good
    exact = [functions.shiftright(whole, 24), whole.bitwiseAND(2**24 - 1), *pieces[1:]] if is_float or is_whole else []
    sums = [functions.sum(piece).alias(f"emcc_s{i}") for i, piece in enumerate(exact or [good])]
    scales = [STEP, *(STEP**-i for i in range(PIECES))]
    total = reduce(
        add,
        [functions.col(f"emcc_s{i}").cast("double") * (scales[i] if exact else 1.0) for i in range(len(sums))],
    )
    if not exact:  # decimals of 38 digits may overflow, which without ANSI is NULL
        too_much = functions.raise_error(functions.lit("the sum of the weights has more than 38 digits"))
        total = functions.coalesce(total, too_much.cast("double"))
    return (
        records.groupBy(*keys)
        .agg(
            *sums,
            functions.count(functions.when(good > 0, 1)).alias("emcc_records"),
            functions.count(functions.when(functions.col("emcc_is_bad"), 1)).alias("emcc_bad"),
            functions.min("emcc_bad_weight").cast("string").alias("emcc_example"),
        )
        .select(*keys, total.alias("emcc_count"), "emcc_records", "emcc_bad", "emcc_example")
    )
