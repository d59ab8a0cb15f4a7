"""The picture in the README: bounds of Table 1's queries from the registry, the trial and both. Needs matplotlib.

python examples/table_1_picture.py table_1.svg
"""

import sys

import duckdb

import duckemcc as emcc

con = duckdb.connect()
con.execute(emcc.read_sql("drug_trial"))
model = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
trial = emcc.Study(con.table("trial"), do=["Treatment"], weight="n")
registry = emcc.Study(con.table("registry"), weight="n")
pns = "PNS(Treatment=drug, Survival=survived"
queries = [f"{pns})", f"{pns} | Gender=female)", f"{pns} | Gender=male)"]

tables = {
    "registry": emcc.bounds(model, registry, queries),
    "trial": emcc.bounds(model, trial, queries),
    "both": emcc.bounds(model, [trial, registry], queries),
}
path = sys.argv[1] if len(sys.argv) > 1 else "table_1.svg"
emcc.plot.compare(tables, title="For how many does the drug make the difference?").save(path)
print(f"written: {path}")
