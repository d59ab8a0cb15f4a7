"""What can go wrong at the boundary: one base class, and one name per kind of remedy.

Every message says what was wrong, what was found and what to do, in the user's words. It repeats no long text whole,
and nothing that is `hiding` at the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

_LONGEST = 4_000  # characters of a message
_LONGEST_WORD = 400  # characters without a blank


class DuckEmccError(ValueError):
    """Base of every error that duckemcc raises on purpose."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(self.told(masked(a)) if isinstance(a, str) else a for a in args))

    @staticmethod
    def told(message: str) -> str:
        """The message without the middle of what is too long."""
        return shortened(message)


# -- what is assumed ---------------------------------------------------------------------------


class GraphError(DuckEmccError):
    """A model text or dictionary that cannot be read, or whose graph has a cycle."""


class UnknownName(DuckEmccError):
    """A variable that the model does not have."""


class RepeatedName(DuckEmccError):
    """A name that is given twice, or twice but for upper and lower case."""


class InvalidEquation(DuckEmccError):
    """A structural equation of the wrong shape, with unknown states, or not surjective."""


class AmbiguousEquation(DuckEmccError):
    """An equation that the graph alone does not determine: several exogenous parents, or a given cardinality."""


class AssumptionSpansCauses(DuckEmccError):
    """An assumed event that no single exogenous variable determines."""


class TooLarge(DuckEmccError):
    """Something that would have to be enumerated and is too large for it."""


class NotSupported(DuckEmccError):
    """A part of the language or an option that is not yet supported."""


# -- what is asked -----------------------------------------------------------------------------


class QueryError(DuckEmccError):
    """A query that cannot be read, or that does not fit the model."""


class OptionError(DuckEmccError):
    """An option with a value that it cannot take."""


class JobError(DuckEmccError):
    """A job file with mistakes; the message lists all of them, each with its line."""

    @staticmethod
    def told(message: str) -> str:
        """As it is: each of its lines is short."""
        return message


class UnknownModel(DuckEmccError):
    """A model name that is not in the catalog."""


# -- what was measured -------------------------------------------------------------------------


class StudyError(DuckEmccError):
    """A study that cannot be used as it is."""


class UnknownState(StudyError):
    """A value that the model does not declare as a state of its variable."""


class MissingColumn(StudyError):
    """A variable, weight or segment without a column."""


class UnsupportedColumn(StudyError):
    """A column whose type has no exact states (floating point, nested, ...)."""


class InvalidWeight(StudyError):
    """A weight that is NULL, negative or not a number."""


class EmptyStudy(StudyError):
    """A study without records."""


class NullValue(StudyError):
    """A NULL where a value is needed."""


class SourceError(StudyError):
    """A source that does not exist, cannot be read, or is of an unknown kind."""


class Timeout(DuckEmccError):
    """A call that ran longer than ``max_seconds``."""


def engine_reason(error: Exception) -> str:
    """What an engine's error says, whole and in one line, but for where in its SQL it is, as that is ours."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    said = [line for k, line in enumerate(lines) if line and not _shows_sql(lines, k)]
    return shortened(masked(" ".join(said))) or type(error).__name__


def _shows_sql(lines: list[str], k: int) -> bool:
    """Whether it is DuckDB's ``LINE 1: SELECT …``, or the mark below it."""
    return bool(re.match(r"LINE \d+: ", lines[k])) or lines[k] == "^"


def hint(name: str, candidates: Iterable[str], what: str = "names") -> str:
    """`` Hint: did you mean one of these names: [...]`` for close matches (case ignored), or nothing."""
    by_fold = {c.casefold(): c for c in candidates}
    if len(name) > _LONGEST_WORD:  # like no other name, and slow to compare
        return ""
    close = [by_fold[k] for k in get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.5)]
    return f" Hint: did you mean one of these {what}: {close}?" if close else ""


def shortened(text: str) -> str:
    """The text without the middle of long words, and of itself if it is still too long."""
    text = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda found: _without_middle(found[0], 200, 40), text)
    return text if len(text) <= _LONGEST else _without_middle(text, 2_500, 1_000)


def _without_middle(text: str, first: int, last: int) -> str:
    return f"{text[:first]} … ({len(text):,} characters) … {text[-last:]}"


# -- what is not told ----------------------------------------------------------------------------

_SHORTEST = 3  # shorter values are no secrets, and every text holds them
_SHORT = 6  # shorter values are hidden where they are whole words
_hidden: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("duckemcc_hidden", default=())


@contextmanager
def hiding(secrets: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, messages, reports and tables show other texts in place of secrets, also where these are escaped.

    secrets: each with what is shown instead. Those of one or two characters are told: they are no secrets, and no
    message could be read without them. An error that leaves the block is masked, with all that it comes from; what
    cannot be masked is taken off its chain.
    """
    if not secrets:
        yield
        return
    known = dict(_hidden.get()) | dict(secrets)
    before = _hidden.set(tuple(known.items()))
    try:
        yield
    except BaseException as error:
        _clean(error)
        if isinstance(error, DuckEmccError) or not isinstance(error, Exception) or not _leaks(error):
            raise
        raise SourceError(f"{type(error).__name__}: {masked(str(error))}") from None
    finally:
        _hidden.reset(before)


def is_hidden(value: str) -> bool:
    """Whether a secret is long enough to be hidden."""
    return len(value.strip()) >= _SHORTEST


def is_hiding() -> bool:
    """Whether anything is hidden now."""
    return bool(_hidden.get())


def masked(text: str) -> str:
    """The text without what is hidden now."""
    secrets = _hidden.get()
    if not secrets or not text:
        return text
    pattern, shown = _compiled(secrets)
    return pattern.sub(lambda found: found[0] if found["shown"] else shown.get(found[0].casefold(), "***"), text)


def masked_all(value: Any) -> Any:
    """The same with every text in it masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked_all(k): masked_all(v) for k, v in value.items()}
    return [masked_all(v) for v in value] if isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=16)
def _compiled(secrets: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """What finds the secrets in each of their forms, and what is shown for each, in lower case."""
    shown: dict[str, str] = {}
    for secret, instead in sorted(secrets, key=lambda pair: -len(pair[0])):
        for form in _forms(secret):
            if len(form) >= _SHORTEST:
                shown.setdefault(form.casefold(), instead)
    told = {form for text in shown.values() for form in (text, repr(text)[1:-1], *text.splitlines()) if form.strip()}
    kept = "|".join(re.escape(text) for text in sorted(told, key=len, reverse=True)) or "(?!)"
    found = "|".join(_found(form) for form in sorted(shown, key=len, reverse=True)) or "(?!)"
    return re.compile(f"(?P<shown>{kept})|{found}", re.IGNORECASE), shown


def _found(form: str) -> str:
    """A short one is found as a word, a long one anywhere."""
    if len(form) >= _SHORT:
        return re.escape(form)
    first, last = (r"(?<!\w)" if form[0].isalnum() else ""), (r"(?!\w)" if form[-1].isalnum() else "")
    return f"{first}{re.escape(form)}{last}"


def _forms(secret: str) -> list[str]:
    """As it is written in Python, JSON, SQL and addresses, each of its lines, and the words of it that are no words."""
    lines = [line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORT]
    texts = [secret, secret.strip(), " ".join(secret.split()), unquote(secret), secret.replace("//", "/"), *lines]
    forms = list(texts)
    for text in dict.fromkeys(texts):
        forms += [repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
        forms += [ascii(text)[1:-1], repr(repr(text)[1:-1])[1:-1], quote(text), quote(text, safe="")]
        forms += [text.replace("'", "''"), text.replace('"', '""'), text.replace("'", "\\'")]
        forms += [word for word in re.findall(r"\w+", text) if _is_secret(word)]
    return [form for form in dict.fromkeys(forms) if form.strip()]


def _is_secret(word: str) -> bool:
    """Whether a part of a text, which an error may tell alone, looks like no word of a language."""
    digits, letters = any(c.isdigit() for c in word), any(c.isalpha() for c in word)
    return len(word) >= 5 and ((digits and letters) or "_" in word.strip("_"))


def _clean(error: BaseException) -> None:
    """Masks an error and all that it comes from."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        _mask(one)
        for link in ("__cause__", "__context__"):
            other = getattr(one, link)
            if other is None:
                continue
            _mask(other)
            if _leaks(other):
                one.__suppress_context__ = True
                setattr(one, link, None)
            else:
                left.append(other)


def _mask(error: BaseException) -> None:
    if not _leaks(error):
        return
    error.args = tuple(masked_all(a) for a in error.args)
    for name in ("filename", "filename2", "strerror", "name", "message", "msg"):
        if isinstance(value := getattr(error, name, None), str):
            try:
                setattr(error, name, masked(value))
            except (AttributeError, TypeError):
                continue
    if hasattr(error, "__notes__"):
        error.__notes__ = [masked(note) for note in error.__notes__]


def _leaks(error: BaseException) -> bool:
    texts = [str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()), repr(vars(error))]
    return any(masked(text) != text for text in texts)
