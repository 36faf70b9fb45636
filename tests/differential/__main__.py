"""`python -m tests.differential --cases 1000 --seed 1`: play, print what differed, leave with 1 when something did."""

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from services.mesh.postgres import Postgres
from services.mesh.up import running_mesh
from tests.differential.play import SETTINGS, Play
from tests.e2e.conftest import home_at

_SHOWN = 20
_TOLD_EVERY = 1000


@click.command()
@click.option("--cases", type=click.IntRange(1), default=1000, show_default=True, help="wishes of each method")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--songs", is_flag=True, help="Everybody has a finished song first; on a busy machine their logs differ.")
def main(cases: int, seed: int, *, songs: bool) -> None:
    """Play the series of a seed to a mesh of its own, in every way."""
    root = Path(tempfile.mkdtemp(prefix="cadenza-differential-", dir="/var/tmp")) / "home"
    try:
        sys.exit(asyncio.run(_run(root, cases, seed, songs=songs)))
    finally:
        Postgres(root / "postgres").remove()
        shutil.rmtree(root.parent, ignore_errors=True)


async def _run(root: Path, cases: int, seed: int, *, songs: bool) -> int:
    began = time.monotonic()
    played = Play(seed)
    if songs:
        async with running_mesh(home_at(root, **SETTINGS | {"WORKERS": "1"})) as mesh, played.at(mesh):
            await played.make_songs()
    async with running_mesh(home_at(root, **SETTINGS)) as mesh, played.at(mesh):
        await played.run(cases, lambda done, every: _tell(played, done, every))
    for each in played.found[:_SHOWN]:
        click.echo(each)
    click.echo(", ".join(f"{reason or 'answered'} {count}" for reason, count in played.reasons.most_common()))
    ways = ", ".join(world.name for world in played.worlds)
    total = sum(played.reasons.values())
    click.echo(
        f"{total} wishes, {cases} of each of {len(played.bindings)} methods, by {ways}: "
        f"{len(played.found)} differences in {time.monotonic() - began:.0f} s"
    )
    return 1 if played.found else 0


def _tell(played: Play, done: int, every: int) -> None:
    """Say how far it is, now and then."""
    if not done % _TOLD_EVERY:
        click.echo(f"{done} of {every} wishes, {len(played.found)} differences", err=True)


if __name__ == "__main__":
    main()
