"""The dbt-duckdb plugin: in a profile, under `plugins:`, `- module: duckemcc.dbt`.

Needs the extra: pip install 'duckemcc[dbt]'.
"""

from duckemcc.serve.dbt import Plugin

__all__ = ["Plugin"]
