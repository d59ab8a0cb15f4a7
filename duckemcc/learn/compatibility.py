"""2 (LL_sat − LL_max) against χ²: do the studies contradict the graph, or each other? (M-compatibility, Definition 2.)

Corollary 6 compares the joint maximum with the sum of the studies' own maxima. That cannot see a contradiction inside
one study (an instrumental inequality, say), so the comparison here is with the *saturated* log-likelihood, that of
the empirical Bayesian network of each arm (Eq. 2, Proposition 1; `saturated.py`), per study and jointly.

With finite samples data are hardly ever exactly compatible. Twice the gap is a likelihood-ratio statistic; whatever
the true chances, it is at most the statistic of the saturated model against them, so χ² with all saturated degrees of
freedom is conservative. At 10^8 records everything is significant: a verdict also needs a misfit, the largest
total-variation distance between observed and fitted frequencies of a variable in one context of one study. Where
missing values tie variables, the frequencies are those of their table, estimated from incomplete records.

Axes: s segment, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.blame import find_fault
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.factor import Factor, sum_by_context
from duckemcc.learn.likelihood import Floats, Ints, Likelihood, compile_likelihood
from duckemcc.learn.maximum import maximise
from duckemcc.learn.saturated import degrees_of_freedom, fit_factor, saturate, saturated_loglik, xlogy
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


class Loss(NamedTuple):
    """What one factor of the saturated distribution loses at the fit. names: the distributions that it depends on; gap
    [s] in nats; df [s]: its free frequencies."""

    names: frozenset[str]
    gap: Floats
    df: Ints


class Compatibility(NamedTuple):
    """The joint test and each arm's own. compatible, loglik_gap (nats), misfit, p_value, df: [s]; fault, reason:
    text or None per segment. losses: factor by factor."""

    compatible: NDArray[np.bool_]
    loglik_gap: Floats
    misfit: Floats
    p_value: Floats
    df: Ints
    fault: list[str | None]
    reason: list[str | None]
    studies: tuple[StudyTest, ...]
    losses: tuple[Loss, ...]


def find_slack(found: Compatibility, names: Collection[str], s: int, confidence: float) -> float:
    """How many nats below its maximum the likelihood of the parts that depend on `names` may be in a confidence region.

    2 (LL_sat − LL(θ)) ≤ χ² at the true θ with at least this confidence, the degrees of freedom being those of the same
    parts. Negative where no θ is in the region: the test of compatibility rejects at this level.
    """
    from scipy.stats import chi2

    asked = set(names)
    own = [loss for loss in found.losses if not asked.isdisjoint(loss.names)]
    df = sum(int(loss.df[s]) for loss in own)
    gap = sum(float(loss.gap[s]) for loss in own)
    return float(chi2.ppf(confidence, df)) / 2 - gap if df else 0.0


def check(
    likelihood: Likelihood,
    arms: Sequence[StudyCounts],
    loglik: Floats,
    chances: dict[str, Floats],
    *,
    level: float | None,
    tolerance: float,
    nulls: str = "mar",
    every_study: bool = False,
) -> Compatibility:
    """The verdict on all studies. loglik [s] and chances [s, u] are those of the best learned model.

    nulls: "mar", or "mcar" where records that lack the same values are to be a sample of their own (`saturated.py`).
    every_study: test each arm by itself even where the joint test already tells (for a report).
    """
    model = likelihood.model
    factors = saturate(model, arms, nulls)
    fitted = [fit_factor(model, f, chances) for f in factors]
    factors = [f if f.tested else replace(f, observed=q) for f, q in zip(factors, fitted, strict=True)]
    impossible = (
        np.sum([i.count for i in likelihood.impossible], axis=0) if likelihood.impossible else np.zeros_like(loglik)
    )
    gap = _settle(saturated_loglik(factors, len(loglik)) - loglik, likelihood.n)
    gap = np.where(impossible > 0, np.inf, gap)
    df = degrees_of_freedom(factors, len(loglik))
    joint = _p_value(gap, df)
    tests = tuple(
        _test_study(model, k, arms, factors, fitted, joint, level, tolerance, nulls, every_study)
        for k in range(len(arms))
    )
    alone = np.min([t.p_value for t in tests], axis=0)
    p_value = joint if len(arms) == 1 else np.minimum(1, 2 * np.minimum(joint, len(arms) * alone))
    misfit = np.max([t.misfit for t in tests], axis=0)
    compatible = _decide(gap, p_value, misfit, likelihood.n, level, tolerance)
    blame = [None if ok else find_fault(model, arms, factors, fitted, s) for s, ok in enumerate(compatible)]
    reason = [
        None if ok else _explain(tests, s, level, likelihood.n[s], impossible[s], nulls)
        for s, ok in enumerate(compatible)
    ]
    return Compatibility(compatible, gap, misfit, p_value, df, blame, reason, tests, _losses(factors, fitted))


def _losses(factors: Sequence[Factor], fitted: Sequence[Floats]) -> tuple[Loss, ...]:
    return tuple(
        Loss(frozenset(n for c in f.conditionals for n in c.names), _loss(f, q), f.free)
        for f, q in zip(factors, fitted, strict=True)
    )


def _loss(factor: Factor, fitted: Floats) -> Floats:
    """Σ n log (observed / fitted) [s]."""
    with np.errstate(divide="ignore"):
        return (xlogy(factor.count, factor.observed) - xlogy(factor.count, fitted)).sum(axis=1)


def _test_study(
    model: Model,
    k: int,
    arms: Sequence[StudyCounts],
    factors: list[Factor],
    fitted: list[Floats],
    joint: Floats,
    level: float | None,
    tolerance: float,
    nulls: str,
    always: bool,
) -> StudyTest:
    """Arm k by itself. At the joint fit its gap is largest; its own maximum is sought only where that could change
    the verdict."""
    own = [(f, q) for f, q in zip(factors, fitted, strict=True) if f.study == k]
    n = arms[k].count.sum(axis=1)
    gap = _settle(np.sum([np.zeros_like(n), *(_loss(f, q) for f, q in own)], axis=0), n)
    df = degrees_of_freedom([f for f, _ in own], len(n))
    bound = _p_value(gap, df)
    matters = gap > EXACT_GAP * n if level is None else len(arms) * bound < joint
    sought = np.flatnonzero(matters | always) if len(arms) > 1 else np.array([], dtype=np.intp)
    if len(sought):
        gap[sought] = np.clip(_gap_alone(model, replace(arms[k], count=arms[k].count[sought]), nulls), 0, gap[sought])
    p_value = _p_value(gap, df)
    misfit = np.round(np.max([np.zeros_like(n), *(_distances(f, q).max(axis=1) for f, q in own)], axis=0), 12)
    compatible = _decide(gap, p_value, misfit, n, level, tolerance)
    fault = [
        find_fault(model, arms, [f for f, _ in own], [q for _, q in own], s) if always and own else None
        for s in range(len(n))
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


def _gap_alone(model: Model, arm: StudyCounts, nulls: str) -> Floats:
    """LL_sat − LL_max of one arm [s], the maximum taken of the relaxation where several variables share a
    component: a proven gap."""
    alone = compile_likelihood(model, [arm])
    upper = np.zeros(len(arm.count))
    for group in alone.groups:
        peak = maximise(group)
        upper = upper + (0.0 if peak is None else peak.upper)
    factors = saturate(model, [arm], nulls)
    gap = saturated_loglik(factors, len(upper)) - upper if all(f.tested for f in factors) else np.zeros_like(upper)
    for records in alone.impossible:
        gap = np.where(records.count > 0, np.inf, gap)
    return gap


def _distances(factor: Factor, fitted: Floats) -> Floats:
    """Total-variation distance [s, context] between observed and fitted frequencies; zero where a context has no
    records. Estimates from incomplete records need not sum to one over what was seen: then it is at least this."""
    difference = np.where(factor.count > 0, factor.observed - fitted, 0)
    more, less = (sum_by_context(factor.context, np.maximum(d, 0)) for d in (difference, -difference))
    return np.maximum(more, less)


def _explain(tests: Sequence[StudyTest], s: int, level: float | None, n: float, impossible: float, nulls: str) -> str:
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
            + (", or take nulls='mar' if what is recorded explains what is missing" if nulls == "mcar" else "")
        )
    return (
        "each study agrees with the graph, but together they contradict each other; "
        "check that they sample one population, or leave one out"
    )
