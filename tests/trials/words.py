"""`python -m tests.trials.words`: what words from a model cost beyond the model's own time, and what a fallback adds.

The stand-ins run in a process of their own and tell how long each answer took them; everything beyond that is ours.
Composer, Wallet, PostgreSQL and Valkey are the real ones.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp
import click

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from services.composer.providers.model_writer import ModelWriter
from services.composer.providers.offline_writer import OfflineWriter
from services.composer.usecases.writers import Writers
from services.kit.db.migrate import upgrade
from services.mesh.postgres import Postgres
from services.mesh.process import free_port
from services.mesh.valkey import Valkey
from tests.bench.rounds import quantile
from tests.composer.newsroom import WISH
from tests.composer.studio import Studio, running
from tests.composer.test_lyrics_conformance import gemini_model, never, nobody, openai_model, order

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

FAULTS = ("internal", "overloaded", "forbidden", "quota", "cut_midway", "prose", "rate_long", "no_candidates")


class Sandbox:
    """The stand-ins in their process, and what they tell."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self.url = url

    async def spent_s(self, *names: str) -> float:
        """Return how long the stand-ins took for what they were asked since the last time, and forget it."""
        total = 0.0
        for name in names:
            async with self._http.get(f"{self.url}/_sandbox/{name}/log") as answer:
                total += sum(each["seconds"] for each in (await answer.json())["seen"])
            await self._http.delete(f"{self.url}/_sandbox/{name}/log")
        return total

    async def fail(self, name: str, fault: str, times: int) -> None:
        """Let the next requests go wrong."""
        await self._http.post(f"{self.url}/_sandbox/{name}/faults", json={"fault": fault, "times": times})

    async def mend(self, name: str) -> None:
        """Forget the faults."""
        await self._http.delete(f"{self.url}/_sandbox/{name}/faults")


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    """Yield the stand-ins, started."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes", "--port", str(port), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as http:
            found = Sandbox(http, f"http://127.0.0.1:{port}")
            for _ in range(200):
                try:
                    await found.spent_s("gemini")
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
            yield found
    finally:
        process.terminate()
        await process.wait()


def say(name: str, seconds: Sequence[float]) -> None:
    """Print one figure: its half, its worst in a hundred, its worst."""
    p50, p99 = median(seconds) * 1000, quantile(seconds, 0.99) * 1000
    click.echo(f"{name:58} n={len(seconds):4} p50 {p50:8.1f} ms  p99 {p99:8.1f} ms  most {max(seconds) * 1000:8.1f} ms")


async def around(box: Sandbox, count: int, *, stream: bool) -> None:
    """Measure a writer alone, then the whole call: job, hold, model, versions, settlement."""
    writer = ModelWriter(gemini_model(f"{box.url}/gemini", stream=stream))
    alone, busy = [], []
    for seed in range(count):
        began, cpu = time.perf_counter(), time.process_time()
        await writer.write(order(seed=seed), nobody, never)
        taken, cpu = time.perf_counter() - began, time.process_time() - cpu
        alone.append(taken - await box.spent_s("gemini"))
        busy.append(cpu)
    await writer.close()
    how = "streamed" if stream else "whole"
    say(f"adapter around a call, {how}", alone)
    say(f"adapter around a call, {how}, processor time", busy)


async def whole(box: Sandbox, studio: Studio, count: int, *, how: str) -> None:
    """Measure GenerateLyrics from the stub to the answer, beyond the stand-in's own time."""
    taken, busy = [], []
    for number in range(count):
        if number % 5 == 0:
            await studio.new_user()
        began, cpu = time.perf_counter(), time.process_time()
        request = pb.GenerateLyricsRequest(**{**WISH, "seed": number + 1})
        await studio.lyrics().GenerateLyrics(request, metadata=studio.metadata(), timeout=50)
        passed, cpu = time.perf_counter() - began, time.process_time() - cpu
        taken.append(passed - await box.spent_s("gemini"))
        busy.append(cpu)
    say(f"GenerateLyrics around a call, {how}", taken)
    say(f"GenerateLyrics around a call, {how}, processor time", busy)


async def beside(box: Sandbox, studio: Studio, count: int) -> None:
    """Measure calls that wait side by side, one person each."""
    people = [await studio.new_user() for _ in range(count)]
    await box.spent_s("gemini")

    async def one(number: int, user_id: str) -> float:
        began = time.perf_counter()
        request = pb.GenerateLyricsRequest(**{**WISH, "seed": number + 1})
        await studio.lyrics().GenerateLyrics(request, metadata=studio.metadata(user_id), timeout=50)
        return time.perf_counter() - began

    told = await asyncio.gather(
        *(one(number, user_id) for number, user_id in enumerate(people)), return_exceptions=True
    )
    taken = [each for each in told if isinstance(each, float)]
    each = await box.spent_s("gemini") / count
    say(f"{count} calls at once, beyond the vendor's mean {each:.2f} s", [one - each for one in taken])
    if len(taken) < count:
        click.echo(
            f"{count - len(taken)} of them were refused: {next(e for e in told if not isinstance(e, float))!r:.200}"
        )


async def fallback(box: Sandbox, fault: str, count: int, *, second: bool, fresh: bool) -> None:
    """Measure what a broken first vendor adds beyond the vendors' own time, breakers fresh each time or kept."""

    def writers() -> Writers:
        models = [ModelWriter(gemini_model(f"{box.url}/gemini", silence_s=5.0))]
        if second:
            models.append(ModelWriter(openai_model(f"{box.url}/openai_chat")))
        return Writers(models, OfflineWriter())

    kept, taken = writers(), []
    for seed in range(count):
        asked = writers() if fresh else kept
        await box.fail("gemini", fault, 9)
        began = time.perf_counter()
        await asked.write(order(seed=seed), nobody, never)
        total = time.perf_counter() - began
        taken.append(total - await box.spent_s("gemini", "openai_chat"))
        await box.mend("gemini")
        if fresh:
            await asked.close()
    await kept.close()
    to, state = "second model" if second else "offline writer", "first failure" if fresh else "outage"
    say(f"fallback to the {to}, {fault}, {state}", taken)


async def measure(count: int) -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        url = await asyncio.to_thread(postgres.start)
        redis_url = await asyncio.to_thread(valkey.start)
        try:
            await asyncio.to_thread(upgrade, url)
            async with sandbox() as box:
                async with running(url, redis_url, folder / "offline") as studio:
                    await whole(box, studio, count, how="offline writer")
                for stream in (False, True):
                    await around(box, count, stream=stream)
                    settings: dict[str, Any] = {
                        "gemini_base_url": f"{box.url}/gemini/v1beta",
                        "gemini_api_key": "sandbox-gemini-key-worth-nothing",
                        "gemini_model": "gemini-sandbox",
                        "lyrics_stream": stream,
                    }
                    async with running(url, redis_url, folder / str(stream), **settings) as studio:
                        await whole(box, studio, count, how="streamed" if stream else "whole")
                        await beside(box, studio, 50)
                for fault in FAULTS:
                    await fallback(box, fault, max(count // 10, 5), second=True, fresh=True)
                for fault in ("internal", "forbidden"):
                    await fallback(box, fault, 5, second=False, fresh=True)
                    await fallback(box, fault, max(count // 2, 20), second=False, fresh=False)
        finally:
            await asyncio.to_thread(valkey.remove)
            await asyncio.to_thread(postgres.remove)


@click.command()
@click.option("--count", type=click.IntRange(10, 10_000), default=100, show_default=True, help="Calls a figure.")
def main(count: int) -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    asyncio.run(measure(count))


if __name__ == "__main__":
    main()
