"""max_θ Σ_q n_q log Σ_{r of q} Π_j m_j(r), m_j = Y_j θ_j: the maximum where incomplete records tie causes, and whether
it is the only one.

With the completions' expected records N_r = n_q P(r | q) known, the causes come apart, and each has a concave problem
of its own (`maximum.py`). EM with this exact M-step climbs from there: as fast as values are few that are missing.

Two things can prove that all maxima have the same fitted probabilities, which is what sharp bounds rest on:

*Relaxed.* Merged into one cause the problem is concave (`relaxed.py`). If independent causes attain its maximum, then
it is theirs, and the probabilities of all records are unique. Those of the causes' own patterns are unique as well if
the complete records seen in a table have probability one together, as then no cell of it is free: the causes are
*apart*.

*Few are missing.* LL(θ) = max_N [Σ_j Σ_p N_p log m_p(θ_j) + entropy of N]. Maximised over θ, the first term is convex
in N with a curvature of at most Σ_p (dN_p)²/N_p: for counts N(t) with optima m(t) on a convex set the conditions of the
maximum give Σ N (ṁ/m)² ≤ Σ Ṅ ṁ/m, so that by Cauchy and Schwarz its second derivative, Σ Ṅ ṁ/m, is at most Σ Ṅ²/N.
The entropy has one of at least Σ_r (dN_r)²/n_q, downwards. If the latter is larger in every direction, even with only
the complete records for N, there is one maximum, and EM finds it.

Axes: s segment, r completion, q record, p pattern, u class of states of one cause.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.newton import Maximum
from duckemcc.learn.emcc import Tick
from duckemcc.learn.likelihood import Block, Floats, Group
from duckemcc.learn.maximum import maximise
from duckemcc.learn.mix import Mix
from duckemcc.learn.relaxed import Relaxed

Bools = NDArray[np.bool_]

FEW = 0.9
"""Of the bound on the curvature at which one maximum is proven: 1 would do, but EM gets slow before."""

WHOLE = 1e-9
"""How far the complete records of a table may be from probability one together."""

_STEPS = 200
_SETTLED = 1e-14  # relative change of expected records
_ATTAINED = 1e-11  # of the log-likelihood per record, between the relaxed maximum and the causes'


class Incomplete(NamedTuple):
    """best: chances [s, class] of each cause. loglik, upper [s]: LL there, and a proven bound on the maximum. unique
    [s]: whether all maxima are proven to have the same fitted records, and apart [s]: the same patterns of each cause.
    expected [s, p]: records of each pattern; blur [s]: relative error of these.
    """

    best: tuple[Floats, ...]
    loglik: Floats
    upper: Floats
    unique: Bools
    apart: Bools
    expected: Floats
    blur: Floats


def can_complete(group: Group) -> bool:
    """Whether completions make the causes of a group come apart."""
    return group.mix is not None and all(len(b.causes) == 1 for b in group.blocks)


def fit_incomplete(group: Group, relaxed: Relaxed | None, peak: Maximum | None, tick: Tick) -> Incomplete:
    """The maximum of a group whose causes come apart (`can_complete`), as far as exact EM reaches it.

    relaxed, peak: the merged cause and its maximum, where there is one.
    """
    mix = group.mix
    assert mix is not None
    missing = measure_missing(mix)
    each = _split_evenly(mix) if relaxed is None or peak is None else _split_by(mix, relaxed, peak.chances)
    total = np.maximum(group.total, 1e-300)
    found = _climb(group, each, missing < FEW, peak, tick)
    upper = found.upper if peak is None else peak.upper
    attained = np.zeros(len(total), bool) if peak is None else upper - found.loglik <= _ATTAINED * total
    few = (missing < FEW) & found.settled
    upper = np.where(few, found.upper, upper)
    fitted = _fit_patterns(group, found.best)
    apart = few | (attained & _is_whole(mix, fitted))
    return Incomplete(
        found.best, found.loglik, np.maximum(upper, found.loglik), few | attained, apart, found.expected, found.blur
    )


def measure_missing(mix: Mix) -> Floats:
    """A bound [s] on the curvature of what is known over that of what is missing: below one there is one maximum."""
    products = mix.products
    whole = products.whole[products.of]
    known = products.count_patterns(np.where(whole, mix.count[:, products.of], 0.0))
    uses = np.zeros((products.patterns + 1, int((~whole).sum())))
    for column in products.members[~whole].T:
        uses[column, np.arange(uses.shape[1])] = 1.0
    uses = uses[:-1]
    own = mix.count[:, products.of[~whole]]
    found = np.zeros(len(known))
    for s in range(len(known)):
        rows = uses[:, own[s] > 0] * np.sqrt(own[s][own[s] > 0])
        touched = rows.any(axis=1)
        if (known[s][touched] == 0).any():
            found[s] = np.inf
        elif touched.any():
            rows = rows[touched] / np.sqrt(known[s][touched])[:, None]
            found[s] = _norm(rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows)
    return found


_EXACT = 500  # rows of a matrix whose largest eigenvalue is computed


def _norm(matrix: Floats) -> float:
    """The largest eigenvalue of a matrix that is not negative anywhere, or a bound on it."""
    return float(np.linalg.eigvalsh(matrix)[-1]) if len(matrix) <= _EXACT else float(matrix.sum(axis=1).max())


# -- EM with an exact M-step -----------------------------------------------------------------------


class _Climbed(NamedTuple):
    best: tuple[Floats, ...]
    loglik: Floats
    upper: Floats
    settled: Bools
    expected: Floats
    blur: Floats


def _climb(group: Group, each: Floats, going_on: Bools, peak: Maximum | None, tick: Tick) -> _Climbed:
    """One M-step from the completions' records [s, r]; where the maximum is proven to be one, and the first step did
    not attain the relaxed one, more of them."""
    mix = group.mix
    assert mix is not None
    segments = len(mix.count)
    expected = mix.products.count_patterns(each)
    best, excess = _maximise_each(group, expected)
    loglik = _loglik(mix, _fit_patterns(group, best))
    blur, settled = np.full(segments, np.inf), np.zeros(segments, bool)
    total = np.maximum(mix.count.sum(axis=1), 1e-300)
    if peak is not None:
        settled = peak.upper - loglik <= _ATTAINED * total
        blur[settled] = 1e-12
    active = np.flatnonzero(going_on & ~settled)
    own = group.part(active)
    for _ in range(_STEPS if len(active) else 0):
        tick()
        assert own.mix is not None
        here = tuple(b[active] for b in best)
        fitted = _fit_patterns(own, here)
        new = own.mix.products.count_patterns(own.mix.expect(fitted))
        change = np.abs(new - expected[active]) / np.maximum(expected[active], 1e-300)
        blur[active] = change.max(axis=1, where=new > 0, initial=0.0)
        expected[active] = new
        arrived = blur[active] <= _SETTLED
        settled[active[arrived]] = True
        if arrived.all():
            break
        active, own = active[~arrived], own.part(~arrived)
        moved, excess[active] = _maximise_each(own, expected[active])
        for all_of, part in zip(best, moved, strict=True):
            all_of[active] = part
        assert own.mix is not None
        loglik[active] = _loglik(own.mix, _fit_patterns(own, moved))
    return _Climbed(best, loglik, loglik + excess, settled, expected, blur)


def _maximise_each(group: Group, expected: Floats) -> tuple[tuple[Floats, ...], Floats]:
    """The chances [s, class] of each cause that fit its patterns' records [s, p] best, and what all may lack [s]."""
    best, excess = [], np.zeros(len(expected))
    for own in come_apart(group, expected):
        peak = maximise(own)
        assert peak is not None
        best.append(peak.chances)
        excess += np.maximum(peak.upper - peak.loglik, 0)
    return tuple(best), excess


def come_apart(group: Group, expected: Floats) -> list[Group]:
    """Each cause as a group of its own, its patterns seen as often as is expected [s, p]."""
    cuts = np.cumsum([len(b.yields) for b in group.blocks])[:-1]
    counts = np.split(expected, cuts, axis=1)
    found = []
    for j, (name, classes) in enumerate(zip(group.names, group.classes, strict=True)):
        blocks = [
            Block((0,), b.yields, np.ascontiguousarray(n))
            for b, n in zip(group.blocks, counts, strict=True)
            if b.causes == (j,)
        ]
        found.append(Group((name,), (classes,), tuple(blocks)))
    return found


def _fit_patterns(group: Group, best: tuple[Floats, ...]) -> Floats:
    """The probability of each pattern [s, p]."""
    parts = [np.matmul(best[b.causes[0]][:, None], b.yields.T)[:, 0] for b in group.blocks]
    return np.concatenate(parts, axis=1)


def _loglik(mix: Mix, fitted: Floats) -> Floats:
    records = np.maximum(mix.products.fit(fitted), 1e-280)
    return np.where(mix.count > 0, mix.count * np.log(records), 0.0).sum(axis=1)


# -- where EM begins, and what is whole --------------------------------------------------------------


def _split_evenly(mix: Mix) -> Floats:
    """Each record's count [s, r] spread over its completions."""
    ways = np.bincount(mix.products.of)
    return (mix.count / ways)[:, mix.products.of]


def _split_by(mix: Mix, relaxed: Relaxed, joint: Floats) -> Floats:
    """Each record's count [s, r] spread over its completions as φ [s, w] of the merged cause says."""
    cells = np.matmul(joint[:, None], relaxed.cells.T.astype(np.float64))[:, 0]
    records = np.add.reduceat(cells, mix.products.first, axis=1)
    return np.divide(mix.count, records, out=np.zeros_like(records), where=records > 0)[:, mix.products.of] * cells


def _is_whole(mix: Mix, fitted: Floats) -> Bools:
    """Whether each table [s] of which a cell matters is one that complete records fill, or a marginal of such a one."""
    products = mix.products
    cells, whole = products.complete(fitted), products.whole[products.of]
    seen = mix.count[:, products.of] > 0
    filled = np.zeros((len(cells), len(products.tables)))
    np.add.at(filled.T, products.table[whole], np.where(seen, cells, 0.0)[:, whole].T)
    full = filled >= 1 - WHOLE
    settles = [[t for t, table in enumerate(products.tables) if table.determines(other)] for other in products.tables]
    settled = np.stack([full[:, own].any(axis=1) for own in settles], axis=1)
    used = np.zeros_like(settled)
    np.logical_or.at(used.T, products.table, seen.T)
    return np.asarray((settled | ~used).all(axis=1))
