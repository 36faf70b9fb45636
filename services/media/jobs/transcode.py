"""The job that makes a recording playable: fetch, look inside, encode, store."""

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path
from typing import Any

from services.kit.jobs.run import JobRun
from services.media.domain import upload
from services.media.domain.asset import Asset
from services.media.domain.content import ContentRejected
from services.media.domain.errors import (
    AssetNotFound,
    UploadDurationInvalid,
    UploadFormatInvalid,
    UploadIncomplete,
)
from services.media.domain.raw_sound import announced_raw
from services.media.domain.sound import MP3
from services.media.domain.upload import Limits
from services.media.jobs.ffmpeg import Ffmpeg
from services.media.jobs.look import look
from services.media.jobs.made import attempt, store, workbench
from services.media.providers import ContentCheck
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import Transcodes

# What another attempt would find just the same.
_FINAL = (ContentRejected, UploadFormatInvalid, UploadDurationInvalid, UploadIncomplete, AssetNotFound)


class Transcode:
    """Handler of the transcode jobs."""

    def __init__(
        self,
        transcodes: Transcodes,
        shelf: Shelf,
        ffmpeg: Ffmpeg,
        limits: Limits,
        *,
        check: ContentCheck | None = None,
    ) -> None:
        """Use the collaborators; where there is a checker of content nothing becomes playable without its leave."""
        self._check = check
        self._transcodes = transcodes
        self._shelf = shelf
        self._ffmpeg = ffmpeg
        self._limits = limits

    async def __call__(self, run: JobRun) -> None:
        """Run one attempt; a file that is no playable sound fails the job at once, with the reason."""
        await attempt(run, self._transcodes, "transcode", lambda asset: self._make(run, asset), final=_FINAL)

    async def _make(self, run: JobRun, asset: Asset) -> dict[str, Any]:
        """Return the stored sound and the digest of what the client sent; nothing else stays."""
        async with workbench() as folder:
            source = folder / "source"
            sha256 = await self._fetch(asset, source)
            await run.progress(20, "the file is here")
            found = await asyncio.to_thread(look, source, announced_raw(asset.content_type, asset.filename))
            playable = await self._ffmpeg.make_playable(source, found, folder, self._limits)
            await run.progress(80, f"{playable.codec} in {found.name} encoded")
            data = await asyncio.to_thread(playable.path.read_bytes)
        if self._check is not None:
            (await self._check.judge(MP3.content_type, data)).check()
        return {"sha256": sha256, "sound": await store(self._shelf, asset.kind, playable, data)}

    async def _fetch(self, asset: Asset, target: Path) -> str:
        """Write what the client sent into a file and return its SHA-256; raises UploadIncomplete."""
        digest = hashlib.sha256()
        size_bytes = 0
        with await asyncio.to_thread(target.open, "wb") as file:
            async with aclosing(self._shelf.open(asset.raw_key)) as pieces:
                async for piece in pieces:
                    size_bytes += len(piece)
                    if size_bytes > asset.size_bytes:
                        break
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
        upload.check_arrived(asset.size_bytes, size_bytes)
        upload.check_digest(asset.sha256, digest.hexdigest())
        return digest.hexdigest()
