"""WeChat's ways into a mini-program: codes to scan and links to tap. Facts: contract page sections 1.5 and 1.6."""

from __future__ import annotations

import hashlib
import io
import re
import secrets
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

SCENE = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@\-._~]+")
LONGEST_SCENE = 32
LONGEST_QUERY = 1024
LONGEST_DAYS = 30
DAY_S = 86_400
WIDTHS = (280, 1280)
VERSIONS = frozenset({"release", "trial", "develop"})
_CELLS = 25

Refusal = tuple[int, str]


def code_refusal(wish: Mapping[str, Any], pages: Container[str]) -> Refusal | None:
    """Return why no code is made, None when one is. Only the released version's pages exist unless told otherwise."""
    scene, page = wish.get("scene"), wish.get("page", "")
    if not isinstance(scene, str) or not 0 < len(scene) <= LONGEST_SCENE:
        return 40169, "invalid length for scene, or the data is not json string"
    if not SCENE.fullmatch(scene):
        return 40129, "invalid scene"
    known = not page or page in pages
    if (
        not isinstance(page, str)
        or page.startswith("/")
        or "?" in page
        or not (known or wish.get("check_path") is False)
    ):
        return 41030, "invalid page"
    return None


def code_picture(wish: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return a picture that follows from the scene, and its content type: PNG when it is to be see-through."""
    width = min(max(int(wish.get("width", 430)), WIDTHS[0]), WIDTHS[1])
    bits = hashlib.shake_128(str(wish["scene"]).encode()).digest(_CELLS * _CELLS)
    clear = wish.get("is_hyaline") is True
    plain = Image.frombytes("L", (_CELLS, _CELLS), bytes((bit & 1) * 255 for bit in bits))
    small = Image.merge("LA", (plain, plain.point(lambda shade: 255 - shade))) if clear else plain
    out = io.BytesIO()
    small.resize((width, width), Image.Resampling.NEAREST).save(out, "PNG" if clear else "JPEG")
    return out.getvalue(), "image/png" if clear else "image/jpeg"


def link_refusal(
    wish: Mapping[str, Any], target: Mapping[str, Any], pages: Container[str], now_s: float
) -> Refusal | None:
    """Return why no link is made: a page that is not there, too long a query, or an end that cannot be."""
    path, query = target.get("path", ""), target.get("query", "")
    if not isinstance(path, str) or (path.lstrip("/") not in pages and path):
        return 40165, "invalid weapp pagepath"
    if not isinstance(query, str) or len(query) > LONGEST_QUERY:
        return 40212, "invalid query"
    if target.get("env_version", "release") not in VERSIONS:
        return 40097, "invalid args"
    if wish.get("expire_type", 0) == 1:
        days = wish.get("expire_interval")
        good = isinstance(days, int) and 1 <= days <= LONGEST_DAYS
    else:
        end = wish.get("expire_time")
        good = isinstance(end, int) and now_s < end <= now_s + LONGEST_DAYS * DAY_S
    return None if good else (85401, "time limit between 1min and 1year, or 30 days")


def scheme() -> str:
    """Return a new link for wx.openUrl."""
    return f"weixin://dl/business/?t={secrets.token_urlsafe(9)}"


def url_link() -> str:
    """Return a new link for browsers."""
    return f"https://wxaurl.cn/{secrets.token_urlsafe(8)}"
