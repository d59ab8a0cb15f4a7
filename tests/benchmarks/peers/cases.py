"""The problems that all programs are given: a model, studies, one query, and the exact bounds where they are known.

Several studies become one table by the authors' device: an observed selector, parent of the intervened variables, whose
state 0 leaves their equations as they are and whose other states set them, one state per arm.

Axes: p distinct pattern, v variable, u exogenous state.
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import duckemcc as emcc
from duckemcc.model.uai import _number

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "learn")]
from learning import ladder, sample  # noqa: E402
from problems import OBSERVED, RANDOMISED  # noqa: E402

AUTHORS = HERE.parents[3] / "shared" / "benchmarks"
SELECTOR = "Study"
Arm = tuple[tuple[str, int], ...]
SIZES = (1_000, 2_000, 100_000)
LADDERS = (5, 7, 10)

# Balke & Pearl 1997 and Pearl, Causality (2009) §8.2.6: (Z, X, Y) -> records, of cholestyramine's published shares of
# 10 000, and of the vitamin A trial (Sommer & Zeger 1991); with the exact bounds of the ACE in closed form
LIPID = {(0, 0, 0): 4595, (0, 0, 1): 405, (1, 0, 0): 1575, (1, 1, 0): 695, (1, 0, 1): 365, (1, 1, 1): 2365}
VITAMIN_A = {(0, 0, 0): 74, (0, 0, 1): 11514, (1, 0, 0): 34, (1, 0, 1): 2385, (1, 1, 0): 12, (1, 1, 1): 9663}


@dataclass(frozen=True)
class Records:
    """The counted records of one study: codes [p, v] of all variables in model order, count [p]."""

    name: str
    do: tuple[str, ...]
    codes: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Case:
    """One problem. true: the state 0 or 1 of cause and of effect that the query calls true; the other is false.

    kind: PNS, P(effect[true]=true, effect[false]=false), or ACE, P(effect[true]=true) - P(effect[false]=true).
    exact: the query's exact bounds, if known. truth: its value in the model that the records were sampled from.
    """

    name: str
    model: emcc.Model
    studies: tuple[Records, ...]
    kind: str
    cause: str
    effect: str
    true: int = 1
    exact: tuple[float, float] | None = None
    truth: float | None = None

    @property
    def records(self) -> int:
        return int(sum(study.count.sum() for study in self.studies))

    @property
    def query(self) -> str:
        return f"{self.kind}({self.cause}={self.true} vs {1 - self.true}, {self.effect}={self.true})"


def payload(case: Case) -> dict:
    """What the programs are given, fit for JSON: for the peers a UAI file with selector and one table of counts."""
    joined, rows = join_studies(case.model, case.studies)
    number = _number(joined)
    chances = {u.name: _draw_chances(joined.card(u.name), i) for i, u in enumerate(joined.exogenous)}
    value = emcc.FullModel(joined, chances).evaluate(case.query)
    return {
        "name": case.name,
        "kind": case.kind,
        "true": case.true,
        "model": case.model.to_dict(),
        "studies": [
            {"name": s.name, "do": list(s.do), "codes": s.codes.tolist(), "count": s.count.tolist()}
            for s in case.studies
        ],
        "query": case.query,
        "uai": write_file(joined, number, chances),
        "value": value,  # of the query at the file's chances: a peer that says otherwise solves another problem
        "columns": [number[v] for v in joined.variables],
        "codes": [row[:-1] for row in rows],
        "count": [row[-1] for row in rows],
        "trainable": sorted(number[u.name] for u in joined.exogenous if SELECTOR not in u.children),
        "cause": number[case.cause],
        "effect": number[case.effect],
        "programme": linear_programme(case),
    }


def _draw_chances(card: int, seed: int) -> list[float]:
    weights = np.random.default_rng(seed).integers(1, 20, card)  # none below 1e-4, which prints with an exponent
    return (weights / weights.sum()).tolist()


def write_file(model: emcc.Model, number: dict[str, int], chances: dict[str, list[float]]) -> str:
    """A UAI file whose families list parents from the highest number down: the authors' Java takes any other order for
    this one, and their own files have it."""
    families, tables = [], []
    for name in sorted(number, key=number.__getitem__):
        parents = (*model.causes.get(name, ()), *model.parents.get(name, ()))
        order = sorted(range(len(parents)), key=lambda i: -number[parents[i]])
        table = chances[name] if name in chances else model.table(name).transpose(order).ravel().tolist()
        families.append([len(parents) + 1, *(number[parents[i]] for i in order), number[name]])
        tables.append([len(table), *table])
    cards = [model.card(name) for name in sorted(number, key=number.__getitem__)]
    rows = [["CAUSAL"], [len(number)], cards, [len(number)], *families, *tables]
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


# -- several studies as one ------------------------------------------------------------------------


def join_studies(model: emcc.Model, studies: tuple[Records, ...]) -> tuple[emcc.Model, list[list[int]]]:
    """The model with a selector, and rows of codes in its order followed by the count; no selector for one
    observational study."""
    arms = [(), *sorted({arm for study in studies for arm in arms_of(model, study)} - {()})]
    rows = []
    for study in studies:
        for codes, count, arm in zip(study.codes.tolist(), study.count, arms_of(model, study), strict=True):
            rows.append([*codes, *([arms.index(arm)] if len(arms) > 1 else []), int(count)])
    return (add_selector(model, arms) if len(arms) > 1 else model), rows


def arms_of(model: emcc.Model, study: Records) -> list[Arm]:
    """What each pattern's intervened variables were set to."""
    columns = [model.variables.index(v) for v in study.do]
    return [tuple(zip(study.do, values, strict=True)) for values in study.codes[:, columns].tolist()]


def add_selector(model: emcc.Model, arms: list[Arm]) -> emcc.Model:
    """The model with one more variable, last, whose state k sets the variables of arm k; arm 0 sets none."""
    spec = model.to_dict()
    spec["equations"] = {v: {"table": model.table(v).tolist()} for v in model.variables}
    spec["exogenous"] = {u.name: {"children": list(u.children), "card": model.card(u.name)} for u in model.exogenous}
    for v in {v for arm in arms for v, _ in arm}:
        table = np.stack([np.full_like(model.table(v), dict(a)[v]) if v in dict(a) else model.table(v) for a in arms])
        spec["equations"][v] = {"table": np.moveaxis(table, 0, -1).tolist()}
        spec["endogenous"][v]["parents"] = [*spec["endogenous"][v]["parents"], SELECTOR]
    spec["endogenous"][SELECTOR] = {"states": list(range(len(arms)))}
    spec["exogenous"][f"U_{SELECTOR}"] = {"children": [SELECTOR], "card": len(arms)}
    spec["equations"][SELECTOR] = {"table": list(range(len(arms)))}
    return emcc.Model.from_dict(spec)


# -- one linear programme --------------------------------------------------------------------------


def linear_programme(case: Case) -> dict | None:
    """min and max of objective · θ over θ ≥ 0 with matrix · θ = right, θ the chances of the one cause that matters; or
    None where several do.

    That is so where one cause acts on several variables, and every other variable is a root: what roots are is
    identified, and P(rest | roots, set by design) is linear in θ. Written without the program's learner.
    """
    tied = [u for u in case.model.exogenous if len(u.children) > 1]
    roots = [v for v in case.model.variables if not any(v in u.children for u in tied)]
    if len(tied) != 1 or any(case.model.parents[v] for v in roots) or case.cause in roots:
        return None
    rest = [v for v in case.model.order if v in tied[0].children]
    matrix, right = [], []
    for study in case.studies:
        given = [*roots, *(v for v in study.do if v in rest)]
        free = [v for v in rest if v not in study.do]
        for values in itertools.product(*(range(case.model.card(v)) for v in given)):
            fixed = dict(zip(given, values, strict=True))
            total = _count(case, study, fixed)
            for found in itertools.product(*(range(case.model.card(v)) for v in free)) if total else ():
                seen = dict(zip(free, found, strict=True))
                outcome = solve_equations(case.model, rest, fixed)
                matrix.append(np.all([outcome[v] == c for v, c in seen.items()], axis=0).astype(float).tolist())
                right.append(_count(case, study, fixed | seen) / total)
    return {"objective": _objective(case, roots, rest).tolist(), "matrix": matrix, "right": right}


def solve_equations(model: emcc.Model, rest: list[str], fixed: dict[str, int]) -> dict[str, np.ndarray]:
    """The value [u] of every variable of `rest`, all with the same cause, where others and those set have values."""
    value: dict[str, np.ndarray | int] = dict(fixed)
    for v in rest:
        if v not in fixed:
            table = model.table(v)
            value[v] = table[(np.arange(len(table)), *(value[p] for p in model.parents[v]))]
    return value


def _objective(case: Case, roots: list[str], rest: list[str]) -> np.ndarray:
    objective = 0.0
    for values in itertools.product(*(range(case.model.card(v)) for v in roots)):
        fixed = dict(zip(roots, values, strict=True))
        share = sum(_count(case, s, fixed) for s in case.studies) / case.records
        world = [
            solve_equations(case.model, rest, {**fixed, case.cause: x})[case.effect] == case.true
            for x in (case.true, 1 - case.true)
        ]
        happens = world[0] & ~world[1] if case.kind == "PNS" else world[0].astype(float) - world[1]
        objective = objective + share * happens
    return objective


def _count(case: Case, study: Records, fixed: dict[str, int]) -> float:
    rows = np.ones(len(study.count), bool)
    for v, c in fixed.items():
        rows &= study.codes[:, case.model.variables.index(v)] == c
    return float(study.count[rows].sum())


# -- the problems ----------------------------------------------------------------------------------


def all_cases(models: int = 10, authors: Path = AUTHORS) -> list[Case]:
    """Table 1, the instrumental variables, the ladders, and the authors' own models where their folder is there: so
    many, and some whose exact bounds come with them."""
    own = [authors_case(path) for path in sorted((authors / "hybrid").glob("*.uai"))]
    own = [case for case in own if case.truth][:models]  # where the cause is none, the query is zero whatever the data
    exact = [exact_case(path) for path in sorted((authors / "exact-pns").glob("*_queries.csv"))]
    wide = [case for case in exact if case.exact[1] - case.exact[0] > 0.01][: models // 3]
    return [*table_1(), *instruments(), *(ladder_case(n, size) for n in LADDERS for size in SIZES), *own, *wide]


def table_1() -> list[Case]:
    """Table 1 with Gender in the model and without; states: 0 drug and survived. Exact bounds: THEORY §7."""
    graphs = {
        "two variables": "T -> S; T <-> S; T {0, 1}; S {0, 1}",
        "with Gender": "G -> T -> S; G -> S; T <-> S; G {0, 1}; T {0, 1}; S {0, 1}",
    }
    exact = {
        ("two variables", "O"): (0.0, 0.4295),
        ("two variables", "O+I"): (0.3395, 0.4295),
        ("with Gender", "O"): (0.0, 0.4295),
        ("with Gender", "O+I"): (0.3845, 0.3845),
    }
    return [
        Case(
            f"Table 1 {which}, {name}", model, _drug_studies(model)[: len(which.split("+"))], "PNS", "T", "S", 0, known
        )
        for (name, which), known in exact.items()
        for model in [emcc.Model.parse(graphs[name])]
    ]


def _drug_studies(model: emcc.Model) -> tuple[Records, Records]:
    both = []
    for name, do, table in (("registry", (), OBSERVED), ("trial", ("T",), RANDOMISED)):
        rows = {(g, t, s): n for (g, t), counts in table.items() for s, n in enumerate(counts)}
        both.append(count_rows(name, do, rows, slice(3 - len(model.variables), None)))
    return both[0], both[1]


def count_rows(name: str, do: tuple[str, ...], rows: dict[tuple[int, ...], int], keep: slice = slice(None)) -> Records:
    """Equal rows made one, over the columns that are kept."""
    codes, place = np.unique(np.array(list(rows))[:, keep], axis=0, return_inverse=True)
    return Records(name, do, codes, np.bincount(place.ravel(), weights=list(rows.values())))


def instruments() -> list[Case]:
    """Two trials with non-compliance: Z is assigned, X taken, Y the outcome; the ACE of X on Y."""
    model = emcc.Model.parse("Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}")
    known = (("IV lipid", LIPID, (0.392, 0.780)), ("IV vitamin A", VITAMIN_A, (-0.1946228482, 0.0053936889)))
    return [Case(n, model, (count_rows("trial", (), rows),), "ACE", "X", "Y", 1, exact) for n, rows, exact in known]


def ladder_case(nodes: int, size: int) -> Case:
    """The ladder of `learning.py`, half of the records observed and half with V0 randomised."""
    text = ladder(nodes)
    model = emcc.Model.parse(text)
    studies = [
        _count_table("trial" if s.do else "registry", s.do, s.source.select(model.variables).to_numpy())
        for s in sample(text, size // 2)
    ]
    return Case(f"ladder {nodes}, N = {size:,}", model, tuple(studies), "PNS", "V0", f"V{nodes - 1}")


def authors_case(path: Path) -> Case:
    """A model of the authors with the records beside it: the PNS of the first variable on the last, state 1 true."""
    full, study = _read_authors(path)
    short = path.stem.removeprefix("random_").replace("_mid3_d1000_05_mr098_r10", "")
    case = Case(f"authors' {short}", full.model, (study,), "PNS", full.model.order[0], full.model.order[-1])
    return replace(case, truth=full.evaluate(case.query))


def exact_case(path: Path) -> Case:
    """A model of the authors whose exact PNS bounds stand in a file beside it; state 0 is true."""
    stem = path.name.removesuffix("_queries.csv")
    full, study = _read_authors(path.with_name(f"{stem}.uai"))
    with path.open() as file:
        row = next(csv.DictReader(file))
    exact = (float(row["pns_l"]), float(row["pns_u"]))
    name = f"authors' {stem.removeprefix('rand13_')}"
    return Case(name, full.model, (study,), "PNS", f"V{row['cause']}", f"V{row['effect']}", 0, exact)


def _read_authors(path: Path) -> tuple[emcc.FullModel, Records]:
    full = emcc.FullModel.from_uai(path, normalise=True)  # some of their files do not sum to one
    with path.with_suffix(".csv").open() as file:
        header, *rows = csv.reader(file)
    columns = [header.index(v.removeprefix("V")) for v in full.model.variables]
    return full, _count_table("registry", (), np.array([[int(row[c]) for c in columns] for row in rows]))


def _count_table(name: str, do: tuple[str, ...], table: np.ndarray) -> Records:
    codes, count = np.unique(table, axis=0, return_counts=True)
    return Records(name, tuple(do), codes, count)


def write_payload(case: Case, path: Path) -> None:
    path.write_text(json.dumps(payload(case)))
