"""Query texts of the grammar, and such texts damaged: a query that prints back and has a value, or an error."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sizes import examples

from duckemcc.errors import DuckEmccError
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel
from duckemcc.query.language import parse, parse_event

MODEL = Model.parse("X -> M -> Y; X -> Y; M <-> Y; X {0, 1}; M {0, 1}; Y {0, 1, yes}")
RNG = np.random.default_rng(0)
FULL = FullModel(MODEL, {u.name: RNG.dirichlet(np.ones(MODEL.card(u.name))) for u in MODEL.exogenous})

names = st.sampled_from(["X", "M", "Y", "X", "M", "Y", "y", '"X"', "Z"])
values = st.sampled_from(["0", "1", "0", "1", "'1'", "1.0", "yes", "-1"])
gaps = st.sampled_from(["", " ", "\n "])


def listed(items, most, glue=(", ", ",")):
    return st.lists(items, min_size=1, max_size=most).flatmap(
        lambda some: st.sampled_from([g.join(some) for g in glue])
    )


def worlds(inner):
    settings_ = st.builds("{}={}".format, names, values) | st.builds("{}={}".format, names, inner)
    return st.builds("{}[{}]".format, names, listed(settings_, 3)) | st.builds("{}[]".format, names)


nested = st.recursive(worlds(st.nothing()), worlds, max_leaves=3)
outcomes = names | nested
atoms = st.builds("{}{}{}{}".format, outcomes, st.sampled_from(["=", "!=", "<>", " = "]), gaps, values) | st.builds(
    "{} {} ({})".format, outcomes, st.sampled_from(["IN", "not in"]), listed(values, 3)
)
events = listed(atoms, 3, (", ", " & ", " AND ", " and "))
conditions = st.just("") | st.builds(" | {}".format, events)
contrasts = st.builds("{}={}".format, names, values) | st.builds("{}={} vs {}".format, names, values, values)
kinds = st.sampled_from(["PNS", "pn", "PS", "PD", "PE", "ACE", "ETT", "CDE", "NDE", "NIE"])
bodies = st.builds("P({}{})".format, events, conditions) | st.builds(
    "{}({}{})".format, kinds, listed(contrasts, 3), conditions
)
numbers = st.floats(0, 1e308).map(repr) | st.sampled_from(["2", "0", ".5", "1e5", "1e999", "1e-999", "2."])
terms = bodies | st.builds("{}*{}".format, numbers, bodies) | st.builds("{} {}".format, numbers, bodies) | numbers
texts = st.builds("{}{}".format, st.sampled_from(["", "-"]), listed(terms, 3, (" + ", "-", "+ ")))
pieces = st.sampled_from([*"()[]=,|&+-*<>!'\"\0\n;", "Y[M=" * 60, "9" * 400, "1e999", " AND ", "ſ"]) | st.text(
    st.characters(exclude_categories=()), max_size=3
)


@st.composite
def damaged(draw):
    """A text with a few pieces taken out, put in, or said twice."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 2))):
        start, stop = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:start] + draw(pieces | st.just(text[start:stop] * 2)) + text[min(stop, start + 3) :]
    return text


def check(text: str) -> None:
    asked = parse(text)
    assert parse(str(asked)) == asked
    value = FULL.evaluate(asked)
    assert np.isfinite(value)
    if text.startswith("P(") and len(asked.terms) == 1:
        assert -1e-12 <= value <= 1 + 1e-12


@examples(200)
@given(texts)
def test_a_text_of_the_grammar_prints_back_and_has_a_value_or_is_refused(text):
    try:
        check(text)
    except DuckEmccError as wrong:
        assert 0 < len(str(wrong)) < 2000  # noqa: PT017 — either way out is right


@examples(200)
@given(damaged())
def test_a_damaged_text_prints_back_and_has_a_value_or_is_refused(text):
    try:
        check(text)
    except DuckEmccError as wrong:
        assert 0 < len(str(wrong)) < 2000  # noqa: PT017 — either way out is right


@examples(200)
@given(events | st.text(st.characters(exclude_categories=()), max_size=20))
def test_an_assumed_event_is_read_as_the_same_event_in_a_probability_or_refused(text):
    try:
        event = parse_event(text)
    except DuckEmccError as wrong:
        assert str(wrong)  # noqa: PT017
    else:
        assert parse(f"P({text})").terms[0].body.event == event
