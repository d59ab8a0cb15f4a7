"""`Study(selected=)`: the rule over the states, who was dropped, and the selector in the model."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import EmptyStudy, NullValue, OptionError, StudyError, TooLarge, UnknownName
from duckemcc.learn.counts import StudyCounts
from duckemcc.model.scm import Model
from duckemcc.study import selection
from duckemcc.study.count.read import count_study
from duckemcc.study.selection import add_selectors, evaluate_rule, is_dropped, read_rule
from duckemcc.study.study import Study

STATES = {"Age": ("9", "10", "40"), "Sick": ("false", "true"), "Site": ("1", "b c")}


def kept(text, states=STATES):
    return evaluate_rule(read_rule(text, list(states), "clinic"), states, "clinic")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Age >= 10", [False, True, True]),
        ("age / 4 > 2.3", [False, True, True]),
        ("Age IN (9, 40)", [True, False, True]),
        ("NOT Age BETWEEN 10 AND 20", [True, False, True]),
        ("Sick", [False, True]),
        ("Sick = true", [False, True]),
        ("Site = '1'", [True, False]),  # not all of its states are integers, so all are text
        ("Site LIKE 'b%'", [False, True]),
        ("\"Site\" <> '1'", [False, True]),
    ],
)
def test_labels_are_integers_booleans_or_text(text, expected):
    assert kept(text).tolist() == expected


def test_a_rule_has_an_axis_for_each_variable_that_it_names_in_model_order():
    assert kept("Sick AND Age > 9").tolist() == [[False, False], [False, True], [False, True]]


def test_where_a_rule_is_null_it_keeps_nothing():
    assert kept("Age > 9 AND (Age < 40 OR NULL)").tolist() == [False, True, False]


def test_large_integers_are_text():
    assert kept("N = '18446744073709551615'", {"N": ("1", "18446744073709551615")}).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("Agee > 9", UnknownName, r"'clinic' has selected= over Agee, which is no variable of the model.*\['Age'"),
        ("1 = 1", OptionError, "'clinic': selected='1 = 1' names no variable, so it keeps all records or none"),
        ("Age > 0", OptionError, r"keeps all of them, so nothing is selected.*Age \(integers: 9, 10, 40\)"),
        ("Age > 99", OptionError, r"selected='Age > 99' keeps none of them.*Age \(integers: 9, 10, 40\)"),
        ("Age + 1", OptionError, r"is no condition: Age \+ 1 has the type"),
        ("Age = 'old'", OptionError, r"does not fit the states: .*Age \(integers: 9, 10, 40\)"),
        ("Age > (SELECT 1)", OptionError, r"selected='Age > \(SELECT 1\)' holds SELECT, which is not allowed"),
        ("Age >", OptionError, r"selected='Age >' cannot be read"),
        ("Age > 9 -- all", OptionError, "holds a comment"),
        ("((((((((((((((((((Age > 9))))))))))))))))))", OptionError, "selected=.* is nested too deeply"),
    ],
)
def test_a_rule_that_selects_nothing_or_cannot_be_read_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        kept(text)


def test_a_rule_over_too_many_states_is_refused(monkeypatch):
    monkeypatch.setattr(selection, "LARGEST_GRID", 5)
    with pytest.raises(TooLarge, match="is over 6 combinations of states; at most 5"):
        kept("Sick AND Age > 9")


# -- dropped records -----------------------------------------------------------------------------

FRAME = pl.DataFrame({"X": [0, 0, 1, None], "Y": [0, 1, 1, None], "n": [1.0, 2.0, 3.0, 4.0]})
ENGINES = {"polars": lambda f: f, "arrow": lambda f: f.to_arrow()}


@pytest.fixture(params=ENGINES)
def engine(request):
    return ENGINES[request.param]


def counted(source, *, nulls="mar", by=(), **options):
    given = {"weight": "n", "selected": "NOT (X = 1 AND Y = 0)"} | options
    return count_study(Study(source, **given), ["X", "Y"], name="clinic", by=by, nulls=nulls)


@pytest.mark.parametrize("nulls", ["mar", "drop", "error"])
def test_a_row_without_values_stands_for_dropped_records_whatever_becomes_of_nulls(engine, nulls):
    table = counted(engine(FRAME), nulls=nulls)
    assert table.frame.rows() == [(None, None, 4.0), ("0", "0", 1.0), ("0", "1", 2.0), ("1", "1", 3.0)]
    assert table.rule.text == "NOT (X = 1 AND Y = 0)"


def test_kept_records_may_lack_values(engine):
    frame = engine(pl.concat([FRAME, pl.DataFrame({"X": [0], "Y": [None], "n": [5.0]}, schema=FRAME.schema)]))
    assert (("0", None, 5.0) in counted(frame).frame.rows(), counted(frame, nulls="drop").frame.height) == (True, 4)
    with pytest.raises(NullValue, match=r"'clinic' has NULL in Y in 1 record;"):
        counted(frame, nulls="error")


@pytest.mark.parametrize("frame", [FRAME[:3], FRAME.with_columns(n=pl.Series([1.0, 2.0, 3.0, 0.0]))])
def test_the_number_of_dropped_records_must_be_known(engine, frame):
    with pytest.raises(
        StudyError, match=r"no dropped records, so P\(selected\) is unknown; give the number of dropped"
    ):
        counted(engine(frame))


def test_a_study_that_dropped_everything_is_empty(engine):
    with pytest.raises(EmptyStudy, match="study 'clinic' is empty: all its records were dropped"):
        counted(engine(FRAME[3:]))


TRIAL = pl.DataFrame({"X": [0, 0, 1, 1], "Y": [1, None, 1, None], "n": [1, 2, 3, 0], "region": ["a", "a", "b", "b"]})


def test_what_was_set_by_design_is_known_of_dropped_records_too(engine):
    assert counted(engine(TRIAL), do="X").frame.rows() == [("0", None, 2.0), ("0", "1", 1.0), ("1", "1", 3.0)]
    with pytest.raises(NullValue, match="set by design; say what it was set to, also where records were dropped"):
        counted(engine(FRAME), do="X")


SITES = TRIAL.with_columns(X=pl.Series([0, None, 1, None]))


@pytest.mark.parametrize(
    ("frame", "options", "place"),
    [
        (TRIAL, {"do": "X"}, "X = 1"),
        (SITES, {"by": ["region"]}, "region = b"),
        (TRIAL, {"do": "X", "by": ["region"]}, "X = 1, region = b"),
    ],
)
def test_the_number_of_dropped_records_must_be_known_in_every_arm_and_segment(engine, frame, options, place):
    with pytest.raises(StudyError, match=rf"does not say how many records were dropped where {place};.*it may be 0"):
        counted(engine(frame[:3]), **options)
    assert counted(engine(frame), **options).frame.height == 3


def test_without_weights_a_segment_may_have_no_dropped_record(engine):
    assert counted(engine(SITES[:3]), weight=None, by=["region"]).frame.height == 3


# -- the selector ----------------------------------------------------------------------------------

MODEL = Model.parse("X -> Y; X <-> Y; X {0, 1}; Y {0, 1, 2}")
RULE = read_rule("X = 0 OR Y > 0", MODEL.variables, "clinic")


def counts(codes, name="clinic", do=()):
    return StudyCounts(name, MODEL.variables, do, np.array(codes, np.int32), np.ones((1, len(codes))))


def test_the_selector_is_a_deterministic_child_of_the_rules_variables():
    model, (clinic, other), names = add_selectors(
        MODEL, [counts([[0, 0], [1, 2], [-1, -1], [1, -1]]), counts([[1, 0]], "other")], {"clinic": RULE}
    )
    assert names == {"clinic": "selection of clinic"}
    assert model.variables == ("X", "Y", "selection of clinic")
    assert model.parents["selection of clinic"] == ("X", "Y")
    assert model.causes["selection of clinic"] == ()
    assert model.table("selection of clinic").tolist() == [[1, 1, 1], [0, 1, 1]]
    assert clinic.codes.tolist() == [[-1, -1, 0], [0, 0, 1], [1, -1, 1], [1, 2, 1]]
    assert other.codes.tolist() == [[1, 0, -1]]


def test_without_rules_nothing_changes():
    model, studies, names = add_selectors(MODEL, [counts([[0, 0]])], {})
    assert (model, names) == (MODEL, {})
    assert studies[0].codes.tolist() == [[0, 0]]


def test_the_selectors_name_avoids_those_of_the_model():
    odd = Model.parse('X -> "Selection of clinic"; X {0, 1}; "Selection of clinic" {0, 1}')
    study = StudyCounts("clinic", odd.variables, (), np.array([[0, 0], [-1, -1]]), np.ones((1, 2)))
    assert add_selectors(odd, [study], {"clinic": read_rule("X = 0", odd.variables, "clinic")})[2] == {
        "clinic": "selection of clinic'"
    }


@pytest.mark.parametrize("codes", [[1, 0], [1, -1]])
def test_a_kept_record_that_breaks_the_rule_is_refused(codes):
    rule = read_rule("X = 0", MODEL.variables, "clinic")
    with pytest.raises(StudyError, match=r"study 'clinic' kept 1 record with X=1, which selected='X = 0' rules out"):
        add_selectors(MODEL, [counts([codes, [-1, -1]])], {"clinic": rule})


def test_what_was_not_recorded_may_have_satisfied_the_rule():
    add_selectors(MODEL, [counts([[1, -1], [-1, 0], [-1, -1]])], {"clinic": RULE})


def test_in_a_trial_a_record_is_dropped_that_has_only_what_was_set():
    assert is_dropped(counts([[0, 0], [1, -1]], do=("X",))).tolist() == [False, True]
    assert is_dropped(counts([[0, 0], [1, -1]])).tolist() == [False, False]


@given(st.integers(0, 2**6 - 1))
def test_a_rule_written_from_a_table_evaluates_to_that_table(bits):
    table = np.array([bits >> i & 1 for i in range(6)], bool).reshape(2, 3)
    cells = [f"(X = {x} AND Y = {y})" for x, y in np.argwhere(table)]
    if len(cells) in (0, 6):
        return
    rule = read_rule(" OR ".join(cells), MODEL.variables, "clinic")
    assert (evaluate_rule(rule, MODEL.states, "clinic") == table).all()
