"""Causes that no list holds: problems by size, each asked in a process of its own (`scale.py` prints the tables).

    python tests/benchmarks/wide.py covariate 1000

Data are exact probabilities of a random model as weighted records, an observational study and, where there is one, a
trial of every context.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import NamedTuple

import numpy as np
import polars as pl

import duckemcc as emcc

RECORDS = 100_000


class Problem(NamedTuple):
    graph: str
    studies: list[emcc.Study]
    query: str


def states(**cards: int) -> str:
    return "; ".join(f"{v} {{{', '.join(map(str, range(n)))}}}" for v, n in cards.items())


def study(rows: list[dict[str, float]], name: str, do: str = "") -> emcc.Study:
    return emcc.Study(pl.DataFrame(rows), name=name, weight="n", do=do or ())


def covariates(*levels: int) -> Problem:
    """Covariates beside T and S, which are confounded in each of their contexts; a registry and a trial; PNS."""
    rng = np.random.default_rng(0)
    names = [f"C{k}" for k in range(len(levels))]
    kinds = list(product((0, 1), repeat=3))  # T, S[T=0], S[T=1]
    seen, tried = [], []
    shares = [rng.dirichlet(np.full(n, 5.0)) for n in levels]  # independent of each other, as the graph says
    for context in product(*map(range, levels)):
        share, chance = (
            float(np.prod([own[c] for own, c in zip(shares, context, strict=True)])),
            rng.dirichlet(np.ones(8)),
        )
        here = dict(zip(names, context, strict=True))
        for t, s in product((0, 1), repeat=2):
            both = sum(p for p, (a, *b) in zip(chance, kinds, strict=True) if a == t and b[t] == s)
            alone = sum(p for p, (_, *b) in zip(chance, kinds, strict=True) if b[t] == s)
            seen.append({**here, "T": t, "S": s, "n": RECORDS * share * both})
            tried.append({**here, "T": t, "S": s, "n": RECORDS * share * alone / 2})
    arrows = "; ".join(f"{c} -> T; {c} -> S" for c in names)
    graph = f"{arrows}; T -> S; T <-> S; " + states(**dict(zip(names, levels, strict=True)), T=2, S=2)
    return Problem(graph, [study(seen, "registry"), study(tried, "trial", "T")], "PNS(T=1, S=1)")


def instrument(levels: int, contexts: int = 1) -> Problem:
    """An instrument of so many levels, in each context of a covariate; ACE."""
    rng = np.random.default_rng(0)
    rows = []
    for g in range(contexts):
        kinds = rng.integers(0, 2, (40, levels + 2))  # X of each level, Y of each X
        chance = rng.dirichlet(np.ones(len(kinds)))
        for z, x, y in product(range(levels), (0, 1), (0, 1)):
            held = (kinds[:, z] == x) & (kinds[:, levels + x] == y)
            rows.append({"G": g, "Z": z, "X": x, "Y": y, "n": RECORDS * float(chance[held].sum())})
    rows = [row for row in rows if row["n"] > 0]
    above = "; G -> Z; G -> X; G -> Y" if contexts > 1 else ""
    cards = ({"G": contexts} if contexts > 1 else {}) | {"Z": levels, "X": 2, "Y": 2}
    rows = rows if contexts > 1 else [{k: v for k, v in row.items() if k != "G"} for row in rows]
    return Problem(f"Z -> X -> Y; X <-> Y{above}; {states(**cards)}", [study(rows, "registry")], "ACE(X=1, Y=1)")


def treatments(levels: int) -> Problem:
    """Treatments of so many levels with a covariate of 20: the clique of a context has levels · 2^levels states."""
    rng = np.random.default_rng(0)
    seen, tried = [], []
    for g in range(20):
        kinds = np.column_stack([rng.integers(0, levels, 60), rng.integers(0, 2, (60, levels))])
        chance = rng.dirichlet(np.ones(60))
        for t, s in product(range(levels), (0, 1)):
            both = float(chance[(kinds[:, 0] == t) & (kinds[:, 1 + t] == s)].sum())
            alone = float(chance[kinds[:, 1 + t] == s].sum())
            seen.append({"G": g, "T": t, "S": s, "n": RECORDS * both})
            tried.append({"G": g, "T": t, "S": s, "n": RECORDS * alone / levels})
    seen, tried = ([row for row in rows if row["n"] > 0] for rows in (seen, tried))
    every = ", ".join(f"S[T={t}]=1" for t in range(levels))
    graph = "G -> T; G -> S; T -> S; T <-> S; " + states(G=20, T=levels, S=2)
    return Problem(graph, [study(seen, "registry"), study(tried, "trial", "T")], f"P({every})")


def mediator(levels: int, query: str = "PNS") -> Problem:
    """T -> M -> S with T and S confounded: each pair of M's levels is read together."""
    rng = np.random.default_rng(0)
    of_t, of_s = rng.dirichlet(np.ones(levels), 2), rng.random((2, levels))
    rows = [
        {"T": t, "M": m, "S": s, "n": RECORDS * (0.4, 0.6)[t] * of_t[t, m] * (of_s[t, m] if s else 1 - of_s[t, m])}
        for t, m, s in product((0, 1), range(levels), (0, 1))
    ]
    graph = "T -> M -> S; T <-> S; " + states(T=2, M=levels, S=2)
    return Problem(graph, [study(rows, "registry")], f"{query}(T=1, S=1)")


PROBLEMS: dict[str, Callable[..., Problem]] = {
    "covariate": covariates,
    "instrument": instrument,
    "treatments": treatments,
    "mediator": mediator,
    "mediator-nde": lambda levels: mediator(levels, "NDE"),
}


def ask(problem: Problem, times: int = 3) -> dict[str, object]:
    """Status, median seconds of whole calls after a first one, and memory of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken, row, told = [], None, ""
    for _ in range(times + 1):
        begun = time.perf_counter()
        try:
            row = emcc.bounds(problem.graph, problem.studies, problem.query, incompatible="report").to_pylist()[0]
        except emcc.errors.TooLarge:
            told = "too large"
        taken.append(time.perf_counter() - begun)
        if taken[-1] > 20:
            break
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    known = {"seconds": median(taken[1:] or taken), "megabytes": memory, "before": before}
    if row is None:
        return known | {"status": told}
    proven = row["exact_lower"] and row["exact_upper"]
    return known | {k: row[k] for k in ("status", "lower", "upper", "outer_lower", "outer_upper")} | {"proven": proven}


if __name__ == "__main__":
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("problem", choices=PROBLEMS)
    read.add_argument("size", nargs="+", type=int)
    given = read.parse_args()
    print(json.dumps(ask(PROBLEMS[given.problem](*given.size))))
