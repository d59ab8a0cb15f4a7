"""What DuckDB calls behind emcc_bounds, emcc_bounds_by and emcc_compatibility: counts in, rows out.

Counts travel as one BLOB, Arrow inside: a lateral join then carries bytes, which are cheap to compare, and not lists of
structs. Answers are remembered by content, as DuckDB may call a function more than once for one row.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from duckemcc.errors import EmptyStudy, OptionError, UnsupportedColumn
from duckemcc.model.scm import Model
from duckemcc.serve.answer import answer
from duckemcc.serve.ask import read_model, read_queries
from duckemcc.serve.counting import check_by, write_counts_sql
from duckemcc.serve.options import Clock, Options, read_options
from duckemcc.serve.report import report
from duckemcc.study.labels import MOST_PATTERNS
from duckemcc.study.relation import check_height

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from duckemcc.study.read import CountTable

PLACE = "emcc_segment"
"""The column of a segment's number, from 1; segments come back by their number."""

KEPT, KEPT_ROWS = 64, 10_000
"""So many answers are remembered, of so many rows at most."""

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


def counts_sql(model: Any, studies: Any, weight: Any = None, *by: Any) -> str:
    """The counting query; `by` is given by emcc_bounds_by only. DuckDB calls this when it binds the macro."""
    pscm = read_sql_model(model)
    return write_counts_sql(pscm, studies, weight, check_by(pscm, by[0]) if by else ())


def pack(columns: Any, weight: Any, segments: Any) -> Any:
    """The result of the counting query as a BLOB per row."""
    import pyarrow as pa

    packed = []
    for row in range(len(columns)):
        parts = {"columns": columns, "weight": weight, "segments": segments}
        table = pa.table({name: part.slice(row, 1) for name, part in parts.items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        packed.append(sink.getvalue().to_pybytes())
    return pa.array(packed, pa.binary())


def bounds(model: Any, query: Any, counts: Any, options: Any) -> Any:
    """The rows of emcc_bounds, each with the number of its segment: a list of them per row."""

    def answer_row(text: Any, asked: Any, packed: bytes, given: Mapping[str, Any]) -> Any:
        settings, pscm, queries = read_sql_options(given), read_sql_model(text), read_queries(asked)

        def work() -> Any:
            frame, weight = unpack(packed, pscm)
            tables = split(frame, pscm, settings, weight)
            return answer(pscm, tables, queries, (PLACE,), settings, Clock(settings.max_seconds))

        return _remember(("bounds", text, tuple(t for t, _ in queries), settings, blake2b(packed).digest()), work)

    return _lists([answer_row(*row) for row in _rows(model, query, counts, options)])


def compatibility(model: Any, counts: Any, options: Any) -> Any:
    """The rows of emcc_compatibility, a list of them per row."""

    def report_row(text: Any, packed: bytes, given: Mapping[str, Any]) -> Any:
        settings, pscm = read_sql_options(given), read_sql_model(text)

        def work() -> Any:
            frame, weight = unpack(packed, pscm)
            tables = split(frame, pscm, settings, weight)
            return report(pscm, tables, (PLACE,), settings, Clock(settings.max_seconds))

        return _remember(("compatibility", text, settings, blake2b(packed).digest()), work)

    return _lists([report_row(*row) for row in _rows(model, counts, options)])


# -- what SQL gives ----------------------------------------------------------------------------


def read_sql_model(model: Any) -> Model:
    """The model of an SQL argument."""
    if model is None:
        raise OptionError("model is NULL; give graph text such as 'X -> Y; X <-> Y'")
    return read_model(model)


def read_sql_options(given: Mapping[str, Any]) -> Options:
    """SQL values as options: decimals are numbers; NULL is the default, but for `level`, where it means exact data."""
    plain = {k: float(v) if isinstance(v, Decimal) else v for k, v in given.items() if v is not None or k == "level"}
    for name in ("restarts", "seed", "max_steps"):
        value = plain.get(name)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            plain[name] = int(value)
    return read_options(plain)


def unpack(counts: bytes, model: Model) -> tuple[pl.DataFrame, str]:
    """The counted relation, one row per segment and pattern, and what its weight is called.

    Raises `MissingColumn` for a variable without a column, `UnsupportedColumn` for a weight that is no number,
    `EmptyStudy`, `TooLarge`.
    """
    import polars as pl
    import pyarrow as pa

    table = pa.ipc.open_stream(counts).read_all()
    types = {column["name"]: column["type"] for column in table["columns"][0].as_py()}
    check_variables(list(types), model)
    weight = table["weight"][0].as_py()
    _check_weight(weight, types)
    segments = pl.DataFrame({"part": pl.from_arrow(table["segments"])}).explode("part")  # of no records, a list is NULL
    segments = segments.with_row_index(PLACE, offset=1).unnest("part").filter(pl.col("patterns").is_not_null())
    if segments.is_empty():
        raise EmptyStudy("the studies relation has no records; check its name and filters")
    frame = segments.select(pl.col(PLACE).cast(pl.Int64), "patterns").explode("patterns").unnest("patterns")
    check_height(frame, MOST_PATTERNS)
    return frame, weight or ""


def check_variables(found: Sequence[str], model: Model) -> None:
    """Every variable has a column, but those that the model calls unmeasured. Raises `MissingColumn` with a hint."""
    from duckemcc.study.columns import find_column

    advice = " A study that does not measure it has NULL in it throughout."
    for variable in model.variables:
        if variable not in model.unmeasured:
            find_column("the studies relation", variable, f"variable {variable}", found, advice)


def _check_weight(weight: str | None, types: Mapping[str, str]) -> None:
    kind = next((t for name, t in types.items() if weight is not None and name.casefold() == weight.casefold()), None)
    if kind is not None and not kind.removeprefix("U").startswith(_NUMBERS):
        raise UnsupportedColumn(f"the studies relation has weights {weight} of type {kind}; a weight is a number.")


def split(frame: pl.DataFrame, model: Model, settings: Options, weight: str = "") -> list[CountTable]:
    """The studies of a counted relation whose segments are numbered."""
    import polars as pl

    from duckemcc.study.relation import split_relation

    untyped = [c for c in frame.columns if c.casefold() == "intervened" and frame[c].null_count() == frame.height]
    frame = frame.with_columns(pl.lit(None).alias(c) for c in untyped)  # SQL's bare NULL is an integer on DuckDB 1.4
    return split_relation(
        frame, model.variables, by=(PLACE,), nulls=settings.nulls, weight=weight, unmeasured=model.unmeasured
    )


# -- what it gets ------------------------------------------------------------------------------

_answers: OrderedDict[Any, pa.StructArray] = OrderedDict()
_answers_lock = threading.Lock()


def as_structs(table: pa.Table) -> pa.StructArray:
    """A row of a table as one value, with the fields that `duck.register` declares: DuckDB matches them by name."""
    import pyarrow as pa

    names = ["segment" if name == PLACE else name for name in table.column_names]
    return pa.StructArray.from_arrays([c.combine_chunks() for c in table.columns], names=names)


def _rows(*columns: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _lists(found: Sequence[pa.StructArray]) -> pa.ListArray:
    import pyarrow as pa

    return pa.ListArray.from_arrays([0, *accumulate(map(len, found))], pa.concat_arrays(found))


def _remember(key: tuple[Any, ...], work: Callable[[], pa.Table]) -> pa.StructArray:
    with _answers_lock:
        if key in _answers:
            _answers.move_to_end(key)
            return _answers[key]
    table = work()
    found = as_structs(table)
    late = "status" in table.column_names and "timeout" in table["status"].to_pylist()
    if table.num_rows <= KEPT_ROWS and not late:
        with _answers_lock:
            _answers[key] = found
            while len(_answers) > KEPT:
                _answers.popitem(last=False)
    return found
