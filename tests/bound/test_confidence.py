"""Confidence limits: the range of a query over the models that are likely enough."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

import duckemcc as emcc

COIN = emcc.Model.parse("X {0, 1}")
BOW = emcc.Model.parse("X -> Y; X <-> Y; X {0, 1}; Y {0, 1}")
PNS = "PNS(X=1 vs 0, Y=1)"


def table(model, cells):
    rows = pl.DataFrame([dict(zip(model.variables, codes, strict=True)) for codes in cells])
    return rows.with_columns(n=pl.Series(list(cells.values()), dtype=pl.Float64))


def study(model, cells, do=(), name="study"):
    return emcc.Study(table(model, cells), do=do, weight="n", name=name)


def ask(model, studies, query, **options):
    return emcc.bounds(model, studies, query, **options).to_pylist()[0]


def bow_cells(n):
    return {(0, 0): 0.3 * n, (0, 1): 0.2 * n, (1, 0): 0.1 * n, (1, 1): 0.4 * n}


@pytest.mark.parametrize(("heads", "n"), [(30, 100), (1, 40), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_limits_of_a_frequency_are_those_of_the_likelihood_ratio(heads, n, confidence):
    row = ask(COIN, [study(COIN, {(0,): n - heads, (1,): heads})], "P(X=1)", confidence=confidence)

    def excess(p):
        here = heads * np.log(p) + (n - heads) * np.log(1 - p)
        peak = heads * np.log(heads / n) + (n - heads) * np.log(1 - heads / n)
        return 2 * (peak - here) - chi2.ppf(confidence, 1)

    assert row["lower"] == pytest.approx(heads / n)
    assert row["lower_ci"] == pytest.approx(brentq(excess, 1e-12, heads / n), abs=1e-5)
    assert row["upper_ci"] == pytest.approx(brentq(excess, heads / n, 1 - 1e-12), abs=1e-5)


def test_limits_contain_the_bounds_and_each_other_as_confidence_grows():
    studies = [study(BOW, bow_cells(500))]
    rows = [ask(BOW, studies, PNS, confidence=c) for c in (0.5, 0.9, 0.99)]
    assert rows[0]["lower_ci"] <= rows[0]["lower"] <= rows[0]["upper"] <= rows[0]["upper_ci"]
    for narrow, wide in pairwise(rows):
        assert wide["lower_ci"] <= narrow["lower_ci"] + 1e-6
        assert wide["upper_ci"] > narrow["upper_ci"]
    assert ask(BOW, studies, PNS)["lower_ci"] is None


def test_limits_close_in_on_the_bounds_as_records_grow():
    rows = [ask(BOW, [study(BOW, bow_cells(n))], PNS, confidence=0.95) for n in (100, 10_000, 1_000_000)]
    margins = [row["upper_ci"] - row["upper"] for row in rows]
    assert margins[0] / margins[1] == pytest.approx(10, rel=0.3)
    assert margins[1] / margins[2] == pytest.approx(10, rel=0.1)


def test_only_the_data_on_which_a_query_depends_take_part():
    model = emcc.Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    row = ask(model, [study(model, bow_cells(200))], "P(X=1)", confidence=0.95)
    alone = ask(COIN, [study(COIN, {(0,): 100.0, (1,): 100.0})], "P(X=1)", confidence=0.95)
    assert (row["lower_ci"], row["upper_ci"]) == pytest.approx((alone["lower_ci"], alone["upper_ci"]), abs=1e-6)


def test_joint_limits_are_not_there_where_no_model_is_likely_enough_and_conditional_ones_are():
    trial = study(BOW, {(1, 0): 450.0, (1, 1): 50.0}, do=("X",), name="trial")
    asked = {"confidence": 0.95, "incompatible": "report"}
    row = ask(BOW, [study(BOW, bow_cells(1000)), trial], PNS, limits="joint", **asked)
    assert row["status"] == "incompatible"
    assert row["lower_ci"] is None
    assert row["upper_ci"] is None
    row = ask(BOW, [study(BOW, bow_cells(1000)), trial], PNS, **asked)
    assert row["status"] == "incompatible"
    assert row["lower_ci"] <= row["lower"] <= row["upper"] < row["upper_ci"]
    few = [study(BOW, {c: n / 50 for c, n in bow_cells(1000).items()})]
    assert ask(BOW, few, PNS, confidence=0.95)["upper_ci"] is not None


def test_limits_hold_the_exact_ends_at_a_kink():
    """All chances even: every argument of the PNS's max and min is equal, where the bootstrap fails. 40 samples."""
    even = emcc.FullModel(BOW, {BOW.exogenous[0].name: np.full(8, 1 / 8)})
    joint = even.distribution("X", "Y").ravel()
    rng = np.random.default_rng(2)
    count = rng.multinomial(300, joint, size=40)
    sample, pattern = np.nonzero(count)
    frame = pl.DataFrame({"X": pattern // 2, "Y": pattern % 2, "n": count[sample, pattern], "sample": sample})
    found = emcc.bounds(BOW, [emcc.Study(frame, weight="n")], PNS, by="sample", confidence=0.95).to_pylist()
    assert len(found) == 40
    held = [row["lower_ci"] <= 0 and row["upper_ci"] >= 0.5 for row in found]
    assert np.mean(held) >= 0.9


def test_a_query_whose_condition_cannot_happen_has_no_limits():
    row = ask(BOW, [study(BOW, {(0, 0): 30.0, (0, 1): 20.0})], "PN(X=1 vs 0, Y=1)", confidence=0.95)
    assert row["status"] == "undefined"
    assert row["lower_ci"] is None


# -- where NULLs tie causes together -----------------------------------------------------------


def with_nulls(n, do):
    """Records of S -> G -> Y; S -> Y; G <-> Y, a tenth of them without S; G by the toss of a coin where it is set."""
    rng = np.random.default_rng(1)
    ways = rng.dirichlet(np.full(64, 0.3)).reshape(8, 8)  # of G given S, and of Y given G
    s = rng.integers(0, 3, n)
    way = rng.choice(64, n, p=ways.ravel())
    g = rng.integers(0, 2, n) if do else (way // 8 >> s) & 1
    y = (way % 8 >> g + (s == 2)) & 1
    frame = pl.DataFrame({"S": s, "G": g, "Y": y, "lost": rng.random(n) < 0.1})
    return emcc.Study(
        frame.with_columns(S=pl.when("lost").then(None).otherwise("S")), do=["G"] if do else [], name=do or "registry"
    )


def test_limits_grow_with_confidence_and_are_wider_than_the_bounds_where_causes_are_tied():
    model = "S -> G -> Y; S -> Y; G <-> Y; S {0, 1, 2}; G {0, 1}; Y {0, 1}"
    studies = [with_nulls(9000, ""), with_nulls(9000, "trial")]
    rows = [ask(model, studies, "PNS(G=1 vs 0, Y=1)", confidence=c, restarts=2) for c in (0.5, 0.8, 0.95)]
    assert all(row["lower_ci"] < row["lower"] < row["upper"] < row["upper_ci"] for row in rows)
    for narrow, wide in pairwise(rows):
        assert wide["lower_ci"] <= narrow["lower_ci"] + 1e-3  # the third digit is that of a climb
        assert narrow["upper_ci"] <= wide["upper_ci"] + 1e-3
    assert rows[0]["outer_lower"] > 0.02 or rows[0]["outer_upper"] < 0.98  # the relaxed set says something
