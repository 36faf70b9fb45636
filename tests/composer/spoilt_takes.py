"""Takes that cannot be composed upon, of eight kinds, and good ones beside them: what the judgement has to tell apart.

Each is a few seconds long and follows from its number. Nothing here shares anything with the judgement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import ANALYSIS_RATE
from tests.composer.singer import add_noise, clip_hard, pink_noise, speak
from tests.composer.takes import SETTINGS, Setting, plan_take, take_of
from tests.composer.tunes import TUNING_TUNES, Tune
from tests.composer.voices import CAREFUL, SLOPPY, VERY_SLOPPY, sing_notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KINDS = ("silent", "noise", "speech", "clipped", "too_short", "too_long", "two_voices", "far")
"""What can be wrong with a take, as the engine calls it."""

_GOOD = (
    *SETTINGS.values(),
    Setting(CAREFUL, snr_db=35.0),
    Setting(SLOPPY, snr_db=10.0),
    Setting(VERY_SLOPPY, snr_db=12.0),
    Setting(CAREFUL, snr_db=30.0, room=0.3),
    Setting(CAREFUL, snr_db=20.0, phone=True),
)


def good_take(number: int) -> NDArray[np.float32]:
    """Return the first bars of a tune under one of twelve conditions, louder or softer."""
    rng = np.random.default_rng([number, 41])
    setting = _GOOD[number % len(_GOOD)]
    take = take_of(_beginning(number, rng), setting, number=2_000 + number)
    return np.asarray(take.samples * 10.0 ** (rng.uniform(-26.0, 4.0) / 20.0), dtype=np.float32)


def spoilt_take(kind: str, number: int) -> NDArray[np.float32]:
    """Return a take that is spoilt in one way."""
    rng = np.random.default_rng([number, KINDS.index(kind), 43])
    return np.asarray(_MAKERS[kind](number, rng), dtype=np.float32)


def _beginning(number: int, rng: np.random.Generator) -> Tune:
    """Return about 10 to 16 beats of a tune."""
    tune = TUNING_TUNES[number % len(TUNING_TUNES)]
    beats, tokens, wanted = 0.0, [], float(rng.uniform(10.0, 16.0))
    for token, (length, _) in zip(tune.notation.replace("|", " ").split(), tune.notes(), strict=True):
        if beats >= wanted:
            break
        tokens.append(token)
        beats += length
    return replace(tune, notation=" ".join(tokens))


def _voice(number: int, rng: np.random.Generator, *, manner: Setting | None = None) -> NDArray[np.float32]:
    setting = manner or Setting(CAREFUL if rng.random() < 0.5 else SLOPPY)
    plan, chance = plan_take(_beginning(number, rng), setting, number=5_000 + number)
    return sing_notes(plan.notes, plan.throat, plan.syllables, setting.manner, chance)


def _silent(number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    length = int(rng.uniform(2.0, 12.0) * ANALYSIS_RATE)
    time = np.arange(length) / ANALYSIS_RATE
    level = 10.0 ** (rng.uniform(-95.0, -66.0) / 20.0)
    hum = np.sin(2 * np.pi * 50.0 * time) + 0.4 * np.sin(2 * np.pi * 100.0 * time)
    return (
        np.zeros(length),
        level * rng.standard_normal(length),
        level * pink_noise(length, number),
        0.5 * level * hum + 0.3 * level * rng.standard_normal(length),
    )[number % 4]


def _noise(number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return hiss, wind, a fan, rain with knocks, or traffic: nothing with a pitch one could follow."""
    length = int(rng.uniform(3.0, 12.0) * ANALYSIS_RATE)
    time = np.arange(length) / ANALYSIS_RATE
    white, pink = rng.standard_normal(length), pink_noise(length, number)
    gusts = 1.0 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * time + rng.uniform(0, 6))
    fan = pink * (1.0 + 0.3 * np.sin(2 * np.pi * rng.uniform(8.0, 30.0) * time))
    knocks = np.zeros(length)
    for at in rng.integers(0, length - 2_000, size=int(rng.integers(4, 20))):
        knocks[at : at + 1_600] += rng.standard_normal(1_600) * np.exp(-np.arange(1_600) / rng.uniform(60.0, 300.0))
    brown = np.cumsum(white)
    brown -= np.convolve(brown, np.ones(801) / 801, mode="same")
    sound = (white, pink * gusts, fan, pink * 0.2 + 2.0 * knocks, brown / brown.std())[number % 5]
    return np.asarray(np.clip(sound * 10.0 ** (rng.uniform(-36.0, -12.0) / 20.0), -1.0, 1.0))


def _speech(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    seconds, median = float(rng.uniform(4.0, 9.0)), float(np.exp(rng.uniform(np.log(95.0), np.log(260.0))))
    return add_noise(speak(seconds, 100 + number, median_hz=median), float(rng.uniform(12.0, 35.0)), number)


def _clipped(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    voice = add_noise(_voice(number, rng), float(rng.uniform(20.0, 40.0)), number)
    return clip_hard(voice, float(rng.uniform(3.5, 9.0))) * np.float32(rng.uniform(0.4, 1.1))


def _too_short(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return less than a second, or two or three notes."""
    if number % 2:
        voice = _voice(number, rng)
        start = int(rng.integers(ANALYSIS_RATE // 2, len(voice) - ANALYSIS_RATE))
        return add_noise(voice[start : start + int(rng.uniform(0.1, 0.95) * ANALYSIS_RATE)], 25.0, number)
    tune = replace(TUNING_TUNES[0], notation=("1- 3- 5-", "3- 5-", "1 2 3-", "5 3 1-")[number // 2 % 4])
    return take_of(tune, Setting(snr_db=25.0), number=7_000 + number).samples


def _too_long(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    take = take_of(_beginning(number, rng), Setting(), number=8_000 + number).samples
    return np.resize(take, int(rng.uniform(180.5, 200.0) * ANALYSIS_RATE))


def _two_voices(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return two people who sing at once: the same tune a third apart, or different tunes."""
    first = _voice(number, rng)
    if number % 2:
        other = _voice(number + 11, rng)
    else:
        tune = _beginning(number, rng)
        plan, chance = plan_take(tune, Setting(), number=5_000 + number + 13 * int(rng.integers(1, 60)) + 1)
        apart = int(rng.choice([3, 4, 5, -3, -4, -5]))
        reference, _ = plan_take(tune, Setting(), number=5_000 + number)
        shift = reference.notes[0].pitch + apart - plan.notes[0].pitch
        notes = [
            replace(mine, pitch=mine.pitch + shift, sung_pitch=mine.sung_pitch + shift, start_s=theirs.start_s + 0.02,
                    end_s=theirs.end_s + 0.02)
            for mine, theirs in zip(plan.notes, reference.notes, strict=True)
        ]  # fmt: skip
        other = sing_notes(notes, plan.throat, plan.syllables, CAREFUL, chance)
    length = min(len(first), len(other))
    mixed = first[:length] + other[:length] * np.float32(10.0 ** (rng.uniform(-6.0, 0.0) / 20.0))
    return add_noise(mixed.astype(np.float32), float(rng.uniform(20.0, 35.0)), number)


def _far(number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a voice across a room: far more of the room than of the voice, dull and in noise."""
    voice = _voice(number, rng).astype(np.float64)
    time = np.arange(int(1.5 * ANALYSIS_RATE)) / ANALYSIS_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / float(rng.uniform(0.6, 1.3)))
    tail[: int(0.006 * ANALYSIS_RATE)] = 0.0
    size = 1 << (len(voice) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(voice, n=size) * np.fft.rfft(tail, n=size), n=size)
    padded = np.concatenate((voice, np.zeros(ANALYSIS_RATE)))
    wet = wet[: len(padded)] * (voice.std() / max(float(wet[: len(padded)].std()), 1e-9))
    heard = padded + float(rng.uniform(2.0, 5.0)) * wet
    spectrum = np.fft.rfft(heard)
    hertz = np.linspace(0.0, ANALYSIS_RATE / 2.0, len(spectrum))
    heard = np.fft.irfft(spectrum / np.sqrt(1.0 + (hertz / float(rng.uniform(2_000.0, 5_000.0))) ** 4), n=len(heard))
    heard *= 0.3 / np.abs(heard).max() * 10.0 ** (rng.uniform(-14.0, 0.0) / 20.0)
    return add_noise(heard.astype(np.float32), float(rng.uniform(12.0, 28.0)), number)


_MAKERS: dict[str, Callable[[int, np.random.Generator], NDArray[np.floating]]] = {
    "silent": _silent,
    "noise": _noise,
    "speech": _speech,
    "clipped": _clipped,
    "too_short": _too_short,
    "too_long": _too_long,
    "two_voices": _two_voices,
    "far": _far,
}
