"""What the rank of a table of patterns says of one cause.

Where a value b is not recorded, patterns of two causes are sums over it, T_ij = Σ_b α_ib ⊗ β_bj, and their
probabilities a product of matrices: m = L R, L_ib = α_ib·θ_1, R_bj = β_bj·θ_2. If the rank of m is the number k of
values b, L has full column rank, so

    R g = 0 for every g with m g = 0,     and likewise h L = 0 for every h with h m = 0:

equations of one cause by itself. (They say, for instance, that P(C, D | do b) lies on the line through the
P(C, D | A = a).) With m known up to δ, |R g| ≤ |m g| ‖R‖ / σ_k(m), as σ_k(m) ≤ σ_k(L) ‖R‖; hence the rule is used only
where σ_k is well above the error of the fit.

Axes: i row, j column of the table, b value that is not recorded, u state of a cause.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.problem import Problem

Floats = NDArray[np.float64]

CLEAR = 1e-3
"""Singular value from which on a rank is used: fitted probabilities err by 1e-12, which this makes 1e-9 at most."""

_ZERO = 1e-8  # singular value up to which it is none; between the two nothing is said
_LARGEST_ERROR = 1e-8


class Deduced(NamedTuple):
    """Σ_u function[u] θ_cause(u) = 0 up to `error`."""

    cause: int
    function: Floats
    error: float


class _Table(NamedTuple):
    """m [i, j], how far it may be off, and α [i, b, u], β [b, j, u] of the causes `first`, `second`."""

    first: int
    second: int
    alpha: Floats
    beta: Floats
    fitted: Floats
    error: float


class _Term(NamedTuple):
    """One product α ⊗ β of a pattern; the keys name the two functions."""

    alpha: bytes
    beta: bytes


def deduce(problem: Problem) -> list[Deduced]:
    """The equations of one cause that ranks of tables imply."""
    found: list[Deduced] = []
    for first in range(problem.causes):
        for second in range(problem.causes):
            if first != second:
                for table in _find_tables(problem, first, second):
                    found += _deduce_from(table)
    return found


def _deduce_from(table: _Table) -> list[Deduced]:
    left, size, right = np.linalg.svd(table.fitted, full_matrices=True)
    values = table.alpha.shape[1]
    if len(size) < values or size[values - 1] < CLEAR or (size[values:] > _ZERO).any():
        return []
    found = []
    for null, functions, cause in (
        (right[values:], np.einsum("bju->jbu", table.beta), table.second),
        (left[:, values:].T, np.einsum("ibu->ibu", table.alpha), table.first),
    ):
        norm = float(np.sqrt((np.abs(functions).max(axis=2) ** 2).sum()))  # of R, or L, at any chances
        for weights in null:
            rest = table.fitted @ weights if cause == table.second else weights @ table.fitted
            missed = np.linalg.norm(rest) + np.abs(weights).sum() * table.error * np.sqrt(len(rest))
            error = float(missed) * norm / float(size[values - 1])
            if error <= _LARGEST_ERROR:
                found += [Deduced(cause, own, error) for own in np.einsum("j,jbu->bu", weights, functions)]
    return found


def _find_tables(problem: Problem, first: int, second: int) -> list[_Table]:
    """The tables of patterns that read these two causes, rows by what they read of the first one.

    The functions that occur together in a term belong to one value b; rows with the same columns are a table.
    """
    functions: dict[bytes, Floats] = {}
    cells: dict[tuple[frozenset[bytes], frozenset[bytes]], tuple[float, float]] = {}
    parent: dict[bytes, bytes] = {}

    def root(key: bytes) -> bytes:
        while parent[key] != key:
            key = parent[key]
        return key

    for pattern, fitted, error in zip(problem.patterns, problem.fitted, problem.error, strict=True):
        if _reads(pattern) != {first, second}:
            continue
        terms = _split(pattern, first, second, functions)
        for term in terms:
            for key in term:
                parent.setdefault(key, key)
            parent[root(term.alpha)] = root(term.beta)
        cell = frozenset(t.alpha for t in terms), frozenset(t.beta for t in terms)
        cells[cell] = float(fitted), float(error)
    columns: dict[frozenset[bytes], list[frozenset[bytes]]] = {}
    for row, column in cells:
        columns.setdefault(row, []).append(column)
    alike: dict[frozenset[frozenset[bytes]], list[frozenset[bytes]]] = {}
    for row, own in columns.items():
        alike.setdefault(frozenset(own), []).append(row)
    found = []
    for rows in alike.values():
        across = columns[rows[0]]
        values = sorted({root(key) for side in (*rows, *across) for key in side})
        alpha, beta = (_arrange(side, values, root, functions) for side in (rows, across))
        if len(values) > 1 and alpha is not None and beta is not None:
            table = np.array([[cells[r, c][0] for c in across] for r in rows])
            error = max(cells[r, c][1] for r in rows for c in across)
            found.append(_Table(first, second, alpha, np.moveaxis(beta, 0, 1), table, error))
    return found


def _reads(pattern: Floats) -> set[int]:
    """The causes on which a pattern depends."""
    return {j for j in range(pattern.ndim) if np.ptp(pattern, axis=j).any()}


def _split(pattern: Floats, first: int, second: int, functions: dict[bytes, Floats]) -> list[_Term]:
    """A pattern as a sum of products: the states of the first cause by what is then read of the second one."""
    table = pattern[tuple(slice(None) if j in (first, second) else 0 for j in range(pattern.ndim))]
    table = table if first < second else table.T
    slices, place = np.unique(table, axis=0, return_inverse=True)
    terms = []
    for k, beta in enumerate(slices):
        if beta.any():
            alpha = (place.ravel() == k).astype(np.float64)
            term = _Term(b"1" + alpha.tobytes(), b"2" + beta.tobytes())
            functions[term.alpha], functions[term.beta] = alpha, beta
            terms.append(term)
    return terms


def _arrange(
    side: list[frozenset[bytes]], values: list[bytes], root: object, functions: dict[bytes, Floats]
) -> Floats | None:
    """The functions [i, b, u] of rows, or of columns; None where one has two for the same value."""
    assert callable(root)
    size = len(functions[next(iter(side[0]))])
    found = np.zeros((len(side), len(values), size))
    for i, keys in enumerate(side):
        places = [values.index(root(key)) for key in keys]
        if len(set(places)) < len(places):
            return None
        for key, b in zip(keys, places, strict=True):
            found[i, b] = functions[key]
    return found
