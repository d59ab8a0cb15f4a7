"""A `where` means the same in DuckDB and polars whatever the types of its columns, or is refused by both."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import duckdb
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.errors import EmptyStudy, OptionError
from duckemcc.study.count.read import count_study

DAYS = [date(2023, 12, 31), date(2024, 1, 1), date(2024, 2, 29), None]
FRAME = pl.DataFrame(
    {
        "x": ["a", "b", "c", "d"],
        "d": DAYS,
        "t": [datetime(2024, 1, 1, 12, 30), datetime(2024, 1, 1), datetime(2025, 1, 1), None],
        "m": [time(12, 30), time(0), time(23, 59, 59), None],
        "p": pl.Series([Decimal("1.50"), Decimal("0"), Decimal("-2"), None]).cast(pl.Decimal(6, 2)),
        "q": pl.Series([Decimal("0"), Decimal("0"), Decimal("0"), Decimal("1")]).cast(pl.Decimal(6, 2)),
        "i": [0, 1, 2, None],
        "f": [0.5, float("nan"), float("inf"), None],
        "g": pl.Series([0.1, 0.5, -1.0, None], dtype=pl.Float32),
        "b": [True, False, True, None],
        "s": ["a", "B", "1", None],
    }
)


def kept(where, source):
    """The values of x that a study keeps."""
    return "".join(sorted(count_study(emcc.Study(source, where=where), ["x"], name="study").frame["x"]))


@pytest.fixture(scope="module", params=["polars", "duckdb"])
def source(request):
    if request.param == "polars":
        yield FRAME
    else:  # before 2.0 a relation does not keep its connection
        with duckdb.connect() as con:
            yield con.from_arrow(FRAME.to_arrow())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("d >= '2024-01-01'", "bc"),
        ("d = '2024-1-1'", "b"),
        ("d = ' 2024/01/01 00:00:00'", "b"),
        ("'2024-01-01' < d", "c"),
        ("d IN ('2024-01-01', '2024-02-29', NULL)", "bc"),
        ("d NOT IN ('2024-01-01')", "ac"),
        ("d BETWEEN '2024-01-01' AND '2024-01-31'", "b"),
        ("coalesce(d, '2024-01-01') = '2024-01-01'", "bd"),
        ("NOT ((d) >= ('2024-01-01'))", "a"),
        ("t >= '2024-01-01T12:30'", "ac"),
        ("t < '2024-01-01 12:30:00.5'", "ab"),
        ("t = '2024-01-01'", "b"),
        ("t IN ('2024-01-01 12:30:00')", "a"),
        ("t > d", "ac"),
        ("m >= '12:30'", "ac"),
        ("m = TIME '23:59:59'", "c"),
        ("m IN ('00:00:00', NULL)", "b"),
        ("i = '1'", "b"),
        ("i IN ('0', ' 2 ')", "ac"),
        ("p = '1.5'", "a"),
        ("coalesce(p, '-2') = -2", "cd"),
        ("f = 'NaN'", "b"),
        ("f < 'inf'", "a"),
        ("f = '5e-1'", "a"),
        ("b = 'true'", "ac"),
        ("b = 1", "ac"),
        ("b IN (0, NULL)", "b"),
    ],
)
def test_a_literal_takes_the_type_of_what_it_is_compared_with(source, where, expected):
    assert kept(where, source) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("g = 0.1", "a"),
        ("g = 1e-1", "a"),
        ("g > 1e-1", "b"),
        ("g IN (0.1, 1e2)", "a"),
        ("g NOT IN (0.1, 1e2)", "bc"),
        ("g BETWEEN 1e-1 AND 5e-1", "ab"),
        ("g IN ('0.1', -1)", "ac"),
        ("coalesce(g, 0.1) = 0.1", "ad"),
        ("coalesce(g, NULL, 1e-1) = 1e-1", "ad"),
        ("abs(g) = 0.1 OR g + 0 = 0.1 OR g * 1e0 = 0.1 OR x = 'd'", "d"),  # computed as doubles
        ("abs(g) = 1", "c"),
        ("g = f OR g = p OR g = i OR x = 'd'", "d"),
        ("g < 1e300", "abc"),
        ("g = 0.1000000000000000000000000000000000000000000000001", "a"),
        ("p + 1.00000000000000000000000000000000000000000000001 = 1", "b"),
        ("p / 1 > 9007199254740993 * 9007199254740993 OR x = 'a'", "a"),
    ],
)
def test_a_float_of_four_bytes_is_compared_as_one_with_literals_and_as_a_double_with_all_else(source, where, expected):
    assert kept(where, source) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("p / q > 100", "ab"),  # infinite, and 0 / 0 is NaN, which is above all numbers
        ("p / q < 0", "c"),
        ("i / q > 1", "abc"),
        ("p / 0 > 1", "ab"),
        ("(p / q) % 2 = 0", None),
        ("p % q > 1", "abc"),
        ("p % 0 = 0", None),
        ("1.5 / 0.0 > 1", "abcd"),
        ("(p + i) / p = 1", "a"),
        ("p / 3 = 0.5", "a"),
    ],
)
def test_decimals_are_divided_as_doubles_are(source, where, expected):
    if expected is None:
        with pytest.raises(EmptyStudy):
            kept(where, source)
    else:
        assert kept(where, source) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("abs(NULL) IS NULL", "abcd"),
        ("abs(coalesce(NULL, NULL)) = 1 OR i = 1", "b"),
        ("lower(NULL) IS NULL AND s = 'a'", "a"),
        ("coalesce(abs(NULL), i) = 2", "c"),
        ("(s LIKE NULL) OR s = 'B'", "b"),
        ("i IS NULL OR i + abs(-NULL) = 1", "d"),
    ],
)
def test_what_is_computed_of_null_is_null(source, where, expected):
    assert kept(where, source) == expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("d >= 'soon'", "'soon' beside d"),
        ("d >= ''", "no date"),
        ("d IN ('2024-01-01', '2024-02-30')", "'2024-02-30' beside d"),
        ("d BETWEEN '2024-01-01' AND '20240131'", "'20240131' beside d"),
        ("d >= '2024-01-01 12:30:00'", "no date"),
        ("d >= DATE 'soon'", "no date"),
        ("coalesce(d, 'soon') IS NULL", "no date"),
        ("t < '2024-01-01 25:00:00'", "no timestamp"),
        ("t < '2024-01-01 12:00:00+02'", "no timestamp"),
        ("m > '24:00'", "no time"),
        ("i = 'one'", "no integer"),
        ("i = '1.5'", "no integer"),
        ("p = '1,5'", "no decimal"),
        ("f = '١'", "no double"),
        ("b = 'yes'", "no boolean"),
        ("b = 2", "BOOLEAN"),
        ("d > 5", "compares d"),
        ("d = s", "compares d"),
        ("d = m", "compares"),
        ("s = 5", "text s beside the number 5"),
        ("5 = s", "text s beside the number 5"),
        ("d + 1 > d", "not a number"),
        ("t - t = 0", "not a number"),
        ("-b = 1", "not a number"),
        ("i + '1' = 2", "not a number"),
        ("lower(i) = '1'", "not a text"),
        ("d LIKE '2024%'", "not a text"),
        ("CAST(i AS TIME) IS NULL", "time of day"),
    ],
)
def test_what_has_no_one_meaning_is_refused_by_every_engine(source, where, said):
    with pytest.raises(OptionError, match="where=") as refused:
        kept(where, source)
    assert said in str(refused.value)


def test_a_time_with_a_zone_and_an_enumeration_are_left_to_the_engine():
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE r AS SELECT 'a' AS x, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS z, 'u'::ENUM('u', 'v') AS e"
    )
    assert kept("z > '2023-01-01 00:00:00+00' AND e = 'u'", con.table("r")) == "a"
