"""What a cause decides, response by response: V(pa), the value of V where its endogenous parents have values pa.

A canonical cause is the vector of all responses of its children (THEORY: the one-step-ahead potential outcomes), and a
record's pattern or a query's world reads a few of them. So a response has a number, and nothing else is listed: the
responses of one variable follow each other, contexts in the order of its parents, the first slowest.

Axes: r row, a conjunction of responses; k its members.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.model.scm import Model

Ints = NDArray[np.intp]

MOST_RESPONSES = 2**62
"""Of all variables together: what a number holds."""


class Conjunctions(NamedTuple):
    """Rows that hold if all their responses have their values. variables [k]: whose responses the columns are;
    responses, values [r, k]: their numbers, and the positions of their values."""

    variables: tuple[str, ...]
    responses: Ints
    values: Ints

    def of(self, children: Sequence[str]) -> Conjunctions:
        """As far as they read the responses of some variables."""
        own = [k for k, v in enumerate(self.variables) if v in children]
        return Conjunctions(tuple(self.variables[k] for k in own), self.responses[:, own], self.values[:, own])


class Responses:
    """The numbers of a model's responses. Raises `TooLarge` if a number does not hold them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shape = {v: tuple(map(model.card, parents)) for v, parents in model.parents.items()}
        self.first: dict[str, int] = {}
        total = 0
        for v in model.variables:
            self.first[v] = total
            total += prod(self.shape[v])
            if total > MOST_RESPONSES:
                raise TooLarge(
                    f"{v} has {prod(self.shape[v]):,} contexts, more than are numbered",
                    remedy=f"remove one of its parents ({', '.join(model.parents[v])}), or coarsen one to fewer states",
                    variable=v,
                )

    def number(self, variable: str, parents: Sequence[Ints | int], rows: int) -> Ints:
        """The response [r] of a variable where its parents have these values."""
        place = np.zeros(rows, np.intp)
        for card, value in zip(self.shape[variable], parents, strict=True):
            place = place * card + value
        return place + self.first[variable]

    def read(self, response: int) -> tuple[str, int]:
        """The variable of a response, and its context's place in that variable's table."""
        place = int(np.searchsorted(self._begins, response, side="right")) - 1
        return self._names[place], response - int(self._begins[place])

    def show(self, response: int) -> str:
        """A response as a query would name it: ``S[T=1, G=a]``."""
        variable, context = self.read(response)
        values = np.unravel_index(context, self.shape[variable]) if self.shape[variable] else ()
        told = (
            f"{p}={(self.model.states[p] or ())[int(x)]}"
            for p, x in zip(self.model.parents[variable], values, strict=True)
        )
        return f"{variable}[{', '.join(told)}]" if values else variable

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(v for v in self.model.variables if prod(self.shape[v]))

    @cached_property
    def _begins(self) -> Ints:
        return np.array([self.first[v] for v in self._names], np.intp)
