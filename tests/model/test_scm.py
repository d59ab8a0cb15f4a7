"""The model itself: order, components, sizes and canonical tables."""

import json
import pickle
import re
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duckemcc.errors import GraphError, TooLarge, UnknownName
from duckemcc.model.canonical import LARGEST_EXOGENOUS
from duckemcc.model.scm import Component, Endogenous, Exogenous, Model
from duckemcc.model.states import label

DRUG = Model.parse("G {f, m}; T {no, drug}; S {0, 1}; G -> T -> S; G -> S; T <-> S")


@st.composite
def models(draw, cards=(1, 2, 3)):
    """Canonical models of one to six variables in any order, their exogenous variables any partition of them."""
    size = draw(st.integers(1, 6))
    names = [f"V{i}" for i in range(size)]
    parents = {v: tuple(p for p in names[:i] if draw(st.booleans())) for i, v in enumerate(names)}
    group = {v: draw(st.integers(0, size - 1)) for v in names}
    endogenous = tuple(
        Endogenous(v, parents[v], tuple(range(draw(st.sampled_from(cards))))) for v in draw(st.permutations(names))
    )
    children = [tuple(v for v in draw(st.permutations(names)) if group[v] == g) for g in range(size)]
    return Model(endogenous, tuple(Exogenous(f"U{g}", c) for g, c in enumerate(children) if c), {})


# -- order -----------------------------------------------------------------------------------------


@given(models())
def test_the_order_is_topological_and_takes_the_first_free_variable(model):
    assert sorted(model.order) == sorted(model.variables)
    for i, chosen in enumerate(model.order):
        placed = set(model.order[:i])
        assert chosen == next(v for v in model.variables if v not in placed and placed >= set(model.parents[v]))


def test_the_order_of_a_graph_written_backwards_is_from_causes_to_effects():
    assert Model.parse("Y {0}; X {0}; A {0}; X -> Y").order == ("X", "Y", "A")


# -- components ------------------------------------------------------------------------------------


def test_the_components_of_the_drug_trial_are_two_and_stay_two_without_treatment():
    assert DRUG.components() == (Component(("G",), ("U_G",)), Component(("T", "S"), ("U_T_S",)))
    assert DRUG.components(["T"]) == (Component(("G",), ("U_G",)), Component(("S",), ("U_T_S",)))


def test_an_intervention_splits_a_component_that_it_cuts_through():
    x, y, z = (Endogenous(v, (), (0, 1)) for v in "XYZ")
    both = np.array([[0, 1], [1, 0]])
    model = Model(
        (x, y, z),
        (Exogenous("U", ("X", "Y"), 2), Exogenous("W", ("Z", "Y"), 2)),
        {"X": np.array([0, 1]), "Y": both, "Z": np.array([1, 0])},
    )
    assert model.components() == (Component(("X", "Y", "Z"), ("U", "W")),)
    assert model.components({"Y"}) == (Component(("X",), ("U",)), Component(("Z",), ("W",)))
    assert model.components({"X", "Y"}) == (Component(("Z",), ("W",)),)
    assert model.components("XYZ") == ()


def test_one_cause_of_three_still_ties_two_when_the_third_is_set():
    assert Model.parse("A <-> B <-> C").components("B") == (Component(("A", "C"), ("U_A_B_C",)),)


def test_a_deterministic_variable_is_a_component_without_causes():
    spec = {
        "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "equations": {"Y": [1, 0]},
    }
    assert Model.from_dict(spec).components() == (Component(("X",), ("U_X",)), Component(("Y",), ()))


def test_an_intervention_on_an_unknown_variable_is_refused():
    with pytest.raises(UnknownName, match=r"the intervention sets Q, which is no endogenous variable"):
        DRUG.components(["Q"])


@given(models(), st.data())
def test_components_partition_what_is_not_set_and_mutilated_ones_refine_them(model, data):
    do = data.draw(st.sets(st.sampled_from(model.variables)))
    whole, mutilated = model.components(), model.components(do)
    for components, kept in ((whole, set(model.variables)), (mutilated, set(model.variables) - do)):
        assert sorted(v for c in components for v in c.endogenous) == sorted(kept)
        causes = [u for c in components for u in c.exogenous]
        assert sorted(causes) == sorted({u.name for u in model.exogenous if set(u.children) & kept})
        for c in components:
            assert c.exogenous == tuple(u.name for u in model.exogenous if set(u.children) & set(c.endogenous))
            assert list(c.endogenous) == sorted(c.endogenous, key=model.variables.index)
    for part in mutilated:
        assert any(set(part.endogenous) <= set(c.endogenous) and set(part.exogenous) <= set(c.exogenous) for c in whole)


# -- canonical tables ------------------------------------------------------------------------------


def test_the_drug_trial_has_64_canonical_states():
    assert (DRUG.card("U_T_S"), DRUG.card("U_G"), DRUG.card("T")) == (64, 2, 2)
    assert DRUG.table("T").shape == (64, 2)
    assert DRUG.table("S").shape == (64, 2, 2)
    assert DRUG.table("G").tolist() == [0, 1]


@given(models(cards=(1, 2, 2, 3)))
def test_a_canonical_variable_has_every_combination_of_relations_exactly_once(model):
    for u in model.exogenous:
        relations = [model.card(c) ** prod(map(model.card, model.parents[c])) for c in u.children]
        assert model.card(u.name) == prod(relations)
        if prod(relations) > 5000:
            continue
        rows = np.hstack([model.table(c).reshape(model.card(u.name), -1) for c in u.children])
        assert len(np.unique(rows, axis=0)) == len(rows) == model.card(u.name)
        for c in u.children:
            assert model.table(c).shape == (model.card(u.name), *map(model.card, model.parents[c]))
            assert set(model.table(c).ravel()) == set(range(model.card(c)))  # surjective


def test_canonical_states_are_in_lexicographic_order_of_the_relations():
    model = Model.parse("X {0,1,2}; Y {0,1}; X -> Y; X <-> Y")
    rows = [(model.table("X")[u], *model.table("Y")[u]) for u in range(model.card("U_X_Y"))]
    assert rows == list(product(range(3), *[range(2)] * 3))


def test_tables_are_read_only():
    for table in (
        DRUG.table("S"),
        Model.from_dict(
            DRUG.to_dict() | {"exogenous": {}, "equations": {"G": 0}} | {"endogenous": {"G": {"states": ["f"]}}}
        ).table("G"),
    ):
        with pytest.raises(ValueError, match="read-only"):
            table[...] = 0


# -- sizes beyond enumeration ----------------------------------------------------------------------


def fan(parents, card=2):
    """Y with many binary parents."""
    return Model.parse(
        "; ".join(f"V{i} {{0, 1}}; V{i} -> Y" for i in range(parents)) + f"; Y {{{','.join(map(str, range(card)))}}}"
    )


def test_a_size_is_counted_without_enumeration():
    assert fan(10, 3).card("U_Y") == 3**1024


def test_a_model_with_a_large_cause_is_made_and_refused_only_when_the_table_is_needed():
    model = fan(5)
    assert model.components("Y") == tuple(Component((f"V{i}",), (f"U_V{i}",)) for i in range(5))
    assert model.table("V0").tolist() == [0, 1]
    size = "the canonical exogenous variable U_Y over Y has 4,294,967,296 states; at most 1,048,576 are enumerated. "
    size += "Y alone has 2^32 relations to its parents (V0, V1, V2, V3, V4): "
    with pytest.raises(
        TooLarge, match=re.escape(size) + "coarsen one of them to fewer states, remove a parent, or give"
    ):
        model.table("Y")


def test_the_largest_cause_is_enumerated_and_the_next_is_not():
    text = "<->".join(f"V{i}" for i in range(10))
    fours = {f"V{i}": ["0", "1", "2", "3"] for i in range(10)}
    assert len(Model.parse(text).with_states(fours).table("V5")) == LARGEST_EXOGENOUS
    with pytest.raises(
        TooLarge, match=r"has 1,310,720 states; .* V0 alone has 5: coarsen states, tie fewer variables together"
    ):
        Model.parse(text).with_states(fours | {"V0": ["0", "1", "2", "3", "4"]}).table("V5")


@pytest.mark.parametrize(
    ("parents", "size"),
    [(7, "about 10^39"), (20, "about 10^315,653"), (60, "about 10^(10^18)"), (3000, "more than 10^(10^300)")],
)
def test_an_astronomic_size_is_told_in_words(parents, size):
    with pytest.raises(TooLarge, match=f"has {re.escape(size)} states") as caught:
        fan(parents).table("Y")
    assert len(str(caught.value)) < 400


def test_even_the_size_is_refused_where_it_is_astronomic():
    with pytest.raises(TooLarge, match=r"about 10\^323,228,497 states"):
        fan(30).card("U_Y")


def test_a_constant_of_very_many_contexts_is_too_large_for_its_table():
    with pytest.raises(TooLarge, match=r"the equation of Y has 1,073,741,824 entries, more than the 20,000,000"):
        fan(30, 1).table("Y")
    with pytest.raises(TooLarge, match=r"the equation of Y has 61 arguments; at most 32 are read"):
        fan(60, 1).table("Y")


# -- states ----------------------------------------------------------------------------------------


def test_states_of_the_data_are_taken_where_none_are_declared():
    model = Model.parse("X {a, b}; X -> Y").with_states({"X": ["ignored"], "Y": ["0", "1", "2"]})
    assert model.states == {"X": ("a", "b"), "Y": ("0", "1", "2")}
    assert model.card("U_Y") == 9


def test_unknown_states_and_unknown_names_are_told():
    model = Model.parse("X {a, b}; X -> Y")
    with pytest.raises(GraphError, match=r"the states of Y are not known yet; declare them: Y \{…\}"):
        model.card("Y")
    with pytest.raises(GraphError, match="the states of Y are not known yet"):
        model.table("Y")
    with pytest.raises(GraphError, match="the states of Y are neither declared nor given"):
        model.with_states({})
    with pytest.raises(GraphError, match="Y has no states; declare at least one"):
        model.with_states({"Y": []})
    with pytest.raises(UnknownName, match=r"the model has no variable U_y. Hint: .*\['U_Y', "):
        model.card("U_y")
    with pytest.raises(UnknownName, match=r"there is no equation of U_Y, which is no endogenous variable"):
        model.table("U_Y")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (np.False_, "false"),
        (1, "1"),
        (np.int64(-3), "-3"),
        (1.0, "1"),
        (np.float32(2), "2"),
        (-0.0, "0"),
    ],
)
def test_a_label_is_the_text_by_which_a_value_is_matched(value, text):
    assert label(value) == text


@pytest.mark.parametrize(
    "value",
    [None, 0.5, float("nan"), float("inf"), b"a", (1,), 10**5000, 1j, np.datetime64("2020-01-01")],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_state_has_no_label(value):
    with pytest.raises(TypeError, match="is no state: states are text, integers and booleans"):
        label(value)


def test_decimals_are_states_exactly_where_they_are_whole():
    from decimal import Decimal

    assert label(Decimal("12345678901234567890.00")) == "12345678901234567890"
    for text in ("12345678901234567890.5", "sNaN", "NaN", "Infinity", "1e999999999", "1e-400"):
        with pytest.raises(TypeError, match="is no state"):
            label(Decimal(text))


# -- equality --------------------------------------------------------------------------------------


@given(models(), models())
def test_models_are_equal_exactly_where_their_storage_forms_are_alike_in_order(one, other):
    alike = json.dumps(one.to_dict()) == json.dumps(other.to_dict())
    assert (one == other) == alike
    assert not alike or hash(one) == hash(other)


def test_models_differ_by_their_labels_and_tables_and_not_by_the_types_of_states():
    def of(states, table):
        spec = {
            "endogenous": {"X": {"states": states}},
            "exogenous": {"U": {"children": ["X"]}},
            "equations": {"X": table},
        }
        return Model.from_dict(spec)

    assert of([0, 1], [0, 1]) == of(["0", "1"], ["0", "1"])
    assert hash(of([0, 1], [0, 1])) == hash(of(["0", "1"], [0, 1]))
    assert of([0, 1], [0, 1]) != of([False, True], [0, 1])
    assert of([0, 1], [0, 1]) != of([0, 1], [1, 0])
    assert of([0, 1], [0, 1]) != "X"


@given(models())
def test_a_model_survives_pickling(model):
    assume(all(model.card(u.name) < 1000 for u in model.exogenous))
    _ = [model.table(v) for v in model.variables]
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert all(np.array_equal(again.table(v), model.table(v)) for v in model.variables)
