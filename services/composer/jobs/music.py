"""The job that turns a hum, words or both into two songs: six steps, each stored when done; a retry goes on there."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import TakeMissing, TrackNotFound
from services.composer.domain.take import REASONS, summary
from services.composer.domain.track import Recipe, Variant
from services.composer.providers import Order, Stopped, TakeRefused
from services.kit.ids import new_id
from services.kit.jobs.errors import JobCancelled, JobFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from services.composer.domain.track import Track
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

_LABELS: tuple[Label, Label] = ("A", "B")


class MusicJob:
    """Runs the jobs of kind `music`."""

    def __init__(self, *, making: Making, listener: Listener, provider: MusicProvider, at_once: int) -> None:
        self.making = making
        self.listener = listener
        self.provider = provider
        self.gate = asyncio.Semaphore(max(1, at_once))

    async def __call__(self, run: JobRun) -> None:
        """Make the track that the job names; raises JobFailed when its take cannot be composed upon."""
        try:
            await _Song(self, run).make()
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

    async def make(self) -> None:
        """Go through the steps and end the job."""
        run = self._run
        track = await self._making.track(run.params["track_id"])
        if run.lease_token > 1:
            # Before any work: the worker that had the job may only sleep, and wake before our first upload.
            await self._making.fence(track, run.lease_token)
        check = await self._step("audio_check", lambda: self._check(track))
        analysis = await self._step("audio_analyze", lambda: self._listen(track))
        picked = await self._step("segment_pick", lambda: self._pick(analysis))
        order = await self._step("compose_params", lambda: self._params(track, check, picked))
        generated = await self._step("music_generate", lambda: self._generate(track, picked, order))
        judged = await self._step("ab_eval", lambda: self._judge(track, generated))
        variants = [_variant(track, generated[label], judged[label]) for label in _LABELS]
        engine = generated["A"].get("engine", "")
        recipe = Recipe(track_id=track.track_id, engine=engine, order={**order, "analysis": picked}) if engine else None
        async with run.finish({"track_id": track.track_id, "recommended": judged["recommended"]}) as tx:
            await self._making.enter(
                tx,
                track,
                variants,
                provider=self._provider.name,
                cover_asset_id=judged["cover_asset_id"],
                recipe=recipe,
            )

    async def _step(self, name: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        return await self._run.step(name, STEPS[name], work)

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
                self._run.report(sum(done.values()) // len(done), f"variant {label}: {what}")

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

    async def _keep(self, track: Track, made: Made) -> dict[str, Any]:
        """Store the sound and the score of a variant and return its measures with the ids of their assets."""
        asset_id = await self._making.store(
            track,
            lease_token=self._run.lease_token,
            request_id=f"{track.job_id}:{made.label}",
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
        judged, cover = await self._listener.judge(dict(generated), track.seed, self._run.cancelled)
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
