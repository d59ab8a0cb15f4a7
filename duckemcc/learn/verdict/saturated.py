"""LL_sat = max Σ n(p) log P(p) over all distributions that factorise as the measured variables do (paper Eq. 2).

For complete records that is the empirical Bayesian network of a study, Σ n(v, w_V) log n(v, w_V)/n(w_V) (`network.py`).
Any fully specified model factorises in the same way, so a fitted factor stands beside each.

Records that lack values, `nulls="mcar"`: those that lack the same values are a sample of their own, with a network of
its own. `nulls="mar"`: one network for all records of an arm; a factor whose variable and context every record of its
variable has is counted over all of them, and factors that a missing value ties are one table (`tables.py`).

Axes: s segment, p distinct pattern of a factor, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import split_samples
from duckemcc.learn.pieces.split import Split
from duckemcc.learn.verdict.factor import Factor, count_factor
from duckemcc.learn.verdict.network import factorise, fit
from duckemcc.learn.verdict.tables import fit_table, saturate_together
from duckemcc.model.scm import Model
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def saturate(model: Model, arms: Sequence[StudyCounts], nulls: str = "mar") -> list[Factor]:
    """The factors of every arm's saturated distribution."""
    factors: list[Factor] = []
    for k, arm in enumerate(arms):
        tick()
        samples = split_samples(arm)
        if len(samples) > 1 and nulls == "mar":
            factors += saturate_together(model, k, arm, samples)
            continue
        never = set.intersection(*(set(s.missing) for s in samples)) if samples else set()
        for sample in samples:
            lacking = tuple(v for v in sample.missing if v not in never)
            factors += [
                count_factor(model, k, sample.arm, factor, lacking)
                for factor in factorise(model, sample.arm, sample.missing)
            ]
    return factors


def saturated_loglik(factors: Sequence[Factor], segments: int) -> Floats:
    """LL_sat [s]."""
    return np.sum([np.zeros(segments), *(xlogy(f.count, f.observed).sum(axis=1) for f in factors)], axis=0)


def degrees_of_freedom(factors: Sequence[Factor], segments: int) -> Ints:
    """Free frequencies [s] of the saturated distribution in the contexts that have records."""
    return np.sum([np.zeros(segments, dtype=np.intp), *(f.free for f in factors)], axis=0)


def fit_factors(
    model: Model, factors: Sequence[Factor], chances: dict[str, Floats], split: Split | None = None
) -> list[Floats]:
    """Fitted probabilities [s, p] of the patterns of each factor, at one PMF [s, u] per distribution. split: the pieces
    of which these are."""
    if split is not None:
        chances, split = split.give_back(chances), split.origin
    return [fit_factor(model, f, chances, split) for f in factors]


def fit_factor(model: Model, factor: Factor, chances: dict[str, Floats], split: Split | None = None) -> Floats:
    """Fitted probabilities [s, p] at one PMF [s, u] per distribution. split: the pieces of which these are."""
    if len(factor.conditionals) > 1:
        return fit_table(model, factor, chances, split)
    return fit(model, factor.conditionals[0], factor.codes, chances, len(factor.count), split)


def xlogy(x: Floats, y: Floats) -> Floats:
    """x log y with 0 log 0 = 0."""
    return np.ascontiguousarray(np.where(x > 0, x * np.log(np.where(x > 0, y, 1.0)), 0.0))
