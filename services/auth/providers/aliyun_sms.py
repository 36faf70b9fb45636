"""Aliyun's short messages: `SendSms` of 2017-05-25, signed with ACS3-HMAC-SHA256.

Wire facts are those of Aliyun's pages on SendSms and on signature version 3. A refusal of the business comes as HTTP
200 with another `Code`, one of the signature as HTTP 4xx. The call is not idempotent, `OutId` is only told back: a call
whose answer was lost may have sent the message, and is never made again.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp

from services.auth.domain.errors import MessageNotSent, TargetRefused
from services.auth.providers import NotCarried
from services.kit.clock import Clock
from services.kit.errors import DomainError, Expired, RateLimited, Unavailable
from services.kit.http import Answer, HttpClient
from services.kit.ids import new_id

_ACTION: Final = "SendSms"
_VERSION: Final = "2017-05-25"
_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_HOME: Final = "+86"
_OK: Final = 200
_FAULT: Final = 500
# No such phone.
_NO_PHONE: Final = frozenset({"isv.MOBILE_NUMBER_ILLEGAL"})
# The phone or the account has had its share; the windows slide, so that trying again soon does not help.
_SPENT: Final = frozenset({"isv.BUSINESS_LIMIT_CONTROL", "isv.DAY_LIMIT_CONTROL", "isv.MONTH_LIMIT_CONTROL"})
# Refused for the moment, and surely not sent.
_MOMENTARY: Final = frozenset({"isp.SYSTEM_ERROR", "Throttling.User", "Throttling", "ServiceUnavailable"})
_SPENT_WAIT_S: Final = 3600


class AliyunSms:
    """The carrier of one signature and one template, whose variable is called `code`."""

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        base_url: str,
        key_id: str,
        key_secret: str,
        sign_name: str,
        template_code: str,
        timeout_s: float,
        nonce: Callable[[], str] = new_id,
    ) -> None:
        """Send at the given address under this signature."""
        self._http = http
        self._clock = clock
        self._url = base_url.rstrip("/") + "/"
        self._key_id = key_id
        self._key_secret = key_secret
        self._sign_name = sign_name
        self._template_code = template_code
        self._timeout_s = timeout_s
        self._nonce = nonce

    async def send(self, phone: str, code: str, *, message_id: str) -> str:
        """Return Aliyun's BizId of the message it took; raises NotCarried."""
        query = {
            # At home without the country, abroad with it but without the plus.
            "PhoneNumbers": phone.removeprefix(_HOME).removeprefix("+"),
            "SignName": self._sign_name,
            "TemplateCode": self._template_code,
            "TemplateParam": json.dumps({"code": code}, separators=(",", ":")),
            "OutId": message_id,
        }
        headers = {
            "x-acs-action": _ACTION,
            "x-acs-version": _VERSION,
            "x-acs-date": f"{self._clock():%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": self._nonce(),
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        parts = urlsplit(self._url)
        headers["authorization"] = authorization(
            "POST", parts.path, query, {"host": parts.netloc, **headers}, key_id=self._key_id, secret=self._key_secret
        )
        try:
            answer = await self._http.request(
                "POST", self._url, params=query, data=b"", headers=headers, idempotent=False, timeout_s=self._timeout_s
            )
        except DomainError as error:
            raise _unreached(error) from None  # the cause carries the address, with phone and code in it
        return _carrier_id(answer)


def authorization(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, key_id: str, secret: str
) -> str:
    """Return the value of the `authorization` header for a request without a body; the headers are all signed."""
    canonical = canonical_request(method, path, query, headers)
    names = ";".join(sorted(headers))
    to_sign = f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(secret.encode(), to_sign.encode(), "sha256").hex()
    return f"{_ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"


def canonical_request(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Return the one spelling of a request that both sides hash."""
    pairs = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in sorted(query.items()))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    return "\n".join((method, path, pairs, lines, ";".join(sorted(headers)), headers["x-acs-content-sha256"]))


def _escaped(text: str) -> str:
    return quote(text, safe="-_.~")


def _carrier_id(answer: Answer) -> str:
    try:
        body: Any = answer.json()
    except ValueError:
        body = None
    code = str(body.get("Code", "")) if isinstance(body, dict) else ""
    if answer.status == _OK and code == "OK":
        return str(body.get("BizId", ""))
    if code in _NO_PHONE:
        raise NotCarried(TargetRefused("there is no such phone", cause=code), certain=True, again=False)
    if code in _SPENT:
        limited = RateLimited("the phone has had its messages", cause=code, retry_after_s=_SPENT_WAIT_S)
        raise NotCarried(limited, certain=True, again=False)
    error = MessageNotSent("the carrier did not take the message", cause=code or f"http_{answer.status}")
    if code in _MOMENTARY:
        raise NotCarried(error, certain=True, again=True)
    # A refusal with a word of its own was not carried out; a fault without one may have been.
    raise NotCarried(error, certain=bool(code) or answer.status < _FAULT, again=False)


def _unreached(error: DomainError) -> NotCarried:
    """Return the failure of a call without an answer; only one that never reached the carrier may be made again."""
    never = isinstance(error, Unavailable) and (
        error.metadata.get("breaker") == "open" or isinstance(error.__cause__, aiohttp.ClientConnectorError)
    )
    cause = "timeout" if isinstance(error, Expired) else "unreachable"
    return NotCarried(MessageNotSent("the carrier cannot be reached", cause=cause), certain=never, again=never)
