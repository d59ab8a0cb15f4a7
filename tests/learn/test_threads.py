"""Kernels have one thread of linear algebra; what there was before is there again afterwards."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import duckemcc as emcc
from duckemcc.model.threads import one_thread


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def set_threads(number):
    """In a thread that ends, for threadpoolctl lets no other thread set a number while one that did is alive."""
    thread = threading.Thread(target=threadpool_limits, args=(number, "blas"))
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def several():
    """As on a machine of three cores, whatever this one has."""
    with one_thread:  # every library is loaded
        pass
    before = blas_threads()
    set_threads(3)
    if blas_threads() != {3}:
        pytest.skip("needs a BLAS whose threads can be limited")
    yield
    set_threads(max(before))


def test_there_is_one_thread_inside_and_as_many_as_before_outside():
    with one_thread:
        assert blas_threads() == {1}
        with one_thread:
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_an_error_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError), one_thread:
        1 / 0  # noqa: B018
    assert blas_threads() == {3}


def test_the_threads_come_back_when_the_last_of_several_kernels_has_ended():
    entered, leave, seen = threading.Barrier(2), threading.Event(), []

    def work():
        with one_thread:
            entered.wait(30)
            leave.wait(30)
            seen.append(blas_threads())

    thread = threading.Thread(target=work)
    thread.start()
    with one_thread:
        entered.wait(30)
    seen.append(blas_threads())  # this thread is out, the other is not
    leave.set()
    thread.join()
    assert seen == [{1}, {1}]
    assert blas_threads() == {3}


def test_a_limit_of_the_callers_own_is_there_again_afterwards():
    with threadpool_limits(limits=2, user_api="blas"):
        with one_thread:
            assert blas_threads() == {1}
        assert blas_threads() == {2}
    assert blas_threads() == {3}


@pytest.mark.parametrize("entry", [emcc.bounds, emcc.fit, emcc.witness, emcc.compatibility, emcc.frequencies])
def test_every_entry_works_with_one_thread(entry, monkeypatch):
    from duckemcc.answer.options import Clock

    seen = []
    monkeypatch.setattr(Clock, "tick", lambda clock, needed=0.0: seen.append(blas_threads()))
    asked = ["P(Y=1)"] if entry in (emcc.bounds, emcc.witness) else []
    import polars as pl

    entry("X -> Y; X <-> Y", pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 1, 1]}), *asked)
    assert seen
    assert set(map(frozenset, seen)) == {frozenset({1})}
    assert blas_threads() == {3}


def test_a_model_that_is_evaluated_leaves_the_threads_as_they_were():
    import numpy as np

    model = emcc.FullModel(
        emcc.Model.parse("X {0, 1}; X -> Y; Y {0, 1}"), {"U_X": np.array([0.25, 0.75]), "U_Y": np.full(4, 0.25)}
    )
    assert model.evaluate("P(X=1)") == 0.75
    assert blas_threads() == {3}
