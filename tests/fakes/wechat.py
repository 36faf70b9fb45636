"""A stand-in for WeChat's server, for tests and the sandbox: mini-program login codes.

It keeps what matters of the real one: errors come with HTTP 200, a success has no `errcode`,
a code is bound to one mini-program, lives five minutes and can be used once.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.stand_in import Fault, StandIn

APP_ID = "wxsandbox00000001"
APP_SECRET = "sandbox-secret-worth-nothing-000"
_CODE_LIFE_S = 300
_MOST_CODES = 10_000


def refusal(errcode: int, errmsg: str) -> dict[str, object]:
    """Return an error the way WeChat words it: a number, and words with a request id behind them."""
    return {"errcode": errcode, "errmsg": f"{errmsg}, rid: {secrets.token_hex(8)}"}


def error(errcode: int, errmsg: str) -> web.Response:
    """Return an error the way WeChat answers it: with HTTP 200."""
    return web.json_response(refusal(errcode, errmsg))


@dataclass
class _Code:
    """A login code and what became of it."""

    open_id: str
    union_id: str
    issued_s: float
    used: bool = False


class Wechat(StandIn):
    """One WeChat with one mini-program."""

    name = "wechat"
    FAULTS = {  # noqa: RUF012  # read only
        "busy": Fault(status=200, body=refusal(-1, "system error")),
        "down": Fault(status=502, body="<html>Bad Gateway</html>"),
        "slow": Fault(delay_s=20.0),
        "cut": Fault(cut=True),
        "too_often": Fault(status=200, body=refusal(45011, "api minute-quota reach limit")),
        "quota": Fault(status=200, body=refusal(45009, "reach max api daily quota limit")),
        "blocked": Fault(status=200, body=refusal(40226, "code blocked"), on="jscode2session"),
    }

    def __init__(self, app_id: str = APP_ID, app_secret: str = APP_SECRET, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self.app_id = app_id
        self.app_secret = app_secret
        self.session_keys: list[str] = []
        self._codes: dict[str, _Code] = {}

    def settings(self) -> dict[str, str]:
        """Return what switches WeChat login on."""
        return {"WECHAT_BASE_URL": self.url, "WECHAT_APP_ID": self.app_id, "WECHAT_APP_SECRET": self.app_secret}

    def routes(self) -> list[web.RouteDef]:
        """Return the server's routes; `POST /_sandbox/codes` stands for the phone."""
        return [
            web.get("/sns/jscode2session", self._code_to_session),
            web.post("/_sandbox/codes", self._issue),
        ]

    def new_code(self, open_id: str, union_id: str = "") -> str:
        """Return what `wx.login()` would give the account of this open id."""
        while len(self._codes) >= _MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        code = "0" + secrets.token_urlsafe(24)[:31]
        self._codes[code] = _Code(open_id, union_id, self.clock().timestamp())
        return code

    def exchanges(self, code: str) -> int:
        """Return how often we were asked whose this code is."""
        return sum(each.query.get("js_code") == code for each in self.seen)

    async def _issue(self, request: web.Request) -> web.Response:
        """Answer with a new code for the account named in the body."""
        body = await request.json()
        return web.json_response({"code": self.new_code(str(body["openid"]), str(body.get("unionid", "")))})

    async def _code_to_session(self, request: web.Request) -> web.Response:
        """Answer as code2Session does."""
        query = request.query
        refused = self._refusal(query)
        if refused is not None:
            return refused
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
