"""What a caller writes into an SQL function is a name, a path or a filter: nothing else in it is ever run."""

from __future__ import annotations

import json

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import duckemcc as emcc
from duckemcc.serve.duckdb.counting import check_by

SAFE = "FROM emcc_bounds('X -> Y', 'P(X=1)', 't', restarts := 1)"


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    """A database with a canary: a sequence, a table and a file that nobody is to touch."""
    con = duckdb.connect()
    emcc.register(con)
    con.execute("CREATE TABLE t AS SELECT range % 2 AS X, range % 3 AS Y, 1 AS w, 'r' AS region FROM range(12)")
    con.execute("CREATE SEQUENCE canary; CREATE TABLE touched (a INT)").fetchall()
    return con


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("canary")


PAYLOADS = [
    "nextval('canary')",
    "(SELECT nextval('canary'))",
    'w") FROM t; DROP TABLE touched; --',
    "w'); DROP TABLE touched; --",
    "w\", nextval('canary') AS \"x",
    "w\"\" , nextval('canary')",
    "t; DROP TABLE touched",
    "t WHERE nextval('canary') > 0",
    "t, (SELECT nextval('canary'))",
    "(SELECT nextval('canary') AS X, 1 AS Y)",
    "read_csv('/etc/passwd')",
    "t) AS emcc_pattern; COPY t TO 'FOLDER/x.csv'; --",
    "FOLDER/x.parquet'); COPY t TO 'FOLDER/y.csv'; --.parquet",
    "FOLDER/*.csv'||nextval('canary')||'.csv",
    'x.parquet"; DROP TABLE touched; --',
    "t\0; DROP TABLE touched",
    "t -- .csv",
    "t /* */",
    "$$ || nextval('canary') || $$",
    "ｔ；DROP TABLE touched",
    "query('SELECT nextval(''canary'')')",
    "query_table('t')",
    "emcc_source.w",
    "*",
    "COLUMNS(*)",
    "",
    '"',
    "'",
]


def untouched(con, folder):
    (calls,) = con.execute(
        "SELECT count(*) FROM duckdb_sequences() WHERE sequence_name = 'canary' AND last_value > 0"
    ).fetchone()
    assert calls == 0
    assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'touched'").fetchone() == (1,)
    assert list(folder.iterdir()) == []
    assert con.execute(SAFE).fetchall()


@pytest.mark.parametrize("text", PAYLOADS)
def test_a_hostile_source_weight_or_segment_runs_nothing(con, folder, text):
    text = text.replace("FOLDER", str(folder))
    for sql, values in (
        ("FROM emcc_bounds('X -> Y', 'P(X=1)', $1)", [text]),
        ("FROM emcc_bounds('X -> Y', 'P(X=1)', 't', weight := $1)", [text]),
        ("FROM emcc_bounds_by('X -> Y', 'P(X=1)', 't', $1)", [text]),
        ("FROM emcc_bounds_by('X -> Y', 'P(X=1)', 't', $1)", [["region", text]]),
        ("FROM emcc_compatibility('X -> Y', $1)", [text]),
        ("FROM emcc_compatibility_by('X -> Y', 't', $1, weight := $1)", [text]),
        ("FROM emcc_bounds($1, 'P(X=1)', 't')", [text]),
        ("FROM emcc_bounds('X -> Y', $1, 't')", [text]),
        ("FROM emcc_bounds('nobody', 'P(X=1)', $1)", [[text]]),
    ):
        with pytest.raises(duckdb.Error) as wrong:
            con.execute(sql, values).fetchall()
        assert not isinstance(wrong.value, (duckdb.ParserException, duckdb.InternalException, duckdb.FatalException))
    untouched(con, folder)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
nasty = st.sampled_from(
    ['"', '""', "'", ";", "--", "/*", ")", "(", ",", " ", "\n", ".", "\\", "$$", "{", "é", "ß", "İ", "w", "t"]
)
odd = st.one_of(names, st.lists(nasty, min_size=1, max_size=6).map("".join)).filter(lambda n: n.strip())


@settings(max_examples=25)
@given(odd, odd)
@example('a"b', "it's")
@example("ß", "İ")
@example("segment", "patterns")
@example("emcc: a row", "the studies relation")
def test_any_column_may_be_a_weight_or_a_segment(con, weight, by):
    """A name is that of the column and nothing else, whatever is in it."""
    free = {"x", "y", "study", "intervened"}
    if {weight.casefold(), weight.lower()} & free or {by.casefold(), by.lower()} & free or weight.lower() == by.lower():
        return
    try:
        check_by(emcc.Model.parse("X -> Y"), by)
    except emcc.errors.OptionError:
        return
    quoted = ['"' + name.replace('"', '""') + '"' for name in (weight, by)]
    try:
        con.execute(
            f"CREATE OR REPLACE TABLE odd AS SELECT X, Y, 2 AS {quoted[0]}, 'r' AS {quoted[1]} FROM t"
        ).fetchall()
    except duckdb.Error:
        return  # such as two names that DuckDB takes for one
    rows = con.execute(
        "SELECT n FROM emcc_bounds_by('X -> Y', 'P(X=1)', 'odd', $1, weight := $2, method := 'emcc', restarts := 1)",
        [by, weight],
    ).fetchall()
    assert rows == [(24,)]


# -- rows of a catalog that somebody else wrote ------------------------------------------------

HOSTILE_ROWS = [
    {"source": "(SELECT nextval('canary') AS X, 1 AS Y)"},
    {"source": "t; DROP TABLE touched"},
    {"source": "t WHERE nextval('canary') > 0"},
    {"source": "x'); DROP TABLE touched; --.parquet"},
    {"where": "nextval('canary') > 0"},
    {"where": "X IN (SELECT nextval('canary'))"},
    {"where": "1 = 1) ; DROP TABLE touched; --"},
    {"where": "read_csv('/etc/passwd') IS NULL"},
    {"selected": "nextval('canary') > 0"},
    {"weight": "nextval('canary')"},
    {"weight": "w\", nextval('canary') AS \"v"},
    {"columns": {"X": "w\", nextval('canary') AS \"X"}},
    {"columns": {"X": "a') OR nextval('canary') > 0 OR lower(c) IN ('b"}},
    {"intervened": ["nextval('canary')"]},
    {"local": ["U_X'; DROP TABLE touched"]},
    {"unmeasured": ['X"; DROP TABLE touched']},
    {"study": "s\", nextval('canary') AS \"s", "where": "w = 2"},
    {"study": "s'); DROP TABLE touched; --", "weight": "nope"},
]


@pytest.mark.parametrize("row", HOSTILE_ROWS, ids=json.dumps)
def test_a_hostile_row_of_the_catalog_runs_nothing(con, folder, row):
    emcc.save_model(con, "xy", "X -> Y")
    given = {"model": "xy", "study": "s", "source": "t", "saved_at": "2026-01-01"} | row
    kinds = {"columns": "MAP(VARCHAR, VARCHAR)"}
    keys = ", ".join(f'"{key}"' for key in given)
    slots = ", ".join(f"${i}::{kinds[k]}" if k in kinds else f"${i}" for i, k in enumerate(given, 1))
    try:
        con.execute(f"INSERT INTO emcc.studies ({keys}) VALUES ({slots})", list(given.values())).fetchall()
        emcc.register(con)
        with pytest.raises(duckdb.Error) as wrong:
            con.execute("FROM emcc_bounds('xy', 'P(X=1)')").fetchall()
        assert not isinstance(wrong.value, (duckdb.ParserException, duckdb.InternalException))
        con.execute("FROM emcc_models()").fetchall()
        untouched(con, folder)
    finally:
        con.execute("DELETE FROM emcc.studies").fetchall()
        emcc.register(con)


def test_a_hostile_macro_of_the_catalog_is_written_anew(tmp_path):
    path = str(tmp_path / "f.db")
    with duckdb.connect(path) as con:
        emcc.save_model(con, "xy", "X -> Y")
        con.execute("CREATE SEQUENCE canary; CREATE OR REPLACE MACRO _emcc_catalog() AS nextval('canary')").fetchall()
    con = duckdb.connect(path)
    emcc.register(con)
    assert con.execute("SELECT name FROM emcc_models()").fetchall() == [("xy",)]
    assert con.execute("SELECT nextval('canary')").fetchone() == (1,)
