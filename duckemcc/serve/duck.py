"""DuckDB: the Python UDFs behind the SQL functions, and `register`, which makes both known to a database.

How it is arranged, as measured on duckdb 1.4 and 2.0:

- DuckDB has scalar Python UDFs only. The macros (sql/macros.sql) count the relation through `query(…)`, whose text
  `_emcc_counts_sql` writes at bind time, pack the counts into one Arrow BLOB, hand it to `_emcc_bounds` and unnest the rows.
- DuckDB puts UDFs into the instance's system catalog, where every connection sees them, and keeps a borrowed pointer to the
  Python functions: they live at module level and are never freed.
- The macros go into the database that the instance was opened on, so that cursors and other connections see them, and as TEMP
  macros onto the connection itself. A read-only database takes only those; an attached in-memory database `duckemcc` then
  serves its other connections as `duckemcc.emcc_bounds(…)`.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from duckemcc.errors import DuckEmccError, EmptyStudy, OptionError, QueryError
from duckemcc.query.language import query as parse_query
from duckemcc.serve.ask import Clock, Options, answer, read_model, read_options, read_queries, report
from duckemcc.serve.counting import write_counts_sql
from duckemcc.serve.files import read_sql
from duckemcc.serve.result import COLUMNS, STUDY_COLUMNS, struct_type

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_PLACE = "emcc_segment"  # the column of a segment's number, from 1; segments come back by their number
_KEPT = 64  # answers that are remembered: DuckDB calls a UDF once per row even where its arguments are constant


# -- what DuckDB calls -------------------------------------------------------------------------


def _counts_sql(model: Any, studies: Any, weight: Any = None, *by: Any) -> str:
    names = None
    if by:
        names = [by[0]] if isinstance(by[0], str) else list(by[0] or ())
        if not names:
            raise OptionError("by is empty or NULL; name one column or a list of columns, or use emcc_bounds")
        for name in names:
            if isinstance(name, str) and name.casefold() in COLUMNS:
                raise OptionError(f"by names the column {name!r}, which is a column of the result; rename it in a view")
    return write_counts_sql(read_model(_given("model", model)), studies, weight, names)


def _pack(columns: Any, segments: Any) -> Any:
    """Arrow in, one BLOB out: a lateral join then carries bytes, which are cheap to compare, and not lists of structs."""
    import pyarrow as pa

    packed = []
    for row in range(len(columns)):
        table = pa.table({"columns": columns.slice(row, 1), "segments": segments.slice(row, 1)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        packed.append(sink.getvalue().to_pybytes())
    return pa.array(packed, pa.binary())


def _bounds(model: Any, query: Any, counts: bytes, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    queries = (query,) if isinstance(query, str) else tuple(_given("query", query) or ())
    if not queries or None in queries:
        raise QueryError("query is empty or has a NULL; give one query text or a list of them")
    return _remember(("bounds", model, queries, counts), options, lambda settings: _answer(model, queries, counts, settings))


def _compatibility(model: Any, counts: bytes, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _remember(("compatibility", model, counts), options, lambda settings: _report(model, counts, settings))


def _group(model: Any, query: Any, entries: Any, options: Any) -> Any:
    """One answer per group, for a batch of groups; each group stands alone, as if the others were filtered out."""
    import pyarrow as pa

    rows = []
    for text, asked, group, given in zip(model.to_pylist(), query.to_pylist(), entries, options.to_pylist(), strict=True):
        if not isinstance(asked, str):
            raise QueryError(f"emcc() takes one query as text; found {asked!r}. emcc_bounds and emcc_bounds_by take a list")
        rows.append(_answer_group(_given("model", text), asked, group, read_options(_plain(given))))
    kinds = {"string": pa.string(), "double": pa.float64(), "bool": pa.bool_(), "int64": pa.int64(), "list<string>": pa.list_(pa.string())}
    return pa.array(rows, pa.struct([(name, kinds[kind]) for name, kind in COLUMNS.items()]))


# -- what they do ------------------------------------------------------------------------------


def _answer(model: Any, queries: Sequence[str], counts: bytes, settings: Options) -> list[dict[str, Any]]:
    pscm, asked = read_model(_given("model", model)), read_queries(list(queries))
    frame = _unpack(counts, pscm.variables)
    table = answer(pscm, _split(frame, pscm.variables, settings), asked, (_PLACE,), settings, Clock(settings.max_seconds))
    return [{"segment": row.pop(_PLACE)} | row for row in table.to_pylist()]


def _report(model: Any, counts: bytes, settings: Options) -> list[dict[str, Any]]:
    pscm = read_model(_given("model", model))
    frame = _unpack(counts, pscm.variables)
    table = report(pscm, _split(frame, pscm.variables, settings), (_PLACE,), settings, Clock(settings.max_seconds))
    return [{"segment": row.pop(_PLACE)} | row for row in table.to_pylist()]


def _answer_group(model: Any, query: str, group: Any, settings: Options) -> dict[str, Any]:
    import polars as pl

    pscm, asked = read_model(model), parse_query(query)
    if not group.is_valid or len(group.values) == 0:
        return {"query": query, "status": "no_data", "message": "the group has no records", "method": settings.method, "seed": settings.seed}
    entries = pl.DataFrame({"entry": pl.from_arrow(group.values)}).unnest("entry").unnest("key")
    if not isinstance(entries.schema["record"], pl.Struct):
        raise OptionError("the third argument of emcc() is a STRUCT of the variables: struct_pack(Treatment, Survival, study, intervened)")
    weight, number = pl.col("weight").cast(pl.Float64), pl.col("value").cast(pl.Float64)
    good = (weight.is_finite() & (weight >= 0)).fill_null(False)
    frame = entries.select(
        pl.when(good).then(weight * number).otherwise(0.0).alias("emcc_count"),
        pl.when(good).then(0).otherwise(pl.col("value")).cast(pl.Int64).alias("emcc_bad"),
        pl.col("record"),
    ).unnest("record")
    _check_variables(frame.columns, frame.columns, pscm.variables)
    tables = _split(frame.with_columns(pl.lit(1).alias(_PLACE)), pscm.variables, settings)
    row: dict[str, Any] = answer(pscm, tables, [(query, asked)], (_PLACE,), settings, Clock(settings.max_seconds)).to_pylist()[0]
    row.pop(_PLACE)
    return row


def _unpack(counts: bytes, variables: Sequence[str]) -> pl.DataFrame:
    """The counted relation, one row per segment and pattern; checks that every variable has a column."""
    import polars as pl
    import pyarrow as pa

    table = pa.ipc.open_stream(counts).read_all()
    columns = [column["name"] for column in table["columns"][0].as_py()]
    segments = pl.DataFrame({"part": pl.from_arrow(table["segments"].combine_chunks()[0].values)})
    frame = (
        segments.with_row_index(_PLACE, offset=1)
        .unnest("part")
        .select(pl.col(_PLACE).cast(pl.Int64), "patterns")
        .explode("patterns", empty_as_null=False, keep_nulls=False)
        .unnest("patterns")
        if segments.height
        else pl.DataFrame()
    )
    _check_variables(frame.columns, columns, variables)
    if frame.is_empty():
        raise EmptyStudy("the studies relation has no records; check its name and filters")
    return frame.drop("emcc_row", strict=False)


def _check_variables(found: Sequence[str], columns: Sequence[str], variables: Sequence[str]) -> None:
    from duckemcc.study.study import find_column

    for variable in variables if found else ():
        find_column("the studies relation", variable, f"variable {variable}", columns)


def _split(frame: pl.DataFrame, variables: Sequence[str], settings: Options) -> Any:
    from duckemcc.study.read import split_relation

    return split_relation(frame, variables, by=(_PLACE,), nulls="drop" if settings.nulls == "drop" else "error")


def _given(name: str, value: Any) -> Any:
    if value is None:
        raise OptionError(f"{name} is NULL; give it")
    return value


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """SQL values as Python options: decimals as numbers; NULL is the default, but for `level`, where it means exact data."""
    plain = {k: float(v) if isinstance(v, Decimal) else v for k, v in given.items() if v is not None or k == "level"}
    for name, value in plain.items():
        if isinstance(value, float) and math.isfinite(value) and value.is_integer() and name in ("restarts", "seed", "max_steps"):
            plain[name] = int(value)
    return plain


_answers: OrderedDict[Any, list[dict[str, Any]]] = OrderedDict()
_answers_lock = threading.Lock()


def _remember(key: tuple[Any, ...], options: Mapping[str, Any], work: Any) -> list[dict[str, Any]]:
    settings = read_options(_plain(options))
    key = (*key, settings)
    with _answers_lock:
        if key in _answers:
            _answers.move_to_end(key)
            return _answers[key]
    found: list[dict[str, Any]] = work(settings)
    if not any(row.get("status") == "timeout" for row in found):
        with _answers_lock:
            _answers[key] = found
            while len(_answers) > _KEPT:
                _answers.popitem(last=False)
    return found


# -- register ----------------------------------------------------------------------------------

_SEGMENT = "STRUCT(segment BIGINT, "
_FUNCTIONS: dict[str, tuple[Any, str, str, bool]] = {
    # name: (function, return type, native or arrow, whether DuckDB may not fold it: the SQL text must be there at bind time)
    "_emcc_counts_sql": (_counts_sql, "VARCHAR", "native", False),
    "_emcc_pack": (_pack, "BLOB", "arrow", True),
    "_emcc_bounds": (_bounds, struct_type(COLUMNS).replace("STRUCT(", _SEGMENT, 1) + "[]", "native", True),
    "_emcc_compatibility": (_compatibility, struct_type(STUDY_COLUMNS).replace("STRUCT(", _SEGMENT, 1) + "[]", "native", True),
    "_emcc_group": (_group, struct_type(COLUMNS), "arrow", True),
}


def _take_any(function: Any) -> Any:
    def call(*args: Any) -> Any:  # no parameters declared and *args: DuckDB passes any number of arguments of any type
        return function(*args)

    return call


_callables = {name: _take_any(function) for name, (function, *_) in _FUNCTIONS.items()}  # DuckDB borrows these for ever
_registering = threading.Lock()
_HOME = "duckemcc"


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Makes emcc_bounds, emcc_bounds_by, emcc_compatibility and emcc known to the database behind `con`.

    Creates no table. Cursors and other connections of the same database see them as well; of a read-only database as
    ``duckemcc.emcc_bounds``, or after `register` of their own. Registering again is harmless.
    Raises `DuckEmccError` inside a transaction that began before another connection registered.
    """
    with _registering:
        if _in_transaction(con):
            _register_inside(con)
        else:
            other = con.cursor()  # a connection of its own, so that nothing of the user's is disturbed
            try:
                _create_functions(other)
                _create_macros(other, f"MACRO {_home(other)}.main.")
            finally:
                other.close()
        _create_macros(con, "TEMP MACRO ")


def _create_functions(con: duckdb.DuckDBPyConnection) -> None:
    for name in _missing(con):
        _, returns, kind, volatile = _FUNCTIONS[name]
        con.create_function(name, _callables[name], None, returns, type=kind, null_handling="special", side_effects=volatile)


def _missing(con: duckdb.DuckDBPyConnection) -> list[str]:
    names = ", ".join(f"'{name}'" for name in _FUNCTIONS)
    rows = con.execute(f"SELECT function_name FROM duckdb_functions() WHERE function_name IN ({names})").fetchall()
    return [name for name in _FUNCTIONS if (name,) not in rows]


def _create_macros(con: duckdb.DuckDBPyConnection, how: str) -> None:
    for part in read_sql("macros").split("CREATE OR REPLACE MACRO ")[1:]:
        con.execute(f"CREATE OR REPLACE {how}{part}").fetchall()


def _home(con: duckdb.DuckDBPyConnection) -> str:
    """The database that holds the macros for other connections: the instance's own, or one in memory if that is read-only."""
    name, readonly = con.execute(
        "SELECT database_name, readonly FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()[0]
    if not readonly:
        return '"' + str(name).replace('"', '""') + '"'
    con.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_HOME} (READ_WRITE)").fetchall()
    return _HOME


def _in_transaction(con: duckdb.DuckDBPyConnection) -> bool:
    """In autocommit, every statement has a transaction of its own."""
    first, second = (con.execute("SELECT txid_current()").fetchall() for _ in range(2))
    return bool(first == second)


def _register_inside(con: duckdb.DuckDBPyConnection) -> None:
    """For `con` alone, and gone after a ROLLBACK; its snapshot is older than anything another connection commits now."""
    other = con.cursor()
    try:
        hidden = bool(_missing(con)) and not _missing(other)
    finally:
        other.close()
    if not hidden:
        try:
            return _create_functions(con)
        except Exception as wrong:  # rolled back once before: DuckDB's Python client still believes them created
            if "already created" not in str(wrong):
                raise
    raise DuckEmccError("con has an open transaction that cannot see the functions; COMMIT or ROLLBACK it, then register(con)")
