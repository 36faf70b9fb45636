"""What an owner makes of a share: it ends by itself, and asks for a password."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from cadenza.share.v1 import share_service_pb2 as pb
from services.kit.db.engine import Database
from services.kit.errors import DomainError, RemoteError
from services.kit.ids import new_id
from services.kit.passwords import Passwords
from services.kit.rpc.errors import from_rpc
from services.share.domain.share import GUESS_WINDOW, GUESSES_OF_ALL, TICKET_LIFE, Share, State, Terms
from services.share.storage.tables import guesses
from services.share.usecases.listing import PublicList
from services.share.usecases.share import Shares
from tests.share.conftest import Sharing

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
RIGHT, WRONG = "海边1234", "1234"
PLACE = (("x-client-ip", "203.0.113.7"),)


class Timed:
    """Shares whose time a test sets."""

    def __init__(self, sharing: Sharing, db: Database, passwords: Passwords) -> None:
        self.at = NOON
        self.sharing = sharing
        self.db = db
        composer = sharing.mesh.peers("share").channel("composer")

        tracks = TrackServiceStub(composer)
        self.shares = Shares(db, tracks, lambda: self.at, passwords=passwords)
        self.listing = PublicList(db, tracks, lambda: self.at)

    async def share(self, **terms: Any) -> Share:
        """Return a new share under these terms."""
        return await self.shares.create(self.sharing.user_id, self.sharing.add_track().track_id, Terms(**terms))

    async def refused(self, call: Any) -> str:
        """Return the reason for which the call fails."""
        with pytest.raises(DomainError) as caught:
            await call
        return caught.value.reason


@pytest.fixture
async def timed(sharing: Sharing, database_url: str) -> AsyncIterator[Timed]:
    """Yield shares at noon."""
    db, passwords = Database(database_url), Passwords()
    yield Timed(sharing, db, passwords)
    passwords.close()
    await db.close()


async def _made(sharing: Sharing, **terms: Any) -> pb.Share:
    request = pb.CreateShareRequest(track_id=sharing.add_track().track_id, **terms)
    return (await sharing.stub().CreateShare(request, metadata=sharing.metadata())).share


async def _changed(sharing: Sharing, code: str, **terms: Any) -> pb.Share:
    request = pb.UpdateShareRequest(share_code=code, **terms)
    return (await sharing.stub().UpdateShare(request, metadata=sharing.metadata())).share


async def _opened(sharing: Sharing, code: str, ticket: str = "") -> pb.SharedTrack:
    return (await sharing.stub().ResolveShare(pb.ResolveShareRequest(share_code=code, ticket=ticket))).shared_track


async def _unlocked(sharing: Sharing, code: str, password: str, place: Any = PLACE) -> pb.UnlockShareResponse:
    request = pb.UnlockShareRequest(share_code=code, password=password)
    return await sharing.stub().UnlockShare(request, metadata=place)


async def _refusal(call: Any) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def test_a_share_ends_by_itself(timed: Timed) -> None:
    """A share opens until the second at which its time is over, and says from then on that it has ended."""
    share = await timed.share(lifetime_s=3600)
    assert share.expire_time == NOON + timedelta(hours=1)
    timed.at = NOON + timedelta(seconds=3599)
    assert (await timed.shares.show(share.share_code, "", counted=True)).title == "夏天的风"
    timed.at = NOON + timedelta(hours=1)
    assert await timed.refused(timed.shares.show(share.share_code, "", counted=True)) == "SHARE_EXPIRED"
    assert await timed.refused(timed.shares.unlock(share.share_code, "", "")) == "SHARE_EXPIRED"
    assert timed.shares.is_over(share)


async def test_the_end_can_be_moved_and_taken_off(timed: Timed) -> None:
    """An owner can give an ended share more time, or no end at all, and it opens again."""
    share = await timed.share(lifetime_s=60)
    timed.at = NOON + timedelta(hours=2)
    moved = await timed.shares.change(timed.sharing.user_id, share.share_code, Terms(lifetime_s=60))
    assert moved.expire_time == timed.at + timedelta(minutes=1)
    assert (await timed.shares.show(share.share_code, "", counted=False)).title
    endless = await timed.shares.change(timed.sharing.user_id, share.share_code, Terms(lifetime_s=0))
    assert endless.expire_time is None


async def test_what_is_over_begins_anew_when_it_is_shared_again(timed: Timed) -> None:
    """Sharing the track of an ended share makes its code valid again, without end, password and listing."""
    share = await timed.share(lifetime_s=60, password=RIGHT)
    again = Terms()
    same = await timed.shares.create(timed.sharing.user_id, share.track_id, again)
    assert same == share
    timed.at = NOON + timedelta(hours=2)
    anew = await timed.shares.create(timed.sharing.user_id, share.track_id, again)
    assert (anew.share_code, anew.expire_time, anew.password_hash) == (share.share_code, None, "")


async def test_a_called_back_share_keeps_no_password(timed: Timed) -> None:
    """A share that was called back and is made again asks for no password that nobody remembers."""
    share = await timed.share(password=RIGHT)
    await timed.shares.revoke(timed.sharing.user_id, share.share_code)
    assert await timed.refused(timed.shares.unlock(share.share_code, RIGHT, "")) == "SHARE_REVOKED"
    anew = await timed.shares.create(timed.sharing.user_id, share.track_id, Terms())
    assert (anew.state, anew.password_hash) == (State.ACTIVE, "")


async def test_a_song_that_has_ended_is_on_no_list(timed: Timed) -> None:
    """A listed share leaves the public list at its end, by itself."""
    share = await timed.share(lifetime_s=3600)
    await timed.shares.change(timed.sharing.user_id, share.share_code, Terms(listed=True))

    async def codes() -> list[str]:
        songs, _ = await timed.listing.page("", "", page_size=100, page_token="")
        return [each.share.share_code for each in songs]

    assert share.share_code in await codes()
    timed.at = NOON + timedelta(hours=1)
    assert share.share_code not in await codes()


async def test_only_a_ticket_opens_a_locked_share(sharing: Sharing) -> None:
    """A share with a password shows nothing without the ticket that its password gives, and says what is missing."""
    made = await _made(sharing, password=RIGHT)
    assert made.locked
    for ticket in ("", "x", "9999999999." + "A" * 43):
        error = await _refusal(_opened(sharing, made.share_code, ticket))
        assert error.reason == "SHARE_PASSWORD_REQUIRED"
    ticket = (await _unlocked(sharing, made.share_code, RIGHT)).ticket
    assert (await _opened(sharing, made.share_code, ticket)).title == "夏天的风"
    assert RIGHT not in str(made)


async def test_a_ticket_ends_and_is_of_one_share(timed: Timed) -> None:
    """A ticket opens its own share for twelve hours and no other one with the same password."""
    share, other = await timed.share(password=RIGHT), await timed.share(password=RIGHT)
    ticket, end = await timed.shares.unlock(share.share_code, RIGHT, "")
    assert end == NOON + TICKET_LIFE
    assert await timed.refused(timed.shares.show(other.share_code, ticket, counted=False)) == "SHARE_PASSWORD_REQUIRED"
    late = ticket.replace(str(int(end.timestamp())), str(int(end.timestamp()) + 9))
    assert await timed.refused(timed.shares.show(share.share_code, late, counted=False)) == "SHARE_PASSWORD_REQUIRED"
    timed.at = end - timedelta(seconds=1)
    assert (await timed.shares.show(share.share_code, ticket, counted=False)).title
    timed.at = end
    assert await timed.refused(timed.shares.show(share.share_code, ticket, counted=False)) == "SHARE_PASSWORD_REQUIRED"


async def test_another_password_ends_every_ticket(sharing: Sharing) -> None:
    """A ticket of the password before opens nothing once the password is another one, and none is needed without."""
    made = await _made(sharing, password=RIGHT)
    ticket = (await _unlocked(sharing, made.share_code, RIGHT)).ticket
    await _changed(sharing, made.share_code, password="another one")
    assert (await _refusal(_opened(sharing, made.share_code, ticket))).reason == "SHARE_PASSWORD_REQUIRED"
    assert (await _refusal(_unlocked(sharing, made.share_code, RIGHT))).reason == "SHARE_PASSWORD_WRONG"
    assert not (await _changed(sharing, made.share_code, password="")).locked
    assert (await _opened(sharing, made.share_code)).title
    assert (await _unlocked(sharing, made.share_code, "whatever")).ticket


async def test_guesses_from_one_place_are_bounded(timed: Timed) -> None:
    """After five wrong passwords from one place even the right one waits there, while others get in."""
    share = await timed.share(password=RIGHT)
    wrong = [await timed.refused(timed.shares.unlock(share.share_code, WRONG, "10.0.0.1")) for _ in range(6)]
    assert wrong == ["SHARE_PASSWORD_WRONG"] * 5 + ["RATE_LIMITED"]
    assert await timed.refused(timed.shares.unlock(share.share_code, RIGHT, "10.0.0.1")) == "RATE_LIMITED"
    assert await timed.shares.unlock(share.share_code, RIGHT, "10.0.0.2")
    timed.at += GUESS_WINDOW
    assert await timed.shares.unlock(share.share_code, RIGHT, "10.0.0.1")


async def test_guesses_at_one_moment_are_counted_one_by_one(timed: Timed) -> None:
    """Of twenty wrong passwords at the same moment from one place five are looked at."""
    share = await timed.share(password=RIGHT)
    told = await asyncio.gather(
        *(timed.refused(timed.shares.unlock(share.share_code, WRONG, "10.0.0.1")) for _ in range(20))
    )
    assert sorted(told) == ["RATE_LIMITED"] * 15 + ["SHARE_PASSWORD_WRONG"] * 5


async def test_guesses_from_everywhere_are_bounded(timed: Timed) -> None:
    """Somebody with many addresses has no more guesses at one share than a hundred in the window."""
    share = await timed.share(password=RIGHT)
    told = [
        await timed.refused(timed.shares.unlock(share.share_code, WRONG, f"10.1.0.{number}"))
        for number in range(GUESSES_OF_ALL + 1)
    ]
    assert told == ["SHARE_PASSWORD_WRONG"] * GUESSES_OF_ALL + ["RATE_LIMITED"]


async def test_no_address_is_kept(timed: Timed) -> None:
    """While wrong passwords are counted, no address is stored; and a place that knows the right one is forgotten."""
    share = await timed.share(password=RIGHT)
    await timed.refused(timed.shares.unlock(share.share_code, WRONG, "203.0.113.7"))

    async def kept() -> list[str]:
        async with timed.db.transaction() as tx:
            rows = await tx.execute(select(guesses.c.place).where(guesses.c.share_id == share.share_id))
            return list(rows.scalars())

    (place,) = await kept()
    assert len(place) == 64
    assert "203.0.113" not in place
    await timed.shares.unlock(share.share_code, RIGHT, "203.0.113.7")
    assert await kept() == []


async def test_a_locked_share_is_on_no_list(sharing: Sharing) -> None:
    """A password takes a share off the public list, and one that has a password cannot be put on it."""
    made = await _made(sharing)
    assert (await _changed(sharing, made.share_code, listed=True)).listed
    locked = await _changed(sharing, made.share_code, password=RIGHT)
    assert (locked.listed, locked.category, locked.locked) == (False, "", True)
    for terms in ({"listed": True}, {"listed": True, "password": "other"}):
        error = await _refusal(_changed(sharing, made.share_code, **terms))
        assert (error.reason, "listed" in str(error.metadata)) == ("PARAM_INVALID", True)
    assert (await _changed(sharing, made.share_code, listed=True, password="")).listed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lifetime_s", 59),
        ("lifetime_s", -1),
        ("lifetime_s", 315_360_001),
        ("password", "abc"),
        ("password", "x" * 65),
    ],
)
async def test_terms_have_limits(sharing: Sharing, field: str, value: Any) -> None:
    """A time or password outside its limits is refused by the name of its field, and nothing is changed."""
    made = await _made(sharing)
    error = await _refusal(_changed(sharing, made.share_code, **{field: value}))
    assert (error.reason, field in str(error.metadata)) == ("PARAM_INVALID", True)
    listed = await sharing.stub().ListShares(pb.ListSharesRequest(), metadata=sharing.metadata())
    assert (listed.shares[0].locked, listed.shares[0].HasField("expire_time")) == (False, False)


async def test_terms_are_the_owners(sharing: Sharing) -> None:
    """Nobody else can change a share's end or password; they are told that there is no such share."""
    made = await _made(sharing)
    request = pb.UpdateShareRequest(share_code=made.share_code, password="mine now")
    stranger = sharing.metadata(new_id())
    assert (await _refusal(sharing.stub().UpdateShare(request, metadata=stranger))).reason == "SHARE_NOT_FOUND"
    assert (await _opened(sharing, made.share_code)).title


async def test_an_ended_share_is_listed_as_ended(sharing: Sharing, timed: Timed) -> None:
    """Its owner sees an ended share among theirs, marked as ended."""
    timed.at = datetime(2020, 1, 1, tzinfo=UTC)
    await timed.share(lifetime_s=60)
    listed = await sharing.stub().ListShares(pb.ListSharesRequest(), metadata=sharing.metadata())
    assert [each.state for each in listed.shares] == [pb.Share.STATE_EXPIRED]
