"""max_θ Σ_p n_p log (Yθ)_p on the simplex: the maximum of a concave likelihood, with a proof of how close it is.

The constrained Newton method (Wang 2007): the quadratic model of the log-likelihood at θ is minimised over the
simplex by non-negative least squares, on the support and the states of largest gradient, then a line search keeps LL
monotone. The maximum needs no more states than there are patterns (Lindsay 1983). A duality bound says how far it
still is: LL_max ≤ LL(θ) + N (max_u g_u − 1), g_u = (1/N) Σ_p n_p Y[p, u] / (Yθ)_p.

EM does not get there where the feasible set touches the boundary, which is common with several studies; this does, in
a few milliseconds. The fitted probabilities m = Yθ at the maximum are unique, so they also tell restarts where the
maximum lies.

Patterns of a context with, say, 1e-12 of the records move LL per record by less than its rounding, whatever they are.
They are rare by their weight n_p / m_p (a rare pattern of a common context is not). Their own likelihood is maximised
among the θ that fit all others as before: what these lose by it is of the order of the rare ones' share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.interior import find_interior
from duckemcc.learn.likelihood import Group
from duckemcc.learn.pieces.peaks import Peaks
from duckemcc.learn.yields import LARGEST_BLOCK
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LARGEST_JOINT = 100_000
"""Joint states up to which a group of several exogenous variables is relaxed to one."""

LARGEST_INTERIOR = 4_000_000
"""Patterns squared times states up to which the interior-point method goes first."""

LARGEST_SQUARE, SQUARE = 2_000_000_000, 10
"""The same where states are at most so many times the patterns: a covariate of 100 levels that a trial lacks, with 385
patterns and 766 states, takes .5 s so and 3 s by least squares; 55 patterns of 65,532 states take 3.4 and .6 s."""

_TOGETHER = 65_536  # patterns times states of the segments that it takes at a time: they fit into the cache
_GAP = 1e-13  # per record; the fitted probabilities are then good to about √(2e-13) at worst, 1e-12 as measured
_ITERATIONS = 100
_TRIED = 200  # iterations of least squares that are tried first if time is limited: some milliseconds
_LONGER = 2.0  # times that twice as many iterations take: 1.1 to 1.8, as measured with 512 and 1000 patterns
_RARE = 1e-8  # weight of a pattern, of the largest one's: below, the maximum of all says too little of it
_RAISED = 1e-3  # share of the rare patterns together while theirs is sought
_HELD = 1e-12  # error of what is held, relative to it
_HOLDS = 30  # rounds in which it is brought there
_SELDOM = 1e-6  # fitted probability below which its digits are not the first that Newton's method finds
_SETTLED = 1e-13  # of such a probability: its change in a step
_SWEEPS = 200
_TIERS = 40  # 1e-8 of 1e-8 …, down to the smallest positive number
_SUM_WEIGHT = 1e3  # of the row Σθ = 1 in the least squares; the solution is normalised afterwards


class Maximum(NamedTuple):
    """chances [s, u], joint where there are several variables. fitted: P there, per block [s, p], or of the records of
    a mix [s, q]. loglik, upper [s]: LL there, and a proven bound on LL_max."""

    chances: Floats
    fitted: tuple[Floats, ...]
    loglik: Floats
    upper: Floats


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


def maximise_records(yields: Floats, count: Floats) -> Maximum:
    """The maximum over one PMF of records that are linear in it: yields [q, u], count [s, q]."""
    if is_partition(yields):
        return _take_shares(yields, count)
    start = _find_starts(yields, count)
    found = [
        _maximise_with_rare(yields if (n > 0).all() else yields[n > 0], n[n > 0], theta)
        for n, theta in zip(count, start, strict=True)
    ]
    chances = np.stack([theta for theta, _, _ in found])
    fitted = np.matmul(chances[:, None, :], yields.T)[:, 0]
    return Maximum(chances, (fitted,), np.array([f[1] for f in found]), np.array([f[2] for f in found]))


def is_partition(yields: Floats) -> bool:
    """Whether patterns [p, u] exclude each other, so that their probabilities can be any that sum to one."""
    return bool((yields.sum(axis=0) <= 1).all() and yields.any(axis=1).all())


def _take_shares(yields: Floats, count: Floats) -> Maximum:
    """The maximum for patterns that exclude each other: each has its share of the records."""
    total = count.sum(axis=1, keepdims=True)
    even = np.full(count.shape, 1 / max(count.shape[1], 1))
    share = np.divide(count, total, out=even, where=total > 0)
    chances = (share / yields.sum(axis=1)) @ yields
    with np.errstate(divide="ignore", invalid="ignore"):
        loglik = np.where(count > 0, count * np.log(share), 0.0).sum(axis=1)
    return Maximum(chances, (share,), loglik, loglik)


def _find_starts(yields: Floats, count: Floats) -> Sequence[Floats | None]:
    """Where each segment's Newton steps begin: at the maximum itself, as a rule, if it is small enough to find so."""
    patterns, states = yields.shape
    largest = LARGEST_SQUARE if states <= SQUARE * patterns else LARGEST_INTERIOR
    if patterns**2 * states > largest:
        return [None] * len(count)
    start: list[Floats | None] = [None] * len(count)
    places = np.flatnonzero(count.any(axis=1))
    size = max(1, _TOGETHER // (patterns * states))
    for first in range(0, len(places), size):
        part = places[first : first + size]
        share = count[part] / count[part].sum(axis=1, keepdims=True)
        for s, theta, sound in zip(part, *find_interior(yields, share), strict=True):
            start[s] = theta if sound else None
    return start


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


def _maximise_with_rare(yields: Floats, count: Floats, start: Floats | None) -> tuple[Floats, float, float]:
    """As `_maximise_one`, and the fit of rare patterns, tier after tier, is theirs and not what rounding left."""
    found = _maximise_one(yields, count, start)
    if not len(count):
        return found
    total = count.sum()
    share, theta = count / total, _settle_rare(yields, count / total, found[0])
    held = np.zeros(len(count), dtype=bool)
    for _ in range(_TIERS):
        weight = np.where(held, 0.0, share / (yields @ theta))
        held |= weight >= _RARE * weight.max()
        if held.all():
            break
        raised = _raise_rare(yields, share, held, theta)
        if raised is None:  # what is held allows none of them: there is no such fit
            break
        theta = raised
    if theta is found[0]:
        return found
    fitted = yields @ theta
    loglik = float(count @ np.log(fitted))
    excess = max(float((yields.T @ (share / fitted)).max()) - 1, 0.0)
    return theta, loglik, min(found[2], loglik + excess * total) if loglik <= found[2] else loglik


def _settle_rare(yields: Floats, share: Floats, theta: Floats) -> Floats:
    """θ after EM steps, which move what is rare in proportion to itself: all its digits, where least squares find
    those that matter for the sum."""
    for _ in range(_SWEEPS):
        fitted = yields @ theta
        seldom = fitted < _SELDOM
        if not seldom.any():
            break
        tick()
        new = theta * (yields.T @ (share / fitted))
        new /= new.sum()
        moved = np.abs((yields @ new)[seldom] / fitted[seldom] - 1)
        theta = new
        if moved.max() <= _SETTLED:
            break
    return theta


def _raise_rare(yields: Floats, share: Floats, held: Bools, theta: Floats) -> Floats | None:
    """θ with the largest likelihood of the patterns that are not held, and the fit of those that are as it was.

    Multipliers of the held patterns are the weights n_p / m_p of counts n_p that they are given; these are moved until
    the maximum fits what it should (nonlinear rescaling, Polyak & Teboulle 1997).
    """
    goal = (yields @ theta)[held]
    shown = np.zeros_like(share)
    shown[held] = np.where(share[held] >= _RARE * goal, share[held], goal)
    shown /= shown.sum()
    rare = np.where(held, 0.0, share)
    rare *= _RAISED / rare.sum()
    for _ in range(_HOLDS):
        raised = shown + rare
        start = _find_starts(yields, raised[None])[0]
        theta = _maximise_one(yields, raised, start)[0]
        fitted = (yields @ theta)[held]
        if np.abs(fitted / goal - 1).max() <= _HELD:
            return theta
        shown[held] *= goal / fitted
    return None


def _maximise_one(yields: Floats, count: Floats, start: Floats | None = None) -> tuple[Floats, float, float]:
    """θ [u], LL and a proven bound on LL_max, for one count vector without zeros. start: θ with Yθ > 0."""
    if not len(count):
        return np.full(yields.shape[1], 1 / yields.shape[1]), 0.0, 0.0
    total = count.sum()
    share = count / total
    theta = _first_support(yields, share) if start is None else start
    best = (theta, -np.inf, np.inf)
    for _ in range(_ITERATIONS):
        tick()
        fitted = yields @ theta
        loglik = share @ np.log(fitted)
        gradient = yields.T @ (share / fitted)
        excess = max(gradient.max() - 1, 0.0)
        best = (theta, loglik, min(best[2], loglik + excess))
        if excess <= _GAP:
            break
        advanced = _newton_step(yields, share, theta, fitted, gradient)
        if advanced is None:
            break
        theta = advanced
    return best[0], float(best[1] * total), float(best[2] * total)


def _first_support(yields: Floats, share: Floats) -> Floats:
    """A PMF on few states that gives every pattern some probability."""
    fitted = yields.mean(axis=1)
    gradient = yields.T @ (share / fitted)
    dearest = [np.argmax(row * gradient) for row in yields]  # row by row, for the memory that all at once would take
    chosen = np.unique(np.concatenate([find_largest(gradient, 5 * len(share)), dearest]))
    theta = np.zeros(yields.shape[1])
    theta[chosen] = 1 / len(chosen)
    return theta


def _newton_step(yields: Floats, share: Floats, theta: Floats, fitted: Floats, gradient: Floats) -> Floats | None:
    """θ after one constrained Newton step, or None where LL can no longer be raised."""
    columns = np.union1d(np.flatnonzero(theta), find_largest(gradient, 2 * len(share)))
    root = np.sqrt(share)
    model = np.vstack([yields[:, columns] * (root / fitted)[:, None], np.full(len(columns), _SUM_WEIGHT)])
    try:
        weights = _solve_positive(model, np.append(2 * root, _SUM_WEIGHT), 30 * len(columns))
    except RuntimeError:  # it cycled: an EM step also raises LL
        return np.asarray(theta * gradient)
    target = np.zeros_like(theta)
    target[columns] = weights / weights.sum()
    direction = target - theta
    slope = gradient @ direction
    loglik = share @ np.log(fitted)
    length = 1.0
    while length > 1e-10:
        trial = yields @ (theta + length * direction)
        if trial.min() > 0 and share @ np.log(trial) >= loglik + 1e-3 * length * slope - 1e-16 * abs(loglik):
            return np.asarray(target if length == 1.0 else np.maximum(theta + length * direction, 0))
        length /= 2
    return None


def _solve_positive(matrix: Floats, right: Floats, most: int) -> Floats:
    """min |matrix x − right|, x ≥ 0, in so many iterations at most; RuntimeError if these are too few.

    scipy cannot be stopped, and takes minutes for a thousand patterns. So if there is a limit, it is given few
    iterations first, then twice as many each time, as long as there is time for them.
    """
    from scipy.optimize import nnls

    size = min(most, _TRIED)
    while tick() is not None and size < most:
        begun = time.perf_counter()
        try:
            return np.asarray(nnls(matrix, right, maxiter=size)[0])
        except RuntimeError:
            tick(_LONGER * (time.perf_counter() - begun))
            size *= 2
    return np.asarray(nnls(matrix, right, maxiter=most)[0])


def find_largest(values: Floats, k: int) -> NDArray[np.intp]:
    """The places of the k largest values."""
    if values.size <= k:
        return np.arange(values.size)
    return np.sort(np.argpartition(values, values.size - k)[values.size - k :])
