"""WeChat's ways into a mini-program. Facts: WeChat's pages on getUnlimitedQRCode and generateScheme.

A scene has at most 32 visible characters; the picture comes as bytes, its errors as JSON with HTTP 200. A link lives
for thirty days at the most. Quotas count calls a minute and a day, and a refusal for them passes by itself.
"""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from services.kit.errors import Unavailable
from services.kit.wechat import WechatApi, WechatRefused

_log = logging.getLogger(__name__)

LONGEST_SCENE: Final = 32
_WIDTH: Final = 430
_LARGEST_CODE: Final = 512 * 1024
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_INTERVAL: Final = 1
_DAYS: Final = 30
_LONGEST_LINK: Final = 500


class WechatMiniProgram:
    """The mini-program that the settings name."""

    def __init__(self, api: WechatApi, *, version: str) -> None:
        """Lead into this version of it: release, trial or develop."""
        self._api = api
        self._version = version

    async def code(self, scene: str, page: str) -> bytes:
        """Return a code to scan as PNG; raises Unavailable."""
        wish = {
            "scene": scene[:LONGEST_SCENE],
            "page": page,
            "env_version": self._version,
            # Pages of a version that is not released yet cannot be looked up.
            "check_path": self._version == "release",
            "width": _WIDTH,
            # Only a see-through one comes as PNG.
            "is_hyaline": True,
        }
        try:
            answer = await self._api.ask("/wxa/getwxacodeunlimit", wish)
        except WechatRefused as refusal:
            raise _unavailable(refusal) from refusal
        if not answer.body.startswith(_PNG) or len(answer.body) > _LARGEST_CODE:
            raise Unavailable("WeChat gives no picture", dependency="wechat")
        return answer.body

    async def scheme(self, query: str, page: str, at: datetime) -> tuple[str, datetime]:
        """Return a link to tap and when it ends; raises Unavailable."""
        wish: dict[str, Any] = {
            "jump_wxa": {"path": page, "query": query, "env_version": self._version},
            "expire_type": _INTERVAL,
            "expire_interval": _DAYS,
        }
        try:
            answer = await self._api.call("/wxa/generatescheme", wish)
        except WechatRefused as refusal:
            raise _unavailable(refusal) from refusal
        link = answer.get("openlink")
        if not isinstance(link, str) or not link.startswith("weixin://") or len(link) > _LONGEST_LINK:
            raise Unavailable("WeChat gives no link", dependency="wechat")
        return link, at + timedelta(days=_DAYS)


def _unavailable(refusal: WechatRefused) -> Unavailable:
    _log.warning("WeChat gives no way into the mini-program: %d", refusal.errcode)
    return Unavailable("WeChat gives no way into the mini-program", dependency="wechat", errcode=refusal.errcode)
