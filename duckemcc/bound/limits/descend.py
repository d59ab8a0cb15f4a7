"""The limit of a query: from all degrees of freedom down to those that the data leave it there.

T(q) = 2 (ℓ_max − ℓ(q)) is compared with χ² of r(q) degrees of freedom. From outside: with k = D, find q_k with T(q_k) =
χ²_k; if r(q_k) ≥ k, that is the limit, else k is lowered to r(q_k), k − 1 at most. The model's own maximum is ℓ_max, so
there is a limit for every sample. √T is convex along q and nearly linear, so that a few secants find q_k.

Axes: b problem: a segment and a side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.limits.problem import Problem
from duckemcc.bound.limits.profile import maximise
from duckemcc.bound.limits.rank import Ranks

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_ROUGH, _FINE = 2e-2, 1e-4
"""Of √T: where r(q_k) is read, and of a limit. On all designs r is the same within the first of these."""

_TRIES = 25
_EVEN = 0.2  # of the start, where the fit itself is the rest
_HALVES = 10  # of the way between the limit and what lies outside, where r changes in between
_EDGE = 0.999  # of the room that the query has: beyond, its own range is the limit
_FURTHER = 4.0  # times a step that is not known to be too long
_NOTHING = 1e3  # √T where no model has this value


class Limit(NamedTuple):
    """value [b]; freedom [b]: degrees of freedom that it was found with: above one, several sources tie."""

    value: Floats
    freedom: Ints


class _Found(NamedTuple):
    step: Floats
    root: Floats  # √T
    freedom: Ints


def descend(
    problem: Problem,
    segments: Ints,
    side: Floats,
    end: Floats,
    edge: Floats,
    confidence: float,
    most: int | None = None,
) -> Limit:
    """The limits beyond ends [b] on a side [b], 1 or -1; edge [b]: the query's own range ends there. most: degrees of
    freedom to begin with, for comparison: with one, the limits of a query that is identified."""
    from scipy.special import chdtri

    different, back = np.unique(segments, return_inverse=True)
    top = maximise(problem, different)
    highest = top.loglik[back]
    ranks = Ranks(problem)
    starts = None if problem.linear else (1 - _EVEN) * top.x[back] + _EVEN * problem.start
    constant = problem.query.combination.constant
    room = np.maximum(side * (edge - end), 0.0)

    def profile(b: Ints, step: Floats) -> _Found:
        q = end[b] + side[b] * step - constant
        found = maximise(problem, segments[b], q, None if starts is None else starts[b])
        if starts is not None and len(lost := np.flatnonzero(~np.isfinite(found.loglik))):
            again = (starts[b[lost]] + problem.start) / 2
            found = found.put(lost, maximise(problem, segments[b[lost]], q[lost], again))
        root = np.sqrt(np.maximum(2 * (highest[b] - found.loglik), 0.0))
        freedom = ranks(found, segments[b])[1]
        return _Found(step, np.where(np.isfinite(root), root, _NOTHING), freedom)

    k = np.maximum(ranks(top, different)[0][back], 1)
    k = k if most is None else np.minimum(k, most)
    roots = np.sqrt(chdtri(np.arange(1, int(k.max(initial=1)) + 1), 1 - confidence))
    records = np.maximum(problem.total[segments], 1.0)
    step = np.minimum(roots[k - 1] / 2 / np.sqrt(records), 0.5 * room)
    value, freedom = end.copy(), np.ones(len(end), np.intp)
    outside = np.full(len(end), np.nan)  # the last step that was not accepted
    live = np.flatnonzero(room > 1e-9)
    value[room <= 1e-9] = edge[room <= 1e-9]
    while len(live):
        want = roots[k[live] - 1]
        found = _seek(profile, live, step[live], room[live], want, _ROUGH)
        fits = (found.freedom >= k[live]) | (k[live] == 1)
        own = live[fits]
        if len(own):
            near = np.minimum(found.step[fits] * want[fits] / np.maximum(found.root[fits], 1e-3), _EDGE * room[own])
            fine = _seek(profile, own, near, room[own], want[fits], _FINE)
            aimed = fine.step * np.clip(want[fits] / np.maximum(fine.root, 1e-9), 1 - _FINE, 1 + _FINE)
            out = (fine.step >= 0.99 * _EDGE * room[own]) & (fine.root < want[fits])
            reached = _widen(profile, own, aimed, np.where(fine.freedom > k[own], outside[own], np.nan), roots)
            value[own] = end[own] + side[own] * np.where(out, room[own], reached)
            freedom[own] = k[own]
        outside[live[~fits]] = found.step[~fits]
        live, lower = live[~fits], np.minimum(found.freedom, k[live] - 1)[~fits]
        step[live] = found.step[~fits] * roots[lower - 1] / np.maximum(found.root[~fits], 1e-3)
        step[live] = np.clip(step[live], 0.0, _EDGE * room[live])
        k[live] = lower
    return Limit(value, freedom)


def _widen(
    profile: Callable[[Ints, Floats], _Found], own: Ints, step: Floats, outside: Floats, roots: Floats
) -> Floats:
    """Steps of some problems, taken further out while they are accepted: where more sources tie than k, the limit lies
    where r changes and not where T is χ²_k. outside: a step that is not accepted, NaN where there is none to try."""
    step, far = step.copy(), outside.copy()
    live = np.flatnonzero(np.isfinite(far) & (far > step))
    for _ in range(_HALVES):
        if not len(live):
            break
        middle = (step[live] + far[live]) / 2
        got = profile(own[live], middle)
        fits = got.root <= roots[np.minimum(got.freedom, len(roots)) - 1]
        step[live], far[live] = np.where(fits, middle, step[live]), np.where(fits, far[live], middle)
    return step


def _seek(
    profile: Callable[[Ints, Floats], _Found], own: Ints, step: Floats, room: Floats, want: Floats, close: float
) -> _Found:
    """The steps of some problems, `own`, at which √T is what is wanted, or that end at the edge."""
    step = np.clip(step, 1e-9 * room, _EDGE * room)
    size = len(step)
    found = _Found(step.copy(), np.zeros(size), np.ones(size, np.intp))
    low, at_low = np.zeros(size), np.zeros(size)
    high, at_high = room.copy(), np.full(size, np.inf)
    live = np.arange(size)
    for _ in range(_TRIES):
        got = profile(own[live], step[live])
        found.step[live], found.root[live], found.freedom[live] = got
        root, here, goal = got.root, step[live], want[live]
        below = root < goal
        old, at_old = np.where(below, low[live], high[live]), np.where(below, at_low[live], at_high[live])
        low[live], at_low[live] = np.where(below, here, low[live]), np.where(below, root, at_low[live])
        high[live], at_high[live] = np.where(below, high[live], here), np.where(below, at_high[live], root)
        done = (np.abs(root - goal) < close * goal) | (below & (here >= 0.999 * _EDGE * room[live]))
        done |= high[live] - low[live] < 1e-7 * room[live]
        step[live] = _next(
            here, root, old, at_old, low[live], high[live], at_low[live], at_high[live], goal, room[live]
        )
        live = live[~done]
        if not len(live):
            break
    return found


def _next(
    here: Floats,
    root: Floats,
    old: Floats,
    at_old: Floats,
    low: Floats,
    high: Floats,
    at_low: Floats,
    at_high: Floats,
    goal: Floats,
    room: Floats,
) -> Floats:
    """The next step: a secant through the last two on one side, or across; half of what is left where that fails."""
    with np.errstate(all="ignore"):
        across = low + (goal - at_low) * (high - low) / (at_high - at_low)
        secant = here + (goal - root) * (here - old) / (root - at_old)
    known = np.isfinite(at_high) & (at_high < _NOTHING)
    guess = np.where(np.isfinite(secant) & (secant > low) & (secant < high), secant, across)
    grown = np.where(root > 0.05 * goal, here * np.minimum(goal / np.maximum(root, 1e-9), _FURTHER), here * _FURTHER)
    guess = np.where(known, guess, np.where(np.isfinite(at_high), (low + high) / 2, grown))
    bad = ~np.isfinite(guess) | (guess <= low) | (guess >= high)
    return np.minimum(np.where(bad, (low + np.minimum(high, _EDGE * room)) / 2, guess), _EDGE * room)
