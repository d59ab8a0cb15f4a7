"""Selection bias: records that a known rule kept, and others that it dropped (`Study(selected=)`).

The construction is the authors' selector: one more variable S = [rule(V)], deterministic, whose parents are the rule's
variables. A kept record has S = 1; a dropped one has S = 0 and no other value. So the records that were dropped bear
on the chances as well: by log P(S = 0) each.

A rule is evaluated once, over the grid of its variables' states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import Fields, OptionError, StudyError, TooLarge, given
from duckemcc.learn.counts import StudyCounts
from duckemcc.model.scm import Endogenous, Model
from duckemcc.study.literal import values

if TYPE_CHECKING:
    import polars as pl

    from duckemcc.study.labels import Tally

LARGEST_GRID = 1_000_000
DROPPED, KEPT = "dropped", "kept"


class Rule(NamedTuple):
    """text: as given. tree: checked, over `variables`, those of the model that it names, in model order."""

    text: str
    tree: Any
    variables: tuple[str, ...]


def read_rule(text: str, variables: Sequence[str], study: str) -> Rule:
    """The rule of a study. Raises OptionError for what is no condition on variables of the model, UnknownName."""
    from duckemcc.study.dialect import check_rule, filter_columns

    tree = check_rule(text, variables, f"study {study!r}")
    named = filter_columns(tree)
    if not named:
        raise OptionError(
            f"study {study!r}: " + given("selected", text) + " names no variable, so it keeps all records or none",
            study=study,
            option="selected",
        )
    return Rule(text, tree, tuple(v for v in variables if v in named))


def check_dropped(tally: Tally) -> None:
    """The number of dropped records is known, in every segment and arm if there are weights (it may be zero there).

    Raises StudyError.
    """
    import polars as pl

    frame = tally.frame
    if frame.filter(tally.is_empty & (pl.col("emcc_count") > 0)).is_empty():
        raise StudyError(
            f"study {tally.name!r} has selected= and no dropped records, so P(selected) is unknown",
            remedy="give the number of "
            "dropped records as a row with NULL in every variable and the number as weight (if none were dropped, "
            "leave selected= out)",
            study=tally.name,
        )
    names = {tally.keys[v]: v for v in tally.do} | {f"emcc_b{i}": b for i, b in enumerate(tally.by)}
    if not names or "emcc_bad" not in frame.columns:  # without weights, no row is no record
        return
    kept, dropped = (frame.filter(side).select(list(names)).unique() for side in (~tally.is_empty, tally.is_empty))
    missing = kept.join(dropped, on=list(names), how="anti", nulls_equal=True).sort(list(names))
    if not missing.is_empty():
        place = ", ".join(f"{names[key]} = {value}" for key, value in missing.row(0, named=True).items())
        raise StudyError(
            f"study {tally.name!r} does not say how many records were dropped where {place}",
            remedy="give a row with NULL in "
            "every variable that is not set by design, and the number as weight (it may be 0)",
            study=tally.name,
        )


# -- the rule over the states -------------------------------------------------------------------


def evaluate_rule(rule: Rule, states: Mapping[str, tuple[str, ...]], study: str) -> NDArray[np.bool_]:
    """Whether the rule keeps each combination of its variables' states; an axis per variable.

    Labels that are integers are integers in the rule, true and false are booleans, all else is text; where the rule is
    NULL it keeps nothing. Raises OptionError for a rule that these do not fit or that does not tell them apart,
    TooLarge.
    """
    import polars as pl

    from duckemcc.study.dialect import filter_text

    cards = [len(states[v]) for v in rule.variables]
    what = f"study {study!r}: " + given("selected", rule.text)
    of_rule = Fields(study=study, option="selected")
    if prod(cards) > LARGEST_GRID:
        most = f"at most {LARGEST_GRID:,} are evaluated"
        raise TooLarge(what + f" is over {prod(cards):,} combinations of states; {most}", **of_rule)
    place = np.indices(cards).reshape(len(cards), -1)
    grid = pl.DataFrame([_values(v, states[v])[p] for v, p in zip(rule.variables, place, strict=True)])
    place_of = {name: f"emcc_c{i}" for i, name in enumerate(grid.columns)}
    text = filter_text(rule.tree, {name for name, kind in grid.schema.items() if kind.is_integer()}, place_of)
    try:
        kept = grid.rename(place_of).select(emcc_kept=pl.sql_expr(text)).to_series()
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise OptionError(what + f" does not fit the states: {reason}. {_shown(rule, grid)}", **of_rule) from None
    if kept.dtype != pl.Boolean:
        raise OptionError(what + f" is no condition, as it is neither true nor false. {_shown(rule, grid)}", **of_rule)
    found = kept.fill_null(False).to_numpy().reshape(cards)
    if found.all() or not found.any():
        which = "all of them, so nothing is selected" if found.all() else "none of them"
        raise OptionError(what + f" keeps {which}. {_shown(rule, grid)}", **of_rule)
    return np.asarray(found, np.bool_)


def _values(variable: str, labels: tuple[str, ...]) -> pl.Series:
    import polars as pl

    if set(labels) <= {"true", "false"}:
        return pl.Series(variable, [label == "true" for label in labels])
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return pl.Series(variable, [int(label) for label in labels], dtype=pl.Int64)
    return pl.Series(variable, list(labels), dtype=pl.String)


def _shown(rule: Rule, grid: pl.DataFrame) -> str:
    kinds = {"Boolean": "true or false", "Int64": "integers", "String": "text"}
    states = (
        f"{v} ({kinds[str(grid.schema[v])]}: {', '.join(map(str, _few(values(grid, v))))})" for v in rule.variables
    )
    return f"Its variables have the states {'; '.join(states)}"


def _few(values: pl.Series) -> list[Any]:
    distinct = values.unique(maintain_order=True).to_list()
    return distinct[:10] + ["…"] * (len(distinct) > 10)


# -- the selector in the model ------------------------------------------------------------------


def add_selectors(
    model: Model, studies: Sequence[StudyCounts], rules: Mapping[str, Rule]
) -> tuple[Model, tuple[StudyCounts, ...], dict[str, str]]:
    """The model with a selector for each study that has a rule, the counts with their values, study -> selector.

    model: with its states. Raises as `evaluate_rule` does, and StudyError for a kept record that breaks the rule.
    """
    if not rules:
        return model, tuple(studies), {}
    tables = {study: evaluate_rule(rule, _known(model), study) for study, rule in rules.items()}
    for study in studies:
        if study.name in rules:
            _check_kept(study, rules[study.name], tables[study.name], _known(model))
    names = _selector_names(model, rules)
    selectors = tuple(Endogenous(names[s], rule.variables, (DROPPED, KEPT)) for s, rule in rules.items())
    equations = {names[s]: table.astype(np.intp) for s, table in tables.items()}
    extended = replace(model, endogenous=(*model.endogenous, *selectors), equations={**model.equations, **equations})
    return extended, tuple(_with_selectors(s, extended.variables, names) for s in studies), names


def is_dropped(study: StudyCounts) -> NDArray[np.bool_]:
    """Whether each pattern [p] has no value but those set by design."""
    free = [i for i, v in enumerate(study.variables) if v not in study.do]
    return np.asarray((study.codes[:, free] < 0).all(axis=1))


def _known(model: Model) -> dict[str, tuple[str, ...]]:
    return {v: labels or () for v, labels in model.states.items()}


def _selector_names(model: Model, rules: Mapping[str, Rule]) -> dict[str, str]:
    taken = {name.casefold() for name in (*model.variables, *(u.name for u in model.exogenous))}
    names = {}
    for study in rules:
        name = f"selection of {study}"
        while name.casefold() in taken:
            name += "'"
        taken.add(name.casefold())
        names[study] = name
    return names


def _with_selectors(study: StudyCounts, variables: tuple[str, ...], names: Mapping[str, str]) -> StudyCounts:
    """Codes [p, v] with a column per selector: its value in its own study, unmeasured in the others."""
    columns = np.full((len(study.codes), len(names)), -1, np.int32)
    if study.name in names:
        columns[:, list(names).index(study.name)] = np.where(is_dropped(study), 0, 1)
    return replace(study, variables=variables, codes=np.concatenate([study.codes, columns], axis=1))


def _check_kept(
    study: StudyCounts, rule: Rule, table: NDArray[np.bool_], states: Mapping[str, tuple[str, ...]]
) -> None:
    columns = [study.variables.index(v) for v in rule.variables]
    for p in np.flatnonzero(~is_dropped(study)):
        codes = study.codes[p, columns]
        if table[tuple(slice(None) if code < 0 else code for code in codes)].any():
            continue  # what was not recorded may have satisfied it
        found = ", ".join(f"{v}={states[v][c]}" for v, c in zip(rule.variables, codes, strict=True) if c >= 0)
        raise StudyError(
            f"study {study.name!r} kept {_records(study.count[:, p].sum())} with {found}, which "
            + given("selected", rule.text)
            + " rules out",
            remedy="correct the rule, or filter them with " + given("where", ...),
            option="selected",
            study=study.name,
        )


def _records(number: float) -> str:
    return f"{number:g} record{'' if number == 1 else 's'}"
