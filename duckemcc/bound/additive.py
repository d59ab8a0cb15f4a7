"""min and max of a query over many pieces of which no two meet in a term: each piece's own program, added up.

If no term of the query reads two pieces that can move, numerator and condition are sums of linear functions of one
piece each, and the set is a product: so the ends are those of each piece by itself, exact and proven, however many
there are. A condition makes it a ratio of such sums, which Dinkelbach's programs (1967) bring to its end: each is again
a sum.

Axes: e conjunction, u state of a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import Region
from duckemcc.bound.terms import Terms
from duckemcc.query.event import Slopes
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]

_SETTLED = 1e-9  # what is left of a conjunction that is constant on a piece's set
_ROUNDS = 50
_GAIN = 1e-13


class Found(NamedTuple):
    """One end: as `ends.End` has it."""

    value: float
    outer: float
    chances: dict[Factor, Floats]
    blur: float


class _Best(NamedTuple):
    """Σ_f max c_f · θ_f. value, upper, blur: of the sum; chances: where."""

    value: float
    upper: float
    chances: dict[Factor, Floats]
    blur: float


def find_moving(query: Terms, regions: Mapping[Factor, Region]) -> tuple[Factor, ...]:
    """The pieces whose sets leave some conjunction of theirs that the query reads open."""
    return tuple(f for f in query.factors if np.abs(regions[f].residual(query.held(f))).max(initial=0.0) > _SETTLED)


def find_sum(
    query: Terms,
    regions: Mapping[Factor, Region],
    moving: tuple[Factor, ...],
    zero: float,
    tick: Callable[[], object],
) -> tuple[Found, Found] | None:
    """The ends over pieces that do not meet; None if the condition has probability zero throughout.

    moving: those that are not settled. zero: probability of the condition up to which it is none.
    """
    point = {f: regions[f].point for f in query.factors}
    slopes = query.all_slopes({f: c[None] for f, c in point.items()})
    at = query.at({f: c[None] for f, c in point.items()})
    value = float(at.value[0] - query.combination.constant) * float(at.evidence[0] if query.conditional else 1.0)
    evidence = float(at.evidence[0])
    rest = (
        value - sum(float(slopes[f].value[0] @ point[f]) for f in moving),
        evidence - sum(float(slopes[f].evidence[0] @ point[f]) for f in moving) if query.conditional else 1.0,
    )
    ends = []
    for sign in (-1.0, 1.0):
        found = _find_end(query, regions, moving, slopes, rest, point, sign, zero, tick)
        if found is None:
            return None
        ends.append(_add_settled(query, regions, moving, found, sign))
    return ends[0], ends[1]


def _find_end(
    query: Terms,
    regions: Mapping[Factor, Region],
    moving: tuple[Factor, ...],
    slopes: Mapping[Factor, Slopes],
    rest: tuple[float, float],
    point: dict[Factor, Floats],
    sign: float,
    zero: float,
    tick: Callable[[], object],
) -> Found | None:
    def maximise(weight_of_value: float, weight_of_evidence: float) -> _Best:
        total, upper, blur, chances = 0.0, 0.0, 0.0, {}
        for f in moving:
            tick()
            cost = weight_of_value * slopes[f].value[0] + weight_of_evidence * slopes[f].evidence[0]
            best = regions[f].maximise(cost)
            total, upper, blur = total + best.value, upper + best.upper, blur + best.blur
            chances[f] = best.chances
        fixed = weight_of_value * rest[0] + weight_of_evidence * rest[1]
        return _Best(total + fixed, upper + fixed, point | chances, blur)

    constant = query.combination.constant
    if not query.conditional:
        best = maximise(sign, 0.0)
        return Found(constant + sign * best.value, constant + sign * best.upper, best.chances, best.blur)

    def of(chances: Mapping[Factor, Floats]) -> tuple[float, float]:
        return (
            rest[0] + sum(float(slopes[f].value[0] @ chances[f]) for f in moving),
            rest[1] + sum(float(slopes[f].evidence[0] @ chances[f]) for f in moving),
        )

    chances = point
    if of(chances)[1] <= zero:
        chances = maximise(0.0, 1.0).chances
        if of(chances)[1] <= zero:
            return None
    least = max(-maximise(0.0, -1.0).upper, zero)
    for _ in range(_ROUNDS):
        value, evidence = of(chances)
        ratio = sign * value / evidence
        best = maximise(sign, -ratio)
        new = of(best.chances)
        if best.value <= _GAIN * min(evidence, 1.0) or new[1] <= zero or sign * new[0] / new[1] <= ratio:
            break
        chances = best.chances
    upper = ratio + max(best.upper, 0.0) / least
    return Found(constant + sign * ratio, constant + sign * upper, chances, best.blur / evidence)


def _add_settled(
    query: Terms, regions: Mapping[Factor, Region], moving: tuple[Factor, ...], end: Found, sign: float
) -> Found:
    """The end with what the errors of the settled sets add."""
    at = {f: c[None] for f, c in end.chances.items()}
    slopes, blur = query.all_slopes(at), end.blur
    evidence = float(query.evidence(at)[0]) if query.conditional else 1.0
    for f in query.factors:
        if f not in moving:
            cost = slopes[f].value[0] - (end.value - query.combination.constant) * slopes[f].evidence[0]
            blur += regions[f].maximise(sign * cost).blur / evidence
    return end._replace(blur=blur)
