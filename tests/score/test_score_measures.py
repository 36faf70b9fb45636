"""The measures of the table read badly where the sound is bad, and well where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.composer.engine.music import RENDER_RATE
from tests.score import measures
from tests.score.song import COLOUR_DB, differing

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIME = np.arange(10 * RENDER_RATE) / RENDER_RATE


def _tone(hertz: float, *, level_db: float = -20.0, phase: float = 0.0) -> NDArray[np.float32]:
    sound = 10.0 ** (level_db / 20.0) * np.sin(2 * np.pi * hertz * TIME + phase)
    return np.asarray(sound, dtype=np.float32)


def _both(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([left, right], axis=1)


def _noise(slope_db: float) -> NDArray[np.float32]:
    """Return noise of which each octave lies `slope_db` over the one below, the reference curve for nan."""
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal(len(TIME)))
    hertz = np.maximum(np.fft.rfftfreq(len(TIME), 1.0 / RENDER_RATE), 20.0)
    octaves = np.log2(hertz / measures.OCTAVES_HZ[0])
    curve = np.interp(octaves, range(8), measures.REFERENCE_DB) if np.isnan(slope_db) else slope_db * octaves
    sound = np.fft.irfft(spectrum * 10.0 ** ((curve - 3.0 * octaves) / 20.0), n=len(TIME))
    return np.asarray(0.1 * sound / np.abs(sound).max(), dtype=np.float32)


def test_ffmpeg_reads_the_loudness_of_a_tone() -> None:
    """A tone of 997 Hz at -20 dBFS on both channels is at -20 LUFS and peaks at -20 dBTP, by definition."""
    tone = _tone(997.0)

    assert measures.loudness_by_ffmpeg(_both(tone, tone)) == pytest.approx((-20.0, -20.0), abs=0.15)


def test_the_colour_of_music_is_told_from_that_of_noise() -> None:
    """Noise of the reference's colour fits it within a decibel or two; white noise, rumble and a tone do not."""
    close = measures.off_reference_db(_both(_noise(np.nan), _noise(np.nan)))
    far = [measures.off_reference_db(_both(each, each)) for each in (_noise(3.0), _noise(-6.0), _tone(440.0))]

    assert close <= 2.0
    assert min(far) > COLOUR_DB


def test_low_tones_out_of_phase_are_found() -> None:
    """A low tone alike on both channels has no side, one in opposite phase has nothing else, and high ones are free."""
    low, high = _tone(60.0), _tone(2_000.0, level_db=-30.0)

    assert measures.low_side_db(_both(low + high, low - high)) <= -20.0
    assert measures.low_side_db(_both(low, -low)) > 0.0


def test_a_silent_bar_an_offset_and_full_scale_are_found() -> None:
    """The muted second of four seconds is by far the quietest bar; an offset and clipping are counted."""
    tone = _tone(440.0)
    broken = tone.copy()
    broken[RENDER_RATE : 2 * RENDER_RATE] = 0.0

    whole, holed = (measures.bar_levels_db(_both(each, each), 1.0, 4) for each in (tone, broken))
    assert min(whole) > -45.0 > min(holed)
    assert holed.index(min(holed)) == 1
    assert measures.offset(_both(tone, tone)) < 1e-3 < measures.offset(_both(tone, tone + np.float32(0.01)))
    assert measures.clipped_samples(_both(tone, tone)) == 0
    assert measures.clipped_samples(_both(tone, _tone(440.0, level_db=6.0))) > 1_000


def test_kinds_are_told_apart_only_where_they_differ() -> None:
    """Songs of three separate kinds find their own, those whose kinds are drawn by lot hardly do."""
    rng = np.random.default_rng(4)
    kinds = [f"style {at % 3}" for at in range(36)]
    tunes = [f"tune {at // 3 % 4}" for at in range(36)]
    points = np.array([[15.0 * (at % 3)] for at in range(36)]) + rng.normal(0.0, 0.5, (36, 1))

    assert measures.own_kind_nearest(points, kinds, tunes) == 1.0
    assert measures.own_kind_nearest(rng.normal(0.0, 1.0, (36, 2)), kinds, tunes) < 0.7


def test_a_song_differs_from_itself_in_nothing() -> None:
    """Harmony, tempo and instruments count one each, and a tempo a hair off does not count."""
    song: dict[str, object] = {"harmony": ("C", "G"), "tempo": 100.0, "instruments": frozenset({("lead", 1)})}

    assert differing(song, {**song, "tempo": 100.5}) == 0
    assert differing(song, {**song, "tempo": 105.0, "harmony": ("C", "F")}) == 2
