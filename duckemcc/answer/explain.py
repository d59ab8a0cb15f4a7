"""What a question will cost, and what can be proven of it, before it is asked: the graph, its components, their sizes.

Without studies this needs no data; sizes are then known as far as the graph declares states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2, prod
from typing import Any

from duckemcc.answer.plan import Plan
from duckemcc.bound.terms import Terms
from duckemcc.errors import GraphError, TooLarge
from duckemcc.learn.likelihood import Likelihood, compile_likelihood
from duckemcc.learn.patterns import read_all
from duckemcc.learn.pieces.split import Piece, Split, is_wide
from duckemcc.learn.segments import sort_segments
from duckemcc.model.responses import Responses
from duckemcc.model.scm import Component, Exogenous, Model
from duckemcc.query.assume import restrict
from duckemcc.query.event import Compiled
from duckemcc.query.language import query
from duckemcc.query.named import Combination, expand
from duckemcc.query.syntax import Probability, Query, Term


def explain_model(model: Model) -> dict[str, Any]:
    """The variables, causes and components of a graph, fit for JSON; a size is None where states are not known yet."""
    model = restrict(model, pieces=True) if all(model.states.values()) else model
    return {
        "variables": [_variable(model, name) for name in model.variables],
        "causes": [_cause(model, u) for u in model.exogenous],
        "components": [_component(model, c) for c in model.components()],
        "assumptions": list(model.assumptions),
        "merged": [_told_merged(u) for u in model.exogenous if u.arcs],
    }


def explain_query(model: Model, text: str) -> dict[str, Any]:
    """What a query asks for, on which causes its value depends, and how its ends are found; states must be known."""
    model = restrict(model, pieces=True)
    states = {v: labels or () for v, labels in model.states.items()}
    asked = query(text)
    written = expand(asked, states, model.parents)
    terms = [Term(c, Probability(event, written.given)) for c, event in written.terms]
    terms += [Term(written.constant, None)] if written.constant else []
    told = {"query": text, "is": str(Query(tuple(terms)))}
    if is_wide(model):
        return told | _explain_pieces(model, asked, written)
    causes = [f[0] for f in Compiled(asked, model).factors]
    return told | {"causes": causes, "ends": _ends(model, causes)}


def _explain_pieces(model: Model, asked: Query, written: Combination) -> dict[str, Any]:
    """The same where causes are too large for a list: what the query alone reads of them."""
    responses = Responses(model)
    try:
        split = Split(responses, read_all(responses, (), [written]), {u.name: u.name for u in model.exogenous})
    except TooLarge as large:
        return {"causes": [u.name for u in model.exogenous], "pieces": [], "ends": f"not found: {large}"}
    terms = Terms(asked, model, split)
    found = [split.distributions[name] for (name,) in terms.factors]
    if len(found) <= 1:
        ends = "one linear program each: proven"
    elif not terms.meets(set(terms.factors)):
        ends = f"a linear program for each of {len(found):,} pieces, added up: proven"
    else:
        ends = (
            "the query multiplies pieces: a linear program for each, added up, and proven, where the records settle "
            "all but one of those that meet; else linear programs at corners, proven unless these are too many"
        )
    return {"causes": list(terms.causes), "pieces": _pieces(found), "ends": ends}


def _pieces(found: Iterable[Piece]) -> list[dict[str, Any]]:
    """For each cause how many pieces it has, and the size of the largest: states of a list, or entries of a tree's
    cliques."""
    told: dict[str, dict[str, Any]] = {}
    for piece in found:
        own = told.setdefault(
            piece.cause, {"cause": piece.cause, "pieces": 0, "largest": 0, "cliques": 0, "largest_clique": 0}
        )
        cliques = [len(piece.states)] if piece.tree is None else [len(values) for values in piece.tree.values]
        own["pieces"] += 1
        own["largest"] = max(own["largest"], piece.size)
        own["cliques"] += len(cliques)
        own["largest_clique"] = max(own["largest_clique"], *cliques)
    return list(told.values())


def explain_plan(plan: Plan) -> dict[str, Any]:
    """The studies as counted, and the likelihood that will be learned from: its groups and the work of a step."""
    restarts = plan.options.restarts
    kinds = sort_segments(plan.arms)
    likelihood = compile_likelihood(plan.learned_model, kinds[0].arms, plan.asked, plan.pieces)
    groups = _groups(likelihood)
    step = restarts * sum(g["patterns"] * g["classes"] for g in groups)
    return {
        "segments": plan.segment_count,
        "studies": [
            {"study": s.name, "do": list(s.do), "records": float(s.count.sum()), "patterns": len(s.codes)}
            for s in plan.encoded.studies
        ],
        "groups": groups,
        "pieces": [] if likelihood.split is None else _pieces(likelihood.split.distributions.values()),
        "restarts": restarts,
        "operations_per_em_step": step,
        "megabytes": round(8e-6 * sum(g["patterns"] * g["classes"] for g in groups), 3),
    }


def _variable(model: Model, name: str) -> dict[str, Any]:
    states = model.states[name]
    return {
        "name": name,
        "states": None if states is None else list(states),
        "parents": list(model.parents[name]),
        "measured": name not in model.unmeasured,
    }


def _cause(model: Model, cause: Exogenous) -> dict[str, Any]:
    return {
        "name": cause.name,
        "children": list(cause.children),
        "canonical": cause.card is None,
        "states": _card(model, cause.name),
        "bits": _bits(model, cause),
    }


def _component(model: Model, component: Component) -> dict[str, Any]:
    cards = [_card(model, u) for u in component.exogenous]
    return {
        "variables": list(component.endogenous),
        "causes": list(component.exogenous),
        "joint_states": prod(c for c in cards if c is not None) if None not in cards else None,
    }


def _card(model: Model, cause: str) -> int | None:
    try:
        return model.card(cause)
    except (GraphError, TooLarge):  # states not known yet; a size that has no number
        return None


def _bits(model: Model, cause: Exogenous) -> float | None:
    """The binary logarithm of the number of states, which has a number if this has none."""
    if cause.card is not None:
        return round(log2(cause.card), 6)
    try:
        return round(sum(relation.bits for relation in model.relations(cause)), 6)
    except GraphError:  # states not known yet
        return None


def _told_merged(cause: Exogenous) -> str:
    return (
        f"the <-> arcs of {', '.join(cause.children)} meet and are one cause {cause.name}: that they are independent "
        "of each other is not assumed, by the bounds and by the test of compatibility alike. To keep them apart, name "
        "each: 'U: A, B' and 'W: B, C' (B then needs an equation)"
    )


def _ends(model: Model, causes: Sequence[str]) -> str:
    """How sharp bounds are found, and whether they can be proven."""
    tied = [c for c in model.components() if len(c.exogenous) > 1 and not set(causes).isdisjoint(c.exogenous)]
    if tied:
        names = "; ".join(", ".join(c.exogenous) for c in tied)
        return f"climbed from restarts, with a proven outer bound: causes share a component ({names})"
    if len(causes) <= 1:
        return "one linear program each: proven"
    return "linear programs at corners of what each cause can do: proven unless these are too many"


def _groups(likelihood: Likelihood) -> list[dict[str, Any]]:
    return [
        {
            "causes": list(g.names),
            "patterns": sum(len(b.yields) for b in g.blocks),
            "classes": max(b.yields.shape[1] for b in g.blocks),
            "concave": g.concave,
        }
        for g in likelihood.groups
    ]
