"""Bounds per segment on Spark, and the same answers on one machine. The data are synthetic: the program draws them.

There are 60 regions. A trial chose at random who was shown the advertisement. The logs hold everybody else. For how
many people does the advertisement make the difference: they buy with it and would not buy without it (PNS)?

Needs `pip install 'duckemcc[spark]'` and Java 17.
"""

import os
import sys

import numpy as np
import polars as pl
from pyspark.sql import SparkSession

import duckemcc as emcc
import duckemcc.spark

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "4")
    .getOrCreate()
)

rng = np.random.default_rng(11)
people = 60_000
region, in_trial = rng.integers(0, 60, people), rng.random(people) < 0.2
eager = rng.random(people) < 0.2 + region / 200  # these buy if they see the advertisement, and see it more often
shown = rng.random(people) < np.where(in_trial, 0.5, 0.2 + 0.5 * eager)
bought = (eager & shown) | (rng.random(people) < 0.1)
frame = pl.DataFrame({"region": region, "Shown": shown, "Bought": bought}).with_columns(
    study=pl.Series(np.where(in_trial, "trial", "logs")),
    intervened=pl.Series([["Shown"] if t else [] for t in in_trial.tolist()], dtype=pl.List(pl.String)),
)

graph, query = "Shown -> Bought; Shown <-> Bought", "PNS(Shown=true, Bought=true)"
studies = spark.createDataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
bounds = duckemcc.spark.bounds(graph, studies, query, by="region").orderBy("region")  # a Spark DataFrame
bounds.select("region", "lower", "upper", "status", "n").show(5)

found = bounds.toArrow().to_pylist()
local = emcc.bounds(graph, emcc.Studies(frame), query, by="region").to_pylist()
print("same as the local run:", found == local)
