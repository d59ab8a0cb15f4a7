"""Section 6.2: O, I and O+I for the PNS of V_1 on V_n, over a folder of UAI models or over generated ones.

Models are run in parallel processes, and their rows kept one model after the other, so that a run that was stopped
goes on where it was. The method is the paper's Algorithm 1 (`method="emcc"`), whatever the default of `bounds` is.
"""

from __future__ import annotations

import os
import zlib
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckemcc.answer.options import read_options
from duckemcc.errors import OptionError, SourceError, hint
from duckemcc.serve.progress import show_bars
from duckemcc.serve.section62.figure import Summary, draw, summarise
from duckemcc.serve.section62.ledger import Ledger, make_table, open_ledger
from duckemcc.serve.section62.pool import Died, run_all, usable_cores
from duckemcc.serve.section62.trial import GENERATED, Settings, Task, failed, run_task

if TYPE_CHECKING:
    import pyarrow as pa

MAX_STEPS = 1500
"""EM steps of a restart at most, unless said otherwise: what has not arrived then sits in a worse optimum."""

LEARNING = ("start", "accelerate", "gap", "max_steps", "level", "tolerance", "max_seconds")
"""Options of `bounds` that a benchmark takes; max_seconds is for each of a model's three fits."""


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found. table: a pyarrow.Table with a row for each model and each of O, I and O+I."""

    table: pa.Table

    @property
    def summary(self) -> Summary:
        """The figures of Section 6.2: shares, mean shrinks, times."""
        return summarise(self.table)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Writes both panels of Figure 3 as a PNG, SVG or PDF, by the name's suffix.

        Raises `OptionError` for another suffix, or where nothing can be drawn, `NotSupported` without matplotlib.
        """
        draw(self.table, path)


def benchmark(
    models: int | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    restarts: int = 100,
    records: int = 1000,
    most_records: int = 5500,
    seed: int = 0,
    processes: int | None = None,
    **options: Any,
) -> Benchmark:
    """Learn from an observational study, an interventional one and both, for many models (paper §6.2, Figure 3).

    models: how many to generate (5 to 15 nodes; the k-th depends on `seed` and k alone), or a folder of ``.uai`` files,
    or one such file; their chances are the truth, and a PMF that does not sum to 1 is divided by its sum.
    out: a ``.duckdb`` or ``.parquet`` file that keeps the rows of each model as soon as it is done; with the same
    settings the models in it are not run again, failed ones excepted.
    records: N, the observational records; the interventional study has N for each value of V_1. Both grow while the
    studies are incompatible, as long as they have at most `most_records` together.
    processes: as many as cores by default; 1 stays in this process. A script must then call this under
    ``if __name__ == '__main__':``, as processes are started anew.
    options: `LEARNING`, as for `bounds`. A fit that takes longer than max_seconds makes the model a failed one.

    A model that fails is a row with its message. Ctrl-C stops at once; what is done stays in `out`.
    Raises `OptionError`, `SourceError`.
    """
    learning = {"restarts": restarts, "seed": seed, "max_steps": MAX_STEPS, **options}
    settings = _read_settings(records, most_records, learning)
    tasks = list_tasks(models)
    if processes is not None:
        _check_count("processes", processes)
    ledger = open_ledger(out, _describe(settings))
    with closing(ledger):
        left = ledger.left(tasks)
        _run(left, settings, ledger, min(processes or usable_cores(), max(len(left), 1)), len(tasks))
        return Benchmark(make_table(ledger.of(tasks)))


def list_tasks(models: int | str | os.PathLike[str]) -> list[Task]:
    """The models as tasks, by name. Raises `OptionError` for no number of models, `SourceError` for no UAI file."""
    if not isinstance(models, (str, os.PathLike)):
        _check_count("models", models)
        return [Task(f"random_{k:04d}", None, GENERATED) for k in range(models)]
    path = Path(models)
    files = sorted(path.glob("*.uai")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise SourceError(
            f"models is {str(models)!r}, which is neither a folder with .uai files nor such a file",
            remedy="give one, or a number of models to generate",
            option="models",
        )
    return [Task(f.stem, f, f"crc32 {zlib.crc32(f.read_bytes()):08x}") for f in files]


def _run(left: list[Task], settings: Settings, ledger: Ledger, processes: int, total: int) -> None:
    work = partial(run_task, settings=settings)
    waiting = [task.name for task in left]
    with show_bars() as progress, closing(run_all(work, left, processes)) as outcomes:
        bar = progress.add_task(_at_work(waiting, processes), total=total, completed=total - len(left))
        for task, outcome in outcomes:
            ledger.add(failed(task, outcome.message) if isinstance(outcome, Died) else outcome)
            waiting.remove(task.name)
            progress.update(bar, advance=1, description=_at_work(waiting, processes))


def _at_work(waiting: list[str], processes: int) -> str:
    """What a bar says while the first models take their minutes: they are given out in this order."""
    return f"models (at work: {', '.join(waiting[:processes])})" if waiting else "models"


def _read_settings(records: int, most_records: int, options: dict[str, Any]) -> Settings:
    _check_count("records", records)
    _check_count("most_records", most_records)
    for name in options:
        if name not in (*LEARNING, "restarts", "seed"):
            raise OptionError(
                f"a benchmark has no option {name!r}; beside its own it takes {', '.join(LEARNING)}",
                remedy=hint(name, LEARNING, "options"),
                option=name,
            )
    return Settings(records, most_records, read_options({**options, "method": "emcc"}))


def _describe(settings: Settings) -> dict[str, Any]:
    """What rows of one file have in common; not max_seconds, as a longer one may rescue a failed model."""
    from importlib.metadata import version

    learning = {name: getattr(settings.options, name) for name in LEARNING if name != "max_seconds"}
    own = {"restarts": settings.options.restarts, "seed": settings.options.seed}
    sizes = {"records": settings.records, "most_records": settings.most_records}
    return own | sizes | learning | {"version": version("duckemcc")}


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} is {value!r}", remedy="it takes a whole number of at least 1", option=name)
