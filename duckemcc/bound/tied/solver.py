"""max c·x subject to l ≤ Ax ≤ h, x ≥ 0 within bounds: HiGHS, one matrix after the other, and one cost after the other.

Axes: r row, x column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_BEYOND = 0.01  # seconds after the end of the time at which a run is stopped
_LOOSE = 1e-7  # tolerances of the last try: what is proven is computed from the duals, whatever these are

_CHOOSE = 0
"""Dual or primal simplex, as the last basis allows: in the same time it bounds 1.1 to 4 times as many parts as either
(causes of 6 to 15 states, two exogenous parents a variable)."""

_LOAD, _PER_LOADED = 50.0, 0.14
_RUN, _PER_ENTRY, _PER_STEP = 150.0, 0.15, 0.075
"""Microseconds, least squares over 48 000 programs of 10 to 150 rows."""


class Rows(NamedTuple):
    """A matrix by rows: sizes [r], the number of entries of each, their columns and values, one row after the other."""

    sizes: Ints
    column: Ints
    value: Floats

    @classmethod
    def of(cls, dense: Floats) -> Rows:
        """Without the zeros."""
        row, column = np.nonzero(dense)
        return cls(np.bincount(row, minlength=len(dense)), column, dense[row, column])

    def without_zeros(self) -> Rows:
        """The same without entries that are zero."""
        kept = np.abs(self.value) > 1e-14
        row = np.repeat(np.arange(len(self.sizes)), self.sizes)[kept]
        return Rows(np.bincount(row, minlength=len(self.sizes)), self.column[kept], self.value[kept])

    def pull(self, weights: Floats, columns: int) -> Floats:
        """weights [r] · A [x]."""
        spread = np.repeat(weights, self.sizes)
        return np.bincount(self.column, spread * self.value, columns).astype(np.float64)


class Solution(NamedTuple):
    """value: c·x; point [x]; duals [r], the change of the maximum with the sides of the rows."""

    value: float
    point: Floats
    duals: Floats


class Empty(NamedTuple):
    """No point satisfies the rows: weights [r] that show it, if there are any, up to their sign."""

    ray: Floats | None


class Solver:
    """work: about the microseconds that a machine of 2024 needs, counted from sizes and iterations: the same on every
    machine, so that what is found within so much work is as well."""

    def __init__(self, tolerance: float = 1e-9) -> None:
        import highspy

        core: Any = highspy.Highs.__base__  # its Python layer prints a banner
        self._solver, self._highs = core(), highspy
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("solver", "simplex")):
            self._solver.setOptionValue(option, value)
        self._solver.setOptionValue("simplex_strategy", _CHOOSE)
        self._tolerance = tolerance
        self._set_tolerance(tolerance)
        self.work = 0.0
        self._columns, self._rows, self._entries = 0, 0, 0

    def load(self, rows: Rows, low: Floats, high: Floats, left: Floats, right: Floats) -> None:
        """The rows with their sides low, high [r], and the bounds of the columns."""
        program = self._highs.HighsLp()
        program.num_col_, program.num_row_ = len(left), len(low)
        program.col_cost_ = np.zeros(len(left))
        program.col_lower_, program.col_upper_, program.row_lower_, program.row_upper_ = left, right, low, high
        program.a_matrix_.format_ = self._highs.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.concatenate([[0], np.cumsum(rows.sizes)]).astype(np.int32)
        program.a_matrix_.index_ = rows.column.astype(np.int32)
        program.a_matrix_.value_ = rows.value
        program.sense_ = self._highs.ObjSense.kMaximize
        self._solver.passModel(program)
        self._columns, self._rows = len(left), len(low)
        self._entries = len(rows.value)
        self.work += _LOAD + _PER_LOADED * self._entries

    def maximise(self, cost: Floats) -> Solution | Empty | None:
        """None where HiGHS neither finds the optimum nor that there is no point; the second try starts from no basis,
        the third presolves and is content with less."""
        solver, status = self._solver, self._highs.HighsModelStatus
        solver.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
        for attempt in range(3):
            if attempt == 2:
                solver.setOptionValue("presolve", "on")
                self._set_tolerance(_LOOSE)
            found = self._run()
            if attempt == 2:
                solver.setOptionValue("presolve", "off")
                self._set_tolerance(self._tolerance)
            if found == status.kOptimal:
                own = solver.getSolution()
                value = float(solver.getInfo().objective_function_value)
                return Solution(value, np.array(own.col_value), np.array(own.row_dual))
            if found == status.kInfeasible:
                _, known, ray = solver.getDualRay()
                if known or attempt:
                    return Empty(np.array(ray) if known else None)
            solver.clearSolver()
        return None

    def _run(self) -> Any:
        left = tick()
        end = np.inf if left is None else self._solver.getRunTime() + left + _BEYOND  # it counts all runs
        self._solver.setOptionValue("time_limit", float(end))
        self._solver.run()
        iterations = max(int(self._solver.getInfo().simplex_iteration_count), 0)
        self.work += _RUN + _PER_ENTRY * self._entries + _PER_STEP * iterations * (self._rows + self._columns)
        found = self._solver.getModelStatus()
        if found == self._highs.HighsModelStatus.kTimeLimit:
            tick()
        return found

    def _set_tolerance(self, tolerance: float) -> None:
        for kind in ("primal", "dual"):
            self._solver.setOptionValue(f"{kind}_feasibility_tolerance", tolerance)
