"""What a job leaves behind: a report of whatever it found, and files that other programs can open."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import date

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.answer.api import count_studies
from duckemcc.answer.closely import answer_closely
from duckemcc.answer.options import Clock, Options
from duckemcc.errors import OptionError
from duckemcc.serve.cli.main import cli
from duckemcc.serve.job.formats import read_result_file, to_csv
from duckemcc.serve.job.output import fill

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
def test_a_segment_that_is_looked_at_has_the_rows_that_it_has_elsewhere(by):
    model, options = emcc.Model.parse(GRAPH), Options()
    studies = [emcc.Study(TRIAL, weight="n", name="trial"), emcc.Study(CONTRARY, weight="n", name="contrary")]
    tables = count_studies(model, studies, options, by)
    query = "ACE(X=1, Y=1)"
    found = answer_closely(model, tables, [(query, emcc.query(query))], by, options, Clock(None))
    assert found.bounds.equals(emcc.bounds(model, studies, query, by=by))
    assert found.compatibility.equals(emcc.compatibility(model, studies, by=by))
    assert found.frequencies.equals(emcc.frequencies(model, studies, by=by))


# -- spreadsheets ----------------------------------------------------------------------------------

FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "=", "--", "＝1", "'=1", "''+1"]
PLAIN = ["north", "", "-1", "-0.5", "+", "-", "a=b", "'quoted'", '"x"', "1-2", "ä, b", "two\nlines"]


def read_cells(text):
    """The cells as a spreadsheet gets them, by Python's own reader."""
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_begins_with_a_quote(text):
    (heading, _), (cell, number) = read_cells(to_csv(pa.table({text: [text], "n": [-1.5]})))
    assert heading == cell == f"'{text}"
    assert number == "-1.5"


@pytest.mark.parametrize("text", PLAIN)
def test_any_other_text_is_written_as_it_is(text):
    assert read_cells(to_csv(pa.table({"a": [text], "n": [1]})))[1] == [text, "1"]


def test_numbers_dates_and_missing_values_stay_what_they_are():
    table = pa.table({"i": [-1, None], "x": [-0.5, -math.inf], "d": [date(2024, 1, 2), None], "b": [True, None]})
    assert read_cells(to_csv(table))[1:] == [["-1", "-0.5", "2024-01-02", "true"], ["", "-inf", "", ""]]


def test_enums_and_dictionaries_are_texts():
    values = pa.array(["=1", None, "x"]).dictionary_encode()
    assert read_cells(to_csv(pa.table({"a": values, "n": [1, 2, 3]})))[1:] == [["'=1", "1"], ["", "2"], ["x", "3"]]


def test_a_job_writes_no_formula(tmp_path):
    by = TRIAL.with_columns(Site=pl.Series(["=1+1", "=1+1", "-1", "-1"]))
    by.write_csv(tmp_path / "trial.csv")
    (tmp_path / "job.toml").write_text(
        'queries = ["P(Y=1)"]\nby = "Site"\n[model]\ngraph = "X -> Y; X <-> Y"\n'
        '[[studies]]\nsource = "trial.csv"\nweight = "n"\n'
        '[output]\nfile = "bounds.csv"\n'
    )
    assert invoke("run", tmp_path / "job.toml").exit_code == 0
    rows = read_cells((tmp_path / "bounds.csv").read_text())
    assert [row[0] for row in rows] == ["Site", "-1", "'=1+1"]
    assert invoke("check", tmp_path / "job.toml", "--out", tmp_path / "check.csv").exit_code == 0
    cells = [cell for row in read_cells((tmp_path / "check.csv").read_text()) for cell in row]
    assert "'=1+1" in cells
    assert "=1+1" not in cells
    assert "\n0,0,'=1+1" in "\n" + invoke("counts", tmp_path / "job.toml").stdout.replace("trial,[],", "")


# -- results read back -----------------------------------------------------------------------------


@pytest.fixture
def result(tmp_path):
    """Two segments, of which one has no answer, and a name that needs a quote."""
    frame = pl.concat([TRIAL.with_columns(Site=pl.lit("=a")), TRIAL.with_columns(Site=pl.lit("10"))])
    frame = pl.concat([frame, TRIAL.with_columns(Site=pl.lit(None, pl.String), n=pl.lit(0, pl.Int64))])
    studies = emcc.Study(frame, weight="n", name="trial")
    return emcc.bounds("X -> Y; X <-> Y", studies, ["P(Y=1)", "ACE(X=1, Y=1)"], by="Site", confidence=0.9)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_what_a_job_writes_is_read_back_whole_whatever_it_is_called(tmp_path, result, ending):
    fill(tmp_path / "anything.dat", result, ending)
    found = read_result_file(str(tmp_path / "anything.dat"))
    assert found.to_pylist() == result.to_pylist()
    for name, kind in zip(found.schema.names, found.schema.types, strict=True):
        assert name == "Site" or kind == result.schema.field(name).type


def test_infinite_gaps_are_read_back(tmp_path, result):
    gap = result.column_names.index("loglik_gap")
    infinite = result.set_column(gap, "loglik_gap", pa.array([math.inf] * result.num_rows))
    for ending in (".csv", ".json"):
        fill(tmp_path / "b", infinite, ending)
        assert set(read_result_file(str(tmp_path / "b"))["loglik_gap"].to_pylist()) == {math.inf}


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_plot_draws_any_file_that_a_job_writes(tmp_path, result, ending):
    pytest.importorskip("matplotlib")
    fill(tmp_path / f"b{ending}", result, ending)
    assert invoke("plot", tmp_path / f"b{ending}", tmp_path / "x.svg").exit_code == 0
    fill(tmp_path / "b.parquet", result, ".parquet")
    assert invoke("plot", tmp_path / "b.parquet", tmp_path / "y.svg").exit_code == 0
    level = "90 % " if ending != ".parquet" else ""  # Parquet's metadata tell it
    assert texts_of(tmp_path / "x.svg") == [text.removeprefix(level) for text in texts_of(tmp_path / "y.svg")]


def texts_of(picture):
    return re.findall(r"<!-- (.*?) -->", picture.read_text())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PAR1 and no more", "cannot be read as Parquet"),
        (b"[1, 2", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[1, 2]", "no table of bounds"),
        (b'{"lower": 1}', "no table of bounds"),
        (b"a,b\n1,2\n", "no table of bounds"),
        (b"a,b\n1,2,3\n", "cannot be read as CSV|no table of bounds"),
        (b"\xff\xfe\xfd", "cannot be read as CSV|no table of bounds"),
        (b"\x89PNG\r\n\0\0", "neither Parquet nor text"),
        (b"12345678DUCK", "a DuckDB database"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, content, said):
    (tmp_path / "b.csv").write_bytes(content)
    with pytest.raises(OptionError, match=said):
        read_result_file(str(tmp_path / "b.csv"))


@pytest.mark.parametrize(("column", "value"), [("lower", "wide"), ("kept", "1.5"), ("converged", "maybe")])
def test_a_result_that_somebody_changed_is_told(tmp_path, result, column, value):
    fill(tmp_path / "b.csv", result, ".csv")
    rows = read_cells((tmp_path / "b.csv").read_text())
    rows[1][rows[0].index(column)] = value
    with (tmp_path / "b.csv").open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    with pytest.raises(OptionError, match="cannot be read as CSV"):
        read_result_file(str(tmp_path / "b.csv"))


def test_a_file_that_is_not_there_is_told():
    for path in ("no.csv", ".", "a\0b"):
        with pytest.raises(OptionError, match="cannot be read"):
            read_result_file(path)
