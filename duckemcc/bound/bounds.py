"""[min_θ q(θ), max_θ q(θ)] over the learned models: the paper's inner bounds on a query (§6).

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.credibility import credibility
from duckemcc.query.event import ZERO_EVIDENCE, Compiled

Floats = NDArray[np.float64]

DIGITS = 12
"""Decimals of a bound: fitted probabilities are good to about 1e-12, and what is behind that is rounding."""


class Bounds(NamedTuple):
    """One segment's answer: `undefined` where the condition has probability zero in every learned model.

    credibility: that the exact range is within a tenth of the width on either side, if the runs spread evenly over it.
    """

    status: Literal["bounded", "undefined"]
    lower: float | None = None
    upper: float | None = None
    credibility: float | None = None


def bound(query: Compiled, chances: Mapping[str, Floats], segment: int, runs: int) -> Bounds:
    """The range of a query over one segment's learned models; chances [s, r, u] per exogenous variable.

    runs: how many of these models were learned independently of each other.

    A model in which the condition has probability zero says nothing of the query and is passed over.
    """
    found = query({name: c[segment] for name, c in chances.items()})
    defined = found.value[found.evidence > ZERO_EVIDENCE]
    if not defined.size:
        return Bounds("undefined")
    lower, upper = (round(float(end), DIGITS) + 0.0 for end in (defined.min(), defined.max()))  # + 0.0: no minus zero
    low, high = query.span
    return Bounds("bounded", lower, upper, credibility(lower, upper, min(runs, defined.size), low=low, high=high))
