"""What DuckDB calls behind emcc(…), the aggregate: one answer per group, as if the other groups were left out.

Groups arrive up to 2 048 at a time. Those in which the same studies were made and the same values occur learn the same
states, so they are the segments of one call; each is answered as it would be alone. What only the records of one group
cannot bear is the answer of that group, by its status, and no error of the whole call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.arrange import how_asked
from duckemcc.answer.bounds import NO_RECORDS, answer
from duckemcc.answer.options import Clock, Options
from duckemcc.answer.schema import COLUMNS, make_table
from duckemcc.errors import (
    DuckEmccError,
    EmptyStudy,
    MissingColumn,
    OptionError,
    QueryError,
    Timeout,
    TooLarge,
    UnsupportedColumn,
)
from duckemcc.model.scm import Model
from duckemcc.query.check import check_query
from duckemcc.query.language import query as parse_query
from duckemcc.query.syntax import Query
from duckemcc.serve.duckdb.cache import batch_clock, statement_clock
from duckemcc.serve.duckdb.stored import read_resolved
from duckemcc.serve.duckdb.udf import PLACE, as_structs, find_variables, read_sql_options, split
from duckemcc.study.count.relation import with_lists
from duckemcc.study.literal import all_named

if TYPE_CHECKING:
    import polars as pl

    from duckemcc.study.labels import Nulls


class Task(NamedTuple):
    """What is asked of some groups."""

    model: Model
    text: str
    query: Query
    settings: Options
    clock: Clock


def groups(model: Any, query: Any, entries: Any, options: Any, moment: Any) -> Any:
    """Arrow columns in, with a row per group; a STRUCT of `schema.COLUMNS` per group out.

    entries: map_entries(histogram({record, weight})), NULL for a group without records. moment: when the transaction
    began.
    """
    import polars as pl

    asked = list(zip(model.to_pylist(), query.to_pylist(), options.to_pylist(), strict=True))
    places: dict[tuple[str, str, str], list[int]] = {}
    for place, (text, question, given) in enumerate(asked):
        places.setdefault((text, repr(question), repr(given)), []).append(place)
    records: pl.DataFrame | None = None
    rows: list[dict[str, Any]] = [{}] * len(asked)
    for key, own in places.items():
        text, question, given = asked[own[0]]
        settings = read_sql_options(given)
        began = moment[0].as_py()
        with batch_clock((began, *key), len(own), statement_clock(text, began, settings.max_seconds)) as clock:
            task = _read_task(text, question, settings, clock)
            try:
                clock.count_on()
            except Timeout as late:  # in a batch before: the records need not be read
                found = {place: _no_answer(task, "timeout", str(late)) for place in own}
            else:
                records = _read_entries(entries) if records is None else records
                frame = records.filter(pl.col(PLACE).is_in(own)) if len(places) > 1 else records
                found = _answer_groups(task, own, frame)
            for place, row in found.items():
                rows[place] = row
    return as_structs(make_table(rows, COLUMNS, pl.DataFrame(), [], {}))


def _read_task(model: Any, query: Any, settings: Options, clock: Clock) -> Task:
    if not isinstance(query, str):
        raise QueryError(
            f"emcc() takes one query as text; found {query!r}. emcc_bounds and emcc_bounds_by take a list",
            option="query",
        )
    return Task(read_resolved(model), query, parse_query(query), settings, clock)


def _read_entries(entries: Any) -> pl.DataFrame:
    """One row per group and distinct record: PLACE, emcc_count, emcc_bad, emcc_example and the fields of the
    record."""
    import polars as pl

    from duckemcc.study.labels import LARGEST_WEIGHT, SMALLEST_WEIGHT

    _refuse_intervals(entries.type.value_type)
    frame = pl.DataFrame(
        {PLACE: range(len(entries)), "entry": pl.from_arrow(entries)}, schema_overrides={PLACE: pl.Int64}
    )
    frame = frame.filter(pl.col("entry").list.len() > 0).explode("entry").unnest("entry").unnest("key")
    if not isinstance(record := frame.schema["record"], pl.Struct):
        raise OptionError(
            "the third argument of emcc() is a STRUCT of the variables: "
            "struct_pack(Treatment, Survival, study, intervened)",
            option="record",
        )
    kind = frame.schema["weight"]
    if not (kind.is_numeric() or kind == pl.Null):
        raise UnsupportedColumn(f"the weight of emcc() has type {kind}", remedy="a weight is a number", option="weight")
    weight, number = pl.col("weight").cast(pl.Float64), pl.col("value")
    names = [field.name for field in record.fields]  # they may look like patterns
    fields = pl.col("record").struct.rename_fields([f"emcc_f{i}" for i in range(len(names))]).struct
    good = ((weight == 0) | weight.is_between(SMALLEST_WEIGHT, LARGEST_WEIGHT)).fill_null(False)
    return frame.select(
        PLACE,
        pl.when(good).then(weight * number).otherwise(0.0).alias("emcc_count"),
        pl.when(good).then(0).otherwise(number).cast(pl.Int64).alias("emcc_bad"),
        pl.when(good).then(None).otherwise(pl.col("weight")).alias("emcc_example"),
        *(
            fields.field(f"emcc_f{i}").alias(f.name)
            for i, f in enumerate(record.fields)
            if not f.name.startswith("emcc_")
        ),
    )


def _refuse_intervals(kind: Any) -> None:
    """The one type of DuckDB that polars cannot read. Raises `UnsupportedColumn`."""
    import pyarrow as pa

    key = kind.field("key").type
    record = key.field("record").type
    fields = [*(record if pa.types.is_struct(record) else ()), key.field("weight")]
    if named := [field.name for field in fields if field.type == pa.month_day_nano_interval()]:
        raise UnsupportedColumn(
            f"the record of emcc() has {named[0]} of type INTERVAL", remedy="leave it out, or cast it to text"
        )


def _answer_groups(task: Task, places: Sequence[int], records: pl.DataFrame) -> dict[int, dict[str, Any]]:
    import polars as pl

    find_variables([c for c in records.columns if not c.startswith("emcc_")], task.model)
    measured = [v for v in task.model.variables if v not in task.model.unmeasured]
    wanted = {v.casefold() for v in measured} | {"study", "intervened"}
    records = with_lists(records)
    keys = [PLACE, *(c for c in records.columns if c.casefold() in wanted)]
    records = records.group_by(all_named(keys), maintain_order=True).agg(
        pl.col("emcc_count", "emcc_bad").sum(), pl.col("emcc_example").min()
    )
    found: dict[int, dict[str, Any]] = {}
    why = "no_data", NO_RECORDS
    try:
        for alike in _alike(records, measured, task.settings.nulls):
            task.clock.count_on()
            found |= _answer_alike(task, alike)
    except Timeout as late:
        why = "timeout", str(late)
    return {place: found.get(place) or _no_answer(task, *why) for place in places}


def _answer_alike(task: Task, records: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """The answers of groups that learn the same states, by their place."""
    places = records[PLACE].unique(maintain_order=True)
    try:
        tables = split(records, task.model, task.settings)
        table = answer(task.model, tables, [(task.text, task.query)], (PLACE,), task.settings, task.clock)
        return {row.pop(PLACE): row for row in table.to_pylist()}
    except EmptyStudy as wrong:
        status, message = "no_data", str(wrong)
    except TooLarge as wrong:
        if len(places) > 1:  # too large together; the limits are meant for one group
            half = records[PLACE].is_in(places[: len(places) // 2].to_list())
            return _answer_alike(task, records.filter(half)) | _answer_alike(task, records.filter(~half))
        status, message = "too_large", str(wrong)
    except MissingColumn as wrong:  # a variable without any value here, and without declared states
        status, message = "invalid", str(wrong)
    except QueryError as wrong:
        try:
            check_query(task.query, task.model.states, task.model.parents)
        except DuckEmccError:
            raise wrong from None  # no group could answer it
        status = "invalid"
        advice = "Each group learns its own states; declare them in the graph, such as X {0, 1}"
        message = str(wrong.advised(advice))
    return {place: _no_answer(task, status, message) for place in places}


def _no_answer(task: Task, status: str, message: str) -> dict[str, Any]:
    counted = {"n": 0.0, "studies": [], "patterns": 0} if status == "no_data" else {}
    return {"query": task.text, "status": status, "message": message} | counted | how_asked(task.settings)


def _alike(records: pl.DataFrame, variables: Sequence[str], nulls: Nulls) -> Iterator[pl.DataFrame]:
    """The records of groups that are alike: in their studies that have records which count, what is set by design
    there, which variables they measure, and in the values of each variable. So all that is learned from their kind is
    learned from each alone.
    """
    import polars as pl

    from duckemcc.study.labels import has_labels

    columns = {name.casefold(): name for name in records.columns}
    values = [columns[v.casefold()] for v in variables]
    if not all(has_labels(records.schema[v]) for v in values):
        yield records  # to be refused
        return
    arm = [PLACE, "emcc_study", "emcc_do"]
    kinds = records.with_columns(_study_kinds(records, columns)).select(
        *arm, *all_named(values), "emcc_bad", emcc_weighs=pl.col("emcc_count") > 0
    )
    kinds = kinds.with_columns(emcc_counts=pl.col("emcc_weighs") & _is_kept(values, arm, nulls))
    there = kinds.select((pl.col("emcc_counts") | (pl.col("emcc_bad") > 0)).any().over(arm)).to_series()
    kinds, records = kinds.filter(there), records.filter(there)  # a study without a record that counts is left out
    measured = ((v.is_not_null() & pl.col("emcc_weighs")).any() for v in all_named(values))
    arms = kinds.group_by(arm).agg(pl.col("emcc_counts").any(), *measured)
    labels = kinds.filter("emcc_counts").group_by(PLACE).agg(v.drop_nulls().unique().sort() for v in all_named(values))
    key: dict[int, list[Any]] = {place: [] for place in records[PLACE].unique(maintain_order=True)}
    for frame in (arms.sort("emcc_study", "emcc_do", nulls_last=False), labels):
        for place, *found in frame.iter_rows():
            key[place].append(tuple(tuple(f) if isinstance(f, list) else f for f in found))
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, found in key.items():
        alike.setdefault(tuple(found), []).append(place)
    for places in alike.values():
        yield records if len(alike) == 1 else records.filter(pl.col(PLACE).is_in(places))


def _is_kept(values: Sequence[str], arm: Sequence[str], nulls: Nulls) -> pl.Expr:
    """Whether a record is learned from; what is NULL throughout its study is unmeasured there."""
    import polars as pl

    if nulls in ("mar", "mcar"):
        return pl.lit(True)
    seen = ((v.is_not_null() & pl.col("emcc_weighs")).any().over(arm) for v in all_named(values))
    return pl.all_horizontal(
        pl.lit(True), *(v.is_not_null() | ~s for v, s in zip(all_named(values), seen, strict=True))
    )


def _study_kinds(records: pl.DataFrame, columns: Mapping[str, str]) -> Iterator[pl.Expr]:
    """The study, and what is set by design in it as one text."""
    import polars as pl

    study = pl.col(columns["study"]).cast(pl.String) if "study" in columns else pl.lit(None, pl.String)
    do = pl.lit(None, pl.String)
    if "intervened" in columns and isinstance(records.schema[columns["intervened"]], pl.List):
        do = pl.col(columns["intervened"]).cast(pl.List(pl.String)).list.join("\0")
    yield study.alias("emcc_study")
    yield do.alias("emcc_do")
