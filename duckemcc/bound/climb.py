"""An end of a query climbed to where variables share patterns: by moving one factor at a time, or the variables of one
curved set (`variety.py`) together, until a round of all gains nothing.

Axes: u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.ends import Range
from duckemcc.bound.polytope import Region
from duckemcc.bound.variety import RESIDUAL, Point, Variety
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]

_ROUNDS = 20
_GAIN = 1e-10


def restore(sets: Sequence[Variety], point: dict[str, Floats]) -> dict[str, Floats] | None:
    """The point with every curved set's variables brought onto it; None where that fails."""
    for one in sets:
        own: Point | None = tuple(point[name] for name in one.names)
        if own is not None and one.residual(own) > RESIDUAL:
            own = one.restore(own)
        if own is None:
            return None
        point = point | dict(zip(one.names, own, strict=True))
    return point


class Climb:
    """One end, climbed to by moving one factor, or the variables of one curved set, at a time."""

    def __init__(
        self,
        asked: Range,
        chosen: Mapping[str, str],
        sets: Sequence[Variety],
        single: Mapping[Factor, Region],
        sign: float,
    ) -> None:
        self.query, self.range, self.chosen = asked.query, asked, chosen
        self.sets, self.single, self.sign = sets, single, sign

    def run(self, point: dict[str, Floats]) -> tuple[float, dict[str, Floats]]:
        value = self._value(point)
        for _ in range(_ROUNDS):
            before = value
            for one in self.sets:
                self.range.tick()
                own, _ = one.climb(
                    tuple(point[name] for name in one.names),
                    lambda moved, one=one, held=point: self._value(held | dict(zip(one.names, moved, strict=True))),  # type: ignore[misc]
                    lambda moved, now, one=one, held=point: self._costs(
                        one, held | dict(zip(one.names, moved, strict=True)), now
                    ),  # type: ignore[misc]
                )
                point = point | dict(zip(one.names, own, strict=True))
                value = self._value(point)
            for factor, region in self.single.items():
                found = self.range.improve(factor, region, self._factors(point), self.sign)
                if found is not None and self.sign * found.value > value:
                    point, value = point | {self.chosen[factor[0]]: found.chances[factor]}, self.sign * found.value
            if value - before <= _GAIN:
                break
        return self.sign * value, point

    def _factors(self, point: Mapping[str, Floats]) -> dict[Factor, Floats]:
        return {f: point[self.chosen[f[0]]] for f in self.query.factors}

    def _value(self, point: Mapping[str, Floats]) -> float:
        """sign · q, or minus infinity where it is not defined."""
        found = self.query.at({f: c[None] for f, c in self._factors(point).items()})
        return self.sign * float(found.value[0]) if found.evidence[0] > self.range.zero else -np.inf

    def _costs(self, one: Variety, point: Mapping[str, Floats], now: float) -> list[Floats]:
        """The slope of sign · (numerator − q · evidence) in each of the set's variables."""
        factors = {f: c[None] for f, c in self._factors(point).items()}
        costs = []
        for name in one.names:
            factor = next((f for f in factors if self.chosen[f[0]] == name), None)
            if factor is None:
                costs.append(np.zeros(len(point[name])))
                continue
            slopes = self.query.slopes(factor, factors)
            ratio = now - self.sign * self.query.combination.constant
            costs.append(self.sign * slopes.value[0] - ratio * slopes.evidence[0])
        return costs
