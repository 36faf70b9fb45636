"""Messages written with a row arrive, however often their receiver fails at first."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from services.kit.ending import end
from services.kit.ids import new_id
from services.kit.jobs import outbox
from services.kit.jobs.outbox import Dispatcher
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, store, tables, until

Payload = dict[str, Any]


async def write(tiny: TinyService, topic: str = "hold", key: str | None = None, **payload: Any) -> None:
    """Write one message in a transaction of its own."""
    async with tiny.db.transaction() as tx:
        await store.outbox.put(tx, topic, payload, key=key)


async def undone(tiny: TinyService) -> int:
    """Return how many messages wait."""
    query = select(func.count()).select_from(tables.outbox).where(tables.outbox.c.done_time.is_(None))
    async with tiny.db.transaction() as tx:
        return int((await tx.execute(query)).scalar_one())


async def test_a_message_is_repeated_until_it_is_taken(tiny: TinyService, clock: SettableClock) -> None:
    """A receiver that fails twice gets the message a third time, after pauses, and never again."""
    got: list[Payload] = []

    async def fails_twice(payload: Payload) -> None:
        got.append(payload)
        if len(got) < 3:
            raise ConnectionError("wallet is away")

    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": fails_twice}, clock)
    await write(tiny, amount=12)
    delivered = []
    for _ in range(4):
        delivered.append(await dispatcher.drain())
        delivered.append(await dispatcher.drain())
        clock.advance(2)
    assert got == [{"amount": 12}] * 3
    assert delivered == [0, 0, 0, 0, 1, 0, 0, 0]
    assert await undone(tiny) == 0


async def test_many_dispatchers_deliver_each_message_once(tiny: TinyService, clock: SettableClock) -> None:
    """Thirty messages and four dispatchers at once make thirty deliveries."""
    got: list[int] = []

    async def take(payload: Payload) -> None:
        got.append(payload["number"])
        await asyncio.sleep(0.01)

    for number in range(30):
        await write(tiny, number=number)
    dispatchers = [Dispatcher(tiny.db, store.outbox, {"hold": take}, clock) for _ in range(4)]
    delivered = await asyncio.gather(*(dispatcher.drain() for dispatcher in dispatchers))
    assert sorted(got) == list(range(30))
    assert sum(delivered) == 30


async def test_a_dispatcher_that_died_is_replaced_and_cannot_mark_late(tiny: TinyService, clock: SettableClock) -> None:
    """A claim that was never answered runs out; the late answer of its first holder marks nothing."""
    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": _ignore}, clock)
    await write(tiny)
    (lost,) = await dispatcher._claim()
    assert await dispatcher.drain() == 0
    clock.advance(31)
    (taken_over,) = await dispatcher._claim()
    assert not await dispatcher._deliver(lost)
    assert await undone(tiny) == 1
    assert await dispatcher._deliver(taken_over)
    assert await undone(tiny) == 0


async def test_the_same_key_is_written_once(tiny: TinyService) -> None:
    """A message whose key was written before is dropped, under another topic it is not."""
    key = new_id()
    await write(tiny, key=key)
    await write(tiny, key=key)
    await write(tiny, topic="other", key=key)
    assert await undone(tiny) == 2


async def test_a_rolled_back_message_is_never_sent(tiny: TinyService) -> None:
    """What its transaction did not commit was never written."""

    async def write_and_fail() -> None:
        async with tiny.db.transaction() as tx:
            await store.outbox.put(tx, "hold", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await undone(tiny) == 0


async def test_topics_without_a_handler_are_left_to_others(tiny: TinyService, clock: SettableClock) -> None:
    """A dispatcher takes only what it can handle."""
    await write(tiny, topic="other")
    assert await Dispatcher(tiny.db, store.outbox, {"hold": _ignore}, clock).drain() == 0
    assert await Dispatcher(tiny.db, store.outbox, {"other": _ignore}, clock).drain() == 1


async def test_a_kick_makes_the_loop_look_at_once(tiny: TinyService, clock: SettableClock) -> None:
    """The running loop delivers what is written after it went to sleep."""
    taken = asyncio.Event()

    async def take(_payload: Payload) -> None:
        taken.set()

    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": take}, clock)
    loop = asyncio.create_task(dispatcher.run())
    await write(tiny)
    dispatcher.kick()
    async with asyncio.timeout(10):
        await taken.wait()
    loop.cancel()
    await asyncio.wait({loop})


async def test_old_deliveries_are_purged_and_waiting_messages_are_not(tiny: TinyService, clock: SettableClock) -> None:
    """A week after its delivery a message is gone; one that was never taken stays."""
    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": _ignore}, clock)
    await write(tiny)
    await dispatcher.drain()
    await write(tiny, topic="other")
    assert await dispatcher.purge() == 0
    clock.advance(8 * 86400)
    assert await dispatcher.purge() == 1
    assert await undone(tiny) == 1


async def _ignore(_payload: Payload) -> None:
    """Take any message."""


async def _rows(tiny: TinyService) -> int:
    """Return how many messages are kept, delivered or not."""
    async with tiny.db.transaction() as tx:
        return int(await tx.scalar(select(func.count()).select_from(tables.outbox)) or 0)


async def test_a_kick_is_heard_before_the_next_look(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher that would look again in an hour delivers at once what it is kicked for."""
    monkeypatch.setattr(outbox, "_POLL_S", 3600.0)
    got = asyncio.Event()

    async def take(_payload: Payload) -> None:
        got.set()

    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": take}, clock)
    running = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(0.2)
    await write(tiny)
    dispatcher.kick()
    async with asyncio.timeout(20):
        await got.wait()
    await end([running])


@pytest.mark.parametrize(("every_s", "left"), [(0.0, 0), (600.0, 1)])
async def test_the_loop_removes_old_messages_now_and_then(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, every_s: float, left: int
) -> None:
    """What was delivered more than a week ago goes with the next purge, and no purge comes before its time."""
    monkeypatch.setattr(outbox, "_POLL_S", 0.01)
    monkeypatch.setattr(outbox, "_PURGE_EVERY_S", every_s)
    looks = 0

    async def take(_payload: Payload) -> None:
        nonlocal looks
        looks += 1

    async with tiny.db.transaction() as tx:
        await tx.execute(tables.outbox.delete())
    dispatcher = Dispatcher(tiny.db, store.outbox, {"hold": take}, clock)
    await write(tiny)
    assert await dispatcher.drain() == 1
    clock.advance(8 * 24 * 3600)
    running = asyncio.create_task(dispatcher.run())
    # Delivered by the same loop: it has been round by then.
    for _ in range(3):
        await write(tiny)
        await until(lambda: _none_waits(tiny))
    await end([running])
    assert (await _rows(tiny), looks) == (left + 3, 4)


async def test_purges_keep_their_distance(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a purge the loop goes round many times before it purges again."""
    monkeypatch.setattr(outbox, "_POLL_S", 0.01)
    monkeypatch.setattr(outbox, "_PURGE_EVERY_S", 0.3)
    done: list[str] = []
    dispatcher = Dispatcher(tiny.db, store.outbox, {}, clock)

    async def drain() -> int:
        done.append("drain")
        return 0

    async def purge() -> int:
        done.append("purge")
        return 0

    monkeypatch.setattr(dispatcher, "drain", drain)
    monkeypatch.setattr(dispatcher, "purge", purge)
    running = asyncio.create_task(dispatcher.run())
    await until(lambda: asyncio.sleep(0, done.count("purge") >= 2))
    await end([running])
    first = done.index("purge")
    assert done.index("purge", first + 1) - first > 3


async def test_kicks_do_not_hurry_a_loop_that_fails(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away the loop rests between two tries, however often it is kicked."""
    monkeypatch.setattr(outbox, "_POLL_S", 1000.0)
    tries: list[int] = []
    dispatcher = Dispatcher(tiny.db, store.outbox, {}, clock)

    async def drain() -> int:
        tries.append(len(tries))
        raise ConnectionRefusedError

    monkeypatch.setattr(dispatcher, "drain", drain)
    running = asyncio.create_task(dispatcher.run())
    for _ in range(20):
        dispatcher.kick()
        await asyncio.sleep(0.01)
    await end([running])
    assert tries == [0]


async def _none_waits(tiny: TinyService) -> bool:
    return not await undone(tiny)
