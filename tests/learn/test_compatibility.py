"""M-compatibility: the saturated log-likelihood, the verdict, and who is to blame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import DRUG, IV, TWO, arms_of, random_arms, study, table1
from test_emcc import starts_of

from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.verdict import network
from duckemcc.learn.verdict.compatibility import check
from duckemcc.learn.verdict.saturated import degrees_of_freedom, fit_factor, saturate, saturated_loglik
from duckemcc.model.scm import Model

VIOLATED = {  # Pearl 1995: Σ_y max_z P(x0, y | z) = 1.75 > 1
    (0, 0, 0): 0.45, (0, 0, 1): 0.01, (0, 1, 0): 0.02, (0, 1, 1): 0.02,
    (1, 0, 0): 0.025, (1, 0, 1): 0.425, (1, 1, 0): 0.025, (1, 1, 1): 0.025,
}  # fmt: skip


def judge(model, arms, level=0.01, tolerance=0.01, **more):
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, starts_of(model), Effort())
    return check(likelihood, arms, learned.loglik, learned.best, level=level, tolerance=tolerance, **more)


def scaled(cells, n):
    return {k: v * n for k, v in cells.items()}


@pytest.mark.parametrize("gender", [True, False])
@pytest.mark.parametrize("part", ["O", "I", "O+I"])
def test_table_1_is_exactly_compatible(part, gender):
    model, parts = table1(gender)
    verdict = judge(model, parts[part], level=None)
    assert verdict.compatible[0]
    assert verdict.loglik_gap[0] < 1e-6
    assert verdict.misfit[0] < 1e-6
    assert verdict.fault == [None]


@settings(max_examples=12)
@given(random_arms())
def test_causes_with_many_states_are_judged_by_those_with_chances(problem):
    model, arms = problem
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, starts_of(model), Effort(spread=False))
    narrow, wide = [], []
    for found, limit in ((narrow, network.WIDE), (wide, 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network, "WIDE", limit)
            found.append(check(likelihood, arms, learned.loglik, learned.best, level=0.01, tolerance=0.01))
    np.testing.assert_allclose(wide[0].misfit, narrow[0].misfit, atol=1e-12)
    assert wide[0].compatible.tolist() == narrow[0].compatible.tolist()


def test_an_instrumental_inequality_violation_inside_a_single_study_is_caught():
    arms = [study(IV, (), scaled(VIOLATED, 1000), "obs")]
    verdict = judge(IV, arms)
    assert not verdict.compatible[0]
    assert "study 'obs', component {X" in verdict.fault[0]
    assert "'obs' contradict the graph by themselves" in verdict.reason[0]


def test_studies_that_only_together_contradict_each_other_are_told_apart_from_a_bad_study():
    half = {(0, 0): 250.0, (0, 1): 250.0, (1, 0): 250.0, (1, 1): 250.0}
    trial = {(0, 0): 50.0, (0, 1): 950.0, (1, 0): 50.0, (1, 1): 950.0}
    arms = [study(TWO, (), half, "registry"), *arms_of(study(TWO, ("Treatment",), trial, "trial"), TWO)]
    verdict = judge(TWO, arms, every_study=True)
    assert not verdict.compatible[0]
    assert "each study agrees with the graph, but together they contradict each other" in verdict.reason[0]
    assert all(test.compatible[0] for test in verdict.studies)


def test_the_verdict_needs_both_significance_and_misfit():
    arms = [study(IV, (), scaled(VIOLATED, 1000), "obs")]
    assert judge(IV, arms, tolerance=0.9).compatible[0]
    few = [study(IV, (), scaled(VIOLATED, 2), "obs")]
    verdict = judge(IV, few)
    assert verdict.compatible[0]
    assert verdict.p_value[0] > 0.01
    assert not judge(IV, few, level=None).compatible[0]


def test_impossible_records_are_incompatible_at_any_level():
    model = Model.from_dict(
        {
            "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
            "equations": {"Y": {"table": [1, 0]}},
        }
    )
    arms = [study(model, (), {(0, 1): 5e6, (1, 0): 4e6, (1, 1): 1.0}, "obs")]
    verdict = judge(model, arms)
    assert not verdict.compatible[0]
    assert verdict.loglik_gap[0] == np.inf
    assert "P(Y=1 | X=1)" in verdict.fault[0]
    assert "1 records cannot occur" in verdict.reason[0]


@given(random_arms())
def test_the_saturated_log_likelihood_is_never_below_that_of_the_model(problem):
    model, arms = problem
    likelihood = compile_likelihood(model, arms)
    learned = learn(likelihood, starts_of(model), Effort(max_steps=400))
    assert saturated_loglik(saturate(model, arms), 1)[0] >= learned.loglik[0] - 1e-9 * likelihood.n[0]


@given(random_arms(), st.integers(0, 9))
def test_the_fitted_factors_multiply_to_the_likelihood_of_the_model(problem, seed):
    """Tian's chain rule: Σ n log P(v | w_V) over the factors is the log-likelihood, at any chances."""
    from duckemcc.learn.emcc import measure

    model, arms = problem
    starts = starts_of(model, restarts=1, seed=seed)
    factors = saturate(model, arms)
    chained = sum((f.count * np.log(fit_factor(model, f, starts))).sum() for f in factors)
    total = 0.0
    for g in compile_likelihood(model, arms).groups:
        own = tuple(sum_by_class(starts[n], c)[None] for n, c in zip(g.names, g.classes, strict=True))
        total += measure(own, g).loglik[0, 0]
    assert chained == pytest.approx(total, rel=1e-9)


def test_contexts_are_tians_minimal_sets():
    frontdoor = Model.parse("X -> M -> Y; X <-> Y; X {0, 1}; M {0, 1}; Y {0, 1}")
    arm = study(frontdoor, (), {tuple(map(int, c)): 1.0 for c in np.indices((2, 2, 2)).reshape(3, -1).T})
    assert {f.variables: f.scope[:-1] for f in saturate(frontdoor, [arm])} == {
        ("X",): (),
        ("M",): ("X",),
        ("Y",): ("X", "M"),
    }
    assert degrees_of_freedom(saturate(frontdoor, [arm]), 1)[0] == 1 + 2 + 4


def test_an_intervened_variable_has_no_factor():
    model, parts = table1()
    assert {f.variables for f in saturate(model, parts["I"])} == {("Gender",), ("Survival",)}


def test_the_p_value_is_one_for_exact_data_and_tiny_for_a_gross_contradiction():
    model, parts = table1(gender=False)
    assert judge(model, parts["O+I"]).p_value[0] == pytest.approx(1)
    assert judge(IV, [study(IV, (), scaled(VIOLATED, 1e5), "obs")]).p_value[0] < 1e-100


@given(random_arms(names=("two", "iv")), st.sampled_from([2.0, 16.0]))
def test_the_gap_scales_with_the_counts_and_the_misfit_does_not(problem, factor):
    model, arms = problem
    from dataclasses import replace

    more_arms = [replace(a, count=a.count * factor) for a in arms]
    once, more = (
        judge(model, own, tolerance=1.0) for own in (arms, more_arms)
    )  # no claim fails, whose noise does scale
    assert more.loglik_gap[0] == pytest.approx(factor * once.loglik_gap[0], rel=1e-6, abs=1e-6)
    assert more.misfit[0] == pytest.approx(once.misfit[0], abs=1e-6)


def test_the_test_holds_its_size_on_compatible_random_studies():
    """Conservative: at level .05 a compatible bow model with a trial is rejected in at most .05 of samples (here:
    of 200)."""
    rng = np.random.default_rng(11)
    truth = rng.dirichlet(np.ones(8))
    from duckemcc.learn.yields import pattern_yields

    codes = np.indices((2, 2)).reshape(2, -1).T
    both = pattern_yields(TWO, ("Treatment", "Survival"), ("U_Treatment_Survival",), TWO.variables, codes) @ truth
    alone = (pattern_yields(TWO, ("Survival",), ("U_Treatment_Survival",), TWO.variables, codes) @ truth).reshape(2, 2)
    from duckemcc.learn.counts import StudyCounts

    def arm(name, do, rows, p, n):
        return StudyCounts(
            name=name, variables=TWO.variables, do=do, codes=rows, count=rng.multinomial(n, p, size=200).astype(float)
        )

    arms = [arm("obs", (), codes, both / both.sum(), 1000)]
    arms += [arm(f"trial {t}", ("Treatment",), codes[codes[:, 0] == t], alone[t] / alone[t].sum(), 500) for t in (0, 1)]
    rejected = judge(TWO, arms, level=0.05, tolerance=0.0).p_value < 0.05
    assert rejected.mean() <= 0.05


def test_a_component_with_several_exogenous_variables_is_judged_by_the_best_restart():
    """M ignores Y's cause U2 here, so data in which M and Y depend on each other cannot be fitted."""
    model = Model.from_dict(
        {
            "endogenous": {"X": {"states": [0, 1]}, "M": {"states": [0, 1]}, "Y": {"states": [0, 1]}},
            "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": 2}},
            "equations": {
                "X": {"table": [0, 0, 1, 1]},
                "M": {"table": [[0, 0], [1, 1], [0, 0], [1, 1]]},
                "Y": {"table": [0, 1]},
            },
        }
    )
    agree = {tuple(map(int, c)): 400.0 if c[1] == c[2] else 100.0 for c in np.indices((2, 2, 2)).reshape(3, -1).T}
    even = dict.fromkeys(agree, 250.0)
    assert judge(model, [study(model, (), even, "obs")], level=None).compatible[0]
    verdict = judge(model, [study(model, (), agree, "obs")])
    assert not verdict.compatible[0]
    # the mutual information of M and Y is what is lost
    assert verdict.loglik_gap[0] == pytest.approx(2000 * (0.8 * np.log(1.6) + 0.2 * np.log(0.4)), rel=1e-6)


def test_segments_are_judged_one_by_one():
    from dataclasses import replace

    good, bad = (
        judge(IV, [study(IV, (), dict.fromkeys(VIOLATED, 100.0))]),
        judge(IV, [study(IV, (), scaled(VIOLATED, 1000))]),
    )
    arm = study(IV, (), dict.fromkeys(VIOLATED, 100.0))
    both = replace(arm, count=np.stack([arm.count[0], study(IV, (), scaled(VIOLATED, 1000)).count[0]]))
    verdict = judge(IV, [both])
    np.testing.assert_array_equal(verdict.compatible, [good.compatible[0], bad.compatible[0]])
    np.testing.assert_array_equal(verdict.loglik_gap, [good.loglik_gap[0], bad.loglik_gap[0]])


def test_the_drug_example_keeps_its_arms_apart():
    model, parts = table1()
    verdict = judge(model, parts["O+I"], every_study=True)
    assert [t.name for t in verdict.studies] == ["obs", "trial[Treatment=drug]", "trial[Treatment=no drug]"]
    assert DRUG is model
