"""The offline engine as a provider: every piece of work is a process of its own.

A process gives its memory back when it ends, can be stopped at once, cannot take the worker with it when a native
library fails, and lets both variants of a song use a core each. It ends by itself when the worker goes away, because
it watches its standard input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from base64 import b64decode
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.composer.domain.errors import EngineChanged, ProviderFailed
from services.composer.providers import Made, Order, Stopped, TakenApart, TakeRefused
from services.kit import crash, tracing
from services.kit.crash import Act

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_LISTEN_TIMEOUT_S = 120
_MAKE_TIMEOUT_S = 300
_LONGEST_LINE = 16 * 1024 * 1024
_LARGEST_BLOB = 160 * 1024 * 1024
_LAST_WORDS = 2000
_MODEL = "offline-engine"
# The process ended, or what it said was not what the two sides agreed upon.
_NO_ANSWER = (
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    ConnectionError,
    ValueError,
    LookupError,
    TypeError,
)


class OfflineProvider:
    """Listens to takes and makes variants with the engine that needs no network."""

    name = "offline"

    def __init__(self, *, soundfont: str, ffmpeg: str) -> None:
        self._settings = {"soundfont": soundfont, "ffmpeg": ffmpeg}

    async def close(self) -> None:
        """Let go of what lasts longer than one piece of work, which is nothing here."""

    async def check(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the measures of a take (mp3); raises TakeRefused when it cannot be composed upon."""
        answer, _ = await self._run({"task": "check"}, take, stop=stop, timeout_s=_LISTEN_TIMEOUT_S)
        return answer

    async def listen(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the analysis of a take (mp3) as plain data; raises TakeRefused when no tune is in it."""
        answer, _ = await self._run({"task": "listen"}, take, stop=stop, timeout_s=_LISTEN_TIMEOUT_S)
        return answer

    async def pick(self, analysis: dict[str, Any], stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the analysis with the best stretch of the take chosen and its tune read anew."""
        answer, _ = await self._run(
            {"task": "segment", "analysis": analysis}, b"", stop=stop, timeout_s=_LISTEN_TIMEOUT_S
        )
        return answer

    async def change(
        self, analysis: dict[str, Any], change: dict[str, Any], stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the analysis with the person's changes; raises TakeRefused when no tune is left."""
        request = {"task": "change", "analysis": analysis, "change": change}
        answer, _ = await self._run(request, b"", stop=stop, timeout_s=_LISTEN_TIMEOUT_S)
        return answer

    async def hear(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return at once what `check`, `listen` and `pick` find in a take (mp3), also in one that is refused."""
        answer, _ = await self._run({"task": "hear"}, take, stop=stop, timeout_s=_LISTEN_TIMEOUT_S)
        return answer

    async def judge(
        self, variants: dict[str, Any], seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return scores, remarks and the recommended label of what was made, and a cover picture as JPEG."""
        request = {"task": "judge", "variants": variants, "seed": seed}
        return await self._run(request, b"", stop=stop, timeout_s=_LISTEN_TIMEOUT_S)

    async def appraise(self, mp3: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return what is measured on an mp3 that somebody else made; `fault` says why there is nothing to measure."""
        answer, _ = await self._run({"task": "appraise"}, mp3, stop=stop, timeout_s=_LISTEN_TIMEOUT_S)
        return answer

    async def compare(
        self, variants: dict[str, Any], picture: bytes, seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return scores, remarks and the recommended label of appraised songs, and the picture or a drawn one."""
        request = {"task": "compare", "variants": variants, "seed": seed}
        return await self._run(request, picture, stop=stop, timeout_s=_LISTEN_TIMEOUT_S)

    async def make(self, order: Order, progress: Callable[[int, str], None], stop: Callable[[], bool]) -> Made:
        """Return the variant; *progress* hears percent and what happens. Raises Stopped soon after *stop* says so."""
        request = {"task": "make", "order": asdict(order)}
        with tracing.generation("generate_music", provider="offline", model=_MODEL) as made:
            answer, mp3 = await self._run(request, b"", stop=stop, timeout_s=_MAKE_TIMEOUT_S, progress=progress)
            made.answered(model=answer.get("engine", ""), cost_usd=0.0)
        for name in ("peaks", "chords", "instruments", "lines"):
            answer[name] = tuple(answer.get(name, ()))
        answer["midi"] = b64decode(answer.get("midi", ""), validate=True)
        return Made(mp3=mp3, **answer)

    async def take_apart(
        self, order: Order, engine: str, progress: Callable[[int, str], None], stop: Callable[[], bool]
    ) -> TakenApart:
        """Return wav and stems of what version *engine* made; raises EngineChanged, and Stopped soon after *stop*."""
        request = {"task": "export", "order": asdict(order), "engine": engine}
        answer, data = await self._run(request, b"", stop=stop, timeout_s=_MAKE_TIMEOUT_S, progress=progress)
        if answer["engine"] != engine:
            raise EngineChanged("this song is of another version of the engine", then=engine, now=answer["engine"])
        # Views, because a copy of a long song's stems would take the worker a hundred megabytes.
        whole, border = memoryview(data), int(answer["wav_bytes"])
        return TakenApart(whole[:border], whole[border:], tuple(answer["stems"]))

    async def _run(
        self,
        request: dict[str, Any],
        blob: bytes,
        *,
        stop: Callable[[], bool],
        timeout_s: float,
        progress: Callable[[int, str], None] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer of one process of the engine and the bytes that came with it; raises ProviderFailed."""
        task = request["task"]
        crash.before(Act.ENGINE_CALL)
        try:
            process = await _started()
        except OSError as error:
            raise ProviderFailed("the engine could not be started", task=task) from error
        said = asyncio.create_task(_last_words(process))
        talk = asyncio.create_task(_talk(process, request | self._settings | {"blob": len(blob)}, blob, progress))
        try:
            async with asyncio.timeout(timeout_s):
                while not talk.done():
                    if stop():
                        raise Stopped(task)
                    await asyncio.wait({talk}, timeout=_POLL_S)
            answer = await talk
        except TimeoutError as error:
            raise ProviderFailed("the engine took too long", task=task) from error
        except _NO_ANSWER as error:
            _end(process)
            _log.error("the engine failed at %s: %r, %s", task, error, await said)
            raise ProviderFailed("the engine ended without an answer", task=task) from error
        finally:
            _end(process)
            talk.cancel()
            # Until here is cleaned up the pipes are open; the process is dead, so none of this takes time.
            await asyncio.gather(talk, said, process.wait(), return_exceptions=True)
        crash.after(Act.ENGINE_CALL)
        return answer


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.composer.providers.offline_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


async def _last_words(process: asyncio.subprocess.Process) -> str:
    """Return the end of what the process says on its standard error, once it has closed it."""
    assert process.stderr is not None
    kept = b""
    while said := await process.stderr.read(65536):
        kept = (kept + said)[-_LAST_WORDS:]
    return kept.decode(errors="replace")


async def _talk(
    process: asyncio.subprocess.Process,
    request: dict[str, Any],
    blob: bytes,
    progress: Callable[[int, str], None] | None,
) -> tuple[dict[str, Any], bytes]:
    """Send the request, hear the progress, return the answer; raises TakeRefused when that is the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n" + blob)
    await process.stdin.drain()
    while True:
        line = await process.stdout.readuntil(b"\n")
        message = json.loads(line)
        if "percent" in message:
            if progress:
                progress(message["percent"], message["text"])
        elif "refused" in message:
            raise TakeRefused(message["refused"], message["measure"])
        else:
            size = int(message["blob"])
            if not 0 <= size <= _LARGEST_BLOB:
                raise ValueError(f"an answer of {size} bytes")
            return message["answer"], await process.stdout.readexactly(size)
