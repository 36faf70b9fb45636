"""What is no tune is refused with its own code, and what is a poor take of one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen.analyze import admit_take, analyze
from services.composer.engine.listen.f0 import track_f0
from services.composer.engine.listen.take import check_take, plateau_share
from services.composer.engine.music import ANALYSIS_RATE
from services.mesh.hum import synthesize_hum
from tests.composer.singer import SLOPPY, VERY_SLOPPY, Take, clip_hard, pink_noise, sing, speak, telephone
from tests.composer.tunes import TUNING_TUNES

TUNE = TUNING_TUNES[3]


@pytest.fixture(scope="module")
def take() -> Take:
    """Return one careful take in little noise."""
    return sing(TUNE, seed=3)


def _code(samples: np.ndarray) -> str:
    """Return the code a take is refused with, or "passed"."""
    try:
        admit_take(samples.astype(np.float32))
    except TakeRefusedError as refusal:
        return refusal.code if refusal.measure else "no measure given"
    return "passed"


@pytest.mark.parametrize("seconds", [1, 10])
def test_silence_is_refused_as_silent(seconds: int) -> None:
    """Digital silence and hiss 80 dB down are silent, however long."""
    assert _code(np.zeros(seconds * ANALYSIS_RATE)) == "silent"
    assert _code(np.random.default_rng(1).standard_normal(seconds * ANALYSIS_RATE) * 1e-4) == "silent"


@pytest.mark.parametrize("level", [0.005, 0.3])
def test_noise_is_refused_as_noise(level: float) -> None:
    """White and pink noise, soft or loud, are noise."""
    white = np.random.default_rng(2).standard_normal(8 * ANALYSIS_RATE) * level
    assert _code(np.clip(white, -1, 1)) == "noise"
    assert _code(np.clip(pink_noise(8 * ANALYSIS_RATE, 3) * level, -1, 1)) == "noise"


@pytest.mark.parametrize(("seed", "median_hz"), [(0, 110.0), (1, 135.0), (2, 210.0)])
def test_speech_is_refused_as_speech(seed: int, median_hz: float) -> None:
    """Formant speech of low and high voices is speech, with a wide margin to the worst singer."""
    spoken = speak(8.0, seed, median_hz=median_hz)
    assert _code(spoken) == "speech"
    sung = sing(TUNE, seed=seed, style=VERY_SLOPPY).samples
    assert plateau_share(track_f0(sung)) > plateau_share(track_f0(spoken)) + 0.4


def test_too_short_and_too_long_takes_are_refused_as_such(take: Take) -> None:
    """0.2 s, 0.9 s, three notes, and more than 180 s have their codes; the longest allowed length is not refused."""
    assert _code(take.samples[:3_200]) == "too_short"
    assert _code(take.samples[8_000:22_400]) == "too_short"
    assert _code(synthesize_hum([(1, 60), (1, 62), (1, 64)], 90.0, rate=ANALYSIS_RATE)) == "too_short"
    assert _code(take.samples[:0]) == "too_short"
    assert _code(np.resize(take.samples, 181 * ANALYSIS_RATE)) == "too_long"


def test_one_pitch_is_refused_as_no_melody() -> None:
    """One long note, a sine, and eight times the same note are no melody."""
    assert _code(synthesize_hum([(6, 60)], 90.0, rate=ANALYSIS_RATE)) == "no_melody"
    assert _code(synthesize_hum([(1, 60)] * 8, 90.0, rate=ANALYSIS_RATE)) == "no_melody"
    assert _code(0.4 * np.sin(2 * np.pi * 220 * np.arange(4 * ANALYSIS_RATE) / ANALYSIS_RATE)) == "no_melody"


def test_hard_clipping_is_refused_and_a_few_clipped_crests_are_not(take: Take) -> None:
    """Driven four times over the limit the take is clipped; driven a fifth over it is only loud."""
    assert _code(clip_hard(take.samples, 4.0)) == "clipped"
    assert _code(clip_hard(take.samples, 1.2)) == "passed"


def test_poor_takes_pass() -> None:
    """A very sloppy singer, 5 dB of noise, a telephone and a whisper-quiet recording are all composed upon."""
    assert _code(sing(TUNE, seed=1, style=VERY_SLOPPY).samples) == "passed"
    assert _code(sing(TUNE, seed=2, snr_db=5.0).samples) == "passed"
    assert _code(telephone(sing(TUNE, seed=4, style=SLOPPY).samples)) == "passed"
    assert _code(sing(TUNE, seed=5, snr_db=40.0).samples * 0.01) == "passed"


@pytest.mark.parametrize("snr_db", [10.0, 20.0, 40.0])
def test_the_measured_noise_is_the_noise_that_was_added(snr_db: float) -> None:
    """The signal-to-noise estimate is within 3 dB of the truth, and gain moves loudness and peak but not it."""
    samples = sing(TUNE, seed=8, snr_db=snr_db).samples
    check = check_take(samples)
    assert check.snr_db == pytest.approx(snr_db, abs=3.0)
    softer = check_take(samples * np.float32(0.25))
    assert check.loudness_lufs - softer.loudness_lufs == pytest.approx(12.04, abs=0.1)
    assert softer.snr_db == pytest.approx(check.snr_db, abs=0.5)
    assert replace(check, loudness_lufs=0, peak=0, noise_floor_db=0, snr_db=0) == replace(
        softer, loudness_lufs=0, peak=0, noise_floor_db=0, snr_db=0
    )


def test_samples_that_are_not_numbers_do_not_break_the_check(take: Take) -> None:
    """A decoder's NaN and infinities are read as silence or full scale, not as an error."""
    broken = take.samples.copy()
    broken[::5_000] = np.nan
    assert np.isfinite(check_take(broken).loudness_lufs)


def test_analyze_refuses_what_admission_refuses() -> None:
    """The whole analysis raises the same refusal, and another rate is a programming error."""
    with pytest.raises(TakeRefusedError) as refusal:
        analyze(np.zeros(5 * ANALYSIS_RATE, dtype=np.float32))
    assert refusal.value.code == "silent"
    with pytest.raises(ValueError, match="44100"):
        check_take(np.zeros(44_100, dtype=np.float32), 44_100)
