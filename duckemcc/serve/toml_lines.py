"""On which line of a TOML text a key stands, which `tomllib` does not tell: found by parsing longer heads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and, within arrays, positions: ``("studies", 1, "weight")``."""

_CLOSERS = ("", "]", '"""', "'''", '"""]', "'''" + "]", "}")
"""What a head may lack: an array, a text of several lines, or such a text in an array goes on below it."""


def find_line(text: str, path: Path) -> int:
    """The line, from 1, on which the value at `path` begins; of its nearest table or array where it is not there."""
    lines = text.splitlines()
    whole = _parse(text)
    while path and not _holds(whole, path):
        path = path[:-1]
    if not path:
        return 1
    sections = [0, *(i for i, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines)]
    ends = [end for end in sections if end == len(lines) or _parse("\n".join(lines[:end]))]
    first = next(k for k, end in enumerate(ends) if _holds(_parse("\n".join(lines[:end])), path))
    for number in range(max(ends[first - 1], 0) if first else 0, ends[first]):
        head = "\n".join(lines[: number + 1])
        if any(_holds(_parse(f"{head}\n{closer}"), path) for closer in _CLOSERS):
            return number + 1
    return ends[first]


def _parse(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _holds(part: Any, path: Path) -> bool:
    for key in path:
        if isinstance(key, int):
            if not isinstance(part, Sequence) or isinstance(part, str) or key >= len(part):
                return False
        elif not isinstance(part, Mapping) or key not in part:
            return False
        part = part[key]
    return True
