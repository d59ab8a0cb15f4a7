"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.errors import OptionError
from duckemcc.serve.cli.drug_trial import QUESTIONS
from duckemcc.serve.cli.main import cli

SCRIPT = Path(sys.executable).parent / "duckemcc"


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


def test_what_the_demo_prints_as_sql_runs_when_it_is_copied():
    done = subprocess.run([SCRIPT, "demo"], capture_output=True, text=True, timeout=300, check=True)
    sql = done.stdout[: done.stdout.index("Table 1: was")]
    assert sql.count("FROM emcc_bounds(") == 6
    con = duckdb.connect()
    emcc.register(con)
    for statement in re.split(r";\n", sql):
        if statement.strip():
            found = con.execute(statement).fetchall()
    assert len(found) == 3


# -- examples ----------------------------------------------------------------------------------

HELPS = ("", *cli.commands)


def help_of(command):
    return invoke(*command.split(), "--help").output


def examples_of(command):
    """The commands that a help shows, and the job of `run`."""
    return re.findall(r"(?:^|  )(duckemcc .+)$", help_of(command), re.MULTILINE)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A folder with what the examples read: the job that `run --help` shows, its studies, an older table."""
    folder = tmp_path_factory.mktemp("help")
    text = help_of("run")
    job = text[text.index("  title = ") : text.index("\nOptions:")]
    (folder / "job.toml").write_text(job)
    con = duckdb.connect()
    con.execute(emcc.read_sql("drug_trial"))
    con.execute(f"COPY (SELECT Treatment, Survival FROM trial, range(trial.n)) TO '{folder}/trial.parquet'")
    con.execute(f"COPY registry TO '{folder}/registry.csv'")
    for out in ("old.parquet", "bounds.parquet"):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert invoke("run", "job.toml", "--out", out).exit_code == 0
    return folder


@pytest.mark.parametrize("command", HELPS)
def test_every_example_of_every_help_runs(walked, command, monkeypatch):
    monkeypatch.chdir(walked)
    pytest.importorskip("matplotlib")
    found = examples_of(command)
    assert found
    for example in found:
        assert example.split()[1] == (command or example.split()[1])
        done = invoke(*shlex.split(example)[1:])
        assert done.exit_code == 0, (example, done.output, done.exception)


def test_the_group_begins_with_an_example_of_most_commands():
    assert {example.split()[1] for example in examples_of("")} == {"demo", "explain", "run", "check", "counts"}


# -- Ctrl-C --------------------------------------------------------------------------------------

SLOW = "CREATE VIEW slow AS SELECT (range % 2)::INT AS X, (hash(range) % 2)::INT AS Y FROM range(100000000000)"
"""Minutes of work for DuckDB."""


def stop(words, folder, wait=None, environ=None):
    """Exit code and stderr of a command that is stopped `wait` seconds after its start, or once it says so."""
    process = subprocess.Popen(
        [SCRIPT, *words] if isinstance(words[0], str) else [sys.executable, *words[0]],
        cwd=folder,
        env=os.environ | (environ or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if wait is None:
        assert process.stdout.readline() == "now\n"
    else:
        time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


COUNTING = """
import sys, threading
from duckemcc.serve.cli import main as cli
from duckemcc.study.count import duckdb
sys.argv = ["duckemcc", {command!r}, "job.toml"]
count = duckdb._count
def tell(*asked):  # once DuckDB is at work
    threading.Timer(0.5, print, ["now"], {{"flush": True}}).start()
    return count(*asked)
duckdb._count = tell
cli.take_ctrl_c()
cli.main()
"""
"""A command that says when it counts."""


def assert_stopped(found):
    code, told = found
    assert code == 130, told
    assert told == "stopped; nothing was written\n"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
@pytest.mark.parametrize("words", [["demo"], ["run", "job.toml"], ["--version"]])
def test_ctrl_c_while_the_program_is_imported_is_one_line(tmp_path, words):
    (tmp_path / "numpy.py").write_text("import time\nprint('now', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), str(Path(emcc.__file__).parents[1])])
    assert_stopped(stop(words, tmp_path, environ={"PYTHONPATH": path}))


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_in_the_demo_is_one_line(tmp_path):
    code = (
        "import sys, time; sys.argv = ['duckemcc', 'demo']\n"
        "from duckemcc.serve.cli import main as cli; from duckemcc.serve.duckdb import udf as functions\n"
        "functions.answer = lambda *_: (print('now', flush=True), time.sleep(60))\n"
        "cli.main()"
    )
    assert_stopped(stop([["-c", code]], tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
@pytest.mark.skipif(duckdb.__version__ < "2", reason="duckdb 1 lets no thread of Python run while it counts")
@pytest.mark.parametrize("command", ["run", "check", "counts", "explain"])
def test_ctrl_c_while_a_study_is_counted_is_one_line(tmp_path, command):
    with duckdb.connect(str(tmp_path / "slow.duckdb")) as con:
        con.execute(SLOW)
    (tmp_path / "job.toml").write_text(
        'queries = "P(Y=1)"\ndatabase = "slow.duckdb"\n[model]\ngraph = "X -> Y"\n[[studies]]\nsource = "slow"\n'
        '[output]\nfile = "bounds.parquet"\n'
    )
    assert_stopped(stop([["-c", COUNTING.format(command=command)]], tmp_path))
    assert not (tmp_path / "bounds.parquet").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_in_a_benchmark_is_one_line(tmp_path):
    code, told = stop(["benchmark", "--models", "9", "--restarts", "5000", "--processes", "1"], tmp_path, wait=3)
    assert code == 130
    assert told.strip() == "stopped; give --out to keep what is done"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_takes_half_written_files_away_and_ends_where_nothing_looks_for_signals(tmp_path):
    code = (
        "import hashlib, sys; sys.argv = ['duckemcc']\n"
        "from duckemcc.serve.cli import main as cli; from duckemcc import files\n"
        "def work(**_):\n"
        "    with files.replace_file('b.csv') as part:\n"
        "        part.write_text('half'); print('now', flush=True)\n"
        "        hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)\n"  # minutes in C, without a look at signals
        "cli.cli = work; cli.main()"
    )
    assert_stopped(stop([["-c", code]], tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_program_that_calls_the_command_keeps_its_own_ctrl_c(monkeypatch, capsys):
    from duckemcc.serve.cli import main as module

    def pressed(**_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(module, "cli", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a Spark of this process has its own
    try:
        with pytest.raises(SystemExit) as stopped:
            module.main()
        assert stopped.value.code == 130
        assert capsys.readouterr().err == "stopped; nothing was written\n"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_of_an_engine_without_ctrl_c_is_not_hidden(monkeypatch):
    from duckemcc.serve.cli import main as module

    def broken(**_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(module, "cli", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        module.main()


# -- errors --------------------------------------------------------------------------------------


def test_bad_input_ends_with_one_line_and_exit_code_2():
    done = subprocess.run([SCRIPT, "demo", "--restarts", "0"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "0 is not in the range x>=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_program_is_one_line_as_well(monkeypatch, capsys):
    from duckemcc.errors import SourceError
    from duckemcc.serve.cli import main as module

    def fail(**_):
        raise SourceError("the file 'x.parquet' does not exist.")

    monkeypatch.setattr(module, "cli", fail)
    with pytest.raises(SystemExit) as stop:
        module.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "SourceError: the file 'x.parquet' does not exist.\n"


QUICK = ("benchmark", "--models", "2", "--restarts", "3", "--records", "100", "--processes", "1", "--seed", "33")


def test_the_benchmark_prints_the_figures_of_section_6_2_and_draws_figure_3(tmp_path):
    done = invoke(*QUICK, "--figure", str(tmp_path / "figure.png"))
    assert done.exit_code == 0, done.output
    for line in ("models", "compatible", "identified with all data", "shrink of I by O", "time of a model, median"):
        assert line in done.output
    assert re.search(r"models\s*│\s*2 of 2", done.output)
    assert re.search(r"┃ figure\s*┃\s*found ┃", done.output)
    assert f"written: {tmp_path / 'figure.png'}" in done.output
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
    from duckemcc.serve.section62 import benchmark as module

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "benchmark", stop)
    done = invoke(*QUICK)
    assert done.exit_code == 130
    assert "stopped; give --out to keep what is done" in done.output
