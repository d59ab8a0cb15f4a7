"""A job file is checked whole: every mistake with its line, before any data are read."""

from __future__ import annotations

import re

import pytest

import duckemcc as emcc
from duckemcc.errors import JobError
from duckemcc.serve.job.file import read_job

GOOD = """title = "Did it help?"
queries = ["PNS(X=1, Y=1)"]
by = "region"

[model]
graph = "X -> Y; X <-> Y"

[[studies]]
source = "trial.csv"
do = ["X"]
where = "age > 40"
weight = "n"
columns = {X = "drug"}

[options]
restarts = 7
level = "exact"

[output]
file = "bounds.parquet"
report = "report.html"
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "trial.csv").write_text("not read here\n")
    (tmp_path / "f.csv").mkdir()

    def write(text):
        path = tmp_path / "job.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path, environ=None):
    """The lines and messages of the mistakes."""
    with pytest.raises(JobError) as wrong:
        read_job(path, environ or {})
    found = re.findall(r"^  line (\d+): (.*(?:\n    .*)*)", str(wrong.value), flags=re.MULTILINE)
    assert found, str(wrong.value)
    assert f"{len(found)} mistake" in str(wrong.value)
    return [(int(line), message) for line, message in found]


def test_a_good_job_is_read_as_it_says(write, tmp_path):
    job = read_job(write(GOOD), {})
    assert (job.title, job.queries, job.by) == ("Did it help?", ("PNS(X=1, Y=1)",), ("region",))
    assert job.model == emcc.Model.parse("X -> Y; X <-> Y")
    assert (job.options.restarts, job.options.level, job.options.method) == (7, None, "sharp")
    assert job.entries[0].source == str(tmp_path / "trial.csv")
    assert job.entries[0].options == {"do": ["X"], "where": "age > 40", "weight": "n", "columns": {"X": "drug"}}
    assert (job.target.file, job.report) == (tmp_path / "bounds.parquet", tmp_path / "report.html")


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(write):
    text = (
        GOOD.replace("PNS(X=1", "PNS(Z=1")
        .replace('weight = "n"', 'wieght = "n"')
        .replace("restarts = 7", "restarts = 0")
    )
    found = mistakes(write(text))
    assert [line for line, _ in found] == [2, 12, 16]
    assert "'Z', which the model does not have" in found[0][1]
    assert "Hint: did you mean one of these keys: ['weight']?" in found[1][1]
    assert "restarts is 0; it takes a whole number of at least 1" in found[2][1]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('queries = ["PNS(X=1, Y=1)"]', 'queries = ["P(Y=1"]', 2, "Query, position"),
        ('queries = ["PNS(X=1, Y=1)"]', "queries = []", 2, "there is no query"),
        ('queries = ["PNS(X=1, Y=1)"]', "queries = 3", 2, "queries takes a query or a list of them; found 3"),
        ('queries = ["PNS(X=1, Y=1)"]', 'queries = ["PNS(X=1, X=1)"]', 2, "names X twice"),
        ('by = "region"', "by = [1]", 3, "by takes a name or a list of names"),
        ('by = "region"', 'by = "lower"', 3, "which is a column of the result"),
        ('title = "Did it help?"', "title = 3", 1, "title takes a text that is not empty; found 3"),
        ('graph = "X -> Y; X <-> Y"', 'graph = "X -> "', 6, "expected a variable after '->'"),
        ('graph = "X -> Y; X <-> Y"', "", 5, "[model] takes one of graph, file and name; found none of them"),
        ('graph = "X -> Y; X <-> Y"', 'file = "no.json"', 6, "there is no file"),
        ('graph = "X -> Y; X <-> Y"', 'name = "drug"', 6, "say in which database"),
        ('graph = "X -> Y; X <-> Y"', 'graph = "X -> Y"\nby = "X"', 7, "Write it above the first [section]"),
        ('source = "trial.csv"', 'source = "other.csv"', 9, "no file matches 'other.csv'"),
        ('source = "trial.csv"', 'source = "trial"', 9, "say in which database"),
        ('source = "trial.csv"', 'source = "trial"\ndatabase = "no.duckdb"', 10, "there is no database file"),
        ('source = "trial.csv"', 'source = "trial"\nconnection = "${PG}"', 10, "the environment has no variable PG"),
        ('source = "trial.csv"', "", 8, "a study has a source"),
        ('source = "trial.csv"', "source = 1", 9, "source takes a text that is not empty; found 1"),
        ('do = ["X"]', 'do = ["Z"]', 10, "has do for Z, which is no variable of the model"),
        ('do = ["X"]', "do = 4", 10, "do takes a name or a list of names; found 4"),
        ('do = ["X"]', 'unmeasured = "Q"', 10, "Q, which is no variable of the model"),
        ('do = ["X"]', 'local = ["U_X"]', 10, "has local for U_X"),
        ('do = ["X"]', 'selected = "Z = 1"', 10, "selected= over Z"),
        ('do = ["X"]', 'shared = "yes"', 10, "shared takes true or false; found 'yes'"),
        ('where = "age > 40"', "relation = true", 10, "a relation of several studies has no do; it takes weight"),
        ('where = "age > 40"', "relation = 1", 11, "relation takes true or false; found 1"),
        ('where = "age > 40"', "where = \"read_csv('x') > 1\"", 11, "which is not allowed"),
        ('columns = {X = "drug"}', 'columns = {Z = "drug"}', 13, "has columns for Z"),
        ("restarts = 7", 'method = "sharpest"', 16, "method is 'sharpest'"),
        ("restarts = 7", "restart = 7", 16, "Hint: did you mean one of these options: ['restarts', 'start']?"),
        ("restarts = 7", 'confidence = 0.95\nmethod = "emcc"', 16, "takes a number between 0 and"),
        ('file = "bounds.parquet"', 'file = "bounds.xls"', 20, ".parquet, .csv, .json"),
        ('file = "bounds.parquet"', 'file = "no/bounds.csv"', 20, "there is no folder"),
        ('file = "bounds.parquet"', 'file = "b.csv"\ntable = "b"', 19, "give one of them"),
        ('file = "bounds.parquet"', 'table = "b"', 19, "give one of them"),
        ('report = "report.html"', 'report = "report.txt"', 21, "is written as its name ends, in .html"),
        ('report = "report.html"', 'plot = "x.gif"', 21, "in .png, .svg, .pdf"),
        ('file = "bounds.parquet"', 'file = "f.csv"', 20, "f.csv' is a folder; name a file"),
        ('file = "bounds.parquet"', 'file = "trial.csv"', 19, "would take the place of records that a study reads"),
        ('by = "region"', 'by = "x"', 3, "by names x, which is the variable X of the model"),
        ('by = "region"', 'by = ["a", "A"]', 3, "which are the same name; give it once"),
        ('source = "trial.csv"', 'source = "SELECT 1"', 9, "a SELECT goes with a connection to PostgreSQL"),
        ('source = "trial.csv"', 'source = "t"\nconnection = "mysql://u:pw@h"', 10, "postgresql://…"),
        ('source = "trial.csv"', 'source = "t"\nconnection = "postgres://h"\ndatabase = "d"', 11, "give one of them"),
        ('where = "age > 40"', 'where = "age > 4 AND"', 11, "cannot be read: near 'AND', column 11"),
        ('columns = {X = "drug"}', 'columns = "drug"', 13, 'columns maps variables to column names, {Gender = "sex"}'),
        ('level = "exact"', 'level = "exakt"', 17, "level is 'exakt'; it takes a number from 0 to 1, or \"exact\""),
        ("restarts = 7", "confidence = 1.0", 16, "and method = \"sharp\""),
        ("[options]", "[optionen]", 15, "Hint: did you mean one of these keys: ['options']?"),
        ("[[studies]]", "[studies]", 8, "write [[studies]] above each"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(write, old, new, line, message):
    assert old in GOOD
    found = mistakes(write(GOOD.replace(old, new)))
    assert any(at == line and message in told for at, told in found), found


def test_a_mistake_in_one_option_hides_no_other_and_is_told_once(write):
    options = 'confidence = 1.5\nmethod = "emcc"\nnulls = "none"\nrestarts = 0'
    found = mistakes(write(GOOD.replace("restarts = 7", options)))
    assert [line for line, _ in found] == [16, 18, 19]
    assert "confidence is 1.5; it takes a number from 0 to 1" in found[0][1]


def test_options_that_exclude_each_other_are_told_once_all_are_good_alone(write):
    [(line, told)] = mistakes(write(GOOD.replace("restarts = 7", 'method = "emcc"\nconfidence = 0.95')))
    assert line == 17
    assert 'confidence is 0.95 with method = "emcc"' in told


@pytest.mark.parametrize("source", ['source = "trial.csv"', "", 'source = "none.csv"', "source = 3"])
def test_each_key_of_a_study_is_told_at_its_own_line_whatever_else_is_wrong_in_it(write, source):
    text = GOOD.replace('source = "trial.csv"', source).replace('do = ["X"]', "do = 4")
    text = text.replace('where = "age > 40"', 'where = "age >"').replace('weight = "n"', "weight = 3\nshared = 1")
    found = [(line, told) for line, told in mistakes(write(text)) if line >= 10]
    assert [line for line, _ in found] == [10, 11, 12, 13]
    for (_, told), words in zip(found, ("do takes", "where =", "weight takes", "shared takes"), strict=True):
        assert words in told


def test_what_lacks_a_variable_of_the_environment_is_not_judged_further(write):
    text = GOOD.replace("trial.csv", "${DATA}/trial.csv").replace("bounds.parquet", "${OUT}/bounds.parquet")
    text = text.replace('where = "age > 40"', 'where = "age > ${AGE} AND"')
    text = text.replace("[model]", 'database = "${DB}/d.duckdb"\n[model]')
    found = mistakes(write(text))
    assert [re.sub(".* has no variable (\\w+);.*", r"\1", told) for _, told in found] == ["DB", "DATA", "AGE", "OUT"]


def test_a_secret_that_is_no_address_is_not_told(write):
    text = GOOD.replace('source = "trial.csv"', 'source = "t"\nconnection = "${PG}"')
    [(_, told)] = mistakes(write(text), {"PG": "mysql://u:hunter2@h/db"})
    assert "hunter2" not in told


def test_an_empty_job_tells_all_that_it_lacks(write):
    told = "\n".join(told for _, told in mistakes(write("")))
    for lack in ("one of graph, file and name", "there is no query", "there is no study"):
        assert lack in told


def test_a_job_that_asks_nothing_may_lack_queries_but_not_have_wrong_ones(write):
    path = write(GOOD.replace('queries = ["PNS(X=1, Y=1)"]\n', ""))
    assert read_job(path, {}, asked=False).queries == ()
    with pytest.raises(JobError, match="there is no query"):
        read_job(path, {})
    with pytest.raises(JobError, match="'Z', which the model does not have"):
        read_job(write(GOOD.replace("X=1, Y=1", "X=1, Z=1")), {}, asked=False)


@pytest.mark.parametrize(
    ("graph", "line", "column"),
    [
        ('"""\nX -> Y\nX <-> Y\nX -> -> Y\n"""', 9, 6),
        ('"""X -> Y\nX -> -> Y"""', 7, 6),
        ("'''\n\n  X -> -> Y'''", 8, 8),
        ('"X -> Y; X -> -> Y"', 6, 23),
    ],
)
def test_a_mistake_in_a_graph_is_told_with_its_line_and_column_in_the_job(write, graph, line, column):
    text = GOOD.replace('"X -> Y; X <-> Y"', graph)
    (at, told), *_ = mistakes(write(text))
    assert (at, told.partition(":")[0]) == (line, f"column {column}")
    assert text.splitlines()[line - 1][column - 1 :].startswith("-> Y")


def test_a_graph_that_hides_its_lines_behind_escapes_is_told_with_its_own(write):
    (at, told), *_ = mistakes(write(GOOD.replace('"X -> Y; X <-> Y"', '"X -> Y\\nX -> -> Y"')))
    assert (at, told.partition(":")[0]) == (6, "line 2, column 6")


def test_a_mistake_in_a_model_file_is_told_with_the_file(write, tmp_path):
    (tmp_path / "m.txt").write_text("X -> Y\nX -> -> Y")
    (at, told), *_ = mistakes(write(GOOD.replace('graph = "X -> Y; X <-> Y"', 'file = "m.txt"')))
    assert (at, told.partition(":")[0]) == (6, "m.txt, line 2, column 6")


def test_pictures_are_refused_before_the_work_where_there_is_nothing_to_draw_with(write, monkeypatch):
    from duckemcc.serve.job import file as jobfile

    monkeypatch.setattr(jobfile, "find_spec", lambda _: None)
    [(line, told)] = mistakes(write(GOOD.replace('report = "report.html"', 'plot = "x.svg"')))
    assert line == 21
    assert "pip install 'duckemcc[plot]'" in told


@pytest.mark.parametrize(
    ("text", "advice"),
    [("title = Did it", "a text stands in quotes"), ("a = 1\na = 2", "a key stands once"), ("[a]\n[a]", "[[studies]]")],
)
def test_what_is_no_toml_is_told_with_advice(write, text, advice):
    with pytest.raises(JobError, match=re.escape(advice)):
        read_job(write(text))


def test_two_studies_of_one_name_are_refused(write):
    second = '\n[[studies]]\nsource = "trial.csv"\nname = "a"\n'
    text = GOOD.replace('weight = "n"', 'name = "A"').replace("[options]", f"{second}\n[options]")
    assert any("two studies are called" in told for _, told in mistakes(write(text)))


def test_a_job_without_studies_is_refused(write):
    text = GOOD[: GOOD.index("[[studies]]")]
    assert any("there is no study" in told for _, told in mistakes(write(text)))


def test_the_environment_fills_texts_in(write):
    job = read_job(write(GOOD.replace("Did it help?", "of ${YEAR}")), {"YEAR": "2026"})
    assert job.title == "of 2026"


def test_a_secret_does_not_show_where_a_job_is_printed(write):
    text = GOOD.replace('source = "trial.csv"', 'source = "trial"\nconnection = "${PG}"')
    job = read_job(write(text), {"PG": "postgresql://u:hunter2@h/db"})
    assert job.entries[0].connection == "postgresql://u:hunter2@h/db"
    assert "hunter2" not in repr(job)


def test_what_is_no_toml_is_told_with_its_place(write):
    with pytest.raises(JobError, match=r"job.toml is no TOML: .*line 1"):
        read_job(write("a = = 1"))


def test_a_job_that_is_no_text_is_told(tmp_path):
    (tmp_path / "job.parquet").write_bytes(b"PAR1\x90")
    with pytest.raises(JobError, match="it is no text; a job is a TOML file"):
        read_job(tmp_path / "job.parquet")


def test_a_job_that_is_not_there_is_told(tmp_path):
    with pytest.raises(JobError, match="cannot be read"):
        read_job(tmp_path / "none.toml")


@pytest.mark.parametrize("suffix", [".txt", ".json", ".uai"])
def test_a_model_may_lie_in_a_file(write, tmp_path, suffix):
    import json

    model = emcc.Model.parse("X {0, 1}; Y {0, 1}; X -> Y; X <-> Y")
    text = {".txt": "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y", ".json": json.dumps(model.to_dict()), ".uai": model.to_uai()}
    (tmp_path / f"m{suffix}").write_text(text[suffix])
    names = ("V0", "V1") if suffix == ".uai" else ("X", "Y")
    job = GOOD.replace('graph = "X -> Y; X <-> Y"', f'file = "m{suffix}"').replace(
        "(X=1, Y=1)", f"({names[0]}=1, {names[1]}=1)"
    )
    job = job.replace('do = ["X"]\n', "").replace('columns = {X = "drug"}\n', "")
    assert read_job(write(job), {}).model.variables == names


def test_a_model_file_that_is_no_json_is_told(write, tmp_path):
    (tmp_path / "m.json").write_text("{")
    found = mistakes(write(GOOD.replace('graph = "X -> Y; X <-> Y"', 'file = "m.json"')))
    assert "m.json is no JSON" in found[0][1]
