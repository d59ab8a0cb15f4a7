"""`by=`: a segment is answered as if it were alone, to the last digit, and none fails the call."""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import duckemcc as emcc
from duckemcc import errors
from duckemcc.answer import plan as work

BY = ("week", "region")
DRUG = emcc.Model.parse("G -> T -> S; G -> S; T <-> S; G {0, 1}; T {0, 1}; S {0, 1}")
IV = emcc.Model.parse("Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}")
TWO_CAUSES = emcc.Model.from_dict(
    {
        "endogenous": {"X": {"states": [0, 1]}, "M": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": 8}},
        "equations": {
            "X": {"table": [0, 0, 1, 1]},
            "M": {"table": [[(i + j) % 2 for j in range(8)] for i in range(4)]},
            "Y": {"table": [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 1], [1, 1]]},
        },
    }
)
PROBLEMS = {
    "drug": (DRUG, "T", ["PNS(T=1, S=1)", "PNS(T=1, S=1 | G=1)"]),
    "iv": (IV, "X", ["ACE(X=1, Y=1)", "P(Y[X=1]=1 | X=0)"]),
    "causes": (TWO_CAUSES, "X", ["P(Y[X=1]=1, M=1)"]),
}
RECORDS = {"many": (2000, 0.5), "few": (12, 0.5), "one": (1, 0.5), "none": (0, 0.5), "skewed": (300, 0.1)}


def draw(rng, model, segments, *, lost=0.0, fractions=False):
    """Records of some of the segments: many, few, one, none, or none but of weight zero."""
    rows = []
    for s in range(segments):
        kind = rng.choice([*RECORDS, "absent"])
        if kind == "absent":
            continue
        size, sparsity = RECORDS[kind]
        counts = rng.multinomial(size, rng.dirichlet(np.full(8, sparsity))) * (0.1 if fractions else 1)
        for codes, n in zip(itertools.product((0, 1), repeat=3), counts, strict=True):
            if n or kind == "none":
                values = [None if rng.random() < lost else c for c in codes]
                rows.append((None if s == 2 else s // 2, "ab"[s % 2], *values, float(n)))
    kinds = {"week": pl.Int64, "region": pl.String} | dict.fromkeys(model.variables, pl.Int64) | {"n": pl.Float64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def studies(model, do, registry, trial, *, shared=False):
    """Those that have records."""
    given_to = [(registry, "registry", {}), (trial, "trial", {"do": do, "shared": shared})]
    return [
        emcc.Study(frame.drop(BY) if more.get("shared") else frame, weight="n", name=name, **more)
        for frame, name, more in given_to
        if frame["n"].sum() > 0
    ]


def by_segment(table):
    rows = {}
    for row in table.to_pylist():
        rows.setdefault(tuple(row.pop(b) for b in BY), []).append(row)
    return rows


def in_segment(frame, segment):
    return frame.filter(pl.all_horizontal(pl.col(b).eq_missing(pl.lit(v)) for b, v in zip(BY, segment, strict=True)))


def problem(seed, name, segments=5):
    rng = np.random.default_rng(seed)
    model, do, queries = PROBLEMS[name]
    lost = 0.06 if seed % 3 == 0 else 0.0
    registry = draw(rng, model, segments, lost=lost, fractions=seed % 5 == 0)
    trial = draw(rng, model, segments)
    shared = seed % 4 == 0 and trial["n"].sum() > 0 and registry["n"].sum() > 0
    return model, do, queries, registry, trial, shared


def check_that_segments_are_alone(ask, seed, name):
    """Whatever the batch, the order of rows, and the other segments."""
    model, do, queries, registry, trial, shared = problem(seed, name)
    if registry["n"].sum() + trial["n"].sum() == 0:
        return
    whole = by_segment(ask(model, studies(model, do, registry, trial, shared=shared), queries))
    with pytest.MonkeyPatch.context() as patch:
        for batch, memory in ((1, 2**24), (2, 2**24), (128, 1000)):
            patch.setattr(work, "BATCH", batch)
            patch.setattr(work, "LARGEST_BATCH", memory)
            mixed = [f.sample(fraction=1, shuffle=True, seed=seed + batch) for f in (registry, trial)]
            assert by_segment(ask(model, studies(model, do, *mixed, shared=shared), queries)) == whole
    for segment, rows in whole.items():
        own = in_segment(registry, segment), trial if shared else in_segment(trial, segment)
        if sum(f["n"].sum() for f in own) == 0:
            assert all(row.get("status", "no_data") == "no_data" and row["n"] == 0 for row in rows)
            continue
        if shared and own[0]["n"].sum() == 0:
            continue  # the shared study bounds it: alone it would say nothing of segments
        assert by_segment(ask(model, studies(model, do, *own, shared=shared), queries)) == {segment: rows}


@settings(max_examples=4)
@given(st.integers(0, 10_000), st.sampled_from(["drug", "iv"]), st.sampled_from(["emcc", "sharp"]))
def test_a_segment_does_not_depend_on_its_neighbours_on_the_batch_or_on_the_order_of_rows(seed, name, method):
    def ask(model, given_studies, queries):
        report = ("null", "report")[seed % 2]
        return emcc.bounds(model, given_studies, queries, by=BY, method=method, restarts=2, incompatible=report)

    check_that_segments_are_alone(ask, seed, name)


@settings(max_examples=2)
@given(st.integers(0, 10_000))
def test_nor_where_several_causes_share_a_component(seed):
    def ask(model, given_studies, queries):
        return emcc.bounds(
            model, given_studies, queries, by=BY, method="emcc", restarts=2, max_steps=50, incompatible="report"
        )

    check_that_segments_are_alone(ask, seed, "causes")


@settings(max_examples=2)
@given(st.integers(0, 10_000), st.sampled_from(["drug", "iv"]))
def test_nor_does_the_verdict_on_each_of_its_arms(seed, name):
    check_that_segments_are_alone(lambda m, s, _: emcc.compatibility(m, s, by=BY), seed, name)


def test_learned_chances_too_are_those_of_the_segment_alone():
    """Before anything is rounded."""
    from duckemcc.answer.api import count_studies
    from duckemcc.answer.options import Clock, read_options

    model, do, _, registry, trial, _ = problem(1, "drug", segments=9)
    options = read_options({"method": "emcc", "restarts": 4})

    def learn(*frames):
        tables = count_studies(model, studies(model, do, *frames), options, BY)
        plan = work.prepare(model, tables, BY, options)
        names = plan.encoded.segments.rows()
        return {
            names[s]: {u: c[i] for u, c in batch.learned.chances.items()}
            for batch in plan.batches(Clock(None))
            for i, s in enumerate(batch.segments)
        }

    whole = learn(registry, trial)
    assert len(whole) > 4
    for segment, chances in whole.items():
        (alone,) = learn(in_segment(registry, segment), in_segment(trial, segment)).values()
        for name, found in chances.items():
            np.testing.assert_array_equal(found, alone[name])


# -- what can be wrong with a segment --------------------------------------------------------------

FINE = {(0, 0): 40, (0, 1): 60, (1, 0): 30, (1, 1): 70}
OTHER = {(0, 0): 100, (1, 1): 100}  # Y = X: no arm of such a trial agrees with half of them in the registry
ODD = {
    "fine": (FINE, FINE),
    "contradicting": (OTHER, {(0, 1): 100, (1, 0): 100}),
    "never treated": ({(0, 0): 40, (0, 1): 60}, FINE),
    "one record": ({(0, 1): 1}, {(1, 1): 1}),
    "only a registry": (FINE, {}),
    "only a trial": ({}, FINE),
    "huge": ({k: n * 1e9 for k, n in FINE.items()}, {k: n * 1e9 for k, n in FINE.items()}),
    "faint": ({k: n * 1e-9 for k, n in FINE.items()}, FINE),
    "weightless": (dict.fromkeys(FINE, 0), dict.fromkeys(FINE, 0)),
    None: (FINE, FINE),
}


def odd_studies(**options):
    def frame(place):
        rows = [(name, *xy, float(n)) for name, both in ODD.items() for xy, n in both[place].items()]
        return pl.DataFrame(rows, schema=["g", "X", "Y", "n"], orient="row")

    return [
        emcc.Study(frame(0), weight="n", name="registry", **options),
        emcc.Study(frame(1), weight="n", do="X", name="trial"),
    ]


@pytest.mark.parametrize("method", ["emcc", "sharp"])
def test_every_segment_has_its_own_status_and_none_fails_the_call(method):
    model = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
    query = "P(Y[X=0]=1 | X=1)"
    table = emcc.bounds(model, odd_studies(), query, by="g", method=method, restarts=5)
    status = dict(zip(table["g"].to_pylist(), table["status"].to_pylist(), strict=True))
    answered = {"bounded", "identified"}
    assert status["fine"] in answered
    assert status["huge"] == status[None] == status["fine"]
    assert status["faint"] == "bounded"  # so rare a study proves nothing
    assert status["contradicting"] == "incompatible"
    assert status["never treated"] == "undefined"
    assert {status[g] for g in ("one record", "only a registry", "only a trial")} <= answered | {"undefined"}
    assert status["weightless"] == "no_data"  # it is there, but a record of weight zero is none
    for row in table.to_pylist():
        values = [v for v in row.values() if isinstance(v, float)]
        assert np.isfinite(values).all()
        assert (row["lower"] is None) == (row["status"] in ("incompatible", "undefined", "no_data"))


def test_a_segment_that_is_too_large_says_so_and_the_others_are_answered(monkeypatch):
    """What values are missing decides how large the likelihood becomes, so it may be one segment's alone."""
    compiled = work.compile_likelihood

    def refuse(model, arms, *how):
        if any((arm.codes < 0).any() for arm in arms):
            raise errors.TooLarge("16 patterns over 10 ** 9 states; declare fewer")
        return compiled(model, arms, *how)

    monkeypatch.setattr(work, "compile_likelihood", refuse)
    rows = [("a", 0, 1), ("a", 1, 0), ("b", None, 1), ("b", 1, 0), ("c", 0, 0), ("c", 1, 1)]
    frame = pl.DataFrame(rows, schema=["g", "X", "Y"], orient="row")
    model = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"
    found = emcc.bounds(model, emcc.Study(frame), ["P(Y[X=1]=1)", "P(Y=1)"], by="g").to_pylist()
    assert [row["status"] for row in found if row["g"] == "b"] == ["too_large"] * 2
    assert all(row["status"] in ("bounded", "identified") for row in found if row["g"] != "b")
    large = next(row for row in found if row["g"] == "b")
    assert (large["message"], large["n"]) == ("16 patterns over 10 ** 9 states; declare fewer", 2.0)
    with pytest.raises(errors.TooLarge, match="declare fewer"):
        emcc.bounds(model, emcc.Study(frame.drop("g")), "P(Y=1)")
    found = emcc.bounds(model, emcc.Study(frame), "P(Y=1)", by="g", method="emcc", restarts=10**9)
    assert set(found["status"].to_pylist()) == {"too_large"}


def test_a_thousand_segments_are_a_thousand_rows_in_order():
    rng = np.random.default_rng(0)
    cells = list(itertools.product((0, 1), (0, 1)))
    rows = [(s, *xy, int(n)) for s in range(1000) for xy, n in zip(cells, rng.integers(1, 50, 4), strict=True)]
    frame = pl.DataFrame(rows, schema=["s", "X", "Y", "n"], orient="row")
    table = emcc.bounds(
        "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}",
        emcc.Study(frame, weight="n"),
        "PNS(X=1, Y=1)",
        by="s",
        restarts=2,
        method="emcc",
    )
    assert table["s"].to_pylist() == list(range(1000))
    assert set(table["status"].to_pylist()) == {"bounded"}


@pytest.mark.parametrize("method", ["sharp", "emcc"])
def test_a_segment_whose_records_all_weigh_nothing_has_no_data_and_says_so(method):
    frame = pl.DataFrame({"seg": ["a", "a", "b", "b"], "X": [0, 1, 0, 1], "Y": [0, 1, 1, 1], "n": [3, 4, 0, 0]})
    study = emcc.Study(frame, weight="n")
    rows = emcc.bounds("X -> Y; X <-> Y", study, ["P(Y=1)", "PNS(X=1, Y=1)"], by="seg", method=method).to_pylist()
    assert [(r["seg"], r["status"]) for r in rows[2:]] == [("b", "no_data")] * 2
    assert rows[2]["lower"] is None
    assert (rows[2]["n"], rows[2]["patterns"]) == (0, 0)
    assert "no record of the segment counts" in rows[2]["message"]
    alone = emcc.bounds("X -> Y; X <-> Y", study, ["P(Y=1)", "PNS(X=1, Y=1)"], method=method).to_pylist()
    assert [r["lower"] for r in rows[:2]] == [r["lower"] for r in alone]
    report = emcc.compatibility("X -> Y; X <-> Y", study, by="seg").to_pylist()
    assert [(r["seg"], r["compatible"]) for r in report if r["study"] is None] == [("a", True), ("b", None)]


def test_a_segment_of_incomplete_records_alone_has_no_data_where_these_are_dropped():
    frame = pl.DataFrame({"seg": [1, 1, 2, None], "X": [0, 1, None, 1], "Y": [0, 1, 1, 0]})
    rows = emcc.bounds("X -> Y; X <-> Y", frame, "P(Y=1)", by="seg", nulls="drop").to_pylist()
    assert [(r["seg"], r["status"] == "no_data") for r in rows] == [(None, False), (1, False), (2, True)]


def test_sql_and_python_agree_on_a_segment_without_records():
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE t AS FROM (VALUES ('a', 0, 1, 2), ('a', 1, 1, 3), ('b', 0, 0, 0)) AS t(seg, X, Y, n)")
    found = con.sql("FROM emcc_bounds_by('X -> Y; X <-> Y', 'P(Y=1)', 't', 'seg', weight := 'n')").to_arrow_table()
    local = emcc.bounds("X -> Y; X <-> Y", emcc.Studies(con.table("t"), weight="n"), "P(Y=1)", by="seg")
    assert found.to_pylist() == local.to_pylist()
    assert found["status"].to_pylist()[1] == "no_data"


KINDS = {  # three values, of which the order by text is not always that by value
    "ENUM": "['mid', 'low', 'high']::ENUM('low', 'mid', 'high')[]",
    "TEXT": "['b', 'B', 'é']",
    "HUGEINT": "[10, 2, -3]::HUGEINT[]",
    "UHUGEINT": "[10, 2, 3]::UHUGEINT[]",
    "DECIMAL": "[10.5, 2, -3]::DECIMAL(5, 2)[]",
    "DOUBLE": "['nan', '1.5', '-inf']::DOUBLE[]",
    "UUID": "[repeat('8', 32), repeat('0', 31) || '1', repeat('f', 32)]::UUID[]",
    "DATE": "['2020-01-02', '1999-01-01', '2021-01-01']::DATE[]",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_segments_is_the_same_in_sql_and_in_python(kind):
    con = duckdb.connect()
    emcc.register(con)
    con.execute(
        f"CREATE TABLE t AS SELECT ({KINDS[kind]})[1 + i % 4] AS g, i // 4 % 2 AS X, i // 8 AS Y FROM range(16) r(i)"
    )
    emcc.save_model(con, "m", "X -> Y; Y {0, 1}")
    emcc.save_study(con, "m", emcc.Study("t", name="t"))
    asked = [
        f"FROM emcc_bounds_by('{m}', 'P(Y=1)', {t}, 'g')" for m, t in (("X -> Y; Y {0, 1}", "'t'"), ("m", "['t']"))
    ]
    sources = [con.table("t"), con.table("t").to_arrow_table(), con.table("t").pl()]
    found = [con.sql(text).to_arrow_table() for text in asked]
    found += [emcc.bounds("X -> Y; Y {0, 1}", source, "P(Y=1)", by="g") for source in sources]
    orders = [[str(value) for value in table["g"].to_pylist()] for table in found]
    assert orders[0][0] == "None"
    assert len(orders[0]) == 4
    assert orders == [orders[0]] * len(orders)
    if kind == "ENUM":
        assert orders[0] == ["None", "high", "low", "mid"]
