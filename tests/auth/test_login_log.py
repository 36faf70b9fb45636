"""The login log and the letters about logins, and a search for secrets in everything that Auth writes anywhere."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import code_service_pb2, password_service_pb2, session_service_pb2
from cadenza.auth.v1 import login_service_pb2 as pb
from services.kit.db.engine import Database
from services.kit.log import JsonLines
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said, until
from tests.conftest import SettableClock

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; rv:130.0) Gecko/20100101 Firefox/130.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1"
HOME = {"address": "198.51.100.7", "agent": FIREFOX, "platform": "web"}
AWAY = {"address": "203.0.113.9", "agent": IPHONE, "platform": "ios"}
Result = pb.LoginRecord


@pytest.fixture
async def home(database_url: str, redis_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[House]:
    """Yield Auth and Wallet with a mail server and a carrier."""
    async with house(database_url, redis_url, redis, clock) as made:
        yield made


async def _lines(home: House, token: str, size: int = 0, place: str = "") -> pb.ListLoginsResponse:
    request = pb.ListLoginsRequest(page_size=size, page_token=place)
    answer: pb.ListLoginsResponse = await home.logins.ListLogins(request, metadata=said(token))
    return answer


async def test_every_attempt_has_its_line(home: House) -> None:
    """Let in, wrong and locked are written with door, method, device and address, and nobody else sees them."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    await home.login(mailbox, **HOME)
    for _ in range(6):
        await refused(home.login(mailbox, "not the password", **AWAY))
    lines = list((await _lines(home, made.access_token)).logins)
    assert [each.result for each in lines] == [
        Result.RESULT_LOCKED, *[Result.RESULT_WRONG] * 5, Result.RESULT_OK, Result.RESULT_OK,
    ]  # fmt: skip
    newest, known = lines[0], lines[-2]
    assert (newest.platform, newest.device, newest.address) == ("ios", "Safari · iPhone", "203.0.113.9")
    assert (known.by_password, known.provider, known.device) == (True, 4, "Firefox · Windows")
    assert not lines[-1].by_password
    stranger = await home.device()
    assert [each.result for each in (await _lines(home, stranger.access_token)).logins] == [Result.RESULT_OK]
    assert (await refused(home.logins.ListLogins(pb.ListLoginsRequest()))).reason == "AUTH_REQUIRED"


async def test_the_log_is_paged(home: House) -> None:
    """Pages of two hold every line once, newest first; a made-up place is refused."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    for _ in range(4):
        await home.login(mailbox)
    seen: list[str] = []
    place = ""
    while True:
        page = await _lines(home, made.access_token, 2, place)
        seen += [each.login_id for each in page.logins]
        place = page.next_page_token
        if not place:
            break
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 5
    assert (await refused(_lines(home, made.access_token, 2, "x"))).reason == "PARAM_INVALID"


async def test_a_new_device_is_told_by_one_letter(home: House) -> None:
    """A login from another device or network brings one letter in its language, the next one from there none."""
    mailbox = new_mailbox()
    code = await home.code(mailbox, PURPOSES.CODE_PURPOSE_REGISTER)
    request = pb.RegisterRequest(email=mailbox, code=code, password=PASSWORD)
    await home.logins.Register(request, metadata=said(**HOME))
    await home.login(mailbox, **HOME)
    await home.login(mailbox, **AWAY, language="en")
    await home.login(mailbox, **AWAY)
    await home.login(mailbox, **HOME)
    await home.login(mailbox, address="192.0.2.1", agent=FIREFOX, platform="web")

    def told() -> list[Any]:
        return [
            letter
            for letter in home.outside.post.to(mailbox)
            if "new login" in letter["Subject"] or "新登录" in letter["Subject"]
        ]

    await until(lambda: len(told()) >= 2)
    english, chinese = told()
    assert "203.0.113.9" in english.get_content()
    assert "Safari · iPhone" in english.get_content()
    assert "192.0.2.1" in chinese.get_content()


async def test_a_letter_is_repeated_until_it_is_taken(home: House) -> None:
    """A mail server that says later, then breaks off after the text, gets the letter again under the same id."""
    mailbox = new_mailbox()
    await home.register(mailbox)
    await until(lambda: any("欢迎" in each["Subject"] for each in home.outside.post.to(mailbox)))
    code = await home.code(mailbox, PURPOSES.CODE_PURPOSE_RESET)
    home.outside.post.replies["RCPT"] = ["451 later"]
    reset = password_service_pb2.ResetPasswordRequest(account=mailbox, code=code, new_password="another good phrase")
    await home.passwords.ResetPassword(reset)

    def told() -> list[Any]:
        home.clock.advance(0.2)
        return [each for each in home.outside.post.to(mailbox) if "密码已更改" in each["Subject"]]

    await until(lambda: len(told()) == 1)
    assert home.outside.post.replies["RCPT"] == []


async def test_nothing_that_auth_writes_holds_a_secret(
    home: House, db: Database, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Through registration, logins, refusals, reset and refresh no password, code, token, phone or mailbox shows.

    Searched are all log records with their extras as the real formatter writes them, and a dump of every table of Auth.
    """
    mailbox, phone, weak, new = new_mailbox(), new_phone(), "canary-weak-9472", "canary new phrase 5518"
    caplog.set_level(logging.DEBUG)
    made = await home.register(mailbox, "canary first phrase 3310")
    secrets = [mailbox, phone, phone[3:], weak, new, "canary first phrase 3310", made.access_token, made.refresh_token]
    await refused(home.login(mailbox, weak))
    await refused(home.login(phone, weak))
    home.outside.sms.fail("cut")
    secrets.append(await home.code(phone, PURPOSES.CODE_PURPOSE_LOGIN))
    by_phone = await home.logins.Login(pb.LoginRequest(phone=phone, code=secrets[-1]))
    secrets += [by_phone.access_token, by_phone.refresh_token]
    await refused(home.logins.Login(pb.LoginRequest(phone=phone, code=secrets[-3])))
    home.outside.post.replies["RCPT"] = [f"550 no {mailbox} here"]
    wish = code_service_pb2.SendCodeRequest(target=mailbox, purpose=PURPOSES.CODE_PURPOSE_LOGIN)
    await home.codes.SendCode(wish)
    await until(lambda: home.outside.post.replies["RCPT"] == [])
    secrets.append(await home.code(mailbox, PURPOSES.CODE_PURPOSE_RESET))
    reset = password_service_pb2.ResetPasswordRequest(account=mailbox, code=secrets[-1], new_password=new)
    await home.passwords.ResetPassword(reset)
    key = "canary-retry-key-" + "7" * 40
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=by_phone.refresh_token, retry_key=key)
    secrets += [key, (await home.sessions.RefreshSession(refresh)).refresh_token]

    lines = JsonLines("auth")
    written = "\n".join(
        # Not those of the stand-ins, which are not ours.
        lines.format(record) + repr(record.args)
        for record in caplog.records
        if record.name.startswith("services.")
    )
    assert "outbound" in written
    assert "a message was not sent" in written
    async with db.transaction() as tx:
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'auth'"
        for name in list((await tx.execute(text(names))).scalars()):
            rows = (await tx.execute(text(f"SELECT json_agg(t)::text FROM auth.{name} t"))).scalar()
            written += str(rows)
    for secret in secrets:
        assert secret not in written, secret
        assert secret.encode().hex() not in written, secret
