"""Segments of one kind: in each arm, the same variables are NULL together in some of their records.

What is compiled for a segment depends on its patterns of NULLs: a value that was not recorded ties the causes around it
together, and the saturated model is another one. So that a segment is answered as it would be alone, segments are
learned together with those of their kind only. Without NULLs all are of one kind.

What is learned in a segment must not depend, to the last digit, on what records other segments have. So a kind is split
by support: segments that show the same patterns, part by part of the likelihood, are learned together, and what is
compiled for them has no others. Where records are many that is one batch for all.

Axes: s segment, p distinct pattern, m pattern of NULLs of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import name_distributions
from duckemcc.learn.pooling import pool_parts
from duckemcc.model.scm import Model


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
    kinds = []
    for segments in _alike(np.hstack(present)):
        parts = [
            _part(arm, segments, has[segments[0]][place]) for arm, has, place in zip(arms, present, of, strict=True)
        ]
        kinds.append(Kind(segments.tolist(), parts))
    return kinds


def split_by_support(model: Model, kind: Kind) -> list[Kind]:
    """The kind's segments by the patterns that they show, by their first one. Raises as `compile_likelihood` does."""
    split = []
    for own in _alike(np.hstack(_find_shown(model, kind.arms))):
        parts = [_part(arm, own, np.asarray((arm.count[own] > 0).any(axis=0))) for arm in kind.arms]
        split.append(Kind([kind.segments[s] for s in own], parts))
    return split


def _alike(shown: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The rows that are equal, ascending, by their first one. 64 columns are one number, so that a million rows are
    told apart in a fraction of the second that it takes to compare them column by column."""
    packed = np.packbits(shown, axis=1)
    words = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    words[:, : packed.shape[1]] = packed
    order = np.lexsort(words.view(np.uint64).T) if words.shape[1] else np.arange(len(words))
    ordered = words[order]
    starts = np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1)) + 1
    return sorted(np.split(order, starts), key=lambda rows: int(rows[0]))  # lexsort keeps the order of equal rows


def _find_shown(model: Model, arms: Sequence[StudyCounts]) -> list[NDArray[np.bool_]]:
    """Which patterns each segment shows [s, p] in each part of each arm.

    Those of whole records where some lack values, as what they lack is estimated from all, and where weights are no
    whole numbers, whose sums would be rounded otherwise with other patterns among them.
    """
    if any((arm.codes < 0).any() or (arm.count % 1).any() for arm in arms):
        return [arm.count > 0 for arm in arms]
    pooled, _ = pool_parts(model, arms, name_distributions(model, arms))
    there = [np.asarray(arm.count.any(axis=1, keepdims=True)) for arm in arms]
    return there + [n > 0 for part in pooled for _, _, n in part.sources]


def _present(arm: StudyCounts, distinct: NDArray[np.bool_], place: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which patterns of NULLs occur in each segment [s, m]."""
    present = np.stack([(arm.count[:, place == m] > 0).any(axis=1) for m in range(len(distinct))], axis=1)
    present[~present.any(axis=1), distinct.sum(axis=1).argmin()] = True
    return present


def _part(arm: StudyCounts, segments: NDArray[np.intp], kept: NDArray[np.bool_]) -> StudyCounts:
    return replace(arm, codes=arm.codes[kept], count=arm.count[np.ix_(segments, np.flatnonzero(kept))])
