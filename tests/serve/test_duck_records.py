"""What a `studies` relation may look like: its columns, their types, weights."""

from __future__ import annotations

import duckdb
import pytest

import duckemcc as emcc


@pytest.fixture(scope="module")
def db():
    con = duckdb.connect()
    emcc.register(con)
    return con


@pytest.fixture
def ask(db):
    """Columns of the one row for a relation given as SQL."""

    def ask(sql, model="X -> Y", columns="n, patterns, studies", query="P(Y[X=1]=1)", more=""):
        call = f"emcc_bounds($${model}$$, $${query}$$, 'given', restarts := 1{more})"
        (row,) = db.execute(f"WITH given AS ({sql}) SELECT {columns} FROM {call}").fetchall()
        return row

    return ask


RECORDS = "SELECT range % 2 AS x, range // 2 % 2 AS Y, range AS id FROM range(8)"


def test_without_study_and_intervened_all_is_one_observational_study(ask):
    assert ask(RECORDS) == (8, 4, ["studies"])


def test_other_columns_are_ignored_even_an_id_of_every_record(ask, db):
    db.execute(
        "CREATE TABLE wide AS SELECT range AS id, range % 2 AS x, 1 AS y, {'a': range} AS s FROM range(3_000_000)"
    )
    sql = "SELECT n, patterns FROM emcc_bounds('X -> Y', 'P(X=1)', 'wide', restarts := 1)"  # more than may be patterns
    assert db.execute(sql).fetchall() == [(3_000_000, 2)]
    db.execute("DROP TABLE wide").fetchall()


@pytest.mark.parametrize(
    "names", ["X, Y, study, intervened", "x, y, STUDY, INTERVENED", '"X", "y", "Study", "interVened"']
)
def test_columns_are_named_in_any_case(ask, names):
    sql = f"SELECT * FROM (VALUES (1, 0, 'a', ['x']), (0, 1, 'b', NULL)) t({names})"
    assert ask(sql) == (2, 2, ["a", "b"])


def test_unicode_names_are_matched_without_regard_to_case(ask):
    assert ask('SELECT 1 AS "GRÖẞE", 0 AS "höhe"', model="Größe -> HÖHE", query="P(HÖHE=0)")[0] == 1


@pytest.mark.parametrize(
    "sets",
    [
        "['X', 'Z'], ['Z', 'X']",
        "['x', 'z'], ['X', 'Z']",
        "['X', 'X', 'Z'], ['Z', 'X']",
    ],
)
def test_order_case_and_repeats_in_intervened_do_not_matter(ask, sets):
    one, two = sets.split("], [")
    sql = f"SELECT * FROM (VALUES (1, 1, 0, 's', {one}]), (0, 1, 1, 's', [{two})) t(X, Z, Y, study, intervened)"
    assert ask(sql, model="X -> Y; Z -> Y", query="P(Y[X=1]=1)") == (2, 2, ["s"])


def test_a_study_with_two_designs_is_two_studies(ask):
    sql = "SELECT * FROM (VALUES (1, 1, 's', ['X']), (0, 0, 's', NULL), (1, 0, 's', [])) t(X, Y, study, intervened)"
    assert ask(sql) == (3, 3, ["s", "s do(X)"])


def test_intervened_may_be_null_throughout(ask):
    assert ask(f"SELECT *, NULL AS intervened, 's' AS study FROM ({RECORDS})") == (8, 4, ["s"])


@pytest.mark.parametrize(
    "name",
    [
        "n",
        "by",
        "model",
        "query",
        "studies",
        "segment",
        "weight",
        "restarts",
        "patterns",
        "name",
        "key",
        "emcc",
        "answer",
    ],
)
def test_a_variable_may_be_called_like_what_the_macros_use(ask, name):
    assert ask(f'SELECT 1 AS "{name}", 2 AS y', model=f"{name} -> y", query="P(y=2)") == (1, 1, ["studies"])


# -- types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("true, false", ["true", "false"]),
        ("1::TINYINT, 2::TINYINT", ["1", "2"]),
        ("1::UBIGINT, 18446744073709551615", ["1", "18446744073709551615"]),
        ("1::HUGEINT, -170141183460469231731687303715884105727", ["1", "-170141183460469231731687303715884105727"]),
        ("'no drug', 'the drug'", ["'no drug'", "'the drug'"]),
        ("'a', 'B'", ["a", "B"]),
        ("'a'::ENUM('b', 'a', 'c'), 'b'", ["a", "b"]),
        ("1.00::DECIMAL(5, 2), 2.00", ["1", "2"]),
        ("1.0::DOUBLE, -0.0", ["1", "0"]),
        ("1.0::FLOAT, 2e9::FLOAT", ["1", "2000000000"]),
        ("'1', '2'", ["1", "2"]),
    ],
)
def test_values_of_many_types_are_states(ask, values, labels):
    sql = f"SELECT unnest([{values}]) AS X, 1 AS Y"
    for label in labels:
        lower, upper, n = ask(sql, columns="lower, upper, n", query=f"P(X={label})")
        assert (lower, upper, n) == (pytest.approx(0.5), pytest.approx(0.5), 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("1.5::DOUBLE, 2.0", "X = 1.5 is no state of X, as it is no exact integer (1 such record)"),
        ("1.50::DECIMAL(5, 2), 2.00", "X = 1.50 is no state of X"),
        ("'nan'::DOUBLE, 2.0", "is no state of X"),
        ("DATE '2026-01-01', DATE '2026-01-02'", "cast it to text"),
        ("TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02'", "cast it to text"),
        ("['a'], ['b']", "cast it to text"),
        ("{'a': 1}, {'a': 2}", "cast it to text"),
        ("'ab'::BLOB, 'cd'::BLOB", "cast it to text"),
    ],
)
def test_other_values_are_refused(ask, values, message):
    with pytest.raises(duckdb.Error) as wrong:
        ask(f"SELECT unnest([{values}]) AS X, 1 AS Y")
    assert message in str(wrong.value)


# -- weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "total"),
    [
        ("1, 2, 3, 0", 6),
        ("0.1::DECIMAL(3, 1), 0.1, 0.1, 0", 0.3),
        ("0.1::DOUBLE, 0.1, 0.1, 0", 0.3),
        ("1e15::DOUBLE, 1, 0.5, 0", 1e15 + 1.5),
        ("1::HUGEINT, 2, 3, 0", 6),
        ("3::UTINYINT, 200, 200, 0", 403),
    ],
)
def test_records_may_have_weights(ask, weights, total):
    sql = f"SELECT unnest([{weights}]) AS W, unnest([0, 0, 1, 2]) AS X, 1 AS Y"
    n, patterns = ask(sql, columns="n, patterns", more=", weight := 'w'")
    assert (n, patterns) == (pytest.approx(total, rel=1e-13), 2)  # what weighs nothing is not there


def test_sums_of_weights_do_not_depend_on_the_order(ask):
    sql = "SELECT 1e12 / (1 + hash(range) % 1000) AS w, 1 AS X, 1 AS Y FROM range(200_000) ORDER BY {}"
    totals = {ask(sql.format(o), columns="n", more=", weight := 'w'") for o in ("range", "range DESC", "hash(range)")}
    assert len(totals) == 1


@pytest.mark.parametrize("bad", ["NULL", "-1", "'nan'::DOUBLE", "'inf'::DOUBLE"])
def test_an_impossible_weight_is_an_error_with_the_number_of_records(ask, bad):
    sql = f"SELECT unnest([1::DOUBLE, {bad}, {bad}]) AS w, 1 AS X, 1 AS Y"
    with pytest.raises(duckdb.Error, match=r"InvalidWeight: study 'studies' has 2 records whose weight"):
        ask(sql, more=", weight := 'w'")


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("'text'", "has weights text of type VARCHAR; a weight is a number"),
        ("'flag'", "has weights flag of type BOOLEAN; a weight is a number"),
        ("'day'", "has weights day of type DATE; a weight is a number"),
        ("'nope'", "MissingColumn: the studies relation has no column for the weight nope; its columns are text, flag"),
        ("'X'", "weight is 'X', which is also the column of a variable"),
        ("''", "weight is ''; it takes the name of a column"),
        ("1", "weight is 1; it takes the name of a column"),
    ],
)
def test_a_weight_is_the_name_of_a_column_of_numbers(ask, weight, message):
    with pytest.raises(duckdb.Error) as wrong:
        ask("SELECT '1' AS text, true AS flag, DATE '2026-01-01' AS day, 1 AS X, 1 AS Y", more=f", weight := {weight}")
    assert message in str(wrong.value)
