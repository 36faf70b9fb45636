"""Whether the singer's tune is heard in a finished mix, not merely written in the score.

For each note of the tune the strongest pitch of the mix during that note is looked for by harmonic summation (after
A. Klapuri, "Multiple fundamental frequency estimation by summing harmonic amplitudes", ISMIR 2006). The share of
notes whose pitch class comes out on top is the score; what a backing without the tune, a shuffled tune or one a
semitone up reach is the measure of what that share is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.music import RENDER_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Note

_TRANSFORM = 32_768
_SHORTEST = 4_096
_LONGEST = 16_384
_HARMONICS = 8
_HARMONIC_DECAY = 0.8
_LOWEST_PITCH = 43
_BELOW_TUNE = 4
_ABOVE_TUNE = 12
_TOLERANCE = 0.35  # semitones to either side of a harmonic
_WHITENING_OCTAVES = 0.5


def melody_presence(
    audio: NDArray[np.float32], melody: Sequence[Note], tempo_bpm: float, *, swing: float = 0.0
) -> float:
    """Return the share, 0 to 1, of the notes of `melody` whose pitch class is the strongest in the mix meanwhile.

    `audio` is mono (n,) or stereo (n, 2) at `RENDER_RATE` and begins at beat 0; off-beat eighths are looked for
    `swing` beats late, where they are played. Notes outside it count as not heard.
    An empty melody has presence 0.
    """
    if not melody:
        return 0.0
    mono = audio.mean(axis=1) if audio.ndim > 1 else audio
    lowest = max(_LOWEST_PITCH, min(note.pitch for note in melody) - _BELOW_TUNE)
    candidates = np.arange(lowest, max(note.pitch for note in melody) + _ABOVE_TUNE + 1)
    bins = _harmonic_bins(candidates)
    heard = 0
    for note in melody:
        start_s, end_s = (
            seconds_at(beat, tempo_bpm=tempo_bpm, swing=swing) for beat in (note.beat, note.beat + note.beats)
        )
        stretch = _middle_of(mono, start_s, end_s - start_s)
        if len(stretch) and float(np.abs(stretch).max()) > 0.0:
            strongest = int(candidates[int(_salience(stretch, bins).argmax())])
            heard += strongest % 12 == note.pitch % 12
    return heard / len(melody)


def _middle_of(mono: NDArray[np.float32], start_s: float, length_s: float) -> NDArray[np.float32]:
    """Return the samples of the first half second of a note after its attack."""
    wanted = int(np.clip(length_s * RENDER_RATE * 0.9, _SHORTEST, _LONGEST))
    first = int((start_s + min(0.02, length_s * 0.1)) * RENDER_RATE)
    return mono[max(first, 0) : first + wanted] if first + wanted <= len(mono) else mono[max(len(mono), 0) :]


def _harmonic_bins(candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return first and last + 1 bin, shape (2, candidates, harmonics), in which a harmonic is looked for."""
    hertz = 440.0 * 2.0 ** ((candidates[:, None] - 69.0) / 12.0) * np.arange(1, _HARMONICS + 1)[None, :]
    width = 2.0 ** (_TOLERANCE / 12.0)
    per_bin = RENDER_RATE / _TRANSFORM
    edges = np.stack([np.floor(hertz / width / per_bin), np.ceil(hertz * width / per_bin) + 1])
    return np.asarray(np.minimum(edges, _TRANSFORM // 2 - 1), dtype=np.int64)


def _salience(stretch: NDArray[np.float32], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return per candidate the weighted sum of its harmonics in the whitened spectrum."""
    spectrum = np.abs(np.fft.rfft(stretch * np.hanning(len(stretch)), n=_TRANSFORM))
    white = spectrum / np.sqrt(_local_power(spectrum) + 1e-12)
    # reduceat over begin, end, begin, end ...: every second value is the maximum inside a harmonic's bins.
    order = np.stack([bins[0].ravel(), bins[1].ravel()], axis=1).ravel()
    peaks = np.maximum.reduceat(white, order)[::2].reshape(bins.shape[1:])
    weights = _HARMONIC_DECAY ** np.arange(_HARMONICS)
    return np.asarray(peaks @ weights, dtype=np.float64)


def _local_power(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the power around each bin, averaged over half an octave, so that bass does not drown the tune."""
    cumulated = np.concatenate(([0.0], np.cumsum(spectrum**2)))
    bins = np.arange(len(spectrum))
    reach = 2.0 ** (_WHITENING_OCTAVES / 2.0)
    first = np.maximum((bins / reach).astype(np.int64) - 8, 0)
    last = np.minimum((bins * reach).astype(np.int64) + 9, len(spectrum))
    power = (cumulated[last] - cumulated[first]) / (last - first)
    # Half of the whitening keeps loud parts louder than hiss.
    return np.asarray(power**0.7 * float(power.max()) ** 0.3, dtype=np.float64)
