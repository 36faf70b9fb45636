"""A stand-in for Aliyun's short messages. Facts: contract page (CN) sections 5.1 and 5.5.

What it keeps of the real one: ACS3-HMAC-SHA256 over the request as it came, a date of at most 15 minutes, nonces that
are used once; refusals of the signature as HTTP 4xx, of the business as HTTP 200 with another `Code`; approved
signatures and templates; a parameter for every variable, as JSON with text values and no links; one message a minute,
five an hour and ten a day for a phone under one signature, forty a day for a phone; messages that were sent though the
answer got lost, which `QuerySendDetails` tells. Receipts are not pushed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.limits import DAY_S, HOUR_S, MINUTE_S, Windows
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_ID = "LTAI5tSandboxKey000000"
KEY_SECRET = "sandbox-sms-secret-worth-nothing"
SIGN_NAME = "Cadenza"
TEMPLATES = {"SMS_100000001": "您的验证码是${code}，5 分钟内有效，请勿告诉他人。"}
VERSION = "2017-05-25"
ALGORITHM = "ACS3-HMAC-SHA256"
OF_ONE_SIGNATURE = ((1, MINUTE_S), (5, HOUR_S), (10, DAY_S))
OF_ONE_PHONE = ((40, DAY_S),)
MOST_PHONES = 1000
DATE_LIFE = timedelta(minutes=15)
MOST_SENT = 1_000
_PHONE = re.compile(r"1[3-9]\d{9}|(?!86)[1-9]\d{7,14}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_AUTHORIZATION = re.compile(rf"{ALGORITHM} Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]+)")

Business = tuple[str, str]


def said(code: str, message: str, **more: str) -> dict[str, str]:
    """Return an answer as Aliyun words it."""
    return {"Code": code, "Message": message, "RequestId": secrets.token_hex(16).upper(), **more}


@dataclass(frozen=True)
class Sent:
    """A message that was taken."""

    at: datetime
    phone: str
    text: str
    template: str
    biz_id: str
    out_id: str


class AliyunSms(StandIn):
    """Aliyun's short messages: SendSms and QuerySendDetails."""

    name = "aliyun_sms"
    FAULTS = {  # noqa: RUF012  # read only
        "limit": Fault(status=200, body=said("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1")),
        "out_of_money": Fault(status=200, body=said("isv.AMOUNT_NOT_ENOUGH", "账户余额不足")),
        "not_allowed": Fault(status=200, body=said("isp.RAM_PERMISSION_DENY", "RAM权限不足")),
        "busy": Fault(status=200, body=said("isp.SYSTEM_ERROR", "isp.SYSTEM_ERROR")),
        "throttled": Fault(status=400, body=said("Throttling.User", "Request was denied due to user flow control.")),
        "down": Fault(status=503, body=said("ServiceUnavailable", "The request has failed.")),
        "slow": Fault(delay_s=20.0),
        "cut": Fault(cut=True),
    }

    def __init__(self, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self.sent: deque[Sent] = deque(maxlen=MOST_SENT)
        self._windows = Windows(clock)
        self._nonces: deque[str] = deque(maxlen=10_000)

    def settings(self) -> dict[str, str]:
        """Return what has codes for phones sent here."""
        return {
            "SMS_BASE_URL": self.url,
            "SMS_ACCESS_KEY_ID": KEY_ID,
            "SMS_ACCESS_KEY_SECRET": KEY_SECRET,
            "SMS_SIGN_NAME": SIGN_NAME,
            "SMS_TEMPLATE_CODE": next(iter(TEMPLATES)),
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the one path of the RPC style, which the action in a header tells apart."""
        return [web.post("/", self._answered)]

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Send one code."""
        query = {
            "PhoneNumbers": "13800000000",
            "SignName": SIGN_NAME,
            "TemplateCode": next(iter(TEMPLATES)),
            "TemplateParam": '{"code":"123456"}',
        }
        headers = signed(self.url, query, secret=KEY_SECRET if good_key else "wrong", at=self.clock())
        return [await ask("POST", "/", params=query, headers=headers)]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is HTTP 400 with the code of a wrong signature."""
        return reply.status == HTTPStatus.BAD_REQUEST and reply.json().get("Code") == "SignatureDoesNotMatch"

    async def _answered(self, request: web.Request) -> web.Response:
        body = await request.read()
        refused = self._refusal(request, body)
        if refused is not None:
            status, code, message = refused
            more = {"HostId": "dysmsapi.aliyuncs.com", "Recommend": f"https://api.aliyun.com/troubleshoot?q={code}"}
            return web.json_response(said(code, message, **more), status=status)
        given = {**request.query}
        if "form" in request.content_type:
            given |= dict(parse_qsl(body.decode(), keep_blank_values=True))
        if request.headers["x-acs-action"] == "QuerySendDetails":
            return web.json_response(self._details(given))
        return web.json_response(self._send(given))

    def _refusal(self, request: web.Request, body: bytes) -> tuple[int, str, str] | None:
        """Return status, code and words for a request that is not signed as it should be."""
        headers = request.headers
        found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if found is None:
            return 400, "IncompleteSignature", "The request signature does not conform to Aliyun standards."
        key, names, signature = found.groups()
        if key != KEY_ID:
            return 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."
        signed_names = names.split(";")
        wanted = {"host", *(name.lower() for name in headers if name.lower().startswith("x-acs-"))}
        if "Content-Type" in headers and body:
            wanted.add("content-type")
        if not wanted <= set(signed_names) or signed_names != sorted(signed_names):
            return 400, "IncompleteSignature", "Not every header that has to be signed is signed."
        if headers.get("x-acs-content-sha256") != hashlib.sha256(body).hexdigest():
            return 400, "InvalidContentSha256", "The hash of the body does not match."
        canonical = canonical_request(
            request.method, request.rel_url.raw_path, request.query, {each: headers[each] for each in signed_names}
        )
        if not hmac.compare_digest(signature_of(canonical, KEY_SECRET), signature):
            return 400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation."
        if not self._is_fresh(headers.get("x-acs-date", "")):
            return 400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."
        nonce = headers.get("x-acs-signature-nonce", "")
        if not nonce or nonce in self._nonces:
            return 400, "SignatureNonceUsed", "Specified signature nonce was used already."
        self._nonces.append(nonce)
        known = headers.get("x-acs-action") in {"SendSms", "QuerySendDetails"}
        if not known or headers.get("x-acs-version") != VERSION:
            return 404, "InvalidAction.NotFound", "Specified api is not found."
        return None

    def _is_fresh(self, date: str) -> bool:
        try:
            at = datetime.fromisoformat(date)
        except ValueError:
            return False
        return date.endswith("Z") and abs(self.clock() - at) <= DATE_LIFE

    def _send(self, given: Mapping[str, str]) -> dict[str, str]:
        phones = given.get("PhoneNumbers", "").split(",")
        template = TEMPLATES.get(given.get("TemplateCode", ""), "")
        refused = _business_refusal(phones, given, template) or self._over(phones, given["SignName"])
        if refused is not None:
            return said(*refused)
        values = json.loads(given.get("TemplateParam") or "{}")
        text = f"【{given['SignName']}】" + _VARIABLE.sub(lambda found: values[found[1]], template)
        biz_id = f"{secrets.randbelow(10**15):015d}^0"
        for phone in phones:
            self.sent.append(Sent(self.clock(), phone, text, given["TemplateCode"], biz_id, given.get("OutId", "")))
            self.bring("sms", phone, "", text)
        return said("OK", "OK", BizId=biz_id)

    def _over(self, phones: list[str], sign: str) -> Business | None:
        """Count the messages, or return the refusal when a phone has had its share."""
        for phone in phones:
            if self._windows.full((sign, phone), OF_ONE_SIGNATURE) or self._windows.full(phone, OF_ONE_PHONE):
                return "isv.BUSINESS_LIMIT_CONTROL", "触发流控"
        for phone in phones:
            self._windows.count((sign, phone))
            self._windows.count(phone)
        return None

    def _details(self, given: Mapping[str, str]) -> dict[str, Any]:
        phone, day = given.get("PhoneNumber", ""), given.get("SendDate", "")
        found = [
            {
                "PhoneNum": each.phone,
                "SendStatus": 3,
                "ErrCode": "DELIVERED",
                "TemplateCode": each.template,
                "Content": each.text,
                "SendDate": f"{each.at:%Y-%m-%d %H:%M:%S}",
                "OutId": each.out_id,
            }
            for each in self.sent
            if each.phone == phone and f"{each.at:%Y%m%d}" == day and given.get("BizId", "") in {"", each.biz_id}
        ]
        return {
            **said("OK", "OK"),
            "TotalCount": str(len(found)),
            "SmsSendDetailDTOs": {"SmsSendDetailDTO": found[: int(given.get("PageSize", "10"))]},
        }


def _business_refusal(phones: list[str], given: Mapping[str, str], template: str) -> Business | None:
    """Return why the business refuses the message, None when it does not."""
    try:
        values = json.loads(given.get("TemplateParam") or "{}")
    except ValueError:
        values = None
    if len(phones) > MOST_PHONES:
        return "isv.MOBILE_COUNT_OVER_LIMIT", "手机号码数量超过限制"
    if not all(_PHONE.fullmatch(each) for each in phones):
        return "isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误"
    if given.get("SignName") != SIGN_NAME:
        return "isv.SMS_SIGNATURE_ILLEGAL", "签名不合法"
    if not template:
        return "isv.SMS_TEMPLATE_ILLEGAL", "模板不合法"
    if not isinstance(values, dict):
        return "isv.INVALID_JSON_PARAM", "参数格式错误，请修改为字符串值"
    if not all(isinstance(each, str) for each in values.values()):
        return "isv.INVALID_PARAMETERS", "参数异常"
    if set(_VARIABLE.findall(template)) - values.keys():
        return "isv.TEMPLATE_MISSING_PARAMETERS", "模板变量缺失"
    if any(_LINK.search(each) for each in values.values()):
        return "isv.PARAM_NOT_SUPPORT_URL", "变量不支持传入URL"
    return None


def canonical_request(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Return what both sides hash: the request with everything sorted, one blank line behind the headers."""
    pairs = "&".join(f"{_escaped(name)}={_escaped(query[name])}" for name in sorted(query))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    return "\n".join((method, path, pairs, lines, ";".join(sorted(headers)), headers["x-acs-content-sha256"]))


def signature_of(canonical: str, secret: str) -> str:
    """Return the signature; the secret is the key as it is, nothing is derived from it."""
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def signed(url: str, query: Mapping[str, str], *, secret: str, at: datetime, **changed: str) -> dict[str, str]:
    """Return the headers of a signed request without a body, as a client makes them; `changed` replaces some."""
    host, _, path = url.partition("://")[2].partition("/")
    headers = {
        "host": host,
        "x-acs-action": "SendSms",
        "x-acs-version": VERSION,
        "x-acs-date": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    canonical = canonical_request("POST", f"/{path}/" if path else "/", query, headers)
    names = ";".join(sorted(headers))
    signature = signature_of(canonical, secret)
    return {**headers, "Authorization": f"{ALGORITHM} Credential={KEY_ID},SignedHeaders={names},Signature={signature}"}


def _escaped(text: str) -> str:
    return quote(text, safe="-_.~")
