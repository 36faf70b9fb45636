"""The echo application as a process of its own: `python -m tests.kit.echo_process`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.kit.config import ProcessConfig, load, setting
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import Application, serve
from tests.kit.echo_service import Echo
from tests.kit.rpc_layouts import echo_application


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """The settings of the process."""

    port: int = setting("WALLET_PORT", 50052, doc="gRPC port")

    @property
    def service(self) -> str:
        """Return the name whose certificate the process bears."""
        return "wallet"


@asynccontextmanager
async def build(_: Config, _peers: Peers) -> AsyncIterator[Application]:
    """Yield the application."""
    yield echo_application(Echo())


if __name__ == "__main__":
    asyncio.run(serve(load(Config), build))
