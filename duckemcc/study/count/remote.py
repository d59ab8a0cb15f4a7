"""n(pattern) in PostgreSQL: the counting query is pushed down, and only counts travel, as Arrow. Tables of results go
the other way.

The catalog's own spelling of columns and its types are read first, so that names are matched and types are judged as
they are everywhere. Texts are grouped and compared byte by byte (COLLATE "C"), whatever the database's collation, and
without the blanks that pad a char(n).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlglot
from sqlglot import exp

from duckemcc.errors import RepeatedName, SourceError, given
from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.connection import connected, fetch, reading, run, writing
from duckemcc.study.count.counting_sql import column, count_query, tally
from duckemcc.study.count.opaque import read_decimals
from duckemcc.study.count.times import read_counted
from duckemcc.study.count.types import FLOATS, check_types
from duckemcc.study.count.warehouse_sql import portable, read_source, read_table, write
from duckemcc.study.dialect import fitted
from duckemcc.study.labels import MOST_PATTERNS

if TYPE_CHECKING:
    import polars as pl

_KINDS = {
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "boolean": "boolean",
    "numeric": "decimal",
    "real": "float",
    "double precision": "double",
    "text": "varchar",
    "character varying": "varchar",
    "character": "varchar",
    '"char"': "varchar",
    "name": "varchar",
    "citext": "varchar",
    "enum": "enum",
    "uuid": "uuid",
    "date": "date",
    "time without time zone": "time",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp with time zone",
}
"""PostgreSQL's types as `types.check_types` knows them; any other has no states."""


def count_remote(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """As `read.count_patterns`. Raises NotSupported without the driver, or for another database."""
    study, name = wanted.study, wanted.name
    source = read_source(study.source, "postgres")
    asked = " with " + given("where", study.where) if study.where else ""
    what = f"study {name!r} cannot be read" + asked
    with connected(study.con, what) as con, reading(con, what):
        found = _column_names(con, source)
        columns, condition, used = wanted.match(found)
        _refuse_doubles(name, used, found)
        types = _column_types(con, source, sorted(used))
        check_types(name, columns, types)
        if condition is not None:
            condition = fitted(f"study {name!r}", study.where, condition, types)
            condition = _bytewise(portable(condition, "postgres"), types)
        keys = {k: _key(c, types[c]) for k, c in columns.keys.items()}
        weight = None if columns.weight is None else column(columns.weight)
        is_float = weight is not None and types[columns.weight or ""] in FLOATS
        measures = tally(weight is not None, is_float)
        if weight is not None and is_float:
            weight = exp.cast(weight, "double")
        counted = count_query(source, keys, measures, condition, weight, is_float)
        kinds = {k: types[c] for k, c in columns.keys.items()}
        with wanted.watch(con.adbc_cancel):
            table = fetch(con, write(_as_text(counted, kinds, [*measures]), "postgres"))
    return columns, _frame(table, kinds, name, columns)


# -- the catalog -------------------------------------------------------------------------------


def _column_names(con: Any, source: exp.Expression) -> list[str]:
    return list(fetch(con, write(_no_rows(source), "postgres")).column_names)


def _no_rows(source: exp.Expression) -> exp.Select:
    return exp.select("*").from_(source.copy()).limit(0)


_TYPE = """
    SELECT CASE WHEN b.typtype = 'e' THEN 'enum' ELSE pg_catalog.format_type(b.oid, NULL) END
    FROM pg_catalog.pg_type AS t
    JOIN pg_catalog.pg_type AS b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    WHERE t.oid = pg_catalog.pg_typeof(emcc_column)
"""


def _column_types(con: Any, source: exp.Expression, used: Sequence[str]) -> dict[str, str]:
    """The base types of these columns. One row is made even of a source without rows, as a type is that of a value."""
    template = sqlglot.parse_one(_TYPE, dialect="postgres")
    items = []
    for i, name in enumerate(used):
        filled = template.transform(lambda node, name=name: column(name) if _is_blank(node) else node)
        items.append(exp.alias_(exp.Subquery(this=filled), f"emcc_t{i}"))
    one = exp.select(exp.alias_(exp.Literal.number(1), "emcc_one")).subquery("emcc_row")
    nothing = _no_rows(source).subquery("emcc_nothing")
    query = exp.select(*items).from_(one).join(nothing, on=exp.true(), join_type="left")
    found = fetch(con, write(query, "postgres")).to_pylist()[0] if used else {}
    names = [found[f"emcc_t{i}"] for i in range(len(used))]
    return {c: _KINDS.get(str(n), str(n)) for c, n in zip(used, names, strict=True)}


def _is_blank(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column) and node.name == "emcc_column"


def _refuse_doubles(name: str, used: Collection[str], found: Sequence[str]) -> None:
    for c in sorted(used):
        if list(found).count(c) > 1:
            raise RepeatedName(
                f"study {name!r} has {list(found).count(c)} columns called {c}",
                remedy="rename one in the SELECT",
                study=name,
            )


# -- the query ---------------------------------------------------------------------------------

_TEXTS = ("varchar", "enum")
_SENT_AS_TEXT = ("enum", "uuid", "decimal")  # ADBC has no arrays of these


def _text(node: exp.Expression) -> exp.Expression:
    return exp.cast(node, "text")


def _collated(node: exp.Expression) -> exp.Collate:
    return exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))


def _key(name: str, kind: str) -> exp.Expression:
    return _collated(_text(column(name))) if kind == "varchar" else column(name)


def _bytewise(condition: exp.Expression, types: Mapping[str, str]) -> exp.Expression:
    """Texts are compared as in DuckDB, by their bytes; but lower and ILIKE know letters only by a collation."""

    def compared(node: exp.Expression) -> exp.Expression:
        if not (isinstance(node, exp.Column) and types[node.name] in _TEXTS):
            return node
        return _text(node.copy()) if node.find_ancestor(exp.Lower, exp.ILike) else _collated(_text(node.copy()))

    condition = condition.copy().transform(compared)
    for node in [*condition.find_all(exp.Lower)]:
        if not node.find_ancestor(exp.ILike):
            node.replace(_collated(node.copy()))
    return condition


def _as_text(counted: exp.Select, kinds: Mapping[str, str], measures: Sequence[str]) -> exp.Select:
    """With text for what Arrow would get in a form of its own; cast after the grouping, for it is fewer rows."""
    items = [exp.alias_(_text(column(k)), k) if kind in _SENT_AS_TEXT else column(k) for k, kind in kinds.items()]
    limited = exp.select(*items, *map(column, measures)).from_(counted.subquery("emcc_counted"))
    return limited.limit(MOST_PATTERNS + 1)


# -- the result --------------------------------------------------------------------------------


def _frame(table: Any, kinds: Mapping[str, str], name: str, columns: Columns) -> pl.DataFrame:
    frame = read_counted(name, columns, table)
    numbers = [k for k, kind in kinds.items() if kind == "decimal"]
    called = dict(zip(columns.keys, columns.keys.values(), strict=True))
    return frame.with_columns(read_decimals(frame[k], name, called[k]) for k in numbers)


# -- tables of results -------------------------------------------------------------------------


def write_table(place: Any, name: str, rows: Any, check: Callable[[Any], None] = lambda con: None) -> None:
    """Writes an Arrow table as the table `name` ("table" or "schema.table"), in place of its old rows, in one
    transaction: until that is committed, and if anything goes wrong, everybody sees the old ones.

    place: an address "postgresql://…", or an ADBC connection; in a transaction of the user's that is open there, the
    table is written with it. A table whose columns are the same keeps its grants, indexes and views; otherwise it is
    made anew. check: called in the transaction, with its connection, before anything is changed; may raise.
    Raises SourceError, NotSupported.
    """
    what = f"the table {name} cannot be written"
    target = read_table(name, "postgres", f"{what}: {name!r} is no name of a table; give table or schema.table")
    text = write(target, "postgres")
    new = f"emcc_new_{uuid4().hex[:16]}"
    with connected(place, what) as con, writing(con, what):
        check(con)
        with con.cursor() as cursor:
            cursor.adbc_ingest(new, rows, mode="create", temporary=True)
        kind = _relation_kind(con, text)
        if kind not in (None, "r", "p"):
            raise SourceError(f"{what}: it is a view or the like", remedy="give the name of a table")
        if kind is not None and _layout(con, text) == _layout(con, new):
            names = ", ".join(write(column(c), "postgres") for c in rows.schema.names)
            run(con, f"LOCK TABLE {text} IN SHARE ROW EXCLUSIVE MODE")  # or two jobs would both add their rows
            run(con, f"DELETE FROM {text}")
            run(con, f"INSERT INTO {text} ({names}) SELECT {names} FROM {new}")
        else:
            run(con, f"DROP TABLE IF EXISTS {text}")
            run(con, f"CREATE TABLE {text} AS SELECT * FROM {new}")
        run(con, f"DROP TABLE {new}")


def _relation_kind(con: Any, name: str) -> str | None:
    """`pg_class.relkind` of what has this name; None where nothing has."""
    quoted = write(exp.Literal.string(name), "postgres")
    kinds = fetch(
        con, f"SELECT CAST(relkind AS TEXT) AS kind FROM pg_catalog.pg_class WHERE oid = to_regclass({quoted})"
    )
    return next(iter(kinds["kind"].to_pylist()), None)


def _layout(con: Any, name: str) -> list[tuple[str, str]]:
    schema = fetch(con, f"SELECT * FROM {name} LIMIT 0").schema
    return [(field.name, str(field.type)) for field in schema]


# -- what a table is -----------------------------------------------------------------------------


def find_server(con: Any) -> tuple[str, str]:
    """What tells the server and its database from any other, whatever address it was reached by."""
    asked = (
        "SELECT CAST(pg_postmaster_start_time() AS TEXT) AS began, "
        "CAST(oid AS TEXT) AS database FROM pg_catalog.pg_database WHERE datname = current_database()"
    )
    (row,) = fetch(con, asked).to_pylist()
    return row["began"], row["database"]


def find_relations(place: str, source: str) -> tuple[tuple[str, str], set[tuple[str, str]]]:
    """The server of an address, and (schema, table) of all that a source reads there, through views, as the server's
    plan says. Raises SourceError."""
    what = f"the source {source!r} cannot be read"
    query = write(exp.select("*").from_(read_source(source, "postgres")), "postgres")
    with connected(place, what) as con, reading(con, what):
        plan = fetch(con, f"EXPLAIN (FORMAT JSON, VERBOSE) {query}", copy=False).column(0).to_pylist()
        return find_server(con), set(_relations_of(json.loads("".join(map(str, plan)))))


def _relations_of(plan: Any) -> Iterator[tuple[str, str]]:
    todo = [plan]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            todo += node.values()
            if "Relation Name" in node:
                yield str(node.get("Schema")), str(node["Relation Name"])


_PARTS = """
    WITH RECURSIVE emcc_own(oid) AS (
        SELECT to_regclass({name})::oid
        UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN emcc_own AS o ON i.inhparent = o.oid)
    SELECT n.nspname::text AS schema, c.relname::text AS relation
    FROM emcc_own AS o JOIN pg_catalog.pg_class AS c ON c.oid = o.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
"""


def list_parts(con: Any, name: str) -> list[tuple[str, str]]:
    """(schema, table) of a table and its partitions; none if there is no such table."""
    text = write(read_table(name, "postgres", f"{name!r} is no name of a table"), "postgres")
    rows = fetch(con, _PARTS.format(name=write(exp.Literal.string(text), "postgres"))).to_pylist()
    return [(row["schema"], row["relation"]) for row in rows]
