"""|m̂ − m| of the fitted probabilities m̂ that were found and those of the maximum, m: a bound that rounding cannot move.

The log-likelihood per record is f(m) = Σ_p share_p log m_p over the m = Yθ. That it is some gap below its maximum
says no more of m than √gap, and a gap of 1e-13 is what rounding leaves where patterns are rare. So it is shown instead
that m̂ is the *exact* maximum of counts that differ by factors 1 + δ from those given. That is so if weights w exist
with

    Σ_p w_p Y[p, u] = 1 in every state of T, ≤ 1 in all others,     and m̂ = Yθ̂ for some θ̂ on T,

the conditions of Kuhn & Tucker for shares w m̂ = (1 + δ) share. T are the states whose gradient is nearly one, w the
weights share / m̂ moved by least squares; whether the equations have a solution is a property of a 0/1 matrix, and what
is left of them is zero or far from it. Both m̂ and m being maxima, (w − share / m)·(m̂ − m) ≥ 0, hence

    Σ share t² / (1 + t) ≤ Σ share |δ| t,     t = |m / m̂ − 1|,

and so ‖t‖ ≤ (1 + max t) ‖δ‖ in the norm of the shares: the error is linear in δ, which is some 1e-13. (That t is small:
with |δ| ≤ ¼, the patterns with t ≤ 1 have ‖t‖ ≤ 2 ‖δ‖, and the others Σ share t ≤ 8 ‖δ‖², less than any one's share.)

Axes: p pattern with records, u exogenous state (of merged variables: joint).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.recall import Recall

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_TIGHT = (1e-9, 1e-7, 1e-11)
"""Of a gradient below one, up to which a state is taken as tight: whichever gives weights proves as much."""

_SOLVED = 1e-11  # what is left of equations that have a solution
_ROUNDING = 2.0**-52
_SMALL = 0.05  # ‖δ‖ over the root of the smallest share: then t ≤ .1
_AT_ONCE = 65_536  # columns


def bound_error(yields: Floats, count: Floats, chances: Floats) -> Floats:
    """|m̂ − m| at most [p], m̂ that of `chances` [u], the counts [p] being positive.

    Where no weights are found it is the root that the gap allows, G = max_u g_u − 1: Σ share (m̂ − m)² / (m̂ m) ≤ G.
    """
    return _errors(lambda: _bound_error(yields, count, chances), yields, count, chances)


_errors = Recall()


def _bound_error(yields: Floats, count: Floats, chances: Floats) -> Floats:
    if not len(count):
        return np.zeros(0)
    share, fitted = count / count.sum(), yields @ chances
    if fitted.min() <= 0:
        return np.full(len(count), np.inf)
    gap = max(float(((share / fitted) @ yields).max()) - 1, 0.0) + 4 * len(count) * _ROUNDING
    half = gap * fitted / share / 2
    return np.minimum(_find_error(yields, share, chances, fitted), half + np.sqrt(half**2 + 2 * half * fitted))


def _find_error(yields: Floats, share: Floats, chances: Floats, fitted: Floats) -> Floats:
    """The error that is linear in δ [p]; infinite where no weights are found."""
    gradient = (share / fitted) @ yields
    tried = None
    for slack in _TIGHT if gradient.max() <= 1 + max(_TIGHT) else ():
        tight = gradient >= 1 - slack
        if tried is not None and np.array_equal(tight, tried):
            continue
        found = _try(yields, share, chances, fitted, tight, slack)
        if found is not None:
            return found
        tried = tight
    return np.full(len(share), np.inf)


def bound_error_of_product(yields: Floats, count: Floats, peak: Floats, chances: Floats) -> Floats:
    """|m̂ − m| at most [p], m̂ that of `chances` [u], which nearly attain the maximum at `peak`, and m that of any that
    are at least as likely: with t of both to the maximum, Σ share t² ≤ 2 (f(max) − f(m)) ≤ 2 (f(max) − f(m̂)), up to
    terms in t³."""
    if not len(count):
        return np.zeros(0)
    share, fitted, reached = count / count.sum(), yields @ peak, yields @ chances
    error = _find_error(yields, share, peak, fitted) if fitted.min() > 0 else np.full(len(count), np.inf)
    if not np.isfinite(error).all():
        return error
    apart = reached / fitted - 1
    slack = 1 - (share / fitted) @ yields
    lost = 2 * float(chances @ np.where(slack > min(_TIGHT), slack, 0.0)) + float(share @ apart**2)
    if lost > (_SMALL**2) * share.min():
        return np.full(len(count), np.inf)
    return error + np.abs(reached - fitted) + (1 + 4 * _SMALL) * np.sqrt(lost / share) * fitted


def _try(yields: Floats, share: Floats, chances: Floats, fitted: Floats, tight: Bools, slack: float) -> Floats | None:
    """The bound with these states taken as tight; None where that gives no weights."""
    inside = np.where(tight, chances, 0.0)
    near = yields @ inside / max(inside.sum(), 1e-300)  # without the dust on other states
    if near.min() <= 0:
        return None
    solved = _solve(yields, share / near, tight)
    if solved is None:
        return None
    change = np.abs(solved[0]) + solved[1]
    moved = change + share * np.abs(1 / near - 1 / fitted)
    if moved.sum() > slack / 2 and not tight.all():
        return None
    relative = change * near / share + 4 * len(share) * _ROUNDING
    size = float(np.sqrt(share @ relative**2))
    if relative.max() > 0.25 or size > _SMALL * np.sqrt(share.min()):
        return None
    return (1 + 2 * _SMALL) * size * near / np.sqrt(share) + np.abs(fitted - near)


def _solve(yields: Floats, weights: Floats, tight: Bools) -> tuple[Floats, Floats] | None:
    """The change of the weights [p] after which every tight state's sum is one, and its own error through the rounding
    of these sums; None where there is no such change."""
    inverse, size = _grams(lambda: _invert(yields, tight), yields, tight)
    right = np.zeros(len(yields))
    for part in _columns(yields, tight):
        right += part @ (1 - weights @ part)
    change = inverse @ right
    left = max(float(np.abs(1 - (weights + change) @ part).max(initial=0)) for part in _columns(yields, tight))
    return (change, len(yields) * _ROUNDING * size) if left <= _SOLVED else None


_grams = Recall()


def _invert(yields: Floats, tight: Bools) -> tuple[Floats, Floats]:
    """(Y Yᵀ)⁻¹ of the tight states [p, p], and how rounding of their sums counts in it [p]: equal for all segments in
    which the same states are tight."""
    gram = np.zeros((len(yields), len(yields)))
    size = np.zeros(len(yields))
    for part in _columns(yields, tight):
        gram += part @ part.T
        size += part.sum(axis=1)
    inverse = np.asarray(np.linalg.pinv(gram, rcond=1e-12, hermitian=True), np.float64)
    return inverse, np.abs(inverse) @ size


def _columns(yields: Floats, chosen: Bools) -> Iterator[Floats]:
    for first in range(0, len(chosen), _AT_ONCE):
        own = slice(first, first + _AT_ONCE)
        yield yields[:, own] if chosen[own].all() else yields[:, first + np.flatnonzero(chosen[own])]
