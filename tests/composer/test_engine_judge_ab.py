"""The comparison of A and B follows what it measures, and says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.composer.engine.judge.ab import REASONS, evaluate, measure_variant
from services.composer.engine.music import RENDER_RATE, Chord, Key, Master, Mode, Note, Part, Score, Section

TEMPO = 120.0


def _score(label: str, *, chord_names: int = 4, parts: int = 4) -> Score:
    melody = tuple(Note(float(beat), 1.0, 72 + (0, 2, 4, 5, 7, 4)[beat % 6]) for beat in range(24))
    return Score(
        title="t", label=label, style="pop", key=Key(0, Mode.MAJOR), tempo_bpm=TEMPO, beats_per_bar=4, swing=0.0,
        parts=tuple(Part(f"p{number}", "comp", 0, drums=False, notes=melody) for number in range(parts)),
        chords=tuple(Chord(4.0 * bar, 4.0, 0, (0, 4, 7), f"C{bar % chord_names}") for bar in range(6)),
        sections=(Section("verse", 0.0, 12.0), Section("chorus", 12.0, 12.0)),
        melody=melody, seed=1, total_beats=24.0,
    )  # fmt: skip


def _master(score: Score, *, gain: float = 0.16, wrong_by: int = 0) -> Master:
    """Return the tune as a tone of ten harmonics in a little hiss, its second half louder."""
    sound = np.zeros(RENDER_RATE * 13)
    for note in score.melody:
        time = np.arange(int(RENDER_RATE * 0.48)) / RENDER_RATE
        hertz = 440.0 * 2.0 ** ((note.pitch + wrong_by - 69) / 12.0)
        turn = np.exp(2j * np.pi * hertz * time)
        tone = np.polyval([0.6**h for h in range(10, 0, -1)] + [0.0], turn).imag
        first = int(note.beat * 0.5 * RENDER_RATE)
        sound[first : first + len(time)] += tone * (2.0 if note.beat >= 12 else 1.0)
    sound += 0.1 * np.random.default_rng(1).standard_normal(len(sound))
    audio = np.stack([sound, sound], axis=1).astype(np.float32) * np.float32(gain)
    return Master(audio, 0.0, 0.0)


def test_the_variant_that_keeps_the_tune_is_recommended_for_it() -> None:
    """A mix a semitone off loses to the true one, from either side, and the first reason is the melody."""
    a, b = _score("A"), _score("B")
    right, wrong = _master(a), _master(b, wrong_by=1)
    result = evaluate(a, right, b, wrong)
    assert (result.recommended, result.reasons[0]) == ("A", "clearer_melody")
    turned = evaluate(a, wrong, b, right)
    assert (turned.recommended, turned.reasons[0]) == ("B", "clearer_melody")


def test_equal_variants_are_a_close_call() -> None:
    """Two variants alike give A with the reason close_call and equal scores."""
    a, b = _score("A"), _score("B")
    result = evaluate(a, _master(a), b, _master(b))
    assert result.recommended == "A"
    assert result.reasons == ("close_call",)
    assert replace(result.variants[1], label="A") == result.variants[0]


def test_a_song_far_from_the_target_loudness_scores_less() -> None:
    """Ten times less gain costs loudness and nothing but loudness."""
    score = _score("A")
    near, far = measure_variant(score, _master(score)), measure_variant(score, _master(score, gain=0.016))
    assert near.loudness > far.loudness + 0.4
    assert (near.melody, near.variety) == (far.melody, far.variety)
    assert near.dynamics == pytest.approx(far.dynamics, abs=0.01)
    assert near.brightness == pytest.approx(far.brightness, abs=0.01)


def test_more_chords_and_parts_are_more_variety() -> None:
    """The richer score wins by variety when the audio is the same."""
    a, b = _score("A", chord_names=1, parts=1), _score("B", chord_names=6, parts=8)
    result = evaluate(a, _master(a), b, _master(b))
    assert (result.recommended, result.reasons) == ("B", ("more_variety",))


def test_dull_and_flat_audio_scores_less_than_what_breathes() -> None:
    """Low-passing the song lowers its brightness; playing it at one level lowers its dynamics."""
    score = _score("A")
    song = _master(score)
    spectrum = np.fft.rfft(song.audio, axis=0)
    spectrum[int(len(spectrum) * 1_200 / (RENDER_RATE / 2)) :] *= 0.001
    dull = replace(song, audio=np.fft.irfft(spectrum, n=len(song.audio), axis=0).astype(np.float32))
    flat = replace(song, audio=np.concatenate([song.audio[RENDER_RATE * 7 : RENDER_RATE * 12]] * 2))
    assert measure_variant(score, dull).brightness < measure_variant(score, song).brightness
    assert measure_variant(score, flat).dynamics < measure_variant(score, song).dynamics


def test_every_score_lies_between_0_and_1_and_every_reason_is_known() -> None:
    """Silence, noise and a proper song all give shares, and only listed reasons."""
    a, b = _score("A"), _score("B")
    rng = np.random.default_rng(3)
    silent = Master(np.zeros((RENDER_RATE * 5, 2), dtype=np.float32), 0.0, 0.0)
    noisy = Master(rng.uniform(-1, 1, (RENDER_RATE * 5, 2)).astype(np.float32), 0.0, 0.0)
    for first, second in ((silent, noisy), (noisy, silent), (silent, silent), (_master(a), silent)):
        result = evaluate(a, first, b, second)
        assert set(result.reasons) <= set(REASONS)
        for variant in result.variants:
            shares = (variant.melody, variant.loudness, variant.dynamics, variant.brightness, variant.variety)
            assert all(0.0 <= share <= 1.0 for share in (*shares, variant.total))
