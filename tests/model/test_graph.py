"""The graph text: every production of the grammar, every error with its place, and hostile text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizes import examples

from duckemcc.errors import AmbiguousEquation, DuckEmccError, GraphError, RepeatedName, UnknownName
from duckemcc.model.graph import LONGEST_TEXT, parse
from duckemcc.model.scm import Component, Model


def causes(text: str) -> dict[str, tuple[str, ...]]:
    return {u.name: u.children for u in parse(text).exogenous}


# -- productions -----------------------------------------------------------------------------------


def test_the_readme_model_is_read():
    model = Model.parse("""
        Gender -> Treatment -> Survival
        Gender -> Survival
        Treatment <-> Survival            # a shared, unmeasured cause
    """)
    assert model.variables == ("Gender", "Treatment", "Survival")
    assert model.parents == {"Gender": (), "Treatment": ("Gender",), "Survival": ("Treatment", "Gender")}
    assert [(u.name, u.children, u.card) for u in model.exogenous] == [
        ("U_Treatment_Survival", ("Treatment", "Survival"), None),
        ("U_Gender", ("Gender",), None),
    ]
    assert model.states == {"Gender": None, "Treatment": None, "Survival": None}
    assert model.equations == {}


@pytest.mark.parametrize(
    "text", ["A->B;B->C", "A -> B -> C", "A->B\nB->C\n", "\n;;A -> B ; ;\r\n\tB -> C # C -> A", "A->B;A->B->C"]
)
def test_statements_end_with_lines_or_semicolons_and_repeated_arcs_count_once(text):
    assert parse(text) == parse("A -> B -> C")


def test_a_comment_ends_with_its_line_and_not_inside_quotes():
    model = parse("# first\nA {'#1', b} # last\n\"#x\" -> A")
    assert model.states == {"A": ("#1", "b"), "#x": None}


def test_a_chain_mixes_both_arrows():
    model = parse("A -> B <-> C -> D")
    assert model.parents == {"A": (), "B": ("A",), "C": (), "D": ("C",)}
    assert model.causes["B"] == model.causes["C"] == ("U_B_C",)


def test_states_are_words_integers_booleans_and_quoted_text():
    model = parse("X {female, 1, -2, 007, 5.0, 'it''s', 'TRUE', True, -0}")
    assert model.endogenous[0].states == ("female", 1, -2, "007", 5, "it's", "TRUE", True, "-0")
    assert model.states["X"] == ("female", "1", "-2", "007", "5", "it's", "TRUE", "true", "-0")


def test_a_list_of_states_may_span_lines():
    assert parse("X {\n a, # one\n b\n}\nX -> Y").states["X"] == ("a", "b")


def test_a_variable_may_be_declared_by_its_states_alone():
    assert parse("X {0, 1}").exogenous[0].name == "U_X"


def test_quoted_names_are_any_text_and_doubled_quotes_stand_for_one():
    assert parse('"blood pressure" -> "say ""so"""').variables == ("blood pressure", 'say "so"')


def test_names_are_words_of_any_script():
    assert parse("naïve -> 名前 -> _x1").variables == ("naïve", "名前", "_x1")


def test_an_exogenous_statement_names_one_cause_of_several_children():
    assert causes("A -> B -> C\nU: A, B, C") == {"U": ("A", "B", "C")}
    assert causes("A -> B\nC -> D\nU: A, B\nV: C, D") == {"U": ("A", "B"), "V": ("C", "D")}


def test_an_exogenous_statement_may_come_before_its_children():
    assert causes("U: A, B; A -> B") == {"U": ("A", "B")}


def test_a_variable_without_cause_gets_its_own():
    assert causes("A -> B; U: A") == {"U": ("A",), "U_B": ("B",)}


def test_bidirected_arcs_that_meet_are_merged_and_others_stay_apart():
    assert causes("A <-> B; C <-> D; B <-> E") == {"U_A_B_E": ("A", "B", "E"), "U_C_D": ("C", "D")}
    assert causes("A <-> B <-> A") == {"U_A_B": ("A", "B")}
    assert causes("A <-> B; C <-> D; D <-> A") == {"U_A_B_C_D": ("A", "B", "C", "D")}


@pytest.mark.parametrize("name", ["assume", "Unmeasured"])
def test_a_reserved_word_may_name_a_variable_where_no_statement_is_meant(name):
    assert parse(f'{name} -> Y; "{name}" <-> Y').variables == (name, "Y")
    assert parse(f"{name} {{0, 1}}").variables == (name,)
    assert parse(f"Y -> {name}").variables == ("Y", name)


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("assume P(Y[X=0]=1, Y[X=1]=0) = 0", ("Y[X=0]=1, Y[X=1]=0",)),
        ("ASSUME p ( X IN (0, 1) & Y<>'it''s )' )=0.0 # never", ("X IN (0, 1) & Y<>'it''s )'",)),
        ("assume P(X=1) = 0; assume P(Y=0\n  AND X=0) = 0\n", ("X=1", "Y=0\n  AND X=0")),
        ('assume P("a ""["" b"[X=2.50]!=1) = 0', ('"a ""["" b"[X=2.50]!=1',)),
    ],
)
def test_an_assumption_is_the_text_of_its_event(text, events):
    model = parse(f"X -> Y; {text}")
    assert model.assumptions == events
    assert model.variables == ("X", "Y")
    assert parse(f"{text}\nX -> Y") == model


def test_unmeasured_variables_stand_in_model_order():
    model = parse("X -> M -> Y; unmeasured Y, M\nM {0, 1}; Y {a, b}")
    assert model.unmeasured == ("M", "Y")
    assert parse("X -> M -> Y; Unmeasured M; unmeasured Y; M {0, 1}; Y {a, b}") == model
    assert parse('X -> "unmeasured"; "assume" -> X').unmeasured == ()


def test_an_unmeasured_variable_is_known_and_declares_its_states():
    with pytest.raises(
        UnknownName, match=r"the model calls unmeasured Mediator, which is no .* Hint: .*\['mediator'\]"
    ):
        parse("X -> mediator -> Y; unmeasured Mediator")
    with pytest.raises(GraphError, match=r"M is unmeasured, so no study tells its states; declare them: M \{0, 1\}"):
        parse("X -> M -> Y; unmeasured M")


# -- errors ----------------------------------------------------------------------------------------

ERRORS = [
    ("X -> ", GraphError, r"line 1, column 6: expected a variable after '->', found the end of the text"),
    ("X ->\nY", GraphError, r"line 1, column 5: expected a variable after '->', found the end of the line"),
    ("A -> B\n  X <-> 3", GraphError, r"line 2, column 9: expected a variable after '<->', found '3'"),
    ("X -> Y Z", GraphError, r"line 1, column 8: expected the end of the line, or ';', found 'Z'"),
    ("-> Y", GraphError, r"line 1, column 1: expected a variable, found '->'"),
    ("X", GraphError, r"line 1, column 2: expected '->', '<->', '\{' or ':' after X, found the end of the text"),
    ("X;Y -> Z", GraphError, r"line 1, column 2: expected .* after X, found ';'"),
    ("X {}", GraphError, r"line 1, column 4: expected a state \(.*\), found '\}'"),
    ("X {a b}", GraphError, r"line 1, column 6: expected ',' or '\}', found 'b'"),
    ("X {a\nX -> Y", GraphError, r"line 2, column 1: expected ',' or '\}', found 'X'"),
    ("X {a,", GraphError, r"line 1, column 6: expected a state .*, found the end of the text"),
    ('X {"a"}', GraphError, r"line 1, column 4: expected a state .*states take single quotes.*, found 'a'"),
    ("'X' -> Y", GraphError, r"line 1, column 1: expected a variable \(names take double quotes.*, found 'X'"),
    ("X {a, NULL}", GraphError, r"line 1, column 7: expected a state \(NULL is none; .*'NULL'\), found 'NULL'"),
    ('"" -> Y', GraphError, r"line 1, column 1: expected a name between the quotes, found ''"),
    ("U:", GraphError, r"line 1, column 3: expected a child, found the end of the text"),
    ("U: A,;", GraphError, r"line 1, column 6: expected a child, found ';'"),
    ("X {1.5}", GraphError, r"line 1, column 4: '1\.5' is not understood; quote odd names .* and states"),
    ("X {2nd}", GraphError, r"line 1, column 4: '2nd' is not understood; quote"),
    ('X -> Y\n"Z -> Y', GraphError, r"line 2, column 1: the quote \" is not closed on its line"),
    ("X {'a\n'}", GraphError, r"line 1, column 4: the quote ' is not closed on its line"),
    ("X <- Y", GraphError, r"line 1, column 3: '<-' is not understood; write the cause first"),
    ("X % Y", GraphError, r"line 1, column 3: '%' is not understood"),
    ("X -> Y -> Y", GraphError, r"line 1, column 11: Y -> Y is a cycle; an arc joins two variables"),
    ("X <-> X", GraphError, r"line 1, column 7: X <-> X is a cycle"),
    ("X {0,1}\nX -> Y\nX {0,1}", RepeatedName, r"line 3, column 1: the states of X are declared twice"),
    ("X -> Y; Y -> x", RepeatedName, r"line 1, column 14: the graph names X and x; case does not count"),
    ("U: A\nU: B", RepeatedName, r"line 2, column 1: the exogenous variable U is declared twice; name all its"),
    ("U: A; U -> A", GraphError, r"line 1, column 7: U stands before ':' and so is exogenous; it may not"),
    ("A -> B; U <-> A; U: A", GraphError, r"line 1, column 18: U stands before ':' and so is exogenous"),
    ("U: A; U {0, 1}", GraphError, r"line 1, column 7: U stands before ':'"),
    (
        "assume X=1",
        GraphError,
        r"line 1, column 8: expected P\(event\) = 0 after 'assume', as in assume P\(.*found 'X'",
    ),
    ("X -> Y\n assume PNS(X=1, Y=1) = 0", GraphError, r"line 2, column 9: expected P\(event\) = 0 .*, found 'PNS'"),
    ("assume", GraphError, r"line 1, column 7: expected P\(event\) = 0 .*, found the end of the text"),
    ("assume P( ) = 0", GraphError, r"line 1, column 11: expected an event, as in assume P\(Y.* = 0, found '\)'"),
    (
        "X -> Y; assume P(Y=1)",
        GraphError,
        r"line 1, column 22: expected '= 0' \(.*never happens\), found the end of the",
    ),
    ("assume P(Y=1) = 0.5; X -> Y", GraphError, r"line 1, column 14: expected '= 0' .*, found '= 0\.5'"),
    ("assume P(Y=1) <= 0", GraphError, r"line 1, column 14: expected '= 0' .*, found '<= 0'"),
    ("assume P(Y=1) = 0 X", GraphError, r"line 1, column 14: expected '= 0' .*, found '= 0 X'"),
    (
        "X -> Y\nassume P(Y[X=1=0) = 0",
        GraphError,
        r"line 2, column 17: '\)' does not close the '\[' of line 2, column 11",
    ),
    ("X -> Y\nassume P(Y[X=1]=0 = 0", GraphError, r"line 2, column 9: the '\(' is never closed"),
    ("assume P(Y='a) = 0", GraphError, r"line 1, column 12: the quote ' is not closed on its line"),
    ("assume P(Y=1) = 0 -> X", GraphError, r"line 1, column 14: expected '= 0'"),
    ("A -> B\nunmeasured", GraphError, r"line 2, column 11: expected a variable after 'unmeasured', found the end of"),
    (
        "A -> B; unmeasured A,",
        GraphError,
        r"line 1, column 22: expected a variable after 'unmeasured', found the end of",
    ),
    ("A {0}\nA -> B\nunmeasured A\nunmeasured A", RepeatedName, r"line 4, column 12: A is called unmeasured twice"),
]


@pytest.mark.parametrize(("text", "error", "message"), ERRORS, ids=[e[0].replace("\n", "⏎") for e in ERRORS])
def test_an_error_says_where_what_was_expected_and_what_was_found(text, error, message):
    with pytest.raises(error, match=f"^{message}"):
        parse(text)


@pytest.mark.parametrize("text", ["", " \n;;\n", "# nothing"])
def test_a_text_without_variables_is_refused(text):
    with pytest.raises(GraphError, match="the model has no variables; write an arc such as X -> Y"):
        parse(text)


def test_what_is_not_text_is_refused():
    with pytest.raises(GraphError, match=r"a graph is text .*; found int"):
        parse(3)


def test_a_longer_text_than_can_be_meant_is_refused():
    with pytest.raises(GraphError, match=r"the graph text has 1,000,001 characters; at most 1,000,000 are read"):
        parse(" " * (LONGEST_TEXT + 1))


def test_a_cycle_is_shown():
    with pytest.raises(GraphError, match=r"the graph has a cycle: B -> C -> D -> B; remove one of its arcs"):
        parse("A -> B -> C -> D -> B; D -> E")


def test_a_long_cycle_is_shown_by_its_ends():
    chain = " -> ".join(f"a{i}" for i in range(1000))
    with pytest.raises(GraphError, match=r"a cycle: a0 -> a1 -> .* -> … -> .* -> a999 -> a0; remove") as caught:
        parse(f"{chain} -> a0")
    assert len(str(caught.value)) < 200


def test_an_unknown_child_is_refused_with_a_hint():
    with pytest.raises(UnknownName, match=r"variable U has the child Survivl, which is no .* Hint: .*\['Survival'\]"):
        parse("Drug -> Survival; U: Drug, Survivl")


def test_a_repeated_child_is_refused():
    with pytest.raises(RepeatedName, match="the exogenous variable U has the child A twice; name it once"):
        parse("A -> B; U: A, A")


def test_repeated_states_are_refused_by_their_labels():
    with pytest.raises(RepeatedName, match=r"X declares the state 1 twice \(1 and '1' are one state\)"):
        parse("X {0, 1, '1'}")


def test_several_exogenous_parents_are_ambiguous_and_the_merge_is_offered():
    with pytest.raises(AmbiguousEquation, match=r"B has 2 exogenous parents \(U, U_B_C\).*merge them .*: U: A, B, C$"):
        parse("A -> B -> C; U: A, B; B <-> C")


@pytest.mark.parametrize("text", ["A <-> B; U_A_B -> A", "A -> B; u_a: B", "A_B <-> C; A <-> B_C"])
def test_a_generated_name_that_is_taken_is_refused(text):
    with pytest.raises(RepeatedName, match=r"stands for two variables.*rename one of them .*called U_… unless"):
        parse(text)


# -- hostile text ----------------------------------------------------------------------------------

PIECES = [
    "A",
    "b",
    "B",
    "U",
    '"',
    "'",
    "->",
    "<->",
    "{",
    "}",
    ":",
    ",",
    ";",
    "\n",
    " ",
    "0",
    "-1",
    "#",
    "assume",
    "assume P(",
    ") = 0",
    "[",
    "=",
    "unmeasured ",
    "ß",
    "\ud800",
]


@examples(500)
@given(st.text(st.characters(exclude_categories=())) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_a_model_or_an_error_of_ours(text):
    try:
        model = parse(text)
    except DuckEmccError as error:
        assert str(error)  # noqa: PT017 — either way out is right
    else:
        assert Model.from_dict(model.to_dict()) == model


def test_a_very_long_number_stays_text():
    assert parse(f"X {{{'9' * 5000}}}").states["X"] == ("9" * 5000,)


@pytest.mark.parametrize(
    ("text", "message"), [('"\ud800" -> X', "no Unicode character"), ("X {'\udfff'}", "no Unicode character")]
)
def test_half_characters_are_refused(text, message):
    with pytest.raises(GraphError, match=message):
        parse(text)


def test_a_very_long_name_is_refused_in_few_words():
    with pytest.raises(
        GraphError, match=r"a name has 1 to 1,000 characters; found 'aaa.*…', 99,999 characters"
    ) as caught:
        parse("a" * 99_999 + " -> b")
    assert len(str(caught.value)) < 200


HUGE = {
    "arcs": "a->b;" * 50_000,
    "parents": "".join(f"a{i}->b;" for i in range(10_000)),
    "children": "".join(f"b->a{i};" for i in range(10_000)),
    "one chain": "->".join(f"a{i}" for i in range(10_000)),
    "one merged cause": "<->".join(f"a{i}" for i in range(10_000)),
    "many causes": "".join(f"a{i}<->b{i};" for i in range(5_000)),
    "states": "a {" + ",".join(map(str, range(25_000))) + "}",
    "quotes": '"' * 499_999,
    "braces": "{" * 200_000,
    "lines": "x {" + "\n" * 499_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_text_ends_in_bounded_time(text):
    start = time.process_time()
    try:
        model = parse(text)
        assert sum(len(c.endogenous) for c in model.components()) == len(model.variables)
    except DuckEmccError as error:
        assert len(str(error)) < 1000  # noqa: PT017 — either way out is right
    assert time.process_time() - start < 6  # a quadratic loop takes longer


def test_components_of_the_bow_are_one():
    assert parse("X -> Y; X <-> Y").components() == (Component(("X", "Y"), ("U_X_Y",)),)
