"""Wallet as a process of its own behind mutual TLS, and a Composer that calls it, for the benchmarks of Wallet."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.config import ProcessConfig
from services.kit.rpc.channel import MtlsPeers
from services.mesh.account import CLEAN_ENVIRONMENT
from services.mesh.ca import Authority
from services.mesh.process import free_port
from services.mesh.valkey import Valkey
from tests.bench.workers import ended

if TYPE_CHECKING:
    from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceAsyncStub

_START_S = 30.0


@asynccontextmanager
async def wallet_process(folder: Path, database_url: str) -> AsyncIterator["CreditServiceAsyncStub"]:
    """Yield the stub of a Wallet that listens on a port of this machine, called as Composer is entitled to."""
    tls = folder / "tls"
    Authority(folder / "authority", tls).ensure()
    valkey = Valkey(folder / "valkey")
    redis_url = await asyncio.to_thread(valkey.start)
    port = free_port()
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CADENZA_TLS": str(tls), "WALLET_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.wallet"),
        cwd=Path(__file__).parents[2],
        env={**CLEAN_ENVIRONMENT, **settings, "RECONCILE": "off", "LOG_LEVEL": "warning"},
    )
    config = ProcessConfig(tls_directory=tls, wallet_address=f"127.0.0.1:{port}", tls_server_name="{service}")
    peers = MtlsPeers(config, "composer")
    try:
        channel = peers.channel("wallet")
        async with asyncio.timeout(_START_S):
            await channel.channel_ready()
        yield CreditServiceStub(channel)
    finally:
        await peers.close()
        await ended(process)
        await asyncio.to_thread(valkey.remove)
