"""Labels become codes: declared or learned states, segments over all studies, counts where they belong."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from duckemcc.errors import MissingColumn, OptionError, StudyError, TooLarge, UnknownState
from duckemcc.study import encode as encode_module
from duckemcc.study.count.read import count_study
from duckemcc.study.encode import encode
from duckemcc.study.study import Study
from duckemcc.study.table import CountTable


def table(name, do=(), **columns):
    frame = pl.DataFrame(columns)
    return CountTable(name, do, frame.with_columns(pl.col("count").cast(pl.Float64)))


TRIAL = table("trial", ("T",), G=["f", "f", "m"], T=["10", "9", "9"], region=["n", None, "n"], count=[1, 2, 3])
REGISTRY = table("registry", G=["m", "m"], T=["10", "10"], region=["s", "n"], count=[4, 5])


def test_learned_states_are_the_union_sorted_as_numbers_or_as_text():
    encoded = encode([TRIAL, REGISTRY], {"T": None, "G": None})
    assert encoded.states == {"T": ("9", "10"), "G": ("f", "m")}
    mixed = table("x", T=["10", "9", "b"], count=[1, 1, 1])
    assert encode([mixed], {"T": None}).states == {"T": ("10", "9", "b")}


def test_declared_states_keep_their_order_and_may_be_absent_from_the_data():
    encoded = encode([REGISTRY], {"G": ("x", "m", "f"), "T": None})
    assert encoded.states == {"G": ("x", "m", "f"), "T": ("10",)}
    assert encoded.studies[0].codes.tolist() == [[1, 0]]


def test_without_segments_there_is_one():
    encoded = encode([TRIAL, REGISTRY], {"G": None, "T": None})
    assert (encoded.segment_count, encoded.segments.shape) == (1, (0, 0))
    trial, registry = encoded.studies
    assert (trial.name, trial.do, trial.variables) == ("trial", ("T",), ("G", "T"))
    assert trial.codes.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert trial.count.tolist() == [[2, 1, 3]]
    assert (registry.codes.tolist(), registry.count.tolist()) == ([[1, 1]], [[9]])


def test_segments_are_those_of_all_studies_sorted_nulls_first():
    encoded = encode([TRIAL, REGISTRY], {"G": None, "T": None}, by=["region"])
    assert encoded.segments.rows() == [(None,), ("n",), ("s",)]
    assert encoded.segment_count == 3
    trial, registry = encoded.studies
    assert trial.count.tolist() == [[2, 0, 0], [0, 1, 3], [0, 0, 0]]
    assert registry.count.tolist() == [[0], [5], [4]]


def test_several_segment_columns_of_any_type_combine():
    day = dt.date(2024, 1, 1)
    one = table(
        "a", X=["x"] * 4, d=[None, day, None, day], f=[1.0, float("nan"), 1.0, float("nan")], count=[1, 2, 3, 4]
    )
    encoded = encode([one], {"X": None}, by=["d", "f"])
    assert encoded.segment_count == 2
    assert encoded.studies[0].count.tolist() == [[4], [6]]


def test_segments_of_different_integer_types_meet():
    one, two = (table(n, X=["x"], s=pl.Series([1], dtype=t), count=[1]) for n, t in (("a", pl.Int32), ("b", pl.Int64)))
    assert encode([one, two], {"X": None}, by=["s"]).segment_count == 1


def test_segments_of_different_kinds_are_refused():
    one, two = (table(n, X=["x"], s=[s], count=[1]) for n, s in (("a", 1), ("b", dt.date(2024, 1, 1))))
    with pytest.raises(StudyError, match=r"by s are of different types: a has Int64; b has Date. Cast them alike"):
        encode([one, two], {"X": None}, by=["s"])


def test_an_undeclared_state_names_study_value_count_and_remedy():
    trial = table("trial", Gender=["F", "F", "female"], T=["a", "b", "a"], count=[5, 7, 1])
    with pytest.raises(UnknownState) as e:
        encode([trial], {"Gender": ("female", "male"), "T": None})
    assert str(e.value) == (
        "study 'trial' has Gender = 'F' in 12 records; the model declares female, male. "
        "Map it with columns=…, or declare the state."
    )


@pytest.mark.parametrize("value", ["Male", " male", "mal"])
def test_a_near_state_is_hinted_at(value):
    with pytest.raises(UnknownState, match=r"in 1 record;.*Hint: did you mean one of these states: \['male'"):
        encode([table("t", Gender=[value], count=[1])], {"Gender": ("female", "male")})


def test_states_that_only_one_study_has_are_known_to_all():
    encoded = encode([TRIAL, REGISTRY], {"G": None, "T": None})
    assert encoded.studies[1].codes.tolist() == [[1, 1]]


def test_integers_booleans_and_text_of_different_studies_meet_by_their_text():
    sources = [pl.DataFrame({"X": [1, 0]}), pl.DataFrame({"X": ["1", "0"]}), pl.DataFrame({"X": [1.0, 0.0]})]
    tables = [count_study(Study(s), ["X"], name=f"s{i}") for i, s in enumerate(sources)]
    encoded = encode(tables, {"X": ("0", "1")})
    assert all(s.count.tolist() == [[1, 1]] for s in encoded.studies)
    boolean = count_study(Study(pl.DataFrame({"X": [True]})), ["X"], name="b")
    with pytest.raises(UnknownState, match="'true'"):
        encode([boolean], {"X": ("True", "False")})


def test_too_many_counts_are_refused(monkeypatch):
    monkeypatch.setattr(encode_module, "MOST_COUNTS", 5)
    with pytest.raises(TooLarge, match=r"study 'trial' has 3 distinct patterns and there are 2 segments"):
        encode([TRIAL], {"G": None, "T": None}, by=["region"])


def test_no_study_is_refused():
    with pytest.raises(OptionError, match="there is no study"):
        encode([], {"X": None})


def test_the_order_of_rows_does_not_matter():
    shuffled = TRIAL._replace(frame=TRIAL.frame.reverse())
    one, other = (encode([t], {"G": None, "T": None}, by=["region"]) for t in (TRIAL, shuffled))
    assert one.segments.equals(other.segments)
    assert np.array_equal(one.studies[0].codes, other.studies[0].codes)
    assert np.array_equal(one.studies[0].count, other.studies[0].count)


# -- what was not recorded, local, shared ------------------------------------------------------

HOLES = table("holes", G=["f", None, "f"], T=[None, "1", "1"], region=["n", "s", "s"], count=[1, 2, 3])


def test_what_was_not_recorded_has_the_code_minus_one_and_is_no_state():
    encoded = encode([HOLES], {"G": None, "T": ("0", "1")})
    assert encoded.states == {"G": ("f",), "T": ("0", "1")}
    assert encoded.studies[0].codes.tolist() == [[-1, 1], [0, -1], [0, 1]]
    assert encoded.studies[0].count.tolist() == [[2, 1, 3]]


def test_a_variable_without_any_value_must_declare_its_states():
    unmeasured = table("one", G=pl.Series([None, None], dtype=pl.String), T=["1", "0"], count=[1, 1])
    with pytest.raises(MissingColumn, match=r"no study has a value of G, so its states are not known; .*: G \{…\}"):
        encode([unmeasured], {"G": None, "T": None})
    assert encode([unmeasured], {"G": ("f", "m"), "T": None}).studies[0].codes.tolist() == [[-1, 0], [-1, 1]]
    assert encode([unmeasured, REGISTRY], {"G": None, "T": None}).states["G"] == ("m",)


def test_a_shared_study_counts_in_every_segment():
    shared = HOLES._replace(frame=HOLES.frame.drop("region"), shared=True)
    encoded = encode([TRIAL, shared], {"G": None, "T": None}, by=["region"])
    assert encoded.segments.rows() == [(None,), ("n",)]
    assert encoded.studies[1].count.tolist() == [[2, 1, 3]] * 2
    assert encode([shared], {"G": None, "T": None}).studies[0].count.tolist() == [[2, 1, 3]]


def test_all_studies_cannot_be_shared():
    shared = HOLES._replace(frame=HOLES.frame.drop("region"), shared=True)
    with pytest.raises(OptionError, match="all studies are shared, so none says what the segments by region are"):
        encode([shared], {"G": None, "T": None}, by=["region"])


def test_local_distributions_bear_the_name_of_their_study():
    own = TRIAL._replace(local=("U_G",))
    assert [s.local for s in encode([own, REGISTRY], {"G": None, "T": None}).studies] == [{"U_G": "U_G@trial"}, {}]
