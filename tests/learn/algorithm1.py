"""Algorithm 1 read literally: record by record, over the block dataset D^(0) of Table 2. Slow, and the reference.

Every record of every study is a row of D^(0) whose other studies' variables are missing. Its joint exogenous states are
enumerated, each is run through the structural equations of the mutilated model, and P(U_j = u | v) is added up. A value
that was not recorded agrees with any. A distribution that only one study has is one more U_j.
"""

from __future__ import annotations

from itertools import product

import numpy as np


def block_dataset(arms):
    """D^(0): one row per record, the columns of every study but its own missing (None)."""
    rows = []
    for k, arm in enumerate(arms):
        for codes, count in zip(arm.codes, arm.count[0], strict=True):
            row = [None] * len(arms)
            row[k] = {v: int(c) for v, c in zip(arm.variables, codes, strict=True) if c >= 0}
            rows.extend([row] * int(count))
    return rows


def run_model(model, do, record, state):
    """Whether the structural equations, with the intervened variables at the record's values, yield the record."""
    value = {}
    for variable in model.order:
        if variable in do:
            value[variable] = record[variable]
            continue
        place = (*(state[u] for u in model.causes[variable]), *(value[p] for p in model.parents[variable]))
        value[variable] = int(model.table(variable)[place])
        if value[variable] != record.get(variable, value[variable]):
            return False
    return True


def iterate(model, arms, chances):
    """One pass of lines 5-16: chances {name: [u]} to the next ones, and the log-likelihood of those given."""
    names = list(chances)
    states = list(product(*(range(len(chances[u])) for u in names)))
    expected = {u: np.zeros(len(chances[u])) for u in names}
    rows = block_dataset(arms)
    loglik = 0.0
    for row in rows:
        k = next(i for i, part in enumerate(row) if part is not None)
        weight = np.zeros(len(states))
        for i, state in enumerate(states):
            at = dict(zip(names, state, strict=True))
            own = {u.name: at[arms[k].local.get(u.name, u.name)] for u in model.exogenous}
            if run_model(model, arms[k].do, row[k], own):
                weight[i] = np.prod([chances[u][s] for u, s in at.items()])
        loglik += np.log(weight.sum())
        for j, u in enumerate(names):  # n(U_j = u) += P(U_j = u | v)
            np.add.at(expected[u], [state[j] for state in states], weight / weight.sum())
    return {u: n / len(rows) for u, n in expected.items()}, loglik
