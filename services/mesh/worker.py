"""One worker process for the jobs of Composer and Media.

Both run in one process because an idle worker is mostly interpreter and libraries: two would double the memory for
nothing. Each part calls the other services under its own service's name and certificate.
"""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.kit import crash, log, telemetry, tracing
from services.kit.config import ProcessConfig, load
from services.kit.jobs.worker import OpenPart, WorkerParts, together, work
from services.kit.rpc.channel import MtlsPeers

WORKING = ("composer", "media")
NAME = "worker"


def run() -> None:
    """Work until SIGTERM or SIGINT."""
    config = load(ProcessConfig)
    log.configure(NAME, config.log_level, config.log_directory)
    crash.arm(config.crash_points)
    page = telemetry.start_metrics(config.metrics_port, config.bind_host)
    stop_tracing = tracing.start(NAME, config)
    queues: list[str] = []
    try:
        # The parts name their queues when they open, which is before the first job is asked for.
        parts = together(*(_part(service, queues) for service in WORKING))
        work(queues, parts, config.redis_url, places=config.worker_concurrency, waiting=config.worker_waiting)
    finally:
        stop_tracing()
        if page is not None:
            page.close()


def _part(service: str, queues: list[str]) -> OpenPart:
    """Return the opener of one service's part, which adds its queues to the list."""
    root = importlib.import_module(f"services.{service}.worker")
    config = load(importlib.import_module(f"services.{service}.config").Config)

    @asynccontextmanager
    async def opened() -> AsyncIterator[WorkerParts]:
        peers = MtlsPeers(config, service)
        try:
            async with root.runner(config, peers) as parts:
                queues.extend(queue for queue in parts.queues if queue not in queues)
                yield parts
        finally:
            await peers.close()

    return opened
