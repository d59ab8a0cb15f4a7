"""From the values that an engine counted to the labels of states.

A state's label is its text, as in `model.states.label`: true is 'true', 1 and 1.0 and Decimal('1.00') are '1', text is
itself unchanged. So the integer 1 and the text '1' are one state, the text 'True' and the boolean true ('true') two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from duckemcc.errors import EmptyStudy, InvalidWeight, NullValue, TooLarge, UnsupportedColumn, given
from duckemcc.study.literal import all_named

if TYPE_CHECKING:
    import polars as pl

Nulls = Literal["mar", "mcar", "drop", "error"]

MOST_PATTERNS = 1_000_000
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-15, 1e15  # what read.py can sum exactly

_EXACT = 2**53  # above it, neighbouring integers share a double


def has_labels(dtype: pl.DataType) -> bool:
    """Whether a polars column of this type can hold states."""
    import polars as pl

    kinds = (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null)
    return dtype.is_numeric() or isinstance(dtype, kinds)


def label_series(values: pl.Series) -> pl.Series:
    """The labels of a column as String; null where the value is NULL, or a number that is not integral.

    Raises UnsupportedColumn for a type without states.
    """
    import polars as pl

    if not has_labels(values.dtype):
        raise UnsupportedColumn(
            f"the column {values.name} has type {values.dtype}", remedy="cast it to text in the source"
        )
    if values.dtype.is_float():
        wide = values.cast(pl.Float64)
        exact = wide.is_finite() & (wide.floor() == wide) & (wide.abs() <= _EXACT)
        return wide.cast(pl.Int64, strict=False).cast(pl.String).zip_with(exact.fill_null(False), _nulls(values))
    if values.dtype.is_decimal():
        return values.cast(pl.String).str.extract(r"^(-?\d+)(?:\.0*)?$", 1)
    return values.cast(pl.String)


def as_numbers(texts: pl.Series) -> pl.Series:
    """Whole numbers of up to 38 digits that an engine gave as text, so that they sort as numbers; longer ones stay."""
    import polars as pl

    numbers = texts.cast(pl.Decimal(38, 0), strict=False)
    return texts if numbers.null_count() > texts.null_count() else numbers


def _nulls(values: pl.Series) -> pl.Series:
    import polars as pl

    return pl.Series(values.name, [None], dtype=pl.String).new_from_index(0, len(values))


# -- a counted study ---------------------------------------------------------------------------


class Tally(NamedTuple):
    """What an engine counted.

    variables: those with a column. selected: whether rows without any value stand for dropped records
    frame: emcc_v0.. (values of the variables), emcc_b0.. (segments), emcc_count (Float64), emcc_records (those of
           positive weight); where there are weights, emcc_bad (records of an impossible weight) and emcc_example (one
           such weight, as text)
    """

    name: str
    do: tuple[str, ...]
    variables: tuple[str, ...]
    by: tuple[str, ...]
    columns: Mapping[str, str]  # variable -> column
    weight: str
    frame: pl.DataFrame
    selected: bool = False

    @property
    def keys(self) -> dict[str, str]:
        """variable -> its column of the frame"""
        return {v: f"emcc_v{i}" for i, v in enumerate(self.variables)}

    @property
    def is_empty(self) -> pl.Expr:
        """Whether a row has no value of any variable that is not set by design."""
        import polars as pl

        return pl.all_horizontal(pl.lit(True), *(pl.col(k).is_null() for v, k in self.keys.items() if v not in self.do))


def _check_size(tally: Tally) -> None:
    if tally.frame.height <= MOST_PATTERNS:
        return
    keys = [*tally.keys.values(), *(f"emcc_b{i}" for i in range(len(tally.by)))]
    distinct = {n: tally.frame[k].n_unique() for n, k in zip((*tally.variables, *tally.by), keys, strict=True)}
    shown = ", ".join(f"{n} has {d}" for n, d in sorted(distinct.items(), key=lambda item: -item[1]))
    raise TooLarge(
        f"study {tally.name!r} has more than {MOST_PATTERNS} distinct patterns. Among the first of them, {shown} "
        "distinct values",
        remedy="group the values of the largest into fewer states, or leave it out",
        study=tally.name,
    )


def labelled(tally: Tally, nulls: Nulls) -> pl.DataFrame:
    """The frame of a `CountTable`: labels for values, equal patterns added up, rows sorted; NULL for what was not
    recorded.

    Raises TooLarge, InvalidWeight, EmptyStudy, NullValue, UnsupportedColumn.
    """
    import polars as pl

    _check_size(tally)
    frame = _without_nulls(tally, _checked_weights(tally), nulls)
    labels = frame.with_columns(label_series(frame[key]) for key in tally.keys.values())
    for variable, key in tally.keys.items():
        if labels[key].null_count() > frame[key].null_count():
            _check_labels(tally, variable, frame.filter(labels[key].is_null()), key)
    names = {key: variable for variable, key in tally.keys.items()}
    names |= {f"emcc_b{i}": b for i, b in enumerate(tally.by)} | {"emcc_count": "count"}
    labels = labels.select(pl.col(key).alias(name) for key, name in names.items())
    keys = all_named([*tally.variables, *tally.by])
    summed = labels.group_by(keys).agg(pl.col("count").sum()).sort(keys)
    if (summed["count"] % 1 == 0).all():
        return summed
    count = pl.Series("count", [round_count(c) for c in summed["count"].to_list()], dtype=pl.Float64)
    return summed.with_columns(count)


def find_absent(tally: Tally, labels: pl.DataFrame) -> pl.DataFrame | None:
    """The segments that occur in what was counted, but in no record that counts: all of them weigh nothing, or are left
    out for a NULL. None where there are none."""
    import polars as pl

    if not tally.by:
        return None
    segments = tally.frame.select(pl.col(f"emcc_b{i}").alias(b) for i, b in enumerate(tally.by)).unique()
    absent = segments.join(labels, on=all_named(tally.by), how="anti", nulls_equal=True).sort(all_named(tally.by))
    return None if absent.is_empty() else absent


def round_count(count: float) -> float:
    """Thirteen digits, so that three weights of 0.1 weigh 0.3."""
    return count if count.is_integer() else float(f"{count:.13g}")


def _checked_weights(tally: Tally) -> pl.DataFrame:
    import polars as pl

    frame = tally.frame
    if "emcc_bad" in frame.columns and (bad := int(frame["emcc_bad"].sum())) > 0:
        examples = frame.filter(pl.col("emcc_bad") > 0)["emcc_example"].drop_nulls().sort()
        example = examples[0] if len(examples) else "NULL"
        weight = f"weight {tally.weight}".rstrip()
        raise InvalidWeight(
            f"study {tally.name!r} has {bad} {_records(bad)} whose {weight} is NULL, negative, not a number, or "
            f"outside {SMALLEST_WEIGHT:g} … {LARGEST_WEIGHT:g} (as {example})",
            remedy="correct the weights, or leave the records out by " + given("where", ...),
            option="weight",
            study=tally.name,
        )
    if not (frame["emcc_count"] > 0).all():
        frame = frame.filter(pl.col("emcc_count") > 0)
    if frame.is_empty():
        weights = f"weights {tally.weight}".rstrip()
        raise EmptyStudy(f"study {tally.name!r} is empty: all its {weights} are zero", study=tally.name)
    return frame


def _without_nulls(tally: Tally, frame: pl.DataFrame, nulls: Nulls) -> pl.DataFrame:
    """The records that `nulls` keeps; dropped ones (`selected`) have no value by design."""
    import polars as pl

    if nulls == "drop":
        complete = pl.all_horizontal(pl.col(k).is_not_null() for k in tally.keys.values())
        set_by_design = pl.all_horizontal(pl.lit(True), *(pl.col(tally.keys[v]).is_not_null() for v in tally.do))
        frame = frame.filter(complete | (tally.is_empty & set_by_design if tally.selected else False))
    _check_some_value(tally, frame, nulls)
    set_to = ", also where records were dropped" if tally.selected else ""
    _refuse_nulls(tally, frame, tally.do, ", which is set by design", f"say what it was set to{set_to}")
    if nulls == "error":
        recorded = frame.filter(~tally.is_empty) if tally.selected else frame
        _refuse_nulls(tally, recorded, tally.variables, "", _NULLS_ADVICE)
    return frame


_NULLS_ADVICE = (
    given("nulls", "mar")
    + " takes them as values that were not recorded, "
    + given("nulls", "drop")
    + " leaves these records out"
)


def _check_some_value(tally: Tally, frame: pl.DataFrame, nulls: Nulls) -> None:

    if tally.selected and frame.select(tally.is_empty).to_series().all():
        raise EmptyStudy(f"study {tally.name!r} is empty: all its records were dropped", study=tally.name)
    if nulls != "error" and all(frame[k].null_count() == frame.height for k in tally.keys.values()):
        what = "a NULL in a variable" if nulls == "drop" else "NULL in every variable"
        raise EmptyStudy(f"study {tally.name!r} is empty: every record has {what}", study=tally.name)


def _refuse_nulls(tally: Tally, frame: pl.DataFrame, variables: Sequence[str], what: str, advice: str) -> None:
    import polars as pl

    for variable in variables:
        if not frame[tally.keys[variable]].null_count():
            continue
        records = int(frame.filter(pl.col(tally.keys[variable]).is_null())["emcc_records"].sum())
        if records > 0:
            column = tally.columns[variable]
            called = column if column == variable else f"{column} (variable {variable})"
            raise NullValue(
                f"study {tally.name!r} has NULL in {called} in {records} {_records(records)}{what}",
                remedy=advice + "; or filter them with " + given("where", _filter(column)),
                study=tally.name,
                variable=variable,
            )


def _filter(column: str) -> str:
    """The condition; what is no bare word is quoted in it."""
    bare = re.fullmatch(r"[A-Za-z_]\w*", column) is not None
    return (column if bare else '"' + column.replace('"', '""') + '"') + " IS NOT NULL"


def _check_labels(tally: Tally, variable: str, without: pl.DataFrame, key: str) -> None:
    without = without.drop_nulls(key)  # a NULL has no label either, but is none of these records
    if without.is_empty():
        return
    value, records = without.sort(key)[0, key], int(without["emcc_records"].sum())
    raise UnsupportedColumn(
        f"study {tally.name!r}: {tally.columns[variable]} = {value} is no state of {variable}, as it is no exact "
        f"integer ({records} such {_records(records)})",
        remedy="group it into states, or cast it to text in the source",
        study=tally.name,
        variable=variable,
    )


def _records(number: float) -> str:
    return "record" if number == 1 else "records"
