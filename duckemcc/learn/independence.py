"""G² = 2 Σ_v Σ n(v, before) log [n(v | before) / n(v | w_V)]: the multinomial against the graph's own independences.

The empirical Bayesian network (Eq. 2) takes V to be independent of all earlier variables given its context w_V
(`network.py`). No comparison of likelihoods under the graph tests that; this does, factor by factor, in topological
order. Degrees of freedom (r − 1)(c − 1) for each context, with r combinations of other earlier variables and c values
of V seen there: what was never seen is not counted.

Axes: s segment, p distinct pattern.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.factor import sum_by_context
from duckemcc.learn.network import factorise
from duckemcc.learn.parts import number_rows, project
from duckemcc.learn.saturated import xlogy
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Independence(NamedTuple):
    """The test of one arm, all [s]. left_out: records without a value of a variable that others of the arm have."""

    g2: Floats
    df: Ints
    p_value: Floats
    left_out: Floats


def independence_test(model: Model, arm: StudyCounts) -> Independence:
    """Whether an arm's complete records have the independences that the graph says its measured variables have.

    A small p_value is a warning about the graph: an arc or a shared cause is missing. It is 1 where the graph implies
    no independence. Records that lack a value are left out, which is harmless only where the values are missing at
    random of the others; a variable that no record has is summed over.
    """
    from scipy.stats import chi2

    never = {v for v, column in zip(arm.variables, arm.codes.T, strict=True) if (column < 0).all()}
    measured = [v for v in model.order if v not in never]
    codes, count = project(arm, measured)
    whole = (codes >= 0).all(axis=1)
    left_out = np.ascontiguousarray(count[:, ~whole]).sum(axis=1)  # sums depend on the memory's order
    codes, count = codes[whole], np.ascontiguousarray(count[:, whole])
    g2, df = np.zeros(len(count)), np.zeros(len(count), dtype=np.intp)
    for factor in factorise(model, arm, never) if whole.any() else ():
        place = measured.index(factor.variable)
        context = number_rows(codes[:, [measured.index(w) for w in factor.context]])
        more, free = _compare(context, number_rows(codes[:, :place]), codes[:, place], count)
        g2, df = g2 + more, df + free
    g2 = np.maximum(np.round(g2, 9), 0)
    return Independence(g2, df, np.where(df > 0, chi2.sf(g2, np.maximum(df, 1)), 1.0), left_out)


def _compare(context: Ints, before: Ints, value: Ints, count: Floats) -> tuple[Floats, Ints]:
    """G² and degrees of freedom [s] of value ⊥ before given context, all [p]; `before` tells contexts apart."""
    both = number_rows(np.column_stack([context, value]))
    whole = number_rows(np.column_stack([before, value]))
    sums = {
        name: sum_by_context(by, count) for name, by in (("c", context), ("cv", both), ("b", before), ("bv", whole))
    }
    expected = sums["cv"][:, both] * sums["b"][:, before]
    ratio = np.divide(
        sums["bv"][:, whole] * sums["c"][:, context], expected, out=np.ones_like(expected), where=count > 0
    )
    rows, values = (_count_seen(context, by, sums[name]) for name, by in (("b", before), ("cv", both)))
    return 2 * xlogy(count, ratio).sum(axis=1), ((rows - 1) * (values - 1) * (sums["c"] > 0)).sum(axis=1)


def _count_seen(context: Ints, by: Ints, sums: Floats) -> Ints:
    """How many of the finer classes have records in each context [s, context]."""
    first = np.unique(by, return_index=True)[1]
    return sum_by_context(context[first], (sums > 0).astype(np.float64)).astype(np.intp)
