"""The network as Graphviz text: what is drawn comes back from a reader of its own, whatever the names are."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.errors import TooLarge, UnknownName
from duckemcc.model.scm import Model

DRUG = """
    Gender -> Treatment -> Survival
    Gender -> Survival
    Treatment <-> Survival
    Gender {female, male}; Treatment {none, drug}; Survival {dead, survived}
"""
ODD = [
    'say "hi"',
    "back\\",
    'both\\"',
    "two\nlines",
    "&lt;",
    "<b>",
    "Größe 変数 🎲",
    "a -> b; {c}",
    "\\N",
    "tab\tnul\0",
]
QUOTED = r'"((?:[^"\\]|\\.)*)"'
ARC = re.compile(rf"  {QUOTED} -> {QUOTED}( \[style=dashed\])?;")
NODE = re.compile(rf"  {QUOTED} \[label={QUOTED}(.*)\];")


def read_name(text):
    signs = {"n": "\n", "0": "\0"}
    return re.sub(r"\\(.)", lambda found: signs.get(found[1], found[1]), text)


def read_label(text):
    """The rows of a label without escapes."""
    return text.split("\\n")


def read_dot(text):
    """Nodes with their label and attributes, and arcs with whether they are dashed."""
    first, *lines, last = text.removesuffix("\n").split("\n")
    assert (first, last) == ("digraph {", "}")
    nodes, arcs = {}, {}
    for line in lines[2:]:
        if arc := ARC.fullmatch(line):
            arcs[read_name(arc[1]), read_name(arc[2])] = arc[3] is not None
        else:
            node = NODE.fullmatch(line)
            nodes[read_name(node[1])] = (node[2], node[3])
    return nodes, arcs


def arcs_of(model, do=()):
    inner = {(p, v): False for v in model.variables for p in model.parents[v] if v not in do}
    return inner | {(u, v): True for v in model.variables for u in model.causes[v] if v not in do}


def chain(names, states=(0, 1)):
    """names[0] → names[1] → …, each with a cause of its own that is named after it."""
    endogenous = {n: {"states": list(states), "parents": names[max(i - 1, 0) : i]} for i, n in enumerate(names)}
    return Model.from_dict({"endogenous": endogenous, "exogenous": {f"U {n}": {"children": [n]} for n in names}})


def test_measured_variables_are_filled_and_causes_are_dashed():
    nodes, arcs = read_dot(Model.parse(DRUG).to_dot())
    assert {n for n, (_, look) in nodes.items() if "style=filled" in look} == {"Gender", "Treatment", "Survival"}
    assert {n for n, (_, look) in nodes.items() if "style=dashed" in look} == {"U_Gender", "U_Treatment_Survival"}
    assert arcs == {
        ("Gender", "Treatment"): False,
        ("Gender", "Survival"): False,
        ("Treatment", "Survival"): False,
        ("U_Gender", "Gender"): True,
        ("U_Treatment_Survival", "Treatment"): True,
        ("U_Treatment_Survival", "Survival"): True,
    }


def test_an_unmeasured_variable_is_solid_and_empty():
    nodes, _ = read_dot(Model.parse(DRUG + "; unmeasured Gender").to_dot(do="Gender"))
    assert nodes["Gender"][1] == ", peripheries=2"
    assert "style=filled" in nodes["Treatment"][1]


def test_labels_tell_the_states():
    nodes, _ = read_dot(Model.parse(DRUG).to_dot())
    assert read_label(nodes["Treatment"][0]) == ["Treatment", "none, drug"]
    assert read_label(nodes["U_Treatment_Survival"][0]) == ["U_Treatment_Survival", "64 states"]


def test_many_states_are_counted_and_unknown_ones_left_out():
    nodes, _ = read_dot(Model.parse("X -> Y; X {" + ", ".join(f"s{i}" for i in range(40)) + "}").to_dot())
    assert read_label(nodes["X"][0])[1] == "s0, s1, s2, s3, s4, s5, s6, s7 and 32 more"
    assert (nodes["Y"][0], nodes["U_Y"][0]) == ("Y", "U_Y")


@pytest.mark.parametrize(("parents", "size"), [(6, r"at least 2\^64 states"), (20, "")])
def test_a_cause_that_is_too_large_to_enumerate_is_drawn_all_the_same(parents, size):
    arcs = [f"P{i} -> Y; P{i} {{0, 1}}" for i in range(parents)]
    nodes, drawn = read_dot(Model.parse("; ".join([*arcs, "Y {0, 1}"])).to_dot())
    assert ("U_Y", "Y") in drawn
    assert re.fullmatch(rf"U_Y(\\n{size})?", nodes["U_Y"][0])
    assert bool(size) == ("states" in nodes["U_Y"][0])


@pytest.mark.parametrize("do", [[], ["Treatment"], ["Treatment", "Survival"], "Treatment"])
def test_an_intervention_takes_away_the_arcs_into_what_it_sets(do):
    model = Model.parse(DRUG)
    nodes, arcs = read_dot(model.to_dot(do=do))
    names = [do] if isinstance(do, str) else do
    assert arcs == arcs_of(model, names)
    assert [v for v in model.variables if "peripheries=2" in nodes[v][1]] == names


def test_a_drawing_that_nobody_could_open_is_refused():
    model = Model.parse("<->".join(f"a{i}" for i in range(20_000)))  # each arc repeats the name of all
    with pytest.raises(TooLarge, match="characters; at most 20,000,000 are written"):
        model.to_dot()


def test_an_intervention_on_what_is_no_variable_is_refused():
    with pytest.raises(UnknownName, match=r"the intervention sets treatment, which is no endogenous.*'Treatment'"):
        Model.parse(DRUG).to_dot(do=["treatment"])


def test_labels_show_odd_names_as_they_are():
    nodes, _ = read_dot(chain(ODD).to_dot())
    shown = [r"say \"hi\"", r"back\\", r"both\\\"", r"two\nlines", "&amp;lt;", "<b>"]
    assert [nodes[name][0].removesuffix(r"\n0, 1") for name in ODD[:6]] == shown


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stay_inside_their_quotes(name):
    model = chain([name, "Y"], states=("no", name))
    nodes, arcs = read_dot(model.to_dot())
    assert list(nodes) == [name, "Y", f"U {name}", "U Y"]
    assert arcs == arcs_of(model)
    assert "\0" not in model.to_dot()


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"\n\r\0&;<>nN'), min_size=1, max_size=8)


@given(st.lists(TEXT, min_size=1, max_size=5, unique_by=str.casefold))
def test_every_network_comes_back_from_its_text(names):
    model = chain([f"V {n}" for n in names])
    nodes, arcs = read_dot(model.to_dot())
    assert list(nodes) == [*model.variables, *(u.name for u in model.exogenous)]
    assert arcs == arcs_of(model)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot of Graphviz")
def test_graphviz_draws_it_with_the_names_as_they_are():
    plain = [n for n in ODD if "\n" not in n and "\0" not in n]
    text = chain(plain).to_dot()
    done = subprocess.run(["dot", "-Tplain"], input=text, capture_output=True, encoding="utf-8", check=True)
    assert len(re.findall(r"^node ", done.stdout, flags=re.MULTILINE)) == 2 * len(plain)
    assert len(re.findall(r"^edge ", done.stdout, flags=re.MULTILINE)) == 2 * len(plain) - 1
