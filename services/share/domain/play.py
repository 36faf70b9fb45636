"""A play: somebody listens to a shared song, and not a program that only looks at it."""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Final

# A listener who starts a song again before it could have ended, or before half a minute is over, listens once.
LEAST_GAP: Final = timedelta(seconds=30)
# Listeners are known for as long as the longest song lasts and no longer than a day.
KEPT: Final = timedelta(days=1)

_PROGRAMS: Final = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|facebookexternalhit|embedly|whatsapp|telegram|discord|skype|pingdom|uptime"
    r"|curl/|wget/|python|go-http-client|okhttp-probe|java/|libwww|httpclient|scrapy|monitor",
    re.IGNORECASE,
)


def is_program(agent: str) -> bool:
    """Return whether nobody listens through what calls itself so: crawlers, makers of previews, bare HTTP clients."""
    return bool(_PROGRAMS.search(agent))


def gap_after(duration_ms: int) -> timedelta:
    """Return how long after the start of a song of this length the same listener counts again."""
    return max(LEAST_GAP, timedelta(milliseconds=duration_ms))


def listener_of(share_id: str, address: str, agent: str, at: datetime) -> str:
    """Return what stands for a listener of one share on one day; on another day, or elsewhere, it is another one."""
    return hashlib.sha256(f"{share_id}|{at:%Y-%m-%d}|{address}|{agent}".encode()).hexdigest()
