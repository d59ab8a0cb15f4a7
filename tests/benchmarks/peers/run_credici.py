"""The authors' Java, CREDICI of June 2022, as it travels in a wheel: `EMCredalBuilder`, then `CausalMultiVE`."""

from __future__ import annotations

import platform
import tempfile
import time
from importlib.metadata import distribution, version
from pathlib import Path

import child

PACKAGES = (("--no-deps", "causalboundingengine==0.1.5"), ("jpype1", "numpy"))  # of the first, only the jar is used
WARM = 20
"""Steps before the clock runs, for the compiler of the virtual machine."""


def measure(job: dict, options: dict, findings: child.Findings) -> None:
    import jpype
    import numpy as np

    jar = next(f for f in distribution("causalboundingengine").files or () if f.name == "credici.jar").locate()
    jpype.startJVM(classpath=[str(jar)], convertStrings=False)
    java = str(jpype.JClass("java.lang.System").getProperty("java.version"))
    names = ("causalboundingengine", "jpype1")
    findings.add(versions={"python": platform.python_version(), "java": java, **{n: version(n) for n in names}})
    of = lambda name: jpype.JClass(f"ch.idsia.{name}")  # noqa: E731
    of("crema.utility.RandomUtil").setRandomSeed(0)
    with tempfile.NamedTemporaryFile("w", suffix=".uai") as file:
        Path(file.name).write_text(job["uai"])
        model = of("credici.model.io.uai.CausalUAIParser").read(file.name)
    findings.add(value=_evaluate(of, [model], job)[0])

    data = _observe(jpype, np, job)
    trainable = jpype.JInt[:](job["trainable"])
    iteration, n = _time_steps(jpype, of, model, data, trainable, options)
    findings.add(iteration=iteration, iterations=n)

    restarts, steps = child.plan(options["restarts"], options["steps"], iteration, options["seconds"])
    begun = time.perf_counter()
    builder = of("credici.model.builder.EMCredalBuilder").of(model, data).setMaxEMIter(steps)
    builder = builder.setNumTrajectories(restarts).setWeightedEM(True).setTrainableVars(trainable)
    prepared = time.perf_counter()
    models = builder.build().getSelectedPoints()
    taken = [len(trajectory) - 1 for trajectory in builder.getTrajectories()]
    learned = time.perf_counter()
    bounds = _evaluate(of, list(models), job)
    ended = time.perf_counter()
    share = options["restarts"] / restarts
    findings.add(
        bounds=bounds,
        seconds=ended - begun,
        full_seconds=prepared - begun + share * ((learned - prepared) * options["steps"] / steps + ended - learned),
        restarts=restarts,
        steps=sum(taken) / len(taken),
        asked=steps,
    )


def _observe(jpype, np, job: dict):
    """An array of maps, one a record; equal records share their map."""
    kind = jpype.JClass("gnu.trove.map.TIntIntMap")
    make = jpype.JClass("gnu.trove.map.hash.TIntIntHashMap")
    distinct = []
    for codes in job["codes"]:
        record = make()
        for column, code in zip(job["columns"], codes, strict=True):
            record.put(column, code)
        distinct.append(record)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(distinct)), np.array(job["count"], int)))
    return kind[:]([distinct[i] for i in order])


def _time_steps(jpype, of, model, data, trainable, options: dict) -> tuple[float, int]:
    """A step as `EMCredalBuilder` takes them: weighted by the counts of equal records, the posteriors kept."""
    as_list = jpype.JClass("java.util.Arrays").asList
    start = of("crema.factor.bayesian.BayesianFactor").randomModel(model, 0, False, trainable)
    em = of("credici.learning.WeightedCausalEM")(start)
    em.setRegularization(0.0).usePosteriorCache(True).setTrainableVars(trainable).setRecordIntermediate(True)
    em.run(as_list(data), 1)
    counted = as_list(of("credici.utility.DataUtil").getCounts(data))
    child.take_median(lambda: em.step(counted), WARM, options["seconds"] / 4)
    return child.take_median(lambda: em.step(counted), options["iterations"], options["seconds"])


def _evaluate(of, models: list, job: dict) -> list[float]:
    from java.util import ArrayList

    inference = of("credici.inference.CausalMultiVE")(ArrayList(models))
    true, false = job["true"], 1 - job["true"]
    if job["kind"] == "PNS":
        found = inference.probNecessityAndSufficiency(job["cause"], job["effect"], true, false)
    else:
        found = inference.averageCausalEffects(job["cause"], job["effect"], true, true, false)
    data = found.getData()
    return [float(data[0][0][0]), float(data[0][1][0])]


if __name__ == "__main__":
    import jpype.imports  # noqa: F401

    child.run(measure)
