"""The catalog: models and studies that live in a database, in the plain tables of sql/catalog.sql."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from duckemcc.answer.api import is_name, read_model
from duckemcc.errors import OptionError, RepeatedName, SourceError, given
from duckemcc.model.scm import Model
from duckemcc.serve.duckdb.catalog_tables import Place, change, create_tables, find_place, read_tables, run, session
from duckemcc.serve.duckdb.registered import check_registered
from duckemcc.serve.duckdb.sources import find_source, is_table, registered_sql
from duckemcc.serve.duckdb.stored import Catalog, Entry, Registered, find_entry, find_studies, read_spec
from duckemcc.study.study import Study, study_name

if TYPE_CHECKING:
    import duckdb


def save_model(
    con: duckdb.DuckDBPyConnection,
    name: str,
    model: Model | str,
    *,
    comment: str | None = None,
    replace: bool = False,
) -> None:
    """Stores a model, or graph text, under a name that every SQL function takes.

    The tables are made if need be, in the database that was opened as `con`. All or nothing; in an open transaction of
    `con`, a part of it. Storing the same again changes nothing. replace: take the place of another model of that name,
    whose registered studies stay and are to fit. Raises `OptionError` for a name that is not one word, `RepeatedName`,
    `NotSupported` for a catalog of a later version or a database that is read-only, and what reading a model or a
    registered study raises.
    """
    pscm, graph = read_model(model), model if isinstance(model, str) else None
    if not isinstance(name, str) or not is_name(name) or name != name.strip():
        raise OptionError(f"a model's name is one word of letters, digits and _; found {name!r}", option="name")
    if comment is not None and not isinstance(comment, str):
        raise OptionError(f"comment takes a text; found {comment!r}", option="comment")
    spec = json.dumps(pscm.to_dict(), ensure_ascii=False)

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        old = _entry(catalog, name)
        if old is not None and (old.spec, old.graph, old.comment) == (spec, graph, comment):
            return
        if old is not None and not replace:
            raise RepeatedName(
                f"there is a model {old.name!r} in the catalog already",
                remedy=given("replace", True) + " takes its place",
                option="replace",
            )
        for study in old.studies if old is not None else ():
            check_registered(study, pscm)
        if old is not None:
            run(own, place, "DELETE FROM emcc.models WHERE name = $1", old.name)
            run(own, place, "UPDATE emcc.studies SET model = $1 WHERE model = $2", name, old.name)
        if catalog.database is None:
            create_tables(own, place)
        run(own, place, "INSERT INTO emcc.models VALUES ($1, $2, $3, $4, $5)", name, spec, graph, comment, _now())

    change(con, work)


def save_study(con: duckdb.DuckDBPyConnection, model: str, study: Study, *, replace: bool = False) -> None:
    """Registers a study for a stored model: SQL functions that are given no `studies` take those of the model.

    Its source is the name of a table or view, or the path of Parquet or CSV files, and is looked at now. A table is the
    one that `con` means now, whatever later statements call by its name. Everything else that a `Study` says is kept.
    Its name is unique among the model's; replace: take the place of that one. Transactions are as in `save_model`.
    Raises `SourceError` for other sources and TEMP tables, `UnknownModel`, `RepeatedName`, `NotSupported`, and what
    `bounds` raises for a study that does not fit the model.
    """
    if not isinstance(study, Study) or study.kind not in ("table", "named", "file"):
        found = study.kind if isinstance(study, Study) else type(study).__name__
        raise SourceError(
            f"a registered study is a Study of a table's name or of a file's path; found {found}",
            remedy="Create a table or view of these records, and give Study(its name, con=con, …)",
            option="study",
        )
    source = os.fspath(study.source)
    looked = find_source(con, source, find_place(con).tables)

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, model)
        new = check_registered(_registered(study, looked.name), read_spec(entry.name, entry.spec), looked.types)
        old = next((s for s in entry.studies if s.name.casefold() == new.name.casefold()), None)
        if new == old:
            return
        if old is not None and not replace and dataclasses.replace(new, types=old.types) != old:
            raise RepeatedName(
                f"the model {entry.name!r} has a study {old.name!r} already",
                remedy="give another " + given("name", ...) + ", or " + given("replace", True),
                study=old.name,
            )
        if old is not None:
            run(own, place, "DELETE FROM emcc.studies WHERE model = $1 AND study = $2", entry.name, old.name)
        maps = ["MAP($7::VARCHAR[], $8::VARCHAR[])", "MAP($13::VARCHAR[], $14::VARCHAR[])"]
        values = f"$1, $2, $3, $4, $5, $6, {maps[0]}, $9, $10, $11, $12, {maps[1]}, $15"
        row: list[Any] = [entry.name, new.name, new.source, list(new.do), new.weight, new.where, *_pairs(new.columns)]
        row += [list(new.unmeasured), list(new.local), new.selected, new.shared, *_pairs(new.types), _now()]
        run(own, place, f"INSERT INTO emcc.studies VALUES ({values})", *row)

    change(con, work)


def drop_model(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Removes a model and the studies that are registered for it. Raises `UnknownModel`, `NotSupported`."""

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, name)
        run(own, place, "DELETE FROM emcc.studies WHERE model = $1", entry.name)
        run(own, place, "DELETE FROM emcc.models WHERE name = $1", entry.name)

    change(con, work)


def drop_study(con: duckdb.DuckDBPyConnection, model: str, study: str) -> None:
    """Removes a registered study; its records stay. Raises `UnknownModel`, `SourceError`, `NotSupported`."""

    def work(own: duckdb.DuckDBPyConnection, place: Place, catalog: Catalog) -> None:
        entry = find_entry(catalog, model)
        (old,) = find_studies(entry, [study])
        run(own, place, "DELETE FROM emcc.studies WHERE model = $1 AND study = $2", entry.name, old.name)

    change(con, work)


def load_model(con: duckdb.DuckDBPyConnection, name: str) -> Model:
    """A stored model. Raises `UnknownModel`, which says what there is, and `GraphError`."""
    entry = _load(con, name)
    return read_spec(entry.name, entry.spec)


def load_studies(con: duckdb.DuckDBPyConnection, model: str, names: Sequence[str] | None = None) -> list[Study]:
    """The studies that are registered for a model, or those of these names. Raises `UnknownModel`, `SourceError`."""
    home = find_place(con).tables
    chosen = find_studies(_load(con, model), None if names is None else [names] if isinstance(names, str) else [*names])
    return [
        Study(
            registered_sql(s.source, home) if is_table(s.source) else s.source,
            do=s.do,
            name=s.name,
            weight=s.weight,
            where=s.where,
            columns=s.columns,
            unmeasured=s.unmeasured,
            local=s.local,
            selected=s.selected,
            shared=s.shared,
            con=con,
        )
        for s in chosen
    ]


def _entry(catalog: Catalog, name: str) -> Entry | None:
    return next((entry for entry in catalog.entries if entry.name.casefold() == name.casefold()), None)


def _load(con: duckdb.DuckDBPyConnection, name: str) -> Entry:
    if not isinstance(name, str):
        raise OptionError(f"a model's name is a text; found {name!r}", option="name")
    with session(con) as (own, _):
        return find_entry(read_tables(own, find_place(con).tables), name)


def _registered(study: Study, source: str) -> Registered:
    kept = {k: getattr(study, k) for k in ("do", "weight", "where", "unmeasured", "local", "selected", "shared")}
    return Registered(name=study_name(study, 1), source=source, columns=dict(study.columns), types={}, **kept)


def _pairs(names: Any) -> tuple[list[str], list[str]]:
    return list(names), list(names.values())


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
