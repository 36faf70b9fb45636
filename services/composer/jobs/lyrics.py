"""The job that writes the words of a song: one step, whose result is stored, and two versions entered at the end."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from services.composer.domain.errors import LyricsNotFound, ProviderFailed
from services.composer.domain.lyrics import LyricsVersion
from services.composer.providers import LyricsOrder, Stopped
from services.kit.ids import new_id
from services.kit.jobs.errors import JobCancelled, JobFailed
from services.kit.telemetry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.domain.lyrics import Lyrics
    from services.composer.providers import LyricsProvider
    from services.composer.usecases.lyrics import LyricsSheet
    from services.kit.jobs.runner import JobRun

_log = logging.getLogger(__name__)

WRITTEN = Counter("cadenza_lyrics_generated", "Lyrics written to the end", ("provider",), registry=REGISTRY)


class LyricsJob:
    """Runs the jobs of kind `lyrics`."""

    def __init__(self, *, sheet: LyricsSheet, provider: LyricsProvider) -> None:
        self._sheet = sheet
        self._provider = provider

    async def __call__(self, run: JobRun) -> None:
        """Write the lyrics that the job names; what cannot be written after every try ends as LYRICS_UNAVAILABLE."""
        try:
            wanted = await self._sheet.wanted(run.params["lyrics_id"])
            written = await run.step("lyrics_write", (0, 99), lambda: self._write(wanted, run))
        except LyricsNotFound as error:
            raise JobFailed(error.reason, error.message, **error.metadata) from error
        except Stopped as error:
            raise JobCancelled from error
        except ProviderFailed as error:
            _log.warning(
                "words could not be written",
                extra={"job_id": run.job.job_id, "attempt": run.job.attempt},
                exc_info=True,
            )
            if run.job.attempt < run.job.max_attempts:
                raise
            raise JobFailed("LYRICS_UNAVAILABLE", error.message, **error.metadata) from error
        made = [_version(wanted, each, self._provider.name) for each in written["versions"]]
        async with run.finish({"lyrics_id": wanted.lyrics_id}) as tx:
            await self._sheet.enter(tx, made)
        WRITTEN.labels(self._provider.name).inc()
        _log.info(
            "lyrics are written",
            extra={"job_id": run.job.job_id, "versions": len(made), "provider": self._provider.name},
        )

    async def _write(self, wanted: Lyrics, run: JobRun) -> dict[str, Any]:
        """Return both versions as plain data."""
        order = LyricsOrder(
            theme=wanted.theme,
            title=wanted.title,
            style=wanted.style,
            mood=wanted.mood,
            language=wanted.language,
            keywords=wanted.keywords,
            seed=wanted.seed,
        )
        return {"versions": [asdict(each) for each in await self._provider.write(order, run.cancelled)]}


def _version(wanted: Lyrics, written: Mapping[str, Any], provider: str) -> LyricsVersion:
    """Return a version as it is entered; the step's result has been through JSON."""
    return LyricsVersion(
        version_id=new_id(),
        lyrics_id=wanted.lyrics_id,
        label=written["label"],
        title=written["title"],
        language=written["language"],
        form=written["form"],
        sections=tuple((kind, tuple(lines)) for kind, lines in written["sections"]),
        provider=provider,
        model=written["model"],
    )
