"""How the SQL functions are called: parameters, prepared and lateral queries, and how often the work is done."""

from __future__ import annotations

import duckdb
import pytest

BOUNDS = "emcc_bounds('X -> Y', 'P(X=true)', 'studies', restarts := 1)"
EMCC = "emcc('X -> Y', 'P(X=true)', struct_pack(X, Y), restarts := 1)"


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        ("emcc_bounds(?, ?, 'studies')", ["X -> Y", "P(X=true)"]),
        ("emcc_bounds(?, ?, ?, weight := ?)", ["X -> Y", ["P(X=true)"], "studies", "w"]),
        ("emcc_bounds($m, $q, 'studies')", {"m": "X -> Y", "q": "P(X=true)"}),
        ("emcc_bounds($m, $q, $s, restarts := $r)", {"m": "X -> Y", "q": "P(X=true)", "s": "studies", "r": 3}),
        ("emcc_bounds_by(?, ?, ?, ?)", ["X -> Y", "P(X=true)", "studies", ["region"]]),
        ("emcc_compatibility(?, ?)", ["X -> Y", "studies"]),
    ],
)
def test_arguments_may_be_parameters(con, sql, given):
    literal = sql
    for name, value in given.items() if isinstance(given, dict) else zip("?" * len(given), given, strict=True):
        literal = literal.replace(f"${name}" if name != "?" else "?", repr(value), 1)
    found = con.execute(f"FROM {sql} ORDER BY ALL", given).fetchall()
    assert found == con.execute(f"FROM {literal} ORDER BY ALL").fetchall()
    assert len(found) > 0


def test_a_query_may_be_prepared(con):
    con.execute("CREATE TABLE few AS FROM studies LIMIT 7")
    con.execute("PREPARE p AS SELECT n FROM emcc_bounds($1, $2, $3, restarts := 1)")
    assert con.execute("EXECUTE p('X -> Y', 'P(X=true)', 'studies')").fetchall() == [(96,)]
    assert con.execute("EXECUTE p('X -> Y', 'P(X=true)', 'few')").fetchall() == [(7,)]


def test_several_queries_are_a_list_from_anywhere(con):
    asked = ["P(X=true)", "P(Y=b)", "P(Y=a)"]
    for text in (str(asked), "(SELECT list(q) FROM (VALUES ('P(X=true)'), ('P(Y=b)'), ('P(Y=a)')) t(q))"):
        rows = con.execute(f"SELECT query FROM emcc_bounds('X -> Y', {text}, 'studies', restarts := 1)").fetchall()
        assert rows == [(q,) for q in asked]


# -- lateral joins -----------------------------------------------------------------------------


@pytest.fixture
def questions(con):
    con.execute("CREATE TABLE questions AS FROM (VALUES (1, 'P(X=true)'), (2, 'P(Y=b)'), (3, 'P(X=true)')) t(k, query)")
    return con


def test_a_table_of_queries_is_answered_by_a_lateral_join(questions):
    sql = "SELECT k, b.query, n FROM questions q, emcc_bounds('X -> Y', q.query, 'studies', restarts := 1) b ORDER BY k"
    assert questions.execute(sql).fetchall() == [(1, "P(X=true)", 96), (2, "P(Y=b)", 96), (3, "P(X=true)", 96)]


def test_a_lateral_join_may_be_by_segments_and_over_lists(questions):
    by = "SELECT k, region, n FROM questions q, emcc_bounds_by('X -> Y', q.query, 'studies', 'region', restarts := 1) b"
    assert questions.execute(f"{by} ORDER BY ALL").fetchall() == [(k, r, 32) for k in (1, 2, 3) for r in (0, 1, 2)]
    lists = "FROM questions q, emcc_bounds('X -> Y', [q.query, 'P(Y=a)'], 'studies', restarts := 1) b"
    assert len(questions.execute(lists).fetchall()) == 6


def test_a_lateral_join_counts_once_and_answers_each_query_once(questions, jobs):
    sql = "SELECT k, n FROM questions q, emcc_bounds('X -> Y', q.query, 'studies', restarts := 1) b"
    assert len(questions.execute(sql).fetchall()) == 3
    assert jobs == ["sql", "udf"]


def test_joined_queries_are_answered_as_each_would_be_alone(con):
    con.execute("CREATE TABLE asked AS FROM (VALUES ('P(X=true)'), ('ACE(X=true, Y=a)'), ('P(Y[X=true]=a)')) t(query)")
    for function, more in (("emcc_bounds", ""), ("emcc_bounds_by", "'region', ")):
        options = f"'studies', {more}method := 'emcc', restarts := 4"
        together = con.execute(
            f"SELECT b.* FROM asked, {function}('X -> Y; X <-> Y', asked.query, {options}) b"
        ).fetchall()
        apart = [
            row
            for (query,) in con.execute("FROM asked").fetchall()
            for row in con.execute(f"FROM {function}('X -> Y; X <-> Y', $1, {options})", [query]).fetchall()
        ]
        assert sorted(map(repr, together)) == sorted(map(repr, apart))


def test_a_query_that_is_listed_twice_has_two_rows(con):
    sql = "SELECT query FROM emcc_bounds('X -> Y', ['P(X=true)', 'P(Y=a)', 'P(X=true)'], 'studies', restarts := 1)"
    assert con.execute(sql).fetchall() == [("P(X=true)",), ("P(Y=a)",), ("P(X=true)",)]


@pytest.mark.parametrize("call", ["emcc_bounds({}, 'studies')", "emcc_bounds_by({}, 'studies', 'region')"])
def test_an_empty_table_of_queries_has_no_answers_and_no_work(con, jobs, call):
    con.execute("CREATE TABLE questions (query VARCHAR)")
    sql = call.format("'X -> Y', q.query")
    assert con.execute(f"FROM questions q, {sql}").fetchall() == []
    assert "udf" not in jobs


def test_a_model_cannot_be_a_column_as_duckdb_says(con):
    with pytest.raises(duckdb.Error, match=r"lateral join column|Table function cannot contain subqueries"):
        con.execute("FROM (SELECT 'X -> Y' AS m) q, emcc_bounds(q.m, 'P(X=true)', 'studies')").fetchall()


# -- views and how often the work is done ------------------------------------------------------


def test_a_view_over_bounds_works_for_every_connection(con, jobs):
    con.execute(f"CREATE VIEW b AS SELECT n FROM {BOUNDS}")
    assert set(jobs) == {"sql"}
    assert con.execute("FROM b").fetchall() == con.cursor().execute("FROM b").fetchall() == [(96,)]
    con.execute("INSERT INTO studies FROM studies LIMIT 4")
    assert con.execute("FROM b").fetchall() == [(100,)]


def test_answers_may_be_stored(con, tmp_path):
    con.execute(f"CREATE TABLE kept AS FROM {BOUNDS}")
    con.execute(f"COPY (FROM {BOUNDS}) TO '{tmp_path}/kept.parquet'")
    stored, asked = con.execute("FROM kept").fetchall(), con.execute(f"FROM {BOUNDS}").fetchall()
    assert stored == asked == con.execute(f"FROM '{tmp_path}/kept.parquet'").fetchall()


@pytest.mark.parametrize("what", [f"FROM {BOUNDS}", f"SELECT {EMCC} FROM studies"])
def test_explaining_or_describing_does_none_of_the_work(con, jobs, what):
    con.execute(f"EXPLAIN {what}").fetchall()
    con.execute(f"DESCRIBE {what}").fetchall()
    assert "lower" in str(con.sql(what).types) + str(con.sql(what).columns)
    assert "udf" not in jobs
    assert "aggregate" not in jobs


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT lower, upper, n FROM {BOUNDS}",
        f"SELECT count(*) FROM {BOUNDS}",
        f"SELECT a.n, b.n FROM {BOUNDS} a, {BOUNDS} b",
        f"EXPLAIN ANALYZE FROM {BOUNDS}",
        "SELECT lower FROM emcc_bounds_by('X -> Y', ['P(X=true)', 'P(Y=b)'], 'studies', 'region', restarts := 1) "
        "WHERE region = 1 AND lower > 0 ORDER BY upper",
    ],
)
def test_one_statement_answers_once(con, jobs, sql):
    con.execute(sql).fetchall()
    assert jobs.count("udf") == 1


def test_the_same_question_of_the_same_data_is_remembered(con, jobs):
    first = con.execute(f"FROM {BOUNDS}").fetchall()
    assert con.execute(f"FROM {BOUNDS}").fetchall() == first
    assert jobs.count("udf") == 1
    con.execute("INSERT INTO studies FROM studies LIMIT 1")
    assert con.execute(f"FROM {BOUNDS}").fetchall() != first
    con.execute(f"FROM {BOUNDS[:-1]}, seed := 1)").fetchall()
    assert jobs.count("udf") == 3


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT region, {EMCC}.lower, {EMCC}.upper FROM studies GROUP BY region",
        f"SELECT region, b.lower, b.upper FROM (SELECT region, {EMCC} b FROM studies GROUP BY region)",
    ],
)
def test_groups_that_are_alike_are_answered_together_and_once(con, jobs, sql):
    assert len(con.execute(sql).fetchall()) == 3
    assert jobs == ["aggregate"]


def test_an_answer_that_came_too_late_is_not_remembered(con, jobs):
    late = f"SELECT status FROM {BOUNDS[:-1]}, max_seconds := 0)"
    assert con.execute(late).fetchall() == con.execute(late).fetchall() == [("timeout",)]
    assert jobs.count("udf") == 2


def test_population_names_a_study_of_the_relation(con):
    sql = "SELECT n FROM emcc_bounds('X -> Y', 'P(X=true)', 'studies', population := '{}')"
    assert con.execute(sql.format("t")).fetchall() == [(96,)]
    with pytest.raises(duckdb.Error, match=r"OptionError: .*nobody"):
        con.execute(sql.format("nobody")).fetchall()


def test_compatibility_by_segment_is_that_of_each_alone(con):
    rows = con.execute("FROM emcc_compatibility_by('X -> Y', 'studies', 'region')").fetchall()
    assert sorted({row[0] for row in rows}) == [0, 1, 2]
    for region in range(3):
        con.execute(f"CREATE OR REPLACE VIEW one AS FROM studies WHERE region = {region}")
        alone = con.execute("FROM emcc_compatibility('X -> Y', 'one')").fetchall()
        assert [row[1:] for row in rows if row[0] == region] == alone
