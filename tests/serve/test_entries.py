"""One set of problems, asked by every way in: all give the same rows, to the last digit.

CI runs this file on each DuckDB that is supported, and with Spark. What only one way can say is tested beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import duckemcc as emcc
from duckemcc.answer.schema import COLUMNS


class Problem(NamedTuple):
    """A relation of studies with weights n, and what is asked of it."""

    graph: str
    queries: list[str]
    records: pl.DataFrame
    by: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


def relation(rows, names):
    schema = {"study": pl.String, "intervened": pl.List(pl.String)} | dict.fromkeys(names) | {"n": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def table_1():
    with duckdb.connect() as con:
        con.execute(emcc.read_sql("drug_trial"))
        return con.sql("FROM studies").pl()


def mixed():
    """Segments by two columns, with NULL in one; values of several types, some not recorded; one weighs nothing."""
    rng = np.random.default_rng(4)
    rows = []
    for s in range(7):
        for study in ("registry", "trial"):
            for cell in range(8):
                x, m, y = cell & 1, cell >> 1 & 1, bool(cell >> 2 & 1)
                do = ["X"] if study == "trial" else [None, []][s % 2]
                weight = 0.0 if s == 3 else float(rng.integers(1, 90)) / 10
                m, region = None if s == 5 and cell == 6 else m, None if s == 2 else "ab"[s % 2]
                rows.append((study, do, x, m, y, region, s // 2, weight))
    return relation(rows, {"X": pl.Int64, "M": pl.Int64, "Y": pl.Boolean, "region": pl.String, "week": pl.Int64})


def contradiction():
    rows = [("registry", None, x, y, 100.0) for x, y in ((0, 0), (1, 1))]
    rows += [("trial", ["X"], x, y, 100.0) for x, y in ((0, 1), (1, 0))]
    return relation(rows, {"X": pl.Int64, "Y": pl.Int64})


def many_levels():
    """Two segments of a registry and a trial with a covariate of seven levels, which some records lack."""
    rows = [
        (study, do, g, t, s, week, 100.0 * (g or 0) + 40.0 * abs(1 - s - 0.3 - 0.4 * t) + week)
        for week, (study, do), g, t, s in product(
            (1, 2), (("registry", None), ("trial", ["T"])), (*range(7), None), (0, 1), (0, 1)
        )
    ]
    return relation(rows, {"G": pl.Int64, "T": pl.Int64, "S": pl.Int64, "week": pl.Int64})


STATES = "X {0, 1}; M {0, 1}; Y {false, true}"
PNS = "PNS(Treatment=drug, Survival=survived)"
PROBLEMS = {
    "Table 1": Problem(
        "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival",
        [PNS, "PNS(Treatment=drug, Survival=survived | Gender=female)", "ACE(Treatment=drug, Survival=survived)"],
        table_1(),
    ),
    "per gender": Problem(
        "Treatment -> Survival; Treatment <-> Survival",
        [PNS],
        table_1(),
        ("Gender",),
        {"confidence": 0.9, "restarts": 5},
    ),
    "segments with holes": Problem(
        f"X -> M -> Y; X <-> Y; {STATES}",
        ["P(Y[X=1]=true | X=0, M=1)"],
        mixed(),
        ("region", "week"),
        {"incompatible": "report", "restarts": 2, "max_steps": 10},
    ),
    "plain restarts": Problem(
        f"X -> Y; X -> M; X <-> Y; {STATES}", ["PN(X=1, Y=true)"], mixed(), ("week",), {"method": "emcc", "restarts": 4}
    ),
    "a covariate of seven levels": Problem(
        "G -> T; G -> S; T -> S; T <-> S; assume P(S[T=1]=0, S[T=0]=1) = 0",
        ["PNS(T=1, S=1)"],
        many_levels(),
        ("week",),
        {"confidence": 0.95},
    ),
    "a contradiction": Problem("X -> Y; X <-> Y", ["P(Y[X=1]=1)", "P(Y=1 | X=1)"], contradiction()),
}


def ask_arrow(problem, source):
    studies = emcc.Studies(source, weight="n")
    return emcc.bounds(problem.graph, studies, problem.queries, by=problem.by, **problem.options)


def from_studies_apart(problem, folder):
    """A `Study` each, from polars and from a Parquet file."""
    parts = {name: problem.records.filter(study=name).drop("study", "intervened") for name in ("registry", "trial")}
    parts["trial"].write_parquet(folder / "trial.parquet")
    do = sorted({v for row in problem.records.filter(study="trial")["intervened"].to_list() for v in row or ()})
    studies = [
        emcc.Study(parts["registry"].lazy(), weight="n", name="registry"),
        emcc.Study(folder / "trial.parquet", do=do, weight="n", name="trial"),
    ]
    return emcc.bounds(problem.graph, studies, problem.queries, by=problem.by, **problem.options)


def from_a_table(problem, folder):
    con = duckdb.connect()
    con.register("frame", problem.records)
    con.execute("CREATE TEMP TABLE records AS FROM frame")
    return ask_arrow(problem, con.table("records"))


def from_parquet(problem, folder):
    problem.records.write_parquet(folder / "records.parquet")
    return ask_arrow(problem, folder / "records.parquet")


def from_arrow_batches(problem, folder):
    table = problem.records.to_arrow(compat_level=pl.CompatLevel.oldest())
    return ask_arrow(problem, pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=5)))


def from_polars(problem, folder):
    found = problem.records.emcc.bounds(problem.graph, problem.queries, by=problem.by, weight="n", **problem.options)
    assert isinstance(found, pl.DataFrame)
    return found.to_arrow()


def from_lazy_polars(problem, folder):
    lazy = problem.records.lazy()
    return lazy.emcc.bounds(problem.graph, problem.queries, by=problem.by, weight="n", **problem.options).to_arrow()


def from_pandas(problem, folder):
    pytest.importorskip("pandas")
    frame = problem.records.to_pandas(use_pyarrow_extension_array=True)
    return ask_arrow(problem, frame)


def connect(problem):
    con = duckdb.connect()
    emcc.register(con)
    con.register("frame", problem.records)
    con.execute("CREATE TABLE records AS FROM frame")
    return con


def quote(value):
    text = {list: lambda v: f"[{', '.join(map(quote, v))}]", str: lambda v: "'" + v.replace("'", "''") + "'"}
    return text.get(type(value), str)(value)


def written(problem, **more):
    return "".join(f", {name} := {quote(value)}" for name, value in {**problem.options, **more}.items())


def from_sql(problem, folder):
    con = connect(problem)
    by = f", {quote(list(problem.by))}" if problem.by else ""
    call = "emcc_bounds_by" if problem.by else "emcc_bounds"
    given = f"{quote(problem.graph)}, {quote(problem.queries)}, 'records'{by}{written(problem, weight='n')}"
    return con.sql(f"FROM {call}({given})").to_arrow_table()


def from_a_catalog(problem, folder):
    con = connect(problem)
    emcc.save_model(con, "asked", problem.graph)
    by = f", by := {quote(list(problem.by))}" if problem.by else ""
    call = "emcc_bounds_by" if problem.by else "emcc_bounds"
    given = f"'asked', {quote(problem.queries)}, 'records'{by}{written(problem, weight='n')}"
    return con.sql(f"FROM {call}({given})").to_arrow_table()


def from_a_job(problem, folder):
    from duckemcc.serve.job.file import read_job
    from duckemcc.serve.job.run import run_job

    problem.records.write_parquet(folder / "records.parquet")
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in problem.options.items())
    (folder / "job.toml").write_text(
        f"queries = {json.dumps(problem.queries)}\nby = {json.dumps(list(problem.by))}\n"
        f"[model]\ngraph = {json.dumps(problem.graph)}\n"
        '[[studies]]\nsource = "records.parquet"\nrelation = true\nweight = "n"\n'
        f'[options]\n{options}\n[output]\nfile = "bounds.parquet"\n'
    )
    ran = run_job(read_job(folder / "job.toml"))
    assert pq.read_table(folder / "bounds.parquet").to_pylist() == ran.table.to_pylist()
    return ran.table


ENTRIES = (
    from_studies_apart,
    from_a_table,
    from_parquet,
    from_arrow_batches,
    from_polars,
    from_lazy_polars,
    from_pandas,
    from_sql,
    from_a_catalog,
    from_a_job,
)


def rows(table, problem):
    found = table.to_pylist()
    assert set(COLUMNS) <= set(found[0])
    return sorted(found, key=lambda row: [str(row[c]) for c in (*problem.by, "query")])


@pytest.fixture(scope="module")
def expected():
    return {name: rows(ask_arrow(problem, problem.records), problem) for name, problem in PROBLEMS.items()}


def test_the_problem_with_many_levels_is_answered_and_proven(expected):
    for row in expected["a covariate of seven levels"]:
        assert (row["exact_lower"], row["exact_upper"]) == (True, True)
        assert row["lower_ci"] <= row["lower"] <= row["upper"] <= row["upper_ci"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_way_in_gives_the_same_rows(name, entry, expected, tmp_path):
    assert rows(entry(PROBLEMS[name], tmp_path), PROBLEMS[name]) == expected[name]


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if STATES in problem.graph])
def test_the_aggregate_gives_each_group_the_same_row_where_states_are_declared(name, expected):
    problem = PROBLEMS[name]
    by, con = ", ".join(problem.by), connect(problem)
    found = []
    for query in problem.queries:
        call = f"emcc({quote(problem.graph)}, {quote(query)}, struct_pack(X, M, Y, study, intervened), weight := n"
        grouped = con.sql(f"SELECT {by}, unnest({call}{written(problem)})) FROM records GROUP BY {by}")
        found += rows(grouped.to_arrow_table(), problem)
    told = sorted(found, key=lambda row: [str(row[c]) for c in (*problem.by, "query")])
    for row, same in zip(told, expected[name], strict=True):
        if same["status"] == "no_data":  # its message and what is known of it differ
            assert row["status"] == "no_data"
        else:
            assert row == same


@pytest.mark.parametrize("name", PROBLEMS)
def test_spark_gives_the_same_rows(name, expected, to_spark):
    import duckemcc.spark

    problem = PROBLEMS[name]
    given = problem.graph, to_spark(problem.records), problem.queries
    found = duckemcc.spark.bounds(*given, by=problem.by, weight="n", **problem.options)
    assert rows(found.toArrow(), problem) == expected[name]
