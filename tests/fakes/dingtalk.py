"""A stand-in for DingTalk's robot of a group. Facts: contract page (CN) sections 5.2 and 5.5.

What it keeps of the real one: HTTP 200 with `errcode` for everything; the token in the query (300001); a signature over
time and secret, base64 and escaped once, at most an hour old (310000); a body of JSON with a known kind of message and
its fields; twenty messages a minute, and ten minutes of silence (130101) after the one too many.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.limits import MINUTE_S, Windows
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "sandboxtokenworthnothing00000000"
SECRET = "SECsandboxworthnothing"
SKEW_MS = 3_600_000
MINUTE = ((20, MINUTE_S),)
SILENCE_S = 600.0
FIELDS: Mapping[str, tuple[str, ...]] = {
    "text": ("content",),
    "link": ("title", "text", "messageUrl"),
    "markdown": ("title", "text"),
    "actionCard": ("title", "text"),
    "feedCard": ("links",),
}
_TOO_FAST = {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}


def sign(timestamp_ms: str, secret: str) -> str:
    """Return the signature in base64; whoever puts it into an address escapes it once."""
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class DingTalk(StandIn):
    """DingTalk's robot of one group."""

    name = "dingtalk"
    FAULTS = {  # noqa: RUF012  # read only
        "busy": Fault(status=200, body={"errcode": -1, "errmsg": "system busy"}),
        "too_fast": Fault(status=200, body=_TOO_FAST),
        "keyword": Fault(status=200, body={"errcode": 310000, "errmsg": "keywords not in content"}),
        "down": Fault(status=502, body="<html>Bad Gateway</html>"),
        "slow": Fault(delay_s=20.0),
        "cut": Fault(cut=True),
    }

    def __init__(self, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self._windows = Windows(clock)
        self._silent_until = 0.0

    def credentials(self) -> dict[str, str]:
        """Return what a sender needs."""
        return {"webhook": f"{self.url}/robot/send?access_token={TOKEN}", "secret": SECRET}

    def routes(self) -> list[web.RouteDef]:
        """Return the robot's one route."""
        return [web.post("/robot/send", self._send)]

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Say one line."""
        stamp = str(int(self.clock().timestamp() * 1000))
        query = {"access_token": TOKEN, "timestamp": stamp, "sign": sign(stamp, SECRET if good_key else "SECwrong")}
        line = {"msgtype": "text", "text": {"content": "walk"}}
        return [await ask("POST", "/robot/send", params=query, json=line)]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is HTTP 200 with 310000."""
        return reply.status == 200 and reply.json().get("errcode") == 310000

    async def _send(self, request: web.Request) -> web.Response:
        query, at = request.query, self.clock().timestamp()
        if query.get("access_token") != TOKEN:
            return _said(300001, "token is not exist")
        stamp = query.get("timestamp", "")
        if not stamp.isdecimal() or abs(int(stamp) - at * 1000) > SKEW_MS:
            return _said(310000, "invalid timestamp")
        if not hmac.compare_digest(query.get("sign", ""), sign(stamp, SECRET)):
            return _said(310000, "sign not match")
        if "json" not in request.content_type:
            return _said(43004, "请求的HEAD的Content-Type必须是application/json")
        try:
            message = json.loads(await request.text())
        except ValueError:
            message = None
        kind = message.get("msgtype") if isinstance(message, dict) else None
        part: Any = message.get(kind) if kind in FIELDS else None
        if not isinstance(part, dict) or not all(part.get(each) for each in FIELDS[str(kind)]):
            return _said(40035, "缺少参数 json")
        if at < self._silent_until or not self._windows.take("robot", MINUTE):
            self._silent_until = max(self._silent_until, at + SILENCE_S if at >= self._silent_until else 0.0)
            return web.json_response(_TOO_FAST)
        text = part.get("content") or part.get("text") or json.dumps(part, ensure_ascii=False)
        self.bring("robot", "group", str(part.get("title", "")), str(text))
        return _said(0, "ok")


def _said(errcode: int, errmsg: str) -> web.Response:
    return web.json_response({"errcode": errcode, "errmsg": errmsg})
