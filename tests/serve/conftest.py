"""A database with `studies`, 96 records of two studies with X and Y; what SQL tests ask of it; a Spark session."""

from __future__ import annotations

import os
import shutil
import sys

import duckdb
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.answer import options
from duckemcc.serve.duckdb import aggregate as groups
from duckemcc.serve.duckdb import cache as remembered
from duckemcc.serve.duckdb import udf as functions

STUDIES = """SELECT range AS id, range % 2 = 0 AS x, ['a', 'b'][1 + (range // 2) % 2]::ENUM('a', 'b', 'unused') AS Y,
    ['o', 't'][1 + (range // 4) % 2] AS study, CASE WHEN (range // 4) % 2 = 1 THEN ['X'] WHEN range % 8 = 0 THEN [] END
    AS intervened, 1.5::DECIMAL(4, 1) AS w, range % 3 AS region FROM range(96)"""


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine does not cut the counting of a few records short, where a test gives no time at all."""
    monkeypatch.setattr(options, "COUNTING", 300.0)


@pytest.fixture
def con():
    con = duckdb.connect()
    emcc.register(con)
    con.execute(f"CREATE TABLE studies AS {STUDIES}").fetchall()
    return con


@pytest.fixture
def make_studies():
    """Creates the table on a connection."""
    return lambda con: con.execute(f"CREATE OR REPLACE TABLE studies AS {STUDIES}").fetchall()


@pytest.fixture
def count():
    """What emcc_bounds counted: the number of records, and of patterns."""

    def count(con, source, more="", model="X -> Y", function="emcc_bounds"):
        sql = f"SELECT n, patterns FROM {function}('{model}', 'P(X=true)', '{source}', restarts := 1{more})"
        (row,) = con.execute(sql).fetchall()
        return row

    return count


@pytest.fixture
def jobs(monkeypatch):
    """The computations that are made, by name; nothing is remembered from before."""
    made = []
    remembered.forget()
    for module, name in ((functions, "write_counts_sql"), (functions, "answer"), (groups, "answer")):
        work = getattr(module, name)
        label = {"write_counts_sql": "sql"}.get(name, module.__name__.split(".")[-1])
        monkeypatch.setattr(module, name, lambda *args, work=work, label=label: [made.append(label), work(*args)][1])
    return made


@pytest.fixture(scope="session")
def spark():
    """A session on two threads, by Spark Connect where SPARK_CONNECT is set; skipped where there is none."""
    pytest.importorskip("pyspark", reason="needs pyspark, of the extra spark")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("needs Java")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    if os.environ.get("SPARK_CONNECT"):
        builder = SparkSession.builder.remote("local[2]")
    else:
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        for name in ("spark.driver.bindAddress", "spark.driver.host"):
            builder = builder.config(name, "127.0.0.1")
        builder = builder.config("spark.log.level", "OFF")
    builder = builder.config("spark.sql.shuffle.partitions", "2")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def to_spark(spark):
    """A polars frame as a Spark DataFrame."""
    return lambda frame: spark.createDataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
