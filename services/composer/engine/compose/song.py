"""The composer's one door: an analysis and a brief in, version A or B of the song out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from services.composer.engine.compose.backing import play_bass, play_comp, play_pad
from services.composer.engine.compose.drums import play_drums
from services.composer.engine.compose.form import TAIL_S, Form, most_tune_bars, plan_form, wanted_bars
from services.composer.engine.compose.frame import Frame
from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.lead import answer, double_chorus, sing, sing_thirds
from services.composer.engine.compose.moods import Mood, find_mood
from services.composer.engine.compose.progression import song_chords, statement_chords
from services.composer.engine.compose.seeds import generator
from services.composer.engine.compose.styles import Style, choose_style, find_style
from services.composer.engine.compose.tune import Tune, cut_to, octave_shift, read_tune, transposed
from services.composer.engine.music import Part, Score, Section

if TYPE_CHECKING:
    from services.composer.engine.music import Analysis, Brief, Chord, Key, Note

SHORTEST_S = 30.0
LONGEST_S = 180.0
_PIANO = 0
"""The instrument with the widest range: whatever was sung fits on it."""
_DOUBLE_DB = -8.0
"""Level under the lead of the second instrument that plays the tune in choruses."""
_NUDGE = 0.055
"""How much faster or slower B is than the singer."""
_ROUGHLY, _BENT = 0.04, 0.03
"""How far B may miss the wanted length before its tempo is moved, and the most by which that is done."""


@dataclass(frozen=True, slots=True)
class Feel:
    """What was decided before any note: style, mood and tempo of this version."""

    style: Style
    mood: Mood
    tempo_bpm: float


def compose(analysis: Analysis, brief: Brief, label: Literal["A", "B"]) -> Score:
    """Return version `label` of the song.

    A keeps the tempo of the analysis, which its singer may have chosen, and plain chords; B is a little faster or
    slower, richer in harmony and played by other instruments. Every chorus states the tune exactly. The same
    arguments give the same score; another seed another one. Raises ValueError when the analysis has no melody.
    """
    feel = feel_of(analysis, brief, label)
    palette = feel.style.a if label == "A" else feel.style.b
    per_bar = analysis.beats_per_bar
    duration = min(LONGEST_S, max(SHORTEST_S, brief.duration_s))
    bars = wanted_bars(duration, tempo_bpm=feel.tempo_bpm, beats_per_bar=per_bar)
    tune = cut_to(read_tune(analysis.melody, per_bar), most_tune_bars(bars))
    program, tune = _lead_instrument(tune, palette.leads, feel.mood)
    form = plan_form(tune.bars, bars, vary_first_verse=label == "B")
    if label == "B":
        feel = in_time(feel, form.bars * per_bar, duration)
    frame = Frame(
        feel.style, palette, feel.mood, analysis.key, feel.tempo_bpm, per_bar, form,
        chords_of(tune, form, analysis.key, colour=palette.colour, seed=brief.seed, label=label), brief.seed, label,
    )  # fmt: skip
    player = instrument(program)
    pitches = [note.pitch for note in tune.notes]
    lines = sing(tune, frame, low=max(player.low, min(pitches) - 2), high=min(player.high, max(pitches) + 4))
    return Score(
        title=brief.title,
        label=label,
        style=feel.style.name,
        key=analysis.key,
        tempo_bpm=feel.tempo_bpm,
        beats_per_bar=per_bar,
        swing=analysis.swing or feel.style.swing,  # a tune that swings is written straight and has to be swung
        compound=analysis.compound,
        parts=_parts(frame, program, lines.lead, lines.exact),
        chords=frame.chords,
        sections=tuple(Section(p.name, frame.beat_of(p.bar), frame.beat_of(p.bars)) for p in form.passages),
        melody=lines.exact,
        seed=brief.seed,
        total_beats=frame.total_beats,
    )


def feel_of(analysis: Analysis, brief: Brief, label: str) -> Feel:
    """Return style, mood and tempo of version `label`: the singer's own tempo in A, a little off it in B."""
    mood = find_mood(brief.mood)
    style = find_style(brief.style)
    if style is None:
        style = choose_style(mood, analysis.tempo_bpm, generator(brief.seed, "", "style"))
    if label == "A":
        return Feel(style, mood, analysis.tempo_bpm)
    low, high = style.tempo
    middle = (low + high) / 2 * (1.0 + 0.1 * mood.energy)
    direction = 1.0 if analysis.tempo_bpm <= middle else -1.0
    return Feel(style, mood, round(analysis.tempo_bpm * (1.0 + direction * _NUDGE), 2))


def in_time(feel: Feel, beats: float, duration_s: float) -> Feel:
    """Return the feel with its tempo moved a little when songs of whole bars come no nearer to what was asked."""
    exact = beats * 60.0 / (duration_s - TAIL_S) / feel.tempo_bpm
    if abs(exact - 1.0) <= _ROUGHLY:
        return feel
    return replace(feel, tempo_bpm=round(feel.tempo_bpm * min(1.0 + _BENT, max(1.0 - _BENT, exact)), 2))


def _lead_instrument(tune: Tune, leads: tuple[int, ...], mood: Mood) -> tuple[int, Tune]:
    """Return the instrument that carries the tune and the tune in its register: the mood's choice if it fits."""
    first = leads[mood.lead % len(leads)]
    for program in (first, *leads, _PIANO):
        player = instrument(program)
        shift = octave_shift(tune, low=player.low, high=player.high, centre=player.centre)
        if shift is not None:
            return program, transposed(tune, shift)
    message = "the tune is wider than any instrument"
    raise ValueError(message)


def chords_of(tune: Tune, form: Form, key: Key, *, colour: str, seed: int, label: str) -> tuple[Chord, ...]:
    """Return the chords of the whole song; B avoids those that A has under the tune where others fit."""
    rng = generator(seed, label, "harmony")
    avoid = () if label == "A" else statement_chords(tune, key, colour="plain", closed=True)
    return song_chords(tune, form, key, colour=colour, rng=rng, avoid=avoid)


def _parts(frame: Frame, program: int, lead: tuple[Note, ...], exact: tuple[Note, ...]) -> tuple[Part, ...]:
    """Return all parts that have notes, the lead first."""
    palette, style = frame.palette, frame.style
    side = -1.0 if frame.label == "A" else 1.0
    parts = (
        Part("lead", "lead", program, drums=False, notes=lead),
        Part("double", "lead", palette.fill, drums=False, pan=-0.2 * side, gain_db=_DOUBLE_DB,
             notes=double_chorus(exact, frame, palette.fill)),
        Part("harmony", "harmony", program, drums=False, pan=0.3 * side,
             notes=sing_thirds(exact, frame, low=instrument(program).low)),
        Part("pad", "pad", palette.pad, drums=False, notes=play_pad(lead, frame), gain_db=style.pad_gain_db),
        Part("comp", "comp", palette.comp, drums=False, notes=play_comp(lead, frame), pan=0.35 * side),
        Part("fill", "fill", palette.fill, drums=False, notes=answer(lead, frame, palette.fill), pan=-0.45 * side),
        Part("bass", "bass", palette.bass, drums=False, notes=play_bass(frame)),
        Part("drums", "drums", 0, drums=True, notes=play_drums(frame), gain_db=style.drum_gain_db),
    )  # fmt: skip
    return tuple(part for part in parts if part.notes)
