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
_PARTS, _CUTS = 10, 3  # of the way between the limit and what lies outside, where r changes in between
_EDGE = 0.999  # of the room that the query has: beyond, its own range is the limit
_FURTHER, _PAST = 4.0, 1.05  # times a step that is not known to be too long; of what a step aims at
_LEVELS = 7  # numbers of degrees of freedom that are looked at together
_NOTHING = 1e3  # √T where no model has this value


class Limit(NamedTuple):
    """value [b]; freedom [b]: degrees of freedom that it was found with: above one, several sources tie."""

    value: Floats
    freedom: Ints


class _Found(NamedTuple):
    """step, √T and r [b]."""

    step: Floats
    root: Floats
    freedom: Ints

    def take(self, own: NDArray[np.bool_]) -> _Found:
        """The same of some problems."""
        return _Found(self.step[own], self.root[own], self.freedom[own])

    def put(self, places: Ints, found: _Found) -> _Found:
        """The same with others at some places."""
        own = _Found(self.step.copy(), self.root.copy(), self.freedom.copy())
        for part, new in zip(own, found, strict=True):
            part[places] = new
        return own


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
    value, freedom = end.copy(), np.ones(len(end), np.intp)
    outside = np.full(len(end), np.nan)  # the last step that was not accepted
    live = np.flatnonzero(room > 1e-9)
    value[room <= 1e-9] = edge[room <= 1e-9]
    known = _Known(len(end))
    first = np.minimum(roots[k - 1] / 2 / np.sqrt(np.maximum(problem.total[segments], 1.0)), 0.5 * room)
    _scan(profile, live, known, first, room, k, roots)
    for tries in range(_TRIES * int(k.max(initial=1))):
        if not len(live):
            break
        want = roots[k[live] - 1]
        found = known.look(live, want, _EDGE * room[live], sure=tries % _TRIES == _TRIES - 1)
        if len(unsure := live[found.freedom == 0]):
            _try(profile, known, *_levels_between(unsure, k, known, roots), room, roots)
            found = known.look(live, want, _EDGE * room[live])
        told = found.freedom > 0
        fits = told & ((found.freedom >= k[live]) | (k[live] == 1))
        if len(own := live[fits]):
            fine = _seek(profile, own, known, room[own], want[fits], _FINE)
            known.add(own, fine)
            sure = (fine.freedom >= k[own]) | (k[own] == 1)
            fits[fits] = sure
            own, fine, wanted = own[sure], fine.take(sure), want[fits]
            aimed = fine.step * np.clip(wanted / np.maximum(fine.root, 1e-9), 1 - _FINE, 1 + _FINE)
            out = (fine.step >= 0.99 * _EDGE * room[own]) & (fine.root < wanted)
            reached = _widen(profile, own, aimed, np.where(fine.freedom > k[own], outside[own], np.nan), roots)
            value[own] = end[own] + side[own] * np.where(out, room[own], reached)
            freedom[own] = k[own]
        down = told & ~fits
        outside[live[down]] = found.step[down]
        k[live[down]] = np.minimum(found.freedom, k[live] - 1)[down]
        live = live[~fits]
    return Limit(value, freedom)


def _levels_between(unsure: Ints, k: Ints, known: _Known, roots: Floats) -> tuple[Ints, Ints]:
    """Problems, and numbers of degrees of freedom to look at: k, and some down to what is known further in."""
    below, _ = known.around(unsure, roots[k[unsure] - 1])
    pairs = [
        (b, level)
        for b, inner in zip(unsure.tolist(), below.freedom.tolist(), strict=True)
        for level in np.unique(np.rint(np.linspace(max(inner, 1), k[b], _LEVELS)).astype(int))
    ]
    own, level = np.array(pairs, np.intp).T
    return own, level


class _Known:
    """What was found so far of each problem [b, m], by step; infinite steps are places that are free."""

    def __init__(self, size: int) -> None:
        self.step = np.full((size, 1), np.inf)
        self.root = np.full((size, 1), np.inf)
        self.freedom = np.zeros((size, 1), np.intp)

    def add(self, own: Ints, found: _Found) -> None:
        """Puts what was found of some problems, which may be there several times, in its place."""
        order = np.argsort(own, kind="stable")
        row = own[order]
        column = np.arange(len(row)) - np.searchsorted(row, row)
        shape = len(self.step), int(column.max(initial=-1)) + 1
        parts = []
        for old, new, empty in zip((self.step, self.root, self.freedom), found, (np.inf, np.inf, 0), strict=True):
            more = np.full(shape, empty, old.dtype)
            more[row, column] = new[order]
            parts.append(np.hstack([old, more]))
        order = np.argsort(parts[0], axis=1, kind="stable")
        self.step, self.root, self.freedom = (np.take_along_axis(v, order, 1) for v in parts)

    def around(self, own: Ints, want: Floats) -> tuple[_Found, _Found]:
        """The nearest on either side of a √T: below (the end itself, where there is none) and above (infinite)."""
        step, root, freedom = self.step[own], self.root[own], self.freedom[own]
        count = (root < want[:, None]).cumprod(axis=1).sum(axis=1)
        row, low, high = np.arange(len(own)), np.maximum(count - 1, 0), np.minimum(count, step.shape[1] - 1)
        here, there = count > 0, count < step.shape[1]
        below = _Found(
            np.where(here, step[row, low], 0.0), np.where(here, root[row, low], 0.0), freedom[row, low] * here
        )
        above = _Found(
            np.where(there, step[row, high], np.inf),
            np.where(there, root[row, high], np.inf),
            freedom[row, high] * there,
        )
        return below, above

    def look(self, own: Ints, want: Floats, edge: Floats, *, sure: bool = False) -> _Found:
        """Steps at which √T is what is wanted, or that end at the edge [b]. freedom is zero where it is not known: not
        looked at there, and not the same on both sides; sure: it is then that of the outer side."""
        below, above = self.around(own, want)
        with np.errstate(all="ignore"):
            step = below.step + (want - below.root) * (above.step - below.step) / (above.root - below.root)
        there = np.isfinite(step) & (above.root < _NOTHING)
        same = there & ((below.freedom == above.freedom) | sure)
        freedom = np.where(same, above.freedom, 0)
        freedom = np.where(above.root - want < _ROUGH * want, above.freedom, freedom)
        freedom = np.where(want - below.root < _ROUGH * want, below.freedom, freedom)
        found = _Found(np.where(there, step, below.step), want.copy(), freedom)
        ends = ~np.isfinite(above.step) & (below.step >= 0.999 * edge)
        return found.put(np.flatnonzero(ends), below.take(ends))


def _scan(
    profile: Callable[[Ints, Floats], _Found],
    live: Ints,
    known: _Known,
    step: Floats,
    room: Floats,
    k: Ints,
    roots: Floats,
) -> None:
    """Looks at steps from the end to where √T is that of all degrees of freedom, several at a time: a problem more
    costs little, a call more a lot."""
    open_, step = live, np.clip(step, 1e-9 * room, _EDGE * room)
    for _ in range(_TRIES):
        if not len(open_):
            break
        found = profile(open_, step[open_])
        known.add(open_, found)
        goal = roots[k[open_] - 1]
        short = (found.root < goal) & (found.step < 0.999 * _EDGE * room[open_])
        grown = found.step * np.clip(_PAST * goal / np.maximum(found.root, 1e-9), 1.1, _FURTHER)
        open_, grown = open_[short], grown[short]
        step[open_] = np.minimum(grown, _EDGE * room[open_])
    levels = np.unique(np.rint(np.geomspace(1, max(int(k[live].max(initial=1)), 1), _LEVELS)).astype(np.intp))
    pairs = [(b, level) for level in levels for b in live if level < k[b]]
    if pairs:
        own, level = np.array(pairs, np.intp).T
        _try(profile, known, own, level, room, roots)


def _try(
    profile: Callable[[Ints, Floats], _Found], known: _Known, own: Ints, level: Ints, room: Floats, roots: Floats
) -> None:
    """Looks at where √T of some problems should be that of a level."""
    want = roots[level - 1]
    below, above = known.around(own, want)
    high, at_high = np.minimum(above.step, room[own]), above.root
    with np.errstate(all="ignore"):
        step = below.step + (want - below.root) * (high - below.step) / (at_high - below.root)
    safe = np.isfinite(step) & (at_high < _NOTHING)
    step = np.where(safe, step, (below.step + high) / 2)
    known.add(own, profile(own, np.clip(step, 1e-9 * room[own], _EDGE * room[own])))


def _widen(
    profile: Callable[[Ints, Floats], _Found], own: Ints, step: Floats, outside: Floats, roots: Floats
) -> Floats:
    """Steps of some problems, taken further out while they are accepted: where more sources tie than k, the limit lies
    where r changes and not where T is χ²_k. outside: a step that is not accepted, NaN where there is none to try."""
    step, far = step.copy(), outside.copy()
    live = np.flatnonzero(np.isfinite(far) & (far > step))
    part = np.arange(1, _PARTS) / _PARTS
    for _ in range(_CUTS):
        if not len(live):
            break
        tried = step[live, None] + part * (far - step)[live, None]
        got = profile(np.repeat(own[live], len(part)), tried.ravel())
        fits = (got.root <= roots[np.minimum(got.freedom, len(roots)) - 1]).reshape(tried.shape)
        last = np.where(fits.any(axis=1), len(part) - np.argmax(fits[:, ::-1], axis=1), 0)  # the outermost
        row = np.arange(len(live))
        tried = np.hstack([step[live, None], tried, far[live, None]])
        step[live], far[live] = tried[row, last], tried[row, last + 1]
    return step


def _seek(
    profile: Callable[[Ints, Floats], _Found], own: Ints, known: _Known, room: Floats, want: Floats, close: float
) -> _Found:
    """The steps of some problems, `own`, at which √T is what is wanted, or that end at the edge."""
    size = len(own)
    inner, outer = known.around(own, want)
    low, at_low = inner.step.copy(), inner.root.copy()
    high, at_high = np.minimum(outer.step, room), outer.root.copy()
    with np.errstate(all="ignore"):
        step = low + (want - at_low) * (high - low) / (at_high - at_low)
    step = np.where(np.isfinite(step) & (at_high < _NOTHING) & (at_high > at_low), step, (low + high) / 2)
    step = np.clip(step, 1e-9 * room, _EDGE * room)
    found = _Found(step.copy(), np.zeros(size), np.ones(size, np.intp))
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
