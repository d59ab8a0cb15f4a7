"""What is hidden now: secrets, and the texts that are shown in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

_SHORTEST = 3  # shorter values are no secrets, and every text holds them
_SHORT = 6  # shorter values are hidden where they are whole words
hidden_now: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("duckemcc_hidden", default=())


def is_hidden(value: str) -> bool:
    """Whether a secret is long enough to be hidden."""
    return len(value.strip()) >= _SHORTEST


def is_hiding() -> bool:
    """Whether anything is hidden now."""
    return bool(hidden_now.get())


def masked(text: str) -> str:
    """The text without what is hidden now."""
    secrets = hidden_now.get()
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
