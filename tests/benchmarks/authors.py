"""The problems of ../shared with known answers, as questions: models of the method's authors, and random ones."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

import duckemcc as emcc
from duckemcc.query.full import first_on_last, sample_studies

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
EXACT_PNS = sorted((SHARED / "benchmarks" / "exact-pns").glob("*.uai"))
HYBRID = sorted((SHARED / "benchmarks" / "hybrid").glob("*.uai"))

IDENTIFIED = 1e-6
"""Width of bounds below which they are a point."""
LEAST_WEIGHT = 1e-15
"""Of a pattern of infinite data: what is below is rounding."""


class Problem(NamedTuple):
    """A question with its exact answer [lower, upper]. effect, ace: the ACE of the same contrast, if a file tells."""

    name: str
    model: emcc.Model
    studies: list[emcc.Study]
    query: Any
    lower: float
    upper: float
    effect: str | None = None
    ace: float = 0.0

    @property
    def width(self) -> float:
        return self.upper - self.lower


class Hybrid(NamedTuple):
    """A fully specified model, Section 6.2's question to it, and the answer."""

    name: str
    full: emcc.FullModel
    query: Any
    truth: float


# -- exact bounds ------------------------------------------------------------------------------


def read_pns(path: Path) -> Problem:
    """A model of exact-pns; `true` is state 0. Its PMFs do not sum to 1, so the model is taken without them, and the
    data are the file's records."""
    with open(path.with_name(f"{path.stem}_queries.csv"), encoding="utf-8") as file:
        asked = next(csv.DictReader(file))
    contrast = f"(V{asked['cause']}=0 vs 1, V{asked['effect']}=0)"
    study = emcc.Study(read_records(path.with_suffix(".csv")), name="observed")
    ends = float(asked["pns_l"]), float(asked["pns_u"])
    model, name = emcc.Model.from_uai(path), path.stem.removeprefix("rand13_")
    return Problem(name, model, [study], f"PNS{contrast}", *ends, f"ACE{contrast}", float(asked["ace_l"]))


def read_records(path: Path) -> pl.DataFrame:
    """The records of a file, without the index that is its first column; column i is Vi."""
    records = pl.read_csv(path)
    return records.select(pl.col(column).alias(f"V{column}") for column in records.columns if column)


def read_random() -> Iterator[Problem]:
    """The problems of gold/random with proven bounds; the `finite` ones are those of the maximum-likelihood set."""
    sys.path.insert(0, str(ROOT / "tests" / "paper"))
    from test_gold import CHOICES, PROVEN, RANDOM, read_query

    for path in RANDOM:
        case = json.loads(path.read_text(encoding="utf-8"))
        model = emcc.Model.from_dict({k: case[k] for k in ("endogenous", "exogenous", "equations") if k in case})
        for choice, names in CHOICES.items():
            reference = case.get("bounds", {}).get(choice, {})
            both = {"infinite": reference, "finite": reference.get("finite", {}).get("ml", {})}
            for data, exact in both.items():
                if not str(exact.get("method", "")).startswith(PROVEN):
                    continue
                name = f"{path.stem} {choice} {data}"
                studies = [read_counts(case[data][k]) for k in names]
                yield Problem(name, model, studies, read_query(case["query"]), exact["lower"], exact["upper"])


def read_counts(study: dict[str, Any]) -> emcc.Study:
    do = study.get("do", {})
    return emcc.Study(pl.DataFrame([do | row for row in study["rows"]]), do=tuple(do), name=study["name"], weight="n")


# -- Section 6.2 -------------------------------------------------------------------------------


def read_full(path: Path) -> Hybrid:
    """A model of hybrid with its chances (which sum to .991 or more, and are divided by their sum)."""
    full = emcc.FullModel.from_uai(path, normalise=True)
    query = first_on_last(full.model)
    name = path.stem.removeprefix("random_mc2_").replace("_mid3_d1000_05_mr098_r10", "")
    return Hybrid(name, full, query, full.evaluate(query))


def give_all(full: emcc.FullModel) -> dict[str, list[emcc.Study]]:
    """Infinite data: the model's own distribution, observed and for each value of its first variable, as weights."""
    model, first = full.model, full.model.order[0]
    observed = emcc.Study(weigh(full, {}), weight="n", name="observed")
    arms = pl.concat([weigh(full, {first: x}) for x in model.states[first]])
    return choose(observed, emcc.Study(arms, do=first, weight="n", name="trial"))


def weigh(full: emcc.FullModel, do: dict[str, str]) -> pl.DataFrame:
    """The patterns of codes with their probabilities `n`."""
    chances = full.distribution(*full.model.variables, do=do)
    patterns = np.argwhere(chances > LEAST_WEIGHT)
    columns = {v: patterns[:, i] for i, v in enumerate(full.model.variables)}
    return pl.DataFrame(columns | {"n": chances[tuple(patterns.T)]})


def sample(full: emcc.FullModel, n: int, seed: int) -> dict[str, list[emcc.Study]]:
    """n observational records, and n for each value of the first variable."""
    trial = sample_studies(full, n, np.random.default_rng(seed))
    observed = emcc.Study(pl.DataFrame(trial.observed), name="observed")
    return choose(observed, emcc.Study(pl.DataFrame(trial.randomised), do=trial.do, name="trial"))


def choose(observed: emcc.Study, trial: emcc.Study) -> dict[str, list[emcc.Study]]:
    return {"O": [observed], "I": [trial], "O+I": [observed, trial]}
