"""The command line, as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from duckemcc.errors import OptionError
from duckemcc.serve.cli import cli
from duckemcc.serve.demo import QUESTIONS


def invoke(*words):
    return CliRunner().invoke(cli, list(words))


def test_the_demo_prints_every_bound_beside_the_exact_one_and_the_sql_it_ran():
    done = invoke("demo")
    assert done.exit_code == 0
    assert "CREATE TABLE studies" in done.output
    assert done.output.count("FROM emcc_bounds(") == 6
    table = done.output[done.output.index("Table 1:") :]
    pairs = re.findall(
        r"(O|I|O\+I)\s*│ \[([\d.]+), ([\d.]+)\] │ \[([\d.]+), ([\d.]+)\] │ (?:bounded|identified)", table
    )
    assert len(pairs) == 12
    exact = [question.exact[data] for question in QUESTIONS for data in ("O", "I", "O+I")]
    for (_, low, high, left, right), (lower, upper) in zip(pairs, exact, strict=True):
        assert (float(left), float(right)) == pytest.approx((lower, upper))
        assert (float(low), float(high)) == pytest.approx((float(left), float(right)), abs=1e-4)


def test_the_demo_can_leave_out_the_sql():
    done = invoke("demo", "--quiet", "--restarts", "5")
    assert done.exit_code == 0
    assert "emcc_bounds" not in done.output


def test_help_says_what_the_program_is_for():
    assert "counterfactuals where the data live" in invoke("--help").output
    assert "randomised trial (I)" in invoke("demo", "--help").output


def test_bad_input_ends_with_one_line_and_exit_code_2():
    script = Path(sys.executable).parent / "duckemcc"
    done = subprocess.run([script, "demo", "--restarts", "0"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "0 is not in the range x>=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_program_is_one_line_as_well(monkeypatch, capsys):
    from duckemcc.errors import SourceError
    from duckemcc.serve import cli as module

    def fail(**_):
        raise SourceError("the file 'x.parquet' does not exist.")

    monkeypatch.setattr(module, "cli", fail)
    with pytest.raises(SystemExit) as stop:
        module.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "SourceError: the file 'x.parquet' does not exist.\n"


QUICK = ("benchmark", "--models", "2", "--restarts", "3", "--records", "100", "--processes", "1")


def test_the_benchmark_prints_the_figures_of_section_6_2_and_draws_figure_3(tmp_path):
    done = invoke(*QUICK, "--figure", str(tmp_path / "figure.png"))
    assert done.exit_code == 0, done.output
    for line in ("models", "compatible", "identified with all data", "shrink of I by O", "time of a model, median"):
        assert line in done.output
    assert re.search(r"models\s*│\s*2 of 2", done.output)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_benchmark_prints_json_for_machines_and_nothing_else(tmp_path):
    done = invoke(*QUICK, "--json", "--out", str(tmp_path / "rows.parquet"))
    told = json.loads(done.output)
    assert told["models"] == told["done"] == 2
    assert set(told["credibility"]["O+I"]) == {"3"}
    again = invoke(*QUICK, "--json", "--out", str(tmp_path / "rows.parquet"))
    assert again.output == done.output  # times and all: nothing was run again


def test_a_benchmark_that_cannot_be_drawn_is_refused_before_it_runs(tmp_path):
    done = invoke(*QUICK, "--figure", str(tmp_path / "figure.gif"))
    assert isinstance(done.exception, OptionError)
    assert "its name ends in .png, .svg, .pdf" in str(done.exception)


def test_a_folder_and_a_number_of_models_exclude_each_other():
    done = invoke(*QUICK, "folder")
    assert isinstance(done.exception, OptionError)
    assert "exclude each other" in str(done.exception)


def test_ctrl_c_without_a_file_says_how_to_keep_what_is_done(monkeypatch):
    from duckemcc.serve import benchmark as module

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "benchmark", stop)
    done = invoke(*QUICK)
    assert done.exit_code == 130
    assert "stopped; give --out to keep what is done" in done.output
