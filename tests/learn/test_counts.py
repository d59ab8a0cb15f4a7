"""Counts of records that lack values, and a study's own distributions."""

from __future__ import annotations

import numpy as np
import pytest

from duckemcc.errors import StudyError
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import split_samples

VARIABLES = ("A", "T", "Y")


def counts(codes, do=(), **more):
    return StudyCounts("trial", VARIABLES, do, np.array(codes), np.ones((1, len(codes))), **more)


def test_patterns_that_lack_values_are_patterns_of_their_own():
    arm = counts([[0, 1, -1], [0, 1, 0], [0, 1, -1], [-1, 1, 0]])
    assert arm.codes.tolist() == [[-1, 1, 0], [0, 1, -1], [0, 1, 0]]
    assert arm.count.tolist() == [[1, 2, 1]]


def test_a_study_is_one_sample_for_each_set_of_missing_variables_complete_ones_first():
    samples = split_samples(counts([[0, 1, -1], [0, 1, 0], [1, 1, -1], [-1, 1, 0]]))
    assert [s.missing for s in samples] == [(), ("Y",), ("A",)]
    assert [s.arm.codes.tolist() for s in samples] == [[[0, 1, 0]], [[0, 1, -1], [1, 1, -1]], [[-1, 1, 0]]]


def test_a_variable_that_was_set_has_a_value_in_every_record():
    with pytest.raises(StudyError, match=r"'trial' sets T by design, but has records without its value; fill in"):
        counts([[0, 1, 0], [0, -1, 0]], do=("T",))


def test_the_arms_of_a_study_have_its_own_distributions():
    study = counts([[0, 0, 0], [0, 1, 0]], do=("T",), local={"U_Y": "U_Y@trial", "U_A": "U_A@trial"})
    assert list(study.local) == ["U_A", "U_Y"]
    assert [arm.local for arm in study.arms(lambda v, c: str(c))] == [study.local, study.local]
