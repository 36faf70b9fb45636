"""The stores in memory answer like PostgreSQL: random histories are played to both, and every answer compared."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from services.composer.storage.tables import jobs as job_tables
from services.composer.usecases.track import MUSIC
from services.kit.db.engine import Database
from services.kit.errors import DomainError
from services.kit.ids import new_id
from services.kit.jobs.job import Job, Note
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.states import State
from services.kit.jobs.store import Due, JobStore, Message
from services.wallet.usecases import credit as credit_module
from services.wallet.usecases import terms as terms_module
from services.wallet.usecases import write as write_module
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.terms import Terms
from tests.conftest import SettableClock
from tests.simulate.database import MemoryDatabase
from tests.simulate.job_rows import MemoryJobs
from tests.simulate.ledger_rows import Undecided
from tests.simulate.rooms import Rooms
from tests.simulate.world import _TERMS, GRANT, PRICE

_START = datetime(2026, 1, 1, tzinfo=UTC)
_HISTORIES = 4
_DEEDS = 50
_SERVICE = "composer"

_LOOKS = ("stray", "pending", "next", "due", "count", "runs", "since", "claim", "events", "page", "active", "steps")
# Deeds that may wait for a lock, the more important ones more often.
_CHANGES = (
    *("add",) * 3,
    *("change",) * 12,
    *("put",) * 3,
    *("step",) * 2,
    *("remove", "purge", "deliver", "postpone"),
)

Deed = Callable[[JobStore, Any], Awaitable[Any]]


class _Instant:
    """A loop for the store in memory outside of the simulation: no time passes in it."""

    now = 0.0

    async def pause(self, _seconds: float) -> None:
        """Pass no time."""

    def is_closed(self) -> bool:
        """Return that it goes on."""
        return False

    def create_future(self) -> Any:
        """Return a future of the real loop."""
        return asyncio.get_running_loop().create_future()


class _Never(Random):
    """Chance by which nothing ever goes wrong."""

    def random(self) -> float:
        """Return the lowest number."""
        return 0.0


def _memory() -> MemoryDatabase:
    loop: Any = _Instant()
    return MemoryDatabase(loop, _Never())


class _History:
    """Draws deeds that make sense often enough, over a growing set of jobs."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self.job_ids: list[str] = []
        self._users = [new_id(), new_id()]
        self._topics = ("settle", "release")
        self._number = 0
        self._claimed: dict[bool, list[Message]] = {True: [], False: []}

    def deed(self, *, waits: bool) -> Deed:
        """Return the next deed; with `waits` also one that would wait for another transaction's lock."""
        kinds = _LOOKS + (_CHANGES if waits else ())
        drawn: Deed = getattr(self, f"_{self._chance.choice(kinds)}")()
        return drawn

    def any_job(self) -> str:
        """Return a job, or now and then none."""
        return self._chance.choice(self.job_ids) if self.job_ids and self._chance.random() < 0.95 else new_id()

    def _at(self) -> datetime:
        return _START + timedelta(seconds=self._chance.randint(0, 40))

    def _add(self) -> Deed:
        at, job_id = self._at(), new_id()
        self.job_ids.append(job_id)
        values = {
            "job_id": job_id,
            "kind": self._chance.choice(["music", "lyrics"]),
            "user_id": self._chance.choice([*self._users, None]),
            "subject_id": new_id(),
            "state": "pending",
            "params": {"n": self._number},
            "max_attempts": 3,
            "run_after": at + timedelta(seconds=self._chance.randint(0, 20)),
            "level": self._chance.randint(0, 2),
            "turn_time": at + timedelta(seconds=self._chance.randint(-20, 20), microseconds=len(self.job_ids)),
            "deadline_time": at + timedelta(seconds=self._chance.randint(5, 60)),
            "create_time": at,
            "update_time": at,
        }
        return lambda store, tx: store.add(tx, values, Note("created"))

    def _change(self) -> Deed:
        chance, at, job_id = self._chance, self._at(), self.any_job()
        state = chance.choice(["pending", "queued", "queued", "running", "running", "completed", "failed", "cancelled"])
        token = chance.choice([None, None, 0, 1, 2])
        values: dict[str, Any] = {"state": state, "lease_expire_time": None, "attempt": chance.randint(0, 3)}
        if state == "running":
            values |= {"lease_expire_time": self._at(), "start_time": at, "lease_token": chance.randint(1, 2)}
        elif state in {"completed", "failed", "cancelled"}:
            values |= {"finish_time": self._at(), "start_time": _START, "result": {"of": at.second}}
        if chance.random() < 0.2:
            values = {"progress_percent": chance.randint(0, 100), "step": "listen"}
        note = Note("changed", chance.randint(0, 100)) if chance.random() < 0.8 else None
        return lambda store, tx: store.change(tx, job_id, at, note=note, token=token, values=dict(values))

    def _remove(self) -> Deed:
        job_id = self.any_job()
        return lambda store, tx: store.remove(tx, job_id)

    def _step(self) -> Deed:
        job_id, name, at = self.any_job(), self._chance.choice(["listen", "generate"]), self._at()
        result = {"n": self._chance.randint(0, 9)}

        async def add(store: JobStore, tx: Any) -> Any:
            job = await store.find(tx, job_id)
            if job is not None:
                await store.add_step(tx, job, name, result, start_time=at, finish_time=at)
            return job

        return add

    def _steps(self) -> Deed:
        job_id = self.any_job()
        return lambda store, tx: store.steps(tx, job_id)

    def _stray(self) -> Deed:
        at, job_id = self._at(), self.any_job()

        async def look(store: JobStore, tx: Any) -> Any:
            return await store.stray_ids(tx, at, 5), await store.lock_stray(tx, job_id, at)

        return look

    def _pending(self) -> Deed:
        at = self._at()

        async def claim(store: JobStore, tx: Any) -> Any:
            # Rows that are due at the same instant have no order among each other.
            found = await store.claim_pending(tx, at=at, ask_again=at + timedelta(seconds=9), most=100)
            return sorted(found, key=lambda job: job.job_id)

        return claim

    def _purge(self) -> Deed:
        at = self._at()
        return lambda store, tx: store.purge_events(tx, at, 100)

    def _next(self) -> Deed:
        at = self._at()
        return lambda store, tx: store.turns.next_due(tx, ["music", "lyrics"], at)

    def _due(self) -> Deed:
        at = self._at()

        async def both_pages(store: JobStore, tx: Any) -> Any:
            first = await store.turns.due(tx, ["music"], at, after=None, most=2)
            rest: list[Due] = await store.turns.due(tx, ["music"], at, after=first[-1], most=9) if first else []
            return first, rest

        return both_pages

    def _count(self) -> Deed:
        at, job_id = self._at(), self.any_job()

        async def count(store: JobStore, tx: Any) -> Any:
            job = await store.find(tx, job_id)
            before = None if job is None else Due(job.kind, job.turn_time, job.job_id, job.lease_token)
            return await store.turns.due_count(tx, ["music", "lyrics"], at, before)

        return count

    def _runs(self) -> Deed:
        async def ordered(store: JobStore, tx: Any) -> Any:
            return sorted(map(astuple, await store.turns.newest_runs(tx, ["music", "lyrics"], 100)))

        return ordered

    def _since(self) -> Deed:
        async def ordered(store: JobStore, tx: Any) -> Any:
            return sorted(await store.turns.running_since(tx, ["music", "lyrics"], 100))

        return ordered

    def _events(self) -> Deed:
        job_id, after = self.any_job(), self._chance.randint(0, 4)
        return lambda store, tx: store.events(tx, job_id, after, 3)

    def _page(self) -> Deed:
        user_id, states = self._chance.choice(self._users), self._chance.choice([(), (State.QUEUED, State.RUNNING)])
        before = self._chance.choice(["", self.any_job()])
        return lambda store, tx: store.page(tx, user_id, states=states, kind="", subject_id="", before=before, most=4)

    def _active(self) -> Deed:
        user_id = self._chance.choice(["", *self._users])
        return lambda store, tx: store.active_count(tx, user_id, self._chance.choice(["music"]))

    def _put(self) -> Deed:
        topic, key = self._chance.choice(self._topics), self._chance.choice([None, "a", "b", "c"])
        self._number += 1
        payload = {"n": self._number}
        return lambda store, tx: store.outbox.put(tx, topic, payload, key=key)

    def _claim(self) -> Deed:
        at = self._at()

        async def claim(store: JobStore, tx: Any) -> Any:
            found = await store.outbox.claim(tx, self._topics, at=at, until=at + timedelta(seconds=5), most=2)
            # All of one claim are sent at the same time, so their order among each other says nothing.
            found.sort(key=lambda each: each.payload["n"])
            self._claimed[isinstance(store, MemoryJobs)] += found
            return [(each.topic, each.payload, each.attempt) for each in found]

        return claim

    def _message(self) -> Callable[[JobStore], Message | None]:
        roll = self._chance.random()

        def same(store: JobStore) -> Message | None:
            claimed = self._claimed[isinstance(store, MemoryJobs)]
            return claimed[int(roll * len(claimed))] if claimed else None

        return same

    def _deliver(self) -> Deed:
        which, at = self._message(), self._at()

        async def deliver(store: JobStore, tx: Any) -> Any:
            message = which(store)
            return None if message is None else await store.outbox.deliver(tx, message, at)

        return deliver

    def _postpone(self) -> Deed:
        which, at = self._message(), self._at()

        async def postpone(store: JobStore, tx: Any) -> Any:
            message = which(store)
            return None if message is None else await store.outbox.postpone(tx, message, until=at, error="later")

        return postpone


@asynccontextmanager
async def _kept_or_not(db: Any, *, kept: bool) -> AsyncIterator[Any]:
    """Yield a transaction that is rolled back unless it is to be kept."""
    with contextlib.suppress(_RolledBack):
        async with db.transaction() as tx:
            yield tx
            _leave(kept=kept)


class _RolledBack(Exception):
    """What undoes a transaction."""


def _leave(*, kept: bool) -> None:
    if not kept:
        raise _RolledBack


@pytest.mark.timeout(300)
async def test_jobs_in_memory_answer_like_postgresql(db: Database) -> None:
    """Every operation on jobs, logs, steps, turns and outbox gives the same answer, also beside locked rows."""
    answers = 0
    for seed in range(_HISTORIES):
        postgres, memory = PostgresJobs(_SERVICE, job_tables), MemoryJobs(_SERVICE)
        async with db.transaction() as tx:
            for table in (job_tables.outbox, job_tables.jobs):
                await tx.execute(table.delete())
        memory_db, history, chance = _memory(), _History(seed), Random(seed)
        for _ in range(_DEEDS):
            kept, beside = chance.random() < 0.85, chance.random() < 0.3
            if beside:
                await _beside_a_lock(history, (postgres, db), (memory, memory_db))
                answers += 1
                continue
            deeds = [history.deed(waits=True) for _ in range(chance.randint(1, 3))]
            async with _kept_or_not(db, kept=kept) as real, _kept_or_not(memory_db, kept=kept) as ours:
                for deed in deeds:
                    expected = await deed(postgres, real)
                    assert await deed(memory, ours) == expected
                    answers += expected is not None

    assert answers > _HISTORIES * _DEEDS / 2


async def _beside_a_lock(history: _History, real: tuple[JobStore, Any], ours: tuple[JobStore, Any]) -> None:
    """Lock a job in one transaction, and compare what another one that passes locked rows sees."""
    job_id, deed = history.any_job(), history.deed(waits=False)
    seen: list[Any] = []
    held: list[Job | None] = []
    for store, db in (real, ours):
        async with db.transaction() as first:
            held.append(await store.find(first, job_id, lock=True))
            async with db.transaction() as second:
                seen.append(await deed(store, second))
    assert held[0] == held[1]
    assert seen[0] == seen[1]


@pytest.mark.timeout(300)
async def test_the_ledger_in_memory_answers_like_postgresql(db: Database, clock: SettableClock) -> None:
    """Random grants, holds, settlements and releases, many of them repeated or reused, are answered alike."""
    rooms, terms = Rooms(), Terms()
    rooms.furnish(MUSIC, PRICE)
    memory_db: Any = _memory()
    real = Credits(db, clock, signup_grant_credits=GRANT, terms=terms)
    ours = Credits(memory_db, clock, signup_grant_credits=GRANT, terms=terms)
    chance = Random(1)
    users, holds = [new_id(), new_id()], [new_id() for _ in range(14)]
    outcomes: set[str] = set()
    for number in range(150):
        clock.advance(chance.random())
        call = _money(chance, users, holds, number)
        expected = await _answer(call, real)
        with (
            patch.object(credit_module, "storage", rooms.ledger),
            patch.object(write_module, "storage", rooms.ledger),
            patch.object(write_module, "audit_storage", rooms.terms),
            patch.object(credit_module, "hot_storage", Undecided),
            patch.dict(vars(terms_module), dict.fromkeys(_TERMS, rooms.terms)),
        ):
            assert await _answer(call, ours) == expected
        outcomes.add(expected if isinstance(expected, str) else "done")

    assert outcomes >= {"done", "NOT_FOUND", "HOLD_CLOSED", "IDEMPOTENCY_KEY_REUSED", "INSUFFICIENT_CREDITS"}


def _money(chance: Random, users: list[str], holds: list[str], number: int) -> Callable[[Credits], Awaitable[Any]]:
    """Return one money write, or a look at what they have come to."""
    user_id, hold_id, roll = chance.choice(users), chance.choice(holds), chance.random()
    key = chance.choice([f"key-{number}", f"key-{chance.randint(0, 30)}"])
    if roll < 0.05:
        return lambda credits_: credits_.grant_signup(request_id=f"grant-{user_id}", user_id=user_id)
    if roll < 0.4:
        return lambda credits_: credits_.hold(request_id=hold_id, user_id=user_id, price_kind=MUSIC)
    if roll < 0.6:
        amount = chance.choice([None, None, 0, 7, PRICE, PRICE + 1])
        return lambda credits_: credits_.settle(request_id=key, hold_id=hold_id, amount=amount)
    if roll < 0.85:
        return lambda credits_: credits_.release(request_id=key, hold_id=hold_id, description="")
    return lambda credits_: credits_.balance(user_id)


async def _answer(call: Callable[[Credits], Awaitable[Any]], credits_: Credits) -> Any:
    try:
        return await call(credits_)
    except DomainError as error:
        return error.reason
