"""The counting query: what it reads, and that only names and paths are written into it."""

from __future__ import annotations

import re

import duckdb
import pytest

import duckemcc as emcc
from duckemcc import errors
from duckemcc.serve.duckdb.counting import check_by, write_counts_sql
from duckemcc.serve.duckdb.sources import source_sql

MODEL = emcc.Model.parse("X -> Y")


@pytest.fixture
def con():
    con = duckdb.connect()
    con.execute('CREATE TABLE t AS SELECT 1 + range % 2 AS X, 1 AS y, range % 3 AS "a ""b", 0.25 AS w FROM range(12)')
    return con


@pytest.mark.parametrize(
    ("given", "sql"),
    [
        ("t", '"t"'),
        (" main . t ", '"main"."t"'),
        ('"a ""b".t', '"a ""b"."t"'),
        ("größe", '"größe"'),
        ("a.parquet", "read_parquet('a.parquet')"),
        ("a'b.parquet", "read_parquet('a''b.parquet')"),
        (" dir with space/*.PQ ", "read_parquet('dir with space/*.PQ')"),
        ("s3://b/x.csv.gz", "read_csv('s3://b/x.csv.gz', header := true)"),
        ('"a.parquet"', '"a.parquet"'),
    ],
)
def test_a_source_is_a_name_or_a_path(given, sql):
    assert source_sql(given) == sql


@pytest.mark.parametrize("given", ["a;.csv", "1t", "t t", "a.b.c.d", "t--", 'a"b', "", None, 5, ["t"]])
def test_any_other_source_is_refused(given):
    with pytest.raises(errors.SourceError, match=r"create a view over it|as text"):
        source_sql(given)


def test_one_row_holds_all_counts(con):
    columns, ((segment, patterns),) = [
        [tuple(part.values()) for part in cell] for cell in con.execute(write_counts_sql(MODEL, "t")).fetchall()[0]
    ]
    assert [name for name, _ in columns] == ["X", "y", 'a "b', "w"]
    assert segment is None
    assert [(p["X"], p["y"], p["emcc_count"], p["emcc_bad"]) for p in patterns] == [(1, 1, 6, 0), (2, 1, 6, 0)]
    assert 'a "b' not in patterns[0]


def test_segments_are_sorted_and_keep_their_names(con):
    sql = write_counts_sql(MODEL, "t", "W", ('A "B',))
    segments = con.execute(sql).fetchall()[0][1]
    assert [part["segment"] for part in segments] == [{'A "B': 0}, {'A "B': 1}, {'A "B': 2}]
    assert [[p["emcc_count"] for p in part["patterns"]] for part in segments] == [[0.5, 0.5]] * 3


def test_equal_counts_are_equal_rows(con):
    con.execute("CREATE TABLE shuffled AS FROM t ORDER BY hash(w, X)")
    first, second = (con.execute(write_counts_sql(MODEL, name, "w")).fetchall()[0] for name in ("t", "shuffled"))
    assert first == second


@pytest.mark.parametrize("hostile", ['w") --', "w'; DROP TABLE t", "w\nFROM x"])
def test_names_of_columns_are_quoted(hostile):
    quoted = '"' + hostile.replace('"', '""') + '"'
    for sql in (write_counts_sql(MODEL, "t", hostile), write_counts_sql(MODEL, "t", None, (hostile,))):
        assert quoted in sql
        assert hostile not in re.sub('"(?:[^"]|"")*"', "", sql)


@pytest.mark.parametrize("weight", ["", " ", 1, True, "a\0b", "x"])
def test_a_weight_is_the_name_of_a_column_that_is_no_variable(weight):
    with pytest.raises(errors.OptionError, match="weight is"):
        write_counts_sql(MODEL, "t", weight)


@pytest.mark.parametrize(("by", "names"), [("region", ("region",)), (["a", "b"], ("a", "b"))])
def test_segments_are_one_name_or_a_list(by, names):
    assert check_by(MODEL, by) == names


@pytest.mark.parametrize("by", [None, [], [""], [None], 5, "x", ["a", "Y"], "lower", "STATUS", "count"])
def test_what_cannot_be_a_segment_is_refused(by):
    with pytest.raises(errors.OptionError):
        check_by(MODEL, by)
