"""What is inside a file: its streams and the length it states, found out in a child process."""

import asyncio
import json
import logging
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from services.media.domain.errors import UploadFormatInvalid
from services.media.domain.sound import HEAD_BYTES, Format, describe, missing_bytes, sniff
from services.media.jobs import cage

_log = logging.getLogger(__name__)
_LONGEST_COMPLAINT = 500
_CHILD = find_spec("services.media.jobs.probe_child")
_BARS = cage.Bars(cpu_s=10, wall_s=20.0)


@dataclass(frozen=True)
class Inside:
    """The one sound inside a file; `stated_ms` is 0 when the file does not say how long it is."""

    format: Format
    codec: str
    channels: int
    sample_rate_hz: int
    stated_ms: int


async def probe(path: Path) -> Inside:
    """Return what is inside the file; raises UploadFormatInvalid unless it is a sound and nothing else."""
    head, size_bytes = await asyncio.to_thread(_read_head, path)
    found = sniff(head)
    if found is None or not found.is_sound:
        raise refusal(describe(head))
    if missing_bytes(head, size_bytes):
        raise refusal("truncated")
    # -I: neither the environment nor the current folder decides what is imported.
    assert _CHILD is not None
    outcome = await cage.run([sys.executable, "-I", str(_CHILD.origin), str(path), found.demuxer], _BARS)
    outcome.check_our_side()
    if outcome.code != 0:
        raise refusal("stalling" if outcome.used_up else "broken", outcome.complaint)
    facts = json.loads(outcome.output)
    if facts["moving_pictures"]:
        raise refusal("video")
    if not facts["sounds"] or not facts["channels"]:
        raise refusal("no sound")
    return Inside(found, facts["codec"], facts["channels"], facts["sample_rate_hz"], facts["stated_ms"])


def refusal(found: str, complaint: str = "") -> UploadFormatInvalid:
    """Return the error for a file that is not a playable sound; `found` says what it is instead.

    What the library complained about goes to the log only, for it names our folders.
    """
    _log.info("refused a file as %s: %s", found, complaint[-_LONGEST_COMPLAINT:])
    return UploadFormatInvalid.at("file", f"not a sound that can be played ({found})", found=found)


def _read_head(path: Path) -> tuple[bytes, int]:
    """Return the first bytes and the size of the file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES), path.stat().st_size
