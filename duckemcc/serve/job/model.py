"""The [model] of a job: graph text with its lines, a file, or a name in the catalog of the job's database."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duckemcc.errors import DuckEmccError, OptionError
from duckemcc.model.scm import Model
from duckemcc.query.assume import restrict
from duckemcc.serve.job.study import StudyReader, open_database

MODEL = ("graph", "file", "name")


class ModelReader(StudyReader):
    """Reads the model. model_file: the file that it is read from, if there is one."""

    model_file: Path | None = None

    def read_model(self, content: Mapping[str, Any]) -> tuple[Model | None, tuple[Path, str] | None]:
        """The model, and where it is stored if it is."""
        table = self.table_of(content, "model")
        self.check_keys(table, MODEL, ("model",))
        given = [key for key in MODEL if key in table]
        if len(given) != 1:
            found = ", ".join(given) or "none of them"
            self.note(("model",), f"[model] takes one of graph, file and name; found {found}")
            return None, None
        text = self.text_of(table, given[0], ("model",))
        if text is None:
            return None, None
        if given[0] == "graph":
            return self.read_graph(text), None
        with self.noting("model", given[0]):
            if given[0] == "file":
                self.model_file = self.folder / text
                return _checked(read_model_file(self.model_file)), None
            if "database" not in content:
                raise OptionError(
                    f"the model {text!r} is one of a catalog", remedy="say in which database = … it lies", option="name"
                )
            if (database := self.database_of(content, ())) is not None and os.path.isfile(database):
                return _load_stored(database, text), (database, text)
        return None, None

    def read_graph(self, text: str) -> Model | None:
        """The model of a graph text; a mistake in it is told with its line and column in the job."""
        try:
            return _checked(Model.parse(text))
        except DuckEmccError as wrong:
            self.note_within(("model", "graph"), text, wrong)
        return None


def _checked(model: Model) -> Model:
    """The model, whose assumptions are read here if all states are known."""
    if all(model.states.values()):
        restrict(model, pieces=True)
    return model


def read_model_file(path: Path) -> Model:
    """The model of a file: UAI or JSON by its name, else graph text. Raises `OptionError`, and as `Model.parse`."""
    if not os.path.isfile(path):
        raise OptionError(f"there is no file {str(path)!r}")
    if path.suffix.lower() == ".uai":
        return Model.from_uai(path)
    try:
        text = path.read_text(encoding="utf-8")
        return Model.from_dict(json.loads(text)) if path.suffix.lower() == ".json" else Model.parse(text)
    except json.JSONDecodeError as wrong:
        raise OptionError(f"{path.name} is no JSON: {wrong}", option="file") from None
    except (OSError, UnicodeDecodeError) as wrong:
        raise OptionError(f"{path.name} cannot be read: {wrong}", option="file") from None
    except DuckEmccError as wrong:
        raise wrong.placed(file=path.name) from None


def _load_stored(database: Path, name: str) -> Model:
    from duckemcc.serve.duckdb.catalog import load_model

    con = open_database(database)
    try:
        return load_model(con, name)
    finally:
        con.close()
