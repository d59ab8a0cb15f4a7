"""What the catalog of a database holds, as one text: SQL is written, and a name found, where no table can be read.

DuckDB's Python functions cannot query the database that calls them, so the macro `_emcc_catalog()` has this text as a
constant. It is JSON, made by `serve.duckdb.catalog` from the tables of sql/catalog.sql whenever they change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from duckemcc.answer.api import is_name, read_model
from duckemcc.errors import (
    DuckEmccError,
    GraphError,
    NotSupported,
    OptionError,
    SourceError,
    UnknownModel,
    engine_reason,
    hint,
)
from duckemcc.model.scm import Model


@dataclass(frozen=True)
class Registered:
    """A study of the catalog: what `Study` says, its source by name. types: of the source's columns, when it was
    saved."""

    name: str
    source: str
    do: tuple[str, ...]
    weight: str | None
    where: str | None
    columns: Mapping[str, str]
    unmeasured: tuple[str, ...]
    local: tuple[str, ...]
    selected: str | None
    shared: bool
    types: Mapping[str, str]


class Entry(NamedTuple):
    """A model of the catalog. spec: JSON, as `Model.to_dict` gives it."""

    name: str
    spec: str
    graph: str | None
    comment: str | None
    studies: tuple[Registered, ...]


class Catalog(NamedTuple):
    """entries: by name. problem: why there are none although there is a catalog. database: where the tables are, if
    there are any. stamp: of what they held."""

    entries: tuple[Entry, ...] = ()
    problem: str | None = None
    database: str | None = None
    stamp: str | None = None


def write_catalog(catalog: Catalog) -> str:
    """The catalog as text."""
    entries = [e._asdict() | {"studies": [asdict(s) for s in e.studies]} for e in catalog.entries]
    return json.dumps(catalog._asdict() | {"entries": entries}, ensure_ascii=False)


@lru_cache(16)
def read_catalog(text: str) -> Catalog:
    """The catalog of such a text."""
    form = json.loads(text)
    entries = [Entry(**{**e, "studies": tuple(read_registered(s) for s in e["studies"])}) for e in form.pop("entries")]
    return Catalog(entries=tuple(entries), **form)


def read_registered(form: Mapping[str, Any]) -> Registered:
    lists = {name: tuple(form[name]) for name in ("do", "unmeasured", "local")}
    return Registered(**{**form, **lists})


def find_entry(catalog: Catalog, name: str) -> Entry:
    """The model of that name, whatever its case. Raises `UnknownModel`, which says what there is, `NotSupported`."""
    if catalog.problem is not None:
        raise NotSupported(catalog.problem)
    known = {entry.name: entry for entry in catalog.entries}
    for spelled, entry in known.items():
        if spelled.casefold() == name.casefold():
            return entry
    there = f"its models are {', '.join(known)}" if known else "it is empty"
    near = hint(name, known).strip()
    raise UnknownModel(
        f"there is no model named {name!r} in the catalog: {there}" + (f". {near}" if near else ""),
        remedy=f"emcc.save_model(con, {name!r}, …) stores one; anything but a single word is graph text, such as "
        "'X -> Y; X <-> Y'",
        option="model",
    )


def find_studies(entry: Entry, names: list[str] | None) -> tuple[Registered, ...]:
    """The studies of those names, or all. Raises `SourceError`, which says what there is."""
    if names is None:
        if not entry.studies:
            raise SourceError(
                f"no study is registered for the model {entry.name!r}",
                remedy=f"name a relation as studies, or register one with emcc.save_study(con, {entry.name!r}, …)",
                option="studies",
            )
        return entry.studies
    known = {study.name.casefold(): study for study in entry.studies}
    for name in names:
        if not isinstance(name, str) or name.casefold() not in known:
            spelled = [study.name for study in entry.studies]
            there = f"its studies are {', '.join(spelled)}" if spelled else "it has none"
            near = hint(name, spelled, "studies") if isinstance(name, str) else ""
            raise SourceError(
                f"no study {name!r} is registered for the model {entry.name!r}: {there}",
                remedy=near,
                study=name if isinstance(name, str) else None,
            )
    wanted = {name.casefold() for name in names}
    if not wanted:
        raise SourceError(
            "studies is an empty list",
            remedy="name registered studies, or leave it out for all of them",
            option="studies",
        )
    return tuple(study for key, study in known.items() if key in wanted)


# -- the model of an SQL argument --------------------------------------------------------------


def resolve_model(model: Any, catalog: Catalog) -> str:
    """A model argument, a name or graph text, as a text that says all of it, for `read_resolved`."""
    if model is None:
        raise OptionError(
            "model is NULL",
            remedy="give the name of a stored model, or graph text such as 'X -> Y; X <-> Y'",
            option="model",
        )
    if isinstance(model, str) and is_name(model):
        entry = find_entry(catalog, model.strip())
        return json.dumps({"name": entry.name, "spec": entry.spec}, ensure_ascii=False)
    read_model(model)  # refuses what is no text
    return json.dumps({"graph": model}, ensure_ascii=False)


@lru_cache(64)
def read_resolved(text: str) -> Model:
    """The model of `resolve_model`'s text. Raises `GraphError` and what reading a model raises."""
    form = json.loads(text)
    model = read_model(form["graph"]) if "graph" in form else read_spec(form["name"], form["spec"])
    for variable in model.variables:
        if variable.casefold().startswith("emcc_"):
            raise OptionError(
                f"the variable {variable} cannot be counted in SQL, where names in emcc_ are taken", variable=variable
            )
    return model


def read_spec(name: str, spec: str) -> Model:
    """The model of a stored specification. Raises `GraphError` for what is none."""
    said = f"the model {name!r} of the catalog cannot be read"
    try:
        return Model.from_dict(json.loads(spec))
    except DuckEmccError as wrong:
        raise wrong.placed(said) from wrong.__cause__
    except (ValueError, RecursionError) as wrong:
        raise GraphError(f"{said}: {engine_reason(wrong)}") from wrong


# -- whether it is still so --------------------------------------------------------------------


def stamp_sql(database: str | None) -> str:
    """An SQL expression for the stamp of the catalog's tables as they are now; NULL where there are none."""
    if database is None:
        return "NULL"
    home = '"' + database.replace('"', '""') + '".emcc'
    rows = (
        f"(SELECT string_agg(t::VARCHAR, chr(10) ORDER BY t::VARCHAR) FROM {home}.{table} AS t)"
        for table in ("catalog_version", "models", "studies")
    )
    return f"md5(concat_ws(chr(10), {', '.join(rows)}))"


def check_stamp(known: str | None, current: str | None) -> None:
    """Raises `SourceError` where the tables are no longer what the text was made from."""
    if known != current:
        raise SourceError(
            "the tables of the catalog have changed since this statement was prepared, or were changed by hand",
            remedy="prepare it again, or call register(con) again",
        )
