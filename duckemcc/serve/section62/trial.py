"""One model of Section 6.2: two studies sampled from it, and what O, I and O+I tell of the PNS of V_1 on V_n.

    O    N observational records        I    N records for each value that V_1 is set to (2N)        O+I  both

The paper takes N = 1 000, more "in case M-compatibility fails", and never more than 5 500 records. Its test compares
log-likelihoods, which finite samples hardly ever pass exactly; here N grows where the verdict on O+I (a test against
the saturated likelihood, and a misfit) is "incompatible": by a quarter of the first N each time, by records that are
added to those already there, while O and I together have at most `most_records`. Data sampled from the model itself
are compatible but for the test's level, so this is rare.

Everything random comes from (seed, name of the model): a model's rows do not depend on what else is run.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from duckemcc.answer.api import Fit, fit
from duckemcc.answer.options import Options
from duckemcc.bound.bounds import DIGITS
from duckemcc.bound.credibility import credibility
from duckemcc.errors import DuckEmccError
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.full import FullModel, Records, first_on_last, sample_studies
from duckemcc.query.syntax import Query
from duckemcc.study.study import Study

Row = dict[str, Any]

DATA = ("O", "I", "O+I")
NODES = range(5, 16)
"""Nodes of a generated model, each number as likely."""

GENERATED = "generated"


class Task(NamedTuple):
    """A model to be run: its name, which seeds it; the UAI file, or None for a generated one; and the file's CRC-32,
    or `GENERATED`, which tells whether rows of that name are of this model."""

    name: str
    path: Path | None
    source: str


@dataclass(frozen=True)
class Settings:
    """What decides the rows: N at the start, the records of O and I together up to which N grows, and how to learn."""

    records: int
    most_records: int
    options: Options

    def load(self, task: Task) -> FullModel:
        """The model of a task: read, its PMFs normalised, or generated. Raises as `FullModel.from_uai`."""
        if task.path is not None:
            return FullModel.from_uai(task.path, normalise=True)
        rng = self._stream(task, 0)
        return FullModel.random(NODES[int(rng.random() * len(NODES))], rng)

    def sample(self, full: FullModel, task: Task) -> Studies:
        """The first two studies of a task."""
        return self._draw(full, task, 1, self.records)

    def grow(self, full: FullModel, task: Task, studies: Studies) -> Studies | None:
        """The studies with more records, or None where that would be more than `most_records`."""
        step = max(1, self.records // 4)
        n = studies.n + step
        if n * (1 + full.model.card(studies.do)) > self.most_records:
            return None
        more = self._draw(full, task, n, step)
        return Studies(_append(studies.observed, more.observed), _append(studies.randomised, more.randomised), more.do)

    def _draw(self, full: FullModel, task: Task, part: int, n: int) -> Studies:
        return Studies(*sample_studies(full, n, self._stream(task, part)))

    def _stream(self, task: Task, part: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, zlib.crc32(task.name.encode()), part])


class Studies(NamedTuple):
    """Records of O and of I, in which the variable `do` is set."""

    observed: Records
    randomised: Records
    do: str

    @property
    def n(self) -> int:
        """N, the observational records."""
        return len(next(iter(self.observed.values())))

    def of(self, data: str) -> list[Study]:
        """The studies of "O", "I" or "O+I"."""
        import polars as pl

        observed = Study(pl.DataFrame(self.observed), name="O")
        randomised = Study(pl.DataFrame(self.randomised), name="I", do=[self.do])
        return {"O": [observed], "I": [randomised], "O+I": [observed, randomised]}[data]


def run_task(task: Task, settings: Settings) -> list[Row]:
    """The rows of a model, one for each of `DATA`. Whatever goes wrong is their message."""
    try:
        return _run(task, settings)
    except DuckEmccError as wrong:
        return failed(task, f"{type(wrong).__name__}: {wrong}")
    except Exception as wrong:  # one model never ends the run, whatever it is that it brings to light
        return failed(task, f"unexpected {type(wrong).__name__}: {wrong}")


def failed(task: Task, message: str) -> list[Row]:
    """The rows of a model that could not be run."""
    known = {"model": task.name, "source": task.source, "status": "failed", "message": message}
    return [known | {"data": data} for data in DATA]


def _run(task: Task, settings: Settings) -> list[Row]:
    begun = _Times.now()
    full = settings.load(task)
    asked = first_on_last(full.model)
    known = {
        "model": task.name,
        "source": task.source,
        "status": "done",
        "query": str(asked),
        "endogenous": len(full.model.endogenous),
        "exogenous": len(full.model.exogenous),
        "truth": full.evaluate(asked),
    }
    studies: Studies | None = settings.sample(full, task)
    while studies is not None:
        drawn = studies
        both = _learn(full.model, drawn, "O+I", asked, settings.options)
        studies = None if both["compatible"] else settings.grow(full, task, drawn)
    known |= {"n": drawn.n, "grown": drawn.n > settings.records}
    both |= begun.since()  # what was sampled, and learned from fewer records, included
    alone = [_learn(full.model, drawn, data, asked, settings.options) for data in ("O", "I")]
    return [known | row for row in (*alone, both)]


def _learn(model: Model, studies: Studies, data: str, asked: Query, options: Options) -> Row:
    """What one fit tells, for all its runs and for the first 10, 20, …"""
    begun = _Times.now()
    found = fit(model, studies.of(data), **asdict(options))
    compiled = Compiled(asked, found.model)
    runs = _by_runs(found, compiled)
    return {
        "data": data,
        **{name: runs[-1][name] for name in ("lower", "upper", "credibility")},
        "runs": runs,
        **{name: getattr(found, name) for name in _FROM_FIT},
        **begun.since(),
    }


class _Times(NamedTuple):
    """Wall time, and the processor's time on this process; they differ where others share the machine."""

    seconds: float
    cpu_seconds: float

    @staticmethod
    def now() -> _Times:
        return _Times(time.perf_counter(), time.process_time())

    def since(self) -> Row:
        """The columns of the time that has passed."""
        return {name: end - begun for name, begun, end in zip(self._fields, self, self.now(), strict=True)}


_FROM_FIT = (
    "compatible",
    "misfit",
    "loglik_gap",
    "p_value",
    "optimality_gap",
    "restarts",
    "kept",
    "converged",
    "steps",
)


def _by_runs(found: Fit, compiled: Compiled) -> list[Row]:
    """The bounds over the first r learned models for growing r. Fewer restarts are a prefix of more."""
    values = compiled(found.chances).value
    low, high = compiled.span
    rows = []
    for r in steps_to(found.restarts):
        kept = _independent(found, r)
        lower, upper = (round(float(end), DIGITS) + 0.0 for end in (values[:r].min(), values[:r].max()))
        sure = credibility(lower, upper, kept, low=low, high=high)
        rows.append({"restarts": r, "kept": kept, "lower": lower, "upper": upper, "credibility": sure})
    return rows


def steps_to(restarts: int) -> list[int]:
    """10, 20, 30, 50, 100, 200, … below `restarts`, and `restarts`."""
    rounds = (m * 10**k for k in range(1, len(str(restarts)) + 1) for m in (1, 2, 3, 5))
    return [*(r for r in rounds if r < restarts), restarts]


def _independent(found: Fit, r: int) -> int:
    """Runs among the first r that were learned independently of each other.

    A restart that stayed in a worse optimum of a component with several exogenous variables carries another's chances
    of it, to the last digit; so this counts the distinct ones, in the component where they are fewest.
    """
    if found.kept == found.restarts:
        return r
    tied = [c.exogenous for c in found.model.components(()) if len(c.exogenous) > 1]
    rows = [np.concatenate([found.chances[u][:r] for u in names], axis=1) for names in tied]
    return min((len(np.unique(each, axis=0)) for each in rows), default=r)


def _append(records: Records, more: Records) -> Records:
    return {v: np.concatenate([codes, more[v]]) for v, codes in records.items()}
