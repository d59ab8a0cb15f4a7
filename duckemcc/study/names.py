"""A name that a user wrote, as it is spelled where it is looked for: a column of a source, a variable, a cause."""

from __future__ import annotations

from collections.abc import Sequence

from duckemcc.errors import MissingColumn, RepeatedName, UnknownName, given, hint


def model_name(name: str, variables: Sequence[str], what: str) -> str:
    """The model's spelling of a variable's name. Raises UnknownName."""
    return _find_name(name, variables, f"{what} {name}, which is no variable of the model; its variables are")


def cause_name(name: str, causes: Sequence[str], what: str) -> str:
    """The model's spelling of an exogenous variable's name. Raises UnknownName."""
    return _find_name(name, causes, f"{what} {name}, which is no exogenous variable of the model; these are")


def _find_name(name: str, known: Sequence[str], said: str) -> str:
    for spelled in known:
        if spelled.casefold() == name.casefold():
            return spelled
    raise UnknownName(f"{said} {', '.join(known) or 'none'}", remedy=hint(name, known), variable=name)


def find_column(
    where: str,
    name: str,
    what: str,
    found: Sequence[str],
    advice: str = "",
    *,
    variable: str | None = None,
    option: str | None = None,
) -> str:
    """The one column with this name. Raises MissingColumn with a hint and the advice, RepeatedName."""
    matches = [c for c in found if c.casefold() == name.casefold()]
    if len(matches) > 1:
        raise RepeatedName(
            f"{where} has several columns for the {what}: {', '.join(matches)}. Names are matched without regard to "
            "case",
            remedy="rename one, or choose with " + given("columns", ...),
            variable=variable,
            option=option,
        )
    if not matches:
        shown = ", ".join(found[:20]) + (", …" if len(found) > 20 else "")
        near = hint(name, found, "columns")
        raise MissingColumn(
            f"{where} has no column for the {what}; its columns are {shown}",
            remedy=near + " " * bool(near and advice) + advice,
            variable=variable,
            option=option,
        )
    return matches[0]
