"""Pictures: ``emcc.plot.bounds(table).save("bounds.svg")``. They need matplotlib, of the extra `plot`."""

from duckemcc.show.plot.canvas import Picture
from duckemcc.show.plot.intervals import bounds, compare
from duckemcc.show.plot.network import graph
from duckemcc.show.plot.patterns import frequencies
from duckemcc.show.plot.spread import restarts

__all__ = ["Picture", "bounds", "compare", "frequencies", "graph", "restarts"]
