"""Saturated distributions of records that lack values: at least the fit, and the truth where the data are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    AROUND,
    ASIDE,
    FRONTDOOR,
    GAPPY,
    IV,
    chances_of,
    define_loglik,
    draw_chances,
    expect_counts,
    incomplete_arms,
    study,
)
from sizes import examples

from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.verdict import tables
from duckemcc.learn.verdict.saturated import degrees_of_freedom, fit_factor, saturate, saturated_loglik, xlogy

NULLS = pytest.mark.parametrize("nulls", ["mar", "mcar"])


@NULLS
@given(problem=incomplete_arms(), seed=st.integers(0, 99))
def test_fitted_factors_multiply_to_the_likelihood_of_what_was_recorded_and_never_pass_the_saturated(
    nulls, problem, seed
):
    model, arms, _ = problem
    chances = draw_chances(compile_likelihood(model, arms), seed)
    factors = saturate(model, arms, nulls)
    chained = sum(xlogy(f.count, fit_factor(model, f, chances)).sum() for f in factors)
    assert chained == pytest.approx(define_loglik(model, arms, {n: c[0] for n, c in chances.items()}), rel=1e-9)
    assert saturated_loglik(factors, 1)[0] >= chained - 1e-9


@given(problem=incomplete_arms(), seed=st.integers(0, 99))
def test_that_also_holds_where_tables_are_too_large(problem, seed):
    model, arms, _ = problem
    chances = draw_chances(compile_likelihood(model, arms), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "LARGEST_TABLE", 1)
        factors = saturate(model, arms)
    assert all(len(f.conditionals) == 1 for f in factors)
    chained = sum(xlogy(f.count, fit_factor(model, f, chances)).sum() for f in factors)
    assert chained == pytest.approx(define_loglik(model, arms, {n: c[0] for n, c in chances.items()}), rel=1e-9)
    assert saturated_loglik(factors, 1)[0] >= chained - 1e-9


@NULLS
@pytest.mark.parametrize("name", GAPPY)
def test_values_lost_whatever_they_are_leave_exact_data_at_the_truth(name, nulls):
    model = GAPPY[name]
    first, last = model.variables[0], model.variables[-1]
    arm = expect_counts(
        model, truth := chances_of(model, 4), lambda _: {(): 0.5, (last,): 0.2, (first,): 0.2, (first, last): 0.1}
    )
    assert saturated_loglik(saturate(model, [arm], nulls), 1)[0] == pytest.approx(
        define_loglik(model, [arm], truth), rel=1e-10, abs=1e-7
    )


@examples(60)
@given(st.sampled_from(sorted(GAPPY)), st.integers(0, 10_000))
def test_values_lost_by_whatever_is_always_recorded_leave_exact_data_at_the_truth(name, seed):
    """Each combination of the variables that are never lost has its own shares of what else is."""
    model, rng = GAPPY[name], np.random.default_rng(seed)
    always = [v for v in model.variables if rng.random() < 0.4]
    others = [v for v in model.variables if v not in always]
    masks = [tuple(v for v in others if rng.random() < 0.5) for _ in range(3)]
    shares = rng.dirichlet(np.ones(3), size=[model.card(v) for v in always])

    def lose(v):
        lost = {}
        for mask, share in zip(masks, shares[tuple(v[a] for a in always)], strict=True):
            lost[mask] = lost.get(mask, 0) + share
        return lost

    arm = expect_counts(model, truth := chances_of(model, seed), lose)
    at_truth = define_loglik(model, [arm], truth)
    assert saturated_loglik(saturate(model, [arm]), 1)[0] == pytest.approx(at_truth, rel=1e-10, abs=1e-6)


def test_variables_that_stand_between_those_of_a_table_join_it():
    arm = expect_counts(AROUND, truth := chances_of(AROUND, 3), lambda _: {(): 0.5, ("H",): 0.5})
    (factor,) = saturate(AROUND, [arm])
    assert set(factor.variables) == {"H", "X", "M", "Y"}
    assert saturated_loglik([factor], 1)[0] == pytest.approx(define_loglik(AROUND, [arm], truth), rel=1e-12)


def test_a_context_that_some_records_lack_joins_the_table():
    """Whether W and Y are lost depends on X, so records with W must not have a table of their own."""

    def lose(v):
        return {(): 0.3, ("H",): 0.3 + 0.2 * v["X"], ("H", "W", "Y"): 0.4 - 0.2 * v["X"]}

    arm = expect_counts(ASIDE, truth := chances_of(ASIDE, 3), lose)
    (factor,) = saturate(ASIDE, [arm])
    assert set(factor.variables) == {"H", "X", "W", "Y"}
    assert saturated_loglik([factor], 1)[0] == pytest.approx(define_loglik(ASIDE, [arm], truth), rel=1e-12)


def test_dropouts_need_no_table():
    """Monotone: whoever lacks Y lacks nothing that Y's context needs, so each factor is counted where it is known."""
    cells = {(0, 0, 0): 6, (0, 0, 1): 2, (0, 1, 1): 3, (1, 0, 0): 4, (1, 1, 0): 5, (0, 1, -1): 3, (1, -1, -1): 7}
    factors = saturate(IV, [study(IV, (), cells)])
    assert [f.variables for f in factors] == [("Z",), ("X",), ("Y",)]
    assert [f.count.sum() for f in factors] == [30, 23, 20]
    assert degrees_of_freedom(factors, 1)[0] == 1 + 2 + 4


def test_a_missing_value_ties_its_factor_to_those_in_whose_context_it_stands():
    complete = {tuple(c): 4.0 for c in np.indices((2, 2, 2)).reshape(3, -1).T.tolist()}
    factors = saturate(IV, [study(IV, (), complete | {(0, -1, 0): 3.0, (1, -1, 1): 2.0})])
    assert [(f.variables, f.scope) for f in factors] == [(("Z",), ("Z",)), (("X", "Y"), ("Z", "X", "Y"))]
    assert degrees_of_freedom(factors, 1)[0] == 1 + 2 * 3
    alone = saturate(FRONTDOOR, [study(FRONTDOOR, (), {(0, 0, 0): 2.0, (1, 1, 1): 1.0, (-1, 2, 0): 1.0})])
    assert [set(f.variables) for f in alone] == [{"X", "M", "Y"}]


@given(st.integers(0, 10_000))
def test_free_frequencies_are_the_dimensions_that_the_patterns_span(seed):
    rng = np.random.default_rng(seed)
    cards = rng.integers(2, 4, size=3).tolist()
    masks = rng.random((rng.integers(1, 4), 3)) < 0.5
    cells = np.indices(cards).reshape(3, -1).T
    patterns = np.unique(np.vstack([np.where(mask, -1, cells) for mask in masks]), axis=0)
    agrees = ((patterns[:, None] == cells) | (patterns[:, None] < 0)).all(axis=2)
    free = tables._count_free(patterns < 0, np.ones((1, len(patterns)), dtype=bool), cards)
    assert free[0] == np.linalg.matrix_rank(np.vstack([agrees, np.ones(len(cells))])) - 1


def test_an_unmeasured_column_is_one_sample_and_a_network_without_it():
    cells = {(0, -1, 0): 6.0, (0, -1, 1): 2.0, (1, -1, 0): 3.0, (1, -1, 1): 5.0}
    for nulls in ("mar", "mcar"):
        factors = saturate(IV, [study(IV, (), cells)], nulls)
        assert [(f.variables, f.scope) for f in factors] == [(("Z",), ("Z",)), (("Y",), ("Z", "Y"))]
        assert all(f.lacking == () for f in factors)
