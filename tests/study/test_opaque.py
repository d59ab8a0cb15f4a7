"""PostgreSQL's NUMERIC as ADBC gives it, text marked as `arrow.opaque`: the same counts as those of decimals."""

from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from duckemcc.errors import UnsupportedColumn
from duckemcc.study.count.opaque import find_opaque
from duckemcc.study.count.read import count_study
from duckemcc.study.study import Study

TEXTS = {
    "X": ["0", "0.00", "1", "1.0", None],
    "n": ["30", "20.25", "10.125", "40", "1"],
    "g": ["1.50", "1.5", "1", "10", "10.00"],
}
DECIMALS = pl.DataFrame({c: [t and Decimal(t) for t in v] for c, v in TEXTS.items()} | {"Y": [0, 1, 0, 1, 1]})


def numeric(texts, vendor="PostgreSQL", name="numeric"):
    return pa.ExtensionArray.from_storage(pa.opaque(pa.string(), name, vendor), pa.array(texts, pa.string()))


def table(**others):
    return pa.table({c: numeric(v) for c, v in TEXTS.items()} | {"Y": [0, 1, 0, 1, 1]} | others)


def stream():
    found = table()
    return pa.RecordBatchReader.from_batches(found.schema, found.to_batches(max_chunksize=2))


WAYS = {
    "table": table,
    "stream": stream,
    "chunks": lambda: pa.concat_tables([table()[:2], table()[2:]]),
    "polars": lambda: pl.DataFrame(table()),
    "lazy": lambda: pl.LazyFrame(table()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"weight": "n"}, {"where": "n > 15"}, {"weight": "n", "where": "g = 1.5"}])
@pytest.mark.parametrize("by", [(), ("g",)])
def test_its_values_are_states_segments_weights_and_numbers_of_a_condition(way, options, by):
    found = count_study(Study(WAYS[way](), **options), ("X", "Y"), name="s", by=by).frame
    same = count_study(Study(DECIMALS, **options), ("X", "Y"), name="s", by=by).frame
    assert_frame_equal(found, same, check_dtypes=False)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e60", "1" * 39])
def test_what_is_no_number_of_38_digits_is_refused_by_its_value(text):
    with pytest.raises(UnsupportedColumn, match=f"n = {text}"):
        count_study(Study(table(n=numeric([text, "1", "1", "1", "1"])), weight="n"), ("X", "Y"), name="s")


def test_a_column_that_is_not_read_may_hold_anything():
    found = count_study(Study(table(n=numeric(["NaN"] * 5))), ("X", "Y"), name="s")
    assert found.frame["count"].sum() == 5


def test_other_types_without_an_arrow_form_are_left_as_they_are():
    kinds = {"a": numeric(["x"], name="citext"), "b": numeric(["1"], vendor="another"), "c": numeric(["1"])}
    assert find_opaque(pa.table(kinds).schema) == [2]
