"""Queries as networks, against enumeration of all exogenous states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import QueryError, TooLarge, UnknownName
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.language import query
from duckemcc.query.named import expand
from duckemcc.query.worlds import Worlds, find_ancestors

MEDIATION = Model.parse("X -> M -> Y; X -> Y; M <-> Y; X {0, 1}; M {a, b, c}; Y {no, yes}")
DRUG = Model.parse("G -> T -> S; G -> S; T <-> S; G {f, m}; T {drug, none}; S {alive, dead}")
MULTI = Model.from_dict(
    {
        "endogenous": {
            "X": {"states": [0, 1]},
            "M": {"states": [0, 1]},
            "Y": {"states": [0, 1], "parents": ["X", "M"]},
        },
        "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": 4}},
        "equations": {
            "X": {"table": [0, 0, 1, 1]},
            "M": {"table": [[(i + j) % 2 for j in range(4)] for i in range(4)]},
            "Y": {"table": [[[0, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, 1]], [[1, 1], [0, 1]]]},
        },
    }
)


def draw(model, seed, restarts=3):
    rng = np.random.default_rng(seed)
    return {u.name: rng.dirichlet(np.ones(model.card(u.name)), size=restarts) for u in model.exogenous}


def outcome_value(model, outcome, state):
    """The potential outcome's value at one joint exogenous state, by running the (nested) worlds: the definition."""
    set_to = {}
    for s in outcome.do:
        set_to[s.name] = (
            model.states[s.name].index(s.value) if isinstance(s.value, str) else outcome_value(model, s.value, state)
        )
    value = {}
    for v in model.order:
        value[v] = (
            set_to[v]
            if v in set_to
            else int(model.table(v)[(*(state[u] for u in model.causes[v]), *(value[p] for p in model.parents[v]))])
        )
    return value[outcome.name]


def holds(model, event, state):
    return all(
        (model.states[a.outcome.name][outcome_value(model, a.outcome, state)] in a.values) != a.negated for a in event
    )


def enumerate_query(model, text, chances, restart):
    combination = expand(query(text), model.states, model.parents)
    names = list(chances)
    top, bottom = combination.constant, 0.0
    sums = np.zeros(len(combination.terms))
    for joint in product(*(range(model.card(u)) for u in names)):
        state = dict(zip(names, joint, strict=True))
        p = np.prod([chances[u][restart, i] for u, i in state.items()])
        if holds(model, combination.given, state):
            bottom += p
            sums += [p * holds(model, event, state) for _, event in combination.terms]
    return top + sum(c * s for (c, _), s in zip(combination.terms, sums, strict=True)) / bottom


CASES = [
    (DRUG, "PNS(T=drug vs none, S=alive)"),
    (DRUG, "PNS(T=drug, S=alive | G=f)"),
    (DRUG, "PN(T=drug, S=alive)"),
    (DRUG, "PS(T=drug, S=alive | G=m)"),
    (DRUG, "PD(T=drug, S=alive) "),
    (DRUG, "PE(T=drug, S=alive)"),
    (DRUG, "ACE(T=drug, S=alive)"),
    (DRUG, "ETT(T=drug, S=alive)"),
    (DRUG, "P(S=alive)"),
    (DRUG, "P(S[T=drug]=alive | T=none, S=dead)"),
    (DRUG, "0.25 + 2*P(S=alive, T=drug) - P(S[T=drug, G=f]=alive)"),
    (DRUG, "P(S[G=f]=alive, T[G=m]=drug)"),
    (MEDIATION, "CDE(X=1 vs 0, Y=yes, M=b)"),
    (MEDIATION, "NDE(X=1 vs 0, Y=yes)"),
    (MEDIATION, "NIE(X=1 vs 0, Y=yes)"),
    (MEDIATION, "P(Y[X=1, M=M[X=0]]=yes, M[X=0] IN (a, b), Y[X=0] != yes)"),
    (MEDIATION, "P(Y[M=M[]]=yes | M != c)"),
    (MEDIATION, "P(Y[X=1]=yes, Y[X=0]=no, Y=yes, M NOT IN (a))"),
    (MULTI, "PNS(X=1, Y=1)"),
    (MULTI, "P(Y[X=1]=1, Y[X=0]=0, M=1 | X=0)"),
    (MULTI, "P(Y[X=1, M=M[X=0]]=1, M[X=1]=0)"),
]


@pytest.mark.parametrize(("model", "text"), CASES, ids=[t for _, t in CASES])
def test_contraction_equals_enumeration_of_the_exogenous_states(model, text):
    chances = draw(model, 4)
    found = Compiled(query(text), model)(chances)
    for r in range(3):
        assert found.value[r] == pytest.approx(enumerate_query(model, text, chances, r), rel=1e-10, abs=1e-13)


@given(st.integers(0, 1000))
def test_an_effect_splits_into_its_indirect_and_direct_parts(seed):
    """ACE = NDE − NIE with the roles of x and x0 changed (Pearl 2001)."""
    chances = draw(MEDIATION, seed)
    ace, nde, back = (
        Compiled(query(t), MEDIATION)(chances).value
        for t in ("ACE(X=1 vs 0, Y=yes)", "NDE(X=1 vs 0, Y=yes)", "NIE(X=0 vs 1, Y=yes)")
    )
    np.testing.assert_allclose(ace, nde - back, atol=1e-12)


@given(st.integers(0, 1000))
def test_probabilities_of_an_event_and_its_complement_add_to_one(seed):
    chances = draw(DRUG, seed)
    a, b = (
        Compiled(query(t), DRUG)(chances).value
        for t in ("P(S[T=drug]=alive, T=none)", "1 - P(S[T=drug]=alive, T=none)")
    )
    np.testing.assert_allclose(a + b, 1, atol=1e-12)
    assert ((a >= 0) & (a <= 1)).all()


def test_what_cannot_happen_has_probability_zero_and_what_must_has_one():
    chances = draw(DRUG, 0)
    for text, value in (("P(S[T=drug]=alive, S[T=drug]=dead)", 0.0), ("P(S IN (alive, dead))", 1.0)):
        np.testing.assert_allclose(Compiled(query(text), DRUG)(chances).value, value, atol=1e-12)


def test_a_natural_value_changes_nothing():
    chances = draw(MEDIATION, 1)
    a, b = (Compiled(query(t), MEDIATION)(chances).value for t in ("P(Y[M=M[]]=yes)", "P(Y=yes)"))
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_interventions_that_do_not_reach_the_outcome_make_no_new_world():
    event = expand(query("P(G[T=drug]=f, G[S=dead]=f)"), DRUG.states, DRUG.parents).terms[0][1]
    assert len(find_ancestors(Worlds(DRUG).resolve_event(event))) == 1


def test_components_are_never_enumerated_jointly():
    """Forty exogenous variables with 4 states each (10^24 joint states) take a moment."""
    chain = " -> ".join(f"V{i}" for i in range(41))
    model = Model.parse(chain + "\n" + "\n".join(f"V{i} {{0, 1}}" for i in range(41)))
    chances = draw(model, 0, restarts=4)
    found = Compiled(query("PNS(V0=1, V40=1)"), model)(chances)
    assert ((found.value >= 0) & (found.value <= 1)).all()
    worlds = np.zeros((4, 2, 2))  # the joint distribution of V_i in the two worlds, propagated along the chain
    worlds[:, 1, 0] = 1
    for i in range(1, 41):
        new = np.zeros_like(worlds)
        for u, (a, b) in enumerate(product((0, 1), repeat=2)):  # relation u: value at parent 0, at parent 1
            for x, y in product((0, 1), repeat=2):
                new[:, (a, b)[x], (a, b)[y]] += chances[f"U_V{i}"][:, u] * worlds[:, x, y]
        worlds = new
    np.testing.assert_allclose(found.value, worlds[:, 1, 0], atol=1e-12)


def test_evidence_is_reported_with_the_value():
    chances = draw(DRUG, 2)
    found = Compiled(query("P(S=alive | T=drug)"), DRUG)(chances)
    np.testing.assert_allclose(found.evidence, Compiled(query("P(T=drug)"), DRUG)(chances).value)


def test_evidence_of_probability_zero_is_no_division_by_zero():
    model = Model.parse("X -> Y; X {0, 1}; Y {0, 1}")
    chances = {"U_X": np.array([[1.0, 0.0]]), "U_Y": np.full((1, 4), 0.25)}
    found = Compiled(query("P(Y=1 | X=1)"), model)(chances)
    assert found.evidence[0] == 0
    assert np.isfinite(found.value[0])


def test_the_batch_of_restarts_does_not_change_a_value():
    chances = draw(DRUG, 3, restarts=7)
    compiled = Compiled(query("PN(T=drug, S=alive)"), DRUG)
    together = compiled(chances).value
    alone = [compiled({u: c[[r]] for u, c in chances.items()}).value[0] for r in range(7)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_a_setting_to_a_variable_with_other_states_is_refused():
    model = Model.parse("X -> Y -> M; X {no, maybe}; Y {maybe, no}; M {a, b}")
    with pytest.raises(QueryError, match="sets Y to the value of X, which has other states"):
        Compiled(query("P(M[Y=X[]]=a)"), model)


def test_a_contraction_that_is_too_large_is_refused_before_it_is_made(monkeypatch):
    from duckemcc.query import network

    monkeypatch.setattr(network, "LARGEST_TENSOR", 10)
    with pytest.raises(TooLarge, match="fewer worlds at once"):
        Compiled(query("PNS(T=drug, S=alive)"), DRUG)


def test_restarts_are_evaluated_in_batches_where_memory_is_short(monkeypatch):
    from duckemcc.query import network

    chances = draw(DRUG, 3, restarts=7)
    whole = Compiled(query("PN(T=drug, S=alive)"), DRUG)(chances)
    monkeypatch.setattr(network, "LARGEST_TENSOR", 300)
    parts = Compiled(query("PN(T=drug, S=alive)"), DRUG)(chances)
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-12)


def test_an_unknown_variable_is_named():
    with pytest.raises(UnknownName, match="Tratment"):
        Compiled(query("P(S[Tratment=drug]=alive)"), DRUG)


@pytest.mark.parametrize(("model", "text"), CASES, ids=[t for _, t in CASES])
def test_a_query_is_linear_in_every_factor_with_the_slopes_told(model, text):
    compiled = Compiled(query(text), model)
    chances = {(name,): pmf for name, pmf in draw(model, 4).items()}
    found = compiled.at(chances)
    numerator = (found.value - compiled.combination.constant) * found.evidence
    for factor in chances:
        slopes = compiled.slopes(factor, chances)
        np.testing.assert_allclose((slopes.value * chances[factor]).sum(axis=1), numerator, atol=1e-12)
        np.testing.assert_allclose((slopes.evidence * chances[factor]).sum(axis=1), found.evidence, atol=1e-12)


@pytest.mark.parametrize("text", [t for m, t in CASES if m is MULTI])
def test_merged_variables_with_independent_chances_change_nothing(text):
    alone, merged = (Compiled(query(text), MULTI, joint) for joint in ((), [("U1", "U2")]))
    chances = draw(MULTI, 5)
    joint = {("U1", "U2"): np.einsum("ra,rb->rab", chances["U1"], chances["U2"]).reshape(-1, 16)}
    np.testing.assert_allclose(alone(chances).value, merged.at(joint).value, atol=1e-13)
    slopes = merged.slopes(("U1", "U2"), joint)
    np.testing.assert_allclose(
        (slopes.value * joint["U1", "U2"]).sum(axis=1) / merged.at(joint).evidence, alone(chances).value, atol=1e-12
    )


def test_a_query_of_too_many_worlds_is_refused_before_they_are_made():
    chain = "->".join(f"V{i}" for i in range(150)) + ";" + ";".join(f"V{i} {{0, 1}}" for i in range(150))
    worlds = ", ".join(f"V149[V{i}=0]=1" for i in range(149))
    for text in (f"P({worlds})", " + ".join(f"P({world})" for world in worlds.split(", "))):
        with pytest.raises(TooLarge, match="more than 10,000 potential outcomes"):
            Compiled(query(text), Model.parse(chain))
