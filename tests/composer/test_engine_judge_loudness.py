"""Loudness and true peak against the printed recommendation, an independent meter and closed forms."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from services.composer.engine.judge.loudness import (
    SILENCE_DBTP,
    SILENCE_LUFS,
    integrated_lufs,
    k_weighting,
    true_peak_dbtp,
)


def _swelling_noise(rate: int, *, seed: int) -> np.ndarray:
    """Return 12 s of stereo noise that swells and has a near-silent gap, so that both gates matter."""
    noise = np.random.default_rng(seed).standard_normal((rate * 12, 2))
    noise = noise + 0.8 * np.roll(noise, 1, axis=0)
    noise *= np.linspace(0.01, 0.2, len(noise))[:, None]
    noise[rate * 4 : rate * 7] *= 1e-3
    return noise.astype(np.float32)


def test_k_weighting_is_the_table_of_the_recommendation_at_48_khz() -> None:
    """The coefficients at 48 kHz are those printed in BS.1770-4, tables 1 and 2."""
    shelf, low_cut = k_weighting(48_000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585], abs=1e-7
    )
    assert low_cut == pytest.approx([1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621], abs=1e-7)


def test_a_full_scale_sine_on_one_channel_reads_minus_3_01() -> None:
    """A 997 Hz sine at 0 dBFS on one of two channels measures -3.01 LUFS, as the recommendation says."""
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000 * 5) / 48_000)
    stereo = np.stack([sine, np.zeros_like(sine)], axis=1).astype(np.float32)
    assert integrated_lufs(stereo, 48_000) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_integrated_loudness_agrees_with_an_independent_meter(rate: int) -> None:
    """Gated loudness of stereo noise is within 0.05 LU of pyloudnorm, and half the gain reads 6.02 LU less."""
    noise = _swelling_noise(rate, seed=rate)
    ours = integrated_lufs(noise, rate)
    # Its other filter design leaves the recommendation's curve near half of a low rate.
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    assert ours == pytest.approx(meter.integrated_loudness(noise.astype(np.float64)), abs=0.05)
    assert ours - integrated_lufs(noise * np.float32(0.5), rate) == pytest.approx(6.02, abs=0.02)


def test_the_gates_leave_a_silent_half_out() -> None:
    """Adding as much near-silence as there was music moves the loudness by less than 0.2 LU, not by 3."""
    music = _swelling_noise(44_100, seed=3)[44_100 * 7 :]
    padded = np.concatenate([music, np.zeros_like(music) + np.float32(1e-5)])
    assert integrated_lufs(padded, 44_100) == pytest.approx(integrated_lufs(music, 44_100), abs=0.2)


@pytest.mark.parametrize("samples", [0, 1, 1_000, 10_000, 200_000])
def test_silence_of_any_length_has_a_finite_loudness(samples: int) -> None:
    """Silence reads as the documented floors, whatever its length."""
    silence = np.zeros(samples, dtype=np.float32)
    assert integrated_lufs(silence, 44_100) == SILENCE_LUFS
    assert true_peak_dbtp(silence, 44_100) == SILENCE_DBTP


def test_a_short_click_of_sound_is_still_measured() -> None:
    """A fifth of a second of sine has the loudness of the long sine, not that of silence."""
    sine = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(48_000 * 3) / 48_000)).astype(np.float32)
    assert integrated_lufs(sine[:9_600], 48_000) == pytest.approx(integrated_lufs(sine, 48_000), abs=0.5)


def test_true_peak_finds_what_lies_between_the_samples() -> None:
    """A sine at a quarter of the rate, sampled 45 degrees off its crests, reads 0 dBTP though its samples read -3."""
    sine = np.sin(2 * np.pi * np.arange(44_100) / 4 + np.pi / 4)
    sine *= np.minimum(1.0, np.minimum(np.arange(44_100), np.arange(44_100)[::-1]) / 2_000)
    assert 20 * np.log10(np.abs(sine).max()) == pytest.approx(-3.01, abs=0.01)
    assert true_peak_dbtp(sine.astype(np.float32), 44_100) == pytest.approx(0.0, abs=0.1)


def test_skipping_quiet_blocks_never_changes_the_true_peak() -> None:
    """The pruned search equals a full fourfold resampling by the Fourier transform, on noise with one loud spot."""
    rng = np.random.default_rng(7)
    for _ in range(5):
        spectrum = np.fft.rfft(rng.standard_normal(8_192))
        spectrum[3_300:] = 0  # band-limited, so that every good interpolator agrees
        noise = np.fft.irfft(spectrum) * (0.3 + np.exp(-((np.arange(8_192) - rng.integers(500, 7_500)) ** 2) / 900.0))
        noise[:64] = noise[-64:] = 0.0
        full = np.fft.irfft(np.fft.rfft(noise), n=4 * 8_192) * 4
        expected = 20 * np.log10(np.abs(full).max())
        assert true_peak_dbtp(noise.astype(np.float32), 44_100) == pytest.approx(expected, abs=0.03)


def test_true_peak_takes_the_louder_channel() -> None:
    """The peak of a stereo signal is that of its louder channel."""
    rng = np.random.default_rng(1)
    quiet, loud = rng.standard_normal((2, 5_000)).astype(np.float32) * np.array([[0.1], [0.7]], dtype=np.float32)
    both = np.stack([quiet, loud], axis=1)
    assert true_peak_dbtp(both, 44_100) == true_peak_dbtp(loud, 44_100)
    assert true_peak_dbtp(both, 44_100) > true_peak_dbtp(quiet, 44_100)
