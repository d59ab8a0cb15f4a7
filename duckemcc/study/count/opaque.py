"""PostgreSQL's NUMERIC, which has no Arrow type: it comes as text, in columns that ADBC marks as `arrow.opaque`.

As text, '1' and '1.00' would be two states, and no weight; so they become decimals of as many digits as they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duckemcc.errors import UnsupportedColumn

if TYPE_CHECKING:
    import polars as pl


def read_decimals(texts: pl.Series, name: str, called: str) -> pl.Series:
    """Numbers without trailing zeros, of as many digits as a state, a segment or a weight may have.

    name, called: the study and the column in messages. Raises UnsupportedColumn.
    """
    import polars as pl

    digits = texts.str.replace(r"^(-?\d+)\.0*$", "$1").str.replace(r"^(-?\d+\.\d*?[1-9])0*$", "$1")
    scale = max((len(d.partition(".")[2]) for d in digits.drop_nulls().to_list()), default=0)
    numbers = digits.cast(pl.Decimal(38, min(scale, 37)), strict=False)
    if bad := digits.filter(numbers.is_null() & digits.is_not_null()).to_list():
        raise UnsupportedColumn(
            f"study {name!r}: {called} = {bad[0]} is no number of at most 38 digits",
            remedy="group it into states, or cast it to text in the source",
            study=name,
        )
    return numbers


def find_opaque(schema: Any) -> list[int]:
    """The positions of NUMERIC columns in a pyarrow schema."""
    return [i for i, field in enumerate(schema) if _is_numeric(field.type)]


def read_opaque(source: Any, name: str) -> Any:
    """A table or stream of Arrow, as a table if it has NUMERIC columns: how many digits they need is known when all are
    seen. Raises UnsupportedColumn."""
    import polars as pl
    import pyarrow as pa

    places = find_opaque(source.schema)
    if not places:
        return source
    table = source if isinstance(source, pa.Table) else source.read_all()
    for i in places:
        chunks = [chunk.storage.cast(pa.large_string()) for chunk in table.column(i).chunks]
        texts = pl.Series(pl.from_arrow(pa.chunked_array(chunks, pa.large_string())))
        called = table.column_names[i]
        table = table.set_column(i, called, read_decimals(texts, name, called).to_arrow())
    return table


def _is_numeric(kind: Any) -> bool:
    named = getattr(kind, "extension_name", None) == "arrow.opaque"
    return named and (kind.vendor_name, kind.type_name) == ("PostgreSQL", "numeric")
