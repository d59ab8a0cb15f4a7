"""NULLs and unmeasured variables, from every entry: what was not recorded is summed out, the same way everywhere."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors

GRAPH = "X -> Y; X <-> Y"
CHAIN = "X -> M -> Y; X <-> Y"
PNS = "PNS(X=1 vs 0, Y=1)"
EXACT = {"level": None, "method": "emcc"}
ANSWERED = ("bounded", "identified")
methods = pytest.mark.parametrize("method", ["emcc", "sharp"])
CELLS = {(0, 0): 300, (0, 1): 200, (1, 0): 100, (1, 1): 400}
CONSISTENT = {(0, None): 250, (1, None): 250, (None, 1): 60, (None, 0): 40}
CONFLICTING = {(1, None): 900, (0, None): 100}


def frame(cells, names=("X", "Y")):
    rows = [dict(zip(names, key, strict=True)) | {"n": n} for key, n in cells.items()]
    return pl.DataFrame(rows, infer_schema_length=None)


TRIAL = frame({(0, 0): 650, (0, 1): 350, (1, 0): 400, (1, 1): 600})


def obs(cells, **more):
    return emcc.Study(cells if isinstance(cells, pl.DataFrame) else frame(cells), weight="n", name="obs", **more)


def rct():
    return emcc.Study(TRIAL, weight="n", do="X", name="trial")


def one(model, studies, queries=PNS, **options):
    (row,) = emcc.bounds(model, studies, queries, **EXACT | options).to_pylist()
    return row


def ends(row):
    return pytest.approx((row["lower"], row["upper"]), abs=1e-6)


# -- what a NULL is ----------------------------------------------------------------------------


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop"])
def test_nulls_that_agree_with_the_complete_records_change_nothing(nulls):
    row = one(GRAPH, [obs(CELLS | CONSISTENT), rct()], nulls=nulls)
    assert row["status"] in ANSWERED
    assert (row["lower"], row["upper"]) == pytest.approx((0.25, 0.55), abs=1e-3)
    assert row["n"] == (3000 if nulls == "drop" else 3600)


def test_nulls_that_disagree_contradict_only_where_they_are_taken_as_a_sample_of_their_own():
    data = obs(CELLS | CONFLICTING)
    assert one(GRAPH, data, nulls="mcar")["status"] == "incompatible"
    row = one(GRAPH, data, "P(X=1)")
    assert row["status"] in ANSWERED
    assert row["lower"] == pytest.approx(1400 / 2000, abs=1e-6)
    # missing at random: Y by X is that of the complete records
    assert one(GRAPH, data, "P(Y=1)")["lower"] == pytest.approx(0.7 * 0.8 + 0.3 * 0.4, abs=1e-6)
    assert one(GRAPH, data, "P(Y=1)", nulls="drop")["lower"] == pytest.approx(0.6, abs=1e-6)


@methods
def test_a_pattern_of_nulls_counts_like_a_study_that_does_not_measure_them(method):
    apart = [
        obs(CELLS),
        emcc.Study(frame({(0,): 250, (1,): 250}, "X"), weight="n", name="x", unmeasured="Y"),
        emcc.Study(frame({(1,): 60, (0,): 40}, "Y"), weight="n", name="y", unmeasured="X"),
    ]
    together = one(GRAPH, [obs(CELLS | CONSISTENT), rct()], method=method)
    assert (together["lower"], together["upper"]) == ends(one(GRAPH, [*apart, rct()], method=method))


def test_a_record_without_any_value_says_nothing():
    row = one(GRAPH, [obs(CELLS | {(None, None): 77}), rct()])
    assert (row["lower"], row["upper"]) == ends(one(GRAPH, [obs(CELLS), rct()]))


def test_nulls_can_be_refused():
    with pytest.raises(errors.NullValue, match=r"study 'obs' has NULL in X in 2 records; nulls='mar' takes them"):
        one(GRAPH, obs(CELLS | CONSISTENT), nulls="error")
    with pytest.raises(errors.NullValue, match="has NULL in X in 2 records, which is set by design"):
        one(GRAPH, obs(CELLS | CONSISTENT, do="X"))


# -- unmeasured variables ----------------------------------------------------------------------

LATENT = {(x, y): n for (x, y), n in CELLS.items()}
DECLARED = f"{CHAIN}; M {{0, 1}}"


def test_a_variable_without_a_column_is_an_error_that_names_the_way_out():
    with pytest.raises(errors.MissingColumn, match=r"no column for the variable M;.*or say unmeasured=\['M'\]"):
        one(DECLARED, obs(LATENT))


def test_a_variable_measured_nowhere_must_declare_its_states():
    with pytest.raises(
        errors.MissingColumn, match=r"no study has a value of M, so its states are not known; declare them"
    ):
        one(CHAIN, obs(LATENT, unmeasured="M"))
    assert one(DECLARED, obs(LATENT, unmeasured="M"))["status"] in ANSWERED


def test_named_null_throughout_and_latent_in_the_graph_are_the_same():
    named = one(
        DECLARED, [obs(LATENT, unmeasured="m"), emcc.Study(TRIAL, do="X", weight="n", name="t", unmeasured="M")]
    )
    null = frame(LATENT).with_columns(M=pl.lit(None, pl.Int64))
    trial = TRIAL.with_columns(M=pl.lit(None, pl.String))
    assert one(DECLARED, [obs(null), emcc.Study(trial, do="X", weight="n", name="t")]) == named
    graph = f"{DECLARED}; unmeasured M"
    assert one(graph, [obs(LATENT), emcc.Study(TRIAL, do="X", weight="n", name="t")]) == named


def test_a_mediator_that_only_another_study_measures_bears_on_the_answer():
    full = emcc.FullModel(
        model := emcc.Model.parse(f"{DECLARED}; X {{0, 1}}; Y {{0, 1}}"), chances=random_chances(model)
    )
    xm = full.distribution("X", "M")
    xy = full.distribution("X", "Y")
    my = full.distribution("M", "Y")
    tables = [
        emcc.Study(exact(xm, "XM"), weight="n", name="xm", unmeasured="Y"),
        emcc.Study(exact(xy, "XY"), weight="n", name="xy", unmeasured="M"),
        emcc.Study(exact(my, "MY"), weight="n", name="my", unmeasured="X"),
    ]
    truth = full.evaluate("ACE(X=1 vs 0, Y=1)")
    row = one(model, tables, "ACE(X=1 vs 0, Y=1)", restarts=60)
    assert row["status"] in ANSWERED
    assert row["lower"] - 1e-6 <= truth <= row["upper"] + 1e-6
    alone = one(model, tables[1], "ACE(X=1 vs 0, Y=1)", restarts=60)
    assert row["upper"] - row["lower"] < alone["upper"] - alone["lower"]


def random_chances(model, seed=3):
    rng = np.random.default_rng(seed)
    return {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous}


def exact(table, names):
    return pl.DataFrame(
        [
            dict(zip(names, map(int, cell), strict=True)) | {"n": float(table[tuple(cell)])}
            for cell in np.argwhere(table > 0)
        ]
    )


# -- every entry -------------------------------------------------------------------------------

HOLES = frame(CELLS | CONSISTENT)
RELATION = pl.concat(
    [
        HOLES.with_columns(study=pl.lit("obs"), intervened=pl.lit(None, pl.List(pl.String))),
        TRIAL.with_columns(study=pl.lit("trial"), intervened=pl.lit(["X"])),
    ]
)


def _parquet(data, path):
    data.write_parquet(path / "obs.parquet")
    return {"source": path / "obs.parquet"}


def _csv(data, path):
    data.write_csv(path / "obs.csv")
    return {"source": path / "obs.csv"}


def _table(data, path):
    con = duckdb.connect()
    con.register("given", data.to_arrow())
    con.execute("CREATE TABLE holes AS FROM given")
    return {"source": "holes", "con": con}


SOURCES = {
    "parquet": _parquet,
    "csv": _csv,
    "table": _table,
    "polars": lambda data, _: {"source": data},
    "lazy": lambda data, _: {"source": data.lazy()},
    "arrow": lambda data, _: {"source": data.to_arrow()},
    "text": lambda data, _: {"source": data.with_columns(pl.col("X", "Y").cast(pl.String))},
    "shuffled": lambda data, _: {"source": data.sample(fraction=1, shuffle=True, seed=2)},
}


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_answer(source, nulls, tmp_path):
    given = emcc.Study(**SOURCES[source](HOLES, tmp_path), weight="n", name="obs")
    assert one(GRAPH, [given, rct()], nulls=nulls) == one(GRAPH, [obs(HOLES), rct()], nulls=nulls)


def sql(data, call):
    con = duckdb.connect()
    emcc.register(con)
    con.register("given", data.to_arrow())
    con.execute("CREATE TABLE studies AS FROM given")
    rows = con.execute(call).fetchall()
    names = [d[0] for d in con.description]
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop"])
def test_a_studies_relation_gives_the_same_answer(nulls):
    options = f"weight := 'n', level := NULL, method := 'emcc', nulls := '{nulls}'"
    expected = one(GRAPH, [obs(HOLES), rct()], nulls=nulls)
    assert sql(RELATION, f"FROM emcc_bounds('{GRAPH}', '{PNS}', 'studies', {options})") == [expected]
    ((found,),) = [
        row.values()
        for row in sql(
            RELATION,
            f"SELECT emcc('{GRAPH}', '{PNS}', studies, {options.replace(chr(39) + 'n' + chr(39), 'n')}) FROM studies",
        )
    ]
    assert found == expected


@pytest.mark.parametrize("nulls", ["mar", "drop"])
def test_a_column_that_is_null_throughout_a_study_of_a_relation_is_unmeasured_there(nulls):
    data = RELATION.filter(pl.col("X").is_not_null() & pl.col("Y").is_not_null()).with_columns(
        M=pl.when(pl.col("study") == "obs").then(pl.lit(None)).otherwise(pl.col("Y"))
    )
    tail = "X -> Y -> M; X <-> Y"
    options = f"weight := 'n', nulls := '{nulls}', method := 'emcc'"
    found = sql(data, f"FROM emcc_bounds('{tail}', '{PNS}', 'studies', {options})")
    studies = [
        obs(CELLS, unmeasured="M"),
        emcc.Study(TRIAL.with_columns(M="Y"), weight="n", do="X", name="trial"),
    ]
    assert found == emcc.bounds(tail, studies, PNS, nulls=nulls, method="emcc").to_pylist()
    assert (found[0]["n"], found[0]["status"] in ANSWERED) == (3000, True)


def test_a_relation_without_the_column_is_an_error_but_for_latent_variables():
    call = f"FROM emcc_bounds('{{}}', '{PNS}', 'studies', weight := 'n')"
    with pytest.raises(duckdb.Error, match=r"MissingColumn.*no column for the variable M.*has NULL in it throughout"):
        sql(RELATION, call.format(DECLARED))
    assert sql(RELATION, call.format(f"{DECLARED}; unmeasured M"))[0]["status"] in ANSWERED


def test_groups_with_other_nulls_are_answered_as_each_would_be_alone():
    data = pl.concat(
        [
            RELATION.with_columns(g=pl.lit("holes")),
            RELATION.drop_nulls(["X", "Y"]).with_columns(g=pl.lit("complete")),
            RELATION.filter(pl.col("Y").is_not_null()).with_columns(g=pl.lit("some")),
            RELATION.with_columns(Y=pl.lit(None, pl.Int64), g=pl.lit("nothing")),
        ]
    )
    for nulls in ("mar", "drop"):
        call = f"emcc('{GRAPH}', '{PNS}', studies, weight := n, nulls := '{nulls}')"
        together = {r["g"]: r["b"] for r in sql(data, f"SELECT g, {call} AS b FROM studies GROUP BY g")}
        for g, found in together.items():
            assert sql(data.filter(pl.col("g") == g), f"SELECT {call} AS b FROM studies") == [{"b": found}]
        assert together["nothing"]["status"] == "invalid"
        assert "no study has a value of Y" in together["nothing"]["message"]
        assert {together[g]["status"] for g in ("holes", "complete", "some")} <= set(ANSWERED)


# -- the same data, the same answer ------------------------------------------------------------


@methods
def test_the_order_of_studies_changes_their_names_in_the_answer_only(method):
    studies = [
        obs(CELLS | CONSISTENT),
        rct(),
        emcc.Study(frame({(0,): 250, (1,): 250}, "X"), weight="n", name="x", unmeasured="Y"),
    ]
    forward, backward = (one(GRAPH, order, method=method) for order in (studies, studies[::-1]))
    assert backward.pop("studies") == forward.pop("studies")[::-1]
    assert forward == backward


def test_how_many_records_a_cause_has_does_not_depend_on_other_segments():
    """Weights are no whole numbers, so that sums in another order would have other digits."""
    from duckemcc.answer.api import count_studies
    from duckemcc.answer.options import Clock, read_options
    from duckemcc.answer.plan import prepare

    rng = np.random.default_rng(0)
    rows = [
        {"g": g, "X": x, "M": m, "Y": y, "n": float(rng.uniform(0, 10)) * 10.0 ** int(rng.integers(-6, 6))}
        for g in range(4)
        for x in (0, 1, 2)
        for m in (0, 1, 2, None)
        for y in (0, 1, 2)
    ]
    options = read_options({"method": "emcc", "restarts": 1, "max_steps": 1, "accelerate": False})
    model = emcc.Model.parse("X -> M -> Y; X <-> Y")
    tables = count_studies(model, [obs(pl.DataFrame(rows))], options, ("g",))
    groups = [
        fit.group
        for part in prepare(model, tables, ("g",), options, spread=False).batches(Clock(None))
        for fit in part.learned.groups
    ]
    assert any(group.mix is not None for group in groups)
    for group in groups:
        for s in range(len(group.total)):
            alone = group.part(np.array([s]))
            np.testing.assert_array_equal(alone.records[0], group.records[s])
            np.testing.assert_array_equal(alone.total[0], group.total[s])


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop"])
@methods
def test_a_segment_is_answered_as_if_it_were_asked_alone_whatever_its_neighbours_lack(method, nulls):
    rng = np.random.default_rng(0)
    whole = pl.DataFrame(
        [{"X": x, "M": m, "Y": y, "n": int(rng.integers(5, 100))} for x in (0, 1) for m in (0, 1) for y in (0, 1)]
    )
    holes = whole.with_columns(M=pl.when(pl.col("n") > 60).then(None).otherwise("M"))
    late = whole.with_columns(Y=pl.when(pl.col("X") == 1).then(None).otherwise("Y"))
    parts = {"a": whole, "b": holes, "c": whole.reverse(), "d": late, "e": holes}
    segments = {name: part.with_columns(region=pl.lit(name)) for name, part in parts.items()}
    options = {"by": "region", "nulls": nulls, "method": method, "incompatible": "report", "restarts": 2}
    queries = ["PNS(X=1 vs 0, Y=1)", "P(M=1)"]
    together = emcc.bounds("X -> M -> Y; X {0, 1}", obs(pl.concat(segments.values())), queries, **options).to_pylist()
    alone = [
        row
        for s in segments.values()
        for row in emcc.bounds("X -> M -> Y; X {0, 1}", obs(s), queries, **options).to_pylist()
    ]
    assert [row["region"] for row in together] == [name for name in parts for _ in queries]
    assert together == alone
    report = emcc.compatibility(
        "X -> M -> Y; X {0, 1}", obs(pl.concat(segments.values())), by="region", nulls=nulls
    ).to_pylist()
    assert [row["region"] for row in report] == [name for name in parts for _ in range(2)]
