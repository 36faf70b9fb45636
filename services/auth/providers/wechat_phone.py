"""The phone number that WeChat knows of a person: `POST /wxa/business/getuserphonenumber`.

Wire facts are those of WeChat's getPhoneNumber page: the code is that of the button and not of `wx.login()`, single-use
and five minutes old at most; `countryCode` comes as text or as a number.
"""

import re
from typing import Any, Final

from services.auth.domain.errors import AuthProviderError
from services.kit.errors import Unavailable
from services.kit.wechat import BUSY, QUOTA, WechatApi, WechatRefused

_PATH: Final = "/wxa/business/getuserphonenumber"
_DIGITS = re.compile(r"[0-9]{4,15}")
_COUNTRY = re.compile(r"[1-9][0-9]{0,3}")
_WRONG_PROGRAM: Final = frozenset({40013, 48001})


class WechatPhone:
    """The phone numbers of one mini-program's people."""

    def __init__(self, api: WechatApi, *, app_id: str) -> None:
        """Ask by this program's calls."""
        self._api = api
        self._app_id = app_id

    async def phone_of(self, code: str) -> str:
        """Return the number with its country; raises AuthProviderError."""
        try:
            answer = await self._api.call(_PATH, {"code": code})
        except WechatRefused as error:
            raise _failed(_cause(error.errcode), errcode=error.errcode) from None
        except Unavailable:
            raise _failed("unreachable") from None
        info: Any = answer.get("phone_info")
        if not isinstance(info, dict):
            raise _failed("unreachable")
        mark = info.get("watermark")
        if not isinstance(mark, dict) or mark.get("appid") != self._app_id:
            # A number that was given to another program is no proof for ours.
            raise _failed("refused")
        number, country = str(info.get("purePhoneNumber", "")), str(info.get("countryCode", ""))
        if not _DIGITS.fullmatch(number) or not _COUNTRY.fullmatch(country):
            raise _failed("unreachable")
        return f"+{country}{number}"


class WechatPhoneOff:
    """Where no mini-program is configured."""

    async def phone_of(self, code: str) -> str:
        """Raise AuthProviderError, whatever the code."""
        del code
        raise _failed("not_configured")


def _cause(errcode: int) -> str:
    if errcode == BUSY or errcode in QUOTA:
        return "unreachable"
    return "not_configured" if errcode in _WRONG_PROGRAM else "refused"


def _failed(cause: str, **facts: int) -> AuthProviderError:
    return AuthProviderError("WeChat does not tell the phone", provider="wechat", cause=cause, **facts)
