"""Media's pipeline (look inside, encode, waveform) against bare ffmpeg making the same mp3."""

import asyncio
import resource
import shutil
import time
import wave
from pathlib import Path

from services.media.domain.upload import Limits
from services.media.jobs.ffmpeg import MP3_BITRATE, MP3_SAMPLE_RATE_HZ, Ffmpeg, default_binary
from services.media.jobs.look import look
from services.mesh.hum import write_sample_hum
from tests.bench.rounds import Figures, Row, Trial, median

LONG_S = (60, 240)
# Of four minutes: how much more processor time than bare ffmpeg may be needed.
SHARE_MOST = 1.15
LIMITS = Limits(longest_ms=300_000)
FFMPEG_S = 60.0


async def measure(trial: Trial) -> list[Row]:
    """Return a row of time for the bundled hum and a minute of it, and one of each time for four minutes of it."""
    hum = await asyncio.to_thread(write_sample_hum, trial.folder / "hum.wav")
    minute, long = (_repeated(hum, trial.folder / f"{seconds}.wav", seconds) for seconds in LONG_S)
    wide = await _wide(long, trial.folder / "wide.wav")
    rows = []
    for name, source in (
        ("bundled hum", hum),
        ("60 s of it", minute),
        ("240 s of it", long),
        ("240 s, stereo, 48 kHz", wide),
    ):
        channels = 2 if source is wide else 1
        pipeline, bare = Pipeline(source, trial.folder), Bare(source, trial.folder, channels)
        series = await trial.in_turn(pipeline.run, bare.run)
        figure = f"{name} to mp3, waveform and loudness"
        rows.append(Row("transcode", figure, "s", "bare ffmpeg", series.ours["s"], series.reference["s"]))
        if source in {long, wide}:
            ours, reference = series.ours["processor_s"], series.reference["processor_s"]
            limit = SHARE_MOST * median(reference)
            figure = f"processor time of {name}"
            rows.append(Row("transcode", figure, "s", "bare ffmpeg", ours, reference, limit=limit))
    return rows


def _spent_s() -> float:
    """Return the processor time of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Pipeline:
    """What the transcode job does between fetching the file and storing the mp3."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder / "pipeline"
        self._ffmpeg = Ffmpeg(default_binary())

    async def run(self) -> Figures:
        """Return the seconds that one recording takes, by the wall clock and of a processor."""
        self._folder.mkdir()
        began, spent = time.perf_counter(), _spent_s()
        await self._ffmpeg.make_playable(self._source, look(self._source), self._folder, LIMITS)
        took = {"s": time.perf_counter() - began, "processor_s": _spent_s() - spent}
        shutil.rmtree(self._folder)
        return took


class Bare:
    """One ffmpeg with the fewest arguments that give the same mp3."""

    def __init__(self, source: Path, folder: Path, channels: int) -> None:
        self._source = source
        self._target = folder / "bare.mp3"
        self._channels = channels

    async def run(self) -> Figures:
        """Return the seconds that one recording takes, by the wall clock and of a processor."""
        began, spent = time.perf_counter(), _spent_s()
        await _ffmpeg(
            *("-threads", "1", "-i", str(self._source), "-ac", str(self._channels)),
            *("-ar", str(MP3_SAMPLE_RATE_HZ), "-c:a", "libmp3lame", "-b:a", MP3_BITRATE, str(self._target)),
        )
        return {"s": time.perf_counter() - began, "processor_s": _spent_s() - spent}


async def _ffmpeg(*arguments: str) -> None:
    """Run ffmpeg to its end; raises RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(default_binary(), "-nostdin", "-y", "-v", "error", *arguments)
    try:
        async with asyncio.timeout(FFMPEG_S):
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        raise RuntimeError(f"ffmpeg ended with {code}")


async def _wide(source: Path, target: Path) -> Path:
    """Write the sound in two channels of 48 kHz that differ, and return where."""
    graph = "aformat=channel_layouts=stereo,aecho=0.8:0.6:37:0.3,stereotools=delay=11"
    await _ffmpeg("-i", str(source), "-af", graph, "-ar", "48000", str(target))
    return target


def _repeated(source: Path, target: Path, seconds: int) -> Path:
    """Write the sound over and over until so many seconds are full."""
    with wave.open(str(source), "rb") as file:
        parameters, data = file.getparams(), file.readframes(file.getnframes())
    wanted = seconds * parameters.framerate * parameters.sampwidth * parameters.nchannels
    with wave.open(str(target), "wb") as file:
        file.setparams(parameters)
        file.writeframes((data * (wanted // len(data) + 1))[:wanted])
    return target
