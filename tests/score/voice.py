"""The sung voice in the table of scores: pitch, consonants, tones, and whether its syllables can be told apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from services.composer.engine.compose.words import compose_words
from services.composer.engine.music import RENDER_RATE, Brief, Note, Part, Score, Sung
from services.composer.engine.render.song import render, song_samples
from services.composer.engine.render.soundfont import find_soundfont
from services.composer.engine.sing.chinese import han_sounds
from services.composer.engine.sing.melody import TONE_WEIGHT
from services.composer.engine.sing.tones import shares, tone_pairs
from services.composer.engine.sing.voice import sing_part
from services.composer.engine.sing.voices import VOICES, find_singing
from tests.score.row import Kept, Row
from tests.score.singing import cents_off, onsets_ms, seconds, within
from tests.score.syllables import SETS, ranks, spelling, top_shares
from tests.score.words import FROZEN_EN, FROZEN_ZH, TUNED_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from services.composer.engine.sing.speak import Language

TICKS = 20
"""How often `measure_voice` ticks."""

_STEPS = (0, 2, 4, 5, 4, 2, 0, -1)
_BEATS = 1.25
"""Beats of each syllable of the closed set, of two: the rest is silence."""
_ALONE_BPM = 120.0
_STYLES = ("pop", "folk", "ballad", "guofeng")
_SHUFFLES = 50


def measure_voice(tick: Callable[[str], None]) -> list[Row]:
    """Return the rows of the sung voice; `tick` hears of every song or set that was done."""
    rows = [*_pitch_rows(tick), *tone_rows(tick)]
    for language in SETS:
        for voice, wanted in (("male", 0.85), ("female", 0.75)):
            rows += _syllable_rows(voice, language, wanted, tick)
    return rows


@cache
def sung_song(
    words: str, voice: str, style: str = "pop", seed: int = 1, label: Literal["A", "B"] = "A"
) -> tuple[Score, Part, NDArray[np.float32]]:
    """Return a song of these words, its first sung part, and that part's dry sound."""
    score = compose_words(words, Brief("Song", style, "", 30.0, seed), label, find_singing(voice, seed))
    part = score.parts[0]
    return score, part, sing_part(part, score, song_samples(score))


def _pitch_rows(tick: Callable[[str], None]) -> list[Row]:
    rows = []
    sets = (("zh", FROZEN_ZH), ("en", FROZEN_EN))
    for voice in ("female", "male"):
        for language, every in sets:
            cents: list[float] = []
            higher: list[float] = []
            onsets: list[float] = []
            late: list[float] = []
            for seed, words in enumerate(every, 1):
                score, part, stem = sung_song(words, voice, _STYLES[seed % len(_STYLES)], seed)
                cents += cents_off(stem, part, score)
                higher += cents_off(stem, part, score, transpose=1)
                onsets += onsets_ms(stem, part, score)
                late += onsets_ms(stem, part, score, late_s=0.06)
                tick(f"sung by {voice}, {language} {seed}")
            condition = f"{voice}, {language}, dry"
            control = f"{within(higher, 50.0):.2f} a semitone beside"
            rows.append(
                Row(
                    "voice",
                    "notes within 50 cents",
                    condition,
                    within(cents, 50.0),
                    len(cents),
                    kept="frozen",
                    at_least=0.98,
                    control=control,
                )
            )
            if onsets:
                control = f"{within(late, 30.0):.2f} when the beats are 60 ms later"
                rows += [
                    Row("voice", "vowels within 30 ms of the beat", condition, within(onsets, 30.0), len(onsets),
                        kept="frozen", at_least=0.95, control=control),
                    Row("voice", "median onset error, ms", condition, float(np.median(np.abs(onsets))), len(onsets),
                        kept="frozen", at_most=30.0),
                    Row("voice", "95th percentile of onset error, ms", condition,
                        float(np.percentile(np.abs(onsets), 95)), len(onsets), kept="frozen", at_most=30.0),
                ]  # fmt: skip
    return rows


def tone_rows(tick: Callable[[str], None]) -> list[Row]:
    """Return the rows of tone against tune, over many songs of the same words, for they need no sound."""
    rows = []
    sets: tuple[tuple[Kept, tuple[str, ...]], ...] = (("tuned on", (TUNED_ON,)), ("frozen", FROZEN_ZH))
    for kept, every in sets:
        scores = [_composed(words, seed) for words in every for seed in range(1, 9)]
        without = [_composed(words, seed, tone_weight=0.0) for words in every for seed in range(1, 9)]
        contrary, parallel = shares([pair for score in scores for pair in tone_pairs(_sung(score))])
        free_contrary, free_parallel = shares([pair for score in without for pair in tone_pairs(_sung(score))])
        by_chance = shuffled_shares([_sung(score) for score in scores])
        count = sum(len(tone_pairs(_sung(score))) for score in scores)
        tick(f"tones, {kept}")
        control = "shuffled {}, rule off {}"
        rows += [
            Row("voice", "tune against tones", "zh", contrary, count, kept=kept, at_most=0.05,
                control=control.format(f"{by_chance[0]:.2f}", f"{free_contrary:.2f}")),
            Row("voice", "tune with tones", "zh", parallel, count, kept=kept, at_least=by_chance[1] + 0.2,
                control=control.format(f"{by_chance[1]:.2f}", f"{free_parallel:.2f}")),
        ]  # fmt: skip
    return rows


def _composed(words: str, seed: int, *, tone_weight: float = TONE_WEIGHT) -> Score:
    style = _STYLES[seed % len(_STYLES)]
    return compose_words(
        words, Brief("Song", style, "", 30.0, seed), "A", find_singing("female", 1), tone_weight=tone_weight
    )


def _sung(score: Score) -> tuple[Sung, ...]:
    return score.parts[0].sung


def shuffled_shares(every: Iterable[Sequence[Sung]]) -> tuple[float, float]:
    """Return the shares of contrary and parallel motion when the notes of each line change places by chance."""
    rng = np.random.default_rng(5)
    pairs = []
    for sung in every:
        for _ in range(_SHUFFLES):
            order = np.arange(len(sung))
            lines = np.array([each.line for each in sung])
            for line in set(lines.tolist()):
                order[lines == line] = rng.permutation(order[lines == line])
            pairs += tone_pairs(
                replace(each, notes=sung[other].notes) for each, other in zip(sung, order.tolist(), strict=True)
            )
    return shares(pairs)


def closed_set_part(voice: str, language: Language = "zh") -> Part:
    """Return the closed set as a part: every syllable by itself, in the middle of the voice, with silence after it."""
    centre = VOICES[voice].centre
    sung = tuple(
        Sung(
            each, language, spelling(each) if language == "zh" else each, 0, 1,
            han_sounds(each)[0].tone if language == "zh" else 0, 0, place, breath=True,
            notes=(Note(2.0 + 2.0 * place, _BEATS, centre + _STEPS[place % len(_STEPS)], 96),),
        )
        for place, each in enumerate(SETS[language])
    )  # fmt: skip
    notes = tuple(note for each in sung for note in each.notes)
    return Part(f"voice {voice}", "voice", 53, drums=False, notes=notes, voice=voice, sung=sung)


@cache
def closed_set_score(voice: str, language: Language = "zh") -> Score:
    """Return a song in which a voice sings the closed set over a band."""
    score = compose_words(TUNED_ON, Brief("Song", "pop", "", 75.0, 1), "A", find_singing(voice, 1))
    part = closed_set_part(voice, language)
    band = tuple(each for each in score.parts if not each.voice and each.role != "lead")
    return replace(score, parts=(part, *band), tempo_bpm=_ALONE_BPM, melody=part.notes)


def pieces_of(sound: NDArray[np.float32], score: Score) -> list[NDArray[np.float64]]:
    """Return the sound of every syllable of the closed set, with what comes before its beat."""
    mono = sound.mean(axis=1).astype(np.float64)
    spans = [seconds(each, score) for each in score.parts[0].sung]
    return [mono[round((a - 0.25) * RENDER_RATE) : round((b + 0.05) * RENDER_RATE)] for a, b in spans]


def _syllable_rows(voice: str, language: Language, wanted: float, tick: Callable[[str], None]) -> list[Row]:
    score = closed_set_score(voice, language)
    truth = range(len(SETS[language]))
    dry = ranks(pieces_of(sing_part(score.parts[0], score, song_samples(score)), score), RENDER_RATE, language)
    tick(f"syllables of {voice}, {language}, dry")
    mix = ranks(pieces_of(render(score, soundfont=find_soundfont(None)).audio, score), RENDER_RATE, language)
    tick(f"syllables of {voice}, {language}, in the mix")
    rng = np.random.default_rng(1)
    noise = top_shares(ranks([rng.standard_normal(RENDER_RATE // 2) for _ in truth], RENDER_RATE, language), truth)[0]
    control = f"noise {noise:.2f}, chance {1 / len(truth):.2f}"
    rows = []
    for condition, found, least in (("dry", dry, wanted), ("mix", mix, None)):
        first, five = top_shares(found, truth)
        rows += [
            Row("voice", "syllables told apart", f"{voice}, {language}, {condition}", first, len(truth), at_least=least,
                control=control),
            Row("voice", "syllables among the nearest five", f"{voice}, {language}, {condition}", five, len(truth)),
        ]  # fmt: skip
    return rows
