"""Pictures: ``emcc.plot.bounds(table).save("bounds.svg")``. They need matplotlib, of the extra `plot`."""

from duckemcc.serve.plot.canvas import Picture
from duckemcc.serve.plot.intervals import bounds, compare
from duckemcc.serve.plot.network import graph
from duckemcc.serve.plot.patterns import frequencies
from duckemcc.serve.plot.spread import restarts

__all__ = ["Picture", "bounds", "compare", "frequencies", "graph", "restarts"]
