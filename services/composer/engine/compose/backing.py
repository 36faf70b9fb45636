"""The bed under the tune: pad, comping and bass, each from the chords and a pattern of the style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.engine.compose.frame import Frame, limited
from services.composer.engine.compose.grooves import BASS, COMPS, STEPS_PER_BEAT, bar_of
from services.composer.engine.compose.harmony import chord_at
from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.scales import diatonic, nearest, stepped
from services.composer.engine.compose.voicing import voice_chords
from services.composer.engine.music import Chord, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.compose.form import Passage

_PAD_LOW = 45
_PAD_HIGH = 67
_COMP_LOW = 48
_COMP_HIGH = 70
_WINDOW = 14
"""Semitones that a voicing needs to have room for every chord."""
_BASS_LOW = 28
_BASS_HIGH = 48
_RING_BEATS = 2.0
_STAGGER = 0.03
"""Beats between the strings of a strum."""
_FULL_ENERGY = 0.75


def voicings_under(
    lead: Sequence[Note], chords: Sequence[Chord], *, voices: int, low: int, high: int
) -> tuple[tuple[int, ...], ...]:
    """Return a voicing per chord whose top voice stays below every lead note that sounds during the chord."""
    highs = [min([high, *(n.pitch - 1 for n in lead if _overlap(n, chord))]) for chord in chords]
    floor = min(low, min(highs, default=high) - _WINDOW)
    return voice_chords(chords, voices=voices, low=floor, highs=highs)


def _overlap(note: Note, chord: Chord) -> bool:
    return note.beat < chord.beat + chord.beats - 1e-6 and note.beat + note.beats > chord.beat + 1e-6


def pad_plays(passage: Passage, bar: int, frame: Frame) -> bool:
    """Return whether the pad sounds in a bar: it rests in first verses and at the head of bridges, to come back."""
    inside = bar - passage.bar
    soft = frame.style.name in {"ballad", "cinematic", "electronic"}
    if passage.name == "intro":
        return soft
    if passage.name == "verse":
        return inside >= passage.bars / 2 and (soft or passage.energy > 0.65)
    if passage.name == "bridge":
        return inside >= min(2, passage.bars - 1)
    return True


def play_pad(lead: Sequence[Note], frame: Frame) -> tuple[Note, ...]:
    """Return held chords that move as little as possible and stay below the lead; common tones are tied."""
    voicings = voicings_under(lead, frame.chords, voices=4, low=_PAD_LOW, high=_PAD_HIGH)
    sounding: dict[int, tuple[float, float]] = {}
    notes: list[Note] = []

    def release(pitch: int) -> None:
        start, end = sounding.pop(pitch)
        notes.append(Note(start, end - start, pitch, limited(52 + 26 * frame.energy_at(start))))

    for chord, voicing in zip(frame.chords, voicings, strict=True):
        bar = int(chord.beat // frame.beats_per_bar)
        passage = frame.passage_at(chord.beat)
        wanted = set(voicing) if pad_plays(passage, bar, frame) else set()
        new_section = bar == passage.bar and chord.beat % frame.beats_per_bar < 1e-6
        for pitch in sorted(sounding):
            if pitch not in wanted or new_section or sounding[pitch][1] - sounding[pitch][0] >= 2 * frame.beats_per_bar:
                release(pitch)
        for pitch in sorted(wanted):
            start = sounding[pitch][0] if pitch in sounding else chord.beat
            sounding[pitch] = (start, chord.beat + chord.beats)
    for pitch in sorted(sounding):
        release(pitch)
    return tuple(sorted(notes, key=lambda n: (n.beat, n.pitch)))


def play_comp(lead: Sequence[Note], frame: Frame) -> tuple[Note, ...]:
    """Return the comping part in the patterns of the style: calm in verses, driving in choruses."""
    player = instrument(frame.palette.comp)
    voicings = voicings_under(lead, frame.chords, voices=4, low=_COMP_LOW, high=min(_COMP_HIGH, player.high))
    by_beat = {chord.beat: voicing for chord, voicing in zip(frame.chords, voicings, strict=True)}
    notes: list[Note] = []
    for passage in frame.form.passages:
        driving = passage.name == "chorus"
        cells = bar_of(COMPS[frame.palette.chorus_comp if driving else frame.palette.verse_comp], frame.beats_per_bar)
        for bar in range(passage.bar, passage.bar + passage.bars):
            if bar == frame.form.bars - 1:
                notes.extend(_final_chord(by_beat[chord_at(frame.chords, frame.beat_of(bar)).beat], bar, frame))
            else:
                notes.extend(_comp_bar(cells["line"], bar, frame, by_beat, ring=not player.sustains))
    return tuple(sorted(notes, key=lambda n: (n.beat, n.pitch)))


def _final_chord(voicing: Sequence[int], bar: int, frame: Frame) -> list[Note]:
    start = frame.beat_of(bar)
    return [
        Note(start + 2 * _STAGGER * i, frame.beats_per_bar - 2 * _STAGGER * i, pitch, 66)
        for i, pitch in enumerate(voicing)
    ]


def _comp_bar(cells: str, bar: int, frame: Frame, by_beat: dict[float, tuple[int, ...]], *, ring: bool) -> list[Note]:
    start = frame.beat_of(bar)
    changes = {chord.beat for chord in frame.chords}
    notes: list[Note] = []
    last = "."
    for step, cell in enumerate(cells):
        beat = start + step / STEPS_PER_BEAT
        mark = cell
        if cell in "-." and last in "CcduP" and beat in changes and step:
            mark = "c" if last in "Cc" else last
        if mark in "-.":
            last = "." if cell == "." else last
            continue
        last = mark
        held = 1 + len(cells[step + 1 :]) - len(cells[step + 1 :].lstrip("-"))
        chord = chord_at(frame.chords, beat)
        end = min(chord.beat + chord.beats, beat + held / STEPS_PER_BEAT)
        if ring and mark in "123456":
            end = min(chord.beat + chord.beats, beat + _RING_BEATS)
        notes.extend(_struck(mark, by_beat[chord.beat], beat, end - beat, frame))
    return notes


def _struck(mark: str, voicing: tuple[int, ...], beat: float, beats: float, frame: Frame) -> list[Note]:
    """Return the notes of one comping mark."""
    accent = 6 if beat % frame.beats_per_bar < 1e-6 else 0 if beat % 1 < 1e-6 else -5
    velocity = 50 + 32 * frame.energy_at(beat) + accent
    if mark in "123456":
        index = int(mark) - 1
        pitch = voicing[index] if index < len(voicing) else voicing[index - len(voicing)] + 12
        return [Note(beat, beats, pitch, limited(velocity))]
    if mark == "P":
        root = nearest(voicing[0] - 5, frozenset({chord_at(frame.chords, beat).root}))
        return [Note(beat, beats, p, limited(velocity)) for p in (root, root + 7, root + 12)]
    if mark in "du":
        strings = voicing if mark == "d" else voicing[:0:-1]
        softer = 0 if mark == "d" else 9
        late = min(_STAGGER, beats / 8)
        return [
            Note(beat + late * i, beats - late * i, pitch, limited(velocity - softer - 2 * i))
            for i, pitch in enumerate(strings)
        ]
    return [Note(beat, beats, pitch, limited(velocity - (10 if mark == "c" else 0))) for pitch in voicing]


def bass_plays(passage: Passage, bar: int) -> bool:
    """Return whether the bass sounds in a bar: it comes in with the second half of the intro."""
    return passage.name != "intro" or bar - passage.bar >= passage.bars / 2


def play_bass(frame: Frame) -> tuple[Note, ...]:
    """Return the bass line in the patterns of the style, on the root wherever the chord changes."""
    rng = frame.rng("bass")
    notes: list[Note] = []
    for passage in frame.form.passages:
        driving = passage.name == "chorus"
        cells = bar_of(BASS[frame.palette.chorus_bass if driving else frame.palette.verse_bass], frame.beats_per_bar)
        for bar in range(passage.bar, passage.bar + passage.bars):
            if not bass_plays(passage, bar):
                continue
            line = "R" + "-" * (len(cells["line"]) - 1) if bar == frame.form.bars - 1 else cells["line"]
            notes.extend(_bass_bar(line, bar, frame, notes[-1].pitch if notes else 38, rng))
    return tuple(notes)


def _bass_bar(cells: str, bar: int, frame: Frame, previous: int, rng: np.random.Generator) -> list[Note]:
    start = frame.beat_of(bar)
    changes = {chord.beat for chord in frame.chords}
    notes: list[Note] = []
    for step, cell in enumerate(cells):
        beat = start + step / STEPS_PER_BEAT
        mark = "R" if beat in changes and (cell in "-5AW8" or step == 0) and cell != "." else cell
        if mark in "-.":
            continue
        held = 1 + len(cells[step + 1 :]) - len(cells[step + 1 :].lstrip("-"))
        chord = chord_at(frame.chords, beat)
        following = chord_at(frame.chords, chord.beat + chord.beats + 1e-3)
        pitch = _bass_pitch(mark, chord, following, notes[-1].pitch if notes else previous, frame, rng)
        beats = min(held / STEPS_PER_BEAT, chord.beat + chord.beats - beat)
        accent = 8 if beat % frame.beats_per_bar < 1e-6 else 0
        notes.append(Note(beat, beats, pitch, limited(64 + 26 * frame.energy_at(beat) + accent)))
    return notes


def _bass_pitch(
    mark: str, chord: Chord, following: Chord, previous: int, frame: Frame, rng: np.random.Generator
) -> int:
    root = _low(nearest(min(previous, 43), frozenset({chord.root})))
    if mark == "5":
        fifth = (chord.pitch_classes[2] - chord.root) % 12
        return root + fifth if root + fifth <= _BASS_HIGH else root + fifth - 12
    if mark == "8":
        return root + 12
    if mark == "A":
        target = _low(nearest(previous, frozenset({following.root})))
        return _low(stepped(target, -1 if previous <= target else 1, diatonic(frame.key)))
    if mark == "W":
        tones = [
            p
            for p in range(previous - 5, previous + 6)
            if p != previous and _BASS_LOW <= p <= _BASS_HIGH and p % 12 in chord.pitch_classes
        ]
        return int(tones[int(rng.integers(len(tones)))]) if tones else root
    return root


def _low(pitch: int) -> int:
    while pitch > 43:
        pitch -= 12
    while pitch < _BASS_LOW:
        pitch += 12
    return pitch
