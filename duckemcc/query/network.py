"""P = Σ_u Π_t T_t(u) Π_f θ_f(u_f): a probability as a network of 0/1 tables, multilinear in the chances of each factor.

A factor is an exogenous variable, or several that are given one PMF over their joint states (a relaxation of their
independence). The network is summed out variable by variable (opt_einsum finds the order), so joint states of
different factors are never enumerated. As P is linear in each factor, P = Σ_u θ_f(u) ∂P/∂θ_f(u), and its slope
∂P/∂θ_f is the network with that factor's axes left open.

Axes: r restart, u exogenous state (of a factor of several variables: joint, the first slowest).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.model.recall import Recall

Floats = NDArray[np.float64]

Factor: TypeAlias = tuple[str, ...]
"""The exogenous variables that share one PMF; a single one is ``("U",)``."""

LARGEST_TENSOR = 50_000_000
"""Entries of the largest intermediate result of a contraction (400 MB)."""

_RESTART = "restart"


class Table(NamedTuple):
    """Values over named axes: exogenous variables, and values of potential outcomes."""

    values: Floats
    axes: tuple[str, ...]


class Network:
    """The contraction of some tables with the chances of `factors`, of which those that no table depends on are left
    out.

    cards: states of every exogenous variable. Raises `TooLarge` for an intermediate result beyond `LARGEST_TENSOR`.
    """

    def __init__(self, tables: Sequence[Table], factors: Iterable[Factor], cards: Mapping[str, int]) -> None:
        used = {axis for table in tables for axis in table.axes}
        self.factors = tuple(f for f in factors if not used.isdisjoint(f))
        self._tables, self._cards, self._used = tables, cards, used
        self._expressions: dict[tuple[Factor | None, int], Any] = {}
        self._entries: dict[Factor | None, int] = {}
        if tables and (entries := self._largest(None)) > LARGEST_TENSOR:
            raise TooLarge(
                f"evaluating the query needs a table of {entries:,} entries over {len(tables)} potential outcomes, "
                f"more than {LARGEST_TENSOR:,}",
                remedy="ask about fewer worlds at once, or coarsen a variable",
            )

    def __call__(self, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
        """P [r] at chances [r, u] of every factor."""
        return self._contract(None, chances, restarts).reshape(restarts).clip(0.0, None)

    def slope(self, factor: Factor, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
        """∂P/∂θ_f [r, u] at the chances of the other factors; zero where P does not depend on `factor`."""
        if factor not in self.factors:
            return np.zeros((restarts, prod(self._cards[u] for u in factor)))
        open_axes = self._contract(factor, chances, restarts)
        shape = [self._cards[u] if u in self._used else 1 for u in factor]
        whole = np.broadcast_to(open_axes.reshape(restarts, *shape), (restarts, *(self._cards[u] for u in factor)))
        return whole.reshape(restarts, -1)

    def _contract(self, opened: Factor | None, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
        if not self._tables:
            return np.ones(restarts)
        given = [f for f in self.factors if f != opened]
        parts = []
        batch = max(1, LARGEST_TENSOR // self._largest(opened))
        for first in range(0, restarts, batch):
            size = min(batch, restarts - first)
            operands = [
                np.ascontiguousarray(chances[f][first : first + size]).reshape(size, *(self._cards[u] for u in f))
                for f in given
            ]
            found = np.asarray(self._expression(opened, size)(*operands))
            parts.append(found if given else np.broadcast_to(found, (size, *found.shape)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _largest(self, opened: Factor | None) -> int:
        """Entries of the largest tensor for one restart."""
        if opened not in self._entries:
            largest = self._find_path(opened, 1)[1]
            self._entries[opened] = max(largest, *(t.values.size for t in self._tables))
        return self._entries[opened]

    def _spec(self, opened: Factor | None, restarts: int) -> tuple[str, list[tuple[int, ...]]]:
        import opt_einsum

        known: dict[str, str] = {}

        def letters(axes: Iterable[str]) -> str:
            return "".join(known.setdefault(a, str(opt_einsum.get_symbol(len(known)))) for a in axes)

        given = [f for f in self.factors if f != opened]
        inputs = [*(letters(t.axes) for t in self._tables), *(letters((_RESTART, *f)) for f in given)]
        # without a factor given, the result is the same for all restarts
        output = letters([*([_RESTART] if given else []), *(u for u in opened or () if u in self._used)])
        shapes = [(restarts, *(self._cards[u] for u in f)) for f in given]
        return ",".join(inputs) + "->" + output, shapes

    def _find_path(self, opened: Factor | None, restarts: int) -> tuple[Any, int]:
        """The order of the contraction, and the entries of its largest intermediate result."""
        spec, shapes = self._spec(opened, restarts)
        return _find_path(spec, (*(t.values.shape for t in self._tables), *shapes))

    def _expression(self, opened: Factor | None, restarts: int) -> Any:
        import opt_einsum

        key = opened, restarts
        if key not in self._expressions:
            spec, shapes = self._spec(opened, restarts)
            path = self._find_path(opened, restarts)[0]
            constants = list(range(len(self._tables)))
            tables = [t.values for t in self._tables]

            def make() -> Any:
                if shapes:
                    return opt_einsum.contract_expression(spec, *tables, *shapes, constants=constants, optimize=path)
                return partial(np.array, opt_einsum.contract(spec, *tables, optimize=path))

            self._expressions[key] = _expressions(make, spec, tuple(shapes), *tables)
        return self._expressions[key]


@lru_cache(4096)
def _find_path(spec: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[Any, int]:
    import opt_einsum

    path, told = opt_einsum.contract_path(spec, *shapes, shapes=True, optimize="auto")
    return path, int(told.largest_intermediate)


_expressions = Recall()


class Impossible(Network):
    """The probability of an event that cannot happen."""

    def __init__(self) -> None:
        super().__init__((), (), {})

    def __call__(self, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
        return np.zeros(restarts)

    def slope(self, factor: Factor, chances: Mapping[Factor, Floats], restarts: int) -> Floats:
        size = chances[factor].shape[1]
        return np.zeros((restarts, size))
