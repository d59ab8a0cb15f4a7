"""Who is to blame: the pattern of a study that contradicts its fit most.

Axes: s segment, p distinct pattern of a factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.factor import Factor, sum_by_context
from duckemcc.learn.saturated import xlogy
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]


def find_fault(model: Model, arms: Sequence[StudyCounts], factors: list[Factor], fitted: list[Floats], s: int) -> str:
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
                xlogy(factor.count[s], factor.observed[s]) - xlogy(factor.count[s], np.where(seen, q[s], 1)),
                0,
            )
        losses = sum_by_context(factor.context, loss[None])[0]
        losses = np.round(losses / max(float(arms[factor.study].count[s].sum()), 1e-300), 10)
        if losses.max() > best[0]:
            inside = np.flatnonzero(factor.context == losses.argmax())
            distance = np.where(np.isinf(loss), np.inf, np.round(np.abs(factor.observed[s] - q[s]), 9))
            p = inside[distance[inside].argmax()]
            best = (float(losses.max()), _describe(model, arms[factor.study], factor, q, s, int(p)))
    return best[1]


def _describe(model: Model, arm: StudyCounts, factor: Factor, fitted: Floats, s: int, p: int) -> str:
    atoms = {
        v: f"{v}={(model.states[v] or ())[c]}" for v, c in zip(factor.scope, factor.codes[p], strict=True) if c >= 0
    }
    event = ", ".join(atoms[v] for v in factor.variables if v in atoms)
    given = ", ".join(text for v, text in atoms.items() if v not in factor.variables)
    lacking = ", ".join(factor.lacking or (v for v in factor.scope if v not in atoms))
    return (
        f"study '{arm.name}', component {{{', '.join(factor.members)}}}: P({event}{f' | {given}' if given else ''}) "
        f"{'observed' if len(factor.variables) == 1 else 'estimated'} {factor.observed[s, p]:.6g}, "
        f"fitted {fitted[s, p]:.6g}, of {factor.total[s, p]:.6g} records"
        f"{f' without {lacking}' if lacking else ''}"
    )
