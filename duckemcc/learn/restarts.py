"""Algorithm 1's outer loop: r learned models, those in worse optima replaced and counted.

Each group of exogenous variables is learned on its own, as the likelihood is a product over groups. With one variable
the maximum is found first (`maximum.py`), and EM restarts are finished on the set of points that attain it. With
several, the likelihood is not concave: restarts may stay in strictly worse optima. As groups are independent, such a
restart borrows its chances of that group from one that did reach the maximum, and `kept` counts those that needed no
loan.

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.accelerate import find_dead, project_onto, squarem
from duckemcc.learn.convex.newton import Maximum, maximise_records
from duckemcc.learn.emcc import Chances, Step, Tick, join, measure, run
from duckemcc.learn.incomplete import Incomplete, can_complete, come_apart, fit_incomplete
from duckemcc.learn.likelihood import Group, Ints, Likelihood
from duckemcc.learn.maximum import maximise, maximise_all
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.relaxed import Relaxed, relax
from duckemcc.model.scm import Model
from duckemcc.model.threads import one_thread

Floats = NDArray[np.float64]

EM_STEPS = 100
"""Plain EM steps before the second-order stage: they carry a start to the part of the feasible set that Algorithm 1
would reach."""

ROUND = 600
"""EM steps between two times that restarts are gathered at the best one."""

UNIQUE = 1e-11
"""Log-likelihood per record between the maximum and a proven bound on it, up to which they are one."""

WORSE = 1e-8
"""Log-likelihood per record by which a restart may fall short of the best and still count as being at the maximum."""


WIDEST = 4096
"""States of an exogenous variable up to which restarts range over all of them."""

MOST_MAXIMA = 8
"""Maxima with different fitted probabilities that are told apart in a segment, at most."""

SAME = 5e-3
"""Distance of fitted probabilities up to which restarts are in one optimum: those whose log-likelihoods per record
differ by 1e-6 are within .0015."""

NEARLY = 1e-4
"""Log-likelihood per record that literal steps may lack where their restarts are brought to the maximum."""

TRACE = 1e-6
"""Of a random start, in one that begins at a point that was found."""

HEAVIEST = 64
"""States that each restart keeps where there are more: its heaviest at the start."""


@dataclass(frozen=True)
class Effort:
    """How hard EM tries. gap: of the log-likelihood per record at which a restart has converged; max_steps: EM steps
    at most.

    accelerate=False: the literal steps of Algorithm 1, line 13 as printed, and no second-order stage. spread=False: a
    variable that is alone in its group is not restarted but left where the maximum was found, for bounds that do not
    rest on restarts.
    """

    gap: float = 1e-9
    max_steps: int = 5000
    accelerate: bool = True
    spread: bool = True


class Fitted(NamedTuple):
    """A group at the maximum of its likelihood.

    fitted: P there, per block [s, p], or of the records of a mix [s, q]. best: chances of the classes [s, class] per
    variable. loglik [s]; upper [s]: a proven bound on the maximum. unique [s]: whether all maxima are proven to have
    these fitted probabilities. relaxed [s, joint class]: where the variables merged into one attain their maximum, if
    there are several and not too many joint states; merged: what they are merged into, if
    it is read along a path.
    maxima: for each segment the restarts at the maximum that fit different probabilities, the best one first.
    apart: the causes of a mix, each as a group of its own, in the segments [s] where all maxima have the same patterns
    of each (`incomplete.py`); there, the maxima are all combinations of theirs.
    blur [s]: relative error of the records that these groups have.
    """

    group: Group
    fitted: tuple[Floats, ...]
    best: tuple[Floats, ...]
    loglik: Floats
    upper: Floats
    unique: NDArray[np.bool_]
    maxima: tuple[tuple[int, ...], ...] = ()
    relaxed: Floats | None = None
    merged: Relaxed | None = None
    apart: tuple[Fitted, ...] = ()
    is_apart: NDArray[np.bool_] | None = None
    blur: Floats | None = None


class Learned(NamedTuple):
    """chances: per exogenous variable [s, r, u], every row a maximum-likelihood PMF as far as EM got.

    best: per exogenous variable [s, u], where the likelihood is largest; loglik [s]: there, however far the restarts
    got. upper [s]: a proven bound on the maximum. optimality_gap [s]: nats between that bound and the worst row. kept
    [s]: restarts at the maximum, in the group where they are fewest. converged [s], steps [s] (most of any restart).
    groups: what each of them came to.
    """

    chances: dict[str, Floats]
    best: dict[str, Floats]
    loglik: Floats
    upper: Floats
    optimality_gap: Floats
    kept: Ints
    converged: NDArray[np.bool_]
    steps: Ints
    groups: tuple[Fitted, ...]


class _GroupFit(NamedTuple):
    """chances [s, r, class] with their gap [s, r]; best [s, class] with its loglik [s]."""

    chances: Chances
    best: Chances
    loglik: Floats
    upper: Floats
    gap: Floats
    stationary: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    steps: Ints
    relaxed: Floats | None
    merged: Relaxed | None
    incomplete: Incomplete | None = None


@one_thread
def learn(
    likelihood: Likelihood,
    starts: dict[str, Floats],
    effort: Effort,
    tick: Tick = lambda: None,
    restarts: int | None = None,
) -> Learned:
    """r learned models per segment. starts: chances [r, u] for each exogenous variable, or [1, u] that stand for all r.
    restarts: r; left out, the most rows that a variable has."""
    segments = len(likelihood.n)
    restarts = restarts or max((len(c) for c in starts.values()), default=1)
    chances = {name: _repeat(starts[name][None], segments, restarts) for name in likelihood.free}
    best = {name: c[:, 0] for name, c in chances.items()}
    zero = np.zeros(segments)
    loglik, upper, gap = zero, zero, zero
    kept = np.full(segments, restarts)
    converged = np.ones(segments, dtype=bool)
    steps = np.zeros(segments, dtype=np.intp)
    groups = []
    known = [None] * len(likelihood.groups) if likelihood.split is None else maximise_all(likelihood.groups)
    for group, peak in zip(likelihood.groups, known, strict=True):
        fit = _fit_group(group, likelihood.model, starts, effort, likelihood.n, tick, peak)
        loglik = loglik + fit.loglik
        upper = upper + fit.upper
        gap = gap + np.where(fit.kept, fit.gap, 0).max(axis=1)
        kept = np.minimum(kept, np.where(fit.kept.all(axis=1), restarts, fit.kept.sum(axis=1)))
        converged = converged & (fit.stationary | ~fit.kept).all(axis=1)
        steps = np.maximum(steps, fit.steps.max(axis=1))
        groups.append(_sum_up(group, fit))
        lender = _borrow(fit.kept)
        for j, (name, start, classes) in enumerate(zip(group.names, _of(starts, group), group.classes, strict=True)):
            own = fit.chances[j]
            borrowed = own if fit.kept.all() else np.take_along_axis(own, lender[..., None], axis=1)
            chances[name] = _repeat(_split(borrowed, start, classes, lender), segments, restarts)
            best[name] = _split(fit.best[j][:, None], start, classes, np.zeros((segments, 1), np.intp))[:, 0]
    # upwards to 1e-13 of n, so that it stays proven; what is behind that is rounding
    records = np.where(likelihood.n > 0, likelihood.n, 1.0)
    gap = np.ceil(gap / records * 1e13) / 1e13 * records
    return Learned(chances, best, loglik, upper, gap, kept, converged, steps, tuple(groups))


def _sum_up(group: Group, fit: _GroupFit) -> Fitted:
    """What a group came to, with its causes apart where they are."""
    found, n = fit.incomplete, np.maximum(group.total, 1e-300)
    unique = np.full(len(n), group.concave) | (fit.upper - fit.loglik <= UNIQUE * n)
    whole = Fitted(
        group,
        _fitted(fit.best, group),
        fit.best,
        fit.loglik,
        fit.upper,
        unique,
        _find_maxima(fit, group),
        fit.relaxed,
        fit.merged,
    )
    if found is None:
        return whole
    apart = tuple(
        Fitted(own, _fitted((best,), own), (best,), zeros, zeros, zeros == 0)
        for own, best in zip(come_apart(group, found.expected), fit.best, strict=True)
        for zeros in [np.zeros(len(n))]
    )
    return whole._replace(unique=unique | found.unique, apart=apart, is_apart=found.apart, blur=found.blur)


def _fit_group(
    group: Group,
    model: Model,
    starts: dict[str, Floats],
    effort: Effort,
    n: Floats,
    tick: Tick,
    there: Maximum | None = None,
) -> _GroupFit:
    """The group's restarts brought to the maximum, as far as `effort` goes. there: where it is, if that is known."""
    segments = len(n)
    chances = tuple(
        np.tile(sum_by_class(start, classes), (segments, 1, 1))
        for start, classes in zip(_of(starts, group), group.classes, strict=True)
    )
    peak, incomplete, merged = _seek(group, model, tick) if there is None else (there, None, None)
    upper = np.zeros(segments) if peak is None else peak.upper  # log P ≤ 0
    goal = None if peak is None else peak.fitted
    if incomplete is not None:
        upper, own = incomplete.upper, _fitted(incomplete.best, group)
        known = incomplete.unique[:, None]
        goal = own if goal is None else tuple(np.where(known, m, g) for m, g in zip(own, goal, strict=True))
    best: Chances
    if not effort.accelerate and (effort.spread or not group.concave):
        literal, step, steps = run(
            chances, group, steps=effort.max_steps, gap=effort.gap, upper=upper, literal=n, tick=tick
        )
        if group.concave and peak is not None:
            best, loglik = (peak.chances,), peak.loglik
        elif incomplete is not None and incomplete.unique.all():
            best, loglik = incomplete.best, incomplete.loglik
        else:  # a verdict must not rest on literal steps that have not arrived
            best, loglik = _best(*_climb(chances, group, goal, upper, Effort(effort.gap), tick)[:2])
        chances, step = _polish(literal, group, best, step, upper, effort, tick)
    elif group.concave and peak is not None and not effort.spread:
        best, loglik = (peak.chances,), peak.loglik
        chances, step, steps = _stay(best, group, chances[0].shape[1])
    elif incomplete is not None and incomplete.unique.all() and not effort.spread:
        best, loglik = incomplete.best, incomplete.loglik
        chances, step, steps = _stay(best, group, chances[0].shape[1])
    elif group.concave and peak is not None:
        fit = _fit_wide if group.cards[0] > WIDEST else _fit_concave
        chances, step, steps = fit(chances, group, peak, upper, effort, tick)
        best, loglik = (peak.chances,), peak.loglik
    else:
        if incomplete is not None:
            chances = _begin_there(chances, incomplete.best)
        chances, step, steps = _climb(chances, group, goal, upper, effort, tick)
        best, loglik = _best(chances, step)
    loglik = np.maximum(loglik, step.loglik.max(axis=1))
    upper = np.maximum(upper, loglik)  # rounding
    gap = upper[:, None] - step.loglik
    records = np.maximum(group.total, 1e-300)[:, None]
    # a concave problem has no worse optima, only restarts on their way
    kept = np.full_like(gap, group.concave, dtype=bool) | (
        (step.loglik.max(axis=1, keepdims=True) - step.loglik) <= WORSE * records
    )
    stationary = np.minimum(step.gap, gap) <= effort.gap * records
    relaxed = None if group.concave or peak is None else peak.chances
    return _GroupFit(chances, best, loglik, upper, gap, stationary, kept, steps, relaxed, merged, incomplete)


def _seek(group: Group, model: Model, tick: Tick) -> tuple[Maximum | None, Incomplete | None, Relaxed | None]:
    """The maximum of the group's variables merged into one, if these are not too many; what can be found where
    incomplete records tie them; and the merged one, if it is read along a path."""
    if not can_complete(group):
        return maximise(group), None, None
    assert group.mix is not None
    relaxed = relax(model, group.names, group.mix.products)
    peak = maximise(group) if relaxed is None else maximise_records(relaxed.yields, group.count)
    return peak, fit_incomplete(group, relaxed, peak, tick), relaxed


def _begin_there(chances: Chances, best: Chances) -> Chances:
    """The starts, the first at a point that was found, with a trace of every state, as zero is absorbing."""
    starts = tuple(c.copy() for c in chances)
    for start, point in zip(starts, best, strict=True):
        start[:, 0] = (1 - TRACE) * point + TRACE * start[:, 0]
    return starts


def _fit_concave(
    chances: Chances, group: Group, peak: Maximum, upper: Floats, effort: Effort, tick: Tick
) -> tuple[Chances, Step, Ints]:
    """One variable: EM, the projection onto the points that attain the maximum, and EM again for whom it failed."""
    chances, _, steps = run(chances, group, steps=min(EM_STEPS, effort.max_steps), gap=1e-15, tick=tick)
    dead = find_dead(group, peak.chances, peak.fitted)
    chances = project_onto(chances, group, peak.fitted, tick, dead=dead)
    chances, step, more = run(chances, group, steps=effort.max_steps - EM_STEPS, gap=effort.gap, upper=upper, tick=tick)
    return chances, step, steps + more


def _polish(
    chances: Chances, group: Group, best: Chances, step: Step, upper: Floats, effort: Effort, tick: Tick
) -> tuple[Chances, Step]:
    """Restarts that are near the maximum moved to the nearest points that fit what the best chances [s, class] do.

    A gap of g nats per record fixes fitted probabilities to about √(2g) only (Pinsker): so far could what has converged
    lie outside of the exact ends, and further where steps ran out. A gap of zero asks for the steps as they are.
    """
    if effort.gap == 0:
        return chances, step
    fitted = _fitted(best, group)
    away = np.abs(_fit_restarts(chances, group) - np.concatenate(fitted, axis=1)[:, None])
    far = np.where(group.count[:, None] > 0, away, 0.0).max(axis=2, initial=0.0) > SAME
    near = ~far | group.concave  # of one variable there is one maximum
    enough = max(effort.gap, NEARLY) * np.maximum(group.total, 1e-300)[:, None]
    there = near & (np.minimum(step.gap, upper[:, None] - step.loglik) <= enough)
    if not there.any():
        return chances, step
    dead = find_dead(group, best[0], fitted) if group.concave else None
    moved = project_onto(chances, group, fitted, tick, dead=dead)
    new = tuple(np.where(there[..., None], m, c) for m, c in zip(moved, chances, strict=True))
    told = measure(new, group)  # a projection that gains nothing may yet show a larger gap, through rounding
    return new, told._replace(gap=np.minimum(told.gap, step.gap))


def _fit_wide(
    chances: Chances, group: Group, peak: Maximum, upper: Floats, effort: Effort, tick: Tick
) -> tuple[Chances, Step, Ints]:
    """The same on few of the states: those that weigh most at each restart's start, and those of the maximum.

    With the latter among them the maximum is that of all states, so what attains it here attains it there; the chances
    of all other states are zero. A restart keeps a trace of every state that was chosen, as zero is absorbing in EM.
    """
    heaviest = np.argsort(-chances[0][0], axis=1, kind="stable")[:, :HEAVIEST]
    columns = np.union1d(heaviest, np.flatnonzero(peak.chances.any(axis=0)))
    blocks = tuple(replace(b, yields=np.ascontiguousarray(b.yields[:, columns])) for b in group.blocks)
    narrow = Group(group.names, (np.arange(len(columns)),), blocks)
    few = np.maximum(chances[0][..., columns], 1e-6 / len(columns))
    start = (few / few.sum(axis=2, keepdims=True),)
    seen = peak._replace(chances=peak.chances[:, columns])
    learned, step, steps = _fit_concave(start, narrow, seen, upper, effort, tick)
    full = np.zeros_like(chances[0])
    full[..., columns] = learned[0]
    return (full,), step, steps


def _stay(best: Chances, group: Group, restarts: int) -> tuple[Chances, Step, Ints]:
    """Every restart at the maximum that was found [s, class]."""
    step = measure(tuple(c[:, None] for c in best), group)
    shape = len(best[0]), restarts
    chances = tuple(np.broadcast_to(c[:, None], (*shape, c.shape[1])) for c in best)
    told = Step(step.gradient, np.broadcast_to(step.loglik, shape), np.broadcast_to(step.gap, shape))
    return chances, told, np.zeros(shape, dtype=np.intp)


def _best(chances: Chances, step: Step) -> tuple[Chances, Floats]:
    """The restart with the largest likelihood, per segment."""
    place = step.loglik.argmax(axis=1)[:, None]
    at = tuple(np.take_along_axis(c, place[..., None], axis=1)[:, 0] for c in chances)
    return at, np.take_along_axis(step.loglik, place, axis=1)[:, 0]


def _climb(
    chances: Chances, group: Group, goal: tuple[Floats, ...] | None, upper: Floats, effort: Effort, tick: Tick
) -> tuple[Chances, Step, Ints]:
    """Several variables: EM, then extrapolation in rounds; at first, the relaxed maximum is a goal if attainable.

    After each round the best restart is the goal of those that are nearly as good and fit about the same: they are in
    its optimum, and need not crawl there by themselves.
    """
    chances, _, steps = run(chances, group, steps=min(EM_STEPS, effort.max_steps), gap=1e-15, upper=upper, tick=tick)
    if goal is not None:
        chances = project_onto(chances, group, goal, tick)
    for first in range(0, max(1, effort.max_steps - EM_STEPS), ROUND):
        limit = min(ROUND, effort.max_steps - EM_STEPS - first)
        chances, step, more = squarem(chances, group, steps=limit, gap=effort.gap, upper=upper, tick=tick)
        steps = steps + more
        if goal is not None and first == 0:
            chances = project_onto(chances, group, goal, tick)
            step = measure(chances, group)
        chances, step = _gather(chances, group, step, tick)
        if not more.any():
            break
    return chances, step, steps


def _gather(chances: Chances, group: Group, step: Step, tick: Tick) -> tuple[Chances, Step]:
    """Restarts that are nearly as good as the best one moved to the fitted probabilities of the optimum they are in."""
    fitted = _fit_restarts(chances, group)
    near = (step.loglik.max(axis=1, keepdims=True) - step.loglik) <= 100 * WORSE * group.total[:, None]
    left = near.copy()
    for _ in range(MOST_MAXIMA):
        place = np.where(left, step.loglik, -np.inf).argmax(axis=1)
        own = left & _is_same(fitted, place, group)
        if not own.any():
            break
        best = tuple(np.take_along_axis(c, place[:, None, None], axis=1)[:, 0] for c in chances)
        moved = project_onto(chances, group, _fitted(best, group), tick)
        chances = tuple(np.where(own[..., None], m, c) for m, c in zip(moved, chances, strict=True))
        left &= ~own
    there = measure(chances, group)  # a projection that gains nothing may yet show a larger gap, through rounding
    return chances, there._replace(gap=np.minimum(there.gap, step.gap))


def _find_maxima(fit: _GroupFit, group: Group) -> tuple[tuple[int, ...], ...]:
    """For each segment the restarts at the maximum that differ in what they fit, the best one first."""
    if group.concave:
        return ((),) * len(fit.loglik)
    fitted = _fit_restarts(fit.chances, group)
    left = fit.kept & fit.stationary
    found: list[list[int]] = [[] for _ in fit.loglik]
    for _ in range(MOST_MAXIMA):
        place = np.where(left, -fit.gap, -np.inf).argmax(axis=1)
        for s in np.flatnonzero(left.any(axis=1)):
            found[s].append(int(place[s]))
        left &= ~_is_same(fitted, place, group)
    return tuple(tuple(own) for own in found)


def _fit_restarts(chances: Chances, group: Group) -> Floats:
    """P [s, r, q] of the group's records at each restart."""
    segments, restarts = chances[0].shape[:2]
    flat = tuple(c.reshape(segments * restarts, -1) for c in chances)
    return np.concatenate(_fitted(flat, group), axis=1).reshape(segments, restarts, -1)


def _is_same(fitted: Floats, place: Ints, group: Group) -> NDArray[np.bool_]:
    """Which restarts [s, r] fit the records that were seen as the one at `place` [s] does."""
    one = np.take_along_axis(fitted, place[:, None, None], axis=1)
    away = np.where(group.count[:, None] > 0, np.abs(fitted - one), 0.0)
    return np.asarray(away.max(axis=2, initial=0.0) <= SAME)


def _fitted(best: Chances, group: Group) -> tuple[Floats, ...]:
    """P_p at one PMF [s, class] per variable, per block [s, p]."""
    wide = tuple(c[:, None] for c in best)
    patterns = tuple(np.matmul(join(wide, b), b.yields.T)[:, 0] for b in group.blocks)
    return patterns if group.mix is None else (group.mix.products.fit(np.concatenate(patterns, axis=1)),)


def _of(starts: dict[str, Floats], group: Group) -> list[Floats]:
    return [starts[name] for name in group.names]


def _split(reduced: Floats, start: Floats, classes: Ints, lender: Ints) -> Floats:
    """Chances of all states [s, r, u]: a class's mass in the proportions of the start, which EM never changes."""
    if reduced.shape[-1] == len(classes):  # every state is a class of its own
        return reduced
    share = start / sum_by_class(start, classes)[:, classes]
    return np.asarray(reduced[..., classes] * share[lender])


def _repeat(chances: Floats, segments: int, restarts: int) -> Floats:
    """The same chances for every segment and restart, where there is only one row for all; not a copy."""
    return np.broadcast_to(chances, (segments, restarts, chances.shape[-1]))


def _borrow(kept: NDArray[np.bool_]) -> Ints:
    """For each restart [s, r] the restart whose chances it uses: itself where kept, else the kept ones in turn."""
    lender = np.tile(np.arange(kept.shape[1]), (len(kept), 1))
    for s in np.flatnonzero(~kept.all(axis=1)):
        good, bad = np.flatnonzero(kept[s]), np.flatnonzero(~kept[s])
        lender[s, bad] = good[np.arange(len(bad)) % len(good)]
    return lender
