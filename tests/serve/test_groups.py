"""emcc(…), the aggregate: each group of records is answered as it would be alone, many at a time."""

from __future__ import annotations

import itertools

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.answer.bounds import NO_RECORDS
from duckemcc.answer.schema import COLUMNS, SQL_TYPES

GRAPH = "Treatment -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug, Survival=survived)"
DECLARED = f"{GRAPH}; Treatment {{drug, 'no drug'}}; Survival {{dead, survived}}"
CALL = f"emcc('{GRAPH}', '{PNS}', struct_pack(Treatment, Survival, study, intervened), weight := n)"


@pytest.fixture(scope="module")
def drug():
    """Table 1 in `studies`; `many`: 48 groups of many kinds, some without a study, an arm, a state or a weight."""
    con = duckdb.connect()
    emcc.register(con)
    con.execute(emcc.read_sql("drug_trial")).fetchall()
    con.execute("""CREATE TABLE many AS SELECT * REPLACE (n % (3 + g) AS n)
        FROM studies, range(48) t(g) WHERE CASE g % 6
        WHEN 0 THEN true WHEN 1 THEN study = 'trial' WHEN 2 THEN study = 'registry' OR Treatment = 'drug'
        WHEN 3 THEN Survival = 'survived' WHEN 4 THEN hash(n, g) % 3 > 0 ELSE hash(n, g) % 7 = 0 END""")
    return con


def answers(con, sql):
    """The rows; an emcc(…) as a dictionary."""
    return con.execute(sql).fetchall()


def test_an_answer_is_a_struct_of_the_results_columns(drug):
    (kind,) = drug.sql(f"SELECT {CALL} FROM studies").types
    assert [(name, str(t)) for name, t in kind.children] == [(name, SQL_TYPES[k]) for name, k in COLUMNS.items()]


def test_it_equals_emcc_bounds_on_the_same_records(drug):
    for condition in ("true", "study = 'trial'", "Gender = 'male'", "study = 'registry' AND n > 400"):
        ((one,),) = answers(drug, f"SELECT {CALL} FROM studies WHERE {condition}")
        table = f"WITH part AS (FROM studies WHERE {condition}) "
        found = drug.execute(f"{table} FROM emcc_bounds('{GRAPH}', '{PNS}', 'part', weight := 'n')").fetchall()
        assert tuple(one.values()) == found[0]


def test_groups_equal_those_of_emcc_bounds_by(drug):
    apart = answers(drug, f"SELECT Gender, b.* FROM (SELECT Gender, {CALL} AS b FROM studies GROUP BY ALL) ORDER BY 1")
    by = f"emcc_bounds_by('{GRAPH}', '{PNS}', 'studies', 'Gender', weight := 'n')"
    assert apart == answers(drug, f"FROM {by} ORDER BY Gender")


def test_many_groups_are_answered_as_each_would_be_alone(drug):
    together = dict(answers(drug, f"SELECT g, {CALL} FROM many GROUP BY g"))
    assert len(together) > 40
    for g, found in together.items():
        ((alone,),) = answers(drug, f"SELECT {CALL} FROM many WHERE g = {g}")
        numbers = {k: v for k, v in found.items() if isinstance(v, float)}
        others = [k for k in found if k not in numbers and k != "fault"]  # fault: the first of two equal misfits
        assert [alone[k] for k in others] == [found[k] for k in others]
        assert numbers.pop("credibility", 0) == pytest.approx(alone["credibility"] or 0, abs=1e-4)
        assert numbers == pytest.approx({k: alone[k] for k in numbers}, abs=1e-9)  # batches round differently
    assert {"bounded", "invalid"} <= {found["status"] for found in together.values()}
    assert len({tuple(found["studies"] or ()) for found in together.values()}) > 2


def test_it_works_in_cube_where_and_having(drug):
    cube = answers(drug, f"SELECT Gender, study, {CALL}.n FROM studies GROUP BY CUBE (Gender, study) ORDER BY ALL")
    assert [row[2] for row in cube] == [2000.0, 2000.0, 4000.0] * 2 + [4000.0, 4000.0, 8000.0]
    assert answers(drug, f"SELECT {CALL}.n FROM studies WHERE study = 'trial'") == [(4000,)]
    few = f"SELECT Gender, {CALL}.lower AS low FROM studies GROUP BY Gender HAVING low > .4"
    assert [row[0] for row in answers(drug, few)] == ["male"]


def test_two_fields_are_taken_from_a_subquery(drug):
    sql = f"SELECT b.lower, b.upper FROM (SELECT {CALL} AS b FROM studies)"
    assert answers(drug, sql)[0] == pytest.approx((0.3395, 0.4295), abs=1e-3)


def test_a_whole_row_is_a_record_and_other_fields_are_ignored(drug):
    whole = CALL.replace("struct_pack(Treatment, Survival, study, intervened)", "studies")
    assert answers(drug, f"SELECT {whole} FROM studies") == answers(drug, f"SELECT {CALL} FROM studies")


def test_without_weights_records_are_counted(drug):
    sql = f"SELECT emcc('{GRAPH}', '{PNS}', struct_pack(TREATMENT := Treatment, Survival)).n FROM studies"
    assert answers(drug, sql) == [(16,)]


def test_queries_and_options_may_differ_by_group(drug):
    sql = f"""SELECT q, r, emcc('{GRAPH}', q, studies, weight := n, restarts := r) FROM studies,
        (VALUES ('{PNS}', 2), ('P(Survival=dead)', 3), ('{PNS}', 4)) t(q, r) GROUP BY q, r ORDER BY r"""
    found = answers(drug, sql)
    assert [(q, r) for q, r, _ in found] == [(b["query"], b["restarts"]) for _, _, b in found]
    assert [r for _, r, _ in found] == [2, 3, 4]


# -- what one group cannot bear ----------------------------------------------------------------


def test_a_group_without_records_has_no_data(drug):
    ((found,),) = answers(drug, f"SELECT {CALL} FROM studies WHERE false")
    assert (found["status"], found["lower"], found["n"], found["studies"]) == ("no_data", None, 0.0, [])
    assert found["message"] == NO_RECORDS


@pytest.mark.parametrize("weightless", ["Gender = 'male'", "Gender = 'male' AND study = 'trial'"])
def test_records_without_weight_are_as_in_emcc_bounds_by(drug, weightless):
    table = f"WITH part AS (SELECT * REPLACE (if({weightless}, 0, n) AS n) FROM studies) "
    found = answers(
        drug, f"{table} SELECT Gender, b.* FROM (SELECT Gender, {CALL} AS b FROM part GROUP BY 1) ORDER BY 1"
    )
    by = f"{table} FROM emcc_bounds_by('{GRAPH}', '{PNS}', 'part', 'Gender', weight := 'n') ORDER BY Gender"
    assert found == answers(drug, by)
    assert (found[1][0], "no_data" in found[1]) == ("male", "study" not in weightless)


LACKING = f"SELECT Gender, {CALL} FROM studies WHERE Gender = 'male' OR Survival = 'dead' GROUP BY Gender"


def test_a_group_that_lacks_a_state_is_invalid_and_says_what_to_do(drug):
    found = dict(answers(drug, LACKING))
    assert (found["male"]["status"], found["female"]["status"]) == ("identified", "invalid")
    assert "Survival has no state 'survived'; its states are dead." in found["female"]["message"]
    assert "declare them in the graph" in found["female"]["message"]
    assert found["female"]["lower"] is None


def test_a_group_that_lacks_the_other_state_is_invalid(drug):
    found = dict(answers(drug, LACKING.replace("Survival = 'dead'", "Treatment = 'drug'")))
    assert "Treatment has one state" in found["female"]["message"]
    assert (found["male"]["status"], found["female"]["status"]) == ("identified", "invalid")


def test_declared_states_are_those_of_every_group(drug):
    found = dict(answers(drug, LACKING.replace(GRAPH, DECLARED.replace("'", "''"))))
    assert (found["male"]["status"], found["female"]["status"]) == ("identified", "identified")
    assert found["female"]["upper"] == pytest.approx(0, abs=1e-3)


def test_a_group_that_is_too_large_does_not_fail_the_others(drug, monkeypatch):
    from duckemcc.study import labels

    monkeypatch.setattr(labels, "MOST_PATTERNS", 5)  # of a study; all have 4, and the last group has 8
    sql = f"""WITH r AS (
            SELECT * REPLACE (if(g = 5, Treatment || Gender, Treatment) AS Treatment) FROM studies, range(6) t(g))
        SELECT g, {CALL.replace(PNS, "P(Survival=dead)")}.status FROM r GROUP BY g ORDER BY g"""
    assert [status for _, status in answers(drug, sql)] == ["identified"] * 5 + ["too_large"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (CALL.replace("survived", "survived, "), "QueryError: "),
        (CALL.replace("Survival=survived", "Survivel=survived"), "UnknownName: "),
        (CALL.replace("Survival=survived", "Treatment=survived"), "QueryError: "),
        (CALL.replace(GRAPH, DECLARED.replace("'", "''")).replace("=survived", "=alive"), "no state 'alive'"),
        (CALL.replace(f"'{PNS}'", f"['{PNS}']"), "QueryError: emcc() takes one query as text"),
        (CALL.replace(f"'{PNS}'", "NULL"), "QueryError: emcc() takes one query as text; found None"),
        (CALL.replace(GRAPH, "drug"), "UnknownModel: there is no model named 'drug'"),
        (
            CALL.replace(GRAPH, "Dose -> Survival"),
            "MissingColumn: the studies relation has no column for the variable Dose",
        ),
        (CALL.replace("weight := n", "weight := n - 500"), "InvalidWeight: study 'registry' has"),
        (
            CALL.replace("weight := n", "weight := -1.5"),
            "records whose weight is NULL, negative, not a number, or outside",
        ),
        (CALL.replace("weight := n", "weight := -1.5"), "(as -1.5)"),
        (CALL.replace("Treatment, S", "Traetment := Treatment, S"), "its columns are Traetment, Survival, study"),
        (CALL.replace("weight := n", "weight := NULL"), "InvalidWeight: study 'registry' has"),
        (CALL.replace("weight := n", "weight := study"), "the weight of emcc() has type String"),
        (CALL.replace("weight := n", "restarts := 0"), "OptionError: restarts is 0"),
        (
            CALL.replace("struct_pack(Treatment, Survival, study, intervened)", "Treatment"),
            "is a STRUCT of the variables",
        ),
        (CALL.replace("Treatment, S", "Treatment := DATE '2026-01-01', S"), "cast it to text"),
        (CALL.replace("Treatment, S", "Treatment := nullif(Treatment, 'drug'), S"), "NullValue: study"),
    ],
)
def test_what_is_wrong_with_the_call_or_the_data_is_an_error(drug, call, message):
    with pytest.raises(duckdb.Error) as wrong:
        answers(drug, f"SELECT {call} FROM studies")
    assert message in str(wrong.value)


def test_records_with_a_null_may_be_dropped_in_each_group(drug):
    holes = "(SELECT * REPLACE (if(Gender = 'male' AND n > 500, NULL, Survival) AS Survival) FROM studies)"
    call = CALL.replace("weight := n", "weight := n, nulls := 'drop'")
    found = dict(answers(drug, f"SELECT Gender, {call} FROM {holes} GROUP BY Gender"))
    kept = dict(
        answers(drug, f"SELECT Gender, {CALL} FROM studies WHERE Gender = 'female' OR n <= 500 GROUP BY Gender")
    )
    assert found["female"] == kept["female"]
    assert found["male"]["n"] == kept["male"]["n"] == 1720


# -- many batches of groups --------------------------------------------------------------------


def test_a_transaction_gives_each_of_its_statements_time_of_its_own(drug, monkeypatch):
    from duckemcc.answer import options

    now = itertools.count()
    monkeypatch.setattr(options.time, "perf_counter", lambda: next(now) * 1e-6)
    con = drug.cursor()
    con.begin()

    def status(least, max_seconds):
        call = CALL.replace("weight := n", f"weight := n, method := 'emcc', max_seconds := {max_seconds}")
        return con.execute(f"SELECT {call}.status FROM studies WHERE n > $1", [least]).fetchone()

    begun = next(now)
    status(0, 1e9)
    one_statement = (next(now) - begun) * 1e-6
    assert [status(least, 1.5 * one_statement) for least in range(12)] == [("bounded",)] * 12
    con.commit()


def test_many_batches_of_groups_share_max_seconds(drug, monkeypatch):
    from duckemcc.answer import options

    now = itertools.count()
    monkeypatch.setattr(options.time, "perf_counter", lambda: next(now) * 1e-6)

    def statuses(groups, more=""):
        table = f"(SELECT studies.* REPLACE (n + g AS n), g FROM studies, range({groups}) t(g))"
        call = CALL.replace("weight := n", f"weight := n, method := 'emcc', restarts := 1{more}")
        return dict(
            answers(drug, f"SELECT b.status, count(*) FROM (SELECT {call} AS b FROM {table} GROUP BY g) GROUP BY 1")
        )

    drug.execute("SET threads = 1")  # batches one after the other
    begun = next(now)
    statuses(2048, ", max_seconds := 1e9")
    one_batch = (next(now) - begun) * 1e-6
    found = statuses(3 * 2048, f", max_seconds := {1.5 * one_batch}")
    drug.execute("RESET threads")
    assert found["timeout"] > 1024
    assert sum(found.values()) == 3 * 2048
