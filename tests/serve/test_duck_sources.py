"""What may stand for the `studies` relation in SQL, and what is never let through."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest

import duckemcc as emcc

FOUR = "SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', '{}', restarts := 1)"
ALL = (96.0, 8)


@pytest.mark.parametrize(
    "source", ["studies", "STUDIES", '"studies"', "main.studies", "memory.main.studies", ' "main" . "studies" ']
)
def test_a_table_is_named_bare_quoted_or_in_full(con, count, source):
    assert count(con, source) == ALL


@pytest.mark.parametrize("name", ["order", "größe", 'a ""b', "x y", "select", "emcc", "Ünïcode 1"])
def test_a_table_may_have_any_name(con, count, name):
    con.execute(
        f'CREATE SCHEMA "s t"; CREATE TABLE "s t"."{name}" AS FROM studies; CREATE TABLE "{name}" AS FROM studies'
    )
    assert count(con, f'"{name}"') == count(con, f'"s t"."{name}"') == count(con, f'memory."s t"."{name}"') == ALL


def test_a_bare_name_that_is_a_keyword_needs_no_quotes(con, count):
    con.execute('CREATE TABLE "order" AS FROM studies')
    assert count(con, "order") == count(con, "main.order") == ALL


# -- common table expressions ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["", "MATERIALIZED", "NOT MATERIALIZED"])
def test_a_common_table_expression_is_found(con, how):
    sql = f"WITH s AS {how} (FROM studies WHERE id < 48) {FOUR.format('s')}"
    assert con.execute(sql).fetchall() == [(48,)]


@pytest.mark.parametrize(
    "name",
    [
        "studies",
        "counted",
        "answer",
        "answers",
        "segment",
        "segments",
        "keys",
        "columns",
        "query",
        "model",
        "emcc_pattern",
    ],
)
def test_a_common_table_expression_may_be_called_like_what_the_macros_use(con, name):
    sql = f"WITH {name} AS (FROM studies WHERE id < 48) {FOUR.format(name)}"
    assert con.execute(sql).fetchall() == [(48,)]


def test_a_common_table_expression_inside_a_subquery_is_found(con):
    assert con.execute(f"SELECT (WITH s AS (FROM studies LIMIT 8) {FOUR.format('s')})").fetchall() == [(8,)]


# -- what is not committed, or not a table -----------------------------------------------------


def test_temporary_tables_and_uncommitted_rows_are_seen(con, count):
    con.execute("CREATE TEMP TABLE passing AS FROM studies")
    assert count(con, "passing") == ALL
    con.begin()
    con.execute("CREATE TABLE new AS FROM studies; INSERT INTO studies FROM studies")
    assert count(con, "new") == ALL
    assert count(con, "studies") == (192.0, 8)
    con.rollback()
    assert count(con, "studies") == ALL


def test_views_are_taken(con, count):
    con.execute("CREATE VIEW v AS FROM studies; CREATE TEMP VIEW tv AS FROM studies")
    assert count(con, "v") == count(con, "tv") == ALL


def test_parquet_files_are_taken_by_path_and_glob(con, count, tmp_path, monkeypatch):
    for i in range(3):
        con.execute(f"COPY studies TO '{tmp_path}/p {i}.parquet'")
    con.execute(f"COPY studies TO '{tmp_path}/x.pq' (FORMAT parquet)")
    assert count(con, f"{tmp_path}/p 1.parquet") == count(con, f"{tmp_path}/x.pq") == ALL
    assert count(con, f"{tmp_path}/*.parquet") == count(con, f"{tmp_path}/**/*.PARQUET".lower()) == (288.0, 8)
    monkeypatch.chdir(tmp_path)
    assert count(con, "x.pq") == ALL


@pytest.mark.parametrize("end", ["csv", "csv.gz", "tsv"])
def test_csv_files_have_a_header_even_where_all_is_text(con, count, tmp_path, end):
    form = "DELIMITER '\t', " if end == "tsv" else ""
    con.execute(f"COPY (SELECT Y, study FROM studies) TO '{tmp_path}/c.{end}' ({form}FORMAT csv, HEADER)")
    sql = f"SELECT n, patterns FROM emcc_bounds('Y {{a, b}}', 'P(Y=a)', '{tmp_path}/c.{end}', restarts := 1)"
    assert con.execute(sql).fetchall() == [(96, 4)]


def test_python_objects_are_found_by_their_name(con, count):
    frame = pl.DataFrame({"X": [True, False, True], "y": ["a", "b", "b"], "extra": [1, 2, 3]})
    table, lazy = frame.to_arrow(), frame.lazy()
    for name in ("frame", "table", "lazy"):
        assert con.execute(FOUR.format(name)).fetchall() == [(3,)], name
        assert con.sql(FOUR.format(name)).fetchall() == [(3,)], name
    con.register("registered", table)
    assert count(con, "registered") == (3.0, 3)
    assert lazy.collect().height == 3


def test_a_relation_over_a_local_frame_outlives_its_function(con):
    def make():
        inner = pl.DataFrame({"X": [True], "y": ["a"]})
        return con.sql(FOUR.format("inner")), inner

    assert make()[0].fetchall() == [(1,)]


# -- what is never let through -----------------------------------------------------------------

HOSTILE = [
    "studies; DROP TABLE studies",
    "studies) -- ",
    "(SELECT 1)",
    "studies, secrets",
    "read_csv('/etc/passwd')",
    "studies WHERE 1=1",
    "'x.parquet', studies",
    "a.parquet') --.parquet",
    "(FROM studies).parquet",
    "x'.parquet",
    "studies /* */",
    "studies\n--",
    'a"b',
    '"a',
    '""',
    "",
    " ",
    "a.b.c.d",
    "$$x$$",
    "studies\0",
    "1",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_is_run_as_sql(con, count, hostile):
    with pytest.raises(duckdb.Error, match=r"neither the name of a table|No files found"):
        con.execute("FROM emcc_bounds('X -> Y', 'P(X=true)', ?)", [hostile]).fetchall()
    assert count(con, "studies") == ALL


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("emcc_bounds('X -> Y', 'P(X=true)', 'studies', weight := ?)", 'w") FROM studies; DROP TABLE studies; --'),
        ("emcc_bounds_by('X -> Y', 'P(X=true)', 'studies', ?)", 'region") FROM studies; DROP TABLE studies; --'),
        ("emcc_bounds_by('X -> Y', 'P(X=true)', 'studies', ?)", "region' || upper('x"),
        ("emcc_bounds(?, 'P(X=true)', 'studies')", "X'); DROP TABLE studies; -- -> Y"),
        ("emcc_bounds(?, 'P(X=true)', 'studies')", '"X\'); DROP TABLE studies; --" -> Y'),
        ("emcc_bounds('X -> Y', ?, 'studies')", "P(X='); DROP TABLE studies; --')"),
    ],
)
def test_no_other_argument_is_run_as_sql(con, count, sql, text):
    with pytest.raises(duckdb.Error):
        con.execute(f"FROM {sql}", [text]).fetchall()
    assert count(con, "studies") == ALL


def test_a_file_is_the_one_that_is_named_also_where_its_name_is_a_pattern(con, tmp_path):
    con.execute(
        f"COPY (FROM studies) TO '{tmp_path}/d[1].parquet'; COPY (FROM studies LIMIT 8) TO '{tmp_path}/d1.parquet'"
    )
    (row,) = con.execute(f"SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', '{tmp_path}/d[1].parquet')").fetchall()
    assert row == (96,)


def test_folders_of_partitions_are_columns_in_sql_and_in_python(con, tmp_path):
    con.execute(f"COPY (FROM studies) TO '{tmp_path}' (FORMAT parquet, PARTITION_BY (region))")
    files = f"{tmp_path}/*/*.parquet"
    by_sql = con.execute(f"SELECT region, n FROM emcc_bounds_by('X -> Y', 'P(X=true)', '{files}', 'region')").fetchall()
    found = emcc.bounds("X -> Y", emcc.Studies(files), "P(X=true)", by="region")
    assert by_sql == [(region, 32) for region in range(3)]
    assert list(zip(found["region"].to_pylist(), found["n"].to_pylist(), strict=True)) == by_sql


@pytest.mark.parametrize("name", ["Segment", "patterns", "segments", "columns", "keys"])
def test_a_variable_may_be_called_like_what_the_counting_query_makes(con, name):
    con.execute(f'CREATE TABLE named AS SELECT X AS "{name}", Y, region FROM studies')
    sql = f"SELECT region, n FROM emcc_bounds_by('{name} -> Y', 'P(Y=a)', 'named', 'region')"
    assert con.execute(sql).fetchall() == [(r, 32) for r in range(3)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("emcc_bounds('d -> Y', 'P(Y=a)', 'odd')", "the column d has type INTERVAL; cast it to text"),
        ("emcc_bounds('u -> Y', 'P(Y=a)', 'odd')", "the column u has type UUID; cast it to text"),
        (
            "emcc_bounds('X -> Y', 'P(Y=a)', 'odd', weight := 'd')",
            "has weights d of type INTERVAL; a weight is a number",
        ),
        ("(SELECT emcc('X -> Y', 'P(Y=a)', odd) FROM odd)", "emcc.. has d of type INTERVAL; leave it out"),
        ("(SELECT emcc('X -> Y', 'P(Y=a)', struct_pack(X, Y), weight := d) FROM odd)", "has weight of type INTERVAL"),
    ],
)
def test_a_column_that_cannot_be_read_is_told(con, call, message):
    con.execute("CREATE TABLE odd AS SELECT *, INTERVAL 1 DAY AS d, uuid() AS u FROM studies")
    with pytest.raises(duckdb.Error, match=f"UnsupportedColumn: .*{message}"):
        con.execute(f"FROM {call}")
    assert con.execute("SELECT n FROM emcc_bounds('X -> Y', 'P(Y=a)', 'odd')").fetchall() == [(96,)]


# -- the query around --------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["weight := 'k'", "'k'"])
def test_a_column_that_the_relation_lacks_is_not_taken_from_the_query_around(con, more):
    con.execute("CREATE TABLE asked AS SELECT 'P(X=true)' AS query, 3 AS k")
    function = "emcc_bounds" if "weight" in more else "emcc_bounds_by"
    with pytest.raises(duckdb.Error, match=r"MissingColumn: the studies relation has no column for the \w+ k;"):
        con.execute(f"SELECT n FROM asked, {function}('X -> Y', asked.query, 'studies', {more})")


def test_the_relation_may_have_columns_that_are_called_like_ours(con):
    names = ["emcc_row", "emcc_count", "emcc_weight", "emcc_good", "emcc_segment", "emcc_b0", "emcc_bad", "segment"]
    columns = ", ".join(f"'x' || id % 2 AS {name}" for name in names)
    con.execute(f"CREATE TABLE ours AS SELECT X, Y, study, intervened, w, region, {columns} FROM studies")
    for weight, each in ((", weight := 'w'", 1.5), ("", 1)):
        sql = f"SELECT n, patterns FROM emcc_bounds('X -> Y', 'P(X=true)', 'ours'{weight})"
        assert con.execute(sql).fetchall() == [(96 * each, 8)]
        sql = f"SELECT sum(n) FROM emcc_bounds_by('X -> Y', 'P(X=true)', 'ours', 'emcc_b0'{weight})"
        assert con.execute(sql).fetchall() == [(96 * each,)]


def test_a_variable_with_a_name_of_ours_is_refused(con):
    con.execute("CREATE TABLE ours AS SELECT X, Y, Y AS emcc_count FROM studies")
    for call in (
        """FROM emcc_bounds('X -> Y -> "emcc_count"', 'P(X=true)', 'ours')""",
        """SELECT emcc('X -> Y -> "Emcc_Count"', 'P(X=true)', ours) FROM ours""",
    ):
        with pytest.raises(duckdb.Error, match=r"OptionError: the variable (?i:emcc_count) cannot be counted in SQL"):
            con.execute(call).fetchall()
