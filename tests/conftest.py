"""What every test may ask for: a real PostgreSQL, a real Valkey, a fresh database, a clock to set.

The servers are started once per session, only when a test asks for them, and ended with it.
DATABASE_URL and REDIS_URL put servers of your own in their place.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.kit.clock import now
from services.kit.config import load, setting
from services.kit.db.engine import Database, asyncpg_url
from services.kit.db.migrate import upgrade
from services.kit.ids import new_id
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class GivenServers:
    """Servers to test against instead of our own."""

    database_url: str = setting("DATABASE_URL", "", doc="PostgreSQL to make databases in", secret=True)
    redis_url: str = setting("REDIS_URL", "", doc="Redis or Valkey to use", secret=True)


class SettableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        """Start at the present, so that it agrees with what the database calls now."""
        self.at = now()

    def __call__(self) -> datetime:
        """Return the instant the clock shows."""
        return self.at

    def advance(self, seconds: float) -> datetime:
        """Move the clock and return what it shows then."""
        self.at += timedelta(seconds=seconds)
        return self.at


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests reach the servers they were given, where those are not on this machine."""
    given = load(GivenServers)
    hosts = [make_url(url).host for url in (given.database_url, given.redis_url) if url]
    elsewhere = [host for host in hosts if host and host not in _LOOPBACK]
    for item in items if elsewhere else ():
        item.add_marker(pytest.mark.allow_hosts([*_LOOPBACK, *elsewhere]))


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Yield a short folder for the servers' data, gone afterwards."""
    directory = Path(
        tempfile.mkdtemp(prefix="cadenza-test-", dir="/var/tmp")
    )  # the account that runs PostgreSQL must reach it
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of a PostgreSQL whose user may create databases."""
    given = load(GivenServers).database_url
    if given:
        yield given
        return
    directory: Path = request.getfixturevalue("server_directory")
    server = Postgres(directory / "postgres", durable=False)
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of a Redis or Valkey shared by all tests: use keys of your own."""
    given = load(GivenServers).redis_url
    if given:
        yield given
        return
    directory: Path = request.getfixturevalue("server_directory")
    server = Valkey(directory / "valkey")
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> Iterator[str]:
    """Yield the name of a database that holds the newest schema of every service."""
    name = _new_name("template")
    _administer(postgres, f'CREATE DATABASE "{name}"')
    try:
        upgrade(_address(postgres, name))
        yield name
    finally:
        _administer(postgres, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def database_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """Yield the address of a migrated database that only this test module uses."""
    name = _new_name("test")
    _administer(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"')
    yield _address(postgres, name)
    _administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def empty_database_url(postgres: str) -> Iterator[str]:
    """Yield the address of a database without any schema that only this test module uses."""
    name = _new_name("empty")
    _administer(postgres, f'CREATE DATABASE "{name}"')
    yield _address(postgres, name)
    _administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Yield the pool on the module's migrated database."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Yield a client of the shared Redis."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> SettableClock:
    """Return a clock that stands still until the test moves it."""
    return SettableClock()


def _new_name(kind: str) -> str:
    """Return a database name that nobody else uses."""
    return f"cadenza_{kind}_{new_id()[-12:]}"


def _address(server_url: str, database: str) -> str:
    """Return the address of another database on the same server."""
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _administer(server_url: str, statement: str) -> None:
    """Run one statement that may not stand in a transaction."""

    async def work() -> None:
        engine = create_async_engine(asyncpg_url(server_url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    _run(work())


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in a loop of its own, whether or not this thread has one set."""
    with asyncio.Runner() as runner:
        runner.run(work)
