"""`Studies`: one source of several studies becomes their count tables, counted in one scan by its engine."""

from __future__ import annotations

import ast

import duckdb
import polars as pl
import pytest

from duckemcc.errors import (
    EmptyStudy,
    InvalidWeight,
    MissingColumn,
    NullValue,
    OptionError,
    RepeatedName,
    SourceError,
    TooLarge,
    UnknownName,
    UnsupportedColumn,
)
from duckemcc.study.count import relation
from duckemcc.study.count.relation import Studies, count_relation

VARIABLES = ("Gender", "Treatment")
FRAME = pl.DataFrame(
    {
        "sex": ["f", "m", "f", "m", None, "f"],
        "TREATMENT": [1, 0, 1, 1, 0, None],
        "Study": ["trial", "trial", "trial", "registry", "registry", "survey"],
        "Intervened": [["treatment"], ["Treatment", "TREATMENT"], [], None, None, None],
        "region": [1, 1, 2, 2, 2, 1],
        "n": [2.5, 3.0, 4.0, 5.0, 6.0, 7.0],
    }
)
COLUMNS = {"Gender": "sex"}

KEPT = []  # on duckdb 1.4 a relation does not keep its connection open


def as_relation(frame):
    KEPT.append(duckdb.connect())
    return KEPT[-1].from_arrow(frame.to_arrow())


ENGINES = {
    "polars": lambda frame: frame,
    "lazy": lambda frame: frame.lazy(),
    "duckdb": lambda frame: as_relation(frame),
    "arrow": lambda frame: frame.to_arrow(),
}


@pytest.fixture(params=ENGINES)
def engine(request):
    return ENGINES[request.param]


def tables(source, variables=VARIABLES, columns=COLUMNS, by=(), nulls="mar", unmeasured=(), **options):
    studies = Studies(source, columns=columns, **options)
    return count_relation(studies, variables, by=by, nulls=nulls, unmeasured=unmeasured)


def test_one_table_per_study_and_set_of_interventions(engine):
    found = tables(engine(FRAME), weight="n", by=["Region"])
    assert [(t.name, t.do, t.frame.rows()) for t in found] == [
        ("registry", (), [(None, "0", 2, 6.0), ("m", "1", 2, 5.0)]),
        ("survey", (), [("f", None, 1, 7.0)]),
        ("trial", (), [("f", "1", 2, 4.0)]),
        ("trial do(Treatment)", ("Treatment",), [("f", "1", 1, 2.5), ("m", "0", 1, 3.0)]),
    ]
    assert found[0].frame.columns == ["Gender", "Treatment", "Region", "count"]


def test_without_weights_records_are_counted(engine):
    found = tables(engine(pl.concat([FRAME, FRAME[:1]])))
    assert found[3].frame.rows() == [("f", "1", 2.0), ("m", "0", 1.0)]


def test_where_selects_records(engine):
    (table,) = tables(engine(FRAME), where="Study = 'trial' AND n < 4")
    assert (table.name, table.do, table.frame["count"].sum()) == ("trial", ("Treatment",), 2.0)


def test_a_column_that_tells_nothing_apart_may_be_missing(engine):
    (only,) = tables(engine(FRAME.drop("Study", "Intervened")))
    assert (only.name, only.do) == ("studies", ())
    assert [t.name for t in tables(engine(FRAME.drop("Study")))] == ["studies", "studies do(Treatment)"]
    assert [t.name for t in tables(engine(FRAME.drop("Intervened")))] == ["registry", "survey", "trial"]


def test_interventions_of_no_type_are_observational(engine):
    frame = FRAME.with_columns(Intervened=None)
    assert [t.do for t in tables(engine(frame))] == [(), (), ()]


def test_interventions_may_be_categories():
    frame = FRAME.with_columns(pl.col("Intervened").cast(pl.List(pl.Categorical)))
    assert [t.do for t in tables(frame)] == [(), (), (), ("Treatment",)]


def test_studies_may_be_called_by_numbers(engine):
    frame = FRAME.with_columns(Study=pl.Series([2, 2, 2, 10, 10, 3]))
    assert [t.name for t in tables(engine(frame))] == ["10", "2", "2 do(Treatment)", "3"]


def test_segments_by_study_are_one_study_each(engine):
    found = tables(engine(FRAME), by=["STUDY"], weight="n")
    assert {tuple(t.frame["STUDY"].unique()) for t in found} == {("registry",), ("survey",), ("trial",)}


def test_shared_studies_have_no_segments(engine):
    found = tables(engine(FRAME.drop("region")), by=["region"], shared=True)
    assert all(t.shared and "region" not in t.frame.columns for t in found)


def test_variables_that_no_study_measures_need_no_column(engine):
    found = tables(engine(FRAME), (*VARIABLES, "Latent"), unmeasured=("Latent",))
    assert all(t.frame["Latent"].null_count() == t.frame.height for t in found)


def test_a_table_is_named_with_its_connection():
    con = duckdb.connect()
    con.register("all_studies", FRAME.to_arrow())
    assert len(tables("all_studies", con=con)) == 4
    with pytest.raises(SourceError, match=r"'all_studies' is the name of a table .*; give its connection with con=…"):
        tables("all_studies")


def test_the_streaming_engine_adds_up_what_the_order_of_interventions_splits(engine):
    frame = pl.DataFrame({"X": ["a"] * 3, "Y": ["b"] * 3, "intervened": [["X", "Y"], ["Y", "x"], ["Y", "X", "Y"]]})
    (table,) = tables(engine(frame), ("X", "Y"), columns=None)
    assert table.frame.rows() == [("a", "b", 3.0)]


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Study": pl.lit(None, pl.String)}, NullValue, "the column study is NULL in .* patterns; every record needs"),
        ({"Intervened": pl.lit("Treatment")}, UnsupportedColumn, "column intervened has type String; it takes a list"),
        ({"Intervened": pl.lit(["Treatmen"])}, UnknownName, r"names Treatmen.*Hint.*\['Treatment'\]"),
        ({"Intervened": [[None]] * 6}, NullValue, "the column intervened lists NULL"),
        ({"Intervened": [["sex"]] * 6}, UnknownName, "intervened names sex, which is no variable of the model"),
        ({"n": pl.lit(-1.0)}, InvalidWeight, "weight n is NULL, negative"),
        ({"n": pl.lit("a")}, UnsupportedColumn, "weights n of type"),
        ({"sex": pl.lit(1.5)}, UnsupportedColumn, "sex = 1.5 is no state of Gender"),
        ({"sex": pl.lit(None, pl.String), "TREATMENT": None}, EmptyStudy, "study 'registry' is empty"),
        ({"TREATMENT": None}, NullValue, r"NULL in TREATMENT \(variable Treatment\).*where='TREATMENT IS NOT NULL'"),
    ],
)
def test_values_that_cannot_be_are_refused(engine, change, error, message):
    frame = FRAME.with_columns(**{k: pl.Series(v) if isinstance(v, list) else v for k, v in change.items()})
    with pytest.raises(error, match=message):
        tables(engine(frame), weight="n")


def test_the_filter_that_an_error_advises_can_be_asked(engine):
    frame = pl.DataFrame({"sex": ["f"] * 3, "given?": ["a", None, "a"]})
    columns = {"Treatment": "given?", "Gender": "sex"}
    with pytest.raises(NullValue, match="where=") as told:
        tables(engine(frame), columns=columns, nulls="error")
    where = ast.literal_eval(str(told.value).partition("where=")[2].rstrip("."))
    assert where == '"given?" IS NOT NULL'
    (table,) = tables(engine(frame), columns=columns, nulls="error", where=where)
    assert table.frame["count"].sum() == 2


def test_a_missing_column_is_named(engine):
    message = r"study 'studies' has no column for the variable Gender; its columns .* in the graph: unmeasured Gender"
    with pytest.raises(MissingColumn, match=message):
        tables(engine(FRAME), columns=None)
    with pytest.raises(MissingColumn, match="no column for the segment country"):
        tables(engine(FRAME), by=["country"])


@pytest.mark.parametrize("variable", ["Study", "intervened"])
def test_a_variable_cannot_be_called_like_the_studies_own_columns(engine, variable):
    with pytest.raises(RepeatedName, match=rf"the variable {variable} bears the name of the studies' own column"):
        tables(engine(FRAME), (variable, "Treatment"), columns=None)


def test_no_records_are_an_error_that_says_why(engine):
    with pytest.raises(EmptyStudy, match=r"the studies relation has no records that satisfy where='n < 0'$"):
        tables(engine(FRAME), where="n < 0")


def test_too_many_patterns_are_refused(engine, monkeypatch):
    monkeypatch.setattr(relation, "MOST_PATTERNS", 3)
    with pytest.raises(TooLarge, match="the studies relation has more than 3 distinct patterns"):
        tables(engine(FRAME))


def test_nulls_can_be_an_error(engine):
    with pytest.raises(NullValue, match=r"study 'registry' has NULL in sex \(variable Gender\) in 1 record"):
        tables(engine(FRAME), nulls="error")


def test_options_are_checked_like_those_of_a_study():
    with pytest.raises(OptionError, match="where takes a text that is not empty"):
        Studies(FRAME, where="")
    with pytest.raises(TypeError, match="do"):
        Studies(FRAME, do="Treatment")
