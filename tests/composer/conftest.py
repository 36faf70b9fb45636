"""The studio for every test of the service around the engine."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.composer.studio import Band, Studio, running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    """Yield Composer, Wallet and Media, opened once for the tests of a module."""
    async with running(database_url, redis_url, tmp_path_factory.mktemp("objects")) as made:
        yield made


@pytest.fixture
async def studio(house: Studio) -> Studio:
    """Return the services with a new person who has 100 credits, and a band of good will."""
    house.band = Band()
    house.serve_wallet()
    await house.forget_earlier_work()
    await house.new_user()
    return house
