"""The processes of a small mesh: composition roots like those of production, over a simulated border.

What runs here is the code of production: the use cases of Wallet and Composer, and the queue,
runner, sweeper and outbox of the kit. Simulated are the loop, the network, the stores, Redis,
Media, and the work that a job does between its steps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from unittest.mock import patch

from sqlalchemy.exc import IntegrityError

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.word_list import WordList
from services.composer.storage import subject as subject_module
from services.composer.usecases import track as track_module
from services.composer.usecases.charge import Charge, settlement
from services.composer.usecases.job import Jobs
from services.composer.usecases.moderation import Moderation
from services.composer.usecases.track import MUSIC, Caller, Limits, Tracks, policies
from services.kit import ids
from services.kit.clock import Clock
from services.kit.jobs import listener as listener_module
from services.kit.jobs import outbox as outbox_module
from services.kit.jobs.errors import JobFailed
from services.kit.jobs.listener import Listener
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.run import JobRun
from services.kit.jobs.runner import Runner
from services.kit.jobs.sweeper import Sweeper
from services.wallet.rpc.credit import CreditServicer
from services.wallet.usecases import credit as credit_module
from services.wallet.usecases import hold as hold_module
from services.wallet.usecases import terms as terms_module
from services.wallet.usecases import write as write_module
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.hold import Holds
from services.wallet.usecases.quota import Quotas
from services.wallet.usecases.terms import Terms
from tests.simulate.broker import Broker, MemoryHints, MemorySignals
from tests.simulate.database import MemoryDatabase
from tests.simulate.laws import Effect, Promises, Watchman
from tests.simulate.ledger_rows import Undecided
from tests.simulate.loop import Process, SimulatedLoop, here
from tests.simulate.network import Handler, Network, Stub
from tests.simulate.rooms import Rooms

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PRICE = 20
GRANT = 100
STEPS = {"listen": (0, 30), "generate": (30, 95)}
# What is owed for finished steps when the owner cancels, and after the price has changed.
OWED = (("generate", 9),)
OWED_LATER = (("generate", 8), ("listen", 3))

_TERMS = ("audit_storage", "hold_storage", "price_storage", "quota_storage")
_NO_FAULT = (
    AssertionError,
    AttributeError,
    ImportError,
    IntegrityError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)

_TOLD_OF_NEW = (
    "state",
    "kind",
    "topic",
    "amount",
    "settled",
    "balance",
    "balance_after",
    "attempt",
    "message",
    "token",
)
_UNTOLD = frozenset({"last_hash", "update_time"})

APIS = ("api-0", "api-1")
WALLET = "wallet"
MEDIA = "media"


@dataclass(frozen=True)
class Temper:
    """How a job's own work behaves, apart from all faults."""

    longest_s: float = 3.0
    fails: float = 0.1
    gives_up: float = 0.05
    deadline_s: float = 600.0
    sweep_s: float = 1.0
    poll_s: float = 1.0
    places: int = 1


@dataclass
class Planted:
    """Where a historic bug may change the world; see `bugs`."""

    name: str = ""
    before_finish: Callable[["Worker", JobRun], Awaitable[None]] | None = None


@dataclass
class World:
    """One simulated mesh with its stores, before and after everybody's life."""

    loop: SimulatedLoop
    chance: Random
    temper: Temper
    workers: int = 2
    planted: Planted = field(default_factory=Planted)
    trace: Callable[[str], None] | None = None
    rooms: Rooms = field(default_factory=Rooms)
    promises: Promises = field(default_factory=Promises)
    defects: list[str] = field(default_factory=list)
    alive: dict[str, Process] = field(default_factory=dict)
    skew_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what all processes share."""
        self.database = MemoryDatabase(self.loop, self.chance)
        self.network = Network(self.loop, self.chance)
        self.broker = Broker(self.loop, self.chance)
        self.watchman = Watchman(self.rooms)
        self.database.on_commit = self._committed
        self.database.on_failure = self._failed
        self.rooms.furnish(MUSIC, PRICE, OWED)
        self._mains: dict[str, Callable[[Process], Coroutine[Any, Any, None]]] = {
            WALLET: self._wallet,
            MEDIA: self._media,
            **dict.fromkeys(APIS, self._api),
            **{f"worker-{number}": self._worker for number in range(self.workers)},
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Return the processes that there should be."""
        return tuple(self._mains)

    def start(self, name: str) -> None:
        """Start a process, or start it again."""
        process = Process(name, skew_s=self.skew_s.get(name, 0.0))
        self.alive[name] = process
        self.say(f"{name} starts")
        self.loop.start(process, self._guarded(process, self._mains[name](process)))

    def kill(self, name: str) -> None:
        """End a process as `kill -9` does."""
        process = self.alive.pop(name, None)
        if process is not None:
            self.say(f"{name} is killed")
            self.loop.kill(process)
            self.database.forget(process)
            self.network.hang_up(process)

    def clock_of(self, process: Process) -> Clock:
        """Return the clock of one machine."""

        def now() -> datetime:
            return _EPOCH + timedelta(seconds=self.loop.now + process.skew_s)

        return now

    def say(self, text: str) -> None:
        """Add a line to the trace, if anybody reads one."""
        if self.trace is not None:
            self.trace(f"{self.loop.now - 1000:9.4f}  {here().name:10}  {text}")

    async def _guarded(self, process: Process, main: Coroutine[Any, Any, None]) -> None:
        """Run a main function; one that ends by itself is a defect of the world or of the code."""
        try:
            await main
        except Exception as error:  # noqa: BLE001  # told with the outcome
            self.defects.append(f"{process} ended by itself: {error!r}")

    def _failed(self, process: Process, error: BaseException) -> None:
        """Take note of what no fault can cause: the loops of the code would log it and go on."""
        if isinstance(error, _NO_FAULT) and process.alive and not self.loop.is_closed():
            self.defects.append(f"{process} ran into {error!r}")

    def _committed(self, process: Process, changes: list[Any]) -> None:
        if self.trace is not None:
            self.say(f"committed by {process}: " + "; ".join(_told(*change) for change in changes))
        self.watchman.look(changes)

    async def _wallet(self, process: Process) -> None:
        db: Any = self.database
        wakes: Any = MemorySignals(self.broker)
        clock = self.clock_of(process)
        balances = Balances(db, wakes)
        terms = Terms()
        credits_ = Credits(db, clock, signup_grant_credits=GRANT, terms=terms)
        holds = Holds(db, credits_, clock, terms=terms, changed=balances.changed)
        quotas = Quotas(db, clock, utc_offset=terms.utc_offset)
        servicer = CreditServicer(credits_, holds, balances, quotas)
        names = ("Hold", "Settle", "Release", "Grant")
        self.network.serve(WALLET, process, {name: _method(getattr(servicer, name)) for name in names})
        await holds.run()

    async def _media(self, process: Process) -> None:
        async def resolve(request: Any) -> Any:
            asset = media_pb2.Asset(
                asset_id=request.asset_id, kind=media_pb2.Asset.KIND_RECORDING, state=media_pb2.Asset.STATE_READY
            )
            return media_pb2.ResolveAssetResponse(asset=asset)

        self.network.serve(MEDIA, process, {"ResolveAsset": resolve})
        await asyncio.Event().wait()

    def _queue(self, clock: Clock) -> tuple[JobQueue, Charge]:
        store = self.rooms.jobs
        on_end = settlement(store, clock)
        kinds = policies(self.temper.deadline_s)
        queue = JobQueue(store, kinds, MemorySignals(self.broker), clock, on_end=on_end)
        wallet: Any = Stub(self.network, WALLET)
        db: Any = self.database
        return queue, Charge(db=db, queue=queue, wallet=wallet, clock=clock)

    async def _api(self, process: Process) -> None:
        clock = self.clock_of(process)
        queue, charge = self._queue(clock)
        db: Any = self.database
        media: Any = Stub(self.network, MEDIA)
        limits = Limits(per_user=3, in_all=6)
        # Without words and checkers: what it decides is no part of what is simulated.
        free = Moderation(db=db, clock=clock, words=WordList.parsed([]))
        tracks = Tracks(db=db, queue=queue, charge=charge, media=media, limits=limits, clock=clock, moderation=free)
        jobs = Jobs(db=db, queue=queue, charge=charge)
        handlers: dict[str, Handler] = {
            "create": lambda asked: tracks.create(Caller(asked[0]), asked[1], asked[2]),
            "cancel": lambda asked: jobs.cancel(*asked),
            "delete": lambda asked: tracks.delete(*asked),
            "read": lambda asked: jobs.log(asked[0], asked[1], after=asked[2], page_size=50, page_token=""),
        }
        self.network.serve(process.name, process, handlers)
        sweeper = Sweeper(queue, self.database, on_pending=charge.resume, interval_s=self.temper.sweep_s)
        await asyncio.gather(charge.dispatcher.run(), sweeper.run())

    async def _worker(self, process: Process) -> None:
        await Worker(self, process).main()


class Worker:
    """One worker process: takes pointers, runs jobs, sweeps and dispatches."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        clock = world.clock_of(process)
        self.queue, self.charge = world._queue(clock)
        self.runner = Runner(self.queue, world.database, {MUSIC: self.make}, dispatcher=self.charge.dispatcher)
        self.runner._owner = process.name
        self.sweeper = Sweeper(
            self.runner, world.database, on_pending=self.charge.resume, interval_s=world.temper.sweep_s
        )

    async def main(self) -> None:
        """Do what a worker does, for ever."""
        hints: Any = MemoryHints(self.world.broker, MUSIC)
        listener = Listener(hints, [self.runner], [MUSIC], places=self.world.temper.places)
        await asyncio.gather(self.charge.dispatcher.run(), self.sweeper.run(), listener.run())

    async def make(self, run: JobRun) -> None:
        """Do a job of two steps, whose work is waiting."""
        world, temper = self.world, self.world.temper
        roll = world.chance.random
        for name, weight in STEPS.items():

            async def work(name: str = name) -> dict[str, Any]:
                await asyncio.sleep(temper.longest_s * roll() ** 2)
                await run.progress(50, "half")
                await asyncio.sleep(temper.longest_s * roll() ** 2)
                if roll() < temper.fails:
                    raise RuntimeError(f"the provider failed in {name}")
                if roll() < temper.gives_up:
                    raise JobFailed("TAKE_SILENT", "nothing to hear")
                return {"by": run.job.attempt}

            await run.step(name, weight, work)
        if world.planted.before_finish is not None:
            await world.planted.before_finish(self, run)
        async with run.finish({"done": True}) as tx:
            await tx.trip()
            token = run.lease_token
            effect = Effect(run.job.job_id, token, run.job.attempt)
            if not await tx.claim(world.rooms.effects, effect.job_id):
                world.defects.append(f"job {effect.job_id} would have had its effect twice")
            tx.write(world.rooms.effects, effect.job_id, effect)


def _method(method: Callable[[Any, Any], Awaitable[Any]]) -> Handler:
    return lambda request: method(request, None)


def _told(table: Any, key: Any, before: Any, after: Any) -> str:
    """Return one change for a reader."""
    name = f"{table.name} {key if isinstance(key, str) else '/'.join(str(part) for part in key)}"
    if after is None:
        return f"{name} removed"
    fields = getattr(after, "__dataclass_fields__", None)
    if fields is None:
        return f"{name} = {after}"
    if before is None:
        return f"{name} new " + " ".join(f"{each}={getattr(after, each)}" for each in _TOLD_OF_NEW if each in fields)
    new = {each: getattr(after, each) for each in fields if getattr(after, each) != getattr(before, each)}
    return f"{name} " + " ".join(f"{each}={value}" for each, value in new.items() if each not in _UNTOLD)


class _SeededIds:
    """Ids in order, from the simulated time and one seed."""

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        self._loop = loop
        self._bits = Random(seed).getrandbits
        self._number = 0

    def advance(self) -> tuple[int, int]:
        """Return the 48-bit millisecond and the 74 bits that follow it."""
        self._number += 1
        return 1_767_225_600_000 + int(self._loop.now * 1000), self._number << 40 | self._bits(40)


@contextmanager
def borders(world: World, seed: int) -> Iterator[None]:
    """Put the stores, the ids and the pace of the world in the place of the real ones, until the end."""
    with (
        patch.object(outbox_module, "_POLL_S", world.temper.poll_s),
        patch.object(listener_module, "_WAIT_S", world.temper.poll_s),
        patch.object(ids, "_sequence", _SeededIds(world.loop, seed)),
        patch.object(credit_module, "storage", world.rooms.ledger),
        patch.object(write_module, "storage", world.rooms.ledger),
        patch.object(write_module, "audit_storage", world.rooms.terms),
        patch.object(credit_module, "hot_storage", Undecided),
        patch.dict(vars(terms_module), dict.fromkeys(_TERMS, world.rooms.terms)),
        patch.object(hold_module, "storage", world.rooms.terms),
        patch.object(subject_module, "track", world.rooms.tracks),
        patch.object(track_module, "storage", world.rooms.tracks),
    ):
        yield
