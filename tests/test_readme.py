"""The README is tested: its two commands are the only ones, and its examples run. What it leaves to the pages is tested
with them (test_docs.py)."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

import duckemcc as emcc

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_two_commands_are_the_only_shell_blocks():
    assert [block.strip() for block in blocks("sh")] == [
        "python -m pip install . && duckemcc demo",
        "python -m pip install -e '.[test]' && python -m pytest",
    ]


def test_every_python_block_runs(capsys):
    scope = {}
    for block in blocks("python"):
        exec(block, scope)  # later blocks go on from earlier ones, as a reader would
    printed = capsys.readouterr().out
    assert "'status': 'identified'" in printed
    assert scope["table"]["upper"].to_pylist() == pytest.approx([0.3845, 0.279], abs=1e-6)


def test_every_sql_statement_runs():
    con = duckdb.connect()
    emcc.register(con)
    con.execute(emcc.read_sql("drug_trial"))
    con.execute("CREATE TABLE records AS SELECT * EXCLUDE (n) FROM studies, range(n // 10)")
    statements = [re.sub(r"--[^\n]*", "", part).strip() for block in blocks("sql") for part in block.split(";\n")]
    statements = [text.rstrip(";") for text in statements if text.strip(";")]
    assert len(statements) == 4
    for text in statements:
        assert con.execute(text).fetchall(), text
