"""Turn a stranger's picture into clean ones of several sizes, in a child process that can do nothing else."""

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree

from services.kit.errors import Unavailable
from services.media.domain.image import LONGEST_PX, MOST_PIXELS, VARIANTS_PX, Edit, Version, refusal
from services.media.domain.sound import JPEG, PNG, Format
from services.media.jobs import cage

_log = logging.getLogger(__name__)
_CHILD = find_spec("services.media.jobs.picture_child")
_PILLOW = find_spec("PIL")
_HUGE = 3
_MADE = {"JPEG": JPEG, "PNG": PNG}
_AT_ONCE = 2


class Pictures:
    """Makes pictures, a few at a time; the others wait, as long as their calls live."""

    def __init__(self, bars: cage.Bars | None = None) -> None:
        """Bound each child by the bars."""
        self._bars = bars or cage.Bars(cpu_s=8, wall_s=20.0)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def make(self, pieces: AsyncIterator[bytes], found: Format, edit: Edit) -> list[Version]:
        """Return the picture, first, and its smaller versions; the temporary folder is always removed.

        Raises UploadFormatInvalid, UploadTooLarge for too many pixels, Unavailable when the machine is too busy.
        """
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="cadenza-media-"))
        try:
            with await asyncio.to_thread((folder / "source").open, "wb") as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
            async with self._turn:
                return await self._made(folder, found, edit)
        finally:
            await asyncio.to_thread(rmtree, folder)

    async def _made(self, folder: Path, found: Format, edit: Edit) -> list[Version]:
        assert _CHILD is not None
        assert _CHILD.origin is not None
        assert _PILLOW is not None
        wish = {
            "source": str(folder / "source"),
            "format": found.name.upper(),
            "most_pixels": MOST_PIXELS,
            "longest_px": LONGEST_PX,
            "sizes": {"": LONGEST_PX, **VARIANTS_PX},
            "cropped": bool(edit.x_px or edit.y_px or edit.width_px or edit.height_px),
            "x_px": edit.x_px,
            "y_px": edit.y_px,
            "width_px": edit.width_px,
            "height_px": edit.height_px,
            "watermark": edit.watermark,
        }
        packages = [Path(place).parent for place in _PILLOW.submodule_search_locations or ()]
        room = cage.Room(folder, (Path(sys.base_prefix), Path(sys.prefix), Path(_CHILD.origin), *packages))
        arguments = [sys.executable, "-I", _CHILD.origin, json.dumps(wish)]
        try:
            outcome = await cage.run(arguments, self._bars, room)
        except cage.TookTooLong as error:
            message = "the picture could not be looked at in time"
            raise Unavailable(message) from error
        outcome.check_our_side()
        if outcome.code:
            word = "huge" if outcome.code == _HUGE else "stalling" if outcome.used_up else "broken"
            _log.info("refused a picture as %s: %s", word, outcome.complaint[-500:])
            raise refusal(word)
        return [
            Version(
                name=made["name"],
                format=_MADE[made["format"]],
                width_px=made["width_px"],
                height_px=made["height_px"],
                data=await asyncio.to_thread((folder / made["file"]).read_bytes),
            )
            for made in json.loads(outcome.output)
        ]
