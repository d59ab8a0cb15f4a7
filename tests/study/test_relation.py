"""One counted relation with `study` and `intervened` becomes the count tables of its studies."""

import polars as pl
import pytest

from duckemcc.errors import (
    EmptyStudy,
    InvalidWeight,
    MissingColumn,
    NullValue,
    OptionError,
    RepeatedName,
    UnknownName,
    UnsupportedColumn,
)
from duckemcc.study.count.relation import split_relation

VARIABLES = ("Gender", "Treatment")
FRAME = pl.DataFrame(
    {
        "gender": ["f", "m", "f", "m", "f"],
        "TREATMENT": [1, 0, 1, 1, 0],
        "Study": ["trial", "trial", "trial", "registry", "trial"],
        "intervened": [["treatment"], ["Treatment", "TREATMENT"], [], None, None],
        "region": [1, 1, 2, 2, 2],
        "other": [[1]] * 5,
        "emcc_count": [2, 3, 4, 5, 6],
        "emcc_bad": [0] * 5,
    }
)


def split(frame=FRAME, **options):
    return split_relation(frame, VARIABLES, **options)


def test_one_table_per_study_and_set_of_interventions():
    tables = split()
    assert [(t.name, t.do) for t in tables] == [
        ("registry", ()),
        ("trial", ()),
        ("trial do(Treatment)", ("Treatment",)),
    ]
    assert [t.frame.rows() for t in tables] == [
        [("m", "1", 5.0)],
        [("f", "0", 6.0), ("f", "1", 4.0)],
        [("f", "1", 2.0), ("m", "0", 3.0)],
    ]
    assert tables[0].frame.columns == ["Gender", "Treatment", "count"]


def test_a_study_with_one_set_of_interventions_keeps_its_name():
    (table,) = split(FRAME[:2])
    assert (table.name, table.do) == ("trial", ("Treatment",))


def test_segments_are_kept():
    assert [t.frame["Region"].to_list() for t in split(by=["Region"])] == [[2], [2, 2], [1, 1]]


def test_without_a_study_column_all_is_one_study():
    (table,) = split(FRAME.drop("Study", "intervened"))
    assert (table.name, table.do, table.frame["count"].sum()) == ("studies", (), 20.0)


def test_the_order_of_interventions_does_not_matter():
    frame = FRAME[:2].with_columns(intervened=pl.Series([["Gender", "Treatment"], ["Treatment", "gender"]]))
    (table,) = split(frame)
    assert table.do == VARIABLES


def test_a_study_may_be_called_like_anothers_arm():
    frame = FRAME.with_columns(
        Study=pl.when(pl.col("Study") == "registry").then(pl.lit("trial do(Treatment)")).otherwise(pl.col("Study"))
    )
    names = [t.name for t in split(frame)]
    assert len(set(names)) == len(names) == 3


def test_intervened_lists_of_no_type_are_observational():
    frame = FRAME.with_columns(intervened=pl.Series([[]] * 5, dtype=pl.List(pl.Int32)))
    assert [t.do for t in split(frame)] == [(), ()]


def test_an_unknown_intervention_gets_a_hint():
    frame = FRAME.with_columns(intervened=pl.Series([["Treatmnt"]] * 5))
    with pytest.raises(UnknownName, match=r"intervened names Treatmnt, which is no variable.*\['Treatment'"):
        split(frame)


def test_a_null_among_the_interventions_is_refused():
    with pytest.raises(NullValue, match="intervened lists NULL"):
        split(FRAME.with_columns(intervened=pl.Series([[None]] * 5, dtype=pl.List(pl.String))))


def test_interventions_that_are_no_list_are_refused():
    with pytest.raises(
        UnsupportedColumn, match=r"intervened has type String; it takes a list of variables, VARCHAR\[\]"
    ):
        split(FRAME.with_columns(intervened=pl.lit("Treatment")))


def test_a_record_without_a_study_is_refused():
    with pytest.raises(NullValue, match="column Study is NULL in 5 patterns"):
        split(FRAME.with_columns(Study=pl.lit(None, pl.String)))


def test_a_missing_variable_gets_a_hint():
    with pytest.raises(MissingColumn, match=r"no column for the variable Gender;.*did you mean.*'gendr'"):
        split(FRAME.rename({"gender": "gendr"}))


def test_a_variable_called_study_is_refused():
    with pytest.raises(RepeatedName, match="the variable Study bears the name"):
        split_relation(FRAME, ["Study"])


def test_a_segment_that_is_a_variable_is_refused():
    with pytest.raises(OptionError, match="by names gender, which is the variable Gender"):
        split(by=["gender"])


def test_columns_that_differ_by_case_only_are_refused():
    with pytest.raises(RepeatedName, match="several columns for the variable Gender"):
        split(FRAME.with_columns(GENDER=pl.lit("x")))


def test_impossible_weights_are_counted():
    frame = FRAME.with_columns(emcc_bad=pl.Series([0, 3, 0, 0, 0]), emcc_count=pl.Series([1.0, None, 1.0, 1.0, 1.0]))
    with pytest.raises(InvalidWeight, match=r"study 'trial do\(Treatment\)' has 3 records whose weight"):
        split(frame)


def test_weights_of_zero_alone_are_an_empty_study():
    with pytest.raises(EmptyStudy, match="study 'registry' is empty: all its weights"):
        split(FRAME.with_columns(emcc_count=pl.Series([1, 1, 1, 0, 1])))


HOLES = FRAME.with_columns(gender=pl.Series([None, "m", "f", "m", "f"]), intervened=pl.Series([None] * 5))


def test_a_null_is_a_value_that_was_not_recorded():
    for nulls in ("mar", "mcar"):
        assert split(HOLES, nulls=nulls)[1].frame.rows()[0] == (None, "1", 2.0)


def test_a_null_is_refused_or_dropped_on_request():
    with pytest.raises(NullValue, match=r"study 'trial' has NULL in gender \(variable Gender\) in 2 records"):
        split(HOLES, nulls="error")
    assert split(HOLES, nulls="drop")[1].frame.rows() == [("f", "0", 6.0), ("f", "1", 4.0), ("m", "0", 3.0)]


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop", "error"])
def test_a_variable_that_is_null_throughout_a_study_is_unmeasured_there(nulls):
    frame = FRAME.with_columns(gender=pl.Series(["f", "m", "f", None, "f"]))
    tables = split(frame, nulls=nulls)
    assert tables[0].frame.rows() == [(None, "1", 5.0)]
    assert tables[0].frame.columns == ["Gender", "Treatment", "count"]
    assert tables[1].frame.rows() == [("f", "0", 6.0), ("f", "1", 4.0)]


def test_a_value_of_no_weight_does_not_count_as_measured():
    frame = FRAME.with_columns(
        gender=pl.Series([None, None, None, "m", None]), emcc_count=pl.Series([1.0, 1.0, 1.0, 0.0, 1.0])
    ).with_columns(Study=pl.lit("one"), intervened=pl.lit(None))
    (table,) = split(frame, nulls="drop")
    assert table.frame.rows() == [(None, "0", 2.0), (None, "1", 2.0)]


def test_a_null_in_what_is_set_by_design_is_refused_even_throughout():
    frame = FRAME[:2].with_columns(TREATMENT=pl.lit(None, pl.Int64))
    with pytest.raises(NullValue, match=r"in TREATMENT \(variable Treatment\) in 5 records, which is set by design"):
        split(frame)


def test_a_study_of_nulls_alone_is_empty():
    frame = FRAME.with_columns(
        gender=pl.lit(None, pl.String), TREATMENT=pl.lit(None, pl.Int64), intervened=pl.lit(None)
    )
    with pytest.raises(EmptyStudy, match="study 'registry' is empty: every record has NULL in every variable"):
        split(frame)


def test_a_variable_that_no_study_measures_needs_no_column():
    (table,) = split_relation(FRAME[:2].drop("gender"), VARIABLES, unmeasured=["Gender"])
    assert table.frame.rows() == [(None, "0", 3.0), (None, "1", 2.0)]


def test_a_number_that_is_not_integral_is_refused():
    with pytest.raises(UnsupportedColumn, match=r"TREATMENT = 0.5 is no state of Treatment"):
        split(FRAME.with_columns(TREATMENT=pl.lit(0.5)))


def test_a_type_without_exact_states_is_refused():
    with pytest.raises(UnsupportedColumn, match=r"the column gender \(variable Gender\) has type List"):
        split(FRAME.with_columns(gender=pl.lit([1])))


def test_a_relation_without_records_is_refused():
    with pytest.raises(EmptyStudy, match="the studies relation has no records"):
        split(FRAME.head(0))
