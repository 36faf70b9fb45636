"""The end of an account by its contract: confirmed, told, taken back, carried out, and nothing left of the person."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import identity_service_pb2, login_service_pb2, session_service_pb2, user_pb2
from cadenza.auth.v1 import user_service_pb2 as pb
from services.auth import __main__ as root
from services.kit.db.engine import Database
from services.kit.rpc.errors import from_rpc
from tests.auth.estates import give, open_estates, owners
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said, until
from tests.conftest import SettableClock

DELETE, LOGIN, BIND = PURPOSES.CODE_PURPOSE_DELETE, PURPOSES.CODE_PURPOSE_LOGIN, PURPOSES.CODE_PURPOSE_BIND
WEEK = timedelta(days=7)


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """Yield Auth and Wallet, with whose weeks are over looked for all the time."""
    monkeypatch.setattr(root, "_PURGE_EVERY_S", 0.05)
    async with house(database_url, redis_url, redis, clock, jwt_access_ttl=2_592_000) as made:
        yield made


async def _delete(home: House, token: str, **proof: str) -> Any:
    return await home.users.DeleteMe(pb.DeleteMeRequest(**proof), metadata=said(token))


async def _me(home: House, token: str) -> user_pb2.User:
    user: user_pb2.User = (await home.users.GetMe(pb.GetMeRequest(), metadata=said(token))).user
    return user


async def _count(db: Database, user_id: str) -> dict[str, int]:
    """Return how many rows of each table that has people name this one, without those that say only its id."""
    found = {}
    async with db.transaction() as tx:
        tables = await tx.execute(
            text(
                "SELECT table_name FROM information_schema.columns"
                " WHERE table_schema = 'auth' AND column_name = 'user_id'"
            )
        )
        for table in tables.scalars().all():
            rows = await tx.execute(text(f"SELECT count(*) FROM auth.{table} WHERE user_id = :id"), {"id": user_id})
            found[table] = int(rows.scalar() or 0)
    return found


async def test_an_account_ends(home: House, db: Database) -> None:
    """It is confirmed, told by mail, logged out everywhere; after a week only its id is left, its mailbox free."""
    mailbox = new_mailbox()
    made = await home.register(mailbox, username="Gone.Soon")
    await home.users.UpdateMe(pb.UpdateMeRequest(bio="A person", display_name="P"), metadata=said(made.access_token))
    for proof, reason in (
        ({}, "PARAM_INVALID"),
        ({"password": "not the password"}, "CREDENTIALS_INVALID"),
        ({"code": "123456"}, "PARAM_INVALID"),
        ({"code": "123456", "target": mailbox}, "CODE_INVALID"),
    ):
        assert (await refused(_delete(home, made.access_token, **proof))).reason == reason
    ends = (await _delete(home, made.access_token, password=PASSWORD)).erase_time
    assert ends.ToDatetime() == (home.clock() + WEEK).replace(tzinfo=None)
    again = session_service_pb2.RefreshSessionRequest(refresh_token=made.refresh_token)
    assert (await refused(home.sessions.RefreshSession(again))).reason == "AUTH_EXPIRED"
    await _ended(home, made.access_token)
    await until(lambda: any("注销" in letter["Subject"] for letter in home.outside.post.to(mailbox)))

    token = (await home.login(mailbox)).access_token
    assert (await _me(home, token)).erase_time == ends
    home.clock.advance(WEEK.total_seconds() + 1)
    await _erased(db, made.user_id)
    await _ended(home, token)
    assert (await refused(home.login(mailbox))).reason == "CREDENTIALS_INVALID"
    assert (await refused(home.login("gone.soon"))).reason == "CREDENTIALS_INVALID"
    left = {table: rows for table, rows in (await _count(db, made.user_id)).items() if rows}
    assert set(left) == {"users", "sessions"}
    async with db.transaction() as tx:
        rows = await tx.execute(
            text("SELECT row_to_json(u)::text || (SELECT string_agg(s.address || s.agent, '') FROM auth.sessions s"
                 " WHERE s.user_id = u.user_id) FROM auth.users u WHERE user_id = :id"), {"id": made.user_id},
        )  # fmt: skip
        dump = str(rows.scalar())
    assert not [word for word in ("Gone", "gone", 'P"', "127.0.0.1", "person") if word in dump]
    anew = await home.register(mailbox, username="Gone.Soon")
    assert anew.user_id != made.user_id


async def _ended(home: House, token: str) -> None:
    """Return once a token is refused, which is when the short copies of what was revoked are renewed."""
    for _ in range(200):
        try:
            await _me(home, token)
        except grpc.aio.AioRpcError as error:
            if from_rpc(error).reason == "AUTH_EXPIRED":
                return
        await asyncio.sleep(0.05)
    pytest.fail("the token is good for ever")


async def _erased(db: Database, user_id: str) -> None:
    """Return once an account is erased."""

    async def gone() -> bool:
        async with db.transaction() as tx:
            found = await tx.execute(text("SELECT delete_time FROM auth.users WHERE user_id = :id"), {"id": user_id})
            return found.scalar() is not None

    for _ in range(200):
        if await gone():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it was not erased")


async def test_an_account_is_taken_back(home: House, db: Database) -> None:
    """Whoever logs in within the week keeps the account, by the code of their phone as well, and loses nothing."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    login = await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))
    code = await home.code(phone, DELETE, token=login.access_token)
    await _delete(home, login.access_token, code=code, target=phone)
    await _ended(home, login.access_token)
    home.clock.advance(WEEK.total_seconds() - 60)
    code = await home.code(phone, LOGIN)
    back = await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))
    assert (back.user_id, back.is_new) == (login.user_id, False)
    kept = (await home.users.KeepMe(pb.KeepMeRequest(), metadata=said(back.access_token))).user
    assert not kept.HasField("erase_time")
    home.clock.advance(120)
    await asyncio.sleep(0.3)
    assert (await _me(home, back.access_token)).user_id == login.user_id


async def test_only_the_own_phone_confirms(home: House) -> None:
    """A code sent to a phone which is nobody's or another one's confirms nothing, nor does the own token alone."""
    phone, other = new_phone(), new_phone()
    code = await home.code(phone, LOGIN)
    token = (await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))).access_token
    code = await home.code(other, DELETE, token=token)
    assert (await refused(_delete(home, token, code=code, target=other))).reason == "CODE_INVALID"
    assert (await refused(_delete(home, token))).reason == "PARAM_INVALID"
    stranger = (await home.device()).access_token
    code = await home.code(phone, DELETE, token=stranger)
    assert (await refused(_delete(home, stranger, code=code, target=phone))).reason == "CODE_INVALID"
    assert not (await _me(home, token)).HasField("erase_time")


async def test_who_has_nothing_to_confirm_by_just_goes(home: House) -> None:
    """A browser that nobody knows confirms by its token alone, and comes back within the week."""
    device = session_service_pb2.AnonymousLoginRequest(provider="web", provider_id=f"device-{new_mailbox()[:30]}")
    login = await home.sessions.AnonymousLogin(device)
    await _delete(home, login.access_token)
    again = await home.sessions.AnonymousLogin(device)
    assert again.user_id == login.user_id
    assert (await _me(home, again.access_token)).HasField("erase_time")


async def test_an_account_that_ends_takes_nobody_in(home: House) -> None:
    """While an account is to be erased nothing is merged into it or out of it."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    token = (await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))).access_token
    code = await home.code(phone, DELETE, token=token)
    await _delete(home, token, code=code, target=phone)
    visitor = (await home.device()).access_token
    code = await home.code(phone, BIND, token=visitor)
    request = identity_service_pb2.BindIdentityRequest(
        provider=user_pb2.Identity.PROVIDER_PHONE, provider_id=phone, verification_code=code
    )
    error = await refused(home.identities.BindIdentity(request, metadata=said(visitor)))
    assert (error.reason, error.metadata.get("merge_id", "")) == ("IDENTITY_IN_USE", "")


async def test_what_a_person_had_elsewhere_goes_too(home: House, db: Database, redis: Redis) -> None:
    """Once erased, songs, words and webhooks are gone, shares are called back, and running jobs are waited for."""
    open_estates(home, db, redis)
    device, other = await home.device(), await home.device()
    names = ("composer.tracks", "composer.lyrics", "composer.exports", "composer.webhooks", "share.shares")
    mine = await give(db, device.user_id, *names, "composer.running_jobs")
    others = await give(db, other.user_id, *names, "composer.running_jobs", "media.assets")
    await _delete(home, device.access_token)
    home.clock.advance(WEEK.total_seconds() + 1)
    await _erased(db, device.user_id)
    for _ in range(200):
        left = {name for name, _ in await owners(db, mine)}
        if left == {"share.shares", "composer.running_jobs"}:
            break
        await asyncio.sleep(0.05)
    assert left == {"share.shares", "composer.running_jobs"}
    waiting = "SELECT count(*) FROM auth.outbox WHERE topic = 'erase' AND key = :id AND done_time IS NULL"
    share_id = next(row_id for name, row_id in mine if name == "share.shares")
    async with db.transaction() as tx:
        state = await tx.execute(text("SELECT state FROM share.shares WHERE share_id = :id"), {"id": share_id})
        assert state.scalar() == "revoked"
        assert (await tx.execute(text(waiting), {"id": device.user_id})).scalar() == 1
        done = {"id": device.user_id}
        await tx.execute(text("UPDATE composer.jobs SET state = 'failed' WHERE user_id = :id"), done)
    for _ in range(200):
        home.clock.advance(60)
        async with db.transaction() as tx:
            left_open = (await tx.execute(text(waiting), {"id": device.user_id})).scalar()
        if left_open == 0:
            break
        await asyncio.sleep(0.1)
    assert left_open == 0
    assert set((await owners(db, others)).values()) == {other.user_id}
    assert len(await owners(db, others)) == len(others)
