"""n(pattern) in DuckDB: relations, tables, files and Arrow streams, counted by one GROUP BY."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from duckemcc.errors import RepeatedName, SourceError
from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.opaque import read_opaque
from duckemcc.study.count.times import read_counted
from duckemcc.study.count.types import AS_TEXT, FLOATS, HUGE, INTEGERS, check_types, type_name
from duckemcc.study.labels import MOST_PATTERNS, as_numbers
from duckemcc.study.study import CSV, SELECT, Study

if TYPE_CHECKING:
    import polars as pl


def count_duckdb(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """Through the relation's own connection: a cursor would not see temporary tables and uncommitted rows."""
    if wanted.study.kind == "arrow":
        wanted = wanted._replace(study=_with_few_columns(wanted))
    con = _connection(wanted.study)
    if con is None:  # of a relation of duckdb 1, which does not tell its connection: it cannot be stopped
        return _count(wanted, con)
    with wanted.watch(con.interrupt):
        return _count(wanted, con)


def _count(wanted: Wanted, con: Any) -> tuple[Columns, pl.DataFrame]:
    from duckemcc.study import dialect

    relation = _open(wanted.study, con)
    found = _true_names(wanted.study, relation, con)
    types = {c: type_name(t) for c, t in zip(relation.columns, relation.types, strict=True)}
    columns, condition, used = wanted.match(found)
    if condition is not None:
        condition = dialect.fitted(f"study {wanted.name!r}", wanted.study.where, condition, types)
        relation = relation.filter(dialect.filter_text(condition, {c for c, t in types.items() if t in INTEGERS}))
    refuse_twins(wanted.name, used, found)
    check_types(wanted.name, columns, types)
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
    items = [f"CAST({k} AS VARCHAR) AS {k}" if types[c] in AS_TEXT else k for k, c in keys.items()]
    relation = relation.project(", ".join([*items, *totals])).limit(MOST_PATTERNS + 1)
    frame = read_counted(wanted.name, columns, relation.to_arrow_table())
    huge = [k for k, c in keys.items() if k.startswith("emcc_b") and types[c] in HUGE]
    return columns, frame.with_columns(as_numbers(frame[k]) for k in huge)


def open_source(study: Study) -> tuple[Any, Any]:
    """The source as a relation, and its connection."""
    con = _connection(study)
    return _open(study, con), con


def _connection(study: Study) -> Any:
    """The connection that reads the source: the user's, or one for this alone; None where a relation does not tell."""
    if study.kind == "relation":
        return getattr(study.source, "_con", None)
    return study.con if study.con is not None else _connect()


def _connect() -> Any:
    import duckdb

    return duckdb.connect()


def _open(study: Study, con: Any) -> Any:
    """The source as a relation."""
    if study.kind == "relation":
        return study.source
    if study.kind == "table":
        if SELECT.match(study.source):
            raise SourceError(
                "a SELECT is no name of a table in DuckDB",
                remedy="give the relation itself, Study(con.sql('SELECT …')), or make a view and name that",
                option="source",
            )
        return _table(con, study.source)
    if study.kind == "file":
        path = _found_path(os.fspath(study.source))
        packed = path.lower().endswith(CSV)  # names are needed, so there must be a header: no guessing
        return con.read_csv(path, header=True) if packed else _parquet(con, path)
    import pyarrow as pa

    source = study.source
    if not isinstance(source, (pa.Table, pa.RecordBatchReader)):  # DuckDB 1.4 takes the stream of others only once
        source = pa.RecordBatchReader.from_stream(source)
    return con.from_arrow(source)


def _with_few_columns(wanted: Wanted) -> Study:
    """The study of an Arrow source with the columns that are read and no other: DuckDB takes longer to bind 20 000
    columns than to count two of them."""
    import pyarrow as pa

    source = wanted.study.source
    if not isinstance(source, (pa.Table, pa.RecordBatchReader)):
        source = pa.RecordBatchReader.from_stream(source)
    names = source.schema.names
    used = wanted.match(names).used
    refuse_twins(wanted.name, used, names)
    places = [i for i, name in enumerate(names) if name in used] or [0]  # without a column there would be no rows
    if len(places) < len(names):
        if isinstance(source, pa.Table):
            source = source.select(places)
        else:
            schema = pa.schema([source.schema.field(i) for i in places])
            source = pa.RecordBatchReader.from_batches(schema, (batch.select(places) for batch in source))
    return replace(wanted.study, source=read_opaque(source, wanted.name))


def _parquet(con: Any, path: str) -> Any:
    """As SQL reads it: folders of partitions are columns, which `con.read_parquet` would not see."""
    from sqlglot import exp

    return con.sql(f"FROM read_parquet({exp.Literal.string(path).sql(dialect='duckdb')})")


def _table(emcc_con: Any, emcc_table: str) -> Any:
    """In a scope of its own: DuckDB would take a Python variable of this name for a missing table."""
    import duckdb

    found = emcc_con.table(emcc_table) if duckdb.__version__[:2] != "1." else _named(emcc_con, emcc_table)
    return emcc_con.table(emcc_table) if found is None else found


def _named(emcc_con: Any, emcc_table: str) -> Any:
    """The same on DuckDB 1, whose `table` looks in main, not in the schema in use, and knows no schema.view. None for
    what is no name."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        named = exp.to_table(emcc_table, dialect="duckdb").sql(dialect="duckdb", identify=True)
    except SqlglotError:
        return None
    return emcc_con.sql(f"FROM {named}")


def _found_path(path: str) -> str:
    if "://" in path:
        return path
    if os.path.isfile(path):
        return glob.escape(path)
    if not glob.has_magic(path):
        raise SourceError(f"the file {path!r} does not exist", option="source")
    if not glob.glob(path, recursive=True):
        raise SourceError(f"no file matches {path!r}", option="source")
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
    times = Counter(n.casefold() for n in names)
    return {n for n in names if times[n.casefold()] > 1}


def refuse_twins(name: str, used: set[str], found: Sequence[str]) -> None:
    if twins := sorted(_twins(found) & used):
        raise RepeatedName(
            f"study {name!r} has several columns called {twins[0]} but for upper and lower case; "
            "DuckDB cannot tell them apart, so rename one in the source",
            study=name,
        )
