"""Problems for the tests of the learner, and a strategy that makes random ones."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.emcc import measure
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.start import draw_starts
from duckemcc.model.generate import random_model
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel

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
FRONTDOOR = Model.parse("X -> M -> Y; X <-> Y; X {0, 1}; M {0, 1, 2}; Y {0, 1}")
LADDER = Model.parse("A -> B -> C -> D; A -> C; B <-> D; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}")
# H, X and Y share a cause, and M stands between X and Y: a table of H, X and Y must not take M as given
AROUND = Model.parse("H {0, 1}; X -> M -> Y; U: H, X, Y; X {0, 1}; M {0, 1}; Y {0, 1}")
# records that lack Y may lack W, which a table of H, X and Y takes as given
ASIDE = Model.parse("H {0, 1}; X {0, 1}; W -> Y; U: H, X, Y; W {0, 1}; Y {0, 1}")
# S says which records are kept: a known rule over A and B
SELECTED = Model.from_dict(
    {
        "endogenous": {
            "A": {"states": [0, 1]},
            "B": {"states": [0, 1], "parents": ["A"]},
            "S": {"states": [0, 1], "parents": ["A", "B"]},
        },
        "exogenous": {"U": {"children": ["A", "B"]}},
        "equations": {"S": {"table": [[1, 0], [1, 1]]}},
    }
)
# M and N follow from X and M, without causes of their own
FOLLOWING = Model.from_dict(
    {
        "endogenous": {
            "X": {"states": [0, 1, 2]},
            "M": {"states": [0, 1], "parents": ["X"]},
            "N": {"states": [0, 1], "parents": ["M"]},
            "Y": {"states": [0, 1], "parents": ["N"]},
        },
        "exogenous": {"UX": {"children": ["X"]}, "UY": {"children": ["Y"]}},
        "equations": {"M": {"table": [0, 1, 1]}, "N": {"table": [1, 0]}},
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


GAPPY = {
    "frontdoor": FRONTDOOR,
    "ladder": LADDER,
    "around": AROUND,
    "aside": ASIDE,
    "selected": SELECTED,
    "following": FOLLOWING,
    "iv": IV,
    "multi": MULTI,
}


@st.composite
def incomplete_arms(draw, names=(*GAPPY, "random"), records=300):
    """A model, arms that lack values here and there or throughout, and the chances that the records were drawn from.

    An observational study; perhaps an experiment, whose first cause may have a distribution of its own.
    """
    name, seed = draw(st.sampled_from(names)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    model = random_model(int(rng.integers(4, 7)), rng).model if name == "random" else GAPPY[name]
    truth = {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}
    arms = list(sample_gaps(model, truth, rng, "obs", records))
    if draw(st.booleans()):
        target = model.variables[int(rng.integers(len(model.variables)))]
        local = {model.exogenous[0].name: "U@trial"} if draw(st.booleans()) else {}
        arms += sample_gaps(model, truth, rng, "trial", records, do=(target,), local=local)
        truth |= {name: truth[cause] for cause, name in local.items()}
    return model, arms, truth


def sample_gaps(model, truth, rng, name, records, do=(), local=None):
    """A study's arms: each variable lost in some of the records, or in none, or never measured."""
    full = FullModel(model, truth)
    values = {v: (model.states[v] or ())[rng.integers(model.card(v))] for v in do}
    sampled = full.sample(records, do=values, rng=rng)
    codes = np.stack([np.asarray(sampled[v]) for v in model.variables], axis=1).astype(np.int32)
    for j, v in enumerate(model.variables):
        if v not in do:
            codes[rng.random(records) < rng.choice([0.0, 0.3, 0.6, 1.0], p=[0.4, 0.25, 0.2, 0.15]), j] = -1
    counts = StudyCounts(name, model.variables, do, codes, np.ones((1, records)), local or {})
    return arms_of(counts, model)


def draw_chances(likelihood, seed=0, restarts=1, start="dirichlet(1)"):
    """Starts [r, u] of every distribution."""
    cards = [likelihood.model.card(cause) for cause in likelihood.causes.values()]
    return dict(zip(likelihood.causes, draw_starts(start, cards, restarts, seed), strict=True))


def loglik_at(likelihood, chances):
    """The log-likelihood of the first segment at the chances [r, u] of the first restart."""
    total = 0.0
    for group in likelihood.groups:
        own = tuple(sum_by_class(chances[n][:1], c)[None] for n, c in zip(group.names, group.classes, strict=True))
        total += measure(own, group).loglik[0, 0]
    return total


def define_loglik(model, arms, chances):
    """Σ n log P(what was recorded), by summing over everything else in the network of each arm."""
    total = 0.0
    for arm in arms:
        own = {u.name: chances[arm.local.get(u.name, u.name)] for u in model.exogenous}
        full = FullModel(model, own)
        for codes, n in zip(arm.codes, arm.count[0], strict=True):
            seen = {v: int(c) for v, c in zip(arm.variables, codes, strict=True) if c >= 0 and v not in arm.do}
            do = {v: (model.states[v] or ())[codes[arm.variables.index(v)]] for v in arm.do}
            if seen:
                total += n * np.log(full.distribution(*seen, do=do)[tuple(seen.values())])
    return total


def expect_counts(model, truth, lose, n=1000.0):
    """Counts that are exactly as likely as the truth says; `lose`: codes -> {lost variables: share}."""
    joint = FullModel(model, truth).distribution(*model.variables)
    cells = {}
    for codes in product(*(range(model.card(v)) for v in model.variables)):
        for lost, share in lose(dict(zip(model.variables, codes, strict=True))).items():
            key = tuple(-1 if v in lost else c for v, c in zip(model.variables, codes, strict=True))
            cells[key] = cells.get(key, 0.0) + n * share * joint[codes]
    return study(model, (), {key: count for key, count in cells.items() if count > 0})


def chances_of(model, seed):
    rng = np.random.default_rng(seed)
    return {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}
