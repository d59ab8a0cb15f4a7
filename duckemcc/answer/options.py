"""The options of every entry, and the clock that keeps to `max_seconds`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

from duckemcc.errors import OptionError, Timeout, given, hint
from duckemcc.learn.start import read_start
from duckemcc.model.threads import one_thread
from duckemcc.model.ticking import ticking
from duckemcc.study.labels import Nulls
from duckemcc.study.watch import Watch, unwatched, watched

_P = ParamSpec("_P")
_R = TypeVar("_R")

TELL_EVERY = 0.5
"""Seconds between two reports of steps."""

COUNTING = 0.5
"""Seconds that counting may take beyond max_seconds, as without counts there is nothing to show for the time. It is
half of what a call may be late at most, which is one second, or a tenth of max_seconds if that is more."""

ROW, SQL_ROW = 1.2e-6, 2.5e-6
"""Seconds that it takes to hand over a row, to Python and to DuckDB, as measured with 10^6 segments."""

DEFAULT_START = "dirichlet(0.03)"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to learn and judge, for every entry (Python keywords, SQL named arguments). Raises `OptionError`.

    method: "sharp", the range over the maximum-likelihood set; "emcc", the paper's Algorithm 1. restarts, seed, start:
    of its random restarts, which "sharp" needs where causes share a component; start is "dirichlet(alpha)",
    "uniform" or "stick". accelerate=False: its literal steps, without a second-order stage. gap: of the
    log-likelihood per record at which a restart has converged. max_steps: EM steps at most. level, tolerance: data
    are incompatible if p_value < level and misfit > tolerance; level=None takes them as exact. incompatible: "null"
    leaves out the bounds of incompatible data, "report" gives those of the maximum-likelihood set. nulls: "mar",
    the likelihood of what was recorded; "mcar", the same, but every pattern of NULLs is tested as a sample of its own;
    "drop" leaves out records with a NULL; "error" refuses them. population: the study whose chances queries are about
    where a cause is local; None: those that the studies share. confidence: of limits for the bounds. limits:
    "conditional", with the degrees of freedom that the data leave the query; "joint", over the models that are likely
    enough with all of them. max_seconds: stop after so long.
    """

    method: str = "sharp"
    restarts: int = 30
    seed: int = 0
    start: str = DEFAULT_START
    accelerate: bool = True
    gap: float = 1e-9
    max_steps: int = 5000
    nulls: Nulls = "mar"
    level: float | None = 0.01
    tolerance: float = 0.01
    incompatible: str = "null"
    population: str | None = None
    confidence: float | None = None
    limits: str = "conditional"
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, ("emcc", "sharp"))
        _one_of("nulls", self.nulls, ("mar", "mcar", "drop", "error"))
        _one_of("incompatible", self.incompatible, ("null", "report"))
        _one_of("limits", self.limits, ("conditional", "joint"))
        _whole("restarts", self.restarts, 1, 10**9)
        _whole("seed", self.seed, 0, 2**63 - 1)
        _whole("max_steps", self.max_steps, 1, 2**63 - 1)
        _number("gap", self.gap, 0, 1)
        _number("tolerance", self.tolerance, 0, 1)
        if self.level is not None:
            _number("level", self.level, 0, 1)
        if self.max_seconds is not None:
            _number("max_seconds", self.max_seconds, 0, float("inf"))
        if not isinstance(self.accelerate, bool):
            raise OptionError(f"accelerate is {self.accelerate!r}", remedy="it is true or false", option="accelerate")
        read_start(self.start)
        if self.population is not None and not isinstance(self.population, str):
            raise OptionError(
                f"population is {self.population!r}", remedy="it takes the name of a study", option="population"
            )
        if self.confidence is not None:
            _number("confidence", self.confidence, 0, 1)
            if self.method == "emcc" or not 0 < self.confidence < 1:
                raise OptionError(
                    f"confidence is {self.confidence!r} with " + given("method", self.method),
                    remedy="it takes a number between 0 and 1, such as 0.95, and " + given("method", "sharp"),
                    option="confidence",
                )


def read_options(given: Mapping[str, Any]) -> Options:
    """The options given by name. Raises `OptionError` for an unknown one."""
    known = list(Options.__dataclass_fields__)
    for name in given:
        if name not in known:
            raise OptionError(
                f"there is no option {name!r}; the options are {', '.join(known)}",
                remedy=hint(name, known, "options"),
                option=name,
            )
    return Options(**given)


class Progress(NamedTuple):
    """So many studies are counted ("count"), or segments answered ("answer"), of so many in all.

    In between, where that takes long: so many steps are done ("step") of all restarts together, or of linear programs,
    of nobody knows how many.
    """

    stage: str
    done: int
    total: int | None


Report: TypeAlias = Callable[[Progress], None]


class Clock:
    """Times the stages, tells how far they are, and stops the work when it has run for too long."""

    def __init__(self, max_seconds: float | None, progress: Report | None = None) -> None:
        if progress is not None and not callable(progress):
            raise OptionError(
                f"progress is {progress!r}",
                remedy="it takes a function of one Progress(stage, done, total)",
                option="progress",
            )
        if max_seconds is not None:
            _import_engines()
        self.begun = self.last = time.perf_counter()
        self.limit, self.progress = max_seconds, progress
        self.steps, self.told = 0, self.begun
        self.row, self.reserved = ROW, 0.0  # seconds of the limit that are needed for a row, and for all, at the end
        self.laps: dict[str, float] = {}
        self.late = False  # whether anybody was told that the time is over

    def advance(self, stage: str, done: int, total: int) -> None:
        """Tells how far a stage is, to whom it may concern."""
        if self.progress is not None:
            self.progress(Progress(stage, done, total))

    def lap(self, stage: str) -> None:
        """Adds the time since the last lap to a stage."""
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self.last
        self.last = now

    def tick(self, needed: float = 0.0) -> float | None:
        """The seconds that are left, None if there is no limit; now and then says that work goes on. Raises `Timeout`
        once the time is over, or if what comes next would be much too late: it needs so many seconds."""
        if self.limit is None and self.progress is None:
            return None
        now = time.perf_counter()
        self.steps += 1
        if self.progress is not None and now - self.told >= TELL_EVERY:
            self.told = now
            self.progress(Progress("step", self.steps, None))
        if self.limit is None:
            return None
        left = self.begun + self.limit - self.reserved - now
        if left < 0 or needed > left + COUNTING:
            raise self._late()
        return left

    @property
    def spent(self) -> float:
        """The seconds since it began."""
        return time.perf_counter() - self.begun

    def count_on(self) -> None:
        """Raises `Timeout` once the time for counting is over."""
        if self.limit is not None and time.perf_counter() - self.begun > self.limit + COUNTING:
            raise self._late()

    @property
    def watch(self) -> Watch:
        """A context of counting in an engine, which is stopped from another thread once the time is over; `Timeout` is
        raised then."""
        if self.limit is None:
            return unwatched
        left = self.begun + self.limit + COUNTING - time.perf_counter()
        return lambda stop: watched(left, stop, self._late)

    def _late(self) -> Timeout:
        self.late = True
        return Timeout(
            "stopped after " + given("max_seconds", self.limit),
            remedy="give it more time, fewer restarts or fewer segments",
            option="max_seconds",
        )


def _import_engines() -> None:
    """Which may take seconds, once in a process: a limit of less would leave none for the first call."""
    import duckdb  # noqa: F401
    import polars  # noqa: F401
    import pyarrow  # noqa: F401
    import scipy.linalg  # noqa: F401
    import sqlglot  # noqa: F401


def timed(work: Callable[_P, _R]) -> Callable[_P, _R]:
    """Work that takes a clock: its kernels keep to that, and have one thread of linear algebra."""

    @wraps(work)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        clock = next(value for value in (*args, *kwargs.values()) if isinstance(value, Clock))
        with one_thread, ticking(clock.tick):
            return work(*args, **kwargs)

    return call


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(f"{name} is {value!r}", remedy=f"it may be {', '.join(map(repr, allowed))}", option=name)


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is {value!r}", remedy=f"it takes a whole number of at least {least}", option=name)
    if value > most:
        raise OptionError(f"{name} is {value!r}", remedy=f"it takes a whole number of at most {most:,}", option=name)


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}", remedy=f"it takes a number from {low:g} to {high:g}", option=name)
