"""Covariates that some records lack, beside causes too large for a list: merged with what they select, without loss."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.errors import TooLarge
from duckemcc.learn.pieces import split
from duckemcc.query import assume

ONE = "G -> T; G -> S; T -> S; T <-> S; G {0, 1, 2}; T {0, 1}; S {0, 1}"
TWO = "G -> H; G -> T; H -> T; G -> S; H -> S; T -> S; T <-> S; G {0, 1}; H {0, 1}; T {0, 1}; S {0, 1}"
CHAIN = "G -> T -> S; G -> S; G {0, 1, 2}; T {0, 1}; S {0, 1}"
MONOTONE = f"{ONE}; assume P(S[T=1]=0, S[T=0]=1) = 0"


def draw(model, records, seed, do=None):
    """Records of a random model with a hidden kind of person, who decides on T and S."""
    spec = emcc.Model.parse(model)
    tables = np.random.default_rng(seed)
    rng = np.random.default_rng(seed + 100)
    kind, value = rng.integers(0, 2, records), {}
    for v in spec.order:
        shape = (2 if v in "TS" else 1, *map(spec.card, spec.parents[v]))
        chance = tables.dirichlet(np.ones(spec.card(v)), shape)
        read = chance[(kind if v in "TS" else 0 * kind, *(value[p] for p in spec.parents[v]))]
        value[v] = (rng.random(records)[:, None] > read.cumsum(axis=1)).sum(axis=1).clip(max=spec.card(v) - 1)
        if v == do:
            value[v] = rng.integers(0, spec.card(v), records)
    return pl.DataFrame(value)


def blank(records, *names):
    """Every third record without these values."""
    third = pl.int_range(pl.len()) % 3 == 0
    return records.with_columns(pl.when(third).then(None).otherwise(pl.col(n)).alias(n) for n in names)


def study_without(model, name, seed):
    return emcc.Study(draw(model, 500, seed, "T").drop(name), do="T", name="trial", unmeasured=name)


CASES = [
    (ONE, lambda s: [draw(ONE, 900, s), study_without(ONE, "G", s)], ["PNS(T=1, S=1)", "ACE(T=1, S=1)", "P(G=1)"]),
    (ONE, lambda s: [blank(draw(ONE, 900, s), "G")], ["PNS(T=1, S=1)", "PN(T=1, S=1)", "PNS(T=1, S=1 | G=2)"]),
    (ONE, lambda s: [draw(ONE, 900, s).drop("G")], ["PNS(T=1, S=1)", "P(G=1)"]),
    (MONOTONE, lambda s: [blank(draw(MONOTONE, 900, s), "G")], ["PNS(T=1, S=1)", "ETT(T=1, S=1)"]),
    (TWO, lambda s: [blank(draw(TWO, 900, s), "G", "H"), study_without(TWO, "H", s)], ["PNS(T=1, S=1)"]),
    (TWO, lambda s: [blank(draw(TWO, 900, s), "H")], ["ACE(T=1, S=1)", "P(H=1 | S[T=1]=1)"]),
    (CHAIN, lambda s: [blank(draw(CHAIN, 900, s), "T")], ["P(S=1 | T=1)", "P(T=1, S=0)", "P(G=0 | T=1)"]),
]


def ask(monkeypatch, listed, model, studies, queries, **options):
    monkeypatch.setattr(split, "LISTED", listed)
    monkeypatch.setattr(assume, "LISTED", listed)
    monkeypatch.setattr("duckemcc.answer.plan.PIECED", listed)
    unmeasured = () if len(studies) > 1 or "G" in studies[0].columns else "G"
    told = [studies[0] if not unmeasured else emcc.Study(studies[0], unmeasured=unmeasured), *studies[1:]]
    return emcc.bounds(model, told, queries, incompatible="report", **options).to_pylist()


@pytest.mark.parametrize("number", range(len(CASES)))
def test_merged_causes_give_proven_ends_that_those_of_a_list_lie_inside(number, monkeypatch):
    model, make, queries = CASES[number]
    studies = make(number)
    expected = ask(monkeypatch, 2**20, model, studies, queries)
    found = ask(monkeypatch, 1, model, studies, queries)
    for own, known in zip(found, expected, strict=True):
        assert (own["exact_lower"], own["exact_upper"]) == (True, True), own
        assert own["loglik_gap"] == pytest.approx(known["loglik_gap"], abs=1e-6)
        assert own["p_value"] == pytest.approx(known["p_value"], abs=1e-6)
        assert known["outer_lower"] - 1e-6 <= own["lower"] <= known["lower"] + 1e-6
        assert known["upper"] - 1e-6 <= own["upper"] <= known["outer_upper"] + 1e-6
        if known["exact_lower"] and known["exact_upper"]:
            assert (own["lower"], own["upper"]) == pytest.approx((known["lower"], known["upper"]), abs=1e-6)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_witness_of_merged_causes_attains_the_ends_and_fits_the_records_as_well(number, monkeypatch):
    model, make, (asked, *_) = CASES[number]
    studies = make(number)
    ask(monkeypatch, 1, model, studies, [asked])
    told = [
        emcc.Study(s, unmeasured="G") if isinstance(s, pl.DataFrame) and "G" not in s.columns else s for s in studies
    ]
    found = emcc.witness(model, told, asked, incompatible="report")
    assert found.lower_model.evaluate(asked) == pytest.approx(found.lower, abs=1e-7)
    assert found.upper_model.evaluate(asked) == pytest.approx(found.upper, abs=1e-7)
    patterns = [
        f"P({v}={x}{given})" for v, x, given in (("T", 1, ""), ("S", 1, ""), ("S", 1, " | T=1"), ("S", 0, " | T=0"))
    ]
    for text in patterns[: 2 if len(studies) > 1 else 4]:
        assert found.lower_model.evaluate(text) == pytest.approx(found.upper_model.evaluate(text), abs=1e-6)


def test_emcc_on_merged_causes_climbs_to_the_same_likelihood_inside_the_bounds(monkeypatch):
    model, make, queries = CASES[0]
    studies = make(3)
    proven = ask(monkeypatch, 1, model, studies, queries)
    learned = ask(monkeypatch, 1, model, studies, queries, method="emcc", restarts=20)
    for own, known in zip(learned, proven, strict=True):
        assert own["loglik_gap"] == pytest.approx(known["loglik_gap"], abs=1e-5)
        assert known["lower"] - 1e-6 <= own["lower"] <= own["upper"] <= known["upper"] + 1e-6


@pytest.mark.parametrize(
    ("query", "options", "changes"),
    [
        ("P(S[T=1, G=0]=1)", {}, {}),
        ("P(S[G=2]=1 | G=0)", {}, {}),
        ("PNS(T=1, S=1)", {}, {"do": "G"}),
        ("PNS(T=1, S=1)", {"population": "other"}, {"local": "U_G"}),
    ],
)
def test_what_reads_two_contexts_or_sets_the_covariate_is_refused_and_told(query, options, changes, monkeypatch):
    studies = [blank(draw(ONE, 300, 0), "G"), emcc.Study(draw(ONE, 300, 0, changes.get("do")), name="other", **changes)]
    with pytest.raises(TooLarge, match=r"without a value of G .*nulls='drop'"):
        ask(monkeypatch, 1, ONE, studies, [query], **options)
