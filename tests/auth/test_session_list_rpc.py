"""Where a person is logged in: listed with device, platform, address and last use, ended one by one or together."""

import asyncio
from datetime import UTC, timedelta

import grpc
import pytest
from sqlalchemy import text

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1 import user_pb2
from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceStub
from cadenza.wallet.v1.credit_service_pb2 import GetBalanceRequest
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.kit.rpc.sessions import seen_key
from tests.auth.conftest import Mesh

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
WECHAT = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile MicroMessenger/8.0.49"


class Person:
    """Somebody who keeps one device id and calls through the gateway."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.device_id = f"device-{new_id()}"
        self.sessions = SessionServiceStub(mesh.peers("gateway").channel("auth"))

    async def login(self, agent: str = "", platform: str = "web", address: str = "") -> pb.AnonymousLoginResponse:
        """Return a new session, opened from there."""
        said = (("x-client-agent", agent), ("x-platform", platform), ("x-client-ip", address))
        request = pb.AnonymousLoginRequest(provider="web", provider_id=self.device_id)
        return await self.sessions.AnonymousLogin(request, metadata=said)

    async def list(self, token: str, page_size: int = 0, page_token: str = "") -> pb.ListSessionsResponse:
        """Return a page of what the person sees."""
        request = pb.ListSessionsRequest(page_size=page_size, page_token=page_token)
        return await self.sessions.ListSessions(request, metadata=bearer(token))

    async def end(self, token: str, session_id: str) -> None:
        """End one session from another."""
        await self.sessions.EndSession(pb.EndSessionRequest(session_id=session_id), metadata=bearer(token))

    async def end_all(self, token: str, *, keep_current: bool) -> int:
        """End many sessions and return how many."""
        request = pb.EndSessionsRequest(keep_current=keep_current)
        return (await self.sessions.EndSessions(request, metadata=bearer(token))).ended_count

    async def balance(self, token: str) -> int:
        """Use the token somewhere else."""
        stub = CreditServiceStub(self.mesh.peers("gateway").channel("wallet"))
        return (await stub.GetBalance(GetBalanceRequest(), metadata=bearer(token))).balance.available_credits


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a signed-in call."""
    return (("authorization", f"Bearer {token}"),)


def reason(caught: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> str:
    """Return the public reason of a refusal."""
    return str(from_rpc(caught.value).reason)


async def test_a_person_sees_where_they_are_logged_in(mesh: Mesh) -> None:
    """Each login is listed once, the newest first, with device in words, platform, address, door and times."""
    person, before = Person(mesh), now()
    old = await person.login(FIREFOX, "web", "203.0.113.7")
    new = await person.login(WECHAT, "wxmp", "198.51.100.1")
    await Person(mesh).login(FIREFOX)
    shown = (await person.list(old.access_token)).sessions
    assert [(each.session_id, each.device, each.platform, each.address, each.current) for each in shown] == [
        (new.session.session_id, "WeChat · iPhone", "wxmp", "198.51.100.1", False),
        (old.session.session_id, "Firefox · Windows", "web", "203.0.113.7", True),
    ]
    for each in shown:
        assert each.provider == user_pb2.Identity.PROVIDER_WEB
        made = each.create_time.ToDatetime(UTC)
        assert before - timedelta(seconds=1) <= made <= each.last_seen_time.ToDatetime(UTC) + timedelta(seconds=1)
        assert each.expire_time.ToDatetime(UTC) - made == timedelta(days=30)


async def test_a_refresh_tells_where_the_person_is_now(mesh: Mesh) -> None:
    """After a refresh the session shows the device, platform and address of the refresh."""
    person = Person(mesh)
    login = await person.login(FIREFOX, "web", "203.0.113.7")
    request = pb.RefreshSessionRequest(refresh_token=login.refresh_token)
    said = (("x-client-agent", WECHAT), ("x-platform", "wxmp"), ("x-client-ip", "198.51.100.1"))
    renewed = await person.sessions.RefreshSession(request, metadata=said)
    (shown,) = (await person.list(renewed.access_token)).sessions
    assert (shown.device, shown.platform, shown.address) == ("WeChat · iPhone", "wxmp", "198.51.100.1")
    assert shown.session_id == login.session.session_id


async def test_the_last_use_is_noted_wherever_it_was(mesh: Mesh, database_url: str) -> None:
    """A token used at Wallet moves the session's last use; when Redis has forgotten it, the newest refresh counts."""
    person = Person(mesh)
    login = await person.login()
    session_id = login.session.session_id
    long_ago = now() - timedelta(days=2)
    db = Database(database_url, pool_size=1, max_overflow=1)
    try:
        async with db.transaction() as tx:
            await tx.execute(
                text("UPDATE auth.sessions SET update_time = :at WHERE session_id = CAST(:id AS uuid)"),
                {"at": long_ago, "id": session_id},
            )
    finally:
        await db.close()
    await person.balance(login.access_token)
    (shown,) = (await person.list(login.access_token)).sessions
    assert now() - shown.last_seen_time.ToDatetime(UTC) < timedelta(minutes=2)
    await mesh.redis.delete(seen_key(session_id))
    (shown,) = (await person.list(login.access_token)).sessions
    assert abs(shown.last_seen_time.ToDatetime(UTC) - long_ago) < timedelta(seconds=1)


async def test_pages_show_every_session_once(mesh: Mesh) -> None:
    """Five sessions in pages of two come once each, and a token of another list is refused by its name."""
    person = Person(mesh)
    logins = [await person.login() for _ in range(5)]
    token, place, found = logins[0].access_token, "", []
    for more in (True, True, False):
        page = await person.list(token, 2, place)
        found += [each.session_id for each in page.sessions]
        place = page.next_page_token
        assert bool(place) is more
    assert found == [each.session.session_id for each in reversed(logins)]
    for wrong in ("nonsense", "WzVd"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await person.list(token, 2, wrong)
        assert from_rpc(caught.value).metadata["field"] == "page_token"


async def test_ending_one_session_leaves_the_others(mesh: Mesh) -> None:
    """An ended session is not listed, its tokens are refused within seconds, its end again changes nothing."""
    person = Person(mesh)
    here, there = await person.login(), await person.login()
    assert await person.balance(there.access_token) == 100
    await person.end(here.access_token, there.session.session_id)
    await person.end(here.access_token, there.session.session_id.upper())
    assert [each.session_id for each in (await person.list(here.access_token)).sessions] == [here.session.session_id]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await person.sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=there.refresh_token))
    assert reason(caught) == "AUTH_EXPIRED"
    async with asyncio.timeout(10):
        while True:
            try:
                await person.balance(there.access_token)
            except grpc.aio.AioRpcError:
                break
            await asyncio.sleep(0.1)
    assert await person.balance(here.access_token) == 100


async def test_another_persons_session_is_not_there(mesh: Mesh) -> None:
    """Nobody ends another person's session: it is NOT_FOUND like one that never was, and goes on."""
    person, stranger = Person(mesh), Person(mesh)
    mine, theirs = await person.login(), await stranger.login()
    for session_id in (theirs.session.session_id, new_id()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await person.end(mine.access_token, session_id)
        assert reason(caught) == "NOT_FOUND"
    assert await stranger.balance(theirs.access_token) == 100
    assert len((await stranger.list(theirs.access_token)).sessions) == 1


async def test_all_sessions_can_be_ended_at_once(mesh: Mesh) -> None:
    """Keeping this one, the others end and are counted; then this one too; a stranger's session goes on."""
    person, stranger = Person(mesh), Person(mesh)
    here, *_ = [await person.login() for _ in range(4)]
    theirs = await stranger.login()
    assert await person.end_all(here.access_token, keep_current=True) == 3
    assert await person.end_all(here.access_token, keep_current=True) == 0
    assert [each.current for each in (await person.list(here.access_token)).sessions] == [True]
    assert await person.end_all(here.access_token, keep_current=False) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await person.sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=here.refresh_token))
    assert reason(caught) == "AUTH_EXPIRED"
    assert await stranger.balance(theirs.access_token) == 100
