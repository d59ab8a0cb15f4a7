"""How long learning and bounding take: `python tests/benchmarks/learning.py`.

One EM step, whole `bounds` calls on Table 1 and on ladders of 5 to 15 variables, and the same call on ever more
records. Medians of several runs; the comparisons are ratios within one run.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

import duckemcc as emcc
from duckemcc.answer.options import DEFAULT_START
from duckemcc.learn.emcc import em_step
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.start import draw_starts

sys.path.insert(0, str(Path(__file__).parents[1] / "learn"))
from problems import OBSERVED, RANDOMISED, table1

GENDER, TREATMENT, SURVIVAL = ("female", "male"), ("drug", "no drug"), ("survived", "dead")
GRAPH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug vs 'no drug', Survival=survived)"


def median_seconds(work, n):
    work()
    times = []
    for _ in range(n):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def one_step():
    model, parts = table1()
    for group in compile_likelihood(model, parts["O+I"]).groups:
        chances = tuple(sum_by_class(draw_starts(DEFAULT_START, [len(c)], 30, 0)[0], c)[None] for c in group.classes)
        seconds = median_seconds(lambda g=group, c=chances: em_step(c, g), 2000)
        print(f"  one EM step, 30 restarts, |U| = {len(group.classes[0])}: {seconds * 1e3:.3f} ms")


def counts(table):
    rows = [(GENDER[g], TREATMENT[t], SURVIVAL[s], n) for (g, t), both in table.items() for s, n in enumerate(both)]
    return pl.DataFrame(rows, schema=["Gender", "Treatment", "Survival", "n"], orient="row")


def table_1_calls():
    obs, rct = emcc.Study(counts(OBSERVED), weight="n"), emcc.Study(counts(RANDOMISED), do="Treatment", weight="n")
    for name, studies in (("O", [obs]), ("I", [rct]), ("O+I", [obs, rct])):
        seconds = median_seconds(lambda s=studies: emcc.bounds(GRAPH, s, PNS), 15)
        row = emcc.bounds(GRAPH, studies, PNS).to_pylist()[0]
        print(
            f"  Table 1, {name:3}: {seconds * 1e3:6.1f} ms a call, [{row['lower']:.4f}, {row['upper']:.4f}], "
            f"gap/N {row['optimality_gap'] / row['n']:.1e}, kept {row['kept']} of {row['restarts']}"
        )


def ladder(n):
    """X → V1 → … → Y, neighbours in pairs sharing a cause, and every second arc doubled by a longer one."""
    names = [f"V{i}" for i in range(n)]
    arcs = [f"{a} -> {b}" for a, b in pairwise(names)]
    arcs += [f"{a} -> {b}" for a, b in zip(names[::2], names[2::2], strict=False)]
    arcs += [f"{a} <-> {b}" for a, b in zip(names[1::2], names[2::2], strict=False)]
    return "; ".join(arcs + [f"{v} {{0, 1}}" for v in names])


def sample(text, records, seed=0):
    """Records of the model with random chances: observational, and with V0 randomised."""
    model = emcc.Model.parse(text)
    rng = np.random.default_rng(seed)
    states = {
        u.name: rng.choice(model.card(u.name), size=records, p=rng.dirichlet(np.ones(model.card(u.name))))
        for u in model.exogenous
    }
    frames = []
    for do in ((), ("V0",)):
        value = {}
        for v in model.order:
            place = (*(states[u] for u in model.causes[v]), *(value[p] for p in model.parents[v]))
            value[v] = rng.integers(0, 2, records) if v in do else model.table(v)[place]
        frames.append(emcc.Study(pl.DataFrame(value), do=do))
    return frames


def ladder_calls():
    for n in (5, 7, 10, 15):
        text = ladder(n)
        studies = sample(text, 2000)
        query = f"PNS(V0=1, V{n - 1}=1)"
        seconds = median_seconds(lambda t=text, s=studies, q=query: emcc.bounds(t, s, q), 3)
        row = emcc.bounds(text, studies, query).to_pylist()[0]
        print(
            f"  ladder of {n:2}: {seconds * 1e3:7.1f} ms a call, {row['patterns']} patterns, "
            f"converged {row['converged']}, status {row['status']}"
        )


def more_records():
    con = duckdb.connect()
    model = emcc.Model.parse("Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival")
    for power in (4, 5, 6, 7):
        con.sql(
            f"CREATE OR REPLACE TABLE r AS SELECT (hash(i) % 2)::INT AS Gender, (hash(i + 1) % 2)::INT AS Treatment, "
            f"(hash(i * 7) % 2)::INT AS Survival FROM range({10**power}) t(i)"
        )
        call = lambda: emcc.bounds(model, con.table("r"), "PNS(Treatment=1, Survival=1)")  # noqa: E731
        total = median_seconds(call, 5)
        laps = json.loads(call().schema.metadata[b"duckemcc.seconds"])
        rest = sum(v for k, v in laps.items() if k != "count")
        print(f"  10^{power} records: {total * 1e3:7.1f} ms a call, of which {rest * 1e3:6.1f} ms after counting")


if __name__ == "__main__":
    versions = f"duckdb {duckdb.__version__}, numpy {np.__version__}, polars {pl.__version__}"
    print(f"python {platform.python_version()}, {versions}, {platform.machine()}")
    for title, part in (
        ("EM step", one_step),
        ("bounds on Table 1", table_1_calls),
        ("ladders", ladder_calls),
        ("records", more_records),
    ):
        print(title)
        part()
