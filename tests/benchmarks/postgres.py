"""Counting in PostgreSQL against pulling the rows and counting them here: `python tests/benchmarks/postgres.py`.

A table of --rows records (5 million) of six columns; the counts are compared, then the times in one run by their ratio.
Needs adbc-driver-postgresql, and PostgreSQL or the address of a server in DUCKEMCC_TEST_POSTGRES.

Run on request; `--out FILE` writes the table.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import polars as pl
from adbc_driver_postgresql import dbapi

from duckemcc.study.count.read import count_study
from duckemcc.study.study import Study

NAME = "emcc_benchmark"
VARIABLES = ("gender", "treatment", "survival", "age")
CREATE = (
    f"CREATE TABLE {NAME} AS SELECT (ARRAY['female', 'male'])[1 + i % 2] AS gender, i % 3 = 0 AS treatment, "
    "(i / 3) % 5 AS survival, (i / 11) % 8 AS age, (ARRAY['north', 'south', 'east'])[1 + (i / 7) % 3] AS region, "
    "((i % 10) * 0.1)::float8 AS w FROM generate_series(1, {rows}) AS i"
)


def serving() -> contextlib.AbstractContextManager[str]:
    """The address of a server: the one that tests would use."""
    spec = importlib.util.spec_from_file_location("tests_postgres", Path(__file__).parents[1] / "postgres.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if given := os.environ.get(module.GIVEN):
        return contextlib.nullcontext(given)
    binaries = module.find_binaries()
    if binaries is None:
        sys.exit("needs PostgreSQL: initdb and pg_ctl")
    return module.start_server(binaries)


@contextlib.contextmanager
def table(uri: str, rows: int) -> Iterator[None]:
    """The records, while they are needed."""
    with dbapi.connect(uri, autocommit=True) as con, con.cursor() as cursor:
        cursor.execute(CREATE.format(rows=rows))
        cursor.execute(f"ANALYZE {NAME}")
        try:
            yield
        finally:
            cursor.execute(f"DROP TABLE {NAME}")


def push_down(uri: str, weight: str | None) -> pl.DataFrame:
    return count_study(Study(NAME, con=uri, weight=weight), VARIABLES, name="records", by=["region"]).frame


def pull(uri: str, weight: str | None) -> pl.DataFrame:
    columns = ", ".join([*VARIABLES, "region", *([weight] if weight else [])])
    with dbapi.connect(uri) as con, con.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {NAME}")
        rows = cursor.fetch_arrow_table()
    return count_study(Study(rows, weight=weight), VARIABLES, name="records", by=["region"]).frame


def seconds(count: Callable[[], object]) -> float:
    begun = time.perf_counter()
    count()
    return time.perf_counter() - begun


def compare(uri: str, weight: str | None, repeats: int) -> str:
    if not push_down(uri, weight).equals(pull(uri, weight)):  # also the warm-up
        sys.exit("the counts differ")
    pairs = [
        (seconds(lambda: push_down(uri, weight)), seconds(lambda: pull(uri, weight))) for _ in range(repeats)
    ]  # in turn, so that a busy machine slows both
    here, there = median(p[0] for p in pairs), median(p[1] for p in pairs)
    return f"| {weight or '-'} | {here:.2f} | {there:.2f} | {median(p[1] / p[0] for p in pairs):.1f} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=5_000_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    lines = [f"{given.rows} records", "", "| weight | pushed down, s | pulled, s | ratio |", "|---|---|---|---|"]
    with serving() as uri, table(uri, given.rows):
        lines += [compare(uri, weight, given.repeats) for weight in (None, "w")]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
