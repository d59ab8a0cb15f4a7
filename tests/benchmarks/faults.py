"""What the wrong numbers of 0.1.0 (its faults A1 to A11) are now.

    python tests/benchmarks/faults.py [NAME …]

Each entry runs one small input whose right value is known by hand, from a closed form or an independent linear program,
and prints what comes back. `FAULTS.md` beside this file holds the values before and after; the tests that it names hold
them.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import duckdb
import polars as pl

import duckemcc as emcc

ACE = "ACE(X=1, Y=1)"
SHOWN = (
    *("status", "lower", "upper", "exact_lower", "exact_upper", "outer_lower", "outer_upper"),
    *("lower_ci", "upper_ci", "misfit", "p_value", "fault"),
)


def frame(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=[*names, "n"], orient="row")


def tell(row: dict[str, Any]) -> str:
    found = {name: row[name] for name in SHOWN if row.get(name) is not None}
    return ", ".join(f"{k} {round(v, 6) if isinstance(v, float) else v}" for k, v in found.items())


def ask(graph: str, source: Any, queries: Any, **options: Any) -> str:
    try:
        return " | ".join(map(tell, emcc.bounds(graph, source, queries, **options).to_pylist()))
    except emcc.errors.DuckEmccError as error:
        return f"{type(error).__name__}: {str(error)[:160]}"


def weigh(data: pl.DataFrame, **more: Any) -> emcc.Study:
    return emcc.Study(data, weight="n", **more)


def nulls_all_of_an_outcome() -> str:
    data = frame(("R", "Y"), [(1, 0, 300), (1, 1, 200), (0, None, 500)])
    return ask("Y -> R; Y {0,1}", weigh(data), "P(Y=1)")


def nulls_nonresponse() -> str:
    rows = [(0, 1, 0, 371), (0, 1, 1, 129), (1, 1, 0, 125), (1, 1, 1, 376), (0, 0, None, 500), (1, 0, None, 500)]
    return ask("X -> Y -> R; X -> R; Y {0,1}", weigh(frame(("X", "R", "Y"), rows)), ACE)


def nulls_selected() -> str:
    kept = [(0, 0, 1, 180), (0, 1, 1, 420), (1, 0, 0, 420), (1, 1, 0, 980)]
    study = weigh(frame("TSG", [*kept, (None, None, None, 2000)]), selected="T <> G")
    return ask("G -> T -> S; G -> S; T <-> S", study, ["P(G=1)", "PNS(T=1, S=1)", "P(S[T=1]=1, S[T=0]=0 | G=1)"])


def nulls_recording() -> str:
    rows = [(1, 0, 100), (1, 1, 150), (1, 2, 200), (1, 3, 250), (0, None, 400)]
    return ask(
        "Y -> D; Y {0,1,2,3}", weigh(frame(("D", "Y"), rows)), "0.333333333333 P(Y=1) + 0.666666666667 P(Y=2) + P(Y=3)"
    )


def nulls_latent_class() -> str:
    rows = [(a, b, 4 if a == b else 2) for a in range(4) for b in range(4)]
    study = weigh(frame("AB", rows))
    found = [ask("H -> A; H -> B; H {0,1}; unmeasured H", study, "P(A=0, B=1)", seed=seed) for seed in (0, 1)]
    return " || ".join(found)


def one_null() -> str:
    cells = itertools.product(range(3), range(2), range(2))
    rows: list[tuple[Any, ...]] = [
        (z, x, y, 1) for z, x, y in cells for _ in range(30 + 7 * z + 11 * x + 5 * y + 3 * ((z * x + y) % 3))
    ]
    found = []
    for k in range(2):
        began = time.process_time()
        said = ask("Z -> X -> Y; Z -> Y; X <-> Y", weigh(frame("ZXY", rows)), ACE, confidence=0.95)
        found.append(f"{('complete', 'one NULL')[k]}: {said}, {time.process_time() - began:.2f} s of CPU")
        rows[0] = (None, *rows[0][1:])
    return " || ".join(found)


def independences() -> str:
    n = [202, 22, 202, 22, 22, 2, 2, 22, 22, 2, 2, 22, 202, 22, 202, 22]
    data = frame("ABXY", [(*cell, k) for cell, k in zip(itertools.product((0, 1), repeat=4), n, strict=True)])
    arms = "A -> X; B -> X; A -> Y; B -> Y; X -> Y"
    found = [ask(graph, weigh(data), [ACE, "P(Y=1)"]) for graph in (arms, f"A -> B; {arms}")]
    return " || ".join(found)


def by_noise() -> str:
    rows = [
        (1, 0, 0, 4), (1, 1, 0, 9), (1, 1, 1, 25), (2, 0, 0, 5), (2, 0, 1, 6), (2, 1, 0, 12), (2, 1, 1, 12),
        (3, 0, 0, 14), (3, 0, 1, 5), (3, 1, 0, 5), (3, 1, 1, 12), (4, 0, 0, 36), (4, 0, 1, 5), (4, 1, 0, 1),
    ]  # fmt: skip
    return ask("Z -> X -> Y; X <-> Y", weigh(frame("ZXY", rows)), ACE)


def nothing_tested() -> str:
    data = frame("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)])
    rows = emcc.compatibility("X -> Y; X <-> Y", weigh(data)).to_pylist()
    names = ("kind", "study", "compatible", "df", "p_value", "misfit", "message")
    return " | ".join(", ".join(f"{k} {row[k]}" for k in names if row.get(k) is not None) for row in rows)


def napkin() -> str:
    rows = [
        (w, z, x, y, 20 + 7 * w + 5 * z * x + 11 * x * y + 3 * (w ^ y))
        for w, z, x, y in itertools.product((0, 1), repeat=4)
    ]
    study = weigh(frame("WZXY", rows))
    arcs = ask("W -> Z -> X -> Y; W <-> X; W <-> Y", study, "P(Y[X=1]=1)", level=None)
    one = ask("W -> Z -> X -> Y; U: W, X, Y", study, "P(Y[X=1]=1)", level=None)
    return f"arcs: {arcs} || one cause: {one}"


def plain_em() -> str:
    registry = frame("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)])
    trial = frame("XY", [(0, 0, 70), (0, 1, 30), (1, 0, 22), (1, 1, 28)])
    studies = [weigh(registry, name="r"), weigh(trial, do="X", name="t")]
    graph, query = "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y", "P(Y[X=1]=1)"
    found = []
    for fast, steps in ((True, 5000), (False, 100_000)):
        table = emcc.bounds(graph, studies, query, method="emcc", accelerate=fast, max_steps=steps)
        row = table.to_pylist()[0]
        found.append(f"accelerate {fast}: [{row['lower']:.9f}, {row['upper']:.9f}]")
    return ", ".join(found)


def tiny_strata() -> str:
    px = {"a": 0.3, "b": 0.6}
    found = []
    for eps in (1e-9, 1e-11, 1e-12):
        pg = {"a": 1 - eps, "b": eps}
        py = {("a", "a"): 0.2, ("a", "b"): 0.7, ("b", "a"): 0.5, ("b", "b"): 0.9}
        joint = {
            (g, x, y): 1000 * pg[g] * (px[g] if x == "a" else 1 - px[g]) * (py[g, x] if y == "a" else 1 - py[g, x])
            for g, x, y in itertools.product("ab", repeat=3)
        }
        arm = {(g, x, "a"): 1000 * pg[g] * (px[g] if x == "a" else 1 - px[g]) for g in "ab" for x in "ab"}
        studies = [
            weigh(frame("GXY", [(*k, n) for k, n in joint.items()]), name="obs"),
            weigh(frame("GXY", [(*k, n) for k, n in arm.items()]), do="Y", name="doY"),
        ]
        graph = "G {a, b}; X {a, b}; Y {a, b}; G -> X -> Y; G -> Y; X <-> Y"
        row = emcc.bounds(graph, studies, "P(X[G=b]=b, G=a, Y[G=a]=b)", level=None).to_pylist()[0]
        found.append(f"{eps:g}: upper {row['upper']:.9f} for {0.4 * (1 - eps):.9f}, message {row['message']}")
    return " | ".join(found)


def names_as_patterns() -> str:
    data = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "w": [1, 2, 3, 4]})
    found = [f'weight="^w$": {ask("X -> Y", emcc.Study(data, weight="^w$"), "P(Y=1)")}']
    for name in ("*", "^Y$"):
        model = emcc.Model.from_dict(
            {
                "endogenous": {"X": {"states": [0, 1], "parents": []}, name: {"states": [0, 1], "parents": ["X"]}},
                "exogenous": {"U": {"children": ["X"]}, "V": {"children": [name]}},
            }
        )
        for kind, source in (("polars", data.rename({"Y": name})), ("Arrow", data.rename({"Y": name}).to_arrow())):
            try:
                counts = emcc.bounds(model, emcc.Study(source, weight="w"), f'P("{name}"=1)').to_pylist()
                found.append(f"{name} in {kind}: {tell(counts[0])}")
            except Exception as error:  # a raw one is what is looked for
                found.append(f"{name} in {kind}: {type(error).__module__}.{type(error).__name__} {str(error)[:80]}")
    return " | ".join(found)


def where_that_is_no_boolean() -> str:
    data = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1]})
    connection = duckdb.connect()
    connection.register("data", data.to_arrow())
    found = []
    for where in ("X", "1", "'true'", "X AND Y"):
        for kind, source, more in (("polars", data, {}), ("DuckDB", "data", {"con": connection})):
            said = ask("X -> Y", emcc.Study(source, where=where, **more), "P(Y=1)")
            found.append(f"{where!r} in {kind}: {said[:90]}")
    return " | ".join(found)


def local_without_population() -> str:
    data = frame("XY", [(0, 0, 30), (0, 1, 20), (1, 0, 10), (1, 1, 40)])
    other = frame("XY", [(0, 0, 10), (0, 1, 40), (1, 0, 25), (1, 1, 25)])
    studies = [weigh(data, name="here"), weigh(other, name="there", local=["U_Y"])]
    row = emcc.bounds("X -> Y", studies, "P(Y=1)", level=None).to_pylist()[0]
    return f"{tell(row)}, message {row['message']}"


ENTRIES: dict[str, Callable[[], str]] = {
    "A1": nulls_all_of_an_outcome,
    "A1 nonresponse": nulls_nonresponse,
    "A1 selected": nulls_selected,
    "A1 recording": nulls_recording,
    "A1 latent class": nulls_latent_class,
    "A2": one_null,
    "A3": independences,
    "A4": by_noise,
    "A5": nothing_tested,
    "napkin": napkin,
    "A7": plain_em,
    "A8": tiny_strata,
    "A9": names_as_patterns,
    "A10": where_that_is_no_boolean,
    "A11": local_without_population,
}


def main() -> None:
    for name in sys.argv[1:] or ENTRIES:
        print(f"{name}: {ENTRIES[name]()}\n", flush=True)


if __name__ == "__main__":
    main()
