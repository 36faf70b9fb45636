"""The gateway as a process of its own, calling the services over mutual TLS."""

import asyncio
import logging
import signal

from aiohttp import web

from gateway.app import build
from gateway.config import Config
from gateway.listen import GatewayRunner
from services.kit import crash, log, telemetry, tracing
from services.kit.config import load
from services.kit.rpc.channel import MtlsPeers

_log = logging.getLogger(__name__)


async def serve(config: Config, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then let running requests and streams end."""
    peers = MtlsPeers(config, "gateway")
    page = telemetry.start_metrics(config.metrics_port, config.gateway_host)
    stop_tracing = tracing.start("gateway", config)
    runner = GatewayRunner(await build(config, peers))
    try:
        await runner.setup()
        site = web.TCPSite(
            runner, config.gateway_host, config.gateway_port, reuse_port=config.gateway_reuse_port or None
        )
        await site.start()
        _log.info("the gateway listens on %s", site.name)
        await stopping.wait()
        _log.info("the gateway drains")
    finally:
        await runner.cleanup()
        await peers.close()
        stop_tracing()
        if page is not None:
            page.close()


async def _until_told(config: Config) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    await serve(config, stopping)


def main() -> None:
    """Read the environment and serve until SIGTERM or SIGINT."""
    config = load(Config)
    log.configure("gateway", config.log_level, config.log_directory)
    crash.arm(config.crash_points)
    asyncio.run(_until_told(config))


if __name__ == "__main__":
    main()
