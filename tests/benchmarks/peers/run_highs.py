"""A bare HiGHS call where the problem is one linear programme: the matrix as it is, minimised and maximised."""

from __future__ import annotations

import platform

import child

PACKAGES = (("highspy", "numpy"),)


def measure(job: dict, options: dict, findings: child.Findings) -> None:
    from importlib.metadata import version

    findings.add(versions={"python": platform.python_version(), "highspy": version("highspy")})
    bounds = solve(job["programme"])
    seconds, n = child.take_median(lambda: solve(job["programme"]), options["iterations"], options["seconds"])
    findings.add(bounds=bounds, seconds=seconds, full_seconds=seconds, iterations=n)


def solve(programme: dict) -> list[float]:
    """min and max of objective · θ over θ ≥ 0 with matrix · θ = right."""
    import highspy
    import numpy as np

    highs = highspy.Highs()
    highs.silent()
    objective = np.array(programme["objective"])
    highs.addVars(len(objective), np.zeros(len(objective)), np.full(len(objective), highspy.kHighsInf))
    highs.changeColsCost(len(objective), np.arange(len(objective), dtype=np.int32), objective)
    for row, right in zip(programme["matrix"], programme["right"], strict=True):
        place = np.flatnonzero(row).astype(np.int32)
        highs.addRow(right, right, len(place), place, np.array(row)[place])
    ends = []
    for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
        highs.changeObjectiveSense(sense)
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS says {highs.modelStatusToString(highs.getModelStatus())}")
        ends.append(highs.getObjectiveValue())
    return ends


if __name__ == "__main__":
    child.run(measure)
