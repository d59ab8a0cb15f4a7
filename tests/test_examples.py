"""The examples run, and print what the literature says."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import duckdb
import pytest

import duckemcc as emcc

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name):
    """What an example prints, run in this process, which has imported everything already."""
    printed = io.StringIO()
    # examples read their arguments, which are not pytest's
    with contextlib.redirect_stdout(printed), mock.patch.object(sys, "argv", [name]):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return printed.getvalue()


def interval(line):
    found = re.search(r"\[(-?[\d.]+), (-?[\d.]+)\]", line)
    return float(found[1]), float(found[2])


def test_the_drug_trial_identifies_pns_from_both_studies():
    lines = run("drug_trial.py").splitlines()
    both = lines[lines.index("both") + 1 :]
    assert [interval(line)[0] for line in both] == pytest.approx([0.3845, 0.279, 0.49], abs=1e-3)
    assert all(interval(line)[0] == interval(line)[1] for line in both)


def test_the_vitamin_a_trial_comes_out_as_balke_and_pearl_published_it():
    out = run("vitamin_a.py")
    low, high = interval(out)
    assert -0.1947 <= low <= -0.1940
    assert 0.0050 <= high <= 0.0054
    assert "23682 children" in out
    assert "compatible with the graph: True" in out


def test_the_sql_example_runs_statement_by_statement():
    con = duckdb.connect()
    emcc.register(con)
    con.execute(emcc.read_sql("drug_trial"))
    statements = (EXAMPLES / "drug_trial.sql").read_text().split(";\n")
    rows = []
    for statement in statements:
        text = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip().rstrip(";")
        if text.startswith("SELECT"):
            rows.append(con.execute(text).fetchall())
        elif text:
            con.execute(text)
    assert rows[0] == [("PNS(Treatment=drug, Survival=survived)", 0.3395, 0.4295, "bounded")]
    assert [title for title, *_ in rows[1]] == ["benefit", "effect"]
    assert rows[2] == [("female", 0.279, 0.279), ("male", 0.49, 0.49)]
    assert all(compatible and exact for _, compatible, exact in rows[3])


def test_credibility_is_over_confident_where_the_runs_do_not_spread_evenly():
    out = run("credibility.py")
    assert "exactly [0.0, 0.4295]" in out
    assert re.search(r"dirichlet\(1\) .* share of the range 0\.[234]", out)
    claims = re.findall(r"credibility (0\.\d+), true of (\d+) of 50", out)
    assert len(claims) == 2
    assert all(int(held) / 50 < float(claimed) - 0.3 for claimed, held in claims)


def test_cholestyramine_comes_out_as_balke_and_pearl_published_it():
    lines = run("cholestyramine.py").splitlines()
    assert interval(lines[0]) == pytest.approx((0.392, 0.780), abs=1e-3)
    assert interval(lines[1]) == pytest.approx((0.760, 0.760), abs=1e-3)  # one-sided: identified (Bloom 1984)
    assert lines[1].endswith("identified")
    assert "evaluates to 0.3920" in lines[3]


def test_logs_narrow_what_the_ab_test_leaves_open_and_keep_the_truth():
    lines = run("ab_test.py").splitlines()
    split = lines.index("test and logs")
    alone, joined = (
        {line.split()[0]: (interval(line), float(re.search(r"truth ([\d.]+)", line)[1])) for line in part}
        for part in (lines[1:split], lines[split + 1 :])
    )
    assert set(alone) == {"free", "team", "enterprise"}
    for plan, ((low, high), truth) in joined.items():
        assert alone[plan][0][0] + 0.01 < low <= truth <= high


def test_a_contradiction_is_found_where_it_is():
    out = run("contradiction.py")
    assert "bounds [None, None]: incompatible" in out
    assert re.search(r"registry .*compatible: True", out)
    assert re.search(r"all together .*compatible: False", out)
    assert re.search(r"trial\[Drug=yes\] .*observed 0\.300", out)
    assert "[0.400, 0.900] by the registry alone, 0.300 in the trial" in out
    assert "still incompatible" in out


def test_the_picture_of_the_readme_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "table_1.svg"
    done = subprocess.run([sys.executable, EXAMPLES / "table_1_picture.py", path], timeout=120, check=False)
    assert done.returncode == 0
    assert "<svg" in path.read_text()


def test_every_example_is_run_by_a_test():
    here = {p.name for p in EXAMPLES.iterdir() if p.is_file()}
    tests = "".join(p.read_text() for p in Path(__file__).parent.rglob("test_*.py"))
    assert {name for name in here if name not in tests} == set()
