"""n(v, w) / n(w): a factor of a saturated distribution, its patterns and what was observed.

Axes: s segment, p distinct pattern of a factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import project
from duckemcc.learn.verdict.network import Conditional
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Factor:
    """P(variables | context) of one arm's saturated distribution: of one variable, or of several that NULLs tie.

    conditionals: the network's factors whose product it is. lacking: what only these records of the arm lack.
    scope: context, then the variables. codes [p, scope], -1 where a tied variable has no value; count [s, p];
    context [p]: which context, and which variables have values; total [s, p]: records there. observed [s, p]:
    n(v, w) / n(w), or its estimate where records are incomplete; zero in contexts without records. free [s]: free
    frequencies in the contexts that have records. tested: whether `observed` is to be compared with the fit at all.
    """

    study: int
    conditionals: tuple[Conditional, ...]
    lacking: tuple[str, ...]
    scope: tuple[str, ...]
    codes: Ints
    count: Floats
    total: Floats
    context: Ints
    observed: Floats
    free: Ints
    tested: bool = True

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(c.variable for c in self.conditionals)

    @property
    def members(self) -> tuple[str, ...]:
        """The measured variables of the parts that determine the fitted factor, each once."""
        return tuple(dict.fromkeys(v for c in self.conditionals for v in c.part.measured))


def count_factor(
    model: Model, k: int, arm: StudyCounts, conditional: Conditional, lacking: tuple[str, ...] = ()
) -> Factor:
    """The factor's frequencies among the records of an arm, all of which have its variables."""
    scope = (*conditional.context, conditional.variable)
    codes, count = project(arm, scope)
    _, first, context = np.unique(codes[:, :-1], axis=0, return_index=True, return_inverse=True)
    context = context.ravel()
    total = sum_by_context(context, count)[:, context]
    observed = np.divide(count, total, out=np.zeros_like(count), where=total > 0)
    free = (total[:, first] > 0).sum(axis=1) * (model.card(conditional.variable) - 1)
    return Factor(k, (conditional,), lacking, scope, codes, count, total, context, observed, free)


def sum_by_context(context: Ints, values: Floats) -> Floats:
    """Sums [s, context] of what each pattern has [s, p]."""
    sums = np.zeros((len(values), int(context.max()) + 1))
    np.add.at(sums.T, context, values.T)
    return sums
