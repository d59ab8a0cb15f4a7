"""How far you can trust `credibility`: the registry of Table 1, for which the exact range of the query is known.

Credibility is the probability that the exact range is within a tenth of the width on either side, if the runs spread
evenly over it. They do not. This program runs the paper's restarts with 50 seeds, 30 runs each, and counts how often
the claim is true.
"""

import duckdb

import duckemcc as emcc

con = duckdb.connect()
con.execute(emcc.read_sql("drug_trial"))
model = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
registry = emcc.Study(con.table("registry"), weight="n")
query = "PNS(Treatment=drug, Survival=survived)"
low, high = 0.0, 0.4295  # exactly, by linear programming


def holds(row):
    margin = 0.1 * (row["upper"] - row["lower"])
    return row["lower"] - margin <= low and high <= row["upper"] + margin


print(f"{query}, registry alone: exactly [{low}, {high}]")
for start in ("dirichlet(1)", "dirichlet(0.03)"):
    options = {"method": "emcc", "restarts": 30, "start": start}
    rows = [emcc.bounds(model, registry, query, seed=seed, **options).to_pylist()[0] for seed in range(50)]
    claimed = sum(row["credibility"] for row in rows) / len(rows)
    share = sum(row["upper"] - row["lower"] for row in rows) / len(rows) / (high - low)
    print(f"  {start:16} first [{rows[0]['lower']:.4f}, {rows[0]['upper']:.4f}], mean share of the range {share:.2f}")
    print(f"  {'':16} credibility {claimed:.2f}, true of {sum(map(holds, rows))} of {len(rows)}")
