"""The independences that a graph implies: which are claimed, how each is tested, and the verdict on all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import GAPPY, IV, LADDER, arms_of, study, table1
from test_compatibility import judge

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.verdict.claims import Claim, find_claims
from duckemcc.learn.verdict.independence import Design, adjust, examine_claims
from duckemcc.learn.verdict.permutation import Margin, examine
from duckemcc.model.generate import random_model
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel

CHAIN = Model.parse("X -> M -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
TRIANGLE = Model.parse("X -> M -> Y; X -> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
A3 = [202, 22, 202, 22, 22, 2, 2, 22, 22, 2, 2, 22, 202, 22, 202, 22]
A3_GRAPH = "A -> X; B -> X; A -> Y; B -> Y; X -> Y; A {0, 1}; B {0, 1}; X {0, 1}; Y {0, 1}"


def whole(model, count, name="study", do=()):
    """An arm with every pattern of the model: count [s, p]."""
    codes = np.indices([model.card(v) for v in model.variables]).reshape(len(model.variables), -1).T
    return StudyCounts(name, model.variables, do, codes, np.atleast_2d(np.asarray(count, float)))


def joint_of(model, seed, do=None):
    rng = np.random.default_rng(seed)
    full = FullModel(model, {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous})
    return full.distribution(*model.variables, **({} if do is None else {"do": do}))


def sampled(model, n, seed, segments=1):
    p = joint_of(model, seed).ravel()
    return whole(model, np.random.default_rng(seed).multinomial(n, p / p.sum(), size=segments))


def a3(graph, scale=1.0):
    model = Model.parse(graph)
    assert model.variables == ("A", "X", "B", "Y")
    order = [("A", "B", "X", "Y").index(v) for v in model.variables]
    cells = {tuple(c[i] for i in order): n * scale for c, n in zip(product((0, 1), repeat=4), A3, strict=True)}
    return model, study(model, (), cells, "records")


# -- which are claimed --------------------------------------------------------------------------


def test_a_pair_is_claimed_given_what_it_needs_and_all_that_is_earlier_together():
    model = Model.parse("A {0, 1}; B {0, 1}; A -> C; B -> D; C -> D; C {0, 1}; D {0, 1}")
    assert find_claims(model, whole(model, np.ones(16))) == (
        Claim("B", ("A",), ()),
        Claim("C", ("B",), ()),
        Claim("C", ("B",), ("A",)),
        Claim("D", ("A",), ("C",)),
        Claim("D", ("A",), ("B", "C")),
    )


def test_a_graph_without_independences_claims_none():
    model, parts = table1()
    assert all(find_claims(model, arm) == () for arm in (*parts["O"], *parts["I"]))


def test_what_lies_inside_a_component_is_left_to_the_gap():
    """A ⊥ C is one of the graph's independences, but B and C have one kernel, of which the gap sees that."""
    model = Model.parse("A -> B; B <-> C; A {0, 1}; B {0, 1}; C {0, 1}")
    assert find_claims(model, whole(model, np.ones(8))) == ()
    violated = np.array([[[400.0, 100.0]] * 2, [[100.0, 400.0]] * 2])
    verdict = judge(model, [whole(model, violated.ravel())])
    assert not verdict.compatible[0]
    assert "component {B, C}" in verdict.fault[0]
    assert find_claims(IV, whole(IV, np.ones(8))) == ()


def test_what_is_set_by_design_is_in_no_claim():
    arm = StudyCounts("t", CHAIN.variables, ("M",), np.array([[0, 1, 0]]), np.ones((1, 1)))
    assert find_claims(CHAIN, arm) == (Claim("Y", ("X",), ()),)


def test_what_is_never_measured_is_in_no_claim():
    arm = study(CHAIN, (), {(0, -1, 0): 9.0, (1, -1, 1): 5.0})
    assert find_claims(CHAIN, arm) == ()
    apart = Model.parse("A -> B; C -> D; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}")
    arm = study(apart, (), {(a, -1, -1, d): 10.0 for a in (0, 1) for d in (0, 1)})
    assert find_claims(apart, arm) == (Claim("D", ("A",), ()),)


def test_a_rule_that_keeps_records_leaves_only_what_is_independent_given_that_it_kept_them():
    model = Model.from_dict(
        {
            "endogenous": {
                **{v: {"states": [0, 1]} for v in "ABCD"},
                "S": {"states": [0, 1], "parents": ["A", "B"]},
            },
            "equations": {"S": {"table": [[0, 1], [1, 1]]}},
        }
    )
    arm = whole(model, np.ones(32))
    claimed = {(c.variable, c.rest) for c in find_claims(model, arm, "S")}
    assert ("B", ("A",)) not in claimed
    assert {("C", ("A",)), ("C", ("B",)), ("D", ("C",))} <= claimed


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_every_claim_holds_in_every_model_of_its_graph(seed):
    """Of random models, with variables set and never measured: to the last digit, so that no true graph is rejected."""
    rng = np.random.default_rng(seed)
    names = list(GAPPY)
    model = random_model(int(rng.integers(4, 7)), rng).model if seed % 2 else GAPPY[names[seed % len(names)]]
    target = model.variables[int(rng.integers(len(model.variables)))] if rng.random() < 0.4 else None
    do = None if target is None else {target: (model.states[target] or ())[0]}
    joint = joint_of(model, seed, do)
    lost = [v for v in model.variables if v != target and rng.random() < 0.2]
    codes = np.argwhere(joint > -1)
    if target is not None:
        codes = codes[codes[:, model.variables.index(target)] == 0]
    count = joint[tuple(codes.T)]
    for v in lost:
        codes[:, model.variables.index(v)] = -1
    arm = StudyCounts("arm", model.variables, () if target is None else (target,), codes, 1e6 * count[None])
    found = examine_claims(model, [arm])
    assert (found.gap < 1e-12).all()
    assert (found.moved < 1e-9).all()


# -- the test of one ----------------------------------------------------------------------------


def by_permutation(x, y):
    """Mean and variance of Q over all permutations of y, from the definition."""
    n = len(x)
    values = []
    for order in permutations(range(n)):
        table = np.zeros((3, 3))
        np.add.at(table, (x, y[list(order)]), 1)
        r, c = table.sum(1), table.sum(0)
        e = np.outer(r, c) / n
        values.append(n * ((table - e) ** 2 / np.outer(r + n**0.5, c + n**0.5)).sum())
    return np.mean(values), np.var(values)


def test_mean_and_variance_are_those_over_all_permutations():
    from duckemcc.learn.verdict import permutation

    x, y = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 0, 1, 0])
    table = np.zeros((3, 3))
    np.add.at(table, (x, y), 1)
    seen = {}
    with pytest.MonkeyPatch.context() as patch:
        keep = permutation._tail
        patch.setattr(permutation, "_tail", lambda *sums: (seen.update(mean=sums[1], var=sums[2]), keep(*sums))[1])
        rows, columns = np.indices((3, 3)).reshape(2, -1)
        examine(Margin(np.zeros(9, np.intp), rows, columns, table.reshape(-1, 1)), pair=True)
    mean, variance = by_permutation(x, y)
    assert seen["mean"][0] == pytest.approx(mean, rel=1e-12)
    assert seen["var"][0] == pytest.approx(variance, rel=1e-10)


def test_the_p_value_is_near_pearsons_where_levels_are_common():
    from scipy.stats import chi2_contingency

    table = np.array([[20, 30], [15, 25], [17, 40]]) * 20.0
    rows, columns = np.indices((3, 2)).reshape(2, -1)
    found = examine(Margin(np.zeros(6, np.intp), rows, columns, table.reshape(-1, 1)), pair=True)
    assert found.p_value[0] == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=0.15)


@pytest.mark.parametrize("n", [200, 1000, 1_000_000])
def test_independent_records_are_rejected_as_seldom_as_they_should(n):
    """Rare levels, twelve strata: the G² of 0.1.0 rejects up to all of them."""
    rng = np.random.default_rng(n)
    codes = np.indices((12, 4, 3)).reshape(3, -1)
    p = np.full(12, 1 / 12)[codes[0]]
    p = (
        p
        * rng.dirichlet([8, 4, 1, 0.1], size=12)[codes[0], codes[1]]
        * rng.dirichlet([5, 1, 1], size=12)[codes[0], codes[2]]
    )
    counts = rng.multinomial(n, p / p.sum(), size=1000).T.astype(float)
    found = examine(Margin(*codes, counts), pair=True)
    assert (found.p_value < 0.01).mean() <= 0.02
    assert (found.p_value < 0.05).mean() <= 0.08


def test_one_direction_is_found_in_strata_of_two_records():
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 2, (2, 400))
    y = np.where(rng.random(400) < 0.5, x, y)
    found = examine(Margin(np.repeat(np.arange(200), 2), x, y, np.ones((400, 1))), pair=True)
    assert found.p_value[0] < 1e-4


def test_the_misfit_is_the_share_out_of_place_without_noise():
    rng = np.random.default_rng(4)
    rows, columns = np.indices((6, 6)).reshape(2, -1)
    p = np.full(36, 1 / 36)
    moved = 0.02 / 36 * 2
    p = p + np.where((rows + columns) % 2 == 0, moved, -moved)
    tv = np.abs(p - 1 / 36).sum() / 2
    counts = rng.multinomial(100_000, p, size=200).T.astype(float)
    found = examine(Margin(np.zeros(36, np.intp), rows, columns, counts), pair=True)
    assert found.misfit.mean() == pytest.approx(tv, rel=0.08)
    none = rng.multinomial(100_000, np.full(36, 1 / 36), size=200).T.astype(float)
    found = examine(Margin(np.zeros(36, np.intp), rows, columns, none), pair=True)
    assert found.misfit.mean() < found.moved.mean() / 3


def test_a_side_of_one_level_leaves_nothing_to_test():
    found = examine(Margin(*np.zeros((2, 2), np.intp), np.arange(2), np.array([[50.0], [60.0]])), pair=True)
    assert (found.tested[0], found.varied[0], found.p_value[0], found.misfit[0]) == (False, False, 1, 0)


def test_a_segment_is_tested_as_it_would_be_alone():
    model = Model.parse("A {0, 1}; B {0, 1, 2}; A -> C; B -> D; C -> D; C {0, 1}; D {0, 1}")
    arm = sampled(model, 300, 5, segments=40)
    together = examine_claims(model, [arm])
    for s in (0, 17):
        own = arm.count[s] > 0
        alone = examine_claims(model, [replace(arm, codes=arm.codes[own], count=arm.count[s : s + 1, own])])
        for name in ("tested", "p_value", "misfit"):
            np.testing.assert_array_equal(getattr(together, name)[:, s], getattr(alone, name)[:, 0])


def test_holms_correction_leaves_out_what_could_not_be_tested():
    p = np.array([[0.01], [0.02], [0.5], [1.0]])
    tested = np.array([[True], [True], [True], [False]])
    np.testing.assert_allclose(adjust(p, tested)[:, 0], [0.03, 0.04, 0.5, 1.0])


# -- the verdict --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.01, None])
def test_roots_that_depend_on_each_other_are_incompatible(level):
    """P(Y=1) would be .299 with misfit 0 and p 1; by the records it is .137."""
    verdict = judge(*(lambda m, a: (m, [a]))(*a3(A3_GRAPH)), level=level)
    assert not verdict.compatible[0]
    assert verdict.p_value[0] < 1e-100
    assert verdict.misfit[0] == pytest.approx(400 / 992, abs=1e-3)
    assert "study 'records', B and A: P(B=0 | A=0) observed 0.903226, P(B=0) 0.5" in verdict.fault[0]
    assert "A -> B" in verdict.reason[0]
    assert "U: A, B" in verdict.reason[0]
    assert verdict.loglik_gap[0] < 1e-9


@pytest.mark.parametrize("more", ["A -> B", "U: A, B", "A <-> B"])
def test_what_the_message_proposes_is_compatible(more):
    model, arm = a3(f"{A3_GRAPH}; {more}")
    for level in (0.01, None):
        assert judge(model, [arm], level=level).compatible[0]


@pytest.mark.parametrize("level", [0.01, None])
def test_records_that_follow_the_graph_exactly_are_compatible(level):
    for model in (CHAIN, LADDER, IV):
        assert judge(model, [whole(model, 1e5 * joint_of(model, 1).ravel())], level=level).compatible[0]


def test_a_missing_arc_is_noticed_and_the_condition_named():
    verdict = judge(CHAIN, [sampled(TRIANGLE, 5000, 2)])
    assert not verdict.compatible[0]
    assert "Y and X given M: P(Y=" in verdict.fault[0]
    assert "X -> Y" in verdict.reason[0]
    assert "U: X, Y" in verdict.reason[0]
    assert judge(TRIANGLE, [sampled(TRIANGLE, 5000, 2)]).compatible[0]


def test_parity_of_two_roots_is_noticed_by_the_joint_claim():
    model = Model.parse("A {0, 1}; B {0, 1}; C {0, 1}")
    cells = {c: 100.0 if c[0] ^ c[1] == c[2] else 0.0 for c in product((0, 1), repeat=3)}
    verdict = judge(model, [study(model, (), cells, "obs")])
    assert not verdict.compatible[0]
    assert "C and A and B together" in verdict.fault[0]
    assert "A -> C; B -> C" in verdict.reason[0]


def test_a_shared_cause_is_proposed_with_all_that_share_one_already():
    model = Model.parse("A <-> C; C -> B; A -> B; D {0, 1}; A {0, 1}; B {0, 1}; C {0, 1}; U {0, 1}; U -> B")
    rng = np.random.default_rng(0)
    arm = whole(model, rng.permuted(np.arange(1, 33) ** 2.0))
    claims = examine_claims(model, [arm])
    from duckemcc.learn.verdict.violation import _share

    about = next(c for c in claims.claim if c.is_pair and {c.variable, *c.rest} == {"A", "D"})
    text = _share(model, about)
    assert text == "U_A_D: A, C, D in place of U_A_C"


def test_misfit_and_p_value_are_those_of_one_test():
    """A violated instrumental inequality beside roots that depend: the one with the larger misfit."""
    from test_compatibility import VIOLATED

    model = Model.parse("Z -> X -> Y; X <-> Y; W {0, 1}; Z {0, 1}; X {0, 1}; Y {0, 1}")
    assert model.variables == ("Z", "X", "Y", "W")
    for share, which in ((0.6, "component"), (0.99, "W and Z")):
        cells = {}
        for (z, x, y), n in VIOLATED.items():
            for w in (0, 1):
                cells[z, x, y, w] = 1000 * n * (share if w == z else 1 - share)
        verdict = judge(model, [study(model, (), cells, "obs")])
        assert not verdict.compatible[0]
        assert which in verdict.fault[0]
        assert "W independent of Z" in verdict.reason[0]
        assert "'obs' contradict the graph by themselves" in verdict.reason[0]


def test_a_trials_arms_are_strata_of_one_test_and_studies_are_not_pooled():
    """Both arms agree with the graph, one margin of both does not."""
    model = Model.parse("X -> A; X -> B; X {0, 1}; A {0, 1}; B {0, 1}")
    cells = {}
    for x, (p, q) in enumerate(((0.1, 0.1), (0.9, 0.9))):
        for a, b in product((0, 1), repeat=2):
            cells[x, a, b] = 1000 * (p if a else 1 - p) * (q if b else 1 - q)
    arms = arms_of(study(model, ("X",), cells, "trial"), model)
    design = Design(("trial", "trial"), {})
    found = examine_claims(model, arms, design)
    assert len(found.claim) == 1
    assert found.gap.max() < 1e-12
    apart = examine_claims(model, arms)
    assert apart.study == ("trial[X=0]", "trial[X=1]")
    assert judge(model, arms, level=None, design=design).compatible[0]


@pytest.mark.parametrize(("nulls", "compatible"), [("mar", True), ("mcar", False)])
def test_what_missing_values_could_explain_is_no_violation(nulls, compatible):
    """A and B are independent; where both are 1, A is missing in half of the records."""
    model = Model.parse("A {0, 1}; B {0, 1}")
    cells = dict.fromkeys(product((0, 1), repeat=2), 1000.0)
    cells[1, 1] = 500.0
    cells[-1, 1] = 500.0
    arm = study(model, (), cells)
    found = examine_claims(model, [arm], nulls=nulls)
    assert bool(found.misfit[0, 0] <= 0.01) is compatible
    assert examine_claims(model, [arm], nulls="mar").gap[0, 0] == 0


def test_records_that_lack_a_value_do_not_hide_a_large_violation():
    model = Model.parse("A {0, 1}; B {0, 1}")
    cells = {(0, 0): 400.0, (0, 1): 100.0, (1, 0): 100.0, (1, 1): 400.0, (-1, 1): 20.0}
    verdict = judge(model, [study(model, (), cells)])
    assert not verdict.compatible[0]
    assert verdict.misfit[0] == pytest.approx(0.3 - 2 * 20 / 1020, abs=2e-3)
    assert "those that have these values" in verdict.reason[0]


def test_too_few_records_are_not_tested():
    model = Model.parse("A {0, 1}; B {0, 1}")
    verdict = judge(model, [study(model, (), {(0, 0): 1.0, (1, 1): 1.0})])
    assert (verdict.compatible[0], verdict.independences[0]) == (True, 0)
    exact = judge(model, [study(model, (), {(0, 0): 0.5, (1, 1): 0.5})], level=None)
    assert (exact.compatible[0], exact.independences[0]) == (False, 1)


def test_true_graphs_are_rejected_as_seldom_as_they_should():
    """All claims of a graph together, before any misfit is asked for."""
    chain = Model.parse("A -> B -> C -> D; " + "; ".join(f"{v} {{0, 1, 2}}" for v in "ABCD"))
    found = examine_claims(chain, [sampled(chain, 300, 6, segments=2000)])
    smallest = adjust(found.p_value, found.tested).min(axis=0)
    assert (smallest < 0.01).mean() <= 0.02
    assert (smallest < 0.05).mean() <= 0.08


def test_a_violation_of_a3s_size_is_found_in_samples_of_a_thousand():
    model, arm = a3(A3_GRAPH)
    counts = np.random.default_rng(7).multinomial(1000, arm.count[0] / arm.count[0].sum(), size=1000)
    found = examine_claims(model, [replace(arm, count=counts.astype(float))])
    assert ((adjust(found.p_value, found.tested) < 0.01) & (found.misfit > 0.01)).any(axis=0).mean() >= 0.99
