"""Fully specified models: exact values against enumeration, records against exact probabilities."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

import duckemcc as emcc
from duckemcc.errors import (
    GraphError,
    InvalidEquation,
    OptionError,
    QueryError,
    TooLarge,
    UnknownName,
    UnknownState,
)
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel, first_on_last, sample_studies
from duckemcc.query.language import query

BENCHMARKS = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
needs_files = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs ../shared/benchmarks")

DRUG = Model.parse("G -> T -> S; G -> S; T <-> S; G {f, m}; T {drug, none}; S {alive, dead}")
FRONT = Model.parse("X -> M -> Y; X <-> Y; X {0, 1}; M {a, b, c}; Y {no, yes}")


def specify(model, seed):
    rng = np.random.default_rng(seed)
    return FullModel(model, {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous})


FULL = {
    "drug": specify(DRUG, 1),
    "front door": specify(FRONT, 2),
    "random 5": FullModel.random(5, np.random.default_rng(7)),
    "random 6": FullModel.random(6, np.random.default_rng(14)),
}
each = pytest.mark.parametrize("full", FULL.values(), ids=FULL.keys())


def enumerate_joint(full, do=()):
    """P(v | do) [states of every variable in model order], state by joint state of all causes: the definition."""
    model, fixed = full.model, dict(do)
    joint = np.zeros([model.card(v) for v in model.variables])
    for us in product(*(range(len(pmf)) for pmf in full.chances.values())):
        u = dict(zip(full.chances, us, strict=True))
        value = {}
        for v in model.order:
            at = (*(u[c] for c in model.causes[v]), *(value[p] for p in model.parents[v]))
            value[v] = fixed.get(v, int(model.table(v)[at]))
        joint[tuple(value[v] for v in model.variables)] += np.prod([full.chances[c][u[c]] for c in u])
    return joint


def fit_of(records, joint):
    """The p-value of Pearson's chi-square test of records against joint probabilities."""
    seen = np.zeros(joint.shape)
    np.add.at(seen, tuple(records.values()), 1)
    expected = joint * seen.sum()
    assert not seen[joint == 0].any()
    rare = expected < 5
    cells = [((seen - expected)[~rare] ** 2 / expected[~rare]).sum()]
    if expected[rare].sum() > 0:
        cells.append((seen[rare].sum() - expected[rare].sum()) ** 2 / expected[rare].sum())
    return chi2.sf(sum(cells), max(1, (~rare).sum() - 1 + (len(cells) > 1)))


# -- exact values ----------------------------------------------------------------------------------


@each
def test_the_distribution_is_that_of_enumeration(full):
    names = full.model.variables
    assert full.distribution(*names) == pytest.approx(enumerate_joint(full), abs=1e-12)


@each
def test_the_distribution_under_an_intervention_is_that_of_enumeration(full):
    names = full.model.variables
    for x in range(full.model.card(names[0])):
        do = {names[0]: full.model.states[names[0]][x]}
        assert full.distribution(*names, do=do) == pytest.approx(
            enumerate_joint(full, {names[0]: x}.items()), abs=1e-12
        )


def test_the_axes_of_a_distribution_are_the_variables_in_the_order_asked_for():
    full = FULL["front door"]
    joint = enumerate_joint(full)
    assert full.distribution("Y", "X") == pytest.approx(joint.sum(1).T)
    assert full.distribution("M") == pytest.approx(joint.sum((0, 2)))
    assert full.distribution("X", do={"X": 1}).tolist() == [0.0, 1.0]


@each
def test_a_do_query_is_the_distribution_under_the_intervention(full):
    first, last = full.model.order[0], full.model.order[-1]
    for x, y in product(full.model.states[first], full.model.states[last]):
        asked = full.evaluate(f"P({last}[{first}={x}]={y})")
        assert asked == pytest.approx(full.distribution(last, do={first: x})[full.model.states[last].index(y)])


@each
def test_a_counterfactual_query_is_the_share_of_units_that_show_it_in_both_worlds(full):
    asked = first_on_last(full.model)
    first, last = full.model.order[0], full.model.order[-1]
    n = 40_000
    treated, control = (
        full.sample(n, do={first: s}, rng=np.random.default_rng(3)) for s in full.model.states[first][1::-1]
    )
    share = ((treated[last] == 1) & (control[last] != 1)).mean()  # equal seeds: the same units
    assert share == pytest.approx(full.evaluate(asked), abs=4 * 0.5 / np.sqrt(n))


def test_a_query_with_evidence_is_a_ratio_of_enumerated_probabilities():
    full = FULL["drug"]
    joint = enumerate_joint(full)
    assert full.evaluate("P(S=dead | T=drug, G=m)") == pytest.approx(joint[1, 0, 1] / joint[1, 0].sum())
    assert full.evaluate(query("2*P(S=dead) - 1")) == pytest.approx(2 * joint[..., 1].sum() - 1)


def test_a_condition_that_cannot_happen_makes_a_query_undefined():
    full = FullModel(DRUG, {u: np.eye(len(pmf))[0] for u, pmf in FULL["drug"].chances.items()})
    assert full.evaluate("P(G=f)") == 1.0
    with pytest.raises(QueryError, match=r"P\(S=dead \| G=m\) is undefined: its condition has probability 0"):
        full.evaluate("P(S=dead | G=m)")


def test_a_query_about_what_the_model_lacks_is_refused():
    with pytest.raises(UnknownName, match="Z"):
        FULL["drug"].evaluate("P(Z=1)")
    with pytest.raises(QueryError, match="named once; found"):
        FULL["drug"].distribution("S", "S")
    with pytest.raises(QueryError, match="one variable or more"):
        FULL["drug"].distribution()
    with pytest.raises(UnknownName, match="the distribution is of Z"):
        FULL["drug"].distribution("Z")
    with pytest.raises(UnknownState, match="sets T to 'aspirin'; its states are drug, none"):
        FULL["drug"].distribution("S", do={"T": "aspirin"})


def test_a_distribution_over_too_many_variables_is_refused():
    full = FullModel.random(40, np.random.default_rng(0))
    with pytest.raises(TooLarge, match="ask for fewer variables at once"):
        full.distribution(*full.model.variables)


# -- records ---------------------------------------------------------------------------------------


@each
def test_observed_records_have_the_exact_frequencies(full):
    records = full.sample(20_000, rng=np.random.default_rng(11))
    assert list(records) == list(full.model.variables)
    assert fit_of(records, full.distribution(*full.model.variables)) > 1e-3


@each
def test_records_of_an_intervention_have_the_frequencies_of_the_potential_outcomes(full):
    first, last = full.model.order[0], full.model.order[-1]
    for i, x in enumerate(full.model.states[first]):
        records = full.sample(20_000, do={first: x}, rng=np.random.default_rng(i))
        assert (records[first] == i).all()
        assert fit_of(records, enumerate_joint(full, {first: i}.items())) > 1e-3
        for j, y in enumerate(full.model.states[last]):
            exact = full.evaluate(f"P({last}[{first}={x}]={y})")
            assert (records[last] == j).mean() == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("do", ["T", ["T"], ("T",), {"T": None}])
def test_a_variable_set_at_random_is_independent_of_its_parents(do):
    full = FULL["drug"]
    records = full.sample(20_000, do=do, rng=np.random.default_rng(4))
    arms = np.stack([enumerate_joint(full, {"T": t}.items())[:, t] for t in (0, 1)], axis=1) / 2
    assert fit_of(records, arms) > 1e-3


def test_a_variable_is_set_to_an_array_of_codes_record_by_record():
    full = FULL["drug"]
    arms = np.array([0, 1, 1, 0, 1])
    assert full.sample(5, do={"T": arms}, rng=np.random.default_rng(0))["T"].tolist() == arms.tolist()
    assert full.sample(5, do={"T": arms.tolist()}, rng=np.random.default_rng(0))["T"].tolist() == arms.tolist()
    assert (arms == [0, 1, 1, 0, 1]).all()


def test_what_does_not_descend_from_the_intervention_stays_as_it_was():
    full = FULL["drug"]
    seen, trial = (full.sample(100, do=do, rng=np.random.default_rng(9)) for do in (None, {"T": "drug"}))
    assert np.array_equal(seen["G"], trial["G"])
    treated = seen["T"] == 0
    assert np.array_equal(seen["S"][treated], trial["S"][treated])  # consistency


def test_records_are_codes_that_labels_spells_out():
    full = FULL["front door"]
    records = full.sample(50, do={"X": 1}, rng=np.random.default_rng(2))
    spelt = full.labels(records)
    assert records["M"].dtype == np.int32
    assert set(spelt["X"]) == {"1"}
    assert [full.model.states["M"].index(m) for m in spelt["M"]] == records["M"].tolist()
    with pytest.raises(UnknownName, match="the records hold Z"):
        full.labels({"Z": np.zeros(3, int)})


def test_equal_seeds_give_equal_records_and_no_record_is_no_problem():
    full = FULL["random 6"]
    one, two = (full.sample(30, do="V2", rng=np.random.default_rng(8)) for _ in range(2))
    assert all(np.array_equal(one[v], two[v]) for v in one)
    assert {v: len(codes) for v, codes in full.sample(0, rng=np.random.default_rng(0)).items()} == dict.fromkeys(one, 0)


def test_a_state_with_chance_zero_is_never_drawn():
    model = Model.from_uai("CAUSAL\n2\n4 4\n2\n1 0\n2 0 1\n4 0 .5 .5 0\n4 0 1 2 3\n")
    full = FullModel(model, {"U0": [0.0, 0.5, 0.5, 0.0]})
    assert set(full.sample(10_000, rng=np.random.default_rng(0))["V1"].tolist()) == {1, 2}


def test_a_deterministic_variable_is_the_same_in_every_record():
    spec = {"endogenous": {"X": {"states": ["on"]}, "Y": {"states": [0, 1], "parents": ["X"]}}}
    model = Model.from_dict(spec | {"equations": {"X": {"table": [0]}}})
    records = specify(model, 0).sample(7, rng=np.random.default_rng(0))
    assert records["X"].tolist() == [0] * 7
    assert len(records["Y"]) == 7


@pytest.mark.parametrize(
    ("do", "error", "message"),
    [
        ("Z", UnknownName, "the intervention sets Z"),
        ({"T": "aspirin"}, UnknownState, "the intervention sets T to 'aspirin'; its states are drug, none"),
        ({"T": 0.5}, UnknownState, "the intervention sets T to 0.5"),
        ({"T": [0, 1]}, OptionError, r"an array of shape \(2,\).*; it takes 4 whole numbers"),
        ({"T": np.full(4, 0.5)}, OptionError, "type float64; it takes 4 whole numbers"),
        ({"T": [0, 1, 2, 0]}, UnknownState, "the code 2; codes are 0 to 1"),
        ({"T": [0, -1, 1, 0]}, UnknownState, "the code -1; codes are 0 to 1"),
    ],
)
def test_an_intervention_that_does_not_fit_is_refused(do, error, message):
    with pytest.raises(error, match=message):
        FULL["drug"].sample(4, do=do, rng=np.random.default_rng(0))


@pytest.mark.parametrize("n", [-1, 2.5, True, "many"])
def test_a_number_of_records_is_a_whole_number(n):
    with pytest.raises(OptionError, match=r"n is .*; it takes a number of records"):
        FULL["drug"].sample(n, rng=np.random.default_rng(0))


# -- Section 6.2 -----------------------------------------------------------------------------------


def test_the_studies_are_n_observed_records_and_n_for_each_value_of_the_first_variable():
    full = FULL["random 6"]
    trial = sample_studies(full, 1_000, np.random.default_rng(6))
    assert trial.do == full.model.order[0]
    assert {len(codes) for codes in trial.observed.values()} == {1_000}
    assert np.bincount(trial.randomised[trial.do]).tolist() == [1_000, 1_000]
    assert fit_of(trial.observed, full.distribution(*full.model.variables)) > 1e-3


def test_the_query_is_the_pns_of_the_first_variable_on_the_last():
    model = FULL["random 6"].model
    assert str(first_on_last(model)) == f"PNS({model.order[0]}=1 vs 0, {model.order[-1]}=1)"
    with pytest.raises(QueryError, match="two variables with two states"):
        first_on_last(Model.parse("X {0, 1}"))


def test_the_bounds_from_both_studies_hold_the_truth():
    full = FullModel.random(5, np.random.default_rng(21))
    model, counts = full.model, []
    for do in (None, full.model.order[0]):
        records = full.sample(200_000, do=do, rng=np.random.default_rng(1))
        rows, n = np.unique(np.column_stack(list(records.values())), axis=0, return_counts=True)
        columns = {v: rows[:, i] for i, v in enumerate(model.variables)} | {"n": n}
        counts.append(emcc.Study(pl.DataFrame(columns), do=[do] if do else [], weight="n"))
    row = emcc.bounds(model, counts, str(first_on_last(model)), restarts=30).to_pylist()[0]
    assert row["lower"] - 0.02 <= full.evaluate(first_on_last(model)) <= row["upper"] + 0.02


# -- what a full model is --------------------------------------------------------------------------


@each
def test_a_full_model_survives_its_uai_file(full):
    again = FullModel.from_uai(full.to_uai())
    assert FullModel.from_uai(again.to_uai()) == again
    assert again.evaluate(first_on_last(again.model)) == pytest.approx(full.evaluate(first_on_last(full.model)))
    if full.model.variables[0].startswith("V"):
        assert again == full
        assert hash(again) == hash(full)
        assert again != FullModel.from_uai(full.model.to_uai())


def test_the_chances_are_copied_and_cannot_be_written_to():
    given = {u: pmf.copy() for u, pmf in FULL["drug"].chances.items()}
    full = FullModel(DRUG, given)
    given["U_G"][:] = 0.0
    assert full.chances["U_G"].sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="read-only"):
        full.chances["U_G"][0] = 1.0


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"U_X": [1.0]}, UnknownName, "there are chances of U_X, which is no exogenous variable"),
        ({"U_G": None}, InvalidEquation, "the chances of U_G have the shape"),
        ({"U_G": "half"}, InvalidEquation, "the chances of U_G are 'half'; they are numbers"),
        ({"U_G": [0.2, 0.3, 0.5]}, InvalidEquation, r"the shape \(3,\); it has 2 states"),
        ({"U_G": [[0.5, 0.5]]}, InvalidEquation, r"the shape \(1, 2\)"),
        ({"U_G": [-0.1, 1.1]}, InvalidEquation, r"the entry -0\.1; chances are 0 to 1"),
        ({"U_G": [np.nan, 1.0]}, InvalidEquation, "the entry nan"),
        ({"U_G": [np.inf, 1.0]}, InvalidEquation, "sum to inf"),
        ({"U_G": [0.5, 0.5 + 2e-9]}, InvalidEquation, r"sum to 1\.000000002; divide them by their sum"),
    ],
)
def test_chances_that_are_no_pmf_of_the_model_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        FullModel(DRUG, {**FULL["drug"].chances, **changed})


def test_missing_chances_and_unknown_states_are_refused():
    with pytest.raises(InvalidEquation, match="there are no chances of U_G"):
        FullModel(DRUG, {u: pmf for u, pmf in FULL["drug"].chances.items() if u != "U_G"})
    with pytest.raises(GraphError, match="the states of Y are not known"):
        FullModel(Model.parse("X -> Y; X {0, 1}"), {})


@needs_files
@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("hybrid/*.uai")), ids=lambda f: f.stem)
def test_the_authors_models_made_the_authors_data(file):
    full = FullModel.from_uai(file, normalise=True)
    header, *rows = file.with_suffix(".csv").read_text().split()
    columns = np.array([row.split(",")[1:] for row in rows], dtype=np.intp).T
    data = dict(zip([f"V{i}" for i in header.split(",")[1:]], columns, strict=True))
    for v in full.model.variables:  # one at a time, given its parents
        family = {p: data[p] for p in (*full.model.parents[v], v)}
        joint = full.distribution(*family)
        seen = np.zeros(joint.shape)
        np.add.at(seen, tuple(family.values()), 1)
        expected = joint / joint.sum(-1, keepdims=True) * seen.sum(-1, keepdims=True)
        assert not seen[joint == 0].any()
        chi = ((seen - expected)[expected > 0] ** 2 / expected[expected > 0]).sum()
        assert chi2.sf(chi, joint[..., 0].size) > 1e-3
