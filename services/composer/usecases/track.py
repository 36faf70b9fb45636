"""Tracks: asked for, read, renamed, chosen from, put away."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from services.composer.domain.errors import (
    GenerateBusy,
    LyricsNotFound,
    SourceNotUsable,
    TrackNotFound,
)
from services.composer.domain.export import EXPORT
from services.composer.domain.lyrics import LYRICS
from services.composer.domain.track import TRASH_KEPT, Recipe, Track, TrackState, Wishes, clean_line, clean_text
from services.composer.domain.tune import TuneChange
from services.composer.storage import lyrics, subject
from services.composer.storage import track as storage
from services.composer.usecases.recording import check_recording
from services.kit.crash import Act
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import IdempotencyKeyReused, ParamInvalid, Unavailable
from services.kit.ids import new_id
from services.kit.jobs.errors import JobNotCancellable, JobNotFound
from services.kit.jobs.policy import Policy
from services.kit.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from services.composer.usecases.charge import Charge
    from services.composer.usecases.moderation import Moderation
    from services.kit.clock import Clock
    from services.kit.db.engine import Database
    from services.kit.jobs.job import Job
    from services.kit.jobs.queue import JobQueue
    from services.kit.rpc.call import IdempotencyKey


MUSIC = "music"
"""Kind of the jobs that make tracks, and their line in the price table."""


def policies(deadline_s: float, music_pause_s: float = 5.0) -> dict[str, Policy]:
    """Return how the jobs of Composer are tried: three times, songs after a pause that doubles, the others one second.

    A song waits five seconds before its second try, unless *music_pause_s* says otherwise.
    """
    return {
        MUSIC: Policy(kind=MUSIC, queue=MUSIC, max_attempts=3, backoff_s=music_pause_s, deadline_s=deadline_s),
        LYRICS: Policy(kind=LYRICS, queue=LYRICS, max_attempts=3, backoff_s=1.0, deadline_s=deadline_s),
        EXPORT: Policy(kind=EXPORT, queue=EXPORT, max_attempts=3, backoff_s=1.0, deadline_s=deadline_s),
    }


@dataclass(frozen=True)
class Limits:
    """How many songs may be in the making at the same time."""

    per_user: int
    in_all: int


@dataclass(frozen=True)
class Caller:
    """Who asks, from which platform, and under which trace."""

    user_id: str
    platform: str = ""
    trace_id: str = ""


class Tracks:
    """Everything that can be done with tracks."""

    def __init__(
        self,
        *,
        db: Database,
        queue: JobQueue,
        charge: Charge,
        media: AssetServiceAsyncStub,
        limits: Limits,
        clock: Clock,
        moderation: Moderation,
    ) -> None:
        self._db = db
        self._queue = queue
        self._charge = charge
        self._media = media
        self._moderation = moderation
        self._limits = limits
        self._clock = clock

    async def create(self, caller: Caller, wishes: Wishes, key: IdempotencyKey | None) -> tuple[Track, Job]:
        """Return the new track and its queued job, its price held.

        The same key with the same wishes returns what it made before; with others it raises IdempotencyKeyReused.
        Whatever is refused (AssetNotReady, TrackNotFound, SourceNotUsable, LyricsNotFound, ContentRejected,
        GenerateBusy, insufficient credits) leaves nothing behind.
        """
        if key:
            async with self._db.transaction() as tx:
                known = await self._known(tx, caller, key)
            if known:
                return await self._again(*known)
        if wishes.source_track_id:
            wishes = await self._of_source(caller, wishes)
        elif wishes.asset_id:
            await check_recording(self._media, caller.user_id, wishes.asset_id)
        wishes = await self._with_words(caller, wishes)
        await self._moderation.admit(
            caller.user_id, title=wishes.title, lyrics=wishes.lyrics, style=wishes.style, mood=wishes.mood
        )
        track, job, new = await self._write(caller, wishes, key)
        if not new:
            return await self._again(track, job)
        queued = await self._charge.hold_and_queue(job)
        return replace(track, cost_credits=queued.cost_credits), queued.job

    async def regenerate(
        self, caller: Caller, track_id: str, key: IdempotencyKey | None, *, seed: int, price_version: int
    ) -> tuple[Track, Job]:
        """Return a new track of what one of the caller's was made of, and its queued job; otherwise like `create`."""
        async with self._db.transaction() as tx:
            track = _found(await storage.find(tx, track_id, user_id=caller.user_id), track_id)
            params = (await self._queue.get(tx, track.job_id)).params
        source = params.get("source_track_id", "")
        change = params.get("tune_change")
        wishes = Wishes(
            asset_id="" if source else track.asset_id,
            title=track.title,
            style=track.style,
            mood=track.mood,
            lyrics=track.lyrics,
            voice_gender=track.voice_gender,
            duration_s=track.duration_s,
            seed=seed,
            price_version=price_version,
            source_track_id=source,
            tune_change=TuneChange.of_plain(change) if change else None,
        )
        return await self.create(caller, wishes, key)

    async def _known(self, tx: AsyncConnection, caller: Caller, key: IdempotencyKey) -> tuple[Track, Job] | None:
        """Return what the key has made, or None; raises IdempotencyKeyReused when that was another wish."""
        track = await storage.find_by_request(tx, caller.user_id, key.key)
        if track is None:
            return None
        if track.request_hash != key.request_hash:
            raise IdempotencyKeyReused("this request id made another track", request_id=key.key)
        try:
            job = await self._queue.get(tx, track.job_id)
        except JobNotFound:  # given up between the two queries, and the track with it
            return None
        # Read anew: the price is written with the queueing, and the job may have been queued between the two queries.
        track = await storage.find_by_request(tx, caller.user_id, key.key)
        return None if track is None else (track, job)

    async def _again(self, track: Track, job: Job) -> tuple[Track, Job]:
        """Return what a repeat is answered: what there is, its price held, because its maker may have died before."""
        if job.state is not State.PENDING:
            return track, job
        queued = await self._charge.go_on(job)
        return replace(track, cost_credits=queued.cost_credits), queued.job

    async def _of_source(self, caller: Caller, wishes: Wishes) -> Wishes:
        """Return the wishes with the recording, and where they have none the title, of the track whose tune they take.

        Raises TrackNotFound, and SourceNotUsable for a track whose tune was not kept.
        """
        source, _ = await self.tune(caller.user_id, wishes.source_track_id)
        return replace(wishes, asset_id=source.asset_id, title=wishes.title or source.title)

    async def _with_words(self, caller: Caller, wishes: Wishes) -> Wishes:
        """Return the wishes with the words of the version of lyrics that they name; raises LyricsNotFound."""
        if not wishes.lyrics_version_id:
            return wishes
        async with self._db.transaction() as tx:
            version = await lyrics.find_version(tx, wishes.lyrics_version_id, user_id=caller.user_id)
        if version is None:
            raise LyricsNotFound("no such version of lyrics", kind="lyrics_version", id=wishes.lyrics_version_id)
        return replace(wishes, lyrics=version.content, title=wishes.title or version.title)

    async def _write(self, caller: Caller, wishes: Wishes, key: IdempotencyKey | None) -> tuple[Track, Job, bool]:
        """Return track and pending job, written together, or those of a faster repeat; and whether they are new."""
        now = self._clock()
        track_id, job_id = new_id(), new_id()
        async with self._db.transaction(Act.TRACK_CREATE) as tx:
            await storage.lock_user(tx, caller.user_id)
            if key and (known := await self._known(tx, caller, key)):
                return *known, False
            mine = await self._queue.active_count(tx, caller.user_id, kind=MUSIC)
            if mine >= self._limits.per_user:
                raise GenerateBusy("too many songs in the making", limit=self._limits.per_user, scope="user")
            await storage.lock_everybody(tx)
            everybodys = await self._queue.active_count(tx, kind=MUSIC)
            if everybodys >= self._limits.in_all:
                raise GenerateBusy("the queue is full", limit=self._limits.in_all, scope="system")
            track = Track(
                track_id=track_id,
                user_id=caller.user_id,
                title=wishes.title,
                style=wishes.style,
                mood=wishes.mood,
                lyrics=wishes.lyrics,
                voice_gender=wishes.voice_gender,
                duration_s=wishes.duration_s,
                seed=wishes.seed or int(track_id.replace("-", "")[-8:], 16),
                asset_id=wishes.asset_id,
                job_id=job_id,
                state=TrackState.GENERATING,
                analysis=None,
                chosen_variant_id="",
                cover_asset_id="",
                provider="",
                cost_credits=0,
                request_id=key.key if key else "",
                request_hash=key.request_hash if key else "",
                platform=caller.platform,
                create_time=now,
                update_time=now,
            )
            await storage.add(tx, track)
            job = await self._queue.create(
                tx,
                kind=MUSIC,
                user_id=caller.user_id,
                subject_id=track_id,
                # The price is held after this commit, perhaps by another process.
                params={"track_id": track_id, "price_version": wishes.price_version, **_tune(wishes)},
                job_id=job_id,
                trace_id=caller.trace_id,
                platform=caller.platform,
            )
        return track, job, True

    async def get(self, user_id: str, track_id: str) -> Track:
        """Return the user's living track; raises TrackNotFound. An empty user id stands for a trusted service."""
        async with self._db.transaction() as tx:
            return _found(await storage.find(tx, track_id, user_id=user_id), track_id)

    async def shown(self, user_id: str, track_id: str) -> Track:
        """Return the user's living track for others to see, looked at if nobody has yet.

        Raises TrackNotFound, and Unavailable when a checker is away that has to look first.
        """
        return await self._moderation.judged(await self.get(user_id, track_id))

    async def many_shown(self, track_ids: Sequence[str], *, words: str = "") -> Sequence[Track]:
        """Return the living ones of these tracks, whoever owns them, for others to see; in no order.

        With *words* only those whose title or lyrics hold them all. What nobody has looked at is looked at now, for as
        long as the checkers are there.
        """
        async with self._db.transaction() as tx:
            found = await storage.find_many(tx, track_ids, words=words)
        with suppress(Unavailable, TrackNotFound):  # a song that is deleted meanwhile can be looked for again
            for at, track in enumerate(found):
                found[at] = await self._moderation.judged(track)
        return found

    async def tune(self, user_id: str, track_id: str) -> tuple[Track, Recipe]:
        """Return the user's living track with the recipe that holds its tune; raises TrackNotFound, SourceNotUsable."""
        async with self._db.transaction() as tx:
            track = _found(await storage.find(tx, track_id, user_id=user_id), track_id)
            recipe = await storage.find_recipe(tx, track_id)
        if recipe is None or track.analysis is None:
            raise SourceNotUsable("the tune of this track was not kept", track_id=track_id, state=track.state.value)
        return track, recipe

    async def page(
        self, user_id: str, *, page_size: int, page_token: str, words: str = "", trashed: bool = False
    ) -> tuple[Sequence[Track], str]:
        """Return one page of the user's tracks, newest first, and the token of the next page or an empty one.

        With *words* only those whose title or lyrics hold them all; with *trashed* those that can be taken back.
        """
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            since = self._trash_begins() if trashed else None
            found = await storage.page(tx, user_id, before=before, size=size + 1, words=words, trashed_since=since)
        token = encode_token(found[size - 1].track_id) if len(found) > size else ""
        return found[:size], token

    async def update(self, user_id: str, track_id: str, *, title: str | None, lyrics: str | None) -> Track:
        """Return the track with its new title and words; None leaves a value as it is."""
        values: dict[str, str] = {}
        if title is not None:
            values["title"] = clean_line(title)
            if not values["title"]:
                raise ParamInvalid.of("title", "must not be empty")
        if lyrics is not None:
            values["lyrics"] = clean_text(lyrics)
        await self._moderation.admit(user_id, **values)
        async with self._db.transaction() as tx:
            _found(await storage.find(tx, track_id, user_id=user_id, lock="update"), track_id)
            await storage.change(tx, track_id, self._clock(), **values)
            track = await self._moderation.settle(tx, _found(await storage.find(tx, track_id), track_id))
        # Other words are looked at anew before anybody else sees them; at the latest when somebody wants to.
        with suppress(Unavailable):
            return await self._moderation.judged(track)
        return track

    async def choose(self, user_id: str, track_id: str, variant_id: str) -> Track:
        """Return the track with this variant as its own sound; raises TrackNotReady or VariantNotFound."""
        async with self._db.transaction() as tx:
            track = _found(await storage.find(tx, track_id, user_id=user_id, lock="update"), track_id)
            chosen = track.variant(variant_id)
            await storage.change(tx, track_id, self._clock(), chosen_variant_id=chosen.variant_id)
            return replace(track, chosen_variant_id=chosen.variant_id)

    async def delete(self, user_id: str, track_id: str) -> None:
        """Put the track away and cancel its job if that still runs; a repeat changes nothing.

        Raises TrackNotFound when the user never had such a track.
        """
        job = None
        async with self._db.transaction(Act.TRACK_DELETE) as tx:
            track = await storage.find(tx, track_id, user_id=user_id)
            if track is None:
                if await storage.put_away(tx, track_id, user_id) is not None:
                    return
                raise TrackNotFound("no such track", kind="track", id=track_id)
            # The job's row before the track's: the transaction that ends the job takes them in this order too.
            with suppress(JobNotCancellable):  # then the job has ended and there is nothing to stop
                job = await self._queue.cancel(tx, track.job_id, message="its track was put away")
            now = self._clock()
            await storage.change(tx, track_id, now, delete_time=now)
        if job is not None:
            await self._queue.push(job)
        self._charge.kick()

    async def restore(self, user_id: str, track_id: str) -> Track:
        """Return the track that is there again; a living one stays as it is.

        Raises TrackNotFound when the user never had such a track or put it away too long ago.
        """
        async with self._db.transaction() as tx:
            track = await storage.find(tx, track_id, user_id=user_id)
            if track is not None:
                return track
            gone = await storage.put_away(tx, track_id, user_id, since=self._trash_begins())
            if gone is None:
                raise TrackNotFound("no such track", kind="track", id=track_id)
            # Its job may have ended meanwhile, which the row of a track that is put away does not follow.
            job = await self._queue.rows.lock(tx, gone.job_id)
            now = self._clock()
            await storage.change(tx, track_id, now, delete_time=None)
            await subject.settle_state(tx, job, now)
            return _found(await storage.find(tx, track_id), track_id)

    async def asset_in_use(self, asset_id: str) -> bool:
        """Say whether a song in the making reads the asset, or a track that is not gone for good plays or shows it."""
        async with self._db.transaction() as tx:
            return await storage.asset_in_use(tx, asset_id, trashed_since=self._trash_begins())

    def _trash_begins(self) -> datetime:
        return self._clock() - TRASH_KEPT


def _tune(wishes: Wishes) -> dict[str, Any]:
    """Return what the job has to know of its tune: whose it is, and what is to be otherwise in it."""
    change = {"tune_change": wishes.tune_change.plain()} if wishes.tune_change else {}
    return {"source_track_id": wishes.source_track_id, **change} if wishes.source_track_id else change


def _found(track: Track | None, track_id: str) -> Track:
    if track is None:
        raise TrackNotFound("no such track", kind="track", id=track_id)
    return track
