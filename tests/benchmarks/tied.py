"""Ends of queries on causes that share a component: how many are proven, how far off the others may be, and how long it
takes.

    python tests/benchmarks/tied.py [--problems N] [--queries N] [--seconds S] [--restarts N] [--each] [KIND …]

Random problems of five kinds, each the exact distribution of a random model, and random counterfactual queries of it.
Counted are the ends of queries whose causes share patterns and whose ends are not found without climbing. `TIED.md`
beside this file holds the tables.

    mid   A -> B -> C -> D, A <-> B, C <-> D, B without a column; in some a trial of C
    col   the same graph: a registry that lacks B, and a trial of A that has A and B only
    null  the same graph: B is NULL in 40 % of the records, and a trial of A that lacks B, or C
    fd    A -> B -> C -> D, A <-> D, B or C without a column: three causes
    two   three variables with two exogenous parents among two or three, random equations, causes of 6 to 16 states
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

import duckemcc as emcc
from duckemcc.bound import sharp
from duckemcc.bound.tied.search import MET, Search

sys.path.insert(0, str(Path(__file__).parents[1] / "bound"))
import tied_problems

PROVEN = 1e-5
KINDS = ("mid", "col", "null", "fd", "two")


class Problem(NamedTuple):
    """A model with its chances, studies that are its distribution, and queries."""

    full: emcc.FullModel
    studies: list[emcc.Study]
    queries: list[str]


def draw(kind: str, seed: int, queries: int) -> Problem:
    rng = np.random.default_rng([KINDS.index(kind), seed])
    full = _draw_two(rng) if kind == "two" else _draw_chain(kind, rng)
    everything = tuple(full.model.variables)
    if kind == "two":
        studies = [study(full, everything, "records")]
    elif kind == "mid":
        studies = [study(full, tuple("ACD"), "records", lacks="B")]
        if seed % 3 == 0:
            studies += trial(full, "C", tuple("ACD"), lacks="B")
    elif kind == "col":
        studies = [study(full, tuple("ACD"), "registry", lacks="B"), *trial(full, "A", tuple("AB"), lacks="CD")]
    elif kind == "null":
        lacks = "BC"[seed % 2]
        studies = [null(full, "B"), *trial(full, "A", tuple(v for v in everything if v != lacks), lacks=lacks)]
    else:
        lacks = "BC"[seed % 2]
        studies = [study(full, tuple(v for v in everything if v != lacks), "records", lacks=lacks)]
    return Problem(full, studies, [_draw_query(full.model, rng) for _ in range(queries)])


def _draw_chain(kind: str, rng: np.random.Generator) -> emcc.FullModel:
    cards = dict(zip("ABCD", [2, 2, 2, 2], strict=True))
    if rng.random() < 0.5:
        cards["ABCD"[int(rng.integers(1, 4))]] = 3
    arcs = "A <-> D" if kind == "fd" else "A <-> B; C <-> D"
    states = "; ".join(f"{v} {{{', '.join(map(str, range(n)))}}}" for v, n in cards.items())
    model = emcc.Model.parse(f"A -> B -> C -> D; {arcs}; {states}")
    return _fill(model, rng)


def _draw_two(rng: np.random.Generator) -> emcc.FullModel:
    """X, Y, Z with random equations of endogenous and two exogenous parents each."""
    three = rng.random() < 0.3
    cards = {u: int(rng.integers(6, 9 if three else 17)) for u in ("U", "V", "W")[: 3 if three else 2]}
    pairs = [("U", "V"), ("V", "W"), ("U", "W")] if three else [("U", "V")] * 3
    graph = {"X": [], "Y": ["X"], "Z": ["Y"] if rng.random() < 0.5 else ["X", "Y"]}
    size = dict(zip(graph, map(int, rng.permutation([2, 3, 4])), strict=True))
    endogenous = {v: {"states": list(range(size[v])), "parents": parents} for v, parents in graph.items()}
    equations = {}
    exogenous: dict[str, Any] = {u: {"children": [], "card": n} for u, n in cards.items()}
    for (v, parents), (first, second) in zip(graph.items(), pairs, strict=True):
        exogenous[first]["children"].append(v)
        exogenous[second]["children"].append(v)
        shape = (cards[first], cards[second], *(size[p] for p in parents))
        equations[v] = {"table": rng.integers(0, size[v], shape).tolist()}
    model = emcc.Model.from_dict({"endogenous": endogenous, "exogenous": exogenous, "equations": equations})
    return _fill(model, rng)


def _fill(model: emcc.Model, rng: np.random.Generator) -> emcc.FullModel:
    spread = rng.choice([0.2, 1.0])
    return emcc.FullModel(
        model, {u.name: rng.dirichlet(np.full(model.card(u.name), spread) + 1e-3) for u in model.exogenous}
    )


def cells(full: emcc.FullModel, seen: tuple[str, ...], do: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """The distribution of some variables, as weighted records."""
    states = {v: full.model.states[v] or () for v in seen}
    for place, p in np.ndenumerate(full.distribution(*seen, do=do)):
        if p > 1e-12:
            yield {v: int(states[v][i]) for v, i in zip(seen, place, strict=True)} | {"n": 1000 * float(p)}


def study(full: emcc.FullModel, seen: tuple[str, ...], name: str, lacks: str = "") -> emcc.Study:
    return emcc.Study(pl.DataFrame(list(cells(full, seen))), weight="n", unmeasured=list(lacks), name=name)


def trial(full: emcc.FullModel, target: str, seen: tuple[str, ...], lacks: str = "") -> list[emcc.Study]:
    arms = [int(x) for x in full.model.states[target] or ()]
    others = tuple(v for v in seen if v != target)
    rows = [row | {target: x} for x in arms for row in cells(full, others, {target: x})]
    return [emcc.Study(pl.DataFrame(rows), do=[target], weight="n", unmeasured=list(lacks), name="trial")]


def null(full: emcc.FullModel, variable: str) -> emcc.Study:
    rows = list(cells(full, tuple(full.model.variables)))
    whole = [row | {"n": 0.6 * row["n"]} for row in rows]
    lacking = [row | {variable: None, "n": 0.4 * row["n"]} for row in rows]
    return emcc.Study(pl.DataFrame(whole + lacking, infer_schema_length=None), weight="n", name="records")


def _draw_query(model: emcc.Model, rng: np.random.Generator) -> str:
    def value(v: str) -> str:
        states = model.states[v] or ()
        return str(states[int(rng.integers(len(states)))])

    def term(count: int) -> list[str]:
        chosen = []
        for v in rng.choice(model.variables[1:], size=count, replace=True):
            before = list(model.variables[: model.variables.index(str(v))])
            x = str(rng.choice(before))
            chosen.append(f"{v}[{x}={value(x)}]={value(str(v))}" if rng.random() < 0.75 else f"{v}={value(str(v))}")
        return list(dict.fromkeys(chosen))

    if rng.random() < 0.3:
        v = str(rng.choice(model.variables))
        return f"P({', '.join(term(int(rng.integers(1, 3))))} | {v}={value(v)})"
    parts = [
        f"{rng.normal():.2f} * P({', '.join(term(int(rng.integers(1, 4))))})" for _ in range(int(rng.integers(1, 3)))
    ]
    return " + ".join(parts).replace("+ -", "- ")


class End(NamedTuple):
    """gap: from what is attained to the bound. seconds: of the processor, half of both ends'. beyond: how far the
    truth, and what another search attained, are outside of the bound; short: how far the latter is beyond what was
    attained."""

    value: float
    gap: float
    seconds: float
    beyond: float
    short: float


def run(problem: Problem, seconds: float | None, restarts: int = 0) -> tuple[list[End], list[float]]:
    """The ends that were climbed to, and the seconds of each call. restarts: of another search that each is held
    against: plain climbs from so many, without anything of `bound.tied`."""
    found: list[End] = []
    calls = []
    climb = sharp.Sharp._climb
    reached: list[float] = []

    def timed(*args: Any) -> Any:
        begun = time.process_time()
        ends = climb(*args)
        reached.append(time.process_time() - begun)
        return ends

    for query in problem.queries:
        reached.clear()
        sharp.Sharp._climb = timed  # type: ignore[method-assign]
        begun = time.process_time()
        try:
            row = emcc.bounds(problem.full.model, problem.studies, query, level=None, max_seconds=seconds).to_pylist()[
                0
            ]
        except emcc.errors.DuckEmccError:  # a query that its condition makes constant
            continue
        finally:
            sharp.Sharp._climb = climb  # type: ignore[method-assign]
        calls.append(time.process_time() - begun)
        if not reached or row["lower"] is None:
            continue
        other = climb_plainly(problem, query, restarts) if restarts else None
        truth = problem.full.evaluate(query)
        for sign, end in ((-1.0, "lower"), (1.0, "upper")):
            gap = sign * (row[f"outer_{end}"] - row[end])
            seen = sign * (truth if other is None else other[sign > 0])
            beyond = max(sign * truth, seen) - sign * row[f"outer_{end}"]
            found.append(End(row[end], gap, reached[0] / 2, beyond, seen - sign * row[end]))
    return found, calls


def climb_plainly(problem: Problem, query: str, restarts: int) -> tuple[float, float]:
    search = sharp.Sharp._search
    sharp.Sharp._search = lambda *_: None  # type: ignore[method-assign]
    try:
        row = emcc.bounds(problem.full.model, problem.studies, query, level=None, restarts=restarts).to_pylist()[0]
    finally:
        sharp.Sharp._search = search  # type: ignore[method-assign]
    return row["lower"], row["upper"]


def tell(kind: str, ends: list[End], calls: list[float]) -> str:
    left = [e.gap for e in ends if e.gap > PROVEN]
    each = [e.seconds for e in ends] or [0.0]
    shown = [
        kind,
        str(len(ends)),
        f"{len(ends) - len(left)} ({1 - len(left) / max(len(ends), 1):.1%})",
        f"{statistics.median(left):.1e} / {max(left):.1e}" if left else "",
        f"{statistics.median(each):.3f} / {max(each):.2f}",
        f"{statistics.median(calls):.2f} / {max(calls):.2f}",
        f"{max((e.beyond for e in ends), default=0):.0e}",
        f"{max((e.short for e in ends), default=0):.0e} ({sum(e.short > PROVEN for e in ends)})",
    ]
    return "| " + " | ".join(shown) + " |"


def check(count: int) -> str:
    """Small random problems, whose proven ends are held against sequential quadratic programming from random points."""
    ends = proven = beyond = 0
    worst = 0.0
    for seed in range(count):
        problem, point = tied_problems.draw(1000 + seed)
        own = Search(problem, 3e5)
        rng = np.random.default_rng(seed)
        for sign in (-1.0, 1.0):
            found = own.find([point], sign)
            if found is None:
                continue
            reached = max(tied_problems.search(problem, sign, rng), sign * np.nan_to_num(problem.at(point)[0]))
            ends, proven = ends + 1, proven + (found.bound - found.value <= 2 * MET)
            beyond, worst = beyond + (reached > found.bound + 1e-6), max(worst, reached - found.bound)
    return (
        f"{count} problems, {ends} ends, {proven} proven, {beyond} with a point beyond the bound (at most {worst:.0e})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--problems", type=int, default=10)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--seconds", type=float, help="max_seconds of each call")
    parser.add_argument("--restarts", type=int, default=0, help="of the plain climbs that each end is held against")
    parser.add_argument("--each", action="store_true", help="print every end")
    parser.add_argument("--check", type=int, help="so many small problems instead, for proofs that are false")
    options = parser.parse_args()
    if options.check:
        print(check(options.check))
        return
    print(f"Python {platform.python_version()}, duckemcc from {emcc.__file__}")
    print("| kind | ends | proven | gap of others, median / largest | s an end | s a call | beyond the bound | short |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kind in options.kinds:
        ends: list[End] = []
        calls: list[float] = []
        for seed in range(options.problems):
            problem = draw(kind, seed, options.queries)
            own, spent = run(problem, options.seconds, options.restarts)
            ends, calls = ends + own, calls + spent
            if options.each:
                for one in own:
                    print(
                        f"  {kind} {seed}: {one.value:.6f} gap {one.gap:.1e} {one.seconds:.2f} s short {one.short:.1e}",
                        flush=True,
                    )
        print(tell(kind, ends, calls), flush=True)


if __name__ == "__main__":
    main()
