"""A `where` is what it says: allowed conditions mean the same in DuckDB and polars, and all else is refused."""

from __future__ import annotations

import contextlib

import duckdb
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duckemcc import errors
from duckemcc.study.count.types import INTEGERS, type_name
from duckemcc.study.dialect import check_filter, filter_text

FRAME = pl.DataFrame(
    {
        "u": pl.Series([0, 1, 2, 200, None, 3], dtype=pl.UInt8),
        "i": pl.Series([-2, 0, 1, 7, None, 40_000], dtype=pl.Int32),
        "g": pl.Series([0.1, 0.2, 0.3, 0.4, None, 0.0], dtype=pl.Float32),
        "f": pl.Series([0.0, -1.5, 2.25, 1e9, None, 3.0], dtype=pl.Float64),
        "s": ["a", "B", "it's", "", None, "a%_b"],
        "odd name": [True, False, True, None, False, True],
    }
)
NUMBERS, TEXTS, FLAGS = ["u", "I", '"f"'], ["s", "S"], ['"odd name"', '"ODD name"']


@pytest.fixture(scope="module")
def con():
    con = duckdb.connect()
    con.register("frame", FRAME)
    con.execute("CREATE TABLE t AS SELECT *, row_number() OVER () AS row FROM frame").fetchall()
    return con


# -- conditions of the grammar -----------------------------------------------------------------

numbers = st.sampled_from(["0", "1", "-1", "2", "2.5", "1e2", "40000", "NULL"])
texts = st.sampled_from(["'a'", "'B'", "''", "'it''s'", "'%'", "'; DROP TABLE t --'", "'/*'", "'\"'", "NULL"])
spaces = st.sampled_from([" ", "\n", "\t", "  "])


def arithmetic(depth):
    leaf = st.one_of(st.sampled_from(NUMBERS), numbers)
    if depth == 0:
        return leaf
    part = arithmetic(depth - 1)
    binary = st.tuples(part, st.sampled_from("+-*/%"), part).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})")
    return st.one_of(leaf, binary, part.map(lambda p: f"abs({p})"), part.map(lambda p: f"-({p})"))


def textual():
    leaf = st.one_of(st.sampled_from(TEXTS), texts)
    return st.one_of(
        leaf,
        leaf.map(lambda p: f"lower({p})"),
        st.tuples(st.sampled_from(TEXTS), texts).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
        st.sampled_from(["u::VARCHAR", "CAST(i AS TEXT)"]),
    )


def predicates():
    compare = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
    several = st.lists(numbers, min_size=1, max_size=3).map(", ".join)
    words = st.lists(texts, min_size=1, max_size=3).map(", ".join)
    patterns = st.sampled_from(["'a%'", "'%'", "'_'", "'%''%'", "'B'"])
    maybe = st.sampled_from(["", "NOT "])
    return st.one_of(
        st.tuples(arithmetic(2), compare, arithmetic(2)).map(" ".join),
        st.tuples(textual(), compare, textual()).map(" ".join),
        st.tuples(st.sampled_from(NUMBERS), maybe, several).map(lambda p: f"{p[0]} {p[1]}IN ({p[2]})"),
        st.tuples(st.sampled_from(TEXTS), maybe, words).map(lambda p: f"{p[0]} {p[1]}IN ({p[2]})"),
        st.tuples(arithmetic(1), maybe, numbers, numbers).map(lambda p: f"({p[0]}) {p[1]}BETWEEN {p[2]} AND {p[3]}"),
        st.tuples(st.sampled_from(NUMBERS + TEXTS + FLAGS), maybe).map(lambda p: f"{p[0]} IS {p[1]}NULL"),
        st.tuples(st.sampled_from(TEXTS), maybe, st.sampled_from(["LIKE", "ILIKE"]), patterns).map(
            lambda p: f"{p[0]} {p[1]}{p[2]} {p[3]}"
        ),
        st.sampled_from([*FLAGS, "TRUE", "FALSE"]),
    )


conditions = st.recursive(
    predicates(),
    lambda part: st.one_of(
        st.tuples(part, spaces, st.sampled_from(["AND", "or"]), spaces, part).map("".join),
        part.map(lambda p: f"NOT ({p})"),
        part.map(lambda p: f"({p})"),
    ),
    max_leaves=6,
)


def kept_by_duckdb(con, tree):
    relation = con.table("t")
    integers = {c for c, t in zip(relation.columns, map(type_name, relation.types), strict=True) if t in INTEGERS}
    return sorted(row for (row,) in relation.filter(filter_text(tree, integers)).select("row").fetchall())


def kept_by_polars(tree):
    frame = FRAME.with_row_index("row", offset=1)
    integers = {c for c, t in FRAME.schema.items() if t.is_integer()}
    return sorted(frame.lazy().filter(pl.sql_expr(filter_text(tree, integers))).collect()["row"].to_list())


@given(conditions)
@example("NOT (u - 2 < 0)")
@example("s IN ('it''s', NULL)")
@example("NOT (s NOT IN ('a', NULL))")
@example("(u) % (0) = 0")
@example("u <> -(abs(1))")
@example("u > (1) - (2)")
@example("(i) / (0) > 1")
def test_an_allowed_condition_keeps_the_same_records_in_both_engines(con, text):
    try:
        tree = check_filter(text, list(FRAME.columns))
    except errors.OptionError:
        return  # some of the grammar is refused, by the one check that both share
    try:
        found = kept_by_duckdb(con, tree)
    except duckdb.Error:
        found = None
    try:
        same = kept_by_polars(tree)
    except pl.exceptions.PolarsError:
        same = None
    if found is not None and same is not None:  # an engine may refuse what another can do, but not answer otherwise
        assert found == same, filter_text(tree, ())


@pytest.mark.parametrize(
    ("text", "rows"),
    [("g > 0.1", 3), ("g <= 0.3", 4), ("g BETWEEN 0.1 AND 0.3", 3), ("g IN (0.1, 0.2)", 2), ("g * 2 > 0.2", 3)],
)
def test_floats_of_4_bytes_are_compared_alike(con, text, rows):
    tree = check_filter(text, list(FRAME.columns))
    assert len(kept_by_duckdb(con, tree)) == rows
    assert kept_by_duckdb(con, tree) == kept_by_polars(tree)


def test_most_of_the_grammar_is_allowed():
    allowed = []

    @given(conditions)
    def draw(text):
        try:
            check_filter(text, list(FRAME.columns))
            allowed.append(True)
        except errors.OptionError:
            allowed.append(False)

    draw()
    assert sum(allowed) > len(allowed) / 2  # otherwise the test above would test nothing


# -- hostile ones ------------------------------------------------------------------------------

EVIL = [
    "(SELECT nextval('canary')) > 0",
    "nextval('canary') > 0",
    "u IN (SELECT nextval('canary'))",
    "EXISTS (SELECT nextval('canary'))",
    "u = ANY (SELECT nextval('canary'))",
    "read_csv('/etc/passwd') IS NULL",
    "read_text('/etc/passwd') = ''",
    "(FROM read_csv('/etc/passwd')) IS NULL",
    "(TABLE t) IS NULL",
    "(VALUES (nextval('canary'))) IS NULL",
    "(WITH x AS (SELECT nextval('canary')) FROM x) > 0",
    "query('SELECT 1') = 1",
    "getvariable('x') = 1",
    "getenv('HOME') = ''",
    "pg_sleep(10) IS NULL",
    "sleep(10) = 0",
    "u = 1; DROP TABLE t",
    "u = 1); DROP TABLE t; --",
    "u = 1 -- more",
    "u = 1 /* more */",
    "u = 1 UNION SELECT nextval('canary')",
    "u = $1",
    "u = ?",
    "COLUMNS(*) = 1",
    "* = 1",
    "t.u = 1",
    "main.t.u = 1",
    "list_transform([1], lambda x: nextval('canary'))[1] = 1",
    "[nextval('canary')][1] = 1",
    "{'a': nextval('canary')}.a = 1",
    "CASE WHEN nextval('canary') > 0 THEN TRUE END",
    "CAST(nextval('canary') AS VARCHAR) = '1'",
    "CAST(u AS STRUCT(a INT)) IS NULL",
    "coalesce(nextval('canary'), 1) = 1",
    "lower(nextval('canary')::VARCHAR) = '1'",
    "u BETWEEN nextval('canary') AND 5",
    "u IN (nextval('canary'))",
    "s LIKE getenv('HOME')",
    "s LIKE 'a' ESCAPE getenv('HOME')",
    "s SIMILAR TO 'a'",
    "s ~ 'a'",
    "s COLLATE nextval('canary') = 'a'",
    "count(*) > nextval('canary')",
    "row_number() OVER () = 1",
    "u = nextval\u00a0('canary')",
    "ｎｅｘｔｖａｌ('canary') > 0",
    "u = 1 \uff1b DROP TABLE t",
    "u = 1\u037e DROP TABLE t",
    "s = \u2019 OR nextval(\u2019canary\u2019) > 0",
    "s = 'a\\' OR nextval('canary') > 0 --'",
    "s = E'\\'' OR nextval('canary') > 0",
    "s = $$a$$ OR nextval('canary') > 0",
    '"u" = 1 OR "nextval(\'canary\')" = 1',
    'u = 1 OR "u"" OR nextval(\'canary\') > 0 OR ""u" = 1',
    "u = 1\0 OR nextval('canary') > 0",
    "u = 1 \u202e OR nextval('canary') > 0",
    "extract('year' FROM nextval('canary')) = 1",
    "TRY(nextval('canary')) = 1",
    "try_cast(nextval('canary') AS INT) = 1",
    "nextval('canary')",
    "x'00' = s",
    "",
    "   ",
    ";",
    "--",
    "(",
    "'",
]


@pytest.fixture
def guarded(con):
    """The number of times that anything called the canary."""
    con.execute("CREATE OR REPLACE SEQUENCE canary").fetchall()
    return lambda: con.execute("SELECT nextval('canary')").fetchone()[0] - 1


@pytest.mark.parametrize("text", EVIL)
def test_a_hostile_condition_is_refused_before_any_engine_sees_it(con, guarded, text):
    with pytest.raises((errors.OptionError, errors.MissingColumn)):
        kept_by_duckdb(con, check_filter(text, list(FRAME.columns)))
    assert guarded() == 0
    assert con.execute("SELECT count(*) FROM t").fetchone() == (6,)


WORDS = """nextval('canary')|(SELECT 1)|SELECT|FROM t|'|"|''|--|/*|*/|;|(|)|[|]|{|}|,|=|<|AND|OR|NOT|IN|LIKE|IS|NULL|::
->|lambda x:|CASE|WHEN|THEN|END|UNION|$1|?|$$|\\|\n|é|\u2019|\u00a0|.|*"""
fragments = st.sampled_from([*NUMBERS, *TEXTS, *FLAGS, *WORDS.split("|")])


@given(
    st.one_of(st.lists(fragments, max_size=12).map(" ".join), st.lists(fragments, max_size=12).map("".join), st.text())
)
def test_any_text_is_refused_or_is_a_filter_and_nothing_else(con, text):
    con.execute("CREATE OR REPLACE SEQUENCE canary").fetchall()
    try:
        tree = check_filter(text, list(FRAME.columns))
    except (errors.OptionError, errors.MissingColumn):
        return
    with contextlib.suppress(duckdb.ConversionException, duckdb.BinderException, duckdb.OutOfRangeException):
        assert set(kept_by_duckdb(con, tree)) <= set(range(1, 7))  # and it can be read: no ParserException
    assert con.execute("SELECT nextval('canary')").fetchone() == (1,)
    assert con.execute("SELECT count(*) FROM t").fetchone() == (6,)
