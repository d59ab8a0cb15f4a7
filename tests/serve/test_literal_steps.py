"""Bounds of Algorithm 1 with literal steps lie inside the exact ones."""

from __future__ import annotations

import polars as pl
import pytest

import duckemcc as emcc


def study(columns, rows, **more):
    data = pl.DataFrame(rows, schema=[*columns, "n"], orient="row")
    return emcc.Study(data, weight="n", **more)


REGISTRY = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)], name="registry")
TRIAL = study("XY", [(0, 0, 70), (0, 1, 30), (1, 0, 22), (1, 1, 28)], do="X", name="trial")
NULLS = study("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40), (1, None, 15), (0, None, 9)], name="nulls")
FRONT = study(
    "XMY", [(x, m, y, 9 + 5 * x * m + 7 * m * y + 3 * (x ^ y)) for x in (0, 1) for m in (0, 1) for y in (0, 1)]
)


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize(
    ("graph", "studies", "query"),
    [
        ("X {0, 1}; Y {0, 1}; X -> Y; X <-> Y", [REGISTRY, TRIAL], "P(Y[X=1]=1)"),
        ("X {0, 1}; Y {0, 1}; X -> Y; X <-> Y", [REGISTRY, TRIAL], "PNS(X=1 vs 0, Y=1)"),
        ("X {0, 1}; Y {0, 1}; X -> Y; X <-> Y", [NULLS, TRIAL], "P(Y[X=1]=1)"),
        ("X -> M -> Y; X <-> Y", [FRONT], "P(Y[X=1]=1)"),
    ],
)
def test_the_range_over_restarts_lies_inside_the_exact_one(graph, studies, query, accelerate):
    exact = emcc.bounds(graph, studies, query).to_pylist()[0]
    found = emcc.bounds(
        graph, studies, query, method="emcc", accelerate=accelerate, max_steps=100_000, restarts=10
    ).to_pylist()[0]
    assert exact["exact_lower"]
    assert exact["exact_upper"]
    assert found["converged"]
    assert exact["lower"] - 1e-6 <= found["lower"] <= found["upper"] <= exact["upper"] + 1e-6
