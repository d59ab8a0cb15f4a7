"""A job file is checked whole: every mistake with its line, before any data are read."""

from __future__ import annotations

import re

import pytest

import duckemcc as emcc
from duckemcc.errors import JobError
from duckemcc.serve.jobfile import read_job

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
        ('do = ["X"]', 'do = ["Z"]', 10, "do= for Z, which is no variable of the model"),
        ('do = ["X"]', "do = 4", 8, "do takes a name or a list of names; found 4"),
        ('do = ["X"]', 'unmeasured = "Q"', 10, "Q, which is no variable of the model"),
        ('do = ["X"]', 'local = ["U_X"]', 10, "local= for U_X"),
        ('do = ["X"]', 'selected = "Z = 1"', 10, "selected= over Z"),
        ('do = ["X"]', 'shared = "yes"', 8, "shared takes True or False"),
        ('where = "age > 40"', "relation = true", 10, "a relation of several studies has no do; it takes weight"),
        ('where = "age > 40"', "relation = 1", 11, "relation takes true or false; found 1"),
        ('where = "age > 40"', "where = \"read_csv('x') > 1\"", 11, "which is not allowed"),
        ('columns = {X = "drug"}', 'columns = {Z = "drug"}', 13, "columns= for Z"),
        ("restarts = 7", 'method = "sharpest"', 16, "method is 'sharpest'"),
        ("restarts = 7", "restart = 7", 16, "Hint: did you mean one of these options: ['restarts', 'start']?"),
        ("restarts = 7", 'confidence = 0.95\nmethod = "emcc"', 16, "takes a number between 0 and"),
        ('file = "bounds.parquet"', 'file = "bounds.xls"', 19, ".parquet, .csv, .json"),
        ('file = "bounds.parquet"', 'file = "no/bounds.csv"', 19, "there is no folder"),
        ('file = "bounds.parquet"', 'file = "b.csv"\ntable = "b"', 19, "give one of them"),
        ('file = "bounds.parquet"', 'table = "b"', 19, "give one of them"),
        ('report = "report.html"', 'report = "report.txt"', 21, "is written as its name ends, in .html"),
        ('report = "report.html"', 'plot = "x.gif"', 21, "in .png, .svg, .pdf"),
        ("[options]", "[optionen]", 15, "Hint: did you mean one of these keys: ['options']?"),
        ("[[studies]]", "[studies]", 8, "write [[studies]] above each"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(write, old, new, line, message):
    assert old in GOOD
    found = mistakes(write(GOOD.replace(old, new)))
    assert any(at == line and message in told for at, told in found), found


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
