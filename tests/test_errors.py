"""Errors say in fields what they are about, so no code reads their texts; each way in writes them in its own words."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc import errors
from duckemcc.errors import DuckEmccError, JobError, OptionError, QueryError, given, hiding, literal, placing
from duckemcc.serve.cli.main import cli, main
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.run import run_job

PACKAGE = Path(__file__).resolve().parents[1] / "duckemcc"
CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, DuckEmccError)]
NAMES = ("study", "query", "variable", "option", "file", "line", "column", "remedy")
GRAPH = "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y"


def fields(error):
    return {name: getattr(error, name) for name in NAMES if getattr(error, name) is not None}


# -- nothing reads a message -----------------------------------------------------------------------

BROAD = {"Exception", "BaseException", "ValueError"}
OURS = {c.__name__ for c in CLASSES} | BROAD
READERS = {  # of texts
    "startswith",
    "endswith",
    "partition",
    "rpartition",
    "split",
    "splitlines",
    "find",
    "index",
    "replace",
    "lower",
}


def ours(node):
    """Whether an `except` or an annotation names an error of the package, or of any kind."""
    return node is not None and any(isinstance(n, ast.Name) and n.id in OURS for n in ast.walk(node))


def holders(tree):
    """Each piece of code with the name of an error of ours in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and ours(node.type):
            yield node.name, node
        if isinstance(node, ast.FunctionDef):
            yield from ((a.arg, node) for a in node.args.args if a.annotation is not None and ours(a.annotation))


def texts_of(name, node):
    """What a piece of code calls the text of the error."""
    plain = {f"str({name})", f"repr({name})", f"{name}.args", f"{name}.message", f"{name}.text()", f"{name}.args[0]"}
    for part in ast.walk(node):
        if isinstance(part, ast.Assign) and ast.unparse(part.value) in plain:
            plain |= {ast.unparse(target) for target in part.targets}
    return plain


def breaches(source):
    """Where code looks into a message, or makes a new error from an old one's text, by line."""
    found = []
    for name, node in holders(ast.parse(source)):
        texts = texts_of(name, node)
        for part in ast.walk(node):
            said = [ast.unparse(n) for n in ast.iter_child_nodes(part)]
            reads = isinstance(part, ast.Compare) and any(text in texts for text in said)
            if isinstance(part, ast.Call):
                called = part.func
                reads |= isinstance(called, ast.Attribute) and (
                    (called.attr in READERS and ast.unparse(called.value) in texts)
                    or (ast.unparse(called.value) == "re" and any(ast.unparse(a) in texts for a in part.args))
                )
                reads |= ast.unparse(called) == f"type({name})"
            if isinstance(part, ast.Raise) and isinstance(node, ast.ExceptHandler) and caught_ours(node):
                whole = [ast.unparse(n.value) for n in ast.walk(part) if isinstance(n, ast.FormattedValue)]
                reads |= name in whole or any(text in texts for text in whole)
            if reads:
                found.append(part.lineno)
    return found


def caught_ours(handler):
    """Whether the `except` names a class of ours itself."""
    return any(isinstance(n, ast.Name) and n.id in OURS - BROAD for n in ast.walk(handler.type))


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_no_code_reads_a_message(module):
    if module.parent.name != "errors":
        assert breaches(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "body",
    [
        "if 'relation' in str(e): pass",
        "m = re.match('line', str(e))",
        "text = str(e)\n    if text.startswith('x'): pass",
        "raise type(e)(f'file: {e}')",
        "raise OptionError(f'file: {e}')",
        "if e.args[0] == 'x': pass",
        "line = str(e).partition(':')[0]",
    ],
)
def test_a_reader_of_messages_is_found(body):
    assert breaches(f"try: pass\nexcept DuckEmccError as e:\n    {body}")
    assert breaches(f"try: pass\nexcept KeyError as e:\n    {body}") == [] or "type" in body
    if not body.startswith("raise"):
        assert breaches(f"def f(e: DuckEmccError):\n    {body}")


def test_printing_a_message_is_no_reading():
    assert breaches("try: pass\nexcept DuckEmccError as e:\n    print(f'{e}')\n    raise e.placed(line=1)") == []


# -- every message has one form --------------------------------------------------------------------

RAISED = {c.__name__ for c in CLASSES} | {"_fail", "fail", "_Refused", "Unfit"}


def ends_of(node):
    """The literal texts with which a message begins and ends; a value is one that is as it should be."""
    if isinstance(node, ast.Constant):
        return (node.value, node.value) if isinstance(node.value, str) else ("x", "x")
    if isinstance(node, ast.JoinedStr) and node.values:
        return ends_of(node.values[0])[0], ends_of(node.values[-1])[1]
    if isinstance(node, ast.BinOp):
        return ends_of(node.left)[0], ends_of(node.right)[1]
    return "x", "x"


def malformed(source):
    """The lines of messages and remedies that end with a period, and of messages that begin as a sentence."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in RAISED:
            continue
        remedies = [k.value for k in node.keywords if k.arg == "remedy"]
        ended = any(ends_of(part)[1].endswith(".") for part in (*node.args, *remedies))
        if ended or any(re.match(r"[A-Z][a-z]* ", ends_of(part)[0]) for part in node.args[:1]):
            yield node.lineno


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_messages_and_remedies_have_one_form(module):
    assert list(malformed(module.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "call",
    ["OptionError('it is.')", "OptionError('It is')", "OptionError('x', remedy=f'{y} is.')", "OptionError(f'A {x}')"],
)
def test_a_malformed_message_is_found(call):
    assert list(malformed(call)) == [1]


# -- the error itself ------------------------------------------------------------------------------


def full(kind, secret="s"):
    known = {name: f"{name} {secret}" for name in NAMES if name not in ("line", "column")}
    return kind("study " + given("where", secret), line=3, column=4, **known)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(
    "made", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), lambda e: e.placed()]
)
def test_fields_survive_copies_and_processes(kind, made):
    error = full(kind)
    again = made(error)
    assert type(again) is kind
    assert (str(again), repr(again), vars(again)) == (str(error), repr(error), vars(error))
    assert again.text("toml") == error.text("toml")
    assert 'where = "s"' in again.text("toml")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("inside", [True, False])
def test_no_field_tells_a_secret(kind, inside):
    secret = "open'sesame\"9"
    made_before = full(kind, secret)
    with pytest.raises(kind) as caught, hiding({secret: "${S}"}):
        raise full(kind, secret) if inside else made_before
    wrong = caught.value
    told = [repr(v) for v in vars(wrong).values()] + [wrong.text(s) for s in ("python", "sql", "toml")]
    told += [repr(part) for text in (wrong.message, wrong.remedy) for part in getattr(text, "parts", ())]
    assert not [text for text in told if "sesame" in text]
    assert wrong.study == "study ${S}"
    assert wrong.text("toml").count('where = "${S}"') == 1  # options stay options
    assert wrong.line == 3


def test_a_secret_in_a_job_is_in_no_mistake():
    mistake = OptionError("near opensesame", study="opensesame", remedy="not opensesame")
    with pytest.raises(JobError) as caught, hiding({"opensesame": "${S}"}):
        raise JobError("one: near opensesame", [mistake], file="opensesame.toml")
    assert "opensesame" not in repr([vars(e) for e in (caught.value, *caught.value.mistakes)])


def test_a_remedy_is_a_clause_or_a_sentence():
    assert str(OptionError("seed is -1", remedy="it takes more")) == "seed is -1; it takes more"
    assert str(OptionError("seed is -1", remedy="Take more")) == "seed is -1. Take more."
    assert str(OptionError("seed is -1", remedy=" Hint: 1?")) == "seed is -1. Hint: 1?"
    assert OptionError("seed is -1", remedy="").remedy is None


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="no field 'lines'"):
        OptionError("x", lines=3)


def test_who_knows_more_adds_it_and_who_knew_first_stays():
    cause = KeyError("k")
    with pytest.raises(OptionError) as caught, placing(study="outer", query="P(Y=1)"), placing("before", study="inner"):
        raise OptionError("wrong", line=2, column=5) from cause
    wrong = caught.value
    assert fields(wrong) == {"study": "inner", "query": "P(Y=1)", "line": 2, "column": 5}
    assert str(wrong) == "before: line 2, column 5: wrong"
    assert wrong.__cause__ is cause


def test_a_line_of_an_outer_file_is_around_the_inner_one():
    inner = OptionError("wrong", line=2, column=5).placed(file="m.txt")
    assert str(inner) == "m.txt, line 2, column 5: wrong"
    outer = inner.placed(file="job.toml", line=9)
    assert str(outer) == "job.toml, line 9: m.txt, line 2, column 5: wrong"
    assert fields(outer) == {"file": "job.toml", "line": 9}
    named = OptionError("wrong").placed("the study").placed(file="job.toml", line=9)
    assert str(named) == "job.toml, line 9: the study: wrong"


@pytest.mark.parametrize(
    ("words", "python", "sql", "toml"),
    [
        (given("columns", {"A b": "…"}), "columns={'A b': '…'}", None, 'columns = {"A b" = "…"}'),
        (given("unmeasured", ["A", "B"]), "unmeasured=['A', 'B']", None, 'unmeasured = ["A", "B"]'),
        (given("shared", True), "shared=True", None, "shared = true"),
        (given("where", "a = 'x'"), "where=\"a = 'x'\"", None, "where = \"a = 'x'\""),
        (given("nulls", "drop"), "nulls='drop'", "nulls := 'drop'", 'nulls = "drop"'),
        (given("population", "it's"), 'population="it\'s"', "population := 'it''s'", 'population = "it\'s"'),
        (given("level", None), "level=None", "level := NULL", 'level = "exact"'),
        (given("max_seconds", 30.0), "max_seconds=30", "max_seconds := 30", "max_seconds = 30"),
        (given("accelerate", False), "accelerate=False", "accelerate := false", "accelerate = false"),
        (given("where", ...), "where=…", None, 'where = "…"'),
        (given("columns", ...), "columns=…", None, "columns = {…}"),
        (literal(True), "True", "true", "true"),
        (literal({"Gender": "sex"}), "{'Gender': 'sex'}", None, '{Gender = "sex"}'),
    ],
)  # fmt: skip
def test_an_option_is_written_in_the_language_of_its_reader(words, python, sql, toml):
    error = OptionError("say " + words + ".", remedy="or " + words)
    assert str(error) == error.text("python") == f"say {python}.; or {python}"
    assert error.text("sql") == f"say {sql or python}.; or {sql or python}"
    assert error.text("toml") == f"say {toml}.; or {toml}"
    assert str(error.placed(spelling="toml")) == error.text("toml")


# -- through every way in --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [4, 3, 2, 5]}).write_csv("t.csv")
    pl.DataFrame({"X": [0, 0, 1, 1], "Y": [0, None, 0, 1], "n": [4, 3, 2, 5]}).write_csv("holes.csv")
    pl.DataFrame({"X": [0, 2], "Y": [0, 1], "n": [-1, 1]}).write_csv("odd.csv")
    return tmp_path


WHOLE, MAP = "it takes a whole number of at least 1", "Map it with columns=…, or declare the state"
PYTHON = [  # the class, the question, its options, fields of the error
    ("GraphError", ("X -> ", "t.csv", "P(Y=1)"), {}, {"line": 1, "column": 6}),
    ("RepeatedName", ("X -> Y; X {0}; X {0}", "t.csv", "P(Y=1)"), {}, {"variable": "X", "line": 1, "column": 16}),
    ("AmbiguousEquation", ("X -> Y; U: X, Y; V: X, Y", "t.csv", "P(Y=1)"), {}, {"variable": "X"}),
    ("UnknownName", (GRAPH, "t.csv", "P(Z=1)"), {}, {"variable": "Z", "query": "P(Z=1)"}),
    ("QueryError", (GRAPH, "t.csv", "P(Y=1"), {}, {"query": "P(Y=1", "column": 6}),
    ("QueryError", (GRAPH, "t.csv", "P(Y=7)"), {}, {"query": "P(Y=7)", "variable": "Y"}),
    ("OptionError", (GRAPH, "t.csv", "P(Y=1)"), {"restarts": 0}, {"option": "restarts", "remedy": WHOLE}),
    ("OptionError", (GRAPH, "t.csv", "P(Y=1)"), {"where": "X >"}, {"study": "t", "option": "where"}),
    ("OptionError", (GRAPH, "t.csv", "P(Y=1)"), {"by": "X"}, {"study": "t", "option": "by", "variable": "X"}),
    ("UnknownModel", ("drug", "t.csv", "P(Y=1)"), {}, {}),
    ("MissingColumn", (GRAPH + "; Z -> Y", "t.csv", "P(Y=1)"), {}, {"study": "t", "variable": "Z"}),
    ("SourceError", (GRAPH, "no.csv", "P(Y=1)"), {}, {"study": "no"}),
    ("EmptyStudy", (GRAPH, "t.csv", "P(Y=1)"), {"where": "X > 9"}, {"study": "t", "option": "where"}),
    ("NullValue", (GRAPH, "holes.csv", "P(Y=1)"), {"nulls": "error"}, {"study": "holes", "variable": "Y"}),
    ("InvalidWeight", (GRAPH, "odd.csv", "P(Y=1)"), {"weight": "n"}, {"study": "odd", "option": "weight"}),
    ("UnknownState", (GRAPH, "odd.csv", "P(Y=1)"), {}, {"study": "odd", "variable": "X", "remedy": MAP}),
    ("StudyError", (GRAPH, "t.csv", "P(Y=1)"), {"selected": "Y = 1"}, {"study": "t"}),
]  # fmt: skip
OF_STUDY = ("where", "weight", "selected", "do", "columns")


def split_options(options):
    return {k: v for k, v in options.items() if k in OF_STUDY}, {k: v for k, v in options.items() if k not in OF_STUDY}


@pytest.mark.parametrize(("kind", "asked", "options", "expected"), PYTHON)
def test_python_raises_with_fields(folder, kind, asked, options, expected):
    graph, source, query = asked
    own, others = split_options(options)
    with pytest.raises(DuckEmccError) as caught:
        emcc.bounds(graph, emcc.Study(source, **own), query, **others)
    assert type(caught.value).__name__ == kind
    found = fields(caught.value)
    assert {name: found.get(name) for name in expected} == expected, found


def job_of(asked, options):
    """The job of the same question, and the lines of its study, query and options."""
    graph, source, query = asked
    own, others = split_options(options)
    by = others.pop("by", None)
    lines = [
        f'queries = ["{query}"]',
        *([f'by = "{by}"'] if by else []),
        "[model]",
        f'graph = "{graph}"',
        "[[studies]]",
        f'source = "{source}"',
    ]
    lines += [f"{k} = {v!r}" for k, v in own.items()] + ["[options]"] + [f"{k} = {v!r}" for k, v in others.items()]
    return "\n".join(lines) + "\n"


JOBS = [case for case in PYTHON if case[0] not in ("UnknownModel", "AmbiguousEquation")]


@pytest.mark.parametrize(("kind", "asked", "options", "expected"), JOBS)
def test_a_job_and_the_command_raise_with_fields_and_the_line_of_the_file(
    folder, capsys, monkeypatch, kind, asked, options, expected
):
    text = job_of(asked, options)
    Path("job.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DuckEmccError) as caught:
        run_job(read_job("job.toml", {}))
    wrong = caught.value
    if isinstance(wrong, JobError):
        assert wrong.file == "job.toml"
        [wrong] = wrong.mistakes
        if kind == "OptionError":
            assert wrong.option == next(iter(options))
    assert type(wrong).__name__ == kind or (kind == "SourceError" and "no file matches" in str(wrong))
    assert wrong.file == "job.toml"
    found = fields(wrong)
    expected = {k: v for k, v in expected.items() if k not in ("line", "column", "remedy", "option")}
    if kind != "SourceError" and "by" not in options:
        assert {name: found.get(name) for name in expected} == expected, found
    line = text.split("\n")[wrong.line - 1]
    about = asked[2] if "query" in expected else asked[0] if kind in ("GraphError", "RepeatedName") else None
    assert about is None or about in line, line
    if wrong.column is not None:
        assert 1 <= wrong.column <= len(line)
    monkeypatch.setattr("sys.argv", ["duckemcc", "run", "job.toml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert str(caught.value) in capsys.readouterr().err


def test_the_command_line_prints_no_python(folder):
    Path("job.toml").write_text(job_of((GRAPH, "holes.csv", "P(Y=1)"), {"nulls": "error"}), encoding="utf-8")
    told = str(CliRunner().invoke(cli, ["run", "job.toml"]).exception)
    assert told.startswith("job.toml, line 5: study 'holes' has NULL in Y")
    assert 'nulls = "mar"' in told
    assert 'where = "Y IS NOT NULL"' in told


SQL = [
    case
    for case in PYTHON
    if not set(case[2]) & {"where", "selected", "by"} and case[0] not in ("SourceError", "UnknownModel")
]


@pytest.mark.parametrize(("kind", "asked", "options", "expected"), SQL)
def test_sql_prints_the_class_and_the_remedy(folder, kind, asked, options, expected):
    graph, source, query = asked
    con = duckdb.connect()
    emcc.register(con)
    named = "".join(f", {k} := {v!r}" for k, v in options.items())
    with pytest.raises(duckdb.Error) as caught:
        con.sql(f"FROM emcc_bounds($${graph}$$, $${query}$$, '{source}'{named})").fetchall()
    told = str(caught.value)
    assert f"{kind}: " in told
    assert expected.get("remedy", "") in told
    assert "nulls=" not in told
    con.close()


def test_a_job_lists_each_mistake_as_an_error(folder):
    text = job_of((GRAPH, "t.csv", "P(Z=1)"), {"restarts": 0, "weight": 3})
    Path("job.toml").write_text(text, encoding="utf-8")
    with pytest.raises(JobError) as caught:
        read_job("job.toml", {})
    found = [(wrong.line, wrong.option, wrong.query, wrong.variable) for wrong in caught.value.mistakes]
    assert found == [(1, None, "P(Z=1)", "Z"), (6, "weight", None, None), (8, "restarts", None, None)]
    again = pickle.loads(pickle.dumps(caught.value))
    assert [fields(wrong) for wrong in again.mistakes] == [fields(wrong) for wrong in caught.value.mistakes]


@pytest.mark.parametrize(
    "queries",
    [
        '["P(Y=1 vs 0)"]',
        '["P(Y=1)", "P(Y=1 vs 0)"]',
        "[\"- P(Y=1 vs 0) + P(Y=1)\", 'P(Y=1 vs 0)']",
        '["P(Y=1)",\n  "P(Y=1 vs 0)"]',
        '["""\nP(Y=1)\n + P(Y=1 vs 0)"""]',
        '"P(Y=1 vs 0)"',
    ],
)
def test_a_mistake_in_a_query_is_told_with_its_place_in_the_job(folder, queries):
    text = job_of((GRAPH, "t.csv", "?"), {}).replace('["?"]', queries)
    Path("job.toml").write_text(text, encoding="utf-8")
    with pytest.raises(JobError) as caught:
        read_job("job.toml", {})
    wrong = caught.value.mistakes[-1]
    assert isinstance(wrong, QueryError)
    assert text.split("\n")[wrong.line - 1][wrong.column - 1 :].startswith("vs 0)")
    assert f"line {wrong.line}: column {wrong.column}: Query, position" in str(caught.value)


def test_a_place_that_escapes_hide_is_not_guessed(folder):
    text = job_of((GRAPH, "t.csv", "P(Y=\\u0031 vs 0)"), {})
    Path("job.toml").write_text(text, encoding="utf-8")
    with pytest.raises(JobError) as caught:
        read_job("job.toml", {})
    [wrong] = caught.value.mistakes
    assert (wrong.line, wrong.column, wrong.query) == (1, None, "P(Y=1 vs 0)")
