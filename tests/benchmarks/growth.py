"""How time and memory grow: a job that is read, queries on one model, columns of a table, segments, studies.

    python tests/benchmarks/growth.py [NAME …] [--scale 1.0] > tests/benchmarks/GROWTH.md

Each case is measured at four sizes, each in a process of its own: CPU seconds of the call alone, seconds on the wall
(which other work on the machine changes), and the peak memory of the process less what it had before the call. What
grows in proportion doubles with its size; `exponent` is the slope of the last doublings in a plot of logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRAPH = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
PNS = "PNS(X=1, Y=1)"


def draw(n: int, **more: Any) -> Any:
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    return pl.DataFrame({"X": rng.integers(0, 2, n), "Y": rng.integers(0, 2, n)} | more)


def reading(size: int) -> Callable[[], object]:
    """A job of so many queries, and a tenth as many studies, is read and checked."""
    from duckemcc.serve.job.file import read_job

    folder = Path(tempfile.mkdtemp())
    draw(8).write_parquet(folder / "s.parquet")
    queries = "".join(f'  "{i} + P(Y=1 | X={i % 2})",\n' for i in range(size))
    studies = "".join(f'[[studies]]\nname = "s{i}"\nsource = "s.parquet"\n' for i in range(size // 10))
    (folder / "job.toml").write_text(f'queries = [\n{queries}]\n[model]\ngraph = "{GRAPH}"\n{studies}')
    return lambda: read_job(folder / "job.toml")


def queries(size: int) -> Callable[[], object]:
    """So many different queries on one model and one study of 3 000 records."""
    import duckemcc as emcc

    frame = draw(3000)
    asked = [f"{i} + {1 + i % 7} P(Y[X={i % 2}]={i // 2 % 2} | X={i // 4 % 2})" for i in range(size)]
    return lambda: emcc.bounds(GRAPH, frame, asked)


def columns(size: int) -> Callable[[], object]:
    """A pyarrow table of 1 000 records with so many columns, two of which are used."""
    import numpy as np
    import pyarrow as pa

    import duckemcc as emcc

    table = pa.table(draw(1000).to_dict(as_series=False) | {f"c{i}": np.zeros(1000) for i in range(size)})
    return lambda: emcc.bounds(GRAPH, table, PNS)


def segments(size: int) -> Callable[[], object]:
    """So many segments of one record each, max_seconds=10: all are counted, some answered, all have a row."""
    import numpy as np

    import duckemcc as emcc

    frame = draw(size, g=np.arange(size))
    return lambda: emcc.bounds(GRAPH, frame, PNS, by="g", max_seconds=10)


def answered(size: int) -> Callable[[], object]:
    """So many segments of 8 records each, answered without a limit."""
    import numpy as np

    import duckemcc as emcc

    frame = draw(8 * size, g=np.arange(8 * size) % size)
    return lambda: emcc.bounds(GRAPH, frame, PNS, by="g")


def studies(size: int) -> Callable[[], object]:
    """So many studies of 20 records each, answered together without a limit."""
    import duckemcc as emcc

    given = [emcc.Study(draw(20), name=f"s{i}") for i in range(size)]
    return lambda: emcc.bounds(GRAPH, given, PNS)


CASES: dict[str, tuple[Callable[[int], Callable[[], object]], int]] = {
    "reading": (reading, 10_000),
    "queries": (queries, 10_000),
    "columns": (columns, 20_000),
    "segments": (segments, 1_000_000),
    "answered": (answered, 8_000),
    "studies": (studies, 10_000),
}
"""Name: what is called, and its largest size."""


def measure(name: str, size: int) -> dict[str, float]:
    """In this process."""
    import duckemcc as emcc

    emcc.bounds(GRAPH, draw(40), PNS)  # all is imported
    call = CASES[name][0](size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return {
        "size": size,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "megabytes": (after - before) * unit / 1e6,
    }


def show(name: str, found: list[dict[str, float]]) -> str:
    doc = (CASES[name][0].__doc__ or "").strip()
    lines = [f"## {name}", "", doc, "", "| size | CPU s | s | MB more | exponent |", "|---:|---:|---:|---:|---:|"]
    for last, row in zip([None, *found], found, strict=False):
        slope = ""
        if last is not None:
            slope = f"{math.log(row['cpu'] / last['cpu']) / math.log(row['size'] / last['size']):.2f}"
        numbers = f"{row['size']:,.0f} | {row['cpu']:.2f} | {row['wall']:.2f} | {row['megabytes']:.0f}"
        lines.append(f"| {numbers} | {slope} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*CASES])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))
        return
    print("# How time and memory grow\n")
    print("What `python tests/benchmarks/growth.py` measured; its first lines say how.")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} when it began.\n")
    for name in given.names:
        largest = round(CASES[name][1] * given.scale)
        found = []
        for part in (8, 4, 2, 1):
            words = [sys.executable, __file__, "--one", name, str(largest // part)]
            found.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
        print(show(name, found), flush=True)


if __name__ == "__main__":
    main()
