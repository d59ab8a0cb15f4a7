"""PostgreSQL: the same records give the same counts and the same messages as here, and nothing is left behind."""

import contextlib
import datetime as dt
import math
import subprocess
import sys
import time
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from postgres import execute, fetch

from duckemcc.errors import (
    EmptyStudy,
    InvalidWeight,
    MissingColumn,
    NotSupported,
    NullValue,
    OptionError,
    RepeatedName,
    SourceError,
    TooLarge,
    UnsupportedColumn,
)
from duckemcc.study import labels
from duckemcc.study.count import remote
from duckemcc.study.count.read import count_study
from duckemcc.study.count.relation import Studies, count_relation
from duckemcc.study.count.remote import write_table
from duckemcc.study.study import Study, study_name

VARIABLES = ("Gender", "Treatment", "Age")
SETUP = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN small AS int CHECK (value < 100)",
    'CREATE TABLE records (id int, gender text, "Treatment" boolean, age smallint, n double precision, k bigint, '
    "price numeric(8, 2), code char(5), state mood, day date, moment timestamptz, region varchar(9), u uuid, s small, "
    'r real, j json, big numeric, "odd ""name""" text)',
    "INSERT INTO records SELECT i, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 3 = 0 THEN 'female' ELSE 'male' END, "
    "i % 2 = 0, i % 4, (ARRAY[0.1, 0.7, 3, 0.001, 0])[1 + i % 5], i % 6, (i % 3) * 1.00, 'c' || i % 2, "
    "(ARRAY['sad', 'ok'])[1 + i % 2]::mood, date '2024-01-01' + i % 3, '2024-01-01 12:00+02', "
    "(ARRAY['North', 'south', NULL])[1 + i % 3], 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', i % 5, i % 2, '{}', "
    "12345678901234567890 + i % 2, 'it''s \\' || i % 2 FROM generate_series(1, 500) AS i",
)


@pytest.fixture
def records(postgres):
    execute(postgres, *SETUP)
    return postgres


@pytest.fixture
def dbapi():
    return pytest.importorskip("adbc_driver_postgresql.dbapi")


KEPT = []
"""Connections of relations: one that nobody holds is closed by duckdb 1.4.0."""


def here(uri):
    """The same records in DuckDB."""
    simple = (
        'gender, "Treatment", age, n, k, region, "odd ""name""", code::text AS code, state::text AS state, day, s, r, '
        "price::float8 AS price, id"
    )
    names = [
        "gender",
        "Treatment",
        "age",
        "n",
        "k",
        "region",
        'odd "name"',
        "code",
        "state",
        "day",
        "s",
        "r",
        "price",
        "id",
    ]
    frame = pl.DataFrame(fetch(uri, f"SELECT {simple} FROM records"), schema=names, orient="row")
    con = duckdb.connect()
    con.register("records", frame)
    KEPT.append(con)
    return con.table("records")


def count(source, variables=VARIABLES, by=(), nulls="mar", **options):
    return count_study(Study(source, **options), variables, name="trial", by=by, nulls=nulls).frame


def assert_same(uri, source="records", variables=VARIABLES, **options):
    local = count(here(uri), variables, **options)
    assert_frame_equal(count(source, variables, con=uri, **options), local, check_dtypes=False)
    return local


# -- counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": ["region"]},
        {"by": ["day", "State", "code"]},
        {"weight": "N"},
        {"weight": "k"},
        {"weight": "price"},
        {"columns": {"Gender": 'odd "name"', "Age": "s"}},
        {"nulls": "drop"},
        {"variables": ("state", "code", "price", "s", "r", "k")},
    ],
    ids=str,
)
def test_the_counts_are_those_of_the_same_records_in_duckdb(records, options):
    assert_same(records, **options)


@pytest.mark.parametrize("source", ["records", "public.records", ' public . "records" ', "SELECT * FROM records"])
def test_a_table_and_a_select_are_sources(records, source):
    assert_same(records, source)


@pytest.mark.parametrize(
    "where",
    [
        "gender = 'male' AND region IS NOT NULL",
        "region > 'a'",  # bytes: capitals come first, whatever the collation
        "lower(region) = 'north' OR region ILIKE 'SOU%'",
        "code = 'c1' AND code LIKE 'c_'",
        "state IN ('ok', 'nope')",
        "NOT Treatment AND age % 2 = 1",
        "age / 2 > 0.5",
        "(age + 32000) * 2 > 64003",
        "day BETWEEN DATE '2024-01-02' AND DATE '2024-01-03'",
        "CAST(k AS VARCHAR) LIKE '%3' OR n = 0.1",
        "coalesce(region, 'none') <> 'none'",
        '"odd ""name""" LIKE \'it%s \\%\' AND age > 0',
        "price >= 1.0",
    ],
)
def test_a_where_means_the_same_as_in_duckdb(records, where):
    assert 0 < assert_same(records, where=where)["count"].sum() < 500


def test_neither_case_nor_accent_nor_collation_makes_two_texts_one(postgres):
    execute(
        postgres,
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        "CREATE TABLE t (x text COLLATE loose)",
        "INSERT INTO t VALUES ('a'), ('A'), ('á'), ('b')",
    )
    assert count("t", ["x"], con=postgres)["x"].to_list() == ["A", "a", "b", "á"]
    assert count("t", ["x"], con=postgres, where="x = 'a'")["count"].sum() == 1
    assert count("t", ["x"], con=postgres, where="x LIKE 'a%'")["count"].sum() == 1


def test_numbers_keep_all_their_digits(records):
    found = count("records", ["big"], con=records)
    assert found["big"].to_list() == ["12345678901234567890", "12345678901234567891"]
    segments = count("SELECT *, k * 0.50 AS half FROM records", ["age"], con=records, by=["half"])["half"]
    assert set(segments) == {Decimal(k) / 2 for k in range(6)}


def test_dates_and_times_are_segments_with_their_type(records):
    found = count("records", ["age"], con=records, by=["day", "moment"])
    assert found.schema["day"] == pl.Date
    assert found["moment"].unique().to_list() == [dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)]


def test_an_identifier_is_a_segment_as_text(records):
    assert count("records", ["age"], con=records, by=["u"])["u"].unique().to_list() == [
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    ]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.lists(st.floats(1e-12, 1e12) | st.integers(0, 10**12).map(float), min_size=1, max_size=30))
def test_the_order_of_float_weights_changes_no_digit(postgres, weights):
    values = ", ".join(f"({w!r}::float8)" for w in weights)
    turned = ", ".join(f"({w!r}::float8)" for w in reversed(weights))
    sources = [f"SELECT 1 AS x, v.w FROM (VALUES {v}) AS v(w)" for v in (values, turned)]
    first, second = (_count_or_empty(s, postgres) for s in sources)
    local = _count_or_empty(pl.DataFrame({"x": 1, "w": weights}), None)
    assert first == second == local


def _count_or_empty(source, con):
    try:
        return count(source, ["x"], con=con, weight="w")["count"].to_list()
    except EmptyStudy:
        return []


def test_several_studies_of_one_table_are_told_apart(postgres):
    execute(
        postgres,
        "CREATE TABLE s (x int, y int, study text, intervened text[])",
        "INSERT INTO s VALUES (0, 1, 'a', '{x}'), (1, 1, 'a', '{X}'), (1, 0, 'b', NULL), (1, 0, 'b', '{}')",
    )
    tables = count_relation(Studies("s", con=postgres), ["x", "y"])
    assert [(t.name, t.do, t.frame["count"].sum()) for t in tables] == [("a", ("x",), 2.0), ("b", (), 2.0)]


def test_a_study_is_called_as_its_table():
    con = "postgresql://nowhere"
    assert study_name(Study('clinic."My trial"', con=con), 1) == "My trial"
    assert study_name(Study("SELECT * FROM clinic.trial", con=con), 2) == "study 2"


# -- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"variables": ("Gender", "Agee")}, MissingColumn),
        ({"columns": {"Gender": "sexx"}}, MissingColumn),
        ({"weight": "wieght"}, MissingColumn),
        ({"where": "gendr = 'x'"}, MissingColumn),
        ({"variables": ("Gender", "n")}, UnsupportedColumn),
        ({"variables": ("Gender", "day")}, UnsupportedColumn),
        ({"weight": "region"}, UnsupportedColumn),
        ({"nulls": "error"}, NullValue),
        ({"do": ["Gender"]}, NullValue),
        ({"where": "age > 99"}, EmptyStudy),
        ({"weight": "age", "variables": ("Gender", "age")}, OptionError),
        ({"where": "n = (SELECT 1)"}, OptionError),
    ],
    ids=str,
)
def test_mistakes_are_told_as_they_are_of_records_here(records, options, error):
    messages = []
    for source, con in ((here(records), None), ("SELECT * FROM records", records)):
        with pytest.raises(error) as caught:
            count(source, con=con, **options)
        messages.append(str(caught.value).partition(" its columns are ")[0])
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("weights", "bad", "example"),
    [
        ("NULL::float8", 1, "NULL"),
        ("'NaN'::float8", 1, "NaN"),
        ("'Infinity'::float8", 1, "Infinity"),
        ("-0.5::float8", 1, r"-0\.5"),
        ("1e-16::float8", 1, "1e-16"),
        ("NULL::int", 1, "NULL"),
        ("-3", 1, "-3"),
        ("'NaN'::numeric", 1, "NaN"),
        ("1e16::numeric", 1, "10{16}"),
    ],
)
def test_impossible_weights_are_counted_and_shown(postgres, weights, bad, example):
    source = f"SELECT 1 AS x, {weights} AS w UNION ALL SELECT 1, 2"
    with pytest.raises(InvalidWeight, match=rf"has {bad} record whose weight w is NULL.* \(as {example}\)"):
        count(source, ["x"], con=postgres, weight="w")


@pytest.mark.parametrize(
    ("column", "type_name"),
    [
        ("j", "JSON"),
        ("ARRAY[1]", r"INTEGER\[\]"),
        ("1::money", "MONEY"),
        ("interval '1 day'", "INTERVAL"),
        ("'x'::bytea", "BYTEA"),
        ("int4range(1, 2)", "INT4RANGE"),
        ("'12:00'::time", "TIME"),
    ],
)
def test_a_type_without_exact_states_is_refused(records, column, type_name):
    with pytest.raises(UnsupportedColumn, match=f"the column x has type {type_name}; cast it to text in the source"):
        count(f"SELECT {column} AS x FROM records", ["x"], con=records)


def test_a_number_that_is_none_is_no_state(postgres):
    for value in ("'NaN'::numeric", "1e60::numeric"):
        with pytest.raises(UnsupportedColumn, match=r"x = .* is no number of at most 38 digits"):
            count(f"SELECT {value} AS x", ["x"], con=postgres)
    with pytest.raises(UnsupportedColumn, match=r"x = 1\.5 is no state of x, as it is no exact integer \(2 such"):
        count("SELECT v AS x FROM (VALUES (1.5), (1.50), (2)) AS t(v)", ["x"], con=postgres)


def test_columns_that_differ_by_case_are_told_apart_by_columns(postgres):
    source = 'SELECT 1 AS x, 2 AS "X"'
    with pytest.raises(RepeatedName, match="has several columns for the variable x: x, X"):
        count(source, ["x"], con=postgres)
    assert count(source, ["x"], con=postgres, columns={"x": "X"})["x"].to_list() == ["2"]
    with pytest.raises(RepeatedName, match=r"has several columns for the variable x|has 2 columns called x"):
        count("SELECT 1 AS x, 2 AS x", ["x"], con=postgres)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "study 'trial' cannot be read: relation \"nowhere\" does not exist"),
        ("SELECT 1 / 0 AS x", "study 'trial' cannot be read: division by zero"),
        ("SELECT nothing() AS x", r"function nothing\(\) does not exist"),
        ("SELECT $1 AS x", "there is no parameter"),
        ("SELECT 1 AS x; DROP TABLE records", "neither the name of a table nor one SELECT: it has 2 statements"),
        ("records; DROP TABLE records", "neither the name of a table nor one SELECT"),
        ("WITH d AS (DELETE FROM records RETURNING *) SELECT 1 AS x FROM d", "it holds DELETE, which is not allowed"),
        ("SELECT 1 AS x INTO y", "it holds INTO"),
    ],
)
def test_what_the_server_refuses_is_a_source_error(records, source, message):
    with pytest.raises(SourceError, match=message) as caught:
        count(source, ["x"], con=records)
    assert "\n" not in str(caught.value)
    assert fetch(records, "SELECT COUNT(*) FROM records") == [(500,)]


def test_a_where_that_compares_a_text_with_a_number_is_refused_before_the_server_is_asked(records):
    with pytest.raises(OptionError, match="has the text gender beside the number 1"):
        count("records", con=records, where="gender > 1")


def test_a_select_cannot_write(postgres):
    execute(postgres, "CREATE SEQUENCE q", "CREATE TABLE t (x int)")
    execute(postgres, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING x'")
    for source in ("SELECT nextval('q') AS x", "SELECT f() AS x"):
        with pytest.raises(SourceError, match="in a read-only transaction"):
            count(source, ["x"], con=postgres)
    assert fetch(postgres, "SELECT is_called FROM q") == [(False,)]


def test_too_many_patterns_are_refused(records, monkeypatch):
    for module in (labels, remote):
        monkeypatch.setattr(module, "MOST_PATTERNS", 10)
    with pytest.raises(TooLarge, match="more than 10 distinct patterns"):
        count("records", ["id"], con=records)


# -- connections -------------------------------------------------------------------------------


def status(con):
    return con.adbc_connection.get_option("adbc.postgresql.transaction_status")


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_that_is_idle_is_idle_afterwards(records, dbapi, autocommit):
    with dbapi.connect(records, autocommit=autocommit) as con:
        count("records", con=con)
        assert status(con) == "idle"
        with pytest.raises(MissingColumn):
            count("records", ["Agee"], con=con)
        assert status(con) == "idle"
        with pytest.raises(SourceError):
            count("nowhere", con=con)
        assert status(con) == "idle"
        count("records", con=con)


@pytest.mark.parametrize("autocommit", [True, False])
def test_the_users_transaction_is_read_and_stays_open(records, dbapi, autocommit):
    with dbapi.connect(records, autocommit=autocommit) as con, con.cursor() as cursor:
        if autocommit:
            cursor.execute("BEGIN")
        cursor.execute("CREATE TEMPORARY TABLE mine AS SELECT * FROM records LIMIT 3")
        cursor.execute("DELETE FROM records WHERE id > 10")
        assert count("mine", con=con)["count"].sum() == 3
        assert count("records", con=con)["count"].sum() == 10
        with pytest.raises(MissingColumn):
            count("records", ["Agee"], con=con)
        assert status(con) == "intrans"
        cursor.execute("DELETE FROM records WHERE id > 5")  # it can still write
        assert fetch(records, "SELECT COUNT(*) FROM records") == [(500,)]
        cursor.execute("ROLLBACK") if autocommit else con.rollback()
    assert fetch(records, "SELECT COUNT(*) FROM records") == [(500,)]


def test_an_unfinished_result_is_left_alone(records, dbapi):
    with dbapi.connect(records) as con, con.cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 600000) AS i, repeat('x', 40) AS t")  # some 30 MB, in two parts
        reader = cursor.fetch_record_batch()
        first = reader.read_next_batch().num_rows
        with pytest.raises(SourceError, match="its connection has an unfinished result; fetch that to its end and"):
            count("records", con=con)
        assert first < 600000
        assert first + sum(batch.num_rows for batch in reader) == 600000


def test_an_ingest_is_no_unfinished_result(records, dbapi):
    with dbapi.connect(records) as con, con.cursor() as cursor:
        cursor.adbc_ingest("mine", pa.table({"x": [1, 2]}), mode="create")
        assert count("mine", ["x"], con=con)["count"].sum() == 2


def test_connections_of_our_own_are_closed(records):
    database = fetch(records, "SELECT current_database()")[0][0]
    for source in ("records", "nowhere"):
        with pytest.raises(SourceError) if source == "nowhere" else contextlib.nullcontext():
            count(source, con=records)
    deadline = time.monotonic() + 10
    query = f"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    while fetch(records, query) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_closed_connection_is_a_source_error(postgres, dbapi):
    con = dbapi.connect(postgres)
    con.close()
    with pytest.raises(SourceError, match="study 'trial' cannot be read: "):
        count("records", con=con)


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(NotSupported, match=r"adbc-driver-postgresql: pip install 'duckemcc\[postgres\]'"):
        count("t", con="postgresql://localhost/x")
    with pytest.raises(NotSupported, match=r"the table t cannot be written: .*pip install 'duckemcc\[postgres\]'"):
        write_table("postgresql://localhost/x", "t", pa.table({"x": [1]}))


def test_another_database_is_not_supported():
    manager = pytest.importorskip("adbc_driver_manager.dbapi")

    class Other(manager.Connection):
        def __init__(self):
            self._closed = True

        def adbc_get_info(self):
            return {"vendor_name": "SQLite"}

    with pytest.raises(NotSupported, match="not in SQLite; counts_sql writes the query"):
        count("t", con=Other())


def test_a_connection_of_an_unknown_kind_is_refused_without_showing_it():
    with pytest.raises(OptionError, match="found another text") as caught:
        Study("t", con="mysql://bob:secret@host/x")
    assert "secret" not in str(caught.value)
    with pytest.raises(OptionError, match=r"con takes a DuckDB connection, .* found int"):
        Study("t", con=3)
    with pytest.raises(OptionError, match="con goes with the name of a table or file"):
        Study(pl.DataFrame(), con="postgresql://host/x")


def test_counting_imports_the_driver_only_when_it_is_used():
    code = "import duckemcc, sys; duckemcc.Study('t', con='postgresql://h/x'); "
    code += "print(bool(sys.modules.get('adbc_driver_manager')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- tables of results -------------------------------------------------------------------------

RESULT = pa.table(
    {
        "region": ["north", None],
        "day": [dt.date(2024, 1, 1), None],
        "lower": [0.25, math.nan],
        "compatible": [True, None],
        "studies": [["a", "b"], []],
        "seed": [0, 1],
        "nothing": pa.nulls(2),
    }
)


def test_a_table_is_made_and_made_anew_and_comes_back_equal(postgres):
    execute(postgres, "CREATE SCHEMA clinic")
    for rows in (RESULT, RESULT.slice(0, 1), RESULT.select(["region", "lower"]), RESULT.slice(0, 0)):
        write_table(postgres, "clinic.bounds", rows)
        found = fetch(postgres, "SELECT * FROM clinic.bounds")
        assert str(found) == str([tuple(row.values()) for row in rows.to_pylist()])


def test_odd_names_stay_as_they_are_and_bare_ones_fold(postgres):
    rows = pa.table({'My "x"': [1], "b": ["y"]})
    write_table(postgres, '"My Bounds"', rows)
    write_table(postgres, "Bare", rows)
    assert (
        fetch(postgres, 'SELECT "My ""x""", b FROM "My Bounds"') == fetch(postgres, "SELECT * FROM bare") == [(1, "y")]
    )


def test_a_table_of_the_same_columns_keeps_its_views_and_grants(postgres):
    write_table(postgres, "b", RESULT)
    execute(postgres, "CREATE VIEW v AS SELECT * FROM b", "GRANT SELECT ON b TO public")
    write_table(postgres, "b", RESULT.slice(1))
    assert fetch(postgres, "SELECT seed FROM v") == [(1,)]
    assert fetch(postgres, "SELECT relacl::text FROM pg_class WHERE relname = 'b'")[0][0].count("=r/") == 1


def test_a_view_that_needs_the_old_columns_keeps_the_old_table(postgres):
    write_table(postgres, "b", RESULT)
    execute(postgres, "CREATE VIEW v AS SELECT * FROM b")
    with pytest.raises(SourceError, match="the table b cannot be written: cannot drop table b because other objects"):
        write_table(postgres, "b", RESULT.select(["region"]))
    assert fetch(postgres, "SELECT COUNT(*) FROM v") == [(2,)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v", "the table v cannot be written: it is a view or the like"),
        ("nowhere.b", 'cannot be written: schema "nowhere" does not exist'),
        ("b; DROP TABLE b", "'b; DROP TABLE b' is no name of a table; give table or schema.table"),
        ("", "is no name of a table"),
        ("SELECT 1", "is no name of a table"),
    ],
)
def test_what_is_no_table_is_refused(postgres, name, message):
    execute(postgres, "CREATE VIEW v AS SELECT 1 AS x")
    with pytest.raises(SourceError, match=message):
        write_table(postgres, name, RESULT)
    assert fetch(postgres, "SELECT x FROM v") == [(1,)]


class Interrupted(Exception):
    pass


def test_an_error_in_the_middle_leaves_the_old_table(postgres):
    def batches():
        yield from RESULT.to_batches()
        raise Interrupted("the disk is full")

    write_table(postgres, "b", RESULT.slice(0, 1))
    reader = pa.RecordBatchReader.from_batches(RESULT.schema, batches())
    with pytest.raises((Interrupted, SourceError), match="the disk is full"):
        write_table(postgres, "b", reader)
    assert fetch(postgres, "SELECT seed FROM b") == [(0,)]
    write_table(postgres, "b", RESULT)
    assert fetch(postgres, "SELECT COUNT(*) FROM b") == [(2,)]


KILLED = """
import os, sys, time
import pyarrow as pa
from duckemcc.study.count import remote
run = remote.run
def stop(con, statement):  # after the old rows are gone, before the commit
    run(con, statement)
    if statement.startswith("INSERT"):
        print("written", flush=True)
        time.sleep(60)
remote.run = stop
remote.write_table(sys.argv[1], "b", pa.table({"x": [1, 2]}))
"""


def test_a_process_that_is_killed_leaves_the_old_table(postgres):
    write_table(postgres, "b", pa.table({"x": [7]}))
    with subprocess.Popen([sys.executable, "-c", KILLED, postgres], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        assert fetch(postgres, "SELECT x FROM b") == [(7,)]
        process.kill()
    assert fetch(postgres, "SELECT x FROM b") == [(7,)]
    write_table(postgres, "b", pa.table({"x": [1]}))
    assert fetch(postgres, "SELECT x FROM b") == [(1,)]


def test_two_jobs_at_once_leave_the_rows_of_one(postgres):
    code = "import sys, pyarrow as pa\nfrom duckemcc.study.count.remote import write_table\n" + (
        "for _ in range(10): write_table(sys.argv[1], 'b', pa.table({'x': [int(sys.argv[2])] * 3}))"
    )
    write_table(postgres, "b", pa.table({"x": [0]}))
    both = [subprocess.Popen([sys.executable, "-c", code, postgres, job]) for job in ("1", "2")]
    assert [process.wait() for process in both] == [0, 0]
    assert fetch(postgres, "SELECT * FROM b") in ([(1,)] * 3, [(2,)] * 3)


def test_within_a_transaction_of_the_users_the_table_is_theirs_to_commit(postgres, dbapi):
    with dbapi.connect(postgres) as con, con.cursor() as cursor:
        cursor.execute("CREATE TABLE mine (x int)")
        write_table(con, "b", RESULT)
        assert status(con) == "intrans"
        con.rollback()
        write_table(con, "c", RESULT)
        con.commit()
    with dbapi.connect(postgres, autocommit=True) as con:
        write_table(con, "d", RESULT)
        assert status(con) == "idle"
    assert fetch(postgres, "SELECT to_regclass('b')::text, 'c'::regclass::text, 'd'::regclass::text") == [
        (None, "c", "d")
    ]
