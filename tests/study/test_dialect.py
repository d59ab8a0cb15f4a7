"""A `where` comes from outside: what is allowed passes rewritten, and everything else is refused by name."""

import contextlib
import sys
import time

import pytest

from duckemcc.errors import MissingColumn, OptionError, RepeatedName
from duckemcc.study.dialect import check_filter, filter_text, projection

COLUMNS = ["a", "b", "Gender", "my col", 'q"q', "date"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gender = 'x'", "\"Gender\" = 'x'"),
        ("\"MY COL\" = 'it''s'", "\"my col\" = 'it''s'"),
        ('"q""q" <> 1', '"q""q" <> 1'),
        ("a = 1 OR b = 2 AND NOT a = 3", '"a" = 1 OR "b" = 2 AND NOT ("a" = 3)'),
        ("a IN (1, -2, NULL)", '"a" IN (1, -2, NULL)'),
        ("a IS NOT NULL", 'NOT ("a" IS NULL)'),
        ("a BETWEEN 1 AND 2 AND b", '("a" >= 1 AND "a" <= 2) AND "b"'),
        ("date >= DATE '2024-01-01'", "\"date\" >= CAST('2024-01-01' AS DATE)"),
        ("a::VARCHAR LIKE '1%'", "CAST(\"a\" AS TEXT) LIKE '1%'"),
        ("coalesce(lower(Gender), 'x') = 'x'", "COALESCE(LOWER(\"Gender\"), 'x') = 'x'"),
        ("(a + 1) * 2 > -abs(b)", '("a" + 1) * 2 > -ABS("b")'),
        ("TRUE", "TRUE"),
    ],
)
def test_an_allowed_condition_is_written_anew_with_quoted_columns(text, expected):
    assert filter_text(check_filter(text, COLUMNS), ()) == expected


def test_integer_columns_are_widened_in_arithmetic_only():
    text = filter_text(check_filter("a - (b) < 0 AND a = 1", COLUMNS), {"a", "b"})
    assert text == 'CAST("a" AS DOUBLE) - (CAST("b" AS DOUBLE)) < 0 AND "a" = 1'


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("read_csv('/etc/passwd')", "READ_CSV"),
        ("a = (SELECT 1)", "SELECT"),
        ("a IN (SELECT 1)", "SELECT"),
        ("EXISTS (FROM t)", "EXISTS"),
        ("a IN (FROM t)", "FROM|cannot be read"),
        ("pg_sleep(10)", "PG_SLEEP"),
        ("1=1; DROP TABLE t", "semicolon"),
        ("a = 1;", "semicolon"),
        ("a = 1 -- c", "comment"),
        ("a /* c */ = 1", "comment"),
        ("getenv('HOME') = 'x'", "GETENV"),
        ("'x' IN (getenv('HOME'))", "GETENV"),
        ("a = $1", "parameter"),
        ("a = ?", "parameter"),
        ("a = :x", "x"),
        ("a IN (b)", "not all literals"),
        ("a IN b", "a IN b"),
        ("sum(a) > 1", "SUM"),
        ("row_number() OVER () = 1", "OVER"),
        ("CASE WHEN a THEN b END", "CASE"),
        ("main.a = 1", r"main\.a"),
        ("a.lower() = 'x'", "a|LOWER"),
        ("a[1] = 1", "bracket"),
        ("{'x': a} = 1", "brace"),
        ("a = b = 1", "parentheses"),
        ("b IS TRUE", "IS goes with NULL only"),
        ("a LIKE 'x' ESCAPE '!'", "ESCAPE"),
        ("CAST(a AS INTEGER) = 1", "cast to INT"),
        ("CAST(a + 1 AS VARCHAR) = '1'", "only a column or a literal"),
        ("TRY_CAST(a AS DOUBLE) = 1", "TRY_CAST"),
        ("a ~ 'x'", "REGEXP"),
        ("a = 'x' 'y'", "CONCAT"),
        ("a COLLATE nocase = 'x'", "COLLATE"),
        ("current_date = date", "CURRENT_DATE"),
        ("COLUMNS('a') = 1", "COLUMNS"),
        ("* = 1", r"\*|cannot be read"),
        ("x -> x", "lambda"),
        ("a = 1 LIMIT 5", "cannot be read"),
        ("a = 1 UNION SELECT 1", "SELECT"),
        ("SELECT", "SELECT"),
        ("a = 'x", "cannot be read"),
        ("(a = 1", "cannot be read"),
        ("a = 1)", "cannot be read"),
        ("a = 'x\x00y'", "control character"),
        ("a\u200b = 1", "control character"),
        ("a = '\u202ex'", "control character"),
        ("a = '\ud800'", "control character"),
    ],
)
def test_anything_else_is_refused_and_named(text, construct):
    with pytest.raises(OptionError, match=rf"(?s)^where=.*({construct}).*It takes comparisons"):
        check_filter(text, COLUMNS)


@pytest.mark.parametrize("text", ["\u0430 = 1", "a\uff1d1", "gendr = 'x'", "pivot"])
def test_a_name_that_only_looks_like_a_column_is_missing(text):
    with pytest.raises(MissingColumn, match=r"no column for the name .* in where; its columns are a, b, Gender"):
        check_filter(text, COLUMNS)


def test_a_name_that_fits_several_columns_is_refused_unless_quoted_as_it_is():
    with pytest.raises(RepeatedName, match="several columns for the name A in where"):
        check_filter("A = 1", ["a", "A"])
    assert filter_text(check_filter('"A" = 1', ["a", "A"]), ()) == '"A" = 1'


SHAPES = [
    lambda n: "(" * n + "b" + ")" * n,
    lambda n: "NOT " * n + "b",
    lambda n: "NOT (" * n + "b" + ")" * n,
    lambda n: "- " * n + "1 = a",
    lambda n: "abs(" * n + "a" + ")" * n + " = 1",
    lambda n: "CAST(" * n,
    lambda n: "a" + "::DOUBLE" * n + " = 1",
    lambda n: "x -> " * n + "b",
    lambda n: "CASE WHEN " * n,
    lambda n: "[" * n,
    lambda n: "'" * n,
    lambda n: '"' * n,
    lambda n: "b AND " * n + "b",
    lambda n: "1 + " * n + "1 = a",
    lambda n: "a LIKE " * n + "b",
    lambda n: "a BETWEEN " * n + "1",
    lambda n: "INTERVAL " * n + "1",
    lambda n: "a IN (" + ", ".join(["1"] * n) + ")",
    lambda n: "a = '" + "x" * n + "'",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [8, 15, 50, 1000, 20_000])
def test_long_and_deep_conditions_end_soon_either_way(shape, size):
    import polars as pl

    start = time.process_time()
    with contextlib.suppress(OptionError, MissingColumn):
        pl.sql_expr(filter_text(check_filter(shape(size), COLUMNS), {"a"}))
    assert time.process_time() - start < 3


def test_a_high_recursion_limit_does_not_open_the_stack():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        for shape in SHAPES:
            with contextlib.suppress(OptionError, MissingColumn):
                check_filter(shape(10_000), COLUMNS)
    finally:
        sys.setrecursionlimit(limit)


def test_a_long_list_of_values_is_fine():
    values = ", ".join(str(i) for i in range(5000))
    assert filter_text(check_filter(f"a IN ({values})", COLUMNS), ()) == f'"a" IN ({values})'


def test_names_of_columns_are_quoted_in_the_projection():
    assert projection({"emcc_v0": 'a" FROM t --'}) == '"a"" FROM t --" AS emcc_v0'


def test_a_time_can_be_compared_with_a_time_in_both_engines():
    import datetime as dt

    import duckdb
    import polars as pl

    frame = pl.DataFrame({"at": [dt.datetime(2023, 5, 5), dt.datetime(2025, 1, 1, 10)], "k": [0, 1]})
    text = filter_text(check_filter("at >= TIMESTAMP '2024-01-01 00:00:00'", ["at", "k"]), {"k"})
    assert duckdb.sql(f"SELECT k FROM frame WHERE {text}").fetchall() == [(1,)]
    assert frame.filter(pl.sql_expr(text))["k"].to_list() == [1]
