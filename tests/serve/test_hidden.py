"""What came from the environment, and passwords in any spelling, are told by nothing that leaves the program."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors
from duckemcc.errors import DuckEmccError, JobError, SourceError, hiding, masked
from duckemcc.serve.cli.main import cli
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.output import hidden
from duckemcc.serve.job.run import check_job, run_job
from duckemcc.study.count.connection import connected, passwords

SECRET = "s3cr3t'Q9 \"zz\\w"
JOB = """title = {title}
queries = [{query}]
by = [{by}]
[model]
graph = {graph}
[[studies]]
source = {source}
name = {name}
where = {where}
do = [{do}]
weight = {weight}
columns = {{X = {column}}}
{more}
[options]
{options}
[output]
file = {file}
report = {report}
"""
GOOD = {
    "title": '"T"',
    "query": '"P(Y=1)"',
    "by": '"g"',
    "graph": '"X {0, 1}; Y {0, 1}; X -> Y"',
    "source": '"t.csv"',
    "name": '"one"',
    "where": '"n > 0"',
    "do": '"X"',
    "weight": '"n"',
    "column": '"x"',
    "more": "",
    "options": "method = 'emcc'\nrestarts = 1",
    "file": '"b.csv"',
    "report": '"r.html"',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"x": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "g": ["a"] * 4, "n": [4, 3, 2, 5]}).write_csv("t.csv")
    return tmp_path


def written(folder, **parts):
    path = folder / "job.toml"
    path.write_text(JOB.format(**(GOOD | parts)), encoding="utf-8")
    return path


def chain(error):
    """The error and all that it came from."""
    left, found = [error], []
    while left:
        one = left.pop()
        if one is not None and one not in found:
            found.append(one)
            left += [one.__cause__, one.__context__]
    return found


def said(error):
    """All that could be printed of an error."""
    texts = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(texts)


FIELDS = [
    *((key, f'"{mark}"') for key in GOOD if key not in ("more", "options") for mark in ("${S}", "a${S}b")),
    ("query", '"P(Y=${S})"'),
    ("where", '"x = ${S}"'),
    ("where", '"${S} > 1"'),
    ("where", "\"lower(x) = '${S}'\""),
    ("graph", '"X -> ${S}; Y"'),
    ("source", '"${S}.csv"'),
    ("source", '"${S}.parquet"'),
    ("more", 'connection = "${S}"'),
    ("more", 'connection = "postgresql://u:${S}@127.0.0.1:1/d"'),
    ("more", 'database = "${S}"'),
    ("more", 'selected = "${S}"'),
    ("more", 'selected = "Y = ${S}"'),
    ("more", 'unmeasured = "${S}"'),
    ("more", 'local = ["${S}"]'),
    ("more", 'relation = "${S}"'),
    ("more", 'shared = "${S}"'),
    ("options", 'method = "${S}"'),
    ("options", 'nulls = "${S}"'),
    ("options", 'max_seconds = "${S}"'),
    ("file", '"${S}.csv"'),
    ("report", '"${S}.html"'),
]


COMMANDS = [["run"], ["run", "--json"], ["check"], ["counts"], ["counts", "--sql", "postgres"], ["explain"]]


@contextmanager
def keeping(told):
    """Keeps all that could be printed of an error, if there is one."""
    try:
        yield
    except (DuckEmccError, SystemExit) as error:
        told.append(said(error))


OTHERS = ("Hunter2-x", "opensesame", "hu7ter2", "1 OR pw=9")
FILLED = [(SECRET, *field) for field in FIELDS]
FILLED += [(secret, *field) for i, secret in enumerate(OTHERS) for field in FIELDS[i :: len(OTHERS)]]


@pytest.mark.parametrize(("secret", "key", "value"), FILLED)
def test_a_value_of_the_environment_is_told_by_nothing(folder, monkeypatch, capsys, secret, key, value):
    path = written(folder, **{key: value})
    known = {p.name for p in folder.iterdir()}
    told = []
    for do in (run_job, check_job):
        with keeping(told):
            job = read_job(path, {"S": secret})
            told.append(repr(job))
            table = do(job)
            told.append(repr(getattr(table, "table", table).to_pylist()))
    monkeypatch.setenv("S", secret)
    for words in COMMANDS:
        with keeping(told):
            cli([*words, str(path)], standalone_mode=False)
        out = capsys.readouterr()
        told.append((out.out + out.err).replace("\n", ""))
    told += [new.read_text(encoding="utf-8") for new in folder.iterdir() if new.name not in known]
    assert not [text for text in told if secret in text or repr(secret)[1:-1] in text]


CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, DuckEmccError)]


@pytest.mark.parametrize("kind", [*CLASSES, RuntimeError, OSError, KeyError])
def test_every_class_of_errors_is_masked_with_what_it_came_from(kind):
    def fail():
        try:
            raise ValueError(SECRET)
        except ValueError as cause:
            cause.add_note(SECRET)
            raise kind(f"near {SECRET!r}") from cause

    with pytest.raises(Exception) as caught, hiding({SECRET: "${S}"}):  # noqa: PT011 — of each class
        fail()
    assert SECRET not in said(caught.value)
    assert repr(SECRET)[1:-1] not in said(caught.value)
    assert "${S}" in str(caught.value)


def test_an_os_error_keeps_its_kind_and_loses_the_name_of_the_file():
    path = Path("/nowhere") / ("open" + "sesame") / "x"
    with pytest.raises(FileNotFoundError) as caught, hiding({"opensesame": "${S}"}):
        path.read_text(encoding="utf-8")
    assert "opensesame" not in said(caught.value)


@pytest.mark.parametrize("value", ["", "1", "ab", " "])
def test_a_trivial_value_leaves_messages_as_they_are(folder, value):
    path = written(folder, title='"a ${S} b"', query='"P(Z=1)"')
    with pytest.raises(DuckEmccError, match="the model does not have") as caught:
        read_job(path, {"S": value})
    assert "${S}" not in str(caught.value)


def test_a_short_value_is_hidden_as_a_word_and_not_within_words():
    with hiding({"the": "${S}"}):
        assert masked("the other theme is 'the'") == "${S} other theme is '${S}'"


def test_what_is_shown_instead_is_not_masked_again():
    with hiding({"DATABASE": "${DATABASE_URL}"}):
        assert masked(masked("at DATABASE")) == "at ${DATABASE_URL}"


def test_nothing_is_hidden_afterwards():
    with hiding({"opensesame": "${S}"}):
        pass
    assert str(SourceError("opensesame")) == "opensesame"


def test_a_secret_in_a_cut_text_is_hidden_before_it_is_cut():
    with hiding({"x" * 600: "${S}"}):
        assert str(SourceError(f"near {'x' * 600}.")) == "near ${S}."


def test_segments_keep_their_values_and_text_of_the_job_is_hidden():
    table = pl.DataFrame({"region": ["northern"], "query": ["P(Y=northern)"]}).to_arrow()
    with hiding({"northern": "${S}"}):
        assert hidden(table, ["region"]).to_pylist() == [{"region": "northern", "query": "P(Y=${S})"}]


# -- passwords -----------------------------------------------------------------------------------

ADDRESSES = [
    ("postgresql://u:pa@ss9word@h/d", "pa@ss9word"),
    ("postgresql://u:pa:ss9word@h/d", "pa:ss9word"),
    ("postgresql://u:pa/ss9word@h/d", "pa/ss9word"),
    ("postgresql://u:pa?ss9word#x@h/d", "pa?ss9word#x"),
    ("postgresql://u:pa%40ss9word@h/d", "pa@ss9word"),
    ("postgresql://u:pa%40ss9word@h/d", "pa%40ss9word"),
    ("postgresql://h/d?password=ss9word&x=1", "ss9word"),
    ("postgresql://h/d?user=u&password=ss9;word", "ss9;word"),
    ("postgresql://h/d?sslpassword=ss9word", "ss9word"),
    ("host=h password=ss9word dbname=d", "ss9word"),
    ("host=h password = 'ss9 wo\\'rd' dbname=d", "ss9 wo'rd"),
    ('host=h PASSWORD="ss9 word"', "ss9 word"),
    ("https://u:ss9word@h/t.parquet", "ss9word"),
    ("host=h password='ss9 word", "ss9 word"),
]


@pytest.mark.parametrize(("address", "password"), ADDRESSES)
def test_the_password_of_a_connection_is_found_however_it_is_written(address, password):
    assert password in passwords(address)


PLACES = ("connection", "output", "source", "where", "query", "graph")
WRITTEN = [(*address, "connection") for address in ADDRESSES]
WRITTEN += [(*address, place) for i, place in enumerate(PLACES[1:]) for address in ADDRESSES[i :: len(PLACES) - 1]]


@pytest.mark.parametrize(("address", "password", "key"), WRITTEN)
def test_a_password_in_a_job_is_told_by_nothing(folder, address, password, key):
    text = '"' + address.replace("\\", "\\\\").replace('"', '\\"') + '"'
    parts = {"more": f"connection = {text}"} if key == "connection" else {key: text}
    if key == "output":
        parts = {"file": f'"b.csv"\nconnection = {text}\ntable = "t"'}
    with pytest.raises(DuckEmccError) as caught:
        run_job(read_job(written(folder, **parts), {}))
    assert password not in said(caught.value)


@pytest.mark.parametrize(("address", "password"), ADDRESSES)
def test_a_driver_that_quotes_a_password_is_masked(monkeypatch, address, password):
    def fail(place, what):
        try:
            raise RuntimeError(f"could not translate host name: {place} or {password!r}")
        except RuntimeError as error:
            raise SourceError(f"{what}: {error}") from error

    monkeypatch.setattr("duckemcc.study.count.connection._connect", fail)
    with pytest.raises(SourceError) as caught, connected(address, "study 'a'"):
        pass
    assert password not in said(caught.value)
    assert repr(password)[1:-1] not in said(caught.value)


def test_a_study_with_an_address_does_not_show_it():
    assert "ss9word" not in repr(emcc.Study("t", con="postgresql://u:ss9word@h/d"))


def test_a_mistake_in_a_filled_text_of_many_lines_is_still_a_mistake_of_the_job(folder):
    graph = '"""\nX {0, 1}; Y {0, 1}\nX -> Y; ${S}X <-> ;; Y\n"""'
    environ = {"S": "s3cr3t-pa55"}
    with pytest.raises(JobError) as caught:
        read_job(written(folder, graph=graph), environ)
    assert environ["S"] not in said(caught.value)
