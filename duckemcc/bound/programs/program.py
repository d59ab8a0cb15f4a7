"""max c·x subject to Ax = b, l ≤ x ≤ h: a linear program kept open in HiGHS, for one cost after another.

Only costs change between two runs, and columns are added, so each run goes on from the last basis.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]

TOLERANCE = 1e-10
"""Of feasibility and reduced costs: the smallest that HiGHS takes."""


_BEYOND = 0.01
"""Seconds after which a run ends that has all the time left, so that the time is over then by any clock."""


class Solution(NamedTuple):
    """point [column]; duals [row], the change of the maximum with b."""

    point: Floats
    duals: Floats


class Program:
    """The equations' right sides, b [row]; columns are added. A run is given the time that is left."""

    def __init__(self, right: Floats) -> None:
        import highspy

        # the C++ class: its Python layer prints a banner as soon as it is made
        core: Any = highspy.Highs.__base__
        self._solver = core()
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("presolve", "off"),
            ("solver", "simplex"),
            ("primal_feasibility_tolerance", TOLERANCE),
            ("dual_feasibility_tolerance", TOLERANCE),
        ):
            self._solver.setOptionValue(option, value)
        program = highspy.HighsLp()
        program.num_row_ = len(right)
        program.row_lower_ = program.row_upper_ = right
        program.sense_ = highspy.ObjSense.kMaximize
        program.a_matrix_.start_ = np.zeros(1, np.int32)
        self._solver.passModel(program)
        self._optimal, self._infeasible = highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible
        self._late = highspy.HighsModelStatus.kTimeLimit
        self.columns = 0
        self.empty = False
        """Whether the last run found that no point satisfies the equations."""

    def add(self, entries: Floats, lower: Floats | None = None, upper: Floats | None = None) -> None:
        """Columns, entries [row, column], with their bounds (by default, not negative)."""
        size = entries.shape[1]
        self.columns += size
        column, row = np.nonzero(entries.T)
        self._solver.addCols(
            size,
            np.zeros(size),
            np.zeros(size) if lower is None else lower,
            np.full(size, np.inf) if upper is None else upper,
            len(row),
            np.searchsorted(column, np.arange(size)).astype(np.int32),
            row.astype(np.int32),
            entries[row, column],
        )

    def maximise(self, cost: Floats) -> Solution | None:
        """The optimum for a cost [column], or None where HiGHS finds none; a second try starts from no basis."""
        self._solver.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
        for _ in range(2):
            status = self._run()
            if status == self._optimal:
                found = self._solver.getSolution()
                return Solution(np.array(found.col_value), np.array(found.row_dual))
            self._solver.clearSolver()
        self.empty = status == self._infeasible
        return None

    def _run(self) -> Any:
        """The status after a run. Raises what `tick` raises, also after a run that took all the time that was left."""
        while True:
            left = tick()
            end = np.inf if left is None else self._solver.getRunTime() + left + _BEYOND  # it counts all runs
            self._solver.setOptionValue("time_limit", float(end))
            self._solver.run()
            status = self._solver.getModelStatus()
            if status != self._late:
                return status
            self._solver.clearSolver()  # to go on from where it was stopped ends the process
