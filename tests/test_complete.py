"""What is listed in one place is known in the others: options in SQL, statuses in words and remedies."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import duckemcc as emcc
from duckemcc.answer.options import Options
from duckemcc.show.page.answers import REMEDIES
from duckemcc.show.plot.rows import WORDS

PACKAGE = Path(__file__).resolve().parents[1] / "duckemcc"
OF_BOUNDS = {"incompatible", "population", "confidence", "limits"}
"""Options that a report of compatibility has no use for."""
LEFT_OUT = {
    "emcc_bounds": set(),
    "emcc_bounds_by": set(),
    "emcc_compatibility": OF_BOUNDS,
    "emcc_compatibility_by": OF_BOUNDS,
    "emcc": {"population"},  # the studies of a group are not known when it is called
}


def macros():
    """The SQL of each macro that takes options, by name."""
    parts = emcc.read_sql("macros").split("CREATE OR REPLACE MACRO ")[1:]
    return {part.partition("(")[0]: part for part in parts if "options" in part or ":=" in part}


def test_every_macro_with_options_is_listed_here():
    assert macros().keys() == LEFT_OUT.keys()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_macro_takes_and_passes_every_option(name):
    head, _, body = macros()[name].partition(") AS")
    wanted = set(Options.__dataclass_fields__) - LEFT_OUT[name]
    assert set(re.findall(r"(\w+) :=", head)) - {"studies", "weight", "by"} == wanted
    assert set(re.findall(r"(\w+) := \1\b", body)) - {"record", "weight"} == wanted


def statuses(source):
    """The statuses that code gives to rows."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found = [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "status"]
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "status":
            found = list(ast.walk(node.annotation))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).split(", ")[0] in ("status", "(status"):
            found = node.value.elts[:1] if isinstance(node.value, ast.Tuple) else [node.value]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "why":
            found = [n.elts[0] for n in ast.walk(node.value) if isinstance(n, ast.Tuple)]
        else:
            continue
        yield from (one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_status_that_code_gives_has_words_and_a_remedy():
    folders = ("answer", "bound", "serve/duckdb")
    given = {s for folder in folders for m in (PACKAGE / folder).rglob("*.py") for s in statuses(m.read_text("utf-8"))}
    given.discard("string")  # the type of the column
    assert given == WORDS.keys()
    assert WORDS.keys() - {"bounded", "identified"} == REMEDIES.keys()
