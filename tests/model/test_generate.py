"""Random models of Section 6.2: what every one of them is, and that a seed tells all."""

from __future__ import annotations

import hashlib
from collections import Counter
from math import prod

import numpy as np
import pytest

from duckemcc.errors import OptionError
from duckemcc.model.generate import (
    GATES,
    LARGEST,
    LARGEST_COMPONENT,
    MOST_CAUSES,
    MOST_PARENTS,
    random_model,
    sample_chances,
)
from duckemcc.model.scm import Model
from duckemcc.model.uai import write_uai


def models(nodes, seeds=12):
    return [random_model(nodes, np.random.default_rng(seed)) for seed in range(seeds)]


SIZES = (3, 5, 7, 10, 15)
EVERY = [(n, *pair) for n in SIZES for pair in models(n)]
every = pytest.mark.parametrize(("nodes", "model", "chances"), EVERY)


@every
def test_the_graph_has_the_nodes_and_private_causes_behind_them(nodes, model, chances):
    numbers = {int(name[1:]) for name in (*model.variables, *chances)}
    assert numbers == set(range(len(numbers)))
    assert set(range(nodes)) <= numbers
    for u in model.exogenous:
        if int(u.name[1:]) >= nodes:
            assert len(u.children) == 1
            assert model.causes[u.children[0]] == (u.name,)


@every
def test_every_variable_is_boolean_and_has_an_exogenous_parent(nodes, model, chances):
    for v in model.variables:
        assert model.states[v] == ("0", "1")
        private = any(int(u[1:]) >= nodes for u in model.causes[v])
        assert len(model.causes[v]) >= 1
        assert len(model.causes[v]) + len(model.parents[v]) <= MOST_PARENTS + private


@every
def test_the_query_is_not_zero_by_the_graph(nodes, model, chances):
    assert model.order == model.variables  # numbered in topological order
    reached = {model.order[0]}
    for v in model.order:
        if reached & set(model.parents[v]):
            reached.add(v)
    assert model.order[-1] in reached
    assert len(model.order) >= 2


@every
def test_sizes_are_those_of_the_paper_and_the_authors_files(nodes, model, chances):
    for component in model.components():
        assert len(component.exogenous) <= MOST_CAUSES
        assert prod(map(model.card, component.exogenous)) <= LARGEST_COMPONENT
    for u in model.exogenous:
        contexts = sum(2 ** len(model.parents[c]) for c in u.children)
        assert model.card(u.name) == min(2**contexts, LARGEST)


@every
def test_the_states_of_a_cause_are_distinct_tuples_of_relations(nodes, model, chances):
    for u in model.exogenous:
        if all(len(model.causes[c]) == 1 for c in u.children):
            tuples = np.hstack([model.table(c).reshape(model.card(u.name), -1) for c in u.children])
            assert len(np.unique(tuples, axis=0)) == model.card(u.name)


@every
def test_every_cause_of_a_variable_matters_to_it(nodes, model, chances):
    for v in model.variables:
        table = model.table(v)
        for axis in range(len(model.causes[v])):
            assert (np.diff(table, axis=axis) != 0).any()


@every
def test_the_chances_are_a_point_of_the_simplex_for_every_cause(nodes, model, chances):
    assert list(chances) == [u.name for u in model.exogenous]
    for name, pmf in chances.items():
        assert pmf.shape == (model.card(name),)
        assert (pmf >= 0).all()
        assert pmf.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_seed_gives_the_same_model_everywhere():
    # exact arithmetic on the bits of PCG64 and nothing else, so that a digest can be pinned
    text = "".join(write_uai(*random_model(n, np.random.default_rng(n))) for n in SIZES)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "392111a50e79954935c1b992b8cb9550bec138101c76d1380590527bb2695c6f"
    )


def test_another_seed_gives_another_model():
    assert len({hash(model) for model, _ in models(7, 20)}) == 20


def test_a_generator_goes_on_where_it_stopped():
    rng = np.random.default_rng(5)
    first, second = random_model(6, rng).model, random_model(6, rng).model
    assert first != second
    assert random_model(6, np.random.default_rng(5)).model == first


def test_models_with_one_two_and_three_causes_in_a_component_all_occur():
    found = Counter(max(len(c.exogenous) for c in model.components()) for model, _ in models(10, 60))
    assert set(found) == {1, 2, 3}
    assert min(found.values()) >= 5


def test_a_model_survives_its_uai_file():
    for _, model, _ in EVERY:
        assert Model.from_uai(model.to_uai()) == model


def test_the_gates_are_the_ten_that_depend_on_both_arguments():
    assert len(GATES) == 10
    assert len(np.unique(GATES.reshape(10, 4), axis=0)) == 10
    for gate in GATES:
        assert (gate[0] != gate[1]).any()
        assert (gate[:, 0] != gate[:, 1]).any()


def test_chances_are_broken_sticks_whose_places_are_exchangeable():
    rng = np.random.default_rng(1)
    drawn = np.stack([sample_chances(8, rng) for _ in range(4_000)])
    assert drawn.mean(0) == pytest.approx(np.full(8, 1 / 8), abs=0.015)
    assert drawn.max(1).mean() == pytest.approx(0.6243, abs=0.02)  # Golomb and Dickman's constant, nearly at 8 pieces
    assert sample_chances(1, rng).tolist() == [1.0]


@pytest.mark.parametrize("nodes", [2, 0, -3, 41, 5.0, True, "five", None])
def test_a_number_of_nodes_that_makes_no_benchmark_is_refused(nodes):
    with pytest.raises(OptionError, match=r"nodes is .*; it takes a whole number from 3 to 40"):
        random_model(nodes, np.random.default_rng(0))
