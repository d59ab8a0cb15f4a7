"""The README is tested: its examples run, and every public name stands in it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.serve.options import Options
from duckemcc.serve.result import COLUMNS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
ERRORS = [n for n, c in vars(emcc.errors).items() if inspect.isclass(c) and issubclass(c, emcc.DuckEmccError)]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def named(word):
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", README) is not None


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


@pytest.mark.parametrize("name", [n for n in emcc.__all__ if n != "errors"])
def test_every_public_name_stands_in_the_readme(name):
    assert named(name) or f"emcc.{name}" in README


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_stands_in_the_readme(name):
    assert named(name)


@pytest.mark.parametrize("name", list(Options.__dataclass_fields__))
def test_every_option_stands_in_the_readme(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_column_of_the_result_stands_in_the_readme(name):
    assert f"`{name}`" in README


def test_every_sql_function_stands_in_the_readme():
    for name in re.findall(r"CREATE OR REPLACE MACRO (\w+)", emcc.read_sql("macros")):
        assert f"{name}(" in README or f"`{name}`" in README
