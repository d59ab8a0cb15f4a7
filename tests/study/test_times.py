"""Segments by dates and times: what Python has is a segment everywhere, what it has not is refused by name in Python,
and answered in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from postgres import execute

import duckemcc as emcc
from duckemcc.errors import UnsupportedColumn
from duckemcc.serve.cli.main import cli

GRAPH = "X -> Y; X <-> Y"
STRANGE = [
    ("DATE", "infinity"),
    ("DATE", "-infinity"),
    ("DATE", "0044-03-15 (BC)"),
    ("DATE", "0001-12-31 (BC)"),
    ("DATE", "10000-01-01"),
    ("TIMESTAMP", "infinity"),
    ("TIMESTAMP", "-infinity"),
    ("TIMESTAMP", "0044-03-15 (BC) 01:02:03"),
    ("TIMESTAMP", "290000-01-01 00:00:00"),
    ("TIMESTAMP_S", "infinity"),
    ("TIMESTAMP_S", "10000-01-01 00:00:00"),
    ("TIMESTAMP_MS", "-infinity"),
    ("TIMESTAMP_NS", "infinity"),
    ("TIMESTAMPTZ", "infinity"),
    ("TIMESTAMPTZ", "0044-03-15 (BC) 01:02:03+00"),
    ("TIME", "24:00:00"),
]
PLAIN = [
    ("DATE", "0001-01-01", date(1, 1, 1)),
    ("DATE", "9999-12-31", date(9999, 12, 31)),
    ("TIMESTAMP", "9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("TIMESTAMP_S", "0001-01-01 00:00:00", datetime(1, 1, 1)),
    ("TIMESTAMP_NS", "1800-01-01 00:00:00", datetime(1800, 1, 1)),
    ("TIMESTAMPTZ", "9999-12-31 23:59:59+00", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("TIME", "23:59:59.999999", time(23, 59, 59, 999999)),
]


@pytest.fixture(scope="module")
def registered():
    con = duckdb.connect()
    emcc.register(con)
    return con


@pytest.fixture
def con(registered):
    registered.execute("SET TimeZone = 'UTC'")
    return registered


def fill(con, kind, value):
    """Half of the records have this value, the others none."""
    con.execute(
        f"""CREATE OR REPLACE TABLE t AS SELECT (i % 2)::INT AS X, (i // 2 % 2)::INT AS Y,
            CASE WHEN i % 3 = 0 THEN '{value}' END::{kind} AS "day" FROM range(60) AS r(i)"""
    )


def ask(source, **options):
    return emcc.bounds(GRAPH, source, "P(Y=1)", by="day", **options)


@pytest.mark.parametrize(("kind", "value"), STRANGE)
def test_a_date_that_python_lacks_is_refused_by_its_column_and_value(con, tmp_path, kind, value):
    if kind in ("TIMESTAMP_S", "TIMESTAMP_MS") and "infinity" in value and int(duckdb.__version__.split(".")[0]) < 2:
        pytest.skip("before 2.0 DuckDB refuses such a value itself, without its column")
    fill(con, kind, value)
    con.execute(f"COPY t TO '{tmp_path}/t.parquet'")
    arrow = con.table("t").to_arrow_table()
    sources = [emcc.Study("t", con=con), emcc.Studies("t", con=con), emcc.Study(con.table("t")), emcc.Study(arrow)]
    for source in [*sources, arrow.to_reader()]:
        with pytest.raises(UnsupportedColumn) as wrong:
            ask(source)
        assert "day" in str(wrong.value)
        assert value in str(wrong.value)
    for other in (emcc.compatibility, emcc.frequencies):
        with pytest.raises(UnsupportedColumn):
            other(GRAPH, emcc.Study("t", con=con), by="day")
    with pytest.raises(UnsupportedColumn):  # Parquet has no seconds: the value may be another that is as strange
        ask(emcc.Study(tmp_path / "t.parquet"))


@pytest.mark.parametrize(("kind", "value"), STRANGE)
def test_sql_answers_for_a_date_that_python_lacks(con, kind, value):
    fill(con, kind, value)
    asked = f"SELECT day::VARCHAR, status, lower FROM emcc_bounds_by('{GRAPH}', 'P(Y=1)', 't', 'day')"
    alone = f"SELECT day::VARCHAR, a.status, a.lower FROM (SELECT day, emcc('{GRAPH}', 'P(Y=1)', struct_pack(X, Y)) a"
    for sql in (asked, f"{alone} FROM t GROUP BY day)"):
        assert sorted(con.sql(sql).fetchall(), key=str) == sorted(
            [(None, "identified", 0.5), (value, "identified", 0.5)], key=str
        )


@pytest.mark.parametrize(("kind", "value", "python"), PLAIN)
def test_a_date_that_python_has_is_a_segment(con, kind, value, python):
    fill(con, kind, value)
    arrow = con.table("t").to_arrow_table()
    for source in (emcc.Study("t", con=con), arrow, pl.from_arrow(arrow)):
        found = ask(source)
        assert found["day"].to_pylist() == [None, python]
        assert found["n"].to_pylist() == [40, 20]


def test_the_zone_decides_whether_the_last_hour_is_a_date_of_python(con):
    fill(con, "TIMESTAMPTZ", "9999-12-31 23:59:59+00")
    con.execute("SET TimeZone = 'Asia/Tokyo'")
    with pytest.raises(UnsupportedColumn, match="9999-12-31"):
        ask(emcc.Study("t", con=con))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pl.Series([2**31 - 1, 0], dtype=pl.Int32).cast(pl.Date), "infinity"),
        (pl.Series([-735_000, 0], dtype=pl.Int32).cast(pl.Date), "0044-08-22 (BC)"),
        (pl.Series([2**62, 0]).cast(pl.Datetime("ms")), "146140482"),
        (pl.Series([2**60, 0]).cast(pl.Datetime("us", "Europe/Rome")), "38504-"),
        (pl.Series([2**62, 0]).cast(pl.Duration("ms")), "53375995583 days"),
    ],
)
def test_polars_frames_are_refused_alike(values, shown):
    frame = pl.DataFrame({"X": [0, 1], "Y": [1, 0], "day": values})
    with pytest.raises(UnsupportedColumn) as wrong:
        ask(frame)
    assert f"by day = {shown}" in str(wrong.value)
    with pytest.raises(UnsupportedColumn):
        ask(emcc.Studies(frame))


def test_durations_and_clocks_that_python_has_are_segments():
    for value in (timedelta(days=3), time(0)):
        assert ask(pl.DataFrame({"X": [0, 1], "Y": [1, 0], "day": [value, None]}))["day"].to_pylist() == [None, value]


def test_the_column_is_told_as_the_source_spells_it():
    table = pa.table({"X": [0, 1], "Y": [1, 0], "DAY": pa.array([2**31 - 1, None], pa.int32()).cast(pa.date32())})
    with pytest.raises(UnsupportedColumn, match="by DAY = infinity"):
        ask(table)


def test_a_job_ends_with_the_column_and_the_value(con, tmp_path):
    fill(con, "DATE", "infinity")
    con.execute(f"COPY t TO '{tmp_path}/t.parquet'")
    (tmp_path / "job.toml").write_text(
        f'queries = ["P(Y=1)"]\nby = "day"\n[model]\ngraph = "{GRAPH}"\n[[studies]]\nsource = "t.parquet"\n'
        '[output]\nfile = "bounds.csv"\nreport = "report.html"\n'
    )
    for command in ("run", "check", "counts"):
        done = CliRunner().invoke(cli, [command, str(tmp_path / "job.toml")])
        assert isinstance(done.exception, UnsupportedColumn)
        assert "day = infinity" in str(done.exception)
    assert not (tmp_path / "bounds.csv").exists()


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("date", "infinity", "infinity"),
        ("date", "-infinity", "-infinity"),
        ("date", "0044-03-15 BC", "0044-03-15 (BC)"),
        ("timestamp", "infinity", "infinity"),
        ("timestamptz", "-infinity", "-infinity"),
        ("timestamp", "10000-01-01", "10000-01-01"),
        ("time", "24:00:00", "24:00:00"),
    ],
)
def test_postgres_tables_are_refused_alike(postgres, kind, value, shown):
    records = f"""SELECT 1 AS "X", i AS "Y", '{value}'::{kind} AS day FROM generate_series(0, 1) AS i"""
    execute(postgres, f"CREATE TABLE t AS {records}")
    with pytest.raises(UnsupportedColumn) as wrong:
        ask(emcc.Study("t", con=postgres))
    assert f"by day = {shown}" in str(wrong.value)
