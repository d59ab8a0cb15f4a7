"""n(pattern) in SQL, for any engine: a tree that sqlglot writes in its dialect, never text put together.

    SELECT variables, segments, COUNT(*) or the sum of weights FROM (SELECT columns under our names FROM source WHERE …)
    GROUP BY variables, segments

Floating-point weights are summed in pieces, as `study.dialect` says it for DuckDB, so that no order of records can
change a total.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from duckemcc.study.dialect import PIECES, STEP
from duckemcc.study.labels import LARGEST_WEIGHT, SMALLEST_WEIGHT

OWN = "emcc_"
"""How names of ours begin."""


def count_query(
    source: exp.Expression,
    keys: Mapping[str, exp.Expression],
    measures: Mapping[str, exp.Expression],
    condition: exp.Expression | None = None,
    weight: exp.Expression | None = None,
    is_float: bool = True,
) -> exp.Select:
    """keys: what is grouped by, over the source's columns. measures: `tally` or `total_or_null`."""
    items = [_named(e, n) for n, e in keys.items()]
    if weight is not None:
        items.append(_named(weight, "emcc_weight"))
    records = exp.select(*items).from_(source)
    if condition is not None:
        records = records.where(condition)
    if weight is not None:
        records = _with_good_weights(records, is_float)
    names = [column(n) for n in keys]
    grouped = exp.select(*names, *(_named(e, n) for n, e in measures.items())).from_(_subquery(records))
    return grouped.group_by(*(n.copy() for n in names))


def tally(weighted: bool, is_float: bool) -> dict[str, exp.Expression]:
    """What `labels.Tally` has beside the keys."""
    everything = exp.Count(this=exp.Star())
    if not weighted:
        return {"emcc_count": exp.cast(everything, "double"), "emcc_records": everything.copy()}
    good, weight = exp.column("emcc_good"), exp.column("emcc_weight")
    positive = exp.case().when(exp.GT(this=good, expression=exp.Literal.number(0)), exp.Literal.number(1))
    bad = exp.case().when(exp.Is(this=good.copy(), expression=exp.Null()), weight)
    return {
        "emcc_count": exp.func("COALESCE", _total(is_float), exp.Literal.number(0)),
        "emcc_records": exp.Count(this=positive),
        "emcc_bad": exp.Sub(this=everything, expression=exp.Count(this=good.copy())),
        "emcc_example": exp.cast(exp.Min(this=bad), "text"),
    }


def total_or_null(weighted: bool) -> exp.Expression:
    """The number of records, or the sum of their weights if each can be one."""
    if not weighted:
        return exp.Count(this=exp.Star())
    all_good = exp.EQ(this=exp.Count(this=exp.Star()), expression=exp.Count(this=exp.column("emcc_good")))
    return exp.case().when(all_good, _total(True))


def _with_good_weights(records: exp.Select, is_float: bool) -> exp.Select:
    """emcc_good: the weight, or NULL where it cannot be one."""
    weight, low = exp.column("emcc_weight"), SMALLEST_WEIGHT if is_float else 0
    between = exp.Between(this=weight.copy(), low=_number(low), high=_number(LARGEST_WEIGHT))
    possible = exp.or_(exp.EQ(this=weight.copy(), expression=_number(0)), between)
    good = _named(exp.case().when(possible, weight), "emcc_good")
    return exp.select("*", good).from_(_subquery(records))


def _total(is_float: bool) -> exp.Expression:
    """The sum of emcc_good. Piece i of a weight w is floor(w S^i) - S floor(w S^(i-1)), the same number as in
    `dialect.piece_items`: to multiply by a power of two, to round down and to subtract the leading bits is exact."""
    if not is_float:
        return exp.cast(exp.Sum(this=exp.column("emcc_good")), "double")
    total: exp.Expression = exp.Sum(this=_floor(0))
    for i in range(1, PIECES):
        leading = exp.Mul(this=_number(STEP), expression=_floor(i - 1))
        piece = exp.Sum(this=exp.Sub(this=_floor(i), expression=leading))
        part = exp.Div(this=piece, expression=_number(STEP**i), typed=True, safe=False)
        total = exp.Add(this=total, expression=part)
    return total


def _floor(i: int) -> exp.Floor:
    """Of emcc_good S^i."""
    good = exp.column("emcc_good")
    return exp.Floor(this=good if i == 0 else exp.Mul(this=good, expression=_number(STEP**i)))


def _subquery(query: exp.Select) -> exp.Subquery:
    return query.subquery("emcc_records", copy=False)


def _named(item: exp.Expression, name: str) -> exp.Expression:
    if isinstance(item, exp.Column) and item.name == name:
        return item
    return exp.alias_(item, exp.to_identifier(name, quoted=not name.startswith(OWN)))


def column(name: str) -> exp.Column:
    """A column in quotes, so that no dialect folds it; names of ours are bare everywhere."""
    return exp.column(exp.to_identifier(name, quoted=not name.startswith(OWN)))


def _number(value: float) -> exp.Literal:
    return exp.Literal.number(f"{value:.0f}" if value == int(value) and value < 1e16 else repr(float(value)))
