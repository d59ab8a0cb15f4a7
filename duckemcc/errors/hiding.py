"""No error that leaves a block tells the secrets of that block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from duckemcc.errors.base import DuckEmccError
from duckemcc.errors.hidden import hidden_now, masked, masked_all
from duckemcc.errors.kinds import SourceError


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
    known = dict(hidden_now.get()) | dict(secrets)
    before = hidden_now.set(tuple(known.items()))
    try:
        yield
    except BaseException as error:
        _clean(error)
        if isinstance(error, DuckEmccError) or not isinstance(error, Exception) or not _leaks(error):
            raise
        raise SourceError(f"{type(error).__name__}: {masked(str(error))}") from None
    finally:
        hidden_now.reset(before)


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
    if isinstance(error, DuckEmccError):
        error.mask()
    else:
        _mask_foreign(error)
    if hasattr(error, "__notes__"):
        error.__notes__ = [masked(note) for note in error.__notes__]


def _mask_foreign(error: BaseException) -> None:
    error.args = tuple(masked_all(a) for a in error.args)
    for name in ("filename", "filename2", "strerror", "name", "message", "msg"):
        if isinstance(value := getattr(error, name, None), str):
            try:
                setattr(error, name, masked(value))
            except (AttributeError, TypeError):
                continue


def _leaks(error: BaseException) -> bool:
    texts = [str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()), repr(vars(error))]
    return any(masked(text) != text for text in texts)
