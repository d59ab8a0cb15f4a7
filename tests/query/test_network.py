"""The contraction of tables with chances, and its slopes, against sums over all joint states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import TooLarge
from duckemcc.query import network as module
from duckemcc.query.network import Impossible, Network, Table

CARDS = {"A": 2, "B": 3, "C": 4, "D": 2}
LETTERS = {"A": "a", "B": "b", "C": "c", "D": "d", "node": "n"}
SEPARATE = (("A",), ("B",), ("C",), ("D",))
MERGED = (("A", "C"), ("B",), ("D",))


def draw_network(seed, factors):
    """Two 0/1 tables that share a node; nothing depends on D."""
    rng = np.random.default_rng(seed)
    tables = [
        Table(rng.integers(0, 2, (2, 3, 2)).astype(float), ("A", "B", "node")),
        Table(rng.integers(0, 2, (2, 4)).astype(float), ("node", "C")),
    ]
    chances = {f: rng.dirichlet(np.ones(np.prod([CARDS[u] for u in f])), size=5) for f in factors}
    return Network(tables, factors, CARDS), tables, chances


def joint_of(chances, factors):
    """The chances [r, a, b, c, d] of all joint states."""
    operands, specs = [], []
    for f in factors:
        operands.append(chances[f].reshape(-1, *(CARDS[u] for u in f)))
        specs.append("r" + "".join(LETTERS[u] for u in f))
    return np.einsum(",".join(specs) + "->rabcd", *operands)


def holds(tables):
    """How often the tables hold [a, b, c], summed over the node."""
    return np.einsum("abn,nc->abc", tables[0].values, tables[1].values)


@pytest.mark.parametrize("factors", [SEPARATE, MERGED], ids=["separate", "merged"])
@given(st.integers(0, 1000))
def test_a_probability_is_the_sum_over_all_joint_states(factors, seed):
    network, tables, chances = draw_network(seed, factors)
    expected = np.einsum("rabcd,abc->r", joint_of(chances, factors), holds(tables))
    np.testing.assert_allclose(network(chances, 5), expected, atol=1e-12)


@pytest.mark.parametrize("factors", [SEPARATE, MERGED], ids=["separate", "merged"])
@given(st.integers(0, 1000))
def test_a_slope_is_the_change_with_one_factor_s_chances(factors, seed):
    network, _, chances = draw_network(seed, factors)
    other = draw_network(seed + 1, factors)[2]
    for factor in factors:
        slope = network.slope(factor, chances, 5)
        moved = network(chances | {factor: other[factor]}, 5) - network(chances, 5)
        np.testing.assert_allclose((slope * (other[factor] - chances[factor])).sum(axis=1), moved, atol=1e-12)


def test_a_factor_that_no_table_depends_on_is_left_out_and_has_no_slope():
    network, _, chances = draw_network(0, SEPARATE)
    assert network.factors == (("A",), ("B",), ("C",))
    np.testing.assert_array_equal(network.slope(("D",), chances, 5), np.zeros((5, 2)))


def test_a_factor_of_which_one_variable_matters_is_constant_over_the_others():
    tables = [Table(np.array([0.0, 1.0]), ("A",))]
    network = Network(tables, (("A", "B"),), CARDS)
    chances = {("A", "B"): np.full((1, 6), 1 / 6)}
    np.testing.assert_array_equal(network.slope(("A", "B"), chances, 1), [[0, 0, 0, 1, 1, 1]])
    assert network(chances, 1) == pytest.approx([0.5])


def test_one_factor_alone_has_the_same_slope_at_all_restarts():
    network = Network([Table(np.array([1.0, 0.0, 1.0]), ("B",))], (("B",),), CARDS)
    chances = {("B",): np.random.default_rng(0).dirichlet(np.ones(3), size=4)}
    np.testing.assert_array_equal(network.slope(("B",), chances, 4), np.tile([1.0, 0.0, 1.0], (4, 1)))


def test_no_tables_are_a_certain_event_and_an_impossible_one_has_no_chance():
    chances = {("A",): np.full((3, 2), 0.5)}
    np.testing.assert_array_equal(Network((), SEPARATE, CARDS)(chances, 3), np.ones(3))
    np.testing.assert_array_equal(Impossible()(chances, 3), np.zeros(3))
    np.testing.assert_array_equal(Impossible().slope(("A",), chances, 3), np.zeros((3, 2)))


@pytest.mark.parametrize("factors", [SEPARATE, MERGED], ids=["separate", "merged"])
def test_restarts_in_small_batches_have_the_same_slopes(factors, monkeypatch):
    network, _, chances = draw_network(3, factors)
    whole = [network.slope(f, chances, 5) for f in factors]
    monkeypatch.setattr(module, "LARGEST_TENSOR", 30)
    again = draw_network(3, factors)[0]
    for factor, expected in zip(factors, whole, strict=True):
        np.testing.assert_allclose(again.slope(factor, chances, 5), expected, atol=1e-14)


def test_a_table_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_TENSOR", 5)
    with pytest.raises(TooLarge, match=r"needs a table of \d+ entries over 2 potential outcomes"):
        draw_network(0, SEPARATE)
