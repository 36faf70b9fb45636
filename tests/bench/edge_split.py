"""Gateway and services as processes of their own, with mutual TLS between them, and two processes instead of one.

Envoy and FastAPI stand in front of the same kind of services in the same way. What is asked for here is requests a
second, which two cores that the load generator shares say badly; processor time stands beside it.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from services.mesh.ca import Authority
from services.mesh.process import free_port
from tests.bench.edge_envoy import NoEnvoy, running_envoy
from tests.bench.edge_stack import COUNTS, CREATE, LIST, WARM, Stack, asks
from tests.bench.ends import End, running_end
from tests.bench.rounds import Figures, Row, Side, Trial, median, turns

SERVE = "tests.bench.edge_serve"
WANTED = {"envoy": 1.0, "fastapi": 1.5}
NAMES = {"envoy": "Envoy's transcoder, the same split", "fastapi": "FastAPI and uvicorn, the same split"}


async def measure(trial: Trial, load: End, said: dict[str, Any]) -> list[Row]:
    """Return the rows of the list and the create against each rival, and of one process against two."""
    async with AsyncExitStack() as stack:
        stacks = await _stacks(stack, trial.folder, load, said)
        sides: dict[str, Side] = {name: _timed(each) for name, each in stacks.items()}
        found = await turns(sides, rounds=trial.rounds, tick=trial.tick)
    rows = []
    for rival in (each for each in NAMES if each in found):
        for kind in (LIST, CREATE):
            rows += _rows(kind, rival, found["split"], found[rival])
    for kind in (LIST, CREATE):
        one, two = found["one"][kind], found["two"][kind]
        rows.append(Row("edge", f"two processes on one port, {kind}: processor time", "µs", "one process", two, one))
    return rows


def _rows(
    kind: str, rival: str, ours: Mapping[str, tuple[float, ...]], theirs: Mapping[str, tuple[float, ...]]
) -> list[Row]:
    mine, others = ours[f"{kind} took"], theirs[f"{kind} took"]
    times, wanted = median(others) / median(mine), WANTED[rival]
    verdict = "kept" if times >= wanted else "**missed**"
    note = f"{times:.2f} times its requests a second, {wanted:g} wanted: {verdict}"
    about = ("edge", f"split over mutual TLS, {kind}")
    return [
        Row(about[0], f"{about[1]}: time for a request", "µs", NAMES[rival], mine, others, note=note),
        Row(about[0], f"{about[1]}: processor time", "µs", NAMES[rival], ours[kind], theirs[kind]),
    ]


async def _stacks(stack: AsyncExitStack, folder: Path, load: End, said: dict[str, Any]) -> dict[str, Stack]:
    """Return ours split, the rivals, and ours co-located in one and two processes; without Envoy where it cannot be."""
    tls = folder / "tls"
    Authority(folder / "authority", tls).ensure()
    valkey, users = said["valkey"], said["tokens"]

    async def end(role: str, **more: Any) -> tuple[End, int]:
        made = await stack.enter_async_context(running_end(SERVE, role))
        return made, int((await made.ask({**said, **more}))["port"])

    services, services_port = await end("services", tls=str(tls))
    behind = (services.pid, valkey)
    gateway, port = await end("gateway", tls=str(tls), port=services_port)
    stacks = {"split": Stack("ours", port, (gateway.pid, *behind), load, asks(users, "female"))}
    try:
        envoy = await stack.enter_async_context(running_envoy(folder, services_port, tls))
        requests = asks(users, "VOICE_GENDER_FEMALE", created=200)
        stacks["envoy"] = Stack("envoy", envoy.port, (envoy.pid, *behind), load, requests)
    except (NoEnvoy, TimeoutError):
        pass
    fastapi, port = await end("fastapi", tls=str(tls), port=services_port)
    stacks["fastapi"] = Stack("fastapi", port, (fastapi.pid, *behind), load, asks(users, "female"))
    one, port = await end("ours")
    stacks["one"] = Stack("ours", port, (one.pid, valkey), load, asks(users, "female"))
    shared = free_port(None)
    twins = [(await end("ours", shared_port=shared))[0] for _ in range(2)]
    stacks["two"] = Stack("ours", shared, (*(each.pid for each in twins), valkey), load, asks(users, "female"))
    return stacks


def _timed(stack: Stack) -> Side:
    """Return the side that tells of both kinds of request the microseconds of processors and of the clock."""
    count = COUNTS["envoy"]

    async def side() -> Figures:
        figures = {}
        for kind in (LIST, CREATE):
            await stack.run(kind, WARM)
            before = stack.used_s()
            told = await stack.run(kind, count)
            figures[kind] = (stack.used_s() - before) / count * 1e6
            figures[f"{kind} took"] = told["s"] / count * 1e6
        return figures

    return side
