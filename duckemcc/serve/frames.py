"""`frame.emcc`: bounds and compatibility of polars and pandas frames, out the way they came in.

A frame with a column `study` or `intervened` is a relation of several studies, as in SQL; any other is one study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from duckemcc.answer.api import bounds, compatibility, read_studies
from duckemcc.answer.options import Options
from duckemcc.errors import OptionError, hint
from duckemcc.model.scm import Model
from duckemcc.serve.imports import attach_when_imported
from duckemcc.study.count.pandas import column_names
from duckemcc.study.count.relation import OWN, Studies
from duckemcc.study.study import Study, names_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

NAME = "emcc"

_OF_STUDY = tuple(f for f in Study.__dataclass_fields__ if f not in ("source", "con", "kind"))
_OF_STUDIES = ("weight", "where", "columns", "shared")

Frame = TypeVar("Frame")


class Accessor(Generic[Frame]):
    """`frame.emcc`. Nothing is read before it is asked; records are counted where they are, and the frame stays."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def bounds(
        self, model: Model | str, queries: Any, *, by: str | Sequence[str] = (), studies: Any = (), **options: Any
    ) -> Frame:
        """Bounds on queries, one row per segment and query, as by `duckemcc.bounds`.

        With a column ``study`` or ``intervened`` (a list of the variables set by design) the frame holds several
        studies, and takes weight, where, columns and shared; without, it is one, and takes the options of
        `duckemcc.Study`. studies: further ones, frames or `Study` objects. options: of the study, and of `bounds`.
        Raises as `bounds` does.
        """
        names = names_of("by", by)
        joined, asked = self._read(studies, options)
        return self._finish(bounds(model, joined, queries, by=names, **asked), names)

    def compatibility(
        self, model: Model | str, *, by: str | Sequence[str] = (), studies: Any = (), **options: Any
    ) -> Frame:
        """Whether the studies contradict the graph, or each other, as by `duckemcc.compatibility`; else as `bounds`."""
        names = names_of("by", by)
        joined, asked = self._read(studies, options)
        return self._finish(compatibility(model, joined, by=names, **asked), names)

    def _read(self, studies: Any, options: Mapping[str, Any]) -> tuple[list[Study | Studies], dict[str, Any]]:
        """The frame with the further studies, and the options that are not the frame's."""
        own = {name: value for name, value in options.items() if name in _OF_STUDY}
        asked = {name: value for name, value in options.items() if name not in _OF_STUDY}
        known = [*_OF_STUDY, *Options.__dataclass_fields__, "progress"]
        for name in asked:
            if name not in known:
                raise OptionError(
                    f"there is no option {name!r}; the options are {', '.join(known)}",
                    remedy=hint(name, known, "options"),
                    option=name,
                )
        others = list(studies) if isinstance(studies, (list, tuple)) else [studies]
        return [_read_frame(self._frame, own), *(_read_other(s) for s in others)], asked

    def _finish(self, table: pa.Table, by: Sequence[str]) -> Frame:
        """The answer as a frame of the kind that was asked, segments with the types that they have there."""
        raise NotImplementedError


class PolarsAccessor(Accessor["pl.DataFrame"]):
    """`frame.emcc` of a polars DataFrame or LazyFrame; the streaming engine counts, and a DataFrame comes out."""

    def _finish(self, table: pa.Table, by: Sequence[str]) -> pl.DataFrame:
        import polars as pl

        found = pl.from_arrow(table)
        assert isinstance(found, pl.DataFrame)
        types = {c.casefold(): t for c, t in self._frame.lazy().collect_schema().items()}
        restored = []
        for name in by:
            kind = types.get(name.casefold())
            if isinstance(kind, (pl.Categorical, pl.Enum, pl.Int128, pl.UInt128)):  # these are counted as text
                typed = found[name].cast(kind, strict=False)
                restored += [typed] if typed.null_count() == found[name].null_count() else []
        return found.with_columns(restored)


class PandasAccessor(Accessor[Any]):
    """`frame.emcc` of a pandas DataFrame; a DataFrame comes out, whole numbers and truth values in nullable types."""

    def _finish(self, table: pa.Table, by: Sequence[str]) -> Any:
        import pyarrow as pa

        pandas: Any = import_module("pandas")
        nullable = {pa.bool_(): pandas.BooleanDtype(), pa.int64(): pandas.Int64Dtype()}
        found = table.to_pandas(types_mapper=nullable.get)
        types = {str(c).casefold(): t for c, t in self._frame.dtypes.items()}
        for name in by:
            if (kind := types.get(name.casefold())) is not None:
                found[name] = _retyped(found[name], kind)
        return found


def _retyped(values: Any, kind: Any) -> Any:
    """The values in another pandas type, where that has them all."""
    try:
        typed = values.astype(kind)
    except (TypeError, ValueError):
        return values
    there = values.notna()
    same = typed.notna().equals(there) and typed[there].tolist() == values[there].tolist()
    return typed if same else values


# -- what is given -----------------------------------------------------------------------------


def _read_frame(frame: Any, own: Mapping[str, Any]) -> Study | Studies:
    """Raises `OptionError` for an option of one study where the frame holds several."""
    told = [c for c in _names(frame) if c.casefold() in OWN]
    if not told:
        return Study(frame, **own)
    for option in own:
        if option not in _OF_STUDIES:
            raise OptionError(
                f"{option}= is about one study, but the frame has a column {told[0]}, so it holds several",
                remedy=f"say it in "
                f"the columns study and intervened, or drop these. One of the studies can be joined by studies=, as "
                f"duckemcc.Study(frame, {option}=…, where=…)",
                option=option,
            )
    return Studies(frame, **own)


def _read_other(source: Any) -> Study | Studies:
    (study,) = read_studies([source])
    bare = study is not source and isinstance(study, Study) and study.kind in ("polars", "pandas")
    return _read_frame(source, {}) if bare else study


def _names(frame: Any) -> list[str]:
    return frame.lazy().collect_schema().names() if hasattr(frame, "lazy") else column_names(frame)


# -- where it comes from -----------------------------------------------------------------------


def attach_accessors() -> None:
    """Gives polars and pandas frames their `.emcc`, now or when these packages are imported."""
    attach_when_imported({"polars": _attach_polars, "pandas": _attach_pandas})


def _attach_polars(polars: ModuleType) -> None:
    for kind, register in (
        ("DataFrame", polars.api.register_dataframe_namespace),
        ("LazyFrame", polars.api.register_lazyframe_namespace),
    ):
        if not hasattr(getattr(polars, kind), NAME):
            register(NAME)(PolarsAccessor)


def _attach_pandas(pandas: ModuleType) -> None:
    if not hasattr(pandas.DataFrame, NAME):
        pandas.api.extensions.register_dataframe_accessor(NAME)(PandasAccessor)
