"""Sharp ends, through the whole of learning: they hold what EM reaches, and their witnesses are models of the data."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    DRUG,
    FRONTDOOR,
    IV,
    LADDER,
    MULTI,
    TWO,
    arms_of,
    draw_chances,
    loglik_at,
    random_arms,
    study,
    table1,
)

import duckemcc as emcc
from duckemcc.bound.sharp import Sharp
from duckemcc.errors import Timeout
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.restarts import Effort, learn
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.full import FullModel
from duckemcc.query.language import query


def learn_arms(model, arms, seed=0, restarts=8, spread=False):
    likelihood = compile_likelihood(model, arms)
    return likelihood, learn(
        likelihood, draw_chances(likelihood, seed, restarts, "dirichlet(0.1)"), Effort(spread=spread)
    )


def open_sharp(text, model, likelihood):
    return Sharp(query(text), model, likelihood, {u.name: u.name for u in model.exogenous})


def find(text, model, arms, seed=0):
    likelihood, learned = learn_arms(model, arms, seed)
    return open_sharp(text, model, likelihood).find(learned, 0)


def values(ends):
    return [end.value for end in ends]


def draw_random(seed, records=300):
    """Records of a random model, observed and under an experiment, and two queries of it."""
    rng = np.random.default_rng(seed)
    full = FullModel.random(int(rng.integers(3, 5)), rng)
    model = full.model
    arms = []
    target = model.variables[int(rng.integers(len(model.variables) - 1))]
    for do in [{}, *({target: state} for state in model.states[target])]:
        sampled = full.sample(records, do=do, rng=rng)
        codes, count = np.unique(
            np.stack([np.asarray(sampled[v]) for v in model.variables], axis=1), axis=0, return_counts=True
        )
        counts = StudyCounts(f"s{len(arms)}", model.variables, tuple(do), codes.astype(np.int32), count[None] * 1.0)
        arms += arms_of(counts, model)
    a, b = model.variables[0], model.variables[-1]
    (a0, *_, a1), (b0, *_, b1) = model.states[a], model.states[b]
    texts = [f"P({b}[{a}={a0}]={b0}, {b}[{a}={a1}]={b1})", f"P({b}[{a}={a1}]={b1} | {a}={a0}, {b}={b0})"]
    return model, arms, texts


PROBLEMS = [*[(s, "random") for s in range(12)], *[(s, "multi") for s in range(2)]]


@cache
def learn_problem(seed, kind):
    """A problem, and what was learned of it; for both tests below."""
    model, arms, texts = draw_problem(seed, kind)
    return model, arms, texts, *learn_arms(model, arms, seed)


def draw_problem(seed, kind):
    if kind == "random":
        return draw_random(seed)
    rng = np.random.default_rng(seed)
    truth = {u.name: rng.dirichlet(np.ones(MULTI.card(u.name))) for u in MULTI.exogenous}
    joint = FullModel(MULTI, truth).distribution(*MULTI.variables)
    cells = {c: 1000 * p for c, p in np.ndenumerate(joint) if p > 0}
    return MULTI, arms_of(study(MULTI, (), cells), MULTI), ["PNS(X=1, Y=1)", "P(Y[X=1]=1 | X=0, M=1)"]


@pytest.mark.parametrize(("seed", "kind"), PROBLEMS)
def test_sharp_ends_hold_what_restarts_reach_and_lie_within_their_outer_bounds(seed, kind):
    model, arms, texts, likelihood, learned = learn_problem(seed, kind)
    _, spread = learn_arms(model, arms, seed, restarts=20, spread=True)
    for text in texts:
        reached = Compiled(query(text), model)({u: c[0] for u, c in spread.chances.items()})
        defined = reached.value[reached.evidence > 1e-7]
        ends = open_sharp(text, model, likelihood).find(learned, 0)
        if not defined.size:
            continue
        lower, upper = ends
        assert lower.value - 1e-6 <= defined.min()
        assert defined.max() <= upper.value + 1e-6
        assert lower.outer <= lower.value + 1e-9
        assert upper.outer >= upper.value - 1e-9
        if all(f.group.concave for f in learned.groups):
            assert lower.exact
            assert upper.exact


@pytest.mark.parametrize(("seed", "kind"), PROBLEMS)
def test_the_witness_of_an_end_is_as_likely_as_any_model_and_has_its_value(seed, kind):
    model, _, texts, likelihood, learned = learn_problem(seed, kind)
    for text in texts:
        for end in open_sharp(text, model, likelihood).find(learned, 0) or ():
            witness = {u.name: end.chances.get(u.name, learned.best[u.name][0])[None] for u in model.exogenous}
            found = Compiled(query(text), model)(witness)
            assert found.value[0] == pytest.approx(end.value, abs=1e-9)
            assert loglik_at(likelihood, witness) == pytest.approx(learned.loglik[0], abs=1e-6 * likelihood.n[0])
            for pmf in witness.values():
                assert pmf.sum() == pytest.approx(1.0, abs=1e-9)
                assert pmf.min() >= 0


@settings(max_examples=15)
@given(random_arms(names=("two", "iv")), st.integers(0, 100))
def test_the_order_of_rows_and_of_studies_does_not_matter(problem, seed):
    model, arms = problem
    rng = np.random.default_rng(seed)
    x, y = model.variables[-2:]
    text = f"PNS({x}='{model.states[x][1]}', {y}='{model.states[y][1]}')"
    shuffled = []
    for arm in rng.permutation(len(arms)):
        order = rng.permutation(len(arms[arm].codes))
        counts = arms[arm]
        shuffled.append(
            StudyCounts(counts.name, counts.variables, counts.do, counts.codes[order], counts.count[:, order])
        )
    assert values(find(text, model, shuffled)) == pytest.approx(values(find(text, model, arms)), abs=1e-10)


def test_the_order_in_which_variables_are_declared_does_not_matter():
    cells = {(x, y): float(n) for (x, y), n in zip([(0, 0), (0, 1), (1, 0), (1, 1)], (30, 12, 7, 41), strict=True)}
    one = Model.parse("X -> Y; X <-> Y; X {0, 1}; Y {0, 1}")
    other = Model.parse("Y {0, 1}; X {0, 1}; X <-> Y; X -> Y")
    swapped = {tuple(dict(zip("XY", c, strict=True))[v] for v in other.variables): n for c, n in cells.items()}
    for text in ("PNS(X=1, Y=1)", "P(Y[X=1]=1 | X=0)"):
        first = find(text, one, arms_of(study(one, (), cells), one))
        second = find(text, other, arms_of(study(other, (), swapped), other))
        assert values(first) == pytest.approx(values(second), abs=1e-11)


@pytest.mark.parametrize("name", ["drug", "multi"])
def test_a_segment_s_bounds_do_not_depend_on_its_neighbours(name):
    model = {"drug": DRUG, "multi": MULTI}[name]
    text = {"drug": "PNS(Treatment=drug, Survival=survived)", "multi": "PNS(X=1, Y=1)"}[name]
    rng = np.random.default_rng(0)
    codes = np.indices((2, 2, 2)).reshape(3, -1).T.astype(np.int32)
    count = rng.integers(1, 50, (3, 8)).astype(float)
    rows = [dict(zip(model.variables, c, strict=True)) for c in codes.tolist()]
    records = pl.DataFrame(
        [
            {v: model.states[v][c] for v, c in row.items()} | {"segment": s, "n": count[s, i]}
            for s in range(3)
            for i, row in enumerate(rows)
        ]
    )
    columns = ("lower", "upper", "outer_lower", "outer_upper", "exact_lower", "exact_upper")

    def ask(data):
        table = emcc.bounds(model, [emcc.Study(data, weight="n")], [text], by=["segment"], level=None, restarts=8)
        return {row["segment"]: [row[c] for c in columns] for row in table.to_pylist()}

    together = ask(records)
    for s in range(3):
        assert together[s] == ask(records.filter(pl.col("segment") == s))[s]


@pytest.mark.parametrize(("gender", "data"), [(g, d) for g in (True, False) for d in ("O", "I", "O+I")])
def test_table_1_comes_out_to_nine_digits(gender, data):
    model, parts = table1(gender)
    exact = {"O": (0, 0.4295), "I": (0.2795, 0.4895), "O+I": (0.3845, 0.3845) if gender else (0.3395, 0.4295)}[data]
    lower, upper = find("PNS(Treatment=drug, Survival=survived)", model, parts[data])
    assert (lower.value, upper.value) == pytest.approx(exact, abs=1e-9)
    assert lower.exact
    assert upper.exact


def test_a_cause_without_data_leaves_the_query_vacuous():
    model = Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    only_x = study(model, (), {(0, -1): 30.0, (1, -1): 12.0})
    lower, upper = find("P(Y[X=1]=1)", model, arms_of(only_x, model))
    assert (lower.value, upper.value) == (0.0, 1.0)
    assert lower.exact
    assert upper.exact


@pytest.mark.parametrize("text", ["P(Y[X=0]=1 | X=1)", "PN(X=1, Y=1)"])
def test_a_condition_that_no_record_supports_has_no_ends(text):
    model = Model.parse("X -> Y; X <-> Y; X {0, 1}; Y {0, 1}")
    assert find(text, model, arms_of(study(model, (), {(0, 0): 5.0, (0, 1): 7.0}), model)) is None


@pytest.mark.parametrize("chance", [1e-2, 1e-4, 1e-6])
def test_a_condition_that_is_rare_has_the_closed_form_s_bounds(chance):
    """P(Y_x' = 0 | x, y) in the bow with a trial of x': at most (P(y'_x') − P(x', y')) / P(x, y) (Tian & Pearl)."""
    cells = {(0, 0): 0.5, (0, 1): 0.3, (1, 0): 0.2 - chance, (1, 1): chance}
    trial = 0.5 - chance / 2
    arms = arms_of(study(_bow(), (), cells, "obs"), _bow())
    arms += arms_of(study(_bow(), ("X",), {(0, 1): trial, (0, 0): 1 - trial}, "trial"), _bow())
    lower, upper = find("PN(X=1, Y=1)", _bow(), arms)
    assert (lower.value, upper.value) == pytest.approx((0.0, 0.5), abs=1e-6)


def _bow():
    return Model.parse("X -> Y; X <-> Y; X {0, 1}; Y {0, 1}")


@pytest.mark.parametrize("weight", [1e-6, 1.0, 1e9])
def test_weights_in_another_unit_change_nothing(weight):
    cells = {(0, 0): 30 * weight, (0, 1): 12 * weight, (1, 0): 7 * weight, (1, 1): 41 * weight}
    model = TWO
    found = find("PNS(Treatment=drug, Survival=survived)", model, arms_of(study(model, (), cells), model))
    total = sum(cells.values())
    assert values(found) == pytest.approx((0.0, (cells[0, 0] + cells[1, 1]) / total), abs=1e-9)


@pytest.mark.parametrize(("text", "value"), [("P(Y=1 | Y=1)", 1.0), ("P(Y=1) + P(Y=0)", 1.0), ("P(Y=1) - P(Y=1)", 0.0)])
def test_a_constant_query_is_one_point(text, value):
    arms = arms_of(study(_bow(), (), {(0, 0): 3.0, (0, 1): 1.0, (1, 1): 5.0}), _bow())
    lower, upper = find(text, _bow(), arms)
    assert lower.value == upper.value == pytest.approx(value, abs=1e-12)
    assert lower.exact
    assert upper.exact


@pytest.mark.parametrize("text", ["P(Y[X=1]=1)", "P(Y=1)"])
def test_what_the_front_door_identifies_is_a_point(text):
    rng = np.random.default_rng(0)
    truth = {u.name: rng.dirichlet(np.ones(FRONTDOOR.card(u.name))) for u in FRONTDOOR.exogenous}
    full = FullModel(FRONTDOOR, truth)
    cells = {c: 1e4 * p for c, p in np.ndenumerate(full.distribution(*FRONTDOOR.variables)) if p > 0}
    lower, upper = find(text, FRONTDOOR, arms_of(study(FRONTDOOR, (), cells), FRONTDOOR))
    assert lower.value == pytest.approx(upper.value, abs=1e-8)
    assert lower.value == pytest.approx(full.evaluate(text), abs=1e-8)


@pytest.mark.parametrize("model", [IV, LADDER, DRUG], ids=["iv", "ladder", "drug"])
def test_the_truth_lies_within_the_bounds_of_data_that_are_exactly_as_likely(model):
    rng = np.random.default_rng(2)
    truth = {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}
    full = FullModel(model, truth)
    cells = {c: 1e4 * p for c, p in np.ndenumerate(full.distribution(*model.variables)) if p > 0}
    arms = arms_of(study(model, (), cells), model)
    a, b = model.variables[-2:]
    (a0, a1), (b0, b1) = model.states[a], model.states[b]
    for text in (f"P({b}[{a}='{a0}']={b0}, {b}[{a}='{a1}']={b1})", f"P({b}[{a}='{a1}']={b1} | {a}='{a0}', {b}={b0})"):
        lower, upper = find(text, model, arms)
        assert lower.value - 1e-8 <= full.evaluate(text) <= upper.value + 1e-8


def _moved(learned, noise, seed):
    """The same with fitted chances off by a relative noise, as on another processor, or as a search that stopped."""
    rng = np.random.default_rng(seed)
    groups = []
    for fit in learned.groups:
        chances = [c * (1 + noise * rng.normal(size=c.shape)) for c in fit.best]
        groups.append(fit._replace(best=tuple(c / c.sum(axis=1, keepdims=True) for c in chances)))
    return learned._replace(groups=tuple(groups))


@pytest.mark.parametrize("seed", range(10))
def test_what_is_proven_does_not_depend_on_the_last_digits_of_the_fit(seed):
    """Counts with a rare pattern (vitamin A): rounding leaves a gap of the likelihood that proves nothing."""
    model = Model.parse("Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}")
    cells = {
        (0, 0, 0): 74.0,
        (0, 0, 1): 11514.0,
        (1, 0, 0): 34.0,
        (1, 0, 1): 2385.0,
        (1, 1, 0): 12.0,
        (1, 1, 1): 9663.0,
    }
    likelihood, learned = learn_arms(model, arms_of(study(model, (), cells), model))
    text = "P(Y[X=1]=1) - P(Y[X=0]=1)"
    rounded = open_sharp(text, model, likelihood).find(_moved(learned, 2e-16, seed), 0)
    assert all(end.exact for end in rounded)
    stopped = open_sharp(text, model, likelihood).find(_moved(learned, 1e-4, seed), 0)
    assert not any(end.exact for end in stopped)


def _ladder_with_a_huge_arm(weight):
    """Two causes that a NULL ties, few records, and one cell of a trial that outweighs them."""
    model = Model.parse("X -> M -> Y; X -> Y; U: X, Y; V: M; X {0, 1}; M {0, 1}; Y {0, 1}")
    arms = arms_of(study(model, (), {(0, 0, 0): 1.0, (1, 0, 0): 1.0, (1, 1, 1): 3.0}, "obs"), model)
    trial = {(0, 0, 0): weight, (1, -1, 0): 1.0, (1, 0, 0): 1.0, (1, 1, 0): 1.0}
    return model, arms + arms_of(study(model, ("X",), trial, "trial"), model)


HUGE_ARMS = {
    1.0: ("P(Y[M=1]=1 | M=0, Y=0)", "PNS(M=1, Y=1)", "P(Y[X=1]=1)"),
    1e4: ("P(Y[X=1]=1)",),
    1e10: ("PNS(M=1, Y=1)",),
}


@pytest.mark.parametrize("weight", HUGE_ARMS)
def test_outer_bounds_hold_every_model_that_is_at_least_as_likely(weight):
    model, arms = _ladder_with_a_huge_arm(weight)
    likelihood, learned = learn_arms(model, arms, restarts=2)
    other = learn(likelihood, draw_chances(likelihood, 1, 45, "dirichlet(0.1)"), Effort())
    chances = {u.name: other.chances[u.name][0] for u in model.exogenous}
    logliks = [loglik_at(likelihood, {u: c[r][None] for u, c in chances.items()}) for r in range(45)]
    for text in HUGE_ARMS[weight]:
        ends = open_sharp(text, model, likelihood).find(learned, 0)
        found = Compiled(query(text), model)(chances)
        held = (found.evidence > 1e-6) & (np.array(logliks) >= learned.loglik[0])
        assert np.all(ends[0].outer - 1e-6 <= found.value[held])
        assert np.all(found.value[held] <= ends[1].outer + 1e-6)


@pytest.mark.parametrize("weight", [1.0, 1e10])
def test_what_is_the_same_in_every_model_is_proven_whatever_the_fit(weight):
    model, arms = _ladder_with_a_huge_arm(weight)
    lower, upper = find("P(Y[M=1] IN (0, 1))", model, arms)
    assert (lower.value, upper.value) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert (lower.outer, upper.outer) == pytest.approx((1.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("after", [0, 3, 8])
def test_a_time_limit_stops_the_search_among_causes_that_share_patterns(after):
    model, arms = _ladder_with_a_huge_arm(1.0)
    likelihood, learned = learn_arms(model, arms)
    calls = []

    def tick():
        calls.append(None)
        if len(calls) > after:
            raise Timeout("late")

    names = {u.name: u.name for u in model.exogenous}
    sharp = Sharp(query("PNS(M=1, Y=1)"), model, likelihood, names, tick)
    with pytest.raises(Timeout):
        sharp.find(learned, 0)
