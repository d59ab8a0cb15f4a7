"""What an application hears that listens to the logger "duckemcc": what was done, how much of it, and for how long."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import duckdb
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.run import run_job

CELLS = {"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [4, 3, 2, 1], "Site": ["hunter2"] * 2 + ["sesame"] * 2}


@pytest.fixture
def job(tmp_path):
    pl.DataFrame(CELLS).write_csv(tmp_path / "registry.csv")
    (tmp_path / "job.toml").write_text(
        'queries = "ACE(X=1, Y=1)"\nby = "Site"\n[model]\ngraph = "X -> Y; X {0, 1}; Y {0, 1}"\n'
        '[[studies]]\nsource = "${DATA}.csv"\nweight = "n"\n[output]\nfile = "${DATA}_bounds.csv"\nreport = "r.html"\n'
    )
    return read_job(tmp_path / "job.toml", {"DATA": "registry"})


def heard(caplog):
    return [f"{r.levelname} {r.getMessage()}" for r in caplog.records if r.name.split(".")[0] == "duckemcc"]


def test_a_job_tells_what_was_counted_compiled_learned_bounded_and_written(job, caplog):
    with caplog.at_level(logging.DEBUG, "duckemcc"):
        run_job(job)
    told = [re.sub(r"\d+\.\d{3} s", "t s", line) for line in heard(caplog)]
    assert told == [
        "INFO counted source 1 of 1: 1 studies, 4 patterns, t s",
        "DEBUG compiled 1 segments of one kind: 2 patterns, 2 groups, t s",
        "INFO learned 1 segments: 2 patterns, 0 steps at most, t s",
        "DEBUG compiled 1 segments of one kind: 2 patterns, 2 groups, t s",
        "INFO learned 1 segments: 2 patterns, 0 steps at most, t s",
        "INFO bounded 1 queries in 2 of 2 segments, t s with compiling and learning",
        "INFO written 2 rows of 29 columns to a file, t s",
    ]


def test_what_is_logged_has_no_value_of_a_record_and_no_name_from_the_environment(job, caplog):
    with caplog.at_level(logging.DEBUG, "duckemcc"):
        run_job(job)
    text = "\n".join(heard(caplog))
    assert text
    assert not [word for word in ("hunter2", "sesame", "registry", "Site", "csv") if word in text]


def test_sql_is_heard_as_well(caplog):
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE records AS SELECT range % 2 AS X, range // 2 % 2 AS Y FROM range(40)")
    with caplog.at_level(logging.INFO, "duckemcc"):
        con.execute("FROM emcc_bounds('X -> Y', 'P(Y=1)', 'records')").fetchall()
        con.execute("FROM emcc_compatibility('X -> Y', 'records')").fetchall()
    assert [line.split()[1] for line in heard(caplog)] == ["learned", "bounded", "learned", "tested"]


def test_nothing_is_heard_by_default(tmp_path):
    code = (
        "import duckemcc as emcc, polars as pl\n"
        "emcc.bounds('X -> Y', pl.DataFrame({'X': [0, 1], 'Y': [0, 1]}), 'P(Y=1)')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
