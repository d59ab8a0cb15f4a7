"""The query language: what parses, that it prints back, and what every error says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import examples

from duckemcc.errors import DuckEmccError, QueryError
from duckemcc.query.language import MAX_CHARACTERS, MAX_DEPTH, parse, query
from duckemcc.query.syntax import KINDS, Atom, Contrast, Named, PotentialOutcome, Probability, Query, Setting, Term

# -- laws ----------------------------------------------------------------------------------------

WORDS = ["AND", "not", "In", "VS", "null", "P", "pns", "ETT", "true", "True", "X", "Y_1", "ſ", "naïve", "名前", "vſ"]
ODD = ["", " ", "two words", "it's", 'say "so"', "''", "a\nb", "1", "-1", "01", "1.0", "1.5", ".5", "1e5", "2nd", "x["]
texts = st.sampled_from(WORDS + ODD) | st.text(max_size=5)
outcomes = st.recursive(
    st.builds(PotentialOutcome, texts),
    lambda inner: st.builds(
        PotentialOutcome, texts, st.lists(st.builds(Setting, texts, texts | inner), max_size=3).map(tuple)
    ),
    max_leaves=6,
)
atoms = st.builds(Atom, outcomes, st.lists(texts, min_size=1, max_size=3).map(tuple), st.booleans())
events = st.lists(atoms, max_size=3).map(tuple)
contrasts = st.lists(st.builds(Contrast, texts, texts, st.none() | texts), min_size=1, max_size=3).map(tuple)
bodies = st.builds(Probability, events.filter(bool), events) | st.builds(
    Named, st.sampled_from(KINDS), contrasts, events
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
terms = st.lists(st.builds(Term, numbers, bodies | st.none()), max_size=3)
queries = st.builds(lambda some, one: Query((*some, one)), terms, st.builds(Term, numbers, bodies))

PIECES = [*"()[]=,|&+-*<>!'\".;/ \n", "P(", "PNS(", " AND ", " IN ", " NOT ", " vs ", "X", "Y=y", "1", "2.5", "1e999"]


@settings(deadline=None)
@given(queries)
def test_a_printed_query_parses_to_itself(q):
    assert parse(str(q)) == q


@settings(deadline=None)
@given(queries)
def test_printing_is_a_fixed_point(q):
    assert str(parse(str(q))) == str(q)


@examples(500)
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_parses_or_raises_an_error_of_ours(text):
    try:
        assert parse(str(parse(text))) == parse(text)
    except DuckEmccError as error:
        assert str(error)  # noqa: PT017 — either way out is right


@examples(300)
@given(queries, st.data())
def test_a_damaged_query_parses_or_raises_an_error_of_ours(q, data):
    text = str(q)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(["", *PIECES])) + text[at + 1 :]
    try:
        parse(damaged)
    except QueryError as error:
        assert "position" in str(error)  # noqa: PT017


# -- what parses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "P(Y=y)",
        "P(Y[X=x]=y, Y[X=x0]!=y)",
        "P(Y[X=x, M=M[X=x0]]=y) - 0.5*P(Y=y)",
        "P(Y[M=M[]]=y | Z IN (a, b), W NOT IN (c, d))",
        "PNS(X=x vs x0, Y=y | Z=z)",
        "CDE(X=1 vs 0, Y=-1, M='no-drug')",
        "1 - P(Y='New York')",
        '-P("AND"=true) + 1e-05*P("a ""b"""=\'it\'\'s\')',
        "P(名前=値)",
    ],
)
def test_canonical_text_is_printed_as_it_was(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("  p( Y = y )  ", "P(Y=y)"),
        ("pns(X=x VS x0,Y=y)", "PNS(X=x vs x0, Y=y)"),
        ("P(A=a & B=b and C=c)", "P(A=a, B=b, C=c)"),
        ("P(A<>a, B not in (b, c))", "P(A!=a, B NOT IN (b, c))"),
        ("P(A IN (a), B NOT IN (b))", "P(A=a, B!=b)"),
        ("2 P(Y=y)", "2*P(Y=y)"),
        ("2P(Y=y)-.5 * P(Z=z)", "2*P(Y=y) - 0.5*P(Z=z)"),
        ("1e-3 P(Y=y)", "0.001*P(Y=y)"),
        ("2ETT(X=x, Y=y)", "2*ETT(X=x, Y=y)"),
        ("1.0*P(Y=y)", "P(Y=y)"),
        ("P(Y[]=y)", "P(Y=y)"),
        ("P(Y [ X = x ] = y)", "P(Y[X=x]=y)"),
        ('P("Y"[M="M"[X=x]]=y)', "P(Y[M=M[X=x]]=y)"),
        ("P(Y='y', Z='True', W='1.0', V='1')", "P(Y=y, Z='True', W='1.0', V=1)"),
        ("P(Y=\n y)", "P(Y=y)"),
    ],
)
def test_other_spellings_have_the_same_meaning(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1.00", "1"),
        ("01", "01"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1.50", "1.50"),
        ("9" * 5000 + ".0", "9" * 5000),
        ("TRUE", "true"),
        ("False", "false"),
        ("'True'", "True"),
        ("P", "P"),
        ("pn", "pn"),
        ("'NULL'", "NULL"),
        ("'it''s'", "it's"),
        ("''", ""),
    ],
)
def test_a_value_becomes_a_text_label(text, label):
    assert parse(f"P(Y={text})").terms[0].body == Probability((Atom(PotentialOutcome("Y"), (label,)),))


def test_a_bare_word_with_brackets_is_a_nested_outcome_and_without_is_a_value():
    (atom,) = parse("P(Y[X=M, M=M[X=x0], N=N[]]=y)").terms[0].body.event
    nested = PotentialOutcome("M", (Setting("X", "x0"),))
    assert atom.outcome.do == (Setting("X", "M"), Setting("M", nested), Setting("N", PotentialOutcome("N")))


def test_a_constant_is_a_term_without_body():
    assert parse("1 - P(Y=y)").terms[0] == Term(1.0, None)


def test_query_returns_a_query_as_it_is():
    q = query("P(Y=y)")
    assert query(q) is q


# -- what does not -------------------------------------------------------------------------------


def test_an_error_points_at_the_place():
    with pytest.raises(QueryError) as caught:
        parse("PNS(X=)")
    assert str(caught.value) == "Query, position 7: expected a value, found ')'\n  PNS(X=)\n        ^"


def test_the_caret_stands_in_its_own_line_of_a_longer_text():
    with pytest.raises(QueryError) as caught:
        parse("P(Y=y)\n- P(Y\t?y)\n+ P(Z=z)")
    assert str(caught.value).split("\n")[1:] == ["  - P(Y ?y)", "        ^"]
    with pytest.raises(QueryError) as caught:
        parse("P(" + "Y=y, " * 1000 + "?)")
    _, line, caret = str(caught.value).split("\n")
    assert line[caret.index("^")] == "?"
    assert len(line) < 130


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"position 1: expected a probability such as P\(Y=y\).*, found the end"),
        ("   ", r"position 1: .*found the end"),
        ("Y=y", r"position 1: expected a probability .* or one of PNS, PN, .*found 'Y'"),
        ("PSN(X=x, Y=y)", r"found 'PSN'\. Hint: did you mean one of these names: \['P"),
        ("P Y", r"position 3: expected '\(', found 'Y'"),
        ("P()", r"position 3: expected a name, found '\)'"),
        ("P(Y)", r"position 4: expected '=', '!=', IN or NOT IN, found '\)'"),
        ("P(Y NOT y)", r"position 9: expected IN, found 'y'"),
        ("P(Y IN y)", r"position 8: expected '\(', found 'y'"),
        ("P(Y IN ())", r"position 9: expected a value, found '\)'"),
        ("P(Y IN (a b))", r"position 11: expected ',' or '\)', found 'b'.*'a b'"),
        ("P(Y=y", r"position 6: expected ',', AND, '\|' or '\)', found the end"),
        ("P(Y=y |)", r"position 8: expected a name, found '\)'"),
        ("P(Y=y | Z=z | W=w)", r"position 13: expected ',', AND or '\)', found '\|'"),
        ("P(Y=y) | Z=z", r"position 8: expected '\+', '-' or the end, found '\|'"),
        ("P(Y=y) P(Z=z)", r"expected '\+', '-' or the end, found 'P'"),
        ("P(Y=y) -", r"position 9: expected a probability .*found the end"),
        ("1 - - P(Y=y)", r"position 5: expected a probability .*found '-'"),
        ("2 * 3", r"position 5: expected a probability .*found '3'"),
        ("P(Y[X=x=y)", r"position 8: expected ',' or '\]', found '='"),
        ("P(Y[X!=x]=y)", r"position 6: expected '=', found '!='"),
        ("PNS(Y[X=x]=y)", r"position 6: expected '=', found '\['"),
        ("PNS(X=x vs, Y=y)", r"position 11: expected a value, found ','"),
        ("PNS(X=x AND Y=y)", r"position 9: expected VS, ',', '\|' or '\)', found 'AND'"),
        ("P(Y=y vs z)", r"expected ',', AND, '\|' or '\)', found 'vs'\n"),
        ("P(Y==y)", r"position 5: expected a value, found '='"),
        ("1 - 2", r"position 1: expected a probability .* Numbers alone ask nothing"),
        ("1e999*P(Y=y)", r"position 1: expected a finite number, found '1e999'"),
        ("P(Y=2nd)", r"position 5: expected a value, found '2nd'\. Such a value takes single quotes: '2nd'"),
        ("P(Y=no-drug)", r"found 'no-drug'\. Such a value takes single quotes: 'no-drug'"),
        ("P(Y=1e5)", r"single quotes: '1e5'"),
        ("P(Y=.5)", r"single quotes: '.5'"),
        ("P(Y=- 1)", r"expected a value, found '-'"),
        ("P(Y=New York)", r"found 'York'\. A value with a space takes single quotes: 'New York'"),
        ("P(no-drug=1)", r"""expected a name, found 'no-drug'\. Such a name takes double quotes: "no-drug\""""),
        ("P(2nd=1)", r"""expected a name, found '2nd'.*double quotes: "2nd\""""),
        ('P(Y="y")', r'expected a value, found "y"\. Values take single quotes'),
        ('P(Y[X="x"]=y)', r'expected a value, found "x"\. Values take single quotes'),
        ("P('Y'=y)", r"expected a name, found 'Y'\. Names take double quotes"),
        ("P(Y='y)", r"position 5: expected a value, found '''\. This quote is never closed"),
        ('P("Y=y)', r"position 3: expected a name.*This quote is never closed"),
        ("P(Y=NULL)", r"NULL is no value"),
        ("PNS(X=null vs x, Y=y)", r"NULL is no value"),
        ("P(Y IN (a, Null))", r"NULL is no value"),
        ("P(Y[X=NULL]=y)", r"NULL is no value"),
    ],
)
def test_a_syntax_error_says_where_what_and_what_was_expected(text, message):
    with pytest.raises(QueryError, match=message):
        parse(text)


@pytest.mark.parametrize("word", ["AND", "not", "In", "VS", "null", "p", *KINDS])
def test_a_word_of_the_language_takes_double_quotes_to_be_a_name(word):
    for text in (f"P({word}=y)", f"P(Y[{word}=y]=y)", f"P(Y[M={word}[X=x]]=y)", f"PNS({word}=x, Y=y)"):
        with pytest.raises(QueryError, match=f'{word} is a word of the query language.*double quotes: "{word}"'):
            parse(text)
    assert parse(f'P("{word}"=y)').terms[0].body.event[0].outcome.name == word


@pytest.mark.parametrize("word", ["AND", "not", "In", "vs"])
def test_a_word_that_joins_takes_single_quotes_to_be_a_value(word):
    with pytest.raises(QueryError, match=f"expected a value, found '{word}'.*single quotes: '{word}'"):
        parse(f"P(Y={word})")


@pytest.mark.parametrize("text", [None, 1, b"P(Y=y)", ["P(Y=y)"]])
def test_a_query_is_a_text(text):
    with pytest.raises(QueryError, match=f"a query is a text .*found {type(text).__name__}"):
        query(text)


def _nest(depth):
    return "P(" + "Y[M=" * depth + "M[]" + "]" * depth + "=y)"


def test_brackets_nest_to_a_limit():
    assert str(parse(_nest(MAX_DEPTH - 1))) == _nest(MAX_DEPTH - 1)
    for depth in (MAX_DEPTH, 15_000):
        with pytest.raises(QueryError, match=f"expected at most {MAX_DEPTH} brackets in each other"):
            parse(_nest(depth))


def test_a_text_has_a_longest_length():
    with pytest.raises(QueryError, match="at most 100,000 characters, found 100,001"):
        parse("x" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize("piece", ["(", "'", '"', "'a'", "1", "x", "P(Y=y)+", "P(Y=y,", "é", "\n", "-", "1."])
def test_long_hostile_text_ends_with_a_short_error(piece):
    with pytest.raises(QueryError, match="position") as caught:
        parse(piece * (MAX_CHARACTERS // len(piece)))
    assert len(str(caught.value)) < 600


def test_a_long_combination_parses():
    text = " + ".join(["P(Y=y)"] * 5000)
    assert str(parse(text)) == text


def test_a_query_that_would_be_too_long_written_out_is_refused_as_it_could_not_be_read_again():
    with pytest.raises(QueryError, match="at most 100,000 characters; written out, this one has 120,0"):
        parse("P(" + ",".join(["Y=y"] * 24_000) + ")")
