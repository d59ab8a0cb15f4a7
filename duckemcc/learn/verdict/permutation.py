"""Q = Σ_c n Σ_ij (n_ij − E_ij)² / ((R_i + √n)(C_j + √n)): is V independent of R in every stratum c?

Pearson's X² with rare levels held down: a level of share p weighs as p + 1/√n, so that no level need be pooled with
others. Weights separate, so that Q = n tr(K L) with a centred kernel for each side, of which mean and variance over all
permutations of the records of a stratum are known exactly from the sums of its levels (Kazi-Aoual et al. 1995; without
√n: Haldane 1940, Dawson 1954). p is the tail of a Pearson type III distribution with them.

Of a pair of variables there is a second statistic, the sum over strata first (Mantel & Haenszel 1959), which finds a
dependence of one direction however thin the strata are; the two p-values are combined after Liu & Xie (2020).

Effect: TV, the share of records that are out of place, and √(TV² − TV₀²), where chance alone puts TV₀ out of place.

Axes: p distinct pattern, s segment, c stratum, i level of R in a stratum, j level of V in a stratum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

SMALL = 3.5
"""Records up to which a stratum has no variance of its own, which takes 4: it is left to the sum over strata."""

AT_ONCE = 2**19
"""Entries of an array over patterns or strata and segments that are looked at together."""

MOST_WORK = 2**22
"""Products that the variance of the sum over strata may take in a segment; beyond, there is no such sum."""

DIGITS = 12


class Margin(NamedTuple):
    """A claim's distinct patterns: stratum [p], row [p] (the level of R) and column [p] (that of V); counts [p, s]."""

    stratum: Ints
    row: Ints
    column: Ints
    counts: Floats


class Found(NamedTuple):
    """All [s]. tested: whether the records can tell; varied: whether both sides have several levels in some stratum;
    p_value; misfit: the share of the records that are out of place, less noise; moved: with the noise; gap: G² / 2n,
    nats a record."""

    tested: NDArray[np.bool_]
    varied: NDArray[np.bool_]
    p_value: Floats
    misfit: Floats
    moved: Floats
    gap: Floats


class _Levels(NamedTuple):
    """The levels of one side in each stratum. of [p]: that of each pattern; stratum, level [i]; m [i, s]: records;
    total: sums [i, s] by stratum [c, s]."""

    of: Ints
    stratum: Ints
    level: Ints
    m: Floats
    total: Callable[[Floats], Floats]


class _Strata(NamedTuple):
    """of [p]: the stratum of each pattern; n [c, s]: records, and safe: at least 2 of them; total: sums [p, s] by
    stratum; expected [p, s]: E."""

    of: Ints
    n: Floats
    safe: Floats
    total: Callable[[Floats], Floats]
    rows: _Levels
    columns: _Levels
    expected: Floats


class _Side(NamedTuple):
    """Of one side's centred kernel K in each stratum [c, s]: tr K, tr K², Σ of its squared diagonal, Σ m² w."""

    trace: Floats
    square: Floats
    diagonal: Floats
    mass: Floats


class _Moved(NamedTuple):
    """Records out of place [s], and how many chance alone puts there."""

    all: Floats
    chance: Floats


def examine(margin: Margin, *, pair: bool) -> Found:
    """The test of every segment. pair: whether R is one variable, so that directions may be summed over strata."""
    strata, rows, columns = (int(x.max(initial=0)) + 1 for x in (margin.stratum, margin.row, margin.column))
    work = min(strata**2 * (rows**2 + columns**2), strata * (rows * columns) ** 2)
    along = pair and strata > 1 and work <= MOST_WORK
    size = max(len(margin.stratum), strata * (rows**2 + columns**2) if along else 1)
    step = max(1, AT_ONCE // size)
    parts = []
    for first in range(0, margin.counts.shape[1], step):
        tick()
        parts.append(_examine(margin._replace(counts=margin.counts[:, first : first + step]), along))
    return Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _examine(margin: Margin, along: bool) -> Found:
    strata = _sort(margin)
    whole = strata.n.sum(axis=0)
    whole = np.where(whole > 0, whole, 1.0)
    tested, p_value = _test_apart(margin.counts, strata)
    moved = [_move_apart(margin.counts, strata)]
    if along:
        tested, p_value, more = _test_along(margin, strata, tested, p_value)
        moved.append(more)
    misfit = np.max([np.sqrt(np.maximum(m.all**2 - m.chance**2, 0)) for m in moved], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(margin.counts > 0, margin.counts / strata.expected, 1)
    gap = np.maximum((margin.counts * np.log(ratio)).sum(axis=0) / whole, 0)
    # what other segments have changes the last digits of a sum
    levels = [side.total(np.asarray(side.m > 0, np.float64)) for side in (strata.rows, strata.columns)]
    varied = np.asarray(((levels[0] > 1) & (levels[1] > 1)).any(axis=0))
    return Found(
        tested & varied,
        varied,
        _round(p_value),
        np.round(misfit / whole, DIGITS),
        np.round(moved[0].all / whole, DIGITS),
        gap,
    )


def _round(p: Floats) -> Floats:
    """To nine digits."""
    scale = 10.0 ** (np.floor(np.log10(np.maximum(p, 1e-290))) - 8)
    return np.minimum(np.round(p / scale) * scale, 1)


# -- strata and levels --------------------------------------------------------------------------


def _sort(margin: Margin) -> _Strata:
    total = _summer(margin.stratum)
    n = total(margin.counts)
    safe = np.where(n > 1, n, 2.0)
    rows, columns = (_sort_levels(margin, level, len(n)) for level in (margin.row, margin.column))
    expected = rows.m[rows.of] * columns.m[columns.of] / np.where(n > 0, n, 1.0)[margin.stratum]
    return _Strata(margin.stratum, n, safe, total, rows, columns, expected)


def _sort_levels(margin: Margin, level: Ints, strata: int) -> _Levels:
    width = int(level.max(initial=0)) + 1
    keys, of = np.unique(margin.stratum * width + level, return_inverse=True)
    stratum, own = np.divmod(keys, width)
    return _Levels(of, stratum, own, _summer(of)(margin.counts), _summer(stratum, strata))


def _summer(of: Ints, size: int | None = None) -> Callable[[Floats], Floats]:
    """Sums [p, s] -> [k, s] of what has the same number; each adds up in the order of p."""
    from scipy.sparse import csr_array

    size = int(of.max(initial=-1)) + 1 if size is None else size
    matrix = csr_array((np.ones(len(of)), (of, np.arange(len(of)))), shape=(size, len(of)))

    def add(x: Floats) -> Floats:
        return np.asarray(matrix @ x)

    return add


# -- stratum by stratum -------------------------------------------------------------------------


def _test_apart(count: Floats, strata: _Strata) -> tuple[NDArray[np.bool_], Floats]:
    """Whether there was anything to test, and p of Q [s]. Strata with three records and fewer have no part in it."""
    n, safe = strata.n, strata.safe
    root = np.sqrt(np.where(n > 0, n, 1.0))
    weights = [1 / (side.m + root[side.stratum]) for side in (strata.rows, strata.columns)]
    a, b = (_measure(side, w, safe) for side, w in zip((strata.rows, strata.columns), weights, strict=True))
    product = weights[0][strata.rows.of] * weights[1][strata.columns.of]
    q = strata.total(count * (count - 2 * strata.expected) * product) + a.mass * b.mass / safe**2
    live = n > SMALL
    spread = n**2 * _variance(n, a, b)
    # the third cumulant of independent levels, less where the margins leave the records less room
    cubes = [_cube(side, w, safe) for side, w in zip((strata.rows, strata.columns), weights, strict=True)]
    free = 2 * a.square * b.square * n**2 / (safe - 1) ** 2
    room = np.minimum(1, spread / np.where(free > 0, free, 1)) ** 3
    third = 8 * n**3 * cubes[0] * cubes[1] / (safe - 1) ** 3 * room
    mean = n * a.trace * b.trace / (safe - 1)
    sums = [np.where(live, x, 0).sum(axis=0) for x in (q * n, mean, spread, third)]
    return _tail(*sums)


def _measure(side: _Levels, weight: Floats, safe: Floats) -> _Side:
    """weight [i, s]."""
    m, n = side.m, safe
    mass = side.total(m * m * weight)
    trace = side.total(m * weight) - mass / n
    square = side.total((m * weight) ** 2) - 2 * side.total(m**3 * weight**2) / n + (mass / n) ** 2
    diagonal = weight * (1 - 2 * m / n[side.stratum]) + (mass / n**2)[side.stratum]
    return _Side(trace, square, side.total(m * diagonal**2), mass)


def _cube(side: _Levels, weight: Floats, n: Floats) -> Floats:
    """tr K³ [c, s]."""
    x = side.m * weight
    s1, s2, s3 = (side.total(side.m * x**k) for k in (1, 2, 3))
    return side.total(x**3) - 3 * s3 / n + 3 * s1 * s2 / n**2 - (s1 / n) ** 3


def _variance(n: Floats, a: _Side, b: _Side) -> Floats:
    """The exact variance of tr(K L) over the permutations of n records [c, s]; zero where n < 4."""
    ok = (n > SMALL) & (a.square > 1e-14 * a.trace**2) & (b.square > 1e-14 * b.trace**2)
    n = np.where(ok, n, 4.0)
    beta, kappa = [], []
    for side in (a, b):
        square = np.where(ok, side.square, 1.0)
        beta.append(side.trace**2 / square)
        kappa.append(n * (n + 1) * side.diagonal / square - (n - 1) * (beta[-1] + 2))
    first = 2 * (n - 1 - beta[0]) * (n - 1 - beta[1]) / ((n + 1) * (n - 1) ** 2 * (n - 2))
    second = kappa[0] * kappa[1] / ((n + 1) * (n - 2) * (n - 3) * n * (n - 1))
    return np.where(ok, np.maximum(first + second, 0) * a.square * b.square, 0)


def _tail(x: Floats, mean: Floats, variance: Floats, third: Floats | None = None) -> tuple[NDArray[np.bool_], Floats]:
    """Where there is anything to test, and P(X ≥ x) of a Pearson type III distribution: skewed at least as a gamma
    distribution from zero is, which it is without a third cumulant."""
    from scipy.special import gammaincc

    tested = (mean > 1e-12) & (variance > 1e-12 * mean)
    mean, variance = np.where(tested, mean, 1.0), np.where(tested, variance, 1.0)
    sd = np.sqrt(variance)
    skewness = 2 * sd / mean if third is None else np.maximum(2 * sd / mean, third / sd**3)
    k = 4 / skewness**2
    return tested, np.where(tested, gammaincc(k, np.maximum(k + (x - mean) / sd * np.sqrt(k), 0)), 1.0)


def _move_apart(count: Floats, strata: _Strata) -> _Moved:
    live = strata.n > 1
    out = np.where(live[strata.of], np.maximum(count - strata.expected, 0), 0).sum(axis=0)
    rows, columns = (
        side.total(np.sqrt(np.maximum(side.m * (1 - side.m / strata.safe[side.stratum]), 0)))
        for side in (strata.rows, strata.columns)
    )
    chance = np.where(live, rows * columns / np.sqrt(strata.safe - 1), 0).sum(axis=0)
    return _Moved(out, chance / np.sqrt(2 * np.pi))


# -- summed over strata -------------------------------------------------------------------------


def _test_along(
    margin: Margin, strata: _Strata, tested: NDArray[np.bool_], p_value: Floats
) -> tuple[NDArray[np.bool_], Floats, _Moved]:
    """The same with the sums T_ij = Σ_c (n_ij − E_ij), weights being those of the levels' totals; combined with the
    p-value of Q."""
    live = strata.n > 1
    n = np.where(live, strata.n, 0)
    root = np.sqrt(np.maximum(n.sum(axis=0), 1.0))
    dense, weights, sides = [], [], []
    for side in (strata.rows, strata.columns):
        wide = np.zeros((len(n), int(side.level.max(initial=0)) + 1, n.shape[1]))
        wide[side.stratum, side.level] = np.where(live[side.stratum], side.m, 0)
        weight = 1 / (wide.sum(axis=0) + root)
        dense.append(wide)
        weights.append(weight)
        sides.append(_measure(side, weight[side.level], strata.safe))
    rows, columns = dense
    cells = margin.row * columns.shape[1] + margin.column
    seen = _summer(cells, rows.shape[1] * columns.shape[1])(np.where(live[strata.of], margin.counts, 0))
    share = rows / strata.safe[:, None]
    t = seen.reshape(rows.shape[1], columns.shape[1], -1) - np.einsum("cis,cjs->ijs", share, columns)
    q = (t * t * weights[0][:, None] * weights[1][None]).sum(axis=(0, 1))
    mean = np.where(live, sides[0].trace * sides[1].trace / (strata.safe - 1), 0).sum(axis=0)
    own = np.where(live, _variance(strata.n, *sides), 0).sum(axis=0)
    also, p_along = _tail(q, mean, own + 2 * _covary(rows, columns, weights, live, strata.safe))
    both = np.where(also, np.where(tested, _combine(p_value, p_along), p_along), p_value)
    free = np.where(live, 1 / (strata.safe**2 * (strata.safe - 1)), 0)
    spread = [wide * (strata.safe[:, None] - wide) for wide in dense]
    chance = np.sqrt(np.maximum(np.einsum("cis,cjs->ijs", spread[0] * free[:, None], spread[1]), 0)).sum(axis=(0, 1))
    return tested | also, both, _Moved(np.abs(t).sum(axis=(0, 1)) / 2, chance / np.sqrt(2 * np.pi))


def _covary(rows: Floats, columns: Floats, weights: list[Floats], live: NDArray[np.bool_], safe: Floats) -> Floats:
    """‖Σ_c V_c‖² − Σ_c ‖V_c‖² [s], V_c = A_c ⊗ B_c / (n_c − 1) the covariance of the weighted differences of a stratum;
    without building any V_c."""
    free = np.where(live, 1 / (safe - 1), 0)
    a, b = (_spread(wide, weight, safe) for wide, weight in zip((rows, columns), weights, strict=True))
    a = a * free.T[:, :, None]
    if a.shape[1] > max(a.shape[2], b.shape[2]):
        whole = (np.matmul(a.transpose(0, 2, 1), b) ** 2).sum(axis=(1, 2))
    else:
        whole = (np.matmul(a, a.transpose(0, 2, 1)) * np.matmul(b, b.transpose(0, 2, 1))).sum(axis=(1, 2))
    return np.maximum(whole - ((a * a).sum(axis=2) * (b * b).sum(axis=2)).sum(axis=1), 0)


def _spread(wide: Floats, weight: Floats, safe: Floats) -> Floats:
    """√w (diag m − m m'/n) √w of each stratum, as rows [s, c, i·i]."""
    root = np.sqrt(weight)
    k = wide.shape[1]
    m = -wide[:, :, None] * wide[:, None] / safe[:, None, None]
    m[:, np.arange(k), np.arange(k)] += wide
    return (m * root[:, None] * root[None]).reshape(len(wide), k * k, -1).transpose(2, 0, 1)


def _combine(p: Floats, q: Floats) -> Floats:
    """The Cauchy combination of two dependent p-values; of two equal ones, that."""
    a, b = np.clip(p, 1e-300, 1 - 1e-9), np.clip(q, 1e-300, 1 - 1e-9)
    small = np.minimum(a, b) < 1e-12  # where tan cannot tell
    t = (1 / np.tan(np.pi * np.where(small, 0.5, a)) + 1 / np.tan(np.pi * np.where(small, 0.5, b))) / 2
    mixed = np.where(small, np.minimum(2 * np.minimum(a, b), np.maximum(a, b)), 0.5 - np.arctan(t) / np.pi)
    return np.where(p == q, p, mixed)
