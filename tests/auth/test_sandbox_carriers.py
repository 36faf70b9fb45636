"""Our carriers against the sandbox: stand-ins that check what the vendors check, with the settings that they give."""

from typing import Any

import pytest
from redis.asyncio import Redis

from cadenza.auth.v1 import code_service_pb2, login_service_pb2
from services.auth.config import Config
from services.auth.providers import Mail, NotCarried
from services.auth.providers.aliyun_sms import AliyunSms as OurSms
from services.auth.providers.smtp import Smtp as OurSmtp
from services.kit.clock import now
from services.kit.config import load
from services.kit.http import HttpClient
from tests.auth.conftest import ENCRYPTION_KEY
from tests.auth.house import PURPOSES, house, until
from tests.conftest import SettableClock
from tests.fakes.aliyun_sms import AliyunSms
from tests.fakes.smtp import Smtp
from tests.fakes.stand_in import served

BASE = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "ENCRYPTION_KEY": ENCRYPTION_KEY}


def _ours(settings: dict[str, str]) -> Config:
    """Return the configuration that the environment of the sandbox makes."""
    return load(Config, {**BASE, **settings})


@pytest.mark.parametrize(
    ("secret", "fault", "reason"),
    [
        ("", "", ""),
        ("wrong", "", "MESSAGE_NOT_SENT"),
        ("", "limit", "RATE_LIMITED"),
        ("", "out_of_money", "MESSAGE_NOT_SENT"),
        ("", "not_allowed", "MESSAGE_NOT_SENT"),
        ("", "busy", "MESSAGE_NOT_SENT"),
        ("", "throttled", "MESSAGE_NOT_SENT"),
        ("", "down", "MESSAGE_NOT_SENT"),
        ("", "cut", "MESSAGE_NOT_SENT"),
    ],
)
async def test_the_sandbox_takes_our_short_messages(secret: str, fault: str, reason: str) -> None:
    """Signed with the given keys a code arrives as its template says; whatever else the vendor says is one of ours."""
    async with served(AliyunSms()) as vendor, HttpClient("aliyun_sms", private_allowed=True) as http:
        config = _ours(vendor.settings())
        sms = OurSms(
            http, now, base_url=config.sms_base_url, key_id=config.sms_access_key_id,
            key_secret=secret or config.sms_access_key_secret, sign_name=config.sms_sign_name,
            template_code=config.sms_template_code, timeout_s=2.0,
        )  # fmt: skip
        if fault:
            vendor.fail(fault)
        if not reason:
            assert await sms.send("+8613812345678", "135790", message_id="m-1")
            (sent,) = vendor.sent
            assert (sent.phone, "135790" in sent.text, sent.out_id) == ("13812345678", True, "m-1")
            return
        with pytest.raises(NotCarried) as caught:
            await sms.send("+8613812345678", "135790", message_id="m-1")
        assert caught.value.error.reason == reason


def _smtp(vendor: Smtp, **changed: Any) -> OurSmtp:
    config = _ours(vendor.settings())
    given = {
        "host": config.smtp_host,
        "port": config.smtp_port,
        "security": config.smtp_security,
        "user": config.smtp_user,
        "password": config.smtp_password,
        "sender": config.smtp_from,
        "timeout_s": 2.0,
        **changed,
    }
    return OurSmtp(now, **given)


@pytest.mark.parametrize(
    ("changed", "fault", "cause"),
    [
        ({}, "", ""),
        ({"password": "wrong"}, "", "login_535"),
        ({"sender": "Cadenza <other@sandbox.example>"}, "", "501"),
        ({}, "greylisted", "451"),
        ({}, "no_mailbox", "550"),
        ({}, "full", "552"),
        ({}, "spam", "554"),
        ({}, "blocked", "454"),
    ],
)
async def test_the_sandbox_takes_our_letters(changed: dict[str, Any], fault: str, cause: str) -> None:
    """After a login a letter in Chinese arrives whole; a wrong password, sender or mailbox is told by its number."""
    async with served(Smtp()) as vendor:
        smtp = _smtp(vendor, **changed)
        mail = Mail("m-1", "lin@cadenza.test", "验证码：135790", "您的验证码是 135790。\n")
        if fault:
            vendor.fail(fault)
        try:
            if not cause:
                assert await smtp.send(mail)
                (letter,) = vendor.letters
                assert (letter.to, letter.subject) == ("lin@cadenza.test", "验证码：135790")
                assert "135790" in letter.text
                return
            with pytest.raises(NotCarried) as caught:
                await smtp.send(mail)
            assert caught.value.error.metadata["cause"] == cause
        finally:
            smtp.close()


async def test_a_person_logs_in_by_what_the_sandbox_shows(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock
) -> None:
    """With the sandbox's settings a code arrives at the stand-in and opens an account, by phone and by mailbox."""
    async with served(AliyunSms(clock=clock)) as sms, served(Smtp(clock=clock)) as post:
        config = _ours({**sms.settings(), **post.settings()})
        names = [name for name in vars(config) if name.startswith(("sms_", "smtp_"))]
        given = {name: getattr(config, name) for name in names}
        async with house(database_url, redis_url, redis, clock, **given) as home:
            for target, field in (("13812340001", "phone"), ("lin@cadenza.test", "email")):
                wish = code_service_pb2.SendCodeRequest(target=target, purpose=PURPOSES.CODE_PURPOSE_LOGIN)
                await home.codes.SendCode(wish)
                shown = sms.letters if field == "phone" else post.letters
                await until(lambda letters=shown: len(letters) > 0)  # type: ignore[misc]
                code = next(
                    word for word in shown[0].text.replace("，", " ").replace("是", " ").split() if word.isdigit()
                )
                login = login_service_pb2.LoginRequest(code=code, **{field: target})
                assert (await home.logins.Login(login)).is_new
