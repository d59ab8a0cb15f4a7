"""n(pattern) in polars: its own frames, counted by one group_by that says what `dialect` says in SQL."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from functools import reduce
from operator import add
from threading import Event
from typing import TYPE_CHECKING, Any

from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.duckdb import count_duckdb
from duckemcc.study.count.times import check_times
from duckemcc.study.count.types import check_dtypes
from duckemcc.study.labels import LARGEST_WEIGHT, MOST_PATTERNS, SMALLEST_WEIGHT, as_numbers
from duckemcc.study.literal import all_named, named
from duckemcc.study.watch import Watch, unwatched

if TYPE_CHECKING:
    import polars as pl

_FIRST, _LAST = 1e-4, 0.02  # seconds between two looks at a query that runs in the background


def count_polars(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """Lazily, by the streaming engine."""
    import polars as pl

    frame = wanted.study.source.lazy()
    schema = frame.collect_schema()
    columns, condition, used = wanted.match(schema.names())
    if any(isinstance(schema[c], pl.BaseExtension) for c in used):  # from a database: read as it is from Arrow
        chosen = frame.select(all_named(c for c in schema.names() if c in used))
        found = _collect(chosen, wanted.watch)
        return count_duckdb(wanted._replace(study=replace(wanted.study, source=found.to_arrow())))
    check_dtypes(wanted.name, columns, schema)
    place = {c: f"emcc_c{i}" for i, c in enumerate(c for c in schema.names() if c in used)}
    frame = frame.select(named(c).alias(p) for c, p in place.items())
    if condition is not None:
        from duckemcc.study.dialect import filter_text, fitted

        kinds = {c: str(schema[c]) for c in used}
        condition = fitted(f"study {wanted.name!r}", wanted.study.where, condition, kinds)
        text = filter_text(condition, {c for c, t in schema.items() if t.is_integer()}, place)
        frame = frame.filter(pl.sql_expr(text))
    keys = columns.keys
    grouped = [pl.col(place[c]).alias(k) for k, c in keys.items()]
    if columns.weight is None:
        counted = (
            frame.select(grouped).group_by(list(keys)).agg(emcc_count=pl.len().cast(pl.Float64), emcc_records=pl.len())
        )
    else:
        weighted = _weigh(
            frame.select(*grouped, pl.col(place[columns.weight]).alias("emcc_weight")), schema[columns.weight]
        )
        counted = _sum_weights(weighted, list(keys), schema[columns.weight].is_float())
    other = (pl.Categorical, pl.Enum, pl.Int128, pl.UInt128)  # what Arrow lacks, or has in another form
    as_text = [pl.col(k).cast(pl.String) for k, c in keys.items() if isinstance(schema[c], other)]
    huge = [k for k, c in keys.items() if k.startswith("emcc_b") and isinstance(schema[c], (pl.Int128, pl.UInt128))]
    found = _collect(counted.head(MOST_PATTERNS + 1).with_columns(as_text), wanted.watch)
    check_times(wanted.name, columns, found)
    return columns, found.with_columns(as_numbers(found[k]) for k in huge)


def _collect(query: pl.LazyFrame, watch: Watch) -> pl.DataFrame:
    """polars does not stop when it is told to: what is too late goes on by itself, and is not waited for."""
    if watch is unwatched:
        return query.collect(engine="streaming")
    running, stopped = query.collect(engine="streaming", background=True), Event()
    with watch(stopped.set):
        pause = _FIRST
        while (found := running.fetch()) is None:
            pause = min(2 * pause, _LAST)
            if stopped.wait(pause):
                _leave_behind(running)
                raise TimeoutError  # told by the watch
    return found


_left: list[Any] = []


def _leave_behind(query: Any) -> None:
    """A query that nobody waits for. polars ends the process if its handle is gone when it is done, so that is never
    freed; its result is, with the next query that is left."""
    query.cancel()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(query))
    _left[:] = [other for other in _left if other.fetch() is None]
    _left.append(query)


def _weigh(frame: pl.LazyFrame, dtype: pl.DataType) -> pl.LazyFrame:
    """As `dialect.weight_items` and `piece_items` say it in SQL."""
    import polars as pl

    from duckemcc.study.dialect import PIECES, STEP

    weight, good, rest = pl.col("emcc_weight"), pl.col("emcc_good"), pl.col("emcc_rest")
    value = weight if dtype.is_decimal() else weight.cast(pl.Float64)
    number = weight.cast(pl.Float64)  # no decimal with 23 digits after the point is 1e15
    possible = (number == 0) | number.is_between(SMALLEST_WEIGHT if dtype.is_float() else 0, LARGEST_WEIGHT)
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
