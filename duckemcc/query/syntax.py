"""The syntax tree of a query, which prints itself: ``parse(str(q)) == q``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

KINDS = ("PNS", "PN", "PS", "PD", "PE", "ACE", "ETT", "CDE", "NDE", "NIE")
NO_VALUES = frozenset({"AND", "NOT", "IN", "VS", "NULL"})
NO_NAMES = NO_VALUES | {"P", *KINDS}

WORD = re.compile(r"[^\W\d]\w*")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Setting:
    """``X=x``, or ``M=M[X=x]``: a variable set to a value, or to the value it would have in another world."""

    name: str
    value: str | PotentialOutcome

    def __str__(self) -> str:
        value = print_value(self.value) if isinstance(self.value, str) else self.value.bracketed()
        return f"{print_name(self.name)}={value}"


@dataclass(frozen=True)
class PotentialOutcome:
    """``Y[X=x]``: a variable in the world where others are set; just ``Y`` where none is."""

    name: str
    do: tuple[Setting, ...] = ()

    def bracketed(self) -> str:
        """The text with its brackets even if they are empty: ``M[]``, the natural value."""
        return f"{print_name(self.name)}[{_commas(self.do)}]"

    def __str__(self) -> str:
        return self.bracketed() if self.do else print_name(self.name)


@dataclass(frozen=True)
class Atom:
    """``Y[X=x] IN (a, b)``, or with ``negated`` its complement."""

    outcome: PotentialOutcome
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        values = ", ".join(map(print_value, self.values))
        if len(self.values) == 1:
            return f"{self.outcome}{'!=' if self.negated else '='}{values}"
        return f"{self.outcome} {'NOT IN' if self.negated else 'IN'} ({values})"


Event: TypeAlias = tuple[Atom, ...]
"""A conjunction of atoms."""


@dataclass(frozen=True)
class Probability:
    """``P(event | given)``."""

    event: Event
    given: Event = ()

    def __str__(self) -> str:
        return f"P({_commas(self.event)}{_print_condition(self.given)})"


@dataclass(frozen=True)
class Contrast:
    """``X=x vs x0``: an argument of a named query."""

    name: str
    value: str
    versus: str | None = None

    def __str__(self) -> str:
        versus = "" if self.versus is None else f" vs {print_value(self.versus)}"
        return f"{print_name(self.name)}={print_value(self.value)}{versus}"


@dataclass(frozen=True)
class Named:
    """``PNS(X=x vs x0, Y=y | given)``: a query with a name, one of ``KINDS``."""

    kind: str
    contrasts: tuple[Contrast, ...]
    given: Event = ()

    def __str__(self) -> str:
        return f"{self.kind}({_commas(self.contrasts)}{_print_condition(self.given)})"


@dataclass(frozen=True)
class Term:
    """``coefficient * body``; a constant where there is no body."""

    coefficient: float
    body: Probability | Named | None

    def __str__(self) -> str:
        return ("-" if self.coefficient < 0 else "") + self.unsigned()

    def unsigned(self) -> str:
        """The text without the coefficient's sign, which a combination prints as its operator."""
        number = repr(abs(float(self.coefficient))).removesuffix(".0")
        if self.body is None:
            return number
        return str(self.body) if number == "1" else f"{number}*{self.body}"


@dataclass(frozen=True)
class Query:
    """A linear combination of probabilities."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        rest = (f" {'-' if t.coefficient < 0 else '+'} {t.unsigned()}" for t in self.terms[1:])
        return str(self.terms[0]) + "".join(rest)


def _commas(items: tuple[object, ...]) -> str:
    return ", ".join(map(str, items))


def _print_condition(given: Event) -> str:
    return f" | {_commas(given)}" if given else ""


def print_name(name: str) -> str:
    bare = WORD.fullmatch(name) and keyword(name) not in NO_NAMES
    return name if bare else _quote(name, '"')


def print_value(value: str) -> str:
    return value if read_bare(value) == value else _quote(value, "'")


def _quote(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def keyword(word: str) -> str:
    # 'ſ'.upper() is 'S': only ASCII words are keywords
    return word.upper() if word.isascii() else word


def read_bare(text: str) -> str | None:
    """The label that an unquoted value stands for, or None if it needs quotes."""
    if NUMBER.fullmatch(text):
        whole, _, fraction = text.partition(".")
        return text if fraction.strip("0") else whole  # by text: 01 is not 1, and int() refuses very long numbers
    if not WORD.fullmatch(text) or keyword(text) in NO_VALUES:
        return None
    return text.lower() if keyword(text) in ("TRUE", "FALSE") else text
