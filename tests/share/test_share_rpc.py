"""Shares through the contract: made, opened, listed, called back."""

import asyncio
from typing import Any

import grpc
import pytest

from cadenza.composer.v1 import track_service_pb2 as composer
from cadenza.share.v1 import share_service_pb2 as pb
from services.kit.db.migrate import check
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.share.domain.share import is_code
from tests.share.conftest import Sharing


async def share(sharing: Sharing, track_id: str, user_id: str = "") -> pb.Share:
    """Return the share of a track."""
    request = pb.CreateShareRequest(track_id=track_id)
    answer = await sharing.stub().CreateShare(request, metadata=sharing.metadata(user_id))
    assert (answer.share_code, answer.link_url) == (answer.share.share_code, answer.share.link_url)
    return answer.share


async def open_page(sharing: Sharing, share_code: str, method: str = "GET") -> pb.SharedTrack:
    """Return what a stranger sees."""
    request = pb.ResolveShareRequest(share_code=share_code)
    return (await sharing.stub().ResolveShare(request, metadata=(("x-http-method", method),))).shared_track


async def revoke(sharing: Sharing, share_code: str, user_id: str = "") -> pb.Share:
    """Return the share, called back."""
    request = pb.RevokeShareRequest(share_code=share_code)
    return (await sharing.stub().RevokeShare(request, metadata=sharing.metadata(user_id))).share


async def listed(sharing: Sharing, **request: Any) -> pb.ListSharesResponse:
    """Return a page of the person's shares."""
    return await sharing.stub().ListShares(pb.ListSharesRequest(**request), metadata=sharing.metadata())


async def sound_of(sharing: Sharing, share_code: str) -> str:
    """Return where the gateway finds the sound."""
    return (await sharing.stub().OpenSound(pb.OpenSoundRequest(share_code=share_code))).url


async def refusal(call: Any) -> RemoteError:
    """Return the error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def test_sung_words_come_with_their_times(sharing: Sharing) -> None:
    """A share of a sung variant has its lines and the time of every syllable, those of the variant that is heard."""
    track = sharing.add_track()
    made = await share(sharing, track.track_id)
    assert list((await open_page(sharing, made.share_code)).lines) == []
    for number, variant in enumerate(track.variants):
        sung = variant.lines.add(text="la la", start_ms=1000 * number, end_ms=1000 * number + 900)
        sung.syllables.add(text="la ", start_ms=1000 * number, end_ms=1000 * number + 400)
    shown = await open_page(sharing, made.share_code)
    heard = next(number for number, each in enumerate(track.variants) if each.recommended)
    (line,) = shown.lines
    assert (line.text, line.start_ms, line.end_ms) == ("la la", 1000 * heard, 1000 * heard + 900)
    assert [(each.text, each.end_ms) for each in line.syllables] == [("la ", 1000 * heard + 400)]


async def test_opened(sharing: Sharing) -> None:
    """Anybody with the code sees the track as it is now, its recommended variant until one is chosen."""
    track = sharing.add_track()
    made = await share(sharing, track.track_id)

    assert is_code(made.share_code)
    assert made.link_url == f"https://cadenza.example/s/{made.share_code}"
    shown = await open_page(sharing, made.share_code)
    assert (shown.title, shown.lyrics, shown.cover_url) == ("夏天的风", "la la", f"{made.link_url}/cover")
    assert shown.provider == "offline"
    assert (shown.audio_url, shown.style, shown.duration_ms) == (f"{made.link_url}/audio", "style B", 75_000)
    assert await sound_of(sharing, made.share_code) == "http://127.0.0.1/B.mp3"
    assert (shown.key, shown.tempo_bpm, list(shown.peaks), list(shown.chords)) == (
        "D major",
        96.5,
        [1, 100],
        ["D", "A7"],
    )
    assert (shown.share_code, shown.link_url) == (made.share_code, made.link_url)
    track.chosen_variant_id = track.variants[0].variant_id
    track.title = "秋天"
    shown = await open_page(sharing, made.share_code)
    assert (shown.title, shown.style) == ("秋天", "style A")
    assert await sound_of(sharing, made.share_code) == "http://127.0.0.1/A.mp3"
    cover = await sharing.stub().OpenSound(pb.OpenSoundRequest(share_code=made.share_code, cover=True))
    assert cover.url == "http://127.0.0.1/cover.png"


async def test_a_sound_is_as_open_as_its_share(sharing: Sharing) -> None:
    """Only the gateway is told where a sound lies, and not of a share that was called back or asks for a password."""
    made = await share(sharing, sharing.add_track().track_id)
    asked = pb.OpenSoundRequest(share_code=made.share_code)
    for caller in ("composer", "edge"):
        assert (await refusal(sharing.stub(caller).OpenSound(asked))).reason == "PERMISSION_DENIED"
    locked = pb.UpdateShareRequest(share_code=made.share_code, password="right one")
    await sharing.stub().UpdateShare(locked, metadata=sharing.metadata())
    assert (await refusal(sharing.stub().OpenSound(asked))).reason == "SHARE_PASSWORD_REQUIRED"
    key = pb.UnlockShareRequest(share_code=made.share_code, password="right one")
    ticket = (await sharing.stub().UnlockShare(key)).ticket
    opened = pb.ResolveShareRequest(share_code=made.share_code, ticket=ticket)
    url = (await sharing.stub().ResolveShare(opened)).shared_track.audio_url
    assert url == f"{made.link_url}/audio?ticket={ticket}"
    await revoke(sharing, made.share_code)
    asked.ticket = ticket
    assert (await refusal(sharing.stub().OpenSound(asked))).reason == "SHARE_REVOKED"


async def test_same_code(sharing: Sharing) -> None:
    """The same track keeps its code, also when it is shared at the same time twice."""
    track = sharing.add_track()
    both = await asyncio.gather(*(share(sharing, track.track_id) for _ in range(4)))

    assert len({each.share_code for each in both}) == 1
    assert len((await listed(sharing)).shares) == 1


async def test_views(sharing: Sharing) -> None:
    """Every opening counts, but none that only asks whether the page is there, and none of a page that is not."""
    made = await share(sharing, sharing.add_track().track_id)
    await asyncio.gather(*(open_page(sharing, made.share_code) for _ in range(3)))
    await open_page(sharing, made.share_code, "HEAD")
    assert (await listed(sharing)).shares[0].view_count == 3

    await revoke(sharing, made.share_code)
    await refusal(open_page(sharing, made.share_code))
    assert (await listed(sharing)).shares[0].view_count == 3


async def test_revoked(sharing: Sharing) -> None:
    """A share that was called back says so, again and again, until its owner shares the track anew."""
    track = sharing.add_track()
    made = await share(sharing, track.track_id)
    first = await revoke(sharing, made.share_code)
    second = await revoke(sharing, made.share_code)

    assert first.state == pb.Share.STATE_REVOKED
    assert first.revoke_time == second.revoke_time
    error = await refusal(open_page(sharing, made.share_code))
    assert (error.reason, error.metadata["share_code"]) == ("SHARE_REVOKED", made.share_code)
    again = await share(sharing, track.track_id)
    assert (again.share_code, again.state, again.HasField("revoke_time")) == (
        made.share_code,
        pb.Share.STATE_ACTIVE,
        False,
    )
    assert (await open_page(sharing, made.share_code)).title


@pytest.mark.parametrize("code", ["zyxwvutsrq", "x", "0000000000", "'; DROP TABLE"])
async def test_unknown(sharing: Sharing, code: str) -> None:
    """An unknown code is not found, for whoever asks and whatever for."""
    assert (await refusal(open_page(sharing, code))).reason == "SHARE_NOT_FOUND"
    assert (await refusal(revoke(sharing, code))).reason == "SHARE_NOT_FOUND"


async def test_strangers(sharing: Sharing) -> None:
    """Nobody shares another person's track, calls back another person's share, or sees it in their list."""
    track = sharing.add_track()
    made = await share(sharing, track.track_id)
    stranger = new_id()

    assert (await refusal(share(sharing, track.track_id, stranger))).reason == "NOT_FOUND"
    assert (await refusal(revoke(sharing, made.share_code, stranger))).reason == "SHARE_NOT_FOUND"
    request = pb.ListSharesRequest()
    theirs = await sharing.stub().ListShares(request, metadata=sharing.metadata(stranger))
    assert list(theirs.shares) == []
    assert (await open_page(sharing, made.share_code)).title


@pytest.mark.parametrize(
    "state", [composer.Track.STATE_GENERATING, composer.Track.STATE_FAILED, composer.Track.STATE_CANCELLED]
)
async def test_not_ready(sharing: Sharing, state: composer.Track.State.ValueType) -> None:
    """Only a track that can be heard is shared."""
    error = await refusal(share(sharing, sharing.add_track(state).track_id))

    assert error.reason == "SHARE_NOT_ALLOWED"
    assert (await listed(sharing)).shares == []


async def test_deleted_track(sharing: Sharing) -> None:
    """The share of a deleted track stops working."""
    track = sharing.add_track()
    made = await share(sharing, track.track_id)
    del sharing.tracks.owners[track.track_id]

    assert (await refusal(open_page(sharing, made.share_code))).reason == "SHARE_REVOKED"


async def test_composer_away(sharing: Sharing) -> None:
    """While Composer is away a share is unavailable, which is not the same as called back."""
    made = await share(sharing, sharing.add_track().track_id)
    sharing.mesh.remove("composer")

    assert (await refusal(open_page(sharing, made.share_code))).reason == "SERVICE_UNAVAILABLE"


async def test_list(sharing: Sharing) -> None:
    """The list pages through every share once, newest first, and takes no foreign token."""
    made = [(await share(sharing, sharing.add_track().track_id)).share_id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await listed(sharing, page_size=2, page_token=token)
        seen += [each.share_id for each in page.shares]
        token = page.next_page_token
        if not token:
            break

    assert seen == made[::-1]
    error = await refusal(listed(sharing, page_token="nonsense!"))
    assert error.metadata["field"] == "page_token"


async def test_code_taken(sharing: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that another share has is drawn anew."""
    first = await share(sharing, sharing.add_track().track_id)
    draws = iter([first.share_code, "abcdefghjk"])
    monkeypatch.setattr("services.share.domain.share.new_code", lambda: next(draws))

    assert (await share(sharing, sharing.add_track().track_id)).share_code == "abcdefghjk"


async def test_without_token(sharing: Sharing) -> None:
    """Opening needs no token, everything else does."""
    stub = sharing.stub()
    calls = (
        stub.CreateShare(pb.CreateShareRequest(track_id=new_id())),
        stub.ListShares(pb.ListSharesRequest()),
        stub.RevokeShare(pb.RevokeShareRequest(share_code="abcdefghjk")),
    )

    assert {(await refusal(call)).reason for call in calls} == {"AUTH_REQUIRED"}


def test_tables_equal_migrations(database_url: str) -> None:
    """The tables in the code are those that the migrations make."""
    assert check(database_url, "share") == []
