"""WeChat's server API of a mini-program: one access token for all processes, and its errors told apart.

Three services ask WeChat, each for something else; what they share is the token. It is taken by `stable_token`, whose
calls do not end each other's tokens, kept in Redis until five minutes before its end, and taken anew once when WeChat
calls it wrong. Without Redis each process takes one for itself. Business errors come with HTTP 200; the words behind
the number end in a request id, so only the number counts. Facts: WeChat's pages
on getStableAccessToken and on error codes.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.kit.config import ConfigError, ProcessConfig, setting
from services.kit.errors import DomainError, Unavailable
from services.kit.http import Answer, HttpClient

BUSY: Final = -1
WRONG_TOKEN: Final = frozenset({40001, 40014, 42001})
QUOTA: Final = frozenset({45009, 45011})

_OK: Final = 200
_EARLY_S: Final = 300
_LONGEST_LIFE_S: Final = 7200
_LONGEST_TOKEN: Final = 1024


@dataclass(frozen=True, kw_only=True)
class WechatConfig(ProcessConfig):
    """The settings of every process that asks WeChat."""

    wechat_app_id: str = setting("WECHAT_APP_ID", "", doc="mini-program id; empty switches off whatever needs WeChat")
    wechat_app_secret: str = setting("WECHAT_APP_SECRET", "", doc="secret of the mini-program", secret=True)
    wechat_base_url: str = setting(
        "WECHAT_BASE_URL", "https://api.weixin.qq.com", doc="where WeChat is; the sandbox has its own"
    )
    wechat_timeout_s: float = setting("WECHAT_TIMEOUT_S", 5.0, doc="seconds WeChat has to answer")

    def __post_init__(self) -> None:
        """Refuse an id without its secret, and the other way round."""
        super().__post_init__()
        if bool(self.wechat_app_id) != bool(self.wechat_app_secret):
            raise ConfigError(["WECHAT_APP_ID and WECHAT_APP_SECRET go together"])


class WechatRefused(Exception):
    """WeChat answered with an error; *errcode* is its number."""

    def __init__(self, errcode: int) -> None:
        super().__init__(f"WeChat answers {errcode}")
        self.errcode = errcode


@dataclass(frozen=True)
class _Token:
    text: str
    ends: float  # by the wall clock, since processes share it


class WechatApi:
    """The calls of one mini-program that need an access token."""

    def __init__(self, http: HttpClient, redis: Redis | None, config: WechatConfig) -> None:
        """Ask WeChat in the name of the configured program; without Redis the token stays in this process."""
        self._http = http
        self._redis = redis
        self._base = config.wechat_base_url.rstrip("/")
        self._app_id = config.wechat_app_id
        self._secret = config.wechat_app_secret
        self._timeout_s = config.wechat_timeout_s
        # The secret is in the name: a changed one must not be answered with the old one's token.
        self._key = "wechat:token:" + hashlib.sha256(f"{self._app_id}|{self._secret}".encode()).hexdigest()[:16]
        self._own: _Token | None = None
        self._asking = asyncio.Lock()

    async def call(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of a call whose body and answer are JSON.

        Raises WechatRefused with WeChat's number, Unavailable when there is no answer that can be read.
        """
        answer = await self.ask(path, wish)
        plain = _plain(answer)
        if plain is None:
            raise _unavailable()
        return plain

    async def ask(self, path: str, wish: dict[str, Any]) -> Answer:
        """Return the answer of a call that may be bytes instead of JSON; raises as `call` does."""
        token = await self._token()
        answer, errcode = await self._sent(path, wish, token)
        if errcode in WRONG_TOKEN:
            # Once and no more: a secret that is wrong for good must not cost the day's quota.
            await self._forget(token)
            answer, errcode = await self._sent(path, wish, await self._token())
        if errcode:
            raise WechatRefused(errcode)
        return answer

    async def _sent(self, path: str, wish: dict[str, Any], token: str) -> tuple[Answer, int]:
        """Return the answer and its error number, 0 for none."""
        # Characters beyond ASCII go out as they are: escaped ones have been judged wrongly.
        headers = {"content-type": "application/json"}
        try:
            answer = await self._http.request(
                "POST",
                self._base + path,
                params={"access_token": token},
                data=orjson.dumps(wish),
                headers=headers,
                idempotent=False,
                timeout_s=self._timeout_s,
            )
        except DomainError:
            # Without the cause, which carries the address with the token.
            raise _unavailable() from None
        if answer.status != _OK:
            raise _unavailable()
        plain = _plain(answer)
        errcode = plain.get("errcode", 0) if plain is not None else 0
        if not isinstance(errcode, int):
            raise _unavailable()
        return answer, errcode

    async def _token(self) -> str:
        """Return a token that is good for five minutes at least, as far as anybody knows."""
        if self._own is not None and self._own.ends > time.time():
            return self._own.text
        async with self._asking:
            if self._own is not None and self._own.ends > time.time():
                return self._own.text
            self._own = await self._kept() or await self._taken()
            return self._own.text

    async def _kept(self) -> _Token | None:
        """Return the token that another process has taken, None when there is none."""
        if self._redis is None:
            return None
        try:
            found = await self._redis.hgetall(self._key)
        except (RedisError, OSError):
            return None
        try:
            token = _Token(str(found["token"]), float(found["ends"]))
        except (KeyError, ValueError):
            return None
        return token if token.ends > time.time() else None

    async def _taken(self) -> _Token:
        """Return a token that WeChat gives now, kept for the other processes."""
        wish = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._secret}
        try:
            answer = await self._http.request(
                "POST", f"{self._base}/cgi-bin/stable_token", json=wish, idempotent=True, timeout_s=self._timeout_s
            )
        except DomainError:
            raise _unavailable() from None
        plain = _plain(answer) or {}
        if plain.get("errcode"):
            raise WechatRefused(int(plain["errcode"]))
        text, life_s = plain.get("access_token"), plain.get("expires_in")
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_TOKEN or not isinstance(life_s, int):
            raise _unavailable()
        # In its last five minutes the next one is given, so what is left then is no time to keep it.
        left_s = max(min(life_s, _LONGEST_LIFE_S) - _EARLY_S, 1)
        token = _Token(text, time.time() + left_s)
        if self._redis is not None:
            try:
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hset(self._key, mapping={"token": token.text, "ends": f"{token.ends:.3f}"})
                    pipe.expire(self._key, left_s)
                    await pipe.execute()
            except (RedisError, OSError):
                pass  # then this process alone has it
        return token

    async def _forget(self, token: str) -> None:
        """Let nobody use this token any more; one that was taken meanwhile stays."""
        if self._own is not None and self._own.text == token:
            self._own = None
        if self._redis is None:
            return
        try:
            if await self._redis.hget(self._key, "token") == token:
                await self._redis.delete(self._key)
        except (RedisError, OSError):
            return


def _plain(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object that the answer is, whatever it calls itself, or None for a picture."""
    if answer.body[:1] != b"{":
        return None
    try:
        plain = answer.json()
    except ValueError:
        return None
    return plain if isinstance(plain, dict) else None


def _unavailable() -> Unavailable:
    return Unavailable("WeChat could not be asked", dependency="wechat")
