"""A name is a name: what an engine would take for a pattern names its own column, in every entry and engine."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc.errors import MissingColumn, UnknownState

PLAIN = ("X", "Y", "w", "s")
ODD = [("*", "^Y$", "^w$", "^.*$"), ("^.*$", "*", "X", "^s$"), ("^Y$", "Y", "*", "w"), ("X", "^X$", "x.*", "*")]
ROWS = [(x, y, float(1 + x + 2 * y + s), s) for x in (0, 1) for y in (0, 1) for s in (0, 1)]
ENDS = ["lower", "upper", "status", "n"]


def frame(names):
    return pl.DataFrame(ROWS, schema=list(names), orient="row")


def quoted(name):
    return '"' + name + '"'


def sources(names):
    made = frame(names)
    con = duckdb.connect()
    con.register("records", made.to_arrow())
    return {
        "polars": emcc_source(made),
        "lazy": emcc_source(made.lazy()),
        "arrow": emcc_source(made.to_arrow()),
        "duckdb": {"source": con.table("records"), "con": con},
    }


def emcc_source(source):
    return {"source": source}


def ask(names, source, do=()):
    """The bounds by segment, without names."""
    x, y, w, s = names
    given = source.pop("con", None)  # kept alive until the call is over
    study = emcc.Study(**source, weight=w, where=f"{quoted(s)} >= 0 AND {quoted(y)} < 2", do=[x] if do else ())
    graph = f"{quoted(x)} -> {quoted(y)}; {quoted(x)} <-> {quoted(y)}"
    table = emcc.bounds(graph, study, f"P({quoted(y)}[{quoted(x)}=1]=1)", by=[s])
    assert table.column_names[0] == s
    assert given is None or given.execute("SELECT 1").fetchone() == (1,)
    return table[s].to_pylist(), table.select(ENDS).to_pylist()


@cache
def ask_plain(kind, do):
    return ask(PLAIN, sources(PLAIN)[kind], do)


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "duckdb"])
@pytest.mark.parametrize("names", ODD, ids=" ".join)
def test_names_that_look_like_patterns_give_the_answers_of_plain_ones(names, kind):
    for do in ((), ("x",)):
        assert ask(names, sources(names)[kind], do) == ask_plain(kind, do)


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "duckdb"])
@pytest.mark.parametrize("pattern", ["^w$", "*", "^.*$", "^.$"])
def test_a_pattern_is_no_name_of_the_columns_that_it_would_match(pattern, kind):
    given = [
        {"weight": pattern},
        {"columns": {"X": pattern}},
        {"where": f"{quoted(pattern)} > 0"},
    ]
    for options in given:
        source = sources(PLAIN)[kind]
        source.pop("con", None) if kind != "duckdb" else KEPT.append(source.pop("con"))
        with pytest.raises(MissingColumn):
            emcc.bounds("X -> Y", emcc.Study(**source, **options), "P(Y=1)")
    with pytest.raises(MissingColumn):
        emcc.bounds("X -> Y", emcc.Study(frame(PLAIN)), "P(Y=1)", by=[pattern])


KEPT: list[duckdb.DuckDBPyConnection] = []


def test_a_mapped_column_may_look_like_a_pattern():
    odd = emcc.Study(frame(("*", "^Y$", "X", "Y")), weight="X", columns={"X": "*", "Y": "^Y$"})
    plain = emcc.Study(frame(PLAIN), weight="w")
    found, same = (emcc.bounds("X -> Y", s, "P(Y[X=1]=1)").select(ENDS).to_pylist() for s in (odd, plain))
    assert found == same


@pytest.mark.parametrize("names", ODD, ids=" ".join)
def test_segments_unmeasured_variables_and_shared_studies_keep_their_names(names):
    def answers(names):
        x, y, w, s = names
        graph = f"{quoted(x)} -> {quoted(y)}; {quoted(x)} {{0, 1}}; {quoted(y)} {{0, 1}}"
        whole = emcc.Study(frame(names), weight=w, name="whole")
        part = emcc.Study(
            pl.DataFrame([frame(names)[c] for c in names if c != y]), weight=w, unmeasured=[y], name="part", shared=True
        )
        told = emcc.compatibility(graph, [whole, part], by=[s])
        table = emcc.bounds(graph, [whole, part], f"P({quoted(y)}[{quoted(x)}=1]=1)", by=[s])
        return told["compatible"].to_pylist(), table.select(ENDS).to_pylist(), table.column(0).to_pylist()

    assert answers(names) == answers(PLAIN)


def test_an_undeclared_state_is_told_of_a_variable_that_looks_like_a_pattern():
    for name in ("*", "^Y$", "^.*$"):
        with pytest.raises(UnknownState, match="'1'"):
            emcc.bounds(
                f"X -> {quoted(name)}; {quoted(name)} {{0, 2}}", emcc.Study(frame(("X", name, "w", "s"))), "P(X=1)"
            )


@pytest.mark.parametrize("names", ODD, ids=" ".join)
def test_a_rule_of_selection_names_its_variables(names):
    def answers(names):
        x, y, w, _ = names
        kept = [(a, b, c) for a, b, c, _ in ROWS if a == 1 or b == 0]
        records = pl.DataFrame([*kept, (None, None, 4.0)], schema=[x, y, w], orient="row")
        study = emcc.Study(records, weight=w, selected=f"{quoted(x)} = 1 OR {quoted(y)} = 0")
        graph = f"{quoted(x)} -> {quoted(y)}; {quoted(x)} {{0, 1}}; {quoted(y)} {{0, 1}}"
        return emcc.bounds(graph, study, f"P({quoted(y)}=1)").select(ENDS).to_pylist()

    assert answers(names) == answers(PLAIN)


@pytest.mark.parametrize("names", ODD, ids=" ".join)
def test_the_functions_of_sql_take_such_names(names):
    def answers(names):
        x, y, w, s = map(quoted, names)
        con = duckdb.connect()
        emcc.register(con)
        con.register("given", pa.table(frame(names)))
        con.execute("CREATE TABLE records AS FROM given")
        graph, query = f"{x} -> {y}; {x} {{0, 1}}; {y} {{0, 1}}", f"P({y}[{x}=1]=1)"
        ends = "b.lower, b.upper, b.status"
        calls = [
            f"SELECT {ends} FROM emcc_bounds('{graph}', '{query}', 'records', weight := '{names[2]}') b",
            f"SELECT {s}, {ends} FROM emcc_bounds_by('{graph}', '{query}', 'records', '{names[3]}', "
            f"weight := '{names[2]}') b ORDER BY 1",
            f"SELECT {s}, {ends} FROM (SELECT {s}, emcc('{graph}', '{query}', struct_pack({x} := {x}, {y} := {y}), "
            f"weight := {w}) AS b FROM records GROUP BY ALL) ORDER BY 1",
        ]
        return [con.execute(call).fetchall() for call in calls]

    found = answers(names)
    assert found == answers(PLAIN)
    assert all(a is not None for row in found for a, _ in pairwise(row[0]))
