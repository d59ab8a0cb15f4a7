"""[min_θ q(θ), max_θ q(θ)]: the bounds on a query, over the learned models (the paper's inner bounds, §6) or over the
whole maximum-likelihood set (sharp).

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.confidence import find_interval
from duckemcc.bound.credibility import credibility
from duckemcc.bound.ends import PROVEN
from duckemcc.bound.sharp import Sharp
from duckemcc.bound.terms import Terms
from duckemcc.errors import Timeout
from duckemcc.learn.restarts import Learned
from duckemcc.learn.verdict.compatibility import Compatibility
from duckemcc.model.threads import one_thread
from duckemcc.query.event import ZERO_EVIDENCE, Compiled

Floats = NDArray[np.float64]

DIGITS = 12
"""Decimals of a bound: fitted probabilities are good to about 1e-12, and what is behind that is rounding."""


BLUR = 1e-13
"""Error of a fitted probability, as measured; for a study among N / n times as many records, N / n times as much."""


class Bounds(NamedTuple):
    """One segment's answer: `undefined` where the condition has probability zero throughout, `identified` where both
    ends are proven and meet, also for data inside the model.

    noise: where they meet only for the data at hand, which lie outside the model, how far apart they are in fits near
    by. ties: in how many directions of the data limits were found, where they are conditional; above one, sources tie.
    maxima: how many maxima with different fitted probabilities the ends range over. forgotten: causes merged from
    ``<->`` arcs whose independence could make the range narrower; no end is then exact.

    credibility: that the exact range is within a tenth of the width on either side, if the runs spread evenly over it;
    None for sharp bounds, of which it says nothing. outer_lower, outer_upper: proven outer bounds; exact_lower,
    exact_upper: they are within 1e-6 of the ends. lower_ci, upper_ci: confidence limits, where asked for; late: there
    was no time to find them.
    """

    status: Literal["bounded", "identified", "undefined"]
    lower: float | None = None
    upper: float | None = None
    credibility: float | None = None
    outer_lower: float | None = None
    outer_upper: float | None = None
    exact_lower: bool | None = None
    exact_upper: bool | None = None
    lower_ci: float | None = None
    upper_ci: float | None = None
    noise: float | None = None
    ties: int | None = None
    maxima: int | None = None
    forgotten: tuple[str, ...] | None = None
    late: bool = False


@one_thread
def bound(
    query: Compiled | Terms, chances: Mapping[str, Floats], segment: int, runs: int, zero: float = ZERO_EVIDENCE
) -> Bounds:
    """The range of a query over one segment's learned models; chances [s, r, u] per exogenous variable.

    runs: how many of these models were learned independently of each other. zero: probability of the condition up to
    which it is none.

    A model in which the condition has probability zero says nothing of the query and is passed over. Restarts prove
    nothing, so no end is exact.
    """
    found = query({name: c[segment] for name, c in chances.items()})
    defined = found.value[found.evidence > zero]
    if not defined.size:
        return Bounds("undefined")
    lower, upper = _round(defined.min()), _round(defined.max())
    low, high = query.span
    told = credibility(lower, upper, min(runs, defined.size), low=low, high=high)
    return Bounds("bounded", lower, upper, told, exact_lower=False, exact_upper=False)


@one_thread
def bound_sharply(
    query: Sharp,
    learned: Learned,
    verdict: Compatibility,
    segment: int,
    *,
    blur: float = BLUR,
    confidence: float | None = None,
) -> Bounds:
    """The range of a query over one segment's maximum-likelihood set, as far as it is reached and proven; with
    `confidence`, its limits too.

    blur: how exact the fitted probabilities are; where that, over the probability of the condition, is more than 1e-6,
    no end is called exact.
    """
    ends = query.find(learned, segment)
    if ends is None:
        return Bounds("undefined")
    low, high = query.compiled.span
    lower, upper = (_round(min(max(end.value, low), high)) for end in ends)
    upper = max(lower, upper)  # of an identified query, to the last digit
    outer_lower, outer_upper = min(_round(max(ends[0].outer, low)), lower), max(_round(min(ends[1].outer, high)), upper)
    exact = tuple(end.exact and blur <= PROVEN * end.evidence for end in ends)
    meet, noise = all(exact) and upper - lower <= PROVEN, None
    forgotten = None if meet else query.forgotten or None
    if forgotten:  # proven of the merged cause, not of the arcs
        exact = False, False
    if meet and verdict.loglik_gap[segment] > 0 and not ends[0].settled:
        noise = near if (near := query.find_near(learned, segment)) > PROVEN else None
    status: Literal["bounded", "identified"] = "identified" if meet and noise is None else "bounded"
    maxima = max(end.maxima for end in ends)
    proven = outer_lower, outer_upper, exact[0], exact[1]
    found = Bounds(status, lower, upper, None, *proven, noise=noise, maxima=maxima, forgotten=forgotten)
    try:
        limits = None if confidence is None else find_interval(query, learned, verdict, segment, ends, confidence)
    except Timeout:
        return found._replace(late=True)
    return found if limits is None else add_limits(found, query, *limits)


def add_limits(found: Bounds, query: Sharp, lower_ci: float, upper_ci: float) -> Bounds:
    """Bounds with limits, which contain them and are in the query's own range."""
    low, high = query.compiled.span
    assert found.lower is not None and found.upper is not None  # noqa: PT018
    lower_ci, upper_ci = _round(max(lower_ci, low)), _round(min(upper_ci, high))
    return found._replace(lower_ci=min(lower_ci, found.lower), upper_ci=max(upper_ci, found.upper))


def _round(value: float) -> float:
    return round(float(value), DIGITS) + 0.0  # no minus zero
