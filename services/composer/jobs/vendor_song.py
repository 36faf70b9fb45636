"""Takes over what a vendor made: fetches it, looks whether it is a whole song, and keeps it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.composer.domain.vendor import flaw
from services.composer.providers import Made, TaskVendor, VendorRefused, VendorSong
from services.kit.errors import DomainError, Expired, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from services.composer.domain.vendor import Limits, VendorTask
    from services.composer.providers import Appraiser, Label, Vendor
    from services.kit.jobs.run import JobRun

    Keep = Callable[[Made, str], Awaitable[dict[str, Any]]]

_log = logging.getLogger(__name__)

_TRIES = 3
_LONGEST_STYLE = 120
# What may be whole the next time it is fetched.
_PASSING = frozenset({"cut", "unreadable", "unfetched"})


class Taking:
    """Fetches, checks and keeps the songs of one attempt."""

    def __init__(
        self, run: JobRun, appraiser: Appraiser, *, gate: asyncio.Semaphore, keep: Keep, limits: Limits, again_s: float
    ) -> None:
        """Look at sounds only inside of *gate*; *keep* stores a song under a key and returns what is kept of it."""
        self._run = run
        self._appraiser = appraiser
        self._gate = gate
        self._keep = keep
        self._limits = limits
        self._again_s = again_s

    async def take(
        self, vendor: Vendor, task: VendorTask, songs: Sequence[VendorSong]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return what is kept of each label, and why each of the others does not count."""
        labels = task.labels[: len(songs)]
        works = [self._one(vendor, task, at, song) for at, song in enumerate(songs[: len(labels)])]
        taken = await asyncio.gather(*works)
        kept = {label: one for label, one in zip(labels, taken, strict=True) if isinstance(one, dict)}
        return kept, [one for one in taken if isinstance(one, str)]

    async def _one(self, vendor: Vendor, task: VendorTask, at: int, song: VendorSong) -> dict[str, Any] | str:
        """Return what is kept of one song, or why it does not count."""
        word = ""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(self._again_s)
            mp3, word = await self._fetched(vendor, song)
            if word == "gone" and isinstance(vendor, TaskVendor):
                song = await self._fresh(vendor, task, at) or song
                continue
            if not word:
                async with self._gate:
                    measured = await self._appraiser.appraise(mp3, self._run.cancelled)
                word = flaw(measured, song.duration_s, self._limits)
                if not word:
                    return await self._kept(vendor, task, song, _made(task.labels[at], song, mp3, measured))
            if word not in _PASSING or song.data:
                break
        _log.warning("a song of vendor %s does not count: %s", vendor.name, word)
        return word

    async def _fetched(self, vendor: Vendor, song: VendorSong) -> tuple[bytes, str]:
        """Return the bytes of a song, or the word for why there are none."""
        try:
            return await vendor.fetch(song), ""
        except VendorRefused as error:
            return b"", error.code
        except (Unavailable, Expired):
            return b"", "unfetched"
        except DomainError as error:
            # Larger than any song, or at an address that nothing of ours may call: another look changes nothing.
            _log.warning("what vendor %s points to is not fetched: %s", vendor.name, error.reason)
            return b"", "refused"

    async def _fresh(self, vendor: TaskVendor, task: VendorTask, at: int) -> VendorSong | None:
        """Return the song with a new link, None when the vendor gives none."""
        try:
            songs = (await vendor.poll(task.task_id)).songs
        except DomainError:
            return None
        return songs[at] if at < len(songs) else None

    async def _kept(self, vendor: Vendor, task: VendorTask, song: VendorSong, made: Made) -> dict[str, Any]:
        """Return what is kept of a song; its sound is stored under its order, so that no other song takes its place."""
        kept = await self._keep(made, f"{task.vendor_task_id}:{made.label}")
        return kept | {"provider": vendor.name, "reference": song.reference, "cover_url": song.cover_url}


def _made(label: str, song: VendorSong, mp3: bytes, measured: Mapping[str, Any]) -> Made:
    """Return the song with what was measured on it and what its vendor says; what nobody knows stays empty."""
    found: Label = "A" if label == "A" else "B"
    return Made(
        label=found,
        mp3=mp3,
        duration_ms=measured["duration_ms"],
        style=song.style[:_LONGEST_STYLE],
        key=song.key,
        tempo_bpm=song.tempo_bpm,
        melody_score=0.0,
        loudness_lufs=measured["loudness_lufs"],
        true_peak_dbtp=measured["true_peak_dbtp"],
        peaks=tuple(measured["peaks"]),
        chords=(),
        instruments=(),
        scores=measured["scores"] | {"label": label},
    )


def plain_offer(songs: Sequence[VendorSong]) -> list[dict[str, Any]]:
    """Return songs that were handed over at once as they are written down: their links, not their bytes."""
    if any(song.data for song in songs):
        return []
    return [{name: value for name, value in asdict(song).items() if name != "data"} for song in songs]


def offered(offer: Sequence[Mapping[str, Any]]) -> tuple[VendorSong, ...]:
    """Return the songs that were written down."""
    return tuple(VendorSong(**each) for each in offer)
