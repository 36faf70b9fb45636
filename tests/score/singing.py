"""What is heard of a sung part: the pitch of its notes, and when its vowels begin after their consonants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import soxr
from scipy.signal import butter, sosfiltfilt

from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.listen.f0 import FRAMES_PER_S, track_f0
from services.composer.engine.music import ANALYSIS_RATE, RENDER_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Part, Score, Sung

_SETTLED_S, _LET_GO_S = 0.07, 0.05
"""What is left out of a note at its ends: the ways from and to its neighbours."""
_SHORTEST_S = 0.06
_VOICED = {"zh": frozenset("mnlr"), "en": frozenset("mnlrbdgvjz")}
"""Consonants with a voice of their own."""
_NO_CONSONANT = frozenset("aeoyw")
_BEGINS = re.compile(r"[^aeiouyw']*")
_SOFT_TH = re.compile(r"th(?:e|is|at|ey|em|en|ere|eir|ese|ose|ough|an|us|y)?$")
"""Words whose th has a voice."""


def seconds(sung: Sung, score: Score) -> tuple[float, float]:
    """Return when the first note of a syllable begins and its last one ends."""
    first, last = sung.notes[0].beat, sung.notes[-1].beat + sung.notes[-1].beats
    start, end = (seconds_at(beat, tempo_bpm=score.tempo_bpm, swing=score.swing) for beat in (first, last))
    return start, end


def cents_off(stem: NDArray[np.float32], part: Part, score: Score, *, transpose: int = 0) -> list[float]:
    """Return how far each note of a sung part lies from its pitch, as its median; infinite where none is heard.

    The ear is the one that listens to takes: an autocorrelation tracker, which has nothing in common with the vocoder.
    """
    heard = track_f0(soxr.resample(stem[:, 0], RENDER_RATE, ANALYSIS_RATE))
    pitch = 69.0 + 12.0 * np.log2(np.where(heard > 0, heard, 1.0) / 440.0)
    found = []
    for sung in part.sung:
        for note in sung.notes:
            start = seconds_at(note.beat, tempo_bpm=score.tempo_bpm, swing=score.swing) + _SETTLED_S
            end = seconds_at(note.beat + note.beats, tempo_bpm=score.tempo_bpm, swing=score.swing) - _LET_GO_S
            end = max(end, start + _SHORTEST_S)
            inside = slice(round(start * FRAMES_PER_S), round(end * FRAMES_PER_S) + 1)
            voiced = heard[inside] > 0
            off = 100.0 * (pitch[inside][voiced] - note.pitch - transpose)
            found.append(float(np.median(off)) if voiced.any() else np.inf)
    return found


def within(values: Sequence[float], most: float) -> float:
    """Return the share of values that are at most so far from 0."""
    return sum(abs(value) <= most for value in values) / len(values)


def onsets_ms(stem: NDArray[np.float32], part: Part, score: Score, *, late_s: float = 0.0) -> list[float]:
    """Return for each syllable with a consonant how long after its beat its vowel is heard to begin.

    Which consonant that is stands in the letters: of English ones the last before the vowel; glides belong to it.

    The vowel begins where the band that tells it from its consonant reaches 9 dB under its level there, or 6 dB after
    a voiced one: 150 to 1,000 Hz after voiceless ones, 700 to 3,500 Hz after voiced ones. `late_s` moves the beats.
    """
    sound = soxr.resample(stem[:, 0].astype(np.float64), RENDER_RATE, ANALYSIS_RATE)
    low, high = _envelope(sound, 150, 1000), _envelope(sound, 700, 3500)
    found = []
    for sung in part.sung:
        consonant = sung.spoken[0] if sung.language == "zh" else english_consonant(sung.text)
        if not consonant or consonant in _NO_CONSONANT:
            continue
        start, end = seconds(sung, score)
        start += late_s
        voiced = consonant in _VOICED[sung.language]
        band, below_db = (high, 6.0) if voiced else (low, 9.0)
        level = band[round((start + 0.03) * ANALYSIS_RATE) : round(min(end, start + 0.13) * ANALYSIS_RATE)]
        wanted = float(np.median(level)) * 10.0 ** (-below_db / 20.0)
        place = round((start + 0.05) * ANALYSIS_RATE)
        first = round((start - 0.2) * ANALYSIS_RATE)
        while place > first and band[place] > wanted:
            place -= 1
        found.append(1000.0 * (place / ANALYSIS_RATE - start))
    return found


def english_consonant(text: str) -> str:
    """Return the letter of the consonant that an English syllable's vowel follows, empty where it follows none.

    A voiced th counts as v, and the hiss of sh, ch, ph and the other th as s.
    """
    plain = text.strip().lower()
    letters = _BEGINS.match(plain)[0]  # type: ignore[index]  # it matches anything
    rest = plain[len(letters) :]
    if rest[:1] == "w" or plain[:1] == "y" or (letters[-1:] == "q" and rest[:1] == "u") or not rest:
        return ""  # a glide, or nothing that is sung
    if letters.endswith("th"):
        return "v" if _SOFT_TH.match(plain) else "s"
    return "s" if letters[-2:] in {"sh", "ch", "ph"} else letters[-1:]


def _envelope(sound: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    band = sosfiltfilt(butter(4, [low, high], btype="band", fs=ANALYSIS_RATE, output="sos"), sound)
    window = np.hanning(round(0.012 * ANALYSIS_RATE))
    return np.asarray(np.sqrt(np.maximum(np.convolve(band**2, window / window.sum(), mode="same"), 0.0)))
