"""`python -m tests.document --requests 50000 --seed 1`: run schemathesis, print what it found, leave with 1 if any."""

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from services.mesh.postgres import Postgres
from tests.document.runs import Run, run
from tests.document.standing import standing

_EXAMPLES = 40


@click.command()
@click.option("--requests", type=click.IntRange(1), default=50_000, show_default=True, help="requests in all, at least")
@click.option("--seed", type=int, default=1, show_default=True, help="seed of the first piece; each takes the next")
def main(requests: int, seed: int) -> None:
    """Run all phases of schemathesis, piece after piece, against a mesh of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cadenza-document-", dir="/var/tmp"))
    try:
        sys.exit(asyncio.run(_run(folder, requests, seed)))
    finally:
        Postgres(folder / "home" / "postgres").remove()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: Path, requests: int, seed: int) -> int:
    began, whole = time.monotonic(), Run()
    async with standing(folder / "home") as place:
        while whole.requests < requests:
            piece = await run(place, folder, seed=seed, examples=_EXAMPLES)
            whole.add(piece)
            click.echo(f"seed {seed}: {piece.requests} requests, {len(piece.failures)} failures", err=True)
            if not piece.requests:
                break
            seed += 1
    click.echo(whole.said)
    for each in [*whole.failures, *whole.errors]:
        click.echo(each)
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(whole.statuses.items()))
    click.echo(
        f"{whole.requests} requests in {time.monotonic() - began:.0f} s ({statuses}): "
        f"{len(whole.failures)} failures, {len(whole.errors)} errors"
    )
    return 0 if whole.clean and whole.requests else 1


if __name__ == "__main__":
    main()
