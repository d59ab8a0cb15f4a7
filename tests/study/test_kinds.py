"""Segments of one kind: those whose arms lack the same values."""

from __future__ import annotations

import numpy as np

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.segments import sort_segments, split_by_support
from duckemcc.model.scm import Model

CODES = [[-1, 0], [0, -1], [0, 0], [1, 1]]


def arm(count, codes=CODES, name="obs", **more):
    return StudyCounts(name, ("X", "Y"), (), np.array(codes, np.int32), np.array(count, float), **more)


def kinds(*arms):
    return [kind.segments for kind in sort_segments(arms)]


def test_without_nulls_all_segments_are_of_one_kind():
    complete = arm([[1, 0], [0, 1], [0, 0]], codes=[[0, 0], [1, 1]])
    (kind,) = sort_segments([complete])
    assert kind.segments == [0, 1, 2]
    assert kind.arms == [complete]


def test_nulls_that_are_everywhere_are_of_one_kind_too():
    assert kinds(arm([[1, 2], [3, 0]], codes=[[-1, 0], [-1, 1]])) == [[0, 1]]


def test_segments_are_sorted_by_which_values_they_lack():
    counts = [[1, 0, 5, 5], [0, 0, 5, 0], [7, 0, 0, 3], [0, 2, 1, 0], [0, 0, 0, 9]]
    assert kinds(arm(counts)) == [[0, 2], [1, 4], [3]]


def test_a_kind_has_the_patterns_that_its_segments_can_have():
    first, second = sort_segments([arm([[1, 0, 5, 5], [0, 0, 5, 0]])])
    assert first.arms[0].codes.tolist() == [[-1, 0], [0, 0], [1, 1]]
    assert first.arms[0].count.tolist() == [[1, 5, 5]]
    assert second.arms[0].codes.tolist() == [[0, 0], [1, 1]]
    assert second.arms[0].count.tolist() == [[5, 0]]


def test_an_arm_that_a_segment_lacks_is_as_if_it_had_the_fewest_nulls():
    there = arm([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    other = arm([[1, 1]] * 3, codes=[[0, 0], [1, 1]], name="other")
    assert kinds(there, other) == [[0], [1, 2]]


def test_each_arm_counts():
    one, two = arm([[1, 0, 1, 1], [0, 0, 1, 1]]), arm([[0, 0, 1, 1], [1, 0, 1, 1]], name="two")
    assert kinds(one) == kinds(two) == kinds(one, two) == [[0], [1]]


def test_names_and_local_distributions_are_kept():
    first, _ = sort_segments([arm([[1, 0, 5, 5], [0, 0, 5, 0]], local={"U_X": "U_X@obs"})])
    assert (first.arms[0].name, first.arms[0].local) == ("obs", {"U_X": "U_X@obs"})


CHAIN = Model.parse("X -> Y -> Z; X {0, 1}; Y {0, 1}; Z {0, 1}")


def chain(count, codes):
    return StudyCounts("obs", CHAIN.variables, (), np.array(codes, np.int32), np.array(count, float))


def supports(*arms):
    return [kind.segments for whole in sort_segments(arms) for kind in split_by_support(CHAIN, whole)]


def test_segments_that_show_the_same_patterns_of_each_part_are_learned_together():
    codes = [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]]
    count = [[5, 5, 5, 5, 0, 0, 0, 0], [0, 0, 0, 0, 5, 5, 5, 5], [5, 5, 0, 0, 0, 0, 0, 0]]
    assert supports(chain(count, codes)) == [[0, 1], [2]]  # each pair of X and Y, and of Y and Z, is in both


def test_a_support_has_no_patterns_but_its_own():
    (kind,) = sort_segments([chain([[1, 0, 2], [0, 3, 0]], [[0, 0, 0], [0, 1, 1], [1, 1, 0]])])
    first, second = split_by_support(CHAIN, kind)
    assert (first.arms[0].codes.tolist(), first.arms[0].count.tolist()) == ([[0, 0, 0], [1, 1, 0]], [[1, 2]])
    assert (second.arms[0].codes.tolist(), second.arms[0].count.tolist()) == ([[0, 1, 1]], [[3]])


def test_fractional_weights_are_summed_with_their_own_patterns_alone():
    codes = [[0, 0, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0]]
    count = np.array([[5, 5, 5, 5, 5, 5], [5, 5, 0, 0, 5, 5], [0, 5, 5, 5, 5, 5]])
    assert supports(chain(count, codes)) == [[0, 2], [1]]
    assert supports(chain(count / 10, codes)) == [[0], [1], [2]]
