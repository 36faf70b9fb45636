"""Codes by their contract: bound, counted, capped, sent at most once, and told of when they were not sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import code_service_pb2 as pb
from cadenza.auth.v1 import login_service_pb2, password_service_pb2
from services.kit.db.engine import Database
from services.kit.ids import new_id
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said, until
from tests.conftest import SettableClock

REGISTER, LOGIN, RESET, BIND = (
    PURPOSES.CODE_PURPOSE_REGISTER,
    PURPOSES.CODE_PURPOSE_LOGIN,
    PURPOSES.CODE_PURPOSE_RESET,
    PURPOSES.CODE_PURPOSE_BIND,
)


@pytest.fixture
async def home(database_url: str, redis_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[House]:
    """Yield Auth and Wallet with a mail server and a carrier; codes keep their minute."""
    async with house(database_url, redis_url, redis, clock, code_resend_gap=60, code_daily_per_address=12) as made:
        yield made


def _login(phone: str, code: str) -> login_service_pb2.LoginRequest:
    return login_service_pb2.LoginRequest(phone=phone, code=code)


def _send(home: House, target: str, purpose: Any = LOGIN, **client: str) -> Any:
    request = pb.SendCodeRequest(target=target, purpose=purpose)
    return home.codes.SendCode(request, metadata=said(**client))


async def _state(home: House, code_id: str) -> pb.GetCodeResponse:
    """Return what became of a sending once it is settled."""
    async with asyncio.timeout(10):
        while True:
            found: pb.GetCodeResponse = await home.codes.GetCode(pb.GetCodeRequest(code_id=code_id))
            if found.state != pb.GetCodeResponse.STATE_PENDING:
                return found
            # What failed is offered again after a pause, by this clock.
            home.clock.advance(0.2)
            await asyncio.sleep(0.01)


def _other(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


async def test_a_code_is_looked_at_before_it_is_used(home: House) -> None:
    """A right code stays good however often it is asked about; wrong ones are its tries, and a used one is over."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)

    def look(shown: str, target: str = phone, purpose: Any = LOGIN) -> Any:
        return home.codes.VerifyCode(pb.VerifyCodeRequest(target=target, purpose=purpose, code=shown))

    for _ in range(6):
        found = await look(code)
    assert 0 < found.expires_in <= 300
    for _ in range(4):
        assert (await refused(look(_other(code)))).reason == "CODE_INVALID"
    assert (await refused(look(code, purpose=RESET))).reason == "CODE_INVALID"
    assert (await refused(look(code, target=new_phone()))).reason == "CODE_INVALID"
    await look(code)
    assert (await home.logins.Login(_login(phone, code))).is_new
    assert (await refused(look(code))).reason == "CODE_INVALID"
    home.clock.advance(61)
    code = await home.code(phone, LOGIN)
    for _ in range(5):
        await refused(look(_other(code)))
    assert (await refused(look(code))).reason == "CODE_EXPIRED"
    assert (await refused(home.logins.Login(_login(phone, code)))).reason == "CODE_EXPIRED"


async def test_a_code_works_once(home: House) -> None:
    """The second use of a right code is refused, also when both come at the same moment."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    answers = await asyncio.gather(*(home.logins.Login(_login(phone, code)) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, login_service_pb2.LoginResponse) for each in answers) == 1
    assert (await refused(home.logins.Login(_login(phone, code)))).reason == "CODE_INVALID"


async def test_the_sixth_try_fails_though_it_is_right(home: House) -> None:
    """After five wrong codes the right one is over."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    for _ in range(5):
        assert (await refused(home.logins.Login(_login(phone, _other(code))))).reason == "CODE_INVALID"
    assert (await refused(home.logins.Login(_login(phone, code)))).reason == "CODE_EXPIRED"


async def test_tries_made_at_once_are_counted(home: House) -> None:
    """Thirty guesses at the same moment are five tries."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    guesses = [f"{(int(code) + n) % 10**6:06}" for n in range(1, 31)]
    reasons = [
        each.reason for each in await asyncio.gather(*(refused(home.logins.Login(_login(phone, g))) for g in guesses))
    ]
    assert sorted(reasons) == ["CODE_EXPIRED"] * 25 + ["CODE_INVALID"] * 5


async def test_a_code_runs_out(home: House, clock: SettableClock) -> None:
    """Five minutes later the code is over."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    clock.advance(300)
    assert (await refused(home.logins.Login(_login(phone, code)))).reason == "CODE_EXPIRED"


async def test_a_code_is_good_for_its_purpose_and_target_only(home: House) -> None:
    """A code for a login makes no account by password, sets no password and opens no other phone."""
    phone, other = new_phone(), new_phone()
    code = await home.code(phone, LOGIN)
    await home.code(other, LOGIN)
    register = login_service_pb2.RegisterRequest(phone=phone, code=code, password=PASSWORD)
    assert (await refused(home.logins.Register(register))).reason == "CODE_INVALID"
    reset = password_service_pb2.ResetPasswordRequest(account=phone, code=code, new_password=PASSWORD)
    assert (await refused(home.passwords.ResetPassword(reset))).reason == "CODE_INVALID"
    if home.outside.sms.codes(other)[-1] != code:
        assert (await refused(home.logins.Login(_login(other, code)))).reason == "CODE_INVALID"
    assert (await home.logins.Login(_login(phone, code))).user_id


async def test_a_code_to_bind_needs_a_login(home: House) -> None:
    """Asking for a code to bind without a token is refused; with one it is sent."""
    assert (await refused(_send(home, new_phone(), BIND))).reason == "AUTH_REQUIRED"
    me = await home.device()
    assert await home.code(new_phone(), BIND, token=me.access_token)


async def test_a_minute_between_two_codes(home: House, clock: SettableClock) -> None:
    """A second code within the minute is refused with the seconds left, a minute later it comes and ends the first."""
    phone = new_phone()
    first = await home.code(phone, LOGIN)
    error = await refused(_send(home, phone))
    assert error.reason == "RATE_LIMITED"
    assert error.metadata["retry_after_s"] == "60"
    clock.advance(60)
    second = await home.code(phone, LOGIN)
    if first != second:
        assert (await refused(home.logins.Login(_login(phone, first)))).reason == "CODE_INVALID"
    assert (await home.logins.Login(_login(phone, second))).is_new


async def test_ten_codes_a_day_to_one_target(home: House, clock: SettableClock) -> None:
    """The eleventh code within a day is refused until the first is a day old, whatever it is for."""
    mailbox = new_mailbox()
    for n in range(10):
        await _send(home, mailbox, (LOGIN, RESET, REGISTER)[n % 3])
        clock.advance(60)
    error = await refused(_send(home, mailbox))
    assert error.reason == "RATE_LIMITED"
    assert 80_000 < int(error.metadata["retry_after_s"]) <= 86_400
    clock.advance(int(error.metadata["retry_after_s"]) + 1)
    assert (await _send(home, mailbox)).code_id


async def test_codes_from_one_address_are_capped(home: House) -> None:
    """One address gets its share for all targets together, another address is not touched by it."""
    address = "198.51.100.8"
    for _ in range(12):
        await _send(home, new_mailbox(), address=address)
    assert (await refused(_send(home, new_mailbox(), address=address))).reason == "RATE_LIMITED"
    assert (await _send(home, new_mailbox(), address="198.51.100.9")).code_id


async def test_asked_for_at_once_one_code_is_sent(home: House) -> None:
    """Of eight requests for one phone at the same moment one is granted."""
    phone = new_phone()
    answers = await asyncio.gather(*(_send(home, phone) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, pb.SendCodeResponse) for each in answers) == 1
    await until(lambda: len(home.outside.sms.codes(phone)) == 1)


async def test_targets_that_are_none_are_refused(home: House) -> None:
    """What is neither a phone nor a mailbox, a landline, another country and the wrong channel are PARAM_INVALID."""
    for target in (
        "hello",
        "a@b",
        "12345678901",
        "+15551234567",
        "a@b.test\r\nBcc: x@y.test",
        "@b.test",
        "a..b@c.test",
    ):
        assert (await refused(_send(home, target))).reason == "PARAM_INVALID", target
    wrong = pb.SendCodeRequest(target=new_phone(), purpose=LOGIN, channel="email")
    assert (await refused(home.codes.SendCode(wrong))).reason == "PARAM_INVALID"


async def test_a_carrier_that_is_busy_twice_brings_one_message(home: House) -> None:
    """After two faults that surely sent nothing the code is sent once, and its state says so."""
    phone = new_phone()
    home.outside.sms.fail("system_error", times=2)
    sent = await _send(home, phone)
    assert (await _state(home, sent.code_id)).state == pb.GetCodeResponse.STATE_SENT
    assert len(home.outside.sms.codes(phone)) == 1
    assert home.outside.sms.calls["POST /"] == 3


async def test_a_lost_answer_sends_no_second_code(home: House) -> None:
    """When the carrier takes the code and its answer breaks off, the code is not sent again and works."""
    phone = new_phone()
    home.outside.sms.fail("cut")
    sent = await _send(home, phone)
    found = await _state(home, sent.code_id)
    assert (found.state, found.reason, found.retryable) == (pb.GetCodeResponse.STATE_FAILED, "MESSAGE_NOT_SENT", True)
    assert home.outside.sms.calls["POST /"] == 1
    (code,) = home.outside.sms.codes(phone)
    assert (await home.logins.Login(_login(phone, code))).is_new


async def test_a_phone_that_is_none_is_told_as_such(home: House) -> None:
    """The carrier's word for it becomes TARGET_REFUSED, which asking again does not help."""
    home.outside.sms.fail("illegal")
    sent = await _send(home, new_phone())
    found = await _state(home, sent.code_id)
    assert (found.state, found.reason, found.retryable) == (pb.GetCodeResponse.STATE_FAILED, "TARGET_REFUSED", False)


async def test_a_crash_while_sending_does_not_send_twice(home: House, db: Database) -> None:
    """A code that was being handed over when its process died is given up by the next one, not sent again."""
    phone = new_phone()
    sent = await _send(home, phone)
    await _state(home, sent.code_id)
    async with db.transaction() as tx:
        for statement in (
            "UPDATE auth.messages SET state = 'sending' WHERE message_id = CAST(:id AS uuid)",
            "UPDATE auth.outbox SET done_time = NULL, run_after = to_timestamp(0) WHERE key = :id",
        ):
            await tx.execute(text(statement), {"id": sent.code_id})
    found = await _state(home, sent.code_id)
    assert (found.state, found.reason) == (pb.GetCodeResponse.STATE_FAILED, "MESSAGE_NOT_SENT")
    assert len(home.outside.sms.codes(phone)) == 1


async def test_the_database_tells_neither_code_nor_target(home: House, db: Database) -> None:
    """A dump of all that was written for a code holds neither the code nor the phone nor the mailbox in any form."""
    phone, mailbox = new_phone(), new_mailbox()
    codes = [await home.code(phone, LOGIN), await home.code(mailbox, LOGIN)]
    dump = ""
    async with db.transaction() as tx:
        for table in ("codes", "messages", "outbox", "guards", "identities"):
            dump += str((await tx.execute(text(f"SELECT json_agg(t)::text FROM auth.{table} t"))).scalar())
    for secret in (*codes, phone, mailbox):
        assert secret not in dump.replace("-", "_"), secret
        assert secret.encode().hex() not in dump


async def test_an_unknown_code_id_is_not_found(home: House) -> None:
    """A made-up id and the id of a letter are both NOT_FOUND."""
    assert (await refused(home.codes.GetCode(pb.GetCodeRequest(code_id=new_id())))).reason == "NOT_FOUND"


async def test_without_a_carrier_no_code_is_promised(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock
) -> None:
    """Where no carrier is configured the request itself fails with MESSAGE_NOT_SENT."""
    off = {"sms_access_key_id": "", "sms_access_key_secret": "", "sms_sign_name": "", "sms_template_code": ""}
    async with house(database_url, redis_url, redis, clock, **off, smtp_host="", smtp_from="") as home:
        for target in (new_phone(), new_mailbox()):
            error = await refused(_send(home, target))
            assert (error.reason, error.metadata["cause"]) == ("MESSAGE_NOT_SENT", "not_configured")
