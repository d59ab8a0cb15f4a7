"""Table 1 of the paper: a trial and a registry of one drug. Was it necessary and sufficient for survival?"""

import duckdb

import duckemcc as emcc

con = duckdb.connect()
con.execute(emcc.read_sql("drug_trial"))  # the tables `studies`, `trial` and `registry`

model = emcc.Model.parse("""
    Gender -> Treatment -> Survival
    Gender -> Survival
    Treatment <-> Survival            # a shared, unmeasured cause
""")
trial = emcc.Study(con.table("trial"), do=["Treatment"], weight="n")
registry = emcc.Study(con.table("registry"), weight="n")
queries = [
    "PNS(Treatment=drug, Survival=survived)",
    "PNS(Treatment=drug, Survival=survived | Gender=female)",
    "PNS(Treatment=drug, Survival=survived | Gender=male)",
]

for name, studies in (("registry", [registry]), ("trial", [trial]), ("both", [trial, registry])):
    print(name)
    for row in emcc.bounds(model, studies, queries).to_pylist():
        print(f"  {row['query']:56} [{row['lower']:.4f}, {row['upper']:.4f}]  {row['status']}")
