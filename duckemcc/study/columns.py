"""Which column is which: names of variables, segments and weights matched to a source's columns.

Names are matched without regard to case, and a match is to be unique.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from duckemcc.errors import OptionError, RepeatedName, given
from duckemcc.study.names import find_column, model_name
from duckemcc.study.study import Study
from duckemcc.study.watch import Watch, unwatched

if TYPE_CHECKING:
    from sqlglot import exp


class Design(Protocol):
    """What a `Study` says of its columns; so does one that is registered in a database."""

    @property
    def do(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> Mapping[str, str]: ...
    @property
    def unmeasured(self) -> tuple[str, ...]: ...
    @property
    def weight(self) -> str | None: ...


class Columns(NamedTuple):
    """The columns of a source that matter, as the source spells them; `variables` are the measured ones.

    own: those that tell the studies of one source apart.
    """

    variables: dict[str, str]
    by: dict[str, str]
    weight: str | None
    do: tuple[str, ...]
    own: Mapping[str, str] = MappingProxyType({})

    @property
    def keys(self) -> dict[str, str]:
        """What is grouped by: emcc_v0.. for variables, emcc_b0.. for segments -> the source's column."""
        keys = {f"emcc_v{i}": c for i, c in enumerate(self.variables.values())}
        keys |= {f"emcc_b{i}": c for i, c in enumerate(self.by.values())}
        return keys | {f"emcc_{name}": c for name, c in self.own.items()}


class Wanted(NamedTuple):
    """What an engine is to count: the records of a study, by these variables and segments.

    name: what messages call the study. latent: variables that no study measures. own: columns that the source may have
    for itself. watch: stops the engine when the time is over.
    """

    study: Study
    name: str
    variables: tuple[str, ...]
    by: tuple[str, ...] = ()
    latent: Sequence[str] = ()
    own: Sequence[str] = ()
    watch: Watch = unwatched

    def match(self, found: Sequence[str]) -> Matched:
        """The columns of a source. Raises what `match_columns` and `check_filter` raise."""
        columns = match_columns(self.study, self.name, self.variables, self.by, found, self.latent, self.own)
        used = {*columns.keys.values()} | ({columns.weight} if columns.weight else set())
        if self.study.where is None:
            return Matched(columns, None, used)
        from duckemcc.study.dialect import check_filter, filter_columns

        condition = check_filter(self.study.where, found, f"study {self.name!r}")
        return Matched(columns, condition, used | filter_columns(condition))


class Matched(NamedTuple):
    """condition: the tree of `where`. used: every column that is read."""

    columns: Columns
    condition: exp.Expression | None
    used: set[str]


def match_columns(
    study: Design,
    name: str,
    variables: Sequence[str],
    by: Sequence[str],
    found: Sequence[str],
    latent: Sequence[str] = (),
    own: Sequence[str] = (),
) -> Columns:
    """Match names to columns without regard to case. latent: variables that no study measures. own: columns that the
    source may have for itself.

    Raises MissingColumn, UnknownName (with a hint), RepeatedName where a match is not unique, OptionError for a `by`
    that is a variable (its segments would be selected on the variable, and no model of the whole holds in them), and
    for an unmeasured variable that is set by design or has a column.
    """
    where = f"study {name!r}"
    do = tuple(v for v in variables if v in {model_name(d, variables, f"{where} intervenes on") for d in study.do})
    mapped = {model_name(v, variables, f"{where} has columns= for"): c for v, c in study.columns.items()}
    absent = {model_name(v, variables, f"{where} has unmeasured= for") for v in study.unmeasured} | {*latent}
    _check_measured(where, [v for v in variables if v in absent], do, mapped, len(variables))
    several = bool(own)  # studies in one source, none of which can say unmeasured=
    matched = {v: _variable_column(where, v, mapped, found, several) for v in variables if v not in absent}
    for column in matched.values():
        owners = [v for v, c in matched.items() if c == column]
        if len(owners) > 1:
            raise RepeatedName(
                f"{where} uses the column {column} for {' and '.join(owners)}",
                remedy="give each its own",
                variable=owners[0],
                option="columns",
            )
    segments = {b: find_column(where, b, f"segment {b}", found, _SHARED_ADVICE) for b in by}
    check_segments(variables, by, {c: v for v, c in matched.items()}, segments)
    weight = None if study.weight is None else find_column(where, study.weight, f"weight {study.weight}", found)
    if weight in matched.values():
        raise OptionError(
            f"{where} takes its weight from {weight}, which is also the column of a variable", option="weight"
        )
    there = {c.casefold() for c in found}
    told = {n: find_column(where, n, f"name {n}", found) for n in own if n in there}
    return Columns(matched, segments, weight, do, told)


_SHARED_ADVICE = "If its records belong to every segment, say " + given("shared", True)


def _check_measured(
    where: str, absent: Sequence[str], do: Sequence[str], mapped: Mapping[str, str], variables: int
) -> None:
    for variable in absent:
        if variable in do:
            raise OptionError(
                f"{where} sets {variable} by design and calls it unmeasured",
                remedy="its column is to say what it was set to",
                option="unmeasured",
                variable=variable,
            )
        if variable in mapped:
            raise OptionError(
                f"{where} maps {variable}, which is unmeasured, to {mapped[variable]}",
                remedy="say one of the two",
                option="columns",
                variable=variable,
            )
    if len(absent) == variables:
        raise OptionError(f"{where} measures no variable of the model", remedy="leave it out", option="unmeasured")


def check_segments(
    variables: Sequence[str], by: Sequence[str], variable_of: Mapping[str, str], segments: Mapping[str, str]
) -> None:
    """Refuse a segment that is a variable of the model, and names that the count table needs for itself."""
    folded = {v.casefold(): v for v in variables}
    for b in by:
        variable = folded.get(b.casefold()) or variable_of.get(segments[b])
        if variable is not None:
            raise OptionError(
                f"by names {b}, which is the variable {variable} of the model: each segment would be selected by it",
                remedy=f"Leave it out of by, and ask for a query given it: P(… | {variable}=…)",
                variable=variable,
                option="by",
            )
    for name in (*variables, *by):
        if name == "count":
            raise OptionError(
                "the name count is taken in a count table", remedy="map the column to another name, like Count"
            )


def _variable_column(where: str, variable: str, mapped: Mapping[str, str], found: Sequence[str], several: bool) -> str:
    column = mapped.get(variable)
    if column is None:
        unmeasured = "say in the graph: unmeasured " + variable if several else "say " + given("unmeasured", [variable])
        advice = "Map it with " + given("columns", {variable: "…"}) + ", or " + unmeasured
        return find_column(where, variable, f"variable {variable}", found, advice, variable=variable)
    if column in found:  # said in full, so that it also chooses between names that differ by case
        return column
    return find_column(where, column, f"variable {variable}, which columns= maps to {column}", found)
