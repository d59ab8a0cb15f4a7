"""A x = b for many small systems at a time, each solved as if it were alone.

A system's solution does not depend, to the last bit, on what else is in the batch: LAPACK sees one matrix at a time,
and where there are many restarts the factorisation is written out element by element over the batch, which is several
times faster than a call for each.

Axes: b a system, i, j its rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DEPENDENT = 1e-9

_PIVOT = 1e-15
"""Of a diagonal of about one: a smaller pivot belongs to a row that depends on the others, and is left out."""


def solve_each(matrix: Floats, right: Floats) -> Floats:
    """Solutions [b, i] of any square systems [b, i, j]: a singular one, solved by least squares, must not change its
    neighbours'."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.stack([_solve_one(a, b) for a, b in zip(matrix, right, strict=True)])


def _solve_one(matrix: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def find_independent(rows: Floats) -> NDArray[np.intp]:
    """The places of rows [i, u] that do not depend on those before them."""
    basis, kept = np.zeros((min(rows.shape), rows.shape[1])), list[int]()
    for place, row in enumerate(rows):
        known = basis[: len(kept)]
        left = row - (known @ row) @ known
        left -= (known @ left) @ known  # what rounding left
        size = float(np.sqrt(left @ left))
        if size > _DEPENDENT * max(1.0, float(np.sqrt(row @ row))):
            basis[len(kept)] = left / size
            kept.append(place)
            if len(kept) == len(basis):
                break
    return np.array(kept, dtype=np.intp)


def pair_columns(rows: Floats) -> Floats:
    """The products of each two rows, [u, pair]: weights [.., u] times these are the lower triangles of the normal
    matrices Σ_u weight_u rows[i, u] rows[j, u], row by row."""
    i, j = np.tril_indices(len(rows))
    return np.ascontiguousarray((rows[i] * rows[j]).T)


def solve_positive(triangle: Floats, right: Floats) -> Floats:
    """Solutions [i, b] of positive semidefinite systems given by lower triangles [pair, b] with diagonals of about
    one, right sides [i, b]. Overwrites both. LDLᵀ without pivoting; dependent rows get a zero.

    Only element by element over the batch: sums over an axis may round differently for a batch of one.
    """
    size = len(right)
    first = [i * (i + 1) // 2 for i in range(size)]
    inverse = np.zeros_like(right)
    for j in range(size):
        pivot = triangle[first[j] + j]
        np.divide(1.0, pivot, out=inverse[j], where=pivot > _PIVOT)
        below = [first[i] + j for i in range(j + 1, size)]
        column = triangle[below]
        factor = column * inverse[j]
        for i in range(j + 1, size):
            triangle[first[i] + j + 1 : first[i] + i + 1] -= factor[i - j - 1] * column[: i - j]
        triangle[below] = factor
        right[j + 1 :] -= factor * right[j]
    right *= inverse
    for i in range(size - 1, 0, -1):
        right[:i] -= triangle[first[i] : first[i] + i] * right[i]
    return right
