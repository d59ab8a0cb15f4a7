"""Conditional χ² limits: what they must do on every sample, and values that are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

import duckemcc as emcc

BOW = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
DRUG = "G -> X -> Y; G -> Y; X <-> Y; G {0, 1, 2}; X {0, 1}; Y {0, 1}"
INSTRUMENT = "Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}"
FRONT_DOOR = "X -> M -> Y; X <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}"
CHAIN = "X -> M -> Y; X <-> M; M <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}"
PNS, ACE, PN = "PNS(X=1 vs 0, Y=1)", "ACE(X=1 vs 0, Y=1)", "PN(X=1 vs 0, Y=1)"

PROBLEMS = {
    "two variables": (BOW, True, PNS),
    "a ratio": (BOW, True, PN),
    "a registry alone": (BOW, False, ACE),
    "a covariate": (DRUG, True, PNS),
    "an instrument": (INSTRUMENT, False, ACE),
    "a front door": (FRONT_DOOR, False, ACE),
    "arcs that meet": (CHAIN, False, ACE),
}


def draw(model, trial, n=400, seed=0, fit=True, exact=False):
    """Tables of an observed study, and of a trial: of one random model, or of two that have nothing in common; exact:
    expected counts."""
    spec = emcc.Model.parse(model)
    rng = np.random.default_rng(seed)

    def chances():
        return emcc.FullModel(spec, {u.name: rng.dirichlet(np.full(spec.card(u.name), 0.5)) for u in spec.exogenous})

    full = chances()
    tables = {"observed": [full.distribution(*spec.variables)]}
    if trial:
        full = full if fit else chances()
        tables["trial"] = [full.distribution(*spec.variables, do={"X": x}) for x in (0, 1)]
    found = []
    for name, parts in tables.items():
        count = [n * p if exact else rng.multinomial(n, p.ravel() / p.sum()).reshape(p.shape) for p in parts]
        count = np.sum(count, axis=0)
        codes = np.argwhere(count)
        frame = pl.DataFrame({v: codes[:, i] for i, v in enumerate(spec.variables)})
        found.append((name, frame.with_columns(n=pl.Series(count[tuple(codes.T)].astype(float)))))
    return found


def ask(model, tables, query, **options):
    studies = [emcc.Study(t, do=["X"] if name == "trial" else [], weight="n", name=name) for name, t in tables]
    asked = {"confidence": 0.95, "incompatible": "report", "restarts": 5} | options
    return emcc.bounds(model, studies, query, **asked).to_pylist()[0]


def limits(row):
    return row["lower_ci"], row["upper_ci"]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_limits_contain_the_bounds_and_grow_with_confidence(problem):
    model, trial, query = PROBLEMS[problem]
    for seed in range(2):
        tables = draw(model, trial, seed=seed)
        rows = [ask(model, tables, query, confidence=c) for c in (0.5, 0.8, 0.95, 0.99)]
        for row in rows:
            assert row["lower_ci"] <= row["lower"] <= row["upper"] <= row["upper_ci"]
        for narrow, wide in pairwise(rows):
            assert wide["lower_ci"] <= narrow["lower_ci"] + 1e-4
            assert narrow["upper_ci"] <= wide["upper_ci"] + 1e-4


@pytest.mark.parametrize("problem", ["two variables", "a ratio", "a covariate", "an instrument", "a front door"])
def test_limits_lie_within_those_of_all_degrees_of_freedom_where_the_data_fit(problem):
    model, trial, query = PROBLEMS[problem]
    row = ask(model, tables := draw(model, trial, seed=3, exact=True), query)
    joint = ask(model, tables, query, limits="joint")
    assert joint["lower_ci"] <= row["lower_ci"] + 1e-4
    assert row["upper_ci"] <= joint["upper_ci"] + 1e-4


@pytest.mark.parametrize("problem", ["two variables", "a ratio", "a covariate"])
def test_every_sample_has_limits_also_where_the_studies_contradict_each_other(problem):
    model, trial, query = PROBLEMS[problem]
    for seed in range(4):
        row = ask(model, draw(model, trial, 2000, seed, fit=False), query)
        assert row["lower_ci"] <= row["lower"] <= row["upper"] <= row["upper_ci"]
        assert row["upper_ci"] - row["lower_ci"] < 1


def test_limits_depend_neither_on_the_order_of_rows_nor_on_their_splitting():
    tables = draw(DRUG, True, seed=1)
    shuffled = [
        (name, pl.concat([t, t]).with_columns(n=pl.col("n") / 2).sample(fraction=1, shuffle=True, seed=1))
        for name, t in tables
    ]
    assert limits(ask(DRUG, tables, PNS)) == pytest.approx(limits(ask(DRUG, shuffled, PNS)), abs=1e-9)
    assert limits(ask(DRUG, tables, PNS)) == limits(ask(DRUG, tables, PNS))


def test_limits_depend_neither_on_names_nor_on_the_order_of_states():
    tables = draw(DRUG, True, seed=2)
    known = limits(ask(DRUG, tables, PNS))
    turned = DRUG.replace("G {0, 1, 2}", "G {2, 0, 1}").replace("Y {0, 1}", "Y {1, 0}")
    assert limits(ask(turned, tables, PNS)) == pytest.approx(known, abs=1e-6)
    renamed = [(name, t.rename({"Y": "Out", "G": "Level"})) for name, t in tables]
    model = DRUG.replace("Y", "Out").replace("G", "Level")
    assert limits(ask(model, renamed, PNS.replace("Y", "Out"))) == pytest.approx(known, abs=1e-6)


def test_limits_of_many_segments_are_those_of_each_alone():
    parts = [draw(DRUG, True, seed=s) for s in range(3)]
    together = [
        (name, pl.concat([dict(p)[name].with_columns(part=pl.lit(i)) for i, p in enumerate(parts)]))
        for name, _ in parts[0]
    ]
    studies = [emcc.Study(t, do=["X"] if name == "trial" else [], weight="n", name=name) for name, t in together]
    rows = emcc.bounds(DRUG, studies, PNS, by="part", confidence=0.95, incompatible="report").to_pylist()
    for row in rows:
        assert limits(row) == pytest.approx(limits(ask(DRUG, parts[row["part"]], PNS)), abs=1e-6)


def test_a_difference_of_two_frequencies_has_the_limits_of_its_likelihood_ratio():
    """X -> Y without a confounder: the ACE is identified, so that one degree of freedom is left."""
    table = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [60.0, 40.0, 25.0, 75.0]})
    row = ask("X -> Y; X {0, 1}; Y {0, 1}", [("observed", table)], ACE)

    def excess(d):
        """2 (ℓ_max − ℓ) less χ²_1 where P(Y|X=1) − P(Y|X=0) is d."""
        score = lambda p: 40 / p - 60 / (1 - p) + 75 / (p + d) - 25 / (1 - p - d)  # noqa: E731
        p = brentq(score, max(0, -d) + 1e-9, min(1, 1 - d) - 1e-9)
        here = 40 * np.log(p) + 60 * np.log(1 - p) + 75 * np.log(p + d) + 25 * np.log(1 - p - d)
        best = 40 * np.log(0.4) + 60 * np.log(0.6) + 75 * np.log(0.75) + 25 * np.log(0.25)
        return 2 * (best - here) - chi2.ppf(0.95, 1)

    assert row["lower_ci"] == pytest.approx(brentq(excess, 0.01, 0.35), abs=2e-5)
    assert row["upper_ci"] == pytest.approx(brentq(excess, 0.35, 0.7), abs=2e-5)


def test_limits_at_a_tie_have_the_freedom_of_all_sources_and_say_so():
    """Even counts: P(Y=1) by the trial's arms and the registry's cells tie at the upper end .5 of the PNS."""
    registry = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [250.0] * 4})
    trial = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [250.0] * 4})
    row = ask(BOW, [("observed", registry), ("trial", trial)], PNS)
    assert (row["lower"], row["upper"]) == pytest.approx((0, 0.5), abs=1e-9)
    assert "sources of information tie" in row["message"]
    joint = ask(BOW, [("observed", registry), ("trial", trial)], PNS, limits="joint")
    assert 0.52 < row["upper_ci"] < joint["upper_ci"]


def test_limits_hold_the_ends_where_all_chances_are_even():
    """100 samples: the bounds of the sample are too narrow in most of them, and the bootstrap's range in a third."""
    rng = np.random.default_rng(4)
    frames = []
    for do in ([], ["X"]):
        count = rng.multinomial(500, np.full(4, 1 / 4), size=100).astype(float)
        sample, cell = np.nonzero(count)
        frame = pl.DataFrame({"X": cell // 2, "Y": cell % 2, "n": count[sample, cell], "sample": sample})
        frames.append(emcc.Study(frame, do=do, weight="n", name="trial" if do else "observed"))
    rows = emcc.bounds(BOW, frames, PNS, by="sample", confidence=0.95, incompatible="report").to_pylist()
    assert np.mean([row["upper"] < 0.5 for row in rows]) > 0.7
    assert np.mean([row["lower_ci"] <= 0 for row in rows]) >= 0.9
    assert np.mean([row["upper_ci"] >= 0.5 for row in rows]) >= 0.9
