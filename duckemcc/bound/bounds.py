"""[min_θ q(θ), max_θ q(θ)] over the learned models: the paper's inner bounds on a query (§6).

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.query.event import ZERO_EVIDENCE, Compiled

Floats = NDArray[np.float64]


class Bounds(NamedTuple):
    """One segment's answer: `undefined` where the condition has probability zero in every learned model."""

    status: Literal["bounded", "undefined"]
    lower: float | None
    upper: float | None


def bound(query: Compiled, chances: Mapping[str, Floats], segment: int) -> Bounds:
    """The range of a query over one segment's learned models; chances [s, r, u] per exogenous variable.

    A model in which the condition has probability zero says nothing of the query and is passed over.
    """
    found = query({name: c[segment] for name, c in chances.items()})
    defined = found.value[found.evidence > ZERO_EVIDENCE]
    if not defined.size:
        return Bounds("undefined", None, None)
    return Bounds("bounded", float(defined.min()), float(defined.max()))
