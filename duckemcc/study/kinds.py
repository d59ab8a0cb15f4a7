"""Segments of one kind: in each arm, the same variables are NULL together in some of their records.

What is compiled for a segment depends on its patterns of NULLs: a value that was not recorded ties the causes around it
together, and the saturated model is another one. So that a segment is answered as it would be alone, segments are
learned together with those of their kind only. Without NULLs all are of one kind.

Axes: s segment, p distinct pattern, m pattern of NULLs of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts


class Kind(NamedTuple):
    """segments: their positions. arms: in these segments, with the patterns that their kind can have."""

    segments: list[int]
    arms: list[StudyCounts]


def sort_segments(arms: Sequence[StudyCounts]) -> list[Kind]:
    """The kinds of segments, by their first one. An arm that a segment lacks is as if it had the fewest NULLs."""
    masks = [np.unique(arm.codes < 0, axis=0, return_inverse=True) for arm in arms]
    if all(len(distinct) < 2 for distinct, _ in masks):
        return [Kind(list(range(len(arms[0].count))), list(arms))]
    of = [place.reshape(-1) for _, place in masks]
    present = [_present(arm, distinct, place) for arm, (distinct, _), place in zip(arms, masks, of, strict=True)]
    _, first, kind = np.unique(np.hstack(present), axis=0, return_index=True, return_inverse=True)
    kinds = []
    for k in np.argsort(first):
        segments = np.flatnonzero(kind.reshape(-1) == k)
        parts = [
            _part(arm, segments, has[segments[0]][place]) for arm, has, place in zip(arms, present, of, strict=True)
        ]
        kinds.append(Kind(segments.tolist(), parts))
    return kinds


def _present(arm: StudyCounts, distinct: NDArray[np.bool_], place: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which patterns of NULLs occur in each segment [s, m]."""
    present = np.stack([(arm.count[:, place == m] > 0).any(axis=1) for m in range(len(distinct))], axis=1)
    present[~present.any(axis=1), distinct.sum(axis=1).argmin()] = True
    return present


def _part(arm: StudyCounts, segments: NDArray[np.intp], kept: NDArray[np.bool_]) -> StudyCounts:
    return replace(arm, codes=arm.codes[kept], count=arm.count[np.ix_(segments, np.flatnonzero(kept))])
