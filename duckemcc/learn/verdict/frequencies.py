"""n(v, w) / n(w) beside P(v | w): what each study saw, and what the model that fits all of them best expects.

Axes: s segment, p distinct pattern of a factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Floats
from duckemcc.learn.pieces.split import Split
from duckemcc.learn.verdict.blame import find_worst, name_lacking, name_pattern
from duckemcc.learn.verdict.factor import Factor
from duckemcc.learn.verdict.saturated import fit_factors, saturate
from duckemcc.model.scm import Model


class Frequency(NamedTuple):
    """A pattern of an arm in one segment. pattern: ``P(event | context)``; observed: its share of the n records in its
    context (estimated where records are incomplete); fitted: its probability. worst: whether it is what its arm
    contradicts the fit by most; fault: whether it is what all arms do."""

    study: str
    pattern: str
    observed: float
    fitted: float
    n: float
    worst: bool
    fault: bool


def compare_frequencies(
    model: Model,
    arms: Sequence[StudyCounts],
    chances: dict[str, Floats],
    nulls: str = "mar",
    split: Split | None = None,
) -> Iterator[list[Frequency]]:
    """For each segment the patterns of every arm, at one PMF [s, u] per distribution. split: the pieces of which these
    are."""
    factors = [f for f in saturate(model, arms, nulls) if f.tested]
    fitted = fit_factors(model, factors, chances, split)
    for s in range(len(arms[0].count)):
        worst = {_find_worst(arms, factors, fitted, s, k) for k in range(len(arms))}
        fault = find_worst(arms, factors, fitted, s)
        yield [
            Frequency(
                arms[factor.study].name,
                name_pattern(model, factor, p) + name_lacking(factor, p),
                round(float(factor.observed[s, p]), 12),
                round(float(q[s, p]), 12),
                float(factor.total[s, p]),
                (k, p) in worst,
                (k, p) == fault,
            )
            for k, (factor, q) in enumerate(zip(factors, fitted, strict=True))
            for p in np.flatnonzero(factor.total[s] > 0).tolist()
        ]


def _find_worst(
    arms: Sequence[StudyCounts], factors: Sequence[Factor], fitted: Sequence[Floats], s: int, study: int
) -> tuple[int, int] | None:
    """The worst pattern of one arm, as a position among all factors."""
    own = [k for k, f in enumerate(factors) if f.study == study]
    worst = find_worst(arms, [factors[k] for k in own], [fitted[k] for k in own], s)
    return None if worst is None else (own[worst[0]], worst[1])
