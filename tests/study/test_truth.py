"""A condition is a boolean: what is none is refused alike by every engine, with the type that was found."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest

from duckemcc.errors import OptionError
from duckemcc.model.scm import Model
from duckemcc.study.count.read import count_study
from duckemcc.study.count.warehouse_sql import counts_sql
from duckemcc.study.study import Study

FRAME = pl.DataFrame(
    {
        "X": [0, 1, 1, 2],
        "Y": [1, 1, 0, 1],
        "g": [0.5, 1, 0, 2],
        "s": ["true", "a", "", "1"],
        "b": [True, False, None, True],
    }
).with_columns(d=pl.date(2024, 1, 1), u=pl.col("X").cast(pl.UInt8))
COLUMNS = ["X", "Y", "g", "s", "b", "d", "u"]
UNTYPED = ["1", "0", "1.5", "'true'", "NULL", "X + 1", "-X", "abs(X)", "lower(s)", "NOT 1", "NOT (NULL)", "X = 1 AND 1"]
UNTYPED += [
    "'t' OR b",
    "(X + Y)",
    "CAST(X AS DOUBLE)",
    "s::VARCHAR",
    "coalesce(NULL, 1)",
    "coalesce(b, 1)",
    "DATE '2024-01-01'",
]
TYPED = ["X", "(X)", "u", "g", "s", "d", "X AND Y", "X = 1 OR Y", "NOT X", "NOT (b AND NOT s)", "coalesce(X, Y)"]
GOOD = {
    "b": 2,
    "NOT b": 1,
    "b AND X = 0": 1,
    "(b) OR X = 1": 4,
    "TRUE": 4,
    "coalesce(b, FALSE)": 2,
    "b IS NULL": 1,
    "b OR NULL": 2,
}


def frames(con):
    con.register("records", FRAME.to_arrow())
    return {"polars": FRAME, "lazy": FRAME.lazy(), "arrow": FRAME.to_arrow(), "duckdb": con.table("records")}


@pytest.fixture(scope="module")
def sources():
    con = duckdb.connect()
    yield frames(con)
    con.close()


@pytest.fixture
def source(request, sources):
    return sources[request.param]


everywhere = pytest.mark.parametrize("source", ["polars", "lazy", "arrow", "duckdb"], indirect=True)


def count(source, where):
    return sum(count_study(Study(source, where=where), ("X",), name="trial").frame["count"])


@everywhere
@pytest.mark.parametrize("where", [*UNTYPED, *TYPED])
def test_what_is_no_boolean_is_refused(source, where):
    with pytest.raises(OptionError, match=r"BOOLEAN; write "):
        count(source, where)


@everywhere
@pytest.mark.parametrize("where", GOOD)
def test_what_is_one_is_taken(source, where):
    assert count(source, where) == GOOD[where]


@pytest.mark.parametrize("where", UNTYPED)
def test_the_sql_for_a_warehouse_is_not_written_for_what_can_be_told_without_types(where):
    with pytest.raises(OptionError, match="BOOLEAN"):
        counts_sql(Model.parse("X -> Y"), Study("records", where=where), dialect="postgres")


@pytest.mark.parametrize(
    ("where", "found", "advice"),
    [
        ("X", "INT", '"X" = 1'),
        ("s", "STRING", '"s" = '),
        ("d", "DATE", '"d" >= '),
        ("NULL", "NULL", "IS NULL"),
    ],
)
def test_the_message_says_the_type_and_what_to_write(where, found, advice):
    with pytest.raises(OptionError) as told:
        count(FRAME, where)
    assert found in str(told.value)
    assert advice in str(told.value)
