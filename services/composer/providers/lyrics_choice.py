"""Which writers of words there are, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.domain.usage import TokenPrice
from services.composer.providers.gemini import GeminiModel
from services.composer.providers.model_writer import ModelWriter
from services.composer.providers.offline_writer import OfflineWriter
from services.composer.providers.openai_chat import OpenAiModel

OPENAI_URL = "https://api.openai.com/v1"

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.composer.config import Config
    from services.composer.providers import LyricsProvider
    from services.composer.providers.model import TextModel


def lyrics_writers(config: Config) -> tuple[list[LyricsProvider], LyricsProvider | None]:
    """Return the models in the order they are asked, and who is asked after all of them or None."""
    models: list[LyricsProvider] = []
    for name in config.writers:
        if name == OfflineWriter.name:
            return models, OfflineWriter()
        models.append(ModelWriter(_gemini(config) if name == GeminiModel.name else _openai(config)))
    return models, None


def text_models(config: Config) -> Iterator[TextModel]:
    """Yield the models that there are keys for, in the order they write words."""
    for name in config.writers:
        if name != OfflineWriter.name:
            yield _gemini(config) if name == GeminiModel.name else _openai(config)


def _gemini(config: Config) -> GeminiModel:
    return GeminiModel(
        base_url=config.gemini_base_url,
        key=config.gemini_api_key,
        model=config.gemini_model,
        thinking=config.gemini_thinking,
        stream=config.lyrics_stream,
        silence_s=config.lyrics_silence_s,
        price=TokenPrice(config.gemini_usd_in, config.gemini_usd_out),
    )


def _openai(config: Config) -> OpenAiModel:
    return OpenAiModel(
        base_url=config.openai_base_url or OPENAI_URL,
        key=config.openai_api_key,
        model=config.openai_model,
        dialect=config.openai_dialect,
        stream=config.lyrics_stream,
        silence_s=config.lyrics_silence_s,
        price=TokenPrice(config.openai_usd_in, config.openai_usd_out),
    )
