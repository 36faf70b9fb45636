"""Media's pipeline (look inside, encode, waveform) against bare ffmpeg making the same mp3."""

import asyncio
import shutil
import time
import wave
from pathlib import Path

from services.media.domain.upload import Limits
from services.media.jobs.ffmpeg import MP3_BITRATE, MP3_SAMPLE_RATE_HZ, Ffmpeg, default_binary
from services.media.jobs.look import look
from services.mesh.hum import write_sample_hum
from tests.bench.rounds import Figures, Row, Trial

LONG_S = (60, 240)
LIMITS = Limits(longest_ms=300_000)
FFMPEG_S = 60.0


async def measure(trial: Trial) -> list[Row]:
    """Return a row for the bundled hum and one each for a minute and four minutes of it."""
    hum = await asyncio.to_thread(write_sample_hum, trial.folder / "hum.wav")
    rows = []
    longer = [(f"{seconds} s of it", _repeated(hum, trial.folder / f"{seconds}.wav", seconds)) for seconds in LONG_S]
    for name, source in (("bundled hum", hum), *longer):
        pipeline, bare = Pipeline(source, trial.folder), Bare(source, trial.folder)
        series = await trial.in_turn(pipeline.run, bare.run)
        figure = f"{name} to mp3, waveform and loudness"
        rows.append(Row("transcode", figure, "s", "bare ffmpeg", series.ours["s"], series.reference["s"]))
    return rows


class Pipeline:
    """What the transcode job does between fetching the file and storing the mp3."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder / "pipeline"
        self._ffmpeg = Ffmpeg(default_binary())

    async def run(self) -> Figures:
        """Return the seconds that one recording takes."""
        self._folder.mkdir()
        began = time.perf_counter()
        await self._ffmpeg.make_playable(self._source, look(self._source), self._folder, LIMITS)
        took = time.perf_counter() - began
        shutil.rmtree(self._folder)
        return {"s": took}


class Bare:
    """One ffmpeg with the fewest arguments that give the same mp3."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._target = folder / "bare.mp3"

    async def run(self) -> Figures:
        """Return the seconds that one recording takes."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(default_binary(), "-nostdin", "-y", "-v", "error", "-threads", "1", "-i", str(self._source)),
            *("-ac", "1", "-ar", str(MP3_SAMPLE_RATE_HZ), "-c:a", "libmp3lame", "-b:a", MP3_BITRATE),
            str(self._target),
        )
        try:
            async with asyncio.timeout(FFMPEG_S):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise RuntimeError(f"ffmpeg ended with {code}")
        return {"s": time.perf_counter() - began}


def _repeated(source: Path, target: Path, seconds: int) -> Path:
    """Write the sound over and over until so many seconds are full."""
    with wave.open(str(source), "rb") as file:
        parameters, data = file.getparams(), file.readframes(file.getnframes())
    wanted = seconds * parameters.framerate * parameters.sampwidth * parameters.nchannels
    with wave.open(str(target), "wb") as file:
        file.setparams(parameters)
        file.writeframes((data * (wanted // len(data) + 1))[:wanted])
    return target
