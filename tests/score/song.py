"""Songs measured from the decoded mp3, as people hear them: loudness, colour, silence, length, the tune in them."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.styles import STYLES
from services.composer.engine.judge.loudness import integrated_lufs, true_peak_dbtp
from services.composer.engine.judge.melody import melody_presence
from services.composer.engine.music import RENDER_RATE
from services.composer.engine.render.song import render
from tests.composer.frozen_tunes import FROZEN_TUNES
from tests.composer.tunes import TUNING_TUNES
from tests.score import measures
from tests.score.cost import measure_cost
from tests.score.making import SOUNDFONT, Plan, backing_of, heard, score_for, truth
from tests.score.row import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Note, Score
    from tests.composer.tunes import Tune
    from tests.score.making import Label
    from tests.score.row import Kept

PART = "song"
LUFS = -14.0
_LENGTHS_S = (30.0, 60.0, 90.0, 180.0, 45.0, 120.0)
_PER_GROUP = 1
_LABELS: tuple[Label, Label] = ("A", "B")
TICKS = len(STYLES) * 2 * _PER_GROUP * len(_LABELS) + 6
_SAME_TEMPO = 0.02
COLOUR_DB = 8.0
"""How far an octave may lie from the reference curve: noise, or a mix without bass or treble, lies farther."""


@dataclass(frozen=True)
class Measured:
    """One song and what was read off it."""

    plan: Plan
    duration_s: float
    lufs: float
    peak_dbtp: float
    other_lufs: float
    other_peak_dbtp: float
    clipped: int
    offset: float
    colour_db: float
    low_side_db: float
    quietest_bar_db: float
    melody: float
    backing: float
    shuffled: float
    raised: float
    character: NDArray[np.float64]
    aspects: dict[str, object]


def plans() -> list[Plan]:
    """Return the songs of the table: every style with two tunes of each set, A and B, all lengths."""
    found = []
    for index, style in enumerate(STYLES):
        for offset, tunes in ((0, TUNING_TUNES), (1, FROZEN_TUNES)):
            for turn in range(_PER_GROUP):
                number = _PER_GROUP * index + turn
                tune: Tune = tunes[number % len(tunes)]
                low, high = style.tempo
                tempo = round(low + (high - low) * ((3 * number + 5 * offset) % 7) / 6.0, 1)
                # Three eighths to the beat instead of two: its eighths are as fast as those of other tunes.
                tempo *= 2 / 3 if tune.feel == "six" else 1
                seconds = _LENGTHS_S[(number + 3 * offset) % len(_LENGTHS_S)]
                seed = 100 + 2 * number + offset
                found += [Plan(tune.name, style.name, label, seconds, tempo, number % 9 - 4, seed) for label in _LABELS]
    return found


def measure_one(plan: Plan) -> Measured:
    """Make the song of the plan and read everything off it; its controls are made and read too."""
    score = score_for(plan)
    audio = heard(score)
    backing = render(backing_of(score), soundfont=SOUNDFONT).audio
    other = measures.loudness_by_ffmpeg(audio)
    bar_s = score.beats_per_bar * 60.0 / score.tempo_bpm
    bars = round(score.total_beats / score.beats_per_bar)
    tune = truth(plan, score)
    order = np.random.default_rng(plan.seed).permutation(len(tune))

    def on_top(sound: NDArray[np.float32], notes: Sequence[Note]) -> float:
        return melody_presence(sound, notes, score.tempo_bpm, swing=score.swing)

    return Measured(
        plan=plan,
        duration_s=len(audio) / RENDER_RATE,
        lufs=integrated_lufs(audio, RENDER_RATE),
        peak_dbtp=true_peak_dbtp(audio, RENDER_RATE),
        other_lufs=other[0],
        other_peak_dbtp=other[1],
        clipped=measures.clipped_samples(audio),
        offset=measures.offset(audio),
        colour_db=measures.off_reference_db(audio),
        low_side_db=measures.low_side_db(audio),
        quietest_bar_db=min(measures.bar_levels_db(audio, bar_s, bars)),
        melody=on_top(audio, tune),
        backing=on_top(backing, tune),
        shuffled=on_top(audio, [replace(n, pitch=tune[at].pitch) for n, at in zip(tune, order, strict=True)]),
        raised=on_top(audio, [replace(note, pitch=note.pitch + 1) for note in tune]),
        character=measures.character(audio),
        aspects=aspects_of(score),
    )


def aspects_of(score: Score) -> dict[str, object]:
    """Return the three aspects in which A and B may differ."""
    return {
        "harmony": tuple(chord.name for chord in score.chords),
        "tempo": score.tempo_bpm,
        "instruments": frozenset((part.role, part.program) for part in score.parts),
    }


def differing(first: dict[str, object], second: dict[str, object]) -> int:
    """Return in how many aspects two songs differ, a tempo within two percent being the same."""
    one, other = float(str(first["tempo"])), float(str(second["tempo"]))
    count = int(abs(one / other - 1.0) > _SAME_TEMPO)
    return count + sum(first[name] != second[name] for name in ("harmony", "instruments"))


def measure_song(tick: Callable[[str], None]) -> list[Row]:
    """Return the rows of the songs and of what they cost."""
    songs: list[Measured] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=2, mp_context=context) as pool:
        for each in pool.map(measure_one, plans()):
            songs.append(each)
            tick(f"{each.plan.style} {each.plan.label}, {each.plan.tune}")
    rows = [row for kept in ("tuned on", "frozen") for row in _sound_rows(songs, kept)]
    rows += [_tune_row(songs, "tuned on"), _tune_row(songs, "frozen")]
    rows += _variety_rows(songs)
    return rows + measure_cost(tick)


def _sound_rows(songs: Sequence[Measured], kept: Kept) -> list[Row]:
    mine = [each for each in songs if each.plan.kept == kept]

    def row(measure: str, read: Callable[[Measured], float], **bounds: float) -> Row:
        """Return the row of the song that comes nearest to missing what is asked."""
        worst = max(mine, key=lambda song: read(song) if "at_most" in bounds else -read(song))
        return Row(PART, measure, f"worst of all, {worst.plan.words}", read(worst), len(mine), kept, **bounds)  # type: ignore[arg-type]

    return [
        row("loudness off -14 LUFS, LU", lambda song: abs(song.lufs - LUFS), at_most=0.3),
        row("loudness off -14 by ffmpeg's ebur128, LU", lambda song: abs(song.other_lufs - LUFS), at_most=0.3),
        row("true peak, dBTP", lambda song: song.peak_dbtp, at_most=-1.0),
        row("true peak by ffmpeg's ebur128, dBTP", lambda song: song.other_peak_dbtp, at_most=-1.0),
        row("samples at full scale", lambda song: float(song.clipped), at_most=0.0),
        row("direct current, of full scale", lambda song: song.offset, at_most=0.001),
        row("octave farthest from the reference curve, dB", lambda song: song.colour_db, at_most=COLOUR_DB),
        row("side over middle below 120 Hz, dB", lambda song: song.low_side_db, at_most=-20.0),
        row("quietest bar, dBFS", lambda song: song.quietest_bar_db, at_least=-45.0),
        row("length off what was asked, %", _length_off, at_most=5.0),
        row("notes of the tune on top", lambda song: song.melody, at_least=0.9),
        row("control: backing alone", lambda song: song.backing, at_most=0.45),
        row("control: tune shuffled in key", lambda song: song.shuffled, at_most=0.5),
        row("control: tune a semitone up", lambda song: song.raised, at_most=0.1),
    ]


def _length_off(song: Measured) -> float:
    return 100.0 * abs(song.duration_s / song.plan.seconds - 1.0)


def _tune_row(songs: Sequence[Measured], kept: Kept) -> Row:
    mine = [each for each in songs if each.plan.kept == kept]
    means = {
        what: float(np.mean([getattr(each, what) for each in mine]))
        for what in ("melody", "backing", "shuffled", "raised")
    }
    control = (
        f"backing alone {means['backing']:.2f}, shuffled {means['shuffled']:.2f}, a semitone up {means['raised']:.2f}"
    )
    return Row(PART, "notes of the tune on top", "mean of all", means["melody"], len(mine), kept, 0.9, control=control)


def _variety_rows(songs: Sequence[Measured]) -> list[Row]:
    pairs = list(zip(songs[::2], songs[1::2], strict=True))
    kinds = [each.plan.style for each in songs]
    tunes = [each.plan.tune for each in songs]
    characters = np.array([each.character for each in songs])
    right = measures.own_kind_nearest(characters, kinds, tunes)
    mixed = [kinds[at] for at in np.random.default_rng(1).permutation(len(kinds))]
    by_chance = measures.own_kind_nearest(characters, mixed, tunes)
    fewest = min(differing(a.aspects, b.aspects) for a, b in pairs)
    return [
        Row(PART, "aspects in which A and B differ (harmony, tempo, instruments)", "fewest of any pair", float(fewest),
            len(pairs), at_least=2.0, control="A against itself 0"),
        Row(PART, "songs nearest to one of their own style by sound alone", f"{len(set(kinds))} styles, other tunes",
            right, len(songs), at_least=0.5, control=f"styles shuffled {by_chance:.2f}"),
    ]  # fmt: skip
