"""Prepared statements: a few connections, never more, none laid back in doubt, and found again after a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit.db.engine import Database
from services.kit.db.outage import is_outage, through_outage
from services.kit.db.prepared import Prepared
from services.kit.ids import new_id
from services.mesh.postgres import Postgres

SIZE = 2
_WHO = "SELECT pg_backend_pid()"
_OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name')"


@pytest.fixture
async def prepared(empty_database_url: str) -> AsyncIterator[Prepared]:
    """Yield a pool of two connections that is impatient after a fifth of a second."""
    options = {"dsn": empty_database_url, "server_settings": {"application_name": new_id()}}
    pool = Prepared(options, size=SIZE, wait_s=0.2)
    yield pool
    await pool.close()


async def _backends(prepared: Prepared) -> list[int]:
    """Return the backends of this pool as the server sees them, this question's own included."""
    return [row[0] for row in await prepared.fetch(_OURS)]


async def test_statements_in_turn_share_one_connection(prepared: Prepared) -> None:
    """Under little load the other connections stay closed."""
    assert len({(await prepared.fetch(_WHO))[0][0] for _ in range(5)}) == 1
    assert len(await _backends(prepared)) == 1


async def test_a_statement_commits_by_itself(prepared: Prepared) -> None:
    """What one statement wrote, the next one reads, whichever connection it has."""
    await prepared.fetch("CREATE TABLE IF NOT EXISTS written (n int)")
    await prepared.fetch("INSERT INTO written VALUES ($1)", 7)
    found = await asyncio.gather(*(prepared.fetch("SELECT n FROM written WHERE n = $1", 7) for _ in range(SIZE)))
    assert [rows[0][0] for rows in found] == [7] * SIZE


async def test_no_more_connections_than_it_was_given(prepared: Prepared) -> None:
    """Ten statements at once go through two connections."""
    pids = await asyncio.gather(*(prepared.fetch("SELECT pg_backend_pid(), pg_sleep(0.01)") for _ in range(10)))
    assert len({rows[0][0] for rows in pids}) == SIZE


async def test_who_waits_too_long_for_a_connection_is_told(prepared: Prepared) -> None:
    """While both connections are busy a third statement ends in the pool's own error, and the place is not lost."""
    slow = [asyncio.create_task(prepared.fetch("SELECT pg_sleep(0.6)")) for _ in range(SIZE)]
    await asyncio.sleep(0.05)
    with pytest.raises(PoolTimeout, match="free"):
        await prepared.fetch("SELECT 1")
    await asyncio.gather(*slow)
    assert (await prepared.fetch("SELECT 1"))[0][0] == 1


async def test_a_refusal_keeps_the_connection(prepared: Prepared) -> None:
    """An error of the statement is raised as it is and the same connection serves on."""
    before = (await prepared.fetch(_WHO))[0][0]
    with pytest.raises(asyncpg.DivisionByZeroError):
        await prepared.fetch("SELECT 1 / $1::int", 0)
    assert (await prepared.fetch(_WHO))[0][0] == before


async def test_a_cancelled_statement_takes_its_connection_along(prepared: Prepared) -> None:
    """Nobody gets a connection on which another's statement may still run."""
    before = (await prepared.fetch(_WHO))[0][0]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(prepared.fetch("SELECT pg_sleep(30)"), 0.1)
    after = [(await prepared.fetch(_WHO))[0][0] for _ in range(3)]
    assert before not in after


async def test_a_connection_that_died_at_rest_is_replaced(prepared: Prepared, empty_database_url: str) -> None:
    """A backend that was ended between two statements costs the second one nothing."""
    before = (await prepared.fetch(_WHO))[0][0]
    other = await asyncpg.connect(empty_database_url)
    await other.execute("SELECT pg_terminate_backend($1)", before)
    await other.close()
    await asyncio.sleep(0.2)
    assert (await prepared.fetch(_WHO))[0][0] != before


async def test_a_statement_whose_backend_is_ended_fails_alone(prepared: Prepared, empty_database_url: str) -> None:
    """Who was in the middle is told that the connection is lost; the next one gets another."""
    (backend,) = await _backends(prepared)
    slow = asyncio.create_task(prepared.fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    other = await asyncpg.connect(empty_database_url)
    await other.execute("SELECT pg_terminate_backend($1)", backend)
    await other.close()
    with pytest.raises(asyncpg.PostgresConnectionError) as lost:
        await slow
    assert is_outage(lost.value)
    assert (await prepared.fetch("SELECT 1"))[0][0] == 1


async def test_a_killed_server_is_an_outage_until_it_is_back(tmp_path: Path) -> None:
    """After a kill -9 of the server a waiting statement goes through as soon as the server is back."""
    server = Postgres(tmp_path / "postgres")
    db = Database(server.start())
    try:
        await db.prepared.fetch("CREATE TABLE numbers (n int)")
        server.kill()
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)) as away:
            await db.prepared.fetch("SELECT 1")
        assert is_outage(away.value)

        async def write() -> None:
            await db.prepared.fetch("INSERT INTO numbers VALUES (1)")

        waiting = asyncio.create_task(through_outage(write, limit_s=60))
        await asyncio.to_thread(server.start)
        await waiting
        assert (await db.prepared.fetch("SELECT count(*) FROM numbers"))[0][0] == 1
    finally:
        await db.close()
        server.remove()
