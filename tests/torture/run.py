"""Round after round: users at work, blows, quiet, verdict."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from services.mesh.client import Client
from services.mesh.errors import CannotStart
from services.mesh.hum import SAMPLE_RATE, SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, synthesize_hum
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.e2e.sounds import wav
from tests.fakes.engine import EngineServer, engine_server
from tests.torture.child import Death
from tests.torture.crowd import Round, Singer
from tests.torture.mesh import SERVERS, Mesh, tortured_mesh
from tests.torture.plan import Blow, Planner
from tests.torture.state import State, read_files, read_tables, unrest
from tests.torture.verdict import violations

USERS = 4
WISHES = 6
ROUND_S = 300.0
QUIET_S = 240.0
ENGINE_S = 0.12
STARTS = 5

HELD = "SELECT job_id::text FROM {service}.jobs WHERE state = 'running' AND lease_owner LIKE $1"
# A worker that stood for so long before another one died was there to take its jobs.
STANDING_S = 3.0
AGAIN = (
    "SELECT extract(epoch FROM event_time)::float8 FROM {service}.job_events WHERE job_id = $1::uuid"
    " AND state = 'running' AND message LIKE 'attempt %' AND event_time > to_timestamp($2) ORDER BY sequence LIMIT 1"
)


@dataclass
class Outcome:
    """Everything a run has to tell."""

    seed: int
    rounds: int = 0
    seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    job_recoveries: list[float] = field(default_factory=list)
    attended_recoveries: list[float] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    wishes: int = 0
    repeated: int = 0
    retries: int = 0
    internal: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    state: State = field(default_factory=State)

    @property
    def kills(self) -> int:
        """How many processes ended by SIGKILL."""
        return len(self.deaths)


class Torture:
    """One run of one seed."""

    def __init__(self, mesh: Mesh, engine: EngineServer, take: bytes, planner: Planner, users: int) -> None:
        self.outcome = Outcome(planner.seed)
        self._mesh = mesh
        self._engine = engine
        self._take = take
        self._planner = planner
        self._seed = planner.seed
        self._users = users
        self._known = State()
        self._orphans: list[tuple[str, str, Death]] = []
        mesh.on_death = self._note_orphans

    async def round(self, number: int) -> list[str]:
        """Return the violations after one round."""
        told, over = Round(), asyncio.Event()
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            length_s = self._planner.length_s
            singers = [await self._singer(stack, number, told, over, at) for at in range(self._users)]
            living = [asyncio.create_task(singer.live(self._take, WISHES, length_s)) for singer in singers]
            await self._strike(self._planner.plan(number))
            done, late = await asyncio.wait(living, timeout=max(ROUND_S - (time.monotonic() - began), 1))
            self._planner.again(self._mesh.disarm())
            self._mesh.calm()
            await self._mesh.all_ready()
            problems = [
                f"users_are_served: user {singer.user_id} waits after {ROUND_S} s: {singer.last_trouble}"
                for singer, task in zip(singers, living, strict=True)
                if task in late
            ]
            over.set()
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            problems += [f"users_are_served: {task.exception()!r}" for task in done if task.exception() is not None]
            problems += [f"outages_are_told_as_such: {each}" for each in told.internal]
            problems += await self._quiet()
            over.clear()
            for singer in singers:
                if singer.user_id:
                    told.balances[singer.user_id] = await asyncio.wait_for(singer.credits(), 30)
        return await self._judge(number, told, problems)

    async def _singer(self, stack: AsyncExitStack, number: int, told: Round, over: asyncio.Event, at: int) -> Singer:
        client = await stack.enter_async_context(Client(self._mesh.base_url))
        return Singer(client, self._mesh.peers(), random.Random(f"{self._seed}/{number}/{at}"), told, over)

    async def _strike(self, blows: list[Blow]) -> None:
        """Do what is planned, each blow at its time."""
        began = time.monotonic()
        healing: list[asyncio.Task[None]] = []
        for blow in blows:
            await asyncio.sleep(max(0.0, began + blow.at_s - time.monotonic()))
            if await self._hit(blow, healing):
                self.outcome.blows[blow.kind] += 1
        await asyncio.gather(*healing)

    async def _hit(self, blow: Blow, healing: list[asyncio.Task[None]]) -> bool:
        """Return whether the blow found its target; what heals later is added to the list."""
        mesh = self._mesh

        async def later(heal: Callable[[], None]) -> None:
            await asyncio.sleep(blow.for_s)
            heal()

        match blow.kind:
            case "arm":
                mesh.arm(blow.target)
            case "kill":
                return mesh.kill(blow.target, f"kill {blow.target.partition('-')[0]}")
            case "freeze":
                if not mesh.freeze(blow.target):
                    return False
                healing.append(asyncio.create_task(later(lambda: mesh.thaw(blow.target))))
            case "restart":
                server = mesh.postgres if blow.target == "postgres" else mesh.valkey
                await asyncio.to_thread(server.stop)
                await _started(server)
            case "cut":
                return mesh.proxies[blow.target].cut() > 0
            case "refuse":
                proxy = mesh.proxies[blow.target]
                proxy.refusing = True
                proxy.cut()
                healing.append(asyncio.create_task(later(lambda: setattr(proxy, "refusing", False))))
            case "delay":
                proxy = mesh.proxies[blow.target]
                proxy.delay_s = 0.05
                healing.append(asyncio.create_task(later(lambda: setattr(proxy, "delay_s", 0.0))))
        return True

    async def _quiet(self) -> list[str]:
        """Return nothing once nothing moves any more, or what still moves when the patience is used up."""
        until = time.monotonic() + QUIET_S
        while True:
            going = ["the database does not answer"]
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                going = await unrest(self._mesh.database_url)
            if not going:
                return []
            if time.monotonic() > until:
                return [f"all_comes_to_rest: {each}" for each in going]
            await asyncio.sleep(0.2)

    async def _judge(self, number: int, told: Round, problems: list[str]) -> list[str]:
        """Return the violations of everything up to now, and add the round to the outcome."""
        outcome, known = self.outcome, self._known
        state = await read_tables(self._mesh.database_url)
        await asyncio.to_thread(read_files, self._mesh.objects, state)
        known.wishes += told.wishes
        known.balances |= told.balances
        known.kept_assets |= told.assets
        state.wishes, state.balances, state.kept_assets = known.wishes, known.balances, known.kept_assets
        state.orders = dict(self._engine.orders)
        await self._measure_jobs()
        outcome.rounds = number + 1
        outcome.wishes += len(told.wishes)
        outcome.repeated += sum(len(wish.answers) > 1 for wish in told.wishes)
        outcome.retries += told.retries
        outcome.internal += told.internal
        outcome.jobs = Counter(f"{job['kind']} {job['state']}" for job in state.jobs)
        outcome.deaths = list(self._mesh.deaths)
        outcome.seen = self._mesh.seen()
        outcome.state = state
        found = problems + violations(state)
        outcome.violations += [f"seed {self._seed}, round {number}: {each}" for each in found]
        return found

    # How long the jobs of a dead worker wait.

    async def _note_orphans(self, death: Death) -> None:
        """Remember which jobs the dead process had under a lease."""
        if not death.name.startswith("worker"):
            return
        with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
            connection = await asyncpg.connect(self._mesh.database_url, timeout=2)
            try:
                for service in ("composer", "media"):
                    rows = await connection.fetch(HELD.format(service=service), f"%:{death.pid}:%")
                    self._orphans += [(service, row["job_id"], death) for row in rows]
            finally:
                await connection.close()

    async def _measure_jobs(self) -> None:
        """Add for each orphan the seconds from the death to its next attempt; those that ended instead have none.

        It was attended to when another worker and both servers stood all the while.
        """
        connection = await asyncpg.connect(self._mesh.database_url, timeout=10)
        try:
            for service, job_id, death in self._orphans:
                again = await connection.fetchval(AGAIN.format(service=service), job_id, death.wall)
                if again is None:
                    continue
                self.outcome.job_recoveries.append(again - death.wall)
                stood = self._mesh.standing.throughout(death.wall - STANDING_S, again) - {death.name}
                if stood > set(SERVERS):
                    self.outcome.attended_recoveries.append(again - death.wall)
        finally:
            await connection.close()
        self._orphans.clear()


async def _started(server: Postgres | Valkey) -> None:
    """Start a server that was stopped; a busy machine may need more than one try."""
    for tries in range(1, STARTS + 1):
        try:
            await asyncio.to_thread(server.start)
        except CannotStart:
            if tries == STARTS:
                raise
        else:
            return


def short_take() -> bytes:
    """Return the sound that every user sends: four hummed notes, which Media has soon made playable."""
    return wav(synthesize_hum(SAMPLE_TUNE[:4], SAMPLE_TEMPO_BPM, seed=SAMPLE_SEED), SAMPLE_RATE)


async def torture(
    root: Path,
    take: bytes,
    *,
    seed: int,
    rounds: int,
    users: int = USERS,
    enough: Callable[[Outcome], bool] = lambda _outcome: False,
    length_s: float = 20.0,
    told: Callable[[Outcome, list[str]], None] = lambda _outcome, _found: None,
) -> Outcome:
    """Return the outcome of at most that many rounds; they end earlier once there is enough."""
    began = time.monotonic()
    async with engine_server(seconds=ENGINE_S) as engine, tortured_mesh(root, engine.url) as mesh:
        run = Torture(mesh, engine, take, Planner(seed, length_s=length_s), users)
        for number in range(rounds):
            found = await run.round(number)
            run.outcome.seconds = time.monotonic() - began
            told(run.outcome, found)
            if enough(run.outcome):
                break
        return run.outcome
