"""The public list of songs: on it only by their owner's word, and off it at once."""

from typing import Any

import grpc
import pytest
from sqlalchemy import delete

from cadenza.composer.v1 import standing_pb2
from cadenza.composer.v1 import track_service_pb2 as composer
from cadenza.share.v1 import share_service_pb2 as pb
from services.kit.db.engine import Database
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.share.storage.tables import shares
from tests.share.conftest import Sharing


@pytest.fixture(autouse=True)
async def nothing_listed(database_url: str) -> None:
    """Begin with an empty list."""
    db = Database(database_url)
    async with db.transaction() as tx:
        await tx.execute(delete(shares))
    await db.close()


async def _share(sharing: Sharing, track: composer.Track) -> str:
    answer = await sharing.stub().CreateShare(
        pb.CreateShareRequest(track_id=track.track_id), metadata=sharing.metadata()
    )
    assert not answer.share.listed
    return answer.share_code


async def _list(sharing: Sharing, code: str, *, listed: bool | None = True, user_id: str = "") -> pb.Share:
    request = pb.UpdateShareRequest(share_code=code)
    if listed is not None:
        request.listed = listed
    return (await sharing.stub().UpdateShare(request, metadata=sharing.metadata(user_id))).share


async def _public(sharing: Sharing, **request: Any) -> pb.ListPublicSongsResponse:
    """Return what a stranger without a token sees."""
    return await sharing.stub().ListPublicSongs(pb.ListPublicSongsRequest(**request))


async def _codes(sharing: Sharing, **request: Any) -> list[str]:
    return [song.share_code for song in (await _public(sharing, **request)).songs]


async def _refusal(call: Any) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def test_a_shared_song_is_listed_only_when_its_owner_says_so(sharing: Sharing) -> None:
    """A share is on no list until its owner puts it there; then anybody sees it under the style of what is heard."""
    code = await _share(sharing, sharing.add_track())
    assert await _codes(sharing) == []
    assert (await _refusal(_list(sharing, code, user_id=new_id()))).reason == "SHARE_NOT_FOUND"
    assert await _codes(sharing) == []

    made = await _list(sharing, code)
    assert (made.listed, made.category) == (True, "style B")
    (song,) = (await _public(sharing, category="style B")).songs
    assert (song.share_code, song.title, song.audio_url) == (
        code,
        "夏天的风",
        f"https://cadenza.example/s/{code}/audio",
    )
    assert list(song.chords) == []
    assert await _codes(sharing, category="style A") == []
    assert (await _list(sharing, code, listed=None)).listed

    off = await _list(sharing, code, listed=False)
    assert (off.listed, off.category) == (False, "")
    assert await _codes(sharing) == []


async def test_what_is_called_back_or_gone_is_on_no_list(sharing: Sharing) -> None:
    """A revoked share leaves the list and shared anew stays off it; a song whose track is gone is passed over."""
    tracks = [sharing.add_track() for _ in range(3)]
    code, gone, kept = [await _share(sharing, track) for track in tracks]
    for each in (code, gone, kept):
        await _list(sharing, each)
    await sharing.stub().RevokeShare(pb.RevokeShareRequest(share_code=code), metadata=sharing.metadata())
    assert (await _refusal(_list(sharing, code))).reason == "SHARE_REVOKED"
    assert await _share(sharing, tracks[0]) == code
    del sharing.tracks.owners[tracks[1].track_id]

    assert await _codes(sharing) == [kept]
    assert (await _refusal(_list(sharing, gone))).reason == "SHARE_REVOKED"


async def test_the_list_is_paged_by_cursor(sharing: Sharing) -> None:
    """Pages of two bring every listed song once, the newest share first, though one comes in between."""
    made = [await _share(sharing, sharing.add_track()) for _ in range(5)]
    for code in made[::-1]:
        await _list(sharing, code)
    seen: list[str] = []
    token = ""
    while True:
        page = await _public(sharing, page_size=2, page_token=token)
        seen += [song.share_code for song in page.songs]
        token = page.next_page_token
        if len(seen) == 2:
            await _list(sharing, await _share(sharing, sharing.add_track()))
        if not token:
            break

    assert seen == made[::-1]
    assert (await _refusal(_public(sharing, page_token="nonsense!"))).metadata["field"] == "page_token"


@pytest.mark.parametrize(
    ("standing", "shared", "listed"),
    [
        (standing_pb2.STANDING_UNSPECIFIED, "", ""),
        (standing_pb2.STANDING_PASS, "", ""),
        (standing_pb2.STANDING_PENDING, "", "CONTENT_IN_REVIEW"),
        (standing_pb2.STANDING_REVIEW, "CONTENT_IN_REVIEW", "CONTENT_IN_REVIEW"),
        (standing_pb2.STANDING_RISKY, "CONTENT_REJECTED", "CONTENT_REJECTED"),
    ],
)
async def test_only_what_passes_is_shown(sharing: Sharing, standing: Any, shared: str, listed: str) -> None:
    """A song is shared while its sound waits and listed once it passes; a later verdict closes both."""
    track = sharing.add_track()
    code = await _share(sharing, track)
    assert (await _list(sharing, code)).listed
    track.standing = standing
    assert (await _codes(sharing) == [code]) is not bool(listed)
    again = sharing.stub().CreateShare(pb.CreateShareRequest(track_id=track.track_id), metadata=sharing.metadata())
    opened = sharing.stub().ResolveShare(pb.ResolveShareRequest(share_code=code))
    if shared:
        assert (await _refusal(again)).reason == shared
        assert (await _refusal(opened)).reason == "SHARE_REVOKED"
    else:
        assert (await again).share_code == code
        assert (await opened).shared_track.title
    if listed:
        assert (await _refusal(_list(sharing, code))).reason == listed
    else:
        assert (await _list(sharing, code)).listed


async def test_a_search_finds_words_and_goes_on_where_it_stopped(
    sharing: Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed songs are found by title or words, in order; a call looks at so many and its token goes on behind them."""
    monkeypatch.setattr("services.share.usecases.listing._BATCH", 3)
    monkeypatch.setattr("services.share.usecases.listing._MOST_BATCHES", 2)
    wanted = []
    for number in range(14):
        track = sharing.add_track()
        track.title = "月光" if number in {0, 1, 12} else "wind"
        track.lyrics = "la 月光 la" if number == 5 else "la"
        code = await _share(sharing, track)
        await _list(sharing, code)
        if "月光" in track.title + track.lyrics:
            wanted.append(code)
    for order in (pb.PUBLIC_ORDER_NEWEST, pb.PUBLIC_ORDER_MOST_PLAYED):
        found, token, calls = list[str](), "", 0
        while True:
            before = sharing.tracks.described
            page = await _public(sharing, query="月光", page_size=2, page_token=token, order=order)
            assert sharing.tracks.described - before <= 6
            assert len(page.songs) <= 2
            found += [song.share_code for song in page.songs]
            token, calls = page.next_page_token, calls + 1
            if not token:
                break
            assert calls < 20
        assert found == wanted[::-1]
    assert await _codes(sharing, query="no such words") == []
