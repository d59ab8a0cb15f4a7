"""An A/B test joined with logs, per segment. The data are synthetic: the program draws them.

A shop took a small random part of its visitors and showed a guided tour to half of them (the test). All other visitors
chose for themselves whether to take the tour (the logs). For how many visitors of each plan does the tour make the
difference: they buy with it and would not buy without it (PNS)? The test alone gives a wide interval. It cannot
distinguish a small group that the tour wins from a larger group that it wins while it puts others off. The logs are
confounded, and that is why they help: visitors know what is good for them.
"""

import numpy as np
import polars as pl

import duckemcc as emcc

rng = np.random.default_rng(7)


WON, PUT_OFF, ALWAYS, NEVER = range(4)  # buys only with the tour, only without it, in both cases, in neither
SHARES = {"free": [0.3, 0.15, 0.15, 0.4], "team": [0.4, 0.1, 0.3, 0.2], "enterprise": [0.2, 0.1, 0.5, 0.2]}
TAKES_IT = np.array([0.9, 0.1, 0.5, 0.5])  # probability, per kind of visitor


def visitors(number: int, *, randomised: bool) -> pl.DataFrame:
    """One row per visitor: the plan, whether they took the tour, whether they bought."""
    plan = rng.choice(list(SHARES), number, p=[0.6, 0.3, 0.1])
    upto = np.array([SHARES[p] for p in plan.tolist()]).cumsum(axis=1)
    kind = (rng.random(number)[:, None] > upto).sum(axis=1)
    took = rng.random(number) < (0.5 if randomised else TAKES_IT[kind])
    bought = np.where(took, np.isin(kind, [WON, ALWAYS]), np.isin(kind, [PUT_OFF, ALWAYS]))
    return pl.DataFrame({"plan": plan, "Tour": took, "Bought": bought})


test = emcc.Study(visitors(20_000, randomised=True), do="Tour", name="test")
logs = emcc.Study(visitors(400_000, randomised=False).lazy(), name="logs")
graph = "Tour -> Bought; Tour <-> Bought"
query = "PNS(Tour=true, Bought=true)"

for name, studies in (("test", [test]), ("test and logs", [test, logs])):
    print(name)
    for row in emcc.bounds(graph, studies, query, by="plan", confidence=0.95).to_pylist():
        limits = f"95% limits [{row['lower_ci']:.3f}, {row['upper_ci']:.3f}]"
        truth = SHARES[row["plan"]][WON]
        print(f"  {row['plan']:10} [{row['lower']:.3f}, {row['upper']:.3f}]  {limits}, truth {truth}, {row['status']}")
