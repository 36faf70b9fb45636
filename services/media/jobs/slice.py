"""The job that cuts a stretch out of a sound: fetch, cut, fade, bring to its loudness, encode, store."""

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path
from typing import Any

from services.kit.jobs.run import JobRun
from services.media.domain.asset import Asset
from services.media.domain.errors import AssetNotFound, AssetNotReady, UploadFormatInvalid
from services.media.domain.slice import Slice
from services.media.jobs.cut import cut
from services.media.jobs.ffmpeg import Ffmpeg
from services.media.jobs.made import attempt, store, workbench
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import Transcodes

# What another attempt would find just the same.
_FINAL = (AssetNotFound, AssetNotReady, UploadFormatInvalid)


class Cut:
    """Handler of the slice jobs."""

    def __init__(self, transcodes: Transcodes, shelf: Shelf, ffmpeg: Ffmpeg) -> None:
        """Use the collaborators."""
        self._transcodes = transcodes
        self._shelf = shelf
        self._ffmpeg = ffmpeg

    async def __call__(self, run: JobRun) -> None:
        """Run one attempt; a source that is gone fails the job at once, with the reason."""
        await attempt(run, self._transcodes, "slice", lambda asset: self._make(run, asset), final=_FINAL)

    async def _make(self, run: JobRun, asset: Asset) -> dict[str, Any]:
        """Return the stored sound and its digest; nothing else stays."""
        source = await self._transcodes.source(asset, run.params["source_asset_id"])
        async with workbench() as folder:
            file = folder / "source"
            await self._fetch(source.playable_key(), file)
            await run.progress(20, "the file is here")
            playable = await cut(self._ffmpeg, file, folder, Slice(**run.params["slice"]))
            await run.progress(80, "cut and encoded")
            data = await asyncio.to_thread(playable.path.read_bytes)
        kept = await store(self._shelf, asset.kind, playable, data)
        return {"sha256": hashlib.sha256(data).hexdigest(), "sound": kept}

    async def _fetch(self, key: str, target: Path) -> None:
        """Write an object into a file."""
        with await asyncio.to_thread(target.open, "wb") as file:
            async with aclosing(self._shelf.open(key)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
