"""The network of a model as Graphviz text: filled nodes are measured variables, dashed ones unmeasured causes.

A variable that the model calls unmeasured is solid and empty. Arcs go from parents to children; those out of causes are
dashed too. An intervention do(X) takes away every arc into X (the mutilated model; Pearl 2009, §1.3.1) and frames X
twice.

A quoted string of Graphviz ends at the next ``"`` and keeps all that is in it, only ``\\"`` becomes ``"``; a label then
reads ``\\n`` as a line break, ``\\`` and a letter as an escape, and ``&name;`` as an HTML entity. So the node of a
variable is its name with these signs escaped, by which different names stay different, and every statement is a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from duckemcc.errors import GraphError, TooLarge
from duckemcc.model.check import check_known
from duckemcc.model.states import show_names

if TYPE_CHECKING:
    from duckemcc.model.scm import Endogenous, Model

LONGEST_TEXT = 20_000_000
"""Characters of the names in arcs at most."""
MOST_STATES = 8
"""States of a variable that its label lists; the others are counted."""

_STYLE = ('node [shape=ellipse, fontname="Helvetica"]', "edge [arrowsize=0.7]")
_FILLED = ', style=filled, fillcolor="#dce9f5"'
_IN_NAME = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\0": "\\0"})
_IN_LABEL = str.maketrans(
    {chr(c): chr(0x2400 + c) for c in range(32)}  # control characters as their pictures
    | {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": " ", "&": "&amp;"}
)


def write_dot(model: Model, do: Iterable[str] = ()) -> str:
    """The text of a ``digraph``; see `Model.to_dot`."""
    names = dict.fromkeys([do] if isinstance(do, str) else do)
    check_known("the intervention sets", names, model.parents)
    _check_size(model)
    latent = set(model.unmeasured)
    lines = ["digraph {", *(f"  {style};" for style in _STYLE)]
    for v in model.endogenous:
        look = "" if v.name in latent else _FILLED
        look += ", peripheries=2" if v.name in names else ""
        lines.append(f"  {_name(v.name)} [label={_label(v.name, _states(v))}{look}];")
    causes = [u.name for u in model.exogenous]
    lines += [f"  {_name(u)} [label={_label(u, _size(model, u))}, style=dashed];" for u in causes]
    kept = [v for v in model.variables if v not in names]
    lines += [f"  {_name(p)} -> {_name(v)};" for v in kept for p in model.parents[v]]
    lines += [f"  {_name(u)} -> {_name(v)} [style=dashed];" for v in kept for u in model.causes[v]]
    return "\n".join([*lines, "}"]) + "\n"


def _check_size(model: Model) -> None:
    """Every arc out of a merged cause repeats its name, which is as long as those of all its children together."""
    size = sum(len(u.name) * len(u.children) for u in model.exogenous)
    size += sum(len(p) for above in model.parents.values() for p in above)
    if size > LONGEST_TEXT:
        raise TooLarge(f"the arcs of the network take {size:,} characters; at most {LONGEST_TEXT:,} are written")


def _states(variable: Endogenous) -> str:
    return "" if variable.labels is None else show_names(variable.labels, MOST_STATES)


def _size(model: Model, name: str) -> str:
    """How many states a cause has, or nothing where that is not known."""
    try:
        card = model.card(name)
    except (GraphError, TooLarge):
        return ""
    return f"{card:,} states" if card < 10**9 else f"at least 2^{card.bit_length() - 1} states"


def _name(name: str) -> str:
    return f'"{name.translate(_IN_NAME)}"'


def _label(*rows: str) -> str:
    text = "\n".join(row for row in rows if row)
    return f'"{text.translate(_IN_LABEL)}"'
