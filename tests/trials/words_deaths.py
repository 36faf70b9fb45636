"""`python -m tests.trials.words_deaths`: a vendor of words, or the process that waits for it, dies again and again.

Each trial draws by its seed how Gemini's stand-in fails (before it takes the call, in the middle of its answer, or with
an answer of no use) and whether the process dies meanwhile, so that another one takes the job up. After each there must
be one finished job with two versions and one charge, or one failed job and none.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy.exc import IntegrityError

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from services.kit.db.migrate import upgrade
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.composer.newsroom import WISH, Newsroom, newsroom
from tests.composer.studio import until
from tests.fakes.stand_in import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

FAULTS: Sequence[str | Fault] = (
    "", "internal", "overloaded", "forbidden", "quota", "html", Fault(cut=True),
    "error_in_stream", "cut_midway", "no_end", "half", "prose", "safety", Fault(delay_s=0.2),
)  # fmt: skip


async def trial(room: Newsroom, number: int) -> str:
    """Return how one wish ended, or raise AssertionError where a promise was broken."""
    draw = random.Random(number)
    fault, dies = draw.choice(FAULTS), draw.random() < 0.3  # not every process dies
    await room.begin()
    room.gemini.pace_s = draw.choice((0.0, 0.005))
    if fault:
        room.gemini.fail(fault, times=9)
    wish = pb.GenerateLyricsRequest(**{**WISH, "seed": number + 1}, in_background=True, request_id="wish")
    stub, metadata = room.studio.lyrics(), room.studio.metadata()
    made = await stub.GenerateLyrics(wish, metadata=metadata, timeout=50)
    if dies:
        await asyncio.sleep(draw.uniform(0.0, 0.2))
        await room.studio.steal(made.job.job_id)
        # Only a running job has a lease that can run out; this one may have ended between the two.
        with suppress(IntegrityError):
            await room.studio.queue_again(made.job.job_id)

    async def ended() -> bool:
        job = await room.studio.job(made.job.job_id)
        if not job.state.finished:
            try:
                await stub.GenerateLyrics(wish, metadata=metadata, timeout=50)
            except Exception:  # noqa: BLE001  # a refusal: the job's row says the same
                return False
        return job.state.finished

    await until(ended, within_s=60)
    row, jobs, (balance, entries) = await room.row(), await room.jobs(), await room.money()
    assert len(jobs) == 1, f"trial {number}: {jobs}"
    if jobs[0][0] == "completed":
        assert len(row.versions) == 2, f"trial {number}: {row.versions}"  # A and B
        assert (balance, entries) == ((90, 0), [-10, 100]), f"trial {number}: {balance} {entries}"
        return f"{row.versions[0].provider}{' after a death' if dies else ''}"
    assert balance == (100, 0), f"trial {number}: {balance}"
    assert not row.versions, f"trial {number}: {row.versions}"
    return f"{jobs[0][0]}{' after a death' if dies else ''}"


async def run(count: int, first: int) -> None:
    """Run the trials and print how they ended."""
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        url = await asyncio.to_thread(postgres.start)
        redis_url = await asyncio.to_thread(valkey.start)
        try:
            await asyncio.to_thread(upgrade, url)
            began = time.monotonic()
            async with newsroom(url, redis_url, folder) as room:
                for number in range(first, first + count):
                    ends[await trial(room, number)] += 1
            click.echo(f"{count} trials in {time.monotonic() - began:.0f} s, no promise broken")
        finally:
            await asyncio.to_thread(valkey.remove)
            await asyncio.to_thread(postgres.remove)
    for end, times in ends.most_common():
        click.echo(f"{times:6}  {end}")


@click.command()
@click.option("--count", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--first", type=int, default=0, help="Seed of the first trial.")
def main(count: int, first: int) -> None:
    """Let vendors and processes die."""
    logging.disable(logging.ERROR)
    asyncio.run(run(count, first))


if __name__ == "__main__":
    main()
