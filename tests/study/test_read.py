"""Counting: the same records in every kind of source give the same count table, and every refusal says what to do."""

import datetime as dt
import itertools
import subprocess
import sys
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

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
from duckemcc.study import labels
from duckemcc.study.count import duckdb as study_duckdb
from duckemcc.study.count import polars as study_polars
from duckemcc.study.count.read import count_study
from duckemcc.study.study import Study

VARIABLES = ("Gender", "Treatment", "Age")

RECORDS = pl.DataFrame(
    {
        "id": range(8),
        "gender": ["female", "male", "female", "male", "female", "female", "male", " x y"],
        "Treatment": [True, False, True, False, True, False, False, True],
        "age": [1, 2, 1, 2, 1, -3, 2, 10],
        "region": [1, 1, 1, 2, None, 2, 1, 1],
        "n": [0.1, 0.2, 0.2, 1.0, 2.5, 0.0, 1e-3, 1.0],
        "k": [1, 2, 3, 4, 5, 0, 7, 8],
        'odd "name"': ["it's", "b", "c", "d", "e", "f", "g", "h"],
    }
)


class Stream:
    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


ENGINE = duckdb.connect()
NUMBERS = itertools.count()


def _connection(frame):
    """To an empty database; of one DuckDB, as opening another takes longer than counting."""
    con = ENGINE.cursor()
    name = f"db{next(NUMBERS)}"
    con.execute(f"ATTACH ':memory:' AS {name}; USE {name}")
    con.register("frame_view", frame.to_arrow())
    return con


KEPT = []  # before 2.0 a relation does not keep its connection


@pytest.fixture(autouse=True)
def _let_go():
    yield
    KEPT.clear()


def _relation(frame, tmp_path):
    KEPT.append(_connection(frame))
    return {"source": KEPT[-1].table("frame_view")}


def _table(frame, tmp_path):
    con = _connection(frame)
    con.execute('CREATE SCHEMA s; CREATE TABLE s."my table" AS FROM frame_view')
    return {"source": 's."my table"', "con": con}


def _temp_table(frame, tmp_path):
    con = _connection(frame)
    con.execute("CREATE TEMP TABLE trial AS FROM frame_view")
    return {"source": "trial", "con": con}


def _uncommitted(frame, tmp_path):
    con = _connection(frame)
    KEPT.append(con)
    con.execute("CREATE TABLE trial AS FROM frame_view LIMIT 0")
    con.execute("BEGIN; INSERT INTO trial FROM frame_view")
    return {"source": con.table("trial")}


def _parquet(frame, tmp_path):
    frame.write_parquet(tmp_path / "trial[1].parquet")
    return {"source": tmp_path / "trial[1].parquet"}


def _glob(frame, tmp_path):
    half = (frame.height + 1) // 2
    frame[:half].write_parquet(tmp_path / "a.parquet")
    frame[half:].write_parquet(tmp_path / "b.parquet")
    return {"source": str(tmp_path / "*.parquet")}


def _csv(frame, tmp_path):
    frame.write_csv(tmp_path / "trial.csv")
    return {"source": str(tmp_path / "trial.csv")}


def _tsv(frame, tmp_path):
    frame.write_csv(tmp_path / "trial.tsv", separator="\t")
    return {"source": str(tmp_path / "trial.tsv")}


def _pandas(frame, tmp_path):
    pd = pytest.importorskip("pandas")
    return {"source": pd.DataFrame(frame.to_dict(as_series=False))}


SOURCES = {
    "relation": _relation,
    "table": _table,
    "temp table": _temp_table,
    "uncommitted": _uncommitted,
    "parquet": _parquet,
    "glob": _glob,
    "csv": _csv,
    "tsv": _tsv,
    "polars": lambda frame, _: {"source": frame},
    "lazy": lambda frame, _: {"source": frame.lazy()},
    "arrow": lambda frame, _: {"source": frame.to_arrow()},
    "reader": lambda frame, _: {"source": frame.to_arrow().to_reader(3)},
    "stream": lambda frame, _: {"source": Stream(frame.to_arrow())},
    "pandas": _pandas,
}
ENGINES = ("relation", "polars")


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    return lambda frame=RECORDS: SOURCES[request.param](frame, tmp_path)


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path):
    return lambda frame=RECORDS: SOURCES[request.param](frame, tmp_path)


def counted(given, *, variables=VARIABLES, by=(), nulls="error", name="trial", **options):
    return count_study(Study(**given, **options), variables, name=name, by=by, nulls=nulls)


def rows(table):
    return table.frame.rows()


# -- what comes out, whatever goes in ----------------------------------------------------------


def test_records_are_counted_by_pattern_with_labels_for_values(source):
    table = counted(source(), do="treatment")
    assert (table.name, table.do) == ("trial", ("Treatment",))
    assert table.frame.schema == {**dict.fromkeys(VARIABLES, pl.String), "count": pl.Float64}
    assert rows(table) == [
        (" x y", "true", "10", 1.0),
        ("female", "false", "-3", 1.0),
        ("female", "true", "1", 3.0),
        ("male", "false", "2", 3.0),
    ]


def test_segments_keep_their_type_and_name_and_null_is_a_segment(source):
    table = counted(source(), variables=("Gender",), by=["Region"])
    assert table.frame.columns == ["Gender", "Region", "count"]
    assert rows(table) == [
        (" x y", 1, 1.0),
        ("female", None, 1.0),
        ("female", 1, 2.0),
        ("female", 2, 1.0),
        ("male", 1, 2.0),
        ("male", 2, 1.0),
    ]


def test_fractional_weights_are_summed_exactly_and_patterns_of_no_weight_are_left_out(source):
    assert rows(counted(source(), variables=("Gender", "Age"), weight="N")) == [
        (" x y", "10", 1.0),
        ("female", "1", 2.8),
        ("male", "2", 1.201),
    ]


def test_integer_weights_are_summed(source):
    assert rows(counted(source(), variables=("Gender",), weight="k")) == [
        (" x y", 8.0),
        ("female", 9.0),
        ("male", 13.0),
    ]


def test_where_selects_records(source):
    where = "region = 1 AND NOT (gender = ' x y') AND \"odd \"\"name\"\"\" IN ('it''s', 'b', 'c')"
    assert rows(counted(source(), variables=("Gender",), where=where)) == [("female", 2.0), ("male", 1.0)]


def test_columns_maps_variables_to_columns(source):
    columns = {"Odd": 'odd "name"', "sex": "GENDER"}
    table = counted(source(), variables=("Sex", "Odd"), columns=columns, where="id < 2")
    assert rows(table) == [("female", "it's", 1.0), ("male", "b", 1.0)]


@pytest.mark.parametrize(
    "where",
    [
        "age - 3 < 0",
        "age * 2 > 3",
        "-age > 0",
        "age % 3 = 1",
        "age / 4 = 0.5",
        "abs(age) = 3",
        "age BETWEEN -3 AND 1",
        "age NOT IN (1, 2)",
        "gender LIKE 'f%'",
        "gender NOT ILIKE 'FEM%'",
        "lower(gender) = 'male'",
        "region IS NULL OR region = 2",
        "NOT region = 2",
        "coalesce(region, 0) = 0",
        "Treatment",
        "NOT treatment AND age = 2",
        "(age > 1) = treatment",
        "CAST(age AS VARCHAR) = '1'",
        "CAST(region AS DOUBLE) > 1.5",
        "small - 200 < 0",
        "small + small > 150",
        "day >= DATE '2024-01-03'",
        "mood = 'sad' OR mood IN ('glad')",
        "n = 0.2",
    ],
)
def test_a_where_means_the_same_in_duckdb_and_polars(where):
    frame = RECORDS.with_columns(
        small=pl.Series([100, 1, 2, 3, 4, 5, 6, 250], dtype=pl.UInt8),
        day=pl.date(2024, 1, pl.col("id") + 1),
        mood=pl.Series(["sad", "glad", "so", "so", "sad", "so", "glad", "so"], dtype=pl.Enum(["glad", "so", "sad"])),
    )
    duck, polars = (count_study(Study(s, where=where), ["id"], name="s") for s in (frame.to_arrow(), frame))
    assert_frame_equal(duck.frame, polars.frame)
    assert 0 < duck.frame.height < frame.height


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([1, 2], dtype=pl.Int8), ["1", "2"]),
        (pl.Series([1, 2**64 - 1], dtype=pl.UInt64), ["1", "18446744073709551615"]),
        (pl.Series([1.0, -0.0, 0.0]), ["0", "1"]),
        (pl.Series([1, 2], dtype=pl.Float32), ["1", "2"]),
        (pl.Series([Decimal("2.00"), Decimal("-3.00")]), ["-3", "2"]),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), ["a", "b"]),
        (pl.Series(["b", "a"], dtype=pl.Categorical), ["a", "b"]),
        (pl.Series(["1", "1 ", "True", ""]), ["", "1", "1 ", "True"]),
        (pl.Series([True, False]), ["false", "true"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["relation", "parquet", "polars", "arrow", "reader"])
def test_every_type_with_exact_states_gives_its_text(values, expected, kind, tmp_path):
    frame = pl.DataFrame({"X": values})
    table = counted(SOURCES[kind](frame, tmp_path), variables=["X"])
    assert table.frame["X"].to_list() == expected
    assert table.frame["count"].sum() == len(values)


def test_duckdbs_own_enum_and_hugeint_give_their_text():
    con = duckdb.connect()
    relation = con.sql("SELECT 'b'::ENUM('b', 'a') AS e, 12::HUGEINT AS h, 3::UHUGEINT AS u, 'a'::ENUM('b', 'a') AS r")
    table = count_study(Study(relation), ["e", "h", "u"], name="s", by=["r"])
    assert rows(table) == [("b", "12", "3", "a", 1.0)]


@pytest.mark.parametrize(
    "weights", [[Decimal("0.10"), Decimal("0.20")], [0.1, 0.2], [1e-15, 1e15], [2**40, 3]], ids=str
)
def test_weights_of_any_number_type_agree_between_engines(weights):
    frame = pl.DataFrame({"X": ["a", "a"], "w": weights})
    for kind in (frame, frame.to_arrow()):
        assert rows(count_study(Study(kind, weight="w"), ["X"], name="s")) == [("a", float(f"{sum(weights):.16g}"))]


def test_dates_can_be_segments(engine):
    frame = pl.DataFrame({"X": ["a", "b"], "day": [dt.date(2024, 1, 2), dt.date(2024, 1, 1)]})
    table = counted(engine(frame), variables=["X"], by=["day"])
    assert rows(table) == [("a", dt.date(2024, 1, 2), 1.0), ("b", dt.date(2024, 1, 1), 1.0)]


@given(
    records=st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0, 10).filter(lambda w: w == 0 or w > 1e-9)), min_size=2, max_size=40
    ),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=30, deadline=None)
def test_neither_the_order_of_rows_nor_the_engine_changes_the_counts(records, seed):
    records.append(("a", 1.0))
    shuffled = seed.sample(records, len(records))
    tables = [pl.DataFrame(r, schema=["X", "w"], orient="row") for r in (records, shuffled)]
    results = [count_study(Study(s, weight="w"), ["X"], name="s") for t in tables for s in (t, t.to_arrow())]
    for other in results[1:]:
        assert_frame_equal(results[0].frame, other.frame, check_exact=True)


@given(records=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_splitting_records_by_weight_does_not_change_the_counts(records):
    records.append(("b", 2))
    split = [x for x, w in records for _ in range(w)]
    weighted = count_study(Study(pl.DataFrame(records, schema=["X", "w"], orient="row"), weight="w"), ["X"], name="s")
    assert_frame_equal(weighted.frame, count_study(Study(pl.DataFrame({"X": split})), ["X"], name="s").frame)


# -- sources -----------------------------------------------------------------------------------


def test_a_file_can_be_read_through_a_connection_of_the_callers(tmp_path):
    given = _parquet(RECORDS, tmp_path)
    assert rows(counted(given, con=duckdb.connect(), variables=["Age"]))[0] == ("-3", 1.0)


def test_a_missing_file_is_named():
    with pytest.raises(SourceError, match=r"the file '/nowhere/x.parquet' does not exist"):
        counted({"source": "/nowhere/x.parquet"})


def test_a_misspelt_table_gets_a_suggestion():
    con = duckdb.connect()
    con.execute("CREATE TABLE registry AS SELECT 1 AS X")
    with pytest.raises(SourceError, match=r"Table with name registy does not exist! Did you mean \"registry\"\?"):
        counted({"source": "registy", "con": con})


def test_a_glob_without_files_is_named():
    with pytest.raises(SourceError, match=r"no file matches '/nowhere/\*.csv'"):
        counted({"source": "/nowhere/*.csv"})


def test_a_file_that_is_no_parquet_is_a_source_error(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(SourceError, match=r"study 'trial' cannot be read: "):
        counted({"source": tmp_path / "x.parquet"})


def test_a_missing_table_is_named():
    with pytest.raises(SourceError, match=r"cannot be read.*nope"):
        counted({"source": "nope", "con": duckdb.connect()})


@pytest.mark.parametrize("table", ["relation", "source", "study", "frame", "emcc_con"])
def test_a_table_name_never_means_a_python_variable(table):
    with pytest.raises(SourceError, match="cannot be read"):
        counted({"source": table, "con": duckdb.connect()})


def test_a_closed_connection_is_a_source_error(tmp_path):
    given = _temp_table(RECORDS, tmp_path)
    given["con"].close()
    with pytest.raises(SourceError, match="closed"):
        counted(given)


def test_a_stream_is_read_once_only():
    reader = RECORDS.to_arrow().to_reader()
    counted({"source": reader})
    with pytest.raises((EmptyStudy, SourceError)):
        counted({"source": reader})


@pytest.mark.skipif(duckdb.__version__ < "2", reason="before 2.0 any statement ends an unfinished result")
def test_an_unfinished_result_on_the_connection_is_left_alone():
    con = duckdb.connect()
    con.execute("CREATE TEMP TABLE t AS SELECT range % 3 AS X FROM range(100000)")
    table = con.table("t")
    con.execute("FROM t")
    con.fetchone()
    with pytest.raises(SourceError, match=r"unfinished result; fetch that to its end first"):
        counted({"source": table}, variables=["X"])
    assert len(con.fetchall()) == 99_999
    assert counted({"source": table}, variables=["X"]).frame.height == 3


def test_a_transaction_stays_open_and_nothing_is_left_behind_on_the_connection(tmp_path):
    con = duckdb.connect()
    con.execute("CREATE TABLE t AS SELECT 1 AS X; BEGIN; INSERT INTO t VALUES (2)")
    before = con.sql("SELECT count(*) FROM duckdb_views()").fetchall()
    assert counted({"source": "t", "con": con}, variables=["X"]).frame.height == 2
    assert con.sql("SELECT count(*) FROM duckdb_views()").fetchall() == before
    con.execute("ROLLBACK")
    assert counted({"source": "t", "con": con}, variables=["X"]).frame.height == 1


def test_importing_a_study_imports_no_engine():
    code = (
        "import sys, duckemcc.study.study, duckemcc.study.count.read, duckemcc.study.labels, duckemcc.study.encode;"
        "print([m for m in ('duckdb', 'polars', 'pyarrow', 'sqlglot') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_counts_import_numpy_only():
    code = "import sys, duckemcc.learn.counts; print([m for m in sys.modules if m in ('duckdb', 'polars', 'scipy')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# -- names -------------------------------------------------------------------------------------


def test_a_missing_column_says_what_there_is_and_what_to_do(engine):
    with pytest.raises(
        MissingColumn, match=r"study 'trial' has no column for the variable Gendr; its columns are id, "
    ) as e:
        counted(engine(), variables=["Gendr"])
    assert "Hint: did you mean one of these columns: ['gender', " in str(e.value)
    assert str(e.value).endswith("Map it with columns={'Gendr': '…'}, or say unmeasured=['Gendr'].")


def test_a_mapped_column_that_is_missing_is_named(engine):
    with pytest.raises(MissingColumn, match=r"variable Gender, which columns= maps to sexx; its columns are"):
        counted(engine(), variables=["Gender"], columns={"Gender": "sexx"})


def test_a_key_of_columns_that_is_no_variable_gets_a_hint(engine):
    with pytest.raises(UnknownName, match=r"columns= for Gendre, which is no variable.*did you mean.*'Gender'"):
        counted(engine(), columns={"Gendre": "gender"})


def test_an_unknown_intervention_gets_a_hint(engine):
    with pytest.raises(UnknownName, match=r"'trial' intervenes on Treatmnt, which is no variable.*'Treatment'"):
        counted(engine(), do=["Treatmnt"])


@pytest.mark.parametrize(("options", "what"), [({"weight": "nn"}, "weight nn"), ({"by": ["regio"]}, "segment regio")])
def test_a_missing_weight_or_segment_is_named(engine, options, what):
    with pytest.raises(MissingColumn, match=f"no column for the {what}; its columns are"):
        counted(engine(), **options)


def test_a_missing_column_in_where_is_named(engine):
    with pytest.raises(MissingColumn, match=r"study 'trial' has no column for the name female in where.*single quotes"):
        counted(engine(), where='gender = "female"')


@pytest.mark.parametrize("kind", ["polars", "arrow", "reader", "parquet", "csv"])
def test_columns_that_differ_by_case_only_are_refused_where_they_matter(kind, tmp_path):
    frame = pl.DataFrame({"a": [1, 1], "A": [2, 3], "b": [5, 6]})
    assert counted(SOURCES[kind](frame, tmp_path), variables=["b"]).frame.height == 2
    with pytest.raises(RepeatedName, match=r"several columns .* a"):
        counted(SOURCES[kind](frame, tmp_path), variables=["A"])
    with pytest.raises(RepeatedName, match=r"several columns"):
        counted(SOURCES[kind](frame, tmp_path), variables=["b"], where="a = 1")


def test_polars_can_choose_between_columns_that_differ_by_case():
    frame = pl.DataFrame({"a": [1, 1], "A": [2, 3]})
    table = counted({"source": frame}, variables=["a"], columns={"a": "A"}, where='"a" = 1')
    assert table.frame["a"].to_list() == ["2", "3"]


def test_duckdb_refuses_to_choose_between_columns_that_differ_by_case():
    frame = pa.table({"a": [1, 1], "A": [2, 3], "b": [1, 2]})
    with pytest.raises(RepeatedName, match="rename one in the source"):
        counted({"source": frame}, variables=["a"], columns={"a": "A"})
    with pytest.raises(RepeatedName, match="rename one in the source"):
        counted({"source": frame}, variables=["b"], where='"A" = 2')


def test_one_column_cannot_be_two_variables(engine):
    with pytest.raises(RepeatedName, match=r"uses the column gender for Sex and Gender"):
        counted(engine(), variables=["Sex", "Gender"], columns={"Sex": "gender"})


@pytest.mark.parametrize("by", ["gender", "GENDER"])
def test_a_segment_that_is_a_variable_is_refused_since_it_would_be_selected(engine, by):
    with pytest.raises(OptionError, match=r"by names .* which is the variable Gender.*Gender=…"):
        counted(engine(), by=[by])


def test_a_segment_that_is_the_column_of_a_variable_is_refused(engine):
    with pytest.raises(OptionError, match=r"by names region, which is the variable Place"):
        counted(engine(), variables=["Place"], columns={"Place": "region"}, by=["region"])


def test_a_weight_that_is_a_variable_is_refused(engine):
    with pytest.raises(OptionError, match=r"takes its weight from k, which is also the column of a variable"):
        counted(engine(), variables=["k"], weight="K")


def test_the_name_count_is_taken(engine):
    with pytest.raises(OptionError, match="the name count is taken"):
        counted(engine(pl.DataFrame({"count": [1]})), variables=["count"])


def test_repeated_variables_and_segments_are_refused(engine):
    with pytest.raises(RepeatedName, match="variables names Gender and gender"):
        counted(engine(), variables=["Gender", "gender"])
    with pytest.raises(RepeatedName, match="by names region and Region"):
        counted(engine(), by=["region", "Region"])


def test_no_variable_is_refused(engine):
    with pytest.raises(OptionError, match="no variable"):
        counted(engine(), variables=[])


# -- values ------------------------------------------------------------------------------------


NULLS = pl.DataFrame({"x": ["a", None, None, "b"], "Y": [1, 1, None, None]})


def test_nulls_are_counted_as_values_that_were_not_recorded(source):
    for nulls in ("mar", "mcar"):
        table = counted(source(NULLS), variables=["X", "Y"], nulls=nulls)
        assert rows(table) == [(None, None, 1.0), (None, "1", 1.0), ("a", "1", 1.0), ("b", None, 1.0)]


def test_records_with_a_null_are_dropped_on_request(source):
    assert rows(counted(source(NULLS), variables=["X", "Y"], nulls="drop")) == [("a", "1", 1.0)]
    assert rows(counted(source(NULLS), variables=["X", "Y"], where="x IS NOT NULL AND Y IS NOT NULL")) == [
        ("a", "1", 1.0)
    ]


def test_a_null_can_be_an_error_that_counts_the_records(engine):
    message = (
        r"study 'trial' has NULL in x \(variable X\) in 2 records; nulls='mar' takes them as values that were not "
        r"recorded, nulls='drop' leaves these records out; or filter them with where='x IS NOT NULL'"
    )
    with pytest.raises(NullValue, match=message):
        counted(engine(NULLS), variables=["X", "Y"], nulls="error")


@pytest.mark.parametrize("nulls", ["mar", "mcar", "error"])
def test_a_null_in_what_is_set_by_design_is_an_error(engine, nulls):
    message = (
        r"study 'trial' has NULL in x \(variable X\) in 2 records, which is set by design; say what it was set to; "
    )
    with pytest.raises(NullValue, match=message):
        counted(engine(NULLS), variables=["X", "Y"], do="X", nulls=nulls)
    assert rows(counted(engine(NULLS), variables=["X", "Y"], do="X", nulls="drop")) == [("a", "1", 1.0)]


def test_a_column_of_nulls_alone_is_as_if_unmeasured(engine):
    frame = pl.DataFrame({"X": [None, None], "Y": [1, 2]})
    table = counted(engine(frame), variables=["X", "Y"], nulls="mar")
    assert rows(table) == [(None, "1", 1.0), (None, "2", 1.0)]
    assert rows(table) == rows(counted(engine(frame.drop("X")), variables=["X", "Y"], unmeasured="X"))
    with pytest.raises(NullValue, match="in 2 records"):
        counted(engine(frame), variables=["X", "Y"], nulls="error")


@pytest.mark.parametrize(("nulls", "what"), [("mar", "NULL in every variable"), ("drop", "a NULL in a variable")])
def test_a_study_without_any_value_is_empty(engine, nulls, what):
    frame = pl.DataFrame({"X": [None, None], "Y": [None, None]})
    with pytest.raises(EmptyStudy, match=f"study 'trial' is empty: every record has {what}"):
        counted(engine(frame), variables=["X", "Y"], nulls=nulls)


@given(
    records=st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0, 1, None]), st.integers(1, 5)),
        min_size=1,
        max_size=20,
    ),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_engine_changes_the_counts_of_nulls(records, seed):
    records.append(("a", 1, 1))
    shuffled = seed.sample(records, len(records))
    frames = [
        pl.DataFrame(r, schema={"X": pl.String, "Y": pl.Int64, "w": pl.Int64}, orient="row")
        for r in (records, shuffled)
    ]
    tables = [count_study(Study(s, weight="w"), ["X", "Y"], name="s") for f in frames for s in (f, f.to_arrow())]
    for other in tables[1:]:
        assert_frame_equal(tables[0].frame, other.frame, check_exact=True)


# -- unmeasured, local, shared -----------------------------------------------------------------


def test_an_unmeasured_variable_needs_no_column_and_has_no_value(source):
    table = counted(source(), variables=("Gender", "Dose"), unmeasured="dose", by=["region"])
    assert table.frame.columns == ["Gender", "Dose", "region", "count"]
    assert table.frame["Dose"].to_list() == [None] * table.frame.height
    assert table.frame.schema["Dose"] == pl.String


def test_a_column_of_an_unmeasured_variable_is_not_read(engine):
    assert rows(counted(engine(), variables=("Age", "id"), unmeasured="id")) == [
        ("-3", None, 1.0),
        ("1", None, 3.0),
        ("10", None, 1.0),
        ("2", None, 3.0),
    ]


def test_variables_that_no_study_measures_need_no_column(engine):
    study = Study(**engine())
    table = count_study(study, ("Age", "Latent"), name="trial", unmeasured=("Latent",))
    assert table.frame["Latent"].null_count() == table.frame.height


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unmeasured": "Agee"}, UnknownName, r"'trial' has unmeasured= for Agee, which is no variable.*'Age'"),
        (
            {"unmeasured": "Age", "do": "age"},
            OptionError,
            "sets Age by design and calls it unmeasured; its column is to",
        ),
        (
            {"unmeasured": "Age", "columns": {"Age": "k"}},
            OptionError,
            "maps Age, which is unmeasured, to k; say one of the two",
        ),
        ({"unmeasured": VARIABLES}, OptionError, "study 'trial' measures no variable of the model; leave it out"),
        ({"local": "U_Gendr"}, UnknownName, r"has local= for U_Gendr, which is no exogenous variable.*\['U_Gender'"),
    ],
    ids=str,
)
def test_a_wrong_design_is_refused(engine, options, error, message):
    with pytest.raises(error, match=message):
        count_study(Study(**engine(), **options), VARIABLES, name="trial", causes=("U_Gender", "U_Age"))


def test_local_causes_are_spelled_as_in_the_model(engine):
    study = Study(**engine(), local="u_gender")
    assert count_study(study, VARIABLES, name="trial", causes=("U_Gender", "U_Age")).local == ("U_Gender",)


def test_a_shared_study_needs_no_segment(engine):
    table = counted(engine(RECORDS.drop("region")), variables=("Gender",), by=["region"], shared=True)
    assert table.shared
    assert table.frame.columns == ["Gender", "count"]
    with pytest.raises(MissingColumn, match=r"no column for the segment region.*say shared=True"):
        counted(engine(RECORDS.drop("region")), variables=("Gender",), by=["region"])


def test_a_null_of_no_weight_is_no_record(engine):
    frame = pl.DataFrame({"X": ["a", None], "w": [1, 0]})
    assert rows(counted(engine(frame), variables=["X"], weight="w")) == [("a", 1.0)]


@pytest.mark.parametrize(
    ("weights", "bad", "example"),
    [
        ([1, None, None], "2 records", "NULL"),
        ([1, -1, 2], "1 record ", "-1"),
        ([1.0, float("nan"), 1.0], "1 record ", "[nN]a[nN]"),
        ([1.0, float("inf"), 1.0], "1 record ", "inf"),
        ([1.0, -0.5, None], "2 records", "-0.5"),
        ([1.0, 1e-30, 1.0], "1 record ", "1e-30"),
        ([1.0, 1e30, 1.0], "1 record ", "1e"),
        ([Decimal("1.5"), Decimal("-1.5"), None], "2 records", "-1.5"),
    ],
    ids=str,
)
def test_impossible_weights_are_counted_and_shown(engine, weights, bad, example):
    frame = pl.DataFrame({"X": ["a", "a", "b"], "w": weights})
    with pytest.raises(InvalidWeight, match=rf"study 'trial' has {bad}.*whose weight w is NULL.*\(as {example}") as e:
        counted(engine(frame), variables=["X"], weight="w")
    assert "where=" in str(e.value)


def test_weights_of_zero_alone_are_an_empty_study(engine):
    frame = pl.DataFrame({"X": ["a"], "w": [0]})
    with pytest.raises(EmptyStudy, match=r"study 'trial' is empty: all its weights w are zero"):
        counted(engine(frame), variables=["X"], weight="w")


def test_a_weight_that_is_no_number_is_refused(engine):
    with pytest.raises(UnsupportedColumn, match=r"weights gender of type (VARCHAR|String); a weight is a number"):
        counted(engine(), variables=["Age"], weight="gender")


def test_a_study_without_records_is_an_error(source):
    with pytest.raises((EmptyStudy, UnsupportedColumn), match="no records"):
        counted(source(RECORDS.head(0)), variables=["Gender"])


def test_a_where_that_leaves_nothing_says_so(source):
    with pytest.raises(EmptyStudy, match=r"study 'trial' has no records that satisfy where='age > 99'"):
        counted(source(), where="age > 99")


@pytest.mark.parametrize(
    ("values", "type_name"),
    [
        ([dt.date(2024, 1, 1)], "(DATE|Date)"),
        ([dt.datetime(2024, 1, 1)], "(TIMESTAMP|Datetime)"),
        ([[1, 2]], "(LIST|List)"),
        ([{"a": 1}], "(STRUCT|Struct)"),
        ([b"a"], "(BLOB|Binary)"),
    ],
    ids=str,
)
def test_a_type_without_exact_states_is_refused(engine, values, type_name):
    with pytest.raises(UnsupportedColumn, match=rf"study 'trial': the column X has type {type_name}.*cast it to text"):
        counted(engine(pl.DataFrame({"X": values})), variables=["X"])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.0, 1.5, 1.5], "1.5"),
        ([0.5, None, None, 1.0, 0.5], "0.5"),
        ([1.0, float("nan"), float("nan")], "[nN]a[nN]"),
        ([1.0, float("inf"), float("inf")], "inf"),
        ([1.0, 1e20, 1e20], r"1e\+?20"),
        ([Decimal("1.00"), Decimal("1.50"), Decimal("1.50")], "1.50"),
    ],
    ids=str,
)
def test_numbers_that_are_not_integral_are_refused_with_value_and_count(engine, values, shown):
    with pytest.raises(UnsupportedColumn, match=rf"study 'trial': x = {shown} is no state of X.*\(2 such records\)"):
        counted(engine(pl.DataFrame({"x": values})), variables=["X"], nulls="mar")


@pytest.mark.parametrize("digits", [20, 23, 30, 37])
def test_weights_may_have_any_number_of_decimals(engine, digits):
    weights = pl.Series([0.5, 1.5, 2.25], dtype=pl.Decimal(38, digits))
    found = counted(engine(pl.DataFrame({"x": [0, 1, 1], "n": weights})), variables=["X"], weight="n")
    assert found.frame["count"].to_list() == [0.5, 3.75]


def test_a_nested_segment_is_refused(engine):
    with pytest.raises(UnsupportedColumn, match="segments by s of type"):
        counted(engine(pl.DataFrame({"X": [1], "s": [[1]]})), variables=["X"], by=["s"])


def test_too_many_patterns_are_refused_with_the_columns_that_make_them(engine, monkeypatch):
    for module in (labels, study_duckdb, study_polars):
        monkeypatch.setattr(module, "MOST_PATTERNS", 5)
    with pytest.raises(TooLarge, match=r"study 'trial' has more than 5 distinct patterns.*id has 6, Treatment has 2"):
        counted(engine(), variables=["Treatment", "id"])


def test_a_where_that_the_engine_cannot_evaluate_is_a_source_error(engine):
    with pytest.raises(SourceError, match=r"study 'trial' cannot be read with where='CAST\(gender AS DOUBLE\) > 1': "):
        counted(engine(), where="CAST(gender AS DOUBLE) > 1")


def test_nulls_takes_one_of_four():
    with pytest.raises(OptionError, match="nulls takes 'mar', 'mcar', 'drop' or 'error'; found 'keep'"):
        counted({"source": RECORDS}, nulls="keep")
