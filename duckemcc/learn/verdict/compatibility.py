"""2 (LL_sat − LL_max) against χ²: do the studies contradict the graph, or each other? (M-compatibility, Definition 2.)

Corollary 6 compares the joint maximum with the sum of the studies' own maxima. That cannot see a contradiction inside
one study (an instrumental inequality, say), so the comparison here is with the *saturated* log-likelihood, that of
the empirical Bayesian network of each arm (Eq. 2, Proposition 1; `saturated.py`), per study and jointly.

The saturated model takes for granted what the graph says is independent. Whether the records agree with that is tested
beside it, independence by independence (`independence.py`).

With finite samples data are hardly ever exactly compatible. Twice the gap is a likelihood-ratio statistic, χ² with the
free frequencies that the fitted model does not move on its own (`face.py`). At 10^8 records everything is significant:
a verdict also needs a misfit, the largest total-variation distance between observed and fitted frequencies of a
variable in one context of one study. Where missing values tie variables, the frequencies are those of their table,
estimated from incomplete records.

Axes: s segment, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Floats, Ints, Likelihood, compile_likelihood
from duckemcc.learn.maximum import maximise_all
from duckemcc.learn.verdict.blame import find_fault
from duckemcc.learn.verdict.face import count_left, count_left_merged
from duckemcc.learn.verdict.factor import Factor, sum_by_context
from duckemcc.learn.verdict.independence import EXACT_GAP, Design, Independences, examine_claims
from duckemcc.learn.verdict.saturated import degrees_of_freedom, fit_factors, saturate, saturated_loglik, xlogy
from duckemcc.learn.verdict.violation import Violations, explain, judge_claims
from duckemcc.model.scm import Model
from duckemcc.model.threads import one_thread


class StudyTest(NamedTuple):
    """One arm by itself: its saturated log-likelihood against its own maximum. All [s]; df: of the χ² (`face.py`).

    The own maximum is sought where the joint test rejects, or for every study. Otherwise gap and p_value are those of
    the joint fit, with all free frequencies. misfit is that of the arm at the joint fit, and fault its worst pattern
    there. Where an independence of the arm's study failed and no larger misfit did, p_value, misfit, fault and reason
    are those of the worst one. independences: how many of its study were tested.
    """

    name: str
    compatible: NDArray[np.bool_]
    loglik_gap: Floats
    p_value: Floats
    misfit: Floats
    df: Ints
    fault: list[str | None]
    reason: list[str | None]
    independences: Ints


class Loss(NamedTuple):
    """What one factor of the saturated distribution loses at the fit. names: the distributions that it depends on; gap
    [s] in nats; df [s]: its free frequencies."""

    names: frozenset[str]
    gap: Floats
    df: Ints


class Compatibility(NamedTuple):
    """The joint test and each arm's own. compatible, loglik_gap (nats), misfit, p_value, df (of the χ²), independences
    (how many were tested): [s]; fault, reason: text or None per segment. losses: factor by factor.

    p_value and misfit are those of one test: of the gap, or of the independence that failed by the largest misfit.
    """

    compatible: NDArray[np.bool_]
    loglik_gap: Floats
    misfit: Floats
    p_value: Floats
    df: Ints
    fault: list[str | None]
    reason: list[str | None]
    studies: tuple[StudyTest, ...]
    losses: tuple[Loss, ...]
    independences: Ints


_Test = TypeVar("_Test", StudyTest, Compatibility)


def find_slack(found: Compatibility, names: Collection[str], s: int, confidence: float) -> float:
    """How many nats below its maximum the likelihood of the parts that depend on `names` may be in a confidence region.

    2 (LL_sat − LL(θ)) ≤ χ² at the true θ with at least this confidence, the degrees of freedom being those of the same
    parts. Negative where no θ is in the region: these parts of the data contradict the model.
    """
    from scipy.stats import chi2

    asked = set(names)
    own = [loss for loss in found.losses if not asked.isdisjoint(loss.names)]
    df = sum(int(loss.df[s]) for loss in own)
    gap = sum(float(loss.gap[s]) for loss in own)
    return float(chi2.ppf(confidence, df)) / 2 - gap if df else 0.0


@one_thread
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
    design: Design | None = None,
    independences: Independences | None = None,
) -> Compatibility:
    """The verdict on all studies. loglik [s] and chances [s, u] are those of the best learned model.

    nulls: "mar", or "mcar" where records that lack the same values are to be a sample of their own (`saturated.py`).
    every_study: test each arm by itself even where the joint test already tells (for a report).
    design: which arms are of one study, each by itself without it. independences: of these segments, if they are known.
    """
    model = likelihood.model
    factors = saturate(model, arms, nulls)
    fitted = fit_factors(model, factors, chances, likelihood.split)
    factors = [f if f.tested else replace(f, observed=q) for f, q in zip(factors, fitted, strict=True)]
    impossible = (
        np.sum([i.count for i in likelihood.impossible], axis=0) if likelihood.impossible else np.zeros_like(loglik)
    )
    gap = _settle(saturated_loglik(factors, len(loglik)) - loglik, likelihood.n)
    gap = np.where(impossible > 0, np.inf, gap)
    df = count_left(likelihood, factors, chances)
    p_value = _p_value(gap, df)
    own = [[(f, q) for f, q in zip(factors, fitted, strict=True) if f.study == k] for k in range(len(arms))]
    misfits = [_misfit(pairs, len(loglik)) for pairs in own]
    misfit = np.max(misfits, axis=0)
    fits = _decide(gap, p_value, misfit, likelihood.n, level, tolerance)
    alone = partial(_test_study, model, nulls, every_study, partial(_decide, level=level, tolerance=tolerance))
    untold: list[str | None] = [None] * len(loglik)
    none = np.zeros(len(loglik), np.intp)
    tests = tuple(
        alone(arm, pairs, m, ~fits)
        if len(arms) > 1
        else StudyTest(arm.name, fits, gap, p_value, m, df, _blame(model, arm, pairs, every_study), list(untold), none)
        for arm, pairs, m in zip(arms, own, misfits, strict=True)
    )
    blame = [None if ok else find_fault(model, arms, factors, fitted, s) for s, ok in enumerate(fits)]
    reason = [
        None if ok else _explain(tests, s, level, likelihood.n[s], impossible[s], nulls) for s, ok in enumerate(fits)
    ]
    found = Compatibility(fits, gap, misfit, p_value, df, blame, reason, tests, _losses(factors, fitted), none)
    design = design or Design(tuple(arm.name for arm in arms), {})
    if independences is None:
        independences = examine_claims(model, arms, design, nulls)
    return _add_claims(model, arms, design, found, judge_claims(independences, level, tolerance, df > 0))


def _add_claims(
    model: Model, arms: Sequence[StudyCounts], design: Design, found: Compatibility, claims: Violations
) -> Compatibility:
    """The verdict that sees the graph's independences as well."""
    own = {study: claims.of(study) for study in dict.fromkeys(design.studies)}
    worst = partial(_find_worst, model, arms, design)
    studies = tuple(
        worst(test, own[study]) if own[study].claim else test
        for test, study in zip(found.studies, design.studies, strict=True)
    )
    return worst(found._replace(studies=studies), claims)


def _find_worst(model: Model, arms: Sequence[StudyCounts], design: Design, found: _Test, claims: Violations) -> _Test:
    """The same, whose p-value, misfit, fault and reason are those of the worst test that failed: an infinite gap is,
    else the largest misfit."""
    p_value, misfit, fault, reason = found.p_value.copy(), found.misfit.copy(), list(found.fault), list(found.reason)
    chosen = [(k, s) for s in np.flatnonzero(claims.failed.any(axis=0)).tolist() if (k := claims.worst(s)) is not None]
    words = explain(model, arms, design, claims, chosen)
    for k, s in chosen:
        told = words[k, s]
        if not found.compatible[s] and not (np.isfinite(found.loglik_gap[s]) and claims.misfit[k, s] >= misfit[s]):
            reason[s] = f"{reason[s]}. Besides, {told.remedy}" if reason[s] else told.remedy
            continue
        also = f". Besides, {reason[s]}" if reason[s] and not found.compatible[s] else ""
        p_value[s], misfit[s] = claims.p_value[k, s], claims.misfit[k, s]
        fault[s], reason[s] = told.fault, told.remedy + also
    compatible = found.compatible & ~claims.failed.any(axis=0)
    return found._replace(
        compatible=compatible,
        p_value=p_value,
        misfit=misfit,
        fault=fault,
        reason=reason,
        independences=claims.tested.sum(axis=0),
    )


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
    nulls: str,
    always: bool,
    decide: Callable[[Floats, Floats, Floats, Floats], NDArray[np.bool_]],
    arm: StudyCounts,
    own: Sequence[tuple[Factor, Floats]],
    misfit: Floats,
    sought: NDArray[np.bool_],
) -> StudyTest:
    """An arm by itself, its own maximum sought in some segments: at the joint fit its gap is larger."""
    n = arm.count.sum(axis=1)
    gap = _settle(np.sum([np.zeros_like(n), *(_loss(f, q) for f, q in own)], axis=0), n)
    df = degrees_of_freedom([f for f, _ in own], len(n))
    places = np.flatnonzero(sought | always)
    if len(places):
        found, df[places] = _fit_alone(model, replace(arm, count=arm.count[places]), nulls)
        gap[places] = np.clip(found, 0, gap[places])
    p_value = _p_value(gap, df)
    compatible = decide(gap, p_value, misfit, n)
    fault = _blame(model, arm, own, always)
    return StudyTest(arm.name, compatible, gap, p_value, misfit, df, fault, [None] * len(n), np.zeros(len(n), np.intp))


def _blame(model: Model, arm: StudyCounts, own: Sequence[tuple[Factor, Floats]], always: bool) -> list[str | None]:
    """The worst pattern of an arm at the joint fit, in every segment."""
    if not always or not own:
        return [None] * len(arm.count)
    factors, fitted = [replace(f, study=0) for f, _ in own], [q for _, q in own]
    return [find_fault(model, [arm], factors, fitted, s) for s in range(len(arm.count))]


def _p_value(gap: Floats, df: Ints) -> Floats:
    """P(χ²_df > 2 gap) [s]."""
    from scipy.special import chdtrc  # scipy.stats takes as long to import as a thousand segments to answer

    return np.asarray(chdtrc(np.maximum(df, 1), 2 * gap))


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


def _fit_alone(model: Model, arm: StudyCounts, nulls: str) -> tuple[Floats, Ints]:
    """LL_sat − LL_max of one arm [s] and its degrees of freedom, the maximum taken of the relaxation where several
    variables share a component: a proven gap."""
    alone = compile_likelihood(model, [arm])
    peaks = maximise_all(alone.groups)
    upper = np.sum([np.zeros(len(arm.count)), *(peak.upper for peak in peaks if peak is not None)], axis=0)
    factors = saturate(model, [arm], nulls)
    gap = saturated_loglik(factors, len(upper)) - upper if all(f.tested for f in factors) else np.zeros_like(upper)
    for records in alone.impossible:
        gap = np.where(records.count > 0, np.inf, gap)
    return _settle(gap, arm.count.sum(axis=1)), count_left_merged(alone, factors, peaks)


def _misfit(own: Sequence[tuple[Factor, Floats]], segments: int) -> Floats:
    """The largest distance [s] between observed and fitted frequencies of an arm in one context."""
    return np.round(np.max([np.zeros(segments), *(_distances(f, q).max(axis=1) for f, q in own)], axis=0), 12)


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
