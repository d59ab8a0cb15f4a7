"""Whole jobs that are killed at any moment: their outputs are the old ones or the new ones, never a part."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from statistics import median

import duckdb
import polars as pl
import pytest
from pyarrow import parquet

KILLS = 100
SEGMENTS = 12
TARGETS = {"file": 'file = "bounds.parquet"', "table": 'database = "out.duckdb"\ntable = "bounds"'}


def prepare(folder, target, number):
    """A job whose title and whose number of records say which it is."""
    sites = [f"site {i}" for i in range(SEGMENTS)]
    rows = [{"X": x, "Y": y, "Site": s, "n": 1 if x or y else number} for s in sites for x in (0, 1) for y in (0, 1)]
    pl.DataFrame(rows).write_parquet(folder / "trial.parquet")
    (folder / "job.toml").write_text(
        f'title = "Job {number}"\nqueries = ["ACE(X=1, Y=1)"]\nby = "Site"\n[model]\ngraph = "X -> Y; X <-> Y"\n'
        f'[[studies]]\nsource = "trial.parquet"\nweight = "n"\n[output]\n{TARGETS[target]}\nreport = "report.html"\n'
    )


def start(folder):
    code = "from duckemcc.serve.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", str(folder / "job.toml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MPLBACKEND": "agg"},
    )


def read_table(folder, target):
    """The number of the job that wrote the table, which is whole."""
    if target == "file":
        table = parquet.read_table(folder / "bounds.parquet")
    else:
        with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as con:
            table = con.table("bounds").to_arrow_table()
    assert table["Site"].to_pylist() == sorted(f"site {i}" for i in range(SEGMENTS))
    (n,) = set(table["n"].to_pylist())
    return int(n) - 3


def read_report(folder):
    text = (folder / "report.html").read_text()
    assert text.rstrip().endswith("</html>")
    (number,) = set(re.findall(r"<title>Job (\d+)", text))
    return int(number)


def wait_for_part(process, folder):
    """Until the process has begun to write, or has ended. The names of parts have its number."""
    while process.poll() is None and not any(f".{process.pid}." in path.name for path in folder.iterdir()):
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("target", list(TARGETS))
def test_a_job_that_is_killed_at_any_moment_leaves_the_old_outputs_or_the_new(tmp_path, target):
    """Half of the kills come at any time of the run, half while outputs are written."""
    chance, wholes, writings = random.Random(5), [], []
    killed, found = 0, {"old": 0, "new": 0}
    number = last = last_report = 0
    while killed < KILLS:
        number += 1
        assert number < 4 * KILLS, f"only {killed} of {number} jobs were still running when they were killed"
        prepare(tmp_path, target, number)
        begun = time.monotonic()
        process = start(tmp_path)
        at_write = number % 2 == 0 or not wholes
        if at_write:
            wait_for_part(process, tmp_path)
        waited = time.monotonic()
        if wholes:
            after = chance.uniform(0, median(writings[-9:]) if at_write else median(wholes[-9:]))
            try:
                process.wait(timeout=after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        code = process.wait(timeout=120)
        assert code in (0, -signal.SIGKILL)
        table, report = read_table(tmp_path, target), read_report(tmp_path)
        assert table in (last, number)
        assert report in (last_report, number)
        if code:
            killed += 1
            found["new" if table == number else "old"] += 1
        else:
            assert table == report == number
            wholes.append(time.monotonic() - begun)
            if at_write:
                writings.append(time.monotonic() - waited)
        last, last_report = table, report
    print(f"\n{target}: {killed} killed of {number} jobs: {found}")
    prepare(tmp_path, target, number + 1)
    assert start(tmp_path).wait(timeout=120) == 0
    outputs = {"file": {"bounds.parquet"}, "table": {"out.duckdb"}}[target]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"trial.parquet", "job.toml", "report.html"} | outputs  # no part of a killed job is left
