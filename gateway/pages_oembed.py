"""A share as oEmbed 1.0 describes it (https://oembed.com), so that other sites can show its player.

The answer has the format of that specification and not our envelope, for its readers know no other.
"""

import html
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.pages_share import SharePage
from services.kit.errors import ParamInvalid

WIDTH: Final = 480
HEIGHT: Final = 180
LEAST_WIDTH: Final = 240
# How long a reader may keep an answer: a share that is called back must not live on elsewhere.
CACHE_AGE_S: Final = 300

_COVER: Final = 800
_PATH: Final = re.compile(r"/s/(?P<code>[A-Za-z0-9]{1,64})(?:/player)?/?")
_LONGEST: Final = 2048


def code_of(address: str, origin: str) -> str:
    """Return the code in the address of a page or player of ours, "" for any other address."""
    if len(address) > _LONGEST:
        return ""
    parts, ours = urlsplit(address), urlsplit(origin)
    found = _PATH.fullmatch(parts.path)
    return found["code"] if found and parts.netloc == ours.netloc and parts.scheme in {"http", "https"} else ""


def width_of(asked: Mapping[str, str]) -> int:
    """Return how wide the player may be: what `maxwidth` allows, between its least and its usual width.

    Raises ParamInvalid for what is no number.
    """
    text = asked.get("maxwidth", str(WIDTH))
    if not re.fullmatch(r"\d{1,6}", text):
        raise ParamInvalid.of("maxwidth", "must be a whole number", "query")
    return min(max(int(text), LEAST_WIDTH), WIDTH)


def oembed(share: SharePage, *, origin: str, width: int) -> dict[str, Any]:
    """Return the answer for a share: a player in a frame, and its picture where it has one."""
    player = html.escape(f"{share.address}/player", quote=True)
    title = html.escape(share.title, quote=True)
    answer = {
        "version": "1.0",
        "type": "rich",
        "provider_name": "Cadenza",
        "provider_url": origin,
        "title": share.title,
        "cache_age": CACHE_AGE_S,
        "width": width,
        "height": HEIGHT,
        "html": f'<iframe src="{player}" width="{width}" height="{HEIGHT}" title="{title}" loading="lazy" '
        'style="border:0" allow="autoplay" referrerpolicy="no-referrer"></iframe>',
    }
    if share.cover:
        answer |= {"thumbnail_url": share.cover, "thumbnail_width": _COVER, "thumbnail_height": _COVER}
    return answer
