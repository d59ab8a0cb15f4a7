"""What no parser takes, and sources that raise, end in a clear error."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc.errors import DuckEmccError, JobError, MissingColumn, SourceError
from duckemcc.serve.job.file import read_job

JOB = 'queries = ["P(Y=1)"]\n[model]\ngraph = "X {0,1}; Y {0,1}; X -> Y"\n[[studies]]\nsource = "t.csv"\n'


def read(folder, text):
    (folder / "t.csv").write_text("X,Y\n0,1\n")
    (folder / "job.toml").write_text(text, encoding="utf-8")
    return read_job(folder / "job.toml", {})


@pytest.mark.parametrize(
    "value",
    [
        "[" * 600 + "]" * 600,
        "{a=" * 3000 + "1" + "}" * 3000,
        "9" * 5000,
        "-" + "9_" * 5000 + "9",
        "1" * 5000 + ".5",
    ],
)
def test_a_value_that_no_parser_takes_is_told_with_its_line(tmp_path, value):
    with pytest.raises(JobError, match="line 7"):
        read(tmp_path, JOB + f"[options]\nrestarts = {value}\n")


@pytest.mark.parametrize("key", [".".join("a" * 600), ".".join(["'a'"] * 600), "[" + ".".join("a" * 6000) + "]\nb"])
def test_a_key_of_too_many_parts_is_told_with_its_line(tmp_path, key):
    with pytest.raises(JobError, match="line 7"):
        read(tmp_path, JOB + f"[options]\n{key} = 1\n")


def test_a_mark_before_the_text_is_no_part_of_it(tmp_path):
    assert read(tmp_path, "\ufeff" + JOB).queries == ("P(Y=1)",)


def test_a_name_that_no_file_has_is_told():
    with pytest.raises(JobError, match="cannot be read"):
        read_job("a\0b")


@pytest.mark.parametrize("number", [60, 600, 2000, 20_000])
@pytest.mark.parametrize(
    ("first", "middle", "last"),
    [
        ("SELECT * FROM ", "(", "t"),
        ("", "(", "SELECT * FROM t"),
        ("SELECT * FROM t WHERE ", "NOT ", "x"),
        ("SELECT ", "- ", "1"),
        ("SELECT ", "CASE WHEN 1=1 THEN ", "1"),
        ("SELECT ", "[", "1"),
    ],
)
def test_a_select_that_is_nested_too_deeply_is_refused_before_it_is_parsed(number, first, middle, last):
    end = {"(": ")", "[": "]", "C": " END"}.get(middle[0], "")
    text = first + middle * number + last + end * number
    with pytest.raises(SourceError, match="neither the name of a table nor one SELECT"):
        emcc.counts_sql("X -> Y", text, dialect="postgres")


def test_a_select_of_many_parts_is_refused():
    with pytest.raises(SourceError, match="UNION"):
        emcc.counts_sql("X -> Y", " UNION ALL ".join(["SELECT * FROM t"] * 2000), dialect="postgres")


def test_a_select_of_usual_depth_is_read():
    text = "SELECT * FROM (SELECT * FROM (SELECT * FROM t WHERE NOT (a = - 1)) a) b"
    assert "emcc_source" in emcc.counts_sql("X -> Y", text, dialect="postgres")


# -- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".", '"', "..", '""', "a.", '"."'])
def test_what_is_no_name_is_told_when_it_is_counted(name):
    for study in (emcc.Study(name), emcc.Study(name, con=duckdb.connect())):
        with pytest.raises(SourceError):
            emcc.bounds("X -> Y", [study], "P(Y=1)")


def test_a_select_with_duckdb_is_told_to_be_a_relation():
    with pytest.raises(SourceError, match="relation"):
        emcc.bounds("X -> Y", [emcc.Study("SELECT 1", con=duckdb.connect())], "P(Y=1)")


class Broken:
    """An Arrow stream of the user's that raises."""

    def __init__(self, error):
        self.error = error

    def __arrow_c_stream__(self, requested_schema=None):
        raise self.error


def fail(frame):
    raise RuntimeError("broke")


def broken_reader():
    def batches():
        yield pa.record_batch({"X": [0], "Y": [1]})
        raise ValueError("broke")

    return pa.RecordBatchReader.from_batches(pa.schema([("X", pa.int64()), ("Y", pa.int64())]), batches())


@pytest.mark.parametrize(
    "make",
    [
        lambda: pl.LazyFrame({"X": [0], "Y": [1]}).map_batches(fail),
        broken_reader,
        *(
            lambda error=error: Broken(error)
            for error in (RuntimeError("broke"), ValueError("broke"), KeyError("broke"))
        ),
    ],
)
@pytest.mark.parametrize("wrap", [emcc.Study, lambda source: source])
def test_a_source_that_raises_is_an_error_of_the_source(make, wrap):
    with pytest.raises(SourceError, match="broke"):
        emcc.bounds("X -> Y", [wrap(make())], "P(Y=1)")


def test_a_database_tells_its_error_whole(tmp_path):
    (tmp_path / "late.csv").write_text("X,Y\n" + "0,1\n" * 40_000 + "NA,1\n")
    with pytest.raises(SourceError, match=r"(?s)column.*\"?X\"?.*NA.*BIGINT") as caught:
        emcc.bounds("X -> Y", [emcc.Study(str(tmp_path / "late.csv"))], "P(Y=1)")
    assert 200 < len(str(caught.value)) < 4_500


@pytest.mark.parametrize("name", ["q" * 200_000, "ab " * 60_000])
def test_no_message_repeats_a_long_name_whole(tmp_path, name):
    with pytest.raises(MissingColumn) as caught:
        emcc.bounds("X -> Y", [emcc.Study(pl.DataFrame({"Q": [1]}), name=name)], "P(Y=1)")
    assert len(str(caught.value)) < 4_500
    for text in (JOB.replace("P(Y", f"P({name}"), JOB.replace("t.csv", name), f"'{name}' = 1\n" + JOB):
        with pytest.raises(DuckEmccError) as caught:
            read(tmp_path, text)
        assert len(str(caught.value)) < 20_000


def test_a_path_longer_than_any_file_systems_is_told_by_its_line(tmp_path):
    for key in ('[model]\nfile = "{}.txt"', '[model]\ngraph = "X -> Y"\n[output]\nfile = "{}.csv"', 'database = "{}"'):
        (tmp_path / "job.toml").write_text('queries = ["P(Y=1)"]\n' + key.format("a" * 5000) + "\n")
        with pytest.raises(JobError, match="line"):
            read_job(tmp_path / "job.toml")
