"""WeChat's mini-program login: `GET /sns/jscode2session`.

Wire facts are those of WeChat's code2Session page. Every business result is HTTP 200 with an
`errcode`, which a success may leave out. The code is single-use and lives five minutes, so a
call whose answer was lost is not repeated: WeChat would say "code been used".
"""

import asyncio
from typing import Any, Final

from services.auth.domain.errors import AuthProviderError
from services.auth.providers import WechatAccount
from services.kit.errors import DomainError
from services.kit.http import HttpClient

_BUSY: Final = -1
_TOO_OFTEN: Final = 45011
_BLOCKED: Final = 40226
_WRONG_APP_ID: Final = 40013
_WRONG_SECRET: Final = 40125
_CAUSES: Final = {
    _BUSY: "unreachable",
    _TOO_OFTEN: "unreachable",
    _BLOCKED: "blocked",
    _WRONG_APP_ID: "not_configured",
    _WRONG_SECRET: "not_configured",
}
_BUSY_PAUSE_S: Final = 0.3
_OK: Final = 200
_LONGEST_ID: Final = 128


class Wechat:
    """The door of one mini-program."""

    def __init__(self, http: HttpClient, *, base_url: str, app_id: str, app_secret: str, timeout_s: float) -> None:
        """Use this program's id and secret at the given address."""
        self._http = http
        self._url = base_url.rstrip("/") + "/sns/jscode2session"
        self._app_id = app_id
        self._app_secret = app_secret
        self._timeout_s = timeout_s

    async def exchange(self, code: str) -> WechatAccount:
        """Return whose code it is; raises AuthProviderError.

        "System busy" is asked once more, because WeChat has not taken the code then.
        """
        answer = await self._ask(code)
        if answer.get("errcode") == _BUSY:
            await asyncio.sleep(_BUSY_PAUSE_S)
            answer = await self._ask(code)
        errcode = answer.get("errcode", 0)
        if not isinstance(errcode, int):
            raise _failed("unreachable", "WeChat's answer cannot be read")
        if errcode != 0:
            raise _failed(_CAUSES.get(errcode, "refused"), "WeChat did not accept the login code", errcode=errcode)
        open_id, session_key = answer.get("openid"), answer.get("session_key")
        if not (_is_id(open_id) and _is_id(session_key)):
            raise _failed("unreachable", "WeChat's answer names no account")
        union_id = answer.get("unionid")
        return WechatAccount(str(open_id), str(union_id) if _is_id(union_id) else "", str(session_key))

    async def _ask(self, code: str) -> dict[str, Any]:
        """Return WeChat's answer; AuthProviderError when there is none that can be read."""
        params = {
            "appid": self._app_id,
            "secret": self._app_secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        try:
            answer = await self._http.request(
                "GET", self._url, params=params, idempotent=False, timeout_s=self._timeout_s
            )
            plain = answer.json() if answer.status == _OK else None
        except (DomainError, ValueError):
            # Without the cause: a chain of exceptions must not carry the address with its secret into a log.
            plain = None
        if not isinstance(plain, dict):
            raise _failed("unreachable", "WeChat could not be asked") from None
        return plain


class WechatOff:
    """The door where no mini-program is configured."""

    async def exchange(self, code: str) -> WechatAccount:
        """Raise AuthProviderError, whatever the code."""
        del code
        raise _failed("not_configured", "WeChat login is not configured")


def _failed(cause: str, message: str, **facts: int) -> AuthProviderError:
    return AuthProviderError(message, provider="wechat", cause=cause, **facts)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID
