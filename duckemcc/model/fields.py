"""The fields of a storage form: dictionaries, lists and texts, as they come out of JSON, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duckemcc.errors import GraphError, hint
from duckemcc.model.states import show_value
from duckemcc.model.tokens import cut


def read_mapping(spec: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    body = spec.get(key)
    if body is None:
        return {}
    if not isinstance(body, Mapping):
        raise GraphError(f"{key!r} is a dictionary from names to their definitions; found {type(body).__name__}")
    for name in body:
        if not isinstance(name, str) or not name:
            raise GraphError(f"{key!r} names {show_value(name)}; names are non-empty text")
    return body


def read_list(spec: Mapping[str, Any], key: str) -> Sequence[Any]:
    body = spec.get(key)
    if body is None:
        return ()
    if not is_list(body):
        raise GraphError(f"{key!r} is a list; found {show_value(body)}")
    items: Sequence[Any] = body
    return items


def read_flag(spec: Mapping[str, Any], key: str) -> bool:
    flag = spec.get(key, True)
    if not isinstance(flag, bool):
        raise GraphError(f"{key!r} is true or false; found {show_value(flag)}")
    return flag


def read_fields(name: str, body: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise GraphError(
            f"{cut(name, 200)} is defined by a dictionary with {', '.join(allowed)}; found {type(body).__name__}",
            variable=name,
        )
    for key in body:
        if key not in allowed:
            near = hint_key(key, allowed)
            raise GraphError(
                f"{cut(name, 200)} has the key {show_value(key)}; it may have {', '.join(allowed)}",
                remedy=near,
                variable=name,
            )
    return body


def hint_key(key: object, known: tuple[str, ...]) -> str:
    return hint(key[:40], known, "keys") if isinstance(key, str) else ""


def read_names(name: str, key: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not is_list(value) or not all(isinstance(v, str) for v in value):
        raise GraphError(f"{key} of {name} is a list of names; found {show_value(value)}", variable=name)
    return tuple(value)


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
