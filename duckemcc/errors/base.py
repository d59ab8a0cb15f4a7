"""The base of every error: a message, and in fields of their own what it is about and what to do.

A way in that knows more of the place, or writes options in another language, adds that with `placed`. Nothing has to
look into the text of an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Self, TypedDict, Unpack

from duckemcc.errors.hidden import masked, masked_all
from duckemcc.errors.texts import shortened
from duckemcc.errors.words import Spelling, Words, changed, parts_of, spelled

ABOUT = ("study", "query", "variable", "option")
"""What an error is about. Who raises it knows best, so `placed` keeps what is there."""

PLACE = ("file", "line", "column")
"""Where it is in a text. Who adds a line tells it of a text of his own, around the one before."""


class Fields(TypedDict, total=False):
    """What an error may say besides its message.

    study, variable, option: names. query: its text. file: the name of a file. line, column: from 1, of that file, or
    of the text that was given. remedy: what to do.
    """

    study: str | None
    query: str | None
    variable: str | None
    option: str | None
    file: str | None
    line: int | None
    column: int | None
    remedy: str | None


class DuckEmccError(ValueError):
    """Base of every error that duckemcc raises on purpose.

    message: what is wrong and what was found. remedy: what to do. study, query, variable, option: what it is about.
    file, line, column: where it is. Each is None if it is not known. The text of the error has all that its reader
    needs.
    """

    message: str
    study: str | None
    query: str | None
    variable: str | None
    option: str | None
    file: str | None
    line: int | None
    column: int | None
    remedy: str | None

    def __init__(self, message: str = "", **fields: Unpack[Fields]) -> None:
        self.message, self.remedy = message, None
        self._before: str = ""
        self._spelling: Spelling = "python"
        known: dict[str, Any] = dict.fromkeys((*ABOUT, *PLACE, "remedy")) | dict(fields)
        for name, value in known.items():
            if name not in Fields.__annotations__:
                raise TypeError(f"an error has no field {name!r}")
            setattr(self, name, value)
        self.remedy = (_stripped(self.remedy) or None) if self.remedy else None
        super().__init__()
        self.mask()

    @staticmethod
    def told(message: str) -> str:
        """The message without the middle of what is too long."""
        return shortened(message)

    def mask(self) -> None:
        """Takes out what is hidden now, and writes the text anew."""
        for name in ("message", "remedy", "_before"):
            if (text := getattr(self, name)) is not None:
                setattr(self, name, changed(text, lambda part: self.told(masked(part)), masked_all))
        for name in (*ABOUT, "file"):
            setattr(self, name, masked_all(getattr(self, name)))
        self.args = (self.text(),)

    def text(self, spelling: Spelling | None = None, *, place: bool = True) -> str:
        """All of it, with options written as in a language; without the place it is in if that is said elsewhere."""
        as_said = spelling or self._spelling
        parts = [self._before, self._shown_place() if place else "", self.message]
        said = "".join(spelled(part, as_said) for part in parts)
        if self.remedy is not None:
            said = _joined(said, spelled(self.remedy, as_said))
        return self.told(masked(said))

    def placed(self, before: str = "", *, spelling: Spelling | None = None, **fields: Unpack[Fields]) -> Self:
        """The same error, for one who knows more: raise it `from error.__cause__`.

        before: words that stand in front of its own. spelling: how options are written. A study, query, variable or
        option that it has stays. A new line is around the one that it has, which becomes part of its message.
        """
        other = copy(self)
        other.__cause__, other.__suppress_context__ = self.__cause__, self.__suppress_context__
        other.__traceback__ = self.__traceback__  # to where it was found
        other._spelling = spelling or self._spelling
        if self._is_around(fields.get("file"), fields.get("line")):
            other.message = Words(*map_parts(self._before, self._shown_place(), self.message))
            other._before = ""
            other.file = other.line = other.column = None
        if before:
            other._before = Words(*map_parts(before, ": ", other._before))
        if fields.get("line") is not None:
            other.column = None  # it was one of a text inside
        for name, value in fields.items():
            if value is not None and getattr(other, name) is None:
                setattr(other, name, value)
        other.mask()
        return other

    def advised(self, sentence: str) -> Self:
        """The same error with one more sentence of what to do."""
        other = copy(self)
        other.remedy = (
            sentence if self.remedy is None else Words(*map_parts(self.remedy, _end_of(self.remedy), " ", sentence))
        )
        other.mask()
        return other

    def unplaced(self) -> Self:
        """The same error without its place, for one who knows where that is in a larger text."""
        other = copy(self)
        other.file = other.line = other.column = None
        other.mask()
        return other

    def _is_around(self, file: str | None, line: int | None) -> bool:
        """Whether a place is around what the error tells in front of its message, and not a part of it."""
        if file is None and line is None:
            return False
        return bool(self._before) or self.file is not None or (line is not None and self.line is not None)

    def _shown_place(self) -> str:
        """``file, line 3, column 4: ``, as far as it is known; a column is nothing without its line."""
        line = f"line {self.line}" if self.line is not None else None
        column = f"column {self.column}" if self.line is not None and self.column is not None else None
        known = [part for part in (self.file, line, column) if part is not None]
        return ", ".join(known) + ": " if known else ""


@contextmanager
def placing(before: str = "", *, spelling: Spelling | None = None, **fields: Unpack[Fields]) -> Iterator[None]:
    """Errors that leave the block are `placed`."""
    try:
        yield
    except DuckEmccError as error:
        raise error.placed(before, spelling=spelling, **fields) from error.__cause__


def map_parts(*texts: str) -> Iterator[Any]:
    """The parts of several texts."""
    for text in texts:
        yield from parts_of(text)


def _stripped(text: str) -> str:
    """Without the blank in front that a hint has."""
    if not isinstance(text, Words):
        return text.strip()
    first, *rest = text.parts
    return Words(first.lstrip() if isinstance(first, str) else first, *rest)


def _joined(said: str, remedy: str) -> str:
    """A clause behind a semicolon; a remedy that begins with a capital is a sentence of its own."""
    if not remedy[:1].isupper():
        return f"{said}; {remedy}"
    return _ended(said) + " " + _ended(remedy)


def _ended(sentence: str) -> str:
    return sentence + _end_of(sentence)


def _end_of(sentence: str) -> str:
    """The period that a sentence still needs."""
    return "" if sentence.endswith((".", "!", "?")) else "."
