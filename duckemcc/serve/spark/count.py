"""Counting for `serve.spark`: by patterns and segments, kept in the cluster, and checked on the driver.

What must hold of all segments together (names, weights, NULLs, states, rules) is checked by the code that checks local
studies, which gets the counts without segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.api import count_studies
from duckemcc.answer.options import Clock, Options
from duckemcc.answer.plan import prepare
from duckemcc.errors import SourceError, given
from duckemcc.model.scm import Model
from duckemcc.study.columns import Wanted
from duckemcc.study.count.read import engine_errors
from duckemcc.study.count.relation import OWN, Studies, check_names
from duckemcc.study.count.spark import Grouped, collect, group_records, label_column, stopped_by
from duckemcc.study.encode import encode
from duckemcc.study.labels import Tally
from duckemcc.study.selection import check_dropped
from duckemcc.study.study import Study, name_studies
from duckemcc.study.table import CountTable
from duckemcc.study.watch import Watch

if TYPE_CHECKING:
    import polars as pl

Source = Study | Studies


def records_of(source: Source) -> Study:
    return source.records if isinstance(source, Studies) else source


class Counted(NamedTuple):
    """tables: of all studies, all segments together. keys: value of emcc_key -> position of its table.
    rows: a Spark DataFrame with emcc_key, a label column emcc_v0.. for each variable, emcc_b0.. and emcc_count; None
    where all are shared. segments: for each table a frame without rows that has the segments' types, or None if shared
    """

    tables: list[CountTable]
    keys: dict[str, int]
    rows: Any
    segments: list[pl.DataFrame | None]


def count_segments(
    sources: Sequence[Source], model: Model, settings: Options, by: tuple[str, ...], clock: Clock
) -> Counted:
    names = iter(name_studies([s for s in sources if isinstance(s, Study)]))
    tables: list[CountTable] = []
    keys: dict[str, int] = {}
    parts: list[Any] = []
    segments: list[pl.DataFrame | None] = []
    for number, one in enumerate(sources):
        source = replace(one, name=next(names)) if isinstance(one, Study) else one
        if records_of(source).shared:
            tables += count_studies(model, [source], settings, (), clock)
            segments += [None] * (len(tables) - len(segments))
            continue
        grouped = _group(source, model, by, clock.watch)
        found = count_studies(model, [_from(source, grouped)], settings, (), clock)
        with engine_errors("studies" if isinstance(source, Studies) else found[0].name, records_of(source)):
            if found[0].rule is not None:
                _check_dropped(found[0], grouped, by)
            positions = _positions(grouped, model, number)
            keys |= {key: len(tables) + position for key, position in positions.items()}
            parts.append(_rows(grouped, model, number))
            segments += [_head(grouped, by)] * len(found)
        tables += found
    check_names(tables)
    rows = reduce(lambda one, other: one.unionByName(other), parts) if parts else None
    return Counted(tables, keys, rows, segments)


def _segment_keys(by: Sequence[str]) -> list[str]:
    return [f"emcc_b{i}" for i in range(len(by))]


def _head(grouped: Grouped, by: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(schema={b: grouped.dtypes[key] for b, key in zip(by, _segment_keys(by), strict=True)})


def _group(source: Source, model: Model, by: tuple[str, ...], watch: Watch) -> Grouped:
    """Counted by patterns and segments, now."""
    records = records_of(source)
    name, own = ("studies", OWN) if isinstance(source, Studies) else (str(source.name), ())
    if records.kind != "spark":
        raise SourceError(
            f"study {name!r} is not in Spark, and has segments by {', '.join(by)}",
            remedy="give a Spark DataFrame or the name of a table with con=spark, or say " + given("shared", True),
            study=name,
        )
    latent = [v for v in model.variables if v in model.unmeasured]
    with engine_errors(name, records):
        grouped = group_records(Wanted(records, name, model.variables, by, latent, own))
        with stopped_by(watch, grouped.frame.sparkSession):
            return grouped.kept()


def _from(source: Source, grouped: Grouped) -> Source:
    """The same source, counted already."""
    whole = grouped.without_segments()
    if isinstance(source, Study):
        return replace(source, source=whole, con=None)
    records = source.records
    return Studies(whole, weight=records.weight, where=records.where, columns=records.columns)


def _positions(grouped: Grouped, model: Model, number: int) -> dict[str, int]:
    """The values of emcc_key, and the positions of their tables among the source's, in `split_relation`'s order."""
    own = [f"emcc_{name}" for name in grouped.columns.own]
    if not own:
        return {f"{number} ": 0}
    found = collect(grouped.frame.select(*own, _key(grouped, number).alias("emcc_key")).distinct())
    arms = {}
    for row in found.iter_rows(named=True):
        do = {name.casefold() for name in row.get("emcc_intervened") or ()}
        arms[row["emcc_key"]] = str(row.get("emcc_study")), tuple(v for v in model.variables if v.casefold() in do)
    order = sorted(set(arms.values()))
    return {key: order.index(arm) for key, arm in arms.items()}


def _key(grouped: Grouped, number: int) -> Any:
    """Which source, and which of its studies."""
    from pyspark.sql import functions

    own = functions.to_json(functions.struct(*(f"emcc_{name}" for name in grouped.columns.own)))
    return functions.concat(functions.lit(f"{number} "), own if grouped.columns.own else functions.lit(""))


def _rows(grouped: Grouped, model: Model, number: int) -> Any:
    """The counts, alike for all sources: values as labels."""
    from pyspark.sql import functions

    place = {v: f"emcc_v{i}" for i, v in enumerate(grouped.columns.variables)}
    labels = [
        (label_column(functions.col(place[v]), grouped.types[place[v]]) if v in place else functions.lit(None))
        .cast("string")
        .alias(f"emcc_v{i}")
        for i, v in enumerate(model.variables)
    ]
    key, segments = _key(grouped, number).alias("emcc_key"), _segment_keys(tuple(grouped.columns.by))
    return grouped.frame.select(key, *labels, *segments, "emcc_count")


# -- checks ------------------------------------------------------------------------------------


def check_segments(counted: Counted, model: Model, settings: Options, by: tuple[str, ...]) -> Model:
    """The model with its states, after every check of all studies and segments together."""
    model = model.with_states(prepare(model, counted.tables, (), settings).encoded.states)
    heads = [
        table._replace(frame=table.frame.clear() if types is None else table.frame.clear().hstack(types))
        for table, types in zip(counted.tables, counted.segments, strict=True)
    ]
    encode(heads, model.states, by)
    return model


def _check_dropped(table: CountTable, grouped: Grouped, by: tuple[str, ...]) -> None:
    """In every segment and arm it is known how many records were dropped."""
    from pyspark.sql import functions

    place = {v: f"emcc_v{i}" for i, v in enumerate(grouped.columns.variables)}
    free = [functions.col(key) for v, key in place.items() if v not in table.do]
    is_kept = functions.when(functions.coalesce(*(c.cast("string") for c in free)).isNotNull(), "kept")
    arms = [functions.col(place[v]).alias(f"emcc_v{i}") for i, v in enumerate(table.do)]
    others = [c for c in ("emcc_count", "emcc_bad") if c in grouped.frame.columns]
    sides = grouped.frame.select(*arms, is_kept.alias(f"emcc_v{len(arms)}"), *_segment_keys(by), *others)
    keys = [c for c in sides.columns if c not in others]
    frame = collect(sides.groupBy(*keys).agg(*(functions.sum(c).alias(c) for c in others)))
    check_dropped(Tally(table.name, table.do, (*table.do, "a value"), by, {}, "", frame, True))
