"""The maxima of the pieces that are trees, segment by segment, and the response vectors that they need.

Axes: s segment, p pattern, x entry of the tree, a response vector (a state of the piece).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.newton import maximise_one
from duckemcc.learn.convex.peak import Peak, find_peak
from duckemcc.learn.pieces.split import Piece, Split
from duckemcc.learn.pieces.tree import Tree
from duckemcc.model.threads import one_thread
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_DUST = 1e-15  # mass of an entry that is passed over
_ENOUGH = (
    1e-10  # LL per record that may be missing before response vectors are tried; 1 in 300 random trees misses more
)
_NEAR = 1e-8  # |fitted - those of the maximum| that is not passed over
_ROUNDS = 30
_PRICED = 1e-12
_GIVEN = 1e-3  # mass that a new response vector begins with
_ROUNDING = 2.0**-52


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where a tree's likelihood is largest.

    states [a, k]: of the piece. rows [p, x]: of the patterns. points [s, x]; masses [s, a]: the same as a distribution
    of the piece's states; fitted [s, p]; error [s, p]: |fitted - those of the maximum| at most, of patterns with
    records. loglik, upper [s]: LL there, and a proven bound on the maximum.
    """

    tree: Tree
    states: Ints
    rows: Floats
    points: Floats
    masses: Floats
    fitted: Floats
    error: Floats
    loglik: Floats
    upper: Floats

    @property
    def entries(self) -> Floats:
        """Which entries each of the piece's states has [x, a]."""
        return self.tree.entries_of(self.states).T

    def part(self, segments: Any) -> Peaks:
        """The same in some of the segments."""
        own = ("points", "masses", "fitted", "error", "loglik", "upper")
        return replace(self, **{name: getattr(self, name)[segments] for name in own})


@one_thread
def find_peaks(split: Split, blocks: Mapping[str, tuple[Floats, Floats]]) -> dict[str, Peaks]:
    """The peaks of every distribution of a tree; the states of its piece become those that all of them need.

    blocks: rows [p, x] and count [s, p] of each distribution's patterns.
    """
    drafts: dict[tuple[str, int], list[tuple[str, Peaks, list[tuple[Ints, Floats]]]]] = {}
    for whole, cause in split.cause_of.items():
        for place, piece in enumerate(split.pieces[cause]):
            name = split.name(whole, cause, place)
            if piece.tree is not None and name in blocks:
                drafts.setdefault((cause, place), []).append((name, *_seek(piece, piece.tree, *blocks[name])))
    found: dict[str, Peaks] = {}
    for (cause, place), own in drafts.items():
        parts = [split.pieces[cause][place].states, *(states for _, _, each in own for states, _ in each)]
        states, where = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
        split.list_states(cause, place, states)
        cuts = np.split(where.ravel(), np.cumsum([len(part) for part in parts])[:-1])[1:]
        for name, peaks, each in own:
            masses = np.zeros((len(each), len(states)))
            for row, (_, mass) in zip(masses, each, strict=True):
                np.add.at(row, cuts.pop(0), mass)
            found[name] = replace(peaks, states=states, masses=masses)
    return found


def _seek(piece: Piece, tree: Tree, rows: Floats, count: Floats) -> tuple[Peaks, list[tuple[Ints, Floats]]]:
    """The peaks of one distribution, and the states and masses in each segment."""
    ties, right = tree.ties()
    start = tree.even()
    segments = len(count)
    points, error = np.tile(start, (segments, 1)), np.zeros(count.shape)
    loglik, upper = np.zeros(segments), np.zeros(segments)
    for s, own in enumerate(count):
        seen = own > 0
        if seen.any():
            peak = find_peak(rows[seen], ties, right, start, own[seen])
            if not (peak.excess <= _ENOUGH and peak.error.max() <= _NEAR):
                peak = _price(tree, rows[seen], own[seen], peak)
            points[s], error[s, seen] = peak.point, peak.error
            loglik[s] = float(own[seen] @ np.log(peak.fitted))
            upper[s] = loglik[s] + peak.excess * float(own.sum())
    glued = [tree.glue(np.maximum(point, 0.0), _DUST) for point in points]
    fitted = points @ rows.T
    return Peaks(tree, piece.states, rows, points, np.zeros((segments, 0)), fitted, error, loglik, upper), glued


def _price(tree: Tree, rows: Floats, count: Floats, peak: Peak) -> Peak:
    """The peak over a list of response vectors, to which the dearest of all is added until none is dear: slower, but
    Newton's method on a list does not mind frequencies many orders of magnitude apart. The better of both."""
    share = count / count.sum()
    own, masses = tree.glue(np.maximum(peak.point, 0.0), _DUST) if np.isfinite(peak.point).all() else (None, None)
    states = np.stack([tree.best(row).state for row in rows])
    theta = np.full(len(states), 1 / len(states))
    if own is not None and masses is not None:
        states, theta = np.concatenate([own, states]), np.concatenate([0.99 * masses / masses.sum(), 0.01 * theta])
    best = peak
    for _ in range(_ROUNDS):
        tick()
        entries = tree.entries_of(states)
        theta, _, _ = maximise_one(np.round(entries @ rows.T).T, count, theta)
        point = theta @ entries
        fitted = rows @ point
        if fitted.min() <= 0:
            break
        dearest = tree.best((share / fitted) @ rows)
        excess = max(dearest.value - 1.0, 0.0)
        half = (excess + 4 * len(share) * _ROUNDING) * fitted / share / 2
        error = half + np.sqrt(half**2 + 2 * half * fitted)  # Σ share (m̂ − m)² / (m̂ m) ≤ excess
        if excess < best.excess and not error.max() > best.error.max():
            best = Peak(point, fitted, excess, error)
        if excess <= _PRICED or (states == dearest.state).all(axis=1).any():
            break
        states, theta = np.vstack([states, dearest.state]), np.append((1 - _GIVEN) * theta, _GIVEN)
    return best
