"""The public Python face: what bounds, compatibility and fit take, give and refuse."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc import errors
from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS

GRAPH = "X -> Y; X <-> Y"
PNS = "PNS(X=1 vs 0, Y=1)"


def frame(cells, **more):
    return pl.DataFrame([{"X": x, "Y": y, "n": n} | more for (x, y), n in cells.items()])


OBSERVED = frame({(0, 0): 300, (0, 1): 200, (1, 0): 100, (1, 1): 400})
RANDOMISED = frame({(0, 0): 650, (0, 1): 350, (1, 0): 400, (1, 1): 600})
CONTRADICTING = frame({(0, 0): 500, (0, 1): 500, (1, 0): 950, (1, 1): 50})


def obs(**more):
    return emcc.Study(OBSERVED, weight="n", name="obs", **more)


def rct(data=RANDOMISED):
    return emcc.Study(data, weight="n", do="X", name="trial")


def one(*args, **options):
    rows = emcc.bounds(*args, **options).to_pylist()
    assert len(rows) == 1
    return rows[0]


# -- the result --------------------------------------------------------------------------------


def test_the_result_has_always_the_same_columns_and_types():
    table = emcc.bounds(GRAPH, [obs(), rct()], PNS)
    assert isinstance(table, pa.Table)
    assert table.column_names == list(COLUMNS)
    for options in ({"incompatible": "report"}, {"restarts": 2}, {"max_seconds": 0}):
        assert emcc.bounds(GRAPH, [obs(), rct(CONTRADICTING)], [PNS, "P(Y=1)"], **options).schema.equals(table.schema)


def test_bounds_are_those_of_tian_and_pearl():
    row = one(GRAPH, [obs(), rct()], PNS, level=None)
    # max(0, P(y_x) − P(y_x'), P(y) − P(y_x'), P(y_x) − P(y)) ≤ PNS ≤ min(P(y_x), P(y'_x'), P(x,y)+P(x',y'), …)
    assert row["lower"] == pytest.approx(max(0, 0.6 - 0.35, 0.6 - 0.35, 0.6 - 0.6), abs=1e-9)
    assert row["upper"] == pytest.approx(min(0.6, 0.65, 0.4 + 0.3, 0.6 - 0.35 + 0.1 + 0.2), abs=1e-9)
    assert (row["status"], row["compatible"], row["kept"], row["restarts"]) == ("bounded", True, 30, 30)
    assert row["studies"] == ["obs", "trial"]
    assert (row["n"], row["patterns"]) == (3000.0, 8)
    assert (row["exact_lower"], row["exact_upper"]) == (True, True)
    assert (row["outer_lower"], row["outer_upper"]) == pytest.approx((row["lower"], row["upper"]), abs=1e-9)
    assert row["converged"]
    assert row["optimality_gap"] / row["n"] <= 1e-9


def test_timings_are_in_the_metadata_so_that_equal_inputs_give_equal_tables():
    one_, two = (emcc.bounds(GRAPH, [obs(), rct()], PNS, seed=3) for _ in range(2))
    assert one_.equals(two)
    assert set(json.loads(one_.schema.metadata[b"duckemcc.seconds"])) >= {"count", "learn", "judge", "bound"}


def test_the_row_order_does_not_change_the_answer():
    shuffled = emcc.Study(OBSERVED.sample(fraction=1, shuffle=True, seed=1), weight="n", name="obs")
    assert emcc.bounds(GRAPH, [obs(), rct()], PNS).equals(emcc.bounds(GRAPH, [shuffled, rct()], PNS))


def test_more_restarts_never_narrow_the_bounds():
    few, many = (one(GRAPH, obs(), PNS, restarts=r) for r in (5, 40))
    assert many["lower"] <= few["lower"] + 1e-9
    assert many["upper"] >= few["upper"] - 1e-9


def test_queries_come_back_in_their_order_and_as_they_were_written():
    asked = ["P( Y=1 )", PNS, emcc.query("ACE(X=1 vs 0,Y=1)")]
    assert emcc.bounds(GRAPH, obs(), asked)["query"].to_pylist() == ["P( Y=1 )", PNS, "ACE(X=1 vs 0, Y=1)"]


# -- statuses ----------------------------------------------------------------------------------


def test_incompatible_data_have_no_bounds_and_say_who_is_to_blame():
    row = one(GRAPH, [obs(), rct(CONTRADICTING)], PNS)
    assert (row["status"], row["lower"], row["upper"], row["exact_lower"]) == ("incompatible", None, None, None)
    assert row["compatible"] is False
    assert row["p_value"] < 0.01
    assert row["misfit"] > 0.01
    assert "trial" in row["fault"] or "obs" in row["fault"]
    assert "contradict" in row["message"]


def test_incompatible_data_are_reported_on_request_and_still_called_so():
    row = one(GRAPH, [obs(), rct(CONTRADICTING)], PNS, incompatible="report")
    assert row["status"] == "incompatible"
    assert 0 <= row["lower"] <= row["upper"] <= 1


def test_a_condition_of_probability_zero_is_undefined():
    never = emcc.Study(frame({(0, 0): 30, (0, 1): 70}), weight="n")
    row = one("X -> Y; X <-> Y; X {0, 1}", never, "PN(X=1 vs 0, Y=1)")
    assert (row["status"], row["lower"], row["upper"]) == ("undefined", None, None)
    assert "probability zero" in row["message"]


def test_a_time_limit_is_a_status():
    table = emcc.bounds(GRAPH, [obs(), rct()], [PNS, "P(Y=1)"], max_seconds=0)
    assert table["status"].to_pylist() == ["timeout", "timeout"]
    assert table["lower"].to_pylist() == [None, None]
    assert "max_seconds=0" in table["message"][0].as_py()


def test_a_query_that_is_too_large_does_not_fail_the_others(monkeypatch):
    from duckemcc.query import network

    monkeypatch.setattr(network, "LARGEST_TENSOR", 3)
    statuses = emcc.bounds("X -> Y", obs(), [PNS, "P(X=1)"])["status"].to_pylist()
    assert statuses == ["too_large", "identified"]


def test_too_few_literal_steps_are_called_not_converged():
    row = one(GRAPH, [obs(), rct()], PNS, method="emcc", accelerate=False, max_steps=2)
    assert row["converged"] is False
    assert (row["steps"], row["optimality_gap"] > 1e-6) == (2, True)
    assert "raise max_steps" in row["message"]


# -- segments ----------------------------------------------------------------------------------


def test_segments_are_answered_as_if_they_were_asked_alone():
    parts = {"north": (OBSERVED, RANDOMISED), "south": (OBSERVED, CONTRADICTING)}
    o = pl.concat([a.with_columns(region=pl.lit(k)) for k, (a, _) in parts.items()])
    i = pl.concat([b.with_columns(region=pl.lit(k)) for k, (_, b) in parts.items()])
    together = emcc.bounds(
        GRAPH,
        [emcc.Study(o, weight="n", name="obs"), emcc.Study(i, weight="n", do="X", name="trial")],
        PNS,
        by="region",
    )
    assert together.column_names == ["region", *COLUMNS]
    assert together["region"].to_pylist() == ["north", "south"]
    for place, (a, b) in enumerate(parts.values()):
        alone = emcc.bounds(
            GRAPH, [emcc.Study(a, weight="n", name="obs"), emcc.Study(b, weight="n", do="X", name="trial")], PNS
        )
        assert together.drop_columns(["region"]).slice(place, 1).to_pylist() == alone.to_pylist()


def test_many_segments_do_not_depend_on_the_batch(monkeypatch):
    from duckemcc.answer import plan as work

    rng = np.random.default_rng(0)
    rows = [
        {"X": x, "Y": y, "week": w, "n": int(n)}
        for w in range(11)
        for (x, y), n in zip([(0, 0), (0, 1), (1, 0), (1, 1)], rng.multinomial(500, [0.3, 0.2, 0.1, 0.4]), strict=True)
    ]
    study = emcc.Study(pl.DataFrame(rows), weight="n", name="obs")
    whole = emcc.bounds(GRAPH, study, PNS, by=["week"])
    monkeypatch.setattr(work, "BATCH", 3)
    assert emcc.bounds(GRAPH, study, PNS, by=["week"]).equals(whole)


def test_a_segment_that_one_study_lacks_is_answered_from_the_others():
    o = OBSERVED.with_columns(region=pl.lit("north"))
    i = RANDOMISED.with_columns(region=pl.lit("south"))
    table = emcc.bounds(
        GRAPH,
        [emcc.Study(o, weight="n", name="obs"), emcc.Study(i, weight="n", do="X", name="trial")],
        PNS,
        by="region",
    )
    assert table["studies"].to_pylist() == [["obs"], ["trial"]]
    assert table["status"].to_pylist() == ["bounded", "bounded"]


def test_a_segment_column_may_not_shadow_a_result_column():
    with pytest.raises(errors.OptionError, match="'Status', which is a column of the result"):
        emcc.bounds(GRAPH, obs(), PNS, by="Status")


# -- compatibility and fit ---------------------------------------------------------------------


def test_the_report_has_a_row_for_all_studies_and_one_for_each_arm():
    table = emcc.compatibility(GRAPH, [obs(), rct(CONTRADICTING)])
    assert table.column_names == list(STUDY_COLUMNS)
    rows = table.to_pylist()
    assert [row["study"] for row in rows] == [None, "obs", "trial[X=0]", "trial[X=1]"]
    assert [row["compatible"] for row in rows] == [False, True, True, True]
    assert rows[0]["fault"]
    assert "together they contradict each other" in rows[0]["message"]


def test_fit_gives_the_learned_distributions():
    fitted = emcc.fit(GRAPH, [obs(), rct()], restarts=7)
    chances = fitted.chances["U_X_Y"]
    assert chances.shape == (7, 8)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    x_is_1 = fitted.model.table("X") == 1
    np.testing.assert_allclose(chances @ x_is_1, 0.5, atol=1e-6)
    assert fitted.compatible
    assert fitted.kept == 7


def test_fit_gives_a_fully_specified_model_for_each_restart():
    fitted = emcc.fit(GRAPH, [obs(), rct()], method="emcc", restarts=7, level=None)
    assert len(fitted.models) == 7
    for r, learned in enumerate(fitted.models):
        assert learned.model == fitted.model
        assert learned.chances["U_X_Y"].tolist() == fitted.chances["U_X_Y"][r].tolist()


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("start", ["dirichlet(0.03)", "uniform"])
def test_every_learned_model_has_the_distribution_of_the_data(start, accelerate):
    fitted = emcc.fit(GRAPH, [obs(), rct()], method="emcc", level=None, start=start, accelerate=accelerate)
    for learned in fitted.models:
        close = {"abs": 1e-6 if accelerate else 1e-3}
        assert learned.distribution("X", "Y") == pytest.approx(np.array([[0.3, 0.2], [0.1, 0.4]]), **close)
        assert learned.distribution("Y", do={"X": 0}) == pytest.approx(np.array([0.65, 0.35]), **close)
        assert learned.distribution("Y", do={"X": 1}) == pytest.approx(np.array([0.4, 0.6]), **close)


def test_the_bounds_are_the_range_of_the_query_over_the_learned_models():
    options = {"method": "emcc", "restarts": 12, "seed": 4}
    for asked in (PNS, "PN(X=1 vs 0, Y=1)", "ACE(X=1 vs 0, Y=1)"):
        values = [learned.evaluate(asked) for learned in emcc.fit(GRAPH, obs(), **options).models]
        row = one(GRAPH, obs(), asked, **options)
        assert (row["lower"], row["upper"]) == pytest.approx((min(values), max(values)), abs=1e-11)


def test_every_learned_model_survives_its_uai_file():
    fitted = emcc.fit(GRAPH, [obs(), rct()], method="emcc", restarts=5)
    for learned in fitted.models:
        again = emcc.FullModel.from_uai(learned.to_uai())  # X, Y and U_X_Y are V0, V1 and U2 there
        assert again.evaluate("PNS(V0=1 vs 0, V1=1)") == learned.evaluate(PNS)
        assert again.chances["U2"].tolist() == learned.chances["U_X_Y"].tolist()


def test_a_model_stuck_in_a_worse_optimum_is_replaced_by_one_at_the_maximum():
    full = emcc.FullModel.random(6, np.random.default_rng(32))  # two causes in one component
    records = full.sample(400, rng=np.random.default_rng(2))
    fitted = emcc.fit(full.model, emcc.Study(pl.DataFrame(records)), method="emcc", restarts=30)
    assert fitted.kept < 30
    for learned in fitted.models:
        loglik = np.log(learned.distribution(*records)[tuple(records.values())]).sum()
        assert loglik == pytest.approx(fitted.loglik, abs=1e-4)


def test_a_verdict_that_rests_on_a_fit_that_has_not_converged_says_so():
    """The model's own distribution, with three causes of 64 states in a component and hardly any steps."""
    rng = np.random.default_rng(8)
    full = emcc.FullModel.random(int(rng.integers(4, 7)), rng)
    names = full.model.variables

    def records(**options):
        cells = np.ndenumerate(full.distribution(*names, **options))
        return pl.DataFrame([dict(zip(names, map(int, i), strict=True), n=1000 * p) for i, p in cells if p > 0])

    studies = [
        emcc.Study(records(), weight="n", name="registry", local="U0"),
        emcc.Study(pl.concat([records(do={"V2": x}) for x in (0, 1)]), weight="n", do="V2", name="trial"),
    ]
    options = {"level": None, "restarts": 2, "max_steps": 5}
    row = one(full.model, studies, "P(V5=1)", **options)
    assert (row["status"], row["converged"]) == ("incompatible", False)
    assert "before it converged, so a better fit may yet agree; raise max_steps or restarts" in row["message"]
    report = emcc.compatibility(full.model, studies, **options).to_pylist()
    assert report[0]["message"] == row["message"]


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fast"}, r"method is 'fast'; it may be 'emcc', 'sharp'"),
        ({"restarts": 0}, "restarts is 0; it takes a whole number of at least 1"),
        ({"restarts": 2.5}, "restarts is 2.5"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "it takes a whole number of at most 9,223"),
        ({"restarts": 10**18}, "it takes a whole number of at most 1,000,000,000"),
        ({"level": 2}, "level is 2; it takes a number from 0 to 1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"gap": "small"}, "gap is 'small'"),
        ({"incompatible": "hide"}, "incompatible is 'hide'"),
        ({"nulls": "keep"}, "nulls is 'keep'"),
        ({"start": "somewhere"}, "start is 'somewhere'"),
        ({"accelerate": 1}, "accelerate is 1; it is true or false"),
        ({"max_seconds": -1}, "max_seconds is -1"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"restart": 5}, r"there is no option 'restart'.*Hint: did you mean one of these options: \['restarts'"),
    ],
)
def test_a_bad_option_is_named_with_what_it_may_be(options, message):
    with pytest.raises(errors.OptionError, match=message):
        emcc.bounds(GRAPH, obs(), PNS, **options)


def test_limits_contain_the_bounds_and_shrink_with_more_records_and_less_confidence():
    few = one(GRAPH, [obs(), rct()], PNS, confidence=0.95)
    low = one(GRAPH, [obs(), rct()], PNS, confidence=0.5)
    more = one(
        GRAPH,
        [
            emcc.Study(d.with_columns(n=pl.col("n") * 100), weight="n", do=do)
            for d, do in ((OBSERVED, ()), (RANDOMISED, "X"))
        ],
        PNS,
        confidence=0.95,
    )
    assert few["lower_ci"] < low["lower_ci"] < few["lower"] <= few["upper"] < low["upper_ci"] < few["upper_ci"]
    assert few["lower_ci"] < more["lower_ci"] < more["lower"] == pytest.approx(few["lower"])
    assert more["upper"] < more["upper_ci"] < few["upper_ci"]
    assert one(GRAPH, [obs(), rct()], PNS)["lower_ci"] is None


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": 0}, {"confidence": 0.9, "method": "emcc"}])
def test_confidence_is_between_0_and_1_and_for_sharp_bounds(options):
    with pytest.raises(errors.OptionError, match=r"takes a number between 0 and 1, such as 0\.95, and method='sharp'"):
        emcc.bounds(GRAPH, obs(), PNS, **options)


def test_data_that_no_model_fits_well_enough_have_no_limits_and_say_so():
    row = one(GRAPH, [obs(), rct(CONTRADICTING)], PNS, confidence=0.95, limits="joint", tolerance=1)
    assert (row["lower_ci"], row["upper_ci"]) == (None, None)
    assert "there are no limits at confidence 0.95" in row["message"]


def test_witnesses_fit_the_data_and_attain_the_bounds():
    row, found = one(GRAPH, [obs(), rct()], PNS), emcc.witness(GRAPH, [obs(), rct()], PNS)
    assert (found.lower, found.upper) == pytest.approx((row["lower"], row["upper"]))
    for model, end in ((found.lower_model, found.lower), (found.upper_model, found.upper)):
        assert model.evaluate(PNS) == pytest.approx(end, abs=1e-9)
        total = OBSERVED["n"].sum()
        for x, y, n in OBSERVED.select("X", "Y", "n").iter_rows():
            assert model.evaluate(f"P(X={x}, Y={y})") == pytest.approx(n / total, abs=1e-9)
        assert emcc.FullModel.from_uai(model.to_uai()).evaluate("P(V1=1)") == pytest.approx(model.evaluate("P(Y=1)"))


def test_incompatible_data_have_no_witness_unless_the_best_fit_is_asked_for():
    studies = [obs(), rct(CONTRADICTING)]
    with pytest.raises(
        errors.StudyError, match=r"the data are incompatible: .*incompatible='report' takes the best fit"
    ):
        emcc.witness(GRAPH, studies, PNS)
    row, found = (
        one(GRAPH, studies, PNS, incompatible="report"),
        emcc.witness(GRAPH, studies, PNS, incompatible="report"),
    )
    assert (found.lower, found.upper) == pytest.approx((row["lower"], row["upper"]), abs=1e-9)


def test_a_witness_of_an_undefined_query_or_of_several_is_refused():
    with pytest.raises(errors.QueryError, match="is undefined: its condition has probability zero"):
        emcc.witness("X -> Y; X {0, 1, 2}", obs(), "P(Y=1 | X=2)")
    for asked, options in (([PNS, "P(Y=1)"], {}), (PNS, {"method": "emcc"})):
        with pytest.raises(errors.OptionError, match="a witness is that of one query, with method='sharp'"):
            emcc.witness(GRAPH, obs(), asked, **options)


def test_the_report_tests_the_independences_of_the_graph():
    dependent = pl.DataFrame({"A": [0, 0, 1, 1], "B": [0, 1, 0, 1], "n": [400, 100, 100, 400]})
    rows = emcc.compatibility(
        "A {0, 1}; B {0, 1}; A -> C; C {0, 1}", emcc.Study(dependent.with_columns(C=pl.col("A")), weight="n")
    )
    for row in rows.to_pylist():
        assert (row["compatible"], row["independences"]) == (False, 2)  # B of A, B of C; C has one value for each of A
        assert row["misfit"] == pytest.approx(0.3, abs=1e-3)
        assert row["p_value"] < 1e-50
        assert "B and A: P(B=" in row["fault"]
        assert "U: A, B" in row["message"]
    for row in emcc.compatibility(GRAPH, obs()).to_pylist()[:1]:  # it implies no independence
        assert (row["independences"], row["df"], row["compatible"]) == (0, 0, True)
        assert row["message"] is not None


def test_a_model_is_a_model_or_graph_text():
    assert one(emcc.Model.parse(GRAPH), obs(), PNS) == one(GRAPH, obs(), PNS)
    with pytest.raises(errors.GraphError, match="a model is a Model or graph text; found int"):
        emcc.bounds(3, obs(), PNS)
    with pytest.raises(errors.UnknownModel, match="'drug' is the name of a stored model"):
        emcc.bounds("drug", obs(), PNS)


@pytest.mark.parametrize("queries", [[], None, 5])
def test_queries_are_a_text_a_query_or_a_list(queries):
    with pytest.raises(errors.QueryError, match="queries are a text"):
        emcc.bounds(GRAPH, obs(), queries)


def test_an_empty_list_of_studies_is_refused():
    with pytest.raises(errors.OptionError, match="at least one Study"):
        emcc.bounds(GRAPH, [], PNS)


def test_a_source_may_stand_for_a_study():
    assert one(GRAPH, OBSERVED.drop("n"), PNS)["n"] == 4


def test_a_query_about_a_state_that_the_data_lack_is_an_error():
    with pytest.raises(errors.QueryError, match="X has no state '2'"):
        emcc.bounds(GRAPH, obs(), "P(Y[X=2]=1)")


def test_nulls_are_refused_or_dropped():
    holes = emcc.Study(pl.DataFrame({"X": [0, 1, 1, None], "Y": [0, 1, 0, 1]}), name="holes")
    with pytest.raises(errors.NullValue, match=r"'holes'.*X.*1 record"):
        emcc.bounds(GRAPH, holes, PNS, nulls="error")
    assert one(GRAPH, holes, PNS)["n"] == 4
    assert one(GRAPH, holes, PNS, nulls="drop")["n"] == 3


def test_a_canonical_cause_that_is_too_large_says_how_large_and_what_to_do():
    arcs = "; ".join(f"P{i} -> Y; P{i} {{0, 1}}" for i in range(6))
    spec = emcc.Model.parse(arcs).to_dict()
    spec["exogenous"] = {
        "U_Y": {"children": ["Y"]},
        "U": {"children": ["P0"], "card": 2},
        "W": {"children": ["P0"], "card": 2},
    } | {f"U_P{i}": {"children": [f"P{i}"]} for i in range(1, 6)}
    spec["equations"] = {"P0": {"table": [[0, 1], [1, 0]]}}
    data = pl.DataFrame({**{f"P{i}": [0, 1] for i in range(6)}, "Y": [0, 1]})
    with pytest.raises(errors.TooLarge, match=r"U_Y over Y has .* states.*coarsen"):
        emcc.bounds(emcc.Model.from_dict(spec), data, "P(Y=1)")
    assert one(arcs, data, "P(Y=1)")["lower"] == pytest.approx(1 / 64)  # two of 64 contexts were seen


def test_more_restarts_than_memory_holds_are_refused_where_they_are_made():
    with pytest.raises(errors.TooLarge, match=r"1,000,000,000 restarts of .* states and .* patterns.*fewer restarts"):
        emcc.bounds(GRAPH, [obs(), rct()], PNS, method="emcc", restarts=10**9)
    assert one(GRAPH, [obs(), rct()], PNS, restarts=10**9)["status"] == "bounded"  # sharp bounds need none here


def test_the_draw_of_many_restarts_keeps_to_max_seconds():
    assert one(GRAPH, obs(), PNS, method="emcc", restarts=10**6, max_seconds=0.2)["status"] == "timeout"


def test_a_callback_hears_how_far_the_work_is():
    heard = []
    emcc.bounds(GRAPH, [obs(), rct()], PNS, progress=heard.append)
    told = [(p.stage, p.done, p.total) for p in heard if p.stage != "step"]
    assert told == [("count", 1, 2), ("count", 2, 2), ("answer", 1, 1)]
    heard.clear()
    emcc.compatibility(GRAPH, [obs(), rct()], progress=heard.append)
    assert heard[-1] == ("answer", 1, 1)


def test_a_callback_hears_of_steps_where_one_segment_takes_long(monkeypatch):
    monkeypatch.setattr("duckemcc.answer.options.TELL_EVERY", 0)
    heard = []
    emcc.bounds(GRAPH, [obs(), rct()], PNS, method="emcc", progress=heard.append)
    steps = [p.done for p in heard if p.stage == "step"]
    assert steps
    assert steps == sorted(steps)
    assert {p.total for p in heard if p.stage == "step"} == {None}


def test_a_callback_that_is_no_function_is_refused():
    with pytest.raises(emcc.errors.OptionError, match=r"progress is 3; it takes a function of one Progress"):
        emcc.bounds(GRAPH, [obs()], PNS, progress=3)


@pytest.mark.parametrize("kind", ["polars", "relation", "arrow", "pandas", "parquet"])
def test_a_bare_source_with_a_column_intervened_is_several_studies(kind, tmp_path):
    con = duckdb.connect()
    con.execute(emcc.read_sql("drug_trial"))
    con.execute("CREATE TABLE records AS SELECT * EXCLUDE (n) FROM studies, range(n)")
    records = con.table("records")
    records.write_parquet(str(tmp_path / "records.parquet"))
    source = {
        "polars": lambda: records.pl(),
        "relation": lambda: records,
        "arrow": lambda: records.to_arrow_table(),
        "pandas": lambda: records.df(),
        "parquet": lambda: tmp_path / "records.parquet",
    }[kind]()
    graph, query = "Treatment -> Survival; Treatment <-> Survival", "PNS(Treatment=drug, Survival=survived)"
    row = emcc.bounds(graph, source, query).to_pylist()[0]
    assert (row["lower"], row["upper"]) == pytest.approx((0.3395, 0.4295))
    assert row["studies"] == ["registry", "trial"]


def test_the_report_says_where_nothing_could_be_tested():
    from duckemcc.show.page.agreement import show_agreement

    records = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1]})
    found = emcc.compatibility("X -> Y", records)
    page = str(show_agreement(emcc.bounds("X -> Y", records, "P(Y=1)"), found, None))
    assert "nothing was tested" in page.split("<table")[0]
    assert "agrees" not in page
