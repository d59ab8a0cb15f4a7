"""The vitamin A trial in northern Sumatra: children were assigned a supplement, and many of them did not take it.

The counts are those of Sommer & Zeger (1991), as Balke & Pearl (1997) publish them: 23 682 children. Assigned is
randomised. Children who do not take the supplement may have a different risk, so Taken and Survived share an unmeasured
cause. What would the supplement do if everybody took it? Balke & Pearl: between -0.1946 and 0.0054.
"""

import polars as pl

import duckemcc as emcc

children = pl.DataFrame(
    [
        ("no", "no", "no", 74),
        ("no", "no", "yes", 11514),
        ("yes", "no", "no", 34),
        ("yes", "no", "yes", 2385),
        ("yes", "yes", "no", 12),
        ("yes", "yes", "yes", 9663),
    ],
    schema=["Assigned", "Taken", "Survived", "n"],
    orient="row",
)
graph = "Assigned -> Taken -> Survived; Taken <-> Survived"

table = emcc.bounds(graph, emcc.Study(children, weight="n"), "ACE(Taken=yes vs no, Survived=yes)", restarts=100)
row = table.to_pylist()[0]
print(f"effect of taking vitamin A on survival: [{row['lower']:.4f}, {row['upper']:.4f}], {row['n']:.0f} children")
print(f"compatible with the graph: {row['compatible']} (misfit {row['misfit']:.1e})")
