"""Causes that incomplete records tie: the bounds range over all models at the maximum, and are proven (FAULTS A1, A2);
and queries that only noise identifies (A4)."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pytest

import duckemcc as emcc

COVARIATE = "Z -> X -> Y; Z -> Y; X <-> Y"
ACE = "ACE(X=1, Y=1)"


def frame(names, rows):
    kinds = dict.fromkeys(names, pl.Int64) | {"n": pl.Int64}
    return pl.DataFrame([dict(zip((*names, "n"), row, strict=True)) for row in rows], schema=kinds)


def ask(graph, names, rows, queries, study=None, **options):
    source = emcc.Study(frame(names, rows), weight="n", **(study or {}))
    return emcc.bounds(graph, source, queries, **options).to_pylist()


def assert_proven(row, lower, upper, status="bounded"):
    assert row["status"] == status
    assert (row["lower"], row["upper"]) == pytest.approx((lower, upper), abs=1e-6)
    assert row["exact_lower"]
    assert row["exact_upper"]
    assert row["outer_lower"] == pytest.approx(lower, abs=2e-6)
    assert row["outer_upper"] == pytest.approx(upper, abs=2e-6)


RECORDED = [(1, 0, 300), (1, 1, 200), (0, None, 500)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_outcome_whose_recording_depends_on_itself_has_its_whole_interval(seed):
    (row,) = ask("Y -> R; Y {0, 1}", "RY", RECORDED, "P(Y=1)", seed=seed)
    assert_proven(row, 0.2, 0.7)
    assert row["misfit"] == pytest.approx(0, abs=1e-9)


def test_restarts_range_over_the_whole_maximum_and_do_not_leave_it():
    (row,) = ask("Y -> R; Y {0, 1}", "RY", RECORDED, "P(Y=1)", method="emcc", restarts=100)
    assert 0.2 - 1e-6 <= row["lower"] < 0.21
    assert 0.69 < row["upper"] <= 0.7 + 1e-6
    assert row["kept"] == 100


def test_sql_and_segments_answer_as_python_does():
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE t (g INT, R INT, Y INT, n INT, study VARCHAR, intervened VARCHAR[])")
    for g, scale in ((1, 1), (2, 3)):
        for r, y, n in RECORDED:
            con.execute("INSERT INTO t VALUES (?, ?, ?, ?, 's', NULL)", [g, r, y, scale * n])
    asked = "emcc_bounds_by('Y -> R; Y {0, 1}', 'P(Y=1)', 't', 'g', weight := 'n')"
    found = con.sql(f"SELECT lower, upper, exact_lower, exact_upper FROM {asked}").fetchall()
    assert found == [(pytest.approx(0.2, abs=1e-9), pytest.approx(0.7, abs=1e-9), True, True)] * 2


def test_nonresponse_that_depends_on_treatment_and_outcome_bounds_the_effect():
    rows = [(0, 1, 0, 371), (0, 1, 1, 129), (1, 1, 0, 125), (1, 1, 1, 376), (0, 0, None, 500), (1, 0, None, 500)]
    graph = "X -> Y -> R; X -> R; Y {0, 1}"
    low, high = 376 / 1001 - 629 / 1000, 876 / 1001 - 129 / 1000
    effect, both, shared = ask(graph, "XRY", rows, [ACE, "PNS(X=1, Y=1)", "P(Y=1 | X=1)"])
    assert_proven(effect, low, high)
    # Fréchet: P(Y[1]=1) is at most 876/1001, and P(Y[0]=0) at most 871/1000
    assert_proven(both, 0.0, min(876 / 1001, 871 / 1000))
    assert_proven(shared, 376 / 1001, 876 / 1001)
    (tied,) = ask("X -> Y; X -> R; Y <-> R; Y {0, 1}", "XRY", rows, ACE)
    assert_proven(tied, low, high)


@pytest.mark.parametrize("levels", [3, 5])
def test_nonresponse_given_a_treatment_of_more_levels(levels):
    rng = np.random.default_rng(levels)
    rows, recorded, missing = [], {}, {}
    for x in range(levels):
        for y in (0, 1):
            recorded[x, y] = int(rng.integers(50, 400))
            rows.append((x, 1, y, recorded[x, y]))
        missing[x] = int(rng.integers(50, 400))
        rows.append((x, 0, None, missing[x]))
    (row,) = ask("X -> Y -> R; X -> R; Y {0, 1}", "XRY", rows, "ACE(X=1 vs 0, Y=1)")
    total = {x: recorded[x, 0] + recorded[x, 1] + missing[x] for x in range(levels)}
    least = {x: recorded[x, 1] / total[x] for x in range(levels)}
    most = {x: (recorded[x, 1] + missing[x]) / total[x] for x in range(levels)}
    assert_proven(row, least[1] - most[0], most[1] - least[0])


def test_selection_by_treatment_and_group():
    rows = [(0, 0, 1, 180), (0, 1, 1, 420), (1, 0, 0, 420), (1, 1, 0, 980), (None, None, None, 2000)]
    queries = ["P(G=1)", "PNS(T=1, S=1)", "PNS(T=1, S=1 | G=1)"]
    share, both, given = ask("G -> T -> S; G -> S; T <-> S", "TSG", rows, queries, {"selected": "T <> G"})
    assert_proven(share, 0.15, 0.65)
    assert_proven(both, 0.0, 0.79)
    assert_proven(given, 0.0, 0.838461538)


def test_a_score_whose_recording_depends_on_itself():
    rows = [(1, 0, 100), (1, 1, 150), (1, 2, 200), (1, 3, 250), (0, None, 400)]
    score = "0.3333333333 P(Y=1) + 0.6666666667 P(Y=2) + P(Y=3)"
    (row,) = ask("Y -> D; Y {0, 1, 2, 3}", "DY", rows, score)
    known = (150 / 3 + 400 / 3 + 250) / 1100
    assert_proven(row, known, known + 400 / 1100)


def test_ends_range_over_the_maxima_of_a_latent_class_and_say_that_there_are_several():
    rows = [(a, b, 4 if a == b else 2) for a in range(4) for b in range(4)]
    (row,) = ask("H -> A; H -> B; H {0, 1}; unmeasured H", "AB", rows, "P(A=0, B=1)")
    assert row["status"] == "bounded"
    assert (row["lower"], row["upper"]) == pytest.approx((0.05, 0.075), abs=1e-6)
    assert not row["exact_lower"]
    assert not row["exact_upper"]
    assert row["outer_lower"] <= row["lower"]
    assert row["outer_upper"] >= row["upper"]
    assert "3 maxima" in row["message"]


# -- one NULL among complete records ------------------------------------------------------------


def covariate_rows(null=False):
    counts = {}
    for z in range(3):
        for x in (0, 1):
            for y in (0, 1):
                counts[z, x, y] = 30 + 7 * z + 11 * x + 5 * y + 3 * ((z * x + y) % 3)
    if null:
        counts[0, 0, 0] -= 1
        counts[None, 0, 0] = 1
    return [(*key, n) for key, n in counts.items()]


def test_one_null_changes_little():
    whole, gap = (ask(COVARIATE, "ZXY", covariate_rows(null), ACE, confidence=0.95)[0] for null in (False, True))
    assert_proven(whole, -0.507936508, 0.492063492)
    assert_proven(gap, -0.507936508, 0.492063492)
    for column in ("lower_ci", "upper_ci"):
        assert gap[column] == pytest.approx(whole[column], abs=0.02)
    assert gap["lower_ci"] < gap["lower"]
    assert gap["upper_ci"] > gap["upper"]


def test_what_values_missing_at_random_identify_is_identified():
    (row,) = ask(COVARIATE, "ZXY", covariate_rows(True), "P(Y=1)")
    whole = sum(n for _, _, y, n in covariate_rows() if y == 1) / 567
    assert_proven(row, whole, whole, "identified")
    (effect,) = ask("X -> Y", "XY", [(0, 0, 300), (0, 1, 100), (1, 0, 50), (1, 1, 250), (None, 1, 40)], ACE)
    # EM by hand: the share of treated among the forty is that among all with Y = 1
    treated, control = 250 + 40 * 250 / 350, 100 + 40 * 100 / 350
    value = treated / (treated + 50) - control / (control + 300)
    assert_proven(effect, value, value, "identified")


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("levels", [2, 3])
def test_a_covariate_that_is_missing_at_random_given_the_rest_leaves_the_effect_s_ends(levels, share):
    rng = np.random.default_rng(levels)
    rows, joint = [], {}
    for z in range(levels):
        for x in (0, 1):
            for y in (0, 1):
                n = int(rng.integers(50, 500))
                rows.append((z, x, y, n))
                joint[z, x, y] = n
    for x in (0, 1):
        for y in (0, 1):
            gone = int(share * sum(joint[z, x, y] for z in range(levels)))
            rows.append((None, x, y, gone))
            seen = sum(joint[z, x, y] for z in range(levels))
            for z in range(levels):  # in a saturated table, missing at random is shared out in proportion
                joint[z, x, y] *= 1 + gone / seen
    total = sum(joint.values())
    low = sum(joint[z, 1, 1] + joint[z, 0, 0] for z in range(levels)) / total - 1
    effect, both = ask(COVARIATE, "ZXY", rows, [ACE, "PNS(X=1, Y=1)"])
    assert_proven(effect, low, low + 1)
    assert_proven(both, 0.0, low + 1)


def test_covariates_without_an_arc_between_them_are_proven_where_few_values_are_missing():
    graph = "A -> X; B -> X; A -> Y; B -> Y; X -> Y; X <-> Y; A {0, 1}; B {0, 1}"
    rows = [
        (a, b, x, y, 40 + 9 * (2 * x + y) + (a ^ b)) for a in (0, 1) for b in (0, 1) for x in (0, 1) for y in (0, 1)
    ]
    for n in (1, 3):
        (row,) = ask(graph, "ABXY", [*rows, (None, 1, 0, 1, n)], ACE)
        assert row["status"] == "bounded"
        assert row["exact_lower"]
        assert row["exact_upper"]
        assert row["upper"] - row["lower"] == pytest.approx(1, abs=1e-6)  # what a confounded effect's always is


def test_the_effect_of_a_variable_with_missing_values_is_proven_too():
    front, both = ask(
        "X -> M -> Y; X <-> Y",
        "XMY",
        [(x, m, y, 60 + 31 * x + 17 * m * y + 5 * y) for x in (0, 1) for m in (0, 1) for y in (0, 1)]
        + [(1, None, 0, 9)],
        [ACE, "PNS(M=1, Y=1)"],
    )
    assert front["status"] == "identified"
    assert both["status"] == "bounded"
    assert both["exact_lower"]
    assert both["exact_upper"]


def test_a_trial_that_lacks_the_covariate_is_read_with_a_registry_that_has_it():
    registry = frame(
        "GTS", [(g, t, s, 50 + 30 * g * t + 20 * s + 10 * t) for g in (0, 1) for t in (0, 1) for s in (0, 1)]
    )
    trial = frame("TS", [(0, 0, 300), (0, 1, 200), (1, 0, 150), (1, 1, 350)])
    studies = [
        emcc.Study(registry, weight="n", name="registry"),
        emcc.Study(trial, weight="n", do="T", name="trial", unmeasured=["G"]),
    ]
    rows = emcc.bounds("G -> T -> S; G -> S; T <-> S", studies, ["P(G=1)", "PNS(T=1, S=1)"]).to_pylist()
    assert all(row["exact_lower"] and row["exact_upper"] for row in rows)
    assert rows[0]["status"] == "identified"


# -- identified by noise -------------------------------------------------------------------------

INSTRUMENT = [
    (1, 0, 0, 4), (1, 1, 0, 9), (1, 1, 1, 25), (2, 0, 0, 5), (2, 0, 1, 6), (2, 1, 0, 12), (2, 1, 1, 12),
    (3, 0, 0, 14), (3, 0, 1, 5), (3, 1, 0, 5), (3, 1, 1, 12), (4, 0, 0, 36), (4, 0, 1, 5), (4, 1, 0, 1),
]  # fmt: skip


def test_a_query_that_only_noise_identifies_is_bounded_and_says_by_how_much():
    effect, share = ask("Z -> X -> Y; X <-> Y", "ZXY", INSTRUMENT, [ACE, "P(Y=1)"])
    assert effect["status"] == "bounded"
    assert effect["lower"] == pytest.approx(effect["upper"], abs=1e-6)
    assert "noise" in effect["message"]
    assert share["status"] == "identified"  # whatever the data


def test_data_inside_the_model_that_leave_one_value_identify_it():
    rows = [(z, x, y, n) for (z, x, y), n in zip(np.ndindex(2, 2, 2), (40, 0, 0, 0, 0, 0, 10, 30), strict=True) if n]
    (row,) = ask("Z -> X -> Y; X <-> Y; Y {0, 1}", "ZXY", rows, ACE)  # full compliance
    assert row["misfit"] == pytest.approx(0, abs=1e-9)
    assert row["status"] == "identified"
    assert row["lower"] == pytest.approx(0.75, abs=1e-6)


def test_an_effect_that_a_trial_identifies_stays_identified_beside_a_registry_that_differs_by_chance():
    registry = frame("XY", [(0, 0, 310), (0, 1, 190), (1, 0, 95), (1, 1, 405)])
    trial = frame("XY", [(0, 0, 320), (0, 1, 180), (1, 0, 190), (1, 1, 310)])
    studies = [emcc.Study(registry, weight="n"), emcc.Study(trial, weight="n", do="X")]
    rows = emcc.bounds("X -> Y; X <-> Y", studies, [ACE, "PNS(X=1, Y=1)"]).to_pylist()
    assert [row["status"] for row in rows] == ["identified", "bounded"]


def test_an_end_that_few_climbs_reach_is_reached():
    """A chain A -> B -> C -> D, A <-> B, C <-> D without a column of B, whose records a known model yields exactly."""
    spec = {
        "endogenous": {
            "A": {"states": ["s0", "s1"]},
            "B": {"states": ["s0", "s1"], "parents": ["A"]},
            "C": {"states": ["s0", "s1", "s2"], "parents": ["B"]},
            "D": {"states": ["s0", "s1"], "parents": ["C"]},
        },
        "exogenous": {"U1": {"children": ["A", "B"]}, "U2": {"children": ["C", "D"]}},
    }
    model = emcc.Model.from_dict(spec)
    rng = np.random.default_rng(0)
    first = np.zeros(8)
    first[[2, 3, 6]] = 0.25, 0.22, 0.53
    full = emcc.FullModel(model, {"U1": first, "U2": rng.dirichlet(np.full(72, 0.5))})
    shares = full.distribution("A", "C", "D")
    cells = [(f"s{a}", f"s{c}", f"s{d}", 1000 * shares[a, c, d]) for a, c, d in np.ndindex(2, 3, 2)]
    source = pl.DataFrame(cells, schema=["A", "C", "D", "n"], orient="row").filter(pl.col("n") > 1e-9)
    study = emcc.Study(source, weight="n", unmeasured=["B"])
    asked = "1.68 * P(C IN ('s1', 's2'), C[A='s0']='s2', D[B=B[A='s0']]='s1') - 0.81 * P(D[C='s2']='s1')"
    (row,) = emcc.bounds(model, study, asked, level=None).to_pylist()
    value = full.evaluate(asked)
    assert row["outer_lower"] - 1e-6 <= row["lower"] <= value + 1e-5
    assert row["outer_upper"] + 1e-6 >= row["upper"] >= value - 1e-5
