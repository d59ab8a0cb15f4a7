"""`Study(shared=True)`: a study without the `by` column counts in every segment."""

from __future__ import annotations

import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors

GRAPH = "X -> Y; X <-> Y"
PNS = "PNS(X=1 vs 0, Y=1)"


def frame(cells, **more):
    return pl.DataFrame([{"X": x, "Y": y, "n": n} | more for (x, y), n in cells.items()])


NORTH = frame({(0, 0): 300, (0, 1): 200, (1, 0): 100, (1, 1): 400}, region="north")
SOUTH = frame({(0, 0): 250, (0, 1): 250, (1, 0): 150, (1, 1): 350}, region="south")
TRIAL = frame({(0, 0): 650, (0, 1): 350, (1, 0): 400, (1, 1): 600})


def registry(data):
    return emcc.Study(data, weight="n", name="registry")


def trial(data=TRIAL, **options):
    return emcc.Study(data, weight="n", do="X", name="trial", **options)


def test_a_shared_study_counts_in_full_in_every_segment():
    table = emcc.bounds(GRAPH, [registry(pl.concat([NORTH, SOUTH])), trial(shared=True)], PNS, by="region")
    assert table["region"].to_pylist() == ["north", "south"]
    for row, part in zip(table.to_pylist(), (NORTH, SOUTH), strict=True):
        (alone,) = emcc.bounds(GRAPH, [registry(part.drop("region")), trial()], PNS).to_pylist()
        assert row | {"region": None} == alone | {"region": None}
        assert (row["n"], row["studies"]) == (3000.0, ["registry", "trial"])


def test_its_segments_may_not_be_there_at_all_or_are_left_alone():
    both = pl.concat([NORTH, SOUTH])
    column = TRIAL.with_columns(region=pl.lit("west"))
    plain, ignored = (
        emcc.bounds(GRAPH, [registry(both), trial(data, shared=True)], PNS, by="region") for data in (TRIAL, column)
    )
    assert plain.equals(ignored)


def test_without_segments_it_is_a_study_like_any_other():
    studies = [registry(NORTH), trial(shared=True)]
    assert emcc.bounds(GRAPH, studies, PNS).equals(emcc.bounds(GRAPH, [registry(NORTH), trial()], PNS))


def test_the_report_has_its_arms_in_every_segment():
    table = emcc.compatibility(GRAPH, [registry(pl.concat([NORTH, SOUTH])), trial(shared=True)], by="region")
    assert table["study"].to_pylist() == [None, "registry", "trial[X=0]", "trial[X=1]"] * 2


def test_a_missing_segment_column_is_an_error_that_names_the_way_out():
    with pytest.raises(errors.MissingColumn, match=r"'trial' has no column for the segment region.*say shared=True"):
        emcc.bounds(GRAPH, [registry(NORTH), trial()], PNS, by="region")


def test_all_studies_cannot_be_shared():
    with pytest.raises(
        errors.OptionError, match="all studies are shared, so none says what the segments by region are"
    ):
        emcc.bounds(GRAPH, trial(shared=True), PNS, by="region")


def test_the_order_of_studies_and_rows_does_not_matter():
    both = pl.concat([NORTH, SOUTH])
    forward = emcc.bounds(GRAPH, [registry(both), trial(shared=True)], PNS, by="region")
    backward = emcc.bounds(GRAPH, [trial(TRIAL.reverse(), shared=True), registry(both.reverse())], PNS, by="region")
    assert forward.drop_columns(["studies"]).equals(backward.drop_columns(["studies"]))
