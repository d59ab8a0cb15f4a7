"""Which merged `<->` arcs leave a range wider than the arcs would."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.bound.arcs import forgets
from duckemcc.model.scm import Exogenous

CHAIN = Exogenous("U", ("A", "B", "C", "D"), arcs=(("A", "B"), ("B", "C"), ("C", "D")))


@pytest.mark.parametrize(
    ("read", "lost"),
    [
        ([], False),
        (["A", "B", "C", "D"], False),
        (["AB"], False),
        (["AB", "A", "B"], False),
        (["AB", "CD"], False),
        (["AC"], True),
        (["AB", "BC"], True),
        (["ABC"], True),
    ],
)
def test_independence_is_forgotten_where_responses_of_two_arcs_are_read(read, lost):
    assert forgets(CHAIN, [frozenset(own) for own in read]) == lost


def test_a_triangle_of_arcs_is_not_one_cause():
    triangle = Exogenous("U", ("A", "B", "C"), arcs=(("A", "B"), ("B", "C"), ("A", "C")))
    assert forgets(triangle, [frozenset("ABC")])
    assert not forgets(triangle, [frozenset("AC")])
    assert not forgets(Exogenous("U", ("A", "B", "C")), [frozenset("ABC")])


def records(columns, unmeasured=()):
    rows = [
        dict(zip(columns, cell, strict=True)) | {"n": 20 + 7 * cell[0] + 11 * cell[-1] * cell[-2] + 3 * (sum(cell) % 2)}
        for cell in itertools.product((0, 1), repeat=len(columns))
    ]
    return emcc.Study(pl.DataFrame(rows), weight="n", unmeasured=list(unmeasured), name=columns)


def ask(graph, study, query):
    return emcc.bounds(graph, study, query, level=None).to_pylist()[0]


def is_exact(row):
    return row["exact_lower"] and row["exact_upper"]


NAPKIN = "W -> Z -> X -> Y; W <-> X; W <-> Y"


def test_the_napkin_graph_has_an_interval_that_is_not_exact():
    row = ask(NAPKIN, records("WZXY"), "P(Y[X=1]=1)")
    assert row["status"] == "bounded"
    assert not row["exact_lower"]
    assert not row["exact_upper"]
    assert "W <-> X, W <-> Y" in row["message"]


def test_one_cause_of_all_written_out_is_exact_and_has_the_same_ends():
    arcs = ask(NAPKIN, records("WZXY"), "P(Y[X=1]=1)")
    one = ask("W -> Z -> X -> Y; U: W, X, Y", records("WZXY"), "P(Y[X=1]=1)")
    assert is_exact(one)
    assert one["message"] is None
    assert (one["lower"], one["upper"]) == (arcs["lower"], arcs["upper"])


def test_ends_that_meet_are_exact_and_so_are_queries_that_no_merged_cause_bears_on():
    assert ask(NAPKIN, records("WZXY"), "P(Y=1)")["status"] == "identified"
    assert is_exact(ask(NAPKIN, records("WZXY"), "P(Y=1)"))
    other = ask(f"{NAPKIN}; S -> T; S <-> T", [records("WZXY", ["S", "T"]), records("ST", "WZXY")], "PNS(S=1, T=1)")
    assert is_exact(other)


def test_arcs_of_which_records_and_query_read_one_are_exact():
    graph = "X -> Y; X <-> Y; Y <-> Z; Z {0, 1}"
    assert is_exact(ask(graph, records("XY", "Z"), "PNS(X=1, Y=1)"))
    assert not is_exact(ask(graph, records("XYZ"), "PNS(X=1, Y=1)"))
    assert not is_exact(ask(graph, records("XY", "Z"), "P(Y[X=1]=1, Z=1)"))


def test_an_arc_drawn_twice_is_one():
    assert is_exact(ask("X -> Y; X <-> Y; Y <-> X", records("XY"), "PNS(X=1, Y=1)"))


def test_the_storage_form_keeps_the_arcs():
    model = emcc.Model.parse("X {0, 1}; Y {0, 1}; Z {0, 1}; X <-> Y; Y <-> Z")
    assert emcc.Model.from_dict(model.to_dict()) == model
    (cause,) = (u for u in model.exogenous if u.arcs)
    assert cause.arcs == (("X", "Y"), ("Y", "Z"))


@pytest.mark.parametrize("arcs", ["XY", [["X"]], [["X", "X"]], [["X", "Q"]], [["X", "Y", "Z"]], [1]])
def test_arcs_that_join_no_two_children_are_refused(arcs):
    spec = emcc.Model.parse("X <-> Y; Y <-> Z").to_dict()
    (name,) = (u for u, body in spec["exogenous"].items() if "arcs" in body)
    spec["exogenous"][name]["arcs"] = arcs
    with pytest.raises(emcc.errors.GraphError, match="arcs of"):
        emcc.Model.from_dict(spec)
