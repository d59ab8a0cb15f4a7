"""The storage form: round trips through JSON, the gold problems, the shapes a table may have, and every error."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import (
    AmbiguousEquation,
    DuckEmccError,
    GraphError,
    InvalidEquation,
    RepeatedName,
    TooLarge,
    UnknownName,
)
from duckemcc.model.canonical import LARGEST_TABLE
from duckemcc.model.scm import Endogenous, Exogenous, Model

# -- round trips -----------------------------------------------------------------------------------

LABELS = st.sampled_from([0, 1, -3, True, False, "a", "two words", "", "naïve", "1.5"])
SIZES = st.integers(1, 3)


@st.composite
def specs(draw):
    """Graphs of up to five variables, each canonical with learned or declared states or with an equation of its own."""
    names = draw(st.permutations(["A", "b", "C d", "é", "_"]))[: draw(st.integers(1, 5))]
    endogenous = {
        name: {
            "parents": [p for p in names[:i] if draw(st.booleans())],
            "states": draw(st.lists(LABELS, min_size=1, max_size=3, unique_by=lambda s: str(s).lower())),
        }
        for i, name in enumerate(names)
    }
    exogenous, equations = {}, {}
    for i, name in enumerate(names):
        if draw(st.booleans()):
            contexts = int(np.prod([len(endogenous[p]["states"]) for p in endogenous[name]["parents"]]))
            states = len(endogenous[name]["states"])
            exogenous[f"U{i}"] = {"children": [name], "card": states}
            rows = [[(u + k) % states for k in range(contexts)] for u in range(states)]
            equations[name] = {"table": draw(st.sampled_from([rows, [entry for row in rows for entry in row]]))}
    canonical = [name for name in names if name not in equations]
    if canonical and draw(st.booleans()):
        exogenous["W"] = {"children": canonical}
    if not equations and draw(st.booleans()):
        del endogenous[names[0]]["states"]
    shuffled = {name: endogenous[name] for name in draw(st.permutations(names))}
    return {"endogenous": shuffled, "exogenous": exogenous, "equations": equations, "assumptions": []}


@given(specs())
def test_a_model_comes_back_from_its_storage_form_through_json(spec):
    model = Model.from_dict(spec)
    again = Model.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.to_dict() == model.to_dict()
    assert all(np.array_equal(again.table(v), model.table(v)) for v in model.equations)


def test_a_parsed_model_comes_back_from_its_storage_form():
    model = Model.parse("G {f, m}; G -> T -> S; G -> S; T <-> S")
    assert model.to_dict() == {
        "endogenous": {
            "G": {"parents": [], "states": ["f", "m"]},
            "T": {"parents": ["G"]},
            "S": {"parents": ["T", "G"]},
        },
        "exogenous": {"U_T_S": {"children": ["T", "S"]}, "U_G": {"children": ["G"]}},
        "equations": {},
        "assumptions": [],
    }
    assert Model.from_dict(model.to_dict()) == model


def test_every_gold_problem_is_read(gold: Path):
    files = sorted(gold.rglob("*.json"))
    assert len(files) > 30
    for file in files:
        spec = json.loads(file.read_text())
        model = Model.from_dict(spec)
        assert list(model.variables) == list(spec["endogenous"]), file
        if file.parent.name != "wide":  # there, a cause has more states than can be listed
            assert all(
                model.card(u.name) == model.table(c).shape[model.causes[c].index(u.name)]
                for u in model.exogenous
                for c in u.children
            ), file
        assert Model.from_dict(json.loads(json.dumps(model.to_dict()))) == model, file
        if "theta" in spec:
            assert {u: len(chances) for u, chances in spec["theta"].items()} == {
                u.name: model.card(u.name) for u in model.exogenous
            }


# -- what is read ----------------------------------------------------------------------------------


def spec(table=None, **more):
    """Y with parent X (two states each) and exogenous parent U, with a table for Y and X canonical."""
    states = {"states": [0, 1]}
    body = {
        "endogenous": {"X": states, "Y": {"states": ["no", "yes"], "parents": ["X"]}},
        "exogenous": {"U": {"children": ["Y"]}},
        "equations": {} if table is None else {"Y": {"table": table}},
    }
    return body | more


WANTED = [[0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    "table",
    [
        WANTED,
        [0, 1, 1, 0, 1, 1],
        [["no", "yes"], ["yes", "no"], ["yes", "yes"]],
        ["no", "yes", 1, 0, "yes", 1],
        np.array(WANTED),
        tuple(map(tuple, WANTED)),
    ],
    ids=["nested", "flat", "labels", "flat labels and positions", "array", "tuples"],
)
def test_a_table_is_nested_or_flat_with_positions_or_labels(table):
    model = Model.from_dict(spec(table))
    assert model.table("Y").tolist() == WANTED
    assert model.card("U") == 3


def test_a_table_may_stand_without_its_key():
    assert Model.from_dict(spec(equations={"Y": WANTED})) == Model.from_dict(spec(WANTED))


def two_causes(table, cards=(2, 3)):
    exogenous = {
        name: {"children": ["Y"]} | ({} if card is None else {"card": card})
        for name, card in zip("VW", cards, strict=True)
    }
    return Model.from_dict(spec(table, exogenous=exogenous))


FULL = np.arange(12).reshape(2, 3, 2) % 5 % 2


@pytest.mark.parametrize("shape", [(2, 3, 2), (12,), (6, 2), (2, 6), (2, 3, 2, 1), (1, 12)])
def test_neighbouring_axes_may_be_merged(shape):
    assert np.array_equal(two_causes(FULL.reshape(shape).tolist()).table("Y"), FULL)


@pytest.mark.parametrize("shape", [(2, 3, 2), (12,), (6, 2), (2, 6)])
@pytest.mark.parametrize("cards", [(2, None), (None, 3)])
def test_one_size_may_be_left_out_where_the_number_of_entries_tells_it(shape, cards):
    model = two_causes(FULL.reshape(shape).tolist(), cards)
    assert np.array_equal(model.table("Y"), FULL)
    assert (model.card("V"), model.card("W")) == (2, 3)


def test_sizes_are_told_by_full_tables_and_by_each_other():
    assert np.array_equal(two_causes(FULL.tolist(), (None, None)).table("Y"), FULL)
    body = spec([0, 1, 1, 0], exogenous={"V": {"children": ["Y", "X"]}, "W": {"children": ["Y"], "card": 1}})
    body["equations"]["X"] = {"table": [0, 1]}  # tells |V| = 2
    assert Model.from_dict(body).table("Y").shape == (2, 1, 2)


def test_axes_are_exogenous_parents_in_model_order_then_endogenous_ones():
    body = spec(exogenous={"W": {"children": ["Y"], "card": 3}, "V": {"children": ["Y"], "card": 2}})
    body["equations"] = {"Y": {"table": np.arange(12).reshape(3, 2, 2) % 2}}
    assert Model.from_dict(body).causes["Y"] == ("W", "V")


def test_an_equation_makes_a_variable_deterministic_where_it_has_no_cause():
    model = Model.from_dict({"endogenous": spec()["endogenous"], "equations": {"Y": {"table": [1, 0]}}})
    assert model.causes["Y"] == ()
    assert [u.name for u in model.exogenous] == ["U_X"]
    assert model.table("Y").tolist() == [1, 0]


def test_a_constant_is_a_single_entry():
    model = Model.from_dict({"endogenous": {"X": {"states": ["on"]}}, "equations": {"X": {"table": "on"}}})
    assert model.table("X").shape == ()
    assert Model.from_dict(model.to_dict()) == model


def test_a_variable_without_exogenous_parent_gets_its_own():
    assert [u.name for u in Model.from_dict({"endogenous": {"X": {}, "Y": {"parents": ["X"]}}}).exogenous] == [
        "U_X",
        "U_Y",
    ]


def test_states_of_all_types_are_read_as_the_values_that_they_are():
    model = Model.from_dict(
        {"endogenous": {"X": {"states": ["a", 1, 2.0, True, np.int8(3), np.bool_(False), np.str_("z")]}}}
    )
    assert model.endogenous[0].states == ("a", 1, 2, True, 3, False, "z")
    assert model.states["X"] == ("a", "1", "2", "true", "3", "false", "z")
    assert json.loads(json.dumps(model.to_dict())) == model.to_dict()


def test_foreign_keys_travel_along():
    assert Model.from_dict(spec(WANTED, name="x", studies=[], query={}, note=1)) == Model.from_dict(spec(WANTED))


def test_assumptions_and_unmeasured_variables_come_back_through_json():
    form = spec(WANTED, assumptions=[{"event": "Y[X=0]=1, Y[X=1]=0"}, {"event": "X=1"}], unmeasured=["X"])
    model = Model.from_dict(form)
    assert model.assumptions == ("Y[X=0]=1, Y[X=1]=0", "X=1")
    assert model.to_dict()["unmeasured"] == ["X"]
    again = Model.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model
    assert hash(again) == hash(model)
    assert again == Model.from_dict(form | {"assumptions": form["assumptions"][::-1]})
    for key in ("assumptions", "unmeasured"):
        assert Model.from_dict({k: v for k, v in form.items() if k != key}) != model


def test_an_assumption_may_be_a_list_of_atoms():
    atoms = [{"var": "Y", "do": {"X": 0, "a b": "it's"}, "val": [0, True]}, {"var": 'say "so"', "val": -1}]
    model = Model.from_dict(spec(WANTED, assumptions=[{"event": atoms}]))
    written = """"Y"["X"='0', "a b"='it''s'] IN ('0', 'true'), "say ""so\"""='-1'"""
    assert model.assumptions == (written.replace("\\", ""),)
    assert Model.from_dict(model.to_dict()) == model


# -- errors ----------------------------------------------------------------------------------------

X = {"X": {"states": [0, 1]}}
ERRORS = [
    ([], GraphError, "a model's storage form is a dictionary; found list"),
    ({}, GraphError, "the model has no variables"),
    (
        {"endogenous": X, "equation": {}},
        GraphError,
        r"the model has the key 'equation'; its keys are .*Hint: .*'equations'",
    ),
    ({"endogenous": X, "Exogenous": {}}, GraphError, "the model has the key 'Exogenous'"),
    (
        {"endogenous": X, "assumptions": [{"event": []}]},
        GraphError,
        r"the event of an assumption is text, or a list of atoms; found \[\]",
    ),
    ({"endogenous": X, "assumptions": "X=1"}, GraphError, "'assumptions' is a list; found 'X=1'"),
    (
        {"endogenous": X, "assumptions": ["X=1"]},
        GraphError,
        "an assumption is defined by a dictionary with event; found",
    ),
    ({"endogenous": X, "assumptions": [{"events": []}]}, GraphError, "an assumption has the key 'events'; .*'event'"),
    ({"endogenous": X, "assumptions": [{"event": " "}]}, GraphError, "an assumption has no event; it is one such as Y"),
    (
        {"endogenous": X, "assumptions": [{"event": ["X"]}]},
        GraphError,
        "an atom is defined by a dictionary with var, do",
    ),
    (
        {"endogenous": X, "assumptions": [{"event": [{"var": 1, "val": 0}]}]},
        GraphError,
        "an atom names a variable by text; found 1",
    ),
    (
        {"endogenous": X, "assumptions": [{"event": [{"var": "X", "val": 0.5}]}]},
        GraphError,
        "'val' or 'do' of an atom: 0.5 is no state",
    ),
    (
        {"endogenous": X, "assumptions": [{"event": [{"var": "X", "val": []}]}]},
        GraphError,
        "'val' of an atom of \"X\" is a state, or a list of some; found an empty one",
    ),
    (
        {"endogenous": X, "assumptions": [{"event": [{"var": "X", "val": 0, "do": "Y"}]}]},
        GraphError,
        "'do' of an atom is a dictionary from variables to states; found 'Y'",
    ),
    ({"endogenous": X, "assumptions": [{"event": "\ud800"}]}, GraphError, "which is no Unicode character"),
    ({"endogenous": X, "unmeasured": "X"}, GraphError, "unmeasured of the model is a list of names; found 'X'"),
    ({"endogenous": X, "unmeasured": ["x"]}, UnknownName, r"the model calls unmeasured x, .* Hint: .*\['X'\]"),
    ({"endogenous": X, "unmeasured": ["X", "X"]}, RepeatedName, "the model calls unmeasured X twice; name it once"),
    ({"endogenous": {"X": {}}, "unmeasured": ["X"]}, GraphError, "X is unmeasured, so no study tells its states; decl"),
    ({"endogenous": X, "surjective": 0}, GraphError, "'surjective' is true or false; found 0"),
    ({"endogenous": ["X"]}, GraphError, "'endogenous' is a dictionary from names to their definitions; found list"),
    ({"endogenous": X, "exogenous": []}, GraphError, "'exogenous' is a dictionary from names .*; found list"),
    ({"endogenous": {"": {}}}, GraphError, "'endogenous' names ''; names are non-empty text"),
    ({"endogenous": {1: {}}}, GraphError, "'endogenous' names 1; names are non-empty text"),
    ({"endogenous": {"X": [0, 1]}}, GraphError, "X is defined by a dictionary with states, parents; found list"),
    (
        {"endogenous": {"X": {"state": [0]}}},
        GraphError,
        r"X has the key 'state'; it may have states, parents. Hint: .*'states'",
    ),
    ({"endogenous": {"X": {"states": "ab"}}}, GraphError, "states of X is a list; found 'ab'"),
    (
        {"endogenous": {"X": {"states": [0.5]}}},
        GraphError,
        "states of X: 0.5 is no state: states are text, integers and booleans",
    ),
    ({"endogenous": {"X": {"states": [None]}}}, GraphError, "states of X: None is no state"),
    (
        {"endogenous": {"X": {"states": []}}},
        GraphError,
        "X has no states; declare at least one, or leave them to the data",
    ),
    ({"endogenous": {"X": {"states": [1, "1"]}}}, RepeatedName, "X declares the state 1 twice"),
    ({"endogenous": {"X": {"parents": "Y"}}}, GraphError, "parents of X is a list of names; found 'Y'"),
    ({"endogenous": {"X": {"parents": [1]}}}, GraphError, r"parents of X is a list of names; found \[1\]"),
    ({"endogenous": X | {"Y": {"parents": ["x"]}}}, UnknownName, r"Y has the parent x, which is no .* Hint: .*\['X'\]"),
    ({"endogenous": X | {"Y": {"parents": ["X", "X"]}}}, RepeatedName, "Y has the parent X twice; name it once"),
    ({"endogenous": {"X": {"parents": ["X"]}}}, GraphError, "a cycle: X -> X; remove one of its arcs"),
    (
        {"endogenous": X | {"x": {}}},
        RepeatedName,
        r"the name x stands for two variables \(the other is written X; case",
    ),
    (
        {"endogenous": X, "exogenous": {"X": {"children": ["X"]}}},
        RepeatedName,
        "the name X stands for two variables; rename",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["Z"]}}},
        UnknownName,
        "the exogenous variable U has the child Z, which",
    ),
    ({"endogenous": X, "exogenous": {"U": {"children": ["X", "X"]}}}, RepeatedName, "variable U has the child X twice"),
    (
        {"endogenous": X, "exogenous": {"U": {}}},
        GraphError,
        "the exogenous variable U has no children; remove it, or name them",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": "X"}}},
        GraphError,
        "children of U is a list of names; found 'X'",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"], "card": True}}},
        GraphError,
        "card of U is a whole number; found True",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"], "card": 2.0}}},
        GraphError,
        "card of U is a whole number; found 2.0",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"], "card": 0}}},
        InvalidEquation,
        "U has cardinality 0; it needs at least one",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"], "card": LARGEST_TABLE + 1}}},
        TooLarge,
        "U has cardinality 20000001; at most 20,000,000",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"], "card": 2}}},
        AmbiguousEquation,
        "X has no equation, but its exogenous parent U is not canonical",
    ),
    (
        {"endogenous": X, "exogenous": {"U": {"children": ["X"]}, "V": {"children": ["X"]}}},
        AmbiguousEquation,
        r"X has 2 exogenous parents \(U, V\).*U: X",
    ),
    (
        {"endogenous": X, "equations": {"Z": {"table": [0]}}},
        UnknownName,
        "there is an equation of Z, which is no endogenous variable",
    ),
    (
        {
            "endogenous": X | {"Y": {}},
            "exogenous": {"U": {"children": ["X", "Y"]}},
            "equations": {"X": {"table": [0, 1]}},
        },
        AmbiguousEquation,
        "Y has no equation, but its exogenous parent U is not canonical .*; give the equation of Y as well",
    ),
]


@pytest.mark.parametrize(("body", "error", "message"), ERRORS, ids=[e[2][:50] for e in ERRORS])
def test_a_spec_that_cannot_be_read_is_refused_with_advice(body, error, message):
    with pytest.raises(error, match=message):
        Model.from_dict(body)


HUGE = 10**5000  # more digits than Python prints
deep = 0
for _ in range(10_000):
    deep = [deep]
own = []
own.append(own)
TABLES = [
    ([[0, 1], [1]], "the equation of Y has .*; it is a list, nested or flat, with rows of one length"),
    ([[[0, 1], [1]], [[0], [1]]], "the equation of Y has .*rows of one length"),
    ([], "the equation of Y has no entries"),
    ([[], []], "the equation of Y has no entries"),
    ([0, 0.5], "the equation of Y has the entry 0.5; .*positions in its states no, yes, or of these states as text"),
    ([0, True], "the equation of Y has the entry True"),
    ([0, "maybe"], "the equation of Y has the entry 'maybe'; .*states no, yes"),
    ([0, 10**30], "the equation of Y has the entry 1000000"),
    ([0, HUGE], "the equation of Y has the entry a long int"),
    ({"a": 1}, "the equation of Y has the entry {'a': 1}"),
    (deep, r"the equation of Y has the entry \[\[\[.*\.\.\."),
    (own, r"the equation of Y has the entry \[\[\[.*\.\.\."),
    ([[0, 2]], r"the equation of Y has the entry 2; entries are positions 0 to 1 of its states no, yes"),
    ([[0, -1]], r"the equation of Y has the entry -1; entries are positions 0 to 1"),
    ([[0, 0], [0, 0]], "the equation of Y is not surjective: it never yields yes; drop that state, or correct"),
    ([[0, 1, 0], [1, 1, 0]], r"the equation of Y has the shape 2 × 3; it needs 2 \(U\) × 2 \(X\)"),
    ([0, 1, 0], "the shape of the equation of Y does not tell how many states U has; give its 'card'"),
]


@pytest.mark.parametrize(("table", "message"), TABLES, ids=[m[:60] for _, m in TABLES])
def test_a_table_that_does_not_fit_is_refused(table, message):
    with pytest.raises(InvalidEquation, match=message):
        Model.from_dict(spec(table))


def test_a_transposed_table_is_refused():
    with pytest.raises(InvalidEquation, match=r"has the shape 2 × 3; it needs 3 \(U\) × 2 \(X\)"):
        Model.from_dict(spec(np.array(WANTED).T.tolist(), exogenous={"U": {"children": ["Y"], "card": 3}}))


def test_a_deterministic_table_of_the_wrong_shape_is_refused():
    with pytest.raises(InvalidEquation, match=r"has the shape 3; it needs 2 \(X\)"):
        Model.from_dict(spec([0, 1, 1], exogenous={}))
    with pytest.raises(InvalidEquation, match="the equation of X has the shape 2; it needs a single entry"):
        Model.from_dict({"endogenous": X, "equations": {"X": {"table": [0, 1]}}})


def test_an_unknown_field_of_an_equation_is_refused_with_a_hint():
    with pytest.raises(GraphError, match=r"Y has the key 'tabel'; it may have table. Hint: .*\['table'\]"):
        Model.from_dict(spec(equations={"Y": {"tabel": []}}))


def test_an_equation_without_a_table_is_refused():
    with pytest.raises(InvalidEquation, match="the equation of Y has the entry None"):
        Model.from_dict(spec(equations={"Y": {}}))


@pytest.mark.parametrize(
    "body",
    [
        {HUGE: {}},
        {"endogenous": {HUGE: {}}},
        {"endogenous": {"X": {HUGE: 1}}},
        {"endogenous": {"X": {"states": [HUGE]}}},
        {"endogenous": {"X": {"parents": [HUGE]}}},
        {"endogenous": {"X": {}}, "exogenous": {"U": {"children": ["X"], "card": HUGE}}},
        {"endogenous": {"X": {}}, "exogenous": {"U": {"children": ["X"], "card": -HUGE}}},
    ],
)
def test_an_integer_too_long_to_be_printed_is_refused_in_words(body):
    with pytest.raises(DuckEmccError, match=r"a long|no variables"):
        Model.from_dict(body)


def test_an_equation_needs_declared_states():
    body = {"endogenous": {"X": {}, "Y": {"states": [0, 1], "parents": ["X"]}}, "equations": {"Y": {"table": [0, 1]}}}
    with pytest.raises(InvalidEquation, match="the equation of Y needs the states of X declared"):
        Model.from_dict(body)
    with pytest.raises(InvalidEquation, match=r"has the entry 'on'; .*its states, which are to be declared"):
        Model.from_dict({"endogenous": {"X": {}}, "equations": {"X": {"table": ["on", "off"]}}})


def test_two_sizes_that_no_table_tells_are_asked_for():
    with pytest.raises(InvalidEquation, match=r"does not tell how many states V, W has; give its 'card'"):
        two_causes([0, 1] * 6, (None, None))


def test_a_table_with_more_axes_than_an_array_has_is_too_large():
    parents = {f"V{i}": {"states": [0]} for i in range(70)}
    body = {
        "endogenous": parents | {"Y": {"states": [0], "parents": list(parents)}},
        "equations": {"Y": {"table": [0]}},
    }
    with pytest.raises(TooLarge, match="the equation of Y has 70 arguments; at most 32 are read: remove parents"):
        Model.from_dict(body)


def test_a_model_made_by_hand_has_whole_numbers_in_its_tables():
    with pytest.raises(InvalidEquation, match="the equation of X is no array of whole numbers"):
        Model((Endogenous("X", (), (0, 1)),), (Exogenous("U", ("X",), 2),), {"X": np.array([0.0, 1.5])})


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.just(10**4000)
    | st.sampled_from("XYU")
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["X", "Y", "U", "states", "parents", "children", "card", "table"]) | st.integers(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"endogenous": HOSTILE}, optional={"exogenous": HOSTILE, "equations": HOSTILE}))
def test_any_json_is_a_model_or_an_error_of_ours(body):
    try:
        model = Model.from_dict(body)
    except DuckEmccError as error:
        assert str(error)  # noqa: PT017 — either way out is right
    else:
        assert Model.from_dict(model.to_dict()) == model


BODIES = st.fixed_dictionaries({}, optional={"states": HOSTILE | st.just([0, 1]), "parents": HOSTILE | st.just(["X"])})
CAUSES = st.fixed_dictionaries(
    {}, optional={"children": HOSTILE | st.just(["Y"]), "card": HOSTILE | st.integers(-1, 4)}
)


@given(
    st.fixed_dictionaries({"X": BODIES, "Y": BODIES}),
    st.dictionaries(st.sampled_from("UV"), CAUSES),
    st.dictionaries(st.sampled_from("XY"), HOSTILE | st.lists(st.integers(0, 1), max_size=8)),
)
def test_any_damaged_spec_is_a_model_or_an_error_of_ours(endogenous, exogenous, equations):
    test_any_json_is_a_model_or_an_error_of_ours.hypothesis.inner_test(
        {"endogenous": endogenous, "exogenous": exogenous, "equations": equations}
    )


@pytest.mark.parametrize("where", [("endogenous", "Y", "parents"), ("exogenous", "U", "children")])
def test_a_name_that_is_far_too_long_is_refused_in_few_words(where):
    spec = {
        "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U": {"children": ["X", "Y"]}},
    }
    section, name, key = where
    spec[section][name][key] = ["a" * 50_000]
    with pytest.raises(UnknownName, match="a…, which is no endogenous variable") as caught:
        Model.from_dict(spec)
    assert len(str(caught.value)) < 500
