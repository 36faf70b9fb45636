"""Who writes words, by the settings."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.config import Config
from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage, TokenPrice
from services.composer.providers import gemini, openai_chat
from services.composer.providers.lyrics_choice import lyrics_writers
from services.composer.providers.model import ModelRefused
from services.kit.config import ConfigError

GEMINI = {"gemini_api_key": "k"}
OPENAI = {"openai_api_key": "k"}
OLLAMA = {"openai_base_url": "http://127.0.0.1:11434/v1", "openai_dialect": "ollama"}


@pytest.mark.parametrize(
    ("given_settings", "names"),
    [
        ({}, ["offline"]),
        (GEMINI, ["gemini", "offline"]),
        (OLLAMA, ["openai", "offline"]),
        ({**GEMINI, **OPENAI}, ["gemini", "openai", "offline"]),
        ({**GEMINI, **OPENAI, "lyrics_providers": ("openai", "gemini")}, ["openai", "gemini"]),
        ({**GEMINI, "lyrics_providers": ("offline", "gemini")}, ["offline"]),
        ({**GEMINI, "lyrics_providers": ("offline",)}, ["offline"]),
    ],
)
async def test_who_is_asked(given_settings: dict[str, Any], names: list[str]) -> None:
    """Without a word every model with a key is asked and then the offline writer; else who is named, in that order."""
    models, last = lyrics_writers(Config(**given_settings))
    everybody = [*models, *([last] if last else [])]
    assert [each.name for each in everybody] == names
    for each in everybody:
        await each.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lyrics_providers": ("gemini",)},
        {"lyrics_providers": ("openai", "offline")},
        {**GEMINI, "lyrics_providers": ("gemini", "claude")},
        {**OPENAI, "openai_dialect": "klingon"},
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, Any]) -> None:
    """A model without its key, a writer and a dialect that nobody knows are told at the start."""
    with pytest.raises(ConfigError):
        Config(**wrong)


def test_keys_do_not_show() -> None:
    """A configuration that is printed shows no key."""
    assert "topsecret" not in repr(Config(gemini_api_key="topsecret", openai_api_key="topsecret"))


def test_prices() -> None:
    """A dollar for a million tokens is a millionth for one; usages add up."""
    usage = TokenPrice(0.25, 2.0).usage(1000, 300)
    assert usage == ModelUsage(1000, 300, 850)
    assert usage + ModelUsage(1, 2, 3) == ModelUsage(1001, 302, 853)


_NAMES = """candidates content parts text thought finishReason promptFeedback blockReason error code usageMetadata
promptTokenCount choices message delta refusal finish_reason usage prompt_tokens base_resp status_code details @type
retryDelay type SAFETY STOP stop"""
_WORDS = st.sampled_from(_NAMES.split())
_LIES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | _WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)
_OBJECTS = st.dictionaries(_WORDS, _LIES, max_size=5)


@settings(deadline=None, max_examples=100)
@given(st.lists(_OBJECTS, min_size=1, max_size=3))
@pytest.mark.parametrize("heard", [gemini._Heard, openai_chat._Heard])
def test_a_vendor_may_say_anything(heard: Any, said: list[dict[str, Any]]) -> None:
    """Whatever JSON comes, the answer is text, a failure or a refusal, and never another error of ours."""
    answer = heard(TokenPrice(1.0, 1.0))
    with suppress(VendorFailed, ModelRefused):
        for each in said:
            openai_chat._check_base_resp(each)
            answer.take(each)
        assert isinstance(answer.reply("m").text, str)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([0, 400, 401, 402, 403, 404, 418, 429, 500, 503, 599]), _LIES | _OBJECTS)
@pytest.mark.parametrize("explained", [gemini._explained, openai_chat._explained])
def test_an_error_may_be_anything(explained: Any, status: int, body: Any) -> None:
    """Whatever body an error has, it is a failure or a refusal of ours, and none of the vendor's words are in it."""
    error = explained(status, body, {"retry-after": "soon"})
    assert isinstance(error, (VendorFailed, ModelRefused))
