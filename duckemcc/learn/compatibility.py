"""2 (LL_sat − LL_max) against χ²: do the studies contradict the graph, or each other? (M-compatibility, Definition 2.)

Corollary 6 compares the joint maximum with the sum of the studies' own maxima. That cannot see a contradiction inside
one study (an instrumental inequality, say), so the comparison here is with the *saturated* log-likelihood, that of
the empirical Bayesian network of each arm (Eq. 2, Proposition 1), per study and jointly. The network's factors are
P(v | w_V) with Tian's minimal w_V: the parents and the other members of V's component among the variables up to V in
topological order.

With finite samples data are hardly ever exactly compatible. Twice the gap is a likelihood-ratio statistic; whatever
the true chances, it is at most the statistic of the saturated model against them, so χ² with all saturated degrees of
freedom is conservative. At 10^8 records everything is significant: a verdict also needs a misfit, the largest
total-variation distance between observed and fitted frequencies of a variable in one context of one study.

Axes: s segment, p distinct pattern of a factor, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Floats, Ints, Likelihood, compile_likelihood, pattern_yields, project
from duckemcc.learn.maximum import maximise
from duckemcc.model.scm import Model

EXACT_GAP = 1e-9
"""loglik_gap / n up to which data taken as exact (`level=None`) are compatible."""


@dataclass(frozen=True, eq=False)
class Factor:
    """P(variable | context) of one arm's empirical network.

    scope: context variables, then the variable. codes [p, scope], count [s, p], total [s, p]: records in the
    pattern's context; context [p]: which context. members: V's component up to V, which determines the fitted factor.
    """

    study: int
    variable: str
    scope: tuple[str, ...]
    members: tuple[str, ...]
    causes: tuple[str, ...]
    codes: Ints
    count: Floats
    total: Floats
    context: Ints

    def observed(self) -> Floats:
        """n(v, w) / n(w) [s, p], zero in contexts without records."""
        return np.divide(self.count, self.total, out=np.zeros_like(self.count), where=self.total > 0)


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


def saturate(model: Model, arms: Sequence[StudyCounts]) -> list[Factor]:
    """The factors of every arm's empirical Bayesian network (Eq. 2)."""
    factors = []
    for k, arm in enumerate(arms):
        for component in model.components(arm.do):
            ordered = [v for v in model.order if v in component.endogenous]
            for i, variable in enumerate(ordered):
                members = _tied(model, ordered[: i + 1], variable)
                context = {*members, *(p for m in members for p in model.parents[m])} - {variable}
                scope = (*(v for v in model.variables if v in context), variable)
                causes = tuple(u.name for u in model.exogenous if set(u.children) & set(members))
                factors.append(_count_factor(k, arm, variable, scope, members, causes))
    return factors


def _tied(model: Model, ordered: Sequence[str], variable: str) -> tuple[str, ...]:
    """The component of `variable` in the graph of the variables up to it."""
    members = {variable}
    while True:
        causes = {u for m in members for u in model.causes[m]}
        grown = {v for v in ordered if v in members or causes & set(model.causes[v])}
        if grown == members:
            return tuple(v for v in ordered if v in members)
        members = grown


def _count_factor(
    k: int, arm: StudyCounts, variable: str, scope: tuple[str, ...], members: tuple[str, ...], causes: tuple[str, ...]
) -> Factor:
    codes, count = project(arm, scope)
    _, context = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    context = context.ravel()
    sums = np.zeros((len(count), int(context.max()) + 1))
    np.add.at(sums.T, context, count.T)
    return Factor(k, variable, scope, members, causes, codes, count, sums[:, context], context)


def saturated_loglik(factors: Sequence[Factor]) -> Floats:
    """LL_sat [s] = Σ n(v, w) log n(v, w)/n(w)."""
    return np.sum([_xlogy(f.count, f.observed()).sum(axis=1) for f in factors], axis=0)


def degrees_of_freedom(model: Model, factors: Sequence[Factor]) -> Ints:
    """Free frequencies [s] of the saturated network in the contexts that have records."""
    return np.sum([_contexts(f) * (model.card(f.variable) - 1) for f in factors], axis=0).astype(np.intp)


def _contexts(factor: Factor) -> Ints:
    _, first = np.unique(factor.context, return_index=True)
    return np.asarray((factor.total[:, first] > 0).sum(axis=1))


def fit_factor(model: Model, factor: Factor, chances: dict[str, Floats]) -> Floats:
    """Fitted P(v | w) [s, p] at one PMF [s, u] per exogenous variable."""
    joint = _probability(model, factor.members, factor.causes, factor, chances)
    before = tuple(m for m in factor.members if m != factor.variable)
    given = _probability(model, before, factor.causes, factor, chances) if before else np.ones_like(joint)
    return np.divide(joint, given, out=np.zeros_like(joint), where=given > 0)


def _probability(
    model: Model, members: tuple[str, ...], causes: tuple[str, ...], factor: Factor, chances: dict[str, Floats]
) -> Floats:
    """P(members = their values | parents outside) [s, p]."""
    yields = pattern_yields(model, members, causes, factor.scope, factor.codes).astype(np.float64)
    if not causes:
        return np.broadcast_to(yields[:, 0], factor.count.shape)
    joint = chances[causes[0]]
    for name in causes[1:]:
        joint = (joint[:, :, None] * chances[name][:, None, :]).reshape(len(joint), -1)
    return np.matmul(joint[:, None, :], yields.T)[:, 0]


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
    from scipy.stats import chi2

    model = likelihood.model
    factors = saturate(model, arms)
    fitted = [fit_factor(model, f, chances) for f in factors]
    impossible = (
        np.sum([i.count for i in likelihood.impossible], axis=0) if likelihood.impossible else np.zeros_like(loglik)
    )
    gap = np.maximum(saturated_loglik(factors) - loglik, 0)
    gap = np.where(impossible > 0, np.inf, gap)
    df = degrees_of_freedom(model, factors)
    joint = chi2.sf(2 * gap, np.maximum(df, 1))
    tests = tuple(
        _test_study(model, k, arms, factors, fitted, joint, level, tolerance, every_study) for k in range(len(arms))
    )
    alone = np.min([t.p_value for t in tests], axis=0)
    p_value = joint if len(arms) == 1 else np.minimum(1, 2 * np.minimum(joint, len(arms) * alone))
    misfit = np.max([t.misfit for t in tests], axis=0)
    if level is None:
        compatible = gap <= EXACT_GAP * likelihood.n
    else:
        compatible = ~((p_value < level) & (misfit > tolerance)) & (impossible == 0)
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
    from scipy.stats import chi2

    own = [(f, q) for f, q in zip(factors, fitted, strict=True) if f.study == k]
    with np.errstate(divide="ignore"):
        at_joint = np.sum(
            [_xlogy(f.count, f.observed()).sum(axis=1) - _xlogy(f.count, q).sum(axis=1) for f, q in own], axis=0
        )
    gap = np.maximum(at_joint, 0)
    df = degrees_of_freedom(model, [f for f, _ in own])
    bound = chi2.sf(2 * gap, np.maximum(df, 1))
    sought = np.flatnonzero((len(arms) * bound < joint) | always) if len(arms) > 1 else np.array([], dtype=np.intp)
    if len(sought):
        gap[sought] = np.clip(_gap_alone(model, replace(arms[k], count=arms[k].count[sought])), 0, gap[sought])
    p_value = chi2.sf(2 * gap, np.maximum(df, 1))
    misfit = np.max([_distances(f, q).max(axis=1) for f, q in own], axis=0)
    n = arms[k].count.sum(axis=1)
    compatible = (
        gap <= EXACT_GAP * n if level is None else ~((p_value < level) & (misfit > tolerance)) & np.isfinite(gap)
    )
    fault = [
        _worst(model, arms, [f for f, _ in own], [q for _, q in own], s) if always else None for s in range(len(n))
    ]
    return StudyTest(arms[k].name, compatible, gap, p_value, misfit, df, fault)


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
    sums = np.zeros((len(excess), int(factor.context.max()) + 1))
    np.add.at(
        sums.T, factor.context, excess.T
    )  # observed frequencies sum to one, so the positive parts are half of the L1 distance
    return sums


def _worst(model: Model, arms: Sequence[StudyCounts], factors: list[Factor], fitted: list[Floats], s: int) -> str:
    """The pattern that contradicts most: of the context with the largest log-likelihood loss, the one furthest from
    its fit."""
    best: tuple[float, str] = (-1.0, "")
    for factor, q in zip(factors, fitted, strict=True):
        seen = factor.count[s] > 0
        with np.errstate(divide="ignore"):
            loss = np.where(
                seen,
                _xlogy(factor.count[s], factor.observed()[s]) - _xlogy(factor.count[s], np.where(seen, q[s], 1)),
                0,
            )
        losses = np.zeros(int(factor.context.max()) + 1)
        np.add.at(losses, factor.context, loss)
        if losses.max() > best[0]:
            inside = np.flatnonzero(factor.context == losses.argmax())
            distance = np.where(np.isinf(loss), np.inf, np.abs(factor.observed()[s] - q[s]))
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


def _xlogy(x: Floats, y: Floats) -> Floats:
    """x log y with 0 log 0 = 0."""
    return np.where(x > 0, x * np.log(np.where(x > 0, y, 1.0)), 0.0)
