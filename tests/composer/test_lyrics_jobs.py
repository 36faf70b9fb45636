"""Writing as a job: killed, failing, slow and cancelled, with the real Wallet; the price is paid for words only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from services.composer.domain.errors import LyricsUnavailable, ProviderFailed
from services.composer.domain.lyrics import LYRICS, Lyrics, LyricsState, LyricsWishes
from services.composer.domain.moderation import ContentRejected
from services.composer.domain.word_list import WordList
from services.composer.jobs.lyrics import WRITTEN, LyricsJob
from services.composer.providers import LyricsOrder, Stopped, WrittenLyrics
from services.composer.providers.offline_writer import OfflineWriter
from services.composer.usecases.lyrics import LyricsSheet, Songwriter
from services.composer.usecases.moderation import Moderation
from services.composer.usecases.track import Caller, Limits
from services.kit.clock import now
from services.kit.errors import Unavailable
from services.kit.jobs.job import Job
from services.kit.jobs.runner import Runner
from services.kit.jobs.states import State
from services.kit.rpc.call import Call, IdempotencyKey
from tests.composer.studio import Studio, until

WISHES = LyricsWishes(theme="我的猫", title="", style="", mood="", language="auto", keywords=(), seed=5)
KEY = IdempotencyKey("one wish", "0" * 64)


class Pen:
    """Writes like the offline writer when and as often as a test lets it."""

    name = "pen"

    def __init__(self) -> None:
        """Begin well disposed."""
        self.asked = 0
        self.fails = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.orders: list[LyricsOrder] = []

    async def write(
        self, order: LyricsOrder, tell: Callable[[Mapping[str, str]], None], stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return words once it may end; raises ProviderFailed as often as it should."""
        self.asked += 1
        self.orders.append(order)
        while not self.may_end.is_set():
            if stop():
                raise Stopped("write")
            await asyncio.sleep(0.01)
        if self.fails:
            self.fails -= 1
            raise ProviderFailed("out of ink")
        return await OfflineWriter().write(order, tell, stop)

    async def close(self) -> None:
        """Do nothing."""


class Desk:
    """A process that writes for the studio's person."""

    def __init__(self, studio: Studio, pen: Pen) -> None:
        """Open it with a runner of its own."""
        self.studio = studio
        job = LyricsJob(sheet=LyricsSheet(studio.db), provider=pen)
        self.runner = Runner(
            studio.queue, studio.db, {LYRICS: job}, dispatcher=studio.charge.dispatcher, heartbeat_s=0.05
        )
        self.songwriter = self.opened(self.runner)

    def opened(self, runner: Runner, limits: Limits | None = None) -> Songwriter:
        """Return a songwriter that starts its jobs with the runner."""
        return Songwriter(
            db=self.studio.db,
            queue=self.studio.queue,
            charge=self.studio.charge,
            limits=limits or Limits(per_user=3, in_all=100),
            clock=now,
            start=runner.run,
            moderation=Moderation(db=self.studio.db, clock=now, words=WordList.parsed([])),
        )

    async def create(self, key: IdempotencyKey | None = None, *, within_s: float = 30.0) -> tuple[Lyrics, Job]:
        """Return what the person is answered."""
        return await self.songwriter.create(Caller(self.studio.user_id), WISHES, key, within_s=within_s)

    async def end(self, job: Job) -> Job:
        """Run the job as a worker does until it has ended, deliver its messages, return its row."""

        async def ended() -> bool:
            # Does nothing while the attempt that the call began is still at it.
            await self.runner.run(job.job_id)
            return (await self.studio.job(job.job_id)).state.finished

        await until(ended)
        await self.studio.charge.dispatcher.drain()
        return await self.studio.job(job.job_id)


@pytest.fixture
def pen() -> Pen:
    """Return a writer of good will."""
    return Pen()


@pytest.fixture
def desk(studio: Studio, pen: Pen) -> Desk:
    """Return a process that writes with the pen."""
    return Desk(studio, pen)


async def test_written(studio: Studio, desk: Desk, pen: Pen) -> None:
    """The words are there when the call returns, paid once, and counted."""
    before = WRITTEN.labels("offline")._value.get()
    made, job = await desk.create()
    assert (made.state, job.state) == (LyricsState.READY, State.COMPLETED)
    assert [each.label for each in made.versions] == ["A", "B"]
    assert pen.orders == [LyricsOrder("我的猫", "", "", "", "auto", (), 5)]

    async def paid() -> bool:
        await studio.charge.dispatcher.drain()
        return await studio.balance() == (90, 0)

    await until(paid)
    assert WRITTEN.labels("offline")._value.get() == before + 1


async def test_slow_work_is_watched(studio: Studio, desk: Desk, pen: Pen) -> None:
    """When the time of the call is over the answer names the running job; a repeat waits for the same one."""
    pen.may_end.clear()
    made, job = await desk.create(KEY, within_s=0.2)
    assert made.state is LyricsState.WRITING
    assert not job.state.finished
    assert not made.versions
    assert await studio.balance() == (90, 10)
    repeat = asyncio.create_task(desk.create(KEY))
    await asyncio.sleep(0)
    pen.may_end.set()
    again, ended = await repeat
    assert ended.job_id == job.job_id
    assert (again.lyrics_id, again.state) == (made.lyrics_id, LyricsState.READY)
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)
    assert pen.asked == 1


async def test_a_failure_is_tried_again(studio: Studio, desk: Desk, pen: Pen) -> None:
    """A writer that fails twice and then writes is asked three times and paid once."""
    pen.fails = 2
    made, job = await desk.create(within_s=0.2)
    ended = await desk.end(job)
    assert ended.state is State.COMPLETED
    assert pen.asked == 3
    assert await studio.balance() == (90, 0)
    assert (await desk.songwriter.get(studio.user_id, made.lyrics_id)).versions


async def test_nobody_can_write(studio: Studio, desk: Desk, pen: Pen) -> None:
    """After three failures the answer is LYRICS_UNAVAILABLE, the credits are back, and a repeat hears the same."""
    pen.fails = 99
    _, job = await desk.create(KEY, within_s=0.0)
    ended = await desk.end(job)
    assert (ended.state, ended.error_reason) == (State.FAILED, "LYRICS_UNAVAILABLE")
    assert pen.asked == 3
    for _ in range(2):
        with pytest.raises(LyricsUnavailable):
            await desk.create(KEY)
    assert await studio.balance() == (100, 0)
    found, _ = await desk.songwriter.page(studio.user_id, page_size=5, page_token="")
    assert [(each.state, each.versions) for each in found] == [(LyricsState.FAILED, ())]


async def test_a_process_that_dies_while_writing(studio: Studio, desk: Desk, pen: Pen) -> None:
    """Killed in the middle, another process writes the words; the person who asks again gets them, charged once."""
    pen.may_end.clear()
    dying = asyncio.create_task(desk.create(KEY))
    await until(lambda: pen.asked == 1)
    for task in (dying, *desk.songwriter._running):
        task.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    pen.may_end.set()
    other = Desk(studio, Pen())
    found, _ = await other.songwriter.page(studio.user_id, page_size=5, page_token="")
    await studio.queue_again(found[0].job_id)
    made, job = await other.create(KEY)
    assert (made.state, job.state) == (LyricsState.READY, State.COMPLETED)
    assert made.lyrics_id == found[0].lyrics_id
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)
    assert await studio.entries() == [-10, 100]


async def test_a_process_that_dies_before_the_hold(studio: Studio, desk: Desk) -> None:
    """Killed between the rows and the hold, a repeat holds the price and gets the words; nothing is paid twice."""
    gate = asyncio.Event()
    waiting = 0

    @asynccontextmanager
    async def closed(call: Call) -> AsyncIterator[None]:
        nonlocal waiting
        if call.method.path.endswith("/Hold"):
            waiting += 1
            await gate.wait()
        yield

    studio.serve_wallet(closed)
    dying = asyncio.create_task(desk.create(KEY))
    await until(lambda: waiting == 1)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    studio.serve_wallet()
    made, job = await desk.create(KEY)
    assert (made.state, job.state, made.cost_credits) == (LyricsState.READY, State.COMPLETED, 10)
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)


async def test_a_hold_whose_answer_was_lost(studio: Studio, desk: Desk) -> None:
    """A hold that was made although its caller saw a failure is given back, and no lyrics are left."""

    @asynccontextmanager
    async def losing(call: Call) -> AsyncIterator[None]:
        yield
        if call.method.path.endswith("/Hold"):
            raise Unavailable("the answer got lost")

    studio.serve_wallet(losing)
    with pytest.raises(Exception, match="lost"):
        await desk.create(KEY)
    studio.serve_wallet()
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)
    assert (await desk.songwriter.page(studio.user_id, page_size=5, page_token=""))[0] == []


async def test_put_away_while_being_written(studio: Studio, desk: Desk, pen: Pen) -> None:
    """Lyrics put away in the middle stop being written, and their credits go back."""
    pen.may_end.clear()
    made, job = await desk.create(within_s=0.1)
    await until(lambda: pen.asked == 1)
    await desk.songwriter.delete(studio.user_id, made.lyrics_id)

    async def stopped() -> bool:
        return (await studio.job(job.job_id)).state is State.CANCELLED

    await until(stopped)
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)


async def test_an_objection_comes_before_everything(studio: Studio, desk: Desk, pen: Pen) -> None:
    """Wishes that somebody objects to are refused before there is a row, a price or a word."""
    words = WordList.parsed([WISHES.theme])
    strict = Songwriter(
        db=studio.db,
        queue=studio.queue,
        charge=studio.charge,
        limits=Limits(per_user=3, in_all=100),
        clock=now,
        start=desk.runner.run,
        moderation=Moderation(db=studio.db, clock=now, words=words),
    )
    with pytest.raises(ContentRejected, match="these words"):
        await strict.create(Caller(studio.user_id), WISHES, KEY, within_s=1.0)
    assert pen.asked == 0
    assert (await strict.page(studio.user_id, page_size=5, page_token=""))[0] == []
    assert await studio.balance() == (100, 0)


async def test_limit(studio: Studio, desk: Desk, pen: Pen) -> None:
    """More lyrics in the writing than a person may have are refused and cost nothing; songs do not count."""
    pen.may_end.clear()
    narrow = desk.opened(desk.runner, Limits(per_user=1, in_all=100))
    caller = Caller(studio.user_id)
    await studio.create()
    await narrow.create(caller, WISHES, None, within_s=0.0)
    with pytest.raises(Exception, match="too many lyrics"):
        await narrow.create(caller, WISHES, None, within_s=0.0)
    pen.may_end.set()
    assert await studio.balance() == (70, 30)


async def test_parallel_calls_of_one_wish(studio: Studio, desk: Desk, pen: Pen) -> None:
    """Eight calls with one key at once make one job, one charge and one text."""
    answers = await asyncio.gather(*(desk.create(KEY) for _ in range(8)))
    assert len({made.lyrics_id for made, _ in answers}) == 1
    assert len({made.versions[0].content for made, _ in answers}) == 1
    assert pen.asked == 1
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)


async def test_parallel_calls_never_overdraw(studio: Studio, desk: Desk) -> None:
    """Twenty calls with a hundred credits: ten are written, ten refused, and nothing is left."""
    wide = desk.opened(desk.runner, Limits(per_user=50, in_all=100))
    calls = (wide.create(Caller(studio.user_id), WISHES, None, within_s=30.0) for _ in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, tuple) for each in answers) == 10
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (0, 0)
