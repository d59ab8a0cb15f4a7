"""What every child process does: read its job, measure, and write down each finding as soon as it is there."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Findings:
    """Written to a file at every `add`, so that a process that is ended has still said what it knew."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, {}

    def add(self, **found: Any) -> None:
        self.found |= found | {"memory": peak_memory()}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.found))
        part.replace(self.path)


def peak_memory() -> float:
    """MB this process held at most. Linux's ru_maxrss starts from what the parent held, hence /proc where it is."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "linux" else 1024) / 1024


def take_median(step: Callable[[], object], times: int, seconds: float) -> tuple[float, int]:
    """Median seconds of a step, over so many or as many as begin within the time, and how many these were."""
    laps: list[float] = []
    begun = time.perf_counter()
    while len(laps) < times and (not laps or time.perf_counter() - begun < seconds):
        lap = time.perf_counter()
        step()
        laps.append(time.perf_counter() - lap)
    return statistics.median(laps), len(laps)


def plan(restarts: int, steps: int, iteration: float, seconds: float) -> tuple[int, int]:
    """How many restarts of how many steps fit into the time: fewer restarts first, but two; then fewer steps."""
    if (fit := int(seconds / (steps * iteration))) >= 2:
        return min(restarts, fit), steps
    return min(restarts, 2), max(1, min(steps, int(seconds / (2 * iteration))))


def run(measure: Callable[[dict, dict, Findings], None]) -> None:
    """`python PROGRAM.py JOB OPTIONS FINDINGS`, three JSON files."""
    job, options = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    measure(job, options, Findings(Path(sys.argv[3])))
