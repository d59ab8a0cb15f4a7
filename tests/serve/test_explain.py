"""What a model means and costs, told before it is asked."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

import duckemcc as emcc
from duckemcc.answer.explain import explain_model, explain_query
from duckemcc.errors import OptionError
from duckemcc.serve.cli.main import cli

BOW = "X {0, 1}; Y {0, 1}; X -> Y; X <-> Y"


def invoke(*words):
    return CliRunner().invoke(cli, ["explain", *map(str, words)])


def test_the_size_of_a_cause_is_told_where_states_are_declared_and_left_open_elsewhere():
    assert explain_model(emcc.Model.parse(BOW))["causes"][0]["states"] == 2 * 2**2
    assert explain_model(emcc.Model.parse("X -> Y; X <-> Y"))["causes"][0]["states"] is None


def test_a_component_multiplies_the_states_of_its_causes():
    spec = {
        "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U": {"children": ["X", "Y"], "card": 2}, "W": {"children": ["Y"], "card": 3}},
        "equations": {"X": {"table": [0, 1]}, "Y": {"table": [[[0, 1]] * 3, [[1, 0]] * 3]}},
    }
    told = explain_model(emcc.Model.from_dict(spec))
    assert [c["joint_states"] for c in told["components"]] == [6]


def test_merged_arcs_are_told():
    told = explain_model(emcc.Model.parse("X <-> Y <-> Z"))
    assert "X, Y, Z meet and are one cause U_X_Y_Z" in told["merged"][0]
    assert explain_model(emcc.Model.parse("X <-> Y"))["merged"] == []


@pytest.mark.parametrize(
    ("graph", "text", "ends"),
    [
        (BOW, "PNS(X=1, Y=1)", "one linear program each"),
        (BOW + "; Y -> Z; Z {0, 1}", "PNS(X=1, Z=1)", "corners"),
    ],
)
def test_a_query_tells_how_its_ends_are_found(graph, text, ends):
    assert ends in explain_query(emcc.Model.parse(graph), text)["ends"]


WIDE = "G -> T; G -> S; T -> S; T <-> S; G {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; T {0, 1}; S {0, 1}"


def test_a_cause_that_is_not_listed_is_told_by_its_pieces():
    model = emcc.Model.parse(WIDE)
    assert explain_model(model)["causes"][0]["bits"] == 30
    told = explain_query(model, "PNS(T=1, S=1)")
    own = {"cause": "U_T_S", "pieces": 10, "largest": 4, "cliques": 10, "largest_clique": 4}  # S[T=1] and S[T=0] each
    assert own in told["pieces"]
    assert told["causes"] == ["U_G", "U_T_S"] or told["causes"] == ["U_T_S", "U_G"]
    assert "multiplies pieces" in told["ends"]


def test_what_cannot_be_asked_of_a_cause_that_is_not_listed_is_told_by_name():
    levels = ", ".join(map(str, range(14)))
    graph = f"T -> M -> S; T <-> S; T {{0, 1}}; S {{0, 1}}; M {{{levels}}}"
    asked = ", ".join(f"S[M={m}]=1" for m in range(14))
    told = explain_query(emcc.Model.parse(graph), f"P(T=1, {asked})")
    assert re.search(r"not found: 15 potential outcomes of .*Coarsen", told["ends"])


def test_a_job_with_many_levels_tells_its_pieces_and_their_sizes(tmp_path):
    rows = [(g, t, s) for g in range(10) for t in (0, 1) for s in (0, 1)]
    (tmp_path / "d.csv").write_text("G,T,S\n" + "\n".join(",".join(map(str, r)) for r in rows))
    (tmp_path / "job.toml").write_text(
        f'queries = ["PNS(T=1, S=1)"]\n[model]\ngraph = "{WIDE}"\n[[studies]]\nname = "r"\nsource = "d.csv"\n'
        '[output]\nfile = "b.parquet"\n'
    )
    told = json.loads(invoke(tmp_path / "job.toml", "--json").output)
    assert {"cause": "U_T_S", "pieces": 10, "largest": 8, "cliques": 10, "largest_clique": 8} in told["pieces"]
    shown = invoke(tmp_path / "job.toml").output
    assert "about 2^30" in " ".join(shown.split()) or "1,073,741,824" in shown
    assert "too large to be listed" in shown


def test_a_named_query_is_written_out():
    told = explain_query(emcc.Model.parse(BOW), "ETT(X=1, Y=1)")
    assert told["is"] == "P(Y[X=1]=1 | X=1) - P(Y[X=0]=1 | X=1)"
    assert told["causes"] == ["U_X_Y"]


def test_the_command_shows_all_of_it():
    done = invoke(BOW, "-q", "PNS(X=1, Y=1)")
    assert done.exit_code == 0
    for word in ("U_X_Y", "8", "is       P(Y[X=1]=1, Y[X=0]!=1)", "its ends one linear program each: proven"):
        assert word in done.output
    assert json.loads(invoke(BOW, "--json").output)["variables"][1]["parents"] == ["X"]


def test_every_column_has_a_name_and_something_to_say():
    heads = re.findall(r"┏[━┳]+┓\n┃(.*)┃\n", invoke(BOW).output)
    assert heads
    assert all(name.strip() for head in heads for name in head.split("┃"))
    assert "measured" not in heads[0]
    assert "measured" in invoke(BOW + "; unmeasured Y").output


def test_a_query_needs_the_states():
    done = invoke("X -> Y", "-q", "P(Y=1)")
    assert isinstance(done.exception, OptionError)
    assert "the states of X are not known; declare them: X {0, 1}, or explain a job" in str(done.exception)


@pytest.mark.parametrize("suffix", [".txt", ".json", ".uai"])
def test_a_file_of_a_model_is_explained(tmp_path, suffix):
    model = emcc.Model.parse(BOW)
    text = {".txt": BOW, ".json": json.dumps(model.to_dict()), ".uai": model.to_uai()}[suffix]
    (tmp_path / f"m{suffix}").write_text(text)
    told = json.loads(invoke(tmp_path / f"m{suffix}", "--json").output)
    assert [u["states"] for u in told["causes"]] == [8]


@pytest.mark.parametrize("what", ["job.tml", "none.txt", "drug"])
def test_what_is_neither_a_file_nor_graph_text_is_told(what):
    assert f"there is no file {what!r}; explain takes a job (.toml)" in str(invoke(what).exception)


def test_a_job_shows_its_counts_and_the_work(tmp_path):
    (tmp_path / "x.csv").write_text("X,Y\n0,0\n0,1\n1,1\n")
    (tmp_path / "job.toml").write_text(
        'queries = ["P(Y=1)"]\n[model]\ngraph = "X -> Y; X <-> Y"\n[[studies]]\nsource = "x.csv"\n'
    )
    told = json.loads(invoke(tmp_path / "job.toml", "--json").output)
    assert told["studies"] == [{"study": "x", "do": [], "records": 3.0, "patterns": 3}]
    assert told["groups"][0]["patterns"] == 3
    assert told["operations_per_em_step"] == 30 * sum(g["patterns"] * g["classes"] for g in told["groups"])
    assert "What is learned together" in invoke(tmp_path / "job.toml").output
