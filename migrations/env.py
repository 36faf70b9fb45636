"""Alembic's entry: runs the history named by the ini section inside its own schema.

`services.kit.db.migrate` hands over an open connection; the `alembic` command makes its own
from DATABASE_URL.
"""

import asyncio
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from alembic import context
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.kit.config import load, setting
from services.kit.db.engine import asyncpg_url


@dataclass(frozen=True, kw_only=True)
class _Config:
    """What the command line needs."""

    database_url: str = setting("DATABASE_URL", doc="database to migrate", secret=True)


def _metadata(service: str) -> MetaData | None:
    """Return the tables of the service, from its storage module or from the folder's tables page."""
    package = f"services.{service}.storage"
    if importlib.util.find_spec(f"services.{service}") is None:
        return None
    if importlib.util.find_spec(package) is None:
        return None
    module = importlib.import_module(package)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{package}.tables")
    metadata: MetaData = module.metadata
    return metadata


def _run(connection: Connection) -> None:
    """Run the command that Alembic was given on this connection, for one schema only."""
    service = context.config.config_ini_section

    def own_schema(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "schema" or name == service

    context.configure(
        connection=connection,
        target_metadata=_metadata(service),
        version_table_schema=service,
        include_schemas=True,
        include_name=own_schema,
        compare_server_default=True,
        # Each step commits by itself, so that a failure keeps the steps before it.
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect_and_run() -> None:
    """Run on a connection of our own, for the command line."""
    engine = create_async_engine(asyncpg_url(load(_Config).database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            schema = context.config.config_ini_section
            await connection.execute(text("SET lock_timeout = '5s'"))
            await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.commit()
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


_given = context.config.attributes.get("connection")
if _given is None:
    asyncio.run(_connect_and_run())
else:
    _run(_given)
