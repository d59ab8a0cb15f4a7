"""The observed frequencies beside the fitted ones, against counts made by hand and the report's own fault."""

from __future__ import annotations

import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc.answer.frequencies import FREQUENCY_COLUMNS, frequencies

TRIAL = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [80, 20, 30, 70]})
LOGS = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [10, 90, 60, 40]})


def studies(trial=TRIAL, logs=LOGS):
    return [emcc.Study(trial, do="X", name="trial", weight="n"), emcc.Study(logs, name="logs", weight="n")]


def test_a_pattern_is_observed_as_often_as_it_was_counted():
    rows = frequencies("X -> Y", studies()).to_pylist()
    seen = {(r["study"], r["pattern"]): (r["observed"], r["n"]) for r in rows}
    assert seen["trial[X=0]", "P(Y=1 | X=0)"] == (0.2, 100)
    assert seen["logs", "P(Y=1 | X=0)"] == (0.9, 100)
    assert seen["logs", "P(X=0)"] == (0.5, 200)


def test_without_a_shared_cause_the_fit_pools_the_studies():
    rows = frequencies("X -> Y", studies()).to_pylist()
    fitted = {r["pattern"]: r["fitted"] for r in rows}
    assert fitted["P(Y=1 | X=0)"] == pytest.approx((20 + 90) / 200, abs=1e-6)
    assert fitted["P(Y=1 | X=1)"] == pytest.approx((70 + 40) / 200, abs=1e-6)


def test_compatible_studies_are_fitted_as_they_were_observed():
    for row in frequencies("X -> Y; X <-> Y", studies(logs=TRIAL)).to_pylist():
        assert row["difference"] == pytest.approx(0, abs=1e-6)
        assert row["difference"] == pytest.approx(row["observed"] - row["fitted"], abs=1e-12)


def test_the_fault_is_the_pattern_that_the_report_names_and_each_arm_has_one_worst():
    table = frequencies("X -> Y", studies())
    fault = [r for r in table.to_pylist() if r["fault"]]
    told = emcc.compatibility("X -> Y", studies()).to_pylist()[0]["fault"]
    assert len(fault) == 1
    assert f"study '{fault[0]['study']}'" in told
    assert f"{fault[0]['pattern']} observed {fault[0]['observed']:.6g}, fitted {fault[0]['fitted']:.6g}" in told
    worst = [r["study"] for r in table.to_pylist() if r["worst"]]
    assert sorted(worst) == ["logs", "trial[X=0]", "trial[X=1]"]


def test_every_segment_has_frequencies_of_its_own():
    both = pa.table({name: [*TRIAL[name].to_pylist(), *LOGS[name].to_pylist()] for name in TRIAL.column_names})
    region = both.append_column("region", pa.array(["a"] * 4 + ["b"] * 4))
    table = frequencies("X -> Y", emcc.Study(region, name="logs", weight="n"), by="region")
    assert table.column_names == ["region", *FREQUENCY_COLUMNS]
    seen = {(r["region"], r["pattern"]): r["observed"] for r in table.to_pylist()}
    assert seen["a", "P(Y=1 | X=0)"] == 0.2
    assert seen["b", "P(Y=1 | X=0)"] == 0.9


def test_records_that_lack_a_value_say_what_they_lack():
    holes = pa.table({"X": [0, 0, 1, 1, None], "Y": [0, 1, 0, 1, 1], "n": [8, 2, 3, 7, 5]})
    patterns = frequencies("X -> Y; X <-> Y", emcc.Study(holes, weight="n"))["pattern"].to_pylist()
    assert any(p.endswith("without X") for p in patterns)


def test_a_segment_is_not_called_as_a_column_of_the_table():
    with pytest.raises(emcc.errors.OptionError, match="by names the column 'pattern', which is a column of the result"):
        frequencies("X -> Y", studies(), by="pattern")


def test_frequencies_raise_as_bounds_does():
    with pytest.raises(emcc.DuckEmccError, match="there is no option 'restart'"):
        frequencies("X -> Y", studies(), restart=3)
