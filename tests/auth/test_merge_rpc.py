"""Two users become one by their contract: shown, moved whole, credits conserved, undone within seven days."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import identity_service_pb2, login_service_pb2, session_service_pb2, user_pb2
from cadenza.auth.v1 import merge_service_pb2 as pb
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.composer.storage import tables as composer_tables
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.media.storage import tables as media_tables
from services.share.storage import tables as share_tables
from tests.auth import estates
from tests.auth.estates import Model, give, open_estates, owners
from tests.auth.house import PURPOSES, House, house, new_phone, refused, said
from tests.auth.merges import run_merges
from tests.conftest import SettableClock

BIND, LOGIN = PURPOSES.CODE_PURPOSE_BIND, PURPOSES.CODE_PURPOSE_LOGIN
PHONE = user_pb2.Identity.PROVIDER_PHONE
State = pb.Merge


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, db: Database
) -> AsyncIterator[House]:
    """Yield Auth and Wallet whole, and what people own in the other services."""
    async with house(database_url, redis_url, redis, clock) as made:
        open_estates(made, db, redis)
        yield made


async def _by_phone(home: House, phone: str) -> login_service_pb2.LoginResponse:
    code = await home.code(phone, LOGIN)
    answer: login_service_pb2.LoginResponse = await home.logins.Login(
        login_service_pb2.LoginRequest(phone=phone, code=code)
    )
    return answer


async def _offer(home: House, token: str, phone: str) -> str:
    """Return the offer that binding another account's phone brings."""
    code = await home.code(phone, BIND, token=token)
    request = identity_service_pb2.BindIdentityRequest(provider=PHONE, provider_id=phone, verification_code=code)
    error = await refused(home.identities.BindIdentity(request, metadata=said(token)))
    assert error.reason == "IDENTITY_IN_USE"
    return error.metadata.get("merge_id", "")


async def _preview(home: House, token: str, merge_id: str) -> pb.PreviewMergeResponse:
    request = pb.PreviewMergeRequest(merge_id=merge_id)
    answer: pb.PreviewMergeResponse = await home.merges.PreviewMerge(request, metadata=said(token))
    return answer


async def _confirm(home: House, token: str, merge_id: str) -> pb.ConfirmMergeResponse:
    request = pb.ConfirmMergeRequest(merge_id=merge_id)
    answer: pb.ConfirmMergeResponse = await home.merges.ConfirmMerge(request, metadata=said(token))
    return answer


async def _undo(home: House, token: str, merge_id: str) -> pb.UndoMergeResponse:
    answer: pb.UndoMergeResponse = await home.merges.UndoMerge(
        pb.UndoMergeRequest(merge_id=merge_id), metadata=said(token)
    )
    return answer


async def _settled(home: House, token: str, merge_id: str, state: Any) -> None:
    """Return once a merge has come so far."""
    async with asyncio.timeout(20):
        while (await _preview(home, token, merge_id)).merge.state != state:
            home.clock.advance(0.5)
            await asyncio.sleep(0.02)


async def _balance(home: House, token: str) -> tuple[int, int]:
    stub = CreditServiceStub(home.local.peers("gateway").channel("wallet"))
    balance = (await stub.GetBalance(wallet_pb.GetBalanceRequest(), metadata=said(token))).balance
    return balance.available_credits, balance.held_credits


async def test_one_library_on_two_clients(home: House, db: Database) -> None:
    """A browser with two tracks binds the phone of another user: one user, both libraries, one wallet (E-10)."""
    phone = new_phone()
    phone_login, browser = await _by_phone(home, phone), await home.device()
    mine = await give(db, browser.user_id, "composer.tracks", "composer.tracks", "media.assets")
    theirs = await give(db, phone_login.user_id, "composer.lyrics", "share.shares")
    merge_id = await _offer(home, browser.access_token, phone)
    shown = await _preview(home, browser.access_token, merge_id)
    assert (shown.merge.source_user_id, shown.merge.target_user_id) == (browser.user_id, phone_login.user_id)
    assert (shown.source.track_count, shown.source.asset_count, shown.source.available_credits) == (2, 1, 100)
    assert (shown.target.lyrics_count, shown.target.share_count, shown.target.identity_count) == (1, 1, 1)
    assert set((await owners(db, mine)).values()) == {browser.user_id}

    done = await _confirm(home, browser.access_token, merge_id)
    token = done.session.access_token
    assert done.session.user_id == phone_login.user_id
    await _settled(home, token, merge_id, State.STATE_DONE)
    assert set((await owners(db, mine + theirs)).values()) == {phone_login.user_id}
    assert await _balance(home, token) == (200, 0)
    me = (await home.users.GetMe(GetMeRequest(), metadata=said(token))).user
    assert [each.provider for each in me.identities] == [3, 1] or [each.provider for each in me.identities] == [1, 3]
    refresh = session_service_pb2.RefreshSessionRequest(refresh_token=browser.refresh_token)
    assert (await refused(home.sessions.RefreshSession(refresh))).reason == "AUTH_EXPIRED"


async def test_whoever_has_a_door_of_their_own_stays(home: House) -> None:
    """An account with a phone takes in the account of another phone, and the caller's session goes on."""
    one, other = new_phone(), new_phone()
    mine, theirs = await _by_phone(home, one), await _by_phone(home, other)
    merge_id = await _offer(home, mine.access_token, other)
    done = await _confirm(home, mine.access_token, merge_id)
    assert (done.merge.source_user_id, done.merge.target_user_id) == (theirs.user_id, mine.user_id)
    assert not done.session.access_token
    await _settled(home, mine.access_token, merge_id, State.STATE_DONE)
    assert (await _by_phone(home, other)).user_id == mine.user_id
    again = await _confirm(home, mine.access_token, merge_id)
    assert again.merge.state == State.STATE_DONE
    assert await _balance(home, mine.access_token) == (200, 0)


async def test_a_merge_is_undone(home: House, db: Database) -> None:
    """Doors, things and credits go back to where they were; what came after the merge stays, and once is enough."""
    one, other = new_phone(), new_phone()
    mine, theirs = await _by_phone(home, one), await _by_phone(home, other)
    had = await give(db, theirs.user_id, *estates.THINGS)
    own = await give(db, mine.user_id, "composer.tracks")
    merge_id = await _offer(home, mine.access_token, other)
    await _confirm(home, mine.access_token, merge_id)
    await _settled(home, mine.access_token, merge_id, State.STATE_DONE)
    later = await give(db, mine.user_id, "media.assets")
    await _undo(home, mine.access_token, merge_id)
    await _settled(home, mine.access_token, merge_id, State.STATE_UNDONE)
    await _undo(home, mine.access_token, merge_id)
    back = await _by_phone(home, other)
    assert back.user_id == theirs.user_id
    found = await owners(db, had + own + later)
    assert {found[each] for each in had} == {theirs.user_id}
    assert {found[each] for each in own + later} == {mine.user_id}
    assert await _balance(home, mine.access_token) == (100, 0)
    assert await _balance(home, back.access_token) == (100, 0)


async def test_seven_days_and_no_longer(home: House) -> None:
    """After seven days a merge stands; an offer stands for a quarter of an hour."""
    one, other, third = new_phone(), new_phone(), new_phone()
    mine = await _by_phone(home, one)
    await _by_phone(home, other)
    await _by_phone(home, third)
    kept, late = await _offer(home, mine.access_token, other), await _offer(home, mine.access_token, third)
    await _confirm(home, mine.access_token, kept)
    home.clock.advance(15 * 60)
    assert (await refused(_confirm(home, mine.access_token, late))).reason == "BUSINESS_RULE"
    home.clock.advance(7 * 86_400)
    assert (await refused(_undo(home, mine.access_token, kept))).reason == "BUSINESS_RULE"


async def test_undoing_leaves_nobody_without_a_door(home: House) -> None:
    """Who has only the doors that the merge brought keeps them: undoing is refused until another one is bound."""
    one, other = new_phone(), new_phone()
    mine = await _by_phone(home, one)
    await _by_phone(home, other)
    merge_id = await _offer(home, mine.access_token, other)
    await _confirm(home, mine.access_token, merge_id)
    ways = (await home.users.GetMe(GetMeRequest(), metadata=said(mine.access_token))).user.identities
    own = next(each.identity_id for each in ways if each.label.endswith(one[-4:]))
    request = identity_service_pb2.UnbindIdentityRequest(identity_id=own)
    await home.identities.UnbindIdentity(request, metadata=said(mine.access_token))
    assert (await refused(_undo(home, mine.access_token, merge_id))).reason == "LAST_IDENTITY"


async def test_credits_of_running_jobs_follow_when_they_come_back(home: House, db: Database) -> None:
    """What is held stays with its job; released after the merge it is moved too, with what the job made meanwhile."""
    one, other = new_phone(), new_phone()
    mine, theirs = await _by_phone(home, one), await _by_phone(home, other)
    wallet = CreditServiceStub(home.local.peers("composer").channel("wallet"))
    job_id = new_id()
    held = await wallet.Hold(wallet_pb.HoldRequest(request_id=job_id, user_id=theirs.user_id, price_kind="music"))
    price = held.hold.amount_credits
    merge_id = await _offer(home, mine.access_token, other)
    shown = await _preview(home, mine.access_token, merge_id)
    assert (shown.source.available_credits, shown.source.held_credits) == (100 - price, price)
    await _confirm(home, mine.access_token, merge_id)
    async with asyncio.timeout(10):
        while True:
            if await _balance(home, mine.access_token) == (200 - price, 0):
                break
            await asyncio.sleep(0.02)
    assert (await _preview(home, mine.access_token, merge_id)).merge.state == State.STATE_RUNNING
    made = await give(db, theirs.user_id, "media.assets")
    await wallet.Release(wallet_pb.ReleaseRequest(request_id=f"r:{job_id}", hold_id=job_id))
    await _settled(home, mine.access_token, merge_id, State.STATE_DONE)
    assert await _balance(home, mine.access_token) == (200, 0)
    assert set((await owners(db, made)).values()) == {mine.user_id}


async def test_nobody_else_merges(home: House) -> None:
    """Another person, and the account that goes, see no such merge, and can neither confirm nor undo it."""
    one, other = new_phone(), new_phone()
    mine, theirs, stranger = await _by_phone(home, one), await _by_phone(home, other), await home.device()
    merge_id = await _offer(home, mine.access_token, other)
    for token in (theirs.access_token, stranger.access_token):
        for call in (_preview, _confirm, _undo):
            assert (await refused(call(home, token, merge_id))).reason == "NOT_FOUND"
    assert (await refused(_undo(home, mine.access_token, merge_id))).reason in {"BUSINESS_RULE", "NOT_FOUND"}
    assert (await refused(_confirm(home, mine.access_token, new_id()))).reason == "NOT_FOUND"


async def test_nobody_takes_in_users_without_end(home: House) -> None:
    """The fourth account within a month is refused without an offer: every new account was given credits."""
    mine = await _by_phone(home, new_phone())
    for number in range(4):
        other = new_phone()
        await _by_phone(home, other)
        merge_id = await _offer(home, mine.access_token, other)
        assert bool(merge_id) == (number < 3)
        if merge_id:
            await _confirm(home, mine.access_token, merge_id)


async def test_a_frozen_wallet_is_not_merged_away(home: House, db: Database) -> None:
    """While an administrator keeps a wallet stopped its owner cannot leave it by a merge."""
    one, other = new_phone(), new_phone()
    mine, theirs = await _by_phone(home, one), await _by_phone(home, other)
    merge_id = await _offer(home, mine.access_token, other)
    async with db.transaction() as tx:
        frozen = text("INSERT INTO wallet.freezes (user_id, reason, freeze_time) VALUES (CAST(:u AS uuid), 'x', now())")
        await tx.execute(frozen, {"u": theirs.user_id})
    error = await refused(_confirm(home, mine.access_token, merge_id))
    assert (error.reason, error.metadata["cause"]) == ("BUSINESS_RULE", "frozen")


async def test_a_service_that_is_away_is_waited_for(home: House, db: Database, redis: Redis) -> None:
    """While Media is away the rest is moved, the merge goes on, and is done once Media is back."""
    one, other = new_phone(), new_phone()
    mine, theirs = await _by_phone(home, one), await _by_phone(home, other)
    things = await give(db, theirs.user_id, "composer.tracks", "media.assets")
    merge_id = await _offer(home, mine.access_token, other)
    shown = home.merges.ConfirmMerge(pb.ConfirmMergeRequest(merge_id=merge_id), metadata=said(mine.access_token))
    await shown
    home.local.remove("media")
    await asyncio.sleep(0.2)
    open_estates(home, db, redis, "media")
    await _settled(home, mine.access_token, merge_id, State.STATE_DONE)
    assert set((await owners(db, things)).values()) == {mine.user_id}


def test_whatever_has_an_owner_is_moved() -> None:
    """Every table of the three services with a user in it is one that a merge moves."""
    owned = {thing.table.fullname for thing in estates.THINGS.values()}
    tables = [
        table
        for metadata in (composer_tables.metadata, media_tables.metadata, share_tables.metadata)
        for table in metadata.tables.values()
    ]
    assert {table.fullname for table in tables if "user_id" in table.c} == owned


async def test_random_merges_lose_and_double_nothing(home: House, db: Database) -> None:
    """After random merges, undoings, spending and new things every thing and every credit is where it should be."""
    model = Model(random.Random(7))
    await run_merges(home, db, model, merges=12)
    assert await owners(db, list(model.things)) == model.things
