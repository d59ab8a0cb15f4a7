"""n[s, p]: how often a study saw each distinct pattern of the model's variables, segment by segment.

A pattern may lack values: -1 stands for one that was not recorded. A variable that is -1 throughout was not measured.

Axes: s segment, p distinct pattern, v variable. Nothing after this type depends on the number of records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import StudyError, UnknownName


@dataclass(frozen=True, eq=False)
class StudyCounts:
    """The counts of one study.

    name:      of the study
    variables: the model's variables, in model order                       [v]
    do:        those set by design, in model order
    codes:     int32 [p, v], the state of each variable in each pattern, -1 where it was not recorded
    count:     float64 [s, p], the (weighted) number of records; zero where a segment lacks the pattern
    local:     exogenous variable -> name of its own distribution in this study; the others share the model's

    The arrays are copied, brought into one canonical form (patterns sorted by their codes, repeated ones added up)
    and made read-only, so that nothing downstream depends on the order or the splitting of rows.

    Raises StudyError for arrays of the wrong shape or with impossible values, an intervened variable without a value
    among them, and UnknownName for an unknown `do`.
    """

    name: str
    variables: tuple[str, ...]
    do: tuple[str, ...]
    codes: NDArray[np.int32]
    count: NDArray[np.float64]
    local: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        codes, count = np.array(self.codes), np.array(self.count, np.float64)
        _check(self.name, self.variables, codes, count)
        for variable in self.do:
            _check_set(self.name, variable, self.variables, codes)
        codes, count = _canonical(codes.astype(np.int32), count)
        count = np.ascontiguousarray(count)  # sums along a row are rounded by its layout
        codes.flags.writeable = count.flags.writeable = False
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "do", tuple(v for v in self.variables if v in self.do))
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "local", dict(sorted(self.local.items())))

    def arms(self, label: Callable[[str, int], str]) -> list[StudyCounts]:
        """One study per arm, that is per combination of values of the intervened variables, sorted by their codes.

        `label` gives the text of a state: (variable, code) -> label; an arm is named like ``trial[Treatment=drug]``.
        A study without interventions is its own single arm.
        """
        if not self.do:
            return [self]
        arm_codes, arm_of = np.unique(self.codes[:, self._columns()], axis=0, return_inverse=True)
        return [self._arm(arm, arm_of.reshape(-1) == i, label) for i, arm in enumerate(arm_codes)]

    def _arm(self, arm: NDArray[np.int32], rows: NDArray[np.bool_], label: Callable[[str, int], str]) -> StudyCounts:
        setting = ", ".join(f"{v}={label(v, int(code))}" for v, code in zip(self.do, arm, strict=True))
        return replace(self, name=f"{self.name}[{setting}]", codes=self.codes[rows], count=self.count[:, rows])

    def _columns(self) -> list[int]:
        return [self.variables.index(v) for v in self.do]


def _check(name: str, variables: tuple[str, ...], codes: NDArray[np.generic], count: NDArray[np.float64]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(variables):
        raise StudyError(
            f"study {name!r}: codes has shape {codes.shape}; expected [patterns, {len(variables)}]", study=name
        )
    if count.ndim != 2 or count.shape[1] != len(codes):
        raise StudyError(
            f"study {name!r}: count has shape {count.shape}; expected [segments, {len(codes)}]", study=name
        )
    if codes.dtype.kind not in "iu" or (codes.size and codes.min() < -1):
        raise StudyError(
            f"study {name!r}: codes are to be integers from 0, or -1 for a value that was not recorded; "
            f"found {codes.dtype}, {codes.min()}",
            study=name,
        )
    if not np.all(np.isfinite(count)) or np.any(count < 0):
        raise StudyError(f"study {name!r}: counts are to be finite and not negative", study=name)


def _check_set(name: str, variable: str, variables: tuple[str, ...], codes: NDArray[np.integer]) -> None:
    if variable not in variables:
        raise UnknownName(
            f"study {name!r} intervenes on {variable}, which is none of {variables}", study=name, variable=variable
        )
    if np.any(codes[:, variables.index(variable)] < 0):
        raise StudyError(
            f"study {name!r} sets {variable} by design, but has records without its value",
            remedy="fill in what was set, or leave these records out",
            study=name,
            variable=variable,
        )


def _canonical(codes: NDArray[np.int32], count: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Patterns in lexicographic order, each once."""
    order = np.lexsort(codes.T[::-1]) if codes.shape[1] else np.arange(len(codes))
    codes, count = codes[order], count[:, order]
    first = np.ones(len(codes), np.bool_)
    first[1:] = np.any(codes[1:] != codes[:-1], axis=1)
    if first.all():  # np.add.reduceat would do, but fails on no pattern at all
        return codes, count
    return codes[first], np.add.reduceat(count, np.flatnonzero(first), axis=1)
