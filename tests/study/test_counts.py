"""`StudyCounts`: one canonical form, whatever the order and the splitting of its rows, and one study per arm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import StudyError, UnknownName
from duckemcc.learn.counts import StudyCounts

LABELS = {"T": ("placebo", "drug"), "Y": ("dead", "alive"), "A": ("0", "1")}


def label(variable, code):
    return LABELS[variable][code]


def counts(codes, count, do=(), variables=("A", "T", "Y")):
    return StudyCounts("trial", variables, do, np.array(codes), np.array(count, float))


CODES = [[1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]]
COUNT = [[1, 2, 3, 4], [0, 5, 0, 6]]


def test_patterns_are_sorted_by_their_codes():
    study = counts(CODES, COUNT)
    assert study.codes.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 0]]
    assert study.count.tolist() == [[4, 2, 3, 1], [6, 5, 0, 0]]
    assert (study.codes.dtype, study.count.dtype) == (np.int32, np.float64)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_splitting_of_rows_matters(rows, random):
    shuffled = random.sample(rows, len(rows))
    one, other = (
        counts([r[:2] for r in some], [[r[2] for r in some]], variables=("A", "T")) for some in (rows, shuffled)
    )
    assert np.array_equal(one.codes, other.codes)
    assert np.array_equal(one.count, other.count)
    assert len(one.codes) == len({r[:2] for r in rows})
    assert one.count.sum() == sum(r[2] for r in rows)


def test_arrays_are_copies_and_read_only():
    codes, count = np.array(CODES, np.int32), np.array(COUNT, float)
    study = StudyCounts("trial", ("A", "T", "Y"), (), codes, count)
    codes[0, 0] = 9
    assert study.codes.max() == 1
    assert codes.flags.writeable
    for array in (study.codes, study.count):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_interventions_are_kept_in_model_order():
    assert counts(CODES, COUNT, do=("Y", "A")).do == ("A", "Y")


def test_a_trial_is_one_study_per_arm():
    arms = counts(CODES, COUNT, do=("T",)).arms(label)
    assert [a.name for a in arms] == ["trial[T=placebo]", "trial[T=drug]"]
    assert [a.codes.tolist() for a in arms] == [[[0, 0, 0], [0, 0, 1]], [[0, 1, 1], [1, 1, 0]]]
    assert [a.count.tolist() for a in arms] == [[[4, 2], [6, 5]], [[3, 1], [0, 0]]]
    assert all(a.do == ("T",) for a in arms)


def test_an_arm_sets_all_intervened_variables():
    arms = counts(CODES, COUNT, do=("A", "T")).arms(label)
    assert [a.name for a in arms] == ["trial[A=0, T=placebo]", "trial[A=0, T=drug]", "trial[A=1, T=drug]"]


def test_a_study_without_interventions_is_its_own_arm():
    study = counts(CODES, COUNT)
    assert study.arms(label) == [study]


@pytest.mark.parametrize(
    ("codes", "count", "message"),
    [
        ([[0, 0]], [[1]], r"codes has shape \(1, 2\); expected \[patterns, 3\]"),
        ([[0, 0, 0]], [[1, 2]], r"count has shape \(1, 2\); expected \[segments, 1\]"),
        ([[0, 0, 0]], [1], r"count has shape \(1,\)"),
        ([[0, 0, -2]], [[1]], "integers from 0"),
        ([[0, 0, 0.5]], [[1]], "integers from 0"),
        ([[0, 0, 0]], [[-1]], "finite and not negative"),
        ([[0, 0, 0]], [[np.nan]], "finite and not negative"),
    ],
)
def test_impossible_arrays_are_refused(codes, count, message):
    with pytest.raises(StudyError, match=message):
        counts(codes, count)


def test_an_unknown_intervention_is_refused():
    with pytest.raises(UnknownName, match="intervenes on Z"):
        counts(CODES, COUNT, do=("Z",))
