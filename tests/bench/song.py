"""One variant composed, rendered, mixed and mastered, against the synthesiser alone playing the same notes."""

import asyncio
from pathlib import Path
from typing import Any

from services.media.domain.upload import Limits
from services.media.jobs.ffmpeg import Ffmpeg, default_binary
from services.media.jobs.look import look
from services.mesh.hum import write_sample_hum
from tests.bench.children import MEGABYTE, run_child
from tests.bench.rounds import Figures, Row, Trial, median

MINUTE_S = 60.0
STAGES = {
    "compose": "compose",
    "load soundfont": "load the soundfont",
    "play": "play each part and put it on the desk",
    "room": "room and sum",
    "master": "master",
}
"""The stages as the engine's progress names them, and what they are."""


async def take_of(folder: Path) -> Path:
    """Return the bundled hum as the mp3 that the engine gets."""
    hum = await asyncio.to_thread(write_sample_hum, folder / "hum.wav")
    made = folder / "take"
    made.mkdir()
    playable = await Ffmpeg(default_binary()).make_playable(hum, look(hum), made, Limits())
    return playable.path


async def measure(trial: Trial) -> list[Row]:
    """Return a row for the seconds and one for the memory."""
    take = await take_of(trial.folder)
    analysis = (await run_child("listen", {"take": str(take)}))["analysis"]

    async def ours() -> Figures:
        return _figures(await run_child("song", {"analysis": analysis}))

    async def synthesiser() -> Figures:
        return _figures(await run_child("synth", {"analysis": analysis}))

    series = await trial.in_turn(ours, synthesiser)
    against = "bare tinysoundfont, same notes"
    length = f"{median(series.ours['song_s']):.0f} s of music"
    stages = [
        Row(
            *("song", f"of it: {what}", "of real time", against),
            *(series.ours[stage], series.reference["factor"]),
            note=f"{median(series.ours[stage]) * median(series.ours['song_s']):.2f} s",
        )
        for stage, what in STAGES.items()
    ]
    return [
        Row(
            *("song", "one variant, per minute of music", "s", against),
            *(series.ours["s"], series.reference["s"]),
            note=f"composed, played, mixed, mastered; {length}",
        ),
        *stages,
        Row("song", "peak memory of that process", "MB", against, series.ours["peak"], series.reference["peak"]),
    ]


def _figures(answer: dict[str, Any]) -> Figures:
    stages = {name: seconds / answer["song_s"] for name, seconds in answer.get("stages", {}).items()}
    return {
        **stages,
        "factor": answer["seconds"] / answer["song_s"],
        "s": answer["seconds"] / answer["song_s"] * MINUTE_S,
        "song_s": answer["song_s"],
        "peak": answer["peak_bytes"] / MEGABYTE,
    }
