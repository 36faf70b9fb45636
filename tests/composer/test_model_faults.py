"""How models fail, by what their stand-ins do: each way has our word, and says whether asking again may help."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers import WrittenLyrics
from services.composer.providers.lyrics_prompt import PROMPTS, material
from services.composer.providers.model import ModelRefused, name_in
from services.composer.providers.model_call import CALLS
from services.composer.providers.model_writer import ModelWriter
from tests.composer.test_lyrics_conformance import gemini_model, never, nobody, openai_model, order
from tests.fakes.gemini import Gemini
from tests.fakes.ghostwriter import UNSAFE, UNSEEMLY, Asked, answer, tokens
from tests.fakes.openai_chat import OpenAiChat
from tests.fakes.stand_in import Fault, StandIn, served

REFUSED = ("refused", False)


@pytest.fixture
async def gemini() -> AsyncIterator[Gemini]:
    """Yield a running Gemini."""
    async with served(Gemini(pace_s=0.0)) as vendor:
        yield vendor


@pytest.fixture
async def chat() -> AsyncIterator[OpenAiChat]:
    """Yield a running server of chat completions."""
    async with served(OpenAiChat(pace_s=0.0)) as vendor:
        yield vendor


async def write(vendor: StandIn, theme: str = "海边的夏天", **settings: Any) -> WrittenLyrics:
    """Return what the model behind the stand-in writes."""
    make = gemini_model if isinstance(vendor, Gemini) else openai_model
    writer = ModelWriter(make(vendor.url, **settings))
    try:
        return await writer.write(order(theme), nobody, never)
    finally:
        await writer.close()


async def failure(vendor: StandIn, theme: str = "海边的夏天", **settings: Any) -> tuple[str, bool]:
    """Return our word for how it failed, and whether asking again may help."""
    try:
        await write(vendor, theme, **settings)
    except VendorFailed as error:
        return error.kind, error.again
    except ModelRefused:
        return REFUSED
    return "", False


def patience(fault: str) -> dict[str, Any]:
    """Return the settings for a silent vendor: little patience, of which others may need more on a busy machine."""
    return {"silence_s": 0.3} if fault in {"slow", "stall"} else {}


GEMINI_FAULTS = {
    "overloaded": ("overloaded", True),
    "internal": ("broken", True),
    "deadline": ("overloaded", True),
    "rate": ("overloaded", True),
    "rate_long": ("overloaded", True),
    "quota": ("quota", False),
    "billing": ("request", False),
    "forbidden": ("key", False),
    "html": ("broken", True),
    "slow": ("silent", False),
    "blocked": REFUSED,
    "blocked_other": ("blocked", False),
    "safety": REFUSED,
    "prohibited": REFUSED,
    "recitation": ("recitation", True),
    "no_parts": ("empty", True),
    "no_candidates": ("broken", True),
    "no_end": ("broken", True),
    "new_ending": ("", False),
    "no_usage": ("", False),
    "endless": ("broken", True),
}
CHAT_FAULTS = {
    "overloaded": ("overloaded", True),
    "internal": ("broken", True),
    "rate": ("overloaded", True),
    "rate_long": ("overloaded", True),
    "quota": ("quota", False),
    "balance": ("quota", False),
    "region": ("key", False),
    "filtered": REFUSED,
    "qwen_filtered": REFUSED,
    "too_long": ("request", False),
    "html": ("broken", True),
    "slow": ("silent", False),
    "refusal": REFUSED,
    "filter_midway": REFUSED,
    "no_choices": ("broken", True),
    "empty": ("empty", True),
    "starved": ("overloaded", True),
    "no_end": ("broken", True),
    "no_usage": ("", False),
    "endless": ("broken", True),
}
STREAM_FAULTS = {
    "error_in_stream": {"gemini": ("overloaded", True), "openai_chat": ("broken", True)},
    "cut_midway": {"gemini": ("unreachable", True), "openai_chat": ("unreachable", True)},
    "stall": {"gemini": ("silent", False), "openai_chat": ("silent", False)},
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", GEMINI_FAULTS)
async def test_gemini_fails(gemini: Gemini, fault: str, *, stream: bool) -> None:
    """Each failure of Gemini is told by our word, whole or streamed, and costs one call."""
    gemini.fail(fault)
    assert await failure(gemini, stream=stream, **patience(fault)) == GEMINI_FAULTS[fault]
    assert gemini.calls.total() == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", CHAT_FAULTS)
async def test_chat_fails(chat: OpenAiChat, fault: str, *, stream: bool) -> None:
    """Each failure of a server of chat completions is told by our word, whole or streamed, and costs one call."""
    chat.fail(fault)
    assert await failure(chat, stream=stream, **patience(fault)) == CHAT_FAULTS[fault]
    assert chat.calls.total() == 1


async def test_how_long_to_wait(gemini: Gemini, chat: OpenAiChat) -> None:
    """A busy vendor says in its own way how long it wants to be left alone, and we understand both."""
    for vendor, fault, expected in (
        (gemini, "rate", 0.1),
        (gemini, "rate_long", 34.0),
        (gemini, "overloaded", 0.0),
        (chat, "rate", 0.1),
        (chat, "rate_long", 60.0),
        (chat, "overloaded", 0.0),
    ):
        vendor.fail(fault)
        with pytest.raises(VendorFailed) as failed:
            await write(vendor)
        assert failed.value.wait_s == expected


@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_stream_fails_midway(gemini: Gemini, chat: OpenAiChat, fault: str) -> None:
    """An error within a stream is that error, and neither a break nor silence within it is waited out."""
    for vendor in (gemini, chat):
        vendor.fail(fault)
        assert await failure(vendor, **patience(fault)) == STREAM_FAULTS[fault][vendor.name]


async def test_a_connection_that_breaks(gemini: Gemini, chat: OpenAiChat) -> None:
    """An answer that breaks off in the middle is the vendor's failure, and worth another try."""
    for vendor in (gemini, chat):
        vendor.fail("cut")
        assert await failure(vendor, stream=False) == ("unreachable", True)


@pytest.mark.parametrize("code", ["busy", "risky", "purse"])
async def test_failures_in_a_good_answer(code: str) -> None:
    """A vendor that puts its failure into `base_resp` of a 200 is understood, streamed or not."""
    expected = {"busy": ("overloaded", True), "risky": REFUSED, "purse": ("quota", False)}[code]
    async with served(OpenAiChat(dialect="minimax", pace_s=0.0)) as vendor:
        for stream in (True, False):
            vendor.fail(f"base_resp_{code}")
            assert await failure(vendor, dialect="minimax", stream=stream) == expected


async def test_wrong_keys_and_models(gemini: Gemini, chat: OpenAiChat) -> None:
    """A wrong key and a model that is not there are told apart, and asking again helps neither."""
    for vendor in (gemini, chat):
        assert await failure(vendor, key="wrong") == ("key", False)
        assert await failure(vendor, key="") == ("key", False)
        assert await failure(vendor, model="retired") == ("model", False)


async def test_a_server_of_ones_own_needs_no_key() -> None:
    """Without a key no authorization is sent, and Ollama writes all the same."""
    async with served(OpenAiChat(dialect="ollama", pace_s=0.0)) as vendor:
        assert await failure(vendor, dialect="ollama", key="") == ("", False)
        assert "authorization" not in vendor.seen[0].headers


async def test_a_dialect_that_does_not_fit() -> None:
    """A field that the server does not know is the operator's mistake, told once and not worked around."""
    async with served(OpenAiChat(dialect="deepseek", pace_s=0.0)) as vendor:
        assert await failure(vendor, dialect="openai") == ("request", False)
        assert len(vendor.seen) == 1


async def test_prompts_nobody_writes_about(gemini: Gemini, chat: OpenAiChat) -> None:
    """What the filter stops and what the model itself declines is a refusal, of both."""
    for vendor in (gemini, chat):
        assert await failure(vendor, UNSAFE[0]) == REFUSED
        assert await failure(vendor, f"{UNSEEMLY[0]}邻居") == REFUSED


async def test_keys_travel_in_headers_only(gemini: Gemini, chat: OpenAiChat) -> None:
    """No key stands in an address, where logs and proxies would read it."""
    for vendor in (gemini, chat):
        await write(vendor)
        assert vendor.key not in vendor.seen[0].path + str(dict(vendor.seen[0].query)) + vendor.seen[0].body


async def test_the_address_asked(gemini: Gemini) -> None:
    """Without streaming, a model of the older interface is asked at the path that it has always had."""
    gemini.models = ("gemini-pro",)
    writer = ModelWriter(gemini_model("", base_url=f"{gemini.url}/v1", model="gemini-pro", stream=False))
    await writer.write(order(), nobody, never)
    await writer.close()
    assert [each.path for each in gemini.seen] == ["/v1/models/gemini-pro:generateContent"]


async def test_a_vendor_that_says_our_words_again(gemini: Gemini, chat: OpenAiChat) -> None:
    """What a vendor says of itself goes on only where it is a name: no error and no model repeats what was asked."""
    theme = "秘密 theme of a person"
    lie = {"error": {"code": theme, "type": theme, "status": theme, "message": theme}}
    for vendor in (gemini, chat):
        vendor.fail(Fault(status=500, body=lie))
        with pytest.raises(VendorFailed) as failed:
            await write(vendor, theme)
        assert "秘密" not in str(vars(failed.value)) + str(failed.value)
    assert (name_in("gemini-3.8-flash-001"), name_in(theme), name_in("x" * 101)) == ("gemini-3.8-flash-001", "", "")


async def test_calls_are_counted(gemini: Gemini) -> None:
    """Every call of a model is counted with its outcome."""
    names = [("gemini", "ok"), ("gemini", "overloaded"), ("gemini", "refused")]
    before = [CALLS.labels(*each)._value.get() for each in names]
    gemini.fail("overloaded")
    await failure(gemini)
    await write(gemini)
    await failure(gemini, UNSAFE[0])
    assert [CALLS.labels(*each)._value.get() for each in names] == [each + 1 for each in before]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_thoughts_are_paid_and_not_read(gemini: Gemini, *, stream: bool) -> None:
    """Thoughts cost tokens like words, and are no part of the answer though they look like one."""
    made = await write(gemini, stream=stream)
    plain = tokens(answer(Asked(PROMPTS["zh"][-1].system, [material(order())], {}, 7)))
    assert made.usage.output_tokens == plain + 7


async def test_failed_tries_cost_too(gemini: Gemini) -> None:
    """What a refused or withheld answer took is told with the failure."""
    gemini.fail("recitation")
    with pytest.raises(VendorFailed) as failed:
        await write(gemini)
    gemini.fail("safety")
    with pytest.raises(ModelRefused) as refused:
        await write(gemini)
    for usage in (failed.value.usage, refused.value.usage):
        assert usage.input_tokens > 100
        assert usage.cost_micros > 0
    gemini.fail("overloaded")
    with pytest.raises(VendorFailed) as nothing:
        await write(gemini)
    assert nothing.value.usage == ModelUsage()
