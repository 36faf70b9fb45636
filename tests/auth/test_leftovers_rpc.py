"""What a failed call leaves behind and what still works with things that are gone: nothing in both cases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import identity_service_pb2, login_service_pb2, merge_service_pb2, session_service_pb2, user_pb2
from cadenza.auth.v1 import user_service_pb2 as pb
from cadenza.auth.v1.user_service_pb2_grpc import UserServiceStub
from services.auth import __main__ as root
from services.kit.db.engine import Database
from tests.auth.estates import open_estates
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said
from tests.conftest import SettableClock

REGISTER, LOGIN, BIND, DELETE = (
    PURPOSES.CODE_PURPOSE_REGISTER,
    PURPOSES.CODE_PURPOSE_LOGIN,
    PURPOSES.CODE_PURPOSE_BIND,
    PURPOSES.CODE_PURPOSE_DELETE,
)
PHONE = user_pb2.Identity.PROVIDER_PHONE
OF_PEOPLE = ("users", "identities", "passwords", "sessions", "refresh_tokens", "profiles", "notifications", "merges")


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, db: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """Yield Auth and Wallet, with whose weeks are over looked for all the time."""
    monkeypatch.setattr(root, "_PURGE_EVERY_S", 0.05)
    async with house(database_url, redis_url, redis, clock, jwt_access_ttl=2_592_000) as made:
        open_estates(made, db, redis)
        yield made


async def _rows(db: Database) -> dict[str, int]:
    """Return how many rows each table of people has."""
    async with db.transaction() as tx:
        return {
            table: int((await tx.execute(text(f"SELECT count(*) FROM auth.{table}"))).scalar() or 0)
            for table in OF_PEOPLE
        }


async def _by_phone(home: House, phone: str) -> login_service_pb2.LoginResponse:
    code = await home.code(phone, LOGIN)
    answer: login_service_pb2.LoginResponse = await home.logins.Login(
        login_service_pb2.LoginRequest(phone=phone, code=code)
    )
    return answer


async def _bind(home: House, token: str, phone: str, code: str = "") -> Any:
    code = code or await home.code(phone, BIND, token=token)
    request = identity_service_pb2.BindIdentityRequest(provider=PHONE, provider_id=phone, verification_code=code)
    return await home.identities.BindIdentity(request, metadata=said(token))


async def test_a_failed_registration_leaves_nothing(home: House, db: Database) -> None:
    """A taken name and a weak password make no user, leave the mailbox free, and do not use the code up."""
    await home.register(new_mailbox(), username=f"Taken{new_phone()}")
    async with db.transaction() as tx:
        names = await tx.execute(text("SELECT username FROM auth.users WHERE username LIKE 'Taken%'"))
        taken = str(names.scalars().first())
    mailbox = new_mailbox()
    code = await home.code(mailbox, REGISTER)
    before = await _rows(db)

    def register(**more: str) -> Any:
        wish = {"email": mailbox, "code": code, "password": PASSWORD, **more}
        return home.logins.Register(login_service_pb2.RegisterRequest(**wish))

    assert (await refused(register(username=taken.lower()))).reason == "IDENTITY_IN_USE"
    assert (await refused(register(password="password"))).reason == "PASSWORD_WEAK"
    assert (await refused(register(username="1x"))).reason == "PARAM_INVALID"
    assert await _rows(db) == before
    made = await register()
    assert (await home.login(mailbox)).user_id == made.user_id


async def test_a_failed_binding_leaves_nothing(home: House, db: Database) -> None:
    """A wrong code and another one's phone bind nothing, tell nobody anything, and open no session."""
    phone = new_phone()
    owner, visitor = await _by_phone(home, phone), await home.device()
    code = await home.code(phone, BIND, token=visitor.access_token)
    before = await _rows(db)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    assert (await refused(_bind(home, visitor.access_token, phone, wrong))).reason == "CODE_INVALID"
    # A code is good for the person who asked for it and for nobody else.
    stranger = await home.device()
    assert (await refused(_bind(home, stranger.access_token, phone, code))).reason == "CODE_INVALID"
    assert (await refused(_bind(home, visitor.access_token, phone, code))).reason == "IDENTITY_IN_USE"
    after = await _rows(db)
    new = {table: after[table] - before[table] for table in OF_PEOPLE if after[table] != before[table]}
    # The stranger, and the offer to merge.
    assert new == {"users": 1, "identities": 1, "sessions": 1, "refresh_tokens": 1, "merges": 1}
    me = (await home.users.GetMe(pb.GetMeRequest(), metadata=said(owner.access_token))).user
    assert [each.provider for each in me.identities] == [PHONE]


async def test_a_way_that_was_taken_away_leads_nowhere(home: House) -> None:
    """It cannot be taken away again, its sessions are over, and whoever has the phone now is somebody new."""
    phone = new_phone()
    device = await home.device()
    identity = (await _bind(home, device.access_token, phone)).identity
    by_phone = await _by_phone(home, phone)
    assert by_phone.user_id == device.user_id
    gone = identity_service_pb2.UnbindIdentityRequest(identity_id=identity.identity_id)
    await home.identities.UnbindIdentity(gone, metadata=said(device.access_token))
    again = await refused(home.identities.UnbindIdentity(gone, metadata=said(device.access_token)))
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=by_phone.refresh_token)
    over = await refused(home.sessions.RefreshSession(refresh))
    assert (again.reason, over.reason) == ("NOT_FOUND", "AUTH_EXPIRED")
    later = await _by_phone(home, phone)
    assert (later.is_new, later.user_id == device.user_id) == (True, False)


async def test_a_session_that_ended_does_nothing_more(home: House) -> None:
    """It is not listed, cannot be renewed, and ending it again changes nothing for the others."""
    mailbox = new_mailbox()
    first = await home.register(mailbox)
    second = await home.login(mailbox)
    end = session_service_pb2.EndSessionRequest(session_id=second.session.session_id)
    for _ in range(2):
        await home.sessions.EndSession(end, metadata=said(first.access_token))
    listed = await home.sessions.ListSessions(
        session_service_pb2.ListSessionsRequest(), metadata=said(first.access_token)
    )
    assert [each.session_id for each in listed.sessions] == [first.session.session_id]
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=second.refresh_token)
    assert (await refused(home.sessions.RefreshSession(refresh))).reason == "AUTH_EXPIRED"


async def test_offers_end_with_the_account_they_were_made_for(home: House, db: Database) -> None:
    """An offer to merge cannot be confirmed once its other side is to be erased, nor after, nor by anybody else."""
    phone = new_phone()
    owner, visitor = await _by_phone(home, phone), await home.device()
    offer = (await refused(_bind(home, visitor.access_token, phone))).metadata["merge_id"]
    confirm = merge_service_pb2.ConfirmMergeRequest(merge_id=offer)
    for token in (owner.access_token, (await home.device()).access_token):
        assert (await refused(home.merges.ConfirmMerge(confirm, metadata=said(token)))).reason == "NOT_FOUND"
    code = await home.code(phone, DELETE, token=owner.access_token)
    await home.users.DeleteMe(pb.DeleteMeRequest(code=code, target=phone), metadata=said(owner.access_token))
    closing = await refused(home.merges.ConfirmMerge(confirm, metadata=said(visitor.access_token)))
    assert closing.reason == "BUSINESS_RULE"
    home.clock.advance(timedelta(days=7).total_seconds() + 1)
    for _ in range(200):
        async with db.transaction() as tx:
            erased = text("SELECT delete_time IS NOT NULL FROM auth.users WHERE user_id = :id")
            if (await tx.execute(erased, {"id": owner.user_id})).scalar():
                break
        await asyncio.sleep(0.05)
    gone = await refused(home.merges.ConfirmMerge(confirm, metadata=said(visitor.access_token)))
    assert gone.reason == "BUSINESS_RULE"
    inside: Any = UserServiceStub(home.local.peers("composer").channel("auth"))
    assert (await inside.FindOpenId(pb.FindOpenIdRequest(user_id=owner.user_id))).open_id == ""
    me = (await home.users.GetMe(pb.GetMeRequest(), metadata=said(visitor.access_token))).user
    assert me.user_id == visitor.user_id
