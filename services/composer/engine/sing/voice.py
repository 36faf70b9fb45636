"""A sung part as sound: its consonants are set before the beat, its vowels held at the pitches of the tune."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import soxr

from services.composer.engine.compose.seeds import generator
from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.music import RENDER_RATE
from services.composer.engine.sing.pitch import SungNote, pitch_curve
from services.composer.engine.sing.source import say_phrase
from services.composer.engine.sing.speak import SPEECH_RATE
from services.composer.engine.sing.vocoder import FRAME_S, put_together
from services.composer.engine.sing.voices import VOICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Part, Score, Sung
    from services.composer.engine.sing.source import Source
    from services.composer.engine.sing.voices import Voice

_LONGEST_ONSET_S = 0.22
_ONSET_SHARE = 0.45
"""Most that consonants may take of the time since the syllable before them began."""
_CODA_SHARE = 0.4
_RELEASE_S = 0.05
_FADE_S = 0.03
_TOGETHER_S = 0.12
"""Syllables that follow each other sooner than this are tied."""
_PAD_S = 0.3
_AROUND = 10
"""Frames of silence before and after a phrase: more of it would cost and give nothing."""
_LOUDER_DB = 0.12
"""Decibels of a step of velocity."""
_LOUD_DB = -12.0
_MOST_LIFT_DB = 9.0
_BREATH_S = 0.28
_BREATH_DB = -50.0
_SINGERS_HZ, _SINGERS_DB = 2900.0, 4.0
"""A singer's formant, a little of it."""


def sing_part(
    part: Part, score: Score, samples: int, *, between: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Return the dry stem of a sung part as float32 stereo (samples, 2), both channels alike.

    `between` is called before every phrase. The same part and score give the same samples.
    """
    voice = VOICES[part.voice]
    rng = generator(score.seed, score.label, f"voice/{part.name}")
    wet = np.zeros(round(samples * SPEECH_RATE / RENDER_RATE) + SPEECH_RATE, dtype=np.float32)
    known: dict[tuple[object, ...], tuple[float, float, NDArray[np.float32]]] = {}
    sung_until = 0.0
    for phrase in phrases(part.sung):
        between()
        notes = [_timed(each, score) for each in phrase]
        first = notes[0][0].start_s
        if phrase[0].breath and first - sung_until > _BREATH_S + _LONGEST_ONSET_S:
            _add(wet, _breath(voice, rng), first - _LONGEST_ONSET_S - _BREATH_S)
        # What is sung again in the same way is sung once; only how loud it is may differ.
        key, loud_db = _sung_as(phrase, notes)
        if key not in known:
            start_s, sound = _sing(phrase, notes, voice, rng)
            known[key] = (start_s - first, loud_db, sound)
        early_s, as_loud_db, sound = known[key]
        _add(wet, sound * np.float32(10.0 ** ((loud_db - as_loud_db) / 20.0)), first + early_s)
        sung_until = notes[-1][-1].end_s
    stem = soxr.resample(wet, SPEECH_RATE, RENDER_RATE)[:samples]
    whole = np.pad(stem, (0, samples - len(stem))).astype(np.float32)
    return np.repeat(whole[:, None], 2, axis=1)


def phrases(sung: Sequence[Sung]) -> Iterator[list[Sung]]:
    """Yield the syllables between two breaths."""
    phrase: list[Sung] = []
    for each in sung:
        if each.breath and phrase:
            yield phrase
            phrase = []
        phrase.append(each)
    if phrase:
        yield phrase


def _timed(sung: Sung, score: Score) -> list[SungNote]:
    def at(beat: float) -> float:
        return seconds_at(beat, tempo_bpm=score.tempo_bpm, swing=score.swing)

    return [
        SungNote(at(note.beat), at(note.beat + note.beats), note.pitch, note.velocity, sung.tone if place == 0 else 0)
        for place, note in enumerate(sung.notes)
    ]


def _sung_as(phrase: Sequence[Sung], notes: Sequence[Sequence[SungNote]]) -> tuple[tuple[object, ...], float]:
    """Return what makes a phrase sound as it does, wherever in the song it stands, and its decibels."""
    first = notes[0][0]
    key = tuple(
        (each.spoken, each.place, each.language, *(_relative(note, first) for note in its))
        for each, its in zip(phrase, notes, strict=True)
    )
    return key, _LOUDER_DB * first.velocity


def _relative(note: SungNote, first: SungNote) -> tuple[float, float, int, int, int]:
    """Return a note as it lies from the first one of its phrase."""
    begins, ends = round(note.start_s - first.start_s, 4), round(note.end_s - first.start_s, 4)
    return begins, ends, note.pitch, note.tone, note.velocity - first.velocity


def _add(wet: NDArray[np.float32], sound: NDArray[np.float32], start_s: float) -> None:
    first = round(start_s * SPEECH_RATE)
    sound = sound[max(0, -first) :]
    first = max(0, first)
    room = wet[first : first + len(sound)]
    room += sound[: len(room)]


def _sing(
    phrase: Sequence[Sung], notes: Sequence[Sequence[SungNote]], voice: Voice, rng: np.random.Generator
) -> tuple[float, NDArray[np.float32]]:
    """Return when the sound of one phrase begins, and the sound."""
    source = say_phrase(phrase, voice.variant, voice.tract)
    start_s = notes[0][0].start_s - _PAD_S
    count = int((notes[-1][-1].end_s + _PAD_S - start_s) / FRAME_S) + 1
    from_frame = np.full(count, -1.0)
    gain_db = np.zeros(count)
    held = np.zeros(count, dtype=np.bool_)
    for place in range(len(phrase)):
        spans, ends = _spans(place, source, notes)
        _lay(from_frame, held, spans, start_s)
        level = _level(source, place) + _LOUDER_DB * (notes[place][0].velocity - 90)
        gain_db[_frames(ends[0], start_s) : _frames(ends[1], start_s)] = level
    sounding = from_frame >= 0
    pitch = pitch_curve([note for each in notes for note in each], start_s, count, rng)
    spectrum, noise, voiced = _taken(source, from_frame)
    gain_db = np.where(sounding, _smooth(gain_db, 5), -90.0)
    gain_db += 60.0 * (_smooth(sounding.astype(float), round(_FADE_S / FRAME_S)) - 1.0) * sounding
    spectrum = _warped(spectrum, voice.tract) + _singers_formant(spectrum.shape[1])
    spectrum += (gain_db * np.log(10.0) / 10.0).astype(np.float32)[:, None]
    noise = np.where(voiced[:, None], noise + np.float32(voice.breath) * (1 - noise), 1.0).astype(np.float32)
    sung_hz = np.where((voiced | held) & sounding, pitch, 0.0)
    heard = np.flatnonzero(sounding)
    kept = slice(max(0, heard[0] - _AROUND), heard[-1] + _AROUND)
    return start_s + kept.start * FRAME_S, put_together(sung_hz[kept], spectrum[kept], noise[kept])


def _frames(at_s: float, start_s: float) -> int:
    return max(0, round((at_s - start_s) / FRAME_S))


def _onset_s(place: int, source: Source, notes: Sequence[Sequence[SungNote]]) -> float:
    """Return how long before its beat a syllable begins."""
    start, vowel = source.places[place][:2]
    natural = min((vowel - start) * FRAME_S, _LONGEST_ONSET_S)
    if place == 0:
        return natural
    return min(natural, _ONSET_SHARE * (notes[place][0].start_s - notes[place - 1][0].start_s))


def _spans(
    place: int, source: Source, notes: Sequence[Sequence[SungNote]]
) -> tuple[list[tuple[float, float, float, float, bool]], tuple[float, float]]:
    """Return how the frames of one syllable are laid out, and the times at which it begins and ends.

    Each span is first and last second, first and last frame of the source, and whether it is the vowel.
    """
    start, vowel, coda, end, hold = source.places[place]
    beat = notes[place][0].start_s
    begins = beat - _onset_s(place, source, notes)
    last = notes[place][-1].end_s
    if place + 1 < len(notes) and notes[place + 1][0].start_s - last < _TOGETHER_S:
        ends = notes[place + 1][0].start_s - _onset_s(place + 1, source, notes)
    else:
        ends = last + _RELEASE_S
    ends = max(ends, beat + 2 * FRAME_S)
    tail = min((end - coda) * FRAME_S, _CODA_SHARE * (ends - beat))
    closes = ends - tail
    spans = [(begins, beat, start, vowel, False), *_stretched(beat, closes, vowel, coda, hold)]
    if tail > 0:
        spans.append((closes, ends, coda, end, False))
    return spans, (begins, ends)


def _stretched(
    beat: float, closes: float, vowel: float, coda: float, hold: float
) -> list[tuple[float, float, float, float, bool]]:
    """Return the spans of a vowel: as it is spoken at both ends, drawn out where a singer stays on it."""
    natural = (coda - vowel) * FRAME_S
    if closes - beat <= natural:
        return [(beat, closes, vowel, coda, True)]
    reach = 0.12 * (coda - vowel)
    stay = vowel + hold * (coda - vowel)
    first, last = stay - reach, stay + reach
    goes = beat + (first - vowel) * FRAME_S
    leaves = closes - (coda - last) * FRAME_S
    return [(beat, goes, vowel, first, True), (goes, leaves, first, last, True), (leaves, closes, last, coda, True)]


def _lay(
    from_frame: NDArray[np.float64],
    held: NDArray[np.bool_],
    spans: Sequence[tuple[float, float, float, float, bool]],
    start_s: float,
) -> None:
    for begins, ends, first, last, vowel in spans:
        one, other = _frames(begins, start_s), min(_frames(ends, start_s), len(from_frame))
        if other > one:
            from_frame[one:other] = first + (last - first) * (np.arange(other - one) + 0.5) / (other - one)
            held[one:other] = vowel


def _level(source: Source, place: int) -> float:
    """Return the decibels that bring the vowel of a syllable to the common level."""
    _, vowel, coda, _, hold = source.places[place]
    at = int(min(len(source.spectrum) - 1, vowel + hold * (coda - vowel)))
    around = source.spectrum[max(0, at - 4) : at + 5]
    power = float(np.exp(around.astype(np.float64)).sum(axis=1).mean())
    return float(np.clip(_LOUD_DB - 10.0 * np.log10(power + 1e-12), -_MOST_LIFT_DB * 2, _MOST_LIFT_DB))


def _taken(
    source: Source, from_frame: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return spectrum, noise and voicing at each frame, between two frames of the source where it falls there."""
    last = len(source.spectrum) - 1
    place = np.clip(from_frame, 0, last)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, last)
    share = (place - low).astype(np.float32)[:, None]
    spectrum = source.spectrum[low] * (1 - share) + source.spectrum[high] * share
    noise = source.noise[low] * (1 - share) + source.noise[high] * share
    return spectrum, noise, source.voiced[np.round(place).astype(np.int64)]


def _smooth(values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    window = np.hanning(2 * frames + 1)
    smooth = np.convolve(np.pad(values, frames, mode="edge"), window / window.sum(), mode="valid")
    return np.asarray(smooth, dtype=np.float64)


def _warped(spectrum: NDArray[np.float32], tract: float) -> NDArray[np.float32]:
    """Return the spectra with every resonance `tract` times as high."""
    if tract == 1.0:
        return spectrum
    bins = spectrum.shape[1]
    place = np.minimum(np.arange(bins) / tract, bins - 1.001)
    low = place.astype(np.int64)
    share = (place - low).astype(np.float32)
    return np.asarray(spectrum[:, low] * (1 - share) + spectrum[:, low + 1] * share)


@lru_cache(maxsize=4)
def _singers_formant(bins: int) -> NDArray[np.float32]:
    hertz = np.arange(bins) * SPEECH_RATE / 2 / (bins - 1)
    lift = _SINGERS_DB * np.exp(-0.5 * ((hertz - _SINGERS_HZ) / 500.0) ** 2)
    return np.asarray(lift * np.log(10.0) / 10.0, dtype=np.float32)


def _breath(voice: Voice, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the sound of taking breath."""
    count = round(_BREATH_S * SPEECH_RATE)
    hiss = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / SPEECH_RATE)
    hiss *= np.exp(-0.5 * ((hertz - 1900.0 * voice.tract) / 900.0) ** 2) + 0.3 * np.exp(
        -0.5 * ((hertz - 5000.0) / 1500.0) ** 2
    )
    sound = np.fft.irfft(hiss, count) * np.hanning(count) ** 0.7
    return np.asarray(sound / np.sqrt((sound**2).mean()) * 10 ** (_BREATH_DB / 20), dtype=np.float32)
