"""The queues of money writes before the database: who goes with whom, how many at once, and who is forgotten."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.wallet.domain.credit import Operation
from services.wallet.storage.perform import Outcome, Write
from services.wallet.usecases import batch as batch_module
from services.wallet.usecases.batch import Batches
from tests.wallet.writes import close_write, hold_write


async def test_no_more_batches_run_than_there_are_lanes() -> None:
    """With two lanes and writes of five accounts, two batches are at work at any time and never three."""
    at_work, most, gate = 0, 0, asyncio.Event()

    async def work(writes: Sequence[Write]) -> list[Outcome]:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await gate.wait()
        at_work -= 1
        return [None for _ in writes]

    batches = Batches(work, lanes=2, most_in_one=1)
    calls = [asyncio.create_task(batches.submit(hold_write(new_id(), new_id()))) for _ in range(5)]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(*calls)
    assert most == 2


async def test_who_waits_for_a_batch_that_is_cancelled_is_not_left_waiting() -> None:
    """When a process ends in the middle of a batch, those who wait for it are cancelled too."""
    batches = Batches(lambda _writes: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    call = asyncio.create_task(batches.submit(hold_write(new_id(), new_id())))
    await asyncio.sleep(0.01)
    for running in tuple(batches._running):
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 5)


async def test_a_full_queue_refuses_and_a_caller_who_left_leaves_no_trace() -> None:
    """Past its bound the queue says so; a write whose caller gave up before its batch is not performed."""
    seen: list[str] = []
    gate = asyncio.Event()

    async def slowly(writes: Sequence[Write]) -> list[Outcome]:
        await gate.wait()
        seen.extend(write.request_id for write in writes)
        return [None] * len(writes)

    batches = Batches(slowly, lanes=1, most_waiting=2)
    first = asyncio.create_task(batches.submit(hold_write("u", "a")))
    await asyncio.sleep(0)
    left, stayed = (asyncio.create_task(batches.submit(hold_write("u", each))) for each in "bc")
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batches.submit(hold_write("v", "d"))
    left.cancel()
    gate.set()
    assert list(await asyncio.gather(first, stayed)) == [None, None]
    assert seen == ["a", "c"]


async def test_writes_of_one_account_are_never_in_two_batches_at_once() -> None:
    """However many lanes there are, one account's writes are performed in the order in which they came."""
    order: list[str] = []
    running: Counter[str] = Counter()

    async def work(writes: Sequence[Write]) -> list[Outcome]:
        users = {str(write.user_id) for write in writes}
        running.update(users)
        assert max(running[user] for user in users) == 1
        await asyncio.sleep(0)
        order.extend(f"{write.user_id}{write.request_id}" for write in writes)
        running.subtract(users)
        return [None] * len(writes)

    batches = Batches(work, lanes=4, most_in_one=3)
    await asyncio.gather(*(batches.submit(hold_write(user, f"{n:02}")) for n in range(40) for user in "xyz"))
    for user in "xyz":
        assert [each for each in order if each[0] == user] == [f"{user}{n:02}" for n in range(40)]


class Gated:
    """Performs nothing before it is told to go on, and knows which writes were in which batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, writes: Sequence[Write]) -> list[Outcome]:
        """Take a batch, wait, and leave every write undecided."""
        self.batches.append([write.request_id for write in writes])
        await self.go_on.wait()
        return [None for _ in writes]


async def test_a_batch_takes_no_more_than_its_bound() -> None:
    """Of eight writes of one account behind a busy lane each batch takes three, in order, and the last one the rest."""
    work = Gated()
    batches = Batches(work, lanes=1, most_in_one=3)
    calls = [asyncio.create_task(batches.submit(hold_write("u", f"{number}"))) for number in range(9)]
    await asyncio.sleep(0.01)
    work.go_on.set()
    await asyncio.gather(*calls)
    assert work.batches == [["0"], ["1", "2", "3"], ["4", "5", "6"], ["7", "8"]]


async def test_a_batch_of_several_accounts_takes_no_more_than_its_bound() -> None:
    """A batch ends with the account in which its bound is reached; what that one has left comes in the next."""
    work = Gated()
    batches = Batches(work, lanes=1, most_in_one=3)
    names = ["x1", "a1", "a2", "b1", "b2", "c1"]
    calls = [asyncio.create_task(batches.submit(hold_write(name[0], name))) for name in names]
    await asyncio.sleep(0.01)
    work.go_on.set()
    await asyncio.gather(*calls)
    assert work.batches == [["x1"], ["a1", "a2", "b1"], ["c1", "b2"]]


async def test_an_account_at_work_is_not_begun_by_another_lane() -> None:
    """While a batch with a write of an account runs, its next write waits although other lanes are free."""
    work = Gated()
    batches = Batches(work, lanes=4)
    first = asyncio.create_task(batches.submit(hold_write("u", "first")))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(batches.submit(hold_write("u", "second")))
    other = asyncio.create_task(batches.submit(hold_write("v", "other")))
    await asyncio.sleep(0.01)
    assert work.batches == [["first"], ["other"]]
    work.go_on.set()
    await asyncio.gather(first, second, other)
    assert work.batches == [["first"], ["other"], ["second"]]


async def test_holds_of_unknown_users_do_not_wait_for_each_other() -> None:
    """Settlements of two holds whose users are not known here have a queue each."""
    work = Gated()
    batches = Batches(work, lanes=4)
    calls = []
    for hold_id in ("one", "other"):
        calls.append(asyncio.create_task(batches.submit(close_write(Operation.SETTLE, f"s {hold_id}", hold_id))))
        await asyncio.sleep(0.01)
    assert work.batches == [["s one"], ["s other"]]
    work.go_on.set()
    await asyncio.gather(*calls)


async def test_every_waiting_write_counts_once() -> None:
    """When all that waited has been performed, as many can wait again as at the beginning."""
    for _ in range(2):
        work = Gated()
        batches = Batches(work, lanes=1, most_waiting=2)
        for _ in range(3):
            work.go_on.clear()
            running = asyncio.create_task(batches.submit(hold_write("u", "running")))
            await asyncio.sleep(0.01)
            waiting = [asyncio.create_task(batches.submit(hold_write("v", each))) for each in "ab"]
            await asyncio.sleep(0.01)
            with pytest.raises(Unavailable):
                await batches.submit(hold_write("w", "one too many"))
            work.go_on.set()
            await asyncio.gather(running, *waiting)


async def test_the_users_of_the_newest_holds_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement joins its user's queue as long as the hold is one of the newest; the oldest is forgotten first."""
    monkeypatch.setattr(batch_module, "_MOST_HINTS", 2)
    work = Gated()
    batches = Batches(work, lanes=4)
    work.go_on.set()
    for hold_id in ("oldest", "older", "newest"):
        await batches.submit(hold_write("u", hold_id))
    work.go_on.clear()
    work.batches.clear()
    busy = asyncio.create_task(batches.submit(hold_write("u", "busy")))
    await asyncio.sleep(0.01)
    # "busy" has made the memory forget "older" too.
    ids = ("older", "newest")
    calls = [asyncio.create_task(batches.submit(close_write(Operation.SETTLE, f"s {each}", each))) for each in ids]
    await asyncio.sleep(0.01)
    assert work.batches == [["busy"], ["s older"]]
    work.go_on.set()
    await asyncio.gather(busy, *calls)
    assert work.batches == [["busy"], ["s older"], ["s newest"]]


async def test_a_batch_that_fails_tells_everybody_and_the_next_one_runs() -> None:
    """What befell a batch is raised to each of its callers, and the lane goes on with who came later."""
    failing = [True]

    async def work(writes: Sequence[Write]) -> list[Outcome]:
        await asyncio.sleep(0.01)
        if failing.pop() if failing else False:
            raise ConnectionError("the database is away")
        return [None for _ in writes]

    batches = Batches(work, lanes=1)
    first = asyncio.create_task(batches.submit(hold_write("u", "first")))
    await asyncio.sleep(0)
    second = asyncio.create_task(batches.submit(hold_write("u", "second")))
    with pytest.raises(ConnectionError):
        await first
    assert await asyncio.wait_for(second, 5) is None


async def test_an_answer_for_another_number_of_writes_is_a_fault_that_is_told() -> None:
    """When there are fewer outcomes than writes nobody is left waiting or answered from another's outcome."""

    async def work(_writes: Sequence[Write]) -> list[Outcome]:
        return []

    with pytest.raises(ValueError, match="zip"):
        await asyncio.wait_for(Batches(work).submit(hold_write("u", "alone")), 5)
