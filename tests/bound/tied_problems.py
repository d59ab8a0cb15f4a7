"""Small problems of causes that share patterns, and a search for their ends that shares nothing with the library's."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from duckemcc.bound.tied.problem import Problem, join


def draw(seed, conditional=None):
    """A problem that a random point fits: (problem, point). Two or three causes of 2 to 5 states; the patterns are what
    some deterministic variables of theirs take as values, or sums over one that is not recorded."""
    rng = np.random.default_rng(seed)
    causes = 3 if rng.random() < 0.25 else 2
    cards = tuple(int(n) for n in rng.integers(2, 6 if causes == 2 else 4, causes))
    point = tuple(rng.dirichlet(np.full(n, 0.7)) for n in cards)
    if rng.random() < 0.5 and causes == 2:
        patterns = draw_chain(rng, cards)
    else:
        values = rng.integers(0, int(rng.integers(2, 7)), cards)
        patterns = np.array([values == v for v in np.unique(values)], np.float64)
    if rng.random() < 0.4:  # what is known of one cause alone
        own = rng.integers(0, 2, cards[0]).reshape(-1, *[1] * (causes - 1))
        patterns = np.concatenate([patterns, np.broadcast_to(own, (1, *cards))])
    value = rng.normal(size=cards).round(1) * (rng.random(cards) < 0.7)
    if conditional is None:
        conditional = rng.random() < 0.4
    evidence = None
    if conditional:
        evidence = (rng.random(cards) < 0.5).astype(np.float64)
        evidence.flat[int(rng.integers(evidence.size))] = 1.0
        value = (rng.random(cards) < 0.5) * evidence
    fitted = np.tensordot(patterns, join(point), causes)
    return Problem(patterns, fitted, np.full(len(fitted), 1e-15), value, evidence), point


def draw_chain(rng, cards):
    """Σ_b [the first cause gives i and b] · [the second one turns b into j]: b, which has two values, is not seen."""
    gives = rng.integers(0, 3, cards[0]), rng.integers(0, 2, cards[0])
    turns = rng.integers(0, 2, (cards[1], 2))
    found = turns[None, :, :].repeat(cards[0], 0)[np.arange(cards[0])[:, None], np.arange(cards[1]), gives[1][:, None]]
    seen = gives[0][:, None] * 2 + found
    return np.array([seen == v for v in np.unique(seen)], np.float64)


def search(problem, sign, rng, starts=6):
    """The largest sign · q that sequential quadratic programming finds from random points; minus infinity if none."""
    cuts, best = problem.cuts, -np.inf

    def value(x):
        masses = join(tuple(np.split(x, cuts)))
        total = (problem.value * masses).sum()
        return -sign * (total if problem.evidence is None else total / max((problem.evidence * masses).sum(), 1e-9))

    def left(x):
        point = tuple(np.split(x, cuts))
        fitted = np.tensordot(problem.patterns, join(point), problem.causes)
        return np.concatenate([fitted - problem.fitted, [c.sum() - 1 for c in point]])

    size = sum(problem.cards)
    for _ in range(starts):
        x = np.concatenate([rng.dirichlet(np.full(n, 0.5)) for n in problem.cards])
        rules = {"type": "eq", "fun": left}
        found = minimize(value, x, method="SLSQP", bounds=[(0, 1)] * size, constraints=rules, options={"maxiter": 200})
        x = np.clip(found.x, 0, 1)
        if np.abs(left(x)).max() > 1e-9:
            continue
        masses = join(tuple(np.split(x, cuts)))
        if problem.evidence is None or (problem.evidence * masses).sum() > 1e-3:
            best = max(best, -value(x))
    return best
