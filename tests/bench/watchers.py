"""A thousand and five thousand watchers of one job: processor time for each event and watcher, and how late it comes.

``python -m tests.bench.watchers`` measures a thousand while ten thousand others, who hold their streams in the same
process, have nothing to hear but heartbeats; the reference has only the thousand. It is no part of `make bench`:
opening so many takes minutes, and on a busy machine some are refused.

Ours is the running mesh: events are committed to PostgreSQL, and go through Valkey's wake, the log, the servicer and,
for browsers, the gateway. The reference writes the same bytes to as many streams and does nothing else.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from rich.console import Console
from sqlalchemy import update

from services.composer.storage.tables import jobs as tables
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.job import Job, Note
from services.kit.jobs.policy import Policy
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.signals import RedisSignals
from services.kit.redis import connect
from services.mesh.client import Client
from services.mesh.home import Home
from services.mesh.up import RunningMesh, running_mesh
from tests.bench.ends import running_end
from tests.bench.report import screen, this_machine
from tests.bench.rounds import LEAST_ROUNDS, Figures, Row, Trial
from tests.bench.start import fresh_home

# Kind, watchers, events in a round, a pause long enough for every watcher to have had one, and idle watchers beside.
CROWDS = (
    ("sse", 1000, 5, 0.5, 0),
    ("sse", 5000, 2, 2.0, 0),
    ("grpc", 1000, 5, 2.0, 0),
    ("grpc", 5000, 2, 8.0, 0),
)
BESIDE_IDLE = (("sse", 1000, 5, 1.0, 10_000),)
_IDLE_OF_A_PROCESS = 2_000
_NAMES = {"sse": ("server-sent events", "bare aiohttp"), "grpc": ("gRPC", "bare grpc.aio")}
_UNLIMITED = {"RATE_USER_PER_MINUTE": "0", "RATE_ADDRESS_PER_MINUTE": "0", "STREAMS_MOST": "20000"}


async def measure(trial: Trial, crowds: Sequence[tuple[str, int, int, float, int]] = CROWDS) -> list[Row]:
    """Return two rows for each kind of stream and size of crowd."""
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(fresh_home(trial.folder))
        home = Home(made.root, {**made.environ, **_UNLIMITED})
        mesh = await stack.enter_async_context(running_mesh(home))
        client = await stack.enter_async_context(Client(mesh.base_url))
        await client.login()
        user_id = str((await client.call("GET", "/api/v1/users/me"))["user"]["user_id"])
        log = await stack.enter_async_context(_log(mesh, user_id))
        for crowd in crowds:
            rows += await _crowd(trial, mesh, log, client.token, crowd=_Crowd(*crowd))
    return rows


@dataclass(frozen=True)
class _Crowd:
    """How many watch how, and what is written for them in each round."""

    kind: str
    count: int
    events: int
    every_s: float
    idle: int

    @property
    def name(self) -> str:
        """Return who they are."""
        beside = f" beside {self.idle:,} idle ones" if self.idle else ""
        return f"{self.count:,} watchers{beside}, {_NAMES[self.kind][0]}"


class _Log:
    """A job of the watcher's whose log the benchmark writes, without any work behind it."""

    def __init__(self, queue: JobQueue, db: Database, user_id: str) -> None:
        self._queue = queue
        self._db = db
        self._user_id = user_id
        self.job: Job

    async def begin(self) -> Job:
        """Return a new job."""
        async with self._db.transaction() as tx:
            self.job = await self._queue.create(tx, kind="bench", user_id=self._user_id, subject_id=new_id(), params={})
            # Pending for longer than the benchmark lasts, so that no sweeper asks what became of it.
            later = now() + timedelta(hours=2)
            await tx.execute(update(tables.jobs).where(tables.jobs.c.job_id == self.job.job_id).values(run_after=later))
        return self.job

    async def write(self) -> None:
        """Write one line."""
        async with self._db.transaction() as tx:
            note = Note("line")
            await self._queue.rows.change(tx, self.job.job_id, now(), note=note, step="bench")
        await self._queue.signals.wake(self.job.job_id)


@asynccontextmanager
async def _log(mesh: RunningMesh, user_id: str) -> AsyncIterator[_Log]:
    db, redis = Database(mesh.environment["DATABASE_URL"]), connect(mesh.environment["REDIS_URL"])
    policies = {"bench": Policy(kind="bench", queue="bench", waiting_s=7200.0)}
    queue = JobQueue(PostgresJobs("composer", tables), policies, RedisSignals(redis), now)
    # The connection that wakes are published over is there before the first event.
    await redis.ping()
    try:
        yield _Log(queue, db, user_id)
    finally:
        queue.close()
        await redis.aclose()
        await db.close()


async def _crowd(trial: Trial, mesh: RunningMesh, log: _Log, token: str, *, crowd: "_Crowd") -> list[Row]:
    """Open both crowds, let them stand beside each other, and measure them in turn."""
    kind, count, events, every_s = crowd.kind, crowd.count, crowd.events, crowd.every_s
    silent, job = await log.begin(), await log.begin()
    port = mesh.home.ports.gateway if kind == "sse" else mesh.home.ports.edge
    asked = {"kind": kind, "count": count, "host": "127.0.0.1", "token": token, "job_id": job.job_id}
    late: dict[str, list[float]] = {"ours": [], "reference": []}
    async with AsyncExitStack() as stack:
        roles = ("bare", "watchers", "watchers")
        ends = [await stack.enter_async_context(running_end("tests.bench.crowd", role)) for role in roles]
        bare, ours_heard, bare_heard = (end.ask for end in ends)
        served = await bare({"kind": kind})
        for _ in range(0, crowd.idle, _IDLE_OF_A_PROCESS):
            holding = await stack.enter_async_context(running_end("tests.bench.crowd", "watchers"))
            silence = {"job_id": silent.job_id, "path": f"/api/v1/jobs/{silent.job_id}/events"}
            await holding.ask({**asked, **silence, "count": _IDLE_OF_A_PROCESS, "port": port})
        await ours_heard({**asked, "port": port, "path": f"/api/v1/jobs/{job.job_id}/events"})
        await bare_heard({**asked, "port": served["port"], "path": "/events"})
        process = psutil.Process(mesh.pids["mesh"])

        async def ours() -> Figures:
            used = process.cpu_times()
            for _ in range(events):
                await log.write()
                await asyncio.sleep(every_s)
            answer = await ours_heard({"events": events * count})
            after = process.cpu_times()
            late["ours"] += answer["late_ms"]
            return {"us": (after.user + after.system - used.user - used.system) / events / count * 1e6}

        async def reference() -> Figures:
            answer = await bare({"events": events, "every_s": every_s})
            late["reference"] += (await bare_heard({"events": events * count}))["late_ms"]
            return {"us": answer["cpu_s"] / events / count * 1e6}

        series = await trial.in_turn(ours, reference)
    who, against = crowd.name, _NAMES[kind][1]
    return [
        Row(
            "watchers",
            f"{who}: processor time per event and watcher",
            "µs",
            against,
            series.ours["us"],
            series.reference["us"],
        ),
        Row(
            "watchers",
            f"{who}: written to heard",
            "ms",
            against,
            tuple(late["ours"]),
            tuple(late["reference"]),
            share=0.99,
        ),
    ]


def main() -> None:
    """Measure the crowd beside the idle one, and show its rows."""
    machine = this_machine(rounds=LEAST_ROUNDS)
    with tempfile.TemporaryDirectory(prefix="cadenza-bench-") as folder:
        rows = asyncio.run(measure(Trial(LEAST_ROUNDS, Path(folder)), BESIDE_IDLE))
    Console().print(screen(rows, machine))


if __name__ == "__main__":
    main()
