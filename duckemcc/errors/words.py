"""Texts that mention options: each way in writes an option in its own language.

``"say " + given("shared", True)`` is the text ``say shared=True``. In a job file it is written ``say shared = true``,
in SQL ``say shared := true``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

Spelling: TypeAlias = Literal["python", "sql", "toml"]

_OF_STUDIES = ("columns", "con", "local", "name", "selected", "shared", "unmeasured", "where", "replace")
"""Options of studies and of the catalog. SQL has no arguments for them: they are given in Python."""

_SOME_TOML = {"columns": "{…}", "shared": "true"}
_SOME = ...
"""Stands for a value that the reader is to fill in. It is written as an ellipsis."""


class Given(NamedTuple):
    """An option and its value; without an option, a value alone."""

    option: str | None
    value: Any

    def spelled(self, spelling: Spelling) -> str:
        """As it is written in a language."""
        if spelling == "toml":
            return self._in_toml()
        if spelling == "sql" and self.option not in _OF_STUDIES:
            value = _sql(self.value)
            return value if self.option is None else f"{self.option} := {value}"
        value = _python(self.value)
        return value if self.option is None else f"{self.option}={value}"

    def _in_toml(self) -> str:
        if self.option is None:
            return _toml(self.value)
        if self.value is _SOME:
            return f"{self.option} = " + _SOME_TOML.get(self.option, '"…"')
        if self.value is None:  # which TOML lacks
            return 'level = "exact"' if self.option == "level" else f"no {self.option}"
        return f"{self.option} = {_toml(self.value)}"


class Words(str):
    """A text in Python's spelling that remembers which parts of it are options.

    ``+`` keeps them; other operations return a plain text.
    """

    parts: tuple[str | Given, ...]

    def __new__(cls, *parts: str | Given) -> Words:
        self = super().__new__(cls, _join(parts, "python"))
        self.parts = parts
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.parts

    def __add__(self, other: str, /) -> Words:
        return Words(*self.parts, *parts_of(other))

    def __radd__(self, other: str, /) -> Words:
        return Words(*parts_of(other), *self.parts)


def given(option: str, value: Any) -> Words:
    """An option with its value; the value ``...`` is for the reader to fill in."""
    return Words(Given(option, value))


def literal(value: Any) -> Words:
    """A value by itself, such as ``True``, which is ``true`` in a job file."""
    return Words(Given(None, value))


def parts_of(text: str) -> tuple[str | Given, ...]:
    """The parts of a text; of a plain one, itself."""
    return text.parts if isinstance(text, Words) else (text,)


def spelled(text: str, spelling: Spelling) -> str:
    """The text with its options as a language writes them."""
    return _join(parts_of(text), spelling)


def changed(text: str, of_text: Callable[[str], str], of_value: Callable[[Any], Any]) -> str:
    """The text with each of its parts changed."""
    if not isinstance(text, Words):
        return of_text(text)
    return Words(
        *(Given(p.option, of_value(p.value)) if isinstance(p, Given) else of_text(p) for p in text.parts),
    )


def _join(parts: tuple[str | Given, ...], spelling: Spelling) -> str:
    return "".join(p.spelled(spelling) if isinstance(p, Given) else p for p in parts)


def _python(value: Any) -> str:
    if value is _SOME:
        return "…"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _sql(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_sql, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    return _python(value)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    return _python(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
