"""The job that turns a hum, words or both into two songs: six steps, each stored when done; a retry goes on there.

Our own engine makes them, or the vendors of a list where there is one that can: `jobs.vendor` has that step then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import ProviderFailed, TakeMissing, TrackNotFound
from services.composer.domain.take import REASONS, summary
from services.composer.domain.track import Recipe, Variant
from services.composer.domain.vendor import FIRST, LAST, Wanted, milestone, with_tags
from services.composer.jobs.vendor import VendorAttempt
from services.composer.jobs.vendor_song import Taking
from services.composer.providers import Order, Stopped, TakeRefused, VendorOrder, VendorSong
from services.kit import telemetry
from services.kit.ids import new_id
from services.kit.jobs.errors import JobCancelled, JobFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from services.composer.domain.track import Track
    from services.composer.jobs.vendor import VendorLine
    from services.composer.providers import Label, Listener, Made, MusicProvider
    from services.composer.usecases.making import Making
    from services.kit.jobs.runner import JobRun

STEPS: Mapping[str, tuple[int, int]] = {
    "audio_check": (0, 8),
    "audio_analyze": (8, 20),
    "segment_pick": (20, 22),
    "compose_params": (22, 25),
    "music_generate": (25, 95),
    "ab_eval": (95, 99),
}
"""The steps in order, and from which to which percent of the whole each one goes."""

VENDOR_STEPS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("audio_check", "audio_analyze", "segment_pick", "compose_params"), (FIRST, FIRST)),
    "music_generate": (FIRST, LAST),
    "ab_eval": (LAST, LAST),
}
"""The same for vendors, who tell little: 10 once it begins, 30, 50 and 70 while it is made, 100 at the end."""

_LABELS: tuple[Label, Label] = ("A", "B")
_NO_VOICE = "none"

ended: Counter[str] = Counter()
"""How the jobs of this process ended that a maker of songs was asked for."""


class MusicJob:
    """Runs the jobs of kind `music`."""

    def __init__(
        self,
        *,
        making: Making,
        listener: Listener,
        provider: MusicProvider,
        at_once: int,
        vendors: VendorLine | None = None,
    ) -> None:
        self.making = making
        self.listener = listener
        self.provider = provider
        self.vendors = vendors
        self.gate = asyncio.Semaphore(max(1, at_once))

    async def __call__(self, run: JobRun) -> None:
        """Make the track that the job names; raises JobFailed when its take cannot be composed upon."""
        song = _Song(self, run)
        try:
            await song.make()
            tally(song.maker, made=True)
        except ProviderFailed:
            if run.job.failures >= run.job.max_attempts:
                tally(song.maker, made=False)
            raise
        except TakeRefused as error:
            reason = REASONS[error.code]
            raise JobFailed(reason, f"the take was refused: {error.measure}", measure=error.measure) from error
        except (TrackNotFound, TakeMissing) as error:
            raise JobFailed(error.reason, error.message, **error.metadata) from error
        except Stopped as error:
            raise JobCancelled from error


class _Song:
    """One attempt at one track."""

    def __init__(self, job: MusicJob, run: JobRun) -> None:
        self._making = job.making
        self._listener = job.listener
        self._provider = job.provider
        self._gate = job.gate
        self._run = run
        self._take: bytes | None = None
        # The track whose tune is taken; empty when there is a take to listen to.
        self._source: str = run.params.get("source_track_id", "")
        self._vendors = job.vendors
        self._steps = STEPS
        self.maker = job.provider.name

    async def make(self) -> None:
        """Go through the steps and end the job."""
        run = self._run
        track = await self._making.track(run.params["track_id"])
        able = self._able(track)
        if able:
            self._steps, self.maker = VENDOR_STEPS, able[0]
        if run.lease_token > 1:
            # Before any work: the worker that had the job may only sleep, and wake before our first upload.
            await self._making.fence(track, run.lease_token)
        check = await self._step("audio_check", lambda: self._check(track))
        analysis = await self._step("audio_analyze", lambda: self._listen(track))
        picked = await self._step("segment_pick", lambda: self._pick(analysis))
        order = await self._step("compose_params", lambda: self._params(track, check, picked))
        make = self._have_made if able else self._generate
        generated = await self._step("music_generate", lambda: make(track, picked, order))
        judged = await self._step("ab_eval", lambda: self._judge(track, generated))
        variants = [_variant(track, generated[label], judged[label]) for label in _LABELS if label in generated]
        first = next(iter(generated.values()))
        engine, self.maker = first.get("engine", ""), first.get("provider", self._provider.name)
        recipe = Recipe(track_id=track.track_id, engine=engine, order={**order, "analysis": picked}) if engine else None
        async with run.finish({"track_id": track.track_id, "recommended": judged["recommended"]}) as tx:
            await self._making.enter(
                tx,
                track,
                variants,
                provider=self.maker,
                cover_asset_id=judged["cover_asset_id"],
                recipe=recipe,
            )

    async def _step(self, name: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        return await self._run.step(name, self._steps[name], work)

    def _able(self, track: Track) -> list[str]:
        """Return the vendors that can make the track; none of them can when our own engine has to."""
        # No vendor is told single notes, so that a tune that somebody has changed is our own engine's.
        if self._vendors is None or self._source or self._run.params.get("tune_change"):
            return []
        wanted = Wanted(has_tune=bool(track.asset_id), lyrics=track.lyrics, duration_s=float(track.duration_s))
        return self._vendors.able(wanted)

    async def _sound(self, track: Track) -> bytes:
        """Return the take, fetched at most once in an attempt."""
        if self._take is None:
            self._take = await self._making.take(track)
        return self._take

    async def _check(self, track: Track) -> dict[str, Any]:
        if not track.asset_id:
            return {}
        if self._source:
            _, shown = await self._making.tune_of(self._source)
            return {name: shown[name] for name in ("loudness_lufs", "voiced_ratio", "snr_db")}
        return await self._listener.check(await self._sound(track), self._run.cancelled)

    async def _listen(self, track: Track) -> dict[str, Any]:
        """Return what was heard; nothing when there are only words."""
        if not track.asset_id:
            return {}
        if self._source:
            heard, _ = await self._making.tune_of(self._source)
            return heard
        return await self._listener.listen(await self._sound(track), self._run.cancelled)

    async def _pick(self, analysis: dict[str, Any]) -> dict[str, Any]:
        """Return the analysis with the best stretch chosen, unless its track had one, and as the person wants it."""
        if not analysis:
            return {}
        change = self._run.params.get("tune_change", {})
        if not self._source:
            analysis = await self._listener.pick(analysis, self._run.cancelled)
        if not (change or self._source):
            return analysis
        return await self._listener.change(analysis, change, self._run.cancelled)

    async def _params(self, track: Track, check: Mapping[str, Any], analysis: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the provider is asked for besides the analysis, and show with the track what was heard."""
        if analysis:
            await self._making.heard(track.track_id, summary(check, analysis))
        return {
            "title": track.title,
            "style": track.style,
            "mood": track.mood,
            "duration_s": float(track.duration_s),
            "seed": track.seed,
            "lyrics": track.lyrics,
            "voice": track.voice_gender,
        }

    async def _generate(self, track: Track, analysis: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of both variants; their sounds are stored with Media."""
        done = dict.fromkeys(_LABELS, 0)

        async def one(label: Label) -> dict[str, Any]:
            def progress(percent: int, what: str) -> None:
                done[label] = percent
                whole = sum(done.values()) // len(done)
                self._run.report(whole if self._steps is STEPS else milestone(whole), f"variant {label}: {what}")

            async with self._gate:
                order = Order(label=label, analysis=analysis, **params)
                made = await self._provider.make(order, progress, self._run.cancelled)
            return await self._keep(track, made)

        tasks = [asyncio.create_task(one(label)) for label in _LABELS]
        try:
            results = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return dict(zip(_LABELS, results, strict=True))

    async def _have_made(self, track: Track, analysis: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of the variants that a vendor has made, or our own engine when it came to that."""
        line, run = self._vendors, self._run
        assert line is not None
        order = VendorOrder(
            title=track.title,
            style=track.style,
            mood=track.mood,
            lyrics=with_tags(track.lyrics) if track.voice_gender != _NO_VOICE else "",
            voice=track.voice_gender,
            duration_s=float(track.duration_s),
            seed=track.seed,
            take=await self._sound(track) if track.asset_id else b"",
        )
        manner = line.manner
        taking = Taking(
            run,
            line.appraiser,
            gate=self._gate,
            keep=lambda made, key: self._keep(track, made, key),
            limits=manner.limits,
            again_s=manner.again_s,
        )
        attempt = VendorAttempt(line, run, order, taking)
        return await attempt.make(lambda: self._generate(track, analysis, params))

    async def _keep(self, track: Track, made: Made, key: str = "") -> dict[str, Any]:
        """Store the sound and the score of a variant and return its measures with the ids of their assets."""
        asset_id = await self._making.store(
            track,
            lease_token=self._run.lease_token,
            request_id=key or f"{track.job_id}:{made.label}",
            kind=media_pb2.Asset.KIND_MUSIC,
            filename=f"{made.label}.mp3",
            content_type="audio/mpeg",
            data=made.mp3,
            duration_ms=made.duration_ms,
            peaks=made.peaks,
        )
        midi_asset_id = ""
        if made.midi:
            midi_asset_id = await self._making.store(
                track,
                lease_token=self._run.lease_token,
                request_id=f"{track.job_id}:{made.label}:midi",
                kind=media_pb2.Asset.KIND_DOCUMENT,
                filename=f"{made.label}.mid",
                content_type="audio/midi",
                data=made.midi,
            )
        kept = {name: value for name, value in asdict(made).items() if not isinstance(value, bytes)}
        digest = hashlib.sha256(made.mp3).hexdigest()
        return kept | {"asset_id": asset_id, "midi_asset_id": midi_asset_id, "mp3_sha256": digest}

    async def _judge(self, track: Track, generated: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scores of the variants, the label to prefer, and the id of the stored cover."""
        judged, cover = await self._judged(track, generated)
        cover_asset_id = await self._making.store(
            track,
            lease_token=self._run.lease_token,
            request_id=f"{track.job_id}:cover",
            kind=media_pb2.Asset.KIND_IMAGE,
            filename="cover.jpg",
            content_type="image/jpeg",
            data=cover,
        )
        return judged | {"cover_asset_id": cover_asset_id}

    async def _judged(self, track: Track, generated: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return the scores and the cover; songs of a vendor are judged by their sound alone."""
        line, first = self._vendors, next(iter(generated.values()))
        stop = self._run.cancelled
        if line is None or "provider" not in first:
            return await self._listener.judge(dict(generated), track.seed, stop)
        vendor = line.vendors.get(first["provider"])
        urls = [kept["cover_url"] for kept in generated.values() if kept["cover_url"]]
        picture = await vendor.picture(VendorSong(cover_url=urls[0])) if vendor is not None and urls else b""
        async with self._gate:
            return await line.appraiser.compare(dict(generated), picture, track.seed, stop)


def tally(maker: str, *, made: bool) -> None:
    """Count a job that has ended, and keep the share of those that gave a song."""
    telemetry.SONGS.labels(maker, "completed" if made else "failed").inc()
    ended["completed" if made else "failed"] += 1
    telemetry.SONG_SUCCESS_RATIO.set(ended["completed"] / ended.total())


def _variant(track: Track, kept: Mapping[str, Any], judged: Mapping[str, Any]) -> Variant:
    """Return a variant as it is entered with the track."""
    same = ("label", "asset_id", "duration_ms", "style", "key", "tempo_bpm", "melody_score", "loudness_lufs")
    # What an earlier version of this code has kept of a finished step has none of these.
    later = {name: kept.get(name, "") for name in ("midi_asset_id", "chord_sheet", "mp3_sha256")}
    return Variant(
        variant_id=new_id(),
        track_id=track.track_id,
        score=judged["score"],
        recommended=judged["recommended"],
        remarks=list(judged["remarks"]),
        chords=list(kept["chords"]),
        lines=list(kept.get("lines", ())),
        instruments=list(kept["instruments"]),
        **{name: kept[name] for name in same},
        **later,
    )
