"""Who is to blame: the pattern of a study that contradicts its fit most.

Axes: s segment, p distinct pattern of a factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.verdict.factor import Factor, sum_by_context
from duckemcc.learn.verdict.saturated import xlogy
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]


def find_fault(model: Model, arms: Sequence[StudyCounts], factors: list[Factor], fitted: list[Floats], s: int) -> str:
    """The pattern that contradicts most, in words; nothing where there is none."""
    worst = find_worst(arms, factors, fitted, s)
    if worst is None:
        return ""
    k, p = worst
    return _describe(model, arms[factors[k].study], factors[k], fitted[k], s, p)


def find_worst(
    arms: Sequence[StudyCounts], factors: Sequence[Factor], fitted: Sequence[Floats], s: int
) -> tuple[int, int] | None:
    """The pattern that contradicts most: of the context with the largest log-likelihood loss, the one furthest from
    its fit. As positions: which factor, and which of its patterns.

    Losses and distances are rounded, so that of equal ones the first is taken and not the one with more rounding noise.
    """
    best: tuple[float, tuple[int, int] | None] = (-1.0, None)
    for k, (factor, q) in enumerate(zip(factors, fitted, strict=True)):
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
            best = (float(losses.max()), (k, int(inside[distance[inside].argmax()])))
    return best[1]


def name_pattern(model: Model, factor: Factor, p: int) -> str:
    """``P(event | context)``, of a factor's pattern."""
    atoms = _atoms(model, factor, p)
    event = ", ".join(atoms[v] for v in factor.variables if v in atoms)
    given = ", ".join(text for v, text in atoms.items() if v not in factor.variables)
    return f"P({event}{f' | {given}' if given else ''})"


def name_lacking(factor: Factor, p: int) -> str:
    """`` without X``: the values that the records of a pattern lack, or nothing."""
    missing = (v for v, c in zip(factor.scope, factor.codes[p], strict=True) if c < 0)
    lacking = ", ".join(factor.lacking or missing)
    return f" without {lacking}" if lacking else ""


def _atoms(model: Model, factor: Factor, p: int) -> dict[str, str]:
    return {
        v: f"{v}={(model.states[v] or ())[c]}" for v, c in zip(factor.scope, factor.codes[p], strict=True) if c >= 0
    }


def _describe(model: Model, arm: StudyCounts, factor: Factor, fitted: Floats, s: int, p: int) -> str:
    return (
        f"study '{arm.name}', component {{{', '.join(factor.members)}}}: {name_pattern(model, factor, p)} "
        f"{'observed' if len(factor.variables) == 1 else 'estimated'} {factor.observed[s, p]:.6g}, "
        f"fitted {fitted[s, p]:.6g}, of {factor.total[s, p]:.6g} records{name_lacking(factor, p)}"
    )
