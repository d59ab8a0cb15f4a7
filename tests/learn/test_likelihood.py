"""The compiled likelihood against the definition: enumerate the exogenous states, run the equations."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from algorithm1 import run_model
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    DRUG,
    FOLLOWING,
    IV,
    LADDER,
    MULTI,
    SELECTED,
    arms_of,
    define_loglik,
    draw_chances,
    incomplete_arms,
    loglik_at,
    random_arms,
    study,
    table1,
)

from duckemcc.errors import RepeatedName, TooLarge, UnknownName
from duckemcc.learn.emcc import measure
from duckemcc.learn.likelihood import Block, compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.start import draw_starts
from duckemcc.learn.yields import pattern_yields
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel


def record_probability(model, do, record, chances):
    """P(v) under the mutilated model, the intervened variables given: the definition, Eq. (1) summed over u."""
    names = [u.name for u in model.exogenous]
    total = 0.0
    for state in product(*(range(model.card(u)) for u in names)):
        if run_model(model, do, record, dict(zip(names, state, strict=True))):
            total += np.prod([chances[u][s] for u, s in zip(names, state, strict=True)])
    return total


@given(random_arms(), st.integers(0, 99))
def test_the_blocks_give_the_log_likelihood_of_the_definition(problem, seed):
    model, arms = problem
    names = [u.name for u in model.exogenous]
    starts = dict(zip(names, draw_starts("dirichlet(1)", [model.card(u) for u in names], 1, seed), strict=True))
    chances = {u: rows[0] for u, rows in starts.items()}
    expected = sum(
        n * np.log(record_probability(model, arm.do, dict(zip(arm.variables, map(int, codes), strict=True)), chances))
        for arm in arms
        for codes, n in zip(arm.codes, arm.count[0], strict=True)
    )
    total = 0.0
    for group in compile_likelihood(model, arms).groups:
        total += measure(
            tuple(sum_by_class(starts[n], c)[None] for n, c in zip(group.names, group.classes, strict=True)), group
        ).loglik[0, 0]
    assert total == pytest.approx(expected, rel=1e-10)


def test_a_component_that_a_study_does_not_touch_pools_its_counts_over_the_studies():
    model, parts = table1()
    likelihood = compile_likelihood(model, parts["O+I"])
    gender = next(g for g in likelihood.groups if g.names == ("U_Gender",))
    assert len(gender.blocks) == 1
    np.testing.assert_array_equal(gender.blocks[0].count, [[4000.0, 4000.0]])  # female and male, over all three arms


def test_patterns_do_not_grow_with_the_records():
    model, parts = table1()
    small = compile_likelihood(model, parts["O+I"])
    assert [b.yields.shape for g in small.groups for b in g.blocks] == [(16, 64), (2, 2)]
    assert small.n[0] == 8000


def test_states_that_no_pattern_tells_apart_are_collapsed():
    model, parts = table1()
    treatment = next(g for g in compile_likelihood(model, parts["O"]).groups if len(g.classes[0]) == 64)
    assert treatment.cards == (16,)  # given each gender only (t, s) is seen: 4 × 4
    joint = next(g for g in compile_likelihood(model, parts["O+I"]).groups if len(g.classes[0]) == 64)
    assert joint.cards == (64,)


def test_an_intervention_splits_a_component():
    cells = {(0, 0, 0): 2.0, (0, 1, 1): 1.0, (1, 0, 1): 3.0, (1, 1, 0): 1.0}
    arms = arms_of(study(MULTI, ("M",), cells, "trial"), MULTI)
    likelihood = compile_likelihood(MULTI, arms)
    assert [g.names for g in likelihood.groups] == [("U1",), ("U2",)]
    assert all(g.concave for g in likelihood.groups)


def test_records_that_no_exogenous_state_can_yield_are_set_apart():
    model = Model.from_dict(
        {
            "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
            "equations": {"Y": {"table": [1, 0]}},
        }
    )
    likelihood = compile_likelihood(model, [study(model, (), {(0, 1): 5.0, (1, 0): 4.0, (1, 1): 2.0}, "obs")])
    assert [(i.study, i.variables, i.codes, i.count.tolist()) for i in likelihood.impossible] == [
        ("obs", ("X", "Y"), (1, 1), [2.0])
    ]


def test_each_pattern_set_contains_the_states_that_yield_it():
    codes = np.indices((2, 2, 2)).reshape(3, -1).T
    yields = pattern_yields(IV, ("X", "Y"), ("U_X_Y",), IV.variables, codes)
    assert yields.shape == (8, 16)
    for z in (0, 1):  # given the instrument, every state yields exactly one (x, y)
        np.testing.assert_array_equal(yields[codes[:, 0] == z].sum(axis=0), 1)


def test_a_block_that_is_too_large_is_refused_before_it_is_allocated(monkeypatch):
    from duckemcc.learn import yields as module

    monkeypatch.setattr(module, "LARGEST_BLOCK", 100)
    with pytest.raises(
        TooLarge, match=r"component of Treatment, Survival has 64 joint states .* and 8 patterns.*coarsen"
    ):
        compile_likelihood(DRUG, table1()[1]["O"])


# -- distributions of single studies -------------------------------------------------------------


def shift(arm, name, **local):
    return replace(arm, name=name, local=local)


def test_distributions_are_the_models_in_its_order_and_then_those_of_studies_by_name():
    arm = table1()[1]["O"][0]
    arms = [shift(arm, "b", U_Gender="G@b"), shift(arm, "a", U_Gender="G@a", U_Treatment_Survival="A@a")]
    likelihood = compile_likelihood(DRUG, arms)
    assert list(likelihood.causes) == [*(u.name for u in DRUG.exogenous), "A@a", "G@a", "G@b"]
    assert likelihood.causes["A@a"] == "U_Treatment_Survival"
    assert likelihood.free == ("U_Gender",)  # both studies have their own


def test_studies_with_distributions_of_their_own_throughout_are_learned_each_alone():
    model, parts = table1(gender=False)
    cause = model.exogenous[0].name
    alone = [shift(arm, arm.name, **{cause: f"{cause}@{k}"}) for k, arm in enumerate(parts["O+I"])]
    together = compile_likelihood(model, alone)
    assert [g.names for g in together.groups] == [(f"{cause}@{k}",) for k in range(3)]
    for group, arm in zip(together.groups, parts["O+I"], strict=True):
        (single,) = compile_likelihood(model, [arm]).groups
        np.testing.assert_array_equal(group.blocks[0].yields, single.blocks[0].yields)
        np.testing.assert_array_equal(group.blocks[0].count, single.blocks[0].count)


def test_the_arms_of_a_study_share_its_distribution():
    model, parts = table1(gender=False)
    cause = model.exogenous[0].name
    arms = [shift(arm, arm.name, **{cause: "U@trial"}) for arm in parts["I"]]
    (group,) = compile_likelihood(model, parts["O"] + arms).groups[1:]
    assert group.names == ("U@trial",)
    assert group.blocks[0].count.sum() == 4000


@pytest.mark.parametrize(
    ("local", "error", "message"),
    [
        ({"U_Gendr": "G@a"}, UnknownName, r"'a' has its own distribution of U_Gendr, .*mean .*U_Gender"),
        ({"U_Gender": "Survival"}, RepeatedName, r"'a' calls its own distribution of U_Gender Survival"),
        ({"U_Gender": "U_Gender"}, RepeatedName, r"the name of another variable or distribution"),
        ({"U_Gender": "own", "U_Treatment_Survival": "own"}, RepeatedName, r"U_Treatment_Survival own"),
    ],
)
def test_names_of_distributions_are_checked(local, error, message):
    with pytest.raises(error, match=message):
        compile_likelihood(DRUG, [shift(table1()[1]["O"][0], "a", **local)])


# -- values that were not recorded ---------------------------------------------------------------


@given(incomplete_arms(), st.integers(0, 99))
def test_records_that_lack_values_have_the_probability_of_all_their_completions(problem, seed):
    model, arms, _ = problem
    likelihood = compile_likelihood(model, arms)
    chances = draw_chances(likelihood, seed)
    expected = define_loglik(model, arms, {name: rows[0] for name, rows in chances.items()})
    assert loglik_at(likelihood, chances) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(incomplete_arms(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_studies_does_not_matter(problem, random):
    model, arms, _ = problem
    moved = []
    for arm in arms:
        rows = list(range(len(arm.codes)))
        random.shuffle(rows)
        moved.append(replace(arm, codes=arm.codes[rows], count=arm.count[:, rows]))
    random.shuffle(moved)
    once, again = compile_likelihood(model, arms), compile_likelihood(model, moved)
    for a, b in zip(once.groups, again.groups, strict=True):
        assert a.names == b.names
        for c, d in zip((*a.classes, *a.blocks), (*b.classes, *b.blocks), strict=True):
            for e, f in zip(*(vars(x).values() if isinstance(x, Block) else [x] for x in (c, d)), strict=True):
                np.testing.assert_array_equal(e, f)


def gappy(model, cells, do=(), name="obs", **local):
    """A study's single arm from {codes: count}, None where a value was not recorded."""
    given = {tuple(-1 if c is None else c for c in codes): float(n) for codes, n in cells.items()}
    return replace(study(model, do, given, name), local=local)


def test_an_unmeasured_variable_without_measured_descendants_drops_out():
    arm = gappy(DRUG, {(0, 0, None): 3, (1, 0, None): 2, (1, 1, None): 1})
    likelihood = compile_likelihood(DRUG, [arm])
    assert [g.names for g in likelihood.groups] == [("U_Treatment_Survival",), ("U_Gender",)]
    assert likelihood.groups[0].cards == (4,)  # what Treatment does under either gender
    nothing = compile_likelihood(DRUG, [gappy(DRUG, {(0, None, None): 3, (None, None, None): 2})])
    assert nothing.free == ("U_Treatment_Survival",)
    assert nothing.n[0] == 5


def test_a_latent_variable_ties_the_components_around_it():
    chain = Model.parse("X -> M -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
    cells = {(x, None, y): 1.0 for x in (0, 1) for y in (0, 1)}
    likelihood = compile_likelihood(chain, [gappy(chain, cells)])
    assert [g.names for g in likelihood.groups] == [("U_X",), ("U_M", "U_Y")]
    longer = Model.parse("X -> M -> N -> Y; X {0, 1}; M {0, 1}; N {0, 1}; Y {0, 1}")
    two = compile_likelihood(longer, [gappy(longer, {(x, None, None, y): 1.0 for x, _, y in cells})])
    assert [g.names for g in two.groups] == [("U_X",), ("U_M", "U_N", "U_Y")]


def test_a_latent_mediator_loses_nothing_against_the_model_without_it():
    chain = Model.parse("X -> M -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
    direct = Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    cells = {(0, 0): 30.0, (0, 1): 10.0, (1, 0): 7.0, (1, 1): 53.0}
    arms = [gappy(chain, {(x, None, y): n for (x, y), n in cells.items()})]
    with_latent = learn(likelihood := compile_likelihood(chain, arms), draw_chances(likelihood, restarts=5), Effort())
    without = learn(other := compile_likelihood(direct, [gappy(direct, cells)]), draw_chances(other), Effort())
    assert with_latent.loglik[0] == pytest.approx(without.loglik[0], rel=1e-9)


def test_a_value_that_follows_from_recorded_ones_ties_nothing():
    cells = {(x, None, None, y): 1.0 for x in (0, 1, 2) for y in (0, 1)}
    likelihood = compile_likelihood(FOLLOWING, [gappy(FOLLOWING, cells)])
    assert [g.names for g in likelihood.groups] == [("UX",), ("UY",)]
    assert likelihood.groups[1].blocks[0].count.tolist() == [[2.0, 2.0, 1.0, 1.0]]  # N = 0 where X > 0
    lost = compile_likelihood(FOLLOWING, [gappy(FOLLOWING, {(None, None, None, y): 1.0 for y in (0, 1)})])
    assert [g.names for g in lost.groups] == [("UX", "UY")]


def test_records_that_no_completion_can_yield_are_set_apart():
    arm = gappy(FOLLOWING, {(None, 0, 0, None): 4, (None, 0, 1, 1): 2, (2, 0, None, 1): 1})
    likelihood = compile_likelihood(FOLLOWING, [arm])
    assert [(i.variables, i.codes, i.count.tolist()) for i in likelihood.impossible] == [
        (("X", "M"), (2, 0), [1.0]),
        (("M", "N"), (0, 0), [4.0]),
    ]


def test_dropped_records_tell_how_likely_it_is_to_be_dropped():
    """The selector construction: kept records have S=1, dropped ones S=0 and nothing else; another study lacks S."""
    kept = gappy(SELECTED, {(0, 0, 1): 20, (1, 0, 1): 30, (1, 1, 1): 25, (None, None, 0): 25}, name="kept")
    other = gappy(SELECTED, {(a, b, None): 5 for a in (0, 1) for b in (0, 1)}, name="other")
    likelihood = compile_likelihood(SELECTED, [kept, other])
    chances = draw_chances(likelihood)
    expected = define_loglik(SELECTED, [kept, other], {"U": chances["U"][0]})
    assert loglik_at(likelihood, chances) == pytest.approx(expected, rel=1e-12)
    alone = compile_likelihood(SELECTED, [kept])
    learned = learn(alone, draw_chances(alone, restarts=3), Effort())
    dropped = FullModel(SELECTED, {"U": learned.best["U"][0]}).distribution("A", "B")[0, 1]
    assert dropped == pytest.approx(0.25)  # A=0, B=1 is what the rule drops


def test_states_that_act_alike_on_what_is_there_are_merged_before_they_are_enumerated(monkeypatch):
    from duckemcc.learn import yields as module

    monkeypatch.setattr(module, "LARGEST_BLOCK", 100)
    arms = [gappy(DRUG, {(g, t, None): 1.0 for g in (0, 1) for t in (0, 1)})]  # 4 patterns × 64 states
    assert compile_likelihood(DRUG, arms).groups[0].cards == (4,)


def test_completions_that_an_unmeasured_variable_makes_too_many_are_refused_with_its_name(monkeypatch):
    from duckemcc.learn import pooling as module

    monkeypatch.setattr(module, "MOST_COMPLETIONS", 7)
    arms = [gappy(LADDER, {(a, None, c, None): 1.0 for a in (0, 1) for c in (0, 1)})]
    with pytest.raises(TooLarge, match=r"4 patterns without a value of B.*measure"):
        compile_likelihood(LADDER, arms)


def test_yields_do_not_depend_on_how_many_patterns_are_worked_out_at_a_time(monkeypatch):
    from duckemcc.learn import yields as module

    arms = [gappy(LADDER, {(a, None, None, d): 1.0 for a in (0, 1) for d in (0, 1)})]
    together = compile_likelihood(LADDER, arms).groups[1].blocks[0].yields
    monkeypatch.setattr(module, "CHUNK", 1)
    np.testing.assert_array_equal(compile_likelihood(LADDER, arms).groups[1].blocks[0].yields, together)
