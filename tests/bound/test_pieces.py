"""Causes that are split into pieces: the answers are those of their lists of states, and of closed forms."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.errors import GraphError, TooLarge
from duckemcc.learn.pieces import split
from duckemcc.query import assume

COVARIATE = "G -> T; G -> S; T -> S; T <-> S; G {0, 1, 2}; T {0, 1}; S {0, 1}"
INSTRUMENT = "Z -> X -> Y; X <-> Y; Z {0, 1, 2}; X {0, 1}; Y {0, 1}"
MEDIATED = "X -> M -> Y; X -> Y; M <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}"
TWO = "A -> T; B -> S; T -> S; T <-> S; A {0, 1}; B {0, 1}; T {0, 1}; S {0, 1}"
BOTH_WAYS = "G -> Z; G -> X; Z -> X -> Y; G -> Y; X <-> Y; G {0, 1}; Z {0, 1}; X {0, 1}; Y {0, 1}"
MONOTONE = f"{COVARIATE}; assume P(S[T=1]=0, S[T=0]=1) = 0"

CASES = [
    (COVARIATE, "", ["PNS(T=1, S=1)", "ACE(T=1, S=1)", "PN(T=1, S=1)", "ETT(T=1, S=1)", "P(S[T=1]=1 | G=2)", "P(G=1)"]),
    (COVARIATE, "", ["P(S[T=1, G=0]=1, S[T=1, G=1]=0)", "P(S[G=2]=1 | G=0)", "P(G=1 | S[T=1]=1, S[T=0]=0)"]),
    (COVARIATE, "T", ["PNS(T=1, S=1)", "PS(T=1, S=1)", "1 - 2 * P(S[T=1] != 0 | T=0)"]),
    (COVARIATE, "G", ["PNS(T=1, S=1)", "ACE(T=1, S=1)"]),
    (MONOTONE, "", ["PNS(T=1, S=1)", "ACE(T=1, S=1)"]),
    (MONOTONE, "T", ["PNS(T=1, S=1)", "PN(T=1, S=1)"]),
    (INSTRUMENT, "", ["ACE(X=1, Y=1)", "PNS(X=1, Y=1)", "PN(X=1, Y=1)", "P(X[Z=0]=0, X[Z=2]=1)"]),
    (INSTRUMENT, "X", ["PNS(X=1, Y=1)", "P(Y[X=1]=1 | X=0, Z=1)"]),
    (MEDIATED, "", ["NDE(X=1, Y=1)", "NIE(X=1, Y=1)", "PNS(X=1, Y=1)", "P(Y[M=1]=1 | M=0)"]),
    (TWO, "", ["PNS(T=1, S=1)", "P(S[T=1]=1 | A=1, B=0)"]),
    (BOTH_WAYS, "", ["ACE(X=1, Y=1)", "PNS(X=1, Y=1)", "P(Y[X=1]=1 | G=1)"]),
]


def draw_studies(model, do, seed, records=400):
    """An observational study of a random model of the graph, and one that sets a variable if one is named."""
    spec = emcc.Model.parse(model)
    rng = np.random.default_rng(seed)
    cards = {v: spec.card(v) for v in spec.variables}

    def sample(intervened):
        mix = np.random.default_rng(seed + 1)
        kind = rng.integers(0, 3, records)
        value = {}
        for v in spec.order:
            table = mix.dirichlet(np.ones(cards[v]), (3, *(cards[p] for p in spec.parents[v])))
            chance = table[
                (kind if "<->" in model and v in tied(spec) else 0 * kind, *(value[p] for p in spec.parents[v]))
            ]
            value[v] = (rng.random(records)[:, None] > chance.cumsum(axis=1)).sum(axis=1).clip(max=cards[v] - 1)
            if v == intervened:
                value[v] = rng.integers(0, cards[v], records)
        return pl.DataFrame(value)

    studies = [emcc.Study(sample(None), name="registry")]
    return studies + ([emcc.Study(sample(do), do=do, name="trial")] if do else [])


def tied(model):
    return {c for u in model.exogenous if len(u.children) > 1 for c in u.children}


def ask(monkeypatch, kind, model, studies, queries, **options):
    """The rows with causes as lists, as pieces, or as trees."""
    listed, piece = {"list": (2**20, 2**10), "pieces": (1, 2**10), "trees": (1, 2)}[kind]
    monkeypatch.setattr(split, "LISTED", listed)
    monkeypatch.setattr(assume, "LISTED", listed)
    monkeypatch.setattr("duckemcc.answer.plan.PIECED", listed)
    monkeypatch.setattr(split, "LARGEST_PIECE", piece)
    return emcc.bounds(model, studies, queries, incompatible="report", **options).to_pylist()


@pytest.mark.parametrize("kind", ["pieces", "trees"])
@pytest.mark.parametrize("number", range(len(CASES)))
def test_pieces_and_trees_give_the_answers_of_a_list(number, kind, monkeypatch):
    model, do, queries = CASES[number]
    studies = draw_studies(model, do, number)
    expected = ask(monkeypatch, "list", model, studies, queries)
    found = ask(monkeypatch, kind, model, studies, queries)
    for own, known in zip(found, expected, strict=True):
        assert [own[k] for k in ("status", "compatible", "fault", "message", "kept", "converged")] == [
            known[k] for k in ("status", "compatible", "fault", "message", "kept", "converged")
        ], own["query"]
        for name in ("misfit", "p_value", "loglik_gap"):
            assert own[name] == pytest.approx(known[name], abs=1e-7)
        if known["exact_lower"]:
            assert own["lower"] == pytest.approx(known["lower"], abs=1e-7), own["query"]
            assert own["exact_lower"]
        if known["exact_upper"]:
            assert own["upper"] == pytest.approx(known["upper"], abs=1e-7), own["query"]
            assert own["exact_upper"]


@pytest.mark.parametrize("kind", ["pieces", "trees"])
@pytest.mark.parametrize("number", [0, 2, 6])
def test_limits_are_those_of_a_list(number, kind, monkeypatch):
    model, do, queries = CASES[number]
    studies = draw_studies(model, do, number)
    expected = ask(monkeypatch, "list", model, studies, queries[:2], confidence=0.95)
    found = ask(monkeypatch, kind, model, studies, queries[:2], confidence=0.95)
    for own, known in zip(found, expected, strict=True):
        assert own["lower_ci"] == pytest.approx(known["lower_ci"], abs=2e-4)
        assert own["upper_ci"] == pytest.approx(known["upper_ci"], abs=2e-4)


@pytest.mark.parametrize("kind", ["pieces", "trees"])
@pytest.mark.parametrize("number", [0, 5, 6])
def test_joint_limits_contain_those_of_a_list(number, kind, monkeypatch):
    model, do, queries = CASES[number]
    studies = draw_studies(model, do, number)
    expected = ask(monkeypatch, "list", model, studies, queries[:2], confidence=0.95, limits="joint")
    found = ask(monkeypatch, kind, model, studies, queries[:2], confidence=0.95, limits="joint")
    for own, known in zip(found, expected, strict=True):
        # a limit is proven to 1e-4; a list has them of the product of the pieces, and each piece is given the slack too
        assert own["lower_ci"] <= known["lower_ci"] + 2e-4
        assert own["upper_ci"] >= known["upper_ci"] - 2e-4
        assert own["lower_ci"] <= own["lower"] <= own["upper"] <= own["upper_ci"]


def wide(levels, records=4000, seed=0):
    """Records of a covariate with so many levels beside a confounded treatment and outcome."""
    rng = np.random.default_rng(seed)
    g, u = rng.integers(0, levels, records), rng.random(records)
    a, b = rng.random((2, levels))
    t = (u + 0.3 * (a[g] - 0.5) > 0.5).astype(int)
    s = (0.5 * u + 0.3 * t * b[g] + 0.4 * rng.random(records) > 0.6).astype(int)
    return pl.DataFrame({"G": g, "T": t, "S": s})


WIDE = "G -> T; G -> S; T -> S; T <-> S"


def natural(data):
    """Tian and Pearl's bounds on PNS from observations alone, in each level, weighted by its share."""
    own = data.with_columns(hit=(pl.col("T") == pl.col("S")))
    return 0.0, float(own["hit"].mean())


@pytest.mark.parametrize("levels", [8, 40])
def test_a_covariate_of_many_levels_gives_the_closed_form(levels):
    data = wide(levels)
    row = emcc.bounds(WIDE, data, "PNS(T=1, S=1)").to_pylist()[0]
    assert (row["lower"], row["upper"]) == pytest.approx(natural(data), abs=1e-9)
    assert row["exact_lower"]
    assert row["exact_upper"]


def test_three_binary_covariates_are_answered():
    data = wide(8).with_columns(A=pl.col("G") // 4, B=pl.col("G") // 2 % 2, C=pl.col("G") % 2).drop("G")
    graph = "; ".join(f"{c} -> {v}" for c in "ABC" for v in "TS") + "; T -> S; T <-> S"
    row = emcc.bounds(graph, data, "PNS(T=1, S=1)").to_pylist()[0]
    assert 0 == row["lower"] < row["upper"] == pytest.approx(natural(data)[1], abs=0.02)  # covariates independent
    assert row["exact_upper"]


def test_levels_split_at_random_change_nothing():
    data = wide(12)
    twice = pl.concat([data.with_columns(G=pl.col("G") * 2 + half, n=pl.lit(0.5)) for half in (0, 1)])
    one, two = (
        emcc.bounds(WIDE, emcc.Study(own, weight=weight), ["PNS(T=1, S=1)", "PN(T=1, S=1)"]).to_pylist()
        for own, weight in ((data, None), (twice, "n"))
    )
    for whole, own in zip(one, two, strict=True):
        assert (own["lower"], own["upper"]) == pytest.approx((whole["lower"], whole["upper"]), abs=1e-9)


def test_the_order_of_rows_and_of_declarations_changes_nothing():
    data = wide(10)
    known = emcc.bounds(WIDE, data, "PN(T=1, S=1)").to_pylist()[0]
    shuffled = emcc.bounds(
        "T <-> S; T -> S; G -> S; G -> T", data.sample(fraction=1, shuffle=True, seed=3), "PN(T=1, S=1)"
    )
    found = shuffled.to_pylist()[0]
    assert (found["lower"], found["upper"]) == pytest.approx((known["lower"], known["upper"]), abs=1e-9)


def test_segments_of_a_wide_question_are_those_of_their_records():
    data = pl.concat([wide(9, 2000, seed).with_columns(site=pl.lit(seed)) for seed in range(3)])
    rows = emcc.bounds(WIDE, data, "PNS(T=1, S=1)", by="site").to_pylist()
    for row in rows:
        own = data.filter(pl.col("site") == row["site"])
        assert row["upper"] == pytest.approx(natural(own)[1], abs=1e-9)


def test_emcc_lies_inside_the_exact_bounds():
    data = wide(9)
    sharp = emcc.bounds(WIDE, data, "PNS(T=1, S=1)").to_pylist()[0]
    learned = emcc.bounds(WIDE, data, "PNS(T=1, S=1)", method="emcc").to_pylist()[0]
    assert sharp["lower"] - 1e-9 <= learned["lower"] < learned["upper"] <= sharp["upper"] + 1e-9


@pytest.mark.parametrize("kind", ["pieces", "trees"])
def test_a_witness_attains_the_ends_and_fits_the_records(kind, monkeypatch):
    studies = draw_studies(INSTRUMENT, "", 6)
    ask(monkeypatch, kind, INSTRUMENT, studies, "P(X=1)")
    found = emcc.witness(INSTRUMENT, studies, "ACE(X=1, Y=1)", incompatible="report")
    fitted = emcc.frequencies(INSTRUMENT, studies).to_pylist()
    for value, model in ((found.lower, found.lower_model), (found.upper, found.upper_model)):
        assert model.evaluate("ACE(X=1, Y=1)") == pytest.approx(value, abs=1e-7)
        for row in (r for r in fitted if r["pattern"].startswith("P(Y")):
            assert model.evaluate(row["pattern"]) == pytest.approx(row["fitted"], abs=1e-6)


def test_fit_gives_models_of_few_response_vectors():
    data = wide(9)
    found = emcc.fit(WIDE, data, restarts=3)
    assert all(pmfs.shape[0] == 3 for pmfs in found.chances.values())
    shares = data.group_by("G", "T", "S").len().to_dicts()[0]
    event = ", ".join(f"{v}={shares[v]}" for v in "GTS")
    for model in found.models:
        assert model.evaluate(f"P({event})") == pytest.approx(shares["len"] / len(data), abs=1e-6)
    assert emcc.FullModel.from_uai(found.models[0].to_uai()).evaluate("P(V0=0)") > 0


def test_what_meets_in_one_clique_is_named():
    levels = ", ".join(map(str, range(14)))
    graph = f"T -> M -> S; T <-> S; T {{0, 1}}; S {{0, 1}}; M {{{levels}}}"
    data = pl.DataFrame({"T": [0, 1, 0, 1], "M": [0, 1, 2, 3], "S": [0, 1, 1, 0]})
    asked = " , ".join(f"S[M={m}]=1" for m in range(14))
    with pytest.raises(TooLarge, match=r"15 potential outcomes of .*S\[M=0\].*32,768 joint values.*Coarsen"):
        emcc.bounds(graph, data, f"P(T=1, {asked})")


def test_assumptions_that_leave_a_piece_without_a_state_contradict_each_other():
    assumed = "; assume P(S[T=1]=0) = 0; assume P(S[T=1]=1) = 0"
    with pytest.raises(GraphError, match="contradict each other"):
        emcc.bounds(WIDE + assumed, wide(9), "PNS(T=1, S=1)")
