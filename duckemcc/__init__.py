"""Bounds counterfactuals where the data live: DuckDB, Parquet, polars and SQL."""

import logging as _logging
from importlib.metadata import version as _version

from duckemcc import stop as _stop

if _stop.is_command():  # Ctrl-C may come while all that follows is imported
    _stop.take_ctrl_c()

from duckemcc import errors
from duckemcc.answer.api import bounds, compatibility, fit, witness
from duckemcc.answer.frequencies import frequencies
from duckemcc.errors import DuckEmccError
from duckemcc.files import read_sql
from duckemcc.model.scm import Model
from duckemcc.query.full import FullModel
from duckemcc.query.language import query
from duckemcc.serve.duckdb.catalog import drop_model, drop_study, load_model, load_studies, save_model, save_study
from duckemcc.serve.duckdb.register import register
from duckemcc.serve.frames import attach_accessors as _attach_accessors
from duckemcc.serve.section62.benchmark import benchmark
from duckemcc.serve.warehouse import counts_sql
from duckemcc.show import plot
from duckemcc.study.count.relation import Studies
from duckemcc.study.study import Study

__all__ = [
    "DuckEmccError",
    "FullModel",
    "Model",
    "Studies",
    "Study",
    "benchmark",
    "bounds",
    "compatibility",
    "counts_sql",
    "drop_model",
    "drop_study",
    "errors",
    "fit",
    "frequencies",
    "load_model",
    "load_studies",
    "plot",
    "query",
    "read_sql",
    "register",
    "save_model",
    "save_study",
    "witness",
]
__version__ = _version("duckemcc")

_logging.getLogger("duckemcc").addHandler(_logging.NullHandler())  # silent, unless the application listens
_attach_accessors()
