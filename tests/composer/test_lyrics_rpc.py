"""The lyrics service as its callers see it, with the real Wallet and the offline writer."""

from typing import Any

import grpc.aio
import pytest
from sqlalchemy import func, select

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from cadenza.job.v1 import job_pb2
from services.composer.storage.tables import lyrics, lyrics_versions
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio


async def generate(studio: Studio, **wishes: Any) -> pb.GenerateLyricsResponse:
    """Return what GenerateLyrics answers the person."""
    request = pb.GenerateLyricsRequest(**{"theme": "海边的夏天", **wishes})
    return await studio.lyrics().GenerateLyrics(request, metadata=studio.metadata(), timeout=50)


async def rows(studio: Studio) -> int:
    """Return how many lyrics the person has, put away or not."""
    async with studio.db.transaction() as tx:
        query = select(func.count()).select_from(lyrics).where(lyrics.c.user_id == studio.user_id)
        return int(await tx.scalar(query) or 0)


async def test_two_versions_for_ten_credits(studio: Studio) -> None:
    """One call answers with two finished versions, of ten credits, and the ledger shows them once."""
    answer = await generate(studio, style="民谣", mood="治愈")
    assert [each.label for each in answer.versions] == ["A", "B"]
    assert answer.versions == answer.lyrics.versions
    assert (answer.cost_credits, answer.remaining_credits) == (10, 90)
    assert answer.lyrics.state == pb.Lyrics.STATE_READY
    assert answer.job.state == job_pb2.JOB_STATE_COMPLETED
    assert answer.request_id == answer.lyrics.lyrics_id
    for version in answer.versions:
        assert version.provider == "offline"
        assert version.model
        assert version.language == pb.Lyrics.LANGUAGE_ZH
        assert {section.kind for section in version.sections} == {"verse", "chorus", "bridge"}
        assert len(version.form) == len(version.sections)
        assert all(section.lines for section in version.sections)
        assert version.content.startswith("[verse]\n")
        assert "海边的夏天" in version.content
    assert answer.versions[0].content != answer.versions[1].content
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)
    assert await studio.entries() == [-10, 100]


async def test_order_of_work(studio: Studio) -> None:
    """The log of the job shows the order: made, priced and queued, begun, written, completed."""
    answer = await generate(studio)
    async with studio.db.transaction() as tx:
        events = await studio.queue.events(tx, answer.job.job_id)
    assert [each.message for each in events] == ["created", "queued", "attempt 1", "started", "finished", "completed"]
    assert events[-1].final
    assert {each.step for each in events[3:]} == {"lyrics_write"}


async def test_same_words_again(studio: Studio) -> None:
    """A repeat with the same request id returns the first answer and costs nothing; another wish is refused."""
    first = await generate(studio, request_id="again", seed=7)
    second = await generate(studio, request_id="again", seed=7)
    assert first == second
    assert first.request_id == "again"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await generate(studio, request_id="again", seed=8)
    assert from_rpc(refused.value).reason == "IDEMPOTENCY_KEY_REUSED"
    assert await rows(studio) == 1
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (90, 0)


async def test_seed(studio: Studio) -> None:
    """The same wishes and seed give the same words, which a person can ask for again."""
    texts = [[each.content for each in (await generate(studio, seed=seed)).versions] for seed in (7, 7, 8)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


async def test_too_few_credits(studio: Studio) -> None:
    """Ten calls are paid for, the eleventh is refused and leaves nothing."""
    for _ in range(10):
        await generate(studio)
    await studio.charge.dispatcher.drain()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await generate(studio)
    assert from_rpc(refused.value).reason == "INSUFFICIENT_CREDITS"
    assert await rows(studio) == 10
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (0, 0)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"theme": ""}, "theme"),
        ({"theme": "x" * 201}, "theme"),
        ({"theme": "🤖🎸"}, "theme"),
        ({"theme": "<b></b>"}, "theme"),
        ({"theme": "שלום"}, "theme"),
        ({"style": "x" * 65}, "style"),
        ({"mood": "x" * 65}, "mood"),
        ({"title": "x" * 129}, "title"),
        ({"language": 9}, "language"),
        ({"keywords": ["x"] * 9}, "keywords"),
        ({"keywords": ["x" * 33]}, "keywords[0]"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
async def test_wishes_nobody_can_have(studio: Studio, wish: dict[str, Any], field: str) -> None:
    """A wish outside its limits is refused with the name of its field and costs nothing."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await generate(studio, **wish)
    error = from_rpc(refused.value)
    assert error.reason == "PARAM_INVALID"
    assert [each.field for each in error.violations] == [field]
    assert await rows(studio) == 0
    assert await studio.balance() == (100, 0)


async def test_markup_is_no_part_of_the_words(studio: Studio) -> None:
    """Tags in a wish are stripped, from what is kept and from what is sung."""
    answer = await generate(studio, theme="<script>x</script>我的猫", title="<b>猫</b>", keywords=["<i>", "鱼"])
    assert (answer.lyrics.theme, answer.lyrics.title, list(answer.lyrics.keywords)) == ("x我的猫", "猫", ["鱼"])
    assert not any(mark in version.content for version in answer.versions for mark in "<>")
    assert {version.title for version in answer.versions} == {"猫"}


async def test_languages(studio: Studio) -> None:
    """The language asked for wins over that of the theme; left open, the theme decides."""
    chinese, english, asked = (
        await generate(studio, theme="the sea", language=pb.Lyrics.LANGUAGE_ZH),
        await generate(studio, theme="my blue bicycle"),
        await generate(studio, theme="海", language=pb.Lyrics.LANGUAGE_EN),
    )
    assert chinese.versions[0].language == pb.Lyrics.LANGUAGE_ZH
    assert english.versions[0].language == pb.Lyrics.LANGUAGE_EN
    assert asked.versions[0].language == pb.Lyrics.LANGUAGE_EN
    assert english.lyrics.language == pb.Lyrics.LANGUAGE_AUTO


async def test_history(studio: Studio) -> None:
    """Pages hold all lyrics once, the newest first; what was put away is gone, and stays gone."""
    made = [(await generate(studio, theme=f"歌{number}")).lyrics for number in range(3)]
    stub, me = studio.lyrics(), studio.metadata()
    first = await stub.ListLyrics(pb.ListLyricsRequest(page_size=2), metadata=me)
    second = await stub.ListLyrics(pb.ListLyricsRequest(page_size=2, page_token=first.next_page_token), metadata=me)
    assert [each.lyrics_id for each in (*first.lyrics, *second.lyrics)] == [each.lyrics_id for each in reversed(made)]
    assert not second.next_page_token
    assert first.lyrics[0].versions
    gone = pb.DeleteLyricsRequest(lyrics_id=made[0].lyrics_id)
    await stub.DeleteLyrics(gone, metadata=me)
    await stub.DeleteLyrics(gone, metadata=me)
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await stub.GetLyrics(pb.GetLyricsRequest(lyrics_id=made[0].lyrics_id), metadata=me)
    assert from_rpc(missing.value).reason == "NOT_FOUND"
    left = await stub.ListLyrics(pb.ListLyricsRequest(), metadata=me)
    assert [each.lyrics_id for each in left.lyrics] == [made[2].lyrics_id, made[1].lyrics_id]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListLyrics(pb.ListLyricsRequest(page_token="nonsense"), metadata=me)
    assert from_rpc(refused.value).reason == "PARAM_INVALID"


async def test_other_peoples_lyrics_are_not_there(studio: Studio) -> None:
    """Every method answers NOT_FOUND for another person's lyrics, as for none, and changes nothing."""
    made = (await generate(studio)).lyrics
    owner = studio.user_id
    await studio.new_user()
    stub, me = studio.lyrics(), studio.metadata()
    for lyrics_id in (made.lyrics_id, new_id()):
        for call in (
            stub.GetLyrics(pb.GetLyricsRequest(lyrics_id=lyrics_id), metadata=me),
            stub.DeleteLyrics(pb.DeleteLyricsRequest(lyrics_id=lyrics_id), metadata=me),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert from_rpc(refused.value).reason == "NOT_FOUND"
    assert not (await stub.ListLyrics(pb.ListLyricsRequest(), metadata=me)).lyrics
    studio.user_id = owner
    answer = await stub.GetLyrics(pb.GetLyricsRequest(lyrics_id=made.lyrics_id), metadata=studio.metadata())
    assert answer.lyrics == made


async def test_a_song_with_these_words(studio: Studio) -> None:
    """A chosen version goes into a song word for word; another person's, and words given twice, are refused."""
    version = (await generate(studio)).versions[1]
    made = await studio.create(lyrics_version_id=version.version_id)
    assert (await studio.track(made.track_id)).lyrics == version.content
    with pytest.raises(grpc.aio.AioRpcError) as twice:
        await studio.create(lyrics_version_id=version.version_id, lyrics="la la")
    assert [each.field for each in from_rpc(twice.value).violations] == ["lyrics_version_id"]
    await studio.new_user()
    asset_id = await studio.asset()
    for version_id in (version.version_id, new_id()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.create(asset_id, lyrics_version_id=version_id)
        assert from_rpc(refused.value).reason == "NOT_FOUND"
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == (100, 0)


async def test_without_a_token(studio: Studio) -> None:
    """Nobody without a token gets a word."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.lyrics().GenerateLyrics(pb.GenerateLyricsRequest(theme="x"))
    assert from_rpc(refused.value).reason == "AUTH_REQUIRED"


async def test_versions_go_with_their_lyrics(studio: Studio) -> None:
    """Both versions are stored under the lyrics, once."""
    made = (await generate(studio)).lyrics
    async with studio.db.transaction() as tx:
        query = select(lyrics_versions.c.label).where(lyrics_versions.c.lyrics_id == made.lyrics_id)
        assert sorted((await tx.execute(query)).scalars()) == ["A", "B"]
