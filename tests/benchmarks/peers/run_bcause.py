"""The authors' Python, bcause 0.0.2: `SimpleModelAggregatorEM`, then their counterfactual network for every model."""

from __future__ import annotations

import logging
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import child

PACKAGES = (  # bcause pins what no longer installs; from 0.1.24 on pgmpy, which only reads files here, imports torch
    ("--no-deps", "bcause==0.0.2", "pgmpy<0.1.24"),
    ("numpy<2", "pandas<2.2", "networkx<3", "scipy", "matplotlib", "opt_einsum", "pyparsing", "tqdm", "joblib"),
    ("scikit-learn", "statsmodels", "numpy<2", "pandas<2.2"),
)

FIRST = 1000
"""Number of the first variable: its reader takes V1 for V10, where one is the parent of the other."""


def measure(job: dict, options: dict, findings: child.Findings) -> None:
    import numpy as np
    import pandas as pd
    from bcause.learning.aggregator.aggregator import SimpleModelAggregatorEM
    from bcause.learning.parameter.expectation_maximization import ExpectationMaximization
    from bcause.readwrite import scmread
    from bcause.util import randomUtil

    logging.disable(logging.INFO)
    names = ("bcause", "numpy", "pandas", "networkx", "pgmpy")
    findings.add(versions={"python": platform.python_version(), **{n: version(n) for n in names}})
    randomUtil.seed(0)
    with tempfile.NamedTemporaryFile("w", suffix=".uai") as file:
        Path(file.name).write_text(job["uai"])
        model = scmread.from_uai(file.name, init_var_id=FIRST)
    findings.add(value=_evaluate(model, job))

    rows = np.repeat(np.array(job["codes"]), np.array(job["count"], int), axis=0)
    data = pd.DataFrame(np.random.default_rng(0).permutation(rows), columns=_name(*job["columns"]))
    trainable = _name(*job["trainable"])
    em = ExpectationMaximization(model.randomize_factors(trainable, allow_zero=False), trainable_vars=trainable)
    em.initialize(data.copy())
    em.step()  # the first also finds which records are alike
    iteration, n = child.take_median(em.step, options["iterations"], options["seconds"])
    findings.add(iteration=iteration, iterations=n)

    restarts, steps = child.plan(options["restarts"], options["steps"], iteration, options["seconds"])
    begun = time.perf_counter()
    learner = SimpleModelAggregatorEM(model, data, trainable_vars=trainable, max_iter=steps)
    learner.run(restarts)
    learned = time.perf_counter()
    values = [_evaluate(m, job) for m in learner.models]
    ended = time.perf_counter()
    share = options["restarts"] / restarts
    findings.add(
        bounds=[min(values), max(values)],
        seconds=ended - begun,
        full_seconds=share * ((learned - begun) * options["steps"] / steps + ended - learned),
        restarts=restarts,
        steps=sum(len(em.model_evolution) - 1 for em in learner.learn_objects) / restarts,
        asked=steps,
    )


def _name(*numbers: int) -> list[str]:
    return [f"V{FIRST + i}" for i in numbers]


def _evaluate(model, job: dict) -> float:
    from bcause.inference.causal.elimination import CausalVariableElimination

    cause, effect = _name(job["cause"], job["effect"])
    true, false = job["true"], 1 - job["true"]
    inference = CausalVariableElimination(model)
    if job["kind"] == "PNS":
        return float(inference.prob_necessity_sufficiency(cause, effect, (true, false), (true, false)))
    return float(
        inference.causal_query(effect, do={cause: true}).get_value(**{effect: true})
        - inference.causal_query(effect, do={cause: false}).get_value(**{effect: true})
    )


if __name__ == "__main__":
    child.run(measure)
