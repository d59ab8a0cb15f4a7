"""How much of the exact bounds is found, and whether the truth lies within: `python tests/benchmarks/evidence.py`.

Problems of ../shared, read by `authors.py`:

exact-pns   13 models of the method's authors with exact bounds on one PNS: coverage of the exact width and overshoot.
random      the random problems of gold/random whose exact bounds are proven, with infinite and with finite data.
hybrid      14 models of the authors with one to three causes per component: O, I and O+I, on the model's own
            distribution as weighted counts (infinite data) and on sampled records (Section 6.2); is the truth within?

`--out tests/benchmarks/RESULTS.md` writes the tables down. A method is one way of asking; to compare another, add it to
METHODS, and to ASKED for the hybrid models.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from authors import EXACT_PNS, HYBRID, IDENTIFIED, Problem, read_full, read_pns, read_random
from truth import table, tell_hybrid, tell_sampled

import duckemcc as emcc


class Method(NamedTuple):
    """A way of asking. parts: options of `bounds`; where there are several, each gets its share of the restarts, and
    the bounds are those of all."""

    name: str
    parts: tuple[dict[str, Any], ...]


def start(*names: str) -> Method:
    """The paper's restarts from one start, or shared by several."""
    return Method(" + ".join(names), tuple({"method": "emcc", "start": name} for name in names))


DEFAULT = start("dirichlet(0.03)")
SHARP = Method("sharp", ({"method": "sharp"},))
METHODS = (
    SHARP,
    DEFAULT,
    start("dirichlet(0.01)"),
    start("dirichlet(0.1)"),
    start("dirichlet(1)"),
    start("stick"),
    start("uniform"),
    start("dirichlet(0.03)", "stick"),
)
ASKED = (SHARP, DEFAULT)
FEW = 30
"""The default of restarts, beside which more of them stand."""


class Outcome(NamedTuple):
    """coverage: of the exact width; overshoot: beyond it, negative where inside. seconds: of processor time."""

    lower: float
    upper: float
    coverage: float
    overshoot: float
    seconds: float
    compatible: bool


# -- coverage of exact bounds ------------------------------------------------------------------


def ask(problem: Problem, method: Method, *, restarts: int, seed: int = 0, query: Any = None) -> Outcome:
    """The method's bounds. Data that contradict the graph are asked too, as the reference is of their maximum."""
    begun = time.process_time()
    rows = []
    for part in method.parts:
        options = {"restarts": restarts // len(method.parts), "seed": seed, "incompatible": "report", "level": None}
        rows += emcc.bounds(problem.model, problem.studies, query or problem.query, **options | part).to_pylist()
    seconds = time.process_time() - begun
    lower, upper = min(r["lower"] for r in rows), max(r["upper"] for r in rows)
    inside = min(upper, problem.upper) - max(lower, problem.lower)
    coverage = max(inside, 0.0) / problem.width if problem.width > IDENTIFIED else 1.0
    overshoot = max(problem.lower - lower, upper - problem.upper)
    return Outcome(lower, upper, coverage, overshoot, seconds, all(r["compatible"] for r in rows))


def compare(problems: Sequence[Problem], *, restarts: int, seeds: int) -> dict[str, list[list[Outcome]]]:
    """By method, for each problem one outcome per seed."""
    ask(problems[0], DEFAULT, restarts=2)  # imports are no part of the time
    return {
        method.name: [[ask(p, method, restarts=restarts, seed=seed) for seed in range(seeds)] for p in problems]
        for method in METHODS
    }


def tell_problems(problems: Sequence[Problem], found: dict[str, list[list[Outcome]]]) -> list[str]:
    """Per model: the exact bounds, each method's coverage (the mean of the seeds), the largest overshoot of all."""
    rows = [["model", "exact PNS", *found, "overshoot at most", "ACE: the file's", "ours"]]
    for i, p in enumerate(problems):
        shares = [fmean(o.coverage for o in own[i]) for own in found.values()]
        cells = [f"{share:.3f}" if p.width > IDENTIFIED else "a point" for share in shares]
        over = max(o.overshoot for own in found.values() for o in own[i])
        effect = ask(p, DEFAULT, restarts=10, query=p.effect)
        ours = f"{effect.lower:.5f}" + (f" to {effect.upper:.5f}" if effect.upper - effect.lower > IDENTIFIED else "")
        rows.append([p.name, show(p), *cells, small(over), f"{p.ace:.5f}", ours])
    return table(rows)


def tell_methods(sets: dict[str, tuple[Sequence[Problem], dict[str, list[list[Outcome]]]]]) -> list[str]:
    """Per method: coverage in each set, of all with equal weight per problem; overshoot and time."""
    titles = [
        f"{title}: {what}" for title in sets for what in ("mean", "worst", "overshoot at most", "ms a call (median)")
    ]
    rows = [["start", *titles, "all problems: mean"]]
    for name in next(iter(sets.values()))[1]:
        cells: list[str] = []
        every: list[float] = []
        for problems, found in sets.values():
            flat = [o for own in found[name] for o in own]
            pairs = zip(problems, found[name], strict=True)
            shares = [fmean(o.coverage for o in own) for p, own in pairs if p.width > IDENTIFIED]
            over, seconds = max(o.overshoot for o in flat), median(o.seconds for o in flat)
            cells += [f"{fmean(shares):.3f}", f"{min(shares):.3f}", small(over), f"{seconds * 1e3:.0f}"]
            every += shares
        rows.append([name, *cells, f"{fmean(every):.3f}"])
    return table(rows)


# -- the page ----------------------------------------------------------------------------------


def describe() -> str:
    """The machine and the versions."""
    names = ("duckemcc", "numpy", "scipy", "duckdb", "polars")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def write_page(restarts: int, seeds: int, n: int) -> list[str]:
    """The whole page, as lines of Markdown."""
    exact, random, hybrid = [*map(read_pns, EXACT_PNS)], [*read_random()], [*map(read_full, HYBRID)]
    page = [HEAD.format(machine=describe(), last=seeds - 1)]
    for r in (restarts, FEW):
        sets = {
            "exact-pns": (exact, compare(exact, restarts=r, seeds=seeds)),
            "random": (random, compare(random, restarts=r, seeds=seeds)),
        }
        if r == restarts:
            agree = sum(own[0].compatible for own in sets["exact-pns"][1][DEFAULT.name])
            page += [EXACT.format(agree=agree, all=len(exact), restarts=r), *tell_problems(*sets["exact-pns"]), ACE]
        page += [STARTS.format(restarts=r, random=len(random)), *tell_methods(sets)]
    for method in ASKED:
        options = method.parts[0]
        page += [
            INFINITE.format(method=method.name, restarts=restarts),
            *tell_hybrid(hybrid, options | {"restarts": restarts}),
        ]
        page += [
            SAMPLED.format(method=method.name, restarts=restarts, n=n),
            *tell_sampled(hybrid, options | {"restarts": restarts}, n),
        ]
    return page


HEAD = """# Evidence

Written by `python tests/benchmarks/evidence.py --out tests/benchmarks/RESULTS.md`, on {machine}.
Seeds 0 to {last}; a coverage is the mean of them. Coverage: the share of the exact width that the bounds span.
Overshoot: how far they pass the exact ends ("none": by no more than 1e-9). Times are processor time of whole calls,
counting included."""

EXACT = """
## The authors' models with exact bounds

{agree} of the {all} data sets agree exactly with their graph (`level=None`). The reference is that of the records'
own frequencies, rounded to five decimals or so: queries that are a point differ from it by up to 1e-5, and so may ends
that are reached. Bounds of {restarts} restarts; `sharp` needs none here, and proves both ends in all of them. So where
it covers less than all, the reference is wider than what any model attains: at the lower end of `mk0_nEndo4_k10_2`
(.20946, not .20105) and the upper end of `mk1_maxDist2_nEndo6_k10_5` (.78291, not .79132); 300 climbs from random
corners end there, too.
"""

ACE = """
The file of `mk1_maxDist2_nEndo6_k10_5` contradicts itself in one figure, its ACE of .70131: a PNS is never smaller than
the ACE, and its PNS begins at .65363. The cause has no open back-door path to the effect there, so the ACE is
the difference of two observed frequencies, .65363."""

STARTS = """
## Which start, at {restarts} restarts

The models above, and {random} random problems with proven bounds.
"""

INFINITE = """
## Several causes in a component: infinite data, {method}, {restarts} restarts

The data are the model's own distribution as weighted counts, observed (O) and for each value of the first variable (I),
taken as exact (`level=None`); the query is the PNS of the first variable on the last. Size: variables, most causes of a
component, most joint states of a component's causes. Kept and seconds: of O, I and O+I. A point: the bounds of O+I are
within 1e-6 of each other.
"""

SAMPLED = """
## Several causes in a component: {n} sampled records and as many per arm, {method}, {restarts} restarts

Compatible: O+I at `level=0.01`. Bounds of finite data are those of their own maximum-likelihood set, from which the
truth may lie apart by sampling error.
"""


def small(x: float) -> str:
    return f"{x:.0e}" if x > 1e-9 else "none"


def show(p: Problem) -> str:
    return f"[{p.lower:.4f}, {p.upper:.4f}]"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--out", type=Path, help="the file to write; left out, the page is printed")
    read.add_argument("--restarts", type=int, default=100)
    read.add_argument("--seeds", type=int, default=4)
    read.add_argument("--records", type=int, default=1000, help="of an observational sample")
    given = read.parse_args()
    if not EXACT_PNS:
        sys.exit("needs ../shared/benchmarks")
    page = "\n".join(write_page(given.restarts, given.seeds, given.records)) + "\n"
    if given.out:
        given.out.write_text(page, encoding="utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
