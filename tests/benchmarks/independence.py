"""How often the test of a graph's independences rejects a true graph, and finds a violated one.

python tests/benchmarks/independence.py [data sets] [part of a setting's name]

A setting draws ten sets of conditional tables, and a tenth of its data sets from each. A row is printed as soon as it
is known; INDEPENDENCE.md has them.
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.verdict.independence import adjust, examine_claims
from duckemcc.model.scm import Model

TABLES = 10
A3 = [202, 22, 202, 22, 22, 2, 2, 22, 22, 2, 2, 22, 202, 22, 202, 22]
EIGHT = "A -> C; B -> C; A -> D; C -> E; D -> E; B -> F; E -> F; F -> G; D -> G; G -> H; E -> H"
LEVELS = dict(zip("ABCDEFGH", (3, 2, 3, 2, 4, 2, 3, 2), strict=True))


def declare(graph, levels):
    states = (f"{v} {{{', '.join(map(str, range(k)))}}}" for v, k in levels.items())
    return Model.parse("; ".join([*states, graph] if graph else states))


def draw(model, rng, mass):
    """The joint distribution of random conditional tables, levels' shares drawn from Dirichlet(mass)."""
    codes = np.indices([model.card(v) for v in model.variables]).reshape(len(model.variables), -1)
    joint = np.ones(codes.shape[1])
    for v in model.variables:
        cards = [model.card(u) for u in model.parents[v]]
        table = rng.dirichlet(np.full(model.card(v), mass), size=tuple(cards))
        joint *= table[(*(codes[model.variables.index(u)] for u in model.parents[v]), codes[model.variables.index(v)])]
    return codes.T, joint / joint.sum()


def rates(claimed, drawn, n, sets, mass, seed=0):
    """The shares of data sets with an adjusted p below .01 and .05, and with p < .01 and misfit > .01."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(TABLES):
        codes, p = draw(drawn, rng, mass)
        keep = p * n > 1e-9
        counts = rng.multinomial(n, p[keep] / p[keep].sum(), size=sets // TABLES).astype(float)
        codes = codes[keep][:, [drawn.variables.index(v) for v in claimed.variables]]
        tests = examine_claims(claimed, [StudyCounts("s", claimed.variables, (), codes, counts)])
        q = adjust(tests.p_value, tests.tested)
        low = q.min(axis=0)
        found.append(
            [(low < 0.01).mean(), (low < 0.05).mean(), ((q < 0.01) & (tests.misfit > 0.01)).any(axis=0).mean()]
        )
    return np.mean(found, axis=0)


def settings():
    for mass, name in ((10.0, "even"), (0.5, "rare")):
        for k in (2, 3, 6):
            two = declare("", {"A": k, "B": k})
            yield f"two roots of {k} levels, {name}", two, two, mass
        cov = declare("C -> A; C -> B", {"C": 12, "A": 6, "B": 6})
        yield f"6 x 6 given 12 levels, {name}", cov, cov, mass
        eight = declare(EIGHT, LEVELS)
        yield f"8 variables, {name}", eight, eight, mass
    eight = declare(EIGHT, LEVELS)
    for arc in ("A -> E", "C -> F", "D -> H"):
        yield f"8 variables, {arc} missing, Dirichlet(1)", eight, declare(f"{EIGHT}; {arc}", LEVELS), 1.0


def find_a3(sets):
    model = declare("A -> X; B -> X; A -> Y; B -> Y; X -> Y", dict.fromkeys("ABXY", 2))
    codes, p = np.array(list(product((0, 1), repeat=4))), np.array(A3) / sum(A3)
    counts = np.random.default_rng(0).multinomial(1000, p, size=sets).astype(float)
    tests = examine_claims(model, [StudyCounts("s", model.variables, (), codes, counts)])
    return ((adjust(tests.p_value, tests.tested) < 0.01) & (tests.misfit > 0.01)).any(axis=0).mean()


def main():
    sets = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"| setting | n | rejects at .01 | at .05 | p < .01 and misfit > .01 |  ({sets} data sets)", flush=True)
    print("|---|---|---|---|---|")
    for name, claimed, drawn, mass in settings():
        if part in name:
            for n in (1000,) if "missing" in name else (200, 1000, 10_000, 1_000_000):
                a, b, c = rates(claimed, drawn, n, sets, mass)
                print(f"| {name} | {n:,} | {a:.4f} | {b:.4f} | {c:.4f} |", flush=True)
    print(f"| A3 | 1,000 | | | {find_a3(sets):.4f} |")


if __name__ == "__main__":
    main()
