"""Section 6.1 and THEORY §7: every number of the paper's Table 1, in both models, through the whole program."""

from __future__ import annotations

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.serve.cli.drug_trial import DATA, PNS, QUESTIONS, WITH, WITHOUT

SOURCE = "Zaffalon et al. 2023, Section 6.1, Table 1; Mueller & Pearl 2022; closed forms of Tian & Pearl 2000"


@pytest.fixture(scope="module")
def con():
    connection = duckdb.connect()
    connection.execute(emcc.read_sql("drug_trial"))
    return connection


def studies_of(con, data):
    registry, trial = (
        emcc.Study(con.table("registry"), weight="n"),
        emcc.Study(con.table("trial"), do="Treatment", weight="n"),
    )
    return {"O": [registry], "I": [trial], "O+I": [registry, trial]}[data]


@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.parametrize("question", QUESTIONS, ids=[q.title for q in QUESTIONS])
def test_restarts_stay_inside_the_exact_bounds_and_meet_them_where_identified(con, question, data):
    studies = studies_of(con, data)
    row = emcc.bounds(question.graph, studies, question.query, method="emcc", level=None).to_pylist()[0]
    low, high = question.exact[data]
    assert row["status"] == "bounded"
    assert row["compatible"]
    assert row["converged"]
    assert low - 1e-7 <= row["lower"] <= row["upper"] <= high + 1e-7
    if high - low < 1e-9:
        assert row["upper"] - row["lower"] < 1e-6
    else:
        assert row["upper"] - row["lower"] > 0.6 * (high - low)


@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.parametrize("question", QUESTIONS, ids=[q.title for q in QUESTIONS])
def test_sharp_bounds_are_the_exact_ones_to_nine_digits_and_proven(con, question, data):
    row = emcc.bounds(question.graph, studies_of(con, data), question.query, level=None).to_pylist()[0]
    low, high = question.exact[data]
    assert row["method"] == "sharp"
    assert row["lower"] == pytest.approx(low, abs=1e-9)
    assert row["upper"] == pytest.approx(high, abs=1e-9)
    assert row["outer_lower"] == pytest.approx(low, abs=1e-6)
    assert row["outer_upper"] == pytest.approx(high, abs=1e-6)
    assert row["exact_lower"]
    assert row["exact_upper"]
    assert row["status"] == ("identified" if high - low < 1e-9 else "bounded")


@pytest.mark.parametrize(
    ("query", "data", "printed"),
    [
        (PNS, "O", (0.00, 0.43)),
        (PNS, "O+I", (0.34, 0.43)),
        (PNS, "I", (0.28, 0.49)),
    ],
)
def test_the_paper_s_two_digits_come_out_of_the_model_without_gender(con, query, data, printed):
    """The paper prints them beside the model with 64 states; they are those of the model with 8 (THEORY §7)."""
    for options in ({"method": "sharp"}, {"method": "emcc", "restarts": 100}):
        row = emcc.bounds(WITHOUT, studies_of(con, data), query, **options).to_pylist()[0]
        assert (round(row["lower"], 2), round(row["upper"], 2)) == printed


@pytest.mark.parametrize(("gender", "printed"), [("female", 0.28), ("male", 0.49)])
def test_the_conditional_pns_shrinks_to_the_paper_s_points_when_both_studies_are_used(con, gender, printed):
    row = emcc.bounds(WITH, studies_of(con, "O+I"), f"{PNS[:-1]} | Gender={gender})").to_pylist()[0]
    assert round(row["lower"], 2) == round(row["upper"], 2) == printed


def test_with_gender_both_studies_identify_pns_as_the_mean_of_the_two_genders(con):
    row = emcc.bounds(WITH, studies_of(con, "O+I"), PNS).to_pylist()[0]
    assert row["lower"] == pytest.approx((0.279 + 0.49) / 2, abs=1e-7)
    assert row["upper"] == pytest.approx(0.3845, abs=1e-7)


@pytest.mark.parametrize("start", ["uniform", "dirichlet(1)", "dirichlet(0.1)", "stick"])
def test_every_start_finds_the_identified_value(con, start):
    row = emcc.bounds(WITH, studies_of(con, "O+I"), PNS, method="emcc", start=start, restarts=10).to_pylist()[0]
    assert row["lower"] == pytest.approx(0.3845, abs=1e-6)
    assert row["upper"] == pytest.approx(0.3845, abs=1e-6)


def test_the_exogenous_variable_of_the_paper_has_64_states():
    model = emcc.Model.parse(WITH + "; Gender {female, male}; Treatment {drug, 'no drug'}; Survival {survived, dead}")
    assert model.card("U_Treatment_Survival") == 64


def test_definition_2_the_studies_are_compatible_one_by_one_and_together(con):
    for graph in (WITH, WITHOUT):
        for data in DATA:
            table = emcc.compatibility(graph, studies_of(con, data), level=None).to_pylist()
            assert all(row["compatible"] for row in table)
            assert table[0]["study"] is None
            assert table[0]["loglik_gap"] < 1e-6
