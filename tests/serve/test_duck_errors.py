"""What goes wrong reaches the SQL user in the words of Python, and names what to do."""

from __future__ import annotations

import duckdb
import pytest

import duckemcc as emcc

GRAPH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug, Survival=survived)"


@pytest.fixture(scope="module")
def drug():
    con = duckdb.connect()
    emcc.register(con)
    con.execute(emcc.read_sql("drug_trial")).fetchall()
    con.execute("CREATE VIEW studies_alone AS SELECT * EXCLUDE (study, intervened) FROM studies")
    con.execute("CREATE VIEW sexes AS SELECT * EXCLUDE (Gender), Gender AS Gendre FROM studies_alone")
    con.execute("CREATE VIEW holes AS SELECT * REPLACE (nullif(Gender, 'male') AS Gender) FROM studies_alone")
    con.execute("CREATE TABLE nobody AS FROM studies LIMIT 0")
    return con


def python_error(con, table, graph, query, options):
    with pytest.raises(emcc.DuckEmccError) as wrong:
        emcc.bounds(graph, emcc.Study(con.table(table), name="studies"), query, **options)
    return wrong.value


def sql_error(con, table, graph, query, options):
    named = "".join(f", {name} := {value!r}" for name, value in options.items())
    with pytest.raises(duckdb.Error) as wrong:
        con.execute(f"FROM emcc_bounds($${graph}$$, $${query}$$, '{table}'{named})").fetchall()
    return str(wrong.value)


@pytest.mark.parametrize(
    ("kind", "table", "graph", "query", "options"),
    [
        ("UnknownState", "studies_alone", GRAPH + "; Gender {f, m}", PNS, {}),
        ("NullValue", "holes", GRAPH, PNS, {"nulls": "error"}),
        ("QueryError", "studies_alone", GRAPH, "PNS(Treatment=drug", {}),
        ("QueryError", "studies_alone", GRAPH, "PNS(Treatment=drugs, Survival=survived)", {}),
        ("UnknownName", "studies_alone", GRAPH, "P(Survivel=survived)", {}),
        ("GraphError", "studies_alone", "Gender -> ", PNS, {}),
        ("GraphError", "studies_alone", "Gender -> Treatment -> Gender", PNS, {}),
        ("OptionError", "studies_alone", GRAPH, PNS, {"restarts": 0}),
        ("OptionError", "studies_alone", GRAPH, PNS, {"method": "fast"}),
        ("OptionError", "studies_alone", GRAPH, PNS, {"incompatible": "hide"}),
        ("OptionError", "studies_alone", GRAPH, PNS, {"start": "somewhere"}),
        ("OptionError", "studies_alone", GRAPH, PNS, {"method": "emcc", "confidence": 0.95}),
    ],
)
def test_an_error_has_the_name_and_text_of_python_in_the_words_of_sql(drug, kind, table, graph, query, options):
    wrong = python_error(drug, table, graph, query, options)
    assert type(wrong).__name__ == kind
    assert f"{kind}: {wrong.text('sql')}" in sql_error(drug, table, graph, query, options)


def test_a_missing_column_comes_with_a_hint(drug):
    told = sql_error(drug, "sexes", GRAPH, PNS, {})
    assert "MissingColumn: the studies relation has no column for the variable Gender; its columns are" in told
    assert "Hint: did you mean one of these columns: ['Gendre']?" in told


@pytest.mark.parametrize("call", ["emcc_bounds({}, 'nobody')", "emcc_bounds_by({}, 'nobody', 'study')"])
def test_a_relation_without_records_is_an_error(drug, call):
    with pytest.raises(duckdb.Error, match=r"EmptyStudy: the studies relation has no records"):
        drug.execute("FROM " + call.format(f"'{GRAPH}', '{PNS}'"))
    with pytest.raises(duckdb.Error, match=r"MissingColumn.*variable Dose"):  # said even so
        drug.execute("FROM " + call.format("'Dose -> Survival', 'P(Survival=dead)'"))


@pytest.mark.parametrize(
    ("records", "kind", "message"),
    [
        ("SELECT NULL AS X, 1 AS Y", "MissingColumn", "no study has a value of X, so its states are not known"),
        ("SELECT NULL AS X, NULL AS Y", "EmptyStudy", "every record has NULL in every variable"),
        ("SELECT NULL AS X, 1 AS Y, ['X'] AS intervened", "NullValue", "which is set by design"),
        ("SELECT NULL AS X, NULL AS Y, NULL AS study", "NullValue", "every record needs the name of its study"),
        ("SELECT 1 AS X, 1 AS Y, NULL AS study", "NullValue", "every record needs the name of its study"),
        ("SELECT 1 AS X, 1 AS Y, ['Z'] AS intervened", "UnknownName", "intervened names Z, which is no variable"),
        ("SELECT 1 AS X, 1 AS Y, 'X' AS intervened", "UnsupportedColumn", "it takes a list of variables, VARCHAR[]"),
        ("SELECT 1 AS X, 1 AS Y, [NULL]::VARCHAR[] AS intervened", "NullValue", "the column intervened lists NULL"),
        ("SELECT 1 AS X, 1 AS Y, 0 AS w", "EmptyStudy", "study 'studies' is empty: all its weights"),
    ],
)
def test_records_that_cannot_be_read_are_named(drug, records, kind, message):
    weight = ", weight := 'w'" if " w" in records else ""
    sql = f"WITH r AS ({records}) FROM emcc_bounds('X -> Y', 'P(X=1)', 'r'{weight})"
    with pytest.raises(duckdb.Error) as wrong:
        drug.execute(sql)
    assert f"{kind}: " in str(wrong.value)
    assert message in str(wrong.value)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("[]", "OptionError: by is empty or NULL"),
        ("NULL", "OptionError: by is empty or NULL"),
        ("['n', NULL]", "OptionError: by takes a name or a list of names; found None"),
        ("['n', 'N']", "RepeatedName: by names n and N, which are the same name"),
        ("'gender'", "OptionError: by names gender, which is the variable Gender of the model"),
        ("'Status'", "OptionError: by names the column 'Status', which is a column of the result"),
        ("'nope'", "MissingColumn: the studies relation has no column for the segment nope; its columns are"),
        ("'Gendr'", "Hint: did you mean one of these columns: ['Gender']?"),
    ],
)
def test_segments_are_columns_and_no_variables(drug, by, message):
    with pytest.raises(duckdb.Error) as wrong:
        drug.execute(f"FROM emcc_bounds_by('{GRAPH}', '{PNS}', 'studies', {by})")
    assert message in str(wrong.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("emcc_bounds(NULL, 'P(X=1)', 'studies')", "OptionError: model is NULL"),
        ("emcc_bounds(3, 'P(X=1)', 'studies')", "GraphError: a model is a Model or graph text; found int"),
        (f"emcc_bounds('{GRAPH}', NULL, 'studies')", "QueryError: queries are a text, a query or a list"),
        (f"emcc_bounds('{GRAPH}', [], 'studies')", "QueryError: queries are a text, a query or a list"),
        (f"emcc_bounds('{GRAPH}', ['{PNS}', NULL], 'studies')", "QueryError"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', NULL)", "SourceError: no studies are given, which means registered ones"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', 'nosuch')", "Table with name nosuch does not exist"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', '/no/such.parquet')", "No files found that match the pattern"),
        (f"emcc_bounds('{GRAPH}', '{PNS}')", "SourceError: no studies are given, which means registered ones"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', 'studies', nope := 1)", "does not support the supplied arguments"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', 'studies', restarts := 2.5)", "OptionError: restarts is 2.5"),
        (f"emcc_bounds('{GRAPH}', '{PNS}', 'studies', accelerate := 1)", "OptionError: accelerate is 1"),
        ("emcc_compatibility('drug', 'studies')", "UnknownModel: there is no model named 'drug'"),
        ("emcc_compatibility(NULL, 'studies')", "OptionError: model is NULL"),
    ],
)
def test_a_wrong_argument_is_named(drug, call, message):
    with pytest.raises(duckdb.Error) as wrong:
        drug.execute(f"FROM {call}").fetchall()
    assert message in str(wrong.value)


def test_an_error_leaves_the_connection_usable(drug):
    for _ in range(3):
        sql_error(drug, "studies", GRAPH, "nonsense", {})
    sql = f"SELECT n FROM emcc_bounds('{GRAPH}', '{PNS}', 'studies', weight := 'n', restarts := 1)"
    assert drug.execute(sql).fetchall() == [(8000,)]


def test_a_relation_with_too_many_patterns_says_so(drug, monkeypatch):
    from duckemcc.serve.duckdb import counting
    from duckemcc.serve.duckdb import udf as functions

    for module in (counting, functions):
        monkeypatch.setattr(module, "MOST_PATTERNS", 15)
    assert "TooLarge: the studies relation has more than 15 distinct patterns" in sql_error(
        drug, "studies", GRAPH, PNS, {}
    )


@pytest.mark.parametrize("function", ["emcc_bounds_by", "emcc_compatibility_by"])
def test_segments_by_an_interval_are_refused(con, function):
    con.execute("CREATE TABLE s AS SELECT *, INTERVAL 1 DAY AS lasted FROM studies")
    query = "'P(Y=a)', " if "bounds" in function else ""
    with pytest.raises(duckdb.InvalidInputException, match="segments by lasted of type INTERVAL; cast it to text"):
        con.execute(f"FROM {function}('x -> Y', {query}'s', 'lasted')").fetchall()
