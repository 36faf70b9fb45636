"""WeChat's checks of content: words at once (`msg_sec_check`), sounds by a verdict that is pushed later.

Both judge only people who have used the mini-program within two hours; of everybody else nothing is known, which is no
finding. A text has at most 2,500 characters, so a longer one is judged piece by piece. Facts: WeChat's pages on
msgSecCheck and mediaCheckAsync, version 2.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from services.composer.domain.moderation import Standing, worst
from services.composer.providers import Judgement
from services.kit.errors import Unavailable
from services.kit.wechat import BUSY, QUOTA, WechatApi, WechatRefused

_log = logging.getLogger(__name__)

NAME: Final = "wechat"
LONGEST_TEXT: Final = 2500
_VERSION: Final = 2
_SCENE: Final = 3  # what is shown to many, as in a forum
_AUDIO: Final = 1
_LONGEST_TITLE: Final = 128
_NOBODY: Final = frozenset({40003, 43104, 61010})
_STANDINGS: Final = {"pass": Standing.PASS, "review": Standing.REVIEW, "risky": Standing.RISKY}

OpenId = Callable[[str], Awaitable[str]]


def standing_in(suggest: object) -> Standing:
    """Return the standing of a `suggest`; one that we do not know asks a person to look."""
    return _STANDINGS.get(str(suggest), Standing.REVIEW)


class WechatSafety:
    """Judges words and sounds of people who come from WeChat."""

    name = NAME

    def __init__(self, api: WechatApi, open_id: OpenId) -> None:
        """Ask WeChat about the person whose open id *open_id* finds; an empty one is nobody WeChat knows."""
        self._api = api
        self._open_id = open_id

    async def judge(self, user_id: str, title: str, text: str) -> Judgement | None:
        """Return the gravest of what is found piece by piece, None for somebody WeChat does not judge."""
        open_id = await self._open_id(user_id)
        if not open_id:
            return None
        whole = text or title
        found: list[Judgement] = []
        for start in range(0, len(whole), LONGEST_TEXT):
            piece = whole[start : start + LONGEST_TEXT]
            wish = {
                "content": piece,
                "title": title[:_LONGEST_TITLE],
                "openid": open_id,
                "version": _VERSION,
                "scene": _SCENE,
            }
            answer = await self._asked("/wxa/msg_sec_check", wish)
            result = answer.get("result") if answer else None
            if answer is None or not isinstance(result, dict):
                return None
            found.append(Judgement(standing_in(result.get("suggest")), str(result.get("label", ""))[:64]))
        if not found:
            return None
        gravest = worst(each.standing for each in found)
        return next(each for each in found if each.standing is gravest)

    async def ask(self, user_id: str, url: str) -> str | None:
        """Return the trace id that the pushed verdict carries, None for somebody WeChat does not judge."""
        open_id = await self._open_id(user_id)
        if not open_id:
            return None
        wish = {"media_url": url, "media_type": _AUDIO, "openid": open_id, "version": _VERSION, "scene": _SCENE}
        answer = await self._asked("/wxa/media_check_async", wish)
        return str(answer["trace_id"])[:128] if answer and answer.get("trace_id") else None

    async def _asked(self, path: str, wish: dict[str, object]) -> dict[str, object] | None:
        """Return WeChat's answer, None for a person it does not judge; raises Unavailable for every other refusal."""
        try:
            return await self._api.call(path, wish)
        except WechatRefused as refusal:
            if refusal.errcode in _NOBODY:
                return None
            if refusal.errcode != BUSY and refusal.errcode not in QUOTA:
                _log.error(
                    "WeChat refuses a check with %d: somebody has to look at the settings", refusal.errcode
                )  # the chain says no more
            raise Unavailable("WeChat does not judge content just now", dependency="wechat") from refusal
