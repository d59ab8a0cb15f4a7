"""Graph texts of the grammar, and such texts damaged: a model that survives each way out and in, or an error."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from sizes import examples

from duckemcc.errors import DuckEmccError
from duckemcc.model.graph import parse
from duckemcc.model.scm import Model
from duckemcc.query.assume import restrict

NAMES = ["A", "B", "C", "D", '"E e"', '"F""f"', "naïve", "Ж1"]
STATES = ["{0, 1}", "{no, yes}", "{'a b', 2, true}", "{\n-1 , 1.0\n}", "{''}"]
EVENTS = ["A=1, B=0", "B[A=0]=1, B[A=1]=0", "C[A=no] != yes", "A IN (0, 1)", '"E e"=2', "("]
names = st.sampled_from(NAMES)
spaces = st.sampled_from(["", " ", "\t", "  "])
chains = st.lists(names, min_size=2, max_size=4, unique=True).flatmap(
    lambda path: st.lists(st.sampled_from(["->", "<->"]), min_size=len(path) - 1, max_size=len(path) - 1).map(
        lambda arrows: " ".join([path[0], *(f"{arrow} {name}" for arrow, name in zip(arrows, path[1:], strict=True))])
    )
)
statements = (
    chains
    | st.builds("{} {}".format, names, st.sampled_from(STATES))
    | st.builds("U{}: {}".format, st.integers(0, 2), st.lists(names, min_size=1, max_size=3).map(", ".join))
    | st.builds("unmeasured {}".format, st.lists(names, min_size=1, max_size=2).map(", ".join))
    | st.builds("assume P({}) = 0".format, st.sampled_from(EVENTS))
    | st.builds("# {}".format, st.text(st.characters(exclude_characters="\n"), max_size=5))
)
texts = st.lists(st.tuples(spaces, statements, spaces, st.sampled_from(["\n", ";\n"])).map("".join), max_size=6).map(
    "".join
)
pieces = st.sampled_from(
    [*"{}[]():,;=|\"'#&!<>-\0\n", "->", "<->", "assume P(", "unmeasured ", ") = 0", "9" * 400]
) | st.text(st.characters(exclude_categories=()), max_size=3)


@st.composite
def damaged(draw, sound):
    """A text with a few pieces taken out, put in, or moved."""
    text = draw(sound)
    for _ in range(draw(st.integers(1, 2))):
        start, stop = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:start] + draw(pieces | st.just(text[start:stop] * 2)) + text[min(stop, start + 3) :]
    return text


def write(model: Model) -> str:
    """The graph text of a model with known states and canonical causes, written without the package's help."""

    def quote(text: str, mark: str) -> str:
        return mark + text.replace(mark, mark * 2) + mark

    lines = []
    for v in model.endogenous:
        labels = ", ".join(quote(label, "'") for label in v.labels or ())
        lines.append(f"{quote(v.name, chr(34))} {{{labels}}}")
    lines += [f"{quote(p, chr(34))} -> {quote(v, chr(34))}" for v in model.variables for p in model.parents[v]]
    for u in model.exogenous:
        if u.arcs:
            lines += [f"{quote(a, chr(34))} <-> {quote(b, chr(34))}" for a, b in u.arcs]
        else:
            lines.append(f"{quote(u.name, chr(34))}: {', '.join(quote(c, chr(34)) for c in u.children)}")
    lines += [f"assume P({event}) = 0" for event in model.assumptions]
    lines += [f"unmeasured {quote(v, chr(34))}" for v in model.unmeasured]
    return "\n".join(lines)


def sort_causes(model: Model) -> Model:
    """The model with its causes by name: a text may name causes that another leaves to be supplied, which come last."""
    return replace(model, exogenous=tuple(sorted(model.exogenous, key=lambda u: u.name)))


def check(text: str) -> None:
    """Raises what a caller may see, if it is an error of ours; anything else fails the test."""
    model = parse(text)
    assert Model.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    assert model.to_dot().count("\n") > len(model.variables)
    assert sorted(v for c in model.components() for v in c.endogenous) == sorted(model.variables)
    known = model.with_states(dict.fromkeys(model.variables, (0, 1)))
    assert sort_causes(parse(write(known))) == sort_causes(known)
    allowed = restrict(known)
    assert Model.from_uai(allowed.to_uai()).endogenous


@examples(200)
@given(texts)
def test_a_text_of_the_grammar_is_a_model_that_survives_or_an_error_of_ours(text):
    try:
        check(text)
    except DuckEmccError as wrong:
        assert 0 < len(str(wrong)) < 2000  # noqa: PT017 — either way out is right


@examples(200)
@given(damaged(texts))
def test_a_damaged_text_is_a_model_that_survives_or_an_error_of_ours(text):
    try:
        check(text)
    except DuckEmccError as wrong:
        assert 0 < len(str(wrong)) < 2000  # noqa: PT017 — either way out is right
