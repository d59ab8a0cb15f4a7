"""{q(θ) : 2 (LL_sat − LL(θ)) ≤ χ²}: a confidence interval for a query that is not identified.

The likelihood-ratio statistic of the true θ against the saturated model is asymptotically at most χ² with the degrees
of freedom of the latter, so the likelihood region holds the true θ with at least that confidence, and the range of the
query over it holds the query's true value: wherever in its bounds it lies, at kinks of these as elsewhere, where the
bootstrap fails (THEORY §5). Only the parts of the data on which the query depends take part, with all
their free frequencies as degrees of freedom: measured coverage of limits at .95 is .99 or more.

Each factor is given the whole slack, and variables that share patterns are merged: both make the interval wider. With
one factor an end is proven; with several it is climbed to from the end of the sharp bounds, factor by factor.

Axes: s segment, u exogenous state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.level import LEAST
from duckemcc.bound.polytope import Region
from duckemcc.bound.regions import join_pmfs, open_free, open_level, open_merged, open_path
from duckemcc.bound.sharp import Sharp, SharpEnd
from duckemcc.learn.restarts import Learned
from duckemcc.learn.verdict.compatibility import Compatibility, find_slack
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]

_GAIN = 1e-4
"""Of a round of climbing, below which it ends: the interval's last digits mean nothing."""


def find_interval(
    sharp: Sharp, learned: Learned, verdict: Compatibility, s: int, ends: tuple[SharpEnd, SharpEnd], confidence: float
) -> tuple[float, float] | None:
    """Lower and upper limit in segment s; None where the region is empty, or has too many states to be merged."""
    slack = find_slack(verdict, sharp.bounded_by(), s, confidence)
    if slack < 0:
        return None
    regions = _open(sharp, learned, s, slack)
    if regions is None:
        return None
    limits = []
    for sign, end in zip((-1.0, 1.0), ends, strict=True):
        point = {f: _chances(sharp, learned, s, f, end) for f in regions}
        found = sharp.relaxed.climb(point, regions, sign, gain=_GAIN)
        limits.append(sign * max(sign * found.value, sign * found.outer, sign * end.value))
    return limits[0], limits[1]


def _open(sharp: Sharp, learned: Learned, s: int, slack: float) -> dict[Factor, Region] | None:
    regions: dict[Factor, Region] = {}
    for factor in sharp.relaxed.query.factors:
        place = sharp.group_of(factor)
        region: Region | None
        if place is None:
            region = open_free(sharp.relaxed.query, factor)
        elif (relaxed := sharp.path_of(factor)) is not None:
            region = open_path(learned.groups[place], s, relaxed, max(slack, LEAST))
        elif sharp.is_tied(factor):
            region = open_merged(learned.groups[place], s, factor, sharp.chosen, slack)
        else:
            region = open_level(learned.groups[place], s, slack)
        if region is None:
            return None
        regions[factor] = region
    return regions


def _chances(sharp: Sharp, learned: Learned, s: int, factor: Factor, end: SharpEnd) -> Floats:
    """The factor's PMF at the end of the sharp bounds."""
    chances = {name: end.chances.get(name, c[s]) for name, c in learned.best.items()}
    if (relaxed := sharp.path_of(factor)) is not None:
        return relaxed.join(chances)
    return join_pmfs([chances[sharp.chosen[u]] for u in factor])
