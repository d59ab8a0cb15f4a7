"""What segments and rows cost: `python tests/benchmarks/segments.py`.

stages   Table 1's trial and registry, drawn anew in each segment (multinomially), Gender in the model (64 states);
         r = 20. Seconds of each stage, for both methods and for more and more segments; memory of a process of its own.
sparse   the same with some twenty records a segment, so that hardly two segments show the same patterns.
rows     a Parquet file of six columns with few states, counted, learned and bounded by `bounds` and by `emcc_bounds`,
         against DuckDB's own SELECT … GROUP BY ALL of the same columns: each in a process of its own, in turns, so that
         what else the machine does meets all alike. The file is made by DuckDB and deleted afterwards.

Run on request; `--out FILE` writes the tables, `--rows N` and `--segments N …` make it smaller.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

GRAPH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
QUERY = "PNS(Treatment=drug, Survival=survived)"
TRIAL = {("female", "drug"): (489, 511), ("male", "drug"): (490, 510)}
TRIAL |= {("female", "no drug"): (210, 790), ("male", "no drug"): (210, 790)}
REGISTRY = {("female", "drug"): (378, 1022), ("male", "drug"): (980, 420)}
REGISTRY |= {("female", "no drug"): (420, 180), ("male", "no drug"): (420, 180)}

WIDE = "A -> B -> C; A -> C; B <-> C; D -> E; A -> F"
WIDE_QUERY = "PNS(B=1 vs 0, C=1)"
ROWS_SQL = """
    COPY (SELECT (h & 1)::UTINYINT AS A, ((h >> 1) % 3)::UTINYINT AS B, ((h >> 5) & 1)::UTINYINT AS C,
                 ((h >> 9) % 3)::UTINYINT AS D, ((h >> 14) & 1)::UTINYINT AS E, ((h >> 18) & 1)::UTINYINT AS F
          FROM (SELECT (hash(range) >> 8)::UBIGINT AS h FROM range({rows}))) TO '{path}' (FORMAT parquet)"""
TURNS = 3


def draw(table: dict[tuple[str, str], tuple[int, int]], segments: int, share: float):  # type: ignore[no-untyped-def]
    """One row per segment and pattern."""
    import numpy as np
    import polars as pl

    cells = [(*key, outcome, n) for key, both in table.items() for outcome, n in zip(OUTCOMES, both, strict=True)]
    counts = np.array([cell[-1] for cell in cells], float)
    drawn = np.random.default_rng(0).multinomial(int(counts.sum() * share), counts / counts.sum(), size=segments)
    columns = {name: np.tile([cell[i] for cell in cells], segments) for i, name in enumerate(NAMES)}
    return pl.DataFrame({"seg": np.repeat(np.arange(segments), len(cells))} | columns | {"n": drawn.ravel()})


NAMES = ("Gender", "Treatment", "Survival")
OUTCOMES = ("survived", "dead")


def ask_segments(segments: int, method: str, share: float) -> dict[str, float]:
    """One call, in this process."""
    import numpy as np

    import duckemcc as emcc

    trial, registry = (draw(table, segments, share) for table in (TRIAL, REGISTRY))
    studies = [
        emcc.Study(trial, do=["Treatment"], weight="n", name="trial"),
        emcc.Study(registry, weight="n", name="registry"),
    ]
    model = emcc.Model.parse(
        f"{GRAPH}; Gender {{female, male}}; Treatment {{drug, 'no drug'}}; Survival {{survived, dead}}"
    )
    begun, spent = time.perf_counter(), time.process_time()
    table = emcc.bounds(model, studies, QUERY, by="seg", method=method, restarts=20, incompatible="report")
    found = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - spent}
    gap = np.asarray(table["optimality_gap"]) / np.asarray(table["n"])
    assert table.num_rows == segments
    assert gap.max() <= 1e-9, gap.max()
    stages = json.loads(table.schema.metadata[b"duckemcc.seconds"])
    return found | stages | {"gap": float(gap.max()), "megabytes": peak()}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ask_rows(way: str, path: str) -> dict[str, float]:
    """One way through the file, in this process; what is imported is not part of the time."""
    import duckdb

    import duckemcc as emcc

    con = duckdb.connect()
    if way != "raw":
        emcc.register(con)
        con.execute("SELECT 1 AS A, 0 AS B, 1 AS C, 0 AS D, 1 AS E, 0 AS F").to_arrow_table()
        emcc.bounds("X -> Y; X <-> Y; X {0, 1}; Y {0, 1}", con.sql("SELECT 0 AS X, 1 AS Y"), "P(Y=1)")
    begun = time.perf_counter()
    if way == "raw":
        con.sql(f"SELECT A, B, C, D, E, F, count(*) AS n FROM '{path}' GROUP BY ALL").to_arrow_table()
    elif way == "bounds":
        emcc.bounds(WIDE, emcc.Study(path), WIDE_QUERY)
    else:
        con.sql(f"FROM emcc_bounds($${WIDE}$$, '{WIDE_QUERY}', '{path}')").to_arrow_table()
    return {"seconds": time.perf_counter() - begun, "megabytes": peak()}


def in_process(*call: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", *map(str, call)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


STAGES = ("count", "compile", "learn", "judge", "bound")


def tell_segments(sizes: list[int], share: float) -> list[str]:
    head = ["segments", "method", *STAGES, "seconds", "CPU s", "MB", "gap / N"]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for size in sizes:
        for method in ("emcc", "sharp"):
            found = in_process("segments", size, method, share)
            stages = " | ".join(f"{found.get(stage, 0.0):.2f}" for stage in STAGES)
            rows.append(
                f"| {size:,} | {method} | {stages} | {found['seconds']:.2f} | {found['cpu']:.2f} "
                f"| {found['megabytes']:.0f} | {found['gap']:.0e} |"
            )
    return rows


WAYS = {"raw": "`SELECT … GROUP BY ALL`", "bounds": "`bounds` of the file", "sql": "`emcc_bounds` of the file"}


def tell_rows(count: int) -> list[str]:
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.parquet"
        duckdb.sql(ROWS_SQL.format(rows=count, path=path))
        size = Path(path).stat().st_size / 1e6
        found = {way: [] for way in WAYS}
        for _ in range(TURNS):
            for way in WAYS:
                found[way].append(in_process("rows", way, path))
    rows = [f"{count:,} rows, {size:.0f} MB; medians of {TURNS} turns.", ""]
    rows += ["| | seconds | times the first | MB at most |", "|---|---|---|---|"]
    raw = median(f["seconds"] for f in found["raw"])
    for way, label in WAYS.items():
        seconds = median(f["seconds"] for f in found[way])
        rows.append(
            f"| {label} | {seconds:.2f} | {seconds / raw:.2f} | {max(f['megabytes'] for f in found[way]):.0f} |"
        )
    return rows


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    read.add_argument("--segments", nargs="*", type=int, default=[500, 2000, 10_000], help="numbers of segments")
    read.add_argument("--rows", type=int, default=100_000_000, help="rows of the Parquet file; 0 leaves it out")
    read.add_argument("--out", type=Path, help="the file to write; left out, the page is printed")
    given = read.parse_args()
    if given.one:
        kind, *rest = given.one
        one = ask_rows(*rest) if kind == "rows" else ask_segments(int(rest[0]), rest[1], float(rest[2]))
        print(json.dumps(one))
        return
    import numpy as np

    page = [
        "# Segments",
        "",
        "Written by `python tests/benchmarks/segments.py`, on 2 cores; "
        f"Python {sys.version.split()[0]}, numpy {np.__version__}.",
        "",
    ]
    if given.segments:
        page += [
            "Table 1's trial and registry drawn anew in each segment, Gender in the model, r = 20, whole calls "
            "with all imports. `gap / N`: the worst proven distance to the maximum per record.",
            "",
            *tell_segments(given.segments, 1.0),
            "",
            "The same with 20 records of the trial and 28 of the registry in each segment, so that hardly two "
            "show the same patterns and each is compiled for itself:",
            "",
            *tell_segments(given.segments[:1], 0.005),
            "",
        ]
    if given.rows:
        page += ["A Parquet file of six columns, end to end:", "", *tell_rows(given.rows)]
    text = "\n".join(page).rstrip() + "\n"
    if given.out:
        given.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
