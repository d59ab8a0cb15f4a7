"""`Study`: what it takes, what it refuses, and how it is called."""

import pathlib

import duckdb
import polars as pl
import pytest

from duckemcc.errors import OptionError, RepeatedName, SourceError
from duckemcc.study.study import Study, name_studies, study_name

FRAME = pl.DataFrame({"X": [1]})


def test_a_bare_text_is_one_name():
    study = Study(FRAME, do="Treatment", unmeasured="A", local="U", selected="A = 1")
    assert (study.do, study.unmeasured, study.local) == (("Treatment",), ("A",), ("U",))
    assert study.selected == "A = 1"


def test_a_study_is_frozen_and_keeps_its_own_copy_of_columns():
    columns = {"X": "x"}
    study = Study(FRAME, columns=columns)
    columns["Y"] = "y"
    assert study.columns == {"X": "x"}
    with pytest.raises(AttributeError):
        study.name = "other"


def test_showing_a_study_does_not_run_its_source():
    con = duckdb.connect()
    study = Study(con.sql("SELECT error('it ran') AS X"), name="trial")
    assert "trial" in repr(study)


@pytest.mark.parametrize(
    ("source", "con", "kind"),
    [
        ("a/b.parquet", False, "file"),
        (pathlib.Path("b.CSV"), False, "file"),
        ("data/*.csv.gz", False, "file"),
        ("x.tsv", True, "file"),
        ("trial", True, "table"),
        ('"x.parquet"', True, "table"),
        (FRAME, False, "polars"),
        (FRAME.lazy(), False, "polars"),
        (FRAME.to_arrow(), False, "arrow"),
    ],
)
def test_sources_are_told_apart(source, con, kind):
    assert Study(source, con=duckdb.connect() if con else None).kind == kind


def test_a_relation_is_a_relation_although_it_has_an_arrow_stream():
    con = duckdb.connect()
    assert Study(con.sql("SELECT 1 AS X")).kind == "relation"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pathlib.Path("trial.xlsx"), r"neither Parquet nor CSV"),
        ("", "takes a path or the name of a table"),
        (b"x.parquet", "a bytes is no source of records"),
        (42, "a int is no source of records; give a DuckDB relation"),
        (None, "NoneType is no source"),
        ([{"X": 1}], "a list is no source"),
    ],
)
def test_an_unknown_source_is_refused(source, message):
    with pytest.raises(SourceError, match=message):
        Study(source)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"do": 3}, OptionError, "do takes a name or a list of names; found 3"),
        ({"do": ["A", ""]}, OptionError, "do takes a name"),
        ({"do": ["A", "a"]}, RepeatedName, "do names A and a"),
        ({"do": ["A", "A"]}, RepeatedName, "do names A and A"),
        ({"name": ""}, OptionError, "name takes a text that is not empty; found ''"),
        ({"weight": 3}, OptionError, "weight takes a text"),
        ({"where": "  "}, OptionError, "where takes a text"),
        ({"columns": ["a"]}, OptionError, "columns maps variables to column names"),
        ({"columns": {"A": 1}}, OptionError, "columns maps names to names; found 'A': 1"),
        ({"columns": {"A": "x", "a": "y"}}, RepeatedName, "columns= maps A and a"),
        ({"selected": " "}, OptionError, "selected takes a text"),
        ({"shared": "yes"}, OptionError, "shared takes True or False; found 'yes'"),
        ({"con": "x"}, OptionError, "con takes a DuckDB connection.*; found another text"),
    ],
    ids=str,
)
def test_a_wrong_option_says_what_it_takes(options, error, message):
    with pytest.raises(error, match=message):
        Study(FRAME, **options)


def test_a_connection_with_a_source_that_has_its_own_is_refused():
    with pytest.raises(OptionError, match="con goes with the name of a table or file"):
        Study(FRAME, con=duckdb.connect())


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/trial.parquet", "trial"),
        ("trial.v2.csv.gz", "trial.v2"),
        ("a/trial_*.parquet", "trial"),
        ("a/*.parquet", "study 3"),
    ],
)
def test_a_file_gives_its_name(source, name):
    assert study_name(Study(source), 3) == name


@pytest.mark.parametrize(
    ("table", "name"), [("trial", "trial"), ("s.trial", "trial"), ('s."my ""t"" x"', 'my "t" x'), ('"a.b"', "a.b")]
)
def test_a_table_gives_its_name(table, name):
    assert study_name(Study(table, con=duckdb.connect()), 1) == name


def test_a_relation_gives_the_name_of_its_table_where_there_is_one():
    con = duckdb.connect()
    con.execute("CREATE TABLE trial AS SELECT 1 AS X")
    assert study_name(Study(con.table("trial")), 1) == "trial"
    assert study_name(Study(con.sql("SELECT 1 AS X")), 2) == "study 2"


def test_other_sources_are_numbered_and_a_given_name_wins():
    assert name_studies([Study(FRAME), Study(FRAME, name="trial"), Study("trial.csv")]) == [
        "study 1",
        "trial",
        "trial 2",
    ]


def test_default_names_are_made_different_even_from_given_ones():
    studies = [Study("trial.csv"), Study("Trial.parquet"), Study(FRAME, name="trial 2")]
    assert name_studies(studies) == ["trial", "Trial 3", "trial 2"]


def test_a_name_given_twice_is_refused():
    with pytest.raises(RepeatedName, match="two studies are called 'trial'"):
        name_studies([Study(FRAME, name="trial"), Study(FRAME, name="Trial")])
