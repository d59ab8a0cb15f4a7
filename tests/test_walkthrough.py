"""A walk through the program as a new user would take it, from an empty folder: demo, a job on Parquet, one on
PostgreSQL, pictures, the report. Each step uses only what the one before it left and what the README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from duckemcc.serve.cli.main import cli

SCRIPT = Path(sys.executable).parent / "duckemcc"

MAKE = """
import duckdb, duckemcc as emcc
con = duckdb.connect()
con.execute(emcc.read_sql("drug_trial"))
con.execute("COPY trial TO 'trial.parquet'; COPY registry TO 'registry.parquet'")
"""

JOB = """
title = "Did the drug help?"
queries = ["PNS(Treatment=drug, Survival=survived)", "PNS(Treatment=drug, Survival=survived | Gender=male)"]

[model]
graph = '''
Gender -> Treatment -> Survival
Gender -> Survival
Treatment <-> Survival
'''

[[studies]]
source = "trial.parquet"
do = "Treatment"
weight = "n"

[[studies]]
source = "registry.parquet"
weight = "n"

[output]
file = "bounds.parquet"
report = "report.html"
"""


def run(folder, *words, code=0, **environ):
    """What a command prints."""
    done = subprocess.run(
        [SCRIPT, *words],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def run_here(folder, *words):
    """The same in this process, which has imported everything already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def printed(folder):
    """What the job prints that is run once."""
    return run(folder, "run", "job.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, in which the studies are written."""
    folder = tmp_path_factory.mktemp("walk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(MAKE, {})
    (folder / "job.toml").write_text(JOB)
    return folder


def test_the_demo_prints_the_published_answers(folder):
    assert "0.3845" in run(folder, "demo", "--quiet")


def test_a_job_on_parquet_files_is_explained_run_checked_and_looked_at(folder, printed):
    assert "64" in run_here(folder, "explain", "job.toml")
    assert "0.3845" in printed
    assert "0.4900" in printed
    assert "all together" in run_here(folder, "check", "job.toml")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Did the drug help?" in page
    assert "0.3845" in page
    rows = json.loads(run_here(folder, "run", "job.toml", "--json"))["rows"]
    assert [row["status"] for row in rows] == ["identified", "identified"]


def test_the_answers_are_drawn(folder, printed):
    pytest.importorskip("matplotlib")
    run(folder, "plot", "bounds.parquet", "bounds.png")
    run_here(folder, "plot", "bounds.parquet", "bounds.svg")
    assert (folder / "bounds.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "bounds.svg").read_text()


def test_a_mistake_is_told_before_anything_is_read(folder):
    (folder / "wrong.toml").write_text(JOB.replace("Survival=survived)", "Survivall=survived)", 1))
    before = (folder / "job.toml").read_bytes()
    done = subprocess.run([SCRIPT, "run", "wrong.toml"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "line 3: the query names 'Survivall'" in done.stderr
    assert (folder / "job.toml").read_bytes() == before


def test_the_same_job_on_postgresql_gives_the_same_answers(folder, postgres):
    import adbc_driver_postgresql.dbapi as adbc
    from pyarrow import parquet

    with adbc.connect(postgres) as con, con.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS clinic CASCADE")
        cursor.execute("CREATE SCHEMA clinic")
        for name in ("trial", "registry"):
            cursor.adbc_ingest(name, parquet.read_table(folder / f"{name}.parquet"), db_schema_name="clinic")
        con.commit()
    job = JOB.replace('source = "trial.parquet"', 'source = "clinic.trial"\nconnection = "${WAREHOUSE}"')
    select = 'source = "SELECT * FROM clinic.registry"\nconnection = "${WAREHOUSE}"\nname = "registry"'
    job = job.replace('source = "registry.parquet"', select)
    job = job.replace('file = "bounds.parquet"', 'connection = "${WAREHOUSE}"\ntable = "clinic.bounds"')
    (folder / "warehouse.toml").write_text(job)
    printed = run(folder, "run", "warehouse.toml", WAREHOUSE=postgres)
    assert "0.3845" in printed
    with adbc.connect(postgres) as con, con.cursor() as cursor:
        cursor.execute("SELECT query, lower, upper, status FROM clinic.bounds ORDER BY lower")
        found = cursor.fetchall()
    local = json.loads(run_here(folder, "run", "job.toml", "--json"))["rows"]
    assert found == [(r["query"], r["lower"], r["upper"], r["status"]) for r in local]


def test_no_half_written_file_is_left_behind(folder):
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
