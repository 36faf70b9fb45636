"""The migrations lead to the tables that the code declares."""

import asyncio

import pytest

from services.kit.db.migrate import check, downgrade, histories, upgrade


@pytest.mark.parametrize("service", ["auth", "wallet", "composer", "media", "share"])
async def test_models_equal_migrations(database_url: str, service: str) -> None:
    """Nothing is left for autogenerate to find after the newest migration of the service."""
    assert service in histories()
    assert await asyncio.to_thread(check, database_url, service) == []


async def test_every_history_can_be_taken_back(empty_database_url: str) -> None:
    """Each history goes up, down to nothing and up again."""
    await asyncio.to_thread(upgrade, empty_database_url)
    for service in histories():
        await asyncio.to_thread(downgrade, empty_database_url, service)
    await asyncio.to_thread(upgrade, empty_database_url)

    for service in histories():
        assert await asyncio.to_thread(check, empty_database_url, service) == []
