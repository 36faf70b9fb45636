"""Measures of a finished sound that share no code with the engine, and an ear from outside: ffmpeg's ebur128."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import RENDER_RATE
from services.composer.providers.sound import ffmpeg_program

if TYPE_CHECKING:
    from numpy.typing import NDArray

OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0)
REFERENCE_DB = (-1.0, 0.0, -1.0, -2.0, -4.0, -7.0, -11.0, -16.0)
"""Power of each octave in popular recordings: level to 200 Hz, then falling ever faster, after the mean spectra that
P. D. Pestana et al. found in number ones of sixty years ("Spectral characteristics of popular commercial recordings
1950-2010", AES 135, 2013), read off their figure to a decibel."""

_SILENCE = 1e-12
_TRANSFORM = 16_384
_HOP = 1_024
_LOW_HZ = 120.0


def loudness_by_ffmpeg(audio: NDArray[np.float32]) -> tuple[float, float]:
    """Return integrated loudness in LUFS and true peak in dBTP of (samples, 2) as ffmpeg's ebur128 reads them."""
    command = [
        *(ffmpeg_program(""), "-nostdin", "-hide_banner", "-f", "f32le", "-ar", str(RENDER_RATE), "-ac", "2"),
        *("-i", "pipe:0", "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"),
    ]
    raw = np.ascontiguousarray(audio, dtype="<f4").tobytes()
    said = subprocess.run(command, input=raw, capture_output=True, check=True, timeout=120).stderr.decode()
    summary = said[said.rindex("Summary:") :]
    found = [re.search(rf"\s{name}:\s+(-?[\d.]+|-inf) ", summary) for name in ("I", "Peak")]
    if not all(found):
        raise ValueError(f"ffmpeg said no loudness: {summary[-300:]}")
    return float(found[0].group(1)), float(found[1].group(1))  # type: ignore[union-attr]  # all were found


def octave_levels_db(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power of the octaves of `OCTAVES_HZ` in dB, their mean taken away: the colour without the loudness."""
    power = _frames(audio, _TRANSFORM).mean(axis=0)
    hertz = np.fft.rfftfreq(_TRANSFORM, 1.0 / RENDER_RATE)
    edge = 2.0**0.5
    sums = [power[(hertz >= middle / edge) & (hertz < middle * edge)].sum() for middle in OCTAVES_HZ]
    levels = 10.0 * np.log10(np.array(sums) + _SILENCE)
    return np.asarray(levels - levels.mean(), dtype=np.float64)


def off_reference_db(audio: NDArray[np.float32]) -> float:
    """Return how far the octave that fits least lies from the reference curve, both freed of their mean."""
    wanted = np.array(REFERENCE_DB) - np.mean(REFERENCE_DB)
    return float(np.abs(octave_levels_db(audio) - wanted).max())


def low_side_db(audio: NDArray[np.float32]) -> float:
    """Return the power of the difference of the channels below 120 Hz over that of their sum, in dB."""
    hertz = np.fft.rfftfreq(len(audio), 1.0 / RENDER_RATE)
    low = hertz < _LOW_HZ
    side, middle = (
        float((np.abs(np.fft.rfft(each)[low]) ** 2).sum())
        for each in (audio[:, 0] - audio[:, 1], audio[:, 0] + audio[:, 1])
    )
    return 10.0 * float(np.log10((side + _SILENCE) / (middle + _SILENCE)))


def bar_levels_db(audio: NDArray[np.float32], bar_s: float, bars: int) -> list[float]:
    """Return the RMS of each bar in dBFS."""
    edges = [round(index * bar_s * RENDER_RATE) for index in range(bars + 1)]
    powers = [float(np.mean(audio[a:b] ** 2)) if b > a else 0.0 for a, b in itertools.pairwise(edges)]
    return [10.0 * float(np.log10(power + _SILENCE)) for power in powers]


def clipped_samples(audio: NDArray[np.float32]) -> int:
    """Return how many samples lie at or over full scale."""
    return int((np.abs(audio) >= 1.0).sum())


def offset(audio: NDArray[np.float32]) -> float:
    """Return the larger mean of the two channels: what is left of a direct current."""
    return float(np.abs(audio.mean(axis=0, dtype=np.float64)).max())


def character(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what tells styles apart without notes: colour, attacks in three ranges, evenness, width, steadiness.

    Seventeen numbers: the eight octaves; for bass, middle and treble how much the spectrum jumps and how many attacks
    a second there are; how tonal the spectrum is; the spread of the level; the crest; the width.
    """
    mono = audio.mean(axis=1)
    spectra = np.sqrt(_frames(audio, 2_048, _HOP))
    hertz = np.fft.rfftfreq(2_048, 1.0 / RENDER_RATE)
    rises: list[float] = []
    for low, high in ((30.0, 200.0), (200.0, 2_500.0), (2_500.0, 12_000.0)):
        band = spectra[:, (hertz >= low) & (hertz < high)]
        jump = np.maximum(np.diff(np.log1p(band), axis=0), 0.0).mean(axis=1)
        peaks = (jump[1:-1] > jump[:-2]) & (jump[1:-1] >= jump[2:]) & (jump[1:-1] > 1.5 * jump.mean())
        rises += [float(jump.mean() * 20.0), float(peaks.mean() * RENDER_RATE / _HOP)]
    power = (spectra**2).mean(axis=0) + _SILENCE
    flatness = float(np.exp(np.log(power).mean()) / power.mean())
    levels = 10.0 * np.log10((spectra**2).sum(axis=1) + _SILENCE)
    side = float(((audio[:, 0] - audio[:, 1]) ** 2).mean() / ((audio[:, 0] + audio[:, 1]) ** 2).mean())
    crest = float(np.percentile(np.abs(mono), 99.9) / np.sqrt((mono**2).mean()))
    rest = [np.log10(flatness), float(np.percentile(levels, 90) - np.percentile(levels, 20)), crest]
    return np.array([*octave_levels_db(audio), *rises, *rest, 10.0 * np.log10(side + 1e-6)])


def own_kind_nearest(characters: NDArray[np.float64], kinds: list[str], tunes: list[str]) -> float:
    """Return the share of songs whose nearest one among songs of other tunes is of their own kind.

    Distances are in standard deviations over all songs, so that no unit counts more than another.
    """
    scaled = (characters - characters.mean(axis=0)) / (characters.std(axis=0) + 1e-9)
    right = 0
    for index, kind in enumerate(kinds):
        others = [at for at in range(len(kinds)) if tunes[at] != tunes[index]]
        distances = [float(np.linalg.norm(scaled[at] - scaled[index])) for at in others]
        right += kinds[others[int(np.argmin(distances))]] == kind
    return right / len(kinds)


def _frames(audio: NDArray[np.float32], size: int, hop: int = 0) -> NDArray[np.float64]:
    """Return the power spectra (frames, bins) of the sum of the channels, at most some thousand of them."""
    mono = audio.mean(axis=1) if audio.ndim > 1 else audio
    if len(mono) < size:
        mono = np.pad(mono, (0, size - len(mono)))
    windows = np.lib.stride_tricks.sliding_window_view(mono, size)[:: hop or size]
    windows = windows[:3_000]
    return np.asarray(np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2, dtype=np.float64)
