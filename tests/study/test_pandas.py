"""pandas frames: what pandas takes for missing is NULL, and only the columns that matter need to make sense."""

from __future__ import annotations

from decimal import Decimal

import pytest

from duckemcc.errors import MissingColumn, RepeatedName, UnsupportedColumn
from duckemcc.study.count.read import count_study
from duckemcc.study.study import Study

pd = pytest.importorskip("pandas")
NAN = float("nan")


def counts(frame, variables=("X",), by=(), nulls="mar", **options):
    table = count_study(Study(frame, **options), variables, name="trial", by=by, nulls=nulls)
    return table.frame.rows()


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (pd.Series([1.0, 0.0, NAN]), {"1", "0"}),
        (pd.Series([1, 0, None], dtype="Int64"), {"1", "0"}),
        (pd.Series([1, 0, None], dtype="Float64"), {"1", "0"}),
        (pd.Series([1, 0, None], dtype="float16"), {"1", "0"}),
        (pd.Series([1, 0, None], dtype="int8[pyarrow]"), {"1", "0"}),
        (pd.Series([1, 0, None]).astype("category"), {"1", "0"}),
        (pd.Series([True, False, None], dtype=object), {"true", "false"}),
        (pd.Series([True, False, None], dtype="boolean"), {"true", "false"}),
        (pd.Series([True, False, None], dtype=object).astype("category"), {"true", "false"}),
        (pd.Series(["a", "b", None]), {"a", "b"}),
        (pd.Series(["a", "b", NAN], dtype=object), {"a", "b"}),
        (pd.Series(["a", "b", pd.NA], dtype="string"), {"a", "b"}),
        (pd.Series(["a", "b", None], dtype="category"), {"a", "b"}),
        (pd.Series([Decimal("1.00"), Decimal(0), None]), {"1", "0"}),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
def test_missing_values_are_null_and_the_others_states(values, labels):
    found = counts(pd.DataFrame({"X": values}))
    assert dict(found) == {None: 1.0, **dict.fromkeys(labels, 1.0)}


def test_booleans_and_unsigned_numbers_are_states():
    frame = pd.DataFrame({"X": [True, False, True], "Y": pd.Series([1, 2, 1], dtype="uint8")})
    assert counts(frame, ("X", "Y")) == [("false", "2", 1.0), ("true", "1", 2.0)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.Series(["a", 1, None], dtype=object), r"column X of type object mixes values of the types int, str; cast"),
        (pd.Series([1, "a"], dtype=object), r"mixes values of the types int, str; cast it to text"),
        (pd.Series([True, 2], dtype=object), r"mixes values of the types bool, int"),
        (pd.Series([1, "a"], dtype=object).astype("category"), r"of type category mixes values of the types int, str"),
        (pd.Series([object()]), r"of type object has values without exact states; cast it to text"),
        (pd.Series([1j]), r"of type complex128 has values without exact states"),
        (pd.Series([0, 1]).astype("Sparse[int]"), r"of type Sparse\[int.*\] has values without exact states"),
        (pd.Series(pd.period_range("2024", periods=2, freq="M")), r"column X has type period\[M\]; cast it to text"),
        (pd.cut(pd.Series([1, 2]), [0, 1, 2]), r"column X has type category; cast it to text"),
        (pd.Series([1.5, 2.0]), r"X = 1.5 is no state of X"),
        (pd.Series([["a"], ["b"]]), r"the column X has type LIST"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), r"the column X has type TIMESTAMP"),
    ],
)
def test_a_column_without_exact_states_is_refused(values, message):
    with pytest.raises(UnsupportedColumn, match=message):
        counts(pd.DataFrame({"X": values}))


def test_what_the_advice_says_works():
    frame = pd.DataFrame({"X": pd.Series(["a", 1, None], dtype=object)})
    assert dict(counts(frame.assign(X=frame["X"].astype("string")))) == {None: 1.0, "1": 1.0, "a": 1.0}


def test_a_column_that_nobody_asks_for_may_hold_anything():
    frame = pd.DataFrame(
        {"X": ["a", "b"], "other": [object(), 1], "when": pd.period_range("2024", periods=2, freq="M")}
    )
    frame["bins"] = pd.cut(pd.Series([1, 2]), [0, 1, 2])
    frame["X2"] = frame["X"]
    frame.columns = ["X", "other", "when", "bins", "bins"]
    assert counts(frame) == [("a", 1.0), ("b", 1.0)]


def test_weights_segments_and_where_are_found():
    frame = pd.DataFrame({"X": ["a", "b", "a"], "w": [1.5, NAN, 2.0], "region": [1.0, NAN, 1.0], "kept": [1, 0, 1]})
    assert counts(frame, by=["Region"], weight="W", where="kept = 1") == [("a", 1.0, 3.5)]


def test_levels_of_the_index_are_columns():
    frame = pd.DataFrame(
        {"X": ["a", "b"]}, index=pd.MultiIndex.from_tuples([("n", 1), ("s", 2)], names=["region", "week"])
    )
    assert counts(frame, by=["region", "week"]) == [("a", "n", 1, 1.0), ("b", "s", 2, 1.0)]
    assert counts(frame.rename_axis(index={"region": "X"})) == [("a", 1.0), ("b", 1.0)]


def test_columns_may_be_called_by_numbers():
    assert counts(pd.DataFrame([["a"], ["b"], ["a"]]), columns={"X": "0"}) == [("a", 2.0), ("b", 1.0)]


def test_a_name_that_is_there_twice_is_refused_where_it_matters():
    frame = pd.DataFrame([["a", "b"]], columns=["X", "X"])
    with pytest.raises(RepeatedName, match="study 'trial' has several columns for the variable X: X, X"):
        counts(frame)
    with pytest.raises(RepeatedName, match="study 'trial' has several columns called X"):
        counts(frame, columns={"X": "X"})


def test_columns_that_differ_by_case_can_be_chosen_between():
    frame = pd.DataFrame([["a", "b"]], columns=["x", "X"])
    assert counts(frame, columns={"X": "x"}) == [("a", 1.0)]
    assert counts(frame, columns={"X": "X"}) == [("b", 1.0)]


def test_a_missing_column_is_named_with_all_that_there_are():
    with pytest.raises(MissingColumn, match=r"no column for the variable Y; its columns are X, other\."):
        counts(pd.DataFrame({"X": ["a"], "other": [object()]}), ("X", "Y"))


def test_the_frame_is_left_as_it_is():
    frame = pd.DataFrame({"X": pd.Series([1, 0, None], dtype="float16"), "y": ["a", None, "b"]})
    copy = frame.copy(deep=True)
    counts(frame, ("X", "Y"))
    pd.testing.assert_frame_equal(frame, copy)
