"""What every reader of a TOML file does: keeps mistakes with their lines, fills the environment in, checks types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from duckemcc.errors import DuckEmccError, Fields, JobError, OptionError, hint, is_hidden
from duckemcc.model.tokens import find_place
from duckemcc.serve.job.toml_lines import Path as KeyPath
from duckemcc.serve.job.toml_lines import find_line
from duckemcc.study.count.connection import passwords

_VARIABLE = r"\$\{(\w+)\}"


class TomlReader:
    """Collects mistakes, so that all are told at once. what: the file, in words; top: the keys above its sections."""

    what, top = "the file", tuple[str, ...]()

    def __init__(self, path: Path, text: str, environ: Mapping[str, str]) -> None:
        self.path, self.text, self.environ = path, text, environ
        self.mistakes: list[DuckEmccError] = []
        self.wrong: set[KeyPath] = set()
        self.unfilled: set[KeyPath] = set()
        self.hidden: dict[str, str] = {}
        """What no message shows: values of the environment, the texts that they fill, passwords."""

    def note(self, path: KeyPath, wrong: str | DuckEmccError, **fields: Unpack[Fields]) -> None:
        """Keeps a mistake, once, with the line and the name of its key; of a text that lacks a variable of the
        environment only that is told."""
        if any(path[: len(text)] == text for text in self.unfilled):
            return
        if isinstance(wrong, str):
            wrong = OptionError(wrong)
        keys = [key for key in path if isinstance(key, str)]
        if keys and (len(keys) > 1 or len(path) == 1):
            fields.setdefault("option", keys[-1])
        here = Fields(file=self.path.name, line=find_line(self.text, path))
        mistake = wrong.placed(spelling="toml", **(here | fields))
        if str(mistake) not in map(str, self.mistakes):
            self.mistakes.append(mistake)
        self.wrong.add(path)

    def note_within(self, path: KeyPath, written: str, wrong: DuckEmccError, **fields: Unpack[Fields]) -> None:
        """Keeps a mistake in a text that the file holds, with the line and the column of the file if it is written
        there as it is read: without escapes."""
        if wrong.column is not None and (place := self._find_place(path, written, wrong.line, wrong.column)):
            fields["line"], fields["column"] = place
            wrong = wrong.unplaced()
        self.note(path, wrong, **fields)

    def _find_place(self, path: KeyPath, written: str, line: int | None, column: int) -> tuple[int, int] | None:
        """The line and column in the file of a place in the text at `path`; without a line, column is a position."""
        if line is None:
            line, column = find_place(written, column - 1)
        part, head = written.split("\n")[line - 1], find_line(self.text, path) + line - 2
        quoted = [f"{quote}{part}{quote}" for quote in "\"'" if "\n" not in written]
        lines = self.text.split("\n")
        for wanted, before in [*((one, 1) for one in quoted), (part, 0)]:
            for number in (head, head + 1):
                if part.strip() and wanted in "".join(lines[number : number + 1]):
                    return number + 1, lines[number].index(wanted) + before + column
        return None

    def refuse(self) -> None:
        """Raises `JobError` where there were mistakes."""
        if self.mistakes:
            mistakes = sorted(self.mistakes, key=lambda wrong: (wrong.line or 0, str(wrong)))
            listed = "\n".join(map(_listed, mistakes))
            number = len(mistakes)
            head = f"{self.path.name} has {number} mistake{'s' * (number > 1)}; nothing was read:"
            raise JobError(f"{head}\n{listed}", mistakes, file=self.path.name)

    @contextmanager
    def noting(self, *path: str | int, **fields: Unpack[Fields]) -> Iterator[None]:
        """Keeps what a check raises."""
        try:
            yield
        except DuckEmccError as wrong:
            self.note(path, wrong, **fields)

    # -- values --------------------------------------------------------------------------------

    def filled(self, part: Any, path: KeyPath) -> Any:
        """The same with the environment's values in place of ``${NAME}``."""
        if isinstance(part, Mapping):
            return {key: self.filled(value, (*path, key)) for key, value in part.items()}
        if isinstance(part, list):
            return [self.filled(value, (*path, i)) for i, value in enumerate(part)]
        if not isinstance(part, str):
            return part

        for name in re.findall(_VARIABLE, part):
            if name not in self.environ:
                self.note(path, f"the environment has no variable {name}; set it, or write the text here")
        if path in self.wrong:
            self.unfilled.add(path)
        filled = re.sub(_VARIABLE, lambda found: self.environ.get(found[1], found[0]), part)
        self.hidden |= dict.fromkeys(passwords(filled), "***")
        used = {name: self.environ[name] for name in re.findall(_VARIABLE, part) if name in self.environ}
        self.hidden |= {value: f"${{{name}}}" for name, value in used.items()}
        if any(is_hidden(value) for value in used.values()):
            self.hidden[filled] = part
        return filled

    def check_keys(self, table: Mapping[str, Any], known: Sequence[str], path: KeyPath) -> None:
        """Keeps a mistake for each key that is not known there."""
        for key in table:
            if key not in known:
                where = f"[{path[0]}]" if path else self.what
                advice = "Write it above the first [section]" if path and key in self.top else hint(key, known, "keys")
                said = f"{where} has no key {key!r}; it takes {', '.join(known)}"
                self.note((*path, key), OptionError(said, remedy=advice))

    def table_of(self, content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = content.get(key, {})
        if isinstance(table, Mapping):
            return table
        self.note((key,), f"{key} is a section: write [{key}] above its keys; found {table!r}")
        return {}

    def text_of(self, table: Mapping[str, Any], key: str, path: KeyPath) -> str | None:
        value = table.get(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self.note((*path, key), f"{key} takes a text that is not empty; found {value!r}")
        return None

    def read_names(
        self, content: Mapping[str, Any], key: str, what: str = "a name or a list of names"
    ) -> tuple[str, ...]:
        value = content.get(key, [])
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(n, str) and n.strip() for n in names):
            return tuple(names)
        self.note((key,), f"{key} takes {what}; found {value!r}")
        return ()

    def has_mistake(self, key: str) -> bool:
        """Whether something is wrong at this key or below it."""
        return any(path[:1] == (key,) for path in self.wrong)


def _listed(mistake: DuckEmccError) -> str:
    """With its line in front, and further lines of it indented."""
    column = "" if mistake.column is None else f"column {mistake.column}: "
    told = column + mistake.text(place=False)
    return f"  line {mistake.line}: " + told.replace("\n", "\n    ")
