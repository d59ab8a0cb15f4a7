"""The maximum where incomplete records tie causes, and what proves that it is the only one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import FRONTDOOR, IV, draw_chances, study
from test_mix import COVARIATE, ROOTS, cells_with_gaps

from duckemcc.learn.convex.newton import maximise_records
from duckemcc.learn.incomplete import can_complete, fit_incomplete, measure_missing
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.relaxed import relax
from duckemcc.learn.restarts import Effort, learn
from duckemcc.model.scm import Model

LATENT = Model.parse("H -> A; H -> B; H {0, 1}; A {0, 1, 2, 3}; B {0, 1, 2, 3}")
RECORDED = Model.parse("Y -> R; Y {0, 1}; R {0, 1}")


def few_missing(model, lost, share, seed=0):
    """Complete records of every pattern, and `share` as many without the values of `lost`."""
    cells = cells_with_gaps(model, [lost], seed, least=200)
    return {codes: n if -1 not in codes else float(np.ceil(share * n)) for codes, n in cells.items()}


def solve(model, cells):
    likelihood = compile_likelihood(model, [study(model, (), cells)])
    (group,) = [g for g in likelihood.groups if g.mix is not None]
    assert can_complete(group)
    relaxed = relax(model, group.names, group.mix.products)
    peak = maximise_records(relaxed.yields, group.count)
    return likelihood, group, fit_incomplete(group, relaxed, peak, lambda: None)


def learn_by_restarts(likelihood, seed, restarts=8):
    return learn(likelihood, draw_chances(likelihood, seed, restarts, "dirichlet(0.3)"), Effort(gap=1e-12))


@given(st.integers(0, 10_000), st.sampled_from([(ROOTS, "A"), (IV, "Z"), (FRONTDOOR, "M"), (COVARIATE, "Z")]))
def test_where_few_are_missing_no_restart_finds_another_maximum(seed, problem):
    model, lost = problem
    likelihood, group, found = solve(model, few_missing(model, (lost,), 1e-3, seed))
    assert measure_missing(group.mix)[0] < 0.9
    assert found.unique.all()
    assert found.apart.all()
    learned = learn_by_restarts(likelihood, seed)
    (fit,) = [f for f in learned.groups if f.group.mix is not None]
    assert fit.loglik[0] <= found.loglik[0] + 1e-9 * group.total[0]
    for own, patterns in zip(fit.apart, group.blocks, strict=True):
        assert own.group.names == (group.names[patterns.causes[0]],)
    assert [len(m) for m in fit.maxima] == [1]


def test_many_missing_values_prove_nothing_by_their_number():
    _, group, found = solve(ROOTS, few_missing(ROOTS, ("A",), 3.0))
    assert measure_missing(group.mix)[0] > 1
    assert not found.unique.any() or found.upper[0] - found.loglik[0] <= 1e-11 * group.total[0]


def test_a_pattern_that_no_complete_record_has_proves_nothing():
    cells = few_missing(ROOTS, ("A",), 1e-3)
    cells = {codes: n for codes, n in cells.items() if codes[0] != 1 or -1 in codes}
    _, group, _ = solve(ROOTS, cells)
    assert measure_missing(group.mix)[0] == np.inf


def test_the_products_are_unique_where_the_factors_are_not():
    _, _, found = solve(RECORDED, {(0, 1): 300.0, (1, 1): 200.0, (-1, 0): 500.0})
    assert found.unique.all()
    assert not found.apart.any()
    assert found.loglik[0] == pytest.approx(found.upper[0], abs=1e-9)
    assert found.loglik[0] == pytest.approx(300 * np.log(0.3) + 200 * np.log(0.2) + 500 * np.log(0.5), abs=1e-9)


@given(st.integers(0, 10_000), st.floats(0.1, 2.0))
def test_causes_come_apart_where_complete_records_fill_the_table(seed, share):
    _, group, found = solve(COVARIATE, few_missing(COVARIATE, ("Z",), share, seed))
    assert found.unique.all()
    assert found.apart.all()
    np.testing.assert_allclose(found.expected.sum(axis=1), 2 * group.total)  # each record has a pattern of each part


def test_a_latent_class_has_several_maxima_and_proves_none():
    cells = {(-1, a, b): 4.0 if a == b else 2.0 for a in range(4) for b in range(4)}
    likelihood, _, found = solve(LATENT, cells)
    assert not found.unique.any()
    learned = learn_by_restarts(likelihood, 0, restarts=30)
    (fit,) = learned.groups
    assert len(fit.maxima[0]) == 3


@given(st.integers(0, 10_000))
def test_the_expected_records_add_up_to_those_seen(seed):
    model, lost = ROOTS, ("A", "B")
    _, group, found = solve(model, few_missing(model, lost, 0.01, seed))
    assert (found.expected >= 0).all()
    of = np.array([b.causes[0] for b in group.blocks for _ in b.yields])
    for j in range(len(group.names)):
        assert found.expected[0, of == j].sum() == pytest.approx(group.records[0, j])
