"""LL_sat = Σ n(v, w_V) log n(v, w_V)/n(w_V): the empirical Bayesian network of a study (paper Eq. 2).

Its factors are P(v | w_V), w_V being the parents and the other members of V's component among the variables up to V in
topological order (Tian's minimal sets, 2002). Any fully specified model factorises in the same way, so a fitted factor
stands beside each.

Axes: s segment, p distinct pattern of a factor, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Floats, Ints, pattern_yields, project
from duckemcc.model.scm import Model, tie


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
    children = [[v for v in ordered if v in u.children] for u in model.exogenous]
    return next(members for members in tie(ordered, filter(None, children)) if variable in members)


def _count_factor(
    k: int, arm: StudyCounts, variable: str, scope: tuple[str, ...], members: tuple[str, ...], causes: tuple[str, ...]
) -> Factor:
    codes, count = project(arm, scope)
    _, context = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    context = context.ravel()
    total = sum_by_context(context, count)[:, context]
    return Factor(k, variable, scope, members, causes, codes, count, total, context)


def sum_by_context(context: Ints, values: Floats) -> Floats:
    """Sums [s, context] of what each pattern has [s, p]."""
    sums = np.zeros((len(values), int(context.max()) + 1))
    np.add.at(sums.T, context, values.T)
    return sums


def saturated_loglik(factors: Sequence[Factor]) -> Floats:
    """LL_sat [s] = Σ n(v, w) log n(v, w)/n(w)."""
    return np.sum([xlogy(f.count, f.observed()).sum(axis=1) for f in factors], axis=0)


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


def xlogy(x: Floats, y: Floats) -> Floats:
    """x log y with 0 log 0 = 0."""
    return np.where(x > 0, x * np.log(np.where(x > 0, y, 1.0)), 0.0)
