"""What confidence limits hold, how wide they are, and what they cost: 18 designs whose exact bounds are known.

    python tests/benchmarks/limits.py run  --out limits.jsonl [--samples 200] [--joint 20] [--bootstrap 20] [design ...]
    python tests/benchmarks/limits.py page --out limits.jsonl > tests/benchmarks/LIMITS.md

`run` appends a line per design and size, and passes over those that are there: it may be stopped and started again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from numpy.typing import NDArray

import duckemcc as emcc
from duckemcc.bound.limits.collect import collect_pieces
from duckemcc.bound.limits.find import find_limits
from duckemcc.learn.counts import StudyCounts
from duckemcc.query.language import query as parse_query

Floats = NDArray[np.float64]

SIZES = (300, 1000, 3000, 10_000)
LEVEL = 0.95
CLOSE = 1e-6
PNS, ACE, PN = "PNS(X=1 vs 0, Y=1)", "ACE(X=1 vs 0, Y=1)", "PN(X=1 vs 0, Y=1)"


class Cell(NamedTuple):
    """One cell of a study: arm; its values, None for NULL; its probability in the arm."""

    arm: str
    values: dict[str, int | None]
    chance: float


class Design(NamedTuple):
    """title; model and query; cells; records of each arm as a share of n; whether sources tie at an end; the variables
    without a column."""

    title: str
    model: str
    query: str
    cells: list[Cell]
    share: dict[str, float]
    ties: bool = False
    unmeasured: tuple[str, ...] = ()


def covariate(title: str, truth: Floats, query: str = PNS, trial: bool = True, ties: bool = False) -> Design:
    """G -> X -> Y with X, Y confounded; truth [g, x, y0, y1]: of the level and of what each person would do."""
    levels = len(truth)
    cells = [
        Cell("observed", {"G": g, "X": x, "Y": y}, float(truth[g, x].sum(axis=1 - x)[y]))
        for g, x, y in itertools.product(range(levels), (0, 1), (0, 1))
    ]
    share = {"observed": 1.0}
    for x in (0, 1) if trial else ():
        share[f"trial {x}"] = 0.5
        of_y = truth.sum(axis=1).sum(axis=2 - x)
        cells += [
            Cell(f"trial {x}", {"G": g, "X": x, "Y": y}, float(of_y[g, y])) for g in range(levels) for y in (0, 1)
        ]
    declared = f"; G {{{', '.join(map(str, range(levels)))}}}" if levels > 1 else ""
    model = ("G -> X -> Y; G -> Y" if levels > 1 else "X -> Y") + f"; X <-> Y{declared}; X {{0, 1}}; Y {{0, 1}}"
    if levels == 1:
        cells = [c._replace(values={v: x for v, x in c.values.items() if v != "G"}) for c in cells]
    return Design(title, model, query, cells, share, ties)


def instrument(
    title: str, levels: int, truth: Callable[[tuple[int, ...], int, int], float], ties: bool = False
) -> Design:
    """Z -> X -> Y with X, Y confounded; truth: of X at each level of Z, and Y at each value of X. As many of each Z."""
    cells = []
    kinds = list(itertools.product(itertools.product((0, 1), repeat=levels), (0, 1), (0, 1)))
    for z, x, y in itertools.product(range(levels), (0, 1), (0, 1)):
        chance = sum(truth(*kind) for kind in kinds if kind[0][z] == x and kind[1 + x] == y)
        cells.append(Cell(f"Z {z}", {"Z": z, "X": x, "Y": y}, float(chance)))
    declared = f"; Z {{{', '.join(map(str, range(levels)))}}}; X {{0, 1}}; Y {{0, 1}}"
    share = {f"Z {z}": 1 / levels for z in range(levels)}
    return Design(title, f"Z -> X -> Y; X <-> Y{declared}", ACE, cells, share, ties)


def observed(
    title: str,
    model: str,
    query: str,
    seed: int,
    *,
    lacks: Sequence[str] = (),
    null: str | None = None,
    rate: Sequence[float] = (),
) -> Design:
    """Records of a random model of binary variables. lacks: variables without a column. null: one that is NULL in a
    share of the records, rate: of each value of the first variable."""
    names = list(dict.fromkeys(re.findall(r"[A-Z]", model)))
    text = model + "".join(f"; {v} {{0, 1}}" for v in names)
    parsed = emcc.Model.parse(text)
    rng = np.random.default_rng(seed)
    full = emcc.FullModel(parsed, {u.name: rng.dirichlet(np.ones(parsed.card(u.name))) for u in parsed.exogenous})
    seen = [v for v in names if v not in lacks]
    cells = []
    for place, chance in np.ndenumerate(full.distribution(*seen)):
        values: dict[str, int | None] = dict(zip(seen, place, strict=True))
        missing = 0.0 if null is None else rate[place[0]]
        cells.append(Cell("observed", values, float(chance * (1 - missing))))
        if null is not None and values[null] == 0:
            both = full.distribution(*seen).sum(axis=seen.index(null), keepdims=True)
            spot = tuple(0 if v == null else i for v, i in zip(seen, place, strict=True))
            cells.append(Cell("observed", values | {null: None}, float(both[spot] * missing)))
    return Design(title, text, query, cells, {"observed": 1.0}, unmeasured=tuple(lacks))


def compliers(always: float) -> Callable[[tuple[int, ...], int, int], float]:
    """Compliers, never-takers and always-takers, with a success of their own with and without treatment."""

    def truth(takes: tuple[int, ...], without: int, treated: int) -> float:
        share, y0, y1 = {
            (0, 1): (0.6, 0.4, 0.7),
            (0, 0): (0.4 - always, 0.5, 0.6),
            (1, 1): (always, 0.3, 0.8),
        }.get(takes, (0.0, 0.0, 0.0))
        return share * (y0 if without else 1 - y0) * (y1 if treated else 1 - y1)

    return truth


def threshold(takes: tuple[int, ...], without: int, treated: int) -> float:
    """X = 1 where a uniform number is below .2, .4, .6, .8: on the boundary of the model."""
    total = 0.0
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        v = low + 0.1
        if takes == tuple(int(v < p) for p in (0.2, 0.4, 0.6, 0.8)):
            y0, y1 = 0.3 + 0.2 * v, 0.75 - 0.3 * v
            total += 0.2 * (y0 if without else 1 - y0) * (y1 if treated else 1 - y1)
    return total


def drug(levels: int) -> Floats:
    """A truth that fits Table 1 of the paper: the middle of the PNS's two ends."""
    from scipy.optimize import linprog

    takes = np.array([[378, 1022, 420, 180], [980, 420, 420, 180]]) / 4000  # by gender: treated and well or not, or not
    well = ((0.210, 0.489), (0.210, 0.490))
    kinds = list(itertools.product((0, 1), (0, 1), (0, 1), (0, 1)))
    rows, right = [], []
    for g in (0, 1):
        for (x, y), chance in zip(((1, 1), (1, 0), (0, 1), (0, 0)), takes[g], strict=True):
            rows.append([k[0] == g and k[1] == x and k[2 + x] == y for k in kinds])
            right.append(chance)
        for x in (0, 1):
            rows.append([k[0] == g and k[2 + x] == 1 for k in kinds])
            right.append(0.5 * well[g][x])
    cost = np.array([float(k[2:] == (0, 1)) for k in kinds])
    ends = [linprog(s * cost, A_eq=np.array(rows, float), b_eq=right, bounds=(0, None)).x for s in (1, -1)]
    truth = ((ends[0] + ends[1]) / 2).reshape(2, 2, 2, 2)
    return truth if levels == 2 else truth.sum(axis=0, keepdims=True)


def designs() -> list[Design]:
    """All of them."""
    rng = np.random.default_rng
    rare = np.stack([0.97 * np.outer([0.96, 0.04], [0.7, 0.3]), 0.03 * np.outer([0.9, 0.1], [0.2, 0.8])])[None]

    def mixed(levels: Sequence[float], seed: int) -> Floats:
        own = rng(seed)
        return np.stack([p * own.dirichlet(np.ones(8)).reshape(2, 2, 2) for p in levels])

    def even(levels: int) -> Floats:
        return np.full((levels, 2, 2, 2), 1 / (8 * levels))

    one = (1, 2, 2, 2)
    return [
        covariate("Table 1, two variables", drug(1)),
        covariate("all chances even", even(1), ties=True),
        covariate("3 % treated, few succeed", rare),
        covariate("random, PN", rng(11).dirichlet(np.ones(8)).reshape(one), PN),
        covariate("random, registry alone, ACE", rng(3).dirichlet(np.ones(8)).reshape(one), ACE, trial=False),
        instrument("instrument, 2 levels", 2, compliers(0.1)),
        instrument("instrument, one-sided", 2, compliers(0.0)),
        instrument("instrument, irrelevant, all even", 2, lambda *kind: 1 / 16, ties=True),
        instrument("instrument, 4 levels, thresholds", 4, threshold),
        covariate("Table 1", drug(2)),
        covariate("covariate of 2 levels", mixed((0.6, 0.4), 5)),
        covariate("covariate of 4 levels", mixed((0.4, 0.3, 0.2, 0.1), 6)),
        covariate("covariate of 4 levels, all even", even(4), ties=True),
        covariate("covariate of 12 levels", mixed(np.arange(12, 0, -1) / 78, 7)),
        observed("front door", "X -> M -> Y; X <-> Y", PNS, 8),
        observed("Y is NULL in some records", "X -> Y; X <-> Y", PNS, 9, null="Y", rate=(0.3, 0.1)),
        observed(
            "causes that share a component",
            "A -> B -> C -> D; A <-> B; C <-> D",
            "PNS(A=1 vs 0, D=1)",
            10,
            lacks=("B",),
        ),
    ]


# -- one design and size -----------------------------------------------------------------------


def draw(design: Design, n: int, samples: int, seed: Sequence[int]) -> dict[str, Floats]:
    """Counts [sample, cell] of each arm."""
    found = {}
    for k, (arm, share) in enumerate(design.share.items()):
        chance = np.clip([c.chance for c in design.cells if c.arm == arm], 0, None)
        own = np.random.default_rng([*seed, k])
        found[arm] = own.multinomial(round(share * n), chance / chance.sum(), size=samples).astype(float)
    return found


def studies(design: Design, counts: dict[str, Floats]) -> list[emcc.Study]:
    """The arms as tables with a column `sample`."""
    frames: dict[bool, list[pl.DataFrame]] = {}
    for arm, count in counts.items():
        cells = [c.values for c in design.cells if c.arm == arm]
        sample, cell = np.nonzero(count)
        columns = {v: pl.Series(v, [c[v] for c in cells], dtype=pl.Int64).gather(cell) for v in cells[0]}
        frame = pl.DataFrame(columns | {"n": count[sample, cell], "sample": sample})
        frames.setdefault(arm.startswith("trial"), []).append(frame)
    return [
        emcc.Study(
            pl.concat(parts),
            do=["X"] if trial else [],
            weight="n",
            name="trial" if trial else "observed",
            unmeasured=list(design.unmeasured),
        )
        for trial, parts in frames.items()
    ]


def ask(design: Design, counts: dict[str, Floats], **options: Any) -> tuple[list[dict[str, Any]], float]:
    """The rows by sample, and the processor time of each in ms."""
    given = studies(design, counts)
    begun = time.process_time()
    found = emcc.bounds(design.model, given, design.query, by="sample", incompatible="report", **options)
    spent = (time.process_time() - begun) * 1e3
    rows = sorted(found.to_pylist(), key=lambda row: row["sample"])
    return rows, spent / len(rows)


def column(rows: list[dict[str, Any]], name: str) -> Floats:
    """Numbers of the rows; NaN where there is none."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], float)


def measure(design: Design, n: int, seed: Sequence[int], samples: int, joint: int, bootstrap: int) -> dict[str, Any]:
    """Coverage of each end, mean widths and times."""
    exact = {
        arm: np.array([[c.chance * 1e6 * share for c in design.cells if c.arm == arm]])
        for arm, share in design.share.items()
    }
    ends = ask(design, exact, level=None)[0][0]
    low, high = ends["lower"], ends["upper"]
    counts = draw(design, n, samples, seed)
    plain_ms = ask(design, counts)[1]
    rows, ms = ask(design, counts, confidence=LEVEL)
    lower, upper = column(rows, "lower_ci"), column(rows, "upper_ci")
    found = {"design": design.title, "n": n, "samples": len(rows), "width": high - low, "ms": [plain_ms, ms]}
    found["bounds"] = float(np.mean(column(rows, "upper") - column(rows, "lower")))
    found["missing"] = int(np.isnan(lower).sum())
    found["ties"] = float(np.mean(["tie at an end" in (row["message"] or "") for row in rows]))

    def tell(name: str, own_lower: Floats, own_upper: Floats) -> None:
        kept = ~np.isnan(own_lower)
        held = own_lower[kept] <= low + CLOSE, own_upper[kept] >= high - CLOSE
        found[name] = [
            float(held[0].mean()),
            float(held[1].mean()),
            float(np.mean(own_upper[kept] - own_lower[kept]) - (high - low)),
        ]

    tell("conditional", lower, upper)
    if (one := find_one(design, counts, rows)) is not None:
        tell("one", *one)
    if joint:
        few = {arm: own[:joint] for arm, own in counts.items()}
        wide, joint_ms = ask(design, few, confidence=LEVEL, limits="joint")
        tell("joint", column(wide, "lower_ci"), column(wide, "upper_ci"))
        found["ms"].append(joint_ms)
        there = ~np.isnan(column(wide, "lower_ci"))
        own = (upper - lower)[:joint][there].mean() - (high - low)
        found["ratio"] = float(own / found["joint"][2])
    if bootstrap:
        tell("bootstrap", *resample(design, counts, bootstrap))
    return found


def find_one(design: Design, counts: dict[str, Floats], rows: list[dict[str, Any]]) -> tuple[Floats, Floats] | None:
    """The limits that one degree of freedom would give; None where causes are merged for limits."""
    if design.unmeasured or any(None in c.values.values() for c in design.cells):
        return None
    model = emcc.Model.parse(design.model)
    arms = []
    for do in ((), ("X",)):
        own = [arm for arm in counts if arm.startswith("trial") == bool(do)]
        codes = [[c.values[v] for v in model.variables] for arm in own for c in design.cells if c.arm == arm]
        if codes:
            arms.append(
                StudyCounts(
                    str(do), model.variables, do, np.array(codes, np.int32), np.hstack([counts[a] for a in own])
                )
            )
    own_names = {u.name: u.name for u in model.exogenous}
    problem = collect_pieces(parse_query(design.query), model, model, arms, own_names)
    if problem is None:
        return None
    lower, upper = column(rows, "lower"), column(rows, "upper")
    found = find_limits(problem, np.arange(len(rows)), lower, upper, LEVEL, most=1)
    return found.lower, found.upper


def resample(design: Design, counts: dict[str, Floats], samples: int, draws: int = 100) -> tuple[Floats, Floats]:
    """Percentiles of the bounds of resampled data."""
    rng = np.random.default_rng(7)
    again = {}
    for arm, count in counts.items():
        total = int(count[0].sum())
        again[arm] = np.concatenate([rng.multinomial(total, c / total, size=draws) for c in count[:samples]]).astype(
            float
        )
    rows = ask(design, again)[0]
    lower, upper = (column(rows, end).reshape(-1, draws) for end in ("lower", "upper"))
    tail = (1 - LEVEL) / 2
    return np.nanquantile(lower, tail, axis=1), np.nanquantile(upper, 1 - tail, axis=1)


def run(out: Path, samples: int, joint: int, bootstrap: int, names: Sequence[str], sizes: Sequence[int]) -> None:
    """Appends what is not there yet."""
    done = {(r["design"], r["n"]) for r in read(out)}
    for n in sizes:
        for i, design in enumerate(designs()):
            if (design.title, n) in done or (names and design.title not in names):
                continue
            found = measure(design, n, (1, i, n), samples, joint, bootstrap if n == 1000 else 0)
            with out.open("a") as file:
                file.write(json.dumps(found) + "\n")
            print(json.dumps(found), file=sys.stderr, flush=True)


def read(out: Path) -> list[dict[str, Any]]:
    """What was measured."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


# -- the page ----------------------------------------------------------------------------------

HEAD = """# Confidence limits

Written by `python tests/benchmarks/limits.py`: limits at .95. Each cell of the table is the share of samples in which
the lower and the upper limit hold the end of the exact bounds of infinite data, and the mean *excess width*: of the
limits beyond these. n: records of the observed study, and as many of the trial (or of the instrument's levels
together). χ²_1: as if the query were identified. joint: all degrees of freedom (`limits="joint"`), of fewer samples;
ratio: of the excess widths on these. ms: processor time of a call per sample: without limits, with them, and with joint
ones. ties: share of samples whose message says that sources tie. bootstrap: percentiles of the bounds, of 20 samples.
"""


def page(out: Path) -> str:
    """The table, and what it comes to."""
    order = {d.title: i for i, d in enumerate(designs())}
    rows = sorted(read(out), key=lambda r: (order[r["design"]], r["n"]))
    lines = [
        HEAD,
        "| design | n | samples | exact width | conditional | χ²_1 | joint | ratio | bootstrap | ties | ms |",
        "|---" * 11 + "|",
    ]

    def tell(r: dict[str, Any], name: str) -> str:
        return f"{r[name][0]:.3f}, {r[name][1]:.3f}; {r[name][2]:.3f}" if name in r else ""

    for r in rows:
        cells = [r["design"], str(r["n"]), str(r["samples"]), f"{r['width']:.3f}"]
        cells += [tell(r, name) for name in ("conditional", "one", "joint")]
        cells += [
            f"{r['ratio']:.2f}" if "ratio" in r else "",
            tell(r, "bootstrap"),
            f"{r['ties']:.2f}",
            ", ".join(f"{m:.1f}" for m in r["ms"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    tied = {d.title for d in designs() if d.ties}
    worst = min(min(r["conditional"][:2]) for r in rows)
    ties = [x for r in rows if r["design"] in tied for x in r["conditional"][:2]]
    wide = [r for r in rows if "joint" in r and r["joint"][2] > 0.01]
    lines += [
        "",
        f"Worst end of all cells: {worst:.3f}. Mean over the designs with ties: {np.mean(ties):.3f}. Ratio of excess "
        f"widths where the joint one exceeds .01: mean {np.mean([r['ratio'] for r in wide]):.2f}, at most "
        f"{max(r['ratio'] for r in wide):.2f}. "
        f"Samples without limits: {sum(r['missing'] for r in rows)}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """See above."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("what", choices=("run", "page"))
    given.add_argument("names", nargs="*")
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--samples", type=int, default=200)
    given.add_argument("--joint", type=int, default=20)
    given.add_argument("--bootstrap", type=int, default=20)
    given.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    asked = given.parse_args()
    if asked.what == "page":
        print(page(asked.out), end="")
    else:
        run(asked.out, asked.samples, asked.joint, asked.bootstrap, asked.names, asked.sizes)


if __name__ == "__main__":
    main()
