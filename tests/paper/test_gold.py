"""Problems with exact answers, worked out by closed forms or an exact LP: learned bounds lie inside, and meet them
where identified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.query.syntax import Atom, PotentialOutcome, Probability, Query, Setting, Term

GOLD = Path(__file__).resolve().parents[2].parent / "shared" / "gold"
CASES = sorted(GOLD.glob("*.json"))
WIDE = sorted((GOLD / "wide").glob("*.json"))
RANDOM = sorted((GOLD / "random").glob("*.json"))
needs_gold = pytest.mark.skipif(not CASES, reason="needs ../shared/gold")


def read_atom(atom):
    values = atom["val"] if isinstance(atom["val"], list) else [atom["val"]]
    do = tuple(Setting(name, str(value)) for name, value in atom.get("do", {}).items())
    return Atom(PotentialOutcome(atom["var"], do), tuple(map(str, values)))


def read_query(spec):
    given = tuple(map(read_atom, spec.get("given", [])))
    terms = [
        Term(t["coef"], Probability(tuple(map(read_atom, t["event"])), given))
        for t in spec.get("terms", [{"coef": 1.0, "event": spec.get("event", [])}])
    ]
    return Query((*terms, *([Term(spec["constant"], None)] if spec.get("constant") else [])))


def read_study(study, variables):
    """The study with a column for whatever any of its records has; other variables are unmeasured."""
    rows = [study.get("do", {}) | row for row in study["rows"]]
    measured = {name for row in rows for name in row}
    return emcc.Study(
        pl.DataFrame(rows, infer_schema_length=None),
        do=tuple(study.get("do", {})),
        name=study["name"],
        weight="n",
        unmeasured=[v for v in variables if v not in measured],
    )


def ask(case, studies, query, method="emcc", **options):
    keys = ("endogenous", "exogenous", "equations", "assumptions")
    model = emcc.Model.from_dict({k: case[k] for k in keys if k in case})
    told = [read_study(s, model.variables) for s in studies]
    return emcc.bounds(model, told, [query], method=method, **options).to_pylist()[0]


def several_causes(case):
    """Whether some component has more than one exogenous variable."""
    model = emcc.Model.from_dict({k: case[k] for k in ("endogenous", "exogenous", "equations") if k in case})
    causes = [model.causes[v] for v in model.variables]
    return any(len(own) > 1 for own in causes)


@needs_gold
@pytest.mark.parametrize("path", CASES, ids=[p.stem for p in CASES])
def test_gold_problems_come_out_as_their_exact_answers_say(path):
    case = json.loads(path.read_text())
    nulls = "mcar" if path.stem.startswith("null_mcar") else "mar"
    query, expected = read_query(case["query"]), case["expected"]
    row = ask(case, case["studies"], query, level=None, restarts=60, nulls=nulls)
    if expected["status"] == "infeasible":
        assert row["status"] == "incompatible"
        assert row["lower"] is None
        assert row["fault"]
    elif expected["status"] == "undefined":
        assert row["status"] == "undefined"
        assert row["lower"] is None
    else:
        assert row["status"] == "bounded"
        scale = max(1.0, abs(expected["lower"]), abs(expected["upper"]))
        assert expected["lower"] - 1e-6 * scale <= row["lower"] <= row["upper"] <= expected["upper"] + 1e-6 * scale
        if expected["upper"] - expected["lower"] < 1e-9:
            assert row["lower"] == pytest.approx(expected["lower"], abs=1e-6)
            assert row["upper"] == pytest.approx(expected["upper"], abs=1e-6)


@needs_gold
@pytest.mark.parametrize("path", WIDE, ids=[p.stem for p in WIDE])
def test_problems_with_causes_too_large_for_a_list_are_right_and_proven(path):
    case = json.loads(path.read_text())
    row = ask(case, case["studies"], read_query(case["query"]), method="sharp", level=None)
    assert row["lower"] == pytest.approx(case["expected"]["lower"], abs=1e-6)
    assert row["upper"] == pytest.approx(case["expected"]["upper"], abs=1e-6)
    assert (row["exact_lower"], row["exact_upper"]) == (True, True)


@needs_gold
@pytest.mark.parametrize("path", CASES, ids=[p.stem for p in CASES])
def test_sharp_bounds_meet_the_exact_answers_of_gold_problems(path):
    case = json.loads(path.read_text())
    nulls = "mcar" if path.stem.startswith("null_mcar") else "mar"
    expected = case["expected"]
    row = ask(case, case["studies"], read_query(case["query"]), method="sharp", level=None, nulls=nulls)
    if expected["status"] != "feasible":
        told = {"infeasible": "incompatible", "undefined": "undefined"}[expected["status"]]
        assert (row["status"], row["lower"], row["upper"]) == (told, None, None)
        assert row["message"]
        return
    assert row["lower"] == pytest.approx(expected["lower"], rel=1e-6, abs=1e-6)
    assert row["upper"] == pytest.approx(expected["upper"], rel=1e-6, abs=1e-6)
    assert row["outer_lower"] <= row["lower"]
    assert row["upper"] <= row["outer_upper"]
    if path.stem not in TIED:
        assert row["exact_lower"]
        assert row["exact_upper"]
        identified = expected["upper"] - expected["lower"] < 1e-9
        assert row["status"] == ("identified" if identified else "bounded")


TIED = ("mgraph_ate",)
"""Records that lack values tie causes that are alone in their components, so that ends need not be proven."""

CHOICES = {"O": ["obs"], "I": ["do0", "do1"], "OI": ["obs", "do0", "do1"]}
PROVEN = ("lp-exact", "point", "global")


@needs_gold
@pytest.mark.parametrize("choice", list(CHOICES))
@pytest.mark.parametrize("path", RANDOM, ids=[p.stem for p in RANDOM])
def test_random_models_are_bounded_inside_their_exact_bounds(path, choice):
    case = json.loads(path.read_text())
    query = read_query(case["query"])
    for version in ("infinite", "finite"):
        reference = case.get("bounds", {}).get(choice, {})
        exact = reference if version == "infinite" else reference.get("finite", {}).get("ml", {})
        row = ask(
            case,
            [case[version][k] for k in CHOICES[choice]],
            query,
            restarts=30,
            incompatible="report",
            tolerance=0.999,
        )
        assert row["converged"]
        assert 0 <= row["lower"] <= row["upper"] <= 1
        if str(exact.get("method", "")).startswith(PROVEN):
            slack = 3e-5 if exact["method"].startswith("global") else 1e-6
            assert exact["lower"] - slack <= row["lower"] <= row["upper"] <= exact["upper"] + slack
            if exact["upper"] - exact["lower"] > 1e-6:
                assert row["upper"] - row["lower"] > 0.3 * (exact["upper"] - exact["lower"])
        if version == "infinite" and choice == "OI":
            assert row["lower"] - 0.12 <= case["truth"] <= row["upper"] + 0.12


@needs_gold
@pytest.mark.parametrize("version", ["infinite", "finite"])
@pytest.mark.parametrize("choice", list(CHOICES))
@pytest.mark.parametrize("path", RANDOM, ids=[p.stem for p in RANDOM])
def test_sharp_bounds_of_random_models_are_as_wide_as_any_reference_and_no_wider_than_an_exact_one(
    path, choice, version
):
    case = json.loads(path.read_text())
    reference = case.get("bounds", {}).get(choice, {})
    exact = reference if version == "infinite" else reference.get("finite", {}).get("ml", {})
    studies = [case[version][k] for k in CHOICES[choice]]
    options = {"method": "sharp", "incompatible": "report", "tolerance": 0.999}
    row = ask(case, studies, read_query(case["query"]), **options)
    assert row["outer_lower"] <= row["lower"] <= row["upper"] <= row["outer_upper"]
    if not several_causes(case):
        assert row["exact_lower"]
        assert row["exact_upper"]
    if version == "infinite":
        assert row["outer_lower"] - 1e-6 <= case["truth"] <= row["outer_upper"] + 1e-6
    if "method" not in exact:
        return
    assert row["lower"] <= exact["lower"] + 1e-5
    assert row["upper"] >= exact["upper"] - 1e-5
    if exact["method"].startswith(PROVEN):
        slack = 3e-5 if exact["method"].startswith("global") else 1e-6
        assert row["lower"] >= exact["lower"] - slack
        assert row["upper"] <= exact["upper"] + slack


@needs_gold
@pytest.mark.parametrize("choice", list(CHOICES))
@pytest.mark.parametrize("path", RANDOM, ids=[p.stem for p in RANDOM])
def test_the_log_likelihood_gap_is_that_of_an_independent_solver(path, choice):
    case = json.loads(path.read_text())
    reference = case.get("bounds", {}).get(choice, {}).get("finite", {}).get("tian", {})
    if "ll_gap" not in reference:
        pytest.skip("no reference gap for this problem")
    row = ask(case, [case["finite"][k] for k in CHOICES[choice]], read_query(case["query"]), restarts=5)
    assert row["loglik_gap"] == pytest.approx(max(reference["ll_gap"], 0), rel=1e-5, abs=1e-5)


@needs_gold
def test_in_infinite_data_every_random_model_is_exactly_compatible():
    for path in RANDOM:
        case = json.loads(path.read_text())
        row = ask(case, case["infinite"].values(), read_query(case["query"]), level=None, restarts=3)
        assert row["compatible"], path.stem
        assert np.isfinite(row["loglik_gap"])
