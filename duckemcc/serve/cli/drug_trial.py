"""The main job on the paper's Table 1, in an embedded DuckDB: every SQL statement shown, every bound beside the
exact one."""

from __future__ import annotations

from typing import Any, NamedTuple

from duckemcc.files import read_sql

DATA = {"O": "registry", "I": "trial", "O+I": "studies"}
"""The paper's three cases, and the view that holds each: observational, interventional, both."""

PNS = "PNS(Treatment=drug, Survival=survived)"


class Question(NamedTuple):
    """A query in one of the two models, with the exact bounds for O, I and O+I (closed forms: Tian & Pearl 2000)."""

    title: str
    graph: str
    query: str
    exact: dict[str, tuple[float, float]]


WITHOUT = "Treatment -> Survival; Treatment <-> Survival"
WITH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"

QUESTIONS = (
    Question("PNS without Gender", WITHOUT, PNS, {"O": (0, 0.4295), "I": (0.2795, 0.4895), "O+I": (0.3395, 0.4295)}),
    Question("PNS with Gender", WITH, PNS, {"O": (0, 0.4295), "I": (0.2795, 0.4895), "O+I": (0.3845, 0.3845)}),
    Question(
        "PNS given female",
        WITH,
        PNS[:-1] + " | Gender=female)",
        {"O": (0, 0.279), "I": (0.279, 0.489), "O+I": (0.279, 0.279)},
    ),
    Question(
        "PNS given male", WITH, PNS[:-1] + " | Gender=male)", {"O": (0, 0.58), "I": (0.28, 0.49), "O+I": (0.49, 0.49)}
    ),
)


class Answer(NamedTuple):
    """One line of the demo: a question, the data it was asked of, the row that came back."""

    question: Question
    data: str
    row: dict[str, Any]


def statement(graph: str, queries: list[str], data: str, restarts: int) -> str:
    """The SQL that asks these queries of one case."""
    asked = ",\n                  ".join(f"$${q}$$" for q in queries)
    return (
        f"FROM emcc_bounds($${graph}$$,\n                 [{asked}],\n"
        f"                 '{DATA[data]}', weight := 'n', restarts := {restarts});"
    )


def run(restarts: int = 30) -> tuple[list[str], list[Answer]]:
    """The statements that were run, and the answers in the order of the questions, O, I and O+I for each."""
    import duckdb

    from duckemcc.serve.duckdb.register import register

    con = duckdb.connect()
    register(con)
    statements = [read_sql("drug_trial").strip()]
    con.execute(statements[0])
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for graph in (WITHOUT, WITH):
        queries = [q.query for q in QUESTIONS if q.graph == graph]
        for data in DATA:
            sql = statement(graph, queries, data, restarts)
            statements.append(sql)
            for row in con.sql(sql).to_arrow_table().to_pylist():
                rows[graph, data, row["query"]] = row
    return statements, [Answer(q, data, rows[q.graph, data, q.query]) for q in QUESTIONS for data in DATA]
