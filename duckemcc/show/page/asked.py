"""What was asked: the model with its graph, and the studies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from duckemcc.answer.schema import STUDY_COLUMNS
from duckemcc.errors import GraphError, TooLarge
from duckemcc.model.scm import Model
from duckemcc.model.states import show_names
from duckemcc.query.syntax import print_name
from duckemcc.show.page.tags import Html, draw_inline, join, tag
from duckemcc.show.plot.network import draw_graph
from duckemcc.show.plot.segments import read_segments
from duckemcc.study.study import Study, name_studies

if TYPE_CHECKING:
    import pyarrow as pa

    from duckemcc.study.table import CountTable

LARGEST_GRAPH = 60
"""Variables of a graph that is drawn; a larger one is text alone."""


def show_model(model: Model) -> Html:
    """The graph as a picture and as text."""
    arcs = list_arcs(model)
    said = f"The causal graph: {show_names(arcs or list(model.variables), 40)}"
    picture = None
    if len(model.variables) <= LARGEST_GRAPH:
        caption = "Arrows are direct causes, a dashed arc an unmeasured cause in common."
        picture = tag("figure", draw_inline(draw_graph(model), said), tag("figcaption", caption))
    lines = [*arcs, *_list_states(model), *(f"assume P({event}) = 0" for event in model.assumptions)]
    text = tag("pre", join(*_lines(lines)), tabindex=0)
    return tag(
        "section",
        tag("h3", "The model"),
        picture,
        tag("details", tag("summary", "The model as text"), text),
        tag("p", _list_assumptions(model), class_="quiet"),
    )


def list_arcs(model: Model) -> list[str]:
    """The graph text of the arcs, and of the causes of several variables."""
    arcs = [f"{print_name(p)} -> {print_name(v)}" for v, parents in model.parents.items() for p in parents]
    for u in model.exogenous:
        children = list(map(print_name, u.children))
        if len(children) == 2:
            arcs.append(" <-> ".join(children))
        elif len(children) > 2:
            arcs.append(f"{print_name(u.name)}: {', '.join(children)}")
    return arcs


def _list_states(model: Model) -> list[str]:
    return [f"{print_name(v)} {{{show_names(states)}}}" for v, states in model.states.items() if states is not None]


def _list_assumptions(model: Model) -> str:
    """What is taken for granted beyond the graph, in words."""
    told = [f"{len(model.variables):,} variables"]
    if model.unmeasured:
        told.append(f"unmeasured: {show_names(model.unmeasured)}")
    if model.equations:
        told.append(f"with an equation of its own: {show_names(list(model.equations))}")
    if sizes := _list_sizes(model):
        told.append(f"states of the unmeasured causes: {sizes}")
    told.append("each variable has an unmeasured cause of its own, unless it shares one")
    return "; ".join(told) + "."


def _list_sizes(model: Model) -> str:
    try:
        return show_names([f"{u.name} {model.card(u.name):,}" for u in model.exogenous])
    except (GraphError, TooLarge):  # states that only the data tell, or too many to write down
        return ""


def _lines(lines: Iterable[str]) -> Iterable[Html]:
    return (join(line, Html("\n")) for line in lines)


# -- studies ---------------------------------------------------------------------------------------


def show_studies(
    studies: Sequence[Study], by: Sequence[str], compatibility: pa.Table | None, counts: Sequence[CountTable]
) -> Html:
    """A row for each study: what was set in it, its records, and how it differs from a plain one."""
    names = name_studies(studies)
    sizes = _size_counts(counts, by) if counts else _count_records(names, studies, compatibility)
    head = tag("tr", (tag("th", name, scope="col") for name in ("study", "set by design", "records", "notes")))
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", show_names(study.do) if study.do else "nothing: observational", data_label="set by design"),
            tag("td", sizes.get(name, "not counted"), class_="number", data_label="records"),
            tag("td", "; ".join(_describe(study)) or "–", data_label="notes"),
        )
        for name, study in zip(names, studies, strict=True)
    ]
    return tag(
        "section", tag("h3", "The studies"), tag("table", tag("thead", head), tag("tbody", rows), class_="stack")
    )


def _describe(study: Study) -> list[str]:
    """The options of a study; not its source, which may hold a password."""
    notes = [
        ("records weighted by", study.weight),
        ("only where", study.where),
        ("kept if", study.selected),
        ("unmeasured:", show_names(study.unmeasured)),
        ("causes of its own:", show_names(study.local)),
        ("columns:", show_names([f"{v} is {c}" for v, c in study.columns.items()])),
    ]
    told = [f"{words} {value}" for words, value in notes if value]
    return [*told, "counts in every segment"] if study.shared else told


def _size_counts(counts: Sequence[CountTable], by: Sequence[str]) -> dict[str, str]:
    """Records and distinct patterns of each study that was counted."""
    found = {}
    for table in counts:
        apart = [] if table.shared else list(by)
        patterns = table.frame.group_by(apart).len()["len"].to_list() if apart else [table.frame.height]
        found[table.name] = _show_size(float(table.frame["count"].sum()), patterns)
    return found


def _count_records(names: Sequence[str], studies: Sequence[Study], compatibility: pa.Table | None) -> dict[str, str]:
    """The same from the arms of each study, in the report on compatibility."""
    if compatibility is None:
        return {}
    segments = read_segments(compatibility, [n for n in compatibility.column_names if n not in STUDY_COLUMNS])
    arms, n, patterns = (compatibility[name].to_pylist() for name in ("study", "n", "patterns"))
    owner = {arm: [name for name in names if _is_arm(arm, name)] for arm in set(arms)}
    by_study: dict[str, dict[Any, tuple[float, int]]] = {}
    for segment, arm, records, distinct in zip(segments, arms, n, patterns, strict=True):
        for name in owner[arm]:
            own = by_study.setdefault(name, {})
            before = own.get(segment, (0.0, 0))
            own[segment] = before[0] + records, before[1] + distinct
    found = {}
    for name, study in zip(names, studies, strict=True):
        if sums := list(by_study.get(name, {}).values()):
            records = max(r for r, _ in sums) if study.shared else sum(r for r, _ in sums)
            found[name] = _show_size(records, [k for _, k in sums])
    return found


def _show_size(records: float, patterns: Sequence[int]) -> str:
    more = " at most in a segment" if len(patterns) > 1 else ""
    return f"{records:,.10g}, {max(patterns):,} patterns{more}"


def _is_arm(arm: str | None, study: str) -> bool:
    return arm is not None and (arm == study or arm.startswith(f"{study}["))
