"""How sharp bounds grow with the states of a cause: `python tests/benchmarks/scale.py`.

growth    X -> Y; X <-> Y with more and more states: |U| = |X| |Y|^|X|, an observational study and a trial of 20 000
          records each. Time of the whole call and memory of a process of its own.
contexts  causes that no list holds (`wide.py`), with more and more contexts: cost is linear in these.
cliques   the same with more and more that is read together.
programs  where one linear program is exact: both ends from fitted probabilities, against bare HiGHS calls on the same
          programs, for 10^3 to 10^5 columns.

Run on request; `--out FILE` writes the tables.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import duckemcc as emcc
from duckemcc.bound.polytope import Polytope

SIZES = ((2, 2), (4, 2), (8, 2), (4, 4), (12, 2), (6, 4), (15, 2), (8, 4), (6, 7), (16, 2))
QUERY = "PNS(X=1 vs 0, Y=1)"
RECORDS = 20_000


def sample(x_states: int, y_states: int) -> list[emcc.Study]:
    """Two studies of one population with 50 kinds of units."""
    rng = np.random.default_rng(0)
    answers, choice = rng.integers(0, y_states, (50, x_states)), rng.integers(0, x_states, 50)
    share = rng.dirichlet(np.ones(50))
    units, others = rng.choice(50, RECORDS, p=share), rng.choice(50, RECORDS, p=share)
    given = rng.integers(0, x_states, RECORDS)
    registry = pl.DataFrame({"X": choice[units], "Y": answers[units, choice[units]]})
    trial = pl.DataFrame({"X": given, "Y": answers[others, given]})
    return [emcc.Study(registry, name="registry"), emcc.Study(trial, do="X", name="trial")]


def grow(x_states: int, y_states: int) -> dict[str, float]:
    """One size, in this process."""
    states = [", ".join(map(str, range(n))) for n in (x_states, y_states)]
    model = f"X -> Y; X <-> Y; X {{{states[0]}}}; Y {{{states[1]}}}"
    studies = sample(x_states, y_states)
    begun = time.perf_counter()
    row = emcc.bounds(model, studies, QUERY, incompatible="report").to_pylist()[0]
    seconds = time.perf_counter() - begun
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    exact = row["exact_lower"] and row["exact_upper"]
    return {"patterns": row["patterns"], "seconds": seconds, "megabytes": megabytes, "exact": exact}


def tell_growth() -> list[str]:
    rows = ["| X, Y | states of the cause | patterns | seconds | MB | proven |", "|---|---|---|---|---|---|"]
    for size in SIZES:
        done = subprocess.run(
            [sys.executable, __file__, "--one", *map(str, size)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        rows.append(
            f"| {size[0]}, {size[1]} | {size[0] * size[1] ** size[0]:,} | {found['patterns']} | {found['seconds']:.2f} "
            f"| {found['megabytes']:.0f} | {'yes' if found['exact'] else 'no'} |"
        )
    return rows


CONTEXTS = (
    ("covariate", ((10,), (30,), (100,), (300,), (1000,), (4, 5, 6, 4))),
    ("instrument", ((10,), (30,), (60,), (20, 5), (20, 20), (20, 50))),
)
CLIQUES = (
    ("treatments", ((2,), (4,), (6,), (8,))),
    ("mediator", ((4,), (6,), (8,), (12,), (20,))),
    ("mediator-nde", ((8,), (12,), (20,))),
)


def tell_wide(cases: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]) -> list[str]:
    rows = ["| problem | size | status | proven | seconds | MB |", "|---|---|---|---|---|---|"]
    for name, sizes in cases:
        for size in sizes:
            done = subprocess.run(
                [sys.executable, Path(__file__).with_name("wide.py"), name, *map(str, size)],
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout)
            proven = {True: "yes", False: "no", None: ""}[found.get("proven")]
            if proven == "no":
                bounds = (found[k] for k in ("outer_lower", "lower", "upper", "outer_upper"))
                proven = "no: {:.3f} ≤ {:.3f}, {:.3f} ≤ {:.3f}".format(*bounds)
            rows.append(
                f"| {name} | {' × '.join(map(str, size))} | {found['status']} | {proven} | {found['seconds']:.2f} "
                f"| {found['megabytes']:.0f} |"
            )
    return rows


def solve_barely(yields: np.ndarray, fitted: np.ndarray, cost: np.ndarray) -> float:
    """The program as HiGHS takes it, from scratch."""
    import highspy

    entries = np.vstack([yields, np.ones(yields.shape[1])])
    column, row = np.nonzero(entries.T)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = entries.shape[1], len(entries)
    program.col_cost_, program.col_lower_ = cost, np.zeros(len(cost))
    program.col_upper_ = np.full(len(cost), highspy.kHighsInf)
    program.row_lower_ = program.row_upper_ = np.append(fitted, 1.0)
    program.sense_ = highspy.ObjSense.kMaximize
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.searchsorted(column, np.arange(len(cost) + 1)).astype(np.int32)
    program.a_matrix_.index_, program.a_matrix_.value_ = row.astype(np.int32), entries[row, column]
    solver = highspy.Highs.__base__()
    solver.setOptionValue("output_flag", False)
    solver.passModel(program)
    solver.run()
    return float(solver.getInfo().objective_function_value)


def tell_programs() -> list[str]:
    rows = ["| columns | patterns | ms, both ends | ms, bare HiGHS | ratio |", "|---|---|---|---|---|"]
    rng = np.random.default_rng(0)
    for columns, patterns in ((1000, 40), (10_000, 64), (100_000, 64)):
        yields = (rng.random((patterns, columns)) < 0.4).astype(float)
        inside = np.zeros(columns)
        inside[rng.choice(columns, patterns, replace=False)] = rng.dirichlet(np.ones(patterns))
        cost = np.round(rng.random(columns), 2)
        ours, bare = [], []
        for _ in range(3):
            begun = time.perf_counter()
            polytope = Polytope(np.arange(columns), yields, inside)
            ends = polytope.maximise(cost).value, -polytope.maximise(-cost).value
            ours.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            found = solve_barely(yields, yields @ inside, cost), -solve_barely(yields, yields @ inside, -cost)
            bare.append(time.perf_counter() - begun)
            assert np.allclose(ends, found, atol=1e-7)
        a, b = median(ours) * 1e3, median(bare) * 1e3
        rows.append(f"| {columns:,} | {patterns} | {a:.0f} | {b:.0f} | {a / b:.2f} |")
    return rows


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    read.add_argument("--out", type=Path, help="the file to write; left out, the page is printed")
    given = read.parse_args()
    if given.one:
        print(json.dumps(grow(*given.one)))
        return
    page = [
        "# Scale",
        "",
        "Written by `python tests/benchmarks/scale.py`, on 2 cores; "
        f"Python {sys.version.split()[0]}, numpy {np.__version__}.",
        "",
        f"`{QUERY}` in `X -> Y; X <-> Y`, an observational study and a trial of {RECORDS:,} records each; whole calls.",
        "",
        *tell_growth(),
        "",
        "Causes that no list holds (`wide.py`): whole calls, median of three after a first one. `covariate`: levels of "
        "each, beside confounded T and S, registry and trial, PNS. `instrument`: levels, in so many contexts; "
        "registry, ACE.",
        "",
        *tell_wide(CONTEXTS),
        "",
        "What is read together. `treatments`: levels of T, in 20 contexts; all of S[T=t] at once, in cliques of "
        "levels · 2^levels. `mediator`: levels of M in T -> M -> S; T <-> S; "
        "PNS reads S[M=m] of all levels at once.",
        "",
        *tell_wide(CLIQUES),
        "",
        "Both ends of one linear program from fitted probabilities, against two bare HiGHS calls (random programs).",
        "",
        *tell_programs(),
    ]
    text = "\n".join(page) + "\n"
    if given.out:
        given.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
