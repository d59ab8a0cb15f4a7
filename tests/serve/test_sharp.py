"""Sharp bounds from study tables: what makes them hard, and that nothing is called proven which is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from problems import MULTI

import duckemcc as emcc

BOW = "X -> Y; X <-> Y; X {0, 1}; Y {0, 1}"


def ask(model, studies, query, **options):
    return emcc.bounds(model, studies, query, **options).to_pylist()[0]


def observed(cells, weight=1.0):
    return pl.DataFrame([{"X": x, "Y": y, "n": weight * cells[x][y]} for x in (0, 1) for y in (0, 1)])


def with_zero_set(share, weight=1.0):
    """The trial of X=0 in which so many have Y=1."""
    frame = pl.DataFrame({"X": [0, 0], "Y": [0, 1], "n": [weight * (1 - share), weight * share]})
    return emcc.Study(frame, weight="n", do="X", name="trial")


# -- several causes that matter ----------------------------------------------------------------


def chain(states, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"A": a, "B": b, "C": c, "n": int(rng.integers(5, 50))} for a in (0, 1) for b in range(states) for c in (0, 1)
    ]
    model = f"A -> B -> C; A {{0, 1}}; B {{{', '.join(map(str, range(states)))}}}; C {{0, 1}}"
    return model, emcc.Study(pl.DataFrame(rows), weight="n")


@pytest.mark.parametrize("states", [2, 3])
def test_a_mediator_with_few_states_is_bounded_with_proof(states):
    row = ask(*chain(states), "PNS(A=1, C=1)", level=None, incompatible="report")  # C depends on A given B, too
    assert (row["exact_lower"], row["exact_upper"]) == (True, True)


@pytest.mark.parametrize("states", [6, 8])
def test_a_mediator_with_many_states_ends_soon_and_claims_no_more_than_it_knows(states):
    row = ask(*chain(states), "PNS(A=1, C=1)", tolerance=1, max_seconds=60)
    assert row["status"] == "bounded"
    assert row["outer_lower"] <= row["lower"] <= row["upper"] <= row["outer_upper"]
    learned = ask(*chain(states), "PNS(A=1, C=1)", tolerance=1, method="emcc")
    assert row["lower"] <= learned["lower"] + 1e-9
    assert learned["upper"] - 1e-9 <= row["upper"]
    if not (row["exact_lower"] and row["exact_upper"]):
        assert "not proven to be the ends" in row["message"]


def test_a_time_limit_holds_inside_one_query():
    assert ask(*chain(4), "PNS(A=1, C=1)", level=None, max_seconds=0)["status"] == "timeout"


# -- causes that share a component -------------------------------------------------------------


def multi_counts(seed, segments=1):
    rng = np.random.default_rng(seed)
    codes = np.indices((2, 2, 2)).reshape(3, -1).T
    return pl.DataFrame(
        [
            dict(zip("XMY", map(int, cell), strict=True), n=int(rng.integers(1, 50)), s=s)
            for s in range(segments)
            for cell in codes
        ]
    )


def exact_counts(seed, card):
    """A model with two causes in one component, and its own distribution as counts."""
    rng = np.random.default_rng(seed)
    spec = {
        "endogenous": {"X": {"states": [0, 1]}, "M": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U1": {"children": ["X", "M"], "card": 4}, "U2": {"children": ["M", "Y"], "card": card}},
        "equations": {
            "X": {"table": [0, 1, 0, 1]},
            "M": {"table": rng.integers(2, size=(4, card)).tolist()},
            "Y": {"table": [[u >> x & 1 for x in (0, 1)] for u in range(card)]},
        },
    }
    model = emcc.Model.from_dict(spec)
    full = emcc.FullModel(model, {u.name: rng.dirichlet(np.ones(model.card(u.name))) for u in model.exogenous})
    found = full.distribution("X", "M", "Y")
    cells = [dict(zip("XMY", map(int, i), strict=True), n=float(found[i])) for i in np.ndindex(found.shape)]
    return full, pl.DataFrame([c for c in cells if c["n"] > 1e-12])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_local_name_for_a_cause_changes_no_bound(seed):
    full, counts = exact_counts(seed, 4)
    shared, local = (
        ask(
            full.model, emcc.Study(counts, weight="n", name="a", local=names), "P(Y[X=1]=1)", level=None, population="a"
        )
        for names in ((), ("U1",))
    )
    for row in (shared, local):
        assert row["outer_lower"] <= row["lower"] <= row["upper"] <= row["outer_upper"]
        assert row["lower"] - 1e-6 <= full.evaluate("P(Y[X=1]=1)") <= row["upper"] + 1e-6
    assert (local["outer_lower"], local["outer_upper"]) == pytest.approx(
        (shared["outer_lower"], shared["outer_upper"]), abs=2e-2
    )
    assert local["outer_lower"] <= shared["lower"] + 1e-6
    assert shared["upper"] - 1e-6 <= local["outer_upper"]


def test_a_factor_of_a_larger_group_is_found_beside_another_active_one():
    full, counts = exact_counts(1, 4)
    spec = full.model.to_dict()
    spec["endogenous"]["W"] = {"states": [0, 1], "parents": ["Y"]}
    spec["exogenous"]["U3"] = {"children": ["W"]}
    studies = [
        emcc.Study(counts, weight="n", name="a", unmeasured="W"),
        emcc.Study(counts, weight="n", name="b", local="U1", unmeasured="W"),
    ]
    row = ask(emcc.Model.from_dict(spec), studies, "P(W[X=1]=1)", incompatible="report", population="b")
    assert (row["lower"], row["upper"]) == pytest.approx((0, 1), abs=1e-9)  # nothing is known of W


@pytest.mark.parametrize("method", ["emcc", "sharp"])
def test_segments_with_several_causes_in_a_component_do_not_depend_on_their_neighbours(method):
    counts = multi_counts(0, segments=3)
    options = {"method": method, "level": None, "incompatible": "report", "restarts": 4, "by": ["s"]}
    together = emcc.bounds(MULTI, emcc.Study(counts, weight="n"), "PNS(X=1, Y=1)", **options).to_pylist()
    for s, row in enumerate(together):
        alone = ask(MULTI, emcc.Study(counts.filter(pl.col("s") == s), weight="n"), "PNS(X=1, Y=1)", **options)
        for column in ("lower", "upper", "kept", "steps", "exact_lower", "exact_upper"):
            assert alone[column] == row[column], column


# -- nothing is called proven which is not -----------------------------------------------------


@pytest.mark.parametrize("ratio", [1, 1e3, 1e6, 1e9, 1e12])
def test_a_study_that_is_tiny_beside_another_is_exact_only_where_it_is_called_so(ratio):
    small = emcc.Study(observed([[0.5, 0.3], [0.1, 0.1]]), weight="n", name="registry")
    row = ask(BOW, [small, with_zero_set(0.4, ratio)], "P(Y[X=0]=1 | X=1)", level=None)
    error = max(abs(row["lower"] - 0.5), abs(row["upper"] - 0.5))
    if row["exact_lower"] or row["exact_upper"] or row["status"] == "identified":
        assert error <= 1e-6
    assert (row["status"] == "identified") == (ratio <= 1e6)


@pytest.mark.parametrize("rare", [1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9])
def test_a_rare_condition_is_exact_only_where_it_is_called_so(rare):
    registry = emcc.Study(observed([[0.5, 0.3], [0.2 - rare, rare]]), weight="n", name="registry")
    share = 0.3 + 0.2 - rare / 2
    row = ask(BOW, [registry, with_zero_set(share)], "PN(X=1, Y=1)", level=None)
    if row["exact_upper"]:
        assert row["upper"] == pytest.approx(min(1, (1 - share - 0.5) / rare), abs=1e-6)
    assert row["exact_upper"] == (rare >= 1e-6)
