"""What was said, taken apart into voicing, spectrum and breath, and put together again at other pitches.

The vocoder is WORLD: Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for
real-time applications" (IEICE Transactions, 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyworld

from services.composer.engine.sing.speak import SPEECH_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.sing.speak import Speech

FRAME_S = 0.005
"""Seconds from one frame to the next."""

_FLOOR = 1e-16
_SPEED = 4
"""By how much the sound is thinned out before its rough pitch is looked for."""
_NOISE_STEP = 3
"""Every how many frames the share of noise is found."""
_SPOKEN_HZ = (60.0, 400.0)


@dataclass(frozen=True)
class Frames:
    """Speech in frames of `FRAME_S`: voiced or not, natural logarithm of the power spectrum, share of noise."""

    voiced: NDArray[np.bool_]
    spectrum: NDArray[np.float32]
    noise: NDArray[np.float32]


def take_apart(speech: Speech) -> Frames:
    """Return the frames of what was said; at least one."""
    sound = speech.sound if len(speech.sound) > SPEECH_RATE // 20 else np.zeros(SPEECH_RATE // 20)
    low, high = _SPOKEN_HZ
    rough, at = pyworld.dio(sound, SPEECH_RATE, f0_floor=low, f0_ceil=high, frame_period=1000 * FRAME_S, speed=_SPEED)
    pitch = pyworld.stonemask(sound, rough, at, SPEECH_RATE)
    power = pyworld.cheaptrick(sound, pitch, at, SPEECH_RATE)
    spectrum = np.log(np.maximum(power, _FLOOR)).astype(np.float32)
    return Frames(pitch > 0, spectrum, _noise(sound, pitch, at))


def _noise(sound: NDArray[np.float64], pitch: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of noise, found in some frames and drawn between them.

    Finding it costs more than all the rest, and it changes slowly except where voicing begins or ends.
    """
    voiced = pitch > 0
    wanted = np.arange(len(pitch)) % _NOISE_STEP == 0
    wanted[1:] |= voiced[1:] != voiced[:-1]
    wanted[:-1] |= voiced[1:] != voiced[:-1]
    wanted[-1] = True
    places = np.flatnonzero(wanted)
    found = pyworld.d4c(sound, pitch[places], at[places], SPEECH_RATE).astype(np.float32)
    after = np.minimum(np.searchsorted(places, np.arange(len(pitch))), len(places) - 1)
    before = np.maximum(after - 1, 0)
    span = np.maximum(places[after] - places[before], 1)
    share = ((np.arange(len(pitch)) - places[before]) / span).astype(np.float32)[:, None]
    return np.asarray(found[before] * (1 - share) + found[after] * share, dtype=np.float32)


def put_together(
    pitch_hz: NDArray[np.float64], spectrum: NDArray[np.float32], noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the sound (samples,) at `SPEECH_RATE` of frames with these pitches, 0 where there is no voice."""
    power = np.ascontiguousarray(np.exp(spectrum.astype(np.float64)))
    share = np.ascontiguousarray(np.clip(noise.astype(np.float64), 1e-3, 1.0))
    made = pyworld.synthesize(pitch_hz, power, share, SPEECH_RATE, 1000 * FRAME_S)
    return np.asarray(made, dtype=np.float32)
