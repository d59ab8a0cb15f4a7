"""Study-specific distributions of causes, and whose chances a query is about: `Study(local=)`, `population=`."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors

GRAPH = "Z -> X -> Y; X <-> Y; Z {0, 1}; X {0, 1}; Y {0, 1}"
MODEL = emcc.Model.parse(GRAPH)
EXACT = {"level": None, "method": "emcc"}
ANSWERED = ("bounded", "identified")
methods = pytest.mark.parametrize("method", ["emcc", "sharp"])
PNS = "PNS(X=1 vs 0, Y=1)"


def full(seed, **chances):
    rng = np.random.default_rng(seed)
    return emcc.FullModel(
        MODEL, {u.name: rng.dirichlet(np.ones(MODEL.card(u.name))) for u in MODEL.exogenous} | chances
    )


def study(model, name, *, do=(), **options):
    """The exact table of a population, or of its trial of X, as weights."""
    arms = [{"X": x} for x in range(2)] if do else [{}]
    rows = []
    for arm in arms:
        names = [v for v in MODEL.variables if v not in arm]
        table = model.distribution(*names, do=arm)
        for cell in np.argwhere(table > 0):
            value = dict(zip(names, map(int, cell), strict=True))
            rows.append(arm | value | {"n": float(table[tuple(cell)])})
    return emcc.Study(pl.DataFrame(rows).select(*MODEL.variables, "n"), weight="n", name=name, do=do, **options)


HERE = full(1)
THERE = full(2, U_X_Y=HERE.chances["U_X_Y"])  # another distribution of Z, the same of X and Y
ELSEWHERE = full(3)


def one(studies, query, **options):
    (row,) = emcc.bounds(MODEL, studies, query, **EXACT | options).to_pylist()
    return row


def ends(row):
    return pytest.approx((row["lower"], row["upper"]), abs=1e-6)


def test_two_populations_contradict_each_other_unless_their_causes_are_local():
    pooled = [study(HERE, "here"), study(THERE, "there")]
    assert one(pooled, "P(Z=1)")["status"] == "incompatible"
    own = [study(HERE, "here", local="U_Z"), study(THERE, "there", local="u_z")]
    assert one(own, "P(Y=1)", population="here")["status"] in ANSWERED
    other = [study(HERE, "here", local="U_Z"), study(ELSEWHERE, "elsewhere", local="U_Z")]
    assert one(other, "P(Z=1)", population="here")["status"] == "incompatible"  # U_X_Y still is that of both
    both = [study(m, n, local=["U_Z", "U_X_Y"]) for m, n in ((HERE, "here"), (ELSEWHERE, "elsewhere"))]
    assert one(both, "P(Z=1)", population="here")["status"] in ANSWERED


@methods
def test_each_population_gets_its_own_answer(method):
    own = [study(HERE, "here", local="U_Z"), study(THERE, "there", local="U_Z")]
    for query in ("P(Z=1)", "P(Y=1)", "P(X=1, Y=0)"):
        for model, name in ((HERE, "here"), (THERE, "there")):
            row = one(own, query, population=name, method=method)
            assert (row["lower"], row["upper"]) == pytest.approx((model.evaluate(query),) * 2, abs=1e-5)
            assert row["message"] is None


def test_what_only_one_study_informs_is_answered_as_from_it_alone():
    everything = ["U_Z", "U_X_Y"]
    both = [study(HERE, "here", local=everything), study(ELSEWHERE, "elsewhere", do="X", local=everything)]
    for name, alone in (("here", study(HERE, "here")), ("elsewhere", study(ELSEWHERE, "elsewhere", do="X"))):
        row = one(both, PNS, population=name, restarts=100)
        expected = one(alone, PNS, restarts=100)
        # starts are drawn by the position of a distribution, so other points of the same set are reached
        assert (row["lower"], row["upper"]) == pytest.approx((expected["lower"], expected["upper"]), abs=0.05)


def test_without_a_population_the_message_says_whose_chances_the_answer_is_about():
    studies = [study(HERE, "here"), study(THERE, "there", local="U_Z")]
    told = one(studies, "P(Z=1)", method="sharp")["message"]
    assert "U_Z" in told
    assert "'there'" in told
    assert one(studies, "P(Z=1)", method="sharp", population="there")["message"] is None
    assert one(studies, "P(Y[X=1]=1)", method="sharp")["message"] is None  # Z's cause does not bear on it


def test_what_is_shared_is_learned_from_all_studies():
    obs, trial = study(HERE, "obs", local="U_Z"), study(THERE, "trial", do="X", local="U_Z")
    together, apart = (one(s, PNS, population="obs", restarts=60) for s in ([obs, trial], [obs]))
    assert together["upper"] - together["lower"] <= apart["upper"] - apart["lower"] + 1e-6
    pooled = one([study(HERE, "obs"), study(HERE, "trial", do="X")], PNS, restarts=60)
    assert (together["lower"], together["upper"]) == pytest.approx((pooled["lower"], pooled["upper"]), abs=0.05)


def test_without_a_population_the_chances_are_those_that_the_studies_share():
    third = study(HERE, "third")
    own = [third, study(THERE, "there", local="U_Z")]
    assert one(own, "P(Z=1)")["lower"] == pytest.approx(HERE.evaluate("P(Z=1)"), abs=1e-6)
    assert one(own, "P(Z=1)", population="third")["lower"] == pytest.approx(HERE.evaluate("P(Z=1)"), abs=1e-6)
    assert one(own, "P(Z=1)", population="There")["lower"] == pytest.approx(THERE.evaluate("P(Z=1)"), abs=1e-6)


@methods
def test_a_cause_that_is_local_everywhere_is_unknown_to_the_others_and_the_message_says_so(method):
    own = [study(HERE, "here", local="U_Z"), study(THERE, "there", local="U_Z")]
    row = one(own, "P(Z=1)", method=method)
    assert (row["lower"] < 0.01, row["upper"] > 0.99) == (True, True)
    assert row["message"] == (
        "nothing is known of U_Z but in 'here', 'there', where it is local, so the bounds are vacuous in it; name one "
        "of these studies as population, or leave out local"
    )
    assert one(own, PNS, method=method)["message"] is None  # does not depend on U_Z


def test_a_population_that_does_not_inform_its_own_cause_says_so():
    trial = study(full(4, U_Z=HERE.chances["U_Z"]), "trial", do="X", local="U_X_Y")
    assert one([study(HERE, "here"), trial], "P(X=1)", population="trial")["message"] is None
    blind = emcc.Study(study(THERE, "blind").source.drop("Z"), weight="n", name="blind", unmeasured=["Z"], local="U_Z")
    row = one([study(HERE, "here"), blind], "P(Z=1)", population="blind")
    assert "nothing is known" not in (row["message"] or "")  # X tells of Z
    last = MODEL.parse("X -> Y; W -> V; W {0, 1}; V {0, 1}; X {0, 1}; Y {0, 1}")
    frame = pl.DataFrame({"X": [0, 1], "Y": [1, 0]})
    part = emcc.Study(frame, name="part", unmeasured=["W", "V"], local="U_W")
    whole = emcc.Study(frame.with_columns(W="X", V="Y"), name="whole")
    options = EXACT | {"level": 0.01, "tolerance": 1}  # in two records all depends on all
    (row,) = emcc.bounds(last, [part, whole], "P(W=1)", population="part", **options).to_pylist()
    assert row["message"] == (
        "nothing is known of U_W in 'part', so the bounds are vacuous in it; name another population, or leave it out"
    )


def test_fit_gives_every_distribution_and_the_models_of_the_population():
    own = [study(HERE, "here"), study(THERE, "there", local="U_Z")]
    fitted = emcc.fit(MODEL, own, population="there", restarts=5, **EXACT)
    assert set(fitted.chances) == {"U_Z", "U_X_Y", "U_Z@there"}
    assert fitted.distributions == {"U_Z": "U_Z@there", "U_X_Y": "U_X_Y"}
    for learned in fitted.models:
        assert learned.evaluate("P(Z=1)") == pytest.approx(THERE.evaluate("P(Z=1)"), abs=1e-6)


@methods
def test_the_order_of_studies_and_rows_does_not_matter(method):
    own = [study(HERE, "here", local="U_Z"), study(THERE, "there", local="U_Z"), study(HERE, "third", do="X")]
    turned = [emcc.Study(s.source.reverse(), weight="n", name=s.name, do=s.do, local=s.local) for s in reversed(own)]
    for population in (None, "here", "there"):
        one_, other = (one(studies, PNS, population=population, method=method) for studies in (own, turned))
        assert one_.pop("studies") == other.pop("studies")[::-1]
        for name in ("n", "optimality_gap"):  # sums of fractions, which these weights are
            assert one_.pop(name) == pytest.approx(other.pop(name))
        assert one_ == other


@pytest.mark.parametrize(
    ("population", "error", "message"),
    [
        ("heer", errors.OptionError, r"population is 'heer', which is no study; the studies are here.*\['here'\]"),
        (3, errors.OptionError, "population is 3; it takes the name of a study"),
    ],
)
def test_a_population_is_the_name_of_a_study(population, error, message):
    with pytest.raises(error, match=message):
        one([study(HERE, "here", local="U_Z")], PNS, population=population)


def test_local_names_an_exogenous_variable():
    with pytest.raises(
        errors.UnknownName, match=r"'here' has local= for U_ZZ, which is no exogenous variable.*\['U_Z'"
    ):
        one(study(HERE, "here", local="U_ZZ"), PNS)
    with pytest.raises(errors.RepeatedName, match="local names U_Z and u_z"):
        study(HERE, "here", local=["U_Z", "u_z"])
