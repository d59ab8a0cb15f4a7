"""V ⊥ U | Z: the independences of measured variables that a graph implies and no likelihood under the graph can test.

The saturated distribution (Eq. 2) takes V to be independent of all earlier variables given its context w_V
(`network.py`). A distribution is one of the graph iff it has these independences, and causes can make the kernel of
each component. `compatibility.py` tests the kernels by a gap between log-likelihoods; these claims are all that is
left. Of each V there is one for every earlier U outside w_V, and the joint one, V ⊥ (all of these) | w_V, without which
V = U xor T would pass.

The condition of a pair is w_V cut down as far as V and U stay d-separated: fewer strata, more power.
Source: the ordered local Markov property (Richardson 2003); d-separation by moral graphs (Lauritzen et al. 1990).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.verdict.network import find_parts
from duckemcc.model.scm import Model
from duckemcc.model.ticking import ticking


class Claim(NamedTuple):
    """variable ⊥ rest | given. rest: an earlier variable, or several together."""

    variable: str
    rest: tuple[str, ...]
    given: tuple[str, ...]

    @property
    def scope(self) -> tuple[str, ...]:
        return (*self.given, *self.rest, self.variable)

    @property
    def is_pair(self) -> bool:
        return len(self.rest) == 1


class _Network(NamedTuple):
    """Measured variables and causes, the arcs into what is set taken away. up: the parents of each; fixed: what all
    records have the same value of, which every condition holds."""

    up: dict[str, tuple[str, ...]]
    fixed: tuple[str, ...]


def find_claims(model: Model, arm: StudyCounts, selector: str | None = None) -> tuple[Claim, ...]:
    """The claims on what an arm's records have a value of, and what is not set by design.

    selector: the variable that says which records a rule kept. All that are looked at were kept, so only what is
    independent given that it says so is claimed.
    """
    never = frozenset(v for v, column in zip(arm.variables, arm.codes.T, strict=True) if (column < 0).all())
    return _find_claims(model, arm.do, never, selector)


@lru_cache(maxsize=256)
def _find_claims(model: Model, do: tuple[str, ...], never: frozenset[str], selector: str | None) -> tuple[Claim, ...]:
    with ticking(lambda _: None):  # a call that finds the claims known looks at the clock as often as the first
        return tuple(dict.fromkeys(_list_claims(model, do, never, selector)))


def _list_claims(model: Model, do: tuple[str, ...], never: frozenset[str], selector: str | None) -> Iterator[Claim]:
    fixed = do if selector is None else (*do, selector)
    network = _Network({u.name: () for u in model.exogenous} | _parents_of(model, do), fixed)
    measured = [v for v in model.order if v not in never and v not in fixed]
    for v, part in find_parts(model, do, never):
        if v == selector:
            continue
        earlier = [u for u in measured[: measured.index(v)] if u not in part.scope]
        given = tuple(w for w in part.scope if w != v and w not in fixed)
        pairs = [u for u in earlier if _separates(network, v, [u], given)]  # all, but for a selector
        cut = [Claim(v, (u,), _shrink(model, network, v, u, given)) for u in pairs]
        yield from cut
        if len(pairs) > 1 or any(pair.given != given for pair in cut):
            yield Claim(v, tuple(pairs), given)


def _parents_of(model: Model, do: Collection[str]) -> dict[str, tuple[str, ...]]:
    return {v: () if v in do else (*model.parents[v], *model.causes[v]) for v in model.variables}


def _separates(network: _Network, v: str, rest: Collection[str], given: Collection[str]) -> bool:
    """Whether `given` and what is fixed d-separate v from all of rest: no path in the moral graph of their ancestors
    goes round them."""
    ancestors: set[str] = set()
    todo = [v, *rest, *given, *network.fixed]
    while todo:
        if (x := todo.pop()) not in ancestors:
            ancestors.add(x)
            todo += network.up[x]
    near: dict[str, set[str]] = {x: set() for x in ancestors}
    for x in ancestors:
        for p, q in combinations((x, *network.up[x]), 2):
            near[p].add(q)
            near[q].add(p)
    seen, todo = {v, *given, *network.fixed}, [v]
    while todo:
        for y in near[todo.pop()] - seen:
            if y in rest:
                return False
            seen.add(y)
            todo.append(y)
    return True


def _shrink(model: Model, network: _Network, v: str, u: str, given: Sequence[str]) -> tuple[str, ...]:
    """Fewer variables that still separate v from u; those with most states are tried first."""
    kept = list(given)
    for x in sorted(given, key=lambda x: (-len(model.states[x] or ()), x)):
        if _separates(network, v, [u], [y for y in kept if y != x]):
            kept.remove(x)
    return tuple(kept)
