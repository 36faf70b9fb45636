"""Loudness, true peak and outline against an ear that is not ours and against what they must be."""

import math
import wave
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray

from services.media.jobs.measure import SAMPLES_PER_PIXEL, SILENCE_DBTP, SILENCE_LUFS, Measured, measure

_RATE = 44_100
_AT = np.arange(_RATE * 8) / _RATE
_CHANCE = np.random.default_rng(5)
_SOUNDS: dict[str, NDArray[np.float64]] = {
    "tone": 0.1 * np.sin(2 * np.pi * 997 * _AT),
    "bass": 0.3 * np.sin(2 * np.pi * 35 * _AT),
    "hiss": 0.1 * _CHANCE.standard_normal(_AT.size),
    "tone over a shifted zero": 0.3 + 0.01 * np.sin(2 * np.pi * 440 * _AT),
    "rumble": np.cumsum(_CHANCE.standard_normal(_AT.size)) / 4000,
    "tone with pauses": np.where(_AT % 2 < 1, 0.2 * np.sin(2 * np.pi * 220 * _AT), 0.0),
    "clicks": (np.arange(_AT.size) % 5000 == 0) * 0.9,
}


def _written(folder: Path, sound: NDArray[np.float64], rate: int = _RATE) -> tuple[Path, NDArray[np.float64]]:
    """Return a WAV file of the sound and the sound as the file has it."""
    samples = np.clip(np.rint(sound * 32_767), -32_768, 32_767).astype("<i2")
    path = folder / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path, samples / 32_768


def _heard(path: Path) -> Measured:
    found = measure(path)
    assert found is not None
    return found


@pytest.mark.parametrize("name", _SOUNDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness(name: str, channels: int, tmp_path: Path) -> None:
    """The integrated loudness is that of another meter within 0.1 LU, in one channel and in two."""
    sound = _SOUNDS[name]
    both = sound if channels == 1 else np.stack((sound, 0.5 * np.roll(sound, 100)), axis=1)
    path, samples = _written(tmp_path, both)

    expected = pyloudnorm.Meter(_RATE).integrated_loudness(samples)
    assert _heard(path).waveform.loudness_lufs == pytest.approx(expected, abs=0.1)


def test_the_reference_tone(tmp_path: Path) -> None:
    """A tone of 997 Hz at full scale has -3.01 LUFS in one channel (BS.1770-4)."""
    path, _ = _written(tmp_path, np.sin(2 * np.pi * 997 * _AT))

    assert _heard(path).waveform.loudness_lufs == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize(
    ("frequency", "phase", "amplitude"),
    [(_RATE / 4, math.pi / 4, 0.9), (_RATE / 6, math.pi / 6, 0.5), (_RATE / 2.6, 0.3, 0.5), (440.0, 0.0, 0.25)],
)
def test_true_peak(frequency: float, phase: float, amplitude: float, tmp_path: Path) -> None:
    """The peak of a tone is found between its samples, within 0.3 dB, however the samples lie."""
    envelope = np.minimum(np.minimum(_AT, _AT[::-1]) * 20, 1.0)
    path, samples = _written(tmp_path, envelope * amplitude * np.sin(2 * np.pi * frequency * _AT + phase))

    found = _heard(path).waveform.true_peak_dbtp
    assert found == pytest.approx(20 * math.log10(amplitude), abs=0.3)
    assert found >= 20 * math.log10(np.abs(samples).max()) - 0.01


def test_a_peak_between_pieces(tmp_path: Path) -> None:
    """A peak is found wherever the file is cut into pieces, the last sample included."""
    for at in (846_719, 846_720, 846_721, 849_999):
        sound = np.zeros(850_000)
        sound[at] = 0.5
        path, _ = _written(tmp_path, sound)
        assert _heard(path).waveform.true_peak_dbtp == pytest.approx(-6.02, abs=0.01)


def test_silence(tmp_path: Path) -> None:
    """Silence has a loudness and a peak that can be stored and compared."""
    path, _ = _written(tmp_path, np.zeros(_RATE))
    found = _heard(path).waveform

    assert (found.loudness_lufs, found.true_peak_dbtp) == (SILENCE_LUFS, SILENCE_DBTP)


def test_nothing(tmp_path: Path) -> None:
    """A file without samples gives nothing; one shorter than 100 ms is too short to be loud."""
    assert measure(_written(tmp_path, np.zeros(0))[0]) is None
    assert _heard(_written(tmp_path, 0.5 * np.ones(100))[0]).waveform.loudness_lufs == SILENCE_LUFS


def test_outline(tmp_path: Path) -> None:
    """Each pixel has the lowest and the highest value of its samples in eight bits; channels are averaged."""
    sound = np.zeros((SAMPLES_PER_PIXEL * 3 + 1, 2))
    sound[5] = 0.5
    sound[SAMPLES_PER_PIXEL + 5] = -1.0
    sound[2 * SAMPLES_PER_PIXEL + 5, 0] = 0.5
    path, _ = _written(tmp_path, sound)

    outline = np.frombuffer(_heard(path).waveform.data, np.int8).reshape(-1, 2).tolist()
    assert outline == [[0, 64], [-128, 0], [0, 32], [0, 0]]
