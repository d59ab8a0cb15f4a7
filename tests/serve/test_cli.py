"""The command line, as a user types it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

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
    pairs = re.findall(r"(O|I|O\+I)\s*│ \[([\d.]+), ([\d.]+)\] │ \[([\d.]+), ([\d.]+)\] │ bounded", table)
    assert len(pairs) == 12
    exact = [question.exact[data] for question in QUESTIONS for data in ("O", "I", "O+I")]
    for (_, low, high, left, right), (lower, upper) in zip(pairs, exact, strict=True):
        assert (float(left), float(right)) == pytest.approx((lower, upper))
        assert float(left) - 1e-4 <= float(low) <= float(high) <= float(right) + 1e-4


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

    def fail():
        raise SourceError("the file 'x.parquet' does not exist.")

    monkeypatch.setattr(module, "cli", fail)
    with pytest.raises(SystemExit) as stop:
        module.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "SourceError: the file 'x.parquet' does not exist.\n"
