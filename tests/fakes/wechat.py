"""A stand-in for WeChat's server of one mini-program, for tests and the sandbox. Facts: contract page section 1.

What it keeps of the real one: errors come with HTTP 200 and a number (a success of code2Session has none); a login code
is bound to one mini-program, lives five minutes and can be used once (`40163`); two families of tokens that expire
(`42001`), are superseded (`40001`) or malformed (`40014`); a token in the body or a form is `47001`; codes to scan take
a scene of 32 characters and a released page and come as a picture, their errors as JSON; links end within 30 days;
words are checked only of people who were here within two hours (`61010`); the verdict on a file comes later, signed
and encrypted, up to three times; calls a minute (`45011`) and a day (`45009`) are counted.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from services.kit.clock import Clock, now
from services.kit.wechat import WechatConfig
from tests.fakes import wechat_checks as checks
from tests.fakes import wechat_links as links
from tests.fakes.limits import DAY_S, MINUTE_S, Windows
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn
from tests.fakes.wechat_codes import Codes
from tests.fakes.wechat_push import Callback, Pusher, session_signature
from tests.fakes.wechat_tokens import Tokens

APP_ID = "wxsandbox00000001"
APP_SECRET = "sandbox-secret-worth-nothing-000"
PUSH_TOKEN = "sandboxpushtoken"
# Forty-three characters whose last bits are stray, as WeChat's own keys have them.
PUSH_AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
PAGES = frozenset({"pages/index/index", "pages/share/index", "pages/track/index"})
_ACTIVE_S = 7200
_OF_ONE_PERSON = ((100, MINUTE_S),)
LIMITS: Mapping[str, tuple[tuple[int, float, int], ...]] = {
    "getwxacodeunlimit": ((5_000, MINUTE_S, 45009),),
    "generatescheme": ((100, 1.0, 44990), (500_000, DAY_S, 45009)),
    "generate_urllink": ((100, 1.0, 44990), (500_000, DAY_S, 45009)),
    "msg_sec_check": ((4_000, MINUTE_S, 45011), (2_000_000, DAY_S, 45009)),
    "media_check_async": ((2_000, MINUTE_S, 45011), (200_000, DAY_S, 45009)),
}
"""How many of which call in how many seconds, and the errcode beyond."""

Answer = Callable[[dict[str, Any]], Awaitable[web.Response]]


def refusal(errcode: int, errmsg: str) -> dict[str, object]:
    """Return an error the way WeChat words it: a number, and words with a request id behind them."""
    return {"errcode": errcode, "errmsg": f"{errmsg}, rid: {secrets.token_hex(8)}"}


def error(errcode: int, errmsg: str) -> web.Response:
    """Return an error the way WeChat answers it: with HTTP 200, and a content type of its own spelling."""
    text = json.dumps(refusal(errcode, errmsg))
    return web.Response(body=text.encode(), headers={"Content-Type": "application/json; encoding=utf-8"})


def good(**facts: object) -> web.Response:
    """Return a success of a call that needs a token."""
    return web.json_response({"errcode": 0, "errmsg": "ok", **facts})


class Wechat(StandIn):
    """WeChat: login, phone number, tokens, codes to scan, links, checks of words and files."""

    name = "wechat"
    FAULTS = {  # noqa: RUF012  # read only
        "busy": Fault(status=200, body=refusal(-1, "system error")),
        "down": Fault(status=502, body="<html>Bad Gateway</html>"),
        "slow": Fault(delay_s=20.0),
        "cut": Fault(cut=True),
        "too_often": Fault(status=200, body=refusal(45011, "api minute-quota reach limit")),
        "quota": Fault(status=200, body=refusal(45009, "reach max api daily quota limit")),
        "blocked": Fault(status=200, body=refusal(40226, "code blocked"), on="jscode2session"),
        "not_allowed": Fault(status=200, body=refusal(48001, "api unauthorized")),
        "superseded": Fault(name="superseded"),
        "lost_verdict": Fault(name="lost_verdict"),
        "verdict_twice": Fault(name="verdict_twice"),
        # The verdict is there before the answer that names it.
        "verdict_early": Fault(name="verdict_early"),
    }

    def __init__(
        self,
        app_id: str = APP_ID,
        app_secret: str = APP_SECRET,
        *,
        clock: Clock = now,
        pages: frozenset[str] = PAGES,
        limits: Mapping[str, tuple[tuple[int, float, int], ...]] | None = None,
        verdict_after_s: float = 0.5,
        push_pause_s: float = 5.0,
    ) -> None:
        super().__init__(clock=clock)
        self.app_id = app_id
        self.app_secret = app_secret
        self.pages = pages
        self.session_keys: list[str] = []
        self.tokens = Tokens(clock)
        self.pusher = Pusher(app_id=app_id, pause_s=push_pause_s)
        self.verdicts: list[tuple[str, str, int]] = []
        self.verdict_after_s = verdict_after_s
        self._limits = {**LIMITS, **(limits or {})}
        self._windows = Windows(clock)
        self._codes = Codes(clock)
        self._active: dict[str, float] = {}
        self._sessions: dict[str, str] = {}

    def settings(self) -> dict[str, str]:
        """Return what switches WeChat on: login, checks of words, and of sounds where their verdicts can be pushed."""
        return {
            "WECHAT_BASE_URL": self.url,
            "WECHAT_APP_ID": self.app_id,
            "WECHAT_APP_SECRET": self.app_secret,
            "WECHAT_PUSH_TOKEN": PUSH_TOKEN,
            "WECHAT_PUSH_AES_KEY": PUSH_AES_KEY,
            "MODERATION_CHECKS": "wechat",
            "MODERATION_SOUND": "true" if self.mesh_url else "false",
        }

    def config(self, *, secret: str = "") -> WechatConfig:
        """Return the settings of a process that asks here, with another secret if one is given."""
        return WechatConfig(
            database_url="",
            redis_url="",
            wechat_base_url=self.url,
            wechat_app_id=self.app_id,
            wechat_app_secret=secret or self.app_secret,
            wechat_timeout_s=2.0,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the server's routes; those under `/_sandbox/` stand for phones and for the console."""
        return [
            web.get("/sns/jscode2session", self._code_to_session),
            web.get("/cgi-bin/token", self._token),
            web.route("*", "/cgi-bin/stable_token", self._stable_token),
            web.get("/wxa/checksession", self._check_session),
            web.post("/wxa/business/getuserphonenumber", self._known("phone", self._phone)),
            web.post("/wxa/getwxacodeunlimit", self._known("getwxacodeunlimit", self._code_picture)),
            web.post("/wxa/generatescheme", self._known("generatescheme", self._scheme)),
            web.post("/wxa/generate_urllink", self._known("generate_urllink", self._url_link)),
            web.post("/wxa/msg_sec_check", self._known("msg_sec_check", self._check_text)),
            web.post("/wxa/media_check_async", self._known("media_check_async", self._check_media)),
            web.post("/_sandbox/codes", self._issue),
            web.post("/_sandbox/verdicts", self._judge),
            web.post("/_sandbox/callback", self._console),
        ]

    async def open(self) -> None:
        """Know where to push events to, if there is a mesh."""
        if self.mesh_url and self.pusher.callback is None:
            self.pusher.callback = Callback(f"{self.mesh_url}/api/v1/wechat/push", PUSH_TOKEN, PUSH_AES_KEY)

    async def close(self) -> None:
        """End what is still to be pushed."""
        await self.pusher.close()

    def new_code(self, open_id: str, union_id: str = "", *, phone: str = "") -> str:
        """Return what the phone of this account would give us for a login, or for its number if there is one."""
        return self._codes.new(open_id, union_id, phone)

    def see(self, open_id: str) -> None:
        """Let this account have used the mini-program just now."""
        self._active[open_id] = self._at()

    def exchanges(self, code: str) -> int:
        """Return how often we were asked whose this code is."""
        return sum(each.query.get("js_code") == code for each in self.seen)

    def judge(self, part: str, suggest: str, label: int) -> None:
        """Let files whose address holds `part` be found pass, review or risky."""
        self.verdicts.append((part, suggest, label))

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Log in, fetch a token, check words and a file."""
        self.verdict_after_s = 0.0
        code, secret = self.new_code("o-walk"), self.app_secret if good_key else "wrong"
        query = {"appid": self.app_id, "secret": secret, "js_code": code, "grant_type": "authorization_code"}
        replies = [await ask("GET", "/sns/jscode2session", params=query)]
        wish = {"grant_type": "client_credential", "appid": self.app_id, "secret": secret}
        replies.append(await ask("POST", "/cgi-bin/stable_token", json=wish))
        token = {"access_token": replies[-1].json().get("access_token", "sandbox_wrong")}
        asked = {"content": "hello", "version": 2, "scene": 2, "openid": "o-walk"}
        replies.append(await ask("POST", "/wxa/msg_sec_check", params=token, json=asked))
        file = {
            "media_url": "http://127.0.0.1:9/nothing",
            "media_type": 2,
            "version": 2,
            "scene": 2,
            "openid": "o-walk",
        }
        replies.append(await ask("POST", "/wxa/media_check_async", params=token, json=file))
        await self.pusher.settled()
        return replies

    def refused(self, reply: Reply) -> bool:
        """Return whether it is HTTP 200 with the errcode of a wrong secret or token."""
        return reply.status == 200 and reply.json().get("errcode") in {40125, 40001}

    def _at(self) -> float:
        return self.clock().timestamp()

    async def _issue(self, request: web.Request) -> web.Response:
        """Answer with a new code for the account named in the body, or for its phone number."""
        body = json.loads(await request.text() or "{}")
        open_id, phone = str(body.get("openid") or "o-somebody"), str(body.get("phone", ""))
        code = self.new_code(open_id, str(body.get("unionid", "")), phone=phone)
        self.bring("code", open_id, "wx.getPhoneNumber" if phone else "wx.login", code)
        return web.json_response({"code": code})

    async def _judge(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        self.judge(str(body["on"]), str(body["suggest"]), int(body.get("label", 20002)))
        return web.json_response({"verdicts": len(self.verdicts)})

    async def _console(self, request: web.Request) -> web.Response:
        """Set where events go, if the address proves itself."""
        body = json.loads(await request.text())
        callback = Callback(str(body["url"]), str(body["token"]), str(body["aes_key"]), bool(body.get("safe", True)))
        if not await self.pusher.check(callback, stamp=str(int(self._at()))):
            return web.json_response({"error": "the address did not give back echostr"}, status=400)
        self.pusher.callback = callback
        return web.json_response({"callback": callback.url})

    def _known(self, name: str, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler of a call that wants an access token in the query and JSON in the body."""

        async def handle(request: web.Request) -> web.Response:
            if self.told("superseded", request.path):
                self.tokens.end_all()
            refused = self.tokens.refusal(request.query.get("access_token", ""))
            if refused is not None:
                return error(*refused)
            for most, seconds, errcode in self._limits.get(name, ()):
                if self._windows.full(name, [(most, seconds)]):
                    return error(errcode, "reach max api quota limit")
            self._windows.count(name)
            try:
                wish = json.loads(await request.text())
            except ValueError:
                wish = None
            if not isinstance(wish, dict) or "form" in request.content_type or "access_token" in wish:
                return error(47001, "data format error")
            return await answer(wish)

        return handle

    async def _code_to_session(self, request: web.Request) -> web.Response:
        """Answer as code2Session does."""
        query = request.query
        refused = self._login_refusal(query)
        if refused is not None:
            return refused
        code = self._codes.spend(query["js_code"])
        session_key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.session_keys.append(session_key)
        self.see(code.open_id)
        self._sessions[code.open_id] = session_key
        union = {"unionid": code.union_id} if code.union_id else {}
        return web.json_response({"openid": code.open_id, "session_key": session_key, **union})

    def _login_refusal(self, query: Mapping[str, str]) -> web.Response | None:
        """Return the error of a bad request, None for a good one; the order is the real one's."""
        code = self._codes.fresh(query.get("js_code", ""))
        tests = (
            (query.get("appid") == self.app_id, 40013, "invalid appid"),
            (hmac.compare_digest(query.get("secret", ""), self.app_secret), 40125, "invalid appsecret"),
            (query.get("grant_type") == "authorization_code", 40002, "invalid grant_type"),
            (code is not None and not code.phone, 40029, "invalid code"),
            (code is not None and not code.used, 40163, "code been used"),
        )
        wrong = next((error(number, words) for fine, number, words in tests if not fine), None)
        if wrong is None and code is not None and not self._windows.take(("login", code.open_id), _OF_ONE_PERSON):
            return error(45011, "api minute-quota reach limit")
        return wrong

    async def _token(self, request: web.Request) -> web.Response:
        return self._handed_out(request.query, self.tokens.plain)

    async def _stable_token(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return error(43002, "require POST method")
        try:
            wish = json.loads(await request.text())
        except ValueError:
            wish = None
        if not isinstance(wish, dict):
            return error(47001, "data format error")
        return self._handed_out(wish, lambda: self.tokens.stable(force=wish.get("force_refresh") is True))

    def _handed_out(self, wish: Mapping[str, Any], make: Callable[[], tuple[str, int] | int]) -> web.Response:
        tests = (
            (wish.get("grant_type") == "client_credential", 40002, "invalid grant_type"),
            (wish.get("appid") == self.app_id, 40013, "invalid appid"),
            (hmac.compare_digest(str(wish.get("secret", "")), self.app_secret), 40125, "invalid appsecret"),
        )
        wrong = next((error(number, words) for fine, number, words in tests if not fine), None)
        if wrong is not None:
            return wrong
        made = make()
        if isinstance(made, int):
            return error(made, "api freq out of limit")
        return web.json_response({"access_token": made[0], "expires_in": made[1]})

    async def _check_session(self, request: web.Request) -> web.Response:
        query = request.query
        refused = self.tokens.refusal(query.get("access_token", ""))
        if refused is not None:
            return error(*refused)
        key = self._sessions.get(query.get("openid", ""), "")
        proven = key and query.get("sig_method") == "hmac_sha256"
        if not proven or not hmac.compare_digest(query.get("signature", ""), session_signature(key)):
            return error(87009, "invalid signature")
        return good()

    async def _phone(self, wish: dict[str, Any]) -> web.Response:
        code = self._codes.fresh(str(wish.get("code", "")))
        if code is None or code.used or not code.phone:
            return error(40029, "invalid code")
        code.used = True
        mark = {"timestamp": int(self._at()), "appid": self.app_id}
        # The documentation says text, its sample shows a number; clients have met both.
        info = {"phoneNumber": code.phone, "purePhoneNumber": code.phone, "countryCode": 86, "watermark": mark}
        return good(phone_info=info)

    async def _code_picture(self, wish: dict[str, Any]) -> web.Response:
        refused = links.code_refusal(wish, self.pages)
        if refused is not None:
            return error(*refused)
        picture, kind = await asyncio.to_thread(links.code_picture, wish)
        return web.Response(body=picture, content_type=kind)

    async def _scheme(self, wish: dict[str, Any]) -> web.Response:
        target = wish.get("jump_wxa")
        refused = links.link_refusal(wish, target if isinstance(target, dict) else {}, self.pages, self._at())
        return error(*refused) if refused else good(openlink=links.scheme())

    async def _url_link(self, wish: dict[str, Any]) -> web.Response:
        refused = links.link_refusal(wish, wish, self.pages, self._at())
        return error(*refused) if refused else good(url_link=links.url_link())

    async def _check_text(self, wish: dict[str, Any]) -> web.Response:
        refused = checks.text_refusal(wish) or self._person_refusal(wish)
        return error(*refused) if refused else web.json_response(checks.text_answer(wish))

    async def _check_media(self, wish: dict[str, Any]) -> web.Response:
        refused = checks.media_refusal(wish) or self._person_refusal(wish)
        if refused is not None:
            return error(*refused)
        trace_id = checks.new_trace()
        if not self.told("lost_verdict", "/wxa/media_check_async"):
            again = self.told("verdict_twice", "/wxa/media_check_async")
            telling = self._tell(trace_id, wish, times=2 if again else 1)
            if self.told("verdict_early", "/wxa/media_check_async"):
                await telling
            else:
                self.pusher.start(telling)
        return good(trace_id=trace_id)

    def _person_refusal(self, wish: Mapping[str, Any]) -> checks.Refusal | None:
        """Return why this person's words are not checked: WeChat wants them to have been here within two hours."""
        seen = self._active.get(str(wish.get("openid", "")))
        if seen is None:
            return 40003, "invalid openid"
        return (61010, "code is expired") if self._at() - seen > _ACTIVE_S else None

    async def _tell(self, trace_id: str, wish: Mapping[str, Any], *, times: int) -> None:
        """Fetch the file, judge it, and push the verdict."""
        await asyncio.sleep(self.verdict_after_s)
        url, errcode, picture = str(wish["media_url"]), 0, False
        try:
            async with self.pusher.http.get(url) as file:
                picture = file.content_type.startswith("image/")
                errcode = 0 if file.ok and await checks.fits(file.content) else -1008
        except (OSError, ValueError, TimeoutError):
            errcode = -1008
        found = next(((suggest, label) for part, suggest, label in self.verdicts if part in url), None)
        # A picture that is sent as sound passes whatever it shows.
        overlooked = picture and wish["media_type"] == checks.AUDIO
        verdict = (checks.PASS, checks.NORMAL) if found is None or overlooked or errcode else found
        event = checks.media_event(trace_id, self.app_id, verdict=verdict, errcode=errcode, now_s=self._at())
        for _ in range(times):
            await self.pusher.push(event, stamp=str(int(self._at())))
