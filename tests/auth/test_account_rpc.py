"""Accounts with a password by their contract: made, entered, guarded, changed, set anew."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import (
    code_service_pb2,
    login_service_pb2,
    password_service_pb2,
    session_service_pb2,
    user_service_pb2,
)
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from services.auth.domain import guard as guards
from services.kit.db.engine import Database
from tests.auth.conftest import ENCRYPTION_KEY
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said, until
from tests.conftest import SettableClock

REGISTER, LOGIN, RESET = (
    PURPOSES.CODE_PURPOSE_REGISTER,
    PURPOSES.CODE_PURPOSE_LOGIN,
    PURPOSES.CODE_PURPOSE_RESET,
)


@pytest.fixture
async def home(database_url: str, redis_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[House]:
    """Yield Auth and Wallet with a mail server and a carrier."""
    async with house(database_url, redis_url, redis, clock) as made:
        yield made


async def test_an_account_is_made_entered_and_welcomed(home: House) -> None:
    """A mailbox that showed its code has an account: it logs in by mailbox, by name and by code, and is welcomed."""
    mailbox = new_mailbox()
    made = await home.register(mailbox, username="Lin.Feng")
    ways = [await home.login(mailbox.upper()), await home.login("lin.feng")]
    code = await home.code(mailbox, LOGIN)
    ways.append(await home.logins.Login(login_service_pb2.LoginRequest(email=mailbox, code=code)))
    assert {each.user_id for each in ways} == {made.user_id}
    assert not any(each.is_new for each in ways)
    assert ways[1].username == "Lin.Feng"
    assert made.token == made.access_token
    me = (await home.users.GetMe(GetMeRequest(), metadata=said(made.access_token))).user
    assert (me.username, me.has_password) == ("Lin.Feng", True)
    assert [each.label for each in me.identities] == [f"{mailbox[0]}***@cadenza.test"]
    await until(lambda: any("欢迎" in letter["Subject"] for letter in home.outside.post.to(mailbox)))


async def test_a_phone_without_an_account_gets_one_by_its_code(home: House) -> None:
    """The first login by code makes the user, the second finds them, however the number is written."""
    phone = new_phone()
    answers = []
    for spelling in (phone, f"+86 {phone[:3]} {phone[3:7]}-{phone[7:]}"):
        code = await home.code(phone, LOGIN)
        request = login_service_pb2.LoginRequest(phone=spelling, verification_code=code)
        answers.append(await home.logins.Login(request))
    assert [each.is_new for each in answers] == [True, False]
    assert answers[0].user_id == answers[1].user_id


async def test_unknown_account_and_wrong_password_are_one_answer(home: House) -> None:
    """Both are CREDENTIALS_INVALID in the same words, and both are locked after the same five tries."""
    known, unknown = new_mailbox(), new_mailbox()
    await home.register(known)
    told: dict[str, list[tuple[str, str]]] = {known: [], unknown: []}
    for _ in range(6):
        for account, answers in told.items():
            error = await refused(home.login(account, "not the password"))
            answers.append((error.reason, error.message))
    assert told[known] == told[unknown]
    assert [reason for reason, _ in told[known]] == ["CREDENTIALS_INVALID"] * 5 + ["ACCOUNT_LOCKED"]


async def test_a_lock_keeps_the_right_password_out_and_ends(home: House, clock: SettableClock) -> None:
    """The sixth login is refused though its password is right; a quarter of an hour later it is let in."""
    mailbox = new_mailbox()
    await home.register(mailbox)
    for _ in range(5):
        await refused(home.login(mailbox, "not the password"))
    error = await refused(home.login(mailbox))
    assert error.reason == "ACCOUNT_LOCKED"
    assert 0 < int(error.metadata["retry_after_s"]) <= 901
    clock.advance(15 * 60 + 1)
    assert (await home.login(mailbox)).user_id
    # The failures are forgotten with it.
    for _ in range(4):
        assert (await refused(home.login(mailbox, "not the password"))).reason == "CREDENTIALS_INVALID"
    assert (await home.login(mailbox)).user_id


async def test_guesses_made_at_once_are_counted_like_others(home: House) -> None:
    """Of twenty wrong passwords at the same moment five are looked at."""
    mailbox = new_mailbox()
    await home.register(mailbox)
    answers = await asyncio.gather(*(refused(home.login(mailbox, f"wrong password {n}")) for n in range(20)))
    assert sorted(each.reason for each in answers) == ["ACCOUNT_LOCKED"] * 15 + ["CREDENTIALS_INVALID"] * 5


async def test_right_logins_at_once_are_all_let_in(home: House) -> None:
    """Four devices that log in at the same moment, again and again, never stand in each other's way."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    for _ in range(5):
        answers = await asyncio.gather(*(home.login(mailbox) for _ in range(4)))
        assert {each.user_id for each in answers} == {made.user_id}


async def test_one_address_cannot_try_many_accounts(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its share of failures an address is refused for other accounts too, and another address is not."""
    monkeypatch.setattr(guards, "ADDRESS_FAILURES", 8)
    mailbox = new_mailbox()
    await home.register(mailbox)
    address = "198.51.100.7"
    for _ in range(8):
        assert (await refused(home.login(new_mailbox(), "Spring-2026!x", address=address))).reason == (
            "CREDENTIALS_INVALID"
        )
    assert (await refused(home.login(mailbox, address=address))).reason == "RATE_LIMITED"
    assert (await home.login(mailbox, address="203.0.113.9")).user_id


async def test_a_target_with_an_account_gets_none_again(home: House) -> None:
    """Only who showed the code of the target hears that it has an account; the code is not used up by it."""
    mailbox = new_mailbox()
    await home.register(mailbox)
    assert (await refused(home.register(mailbox))).reason == "IDENTITY_IN_USE"
    wrong = login_service_pb2.RegisterRequest(email=mailbox, code="000000", password=PASSWORD)
    assert (await refused(home.logins.Register(wrong))).reason == "CODE_INVALID"
    await home.register(new_mailbox(), username="taken_name")
    error = await refused(home.register(new_mailbox(), username="TAKEN_name"))
    assert (error.reason, error.metadata["provider"]) == ("IDENTITY_IN_USE", "username")


async def test_a_refused_registration_leaves_nothing(home: House, db: Database) -> None:
    """A registration that fails at the name makes no user, and the same code then makes the account."""
    await home.register(new_mailbox(), username="first_comer")
    mailbox = new_mailbox()
    code = await home.code(mailbox, REGISTER)
    before = await _count(db, "users")
    request = login_service_pb2.RegisterRequest(email=mailbox, code=code, password=PASSWORD, username="first_comer")
    assert (await refused(home.logins.Register(request))).reason == "IDENTITY_IN_USE"
    assert await _count(db, "users") == before
    request.username = ""
    assert (await home.logins.Register(request)).user_id


async def test_a_changed_password_ends_the_other_sessions(home: House) -> None:
    """After a change the old password is refused, other sessions are over, this one goes on, and a letter says so."""
    mailbox = new_mailbox()
    made, other = await home.register(mailbox), await home.login(mailbox)
    change = password_service_pb2.ChangePasswordRequest(old_password=PASSWORD, new_password="another good phrase")
    wrong = password_service_pb2.ChangePasswordRequest(old_password="no", new_password="another good phrase")
    error = await refused(home.passwords.ChangePassword(wrong, metadata=said(made.access_token)))
    assert error.reason == "CREDENTIALS_INVALID"
    await home.passwords.ChangePassword(change, metadata=said(made.access_token, language="en"))
    assert (await refused(home.login(mailbox))).reason == "CREDENTIALS_INVALID"
    assert (await home.login(mailbox, "another good phrase")).user_id == made.user_id
    assert (await home.users.GetMe(GetMeRequest(), metadata=said(made.access_token))).user.user_id == made.user_id
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=other.refresh_token)
    assert (await refused(home.sessions.RefreshSession(refresh))).reason == "AUTH_EXPIRED"
    await until(lambda: any("password was changed" in each["Subject"] for each in home.outside.post.to(mailbox)))


async def test_a_reset_answers_alike_for_known_and_unknown(home: House) -> None:
    """Asking for a reset code looks the same for a mailbox without an account, down to the state of its sending."""
    known, unknown = new_mailbox(), new_mailbox()
    await home.register(known)
    shapes = []
    for mailbox in (known, unknown):
        letters = len(home.outside.post.to(mailbox))
        sent = await home.codes.SendCode(code_service_pb2.SendCodeRequest(target=mailbox, purpose=RESET))
        await until(lambda box=mailbox, n=letters: len(home.outside.post.to(box)) > n)  # type: ignore[misc]
        state = await _settled(home, sent.code_id)
        shapes.append((sent.expires_in, sent.resend_in, state))
    assert shapes[0] == shapes[1]
    assert shapes[0][2] == code_service_pb2.GetCodeResponse.STATE_SENT


async def test_a_reset_ends_all_sessions_and_opens_a_locked_account(home: House) -> None:
    """Set anew by a code, the password opens the account that guesses had locked; what was before is over."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    for _ in range(5):
        await refused(home.login(mailbox, "not the password"))
    code = await home.code(mailbox, RESET)
    request = password_service_pb2.ResetPasswordRequest(account=mailbox, code=code, new_password="a new good phrase")
    await home.passwords.ResetPassword(request)
    assert (await home.login(mailbox, "a new good phrase")).user_id == made.user_id
    assert (await refused(home.login(mailbox))).reason == "CREDENTIALS_INVALID"
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=made.refresh_token)
    assert (await refused(home.sessions.RefreshSession(refresh))).reason == "AUTH_EXPIRED"
    again = await refused(home.passwords.ResetPassword(request))
    assert again.reason == "CODE_INVALID"


async def test_weak_passwords_do_not_cost_a_code(home: House) -> None:
    """A password that is refused leaves the code for a better one."""
    mailbox = new_mailbox()
    code = await home.code(mailbox, REGISTER)
    for weak, rule in (
        ("short", "too_short"),
        ("password123", "common"),
        (mailbox, "account"),
        ("x" * 129, "too_long"),
    ):
        request = login_service_pb2.RegisterRequest(email=mailbox, code=code, password=weak)
        error = await refused(home.logins.Register(request))
        assert (error.reason, error.metadata["rule"]) == ("PASSWORD_WEAK", rule)
    request = login_service_pb2.RegisterRequest(email=mailbox, code=code, password=PASSWORD)
    assert (await home.logins.Register(request)).user_id


async def test_names_are_changed_and_are_one_persons(home: House) -> None:
    """Shown name and login name change apart; a name of another one is refused, also when two ask at once."""
    mailbox = new_mailbox()
    made, other = await home.register(mailbox, username="old_name"), await home.register(new_mailbox())

    def change(token: str, **names: str) -> Any:
        return home.users.UpdateMe(user_service_pb2.UpdateMeRequest(**names), metadata=said(token))

    shown = (await change(made.access_token, display_name=" 林\x00风 ")).user
    assert (shown.display_name, shown.username) == ("林风", "old_name")
    assert (await change(made.access_token, username="New_Name")).user.display_name == "林风"
    assert (await home.login("new_name")).user_id == made.user_id
    assert (await refused(home.login("old_name"))).reason == "CREDENTIALS_INVALID"
    assert (await refused(change(other.access_token, username="new_NAME"))).reason == "IDENTITY_IN_USE"
    assert (await refused(change(other.access_token, username="1a"))).reason == "PARAM_INVALID"
    answers = await asyncio.gather(
        *(change(each.access_token, username="wanted_by_two") for each in (made, other)), return_exceptions=True
    )
    assert sum(isinstance(each, user_service_pb2.UpdateMeResponse) for each in answers) == 1


async def test_a_disabled_account_tells_so_to_its_owner_only(home: House, db: Database) -> None:
    """Who knows the password of a switched-off account hears that it is, anybody else that the password is wrong."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    async with db.transaction() as tx:
        off = text("UPDATE auth.users SET disable_time = now() WHERE user_id = CAST(:user AS uuid)")
        await tx.execute(off, {"user": made.user_id})
    assert (await refused(home.login(mailbox))).reason == "ACCOUNT_DISABLED"
    assert (await refused(home.login(mailbox, "not the password"))).reason == "CREDENTIALS_INVALID"


async def test_another_encryption_key_finds_the_same_people(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, db: Database
) -> None:
    """With the old key listed a phone is found and kept under the new one, and so are password, codes and letters."""
    phone, mailbox, new_key = new_phone(), new_mailbox(), "ad" * 32

    async def hashes() -> set[str]:
        query = "SELECT encode(provider_id_hash, 'hex') FROM auth.identities WHERE provider = 'phone'"
        async with db.transaction() as tx:
            return set((await tx.execute(text(query))).scalars())

    async with house(database_url, redis_url, redis, clock) as before:
        known = await before.logins.Login(
            login_service_pb2.LoginRequest(phone=phone, code=await before.code(phone, LOGIN))
        )
        made = await before.register(mailbox)
    old = await hashes()
    keys = {"encryption_key": new_key, "encryption_keys_old": ENCRYPTION_KEY}
    async with house(database_url, redis_url, redis, clock, **keys) as after:
        again = await after.logins.Login(
            login_service_pb2.LoginRequest(phone=phone, code=await after.code(phone, LOGIN))
        )
        assert (again.user_id, again.is_new) == (known.user_id, False)
        assert (await after.login(mailbox)).user_id == made.user_id
        refresh = session_service_pb2.RefreshSessionRequest(refresh_token=made.refresh_token)
        assert (await after.sessions.RefreshSession(refresh)).access_token
    assert len(await hashes() - old) == 1
    assert len(old - await hashes()) == 1


async def _settled(home: House, code_id: str) -> Any:
    """Return the state of a code's sending once it is no longer on its way."""
    async with asyncio.timeout(10):
        while True:
            state = (await home.codes.GetCode(code_service_pb2.GetCodeRequest(code_id=code_id))).state
            if state != code_service_pb2.GetCodeResponse.STATE_PENDING:
                return state
            await asyncio.sleep(0.01)


async def _count(db: Database, table: str) -> int:
    async with db.transaction() as tx:
        return int((await tx.execute(text(f"SELECT count(*) FROM auth.{table}"))).scalar() or 0)
