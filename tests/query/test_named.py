"""The named queries: each against the table of definitions, and every error of a query that does not fit a model."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duckemcc.errors import QueryError, TooLarge, UnknownName
from duckemcc.query.language import parse
from duckemcc.query.named import Combination, expand
from duckemcc.query.syntax import Contrast, Named, Probability, Query, Term

# X -> M -> N -> Y, X -> Y, W -> Y, and Z apart
STATES = {
    "Z": ("z", "z0"),
    "X": ("x", "x0"),
    "W": ("w", "w0"),
    "M": ("m", "m0"),
    "N": ("n", "n0"),
    "Y": ("y", "y0", "y1"),
    "Dose": ("low", "mid", "high"),
    "One": ("only",),
    "K": ("m0", "m"),
}
PARENTS = {"Z": (), "X": (), "W": (), "M": ("X",), "N": ("M",), "Y": ("X", "M", "N", "W"), "Dose": (), "One": ()}


def expanded(text, states=STATES, parents=PARENTS):
    return expand(parse(text), states, parents)


def written(combination):
    """A combination as the text of a query."""
    terms = tuple(Term(c, Probability(event, combination.given)) for c, event in combination.terms)
    constant = (Term(combination.constant, None),) if combination.constant else ()
    return str(Query(constant + terms))


TABLE = {
    "PNS(X=x vs x0, Y=y)": "P(Y[X=x]=y, Y[X=x0]!=y)",
    "PN(X=x vs x0, Y=y)": "P(Y[X=x0]!=y | X=x, Y=y)",
    "PS(X=x vs x0, Y=y)": "P(Y[X=x]=y | X=x0, Y!=y)",
    "PD(X=x vs x0, Y=y)": "P(Y[X=x0]!=y | Y=y)",
    "PE(X=x vs x0, Y=y)": "P(Y[X=x]=y | Y!=y)",
    "ACE(X=x vs x0, Y=y)": "P(Y[X=x]=y) - P(Y[X=x0]=y)",
    "ETT(X=x vs x0, Y=y)": "P(Y[X=x]=y | X=x) - P(Y[X=x0]=y | X=x)",
    "CDE(X=x vs x0, Y=y, M=m)": "P(Y[X=x, M=m]=y) - P(Y[X=x0, M=m]=y)",
    "CDE(X=x vs x0, Y=y, N=n, M=m)": "P(Y[X=x, M=m, N=n]=y) - P(Y[X=x0, M=m, N=n]=y)",
    "NDE(X=x vs x0, Y=y)": "P(Y[X=x, M=M[X=x0], N=N[X=x0]]=y) - P(Y[X=x0]=y)",
    "NIE(X=x vs x0, Y=y)": "P(Y[X=x0, M=M[X=x], N=N[X=x]]=y) - P(Y[X=x0]=y)",
}


@pytest.mark.parametrize(("text", "meaning"), TABLE.items())
def test_a_named_query_is_what_the_table_says(text, meaning):
    assert written(expanded(text)) == meaning
    assert expanded(meaning) == expanded(text)


@pytest.mark.parametrize(("text", "meaning"), TABLE.items())
def test_the_other_state_is_meant_where_there_are_two(text, meaning):
    assert written(expanded(text.replace(" vs x0", ""))) == meaning


@pytest.mark.parametrize(("text", "meaning"), TABLE.items())
def test_the_users_condition_joins_the_querys_own(text, meaning):
    joined = meaning.replace(")", ", Z=z)") if " | " in meaning else meaning.replace(")", " | Z=z)")
    assert written(expanded(text.replace(")", " | Z=z)"))) == joined


def test_a_condition_given_twice_counts_once():
    assert written(expanded("PN(X=x, Y=y | X=x, Z=z)")) == "P(Y[X=x0]!=y | X=x, Y=y, Z=z)"


def test_only_parents_of_the_outcome_that_descend_from_the_cause_mediate():
    assert written(expanded("NDE(W=w, Y=y)")) == "P(Y[W=w]=y) - P(Y[W=w0]=y)"
    assert written(expanded("NDE(M=m, Y=y)")) == "P(Y[M=m, N=N[M=m0]]=y) - P(Y[M=m0]=y)"
    chain = {"X": (), "M": ("X",), "N": ("M",), "Y": ("N",)}
    assert written(expanded("NIE(X=x, Y=y)", parents=chain)) == "P(Y[X=x0, N=N[X=x]]=y) - P(Y[X=x0]=y)"


def test_an_effect_through_no_mediator_is_zero_times_a_probability():
    combination = expanded("NIE(W=w, Y=y)")
    assert [c for c, _ in combination.terms] == [0.0]


def test_a_combination_has_a_constant_coefficients_and_distinct_events():
    combination = expanded("1 - 2*P(Y=y) + 0.5 - ACE(X=x, Y=y) + P(Y IN (y, y)) + P(X!=x) - P(X=x0)")
    assert combination == Combination(1.5, combination.terms, ())
    assert [(c, str(Probability(e))) for c, e in combination.terms] == [
        (-1.0, "P(Y=y)"),
        (-1.0, "P(Y[X=x]=y)"),
        (1.0, "P(Y[X=x0]=y)"),
        (0.0, "P(X!=x)"),
    ]


def test_names_take_the_models_spelling_and_exact_ones_go_first():
    assert written(expanded("PNS(x=x, y=y)")) == "P(Y[X=x]=y, Y[X=x0]!=y)"
    assert written(expanded("P(y[m=M[x=x0]]=y | z=z)")) == "P(Y[M=M[X=x0]]=y | Z=z)"
    states = {"dose": ("a", "b"), "Dose": ("c", "d")}
    assert written(expanded("P(dose=a, Dose=c)", states, {})) == "P(dose=a, Dose=c)"


def test_values_keep_their_case_and_take_the_order_of_the_states():
    assert written(expanded("P(Y NOT IN (y1, y, y1))")) == "P(Y NOT IN (y, y1))"
    assert written(expanded("P(A=a, A!='A')", {"A": ("A", "a")}, {})) == "P(A=a, A!=A)"
    assert written(expanded("P(A='')", {"A": ("", "a")}, {})) == "P(A='')"


def test_settings_take_the_order_of_the_model():
    assert expanded("P(Y[M=m, X=x]=y)") == expanded("P(Y[X=x, M=m]=y)")


def test_a_variable_can_be_set_to_what_another_of_equal_states_would_be():
    assert written(expanded("P(Y[M=K[X=x]]=y)")) == "P(Y[M=K[X=x]]=y)"


@settings(deadline=None)
@given(st.permutations(["X=x", "Y!=y", "Z IN (z)", "W=w"]), st.randoms())
def test_a_condition_is_a_set(atoms, chance):
    same = {"X=x": "X!=x0", "Y!=y": "Y IN (y1, y0)", "Z IN (z)": "Z=z, Z=z", "W=w": "W=w, Z IN (z, z0)"}
    first = ", ".join(atoms)
    second = ", ".join(same[a] for a in chance.sample(atoms, len(atoms)))
    assert len(expanded(f"P(M=m | {first}) - P(N=n | {second})").terms) == 2


@settings(deadline=None)
@given(st.lists(st.sampled_from([t for t in TABLE if t.startswith(("PNS", "ACE", "CDE", "N"))]), min_size=1))
def test_expansion_is_linear(texts):
    total = dict[object, float]()
    for text in texts:
        for c, event in expanded(text).terms:
            total[event] = total.get(event, 0.0) + c
    assert {e: c for c, e in expanded(" + ".join(texts)).terms} == total


@settings(deadline=None)
@given(st.sampled_from(list(TABLE)))
def test_an_expansion_expands_to_itself(text):
    once = expanded(text)
    assert expanded(written(once)) == once


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P(Y=yy)", r"Y has no state 'yy'; its states are y, y0, y1\. Hint: did you mean one of these states: \['y'"),
        ("P(Y IN (y, Y))", r"Y has no state 'Y'; its states are y, y0, y1"),
        ("P(Y='')", r"Y has no state ''"),
        ("P(Y=y | X=2)", r"X has no state '2'; its states are x, x0$"),
        ("P(Y[X=q]=y)", r"X has no state 'q'"),
        ("P(Y[M=M[X=q]]=y)", r"X has no state 'q'"),
        ("PNS(X=x vs q, Y=y)", r"X has no state 'q'"),
        ("PNS(X=q, Y=y)", r"X has no state 'q'"),
        ("PNS(X=x, Y=q)", r"Y has no state 'q'"),
        ("CDE(X=x, Y=y, M=q)", r"M has no state 'q'"),
        ("PNS(X=x, Y=y | Z=q)", r"Z has no state 'q'"),
        ("ACE(Dose=mid, Y=y)", r"Dose has 3 states; say which two to compare: Dose=mid vs low"),
        ("ACE(One=only, Y=y)", r"One has one state, 'only': there is no other"),
        ("ACE(X=x vs x, Y=y)", r"X=x vs x compares a state with itself"),
        ("PNS(X=x, Y=y vs y0)", r"only the first argument, the cause, takes `vs`; found Y=y vs y0"),
        ("CDE(X=x, Y=y, M=m vs m0)", r"takes `vs`; found M=m vs m0"),
        ("PNS(X=x)", r"PNS takes a cause and an outcome, as in PNS\(X=x vs x0, Y=y\); found 1 argument: PNS\(X=x\)"),
        ("NDE(X=x, Y=y, M=m)", r"NDE takes a cause and an outcome.*found 3 arguments"),
        ("CDE(X=x, Y=y)", r"CDE takes a cause, an outcome and the variables to hold fixed.*M=m\); found 2 arguments"),
        ("PNS(Y=y, y=y)", r"names Y twice; its arguments are different variables"),
        ("CDE(X=x, Y=y, M=m, M=m0)", r"names M twice"),
        ("P(Y[Y=y]=y)", r"Y\[Y=y\] sets Y, the variable that it asks about"),
        ("P(Y[X=x, x=x0]=y)", r"sets X twice; set each variable once"),
        ("P(Y[M=M[M=m]]=y)", r"M\[M=m\] sets M, the variable"),
        ("P(Y[M=M[X=x, X=x]]=y)", r"M\[X=x, X=x\] sets X twice"),
        ("P(Y[M=X[Z=z]]=y)", r"sets M to what X would be, which can be 'x'; the states of M are m, m0"),
        ("P(Y=y | X=x) - P(Y=y)", r"share one condition; found `X=x` and no condition"),
        ("P(Y=y | X=x) - P(Y=y | X=x0)", r"found `X=x` and `X=x0`"),
        ("PN(X=x, Y=y) - PS(X=x, Y=y)", r"found `X=x, Y=y` and `X=x0, Y!=y`"),
        ("1e308*P(Y=y) + 1e308*P(Y=y)", r"do not add up to finite numbers"),
        ("1e308 + 1e308 + P(Y=y)", r"do not add up to finite numbers"),
    ],
)
def test_a_query_that_does_not_fit_the_model_says_why(text, message):
    with pytest.raises(QueryError, match=message):
        expanded(text)


@pytest.mark.parametrize(
    "text",
    [
        "P(Dos=low)",
        "P(Y=y | Dos=low)",
        "P(Y[Dos=low]=y)",
        "P(Y[M=Dos[X=x]]=y)",
        "ACE(Dos=low, Y=y)",
        "ACE(X=x, Dos=low)",
        "CDE(X=x, Y=y, Dos=low)",
    ],
)
def test_an_unknown_name_is_named_beside_those_of_the_model(text):
    known = r"its variables are Z, X, W, M, N, Y, Dose, One, K\. Hint: did you mean one of these variables: \['Dose'"
    with pytest.raises(UnknownName, match=rf"the query names 'Dos', which the model does not have; {known}"):
        expanded(text)


def test_a_name_that_two_variables_match_is_written_exactly():
    with pytest.raises(UnknownName, match=r"'DOSE' could be dose or Dose; write it with the model's capitals"):
        expanded("P(DOSE=a)", {"dose": ("a", "b"), "Dose": ("a", "b")}, {})


def test_a_query_built_by_hand_is_checked_too():
    with pytest.raises(QueryError, match="asks for no probability"):
        expand(Query((Term(1.0, None),)), STATES, PARENTS)
    named = Named("ATE", (Contrast("X", "x"), Contrast("Y", "y")))
    with pytest.raises(QueryError, match="no query named 'ATE'; there are PNS, PN"):
        expand(Query((Term(1.0, named),)), STATES, PARENTS)


def test_a_model_with_a_cycle_in_its_parents_still_ends():
    states = dict.fromkeys("XMY", ("0", "1"))
    parents = {"X": ("Y",), "M": ("X", "Y"), "Y": ("M",)}
    assert written(expanded("NDE(X=1, Y=1)", states, parents)).startswith("P(Y[X=1, M=M[X=0]]=1)")


def test_a_long_combination_expands():
    atoms = [f"P(Y[X=x]=y, Dose={random.Random(i).choice(STATES['Dose'])})" for i in range(3000)]
    combination = expanded(" + ".join(atoms))
    assert sum(c for c, _ in combination.terms) == 3000
    assert len(combination.terms) == 3


MANY = dict.fromkeys((f"V{i}" for i in range(1000)), tuple(f"s{k}" for k in range(1000)))


@pytest.mark.parametrize(
    "text", ["P(W=s1)", "P(V1=t)", f"P(V1={'9' * 90_000})", "P(V1[V1[]=s1]=s1)", f"P(V1[{'V2=s1,' * 9000} V2=s1]=s1)"]
)
def test_an_error_is_short_however_large_the_model_and_the_query(text):
    with pytest.raises((QueryError, UnknownName)) as caught:
        expanded(text, MANY, {})
    assert len(str(caught.value)) < 1500


def test_a_query_with_more_states_than_can_be_listed_is_refused():
    states = {"Y": tuple(map(str, range(100_000)))}
    with pytest.raises(TooLarge, match="stand for more than 20,000,000 states together"):
        expanded("P(" + ", ".join(f"Y!={k}" for k in range(1000)) + ")", states, {})


def test_mediators_of_a_long_chain_are_found_whatever_the_order_of_its_variables():
    names = [f"V{i}" for i in reversed(range(3000))]
    parents = {v: (f"V{i - 1}",) if (i := int(v[1:])) else () for v in names}
    written_out = written(expanded("NDE(V0=1, V2999=1)", dict.fromkeys(names, ("0", "1")), parents))
    assert written_out.startswith("P(V2999[V2998=V2998[V0=0], V0=1]=1)")
