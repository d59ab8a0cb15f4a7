"""The pages are tested: their examples run, print what they say, and name whatever is public.

Python blocks of a page share a scope and an empty folder, SQL blocks a connection (`con`, if the page has one), TOML
blocks with a title are files in the folder, and `duckemcc` commands run there. A text block is what the block before it
prints, word for word; its decimals may differ in the last digit, as processors round differently.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.answer.options import Options
from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS
from duckemcc.serve.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = README + "".join(p.read_text(encoding="utf-8") for p in PAGES)
ERRORS = [n for n, c in vars(emcc.errors).items() if inspect.isclass(c) and issubclass(c, emcc.DuckEmccError)]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def run_python(code, scope):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, scope)
    return printed.getvalue()


def run_sql(text, scope):
    import duckdb

    if "con" not in scope:
        scope["con"] = duckdb.connect()
        emcc.register(scope["con"])
        scope["con"].execute(emcc.read_sql("drug_trial"))
    for statement in re.sub(r"--[^\n]*", "", text).split(";\n"):
        if statement.strip(" \n;"):
            scope["con"].execute(statement.strip().rstrip(";")).fetchall()
    return ""


def run_shell(text):
    printed = ""
    for line in text.splitlines():
        if line.startswith("duckemcc "):
            done = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            printed += done.output
    return printed


DECIMAL = re.compile(r"-?\d+\.\d+")


def is_same(printed, told):
    """Whether the texts are the same but for the last digit of decimals."""
    if DECIMAL.split(printed) != DECIMAL.split(told):
        return False
    pairs = zip(DECIMAL.findall(printed), DECIMAL.findall(told), strict=True)
    return all(abs(float(p) - float(t)) <= 1.001 * 10.0 ** -len(t.partition(".")[2]) for p, t in pairs)


@pytest.mark.parametrize(
    ("printed", "same"), [("a 0.123 b", True), ("a 0.124 b", True), ("a 0.125 b", False), ("a 0.123 c", False)]
)
def test_decimals_may_differ_in_their_last_digit_and_nothing_else_may(printed, same):
    assert is_same(printed, "a 0.123 b") is same


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_example_of_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope, printed = {"__name__": "page"}, ""
    for language, about, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if "skip-test" in about:
            continue
        if language == "python":
            printed = run_python(body, scope)
        elif language == "sql":
            printed = run_sql(body, scope)
        elif language == "sh":
            printed = run_shell(body)
        elif language == "toml" and (title := re.search(r'title="([^"]+)"', about)):
            Path(title[1]).write_text(body, encoding="utf-8")
        elif language == "text":
            assert "…" not in body.replace("{…}", ""), "print what readers came for"
            assert is_same(printed.strip(), body.strip()), printed
    if "con" in scope:
        scope["con"].close()


def named(word):
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", ALL) is not None or f"emcc.{word}" in ALL


@pytest.mark.parametrize("name", [n for n in emcc.__all__ if n != "errors"])
def test_every_public_name_is_documented(name):
    assert named(name)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_documented(name):
    assert named(name)


@pytest.mark.parametrize("name", [*Options.__dataclass_fields__, *COLUMNS, *STUDY_COLUMNS])
def test_every_option_and_column_is_documented(name):
    assert f"`{name}`" in ALL


@pytest.mark.parametrize("name", sorted(set(re.findall(r"MACRO (emcc\w*)\(", emcc.read_sql("macros")))))
def test_every_sql_function_is_documented(name):
    assert f"{name}(" in ALL


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_is_documented(name):
    assert f"duckemcc {name}" in ALL


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere():
    nav = (ROOT / "docs" / "mkdocs.yml").read_text()
    for page in PAGES:
        assert page.name in nav
        for target in re.findall(r"\]\(([\w./-]+\.md)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name} -> {target}"
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert os.path.exists(ROOT / target), target
