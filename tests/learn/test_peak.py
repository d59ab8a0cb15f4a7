"""The maximum over a junction tree's entries: proven to rounding, and that of the list of states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from duckemcc.learn.convex.newton import maximise_records
from duckemcc.learn.convex.peak import find_peak
from duckemcc.learn.pieces.peaks import find_peaks
from duckemcc.learn.pieces.split import Piece
from duckemcc.learn.pieces.tree import Tree


def instrument(levels, seed, records):
    """X(z) and Y(x) of an instrument: the tree, the patterns' rows over entries and over all states, and counts."""
    cards = [2] * (levels + 2)  # X(0) … X(levels - 1), Y(0), Y(1)
    reads = [(z, levels + x) for z in range(levels) for x in range(2)]
    tree = Tree(cards, reads, [])
    states = np.array(list(product(*map(range, cards))), np.intp)
    responses = np.array([(z, levels + x) for z in range(levels) for x in range(2) for _ in range(2)], np.intp)
    values = np.array([(x, y) for _ in range(levels) for x in range(2) for y in range(2)], np.intp)
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(len(states), 0.05))
    held = np.array([(states[:, r] == v).all(axis=1) for r, v in zip(responses, values, strict=True)], float)
    chance = (held @ truth).reshape(levels, 4)
    count = np.stack([rng.multinomial(records, own / own.sum()) for own in chance]).ravel().astype(float)
    return tree, tree.rows(responses, values), held, count


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("records", [20, 3000])
def test_the_peak_of_a_sample_is_proven_to_rounding_and_is_that_of_all_states(seed, records):
    tree, rows, held, count = instrument(6, seed, records)
    seen = count > 0
    peak = find_peak(rows[seen], *tree.ties(), tree.even(), count[seen])
    known = maximise_records(held[seen], count[None, seen])
    loglik = float(count[seen] @ np.log(peak.fitted))
    assert peak.excess < 1e-11
    assert peak.error.max() < 1e-10
    assert peak.point.min() >= 0
    assert loglik == pytest.approx(float(known.loglik[0]), abs=1e-9 * count.sum())
    np.testing.assert_allclose(peak.fitted, known.fitted[0][0], atol=1e-8)


def test_counts_twice_as_large_have_the_same_peak():
    tree, rows, _, count = instrument(5, 3, 500)
    seen = count > 0
    once = find_peak(rows[seen], *tree.ties(), tree.even(), count[seen])
    twice = find_peak(rows[seen], *tree.ties(), tree.even(), 2 * count[seen])
    np.testing.assert_allclose(once.fitted, twice.fitted, atol=1e-12)


def star(levels):
    """A response that each of many others is read together with: the tree, and rows of what is read."""
    tree = Tree([2] * (levels + 1), [(0, m) for m in range(1, levels + 1)], [])
    responses = np.array([(0, m) for m in range(1, levels + 1) for _ in range(4)], np.intp)
    values = np.array([(a, b) for _ in range(levels) for a in (0, 1) for b in (0, 1)], np.intp)
    return tree, tree.rows(responses, values)


@pytest.mark.parametrize("levels", [20, 21, 25])
def test_steps_that_go_too_far_at_first_do_not_end_the_search(levels):
    tree, rows = star(levels)
    rng = np.random.default_rng(0)
    other, chance = rng.dirichlet(np.ones(levels), 2), rng.random((2, levels))
    count = np.array(
        [(0.4, 0.6)[a] * other[a, m] * abs(1 - b - chance[a, m]) for m in range(levels) for a in (0, 1) for b in (0, 1)]
    )
    peak = find_peak(rows, *tree.ties(), tree.even(), 1e5 * count)
    assert peak.excess < 1e-11
    assert rows[:2].sum(axis=0) @ peak.point == pytest.approx(0.4, abs=1e-9)


def test_patterns_that_are_very_rare_beside_others_have_a_maximum_that_is_proven_as_far_as_it_is():
    tree, rows, held, count = instrument(5, 1, 4000)
    count = np.where(np.arange(len(count)) % 7 == 0, 1e-9, count + 1)
    blocks = {"U": (rows, count[None])}

    class One:  # the only piece of one cause
        cause_of, pieces = (
            {"U": "U"},
            {"U": (Piece("U", "U", np.arange(7), tree.sample(4, np.random.default_rng(0)), tree),)},
        )

        def name(self, whole, cause, place):
            return "U"

        def list_states(self, cause, place, states):
            pass

    found = find_peaks(One(), blocks)["U"]
    known = maximise_records(held, count[None])
    assert found.loglik[0] <= known.upper[0] + 1e-6
    assert found.upper[0] >= known.loglik[0] - 1e-6
    off = np.abs(found.fitted[0] - known.fitted[0][0])
    assert (off <= found.error[0] + 1e-8).all()
