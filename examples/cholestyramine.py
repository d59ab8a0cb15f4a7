"""Partial compliance: a drug that lowers cholesterol, of which many patients took less than prescribed.

The shares are those of Balke & Pearl (1997), from the counts of Efron & Feldman (1991) made binary. Assigned is
randomised. Dose is high for some of the patients who were assigned the drug. Nobody else could get the drug. What would
the drug do if everybody took it? Balke & Pearl: it raises the share of patients whose cholesterol falls by 28 points,
by between .392 and .780. For those who did take it the answer is one value.
"""

import polars as pl

import duckemcc as emcc

shares = pl.DataFrame(
    [
        ("placebo", "low", "no", 0.919),
        ("placebo", "low", "yes", 0.081),
        ("drug", "low", "no", 0.315),
        ("drug", "low", "yes", 0.073),
        ("drug", "high", "no", 0.139),
        ("drug", "high", "yes", 0.473),
    ],
    schema=["Assigned", "Dose", "Improved", "share"],
    orient="row",
)
graph = "Assigned -> Dose -> Improved; Dose <-> Improved"
study = emcc.Study(shares, weight="share", name="trial")

queries = ["ACE(Dose=high, Improved=yes)", "ETT(Dose=high, Improved=yes)", "PNS(Dose=high, Improved=yes)"]
for row in emcc.bounds(graph, study, queries, level=None).to_pylist():  # shares have no sample size: exact
    print(f"{row['query']:32} [{row['lower']:.4f}, {row['upper']:.4f}]  {row['status']}")

low = emcc.witness(graph, study, queries[0], level=None).lower_model
print(f"the witness of the lower end evaluates to {low.evaluate(queries[0]):.4f}")
