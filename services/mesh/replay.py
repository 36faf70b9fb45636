"""``cadenza replay``: a finished song made again from what was kept of it, byte for byte, shown to an operator."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.composer.config import Config
from services.composer.domain.track import Recipe, Variant
from services.composer.providers.offline import OfflineProvider
from services.composer.usecases.replay import Replay, Replayed
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.errors import NotFound
from services.kit.ids import is_id
from services.mesh.database import at_hand
from services.mesh.errors import CannotStart
from services.mesh.home import Home


def replay(track_id: str, out: Path, home: Home | None = None) -> int:
    """Make both variants again, write them into `out`, and return 0 when they are the same bytes and 1 when not.

    Raises `CannotStart` without a database, and for a track that is not there or was made by another provider.
    """
    if not is_id(track_id):
        raise CannotStart(f"{track_id} is not the id of a track.", "It stands in the address of the song.")
    with at_hand(home) as database_url:
        try:
            done = asyncio.run(_replay(database_url, track_id))
        except NotFound as error:
            raise CannotStart(
                f"The track {track_id} cannot be made again: {error.message}.",
                "Only songs of the offline engine that are still there can.",
            ) from error
    out.mkdir(parents=True, exist_ok=True)
    for each in done:
        path = out / f"{each.made.label}.mp3"
        path.write_bytes(each.made.mp3)
        path.with_suffix(".mid").write_bytes(each.made.midi)
        path.with_suffix(".txt").write_text(each.made.chord_sheet, encoding="utf-8")
        click.secho(f"{path}: {_verdict(each)}", fg="green" if each.same else "red")
    return 0 if all(each.same for each in done) else 1


async def _replay(database_url: str, track_id: str) -> list[Replayed]:
    database = Database(database_url, pool_size=1, max_overflow=0)
    config = load(Config)
    again = Replay(database, OfflineProvider(soundfont=str(config.soundfont or ""), ffmpeg=config.ffmpeg_binary))
    columns = (
        TextColumn("variant {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    try:
        recipe, variants = await again.recipe(track_id)
        with Progress(*columns, console=Console(stderr=True)) as bars:
            return await asyncio.gather(*(_one(again, recipe, variant, bars) for variant in variants))
    finally:
        await database.close()


async def _one(again: Replay, recipe: Recipe, variant: Variant, bars: Progress) -> Replayed:
    bar = bars.add_task(variant.label, total=100, now="")
    done = await again.again(recipe, variant, lambda percent, what: bars.update(bar, completed=percent, now=what))
    bars.update(bar, completed=100, now="done")
    return done


def _verdict(each: Replayed) -> str:
    if each.same:
        return "the same bytes as the first time"
    if each.made.engine != each.engine_then:
        return f"other bytes: made by version {each.engine_then} of the engine, this is version {each.made.engine}"
    return "other bytes by the same version of the engine: another build, processor or soundfont"
