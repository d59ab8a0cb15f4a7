"""The whole report, as text and as a file that is replaced in one go."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckemcc.errors import OptionError
from duckemcc.files import replace_file
from duckemcc.model.scm import Model
from duckemcc.show.page.agreement import show_agreement, show_late
from duckemcc.show.page.answers import show_answers, summarise
from duckemcc.show.page.asked import show_model, show_studies
from duckemcc.show.page.style import write_style
from duckemcc.show.page.tags import Html, join, tag
from duckemcc.show.plot.rows import read_rows, read_table
from duckemcc.study.study import Study

if TYPE_CHECKING:
    import pyarrow as pa

    from duckemcc.study.table import CountTable

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PACKAGES = ("duckdb", "polars", "pyarrow", "numpy", "scipy", "highspy")

METHODS = {
    "sharp": "The bounds are the ends of the query over all models that attain the maximum of the likelihood of all "
    "records together, found by linear programs and, where unmeasured causes share a component, from restarts of EM.",
    "emcc": "The bounds are the range of the query over the models that random restarts of EM learn from all records "
    "together (Algorithm 1 of Zaffalon, Antonucci, Huber and Cabañas); the exact range contains it.",
}

_WORDS = (
    ("bounds", "the smallest and the largest value of the query over all models that fit the records best"),
    ("identified", "both ends are proven and meet: the studies and the graph alone tell the value"),
    ("proven end", "no model that fits the records as well goes beyond it"),
    ("confidence limits", "hold the true value in at least the share of samples that was asked for"),
    ("credibility", "how probable it is that the exact ends are within a tenth of the width of these; of emcc alone"),
    ("incompatible", "no model of this graph fits the records, beyond what chance and the tolerance explain"),
    ("undefined", "the condition of the query has probability zero"),
)


def write_report(path: str | os.PathLike[str], **content: Any) -> None:
    """Write the report of a job to an HTML file; what it takes is what `make_report` takes.

    The file is replaced in one go: an interruption leaves the old one, or none.
    Raises `OptionError` as `make_report` does, and for a missing folder.
    """
    if not Path(path).parent.is_dir():
        raise OptionError(
            f"the report is {str(path)!r}, and there is no folder {str(Path(path).parent)!r}",
            remedy="create it",
            option="path",
        )
    text = make_report(**content)
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def make_report(
    *,
    title: str,
    model: Model,
    studies: Sequence[Study],
    bounds: pa.Table,
    compatibility: pa.Table | None = None,
    frequencies: pa.Table | None = None,
    late: str | None = None,
    counts: Sequence[CountTable] = (),
    options: Any = None,
    generated_at: datetime | str | None = None,
) -> str:
    """The report as HTML text.

    title: of the job. model, studies: what was asked of. bounds, compatibility, frequencies: the tables of the
    functions of these names, over the same studies; without the second there is no section on agreement, without the
    third no picture of the study at fault. These two may be of some of the segments alone (`answer.closely.Picked`).
    late: what is said where these two, or a part of them, are missing because the time was over.
    counts: the counted studies; without them, their records are those of compatibility. options: a mapping, or the
    dataclass `Options`. generated_at: when, if that is to be said; equal arguments give equal text.
    Needs no matplotlib. Sources are not named, as they may hold passwords.
    Raises `OptionError` for tables of other functions.
    """
    table, checked = read_table(bounds), None if compatibility is None else read_table(compatibility)
    seen = None if frequencies is None else read_table(frequencies)
    result = read_rows(table)
    lead = summarise(result.rows)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="duckemcc"),
        tag("title", title),
        tag("style", Html(write_style())),
    )
    agreement = show_agreement(table, checked, seen, late) if checked is not None else show_late(late)
    asked = show_studies(studies, result.by, checked, counts)
    body = tag(
        "main",
        tag("header", tag("h1", title), tag("p", lead, class_="lead"), _show_time(generated_at)),
        show_answers(result),
        agreement,
        tag("section", tag("h2", "What was asked"), show_model(model), asked),
        _show_method(table, options),
        _show_words(),
    )
    return join(Html("<!DOCTYPE html>\n"), tag("html", head, tag("body", body), lang="en"), Html("\n"))


def _show_time(generated_at: datetime | str | None) -> Html | None:
    if generated_at is None:
        return None
    text = generated_at if isinstance(generated_at, str) else f"{generated_at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
    return tag("p", f"Computed {text}.", class_="quiet")


def _show_method(table: pa.Table, options: Any) -> Html:
    """How it was computed: method, options, versions, timings."""
    first = table.slice(0, 1).to_pylist()[0]
    given = _read_options(options) or {k: first[k] for k in ("method", "restarts", "seed") if first.get(k) is not None}
    method = str(given.get("method", first.get("method")))
    lists = {
        "Options": [(name, _show_option(value)) for name, value in given.items()],
        "Versions": _read_versions(first.get("version")),
        "Seconds": [(stage, f"{taken:.3f}") for stage, taken in _read_seconds(table).items()],
    }
    return tag(
        "section",
        tag("h2", "How it was computed"),
        tag("p", METHODS.get(method)),
        tag("div", (_show_list(name, pairs) for name, pairs in lists.items() if pairs), class_="columns"),
    )


def _read_options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if is_dataclass(options) and not isinstance(options, type):
        return asdict(options)
    if isinstance(options, Mapping):
        return dict(options)
    raise OptionError(f"options are a mapping or Options; found {type(options).__name__}", option="options")


def _show_option(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read_versions(own: object) -> list[tuple[str, str]]:
    found = [("duckemcc", str(own))] if own else []
    found.append(("Python", platform.python_version()))
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:  # in a build that brings it along under another name
            continue
    return found


def _read_seconds(table: pa.Table) -> dict[str, float]:
    """Timings of the stages, from the table's metadata."""
    held = (table.schema.metadata or {}).get(b"duckemcc.seconds")
    return {} if held is None else {str(k): float(v) for k, v in json.loads(held).items()}


def _show_list(name: str, pairs: Iterable[tuple[str, str]]) -> Html:
    return tag("div", tag("h3", name), _list(pairs, "short"))


def _list(pairs: Iterable[tuple[str, str]], look: str | None = None) -> Html:
    return tag("dl", ((tag("dt", name), tag("dd", value)) for name, value in pairs), class_=look)


def _show_words() -> Html:
    return tag("section", tag("h2", "How to read this"), _list(_WORDS))
