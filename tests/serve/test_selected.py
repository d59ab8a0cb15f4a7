"""Selection bias, end to end: `Study(selected=)` against the same problem stated by hand, and against the truth."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors

GRAPH = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1, 2}"
MODEL = emcc.Model.parse(GRAPH)
RULE = "Y > 0 OR X = 0"
QUERIES = ["ACE(X=1 vs 0, Y=2)", "PNS(X=1 vs 0, Y=2)", "P(Y=0, X=1)"]
EXACT = {"level": None, "method": "emcc"}
ANSWERED = ("bounded", "identified")
methods = pytest.mark.parametrize("method", ["emcc", "sharp"])


def truth(seed=0):
    rng = np.random.default_rng(seed)
    return emcc.FullModel(MODEL, {u.name: rng.dirichlet(np.full(MODEL.card(u.name), 0.3)) for u in MODEL.exogenous})


def keeps(x, y):
    return y > 0 or x == 0


def population(full, scale=1e6):
    """The exact joint table of X and Y, as weights."""
    table = full.distribution("X", "Y")
    return {(x, y): float(round(table[x, y] * scale)) for x in range(2) for y in range(3)}


def rows(cells, dropped):
    kept = [{"X": x, "Y": y, "n": n} for (x, y), n in cells.items() if keeps(x, y)]
    return pl.DataFrame(
        [*kept, {"X": None, "Y": None, "n": dropped}], schema={"X": pl.Int64, "Y": pl.Int64, "n": pl.Float64}
    )


def selected(cells, **more):
    """The study as its records reach us: those that the rule drops are a number."""
    dropped = sum(n for cell, n in cells.items() if not keeps(*cell))
    return emcc.Study(rows(cells, dropped), weight="n", name="clinic", selected=RULE, **more)


def trial(full):
    table = [full.distribution("Y", do={"X": x}) for x in range(2)]
    cells = [{"X": x, "Y": y, "n": float(round(table[x][y] * 1e6))} for x in range(2) for y in range(3)]
    return emcc.Study(pl.DataFrame(cells), do="X", weight="n", name="trial")


def by_hand(study_rows, selector="S"):
    """The model with the selector written out, and the study with a column for it."""
    spec = MODEL.to_dict()
    spec["endogenous"][selector] = {"states": ["dropped", "kept"], "parents": ["X", "Y"]}
    spec["equations"] = {selector: {"table": [[1, 1, 1], [0, 1, 1]]}}
    column = pl.when(pl.col("X").is_null()).then(pl.lit("dropped")).otherwise(pl.lit("kept")).alias(selector)
    return emcc.Model.from_dict(spec), emcc.Study(study_rows.with_columns(column), weight="n", name="clinic")


@methods
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_problem_with_the_selector_written_out_by_hand(seed, method):
    options = EXACT | {"method": method}
    cells = population(truth(seed))
    study = selected(cells)
    model, stated = by_hand(study.source)
    found = emcc.bounds(MODEL, study, QUERIES, **options).to_pylist()
    expected = emcc.bounds(model, stated, QUERIES, **options).to_pylist()
    for one, other in zip(found, expected, strict=True):
        assert (one["lower"], one["upper"]) == pytest.approx((other["lower"], other["upper"]), abs=1e-9)
        assert one["loglik_gap"] == pytest.approx(other["loglik_gap"], abs=1e-9)
        assert one["status"] == other["status"] in ANSWERED
    report = emcc.compatibility(MODEL, study, **options).to_pylist()
    (asked,) = emcc.bounds(model, stated, "P(S=kept)", **options).to_pylist()
    assert (report[1]["selected_lower"], report[1]["selected_upper"]) == pytest.approx(
        (asked["lower"], asked["upper"]), abs=1e-9
    )


@methods
@pytest.mark.parametrize("seed", range(5))
def test_the_truth_is_contained_and_p_selected_is_that_of_the_population(seed, method):
    full = truth(seed)
    cells = population(full)
    for studies in ([selected(cells)], [selected(cells), trial(full)]):
        for row in emcc.bounds(MODEL, studies, QUERIES, restarts=60, method=method).to_pylist():
            value = full.evaluate(row["query"])
            assert row["status"] in ANSWERED
            if method == "sharp" or (len(studies) == 1 and "PNS" not in row["query"]):  # restarts may miss some
                assert row["lower"] - 1e-4 <= value <= row["upper"] + 1e-4
    share = sum(n for cell, n in cells.items() if keeps(*cell)) / sum(cells.values())
    found = emcc.compatibility(MODEL, selected(cells), **EXACT).to_pylist()[1]
    assert (found["selected_lower"], found["selected_upper"]) == pytest.approx((share, share), abs=1e-6)


def test_a_single_dropped_cell_is_recovered_so_the_answer_is_that_of_all_records():
    full = truth(1)
    cells = population(full)  # the rule drops X=1, Y=0 alone, so its number is known
    complete = emcc.Study(
        pl.DataFrame([{"X": x, "Y": y, "n": n} for (x, y), n in cells.items()]), weight="n", name="clinic"
    )
    options = EXACT | {"restarts": 100}
    for one, other in zip(
        emcc.bounds(MODEL, selected(cells), QUERIES, **options).to_pylist(),
        emcc.bounds(MODEL, complete, QUERIES, **options).to_pylist(),
        strict=True,
    ):
        assert (one["lower"], one["upper"]) == pytest.approx((other["lower"], other["upper"]), abs=2e-2)
    naive = emcc.Study(rows(cells, 0.0)[:-1], weight="n", name="clinic")
    (biased,) = emcc.bounds(MODEL, naive, "P(X=1)", **EXACT).to_pylist()
    (known,) = emcc.bounds(MODEL, selected(cells), "P(X=1)", **EXACT).to_pylist()
    assert abs(biased["lower"] - full.evaluate("P(X=1)")) > 0.01
    assert known["lower"] == pytest.approx(full.evaluate("P(X=1)"), abs=1e-5)


def test_a_sample_that_was_dropped_by_a_rule_agrees_with_the_model_and_with_its_trial():
    full = truth(2)
    records = full.sample(4000, rng=np.random.default_rng(5))
    frame = pl.DataFrame(records)
    inside = [keeps(x, y) for x, y in frame.iter_rows()]
    seen = frame.with_columns(pl.when(pl.Series(inside)).then(pl.col(c)).otherwise(None).alias(c) for c in ("X", "Y"))
    study = emcc.Study(seen, selected=RULE, name="clinic")
    report = emcc.compatibility(MODEL, [study, trial(full)], method="emcc").to_pylist()
    assert report[0]["compatible"]
    assert report[1]["selected_lower"] == pytest.approx(np.mean(inside), abs=0.02)
    assert [row["selected_lower"] is None for row in report] == [True, False, True, True]
    (row,) = emcc.bounds(MODEL, [study, trial(full)], "ACE(X=1 vs 0, Y=2)", method="emcc").to_pylist()
    assert row["lower"] == pytest.approx(full.evaluate("ACE(X=1 vs 0, Y=2)"), abs=0.05)


def test_in_a_trial_each_arm_has_its_own_share():
    frame = pl.DataFrame(
        {"X": [0, 0, 0, 1, 1, 1], "Y": [1, 2, None, 1, 2, None], "n": [10.0, 20.0, 70.0, 30.0, 30.0, 40.0]}
    )
    study = emcc.Study(frame, do="X", weight="n", name="trial", selected="Y > 0")
    report = emcc.compatibility(MODEL, study, **EXACT).to_pylist()
    assert [(r["study"], r["selected_lower"], r["selected_upper"]) for r in report[1:]] == [
        ("trial[X=0]", pytest.approx(0.3, abs=1e-6), pytest.approx(0.3, abs=1e-6)),
        ("trial[X=1]", pytest.approx(0.6, abs=1e-6), pytest.approx(0.6, abs=1e-6)),
    ]
    (row,) = emcc.bounds(MODEL, study, "P(Y[X=1]=0)", **EXACT).to_pylist()
    assert (row["lower"], row["upper"]) == pytest.approx((0.4, 0.4), abs=1e-6)


def test_two_studies_may_have_rules_of_their_own():
    cells = population(truth(3))
    kept = pl.DataFrame(
        [{"X": x, "Y": y, "n": n} for (x, y), n in cells.items() if x == 1]
        + [{"X": None, "Y": None, "n": sum(n for (x, _), n in cells.items() if x == 0)}],
        infer_schema_length=None,
    )
    other = emcc.Study(kept, weight="n", name="ward", selected="X")  # no condition: X is an integer
    with pytest.raises(errors.OptionError, match=r"study 'ward': selected='X' is no condition"):
        emcc.bounds(MODEL, [selected(cells), other], QUERIES, **EXACT)
    other = emcc.Study(kept, weight="n", name="ward", selected="X = 1")
    both = emcc.bounds(MODEL, [selected(cells), other], QUERIES, **EXACT)["status"].to_pylist()
    assert set(both) <= set(ANSWERED)
    report = emcc.compatibility(MODEL, [selected(cells), other], **EXACT).to_pylist()
    shares = [
        sum(n for cell, n in cells.items() if rule(*cell)) / sum(cells.values()) for rule in (keeps, lambda x, y: x)
    ]
    assert [r["selected_upper"] for r in report[1:]] == pytest.approx(shares, abs=1e-6)


def test_segments_have_shares_of_their_own():
    parts = {f"region {seed}": population(truth(seed)) for seed in range(3)}
    tables = [selected(cells).source.with_columns(region=pl.lit(name)) for name, cells in parts.items()]
    study = emcc.Study(pl.concat(tables), weight="n", name="clinic", selected=RULE)
    report = emcc.compatibility(MODEL, study, by="region", **EXACT).to_pylist()
    for row in report[1::2]:
        cells = parts[row["region"]]
        share = sum(n for cell, n in cells.items() if keeps(*cell)) / sum(cells.values())
        assert row["selected_lower"] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("nulls", ["mar", "drop"])
def test_every_source_and_order_of_rows_gives_the_same_answer(nulls, tmp_path):
    cells = population(truth(1), 1000)
    frame = selected(cells).source
    frame.write_parquet(tmp_path / "clinic.parquet")
    con = duckdb.connect()
    con.register("given", frame.to_arrow())
    sources = [frame, frame.lazy(), frame.to_arrow(), tmp_path / "clinic.parquet", con.table("given"), frame.reverse()]
    answers = [
        emcc.bounds(
            MODEL, emcc.Study(s, weight="n", name="clinic", selected=RULE), QUERIES, nulls=nulls, **EXACT
        ).to_pylist()
        for s in sources
    ]
    assert all(answer == answers[0] for answer in answers[1:])
    one = emcc.Study(frame.select(pl.all().exclude("n").repeat_by("n").explode()), name="clinic", selected=RULE)
    assert emcc.bounds(MODEL, one, QUERIES, nulls=nulls, **EXACT).to_pylist() == answers[0]


def test_sql_has_the_columns_too():
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE t AS SELECT 1 AS X, 0 AS Y")
    assert (
        con.execute(f"SELECT selected_lower, selected_upper FROM emcc_compatibility('{GRAPH}', 't')").fetchall()
        == [(None, None)] * 2
    )


@pytest.mark.parametrize(
    ("study", "options", "error", "message"),
    [
        (
            rows({(0, 0): 1.0, (1, 1): 1.0}, 2.0),
            {"nulls": "mcar"},
            errors.OptionError,
            r"nulls='mcar' .*'clinic' are not",
        ),
        (
            rows({(0, 0): 1.0, (1, 1): 1.0}, 0.0),
            {},
            errors.StudyError,
            r"no dropped records, so P\(selected\) is unknown",
        ),
        (
            pl.DataFrame({"X": [1, 0, None], "Y": [0, 0, None], "n": [3.0, 1.0, 1.0]}),
            {},
            errors.StudyError,
            r"study 'clinic' kept 3 records with X=1, Y=0, which selected='Y > 0 OR X = 0' rules out",
        ),
    ],
)
def test_what_contradicts_the_rule_is_refused(study, options, error, message):
    with pytest.raises(error, match=message):
        emcc.bounds(MODEL, emcc.Study(study, weight="n", name="clinic", selected=RULE), QUERIES, **options)


def test_a_rule_may_leave_out_no_state_and_keep_none():
    for rule, message in (
        ("Y >= 0", "keeps all of them"),
        ("Y > 2", "keeps none of them"),
        ("Z > 2", "over Z, which is"),
    ):
        with pytest.raises(errors.DuckEmccError, match=message):
            emcc.bounds(MODEL, emcc.Study(rows({(0, 0): 1.0}, 2.0), weight="n", selected=rule), QUERIES)
