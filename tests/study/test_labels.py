"""A state's label is its text, for one value and for a column alike."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import UnsupportedColumn
from duckemcc.model.states import label
from duckemcc.study.labels import label_series


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (np.False_, "false"),
        (1, "1"),
        (-7, "-7"),
        (np.int8(3), "3"),
        (2**70, str(2**70)),
        (1.0, "1"),
        (-0.0, "0"),
        (np.float32(2), "2"),
        (Decimal("2.00"), "2"),
        (Decimal("-3"), "-3"),
        ("1", "1"),
        ("True", "True"),
        (" a B ", " a B "),
        ("", ""),
        (np.str_("x"), "x"),
    ],
)
def test_a_value_has_its_text(value, text):
    assert label(value) == text
    assert type(label(value)) is str


@pytest.mark.parametrize(
    "value",
    [None, 1.5, float("nan"), float("inf"), Decimal("1.5"), Decimal("NaN"), dt.date(2024, 1, 1), [1], 1j],
)
def test_a_value_without_a_text_is_refused(value):
    with pytest.raises(TypeError, match="is no state"):
        label(value)


@given(
    st.one_of(
        st.lists(st.booleans()),
        st.lists(st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.integers(-(2**53), 2**53).map(float)),
        st.lists(st.text(st.characters(codec="utf-8"))),
        st.lists(st.decimals(-1000, 1000, places=0)),
    )
)
def test_a_column_has_the_labels_of_its_values(values):
    assert label_series(pl.Series(values)).to_list() == [label(v) for v in values] or not values


def test_a_column_has_no_label_for_null_and_for_numbers_that_are_not_integral():
    assert label_series(pl.Series([1.0, None, 1.5, float("nan"), float("inf"), 2.0**60])).to_list() == [
        "1",
        *[None] * 5,
    ]
    assert label_series(pl.Series([Decimal("1.0"), Decimal("1.5"), None])).to_list() == ["1", None, None]


def test_enums_and_categories_have_their_text():
    assert label_series(pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"]))).to_list() == ["b", "a"]
    assert label_series(pl.Series(["b", "a"], dtype=pl.Categorical)).to_list() == ["b", "a"]


def test_a_column_of_another_type_is_refused():
    with pytest.raises(UnsupportedColumn, match="the column d has type Date; cast it to text"):
        label_series(pl.Series("d", [dt.date(2024, 1, 1)]))
