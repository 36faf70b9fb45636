"""Cut a stretch out of a sound with ffmpeg, to the sample, and bring it to a loudness.

Loudness is measured after the fades, as it is heard. Where the gain alone would lift a peak beyond the
ceiling a limiter holds it back, which takes some loudness away; so it is measured again and made up for.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from pathlib import Path

from services.media.domain.slice import Slice
from services.media.domain.sound import Format
from services.media.jobs import cage
from services.media.jobs.ffmpeg import MP3_SAMPLE_RATE_HZ, Ffmpeg, Playable, reading, writing
from services.media.jobs.look import look, refusal
from services.media.jobs.measure import SILENCE_LUFS, Measured, measure

CEILING_DBTP = -1.0
_NEAR_LU = 0.2
_MOST_GAIN_DB = 60.0
# Each makes up for what the limiter took in the one before; most sounds need none.
_ROUNDS = 6
# What a limiter takes of a step is made up for by a longer one.
_FURTHER = 1.5
# Between the samples a limited peak can rise a little beyond what the limiter sees.
_FIRST_LIMIT_DB = -1.5
_FRAME_BYTES = 2 * 2


@dataclass(frozen=True)
class _Level:
    """How much louder a stretch becomes, and where the limiter holds it; None for no limiter."""

    gain_db: float = 0.0
    limit_db: float | None = None


async def cut(ffmpeg: Ffmpeg, source: Path, folder: Path, wish: Slice) -> Playable:
    """Return the mp3 of the stretch, made in `folder`.

    Raises UploadFormatInvalid when nothing can be decoded there, cage.TookTooLong on a busy machine.
    """
    found = await asyncio.to_thread(look, source)
    mp3, samples = folder / "playable.mp3", folder / "samples.wav"

    async def heard(level: _Level, target: Path | None) -> Measured:
        arguments = _arguments(source, found, wish, level, target, samples)
        largest_mb = math.ceil(wish.length_s * MP3_SAMPLE_RATE_HZ * _FRAME_BYTES / 2**20) + 1
        bars, room = replace(ffmpeg.bars, file_mb=largest_mb), cage.Room(folder, (source,))
        outcome = await cage.run([ffmpeg.binary, *arguments], bars, room)
        outcome.check_our_side()
        if outcome.code != 0:
            raise refusal("stalling" if outcome.used_up else "broken", outcome.complaint)
        measured = await asyncio.to_thread(measure, samples)
        if measured is None:
            raise refusal("no sound")
        return measured

    level = _Level()
    if wish.loudness_lufs is not None:
        measured = await heard(level, None)
        level = _first_level(measured, wish.loudness_lufs)
        found_so_far = {0.0: measured.waveform.loudness_lufs}
        for _ in range(_ROUNDS if level.limit_db is not None else 0):
            measured = await heard(level, None)
            found_so_far[level.gain_db] = measured.waveform.loudness_lufs
            closer = _closer(level, measured, found_so_far, wish.loudness_lufs)
            if closer == level:
                break
            level = closer
    measured = await heard(level, mp3)
    duration_ms = round(measured.frames * 1000 / measured.sample_rate_hz)
    return Playable(mp3, duration_ms, measured.peaks, measured.waveform, found.name)


def _first_level(measured: Measured, loudness_lufs: float) -> _Level:
    """Return the gain to a loudness, with a limiter where it would lift peaks too high; none for silence."""
    sound = measured.waveform
    if sound.loudness_lufs <= SILENCE_LUFS:
        return _Level()
    gain = min(loudness_lufs - sound.loudness_lufs, _MOST_GAIN_DB)
    # A sound that was too high before and is not made louder is left as it is.
    limit = _FIRST_LIMIT_DB if gain > 0 and sound.true_peak_dbtp + gain > CEILING_DBTP else None
    return _Level(gain, limit)


def _closer(level: _Level, measured: Measured, found: dict[float, float], loudness_lufs: float) -> _Level:
    """Return the level after what was heard of it, and of other gains before; the same when it is near enough."""
    assert level.limit_db is not None
    beyond = max(measured.waveform.true_peak_dbtp - CEILING_DBTP, 0.0)
    limit = level.limit_db - beyond
    missing = loudness_lufs - measured.waveform.loudness_lufs
    if abs(missing) <= _NEAR_LU:
        return _Level(level.gain_db, limit)
    # Where the gain is that is wanted: between the nearest that was too little and one that was enough, or further up.
    below = max(gain for gain, lufs in found.items() if lufs < loudness_lufs)
    above = [gain for gain, lufs in found.items() if lufs >= loudness_lufs]
    if not above:
        return _Level(min(below + _FURTHER * missing, _MOST_GAIN_DB), limit)
    high = min(above)
    share = (loudness_lufs - found[below]) / (found[high] - found[below])
    return _Level(below + share * (high - below), limit)


def _arguments(source: Path, found: Format, wish: Slice, level: _Level, mp3: Path | None, samples: Path) -> list[str]:
    """Return ffmpeg's arguments for one reading of the source up to the end of the stretch."""
    first, last = (round(at * MP3_SAMPLE_RATE_HZ) for at in (wish.start_s, wish.end_s))
    steps = [
        f"[0:a:0]aresample={MP3_SAMPLE_RATE_HZ}",
        "aformat=sample_fmts=fltp:channel_layouts=stereo|mono",
        # By the count of samples, for the timestamps of an mp3 begin behind its padding.
        f"atrim=start_sample={first}:end_sample={last}",
        "asetpts=N/SR/TB",
    ]
    rising, falling = (round(each * MP3_SAMPLE_RATE_HZ) for each in (wish.fade_in_s, wish.fade_out_s))
    if rising:
        steps.append(f"afade=t=in:ss=0:ns={rising}:curve=tri")
    if falling:
        steps.append(f"afade=t=out:ss={last - first - falling}:ns={falling}:curve=tri")
    if level.gain_db:
        steps.append(f"volume={level.gain_db:.3f}dB:precision=float")
    if level.limit_db is not None:
        steps.append(f"alimiter=limit={10 ** (level.limit_db / 20):.5f}:attack=5:release=50:level=0:latency=1")
    steps.append("aformat=sample_fmts=s16p")
    steps.append("asplit[played][measured]" if mp3 else "anull[measured]")
    return [
        *reading(source, found, longest_s=wish.end_s),
        *("-filter_complex_threads", "1", "-filter_complex", ",".join(steps)),
        *writing(mp3, samples, longest_s=wish.length_s + 1),
    ]
