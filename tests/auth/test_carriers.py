"""The carriers of codes and letters: signed as their vendors want it, and every refusal told for what it is."""

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from services.auth.providers import Mail, NotCarried
from services.auth.providers.aliyun_sms import AliyunSms, authorization, canonical_request
from services.auth.providers.smtp import Smtp
from services.kit.clock import now
from services.kit.http import HttpClient
from tests.auth.outside import KEY_ID, KEY_SECRET, Outside, Sms, outside
from tests.fakes.stand_in import Fault, served

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_QUERY = {
    "PhoneNumbers": "13800000000",
    "SignName": "测试签名",
    "TemplateCode": "SMS_1",
    "TemplateParam": '{"code":"123456"}',
}
_HEADERS = {
    "host": "dysmsapi.aliyuncs.com",
    "x-acs-action": "SendSms",
    "x-acs-content-sha256": _EMPTY,
    "x-acs-date": "2023-11-14T22:13:20Z",
    "x-acs-signature-nonce": "nonce-1",
    "x-acs-version": "2017-05-25",
}


def test_requests_are_signed_as_aliyun_signs_them() -> None:
    """Canonical request and signature of a known call are those computed beside the code from Aliyun's rules."""
    assert canonical_request("POST", "/", _QUERY, _HEADERS) == (
        "POST\n/\nPhoneNumbers=13800000000&SignName=%E6%B5%8B%E8%AF%95%E7%AD%BE%E5%90%8D&TemplateCode=SMS_1"
        "&TemplateParam=%7B%22code%22%3A%22123456%22%7D\nhost:dysmsapi.aliyuncs.com\nx-acs-action:SendSms\n"
        f"x-acs-content-sha256:{_EMPTY}\nx-acs-date:2023-11-14T22:13:20Z\nx-acs-signature-nonce:nonce-1\n"
        "x-acs-version:2017-05-25\n\nhost;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;"
        f"x-acs-version\n{_EMPTY}"
    )
    value = authorization("POST", "/", _QUERY, _HEADERS, key_id="AKID1", secret="AKSECRET1")
    assert value.endswith("Signature=a376a476d769ec7bebb101aba37bcbc5fdc4e71dc2abe16647f19fdc449f18b6")
    assert value.startswith("ACS3-HMAC-SHA256 Credential=AKID1,SignedHeaders=host;x-acs-action;")


@asynccontextmanager
async def _sms(vendor: Sms, *, url: str = "") -> AsyncIterator[AliyunSms]:
    async with HttpClient("aliyun_sms", private_allowed=True) as http:
        yield AliyunSms(
            http, lambda: AT, base_url=url or vendor.url, key_id=KEY_ID, key_secret=KEY_SECRET, sign_name="测试签名",
            template_code="SMS_1", timeout_s=1.0,
        )  # fmt: skip


async def test_what_arrives_is_what_was_signed() -> None:
    """The signature recomputed from the request as it arrived is the one it carries, at home without the country."""
    async with served(Sms()) as vendor, _sms(vendor) as sms:
        assert await sms.send("+8613800000000", "123456", message_id="m-1") == "biz-1"
        seen = vendor.seen[-1]
    assert (seen.query["PhoneNumbers"], seen.query["OutId"]) == ("13800000000", "m-1")
    assert json.loads(seen.query["TemplateParam"]) == {"code": "123456"}
    names = re.findall(r"SignedHeaders=([^,]+)", seen.headers["authorization"])[0].split(";")
    again = authorization(
        "POST", "/", seen.query, {name: seen.headers[name] for name in names}, key_id=KEY_ID, secret=KEY_SECRET
    )
    assert seen.headers["authorization"] == again
    assert {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"} <= set(names)


_NOT_SENT = [
    "isv.MOBILE_COUNT_OVER_LIMIT", "isv.TEMPLATE_MISSING_PARAMETERS", "isv.INVALID_PARAMETERS",
    "isv.INVALID_JSON_PARAM", "isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_ILLEGAL",
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL", "isv.SIGN_STATE_ILLEGAL", "isv.OUT_OF_SERVICE", "isv.AMOUNT_NOT_ENOUGH",
    "isv.BLACK_KEY_CONTROL_LIMIT", "isv.PARAM_LENGTH_LIMIT", "isv.PARAM_NOT_SUPPORT_URL", "isv.DENY_IP_RANGE",
    "isp.RAM_PERMISSION_DENY", "isv.SOMETHING_NEW",
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "reason", "again"),
    [
        *((code, 200, "MESSAGE_NOT_SENT", False) for code in _NOT_SENT),
        ("isv.MOBILE_NUMBER_ILLEGAL", 200, "TARGET_REFUSED", False),
        ("isv.BUSINESS_LIMIT_CONTROL", 200, "RATE_LIMITED", False),
        ("isv.DAY_LIMIT_CONTROL", 200, "RATE_LIMITED", False),
        ("isv.MONTH_LIMIT_CONTROL", 200, "RATE_LIMITED", False),
        ("isp.SYSTEM_ERROR", 200, "MESSAGE_NOT_SENT", True),
        ("Throttling.User", 400, "MESSAGE_NOT_SENT", True),
        ("SignatureDoesNotMatch", 400, "MESSAGE_NOT_SENT", False),
        ("InvalidAccessKeyId.NotFound", 404, "MESSAGE_NOT_SENT", False),
    ],
)
async def test_every_word_of_aliyun_has_its_reason(code: str, status: int, reason: str, *, again: bool) -> None:
    """Whatever Aliyun says instead of OK is one of ours, its own word kept, offered again only when it is momentary."""
    async with served(Sms()) as vendor, _sms(vendor) as sms:
        vendor.fail(Fault(status=status, body={"Code": code, "Message": "x", "RequestId": "r"}))
        with pytest.raises(NotCarried) as caught:
            await sms.send("+8613800000000", "123456", message_id="m")
    failure = caught.value
    assert (failure.error.reason, failure.error.metadata["cause"]) == (reason, code)
    assert (failure.certain, failure.again) == (True, again)


@pytest.mark.parametrize(
    ("fault", "certain"),
    [
        (Fault(cut=True), False),
        (Fault(delay_s=3.0), False),
        (Fault(status=502, body="<html>"), False),
        (Fault(status=200, body="<html>"), True),
        (Fault(status=200, body="[]"), True),
        (Fault(status=403, body=""), True),
    ],
)
async def test_what_is_no_answer_is_never_sent_again(fault: Fault, *, certain: bool) -> None:
    """A lost, late or unreadable answer is MESSAGE_NOT_SENT after one call, and shows no phone, code or key."""
    async with served(Sms()) as vendor, _sms(vendor) as sms:
        vendor.fail(fault)
        with pytest.raises(NotCarried) as caught:
            await sms.send("+8613812345678", "135790", message_id="m")
        assert vendor.calls["POST /"] == 1
    failure = caught.value
    assert failure.error.reason == "MESSAGE_NOT_SENT"
    assert not failure.again
    assert failure.certain is certain
    shown = f"{failure!r} {failure.__cause__!r} {failure.error!r} {failure.error.metadata}"
    assert not any(secret in shown for secret in ("13812345678", "135790", KEY_SECRET))


async def test_a_carrier_that_was_not_reached_may_be_asked_again() -> None:
    """A refused connection surely sent nothing."""
    async with served(Sms()) as vendor, _sms(vendor, url="http://127.0.0.1:1") as sms:
        with pytest.raises(NotCarried) as caught:
            await sms.send("+8613800000000", "123456", message_id="m")
    assert caught.value.again


@pytest.fixture
async def world() -> AsyncIterator[Outside]:
    """Yield a mail server."""
    async with outside() as made:
        yield made


@asynccontextmanager
async def _smtp(port: int, **more: str) -> AsyncIterator[Smtp]:
    given: dict[str, Any] = {
        "security": "none",
        "user": "",
        "password": "",
        "sender": "Cadenza 歌 <no-reply@cadenza.test>",
        **more,
    }
    smtp = Smtp(now, host="127.0.0.1", port=port, timeout_s=2.0, **given)
    try:
        yield smtp
    finally:
        smtp.close()


def _mail(to: str = "lin@cadenza.test", subject: str = "验证码：123456") -> Mail:
    return Mail("m-1", to, subject, "第一行\n.\n.点\nlast\n")


async def test_a_letter_arrives_as_it_was_written(world: Outside) -> None:
    """Sender, subject and text survive in any script, dots at the beginning of lines too, under a fixed Message-ID."""
    async with _smtp(world.post.port) as smtp:
        assert "queued" in await smtp.send(_mail())
    (letter,) = world.post.letters
    assert letter["From"] == "Cadenza 歌 <no-reply@cadenza.test>"
    assert (letter["Subject"], letter["Message-ID"]) == ("验证码：123456", "<m-1@cadenza.test>")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().replace("\r\n", "\n") == "第一行\n.\n.点\nlast\n"


@pytest.mark.parametrize("to", ["lin@cadenza.test\r\nBcc: eve@x.test", "not an address", ""])
async def test_no_address_breaks_out_of_its_header(world: Outside, to: str) -> None:
    """A target with a line break, or none, is refused before the server is asked."""
    async with _smtp(world.post.port) as smtp:
        with pytest.raises(NotCarried) as caught:
            await smtp.send(_mail(to))
    assert caught.value.error.reason == "TARGET_REFUSED"
    assert world.post.commands == []


@pytest.mark.parametrize(
    ("word", "reply", "reason", "again"),
    [
        ("RCPT", "550 no such user", "TARGET_REFUSED", False),
        ("RCPT", "552 full", "TARGET_REFUSED", False),
        ("RCPT", "553 name not allowed", "TARGET_REFUSED", False),
        ("RCPT", "450 greylisted", "MESSAGE_NOT_SENT", True),
        ("RCPT", "454 try later", "MESSAGE_NOT_SENT", True),
        ("MAIL", "550 from is not you", "MESSAGE_NOT_SENT", False),
        ("MAIL", "421 closing", "MESSAGE_NOT_SENT", True),
        ("DATA", "554 spam", "MESSAGE_NOT_SENT", False),
        ("DATA", "451 local error", "MESSAGE_NOT_SENT", True),
        ("MAIL", "cut", "MESSAGE_NOT_SENT", True),
    ],
)
async def test_every_number_of_a_mail_server_has_its_reason(
    world: Outside, word: str, reply: str, reason: str, *, again: bool
) -> None:
    """5xx is final, 4xx may be offered again, and only the recipient's refusal speaks of the mailbox."""
    world.post.replies[word] = [reply]
    async with _smtp(world.post.port) as smtp:
        with pytest.raises(NotCarried) as caught:
            await smtp.send(_mail())
    assert (caught.value.error.reason, caught.value.certain, caught.value.again) == (reason, True, again)
    assert "lin@" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.error.metadata}"


async def test_a_connection_lost_after_the_text_leaves_it_open(world: Outside) -> None:
    """The letter may have been taken then, and the failure says that it is not certain."""
    world.post.replies["."] = ["cut"]
    async with _smtp(world.post.port) as smtp:
        with pytest.raises(NotCarried) as caught:
            await smtp.send(_mail())
    assert (caught.value.certain, caught.value.again) == (False, False)


async def test_a_server_without_tls_gets_no_password(world: Outside) -> None:
    """Where STARTTLS is configured and not offered, or TLS is and not spoken, nothing is sent, least of all AUTH."""
    for security in ("starttls", "tls"):
        async with _smtp(world.post.port, security=security, user="u", password="p") as smtp:
            with pytest.raises(NotCarried) as caught:
                await smtp.send(_mail())
        assert caught.value.certain
    assert "AUTH" not in world.post.commands
    assert world.post.letters == []


async def test_a_mail_server_that_is_away_may_be_asked_again() -> None:
    """A refused connection surely took nothing."""
    async with _smtp(1) as smtp:
        with pytest.raises(NotCarried) as caught:
            await smtp.send(_mail())
    assert caught.value.again


def test_certificates_are_checked_unless_told_otherwise() -> None:
    """The server's certificate and name are verified by the machine's own authorities."""
    smtp = Smtp(now, host="h", port=1, security="tls", user="", password="", sender="a@b.test", timeout_s=1.0)
    assert smtp._trust.verify_mode is ssl.CERT_REQUIRED
    assert smtp._trust.check_hostname
    smtp.close()
