"""Small polytopes and their vertices, for the tests of bounds."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from duckemcc.bound.polytope import Polytope


def enumerate_vertices(region):
    """All basic feasible solutions [k, u] of a small polytope, by brute force."""
    rows = np.vstack([region.yields[:, region.classes], np.ones(len(region.classes))])
    right = np.append(region.fitted, 1.0)
    rank = np.linalg.matrix_rank(rows)
    found = []
    for basis in combinations(range(rows.shape[1]), rank):
        own = rows[:, basis]
        if np.linalg.matrix_rank(own) < rank:
            continue
        part = np.linalg.lstsq(own, right, rcond=None)[0]
        if part.min() >= -1e-9 and np.abs(own @ part - right).max() <= 1e-9:
            point = np.zeros(rows.shape[1])
            point[list(basis)] = np.maximum(part, 0)
            found.append(point)
    return np.unique(np.round(found, 12), axis=0)


def draw_region(seed, patterns=3, columns=8):
    rng = np.random.default_rng(seed)
    yields = rng.integers(0, 2, (patterns, columns)).astype(float)
    inside = rng.dirichlet(np.ones(columns))
    return Polytope(np.arange(columns), yields, inside), rng
