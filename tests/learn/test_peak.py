"""The maximum over a junction tree's entries: proven to rounding, and that of the list of states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from duckemcc.learn.convex.peak import find_peak
from duckemcc.learn.maximum import maximise_records
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
