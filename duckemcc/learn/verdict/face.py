"""df = free frequencies − dim F: what is left to test at the face F of the model that the fit lies on.

For large n, 2 (LL_sat − LL_max) is the squared distance of a normal vector from the tangent cone of the model at the
truth. Given the face of that cone in whose interior the nearest point lies, the distance is χ² with the dimensions
that the face does not span, whichever face it is (Mohamad, van Zwet, Cator & Goeman 2020; Cox & Shi 2023). So the test
that reads its df off the fit keeps its level wherever the truth lies, on the boundary too, where the model's own
dimension is too liberal and all free frequencies say nothing any more. No bootstrap is needed.

The face is spanned by the states that have a chance at the fit: its dimension is the rank of the Jacobian of the
probabilities of the patterns with records, along those states. Cells without records stay among the free frequencies,
so that sparse tables err on the safe side. The result holds for cones; where several exogenous variables share
patterns the model is curved, and df are those of its tangent space (measured: tests/benchmarks/CALIBRATION.md).

Axes: s segment, p distinct pattern, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.accelerate import linearise
from duckemcc.learn.convex.newton import Maximum
from duckemcc.learn.likelihood import Floats, Group, Ints, Likelihood
from duckemcc.learn.maximum import joint_yields
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.verdict.factor import Factor
from duckemcc.learn.verdict.saturated import degrees_of_freedom

Bools = NDArray[np.bool_]

_SAFE = 1e-3
"""Of an even share among the patterns: a chance that is surely positive."""

_RANK = 1e-4
"""Of the largest singular value: what counts towards the rank."""


def count_left(likelihood: Likelihood, factors: Sequence[Factor], chances: Mapping[str, Floats]) -> Ints:
    """Degrees of freedom [s] of LL_sat − LL at chances [s, u] that maximise LL.

    A group of which some frequencies could not be tested keeps all of its own.
    """
    left = np.zeros(len(likelihood.n), dtype=np.intp)
    for names, groups in _bundle(likelihood).items():
        own = _factors_of(names, factors)
        spanned = np.zeros_like(left)
        if all(f.tested for f in own):
            spanned = np.sum([_span(likelihood.groups[place], chances) for place in groups], axis=0)
        left += np.maximum(degrees_of_freedom(own, len(left)) - spanned, 0)
    return left


def count_left_merged(likelihood: Likelihood, factors: Sequence[Factor], peaks: Sequence[Maximum | None]) -> Ints:
    """The same [s] at the maximum of each group's variables merged into one; None where it was not sought."""
    left = np.zeros(len(likelihood.n), dtype=np.intp)
    for names, groups in _bundle(likelihood).items():
        free = degrees_of_freedom(_factors_of(names, factors), len(left))
        spanned = np.zeros_like(left)
        for place in groups:
            group, peak = likelihood.groups[place], peaks[place]
            yields = None if peak is None else joint_yields(group)
            if peak is not None and yields is not None:
                pairs = zip(peak.chances, _seen(group), strict=True)
                spanned += np.array([_rank(yields[seen], mass) for mass, seen in pairs])
        left += np.maximum(free - spanned, 0)
    return left


def _bundle(likelihood: Likelihood) -> dict[tuple[str, ...], list[int]]:
    """The groups whose frequencies are counted together, by their distributions: each by itself, but the pieces of one
    distribution together."""
    bundles: dict[tuple[str, ...], list[int]] = {}
    for place, group in enumerate(likelihood.groups):
        names = group.names if likelihood.split is None else likelihood.split.wholes(group.names)
        bundles.setdefault(names, []).append(place)
    return bundles


def _factors_of(names: Collection[str], factors: Sequence[Factor]) -> list[Factor]:
    return [f for f in factors if any(n in names for c in f.conditionals for n in c.names)]


def _seen(group: Group) -> Bools:
    """Which patterns have records [s, p]."""
    return group.count > 0


def _span(group: Group, chances: Mapping[str, Floats]) -> Ints:
    """The dimension [s] of the face that the fit lies on."""
    masses = [sum_by_class(chances[name], classes) for name, classes in zip(group.names, group.classes, strict=True)]
    if group.concave:
        yields = group.stacked
        return np.array([_rank(yields[seen], mass) for mass, seen in zip(masses[0], _seen(group), strict=True)])
    return np.array([_rank_curved(group, [m[s] for m in masses], seen) for s, seen in enumerate(_seen(group))])


def _rank(slope: Floats, mass: Floats) -> int:
    """The rank of a PMF's moves among its positive states, seen in patterns: slope [p, u], mass [u]."""
    return _count(_directions(slope, mass))


def _rank_curved(group: Group, masses: Sequence[Floats], seen: Bools) -> int:
    slope = linearise([m[None] for m in masses], group)[1][0][seen]
    cuts = np.cumsum([len(m) for m in masses])[:-1]
    parts = zip(np.split(slope, cuts, axis=1), masses, strict=True)
    return _count(np.hstack([_directions(own, mass) for own, mass in parts]))


def _directions(slope: Floats, mass: Floats) -> Floats:
    """∂P_p along each positive state, away from the PMF itself [p, u]."""
    kept = np.flatnonzero(mass > _SAFE / max(len(slope), 1))
    share = mass[kept] / mass[kept].sum()
    own = slope[:, kept]
    return np.asarray(own - (own @ share)[:, None])


def _count(directions: Floats) -> int:
    if not directions.size:
        return 0
    values = np.linalg.svd(directions, compute_uv=False)
    return int((values > _RANK * max(values[0], 1e-6)).sum())
