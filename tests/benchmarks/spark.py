"""Segments on Spark beside the local run, by ratio in one process: `python tests/benchmarks/spark.py [SEGMENTS]`.

Table 1's model without Gender, 2 000 segments of two studies, 20 restarts, on local[2]. Answers are compared as well.
The session and the first use of its Python workers, which import everything, are measured apart.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import polars as pl

import duckemcc as emcc
import duckemcc.spark

GRAPH = "Treatment {drug, none}; Survival {survived, dead}; Treatment -> Survival; Treatment <-> Survival"
QUERY = "PNS(Treatment=drug, Survival=survived)"


def draw_counts(segments: int) -> pl.DataFrame:
    """A relation of two studies: a trial and a registry in each segment, of some 400 records each."""
    rng = np.random.default_rng(0)
    parts = []
    for study, do in (("registry", []), ("trial", ["Treatment"])):
        n = rng.multinomial(400, [0.35, 0.15, 0.2, 0.3], segments)
        for place, (treatment, survival) in enumerate((t, s) for t in ("drug", "none") for s in ("survived", "dead")):
            values = {"segment": np.arange(segments), "n": n[:, place]}
            fixed = [
                pl.lit(v).alias(c) for c, v in {"Treatment": treatment, "Survival": survival, "study": study}.items()
            ]
            parts.append(pl.DataFrame(values).with_columns(*fixed, intervened=pl.lit(do, dtype=pl.List(pl.String))))
    return pl.concat(parts)


def timed(work):
    begun = time.perf_counter()
    return work(), time.perf_counter() - begun


def main(segments: int) -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.sql.shuffle.partitions", "2")
    spark, opened = timed(builder.getOrCreate)
    frame = draw_counts(segments)
    source = spark.createDataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
    few = source.filter("segment < 20")
    asked = {"by": "segment", "restarts": 20}
    _, warmed = timed(lambda: duckemcc.spark.bounds(GRAPH, few, QUERY, weight="n", **asked).toArrow())
    print(f"session {opened:.1f} s, first answers {warmed:.1f} s")
    for method in ("emcc", "sharp"):
        studies = emcc.Studies(frame, weight="n")
        local, alone = timed(lambda m=method, s=studies: emcc.bounds(GRAPH, s, QUERY, method=m, **asked))
        result, counted = timed(
            lambda m=method: duckemcc.spark.bounds(GRAPH, source, QUERY, weight="n", method=m, **asked)
        )
        found, answered = timed(result.toArrow)
        same = found.sort_by("segment").to_pylist() == local.to_pylist()
        print(
            f"{method}, {segments} segments: local {alone:.2f} s; Spark {counted:.2f} s to count and check, "
            f"{answered:.2f} s to answer, {(counted + answered) / alone:.2f} times the local run; same answers: {same}"
        )
    spark.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
