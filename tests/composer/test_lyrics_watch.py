"""Words shown while they are written: one log, read over gRPC and as server-sent events, from any place on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from cadenza.job.v1 import job_pb2
from gateway.codec import Codec
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.log_readers import by_polling, events_of, headers
from tests.composer.newsroom import WISH, Newsroom, newsroom
from tests.composer.studio import until

Message = dict[str, Any]
CODEC = Codec()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow_room(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Newsroom]:
    """Yield a newsroom."""
    async with newsroom(database_url, redis_url, tmp_path_factory.mktemp("objects")) as made:
        yield made


@pytest.fixture
async def room(slow_room: Newsroom) -> Newsroom:
    """Return the newsroom with vendors that take their time, and a new person."""
    await slow_room.begin()
    slow_room.gemini.pace_s = slow_room.chat.pace_s = 0.01
    return slow_room


async def begin(room: Newsroom, request_id: str = "") -> pb.GenerateLyricsResponse:
    """Return what a person is answered who does not wait for the words."""
    request = pb.GenerateLyricsRequest(**WISH, in_background=True, request_id=request_id)
    return await room.studio.lyrics().GenerateLyrics(request, metadata=room.studio.metadata(), timeout=30)


async def by_grpc(room: Newsroom, lyrics_id: str, after: int = 0, most: int = 10_000) -> list[Message]:
    """Return the messages that a gRPC watcher gets, at most so many, as JSON."""
    request = pb.WatchLyricsRequest(lyrics_id=lyrics_id, after_sequence=after)
    call = room.studio.lyrics().WatchLyrics(request, metadata=room.studio.metadata(), timeout=60)
    found = []
    async for message in call:
        found.append(CODEC.encode(message))
        if len(found) >= most:
            call.cancel()
            break
    return found


async def by_sse(room: Newsroom, lyrics_id: str, after: int = 0) -> list[Message]:
    """Return the messages that a browser gets that comes back with this Last-Event-ID."""
    given = headers(room.studio, **({"Last_Event_ID": str(after)} if after else {}))
    async with room.http.get(f"/api/v1/lyrics/{lyrics_id}/events", headers=given) as answer:
        assert answer.status == 200
        seen = [each async for each in events_of(answer)]
    assert [seen[0][0], seen[-1][0]] == ["snapshot", "end"]
    return [data for _, _, data in seen[:-1]]


def texts(messages: Sequence[Message]) -> dict[str, str]:
    """Return the text of each version as a reader has it at the end: that of the newest draft."""
    drafts = [message["draft"] for message in messages if message.get("draft")]
    newest = max(draft["draft"] for draft in drafts)
    return {
        label: "".join(draft["text"] for draft in drafts if (draft["draft"], draft["label"]) == (newest, label))
        for label in "AB"
    }


def written(message: Message) -> dict[str, str]:
    """Return the content of each version of the lyrics in the message."""
    return {version["label"]: version["content"] for version in message["lyrics"]["versions"]}


def lines(messages: Sequence[Message]) -> list[tuple[int, str]]:
    """Return number and words of each line."""
    return [(each["sequence"], each["event"]["message"]) for each in messages if each.get("event")]


async def test_words_as_they_come(room: Newsroom) -> None:
    """The call answers at once, several pieces come while the model writes, and the last message has both versions."""
    made = await begin(room)
    assert not made.versions
    assert made.job.state != job_pb2.JOB_STATE_COMPLETED
    seen = await by_grpc(room, made.lyrics.lyrics_id)
    pieces = [message for message in seen if message.get("draft")]
    assert len(pieces) >= 3
    assert all(message["event"]["state"] == "running" for message in pieces)
    assert seen[0]["lyrics"]["state"] == "writing"
    assert not seen[0].get("event")
    assert (seen[-1]["lyrics"]["state"], seen[-1]["job"]["state"]) == ("ready", "completed")
    assert texts(seen) == written(seen[-1])
    assert [number for number, _ in lines(seen)] == list(range(1, seen[-1]["sequence"] + 1))
    percents = [message["event"]["progress_percent"] for message in pieces]
    assert percents == sorted(percents)
    assert (await room.money())[0] == (90, 0)


async def test_three_readers_read_the_same(room: Newsroom) -> None:
    """gRPC, events of the gateway and polling give the same lines, live and afterwards."""
    made = await begin(room)
    lyrics_id = made.lyrics.lyrics_id
    live = await asyncio.gather(by_grpc(room, lyrics_id), by_sse(room, lyrics_id))
    polled = await by_polling(room.http, room.studio, made.job.job_id, 0)
    later = [await by_grpc(room, lyrics_id), await by_sse(room, lyrics_id)]
    for messages in (*live, *later):
        assert lines(messages) == [(line["sequence"], line["message"]) for line in polled]
        assert texts(messages) == written(messages[-1])


async def test_going_on_where_one_stopped(room: Newsroom) -> None:
    """A reader that breaks off in the middle and comes back misses nothing and gets nothing twice."""
    made = await begin(room)
    lyrics_id = made.lyrics.lyrics_id
    first = await by_grpc(room, lyrics_id, most=6)
    after = first[-1]["sequence"]
    second = await by_sse(room, lyrics_id, after)
    assert [number for number, _ in lines([*first, *second])] == list(range(1, second[-1]["sequence"] + 1))
    assert texts([*first, *second]) == written(second[-1])
    over = await by_grpc(room, lyrics_id, second[-1]["sequence"])
    assert len(over) == 1
    assert written(over[0]) == written(second[-1])


@pytest.mark.parametrize("fault", ["error_in_stream", "cut_midway", "safety", "half"])
async def test_another_beginning(room: Newsroom, fault: str) -> None:
    """When a model breaks off and another one begins, its draft has a higher number and is what is read at the end."""
    room.gemini.fail(fault)
    room.gemini.pace_s = 0.05
    made = await begin(room)
    seen = await by_sse(room, made.lyrics.lyrics_id)
    drafts = [message["draft"]["draft"] for message in seen if message.get("draft")]
    assert drafts == sorted(drafts)
    if fault == "safety":
        assert seen[-1]["lyrics"]["state"] == "failed"
        assert seen[-1]["job"]["error"]["reason"] == "LYRICS_REFUSED"
        return
    assert len(set(drafts)) == 2
    assert texts(seen) == written(seen[-1])


async def test_a_process_dies_while_a_model_writes(room: Newsroom) -> None:
    """Another process begins a higher draft; a reader who watched all the time has its words, paid once."""
    room.gemini.pace_s = 0.05
    made = await begin(room, request_id="once")
    lyrics_id, job_id = made.lyrics.lyrics_id, made.job.job_id
    watching = asyncio.create_task(by_grpc(room, lyrics_id))

    async def begun() -> bool:
        return (await room.studio.job(job_id)).last_sequence > 5

    await until(begun)
    await room.studio.steal(job_id)
    await room.studio.queue_again(job_id)
    room.gemini.pace_s = 0.02
    await begin(room, request_id="once")
    seen = await watching
    assert len({message["draft"]["draft"] // 100 for message in seen if message.get("draft")}) == 2
    assert texts(seen) == written(seen[-1])
    assert (await room.money())[0] == (90, 0)


async def test_offline_words_are_watched_too(room: Newsroom) -> None:
    """Words that come at once have no pieces: the log of their job, and then both versions."""
    for vendor in (room.gemini, room.chat):
        vendor.fail("quota", times=9)
    made = await begin(room)
    seen = await by_grpc(room, made.lyrics.lyrics_id)
    assert len(seen) >= 3
    assert set(written(seen[-1])) == {"A", "B"}


async def test_put_away_while_it_is_watched(room: Newsroom) -> None:
    """Whoever watches lyrics that are put away is told that they are not there; the model is left, credits return."""
    room.gemini.pace_s = 0.05
    made = await begin(room)
    watching = asyncio.create_task(by_grpc(room, made.lyrics.lyrics_id))

    async def begun() -> bool:
        return (await room.studio.job(made.job.job_id)).last_sequence > 4

    await until(begun)
    request = pb.DeleteLyricsRequest(lyrics_id=made.lyrics.lyrics_id)
    await room.studio.lyrics().DeleteLyrics(request, metadata=room.studio.metadata())
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await watching
    assert from_rpc(gone.value).reason == "NOT_FOUND"

    async def back() -> bool:
        return (await room.money())[0] == (100, 0)

    await until(back)


async def test_what_cannot_be_watched(room: Newsroom) -> None:
    """Other people's lyrics, none, and a place that the log has not reached are refused before anything is told."""
    made = await begin(room)
    await by_grpc(room, made.lyrics.lyrics_id)
    with pytest.raises(grpc.aio.AioRpcError) as ahead:
        await by_grpc(room, made.lyrics.lyrics_id, after=10_000)
    assert from_rpc(ahead.value).reason == "PARAM_INVALID"
    await room.studio.new_user()
    for lyrics_id in (made.lyrics.lyrics_id, new_id()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await by_grpc(room, lyrics_id)
        assert from_rpc(refused.value).reason == "NOT_FOUND"
