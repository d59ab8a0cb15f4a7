"""Strata and studies with a tiny share of the records: right answers, also where rounding hides them from LL."""

from __future__ import annotations

import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.learn.convex.newton import maximise_records

BOW = "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y"
STRATUM = "G {a, b}; X {a, b}; Y {a, b}; G -> X -> Y; G -> Y; X <-> Y"
P_X = {"a": 0.3, "b": 0.6}
P_Y = {("a", "a"): 0.2, ("a", "b"): 0.7, ("b", "a"): 0.5, ("b", "b"): 0.9}


def study(columns, rows, name, **options):
    frame = pl.DataFrame(rows, schema=[*columns, "n"], orient="row")
    return emcc.Study(frame, weight="n", name=name, **options)


def ask(model, studies, query, **options):
    (row,) = emcc.bounds(model, studies, query, **({"level": None} | options)).to_pylist()
    assert row["converged"] is True
    assert "stopped" not in (row["message"] or "")
    assert row["outer_lower"] is None or row["outer_lower"] <= row["lower"] <= row["upper"] <= row["outer_upper"]
    return row


def stratum(eps):
    """Two studies whose stratum G=b has a share of eps."""
    share = {"a": 1 - eps, "b": eps}
    chance = {(g, x): 1000 * share[g] * (P_X[g] if x == "a" else 1 - P_X[g]) for g in "ab" for x in "ab"}
    obs = [(g, x, y, n * (P_Y[g, x] if y == "a" else 1 - P_Y[g, x])) for (g, x), n in chance.items() for y in "ab"]
    trial = [(g, x, "a", n) for (g, x), n in chance.items()]
    return [study("GXY", obs, "obs"), study("GXY", trial, "doY", do="Y")]


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9, 1e-11, 1e-12, 1e-14])
def test_a_stratum_as_rare_as_can_be_keeps_its_part_of_the_answer(eps):
    row = ask(STRATUM, stratum(eps), "P(X[G=b]=b, G=a, Y[G=a]=b)")
    assert row["upper"] == pytest.approx(0.4 * (1 - eps), abs=1e-6)
    inside = ask(STRATUM, stratum(eps), "P(X[G=b]=b, G=a, Y[G=a]=b)", method="emcc", restarts=10)
    assert row["lower"] - 1e-6 <= inside["lower"] <= inside["upper"] <= row["upper"] + 1e-6


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9, 1e-11, 1e-12, 1e-14])
def test_a_rare_stratum_can_be_a_condition(eps):
    joint = ask(STRATUM, stratum(eps), "P(Y=b | X=a, G=b)")
    assert (joint["lower"], joint["upper"]) == (pytest.approx(0.5, abs=1e-6), pytest.approx(0.5, abs=1e-6))
    row = ask(STRATUM, stratum(eps), "PNS(X=a, Y=b | G=b)")
    # P(X=a, Y=b) + P(X=b, Y=a) within G=b: .6 * .5 + .4 * .9
    assert (row["lower"], row["upper"]) == (pytest.approx(0.0, abs=1e-6), pytest.approx(0.66, abs=1e-6))


@pytest.mark.parametrize("ratio", [1.0, 1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-14])
@pytest.mark.parametrize("small", ["obs", "trial"])
@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e10])
def test_the_sizes_of_studies_that_agree_do_not_matter(ratio, small, scale):
    ratio, scale = max(ratio, 1e-14 / min(scale, 1.0)), scale * 1e0
    sizes = {"obs": scale, "trial": scale} | {small: scale * ratio}
    obs = [(x, y, n * sizes["obs"]) for x, y, n in ((0, 0, 0.3), (0, 1, 0.2), (1, 0, 0.1), (1, 1, 0.4))]
    trial = [(x, y, n * sizes["trial"]) for x, y, n in ((0, 0, 0.7), (0, 1, 0.3), (1, 0, 0.45), (1, 1, 0.55))]
    studies = [study("XY", obs, "obs"), study("XY", trial, "trial", do="X")]
    row = ask(BOW, studies, "PNS(X=1, Y=1)")
    assert (row["lower"], row["upper"]) == (pytest.approx(0.3, abs=1e-6), pytest.approx(0.55, abs=1e-6))
    point = ask(BOW, studies, "P(Y[X=1]=1)", method="emcc", restarts=5)
    assert (point["lower"], point["upper"]) == (pytest.approx(0.55, abs=1e-6), pytest.approx(0.55, abs=1e-6))


@pytest.mark.parametrize("ratio", [1e-6, 1e-8, 1e-11, 1e-12, 1e-14])
def test_a_tiny_study_that_contradicts_a_large_one_gives_way(ratio):
    obs = study("XY", [(0, 0, 30.0), (0, 1, 20.0), (1, 0, 10.0), (1, 1, 40.0)], "obs")
    trial = [(0, 0, 70 * ratio), (0, 1, 30 * ratio), (1, 0, 35 * ratio), (1, 1, 15 * ratio)]
    studies = [obs, study("XY", trial, "trial", do="X")]
    row = ask(BOW, studies, "P(Y[X=1]=1)", incompatible="report")
    assert (row["lower"], row["upper"]) == (pytest.approx(0.4, abs=1e-6), pytest.approx(0.4, abs=1e-6))


@pytest.mark.parametrize("eps", [1e-6, 1e-9, 1e-11, 1e-12, 1e-14])
def test_a_rare_value_can_be_a_condition_too(eps):
    obs = study("XY", [(0, 0, 0.3), (0, 1, 0.7), (1, 0, 0.2 * eps), (1, 1, 0.8 * eps)], "obs")
    row = ask(BOW, [obs], "P(Y=1 | X=1)")
    assert (row["lower"], row["upper"]) == (pytest.approx(0.8, abs=1e-6), pytest.approx(0.8, abs=1e-6))
    row = ask(BOW, [obs], "PN(X=1, Y=1)")
    assert (row["lower"], row["upper"]) == (pytest.approx(0.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))


def test_a_condition_without_records_is_still_undefined():
    obs = study("XY", [(0, 0, 0.3), (0, 1, 0.7)], "obs")
    (row,) = emcc.bounds(BOW, [obs], "P(Y=1 | X=1)", level=None).to_pylist()
    assert row["status"] == "undefined"


@pytest.mark.parametrize("eps", [1e-9, 1e-12, 1e-15, 1e-25])
def test_rare_fits_have_all_their_digits(eps):
    import numpy as np

    count = np.array([[1 - eps, eps]])
    assert maximise_records(np.eye(2), count).fitted[0][0] == pytest.approx([1 - eps, eps], rel=1e-9)
    # three tiers, each of two patterns that the same states decide: contexts of shares 1, eps and eps²
    yields = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], float)
    count = np.array([[0.5, 0.5, 0.3 * eps, 0.7 * eps, 0.4 * eps**2, 0.6 * eps**2]])
    fitted = maximise_records(yields, count).fitted[0][0]
    assert fitted == pytest.approx([0.5, 0.5, 0.3, 0.7, 0.4, 0.6], abs=1e-7)
