"""The range of a query over the learned models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.bound.bounds import Bounds, bound
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.language import query

MODEL = Model.parse("X -> Y; X {0, 1}; Y {0, 1}")


def chances(x, y):
    """One segment: P(X=1) per restart, and Y's relation (never, copy, flip, always) per restart."""
    x = np.asarray(x, float)
    return {"U_X": np.stack([1 - x, x], axis=1)[None], "U_Y": np.asarray(y, float)[None]}


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=9))
def test_bounds_are_the_smallest_and_largest_value_over_the_restarts(p):
    found = bound(Compiled(query("P(X=1)"), MODEL), chances(p, [[0.25] * 4] * len(p)), 0, len(p))
    assert found.status == "bounded"
    assert found.lower == pytest.approx(min(p))
    assert found.upper == pytest.approx(max(p))
    # restarts prove nothing
    assert found.exact_lower is found.exact_upper is False
    assert found.outer_lower is found.outer_upper is None


def test_a_model_in_which_the_condition_cannot_happen_is_passed_over():
    y = [[0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]]
    found = bound(Compiled(query("P(Y=1 | X=1)"), MODEL), chances([0.5, 0.0], y), 0, 2)
    assert (found.status, found.lower, found.upper) == ("bounded", pytest.approx(1.0), pytest.approx(1.0))


def test_a_condition_that_never_happens_is_undefined_and_no_number():
    found = bound(Compiled(query("P(Y=1 | X=1)"), MODEL), chances([0.0, 0.0], [[0.25] * 4] * 2), 0, 2)
    assert found == Bounds("undefined")
    assert set(found[1:]) <= {None, False}


def test_segments_are_told_apart():
    both = {
        k: np.concatenate([a, b])
        for (k, a), b in zip(chances([0.2], [[0.25] * 4]).items(), chances([0.7], [[0.25] * 4]).values(), strict=True)
    }
    compiled = Compiled(query("P(X=1)"), MODEL)
    assert bound(compiled, both, 0, 1).lower == pytest.approx(0.2)
    assert bound(compiled, both, 1, 1).lower == pytest.approx(0.7)


def test_credibility_counts_the_runs_that_were_learned_and_knows_the_query_s_range():
    p = [0.3, 0.4, 0.35, 0.32, 0.38]
    assert bound(Compiled(query("P(X=1)"), MODEL), chances(p, [[0.25] * 4] * 5), 0, 2).credibility is None
    few, many = (
        bound(Compiled(query("P(X=1)"), MODEL), chances(p * 4, [[0.25] * 4] * 20), 0, runs).credibility
        for runs in (5, 20)
    )
    assert 0 < few < many < 1
    assert Compiled(query("ACE(X=1, Y=1)"), MODEL).span == (-1.0, 1.0)
    assert Compiled(query("10 - 3*P(Y=1) + 2*P(X=1)"), MODEL).span == (7.0, 12.0)
