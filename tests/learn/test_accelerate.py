"""The second-order stage: it arrives where it can, and stops where only rounding is left."""

from __future__ import annotations

import numpy as np
import pytest
from problems import MULTI, arms_of, study

from duckemcc.learn.accelerate import linearise, project_onto
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.query.full import FullModel

LIMIT = 120  # of its steps


def project(seed, off=0.0):
    """Steps that Newton takes from chances near some others onto the pattern probabilities of those (each wrong by a
    relative `off`), those probabilities and the ones it reaches."""
    rng = np.random.default_rng(seed)
    truth = {u.name: rng.dirichlet(np.ones(MULTI.card(u.name))) for u in MULTI.exogenous}
    cells = {c: 1e6 * p for c, p in np.ndenumerate(FullModel(MULTI, truth).distribution(*MULTI.variables)) if p > 0}
    (group,) = compile_likelihood(MULTI, arms_of(study(MULTI, (), cells), MULTI)).groups
    there = [sum_by_class(truth[u][None], classes) for u, classes in zip(group.names, group.classes, strict=True)]
    near = [c * (1 + 0.01 * rng.uniform(-1, 1, (4, c.shape[1]))) for c in there]
    goal, steps = linearise(there, group)[0], []
    wanted = goal * (1 + off * rng.choice([-1, 1], goal.shape))
    starts = tuple((c / c.sum(axis=1, keepdims=True))[None] for c in near)
    found = project_onto(starts, group, (wanted,), lambda: steps.append(None))
    return len(steps), goal, linearise([c[0] for c in found], group)[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("off", [0.0, 1e-13])
def test_newton_reaches_pattern_probabilities_and_stops_where_what_is_left_is_rounding(seed, off):
    """A sum of pattern probabilities that is not one by some roundings cannot be met, whatever the number of steps."""
    steps, goal, reached = project(seed, off)
    assert reached == pytest.approx(np.broadcast_to(goal, reached.shape), abs=1e-12)
    assert steps < LIMIT / 6
