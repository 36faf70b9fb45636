"""`python -m tests.trials --trials 1000`: play them, print what became of them, leave with 1 when a promise broke."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from services.kit.db.migrate import upgrade
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.composer.studio import running
from tests.trials.blow import trial
from tests.trials.stage import stage


@click.command()
@click.option("--trials", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True)
def main(trials: int, first: int) -> None:
    """Play so many trials, the first one by its number."""
    # The account that runs PostgreSQL must reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="cadenza-vendors-", dir="/var/tmp"))
    postgres, valkey = Postgres(folder / "postgres", durable=False), Valkey(folder / "valkey")
    try:
        database_url = postgres.start()
        upgrade(database_url)
        sys.exit(asyncio.run(_play(database_url, valkey.start(), folder, range(first, first + trials))))
    finally:
        valkey.remove()
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)


async def _play(database_url: str, redis_url: str, folder: Path, numbers: range) -> int:
    """Return 0 when every promise was kept."""
    states, makers, faults, points = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    wrong, began = 0, time.monotonic()
    async with running(database_url, redis_url, folder / "objects") as studio, stage(studio) as opened:
        for number in numbers:
            one = trial(number)
            ended = await opened.play(one)
            states[ended.state] += 1
            makers[ended.maker or "nobody"] += 1
            faults[one.fault or "none"] += 1
            points[one.point if ended.died else "none"] += 1
            if ended.wrong:
                wrong += 1
                click.echo(f"{one}: {ended}")
            if (number + 1) % 100 == 0:
                click.echo(f"{number + 1 - numbers.start} trials, {wrong} wrong, {time.monotonic() - began:.0f} s")
    for title, counted in (("ended", states), ("made by", makers), ("hurt", faults), ("worker died", points)):
        click.echo(f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counted.items())))
    click.echo(f"{len(numbers)} trials, {wrong} with a broken promise")
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
