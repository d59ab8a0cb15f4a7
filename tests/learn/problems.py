"""Problems for the tests of the learner, and a strategy that makes random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from duckemcc.learn.counts import StudyCounts
from duckemcc.model.scm import Model

DRUG = Model.parse(
    """Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival
       Gender {female, male}; Treatment {drug, 'no drug'}; Survival {survived, dead}"""
)
TWO = Model.parse(
    "Treatment -> Survival; Treatment <-> Survival; Treatment {drug, 'no drug'}; Survival {survived, dead}"
)
IV = Model.parse("Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}")
# two exogenous variables in one component, with equations: X = U1, M mixes both, Y = U2 by X
MULTI = Model.from_dict(
    {
        "endogenous": {"X": {"states": [0, 1]}, "M": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": 8}},
        "equations": {
            "X": {"table": [0, 0, 1, 1]},
            "M": {"table": [[(i + j) % 2 for j in range(8)] for i in range(4)]},
            "Y": {"table": [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 1], [1, 1]]},
        },
    }
)
MODELS = {"drug": DRUG, "two": TWO, "iv": IV, "multi": MULTI}

# Table 1: (gender, treatment) -> survived, dead
OBSERVED = {(0, 0): (378, 1022), (1, 0): (980, 420), (0, 1): (420, 180), (1, 1): (420, 180)}
RANDOMISED = {(0, 0): (489, 511), (1, 0): (490, 510), (0, 1): (210, 790), (1, 1): (210, 790)}


def study(model, do, cells, name="study"):
    """Counts of one segment from {codes: count}."""
    codes = np.array(sorted(cells), dtype=np.int32)
    return StudyCounts(
        name=name,
        variables=model.variables,
        do=tuple(do),
        codes=codes,
        count=np.array([[cells[tuple(c)] for c in codes]], float),
    )


def arms_of(counts, model):
    return counts.arms(lambda v, c: (model.states[v] or ())[c])


def table1(gender=True):
    """Table 1's studies with Gender in the model or summed out: {"O": arms, "I": arms, "O+I": arms}, and the model."""
    model = DRUG if gender else TWO
    parts = {}
    for name, do, table in (("obs", (), OBSERVED), ("trial", ("Treatment",), RANDOMISED)):
        cells = {}
        for (g, t), both in table.items():
            for s, n in enumerate(both):
                key = (g, t, s) if gender else (t, s)
                cells[key] = cells.get(key, 0) + n
        parts[name] = arms_of(study(model, do, cells, name), model)
    return model, {"O": parts["obs"], "I": parts["trial"], "O+I": parts["obs"] + parts["trial"]}


@st.composite
def random_arms(draw, names=("two", "iv", "multi")):
    """A model and arms with random small counts: an observational study, and perhaps an experiment on its first
    variable."""
    model = MODELS[draw(st.sampled_from(names))]
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    cards = [model.card(v) for v in model.variables]
    arms = []
    for k, do in enumerate([(), (model.variables[-2],)][: draw(st.integers(1, 2))]):
        codes = np.indices(cards).reshape(len(cards), -1).T
        count = rng.poisson(rng.choice([0.5, 3.0, 20.0], len(codes))) + (np.arange(len(codes)) == 0)
        cells = {tuple(map(int, c)): float(n) for c, n in zip(codes, count, strict=True) if n}
        arms.extend(arms_of(study(model, do, cells, f"study {k}"), model))
    return model, arms
