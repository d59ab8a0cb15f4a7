"""Ends of a query over products of polytopes, against all combinations of their vertices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polytopes import draw_region, enumerate_vertices
from scipy.optimize import linprog

from duckemcc.bound import ends as module
from duckemcc.bound.ends import Range, maximise_ratio
from duckemcc.bound.polytope import Polytope
from duckemcc.bound.regions import open_simplex
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.language import query

CHAIN = Model.parse("X -> M -> Y; X {0, 1}; M {0, 1, 2}; Y {0, 1}")
QUERIES = [
    "P(Y=1)",
    "PNS(X=1, Y=1)",
    "P(Y[X=1]=1) - P(Y[X=0]=1)",
    "2 - P(M[X=1]=2, Y=1) + 3*P(Y[M=0]=1, X=1)",
    "P(Y[X=1]=1 | X=0, Y=0)",
    "P(M[X=0]=1 | Y[X=1]=1)",
    "P(Y[X=1]=1 | M!=0) - P(Y[X=0]=1 | M!=0)",
]


def draw_regions(seed, model=CHAIN, tied=2):
    """A small random polytope, or the simplex, for every exogenous variable."""
    rng = np.random.default_rng(seed)
    regions = {}
    for u in model.exogenous:
        card = model.card(u.name)
        yields = rng.integers(0, 2, (min(tied, card - 1), card)).astype(float)
        regions[(u.name,)] = Polytope(np.arange(card), yields, rng.dirichlet(np.ones(card)))
    return regions


def try_all(compiled, regions):
    """The query's values at all combinations of vertices, those left out where the condition cannot happen."""
    vertices = {f: enumerate_vertices(regions[f]) for f in compiled.factors}
    places = np.array(list(product(*(range(len(v)) for v in vertices.values())))).T
    chances = {f: v[place] for (f, v), place in zip(vertices.items(), places, strict=True)}
    found = compiled.at(chances)
    return found.value[found.evidence > 1e-9]


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("seed", range(4))
def test_the_ends_are_those_of_all_combinations_of_vertices(text, seed):
    compiled, regions = Compiled(query(text), CHAIN), draw_regions(seed)
    values = try_all(compiled, regions)
    found = Range(compiled).find(regions)
    assert found.lower.value == pytest.approx(values.min(), abs=1e-7)
    assert found.upper.value == pytest.approx(values.max(), abs=1e-7)
    assert found.lower.exact
    assert found.upper.exact
    assert found.lower.outer <= found.lower.value + 1e-9
    assert found.upper.outer >= found.upper.value - 1e-9


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(QUERIES))
def test_each_end_is_attained_by_the_chances_told_which_lie_in_the_polytopes(seed, text):
    compiled, regions = Compiled(query(text), CHAIN), draw_regions(seed)
    for end in Range(compiled).find(regions)[:2]:
        there = compiled.at({f: c[None] for f, c in end.chances.items()})
        assert there.value[0] == pytest.approx(end.value, abs=1e-8)
        for factor, pmf in end.chances.items():
            np.testing.assert_allclose(regions[factor].yields @ pmf, regions[factor].fitted, atol=1e-9)
            assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
            assert pmf.min() >= 0


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(QUERIES))
def test_no_random_point_of_the_polytopes_lies_outside(seed, text):
    compiled, regions = Compiled(query(text), CHAIN), draw_regions(seed)
    rng = np.random.default_rng(seed)
    found = Range(compiled).find(regions)
    corners = {f: enumerate_vertices(regions[f]) for f in compiled.factors}
    inside = {f: rng.dirichlet(np.ones(len(v)), size=200) @ v for f, v in corners.items()}
    there = compiled.at(inside)
    values = there.value[there.evidence > 1e-9]
    assert found.lower.outer - 1e-7 <= values.min()
    assert values.max() <= found.upper.outer + 1e-7


def test_a_range_serves_one_set_of_polytopes_after_another():
    serving = Range(Compiled(query("PNS(X=1, Y=1)"), CHAIN))
    for seed in range(4):
        regions = draw_regions(seed)
        fresh = Range(serving.query).find(regions)
        again = serving.find(regions)
        assert (again.lower.value, again.upper.value) == pytest.approx((fresh.lower.value, fresh.upper.value), abs=1e-9)


@pytest.mark.parametrize("text", QUERIES)
def test_climbing_stays_inside_and_claims_no_proof(text, monkeypatch):
    compiled, regions = Compiled(query(text), CHAIN), draw_regions(1)
    whole = Range(compiled).find(regions)
    monkeypatch.setattr(module, "MOST_COMBINATIONS", 8)
    found = Range(compiled).find(regions)
    assert whole.lower.value - 1e-8 <= found.lower.value <= found.upper.value <= whole.upper.value + 1e-8
    assert (found.lower.outer, found.upper.outer) in {compiled.span, (found.lower.value, found.upper.value)}
    tight = [abs(a.outer - a.value) <= 1e-6 for a in found[:2]]
    assert [end.exact for end in found[:2]] == tight


def test_a_query_that_the_polytopes_settle_has_one_value():
    regions = {f: Polytope(r.classes, np.eye(len(r.classes)), r.point) for f, r in draw_regions(3).items()}
    compiled = Compiled(query("P(Y[X=1]=1 | X=0)"), CHAIN)
    found = Range(compiled).find(regions)
    there = compiled.at({f: r.point[None] for f, r in regions.items()})
    assert found.active == ()
    assert found.lower == found.upper
    assert found.lower.value == pytest.approx(there.value[0], abs=1e-12)


def test_free_causes_leave_the_query_vacuous():
    regions = {(u.name,): open_simplex(CHAIN.card(u.name)) for u in CHAIN.exogenous}
    for text in QUERIES:
        compiled = Compiled(query(text), CHAIN)
        found = Range(compiled).find(regions)
        values = try_all(compiled, regions)
        assert (found.lower.value, found.upper.value) == pytest.approx((values.min(), values.max()), abs=1e-9)
        assert found.lower.exact
        assert found.upper.exact


@pytest.mark.parametrize("text", ["P(Y[X=1]=1 | X=1)", "P(Y[X=0]=1 | X=1, Y=1)"])
def test_a_condition_that_cannot_happen_has_no_ends(text):
    regions = {(u.name,): open_simplex(CHAIN.card(u.name)) for u in CHAIN.exogenous}
    never = np.array([1.0, 0.0])
    regions["U_X",] = Polytope(np.arange(2), np.eye(2), never)
    assert Range(Compiled(query(text), CHAIN)).find(regions) is None


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_a_ratio_is_that_of_charnes_and_cooper_s_program(seed, vanishing):
    region, rng = draw_region(seed)
    happens = rng.random(8) < 0.5 if vanishing else np.ones(8, bool)
    if not happens.any():
        happens[0] = True
    evidence = np.where(happens, rng.random(8) + 0.1, 0.0)
    value = evidence * rng.random(8)
    # with y = θ t: max value·y, evidence·y = 1, Y y = m t, Σ y = t; t is last
    rows = np.vstack([region.yields, np.ones(8)])
    right = np.append(region.fitted, 1.0)
    entries = np.vstack([np.hstack([rows, -right[:, None]]), np.append(evidence, 0.0)])
    told = linprog(-np.append(value, 0.0), A_eq=entries, b_eq=np.append(np.zeros(len(right)), 1.0), method="highs")
    chances, ratio, upper, _ = maximise_ratio(region, value, evidence, region.point)
    assert ratio == pytest.approx(-told.fun, abs=1e-7)
    assert upper >= -told.fun - 1e-8
    assert value @ chances == pytest.approx(ratio * (evidence @ chances), abs=1e-10)


def test_a_ratio_is_found_from_a_point_where_its_condition_cannot_happen():
    start = np.array([0.0, 0.0, 1.0])
    chances, ratio, upper, _ = maximise_ratio(
        open_simplex(3), np.array([0.2, 0.1, 0.0]), np.array([0.4, 0.5, 0.0]), start
    )
    assert ratio == pytest.approx(0.5)
    assert upper >= 0.5
    assert chances[0] > 0
    assert maximise_ratio(open_simplex(2), np.zeros(2), np.zeros(2), np.array([1.0, 0.0])) is None
