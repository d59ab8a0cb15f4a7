"""The limits of a query in many segments, as many at a time as fit into the cache.

Axes: s segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.limits.descend import descend
from duckemcc.bound.limits.problem import Problem
from duckemcc.model.threads import one_thread

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_TOGETHER = 2**20  # entries of the rows of the problems that are solved at a time
_TOLD = 1e9
"""Limits are told to nine digits, outwards: the twelfth depends on how many segments are solved together."""


class Limits(NamedTuple):
    """lower, upper [s]; ties [s]: sources of the data that tie at an end, one where none do."""

    lower: Floats
    upper: Floats
    ties: Ints


@one_thread
def find_limits(
    problem: Problem, segments: Ints, lower: Floats, upper: Floats, confidence: float, most: int | None = None
) -> Limits:
    """The limits beyond the bounds [s] of these segments; most: see `descend`."""
    size = sum(stack.rows.size for stack in problem.stacks)
    together = max(1, _TOGETHER // max(2 * size, 1))
    low, high, ties = lower.copy(), upper.copy(), np.ones(len(segments), np.intp)
    span = problem.query.span
    for first in range(0, len(segments), together):
        own = slice(first, first + together)
        count = len(segments[own])
        side = np.repeat([-1.0, 1.0], count)
        end, edge = np.concatenate([lower[own], upper[own]]), np.repeat(span, count).astype(np.float64)
        found = descend(problem, np.tile(segments[own], 2), side, end, edge, confidence, most)
        low[own] = np.minimum(np.floor(found.value[:count] * _TOLD) / _TOLD, lower[own])
        high[own] = np.maximum(np.ceil(found.value[count:] * _TOLD) / _TOLD, upper[own])
        ties[own] = np.maximum(found.freedom[:count], found.freedom[count:])
    return Limits(low, high, ties)
