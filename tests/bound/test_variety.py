"""Climbing on the set of several variables' chances: never off it, never down."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from problems import MULTI, arms_of, chances_of, draw_chances, expect_counts, study

from duckemcc.bound.variety import RESIDUAL, Variety
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.restarts import Effort, learn
from duckemcc.query.event import Compiled
from duckemcc.query.language import query

QUERIES = ["PNS(X=1, Y=1)", "P(M=1, Y[X=1]=1) - P(M=0, Y[X=0]=0)", "P(Y[X=1]=1 | X=0, M=1)"]


@cache
def learn_multi(seed, restarts=8, contradictory=False):
    """The learned models of records that the truth of a two-cause model makes likely, or of arbitrary ones."""
    if contradictory:
        rng = np.random.default_rng(seed)
        cells = {(x, m, y): float(rng.integers(1, 60)) for x in (0, 1) for m in (0, 1) for y in (0, 1)}
        counts = study(MULTI, (), cells)
    else:
        counts = expect_counts(MULTI, chances_of(MULTI, seed), lambda _: {(): 1.0})
    likelihood = compile_likelihood(MULTI, arms_of(counts, MULTI))
    return learn(likelihood, draw_chances(likelihood, seed, restarts), Effort(spread=False))


def tied(learned):
    """The set of the model's two variables, and its points that the restarts reached."""
    fit = next(f for f in learned.groups if len(f.group.names) > 1)
    one = Variety(fit, 0)
    points = [tuple(learned.chances[name][0, r] for name in one.names) for r in range(len(learned.chances["U1"][0]))]
    return one, [restored for p in points if (restored := one.restore(p)) is not None]


def functions_of(one, text, sign):
    """The query's value at a point, and its slopes, as `climb` takes them."""
    compiled = Compiled(query(text), MULTI)

    def value(point):
        found = compiled({name: c[None] for name, c in zip(one.names, point, strict=True)})
        return sign * float(found.value[0])

    def costs(point, now):
        at = {(name,): c[None] for name, c in zip(one.names, point, strict=True)}
        ratio = now - sign * compiled.combination.constant
        slopes = [compiled.slopes((name,), at) for name in one.names]
        return [sign * s.value[0] - ratio * s.evidence[0] for s in slopes]

    return value, costs


@pytest.mark.parametrize("contradictory", [False, True])
@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_climb_stays_on_the_set_and_never_lowers_the_value(seed, text, contradictory):
    one, points = tied(learn_multi(seed, contradictory=contradictory))
    assert points
    for sign in (-1.0, 1.0):
        value, costs = functions_of(one, text, sign)
        for point in points[:2]:
            reached, height = one.climb(point, value, costs)
            assert one.residual(reached) <= RESIDUAL
            assert height == pytest.approx(value(reached), abs=1e-9)
            assert height >= value(point) - 1e-12
            for pmf in reached:
                assert pmf.min() >= 0
                assert pmf.sum() == pytest.approx(1.0, abs=1e-10)


def test_a_point_of_the_set_has_no_residual_and_others_have():
    one, points = tied(learn_multi(0))
    assert all(one.residual(point) <= RESIDUAL for point in points)
    rng = np.random.default_rng(99)  # 0 would draw the truth
    away = tuple(rng.dirichlet(np.ones(len(pmf))) for pmf in points[0])
    assert one.residual(away) > 1e-3


def test_a_point_near_the_set_is_brought_onto_it():
    one, points = tied(learn_multi(1))
    rng = np.random.default_rng(1)
    near = tuple(0.99 * pmf + 0.01 * rng.dirichlet(np.ones(len(pmf))) for pmf in points[0])
    restored = one.restore(near)
    assert restored is not None
    assert one.residual(restored) <= RESIDUAL < one.residual(near)
    assert max(np.abs(a - b).max() for a, b in zip(restored, near, strict=True)) < 0.1
