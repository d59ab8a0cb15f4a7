"""The line of a key, wherever TOML lets it stand."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.serve.toml_lines import find_line

TEXT = '''title = "x"
queries = [
  "a",
  # a comment
  "b",
]

[model]
graph = """
X -> Y
[no header]
"""

[[studies]]
source = "a.parquet"

[[studies]]
source = "b.parquet"
columns = {X = "x", Y = "y"}
do = [
  "X",
]

[output]
file = "z"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("queries",), 2),
        (("queries", 0), 3),
        (("queries", 1), 5),
        (("model",), 8),
        (("model", "graph"), 9),
        (("studies", 0, "source"), 15),
        (("studies", 1), 17),
        (("studies", 1, "columns", "Y"), 19),
        (("studies", 1, "do", 0), 21),
        (("output", "file"), 25),
    ],
)
def test_a_value_is_found_where_it_begins(path, line):
    assert find_line(TEXT, path) == line


@pytest.mark.parametrize(("path", "line"), [(("studies", 1, "weight"), 17), (("output", "table"), 24), (("by",), 1)])
def test_what_is_missing_is_placed_at_what_would_hold_it(path, line):
    assert find_line(TEXT, path) == line


def test_text_that_is_no_toml_has_the_first_line():
    assert find_line("a = = 1", ("a",)) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_every_key_of_a_flat_file_is_on_its_own_line(shape):
    lines, places = [], {}
    for i, (is_list, blank) in enumerate(shape):
        lines += [""] * blank + [f"k{i} = [{i}, {i}]" if is_list else f'k{i} = "[a]"']
        places[f"k{i}",] = len(lines)
    text = "\n".join(lines)
    assert len(tomllib.loads(text)) == len(places)
    assert {path: find_line(text, path) for path in places} == places
