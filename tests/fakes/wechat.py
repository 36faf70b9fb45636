"""A stand-in for WeChat's server, for tests and the sandbox: mini-program login codes.

It keeps what matters of the real one: errors come with HTTP 200, a success has no `errcode`,
a code is bound to one mini-program, lives five minutes and can be used once.
"""

import base64
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from services.kit.clock import Clock, now

_CODE_LIFE_S = 300
_MOST_CODES = 10_000


@dataclass
class _Code:
    """A login code and what became of it."""

    open_id: str
    union_id: str
    issued_s: float
    used: bool = False


@dataclass
class Wechat:
    """One WeChat with one mini-program; `faults` are answered before anything else, the first one first."""

    app_id: str
    app_secret: str
    clock: Clock = now
    faults: list[web.Response] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    session_keys: list[str] = field(default_factory=list)
    _codes: dict[str, _Code] = field(default_factory=dict)

    def new_code(self, open_id: str, union_id: str = "") -> str:
        """Return what `wx.login()` would give the account of this open id."""
        while len(self._codes) >= _MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        code = "0" + secrets.token_urlsafe(24)[:31]
        self._codes[code] = _Code(open_id, union_id, self.clock().timestamp())
        return code

    def application(self) -> web.Application:
        """Return the server's routes; `POST /_sandbox/codes` stands for the phone."""
        application = web.Application()
        application.router.add_get("/sns/jscode2session", self._code_to_session)
        application.router.add_post("/_sandbox/codes", self._issue)
        return application

    async def _issue(self, request: web.Request) -> web.Response:
        """Answer with a new code for the account named in the body."""
        body = await request.json()
        return web.json_response({"code": self.new_code(str(body["openid"]), str(body.get("unionid", "")))})

    async def _code_to_session(self, request: web.Request) -> web.Response:
        """Answer as code2Session does."""
        query = request.query
        self.calls[query.get("js_code", "")] += 1
        if self.faults:
            return self.faults.pop(0)
        refusal = self._refusal(query)
        if refusal is not None:
            return refusal
        code = self._codes[query["js_code"]]
        code.used = True
        session_key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.session_keys.append(session_key)
        union = {"unionid": code.union_id} if code.union_id else {}
        return web.json_response({"openid": code.open_id, "session_key": session_key, **union})

    def _refusal(self, query: Mapping[str, str]) -> web.Response | None:
        """Return the error of a bad request, None for a good one; the order is the real one's."""
        code = self._codes.get(query.get("js_code", ""))
        checks = (
            (query.get("appid") == self.app_id, 40013, "invalid appid"),
            (hmac.compare_digest(query.get("secret", ""), self.app_secret), 40125, "invalid appsecret"),
            (query.get("grant_type") == "authorization_code", 40002, "invalid grant_type"),
            (code is not None and self._age_s(code) <= _CODE_LIFE_S, 40029, "invalid code"),
            (code is not None and not code.used, 40163, "code been used"),
        )
        return next((error(number, words) for good, number, words in checks if not good), None)

    def _age_s(self, code: _Code) -> float:
        return self.clock().timestamp() - code.issued_s


def error(errcode: int, errmsg: str) -> web.Response:
    """Return an error the way WeChat does: HTTP 200, a number, and words with a request id behind them."""
    return web.json_response({"errcode": errcode, "errmsg": f"{errmsg}, rid: {secrets.token_hex(8)}"})
