"""``python -m tests.bench.edge_serve ROLE``: one process that serves, told on standard input what it needs.

`ours` is the gateway with the services inside, `gateway` the gateway alone, `services` the same services behind a gRPC
port, `fastapi` and `connect` are the rivals written in Python. With `tls` services and whoever calls them use mutual
TLS.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.app import build
from gateway.config import Config
from gateway.listen import GatewayRunner
from services.kit import log, tracing
from services.kit.config import ProcessConfig
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.channel import MtlsPeers, Peers
from tests.bench.edge_services import grpc_server, standing
from tests.bench.ends import answer, commands

Serve = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

# Above what the load asks of any one token, and counted all the same.
_PER_MINUTE = 60_000


async def ours(said: dict[str, Any]) -> None:
    """Serve the gateway with the services on its LocalMesh."""
    async with standing(said, "mesh") as stands:
        await _gateway(said, stands.mesh.peers("gateway"))


async def gateway(said: dict[str, Any]) -> None:
    """Serve the gateway alone, in front of the services at `port`, with mutual TLS between them."""
    log.configure("gateway", "warning")
    stop = tracing.start("gateway", ProcessConfig(otlp_endpoint=said["otlp"]))
    address = f"127.0.0.1:{said['port']}"
    names: dict[str, Any] = dict.fromkeys(("auth_address", "wallet_address", "composer_address"), address)
    peers = MtlsPeers(ProcessConfig(tls_directory=Path(said["tls"]), tls_server_name="{service}", **names), "gateway")
    await _gateway(said, peers)
    await peers.close()
    stop()


async def _gateway(said: dict[str, Any], peers: Peers) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            redis_url=said["redis"],
            object_store_directory=Path(folder),
            object_url_secret="a secret of the benchmark",
            rate_user_per_minute=_PER_MINUTE,
            rate_ai_free_per_minute=_PER_MINUTE,
            streams_most=20_000,
        )
        runner = GatewayRunner(await build(config, peers), drain_s=0.5)
        await runner.setup()
        shared = said.get("shared_port", 0)
        await web.TCPSite(runner, "127.0.0.1", shared, backlog=1024, reuse_port=bool(shared) or None).start()
        await _until_the_end(runner.addresses[0][1])
        await runner.cleanup()


async def services(said: dict[str, Any]) -> None:
    """Serve the same services, with the same concerns, over gRPC."""
    tls = said.get("tls")
    async with standing(said, "services") as stands:
        server = await grpc_server(stands, Certificates(Path(tls), "mesh").server_credentials() if tls else None)
        await _until_the_end(server.port)
        await server.stop(0.2)


async def fastapi(said: dict[str, Any]) -> None:
    """Serve a FastAPI gateway in front of the services at `port`."""
    from tests.bench.edge_fastapi import application

    tls = said.get("tls")
    shown = Certificates(Path(tls), "gateway").channel_credentials() if tls else None
    await _uvicorn(application(f"127.0.0.1:{said['port']}", shown))


async def connect(_said: dict[str, Any]) -> None:
    """Serve the three methods with connectrpc."""
    from tests.bench.edge_connect import application

    await _uvicorn(application())


async def _uvicorn(app: Any) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False, http="httptools")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    await _until_the_end(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


async def _until_the_end(port: int) -> None:
    """Tell the port and stay until there are no more commands."""
    answer({"port": port})
    async for _ in _told:
        pass


_told = commands()


async def main(serve: Serve) -> None:
    """Serve as the first command says."""
    await serve(await anext(_told))


if __name__ == "__main__":
    role = sys.argv[1]
    served: dict[str, Serve] = {
        "ours": ours,
        "gateway": gateway,
        "services": services,
        "fastapi": fastapi,
        "connect": connect,
    }
    if role in {"fastapi", "connect"}:
        import uvloop

        uvloop.run(main(served[role]))
    else:
        asyncio.run(main(served[role]))
