"""A small service with jobs, for the tests of the kit's own job machinery."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.kit.db.engine import Database
from services.kit.ids import new_id
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, create_tables


@pytest.fixture(scope="module")
def tiny_database_url(empty_database_url: str) -> str:
    """Return the address of a database that holds the tiny service's tables."""
    create_tables(empty_database_url)
    return empty_database_url


@pytest.fixture
async def tiny(tiny_database_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[TinyService]:
    """Yield the service on a clock that the test moves, with a queue name of its own."""
    db = Database(tiny_database_url)
    service = TinyService(db, redis, clock, queue_name=f"tiny-{new_id()}")
    yield service
    await service.forget_all()
    service.queue.close()
    await db.close()
