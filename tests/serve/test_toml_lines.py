"""The line of a key, wherever TOML lets it stand."""

from __future__ import annotations

import itertools
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.serve.job.toml_lines import find_line

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


TEXTS = ('"<> a, [b] = #"', "'<> {c}'", '"""<>\nx = 1\n\\"quoted\\" ""[y]""\n"""', "'''<>\n#\n'''")
LIST = "[{}\n]"
TABLE = "{{at = 1979-05-27 07:32:00, {}}}"
VALUES = st.recursive(
    st.sampled_from(TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: LIST.format("".join(f"\n  {v}, # ], 1979-05-27" for v in some))),
        inner.filter(lambda v: "\n" not in v).map(lambda v: TABLE.format(f'k."a.b".c = {v}')),
    ),
    max_leaves=6,
)
SECTIONS = ["", "[t{}]", "[t{}.u]", "[[many]]", "[[many]]\n[many.inner]", "[[many]]\n[[many.more]]"]
SECTIONS += ['[ "q.{}" . r ]', "[[ n{} . m ]]"]


def texts_of(value, path=()):
    """Every text in what was parsed, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts_of(inner, (*path, key))


@given(st.lists(st.tuples(st.sampled_from(SECTIONS), st.lists(VALUES, max_size=3)), min_size=1, max_size=4))
def test_every_text_is_on_the_line_on_which_its_own_mark_stands(parts):
    text = ""
    for i, (head, values) in enumerate(parts):
        text += head.format(i) + "\n" + "".join(f"v{i}_{j} . w = {v}\n" for j, v in enumerate(values))
    number = itertools.count()
    text = re.sub("<>", lambda found: f"<{next(number)}>", text)
    for path, value in texts_of(tomllib.loads(text)):
        mark = re.search("<\\d+>", value)[0]
        assert find_line(text, path) == text[: text.index(mark)].count("\n") + 1


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029", "é"])
def test_signs_that_end_lines_elsewhere_do_not_in_toml(sign):
    text = f'title = "a{sign}b"\nqueries = ["P(Y={sign})",\n"x"]\n'
    assert find_line(text, ("queries", 1)) == 3


def test_lines_that_end_as_in_windows_are_counted_once():
    assert find_line("a = 1\r\nb = [\r\n1,\r\n2]\r\n", ("b", 1)) == 4
