"""Messages in the words of a job: they say ``columns={'X': 'drug'}``, as in Python, where TOML says
``columns = {X = "drug"}``."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

_VALUE = r"""\{[^{}]*\}|\[[^\[\]]*\]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|…|True|False|None|-?\d[\d.e+-]*(?<=\d)"""


_PHRASES = {"True or False": "true or false", "{'Gender': 'sex'}": '{Gender = "sex"}'}


def in_toml(message: str, keys: Sequence[str]) -> str:
    """The message with what it says of these keys as TOML has it; texts in it that are no Python stay."""
    for python, toml in _PHRASES.items():
        message = message.replace(python, toml)
    given = re.compile(rf"(?<![\w\[(])({'|'.join(keys)})=({_VALUE})")
    return given.sub(lambda found: _told(found[1], found[2]) or found[0], message)


def _told(key: str, value: str) -> str | None:
    if value == "…":
        return f"{key} = " + {"columns": "{…}", "shared": "true"}.get(key, '"…"')
    if value == "None":
        return 'level = "exact"' if key == "level" else None
    try:
        return f"{key} = {_toml(ast.literal_eval(value))}"
    except (ValueError, SyntaxError):
        return None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
