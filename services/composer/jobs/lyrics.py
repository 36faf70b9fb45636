"""The job that writes the words of a song: one step, whose result is stored, and two versions entered at the end.

While a model writes, what it has written goes into the job's log in pieces (`domain.draft`), a few a second.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter

from services.composer.domain.draft import Drafts
from services.composer.domain.errors import LyricsNotFound, LyricsRefused, LyricsUnavailable, ProviderFailed
from services.composer.domain.lyrics import LyricsVersion
from services.composer.domain.usage import ModelUsage
from services.composer.providers import LyricsOrder, Stopped
from services.kit import log
from services.kit.ids import new_id
from services.kit.jobs.errors import JobCancelled, JobFailed, LeaseLost
from services.kit.telemetry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from services.composer.domain.lyrics import Lyrics
    from services.composer.providers import LyricsProvider
    from services.composer.usecases.lyrics import LyricsSheet
    from services.kit.jobs.runner import JobRun

_log = logging.getLogger(__name__)

WRITTEN = Counter("cadenza_lyrics_generated", "Lyrics written to the end", ("provider",), registry=REGISTRY)
FAILED = Counter("cadenza_lyrics_failed", "Lyrics that nobody could or would write", ("reason",), registry=REGISTRY)

_BETWEEN_S: Final = 0.3
# Two versions have about this many characters; only a bar that moves is made of it.
_USUAL_LENGTH: Final = 1200
_MOST_PERCENT: Final = 95
# Beginnings that one attempt may need: three tries of a few vendors, each asked twice.
_DRAFTS: Final = 100


class LyricsJob:
    """Runs the jobs of kind `lyrics`."""

    def __init__(self, *, sheet: LyricsSheet, provider: LyricsProvider) -> None:
        self._sheet = sheet
        self._provider = provider

    async def __call__(self, run: JobRun) -> None:
        """Write the lyrics that the job names.

        What nobody can write ends as LYRICS_UNAVAILABLE, what somebody will not write as LYRICS_REFUSED; a writer that
        falls over has all the job's attempts.
        """
        try:
            wanted = await self._sheet.wanted(run.params["lyrics_id"])
        except LyricsNotFound as error:
            raise JobFailed(error.reason, error.message, **error.metadata) from error
        job = run.job
        with log.context(
            request_id=wanted.request_name, user_id=wanted.user_id, trace_id=job.trace_id, platform=job.platform
        ):
            await self._run(run, wanted)

    async def _run(self, run: JobRun, wanted: Lyrics) -> None:
        began = asyncio.get_running_loop().time()
        try:
            written = await run.step("lyrics_write", (0, 99), lambda: self._write(wanted, run))
        except Stopped as error:
            raise JobCancelled from error
        except (LyricsUnavailable, LyricsRefused) as error:
            await self._sheet.spent(wanted.lyrics_id, error.usage)
            raise _failed(run, error, error.reason) from error
        except ProviderFailed as error:
            if run.job.attempt < run.job.max_attempts:
                _log.warning("a writer fell over", extra={"job_id": run.job.job_id, "attempt": run.job.attempt})
                raise
            raise _failed(run, error, LyricsUnavailable.reason) from error
        made = [_version(wanted, each) for each in written["versions"]]
        usage = ModelUsage(**written["usage"])
        async with run.finish({"lyrics_id": wanted.lyrics_id}) as tx:
            await self._sheet.enter(tx, made, usage)
        WRITTEN.labels(made[0].provider).inc()
        _log.info(
            "lyrics are written",
            extra={
                "job_id": run.job.job_id,
                "versions": len(made),
                "ms": round((asyncio.get_running_loop().time() - began) * 1000),
                "provider": made[0].provider,
                "model": made[0].model,
                "prompt": made[0].prompt,
                **asdict(usage),
            },
        )

    async def _write(self, wanted: Lyrics, run: JobRun) -> dict[str, Any]:
        """Return both versions and what they took as plain data."""
        order = LyricsOrder(
            theme=wanted.theme,
            title=wanted.title,
            style=wanted.style,
            mood=wanted.mood,
            language=wanted.language,
            keywords=wanted.keywords,
            seed=wanted.seed,
        )
        async with _told(run) as telling:
            made = await self._provider.write(order, telling, run.cancelled)
        return {"versions": [asdict(each) for each in made.versions], "usage": asdict(made.usage)}


class _Telling:
    """Takes a growing text and writes it into the job's log, a piece at a time, as fast as the log should grow."""

    def __init__(self, run: JobRun) -> None:
        self._run = run
        # A later attempt has a higher token, so its drafts have higher numbers.
        self._drafts = Drafts(run.lease_token * _DRAFTS)
        self._texts: Mapping[str, str] = {}
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._begun = False

    def __call__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._news.set()

    async def tell(self) -> None:
        """Write what is new, again and again, until it is over; the end of the job is the handler's to notice."""
        try:
            while not self._over.is_set():
                await self._news.wait()
                if self._over.is_set() and not self._begun:
                    return  # the words came at once: they stand in the lyrics, and need no drafts
                await self._flush()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BETWEEN_S):
                        await self._over.wait()
            await self._flush()
        except (JobCancelled, LeaseLost):
            return
        except Exception:  # noqa: BLE001  # words that are paid for are not lost because their drafts are
            _log.warning("drafts of job %s are not told", self._run.job.job_id, exc_info=True)

    def end(self) -> None:
        """Let `tell` write what is left and return."""
        self._over.set()
        self._news.set()

    async def _flush(self) -> None:
        self._begun = True
        self._news.clear()
        texts = self._texts
        percent = min(sum(map(len, texts.values())) * 100 // _USUAL_LENGTH, _MOST_PERCENT)
        messages = [piece.message for piece in self._drafts.pieces(texts)]
        if messages and not await self._run.tell(messages, percent):
            self._drafts.forget()


@asynccontextmanager
async def _told(run: JobRun) -> AsyncIterator[_Telling]:
    """Yield what takes the growing text; all of it stands in the log at the end, unless the work was broken off."""
    telling = _Telling(run)
    task = asyncio.create_task(telling.tell(), name=f"draft {run.job.job_id}")
    try:
        yield telling
        telling.end()
        await task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _failed(run: JobRun, error: ProviderFailed | LyricsUnavailable | LyricsRefused, reason: str) -> JobFailed:
    """Return what ends the job, noted and counted."""
    FAILED.labels(reason).inc()
    _log.warning("lyrics failed", extra={"job_id": run.job.job_id, "reason": reason}, exc_info=error)
    return JobFailed(reason, error.message, **error.metadata)


def _version(wanted: Lyrics, written: Mapping[str, Any]) -> LyricsVersion:
    """Return a version as it is entered; the step's result has been through JSON."""
    return LyricsVersion(
        version_id=new_id(),
        lyrics_id=wanted.lyrics_id,
        label=written["label"],
        title=written["title"],
        language=written["language"],
        form=written["form"],
        sections=tuple((kind, tuple(lines)) for kind, lines in written["sections"]),
        provider=written["provider"],
        model=written["model"],
        prompt=written["prompt"],
    )
