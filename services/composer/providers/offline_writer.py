"""The offline writer as a provider: a few milliseconds of work in a thread, with no process and no network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from services.composer.engine.write.lyrics import LyricsBrief
from services.composer.engine.write.writer import WRITER_VERSION, write_lyrics
from services.composer.providers import WrittenLyrics, WrittenWords
from services.kit import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from services.composer.engine.write.lyrics import LyricsVersion
    from services.composer.providers import LyricsOrder


class OfflineWriter:
    """Writes words from tables and rules."""

    name = "offline"

    async def write(
        self, order: LyricsOrder, _tell: Callable[[Mapping[str, str]], None], _stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return versions A and B, at once whole; the same order gives the same words."""
        brief = LyricsBrief(
            theme=order.theme,
            title=order.title,
            style=order.style,
            mood=order.mood,
            language=cast('Literal["zh", "en", "auto"]', order.language),
            keywords=order.keywords,
            seed=order.seed,
        )
        with tracing.generation("text_completion", provider="offline", model=WRITER_VERSION, output="text") as made:
            a, b = await asyncio.to_thread(write_lyrics, brief)
            made.answered(model=WRITER_VERSION, cost_usd=0.0)
        return WrittenLyrics((_written(a), _written(b)))

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def _written(version: LyricsVersion) -> WrittenWords:
    return WrittenWords(
        label=version.label,
        title=version.title,
        language=version.language,
        form=version.form,
        sections=tuple((section.kind, section.lines) for section in version.sections),
        provider=OfflineWriter.name,
        model=WRITER_VERSION,
    )
