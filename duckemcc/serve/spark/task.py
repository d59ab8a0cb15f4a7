"""What a Spark task does with the counts of its segments, and what is sent to it.

A task gets from the driver the patterns that occur in any segment, so that what it compiles is the same as for all
segments together, and its answers are those to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from duckemcc.answer.arrange import how_asked
from duckemcc.answer.bounds import answer, unanswered
from duckemcc.answer.compatibility import report
from duckemcc.answer.options import Clock, Options
from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS, make_table
from duckemcc.errors import StudyError, Timeout
from duckemcc.model.scm import Model
from duckemcc.query.syntax import Query
from duckemcc.study.encode import MOST_COUNTS
from duckemcc.study.labels import round_count
from duckemcc.study.literal import all_named
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

PLACE = "emcc_segment"
"""The column of a segment's number: the row of the task's table that has its values."""

TOGETHER = 1024
"""Segments compiled for at once, at most."""


class Work(Protocol):
    """From count tables with segments by `by` to an Arrow table that begins with them."""

    def __call__(
        self, model: Model, tables: Sequence[CountTable], by: tuple[str, ...], settings: Options, clock: Clock
    ) -> pa.Table: ...


@dataclass(frozen=True)
class Bounds:
    queries: tuple[tuple[str, Query], ...]

    def __call__(
        self, model: Model, tables: Sequence[CountTable], by: tuple[str, ...], settings: Options, clock: Clock
    ) -> pa.Table:
        try:
            return answer(model, tables, self.queries, by, settings, clock)
        except Timeout as late:
            if not by:
                return unanswered(self.queries, settings, late)
            places = _places(tables, by)
            told = how_asked(settings) | {"status": "timeout", "message": str(late)}
            rows = [told | {"query": text} for _ in range(places.height) for text, _ in self.queries]
            segments = [i for i in range(places.height) for _ in self.queries]
            return make_table(rows, COLUMNS, places, segments, {})


@dataclass(frozen=True)
class Report:
    """In a task, a report that takes too long is a row with a message."""

    def __call__(
        self, model: Model, tables: Sequence[CountTable], by: tuple[str, ...], settings: Options, clock: Clock
    ) -> pa.Table:
        try:
            return report(model, tables, by, settings, clock)
        except Timeout as late:
            if not by:
                raise
            places = _places(tables, by)
            rows = [{"message": str(late)}] * places.height
            return make_table(rows, STUDY_COLUMNS, places, range(places.height), {})


def _places(tables: Sequence[CountTable], by: tuple[str, ...]) -> pl.DataFrame:
    """The segments of a task."""
    import polars as pl

    frames = [f.select(all_named(by)) for t in tables for f in (t.frame, t.absent) if f is not None and not t.shared]
    return pl.concat(frames).unique().sort(all_named(by))


@dataclass(frozen=True)
class Counts:
    def __call__(
        self, model: Model, tables: Sequence[CountTable], by: tuple[str, ...], settings: Options, clock: Clock
    ) -> pa.Table:
        import polars as pl
        import pyarrow as pa

        every = (
            pl.concat([t.frame.select(all_named(by)) for t in tables if not t.shared]).unique().sort(all_named(by))
            if by
            else None
        )
        frames = []
        for table in tables:
            frame = table.frame.filter(pl.col("count") > 0)
            if every is not None and table.shared:
                frame = frame.join(every, how="cross")
            do = pl.lit(list(table.do), dtype=pl.List(pl.String)).alias("intervened")
            frames.append(
                frame.select(
                    *all_named(by), pl.lit(table.name).alias("study"), do, *all_named(model.variables), "count"
                )
            )
        found = pl.concat(frames).to_arrow(compat_level=pl.CompatLevel.oldest())
        types = {pa.large_string(): pa.string(), pa.large_list(pa.large_string()): pa.list_(pa.string())}
        return found.cast(pa.schema([(f.name, types.get(f.type, f.type)) for f in found.schema]))


@dataclass(frozen=True)
class Task:
    """Called by Spark with the counts of some segments; see `serve.spark`.

    model: with its states. tables: of all segments together. keys: emcc_key -> position of its table. by: what the
    result calls the segments' columns. spent: seconds of `max_seconds` that counting took.
    """

    model: Model
    tables: tuple[CountTable, ...]
    keys: Mapping[str, int]
    by: tuple[str, ...]
    settings: Options
    work: Work
    spent: float = 0.0

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import polars as pl
        import pyarrow as pa

        clock = Clock(self.settings.max_seconds)
        clock.begun -= self.spent
        received = list(batches)
        if not sum(batch.num_rows for batch in received):
            return
        rows = pa.Table.from_batches(received)
        segments = rows.select([f"emcc_b{i}" for i in range(len(self.by))])
        received_rows = self._placed(pl.from_arrow(rows), segments.column_names)
        places = received_rows[PLACE].unique().sort()
        parts = self._parts(received_rows)
        step = max(1, min(TOGETHER, MOST_COUNTS // max(t.frame.height for t in self.tables)))
        for first in range(0, len(places), step):
            some = places[first : first + step]
            tables = [self._table(t, parts.get(i), some) for i, t in enumerate(self.tables)]
            found = self.work(self.model, tables, (PLACE,), self.settings, clock)
            front = segments.take(found[PLACE].combine_chunks())
            names = [*self.by, *(n for n in found.column_names if n != PLACE)]
            columns = [*front.columns, *(found[n] for n in found.column_names if n != PLACE)]
            yield from pa.table(columns, names=names).combine_chunks().to_batches()

    def _placed(self, rows: Any, segments: Sequence[str]) -> pl.DataFrame:
        """The rows with their table and the place of their segment: variables, `PLACE` and count."""
        import polars as pl

        names = {f"emcc_v{i}": v for i, v in enumerate(self.model.variables)}
        place = pl.col("emcc_row").min().over(segments).cast(pl.Int64).alias(PLACE)
        table = pl.col("emcc_key").replace_strict(self.keys, return_dtype=pl.Int64).alias("emcc_table")
        rows = rows.with_row_index("emcc_row").select(table, place, *names, pl.col("emcc_count").alias("count"))
        return rows.rename(names)

    def _parts(self, rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
        """The rows that count of each table with segments."""
        import polars as pl

        counting = rows.filter(pl.col("count") > 0)
        parts = counting.partition_by("emcc_table", as_dict=True, include_key=False)
        return {int(key[0]): self._kept(self.tables[int(key[0])], part) for key, part in parts.items()}

    def _kept(self, table: CountTable, rows: pl.DataFrame) -> pl.DataFrame:
        """Equal patterns added up, as `labels.labelled` does; those that the driver left out (nulls="drop") are not."""
        import polars as pl

        variables = all_named(self.model.variables)
        known = rows.join(table.frame, on=variables, how="semi", nulls_equal=True)
        if known.height < rows.height and self.settings.nulls != "drop":
            raise StudyError(
                f"study {table.name!r} has patterns that it did not have before; its counts were lost", study=table.name
            )
        summed = known.group_by(*variables, PLACE).agg(pl.col("count").sum()).sort(*variables, PLACE)
        count = pl.Series("count", [round_count(c) for c in summed["count"].to_list()], dtype=pl.Float64)
        return summed.with_columns(count)

    def _table(self, whole: CountTable, rows: pl.DataFrame | None, places: pl.Series) -> CountTable:
        """The table of some segments, with all its patterns: those that do not occur have count zero."""
        import polars as pl

        if whole.shared:
            return whole
        order = all_named([*self.model.variables, PLACE, "count"])
        blank = whole.frame.with_columns(pl.lit(places[0], pl.Int64).alias(PLACE), pl.lit(0.0).alias("count"))
        own = [] if rows is None else [rows.filter(pl.col(PLACE).is_in(places.implode())).select(order)]
        frame = pl.concat([blank.select(order), *own])
        return whole._replace(frame=frame, absent=pl.DataFrame({PLACE: places}))
