"""Whether a `where` keeps the same records in DuckDB, polars and Spark: random conditions, all three asked.

    python tests/benchmarks/where_fuzz.py --number 20000 --seed 1 [--no-spark]

Every condition is drawn from what `where` allows, over columns of ten types with NULLs, NaN and infinities. Each
engine is asked many at a time, as columns of one query; what fails there is asked in halves, down to one alone. An
engine that refuses what another answers is told apart from one that keeps other records.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from time import perf_counter
from typing import Any

import duckdb
import polars as pl

from duckemcc.errors import OptionError
from duckemcc.study.count.types import INTEGERS, type_name
from duckemcc.study.dialect import check_filter, filter_text, fitted

N, NAN, INF = None, float("nan"), float("inf")
FRAME = pl.DataFrame(
    {
        "i": pl.Series([0, 1, -2, 7, N, 40_000, 1, 3], dtype=pl.Int32),
        "k": pl.Series([0, 1, 2**53 + 1, -(2**62), N, 5, 1, 2], dtype=pl.Int64),
        "f": pl.Series([0.0, -1.5, 2.25, INF, N, NAN, -INF, 1.0], dtype=pl.Float64),
        "g": pl.Series([0.1, 0.2, 0.5, NAN, N, INF, 1.0, -0.0], dtype=pl.Float32),
        "p": pl.Series([Decimal(v) if v else N for v in ("0", "1.50", "-2.25", "1", "", "9.99", "2", "0.10")]).cast(
            pl.Decimal(6, 2)
        ),
        "s": ["a", "B", "it's", "", N, "a%_b", "ab", "1"],
        "b": [True, False, True, N, False, True, False, N],
        "d": [
            date(2024, 1, 1),
            date(2024, 2, 29),
            N,
            date(1969, 12, 31),
            date(2024, 1, 1),
            N,
            date(2030, 6, 1),
            date(2000, 1, 1),
        ],
        "m": [time(0), time(12, 30), N, time(23, 59, 59, 999_999), time(6), N, time(12, 30), time(12)],
        "t": [
            datetime(2024, 1, 1),
            datetime(2024, 1, 1, 12, 30),
            N,
            datetime(1969, 12, 31, 23),
            N,
            datetime(2030, 6, 1),
            datetime(2024, 2, 29),
            datetime(2000, 1, 1),
        ],
    }
)
WHOLE, REAL = ("i", "k"), ("f", "g", "p")
COMPARED = ("=", "<>", "<", "<=", ">", ">=")
ASKED = 200  # conditions of one query
Kept = tuple[int, ...] | str


class Grammar:
    """Random conditions, of a depth of some four."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *what: Any) -> Any:
        return self.random.choice(what)

    def number(self) -> str:
        return self.pick("0", "1", "-1", "2", "2.5", "-1.5", "0.1", "40000", "1e2", "1e-1", "9007199254740993", "NULL")

    def arithmetic(self, depth: int) -> str:
        if depth == 0 or self.random.random() < 0.4:
            return self.pick(self.pick(*WHOLE, *REAL), self.pick(*WHOLE, *REAL), self.number())
        part = self.arithmetic(depth - 1)
        return self.pick(
            f"({part}) {self.pick(*'+-*/%')} ({self.arithmetic(depth - 1)})", f"abs({part})", f"-({part})",
            f"coalesce({self.pick(*WHOLE, 'p', 'g')}, {self.pick('0', '1', '0.1')})", "abs(NULL)", "-NULL", "p / 0",
        )  # fmt: skip

    def text(self) -> str:
        word = self.pick("'a'", "'B'", "''", "'it''s'", "'1'", "NULL")
        return self.pick(
            "s", "s", word, "lower(s)", "lower(NULL)", f"coalesce(s, {word})", "i::VARCHAR", "k::VARCHAR", "b::VARCHAR"
        )

    def day(self) -> str:
        typed = self.pick("DATE '2024-01-01'", "DATE '2024-2-29'", "CAST('1969-12-31' AS DATE)", "NULL")
        return self.pick(
            typed, "'2024-01-01'", "'2024-2-29'", "' 1969-12-31 '", "'2000/01/01'", "'2024-01-01 00:00:00'"
        )

    def moment(self) -> str:
        typed = self.pick("TIMESTAMP '2024-01-01 12:30:00'", "TIMESTAMP '2024-01-01'", "NULL")
        return self.pick(typed, "'2024-01-01'", "'2024-01-01T12:30'", "'1969-12-31 23:00:00.000001'")

    def clock(self) -> str:
        return self.pick("TIME '12:30:00'", "'12:30'", "'00:00:00'", "'23:59:59.999999'", "NULL")

    def several(self, one: Callable[[], str]) -> str:
        return ", ".join(one() for _ in range(self.random.randint(1, 3)))

    def predicate(self) -> str:
        compare, no = self.pick(*COMPARED), self.pick("", "NOT ")
        word = lambda: self.pick("'a'", "'B'", "''", "'it''s'", "NULL")  # noqa: E731
        return str(
            self.pick(
                lambda: f"{self.arithmetic(2)} {compare} {self.arithmetic(2)}",
                lambda: f"{self.arithmetic(2)} {compare} {self.number()}",
                lambda: f"{self.text()} {compare} {self.text()}",
                lambda: f"d {compare} {self.pick(self.day(), 'd')}",
                lambda: f"t {compare} {self.pick(self.moment(), 't')}",
                lambda: f"{self.pick(*WHOLE, *REAL)} {no}IN ({self.several(self.number)})",
                lambda: f"m {compare} {self.pick(self.clock(), 'm')}",
                lambda: f"m {no}IN ({self.several(self.clock)})",
                lambda: f"m {no}BETWEEN {self.clock()} AND {self.clock()}",
                lambda: f"t {no}IN ({self.several(self.moment)})",
                lambda: f"t {compare} {self.pick('d', self.day())}",
                lambda: f"coalesce(d, {self.day()}) {compare} {self.day()}",
                lambda: f"{self.pick(*WHOLE)} {compare} {self.pick(*WHOLE_TEXTS)}",
                lambda: f"{self.pick('f', 'p')} {compare} {self.pick(*WHOLE_TEXTS, *REAL_TEXTS)}",
                lambda: f"{self.pick(*WHOLE, 'p')} {no}IN ({self.several(lambda: self.pick(*WHOLE_TEXTS, 'NULL'))})",
                lambda: self.misfit(),
                lambda: f"s {no}IN ({self.several(word)})",
                lambda: f"d {no}IN ({self.several(self.day)})",
                lambda: f"({self.arithmetic(1)}) {no}BETWEEN {self.number()} AND {self.number()}",
                lambda: f"d {no}BETWEEN {self.day()} AND {self.day()}",
                lambda: f"t {no}BETWEEN {self.moment()} AND {self.moment()}",
                lambda: f"s {no}BETWEEN {word()} AND {word()}",
                lambda: f"{self.pick(*FRAME.columns)} IS {no}NULL",
                lambda: f"s {no}{self.pick('LIKE', 'ILIKE')} {self.pick(*PATTERNS)}",
                lambda: f"b {self.pick('=', '<>')} {self.pick('TRUE', 'FALSE', 'b', '1', '0', *TRUTHS)}",
                lambda: self.pick("b", "TRUE", "FALSE", "coalesce(b, FALSE)"),
            )()
        )

    def misfit(self) -> str:
        """What none is to answer."""
        return self.pick(
            "d >= 'soon'", "d IN ('2024-01-01', '')", "t < '2024-13-01'", "m = '24:00'", "i = 'one'", "p = '1,5'",
            "d > 5", "d = s", "s = 1", "d - d = 0", "t - t = 0", "d + 1 > d", "b + 1 = 2", "lower(i) = '1'",
            "d LIKE '2024%'", "b = 2", "d = m",
        )  # fmt: skip

    def condition(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.3:
            return self.predicate()
        part = self.condition(depth - 1)
        return str(self.pick(f"({part}) {self.pick('AND', 'OR')} ({self.condition(depth - 1)})", f"NOT ({part})"))


WHOLE_TEXTS, REAL_TEXTS = ("'1'", "' 2 '", "'-2'", "'40000'"), ("'2.5'", "'1.50'", "'1e1'")
TRUTHS = ("'true'", "'0'")
PATTERNS = ("'a%'", "'%'", "'_'", "'%''%'", "'B'", "'a\\%'", "''")


def allowed(grammar: Grammar, number: int) -> tuple[list[tuple[str, Any]], int]:
    """Distinct conditions that pass the checks that all engines share, with their trees; and how many do not pass."""
    kinds, seen, drawn = {c: str(t) for c, t in FRAME.schema.items()}, set(), []
    while len(drawn) < number:
        text = grammar.condition()
        if text in seen:
            continue
        seen.add(text)
        try:
            tree = check_filter(text, FRAME.columns)
            fitted("the records", text, tree, kinds)
        except OptionError:
            continue
        drawn.append((text, tree))
    return drawn, len(seen) - number


def _each(ask: Callable[[Sequence[Any]], list[Kept]], trees: Sequence[Any]) -> list[Kept]:
    """All at once; in halves where one of them fails."""
    try:
        return ask(trees)
    except Exception as error:
        if len(trees) == 1:
            return [f"{type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"]
        half = len(trees) // 2
        return _each(ask, trees[:half]) + _each(ask, trees[half:])


def _fits(trees: Sequence[Any], types: dict[str, str]) -> list[Any]:
    return [fitted("the records", tree.sql(), tree, types) for tree in trees]


def _kept(columns: Sequence[Sequence[Any]]) -> list[Kept]:
    return [tuple(row for row, value in enumerate(column) if value) for column in columns]


def duckdb_asker() -> Callable[[Sequence[Any]], list[Kept]]:
    con = duckdb.connect()
    con.register("frame", FRAME.to_arrow())
    con.execute("CREATE TABLE records AS SELECT *, row_number() OVER () AS emcc_row FROM frame")
    found = con.table("records")
    types = dict(zip(found.columns, map(type_name, found.types), strict=True))
    integers = {c for c, t in types.items() if t in INTEGERS}

    def ask(trees: Sequence[Any]) -> list[Kept]:
        items = ", ".join(f"({filter_text(tree, integers)})" for tree in _fits(trees, types))
        rows = con.execute(f"SELECT {items} FROM records ORDER BY emcc_row").fetchall()
        return _kept(list(zip(*rows, strict=True)))

    return ask


def polars_asker() -> Callable[[Sequence[Any]], list[Kept]]:
    integers = {c for c, t in FRAME.schema.items() if t.is_integer()}
    place = {c: f"emcc_c{i}" for i, c in enumerate(FRAME.columns)}
    types = {c: str(t) for c, t in FRAME.schema.items()}
    frame = FRAME.rename(place).lazy()

    def ask(trees: Sequence[Any]) -> list[Kept]:
        items = [
            pl.when(pl.sql_expr(filter_text(tree, integers, place))).then(True).otherwise(False).alias(f"emcc_{i}")
            for i, tree in enumerate(_fits(trees, types))
        ]
        found = frame.with_columns(items).select(f"emcc_{i}" for i in range(len(trees))).collect()
        return _kept([column.to_list() for column in found])

    return ask


def spark_asker(session: Any) -> Callable[[Sequence[Any]], list[Kept]]:
    from pyspark.sql import functions

    from duckemcc.study.count.spark_filter import filter_column

    arrow = FRAME.with_row_index("emcc_row").cast({"emcc_row": pl.Int64}).to_arrow(compat_level=pl.CompatLevel.oldest())
    frame = session.createDataFrame(arrow).coalesce(1).cache()
    types = dict(frame.dtypes)
    columns = {c: functions.col(c) for c in FRAME.columns}

    def ask(trees: Sequence[Any]) -> list[Kept]:
        items = [
            functions.when(filter_column(tree, columns, types), True).alias(f"e{i}")
            for i, tree in enumerate(_fits(trees, types))
        ]
        rows = frame.select("emcc_row", *items).toArrow().sort_by("emcc_row")
        return _kept([rows[f"e{i}"].to_pylist() for i in range(len(trees))])

    return ask


def compare(
    askers: dict[str, Callable[[Sequence[Any]], list[Kept]]], number: int, seed: int
) -> tuple[list[Any], list[Any], int]:
    """Conditions by which engines keep other records, those that only some refuse, and how many all refuse."""
    drawn, _ = allowed(Grammar(seed), number)
    differ, refused, by_all = [], [], 0
    for first in range(0, number, ASKED):
        some = drawn[first : first + ASKED]
        answers = [_each(ask, [tree for _, tree in some]) for ask in askers.values()]
        for (text, _), kept in zip(some, zip(*answers, strict=True), strict=True):
            if len({k for k in kept if not isinstance(k, str)}) > 1:
                differ.append((text, dict(zip(askers, kept, strict=True))))
            elif 0 < sum(isinstance(k, str) for k in kept) < len(kept):
                refused.append((text, dict(zip(askers, kept, strict=True))))
            by_all += all(isinstance(k, str) for k in kept)
        print(f"{first + len(some)} compared, {len(differ)} differ, {len(refused)} refused by some", flush=True)
    return differ, refused, by_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-spark", action="store_true")
    asked = parser.parse_args()
    askers = {"duckdb": duckdb_asker(), "polars": polars_asker()}
    if not asked.no_spark:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.sql.timeType.enabled", "true")
        builder = builder.config("spark.log.level", "OFF").config("spark.sql.session.timeZone", "UTC")
        session = builder.config("spark.sql.codegen.wholeStage", "false").getOrCreate()
        askers["spark"] = spark_asker(session)
    begun = perf_counter()
    differ, refused, by_all = compare(askers, asked.number, asked.seed)
    print(f"{asked.number} conditions, seed {asked.seed}, {', '.join(askers)}: {perf_counter() - begun:.0f} s")
    print(
        f"{len(differ)} keep other records; {len(refused)} are refused by some and answered by others; {by_all} by all"
    )
    for text, kept in [*differ[:15], *refused[:15]]:
        print(text, *(f"    {engine}: {found}" for engine, found in kept.items()), sep="\n")
    print(
        Counter(k.split(":")[1][:60] for _, kept in refused for k in kept.values() if isinstance(k, str)).most_common(
            12
        )
    )


if __name__ == "__main__":
    main()
