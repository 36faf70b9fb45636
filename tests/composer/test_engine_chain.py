"""The whole engine on the bundled hum: the tune that is known to have been hummed is heard in both finished songs."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import soxr

from services.composer.engine.compose.song import compose
from services.composer.engine.judge.loudness import integrated_lufs, true_peak_dbtp
from services.composer.engine.judge.melody import melody_presence
from services.composer.engine.listen.analyze import analyze
from services.composer.engine.music import ANALYSIS_RATE, RENDER_RATE, Brief, Note, Score
from services.composer.engine.render.song import render
from services.composer.engine.render.soundfont import find_soundfont
from services.composer.providers.sound import decode, encode_mp3, ffmpeg_program
from services.mesh.hum import SAMPLE_RATE, SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, synthesize_hum

TRUTH = tuple(pitch for _, pitch in SAMPLE_TUNE if pitch is not None)
LABELS = ("A", "B")


@cache
def score_of(label: str) -> Score:
    """Return the version of the song that the engine makes of the bundled hum."""
    hum = synthesize_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, rate=SAMPLE_RATE, seed=SAMPLE_SEED)
    take = soxr.resample(hum, SAMPLE_RATE, ANALYSIS_RATE).astype(np.float32)
    brief = Brief(title="chain", style="pop", duration_s=50.0, seed=7)
    return compose(analyze(take), brief, "A" if label == "A" else "B")


@cache
def heard(label: str, *, without_lead: bool = False) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the sound that a listener gets: mastered, made an mp3, decoded."""
    score = score_of(label)
    if without_lead:
        score = replace(score, parts=tuple(part for part in score.parts if part.role not in {"lead", "harmony"}))
    song = render(score, soundfont=find_soundfont(None))
    ffmpeg = ffmpeg_program("")
    mp3 = encode_mp3(song.audio, rate=RENDER_RATE, ffmpeg=ffmpeg, title="chain")
    return decode(mp3, rate=RENDER_RATE, channels=2, ffmpeg=ffmpeg)


def hummed(score: Score) -> tuple[Note, ...]:
    """Return every statement of the song with the pitches that were really hummed, moved to the song's octave.

    A song of fifty seconds states the whole tune each time; shorter ones may open with half of it.
    """
    statements, rest = divmod(len(score.melody), len(TRUTH))
    assert statements >= 1
    assert rest == 0
    moved = score.melody[0].pitch - TRUTH[0]
    assert moved % 12 == 0, "the song stays in the singer's key"
    return tuple(replace(note, pitch=TRUTH[index % len(TRUTH)] + moved) for index, note in enumerate(score.melody))


@pytest.mark.parametrize("label", LABELS)
def test_the_hummed_tune_is_heard(label: str) -> None:
    """At least nine notes in ten of the tune that was hummed lead the finished song at their place."""
    score = score_of(label)

    assert melody_presence(heard(label), hummed(score), score.tempo_bpm) >= 0.9


@pytest.mark.parametrize("label", LABELS)
def test_the_measure_hears_nothing_where_there_is_nothing(label: str) -> None:
    """Without its lead, against the tune shuffled, and a semitone higher, the measure falls far below."""
    score = score_of(label)
    truth = hummed(score)
    full = melody_presence(heard(label), truth, score.tempo_bpm)
    order = np.random.default_rng(3).permutation(len(truth))
    shuffled = tuple(replace(note, pitch=truth[index].pitch) for note, index in zip(truth, order, strict=True))
    higher = tuple(replace(note, pitch=note.pitch + 1) for note in truth)

    assert full - melody_presence(heard(label, without_lead=True), truth, score.tempo_bpm) >= 0.4
    assert full - melody_presence(heard(label), shuffled, score.tempo_bpm) >= 0.4
    assert melody_presence(heard(label), higher, score.tempo_bpm) <= 0.1


@pytest.mark.parametrize("label", LABELS)
def test_the_mp3_is_mastered(label: str) -> None:
    """The decoded mp3 lies within half a unit of -14 LUFS, peaks at -1 dBTP or less, and no bar of it is silent."""
    sound = heard(label)
    bar = round(RENDER_RATE * 4 * 60 / score_of(label).tempo_bpm)
    inside = sound[: len(sound) - 3 * RENDER_RATE]
    loudest = [float(np.abs(inside[at : at + bar]).max()) for at in range(0, len(inside) - bar, bar)]

    assert abs(integrated_lufs(sound, RENDER_RATE) + 14.0) <= 0.5
    assert true_peak_dbtp(sound, RENDER_RATE) <= -1.0
    assert min(loudest) > 0.01


def test_the_variants_differ() -> None:
    """A and B differ in at least two of harmony, tempo and instruments."""
    first, second = score_of("A"), score_of("B")
    harmony = [chord.name for chord in first.chords] != [chord.name for chord in second.chords]
    tempo = abs(first.tempo_bpm - second.tempo_bpm) > 1.0
    programs = {part.program for part in first.parts} != {part.program for part in second.parts}

    assert harmony + tempo + programs >= 2
