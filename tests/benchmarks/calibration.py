"""Size and power of the compatibility test, coverage of `confidence=`: `python tests/benchmarks/calibration.py`.

Samples of random models: every truth is drawn anew (Dirichlet chances; small ones put it on the boundary of the model),
and each is sampled many times as segments of one call. A share stands with its standard error, the truths taken as
clusters. `--out tests/benchmarks/CALIBRATION.md` writes the tables down; `--samples` per truth, `--truths` per row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from truth import table

import duckemcc as emcc
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.restarts import Effort, learn
from duckemcc.learn.start import draw_starts
from duckemcc.learn.verdict.compatibility import check
from duckemcc.learn.verdict.face import count_left
from duckemcc.learn.verdict.saturated import degrees_of_freedom, saturate

Floats = NDArray[np.float64]
LEVELS = (0.01, 0.05, 0.1)
CLOSE = 1e-6
"""To which the limits are computed."""
BINARY = "; X {0, 1}; Y {0, 1}"
BOW = emcc.Model.parse(f"X -> Y; X <-> Y{BINARY}")
IV = emcc.Model.parse(f"Z -> X -> Y; X <-> Y; Z {{0, 1}}{BINARY}")
DRUG = emcc.Model.parse(f"G -> X -> Y; G -> Y; X <-> Y; G {{0, 1}}{BINARY}")
FRONTDOOR = emcc.Model.parse(f"X -> M -> Y; X <-> Y; M {{0, 1, 2}}{BINARY}")
LADDER = emcc.Model.parse("A -> X -> C -> Y; A -> C; X <-> Y; A {0, 1}; C {0, 1}" + BINARY)
# two causes in one component: M mixes them
TIED = emcc.Model.from_dict(
    {
        "endogenous": {"X": {"states": [0, 1]}, "M": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U": {"children": ["X", "M"], "card": 4}, "W": {"children": ["M", "Y"], "card": 8}},
        "equations": {
            "X": {"table": [0, 0, 1, 1]},
            "M": {"table": [[(i + j) % 2 for j in range(8)] for i in range(4)]},
            "Y": {"table": [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 1], [1, 1]]},
        },
    }
)


class Case(NamedTuple):
    """Studies of one model, drawn from `observed` and, with X set, from `randomised`."""

    title: str
    model: emcc.Model
    observed: emcc.FullModel
    randomised: emcc.FullModel | None
    do: str = "X"


# -- samples -----------------------------------------------------------------------------------


def draw(case: Case, n: int, samples: int, rng: np.random.Generator) -> list[StudyCounts]:
    """n observational records, and n for each value that is set, in each of the samples."""
    arms = [draw_arm(case, case.observed, {}, n, samples, rng)]
    if case.randomised is not None:
        states = case.model.states[case.do] or ()
        arms += [draw_arm(case, case.randomised, {case.do: x}, n, samples, rng) for x in states]
    return arms


def draw_arm(
    case: Case, full: emcc.FullModel, do: dict[str, str], n: int, samples: int, rng: np.random.Generator
) -> StudyCounts:
    variables = case.model.variables
    chances = full.distribution(*variables, do=do)
    codes = np.argwhere(chances > 1e-15).astype(np.int32)
    share = chances[tuple(codes.T)]
    count = rng.multinomial(n, share / share.sum(), size=samples).astype(np.float64)
    name = f"trial[{do}]" if do else "observed"
    return StudyCounts(name, variables, tuple(do), codes[count.any(axis=0)], count[:, count.any(axis=0)])


def random_chances(model: emcc.Model, alpha: float, rng: np.random.Generator) -> emcc.FullModel:
    return emcc.FullModel(model, {u.name: rng.dirichlet(np.full(model.card(u.name), alpha)) for u in model.exogenous})


# -- size and power ----------------------------------------------------------------------------


def compatible_cases(rng: np.random.Generator) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Both studies of one truth."""

    def of(title: str, model: emcc.Model, alpha: float, do: str) -> Callable[[], Case]:
        def one() -> Case:
            full = random_chances(model, alpha, rng)
            return Case(title, model, full, full, do)

        return one

    def random(nodes: int) -> Callable[[], Case]:
        def one() -> Case:
            full = emcc.FullModel.random(nodes, rng)
            return Case("random", full.model, full, full, full.model.order[0])

        return one

    models = {"bow": BOW, "instrument": IV, "drug": DRUG, "front door": FRONTDOOR, "ladder": LADDER, "tied": TIED}
    for name, model in models.items():
        for alpha in (1.0, 0.1):
            yield f"{name}, dirichlet({alpha:g})", of(name, model, alpha, "X")
    for nodes in (4, 6):
        yield f"Section 6.2, {nodes} nodes", random(nodes)


def incompatible_cases(rng: np.random.Generator) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Studies of two populations, and of a graph that lacks a cause."""

    def moved(model: emcc.Model, cause: str, alpha: float = 0.5, share: float = 0.15) -> Callable[[], Case]:
        def one() -> Case:
            full = random_chances(model, alpha, rng)
            other = rng.dirichlet(np.full(model.card(cause), 0.3))
            chances = dict(full.chances) | {cause: (1 - share) * full.chances[cause] + share * other}
            return Case("moved", model, full, emcc.FullModel(model, chances))

        return one

    def lacking(true: emcc.Model, wrong: emcc.Model, alpha: float = 0.3, do: str = "X") -> Callable[[], Case]:
        def one() -> Case:
            full = random_chances(true, alpha, rng)
            return Case("lacking", wrong, full, full, do)

        return one

    for name, model, cause in (
        ("bow", BOW, "U_X_Y"),
        ("instrument", IV, "U_Z"),
        ("drug", DRUG, "U_G"),
        ("front door", FRONTDOOR, "U_X_Y"),
        ("front door", FRONTDOOR, "U_M"),
        ("ladder", LADDER, "U_A"),
        ("ladder", LADDER, "U_C"),
        ("tied", TIED, "U"),
    ):
        yield f"{name}, .15 of {cause} is of another population in the trial", moved(model, cause)
    bare = emcc.Model.parse(f"X -> Y{BINARY}")
    yield "X -> Y without its X <-> Y", lacking(BOW, bare)
    more = emcc.Model.parse("A -> X -> C -> Y; A -> C; X <-> Y; C <-> Y; A {0, 1}; C {0, 1}" + BINARY)
    yield "ladder without its C <-> Y", lacking(more, LADDER)


def judge(arms: Sequence[StudyCounts], model: emcc.Model) -> dict[str, Floats]:
    """p-values [s] of 2 (LL_sat − LL_max) by χ² with three sorts of degrees of freedom, and the time per sample."""
    from scipy.stats import chi2

    likelihood = compile_likelihood(model, arms)
    cards = [model.card(cause) for cause in likelihood.causes.values()]
    starts = dict(zip(likelihood.causes, draw_starts("dirichlet(0.1)", cards, 10, 0), strict=True))
    learned = learn(likelihood, starts, Effort(spread=False))
    begun = time.process_time()
    verdict = check(likelihood, arms, learned.loglik, learned.best, level=0.01, tolerance=0.0)
    seconds = (time.process_time() - begun) / len(likelihood.n)
    factors = saturate(model, arms)
    inner = {
        name: np.tile(np.random.default_rng(0).dirichlet(np.ones(c.shape[1])), (len(c), 1))
        for name, c in learned.best.items()
    }
    ways = {
        "all": degrees_of_freedom(factors, len(likelihood.n)),
        "model": count_left(likelihood, factors, inner),
        "face": verdict.df,
    }
    found = {name: chi2.sf(2 * verdict.loglik_gap, np.maximum(df, 1)) for name, df in ways.items()}
    return found | {f"df {name}": df.astype(float) for name, df in ways.items()} | {"ms": np.array([seconds * 1e3])}


def tell_test(cases: Iterator[tuple[str, Callable[[], Case]]], truths: int, samples: int, seed: int) -> list[str]:
    """Shares rejected at each level, by the three sorts of degrees of freedom."""
    rng = np.random.default_rng(seed)
    names = {"all": "all free frequencies", "model": "less the model's dimension", "face": "less the face's (taken)"}
    rows = [["studies", "n per arm", *(f"{v}: df; .01, .05, .1" for v in names.values()), "ms"]]
    for title, make in cases:
        for n in (100, 1000):
            found = [judge(draw(case, n, samples, rng), case.model) for case in (make() for _ in range(truths))]
            cells = []
            for way in names:
                df = np.mean([f[f"df {way}"].mean() for f in found])
                shares = [tell([(f[way] < level).mean() for f in found]) for level in LEVELS]
                cells.append(f"{df:.1f}; {', '.join(shares)}")
            rows.append([title, str(n), *cells, f"{np.median([f['ms'] for f in found]):.1f}"])
            print(rows[-1], file=sys.stderr, flush=True)
    return table(rows)


def tell(shares: Sequence[float]) -> str:
    """Mean and standard error over the truths."""
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    return f"{np.mean(shares):.3f} ± {error:.3f}"


# -- coverage ----------------------------------------------------------------------------------


class Question(NamedTuple):
    """A query, and how a truth is drawn that it is asked of. most: samples of a truth, where a call is slow."""

    title: str
    query: str
    draw: Callable[[np.random.Generator], Case]
    most: int = 1000


def questions() -> list[Question]:
    def even(model: emcc.Model) -> Callable[[np.random.Generator], Case]:
        chances = {u.name: np.full(model.card(u.name), 1 / model.card(u.name)) for u in model.exogenous}
        full = emcc.FullModel(model, chances)
        return lambda rng: Case("even", model, full, full)

    def of(model: emcc.Model, alpha: float, trial: bool = True) -> Callable[[np.random.Generator], Case]:
        def one(rng: np.random.Generator) -> Case:
            full = random_chances(model, alpha, rng)
            return Case("random", model, full, full if trial else None)

        return one

    pns = "PNS(X=1 vs 0, Y=1)"
    return [
        Question("bow, all chances even (every argument of max and min is equal)", pns, even(BOW)),
        Question("bow, observed only, all chances even", pns, lambda rng: even(BOW)(rng)._replace(randomised=None)),
        Question("bow, dirichlet(1)", pns, of(BOW, 1.0)),
        Question("bow, dirichlet(0.1)", pns, of(BOW, 0.1)),
        Question("bow, dirichlet(1)", "PN(X=1 vs 0, Y=1)", of(BOW, 1.0)),
        Question("instrument, dirichlet(0.3)", "ACE(X=1 vs 0, Y=1)", of(IV, 0.3, trial=False)),
        Question("drug, dirichlet(0.3)", pns, of(DRUG, 0.3)),
        Question("front door, dirichlet(1), identified", "ACE(X=1 vs 0, Y=1)", of(FRONTDOOR, 1.0)),
        Question("tied, dirichlet(1)", "P(Y[X=1]=1, Y[X=0]=0)", of(TIED, 1.0), 3),
    ]


def ask(
    case: Case, arms: Sequence[StudyCounts], query: str, **options: object
) -> tuple[list[dict[str, object]], float]:
    """The answers to each sample, and the processor time in ms of each."""
    studies = [emcc.Study(frame(case, [a for a in arms if not a.do]), weight="n", name="observed")]
    if trial := [a for a in arms if a.do]:
        studies.append(emcc.Study(frame(case, trial), do=trial[0].do, weight="n", name="trial"))
    begun = time.process_time()
    rows = emcc.bounds(case.model, studies, query, by="sample", incompatible="report", **options).to_pylist()
    return rows, (time.process_time() - begun) * 1e3 / len(rows)


def frame(case: Case, arms: Sequence[StudyCounts]) -> pl.DataFrame:
    """The counts as a table with a column `sample`."""
    parts = []
    for arm in arms:
        sample, pattern = np.nonzero(arm.count)
        columns = {
            v: np.array(case.model.states[v] or ())[arm.codes[pattern, i]] for i, v in enumerate(case.model.variables)
        }
        parts.append(pl.DataFrame(columns | {"n": arm.count[sample, pattern], "sample": sample}))
    return pl.concat(parts)


def expect(case: Case) -> list[StudyCounts]:
    """The infinite data as one sample of weights."""
    settings = [{}] + [{case.do: x} for x in case.model.states[case.do] or () if case.randomised is not None]
    found = []
    for do in settings:
        chances = case.observed.distribution(*case.model.variables, do=do)
        codes = np.argwhere(chances > 1e-15).astype(np.int32)
        found.append(StudyCounts(str(do), case.model.variables, tuple(do), codes, chances[tuple(codes.T)][None]))
    return found


def tell_coverage(truths: int, samples: int, seed: int, confidence: float = 0.95) -> list[str]:
    """How often the limits hold the truth, and each end of the exact bounds."""
    rng = np.random.default_rng(seed)
    titles = [
        "studies, query",
        "n per arm",
        "truth",
        "lower end",
        "upper end",
        "width: exact, bounds, limits",
        "ms: bounds, limits",
        "no limits",
    ]
    rows = [titles]
    for question in questions():
        for n in (200, 1000, 3000):
            few = min(samples, question.most)
            rows.append(
                [f"{question.title}, {question.query}", str(n), *cover(question, n, truths, few, rng, confidence)]
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return table(rows)


def cover(
    question: Question, n: int, truths: int, samples: int, rng: np.random.Generator, confidence: float
) -> list[str]:
    found = []
    for _ in range(truths):
        case = question.draw(rng)
        truth = case.observed.evaluate(question.query)
        exact = ask(case, expect(case), question.query, level=None)[0][0]
        arms = draw(case, n, samples, rng)
        plain = ask(case, arms, question.query)[1]
        rows, slow = ask(case, arms, question.query, confidence=confidence)
        told = [r for r in rows if r["lower_ci"] is not None]
        assert all(r["lower_ci"] <= r["lower"] <= r["upper"] <= r["upper_ci"] for r in told)
        held = [
            np.mean([r["lower_ci"] - CLOSE <= value <= r["upper_ci"] + CLOSE for r in told])
            for value in (truth, exact["lower"], exact["upper"])
        ]
        widths = [exact["upper"] - exact["lower"]]
        widths += [np.mean([r[f"upper{end}"] - r[f"lower{end}"] for r in told]) for end in ("", "_ci")]
        found.append([*held, *widths, plain, slow, len(rows) - len(told)])
    mean = np.mean(found, axis=0)
    shares = [tell([f[i] for f in found]) for i in range(3)]
    widths = ", ".join(f"{w:.3f}" for w in mean[3:6])
    return [*shares, widths, f"{mean[6]:.1f}, {mean[7]:.1f}", f"{sum(f[8] for f in found)} of {truths * samples}"]


# -- the page ----------------------------------------------------------------------------------

HEAD = """# Calibration

Written by `python tests/benchmarks/calibration.py --out tests/benchmarks/CALIBRATION.md`: {truths} truths a row,
{samples} samples of each. Shares stand with their standard error over the truths."""

SIZE = """
## Size of the compatibility test

Both studies come from one truth: an observed sample and one for each value of X (of the first variable in Section
6.2's random models). p-values of 2 (LL_sat − LL_max) by χ² with three sorts of degrees of freedom: all free frequencies
of the saturated model; less the dimension of the model; less that of the face on which the fit lies, which is the one
taken. A share of .05 at level .05 is nominal, less is conservative. ms: of the whole check, per sample.
"""

POWER = """
## Power of the compatibility test

The trial samples another population than the registry, or the graph lacks a cause. What no inequality of the model
forbids cannot be seen, so power need not be near one.
"""

COVERAGE = """
## Coverage of `confidence=0.95`

How often [lower_ci, upper_ci] holds the truth, and each end of the exact bounds of infinite data. The width of the
exact bounds, and the mean widths of the samples' bounds and limits. ms: processor time of a call per sample,
without and with limits.
"""


def write_page(truths: int, samples: int) -> list[str]:
    """The whole page, as lines of Markdown."""
    page = [HEAD.format(truths=truths, samples=samples)]
    page += [SIZE, *tell_test(compatible_cases(np.random.default_rng(1)), truths, samples, 2)]
    page += [POWER, *tell_test(incompatible_cases(np.random.default_rng(3)), truths, samples, 4)]
    return [*page, COVERAGE, *tell_coverage(truths, samples, 5)]


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--out", type=Path, help="the file to write; left out, the page is printed")
    read.add_argument("--truths", type=int, default=10)
    read.add_argument("--samples", type=int, default=40)
    given = read.parse_args()
    page = "\n".join(write_page(given.truths, given.samples)) + "\n"
    if given.out:
        given.out.write_text(page, encoding="utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
