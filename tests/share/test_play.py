"""Plays of shared songs: counted once for a listening, without keeping who listened."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import delete, select

from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from cadenza.share.v1 import share_service_pb2 as pb
from services.kit.db.engine import Database
from services.kit.passwords import Passwords
from services.kit.rpc.errors import from_rpc
from services.share.domain.play import is_program
from services.share.domain.share import Share, Terms
from services.share.storage.tables import plays as rows
from services.share.storage.tables import shares as share_rows
from services.share.usecases.play import Plays
from services.share.usecases.share import Shares
from tests.share.conftest import Sharing

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
SONG = timedelta(seconds=75)


class Hall:
    """Plays whose time a test sets."""

    def __init__(self, sharing: Sharing, db: Database, passwords: Passwords) -> None:
        self.at = NOON
        self.sharing = sharing
        self.db = db
        composer = TrackServiceStub(sharing.mesh.peers("share").channel("composer"))
        self.shares = Shares(db, composer, lambda: self.at, passwords=passwords)
        self.plays = Plays(db, self.shares, lambda: self.at)

    async def share(self, **terms: Any) -> Share:
        """Return a new share."""
        return await self.shares.create(self.sharing.user_id, self.sharing.add_track().track_id, Terms(**terms))

    async def play(self, share: Share, address: str = "203.0.113.7", agent: str = PHONE) -> int:
        """Return the count after a play."""
        return await self.plays.count(share.share_code, "", address=address, agent=agent)


@pytest.fixture
async def hall(sharing: Sharing, database_url: str) -> AsyncIterator[Hall]:
    """Yield plays at noon, of nothing yet."""
    db, passwords = Database(database_url), Passwords()
    async with db.transaction() as tx:
        await tx.execute(delete(share_rows))
    yield Hall(sharing, db, passwords)
    passwords.close()
    await db.close()


async def test_a_listening_counts_once_however_often_the_page_is_loaded(hall: Hall) -> None:
    """Until the song could have ended the same listener counts once; then again, and another one at any time."""
    share = await hall.share()
    assert [await hall.play(share) for _ in range(5)][-1] <= 1
    hall.at += SONG - timedelta(seconds=1)
    await hall.play(share)
    hall.at += timedelta(seconds=1)
    assert await hall.play(share) == 2
    assert await hall.play(share, "203.0.113.8") == 3
    assert await hall.play(share, agent=PHONE + " WeChat") == 4


async def test_a_short_song_counts_every_half_minute_at_most(hall: Hall) -> None:
    """A song of ten seconds that is started over and over counts every thirty seconds."""
    share = await hall.share()
    for variant in hall.sharing.tracks.tracks[share.track_id].variants:
        variant.duration_ms = 10_000
    counts = []
    for _ in range(7):
        counts.append(await hall.play(share))
        hall.at += timedelta(seconds=10)
    assert max(counts) == 3


async def test_plays_at_one_moment_are_all_counted(hall: Hall) -> None:
    """Forty listeners at the same moment are forty plays, and forty times the same one is one."""
    share, other = await hall.share(), await hall.share()
    await asyncio.gather(*(hall.play(share, f"198.51.100.{number}") for number in range(40)))
    await asyncio.gather(*(hall.play(other) for _ in range(40)))
    assert (await hall.shares.show(share.share_code, "", counted=False)).share.play_count == 40
    assert (await hall.shares.show(other.share_code, "", counted=False)).share.play_count == 1


@pytest.mark.parametrize(
    ("agent", "program"),
    [
        (PHONE, False),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36", False),
        ("Mozilla/5.0 (Linux; Android 12) MicroMessenger/8.0.49", False),
        ("", False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Baiduspider/2.0", True),
        ("facebookexternalhit/1.1", True),
        ("TelegramBot (like TwitterBot)", True),
        ("Slackbot-LinkExpanding 1.0", True),
        ("curl/8.5.0", True),
        ("python-requests/2.32", True),
        ("Go-http-client/2.0", True),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0)", True),
    ],
)
async def test_programs_are_no_listeners(hall: Hall, agent: str, program: bool) -> None:  # noqa: FBT001
    """What looks at a page without anybody listening counts neither as a view nor as a play."""
    assert is_program(agent) is program
    share = await hall.share()
    await hall.shares.show(share.share_code, "", counted=True, agent=agent)
    await hall.play(share, agent=agent)
    kept = (await hall.shares.show(share.share_code, "", counted=False)).share
    assert (kept.view_count, kept.play_count) == ((0, 0) if program else (1, 1))


async def test_nobody_can_be_followed(hall: Hall) -> None:
    """No address is kept; the same listener is another one for another song or day, and is soon forgotten."""
    share, other = await hall.share(), await hall.share()
    await hall.play(share)
    await hall.play(other)

    async def kept() -> list[str]:
        async with hall.db.transaction() as tx:
            return list((await tx.execute(select(rows.c.listener).order_by(rows.c.play_time))).scalars())

    first = await kept()
    assert len(set(first)) == 2
    assert not any("203.0.113" in each or "iPhone" in each for each in first)
    hall.at += timedelta(days=1, seconds=1)
    await hall.play(share)
    (later,) = await kept()
    assert later not in first


async def test_what_shows_nothing_is_not_played(hall: Hall) -> None:
    """A song behind a password, called back or ended is not counted, and the reason is told."""
    locked = await hall.share(password="right one")
    stub = hall.sharing.stub()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PlayShare(pb.PlayShareRequest(share_code=locked.share_code))
    assert from_rpc(caught.value).reason == "SHARE_PASSWORD_REQUIRED"
    ticket = (await stub.UnlockShare(pb.UnlockShareRequest(share_code=locked.share_code, password="right one"))).ticket
    assert (await stub.PlayShare(pb.PlayShareRequest(share_code=locked.share_code, ticket=ticket))).play_count == 1


async def test_the_public_list_by_plays(hall: Hall) -> None:
    """The most played songs come first, page by page, of those played alike the newest; a foreign token is refused."""
    shares = [await hall.share() for _ in range(5)]
    for number, share in enumerate(shares):
        await hall.shares.change(hall.sharing.user_id, share.share_code, Terms(listed=True))
        for listener in range((0, 3, 1, 3, 1)[number]):
            await hall.play(share, f"192.0.2.{listener}")
    wanted = [shares[number].share_code for number in (3, 1, 4, 2, 0)]
    stub, found, token = hall.sharing.stub(), list[str](), ""
    for _ in range(3):
        request = pb.ListPublicSongsRequest(page_size=2, page_token=token, order=pb.PUBLIC_ORDER_MOST_PLAYED)
        page = await stub.ListPublicSongs(request)
        found += [song.share_code for song in page.songs]
        token = page.next_page_token
    assert (found, token) == (wanted, "")
    newest = await stub.ListPublicSongs(pb.ListPublicSongsRequest(page_size=2))
    assert [song.play_count for song in newest.songs] == [1, 3]
    request = pb.ListPublicSongsRequest(page_token=newest.next_page_token, order=pb.PUBLIC_ORDER_MOST_PLAYED)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListPublicSongs(request)
    assert from_rpc(caught.value).reason == "PARAM_INVALID"
