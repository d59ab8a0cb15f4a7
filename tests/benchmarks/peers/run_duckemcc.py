"""This program: an EM step on compiled counts, and the whole `duckemcc.bounds` from records in a polars frame."""

from __future__ import annotations

import platform
from importlib.metadata import version

import child
import numpy as np
import polars as pl

import duckemcc as emcc
from duckemcc.answer.options import DEFAULT_START
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.emcc import em_step
from duckemcc.learn.likelihood import compile_likelihood
from duckemcc.learn.pooling import sum_by_class
from duckemcc.learn.start import draw_starts


def measure(job: dict, options: dict, findings: child.Findings) -> None:
    model = emcc.Model.from_dict(job["model"])
    names = ("duckemcc", "numpy", "duckdb", "polars")
    findings.add(versions={"python": platform.python_version(), **{n: version(n) for n in names}})
    full = emcc.FullModel.from_uai(job["uai"])
    findings.add(value=full.evaluate(_rename(job)))
    together, n = _time_steps(model, job, options["restarts"], options)
    alone, _ = _time_steps(model, job, 1, options)
    findings.add(iteration=together / options["restarts"], alone=alone, iterations=n)
    studies = [_expand(model, s) for s in job["studies"]]
    call = lambda: emcc.bounds(  # noqa: E731
        model, studies, job["query"], method="emcc", restarts=options["restarts"], incompatible="report"
    )
    row = call().to_pylist()[0]  # the first call imports what it needs, as the peers did before their clocks ran
    seconds, _ = child.take_median(call, 5, options["seconds"])
    findings.add(
        bounds=[row["lower"], row["upper"]],
        seconds=seconds,
        full_seconds=seconds,
        restarts=row["restarts"],
        steps=row["steps"],
        remark="" if row["status"] == "bounded" else f"status {row['status']}",
    )


def _rename(job: dict) -> str:
    cause, effect, true = f"V{job['cause']}", f"V{job['effect']}", job["true"]
    return f"{job['kind']}({cause}={true} vs {1 - true}, {effect}={true})"


def _time_steps(model: emcc.Model, job: dict, restarts: int, options: dict) -> tuple[float, int]:
    """One EM step of all groups and restarts."""
    arms = []
    for s in job["studies"]:
        counts = StudyCounts(s["name"], model.variables, tuple(s["do"]), np.array(s["codes"]), np.array([s["count"]]))
        arms += counts.arms(lambda v, code: f"{v}={code}")
    groups = compile_likelihood(model, arms).groups
    state = [
        tuple(sum_by_class(draw_starts(DEFAULT_START, [len(c)], restarts, 0)[0], c)[None] for c in group.classes)
        for group in groups
    ]

    def step() -> None:
        for i, group in enumerate(groups):
            state[i] = em_step(state[i], group)[0]

    step()
    return child.take_median(step, options["iterations"], options["seconds"])


def _expand(model: emcc.Model, study: dict) -> emcc.Study:
    """Every record a row, in no order."""
    rows = np.repeat(np.array(study["codes"]), np.array(study["count"], int), axis=0)
    frame = pl.DataFrame(np.random.default_rng(0).permutation(rows), schema=list(model.variables))
    return emcc.Study(frame, do=study["do"], name=study["name"])


if __name__ == "__main__":
    child.run(measure)
