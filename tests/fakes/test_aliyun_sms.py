"""Aliyun's stand-in against its published signature, and every rule that it keeps."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from services.auth.providers import NotCarried
from services.auth.providers.aliyun_sms import AliyunSms as Carrier
from services.kit.http import HttpClient
from tests.conftest import SettableClock
from tests.fakes import aliyun_sms as acs
from tests.fakes.aliyun_sms import AliyunSms
from tests.fakes.stand_in import Ask, Reply, served

TEMPLATE = next(iter(acs.TEMPLATES))
GOOD = {
    "PhoneNumbers": "13800000000",
    "SignName": acs.SIGN_NAME,
    "TemplateCode": TEMPLATE,
    "TemplateParam": '{"code":"123456"}',
}


def test_published_and_computed_signatures() -> None:
    """The documentation's RunInstances sample and the contract page's SendSms come out, byte for byte."""
    sample = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    query = {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"}
    canonical = acs.canonical_request("POST", "/", query, sample)
    found = acs.signature_of(canonical, "YourAccessKeySecret")
    assert found == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    headers = {
        "host": "dysmsapi.aliyuncs.com",
        "x-acs-action": "SendSms",
        "x-acs-content-sha256": sample["x-acs-content-sha256"],
        "x-acs-date": "2023-11-14T22:13:20Z",
        "x-acs-signature-nonce": "nonce-1",
        "x-acs-version": "2017-05-25",
    }
    sms = {**GOOD, "SignName": "测试签名", "TemplateCode": "SMS_1"}
    canonical = acs.canonical_request("POST", "/", sms, headers)
    assert acs.signature_of(canonical, "AKSECRET1") == (
        "a376a476d769ec7bebb101aba37bcbc5fdc4e71dc2abe16647f19fdc449f18b6"
    )


@pytest.fixture
async def aliyun(clock: SettableClock) -> AsyncIterator[AliyunSms]:
    """Yield a running stand-in whose clock the test sets."""
    async with served(AliyunSms(clock=clock)) as vendor:
        yield vendor


async def _send(aliyun: AliyunSms, wish: Mapping[str, str] = GOOD, **changed: Any) -> Reply:
    query = {**GOOD, **wish}
    headers = acs.signed(aliyun.url, query, secret=acs.KEY_SECRET, at=aliyun.clock(), **changed)
    async with aiohttp.ClientSession() as http:
        return await Ask(http, aliyun.url)("POST", "/", params=query, headers=headers)


async def test_a_message_arrives(aliyun: AliyunSms) -> None:
    """A good request is answered with a BizId, and the text stands among the letters under its signature."""
    reply = await _send(aliyun)
    assert (reply.status, reply.json()["Code"]) == (200, "OK")
    (letter,) = aliyun.letters
    assert (letter.kind, letter.to) == ("sms", "13800000000")
    assert letter.text == "【Cadenza】您的验证码是123456，5 分钟内有效，请勿告诉他人。"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"PhoneNumbers": "138"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"PhoneNumbers": "+8613800000000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"SignName": "别人"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"TemplateCode": "SMS_9"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"TemplateParam": "code"}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParam": '{"code":123456}'}, "isv.INVALID_PARAMETERS"),
        ({"TemplateParam": "{}"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"TemplateParam": '{"code":"http://x"}'}, "isv.PARAM_NOT_SUPPORT_URL"),
        ({"PhoneNumbers": "4915112345678"}, "OK"),
    ],
)
async def test_the_business_refuses_in_a_200(aliyun: AliyunSms, wish: dict[str, str], code: str) -> None:
    """What is wrong with the message itself is told by a code in an HTTP 200, and nothing is sent."""
    reply = await _send(aliyun, wish)
    assert (reply.status, reply.json()["Code"]) == (200, code)
    assert bool(aliyun.letters) is (code == "OK")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"x_acs_date": "2020-01-01T00:00:00Z"}, 400, "InvalidTimeStamp.Expired"),
        ({"x_acs_action": "Nothing"}, 404, "InvalidAction.NotFound"),
        ({"x_acs_version": "2018-01-01"}, 404, "InvalidAction.NotFound"),
        ({"x_acs_content_sha256": "0" * 64}, 400, "InvalidContentSha256"),
    ],
)
async def test_a_signature_has_its_rules(aliyun: AliyunSms, changed: dict[str, Any], status: int, code: str) -> None:
    """An old date, a wrong action or version and a hash of another body are HTTP 4xx with their codes."""
    reply = await _send(aliyun, **changed)
    assert (reply.status, reply.json()["Code"]) == (status, code)


async def test_a_nonce_is_used_once(aliyun: AliyunSms) -> None:
    """The same request a second time is refused."""
    assert (await _send(aliyun, x_acs_signature_nonce="n")).status == 200
    assert (await _send(aliyun, x_acs_signature_nonce="n")).json()["Code"] == "SignatureNonceUsed"


async def test_a_phone_has_its_share(aliyun: AliyunSms, clock: SettableClock) -> None:
    """One a minute, five an hour, ten a day: the next one is BUSINESS_LIMIT_CONTROL until the window has slid."""
    codes = []
    for wait_s in (0, 0, 61, 61, 61, 61, 61):
        clock.advance(wait_s)
        codes.append((await _send(aliyun)).json()["Code"])
    limited = "isv.BUSINESS_LIMIT_CONTROL"
    assert codes == ["OK", limited, "OK", "OK", "OK", "OK", limited]
    clock.advance(3601)
    assert (await _send(aliyun)).json()["Code"] == "OK"


async def test_a_lost_answer_was_a_sent_message(aliyun: AliyunSms, clock: SettableClock) -> None:
    """With `cut` the answer is lost and the message was sent, which QuerySendDetails tells."""
    aliyun.fail("cut")
    assert (await _send(aliyun)).status == 0
    query = {"PhoneNumber": "13800000000", "SendDate": f"{clock():%Y%m%d}", "PageSize": "10", "CurrentPage": "1"}
    headers = acs.signed(aliyun.url, query, secret=acs.KEY_SECRET, at=clock(), x_acs_action="QuerySendDetails")
    async with aiohttp.ClientSession() as http:
        reply = await Ask(http, aliyun.url)("POST", "/", params=query, headers=headers)
    assert reply.json()["TotalCount"] == "1"


async def test_our_own_adapter_is_taken(aliyun: AliyunSms, clock: SettableClock) -> None:
    """Auth's carrier signs so that the stand-in takes it, and hears of a phone that has had its share."""
    async with HttpClient("aliyun_sms", private_allowed=True) as http:
        carrier = Carrier(
            http,
            clock,
            base_url=aliyun.url,
            key_id=acs.KEY_ID,
            key_secret=acs.KEY_SECRET,
            sign_name=acs.SIGN_NAME,
            template_code=TEMPLATE,
            timeout_s=2.0,
        )
        assert await carrier.send("+8613800000000", "654321", message_id="m-1")
        with pytest.raises(NotCarried) as refused:
            await carrier.send("+8613800000000", "654321", message_id="m-2")
    assert refused.value.certain
    assert "654321" in aliyun.letters[0].text
