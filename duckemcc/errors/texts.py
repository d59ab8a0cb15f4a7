"""Parts of messages: hints, what an engine says, long texts without their middle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from duckemcc.errors.hidden import masked

_LONGEST = 4_000  # characters of a message
_LONGEST_WORD = 400  # characters without a blank


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
