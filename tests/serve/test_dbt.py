"""The dbt project in examples/: its table holds the answers that Python gives, and the published ones of Table 1."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import duckemcc as emcc

pytest.importorskip("dbt.adapters.duckdb", reason="needs dbt-duckdb: pip install 'duckemcc[dbt]'")

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "dbt"
MODEL = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
QUERIES = ["PNS(Treatment=drug, Survival=survived)", "PNS(Treatment=drug, Survival=survived | Gender=female)"]


def dbt(project, *command):
    done = subprocess.run(
        [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *command, "--profiles-dir", "."],
        cwd=project,
        env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project in a folder of its own, built: its seed, models and tests."""
    copy = tmp_path_factory.mktemp("dbt") / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb*"))
    code, said = dbt(copy, "build")
    assert code == 0, said
    assert "PASS=7" in said, said
    return copy


@pytest.fixture
def con(project):
    with duckdb.connect(project / "drug_trial.duckdb", read_only=True) as con:
        yield con


def test_the_table_holds_the_answers_that_python_gives(con):
    answers = emcc.bounds(MODEL, emcc.Studies(con.table("studies"), weight="n"), QUERIES, by="region")
    table = con.table("benefit").to_arrow_table()
    assert table.column_names == answers.column_names
    assert table.to_pylist() == answers.to_pylist()


def test_the_readme_shows_the_table_with_what_dbt_brings(project):
    [shown] = [line for line in (PROJECT / "README.md").read_text().splitlines() if "python -c " in line]
    words = shlex.split(shown)
    done = subprocess.run([sys.executable, *words[1:]], cwd=project, capture_output=True, text=True, check=True)
    for word in ("region", "north", "0.3845"):
        assert word in done.stdout


def test_each_region_has_the_published_bounds_of_its_studies(con):
    found = con.sql("SELECT region, lower, upper, status FROM benefit WHERE query NOT LIKE '%|%' ORDER BY region")
    assert found.fetchall() == [
        ("east", 0, 0.4295, "bounded"),
        ("north", 0.3845, 0.3845, "identified"),
        ("south", 0.2795, 0.4895, "bounded"),
        ("west", None, None, "incompatible"),
    ]


def test_the_projects_own_test_fails_where_bounds_are_missing(project, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    with duckdb.connect(copy / "drug_trial.duckdb") as con:
        con.execute("UPDATE benefit SET lower = NULL WHERE region = 'north'").fetchall()
    code, said = dbt(copy, "test", "--select", "lower_is_at_most_upper")
    assert code == 1, said
    assert "Got 2 results" in said


def test_a_model_that_cannot_be_answered_fails_in_the_words_of_this_package(project, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    model = copy / "models" / "benefit.sql"
    model.write_text(model.read_text().replace("Gender=female", "Gendre=female"))
    code, said = dbt(copy, "run", "--select", "benefit")
    assert code == 1, said
    assert "Gendre" in said
    assert "did you mean" in said
