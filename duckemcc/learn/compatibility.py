"""2 (LL_sat − LL_max) against χ²: do the studies contradict the graph, or each other? (M-compatibility, Definition 2.)

Corollary 6 compares the joint maximum with the sum of the studies' own maxima. That cannot see a contradiction inside
one study (an instrumental inequality, say), so the comparison here is with the *saturated* log-likelihood, that of
the empirical Bayesian network of each arm (Eq. 2, Proposition 1; `saturated.py`), per study and jointly.

With finite samples data are hardly ever exactly compatible. Twice the gap is a likelihood-ratio statistic; whatever
the true chances, it is at most the statistic of the saturated model against them, so χ² with all saturated degrees of
freedom is conservative. At 10^8 records everything is significant: a verdict also needs a misfit, the largest
total-variation distance between observed and fitted frequencies of a variable in one context of one study.

Axes: s segment, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Floats, Ints, Likelihood, compile_likelihood
from duckemcc.learn.maximum import maximise
from duckemcc.learn.saturated import (
    Factor,
    degrees_of_freedom,
    fit_factor,
    saturate,
    saturated_loglik,
    sum_by_context,
    xlogy,
)
from duckemcc.model.scm import Model

EXACT_GAP = 1e-9
"""loglik_gap / n up to which data taken as exact (`level=None`) are compatible."""


class StudyTest(NamedTuple):
    """One arm by itself: its saturated log-likelihood against its own maximum. All [s]; df counts free frequencies.

    misfit is that of the arm at the joint fit, and fault its worst pattern there.
    """

    name: str
    compatible: NDArray[np.bool_]
    loglik_gap: Floats
    p_value: Floats
    misfit: Floats
    df: Ints
    fault: list[str | None]


class Compatibility(NamedTuple):
    """The joint test and each arm's own. compatible, loglik_gap (nats), misfit, p_value, df: [s]; fault, reason:
    text or None per segment."""

    compatible: NDArray[np.bool_]
    loglik_gap: Floats
    misfit: Floats
    p_value: Floats
    df: Ints
    fault: list[str | None]
    reason: list[str | None]
    studies: tuple[StudyTest, ...]


def check(
    likelihood: Likelihood,
    arms: Sequence[StudyCounts],
    loglik: Floats,
    chances: dict[str, Floats],
    *,
    level: float | None,
    tolerance: float,
    every_study: bool = False,
) -> Compatibility:
    """The verdict on all studies. loglik [s] and chances [s, u] are those of the best learned model.

    every_study: test each arm by itself even where the joint test already tells (for a report).
    """
    model = likelihood.model
    factors = saturate(model, arms)
    fitted = [fit_factor(model, f, chances) for f in factors]
    impossible = (
        np.sum([i.count for i in likelihood.impossible], axis=0) if likelihood.impossible else np.zeros_like(loglik)
    )
    gap = _settle(saturated_loglik(factors) - loglik, likelihood.n)
    gap = np.where(impossible > 0, np.inf, gap)
    df = degrees_of_freedom(model, factors)
    joint = _p_value(gap, df)
    tests = tuple(
        _test_study(model, k, arms, factors, fitted, joint, level, tolerance, every_study) for k in range(len(arms))
    )
    alone = np.min([t.p_value for t in tests], axis=0)
    p_value = joint if len(arms) == 1 else np.minimum(1, 2 * np.minimum(joint, len(arms) * alone))
    misfit = np.max([t.misfit for t in tests], axis=0)
    compatible = _decide(gap, p_value, misfit, likelihood.n, level, tolerance)
    blame = [None if ok else _worst(model, arms, factors, fitted, s) for s, ok in enumerate(compatible)]
    reason = [
        None if ok else _explain(tests, s, level, likelihood.n[s], impossible[s]) for s, ok in enumerate(compatible)
    ]
    return Compatibility(compatible, gap, misfit, p_value, df, blame, reason, tests)


def _test_study(
    model: Model,
    k: int,
    arms: Sequence[StudyCounts],
    factors: list[Factor],
    fitted: list[Floats],
    joint: Floats,
    level: float | None,
    tolerance: float,
    always: bool,
) -> StudyTest:
    """Arm k by itself. At the joint fit its gap is largest; its own maximum is sought only where that could change
    the verdict."""
    own = [(f, q) for f, q in zip(factors, fitted, strict=True) if f.study == k]
    with np.errstate(divide="ignore"):
        at_joint = np.sum(
            [xlogy(f.count, f.observed()).sum(axis=1) - xlogy(f.count, q).sum(axis=1) for f, q in own], axis=0
        )
    gap = _settle(at_joint, arms[k].count.sum(axis=1))
    df = degrees_of_freedom(model, [f for f, _ in own])
    bound = _p_value(gap, df)
    sought = np.flatnonzero((len(arms) * bound < joint) | always) if len(arms) > 1 else np.array([], dtype=np.intp)
    if len(sought):
        gap[sought] = np.clip(_gap_alone(model, replace(arms[k], count=arms[k].count[sought])), 0, gap[sought])
    p_value = _p_value(gap, df)
    misfit = np.round(np.max([_distances(f, q).max(axis=1) for f, q in own], axis=0), 12)
    n = arms[k].count.sum(axis=1)
    compatible = _decide(gap, p_value, misfit, n, level, tolerance)
    fault = [
        _worst(model, arms, [f for f, _ in own], [q for _, q in own], s) if always else None for s in range(len(n))
    ]
    return StudyTest(arms[k].name, compatible, gap, p_value, misfit, df, fault)


def _p_value(gap: Floats, df: Ints) -> Floats:
    """P(χ²_df > 2 gap) [s]."""
    from scipy.stats import chi2

    return chi2.sf(2 * gap, np.maximum(df, 1))


def _decide(
    gap: Floats, p_value: Floats, misfit: Floats, n: Floats, level: float | None, tolerance: float
) -> NDArray[np.bool_]:
    """The verdict [s]. An infinite gap, of records that cannot occur, is incompatible at any level."""
    if level is None:
        return gap <= EXACT_GAP * n
    return ~((p_value < level) & (misfit > tolerance)) & np.isfinite(gap)


def _settle(gap: Floats, n: Floats) -> Floats:
    """A gap in nats without its rounding noise, which is some 1e-15 of n."""
    records = np.where(n > 0, n, 1.0)
    return np.maximum(np.round(gap / records, 13) * records, 0)


def _gap_alone(model: Model, arm: StudyCounts) -> Floats:
    """LL_sat − LL_max of one arm [s], the maximum taken of the relaxation where several variables share a
    component: a proven gap."""
    alone = compile_likelihood(model, [arm])
    upper = np.zeros(len(arm.count))
    for group in alone.groups:
        peak = maximise(group)
        upper = upper + (0.0 if peak is None else peak.upper)
    gap = saturated_loglik(saturate(model, [arm])) - upper
    for records in alone.impossible:
        gap = np.where(records.count > 0, np.inf, gap)
    return gap


def _distances(factor: Factor, fitted: Floats) -> Floats:
    """Total-variation distance [s, context] between observed and fitted frequencies; zero where a context has no
    records."""
    excess = np.where(factor.total > 0, np.maximum(factor.observed() - fitted, 0), 0)
    # observed frequencies sum to one, so the positive parts are half of the L1 distance
    return sum_by_context(factor.context, excess)


def _worst(model: Model, arms: Sequence[StudyCounts], factors: list[Factor], fitted: list[Floats], s: int) -> str:
    """The pattern that contradicts most: of the context with the largest log-likelihood loss, the one furthest from
    its fit.

    Losses and distances are rounded, so that of equal ones the first is taken and not the one with more rounding noise.
    """
    best: tuple[float, str] = (-1.0, "")
    for factor, q in zip(factors, fitted, strict=True):
        seen = factor.count[s] > 0
        with np.errstate(divide="ignore"):
            loss = np.where(
                seen,
                xlogy(factor.count[s], factor.observed()[s]) - xlogy(factor.count[s], np.where(seen, q[s], 1)),
                0,
            )
        losses = sum_by_context(factor.context, loss[None])[0]
        losses = np.round(losses / arms[factor.study].count[s].sum(), 10)
        if losses.max() > best[0]:
            inside = np.flatnonzero(factor.context == losses.argmax())
            distance = np.where(np.isinf(loss), np.inf, np.round(np.abs(factor.observed()[s] - q[s]), 9))
            p = inside[distance[inside].argmax()]
            best = (float(losses.max()), _describe(model, arms[factor.study], factor, q, s, int(p)))
    return best[1]


def _describe(model: Model, arm: StudyCounts, factor: Factor, fitted: Floats, s: int, p: int) -> str:
    atoms = [f"{v}={(model.states[v] or ())[c]}" for v, c in zip(factor.scope, factor.codes[p], strict=True)]
    event = f"P({atoms[-1]} | {', '.join(atoms[:-1])})" if atoms[:-1] else f"P({atoms[-1]})"
    observed = factor.observed()[s, p]
    return (
        f"study '{arm.name}', component {{{', '.join(factor.members)}}}: {event} observed {observed:.6g}, "
        f"fitted {fitted[s, p]:.6g}, of {factor.total[s, p]:.6g} records"
    )


def _explain(tests: Sequence[StudyTest], s: int, level: float | None, n: float, impossible: float) -> str:
    if impossible > 0:
        return (
            f"{impossible:.6g} records cannot occur under the model, whatever the chances; "
            "correct the equations, the graph or the records"
        )
    rejected = [
        t.name
        for t in tests
        if (t.loglik_gap[s] > EXACT_GAP * n if level is None else t.p_value[s] < level / len(tests))
    ]
    if rejected:
        return (
            f"the data of {', '.join(map(repr, rejected))} contradict the graph by themselves; "
            "add a shared cause or an arc, or leave the study out"
        )
    return (
        "each study agrees with the graph, but together they contradict each other; "
        "check that they sample one population, or leave one out"
    )
