"""The pool: commits, rolls back, ends what takes too long, and comes back after a restart."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.kit.db.engine import Database, asyncpg_url
from services.kit.db.outage import is_outage, through_outage
from services.mesh.postgres import Postgres


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
    ],
)
def test_addresses_of_every_spelling(given: str, expected: str) -> None:
    """Whatever a person pastes becomes the one dialect we use."""
    assert asyncpg_url(given).render_as_string(hide_password=False) == expected


def test_another_database_is_refused() -> None:
    """There is no second dialect."""
    with pytest.raises(ValueError, match="PostgreSQL"):
        asyncpg_url("sqlite:///x")


async def test_a_transaction_commits_or_rolls_back_whole(empty_database_url: str) -> None:
    """What was written before an exception is gone, what was written before the end stays."""
    db = Database(empty_database_url)
    async with db.transaction() as tx:
        await tx.execute(text("CREATE TABLE numbers (n int)"))
        await tx.execute(text("INSERT INTO numbers VALUES (1)"))

    async def write_and_fail() -> None:
        async with db.transaction() as tx:
            await tx.execute(text("INSERT INTO numbers VALUES (2)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    async with db.transaction() as tx:
        assert list((await tx.execute(text("SELECT n FROM numbers"))).scalars()) == [1]
    await db.close()


@pytest.mark.parametrize(
    ("setting", "value"), [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("TimeZone", "UTC")]
)
async def test_every_session_has_limits(empty_database_url: str, setting: str, value: str) -> None:
    """No statement and no lock of ours waits for ever, and time is UTC."""
    db = Database(empty_database_url)
    async with db.transaction() as tx:
        assert await tx.scalar(text(f"SHOW {setting}")) == value
    await db.close()


async def test_the_pool_is_bounded(empty_database_url: str) -> None:
    """Ten transactions through a pool of two never hold more than two connections."""
    db = Database(empty_database_url, pool_size=1, max_overflow=1)
    held: list[int] = []

    async def use() -> None:
        async with db.transaction() as tx:
            await tx.execute(text("SELECT pg_sleep(0.01)"))
            held.append(db.pool_status()["held"])

    await asyncio.gather(*(use() for _ in range(10)))
    assert max(held) == 2
    await db.close()


async def test_a_wrong_statement_is_no_outage(empty_database_url: str) -> None:
    """Only what waiting can mend counts as an outage."""
    db = Database(empty_database_url)
    tries: list[int] = []

    async def wrong() -> None:
        tries.append(1)
        async with db.transaction() as tx:
            await tx.execute(text("SELECT * FROM nothing"))

    with pytest.raises(DBAPIError) as refused:
        await through_outage(wrong, limit_s=10)
    assert not is_outage(refused.value)
    assert len(tries) == 1
    await db.close()


async def test_a_restarted_server_is_found_again(tmp_path: Path) -> None:
    """A kill -9 of the server is an outage to a waiting write, which goes through once it is back."""
    server = Postgres(tmp_path / "postgres")
    db = Database(server.start())
    try:
        await db.ping()
        async with db.transaction() as tx:
            await tx.execute(text("CREATE TABLE numbers (n int)"))
        server.kill()
        (away,) = await asyncio.gather(db.ping(), return_exceptions=True)
        assert isinstance(away, Exception)
        assert is_outage(away)

        async def write() -> None:
            async with db.transaction() as tx:
                await tx.execute(text("INSERT INTO numbers VALUES (1)"))

        waiting = asyncio.create_task(through_outage(write, limit_s=60))
        await asyncio.to_thread(server.start)
        await waiting
        async with db.transaction() as tx:
            assert await tx.scalar(text("SELECT count(*) FROM numbers")) == 1
    finally:
        await db.close()
        server.remove()
