"""Several causes made one along the paths that are read."""

from __future__ import annotations

import numpy as np
import pytest

from duckemcc.model import paths
from duckemcc.model.paths import Reading, merge_causes
from duckemcc.model.scm import Model
from duckemcc.query.language import query
from duckemcc.query.named import expand
from duckemcc.query.worlds import find_readings

COVARIATE = Model.parse("Z -> X -> Y; Z -> Y; X <-> Y; Z {0, 1, 2}; X {0, 1}; Y {0, 1}")
FRONTDOOR = Model.parse("X -> M -> Y; X <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
RECORDED = Model.parse("X -> Y -> R; X -> R; X {0, 1}; Y {0, 1}; R {0, 1}")


def reading(read, do=""):
    return Reading(frozenset(do), frozenset(read))


def size(model, causes, *readings):
    merged = merge_causes(model, causes, readings)
    return merged.model.card(merged.cause)


def test_a_selector_adds_the_states_of_its_contexts_and_does_not_multiply_them():
    causes = ("U_X_Y", "U_Z")
    assert size(COVARIATE, causes, reading("ZXY")) == 3 * 2 * 2  # the cells of the table
    assert size(COVARIATE, causes, reading("ZXY"), reading("ZY", "X")) == 3 * 2 * 2**2
    assert size(COVARIATE, causes, reading("ZXY"), reading("XY", "Z"), reading("Y", "ZX")) == 3 * 2**3 * 2**6


def test_what_no_reading_looks_at_adds_no_state():
    assert size(FRONTDOOR, ("U_X_Y", "U_M"), reading("XMY")) == 8
    assert size(FRONTDOOR, ("U_X_Y", "U_M"), reading("X")) == 2
    # set to 0 and 1, M has two values, and Y one response to each that arises
    assert size(FRONTDOOR, ("U_X_Y", "U_M"), reading("XMY"), reading("MY", "X")) == 2 * (2 * 2 + 2 * 4)


def test_each_context_outside_has_states_of_its_own():
    assert size(RECORDED, ("U_Y", "U_R"), reading("XYR")) == 4**2


def test_the_merged_cause_yields_what_its_states_read():
    merged = merge_causes(COVARIATE, ("U_X_Y", "U_Z"), [reading("ZXY"), reading("ZY", "X")])
    model = merged.model
    assert model.causes == dict.fromkeys(model.variables, (merged.cause,))
    z, x, y = (model.table(v) for v in "ZXY")
    assert model.parents["Y"] == ("X", "Z")
    states = range(model.card(merged.cause))
    factual = {(int(z[w]), int(x[w, z[w]]), tuple(y[w, :, z[w]])) for w in states}
    assert len(factual) == len(states)  # every state differs in what is read
    for v, read in merged.read.items():
        table = model.table(v).reshape(len(states), -1)
        assert (table[read >= 0] == read[read >= 0]).all()


def test_the_order_of_the_states_does_not_depend_on_the_order_of_the_readings():
    given = [reading("ZXY"), reading("ZY", "X"), reading("XY", "Z")]
    there = merge_causes(COVARIATE, ("U_X_Y", "U_Z"), given)
    back = merge_causes(COVARIATE, ("U_X_Y", "U_Z"), given[::-1])
    assert there.read.keys() == back.read.keys()
    assert all((there.read[v] == back.read[v]).all() for v in there.read)


def test_states_that_an_assumption_took_from_a_cause_are_not_read():
    from duckemcc.query.assume import restrict

    text = "Z -> X -> Y; Z -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}; assume P(Y[X=0, Z=0]=1, Y[X=1, Z=0]=0) = 0"
    model = restrict(Model.parse(text))
    both = [reading("ZXY"), reading("ZY", "X")]
    assert size(model, ("U_X_Y", "U_Z"), *both) == 2 * (2 * 4) - 2  # where Z=0, one of four pairs of responses


def test_a_variable_without_a_cause_between_others_is_what_its_equation_says():
    spec = {
        "endogenous": {
            "A": {"states": [0, 1, 2]},
            "M": {"states": [0, 1], "parents": ["A"]},
            "B": {"states": [0, 1], "parents": ["M"]},
        },
        "exogenous": {"UA": {"children": ["A"]}, "UB": {"children": ["B"]}},
        "equations": {"M": {"table": [0, 1, 1]}},
    }
    assert size(Model.from_dict(spec), ("UA", "UB"), reading("AMB")) == 3 * 2


def test_a_second_cause_or_too_many_states_or_settings_cannot_be_merged(monkeypatch):
    from problems import MULTI

    assert merge_causes(MULTI, ("U1", "U2"), [reading("XMY")]) is None
    monkeypatch.setattr(paths, "MOST_STATES", 11)
    assert merge_causes(COVARIATE, ("U_X_Y", "U_Z"), [reading("ZXY")]) is None
    monkeypatch.setattr(paths, "MOST_STATES", 12)
    assert merge_causes(COVARIATE, ("U_X_Y", "U_Z"), [reading("ZXY")]) is not None
    monkeypatch.setattr(paths, "MOST_SETTINGS", 1)
    assert merge_causes(RECORDED, ("U_Y", "U_R"), [reading("XYR")]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P(Y=1 | X=0)", [reading("XYZ"), reading("XZ")]),
        ("P(Y[X=1]=1)", [reading("YZ", "X")]),
        ("P(Y[X=1, Z=0]=1, X=0)", [reading("Y", "XZ"), reading("XZ")]),
        ("P(Y[Z=1, X=X[Z=0]]=1)", [reading("Y", "XZ"), reading("X", "Z")]),
    ],
)
def test_the_worlds_of_a_query_read_what_decides_their_outcomes(text, expected):
    states = {v: labels for v, labels in COVARIATE.states.items() if labels}
    asked = expand(query(text), states, COVARIATE.parents)
    events = [asked.given, *(event for _, event in asked.terms)]
    assert find_readings(COVARIATE, events) == set(expected)


def test_the_merged_cause_stands_where_the_first_of_its_causes_stood():
    model = Model.parse("A -> B -> C; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}")
    names = [u.name for u in model.exogenous]
    merged = merge_causes(model, ("U_B", "U_C"), [reading("ABC")])
    assert [u.name for u in merged.model.exogenous] == [names[0], merged.cause, "U_D"]
    np.testing.assert_array_equal(merged.model.table("A"), model.table("A"))
