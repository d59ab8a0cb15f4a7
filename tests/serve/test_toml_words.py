"""Messages of Python in the words of a job."""

from __future__ import annotations

import tomllib

import pytest

from duckemcc.serve.job.toml_words import in_toml

KEYS = ("columns", "unmeasured", "shared", "where", "level", "method", "max_seconds", "do")


@pytest.mark.parametrize(
    ("python", "toml"),
    [
        ("Map it with columns={'My var': '…', 'X': 'x'}.", 'columns = {"My var" = "…", X = "x"}'),
        ("say unmeasured=['A', 'B'].", 'unmeasured = ["A", "B"]'),
        ("say shared=True.", "shared = true"),
        ("where='a = \\'x\\'' holds", "where = \"a = 'x'\""),
        ("where=\"a = 'x'\" holds", "where = \"a = 'x'\""),
        ("level=None takes them as exact", 'level = "exact"'),
        ("after max_seconds=30; give it more", "max_seconds = 30"),
    ],
)
def test_what_is_said_of_a_key_is_toml(python, toml):
    assert toml in in_toml(python, KEYS)
    tomllib.loads(toml)


@pytest.mark.parametrize("text", ["P(Y[do=1]=2)", "has columns= for X", "columns={X: y}", "undo=1", "nothing here"])
def test_what_is_no_python_value_of_a_key_stays(text):
    assert in_toml(text, KEYS) == text
