"""Bounds on a Spark cluster: `duckemcc.spark.bounds(model, studies, queries, by=…)`.

Needs the extra: pip install 'duckemcc[spark]'.
"""

from duckemcc.serve.spark.api import bounds, compatibility, counts

__all__ = ["bounds", "compatibility", "counts"]
