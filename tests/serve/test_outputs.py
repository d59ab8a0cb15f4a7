"""What a job leaves behind: a report of whatever it found, and files that other programs can open."""

from __future__ import annotations

import json

import polars as pl
import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.serve.ask import count_studies
from duckemcc.serve.cli import cli
from duckemcc.serve.frequencies import tabulate
from duckemcc.serve.options import Clock, Options
from duckemcc.serve.report import report

GRAPH = "X -> Y"
TRIAL = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [90, 10, 10, 90], "Site": ["a"] * 4})
CONTRARY = TRIAL.with_columns(n=pl.Series([50, 50, 90, 10]))
"""P(Y=1 | X=1) is .9 in the first and .1 in the second: no model of the graph has both."""


def invoke(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


def write_job(folder, *, queries='["P(Y=1)", "ACE(X=1, Y=1)"]', by="", more=""):
    TRIAL.write_csv(folder / "trial.csv")
    CONTRARY.write_csv(folder / "contrary.csv")
    (folder / "job.toml").write_text(
        f'queries = {queries}\n{by}\n[model]\ngraph = "{GRAPH}"\n'
        '[[studies]]\nsource = "trial.csv"\nweight = "n"\n[[studies]]\nsource = "contrary.csv"\nweight = "n"\n' + more
    )
    return folder / "job.toml"


# -- without segments ------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["", 'by = "Site"'])
@pytest.mark.parametrize("incompatible", ["null", "report"])
def test_a_job_whose_studies_contradict_each_other_writes_all_its_outputs(tmp_path, by, incompatible):
    """Without `by` there is one segment and no column that tells it: a frame of no columns has no rows to choose."""
    job = write_job(tmp_path, by=by, more=f'[options]\nincompatible = "{incompatible}"\n')
    done = invoke(
        "run", job, "--report", tmp_path / "r.html", "--plot", tmp_path / "p.svg", "--out", tmp_path / "o.json"
    )
    assert (done.exit_code, done.exception.__class__) == (3, SystemExit), done.output
    rows = json.loads((tmp_path / "o.json").read_text())
    assert [row["status"] for row in rows] == ["incompatible"] * 2
    assert all((row["lower"] is None) is (incompatible == "null") for row in rows)
    page = (tmp_path / "r.html").read_text()
    assert page.index("Y=0 | X=1") > 0  # the pattern that contradicts most is shown with its frequencies
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("by", [(), ("Site",)])
def test_a_segment_that_is_picked_has_the_rows_that_it_has_among_all(by):
    model, options, clock = emcc.Model.parse(GRAPH), Options(), Clock(None)
    studies = [emcc.Study(TRIAL, weight="n", name="trial"), emcc.Study(CONTRARY, weight="n", name="contrary")]
    tables = count_studies(model, studies, options, by, clock)
    for make in (report, tabulate):
        assert make(model, tables, by, options, clock, [0]).equals(make(model, tables, by, options, clock))
