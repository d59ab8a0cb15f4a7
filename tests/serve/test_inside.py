"""`method="emcc"`: the range over restarts lies inside the exact one, also with plain steps."""

from __future__ import annotations

import polars as pl
import pytest

import duckemcc as emcc

BOW = "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y"
BOTH = [True, False]


def study(columns, rows, name, **options):
    return emcc.Study(pl.DataFrame(rows, schema=[*columns, "n"], orient="row"), weight="n", name=name, **options)


def is_inside(model, studies, query, **options):
    (sharp,) = emcc.bounds(model, studies, query, incompatible="report").to_pylist()
    (row,) = emcc.bounds(model, studies, query, method="emcc", incompatible="report", **options).to_pylist()
    assert sharp["exact_lower"]
    assert sharp["exact_upper"]
    assert sharp["lower"] - 1e-6 <= row["lower"] <= row["upper"] <= sharp["upper"] + 1e-6
    return row


@pytest.mark.parametrize("accelerate", BOTH)
@pytest.mark.parametrize(("measured", "value"), [((22, 28), 0.56), ((20, 30), 0.6), ((30, 20), 0.4)])
def test_what_a_trial_measured_is_a_point_in_every_best_model(accelerate, measured, value):
    registry = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)], "registry")
    trial = study("XY", [(0, 0, 70), (0, 1, 30), (1, 0, measured[0]), (1, 1, measured[1])], "trial", do="X")
    row = is_inside(BOW, [registry, trial], "P(Y[X=1]=1)", accelerate=accelerate)
    assert (row["lower"], row["upper"]) == (pytest.approx(value, abs=1e-6), pytest.approx(value, abs=1e-6))
    is_inside(BOW, [registry, trial], "PNS(X=1, Y=1)", accelerate=accelerate)


@pytest.mark.parametrize("accelerate", BOTH)
def test_studies_that_contradict_each_other_are_no_exception(accelerate):
    registry = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)], "registry")
    trial = study("XY", [(0, 0, 7), (0, 1, 3), (1, 0, 40), (1, 1, 10)], "trial", do="X")
    is_inside(BOW, [registry, trial], "P(Y[X=1]=1)", accelerate=accelerate)


@pytest.mark.parametrize("accelerate", BOTH)
def test_records_that_lack_a_value_are_no_exception(accelerate):
    rows = [(0, 0, 20), (0, 1, 5), (1, 0, 8), (1, 1, 13), (None, 0, 9), (None, 1, 2)]
    is_inside("X {0, 1}; M {0, 1}; X -> M", [study("XM", rows, "obs")], "P(M[X=1]=1)", accelerate=accelerate)


@pytest.mark.parametrize("accelerate", BOTH)
def test_the_order_of_records_does_not_move_an_end(accelerate):
    rows = [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)]
    options = {"method": "emcc", "restarts": 5, "accelerate": accelerate}
    asked = [emcc.bounds(BOW, study("XY", r, "a"), "PNS(X=1, Y=1)", **options) for r in (rows, rows[::-1])]
    assert asked[0].equals(asked[1])


def test_a_gap_of_zero_asks_for_the_steps_as_they_are():
    registry = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)], "registry")
    trial = study("XY", [(0, 0, 70), (0, 1, 30), (1, 0, 22), (1, 1, 28)], "trial", do="X")
    options = {"method": "emcc", "accelerate": False, "gap": 0.0, "max_steps": 300}
    (row,) = emcc.bounds(BOW, [registry, trial], "P(Y[X=1]=1)", **options).to_pylist()
    assert (row["converged"], row["steps"]) == (False, 300)
    assert row["upper"] - row["lower"] > 1e-5


def test_restarts_that_ran_out_of_steps_near_the_maximum_are_brought_there():
    registry = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)], "registry")
    trial = study("XY", [(0, 0, 70), (0, 1, 30), (1, 0, 22), (1, 1, 28)], "trial", do="X")
    row = is_inside(BOW, [registry, trial], "P(Y[X=1]=1)", accelerate=False, max_steps=2000)
    assert row["upper"] - row["lower"] <= 1e-6
