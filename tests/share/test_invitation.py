"""Codes and links into the mini-program, made in the background by WeChat's stand-in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from cadenza.share.v1 import share_service_pb2 as pb
from services.kit.db.engine import Database
from services.kit.http import HttpClient
from services.kit.ids import new_id
from services.kit.passwords import Passwords
from services.kit.wechat import WechatApi
from services.share.domain.invitation import MOST_TRIES, pause_after
from services.share.domain.share import Share, Terms
from services.share.providers.wechat import WechatMiniProgram
from services.share.storage.tables import invitations as rows
from services.share.usecases.invitation import Invitations, Ways
from services.share.usecases.share import Shares
from tests.fakes.stand_in import served
from tests.fakes.wechat import Wechat
from tests.share.conftest import Sharing

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
CODE = "POST /wxa/getwxacodeunlimit"
SCHEME = "POST /wxa/generatescheme"


class Shelf:
    """Keeps pictures as Media does: a request id stores once."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}
        self.ids: dict[str, str] = {}

    async def StoreAsset(  # noqa: N802  # gRPC's spelling
        self,
        messages: Any,
        *,
        timeout: float,  # noqa: ASYNC109  # gRPC's own
    ) -> media_pb2.StoreAssetResponse:
        """Keep a picture."""
        data, header = b"", None
        async for message in messages:
            header = message.header if message.HasField("header") else header
            data += message.chunk
        assert header is not None
        assert (header.kind, header.content_type) == (media_pb2.Asset.KIND_IMAGE, "image/png")
        asset_id = self.ids.setdefault(header.request_id, new_id())
        self.pictures[asset_id] = data
        return media_pb2.StoreAssetResponse(asset=media_pb2.Asset(asset_id=asset_id))

    async def ResolveAssets(  # noqa: N802  # gRPC's spelling
        self,
        request: Any,
        *,
        timeout: float,  # noqa: ASYNC109  # gRPC's own
    ) -> media_pb2.ResolveAssetsResponse:
        """Say where pictures lie."""
        answer = media_pb2.ResolveAssetsResponse()
        for asset_id in request.asset_ids:
            if asset_id in self.pictures:
                answer.assets.add(asset=media_pb2.Asset(asset_id=asset_id, url=f"http://127.0.0.1/{asset_id}.png"))
        return answer


class Desk:
    """Invitations whose time a test sets, and everybody around them."""

    def __init__(self, sharing: Sharing, db: Database, passwords: Passwords, wechat: Wechat) -> None:
        self.at = NOON
        self.sharing, self.db, self.wechat, self.shelf = sharing, db, wechat, Shelf()
        self.http = HttpClient("wechat", private_allowed=True)
        api = WechatApi(self.http, None, wechat.config())
        self.program = WechatMiniProgram(api, version="release")
        composer = TrackServiceStub(sharing.mesh.peers("share").channel("composer"))
        self.shares = Shares(db, composer, lambda: self.at, passwords=passwords)
        self.invitations = self.opened()

    def opened(self) -> Invitations:
        """Return the invitations of another process."""
        media: Any = self.shelf
        return Invitations(self.db, media, self.program, lambda: self.at)

    async def share(self) -> Share:
        """Return a new share."""
        return await self.shares.create(self.sharing.user_id, self.sharing.add_track().track_id, Terms())

    async def both(self, share: Share) -> Ways:
        """Return the ways into the mini-program, both of them wanted."""
        return await self.invitations.of(share, wxcode=True, scheme=True)

    async def settle(self) -> None:
        """Make everything that is due."""
        while await self.invitations.make_one():
            continue


@pytest.fixture
async def desk(sharing: Sharing, database_url: str) -> AsyncIterator[Desk]:
    """Yield invitations at noon, none wanted yet."""
    db, passwords = Database(database_url), Passwords()
    async with db.transaction() as tx:
        await tx.execute(delete(rows))
    async with served(Wechat()) as wechat:
        made = Desk(sharing, db, passwords, wechat)
        yield made
        await made.http.close()
        await wechat.close()
    passwords.close()
    await db.close()


async def test_a_code_and_a_link_are_made_in_the_background_and_once(desk: Desk) -> None:
    """What is wanted comes a little later, leads to the share, and is not made again for whoever asks again."""
    share = await desk.share()
    assert await desk.both(share) == Ways(pending=True)
    await desk.settle()
    ways = await desk.both(share)
    assert ways.scheme_url.startswith("weixin://dl/business/?t=")
    assert (bool(ways.wxcode_url), ways.pending) == (True, False)
    (picture,) = desk.shelf.pictures.values()
    assert picture.startswith(b"\x89PNG")
    asked = [json.loads(each.body) for each in desk.wechat.seen if each.path.endswith("getwxacodeunlimit")]
    assert [(each["scene"], each["page"]) for each in asked] == [(share.share_code, "pages/share/index")]
    linked = [json.loads(each.body) for each in desk.wechat.seen if each.path.endswith("generatescheme")]
    assert linked[0]["jump_wxa"]["query"] == f"code={share.share_code}"
    assert await desk.both(share) == ways
    await desk.settle()
    assert (desk.wechat.calls[CODE], desk.wechat.calls[SCHEME]) == (1, 1)


async def test_kinds_are_added_to_what_there_is(desk: Desk) -> None:
    """Asked for one kind first and for the other later, each is made once and only what is asked for is told."""
    share = await desk.share()
    await desk.invitations.of(share, wxcode=True, scheme=False)
    await desk.settle()
    first = await desk.invitations.of(share, wxcode=True, scheme=False)
    assert (bool(first.wxcode_url), first.scheme_url, first.pending) == (True, "", False)
    assert (await desk.both(share)).pending
    await desk.settle()
    both = await desk.both(share)
    assert (both.wxcode_url, bool(both.scheme_url), both.pending) == (first.wxcode_url, True, False)
    assert (desk.wechat.calls[CODE], desk.wechat.calls[SCHEME]) == (1, 1)


async def test_a_link_is_made_anew_before_it_ends_and_a_code_is_for_ever(desk: Desk) -> None:
    """Within two days of its end a link is made anew, while the old one is still told; the code stays."""
    share = await desk.share()
    await desk.both(share)
    await desk.settle()
    first = await desk.both(share)
    desk.at = NOON + timedelta(days=27)
    assert await desk.both(share) == first
    await desk.settle()
    assert desk.wechat.calls[SCHEME] == 1
    desk.at = NOON + timedelta(days=28, seconds=1)
    assert (await desk.both(share)).scheme_url == first.scheme_url
    await desk.settle()
    later = await desk.both(share)
    assert (later.scheme_url != first.scheme_url, later.wxcode_url) == (True, first.wxcode_url)
    assert (desk.wechat.calls[CODE], desk.wechat.calls[SCHEME]) == (1, 2)


@pytest.mark.parametrize("fault", ["busy", "down", "quota", "too_often", "not_allowed", "cut"])
async def test_what_wechat_does_not_give_is_tried_again_later(desk: Desk, fault: str) -> None:
    """While WeChat refuses, the share stands without a code, and the tries grow apart; then the code is there."""
    share = await desk.share()
    await desk.both(share)
    desk.wechat.fail(fault, on="/wxa/", times=1)
    await desk.settle()
    assert (await desk.invitations.of(share, wxcode=False, scheme=False)) == Ways()
    await desk.settle()
    assert desk.shelf.pictures == {}
    desk.at += timedelta(seconds=3)
    await desk.settle()
    assert not (await desk.both(share)).pending


async def test_a_share_does_not_use_up_a_days_quota(desk: Desk) -> None:
    """A code that WeChat never gives is asked for twelve times and no more, the last ones hours apart."""
    pauses = [pause_after(tries) or timedelta() for tries in range(MOST_TRIES)]
    assert pause_after(MOST_TRIES) is None
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1] > timedelta(hours=1)) == (timedelta(seconds=2), True)
    share = await desk.share()
    await desk.invitations.of(share, wxcode=True, scheme=False)
    desk.wechat.fail("quota", on="/wxa/", times=100)
    for _ in range(40):
        await desk.settle()
        desk.at += timedelta(hours=7)
    assert desk.wechat.calls[CODE] == MOST_TRIES + 1


async def test_two_processes_make_one_code(desk: Desk) -> None:
    """Several processes that look at the same moment make each code once."""
    shares = [await desk.share() for _ in range(6)]
    for share in shares:
        await desk.invitations.of(share, wxcode=True, scheme=False)
    others = [desk.opened() for _ in range(4)]

    async def work(process: Invitations) -> None:
        while await process.make_one():
            continue

    await asyncio.gather(*(work(each) for each in others))
    assert desk.wechat.calls[CODE] == 6
    assert len(desk.shelf.pictures) == 6


async def test_what_a_dead_process_had_taken_is_made_by_another(desk: Desk) -> None:
    """A process that dies over a code leaves it to the others after a minute, and the picture is stored once."""
    share = await desk.share()
    await desk.invitations.of(share, wxcode=True, scheme=False)
    desk.wechat.fail("slow", on="/wxa/")
    dying = asyncio.create_task(desk.invitations.make_one())
    await asyncio.sleep(0.3)
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    other = desk.opened()
    assert not await other.make_one()
    desk.at += timedelta(seconds=61)
    assert await other.make_one()
    assert len(desk.shelf.pictures) == 1


async def test_a_deleted_picture_is_made_again(desk: Desk) -> None:
    """When its owner has deleted the picture of a code, it is made anew for whoever asks."""
    share = await desk.share()
    await desk.invitations.of(share, wxcode=True, scheme=False)
    await desk.settle()
    desk.shelf.pictures.clear()
    assert (await desk.invitations.of(share, wxcode=True, scheme=False)).pending
    await desk.settle()
    assert (await desk.invitations.of(share, wxcode=True, scheme=False)).wxcode_url


async def test_without_a_mini_program_there_is_the_literal_link(sharing: Sharing) -> None:
    """Where no mini-program is configured a link of the known form is told, no code, and nothing is awaited."""
    request = pb.CreateShareRequest(
        track_id=sharing.add_track().track_id, share_types=[pb.SHARE_TYPE_WXCODE, pb.SHARE_TYPE_SCHEME]
    )
    answer = await sharing.stub().CreateShare(request, metadata=sharing.metadata())
    assert answer.scheme_url == f"weixin://dl/business/?t={answer.share_code}"
    assert (answer.wxcode_url, answer.pending) == ("", False)
