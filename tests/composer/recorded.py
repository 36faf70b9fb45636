"""Sounds as Media stores recordings: mp3, stereo."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.composer.engine.music import ANALYSIS_RATE
from services.composer.providers.sound import encode_mp3, ffmpeg_program
from services.mesh.hum import SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, synthesize_hum


def recorded(sound: NDArray[Any]) -> bytes:
    """Return mono samples at the analysis rate as an mp3."""
    stereo = np.stack([sound, sound], axis=1).astype(np.float32)
    return encode_mp3(stereo, rate=ANALYSIS_RATE, ffmpeg=ffmpeg_program(""), title="take")


@cache
def hummed() -> bytes:
    """Return the bundled hum."""
    return recorded(synthesize_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, rate=ANALYSIS_RATE, seed=SAMPLE_SEED))
