"""A gateway in front of fake services, listening on a real socket of this machine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from gateway.app import build
from gateway.config import Config
from gateway.listen import GatewayRunner
from gateway.routes import Binding
from tests.gateway.services import Fakes

ALICE = {"Authorization": "Bearer alice"}

Gateway = Callable[..., Awaitable[ClientSession]]

# For the tests that stop a gateway themselves.
runners: WeakKeyDictionary[ClientSession, GatewayRunner] = WeakKeyDictionary()


@pytest.fixture
def fakes() -> Fakes:
    """Return fresh services."""
    return Fakes()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return settings without a Redis and without limits on rate."""
    return Config(
        redis_url="redis://127.0.0.1:1/0",
        object_store_directory=tmp_path,
        object_url_secret="a secret of the tests",
        public_url="http://gateway.test",
        rate_user_per_minute=0,
        rate_address_per_minute=0,
        stream_heartbeat_s=5.0,
    )


@pytest.fixture
async def gateway(fakes: Fakes, config: Config) -> AsyncIterator[Gateway]:
    """Return a function that starts a gateway, with settings of the test's own, and gives its client."""
    async with AsyncExitStack() as stack:

        async def start(bindings: list[Binding] | None = None, **settings: Any) -> ClientSession:
            app = await build(replace(config, **settings), fakes.mesh.peers("gateway"), bindings=bindings)
            runner = GatewayRunner(app, drain_s=2.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            timeout = ClientTimeout(total=20)
            client = ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False, timeout=timeout)
            runners[client] = runner
            return await stack.enter_async_context(client)

        yield start


@pytest.fixture
async def http(gateway: Gateway) -> ClientSession:
    """Return the client of a gateway with the settings of `config`."""
    return await gateway()
