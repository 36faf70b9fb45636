"""Words from models, the whole way: asked for over HTTP and gRPC, paid once, fallen back, refused, given up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from services.composer.domain.lyrics import LyricsState
from services.composer.jobs.lyrics import FAILED, WRITTEN
from services.composer.providers.model_call import CALLS
from services.kit import tracing
from services.kit.ids import new_id
from tests.composer.log_readers import headers
from tests.composer.newsroom import PATHS, Newsroom, log_lines, newsroom
from tests.fakes.gemini import KEY
from tests.fakes.ghostwriter import UNSAFE, UNSEEMLY
from tests.fakes.stand_in import Fault
from tests.kit.span_memory import Memory

WAYS = pytest.mark.parametrize("way", ["by_http", "by_grpc"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_room(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Newsroom]:
    """Yield a newsroom with Gemini, a chat server and the offline writer."""
    async with newsroom(database_url, redis_url, tmp_path_factory.mktemp("objects")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare_room(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Newsroom]:
    """Yield a newsroom that has models and no offline writer behind them."""
    writers = ("gemini", "openai")
    async with newsroom(database_url, redis_url, tmp_path_factory.mktemp("objects"), lyrics_providers=writers) as made:
        yield made


@pytest.fixture
async def room(open_room: Newsroom) -> Newsroom:
    """Return the newsroom with vendors of good will and a new person."""
    await open_room.begin()
    return open_room


@pytest.fixture
async def bare(bare_room: Newsroom) -> Newsroom:
    """Return the newsroom without a last resort, with vendors of good will and a new person."""
    await bare_room.begin()
    return bare_room


@WAYS
async def test_words_of_a_model(room: Newsroom, way: str) -> None:
    """Both paths and gRPC answer alike: two versions of the model, ten credits, found again with what they took."""
    before = WRITTEN.labels("gemini")._value.get()
    for place, path in enumerate(PATHS):
        told = await getattr(room, way)(path)
        assert told.status == 200
        assert (told.data["cost_credits"], told.data["remaining_credits"]) == (10, 90 - 10 * place)
        assert [version["label"] for version in told.data["versions"]] == ["A", "B"]
        for version in told.data["versions"]:
            assert (version["provider"], version["model"]) == ("gemini", "gemini-sandbox-001")
            assert version["prompt"] == "lyrics-zh/1"
            assert "海边的夏天" in version["content"]
        # What it cost is for administrators.
        usage = told.data["lyrics"]["usage"]
        assert usage["input_tokens"] > 100
        assert usage["cost_micros"] == 0
    assert (await room.row()).cost_micros > 100
    assert await room.money() == ((80, 0), [-10, -10, 100])
    assert WRITTEN.labels("gemini")._value.get() == before + 2


async def test_an_administrator_sees_the_cost(room: Newsroom) -> None:
    """The cost of one's own lyrics is shown to an administrator."""
    await room.by_grpc()
    row = await room.row()
    metadata = (("authorization", f"Bearer {room.studio.issuer.token(sub=room.studio.user_id, roles=['admin'])}"),)
    answer = await room.studio.lyrics().GetLyrics(pb.GetLyricsRequest(lyrics_id=row.lyrics_id), metadata=metadata)
    assert answer.lyrics.usage.cost_micros == row.cost_micros


@WAYS
async def test_nobody_notices_that_a_vendor_is_down(room: Newsroom, way: str) -> None:
    """With the first vendor down the second one writes: one job, one charge, and the version says who it was."""
    room.gemini.fail("internal", times=100)
    told = await getattr(room, way)()
    assert {version["provider"] for version in told.data["versions"]} == {"openai"}
    assert await room.jobs() == [("completed", 1)]
    assert await room.money() == ((90, 0), [-10, 100])
    assert room.gemini.calls.total() == 1


async def test_both_vendors_down(room: Newsroom) -> None:
    """With all models down the offline writer writes after three tries of each."""
    room.gemini.fail("overloaded", times=100)
    room.chat.fail("overloaded", times=100)
    told = await room.by_http()
    assert {version["provider"] for version in told.data["versions"]} == {"offline"}
    assert (room.gemini.calls.total(), room.chat.calls.total()) == (3, 3)
    assert "usage" not in told.data["lyrics"] or not told.data["lyrics"]["usage"]


@WAYS
@pytest.mark.parametrize("platform", ["web", "wxmp", "ios"])
async def test_nobody_can_write(bare: Newsroom, way: str, platform: str) -> None:
    """Three tries of each vendor, then 503 LYRICS_UNAVAILABLE, the row failed, the credits back, alerts' counts up."""
    calls, failed = CALLS.labels("gemini", "broken"), FAILED.labels("LYRICS_UNAVAILABLE")
    before = calls._value.get(), failed._value.get()
    bare.gemini.fail("internal", times=100)
    bare.chat.fail("internal", times=100)
    told = await getattr(bare, way)(PATHS[1], platform=platform)
    assert (told.status, told.code, told.symbol) == (503, 40030, "LYRICS_UNAVAILABLE")
    assert (told.data["cause"], told.data["tries"]) == ("GEMINI_API_UNAVAILABLE", "6")
    assert (bare.gemini.calls.total(), bare.chat.calls.total()) == (3, 3)
    row = await bare.row()
    assert (row.state, row.platform) == (LyricsState.FAILED, platform)
    assert (await bare.money())[0] == (100, 0)
    assert (calls._value.get(), failed._value.get()) == (before[0] + 3, before[1] + 1)


@WAYS
@pytest.mark.parametrize("theme", [UNSAFE[0], f"{UNSEEMLY[0]}一个人"])
async def test_nobody_will_write(room: Newsroom, way: str, theme: str) -> None:
    """What a model refuses is 422 LYRICS_REFUSED, nobody else is asked, the credits are back, and a repeat hears it."""
    for _ in range(2):
        told = await getattr(room, way)(theme=theme, request_id="once")
        assert (told.status, told.code, told.symbol) == (422, 40031, "LYRICS_REFUSED")
    assert (room.gemini.calls.total(), room.chat.calls.total()) == (1, 0)
    row = await room.row()
    assert row.state is LyricsState.FAILED
    # What the refusal took is noted though nobody pays for it here.
    assert row.input_tokens > 0
    assert (await room.money())[0] == (100, 0)


SITUATIONS: dict[str, tuple[dict[str, Any], str, tuple[int, int, str]]] = {
    "nothing to sing": ({"theme": "🤖"}, "", (400, 10001, "PARAM_INVALID")),
    "too long": ({"theme": "x" * 5000}, "", (400, 10001, "PARAM_INVALID")),
    "refused by the filter": ({"theme": UNSAFE[1]}, "", (422, 40031, "LYRICS_REFUSED")),
    "refused by the model": ({"theme": f"{UNSEEMLY[1]} somebody"}, "", (422, 40031, "LYRICS_REFUSED")),
    "empty purses": ({}, "quota", (503, 40030, "LYRICS_UNAVAILABLE")),
    "useless answers": ({}, "prose", (503, 40030, "LYRICS_UNAVAILABLE")),
}


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_the_same_error_everywhere(bare: Newsroom, situation: str) -> None:
    """Web, mini-program and app, over HTTP on both paths and over gRPC, are told the same code, and pay nothing."""
    wishes, fault, expected = SITUATIONS[situation]
    told = set()
    ways = ((bare.by_http, PATHS[0], "web"), (bare.by_http, PATHS[1], "wxmp"), (bare.by_grpc, "", "ios"))
    await bare.begin()
    for way, path, platform in ways:
        if fault:
            for vendor in (bare.gemini, bare.chat):
                vendor.faults.clear()
                vendor.fail(fault, times=9)
        answer = await way(path, platform=platform, **wishes)
        told.add((answer.status, answer.code, answer.symbol))
    assert (await bare.money())[0] == (100, 0)
    assert told == {expected}


async def test_a_refusal_is_a_sentence_in_both_languages(room: Newsroom) -> None:
    """The sentence about a refusal comes in the reader's language and does not repeat the theme."""
    for language, word in (("zh-CN", "请换一个主题"), ("en", "Choose another theme")):
        given = headers(room.studio, Accept_Language=language)
        async with room.http.post(PATHS[0], json={"theme": UNSAFE[0]}, headers=given) as answer:
            body = await answer.text()
        assert word in body
        assert UNSAFE[0] not in body


@WAYS
async def test_too_few_credits(room: Newsroom, way: str) -> None:
    """Without credits the call is 402, no vendor hears of it, and nothing is left of it."""
    room.studio.user_id = new_id()
    told = await getattr(room, way)()
    assert (told.status, told.symbol) == (402, "INSUFFICIENT_CREDITS")
    assert room.gemini.calls.total() == 0
    assert await room.jobs() == []
    assert (await room.money())[0] == (0, 0)


@pytest.mark.parametrize("fault", ["quota", "forbidden", "billing", "bad_json", "cut_midway", "html"])
async def test_every_fault_of_the_first_is_made_good(room: Newsroom, fault: str) -> None:
    """Whatever goes wrong at the first vendor, the second one writes and one price is paid."""
    room.gemini.fail(fault, times=2)
    told = await room.by_http()
    assert {version["provider"] for version in told.data["versions"]} <= {"openai", "gemini"}
    assert {version["provider"] for version in told.data["versions"]} == {"openai"}
    assert (await room.money())[0] == (90, 0)


async def test_a_silent_vendor(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A vendor that says nothing, before or within its answer, is left after our patience; the second one writes."""
    async with newsroom(database_url, redis_url, tmp_path, lyrics_silence_s=0.5) as room:
        for fault in ("slow", "stall"):
            await room.begin()
            room.gemini.fail(fault)
            told = await room.by_http()
            assert {version["provider"] for version in told.data["versions"]} == {"openai"}
            assert (await room.money())[0] == (90, 0)


async def test_three_lines_share_the_request(room: Newsroom) -> None:
    """Start, failure of a vendor and success are lines of one request id and trace, with count and duration."""
    room.gemini.fail("internal")
    with log_lines() as lines:
        await room.by_http(request_id="wish-1", theme="不可告人的主题")
    mine = [line for line in lines if line.get("request_id") == "wish-1"]
    words = {line["message"].partition(":")[0]: line for line in mine}
    assert {"lyrics are asked for", "a writer failed", "lyrics are written"} <= set(words)
    assert len({line["trace_id"] for line in mine}) == 1
    assert words["lyrics are asked for"]["user_id"] == room.studio.user_id
    assert words["lyrics are written"]["versions"] == 2
    assert words["lyrics are written"]["ms"] >= 0
    assert words["a writer failed"]["attempt"] == 1
    assert "不可告人" not in str(lines)


async def test_a_failure_has_a_line_with_its_stack(bare: Newsroom) -> None:
    """When nobody can write, one line has reason and stack under the same request id, and no key or theme anywhere."""
    bare.gemini.fail("quota", times=9)
    bare.chat.fail("quota", times=9)
    with log_lines() as lines:
        await bare.by_http(request_id="wish-2", theme="不可告人的主题")
    (line,) = [line for line in lines if line["message"] == "lyrics failed"]
    assert (line["request_id"], line["reason"]) == ("wish-2", "LYRICS_UNAVAILABLE")
    assert "LyricsUnavailable" in line["stack"]
    assert not any(secret in str(lines) for secret in (KEY, bare.chat.key, "不可告人"))


@pytest.mark.parametrize("platform", ["web", "wxmp"])
async def test_the_platform_goes_along(room: Newsroom, platform: str) -> None:
    """The trace of a model call names model, vendor, instruction, tokens and cost, and nothing of what was said."""
    memory = Memory()
    tracing.record_with(memory)
    try:
        told = await room.by_http(platform=platform)
    finally:
        tracing.record_with(None)
    (call,) = [each for each in memory.spans if each.name.startswith("generate_content")]
    assert call.attributes["gen_ai.provider.name"] == "gcp.gemini"
    assert call.attributes["gen_ai.response.model"] == "gemini-sandbox-001"
    assert call.attributes["langfuse.observation.metadata.prompt"] == "lyrics-zh"
    assert call.attributes["gen_ai.usage.output_tokens"] == told.data["lyrics"]["usage"]["output_tokens"]
    assert float(call.attributes["gen_ai.usage.cost"]) > 0
    said = str([each.attributes for each in memory.spans])
    assert "海边" not in said
    assert told.data["versions"][0]["content"].splitlines()[1] not in said
    assert (await room.row()).platform == call.attributes["cadenza.platform"] == platform


async def test_many_at_once(room: Newsroom) -> None:
    """Three calls at once of one person wait side by side for a slow vendor, and each gets its own words."""
    room.gemini.fail(Fault(delay_s=0.3), times=3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = await asyncio.gather(*(room.by_http(seed=seed) for seed in (1, 2, 3)))
    assert len({each.data["versions"][0]["content"] for each in told}) == 3
    assert loop.time() - began < 30
