"""What DuckDB calls behind emcc_bounds, emcc_bounds_by and emcc_compatibility: counts in, rows out.

Counts travel as one BLOB, Arrow inside: a lateral join then carries bytes, which are cheap to compare, and not lists of
structs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.api import is_name, read_queries
from duckemcc.answer.bounds import answer
from duckemcc.answer.compatibility import report
from duckemcc.answer.options import Options, read_options
from duckemcc.errors import EmptyStudy, OptionError, SourceError, placing
from duckemcc.model.scm import Model
from duckemcc.query.syntax import Query
from duckemcc.serve.duckdb.cache import keep, note_bound, recall, statement_clock
from duckemcc.serve.duckdb.counting import check_by, write_counts_sql
from duckemcc.serve.duckdb.registered import read_counted, write_registered_sql
from duckemcc.serve.duckdb.sources import text_sql
from duckemcc.serve.duckdb.stored import (
    Catalog,
    Registered,
    check_stamp,
    find_entry,
    find_studies,
    read_catalog,
    read_registered,
    read_resolved,
    resolve_model,
    stamp_sql,
)
from duckemcc.study.columns import Columns
from duckemcc.study.count.relation import RELATION, check_height, split_relation
from duckemcc.study.count.types import check_source_types, column_type
from duckemcc.study.encode import all_shared
from duckemcc.study.labels import MOST_PATTERNS
from duckemcc.study.names import find_column

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from duckemcc.study.table import CountTable

PLACE = "emcc_segment"
"""The column of a segment's number, from 1; segments come back by their number."""

SOURCE = "the studies relation"


def counts_sql(model: Any, studies: Any, weight: Any, catalog: str, *by: Any) -> str:
    """The counting query, of one row: counts, a STRUCT for `pack`, and keys, the segments; `by` is given where there
    are some. DuckDB calls this when it binds the macro."""
    known = read_catalog(catalog)
    resolved = resolve_model(model, known)
    pscm = read_resolved(resolved)
    names = check_by(pscm, by[0]) if by else ()
    stored = isinstance(model, str) and is_name(model)
    header: dict[str, Any] = {"model": resolved, "by": names} | ({"stamp": known.stamp} if stored else {})
    if studies is None or isinstance(studies, list):
        chosen = _choose_studies(model, studies, weight, known)
        header["studies"] = [asdict(study) for study in chosen]
        parts, keys, sql = "studies := studies", "keys", write_registered_sql(pscm, chosen, names, known.database)
    else:
        header["weight"] = weight
        parts, keys = "columns := columns, segments := segments", "list_transform(segments, lambda s: s.segment)"
        sql = write_counts_sql(pscm, studies, weight, names)
    current = stamp_sql(known.database if stored else None)
    text = json.dumps(header, ensure_ascii=False)
    note_bound(text)
    packed = f"struct_pack(header := {text_sql(text)}, current := {current}, {parts})"
    return f"SELECT {packed} AS counts, {keys} AS keys FROM ({sql})"


def _choose_studies(model: Any, studies: Any, weight: Any, catalog: Catalog) -> tuple[Registered, ...]:
    if not is_name(model):
        given = "no studies are given" if studies is None else f"studies is the list {studies!r}"
        raise SourceError(
            f"{given}, which means registered ones, and only a stored model has these",
            remedy="give the name of a table or view, or the path of a Parquet or CSV file, as text",
            option="studies",
        )
    if weight is not None:
        raise OptionError(
            f"weight is {weight!r}, and registered studies have weights of their own",
            remedy="leave it out, or name a relation as studies",
            option="weight",
        )
    return find_studies(find_entry(catalog, model.strip()), studies)


def pack(counts: Any) -> Any:
    """The counts of the counting query as a BLOB per row."""
    import pyarrow as pa

    packed = []
    for row in range(len(counts)):
        table = pa.table({"counts": counts.slice(row, 1)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        packed.append(sink.getvalue().to_pybytes())
    return pa.array(packed, pa.binary())


def bounds(query: Any, counts: Any, options: Any, moment: Any) -> Any:
    """The rows of emcc_bounds, each with the number of its segment: a list of them per row. moment: when the
    transaction began.

    Rows that ask the same counts with the same options, as those of a joined table of queries do, are one call.
    """
    calls = [_read_call(*row) for row in _rows(query, counts, options)]
    known = {call.key: recall(call.key) for call in calls}
    together: dict[tuple[Any, ...], list[_Call]] = {}
    for call in {call.key: call for call in calls if known[call.key] is None}.values():
        together.setdefault(call.key[2:], []).append(call)
    for asked in together.values():
        known |= _answer_calls(asked, moment[0].as_py())
    return _lists([known[call.key] for call in calls])


class _Call(NamedTuple):
    """What one row asks. key: "bounds", the queries, the options, the counts."""

    key: tuple[Any, ...]
    queries: list[tuple[str, Query]]
    packed: bytes
    settings: Options


def _read_call(query: Any, packed: bytes, options: Mapping[str, Any]) -> _Call:
    settings, queries = read_sql_options(options), read_queries(query)
    key = "bounds", tuple(text for text, _ in queries), settings, blake2b(packed).digest()
    return _Call(key, queries, packed, settings)


def _answer_calls(calls: Sequence[_Call], moment: int) -> dict[Any, pa.StructArray]:
    """The answers by key; the calls differ in their queries alone."""
    import numpy as np

    settings = calls[0].settings
    counted = open_packed(calls[0].packed)
    clock = statement_clock(counted.header, moment, settings.max_seconds)
    model, tables = read_counts(counted, settings)
    queries = dict(asked for call in calls for asked in call.queries)
    table = answer(model, tables, list(queries.items()), (PLACE,), settings, clock)
    rows = np.arange(table.num_rows).reshape(-1, len(queries))  # by segment and query
    place = {text: i for i, text in enumerate(queries)}
    found = {}
    for call in calls:
        own = [place[text] for text, _ in call.queries]
        whole = own == list(range(len(queries)))
        found[call.key] = as_structs(table if whole else table.take(rows[:, own].ravel()))
        if not clock.late:
            keep(call.key, found[call.key])
    return found


def compatibility(counts: Any, options: Any, moment: Any) -> Any:
    """The rows of emcc_compatibility, a list of them per row. moment: when the transaction began."""
    return _lists(
        [_report_row(packed, read_sql_options(given), at) for packed, given, at in _rows(counts, options, moment)]
    )


def _report_row(packed: bytes, settings: Options, moment: int) -> pa.StructArray:
    key = "compatibility", settings, blake2b(packed).digest()
    if (known := recall(key)) is not None:
        return known
    counted = open_packed(packed)
    clock = statement_clock(counted.header, moment, settings.max_seconds)
    model, tables = read_counts(counted, settings)
    found = as_structs(report(model, tables, (PLACE,), settings, clock))
    if not clock.late:
        keep(key, found)
    return found


# -- what SQL gives ----------------------------------------------------------------------------


def read_sql_options(given: Mapping[str, Any]) -> Options:
    """SQL values as options: decimals are numbers; NULL is the default, but for `level`, where it means exact data."""
    plain = {k: float(v) if isinstance(v, Decimal) else v for k, v in given.items() if v is not None or k == "level"}
    for name in ("restarts", "seed", "max_steps"):
        value = plain.get(name)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            plain[name] = int(value)
    return read_options(plain)


class _Packed(NamedTuple):
    """What `pack` packed. header: of `counts_sql`, JSON."""

    header: str
    counted: pa.StructArray


def open_packed(packed: bytes) -> _Packed:
    """The counts of a BLOB, which are not copied."""
    import pyarrow as pa

    counted = pa.ipc.open_stream(packed).read_all()["counts"].combine_chunks()
    return _Packed(counted.field("header")[0].as_py(), counted)


def read_counts(packed: _Packed, settings: Options) -> tuple[Model, list[CountTable]]:
    """What `counts_sql` counted: the model, and the studies with numbered segments.

    Raises what `count_study` raises, and `SourceError` where the catalog is no longer what the query was written from.
    """
    counted, header = packed.counted, json.loads(packed.header)
    if "stamp" in header:
        check_stamp(header["stamp"], counted.field("current")[0].as_py())
    model = read_resolved(header["model"])
    if "studies" in header:
        studies = [read_registered(form) for form in header["studies"]]
        if header["by"] and all(study.shared for study in studies):
            raise all_shared(header["by"])
        found = counted.field("studies")
        return model, read_counted(found, studies, model, header["by"], settings.nulls, PLACE)
    with placing(study=RELATION):
        types = {column["name"]: column_type(column["type"]) for column in counted.field("columns")[0].as_py()}
        check_source_types(SOURCE, _find_columns(model, header["by"], header["weight"], list(types)), types)
        return model, split(unpack(counted.field("segments")), model, settings, header["weight"] or "")


def _find_columns(model: Model, by: Sequence[str], weight: str | None, found: Sequence[str]) -> Columns:
    """Raises `MissingColumn`, which says what there is."""
    segments = {b: find_column(SOURCE, b, f"segment {b}", found, option="by") for b in by}
    called = None if weight is None else find_column(SOURCE, weight, f"weight {weight}", found, option="weight")
    return Columns(find_variables(found, model), segments, called, ())


def unpack(segments: Any) -> pl.DataFrame:
    """The counted relation, one row per segment and pattern. Raises `EmptyStudy`, `TooLarge`."""
    import polars as pl

    parts = pl.DataFrame({"part": pl.from_arrow(segments)}).explode("part")  # of no records, a list is NULL
    parts = parts.with_row_index(PLACE, offset=1).unnest("part").filter(pl.col("patterns").is_not_null())
    if parts.is_empty():
        raise EmptyStudy("the studies relation has no records", remedy="check its name and filters")
    frame = parts.select(pl.col(PLACE).cast(pl.Int64), "patterns").explode("patterns").unnest("patterns")
    check_height(frame, MOST_PATTERNS)
    return frame


def find_variables(found: Sequence[str], model: Model) -> dict[str, str]:
    """The column of every variable but the unmeasured ones. Raises `MissingColumn` with a hint."""
    advice = "A study that does not measure it has NULL in it throughout"
    measured = (v for v in model.variables if v not in model.unmeasured)
    return {v: find_column(SOURCE, v, f"variable {v}", found, advice, variable=v) for v in measured}


def split(frame: pl.DataFrame, model: Model, settings: Options, weight: str = "") -> list[CountTable]:
    """The studies of a counted relation whose segments are numbered."""
    return split_relation(
        frame, model.variables, by=(PLACE,), nulls=settings.nulls, weight=weight, unmeasured=model.unmeasured
    )


# -- what it gets ------------------------------------------------------------------------------


def as_structs(table: pa.Table) -> pa.StructArray:
    """A row of a table as one value, with the fields that `register` declares: DuckDB matches them by name."""
    import pyarrow as pa

    names = ["segment" if name == PLACE else name for name in table.column_names]
    return pa.StructArray.from_arrays([c.combine_chunks() for c in table.columns], names=names)


def _rows(*columns: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _lists(found: Sequence[pa.StructArray]) -> pa.ListArray:
    import pyarrow as pa

    return pa.ListArray.from_arrays([0, *accumulate(map(len, found))], pa.concat_arrays(found))
