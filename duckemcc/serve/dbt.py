"""dbt-duckdb: a plugin that lets models say ``FROM emcc_bounds_by(…)``. In the profile::

    plugins:
      - module: duckemcc.dbt
        alias: emcc

A model over these functions is materialised as a table: a view would call them in processes that do not know them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt.adapters.duckdb.plugins import BasePlugin

from duckemcc.serve.duckdb.register import register

if TYPE_CHECKING:
    import duckdb


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt is not typed
    """Registers the SQL functions on the connection whose cursors run the models."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        register(conn)
