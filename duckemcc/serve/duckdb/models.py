"""What DuckDB calls to look into the catalog: behind emcc_models, and for the model of emcc(…)."""

from __future__ import annotations

from typing import Any

from duckemcc.errors import DuckEmccError, GraphError, NotSupported
from duckemcc.model.scm import Model
from duckemcc.serve.duckdb.cache import note_bound
from duckemcc.serve.duckdb.stored import (
    Entry,
    check_stamp,
    read_catalog,
    read_resolved,
    read_spec,
    resolve_model,
    stamp_sql,
)

MODELS = (
    "STRUCT(name VARCHAR, graph VARCHAR, variables VARCHAR[], unmeasured VARCHAR[], causes MAP(VARCHAR, BIGINT), "
    "studies VARCHAR[], comment VARCHAR, message VARCHAR)"
)
"""A row of emcc_models. unmeasured: those of the variables that no study measures. causes: the number of states of each
exogenous variable, NULL where it depends on states that are learned from data. studies: names of those registered.
message: why a model cannot be used."""


def model_text(model: Any, catalog: str) -> str:
    """A model argument as a text for `read_resolved`."""
    resolved = resolve_model(model, read_catalog(catalog))
    read_resolved(resolved)
    note_bound(resolved)
    return resolved


def stamp_query(catalog: str) -> str:
    """A query of one row: current, the stamp of the catalog as it is now."""
    return f"SELECT {stamp_sql(read_catalog(catalog).database)} AS current"


def list_models(catalog: Any, current: Any) -> Any:
    """The rows of emcc_models, a list of them per row."""
    import pyarrow as pa

    text, names = pa.string(), pa.list_(pa.string())
    row = {"name": text, "graph": text, "variables": names, "unmeasured": names}
    row |= {"causes": pa.map_(text, pa.int64()), "studies": names, "comment": text, "message": text}
    found = []
    for stored, stamp in zip(catalog.to_pylist(), current.to_pylist(), strict=True):
        known = read_catalog(stored)
        if known.problem is not None:
            raise NotSupported(known.problem)
        check_stamp(known.stamp, stamp)
        found.append([_describe(entry) for entry in known.entries])
    return pa.array(found, pa.list_(pa.struct(list(row.items()))))


def _describe(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": entry.name, "graph": entry.graph, "comment": entry.comment}
    shown["studies"] = [study.name for study in entry.studies]
    try:
        model = read_spec(entry.name, entry.spec)
    except GraphError as wrong:
        return shown | {"message": str(wrong)}
    causes = [(u.name, _card(model, u.name)) for u in model.exogenous]
    return shown | {"variables": list(model.variables), "unmeasured": list(model.unmeasured), "causes": causes}


def _card(model: Model, cause: str) -> int | None:
    """The number of states of a cause, None where it depends on states that are learned from data."""
    try:
        return model.card(cause)
    except DuckEmccError:
        return None
