"""UAI files of random models, and such files damaged: what is read is written as it was, or an error has its line."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sizes import examples

from duckemcc.errors import DuckEmccError
from duckemcc.model.scm import Model
from duckemcc.model.uai import read_uai, write_uai

WORDS = [
    "0",
    "1",
    "2",
    "-1",
    "9" * 30,
    "999999999",
    "0.5",
    "1e-400",
    "1e999",
    "nan",
    "CAUSAL",
    "\0",
    "٢",
    "\ud800",
    "",
    "\n",
]


@st.composite
def files(draw):
    """A file with up to 3 causes and 4 variables of up to 3 states, its tables surjective, white space anyhow."""
    causes, size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    parents = [draw(st.sets(st.integers(0, causes + i - 1), min_size=1, max_size=3)) for i in range(size)]
    parents[-1] |= set(range(causes))  # no cause without a child
    order = draw(st.permutations(range(causes + size)))  # of the numbers
    cards = [draw(st.integers(1, 3)) for _ in order]
    families = {order[u]: [] for u in range(causes)}
    families |= {order[causes + i]: [order[p] for p in above] for i, above in enumerate(parents)}
    card = dict(zip(order, cards, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tables = {}
    for v, above in families.items():
        contexts = int(np.prod([card[p] for p in above], dtype=int))
        card[v] = min(card[v], contexts) if above else card[v]
    for v, above in families.items():
        contexts = int(np.prod([card[p] for p in above], dtype=int))
        if above and contexts < card[v]:
            card[v] = 1  # a parent has lost states since
        tables[v] = (
            rng.permutation(np.arange(contexts) % card[v]).tolist()
            if above
            else rng.dirichlet(np.ones(card[v])).tolist()
        )
    rows = [["CAUSAL"], [len(order)], [card[v] for v in sorted(card)], [len(order)]]
    rows += [[len(families[v]) + 1, *families[v], v] for v in sorted(card)]
    rows += [[len(tables[v]), *map(repr, tables[v])] for v in sorted(card)]
    glue = draw(st.sampled_from([" ", "\t", "\n", " \r\n"]))
    return "\n".join(glue.join(map(str, row)) for row in rows) + "\n"


@st.composite
def damaged(draw):
    """A file with a few words replaced, left out or repeated."""
    words = re.split(r"( |\n)", draw(files()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words) - 1))
        words[at : at + draw(st.integers(0, 2))] = draw(
            st.lists(st.sampled_from(WORDS) | st.text(max_size=2), max_size=3)
        )
    return "".join(words) + "\n"


def check(text: str) -> None:
    model, chances = read_uai(text, normalise=True)
    again, back = read_uai(write_uai(model, chances))
    assert again == model == Model.from_uai(text) == Model.from_dict(model.to_dict())
    assert all(np.array_equal(back[u], pmf) for u, pmf in chances.items())


@examples(120)
@given(files())
def test_a_file_is_written_as_it_was_read(text):
    check(text)


@examples(250)
@given(damaged())
def test_a_damaged_file_is_a_model_that_survives_or_an_error_with_its_line(text):
    try:
        check(text)
    except DuckEmccError as wrong:
        assert re.match(r"line [0-9]+: .", str(wrong))  # noqa: PT017 — either way out is right
        assert len(str(wrong)) < 1000  # noqa: PT017


@examples(300)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(b"CAUSAL\n2\n".__add__))
def test_bytes_are_refused_with_their_line(noise):
    text = noise.decode("latin-1") + "\n"
    try:
        read_uai(text)
    except DuckEmccError as wrong:
        assert re.match(r"line [0-9]+: .", str(wrong))  # noqa: PT017
    else:
        raise AssertionError(f"{text!r} was read")
