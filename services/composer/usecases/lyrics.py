"""Lyrics: asked for and waited for, read, put away; and what their job reads and writes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final, cast

from services.composer.domain.errors import GenerateBusy, LyricsNotFound, LyricsRefused, LyricsUnavailable
from services.composer.domain.lyrics import LYRICS, Lyrics, LyricsState, LyricsVersion, LyricsWishes
from services.composer.domain.usage import ModelUsage
from services.composer.storage import lyrics as storage
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import IdempotencyKeyReused
from services.kit.ids import new_id
from services.kit.jobs.errors import JobNotCancellable, JobNotFound
from services.kit.jobs.states import State
from services.kit.jobs.watch import watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.composer.usecases.charge import Charge
    from services.composer.usecases.moderation import Moderation
    from services.composer.usecases.track import Caller, Limits
    from services.kit.clock import Clock
    from services.kit.db.engine import Database
    from services.kit.errors import DomainError
    from services.kit.jobs.job import Job, JobEvent
    from services.kit.jobs.queue import JobQueue
    from services.kit.rpc.call import IdempotencyKey

    _Lines = AsyncGenerator[tuple[Lyrics | None, Job | None, JobEvent], None]

_log = logging.getLogger(__name__)

# Whoever comes in holds a connection and waits for everybody's lock; the others are for the work that goes on inside.
_AT_THE_DOOR: Final = 4


class Songwriter:
    """Everything that can be done with lyrics.

    Writing is a job like any other, with its row, its hold and its lease. It is started here at once, beside the call
    that waits for it, because words take no longer than the way through a queue; when this process dies, a worker
    takes the job up, and a repeat of the call waits for that.
    """

    def __init__(
        self,
        *,
        db: Database,
        queue: JobQueue,
        charge: Charge,
        limits: Limits,
        clock: Clock,
        start: Callable[[str], Awaitable[None]],
        moderation: Moderation,
    ) -> None:
        self._moderation = moderation
        self._db = db
        self._queue = queue
        self._charge = charge
        self._limits = limits
        self._clock = clock
        self._start = start
        self._running: set[asyncio.Task[None]] = set()
        self._door = asyncio.Semaphore(_AT_THE_DOOR)

    async def create(
        self, caller: Caller, wishes: LyricsWishes, key: IdempotencyKey | None, *, within_s: float
    ) -> tuple[Lyrics, Job]:
        """Return the lyrics and their job, written or, when the seconds are over, as they stand.

        The same key with the same wishes returns what it made before; with others it raises IdempotencyKeyReused.
        Whatever is refused (ContentRejected, GenerateBusy, insufficient credits) leaves nothing behind. Raises
        LyricsUnavailable or LyricsRefused when the job has failed; its credits go back.
        """
        # The one place where wishes are looked at: before a row, a price or a model. No transaction is open here.
        await self._moderation.admit(
            caller.user_id,
            theme=wishes.theme,
            title=wishes.title,
            style=wishes.style,
            mood=wishes.mood,
            keywords="\n".join(wishes.keywords),
        )
        made, job, new = await self._write(caller, wishes, key)
        if new:
            # What they are to be about is for nobody but their owner.
            fields = {"job_id": job.job_id, "user_id": caller.user_id, "theme_chars": len(wishes.theme)}
            _log.info("lyrics are asked for", extra={"request_id": made.request_name, **fields})
            job = (await self._charge.hold_and_queue(job)).job
        elif job.state is State.PENDING:
            job = (await self._charge.go_on(job)).job
        if not job.state.finished:
            self._begin(job.job_id)
            job = await self._wait(job, within_s)
        if job.state is State.FAILED:
            raise _failure(job)
        async with self._db.transaction() as tx:
            found = await storage.find_by_job(tx, job.job_id)
        return found or made, job

    def _begin(self, job_id: str) -> None:
        """Run the job in this process unless somebody else has it; what becomes of it stands in its row."""
        task = asyncio.create_task(self._attempt(job_id), name=f"lyrics {job_id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _attempt(self, job_id: str) -> None:
        try:
            await self._start(job_id)
        except Exception as error:  # noqa: BLE001  # a worker takes the job up when its lease has run out
            _log.warning("lyrics were not begun here: %r", error, extra={"job_id": job_id})

    async def _wait(self, job: Job, within_s: float) -> Job:
        """Return the job once it has ended, or as it stands when the seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(within_s, 0.0)):
                lines = cast(
                    "AsyncGenerator[tuple[Job | None, JobEvent], None]", watch(self._queue, self._db, job.job_id)
                )
                async with aclosing(lines):
                    async for _, event in lines:
                        if event.final:
                            break
        async with self._db.transaction() as tx:
            return await self._queue.get(tx, job.job_id)

    async def _known(self, tx: AsyncConnection, caller: Caller, key: IdempotencyKey) -> tuple[Lyrics, Job] | None:
        """Return what the key has made, or None; raises IdempotencyKeyReused when that was another wish."""
        made = await storage.find_by_request(tx, caller.user_id, key.key)
        if made is None:
            return None
        if made.request_hash != key.request_hash:
            raise IdempotencyKeyReused("this request id made other lyrics", request_id=key.key)
        try:
            return made, await self._queue.get(tx, made.job_id)
        except JobNotFound:  # given up between the two queries, and the lyrics with it
            return None

    async def _write(
        self, caller: Caller, wishes: LyricsWishes, key: IdempotencyKey | None
    ) -> tuple[Lyrics, Job, bool]:
        """Return lyrics and pending job, written together, or those of an earlier call; and whether they are new."""
        now = self._clock()
        lyrics_id, job_id = new_id(), new_id()
        async with self._door, self._db.transaction() as tx:
            await storage.lock_user(tx, caller.user_id)
            if key and (known := await self._known(tx, caller, key)):
                return *known, False
            mine = await self._queue.active_count(tx, caller.user_id, kind=LYRICS)
            if mine >= self._limits.per_user:
                raise GenerateBusy("too many lyrics in the writing", limit=self._limits.per_user, scope="user")
            await storage.lock_everybody(tx)
            everybodys = await self._queue.active_count(tx, kind=LYRICS)
            if everybodys >= self._limits.in_all:
                raise GenerateBusy("the queue is full", limit=self._limits.in_all, scope="system")
            made = Lyrics(
                lyrics_id=lyrics_id,
                user_id=caller.user_id,
                theme=wishes.theme,
                title=wishes.title,
                style=wishes.style,
                mood=wishes.mood,
                language=wishes.language,
                keywords=wishes.keywords,
                seed=wishes.seed or int(lyrics_id.replace("-", "")[-8:], 16),
                job_id=job_id,
                state=LyricsState.WRITING,
                cost_credits=0,
                remaining_credits=0,
                request_id=key.key if key else "",
                request_hash=key.request_hash if key else "",
                platform=caller.platform,
                create_time=now,
                update_time=now,
            )
            await storage.add(tx, made)
            job = await self._queue.create(
                tx,
                kind=LYRICS,
                user_id=caller.user_id,
                subject_id=lyrics_id,
                params={"lyrics_id": lyrics_id},
                job_id=job_id,
                trace_id=caller.trace_id,
                platform=caller.platform,
            )
        return made, job, True

    async def get(self, user_id: str, lyrics_id: str) -> Lyrics:
        """Return the user's living lyrics; raises LyricsNotFound."""
        async with self._db.transaction() as tx:
            return _found(await storage.find(tx, lyrics_id, user_id=user_id), lyrics_id)

    async def watch(self, user_id: str, lyrics_id: str, after: int) -> _Lines:
        """Yield the lyrics and their job as they stand, then every line of the job's log after *after*, to the last.

        With the last line both come again, the lyrics with their versions. Raises LyricsNotFound, and what the log of a
        job raises.
        """
        job_id = (await self.get(user_id, lyrics_id)).job_id
        lines = cast("AsyncGenerator[tuple[Job | None, JobEvent], None]", watch(self._queue, self._db, job_id, after))
        async with aclosing(lines):
            async for standing, event in lines:
                if standing is None and not event.final:
                    yield None, None, event
                    continue
                async with self._db.transaction() as tx:
                    made = _found(await storage.find(tx, lyrics_id, user_id=user_id), lyrics_id)
                    # The one read with the first line knows its place in the queue.
                    job = standing or await self._queue.get(tx, job_id)
                yield made, job, event

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[Sequence[Lyrics], str]:
        """Return one page of the user's lyrics, newest first, and the token of the next page or an empty one."""
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, user_id, before=before, size=size + 1)
        token = encode_token(found[size - 1].lyrics_id) if len(found) > size else ""
        return found[:size], token

    async def delete(self, user_id: str, lyrics_id: str) -> None:
        """Put the lyrics away and cancel their job if that still runs; a repeat changes nothing.

        Raises LyricsNotFound when the user never had such lyrics.
        """
        job = None
        async with self._db.transaction() as tx:
            made = await storage.find(tx, lyrics_id, user_id=user_id)
            if made is None:
                if await storage.was_put_away(tx, lyrics_id, user_id):
                    return
                raise LyricsNotFound("no such lyrics", kind="lyrics", id=lyrics_id)
            # The job's row before the lyrics', as everywhere.
            with suppress(JobNotCancellable):  # then the job has ended and there is nothing to stop
                job = await self._queue.cancel(tx, made.job_id, message="its lyrics were put away")
            now = self._clock()
            await storage.change(tx, lyrics_id, now, delete_time=now)
        if job is not None:
            await self._queue.push(job)
        self._charge.kick()


class LyricsSheet:
    """What the job of lyrics does to the world around it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def wanted(self, lyrics_id: str) -> Lyrics:
        """Return the living lyrics that are to be written; raises LyricsNotFound when they were put away."""
        async with self._db.transaction() as tx:
            return _found(await storage.find(tx, lyrics_id), lyrics_id)

    async def enter(self, tx: AsyncConnection, made: Sequence[LyricsVersion], usage: ModelUsage) -> None:
        """Write the versions, and what they took, in the transaction that ends their job."""
        await storage.add_versions(tx, made)
        await storage.add_usage(tx, made[0].lyrics_id, usage)

    async def spent(self, lyrics_id: str, usage: ModelUsage) -> None:
        """Write down what was taken for nothing."""
        if usage != ModelUsage():
            async with self._db.transaction() as tx:
                await storage.add_usage(tx, lyrics_id, usage)


def _failure(job: Job) -> DomainError:
    """Return what the caller is told of a job that failed."""
    metadata = {name: job.error_metadata[name] for name in ("cause", "tries") if name in job.error_metadata}
    if job.error_reason == LyricsRefused.reason:
        return LyricsRefused("the model will not write about this", job_id=job.job_id)
    return LyricsUnavailable("the words could not be written", job_id=job.job_id, why=job.error_reason, **metadata)


def _found(made: Lyrics | None, lyrics_id: str) -> Lyrics:
    if made is None:
        raise LyricsNotFound("no such lyrics", kind="lyrics", id=lyrics_id)
    return made
