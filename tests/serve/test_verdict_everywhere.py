"""A violated independence of the graph is told by every way in: Python, SQL, the command line, the report."""

from __future__ import annotations

import itertools

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.serve.cli.main import cli

COUNTS = [202, 22, 202, 22, 22, 2, 2, 22, 22, 2, 2, 22, 202, 22, 202, 22]
ROWS = [(*cell, n) for cell, n in zip(itertools.product((0, 1), repeat=4), COUNTS, strict=True)]
FRAME = pl.DataFrame(ROWS, schema=["A", "B", "X", "Y", "n"], orient="row")
GRAPH = "A -> X; B -> X; A -> Y; B -> Y; X -> Y"
ACE = "ACE(X=1, Y=1)"


@pytest.fixture
def folder(tmp_path):
    FRAME.write_parquet(tmp_path / "records.parquet")
    (tmp_path / "job.toml").write_text(
        f'queries = ["{ACE}"]\n[model]\ngraph = "{GRAPH}"\n[[studies]]\nsource = "records.parquet"\nweight = "n"\n'
        '[output]\nfile = "bounds.json"\nreport = "report.html"\n'
    )
    return tmp_path


def test_bounds_and_the_report_agree_on_the_claim_that_failed():
    study = emcc.Study(FRAME, weight="n", name="records")
    for level in (0.01, None):
        row = emcc.bounds(GRAPH, study, ACE, level=level).to_pylist()[0]
        assert row["status"] == "incompatible"
        assert row["lower"] is None
        assert "A" in row["fault"]
        assert "B" in row["fault"]
        whole, own = emcc.compatibility(GRAPH, study, level=level).to_pylist()
        assert not whole["compatible"]
        assert not own["compatible"]
        assert (whole["misfit"], whole["p_value"]) == (row["misfit"], row["p_value"])
    assert emcc.bounds(f"A -> B; {GRAPH}", study, ACE).to_pylist()[0]["lower"] == pytest.approx(0.0806, abs=1e-4)
    assert emcc.bounds(f"U: A, B; {GRAPH}", study, ACE).to_pylist()[0]["lower"] == pytest.approx(0.0806, abs=1e-4)


def test_the_command_line_ends_with_3_and_says_no(folder):
    done = CliRunner().invoke(cli, ["check", str(folder / "job.toml")])
    assert done.exit_code == 3
    assert "NO" in done.output
    assert CliRunner().invoke(cli, ["run", str(folder / "job.toml")]).exit_code == 3


def test_the_headline_of_the_report_says_that_the_records_contradict_the_graph(folder):
    CliRunner().invoke(cli, ["run", str(folder / "job.toml")])
    text = (folder / "report.html").read_text()
    assert "contradict" in text
    assert "agree with the graph and with each other" not in text


def test_sql_gives_the_verdict_of_python():
    con = duckdb.connect()
    emcc.register(con)
    con.register("records", FRAME.to_arrow())
    con.execute(
        "CREATE TABLE studies AS SELECT 'records' AS study, CAST([] AS VARCHAR[]) AS intervened, * FROM records"
    )
    call = f"emcc_bounds('{GRAPH}', '{ACE}', studies := 'studies', weight := 'n')"
    row = con.sql(f"SELECT status, fault, misfit, p_value FROM {call}").fetchall()[0]
    here = emcc.bounds(GRAPH, emcc.Study(FRAME, weight="n", name="records"), ACE).to_pylist()[0]
    assert row == (here["status"], here["fault"], here["misfit"], here["p_value"])
    told = con.sql(
        f"SELECT bool_and(compatible) FROM emcc_compatibility('{GRAPH}', studies := 'studies', weight := 'n')"
    ).fetchall()[0]
    assert told == (False,)
