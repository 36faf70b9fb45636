"""What the jobs that make sounds have in common: one step, a folder to work in, the sound stored and remembered."""

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any

from services.kit.errors import DomainError
from services.kit.ids import new_id
from services.kit.jobs.errors import JobFailed
from services.kit.jobs.run import JobRun
from services.media.domain import upload
from services.media.domain.asset import Asset, Kind, Sound, Waveform
from services.media.domain.sound import MP3
from services.media.jobs.ffmpeg import Playable
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import Transcodes


async def attempt(
    run: JobRun,
    transcodes: Transcodes,
    step: str,
    make: Callable[[Asset], Awaitable[dict[str, Any]]],
    *,
    final: tuple[type[DomainError], ...],
) -> None:
    """Run one attempt, after which the job's asset is ready with what `make` returned: a sound kept, and its digest.

    Raises JobFailed with the reason for the errors in `final`, which another attempt would meet just the same.
    """
    asset_id = run.job.subject_id
    try:
        asset = await transcodes.begin(asset_id)
        made = await run.step(step, (0, 95), lambda: make(asset))
        playable = sound(made["sound"])
        async with run.finish({"storage_key": playable.storage_key, "duration_ms": playable.duration_ms}) as tx:
            await transcodes.ready(tx, asset_id, playable, made["sha256"])
    except final as error:
        raise JobFailed(error.reason, error.message, **error.metadata) from error


@asynccontextmanager
async def workbench() -> AsyncIterator[Path]:
    """Yield a temporary folder that is always removed."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="cadenza-media-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(rmtree, folder)


async def store(shelf: Shelf, kind: Kind, playable: Playable, data: bytes) -> dict[str, Any]:
    """Return what a step keeps of a made mp3, once its bytes are stored; raises Unavailable."""
    key = upload.playable_key(kind, new_id(), MP3.extension)
    # Kept by the transaction that completes the job; should that never come, the ledger lets it go.
    await shelf.announce(key)
    await shelf.put(key, data, MP3.content_type)
    return {
        "storage_key": key,
        "size_bytes": len(data),
        "duration_ms": playable.duration_ms,
        "peaks": playable.peaks,
        "content_type": MP3.content_type,
        # What a step keeps is JSON.
        "waveform": {**asdict(playable.waveform), "data": base64.b64encode(playable.waveform.data).decode()},
    }


def sound(kept: dict[str, Any]) -> Sound:
    """Return the sound that a step has kept."""
    outline = kept["waveform"]
    waveform = Waveform(**{**outline, "data": base64.b64decode(outline["data"])})
    return Sound(**{**kept, "peaks": tuple(kept["peaks"]), "waveform": waveform})
