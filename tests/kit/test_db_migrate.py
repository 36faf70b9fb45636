"""Migrations: each history up, down and up again, from many processes, equal to the tables."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.kit.db.engine import Database, asyncpg_url
from services.kit.db.migrate import check, downgrade, histories, upgrade

SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = :schema ORDER BY 1, 2
"""


def shape(url: str, schema: str) -> list[tuple[str, ...]]:
    """Return every column of a schema."""

    async def read() -> list[tuple[str, ...]]:
        engine = create_async_engine(asyncpg_url(url), poolclass=NullPool)
        async with engine.connect() as connection:
            rows = (await connection.execute(text(SHAPE), {"schema": schema})).all()
        await engine.dispose()
        return [tuple(row) for row in rows]

    with asyncio.Runner() as runner:
        return runner.run(read())


def test_up_down_up_is_the_same(empty_database_url: str) -> None:
    """Every history can be undone, and applied again gives the same columns."""
    upgrade(empty_database_url)
    before = {service: shape(empty_database_url, service) for service in histories()}
    for service in histories():
        downgrade(empty_database_url, service)
        left = {row[0] for row in shape(empty_database_url, service)}
        assert left <= {"alembic_version"}
    upgrade(empty_database_url)
    assert {service: shape(empty_database_url, service) for service in histories()} == before


@pytest.mark.parametrize("service", histories())
def test_models_equal_migrations(database_url: str, service: str) -> None:
    """Autogenerate finds nothing to add."""
    assert check(database_url, service) == []


def test_an_unknown_history_is_named(database_url: str) -> None:
    """A misspelled service is an error that lists the right ones."""
    with pytest.raises(LookupError, match="nobody"):
        upgrade(database_url, ["nobody"])


async def test_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str) -> None:
    """Four upgrades at the same moment all succeed."""
    db = Database(empty_database_url)
    async with db.transaction() as tx:
        for service in histories():
            await tx.execute(text(f'DROP SCHEMA IF EXISTS "{service}" CASCADE'))
    await db.close()
    await asyncio.gather(*(asyncio.to_thread(upgrade, empty_database_url) for _ in range(4)))
    for service in histories():
        assert await asyncio.to_thread(check, empty_database_url, service) == []
