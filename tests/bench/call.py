"""One unary call with a token through all concerns: inside the process against a socket with mutual TLS."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.bench.rounds import Figures, Row, Trial, median
from tests.kit.echo_service import EchoRequest, EchoStub
from tests.kit.rpc_layouts import Layout, bearer, local_layout, socket_layout

CALLS = 200
_WARM = 20
_DEADLINE_S = 10.0


async def measure(trial: Trial) -> list[Row]:
    """Return the row; the seconds are those of a caller that waits for each answer."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(local_layout())
        socket = await stack.enter_async_context(socket_layout(trial.folder))
        series = await trial.in_turn(await _calling(local), await _calling(socket))
    used, reference = median(series.ours["cpu"]), median(series.reference["cpu"])
    return [
        Row(
            *("call", "unary call by LocalChannel", "ms", "gRPC with mutual TLS"),
            *(series.ours["ms"], series.reference["ms"]),
            note=f"processor time of both ends: {used:.3f} against {reference:.3f} ms",
        )
    ]


async def _calling(layout: Layout) -> Callable[[], Awaitable[Figures]]:
    """Return a side that calls again and again over one channel."""
    stub = EchoStub(layout.channel())
    metadata = bearer(layout.issuer.token())
    request = EchoRequest(text="hello")

    async def side() -> Figures:
        layout.echo.seen.clear()
        began, used = time.perf_counter(), time.process_time()
        for _ in range(CALLS):
            await stub.User(request, metadata=metadata, timeout=_DEADLINE_S)
        took = {"ms": time.perf_counter() - began, "cpu": time.process_time() - used}
        return {name: value / CALLS * 1e3 for name, value in took.items()}

    for _ in range(_WARM):
        await stub.User(request, metadata=metadata, timeout=_DEADLINE_S)
    return side
