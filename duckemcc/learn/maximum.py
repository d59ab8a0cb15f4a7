"""The maximum of each group's likelihood, and of the joint states of several causes: `convex.newton` on what is
compiled.

Axes: s segment, p pattern, q record of a mix, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.newton import Maximum, maximise_records
from duckemcc.learn.likelihood import Group
from duckemcc.learn.pieces.peaks import Peaks
from duckemcc.learn.yields import LARGEST_BLOCK

Floats = NDArray[np.float64]

LARGEST_JOINT = 100_000
"""Joint states up to which a group of several exogenous variables is relaxed to one."""


def maximise(group: Group) -> Maximum | None:
    """The maximum over the joint PMF of the group's variables: LL_max for one variable, an upper bound for several.

    None where several variables have more than `LARGEST_JOINT` joint states.
    """
    if group.peaks is not None:
        return _take_peaks(group, group.peaks)
    yields = joint_yields(group)
    if yields is None:
        return None
    peak = maximise_records(yields, group.count)
    if group.mix is not None:
        return peak
    cuts = np.cumsum([b.yields.shape[0] for b in group.blocks])[:-1]
    return peak._replace(fitted=tuple(np.split(peak.fitted[0], cuts, axis=1)))


def maximise_all(groups: Sequence[Group]) -> list[Maximum | None]:
    """The maximum of each group. Pieces whose patterns are the same functions of as many states are one problem, with
    the records of each as segments of it."""
    found: list[Maximum | None] = [None] * len(groups)
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, group in enumerate(groups):
        single = group.concave and group.mix is None and group.peaks is None and len(group.blocks) == 1
        key = (group.stacked.shape, group.stacked.tobytes()) if single else (place,)
        alike.setdefault(key, []).append(place)
    for places in alike.values():
        if len(places) == 1:
            found[places[0]] = maximise(groups[places[0]])
            continue
        counts = [groups[place].count for place in places]
        peak = maximise_records(groups[places[0]].stacked, np.concatenate(counts))
        cuts = np.cumsum([len(count) for count in counts])[:-1]
        parts = (np.split(values, cuts) for values in (peak.chances, peak.fitted[0], peak.loglik, peak.upper))
        for place, chances, fitted, loglik, upper in zip(places, *parts, strict=True):
            found[place] = Maximum(chances, (fitted,), loglik, upper)
    return found


def _take_peaks(group: Group, peaks: Peaks) -> Maximum:
    """The maximum of a tree's piece, which was found when it was compiled."""
    chances = np.zeros((len(peaks.loglik), group.cards[0]))
    np.add.at(chances.T, group.classes[0], peaks.masses.T)
    return Maximum(chances, (peaks.fitted,), peaks.loglik, peaks.upper)


def joint_yields(group: Group) -> Floats | None:
    """The group's records over the joint states of all its variables, [q, u]; None where these are too many."""
    if group.concave:
        return group.stacked
    joint = int(np.prod(group.cards, dtype=np.float64))
    if joint > LARGEST_JOINT:
        return None
    wide = []
    for block in group.blocks:
        shape = [group.cards[j] if j in block.causes else 1 for j in range(len(group.cards))]
        cube = block.yields.reshape(-1, *shape)
        wide.append(np.broadcast_to(cube, (len(cube), *group.cards)).reshape(len(cube), joint))
    patterns = np.vstack(wide)
    if group.mix is None:
        return patterns
    products = group.mix.products
    if products.records * joint > LARGEST_BLOCK:
        return None
    patterns = np.vstack([patterns, np.ones(joint)]).astype(bool)
    yields = np.zeros((products.records, joint))
    for q, members in zip(products.of, products.members, strict=True):
        yields[q] += np.logical_and.reduce(patterns[members])  # completions exclude each other
    return yields
