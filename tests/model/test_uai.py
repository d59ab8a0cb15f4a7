"""The authors' UAI dialect: read, written, and refused with the line."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from duckemcc.errors import DuckEmccError, GraphError, InvalidEquation, NotSupported, TooLarge
from duckemcc.model.scm import Model
from duckemcc.model.uai import LONGEST_FILE, read_uai, write_uai

BENCHMARKS = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
FILES = sorted(BENCHMARKS.glob("*/*.uai"))
needs_files = pytest.mark.skipif(not FILES, reason="needs ../shared/benchmarks")

# V1 <- U0; V3 <- V1, U2, V4 in this order; V4 <- U2, U5: transposed on reading
TEXT = """CAUSAL
6
2 2 3 2 2 2
6
1 0
2 0 1
1 2
4 1 2 4 3
3 2 5 4
1 5

2 0.25 0.75
2 0 1
3 .5 5E-1 0.0
12 0 1 0 0 1 1 1 0 1 1 0 0
6 0 1 1 0 0 0
2 1 0
"""


def test_variables_are_numbered_and_exogenous_where_they_are_alone_in_their_family():
    model = Model.from_uai(TEXT)
    assert model.variables == ("V1", "V3", "V4")
    assert [(u.name, u.children, u.card) for u in model.exogenous] == [
        ("U0", ("V1",), 2),
        ("U2", ("V3", "V4"), 3),
        ("U5", ("V4",), 2),
    ]
    assert model.parents == {"V1": (), "V3": ("V1", "V4"), "V4": ()}
    assert model.states["V3"] == ("0", "1")


def test_a_table_is_read_with_the_first_parent_slowest_and_transposed_to_the_order_of_the_axes():
    model = Model.from_uai(TEXT)
    listed = np.array([0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0]).reshape(2, 3, 2)  # V1, U2, V4
    for v1, u2, v4 in np.ndindex(2, 3, 2):
        assert model.table("V3")[u2, v1, v4] == listed[v1, u2, v4]
    assert model.table("V4").tolist() == [[0, 1], [1, 0], [0, 0]]


def test_exogenous_parents_listed_against_their_numbers_come_into_the_order_of_the_model():
    text = "CAUSAL\n3\n2 3 2\n3\n1 0\n1 1\n3 1 0 2\n2 .5 .5\n3 .2 .3 .5\n6 0 1 1 1 0 0\n"
    assert Model.from_uai(text).table("V2").tolist() == [[0, 1, 0], [1, 1, 0]]


def test_chances_are_read():
    assert {u: pmf.tolist() for u, pmf in read_uai(TEXT).chances.items()} == {
        "U0": [0.25, 0.75],
        "U2": [0.5, 0.5, 0.0],
        "U5": [1.0, 0.0],
    }


def test_a_path_a_string_and_the_text_give_the_same_model(tmp_path):
    file = tmp_path / "model.uai"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", " \r\n").encode())  # a byte order mark, Windows' line ends
    assert Model.from_uai(file) == Model.from_uai(str(file)) == Model.from_uai(TEXT)
    assert Model.from_uai(" ".join(TEXT.split())) == Model.from_uai(TEXT)


def test_a_table_may_go_on_over_several_lines():
    assert Model.from_uai(TEXT.replace("12 0 1 0", "12\n0 1\n0")) == Model.from_uai(TEXT)


def test_what_is_written_is_read_as_the_same_model_and_the_same_chances():
    model, chances = read_uai(TEXT)
    chances["U2"] = np.array([1 / 3, 1e-300, 2 / 3])
    again, back = read_uai(write_uai(model, chances))
    assert again == model
    assert all(np.array_equal(back[u], chances[u]) for u in chances)


def test_a_model_without_chances_is_written_with_uniform_ones():
    model = Model.from_uai(TEXT)
    assert Model.from_uai(model.to_uai()) == model
    assert read_uai(model.to_uai()).chances["U2"].tolist() == [1 / 3] * 3


def test_names_of_another_form_are_numbered_endogenous_variables_first():
    model = Model.parse("X -> Y; X <-> Y; X {a, b}; Y {no, yes, maybe}")
    read = Model.from_uai(model.to_uai())
    assert (read.variables, read.exogenous[0].name, read.exogenous[0].card) == (("V0", "V1"), "U2", 18)
    assert read.parents["V1"] == ("V0",)
    assert all(np.array_equal(read.table(v), model.table(w)) for v, w in (("V0", "X"), ("V1", "Y")))
    assert Model.from_uai(read.to_uai()) == read


@pytest.mark.parametrize("names", [("V1", "V0", "U2"), ("V0", "V2", "U3"), ("V0", "V01", "U2"), ("U0", "V1", "V2")])
def test_numbers_that_the_file_cannot_keep_are_given_anew(names):
    x, y, u = names
    model = Model.parse(f"{x} -> {y}; {u}: {x}, {y}; {x} {{0, 1}}; {y} {{0, 1}}")
    read = Model.from_uai(model.to_uai())
    assert read.variables == ("V0", "V1")
    assert np.array_equal(read.table("V1"), model.table(y))


def test_a_deterministic_variable_keeps_its_endogenous_parents_alone():
    text = "CAUSAL\n3\n2 2 2\n3\n2 2 0\n2 0 1\n1 2\n2 0 1\n2 1 0\n2 .5 .5\n"
    model = Model.from_uai(text)
    assert model.causes["V1"] == ()
    assert Model.from_uai(model.to_uai()) == model


def test_a_variable_without_any_parent_cannot_be_written():
    spec = {"endogenous": {"X": {"states": [0]}, "Y": {"states": [0, 1]}}, "equations": {"X": {"table": [0]}}}
    with pytest.raises(NotSupported, match="X has no parents"):
        Model.from_dict(spec).to_uai()


@pytest.mark.parametrize("parents", ["abcd", "abcde"])
def test_a_cause_of_astronomic_size_cannot_be_written(parents):
    states = "".join(f"{v} {{0, 1, 2, 3, 4}};" for v in parents)
    model = Model.parse(f"{states} y {{0, 1}}; a <-> y;" + "".join(f"{v} -> y;" for v in parents))
    assert model.card("U_a_y") > 2**100
    with pytest.raises(TooLarge, match="at most 1,048,576 are enumerated"):
        model.to_uai()


def test_states_that_are_not_known_cannot_be_written():
    with pytest.raises(GraphError, match="states of X are not known"):
        Model.parse("X -> Y").to_uai()


# -- malformed files -------------------------------------------------------------------------------


def change(line, text):
    """The good file with a line replaced, or left out."""
    lines = TEXT.split("\n")
    lines[line - 1 : line] = [] if text is None else [text]
    return "\n".join(lines)


MALFORMED = {
    "another kind of network": (1, "BAYES", GraphError, "line 1: .* begins with CAUSAL; found 'BAYES'"),
    "no number of variables": (2, "six", GraphError, "line 2: the number of variables is a whole number.*'six'"),
    "no variables": (2, "0", GraphError, "line 2: the number of variables .* at least 1; found '0'"),
    "a signed number": (2, "+6", GraphError, "line 2: the number of variables"),
    "another script's digits": (2, "٦", GraphError, "line 2: the number of variables"),
    "a number beyond all bounds": (2, "9" * 5000, GraphError, "line 2: the number of variables"),
    "a cardinality of zero": (3, "2 2 0 2 2 2", GraphError, "line 3: the cardinality of variable 2"),
    "a cardinality too few": (3, "2 2 3 2 2", GraphError, "line 5: there are 1 families"),
    "a cardinality too many": (3, "2 2 3 2 2 2 2", GraphError, "line 3: there are 2 families"),
    "families missing": (4, "5", GraphError, "line 4: there are 5 families; it takes one for each of the 6"),
    "a family of nobody": (5, "0", GraphError, "line 5: the size of the family of variable 0"),
    "a family of another": (6, "2 0 3", GraphError, "line 6: the family of variable 1 ends with 3"),
    "an unknown parent": (6, "2 9 1", GraphError, "line 6: the family of variable 1 names 9; variables are 0 to 5"),
    "a negative parent": (6, "2 -1 1", GraphError, "line 6: a member of the family of variable 1"),
    "a parent twice": (8, "4 1 1 4 3", GraphError, "line 8: the family of variable 3 names 1 twice"),
    "its own parent": (8, "4 1 3 4 3", GraphError, "line 8: the family of variable 3 names 3 twice"),
    "a cycle": (6, "3 0 3 1", GraphError, "line (6|8): the graph has a cycle: (V1 -> V3 -> V1|V3 -> V1 -> V3)"),
    "a childless cause": (6, "1 1", GraphError, "line 5: variable 0 is alone .* but no family names it"),
    "a PMF of the wrong length": (
        12,
        "3 .2 .3 .5",
        InvalidEquation,
        "line 12: the PMF of U0 has 3 entries; it takes 2",
    ),
    "a PMF with a word": (12, "2 .5 half", InvalidEquation, "line 12: the PMF of U0 holds numbers; found 'half'"),
    "a PMF with NaN": (12, "2 nan 1", InvalidEquation, "line 12: the PMF of U0 holds numbers; found 'nan'"),
    "a negative chance": (12, "2 -.5 1.5", InvalidEquation, "line 12: the PMF of U0 has the entry -.5"),
    "an infinite chance": (12, "2 1e999 0", InvalidEquation, "line 12: the PMF of U0 has the entry 1e999"),
    "a PMF that falls short": (12, "2 .5 .4", InvalidEquation, r"line 12: .* sums to 0\.9; .*normalise=True"),
    "a PMF of zeros": (12, "2 0 0", InvalidEquation, "line 12: the PMF of U0 is zero throughout"),
    "a table of the wrong length": (15, "6 0 1 0 0 1 1", InvalidEquation, "line 15: .* V3 has 6 entries; it takes 12"),
    "a table with a chance": (
        13,
        "2 .5 .5",
        InvalidEquation,
        "line 13: .* V1 holds states; found '.5'; .* has parents",
    ),
    "a table with a word": (13, "2 0 one", InvalidEquation, "line 13: the table of V1 holds states; found 'one'$"),
    "a state out of range": (13, "2 0 2", InvalidEquation, "line 13: .* V1 has the entry 2; states are 0 to 1"),
    "an equation that misses a state": (13, "2 1 1", InvalidEquation, "line 13: .* not surjective: it never yields 0"),
    "an entry too few": (13, "2 1", InvalidEquation, "line 14: .* V1 has the entry 3.*begins in line 13"),
    "an entry too many": (
        13,
        "2 0 1 1",
        InvalidEquation,
        "line 13: the PMF of U2 has 1 entries; .* the table before it",
    ),
    "an end too early": (17, None, GraphError, "line 16: the file ends where the number of entries of the PMF of U5"),
    "a table cut short": (17, "2 1", GraphError, "line 17: the file ends where the last entry of the PMF of U5"),
    "junk behind": (18, "\nand more", GraphError, "line 19: 'and' comes after the last table"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_with_its_line(case):
    line, text, error, message = MALFORMED[case]
    with pytest.raises(error, match=f"(?s)^{message}"):
        read_uai(change(line, text))


@pytest.mark.parametrize("text", ["\n", "CAUSAL", " \n \n\t", "\0\n\0"])
def test_a_file_of_nothing_is_refused(text):
    with pytest.raises(GraphError, match="line 1: "):
        Model.from_uai(text)


@pytest.mark.parametrize("cut", range(len(TEXT.rstrip())))
def test_a_file_cut_off_anywhere_is_refused_with_a_line(cut):
    with pytest.raises(DuckEmccError, match=r"^line [0-9]+: "):
        read_uai(TEXT[:cut] + "\n")


def test_a_pmf_that_does_not_sum_to_one_is_divided_by_its_sum_on_request():
    text = change(12, "2 .3 .1")
    assert read_uai(text, normalise=True).chances["U0"].tolist() == pytest.approx([0.75, 0.25])
    assert Model.from_uai(text) == Model.from_uai(TEXT)  # the PSCM has no chances to be wrong
    with pytest.raises(InvalidEquation, match="zero throughout"):
        Model.from_uai(change(12, "2 0 0"))


@pytest.mark.parametrize("source", ["", "no/such/file.uai", Path("/"), "nul\0", "x" * 5000])
def test_what_is_no_file_is_refused(source):
    with pytest.raises(GraphError, match="cannot be read as a UAI file"):
        Model.from_uai(source)


def test_a_file_that_never_ends_and_one_that_is_no_text_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GraphError, match="no regular file"):
        Model.from_uai(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphError, match="no text"):
        Model.from_uai(tmp_path / "bytes")
    with pytest.raises(GraphError, match="a path or the text itself; found int"):
        Model.from_uai(3)


HOSTILE = {
    "too long": ("CAUSAL\n" + "1 " * (LONGEST_FILE // 2), GraphError, "at most 20,000,000 characters"),
    "many variables announced": ("CAUSAL\n999999999999999999\n2\n", GraphError, "the file ends"),
    "a huge table announced": (
        "CAUSAL\n2\n2 900000000000\n2\n2 1 0\n1 1\n900000000000 0 1\n",
        TooLarge,
        "^line 5: the equation of V0 has",
    ),
    "a huge PMF announced": (
        "CAUSAL\n2\n2 900000000000\n2\n1 0\n2 0 1\n2 .5 .5\n2 0 1\n",
        InvalidEquation,
        "it never yields 2",
    ),
    "many parents": (
        "CAUSAL\n50001\n"
        + "2 " * 50_001
        + "\n50001\n"
        + "".join(f"1 {i}\n" for i in range(50_000))
        # a table for each of these, then one over all of them
        + "50001 "
        + " ".join(map(str, range(50_001)))
        + "\n"
        + "2 .5 .5\n" * 50_000
        + "2 0 1\n",
        TooLarge,
        "^line 50005: the equation of V50000 has 50,000 arguments",
    ),
    "a long family with one name twice": (
        "CAUSAL\n200001\n"
        + "2 " * 200_001
        + "\n200001\n200002 "
        + " ".join(map(str, range(1, 200_001)))
        + " 200000 0"
        + " " * 10**6,  # else it is too short for so many variables
        GraphError,
        "names 200000 twice",
    ),
    "more variables announced than the file can hold": (
        "CAUSAL\n6000000\n" + "12 " * 6_600_000,
        GraphError,
        "^line 2: 6,000,000 variables are announced, and the file ends long before",
    ),
    "a long cycle": (
        "CAUSAL\n50000\n" + "2 " * 50_000 + "\n50000\n" + "".join(f"2 {(i + 1) % 50_000} {i}\n" for i in range(50_000)),
        GraphError,
        "line [0-9]+: the graph has a cycle: V.* …; remove",
    ),
    "one entry wrong at the end of a long table": (
        "CAUSAL\n2\n2 2000000\n2\n2 1 0\n1 1\n2000000 " + "0 1 " * 999_999 + "0 x\n",
        InvalidEquation,
        "^line 7: the table of V0 holds states; found 'x'$",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_large_hostile_file_ends_in_an_error_soon(case):
    text, error, message = HOSTILE[case]
    begun = time.process_time()
    with pytest.raises(error, match=message) as caught:
        Model.from_uai(text)
    assert time.process_time() - begun < 10  # a second or two here
    assert len(str(caught.value)) < 1_000


# -- the authors' files ----------------------------------------------------------------------------


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_authors_files_are_read_and_written_without_loss(file):
    model, chances = read_uai(file, normalise=True)
    again, back = read_uai(write_uai(model, chances))
    assert again == model == Model.from_uai(model.to_uai()) == Model.from_uai(file)
    assert all(np.array_equal(back[u], pmf) for u, pmf in chances.items())
    header = file.with_suffix(".csv")
    if header.exists():  # its columns are the endogenous variables
        numbers = re.findall(r"\d+", header.read_text().split("\n", 1)[0])
        assert {f"V{i}" for i in numbers} == set(model.variables)


@needs_files
def test_some_of_the_authors_pmfs_do_not_sum_to_one_and_none_is_normalised_silently():
    file = BENCHMARKS / "exact-pns" / "rand13_mk1_maxDist2_nEndo6_k10_5.uai"
    with pytest.raises(InvalidEquation, match=r"line 22: the PMF of U6 sums to 0\.82529; .*normalise=True"):
        read_uai(file)
    assert read_uai(file, normalise=True).chances["U7"].tolist() == pytest.approx([1 / 9] * 9)
