"""Assumptions: the states that are left are those at which no assumed event holds, by enumeration, by hand and by the
formulas that monotonicity has in the literature."""

from __future__ import annotations

import json
import re
import time
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_event import holds

import duckemcc as emcc
from duckemcc.errors import (
    AssumptionSpansCauses,
    DuckEmccError,
    GraphError,
    InvalidEquation,
    NotSupported,
    QueryError,
    TooLarge,
    UnknownName,
)
from duckemcc.model.scm import Model
from duckemcc.query.assume import read_assumption, restrict
from duckemcc.query.event import Compiled
from duckemcc.query.full import FullModel
from duckemcc.query.language import query
from duckemcc.query.named import expand

BOW = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
IV = "Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}"
MONOTONE = "assume P(Y[X=0]=1, Y[X=1]=0) = 0"
NO_DEFIERS = "assume P(X[Z=0]=1, X[Z=1]=0) = 0"
CHAIN = "A -> B -> C; A -> C; A <-> B <-> C; A {0, 1}; B {u, v}; C {0, 1, 2}"
TWO_CAUSES = {
    "endogenous": {
        "X": {"states": [0, 1]},
        "M": {"states": [0, 1]},
        "D": {"states": [0, 1], "parents": ["M"]},
        "Y": {"states": [0, 1], "parents": ["X", "D"]},
    },
    "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": 4}},
    "equations": {
        "X": {"table": [0, 0, 1, 1]},
        "M": {"table": [[(i + j) % 2 for j in range(4)] for i in range(4)]},
        "D": {"table": [1, 0]},
        "Y": {"table": [[[0, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, 1]], [[1, 1], [0, 1]]]},
    },
}
MODELS = {"bow": Model.parse(BOW), "iv": Model.parse(IV), "chain": Model.parse(CHAIN)}
MODELS["two causes"] = Model.from_dict(TWO_CAUSES)


def assuming(model, *events):
    return Model.from_dict(model.to_dict() | {"assumptions": [{"event": e} for e in events]})


def find_good(model, *events):
    """Whether each joint state of the exogenous variables is one at which no event holds [u, u', …]: the definition."""
    states = {v: labels or () for v, labels in model.states.items()}
    read = [expand(read_assumption(e), states, model.parents).terms[0][1] for e in events]
    names = [u.name for u in model.exogenous]
    good = np.zeros([model.card(u) for u in names], bool)
    for index in np.ndindex(good.shape):
        good[index] = not any(holds(model, e, dict(zip(names, index, strict=True))) for e in read)
    return good


def states_without(model, cause, *events):
    """The states of `cause` at which no event holds."""
    axis = [u.name for u in model.exogenous].index(cause)
    return np.flatnonzero(np.moveaxis(find_good(model, *events), axis, 0).reshape(model.card(cause), -1).any(axis=1))


def states_left(model, *events):
    """The states of each cause at which no event holds that the cause decides, whatever the others are."""
    kept = [np.ones(model.card(u.name), bool) for u in model.exogenous]
    for event in events:
        good = find_good(model, event)
        matter = [k for k in range(good.ndim) if (good != good.take([0], axis=k)).any()]
        if len(matter) > 1:
            states = {v: labels or () for v, labels in model.states.items()}
            atoms = expand(read_assumption(event), states, model.parents).terms[0][1]
            spoken = {u for atom in atoms for u in model.causes[atom.outcome.name]}
            matter = [k for k in matter if model.exogenous[k].name in spoken]
        for k in matter:
            kept[k] &= np.moveaxis(good, k, 0).reshape(good.shape[k], -1).all(axis=1)
    return [np.flatnonzero(own) for own in kept]


@st.composite
def events(draw, model, most=3):
    """An event of one to three atoms in one or several worlds, some nested."""

    def setting(v):
        first = model.variables[0]
        if v != first and draw(st.integers(0, 3)) == 0:
            return f"{v}={v}[{first}={draw(st.sampled_from(model.states[first]))}]"
        return f"{v}={draw(st.sampled_from(model.states[v]))}"

    def outcome():
        v = draw(st.sampled_from(model.variables))
        others = [p for p in model.variables if p != v]
        do = draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
        return v, f"{v}[{', '.join(map(setting, do))}]"

    atoms = []
    for _ in range(draw(st.integers(1, most))):
        v, text = outcome()
        atoms.append(f"{text}{draw(st.sampled_from(['=', '!=']))}{draw(st.sampled_from(model.states[v]))}")
    return ", ".join(atoms)


# -- the states that are left ----------------------------------------------------------------------


def test_a_monotone_bow_is_the_model_with_these_equations():
    by_hand = {
        "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U_X_Y": {"children": ["X", "Y"]}},
        "equations": {"X": {"table": [0, 0, 0, 1, 1, 1]}, "Y": {"table": [[0, 0], [0, 1], [1, 1]] * 2}},
    }
    restricted = restrict(Model.parse(f"{BOW}; {MONOTONE}"))
    assert restricted == Model.from_dict(by_hand)
    assert restricted.assumptions == ()
    assert restricted.surjective


def test_an_instrument_without_defiers_keeps_12_of_16_types():
    restricted = restrict(Model.parse(f"{IV}; {NO_DEFIERS}"))
    assert {u.name: u.card for u in restricted.exogenous} == {"U_X_Y": 12, "U_Z": None}
    assert {tuple(types) for types in restricted.table("X")} == {(0, 0), (0, 1), (1, 1)}


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
def test_what_is_left_are_the_states_at_which_no_event_holds(name, data):
    model = MODELS[name]
    assumed = data.draw(st.lists(events(model), min_size=1, max_size=2))
    try:
        restricted = restrict(assuming(model, *assumed))
    except AssumptionSpansCauses:
        return
    except GraphError as error:
        assert re.search("contradict|without a state", str(error))  # noqa: PT017
        assert not find_good(model, *assumed).any() or not all(map(len, states_left(model, *assumed)))
        return
    good = find_good(model, *assumed)
    kept = states_left(model, *assumed)
    assert good[np.ix_(*kept)].all()
    assert [restricted.card(u.name) for u in model.exogenous] == [len(k) for k in kept]
    for v in model.variables:
        own = [k for u, k in zip(model.exogenous, kept, strict=True) if u.name in model.causes[v]]
        assert np.array_equal(restricted.table(v), model.table(v)[np.ix_(*own)] if own else model.table(v))
    assert restrict(assuming(model, *reversed(assumed))) == restricted


def test_what_holds_in_every_context_is_assumed_in_each():
    graph = "G -> T; G -> S; T -> S; T <-> S; G {a, b}; T {0, 1}; S {0, 1}; assume P("
    whole = restrict(Model.parse(graph + "S[T=1]=0, S[T=0]=1) = 0"))
    each = graph.replace("assume", "assume P(S[T=1, G=a]=0, S[T=0, G=a]=1) = 0; assume")
    assert whole == restrict(Model.parse(each + "S[T=1, G=b]=0, S[T=0, G=b]=1) = 0"))
    assert whole.card("U_T_S") == 2**2 * 3**2


def test_a_cause_with_several_children_and_another_cause_beside_it_loses_its_rows_everywhere():
    model = MODELS["two causes"]
    restricted = restrict(assuming(model, "X=1"))
    assert restricted.card("U1") == 2
    assert restricted.table("X").tolist() == [0, 0]
    assert np.array_equal(restricted.table("M"), model.table("M")[:2])
    assert np.array_equal(restricted.table("Y"), model.table("Y"))


def test_an_assumption_may_bear_on_the_second_cause_of_a_variable():
    model = MODELS["two causes"]
    restricted = restrict(assuming(model, "Y[X=0, D=0]=1, Y[X=0, D=1]=1"))
    kept = [0, 1, 2]  # Y's last state yields 1 in both
    assert np.array_equal(restricted.table("M"), model.table("M")[:, kept])
    assert np.array_equal(restricted.table("Y"), model.table("Y")[kept])


def test_several_assumptions_bear_on_several_causes():
    model = Model.parse("X -> Y; X {0, 1, 2}; Y {0, 1}; assume P(X=2) = 0; assume P(Y[X=0]=1) = 0; assume P(X=0) = 0")
    restricted = restrict(model)
    assert restricted.table("X").tolist() == [1]
    assert (restricted.table("Y")[:, 0] == 0).all()
    assert restricted.card("U_Y") == 4


def test_what_cannot_happen_anyway_restricts_nothing():
    model = Model.parse(f"{BOW}; assume P(Y[X=1]=0, Y[X=1]=1) = 0")
    assert restrict(model) == Model.parse(BOW)
    assert restrict(Model.parse(BOW)) == Model.parse(BOW)


def test_a_state_that_no_cause_yields_any_more_is_kept_in_the_storage_form():
    restricted = restrict(Model.parse(f"{BOW}; assume P(Y[X=0]=1) = 0; assume P(Y[X=1]=1) = 0"))
    assert not restricted.surjective
    assert restricted.states["Y"] == ("0", "1")
    again = Model.from_dict(json.loads(json.dumps(restricted.to_dict())))
    assert again == restricted
    assert not again.surjective


# -- sizes -----------------------------------------------------------------------------------------


def monotone(instrument, levels):
    steps = [f"assume P({instrument}[Z={k}]=1, {instrument}[Z={k + 1}]=0) = 0" for k in range(levels - 1)]
    return "; ".join([f"Z {{{', '.join(map(str, range(levels)))}}}", *steps])


def test_a_monotone_instrument_of_40_levels_has_41_relations_although_all_would_be_too_many():
    graph = "Z -> X -> Y; X <-> Y; X {0, 1}; Y {0, 1}; Z {" + ", ".join(map(str, range(40))) + "}"
    with pytest.raises(TooLarge, match="about 10"):
        Model.parse(graph).table("X")
    restricted = restrict(Model.parse(f"Z -> X -> Y; X <-> Y; X {{0, 1}}; Y {{0, 1}}; {monotone('X', 40)}"))
    assert restricted.card("U_X_Y") == 41 * 4
    assert (np.diff(restricted.table("X"), axis=1) >= 0).all()


def test_monotone_relations_of_several_states_are_counted_by_a_binomial():
    """Nondecreasing maps of 5 levels to 4 states: C(8, 5)."""
    steps = [f"assume P(X[Z={k}]={b}, X[Z={k + 1}]={a}) = 0" for k in range(4) for a, b in combinations(range(4), 2)]
    restricted = restrict(Model.parse("; ".join(["Z -> X; Z {0, 1, 2, 3, 4}; X {0, 1, 2, 3}", *steps])))
    assert restricted.card("U_X") == comb(8, 5)
    assert (np.diff(restricted.table("X"), axis=1) >= 0).all()


def test_half_a_million_states_are_restricted_in_seconds():
    text = "A -> X; B -> X; A -> Y; X -> Y; X <-> Y; A {0, 1, 2}; B {0, 1}; X {0, 1}; Y {0, 1, 2, 3}"
    model = Model.parse(text.replace("; A {0, 1, 2}", "; A {0, 1}") + "; assume P(X[A=0, B=0]=1, X[A=1, B=1]=0) = 0")
    start = time.process_time()
    assert restrict(model).card("U_X_Y") == 2**4 * 4**4 * 3 // 4
    large = Model.parse(text.replace("Y {0, 1, 2, 3}", "Y {0, 1}").replace("A -> Y", "A -> Y; B -> Y"))
    assert large.card("U_X_Y") == 2**6 * 2**12
    restricted = restrict(assuming(large, "X[A=0, B=0]=1, Y[A=0, B=0, X=1]=0"))
    assert restricted.card("U_X_Y") == 2**18 * 3 // 4
    assert time.process_time() - start < 20


def test_what_is_still_too_large_is_refused_before_it_is_enumerated():
    graph = "Z -> X -> Y; X <-> Y; X {0, 1}; Y {0, 1}; Z {" + ", ".join(map(str, range(60))) + "}"
    start = time.process_time()
    with pytest.raises(
        TooLarge, match=r"U_X_Y over X, Y has more than 1,048,576 states that its assumptions leave; coars"
    ):
        restrict(Model.parse(f"{graph}; assume P(X[Z=0]=1, X[Z=59]=0) = 0"))
    assert time.process_time() - start < 20


# -- what follows from monotonicity ----------------------------------------------------------------


def frame(joint, names):
    rows = [(*index, n) for index, n in np.ndenumerate(joint)]
    return pl.DataFrame(rows, schema=[*names, "n"], orient="row")


def ask(text, studies, asked):
    table = emcc.bounds(text, studies, asked, method="emcc", level=None, restarts=20)
    return table.to_pylist()


def test_under_monotonicity_the_pns_is_the_difference_of_the_experiments():
    """Tian & Pearl (2000): PNS = P(y_x) - P(y_x')."""
    trial = emcc.Study(frame(np.array([[70.0, 30.0], [40.0, 60.0]]), ["X", "Y"]), do=["X"], weight="n")
    (row,) = ask(f"{BOW}; {MONOTONE}", [trial], ["PNS(X=1, Y=1)"])
    assert (row["status"], row["compatible"]) == ("bounded", True)
    assert [row["lower"], row["upper"]] == pytest.approx([0.3, 0.3], abs=1e-6)


def test_without_defiers_the_effect_among_compliers_is_the_wald_ratio():
    """Angrist, Imbens & Rubin (1996)."""
    full = FullModel(model := restrict(Model.parse(f"{IV}; {NO_DEFIERS}")), random_chances(model, 3))
    joint = full.distribution("Z", "X", "Y")
    wald = np.diff(joint[..., 1].sum(1) / joint.sum((1, 2))) / np.diff(joint[:, 1].sum(1) / joint.sum((1, 2)))
    compliers = "X[Z=0]=0, X[Z=1]=1"
    asked = f"P(Y[X=1]=1 | {compliers}) - P(Y[X=0]=1 | {compliers})"
    study = emcc.Study(frame(joint * 1000, ["Z", "X", "Y"]), weight="n")
    (row,) = ask(f"{IV}; {NO_DEFIERS}", [study], [asked])
    assert [row["lower"], row["upper"]] == pytest.approx([wald[0]] * 2, abs=1e-6)
    assert full.evaluate(asked) == pytest.approx(wald[0])


def test_data_that_contradict_an_assumption_are_incompatible():
    harmful = emcc.Study(frame(np.array([[40.0, 60.0], [70.0, 30.0]]), ["X", "Y"]), do=["X"], weight="n")
    (row,) = ask(f"{BOW}; {MONOTONE}", [harmful], ["PNS(X=1, Y=1)"])
    assert (row["status"], row["lower"]) == ("incompatible", None)
    (row,) = ask(BOW, [harmful], ["PNS(X=1, Y=1)"])
    assert row["status"] == "bounded"


def test_records_that_no_state_yields_any_more_are_incompatible():
    never = f"{BOW}; assume P(Y[X=0]=1) = 0; assume P(Y[X=1]=1) = 0"
    zero, one = (emcc.Study(frame(np.array([[5.0, n], [5.0, 0.0]]), ["X", "Y"]), weight="n") for n in (0.0, 1.0))
    (row,) = ask(never, [zero], ["P(Y[X=1]=1)"])
    assert (row["status"], row["lower"], row["upper"]) == ("bounded", 0.0, 0.0)
    (row,) = ask(never, [one], ["P(Y[X=1]=1)"])
    assert (row["status"], row["lower"]) == ("incompatible", None)


# -- fully specified models ------------------------------------------------------------------------


def random_chances(model, seed):
    rng = np.random.default_rng(seed)
    return {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}


@pytest.mark.parametrize(
    ("name", "event", "cause"),
    [
        ("bow", "Y[X=0]=1, Y[X=1]=0", "U_X_Y"),
        ("bow", "X=1, Y[X=0]=1", "U_X_Y"),
        ("iv", "X[Z=0]=1, X[Z=1]=0", "U_X_Y"),
        ("chain", "A=1, B=u, C[A=0, B=B[A=0]]=2", "U_A_B_C"),
        ("two causes", "Y[X=0, M=0]=1, Y[X=1, M=0]=1", "U2"),
    ],
)
def test_without_mass_on_the_states_that_go_the_event_has_probability_zero(name, event, cause):
    model = MODELS[name]
    chances = random_chances(model, 1)
    kept = states_without(model, cause, event)
    assert 0 < len(kept) < model.card(cause)
    with pytest.raises(
        InvalidEquation, match=r"the model assumes P\(.*\) = 0, and by these chances it is 0\.\d+; give"
    ):
        FullModel(assuming(model, event), chances)
    chances[cause] = np.where(np.isin(np.arange(model.card(cause)), kept), chances[cause], 0.0)
    chances[cause] /= chances[cause].sum()
    full = FullModel(assuming(model, event), chances)
    assert Compiled(read_assumption(event), model)({u: c[None] for u, c in chances.items()}).value[0] == 0.0
    restricted = FullModel(restrict(full.model), chances | {cause: chances[cause][kept]})
    for asked in (f"P({v}={s})" for v in model.variables for s in model.states[v]):
        assert restricted.evaluate(asked) == pytest.approx(full.evaluate(asked))


def test_a_uai_file_holds_no_assumptions_but_chances_that_satisfy_them():
    model = Model.parse(f"{BOW}; {MONOTONE}")
    with pytest.raises(
        NotSupported, match="the model has assumptions, which a UAI file cannot hold; write a FullModel"
    ):
        model.to_uai()
    chances = np.zeros(8)
    chances[states_without(MODELS["bow"], "U_X_Y", model.assumptions[0])] = 1 / 6
    again = FullModel.from_uai(FullModel(model, {"U_X_Y": chances}).to_uai())
    assert again.evaluate("P(V1[V0=0]=1, V1[V0=1]=0)") == 0.0


# -- errors ----------------------------------------------------------------------------------------

ERRORS = [
    (
        IV,
        "Z=1, Y[X=0]=0",
        AssumptionSpansCauses,
        r"the assumption P\(Z=1, Y\[X=0\]=0\) = 0 depends on 2 exogenous var.*"
        r"\(U_X_Y, through Y; U_Z, through Z\).*setting them, as in Y\[X=0\], or merge .* less: U: X, Y, Z$",
    ),
    ("X -> Y; X {0, 1}; Y {0, 1}", "X=0, Y=1", AssumptionSpansCauses, r"\(U_X, through X; U_Y, through Y\)"),
    (BOW, "Y=1, Y=", QueryError, r"Assumption, position 8: expected a value, found the end"),
    (BOW, "Y[X=1=0", QueryError, r"Assumption, position 6: expected ',' or '\]', found '='"),
    (
        BOW,
        "Y=1 | X=0",
        QueryError,
        r"position 5: expected ',', AND or the end, found '\|'\..*P\(A \| B\) = 0 is P\(A, B\)",
    ),
    (BOW, "Y=1 + X=0", QueryError, r"Assumption, position 5: expected ',', AND or the end, found '\+'"),
    (BOW, "Q=1", UnknownName, r"the assumption P\(Q=1\) = 0 does not fit the model: .* 'Q', which the model does not"),
    (
        BOW,
        "Y=2",
        QueryError,
        r"the assumption P\(Y=2\) = 0 does not fit the model: .*no state '2'; its states are 0, 1",
    ),
    (BOW, "Y[Y=1]=0", QueryError, r"does not fit the model: Y\[Y=1\] sets Y, the variable that it asks about"),
    (CHAIN, "C[A=A[B=u], B=B[A=0]]=0, C[B=A]=1", QueryError, r"Assumption, position|does not fit the model"),
    (BOW, "Y IN (0, 1)", GraphError, r"contradicts the model, in which the event always holds"),
]


@pytest.mark.parametrize(("graph", "event", "error", "message"), ERRORS, ids=[e[1] for e in ERRORS])
def test_an_assumption_that_cannot_be_used_is_refused_with_the_reason(graph, event, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        restrict(assuming(Model.parse(graph), event))


def test_contradictory_assumptions_are_named():
    with pytest.raises(
        GraphError, match=r"the assumptions P\(X=0\) = 0, P\(X=1\) = 0 contradict each other: .* U_X_Y with"
    ):
        restrict(Model.parse(f"{BOW}; assume P(X=1) = 0; assume P(X=0) = 0"))


def test_an_assumption_that_the_equations_contradict_is_named():
    model = Model.from_dict(TWO_CAUSES)
    with pytest.raises(GraphError, match=r"P\(D\[M=0\]=1\) = 0 contradicts the model, in which the event always holds"):
        restrict(assuming(model, "D[M=0]=1"))
    assert restrict(assuming(model, "D[M=0]=0")) == model
    one = {"endogenous": {"X": {"states": [0, 1]}}, "exogenous": {"U": {"children": ["X"]}}}
    table = {"equations": {"X": {"table": [0, 1]}}}
    with pytest.raises(GraphError, match=r"the assumptions P\(X=0\) = 0, P\(X=1\) = 0 contradict each other"):
        restrict(assuming(Model.from_dict(one | table), "X=1", "X=0"))


def test_the_states_have_to_be_known():
    with pytest.raises(GraphError, match="the states of X, Y are not known; declare them, or use with_states"):
        restrict(Model.parse(f"X -> Y; {MONOTONE}"))
    learned = Model.parse(f"X -> Y; {MONOTONE}").with_states({"X": [0, 1], "Y": [0, 1]})
    assert restrict(learned).card("U_Y") == 3


def test_a_longer_event_than_can_be_meant_is_refused():
    with pytest.raises(QueryError, match="an assumption has at most 100,000 characters, found 100,001"):
        restrict(assuming(MODELS["bow"], "Y" * 100_001))


PIECES = [
    "X",
    "Y",
    "[",
    "]",
    "=",
    "0",
    "1",
    ",",
    "(",
    ")",
    "|",
    " IN ",
    "NOT",
    "'",
    '"',
    "!=",
    "&",
    "\n",
    "é",
    "#",
    "[]",
]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_assumption_restricts_or_is_refused_as_an_error_of_ours(text):
    for make in (
        lambda: Model.parse(f"{BOW}; assume P({text}) = 0"),
        lambda: assuming(MODELS["bow"], text),
    ):
        try:
            restricted = restrict(make())
        except DuckEmccError as error:
            assert str(error)  # noqa: PT017 — either way out is right
        else:
            assert restricted.card("U_X_Y") >= 1


def test_assumptions_print_as_queries():
    assert str(read_assumption("Y[X=0]=1 & Y[X=1]!=1")) == str(query("P(Y[X=0]=1, Y[X=1]!=1)"))
