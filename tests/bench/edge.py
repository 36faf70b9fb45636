"""The gateway beside what teams pick instead: processor time of everything that serves, for each request.

Four stacks take turns within each round: ours with the services inside, Envoy's transcoder and a FastAPI gateway in
front of the same services, and connectrpc with the bare methods. The load comes from a process of its own and is not
counted; Valkey is, wherever it is asked. Time is what the system charges the processes, so a busy machine changes
little. All of ours is on: token, ended sessions, rate limit, metrics, spans sent to a receiver. Nobody writes a log
line for each request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from services.mesh.valkey import Valkey
from tests.bench import edge_memory, edge_split, edge_waits
from tests.bench.edge_envoy import NoEnvoy, running_envoy
from tests.bench.edge_services import tokens
from tests.bench.edge_stack import Stack, asks, posts
from tests.bench.ends import End, running_end
from tests.bench.rounds import Row, Side, Trial, median, turns

SERVE, LOAD = "tests.bench.edge_serve", "tests.bench.edge_load"
NAMES = {
    "envoy": "Envoy's transcoder, services behind it",
    "fastapi": "FastAPI and uvicorn, services behind it",
    "connect": "connectrpc and uvicorn, nothing on",
}
WANTED = {"envoy": 5.0, "fastapi": 8.0, "connect": 1.0}
_RECEIVED_BYTES = 64 * 1024 * 1024


async def measure(trial: Trial) -> list[Row]:
    """Return the rows of the three requests against each rival, of the waits, and of what connections weigh."""
    async with AsyncExitStack() as stack:
        said = await stack.enter_async_context(_surroundings(trial))
        stacks, missing = await _stacks(stack, trial, said)
        sides: dict[str, Side] = {name: each.side for name, each in stacks.items()}
        found = await turns(sides, rounds=trial.rounds, tick=trial.tick)
        rows = [
            _row(kind, rival, found["ours"][kind], found[rival][kind])
            for rival in NAMES
            if rival in found
            for kind in stacks["ours"].asks
        ]
        if missing:
            rows[0] = edge_waits.remarked(rows[0], f"{rows[0].note}; without Envoy: {missing}")
        waits: dict[str, Stack] = {name: stacks[name] for name in ("ours", "envoy") if name in stacks}
        rows += await edge_waits.measure(trial, waits)
        rows += await edge_memory.measure(trial, stacks["ours"], said["tokens"][0])
        rows += await edge_split.measure(trial, stacks["ours"].load, said)
    return rows


def _row(kind: str, rival: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> Row:
    times, wanted = median(theirs) / median(ours), WANTED[rival]
    verdict = "kept" if times >= wanted else "**missed**"
    note = f"{times:.2f} times its requests per processor second, {wanted:g} wanted: {verdict}"
    return Row("edge", f"{kind}: processor time", "µs", NAMES[rival], ours, theirs, note=note)


@asynccontextmanager
async def _surroundings(trial: Trial) -> AsyncIterator[dict[str, Any]]:
    """Run Valkey and a receiver of spans that forgets them; yields what the stacks are told."""
    valkey = Valkey(trial.folder / "valkey")
    url = await asyncio.to_thread(valkey.start)
    made, key = tokens()

    async def forget(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=_RECEIVED_BYTES)
    app.router.add_post("/v1/traces", forget)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        otlp = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield {"redis": url, "valkey": valkey.pid, "otlp": otlp, "key": key, "tokens": made}
    finally:
        await runner.cleanup()
        await asyncio.to_thread(valkey.stop)


async def _stacks(stack: AsyncExitStack, trial: Trial, said: dict[str, Any]) -> tuple[dict[str, Stack], str]:
    """Return the running stacks, ours first, and why Envoy is not among them, if it is not."""

    async def end(role: str, **more: Any) -> tuple[End, int]:
        made = await stack.enter_async_context(running_end(SERVE, role))
        return made, int((await made.ask({**said, **more}))["port"])

    load = await stack.enter_async_context(running_end(LOAD, "closed"))
    valkey, users = said["valkey"], said["tokens"]
    ours, port = await end("ours")
    stacks = {"ours": Stack("ours", port, (ours.pid, valkey), load, asks(users, "female"))}
    services, services_port = await end("services")
    missing = ""
    try:
        envoy = await stack.enter_async_context(running_envoy(trial.folder, services_port))
        pids = (envoy.pid, services.pid, valkey)
        requests = asks(users, "VOICE_GENDER_FEMALE", created=200)
        stacks["envoy"] = Stack("envoy", envoy.port, pids, load, requests)
    except (NoEnvoy, TimeoutError) as error:
        missing = str(error) or "it does not start"
    fastapi, port = await end("fastapi", port=services_port)
    pids = (fastapi.pid, services.pid, valkey)
    stacks["fastapi"] = Stack("fastapi", port, pids, load, asks(users, "female"))
    connect, port = await end("connect")
    stacks["connect"] = Stack("connect", port, (connect.pid,), load, posts(users))
    return stacks, missing
