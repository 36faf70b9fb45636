"""The lines that sing: the tune itself, the thirds under its last chorus, and the answers in its rests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.composer.engine.compose.frame import Frame, limited
from services.composer.engine.compose.harmony import chord_at
from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.scales import diatonic, nearest, pentatonic, stepped
from services.composer.engine.compose.variation import sequence, varied
from services.composer.engine.music import Chord, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.compose.form import Statement
    from services.composer.engine.compose.tune import Tune

_SHORTEST_REST = 1.0
"""Beats of silence or of one held note that invite an answer."""


@dataclass(frozen=True, slots=True)
class SungLines:
    """The lead part, and the notes of it that state the singer's tune exactly."""

    lead: tuple[Note, ...]
    exact: tuple[Note, ...]


def sing(tune: Tune, frame: Frame, *, low: int, high: int) -> SungLines:
    """Return the lead of the whole song; `tune` is in its register already, the bridge stays in `low` to `high`."""
    lead: list[Note] = []
    exact: list[Note] = []
    rng = frame.rng("variation")
    for passage in frame.form.passages:
        for statement in passage.statements:
            stated = _state(tune, statement, frame, rng)
            if statement.exact:
                exact.extend(stated)
            lead = [*_cleared(lead, stated), *stated]
        if passage.name == "bridge":
            start = frame.beat_of(passage.bar)
            chords = _from(frame.chords, start)
            line = sequence(tune, chords, frame.key, bars=passage.bars)
            lead.extend(_shaped([replace(n, beat=n.beat + start) for n in _within(line, low, high)], frame))
    lead.extend(_last_note(tune, frame))
    return SungLines(tuple(lead), tuple(exact))


def _state(tune: Tune, statement: Statement, frame: Frame, rng: np.random.Generator) -> list[Note]:
    start = frame.beat_of(statement.bar)
    part = tune.head(statement.bars) if statement.bars < tune.bars else tune
    notes = part.notes if statement.exact else varied(part, _from(frame.chords, start), frame.key, rng)
    placed = [replace(note, beat=note.beat + start) for note in notes if note.beat + start >= 0]
    return _shaped(placed, frame)


def _from(chords: Sequence[Chord], start: float) -> tuple[Chord, ...]:
    """Return the chords as seen from beat `start`."""
    return tuple(replace(chord, beat=chord.beat - start) for chord in chords if chord.beat + chord.beats > start)


def _cleared(lead: list[Note], coming: Sequence[Note]) -> list[Note]:
    """Return the lead so far, its last notes shortened so that they end where the next statement begins."""
    if not coming:
        return lead
    line = coming[0].beat
    kept = [note for note in lead if note.beat < line - 0.1]
    return [replace(note, beats=min(note.beats, line - note.beat)) for note in kept]


def _shaped(notes: Sequence[Note], frame: Frame) -> list[Note]:
    """Return the notes with velocities: the singer's own accents, the metre, the energy and an arc over the line."""
    if not notes:
        return []
    lowest, highest = min(n.pitch for n in notes), max(n.pitch for n in notes)
    shaped = []
    for note in notes:
        accent = 6 if note.beat % frame.beats_per_bar < 1e-6 else 2 if note.beat % 1 < 1e-6 else -3
        height = 8.0 * (note.pitch - lowest) / max(1, highest - lowest)
        velocity = 70 + 26 * frame.energy_at(note.beat) + accent + height + 0.2 * (note.velocity - 90)
        shaped.append(replace(note, velocity=limited(velocity)))
    return shaped


def _within(line: Sequence[Note], low: int, high: int) -> list[Note]:
    """Return the line moved by octaves, as a whole if possible, so that every note is in range."""
    for shift in (0, -12, 12):
        if all(low <= note.pitch + shift <= high for note in line):
            return [replace(note, pitch=note.pitch + shift) for note in line]
    return [replace(note, pitch=_folded(note.pitch, low, high)) for note in line]


def _folded(pitch: int, low: int, high: int) -> int:
    while pitch > high:
        pitch -= 12
    while pitch < low:
        pitch += 12
    return pitch


def _last_note(tune: Tune, frame: Frame) -> list[Note]:
    """Return the lead's farewell: the tonic nearest the end of the tune, held over the last bar."""
    start = frame.total_beats - frame.beats_per_bar
    final = tune.notes[-1].pitch
    lowest = min(note.pitch for note in tune.notes)
    pitch = nearest(final, frozenset({frame.key.tonic}))
    if pitch < lowest:
        pitch = nearest(final, frozenset(chord_at(frame.chords, start).pitch_classes[:3]))
    return [Note(start, float(frame.beats_per_bar), pitch, 72)]


def sing_thirds(exact: Sequence[Note], frame: Frame, *, low: int) -> tuple[Note, ...]:
    """Return a second voice under the tune in the last chorus: a third below, or the next chord tone on long notes."""
    last = next((p for p in reversed(frame.form.passages) if p.last_chorus), None)
    if last is None:
        return ()
    start, end = frame.beat_of(last.bar), frame.beat_of(last.bar + last.bars)
    scale = diatonic(frame.key)
    voice = []
    for note in exact:
        if not start <= note.beat < end:
            continue
        chord = chord_at(frame.chords, note.beat)
        pitch = stepped(note.pitch, -2, scale)
        if note.beats >= 1.0 and pitch % 12 not in chord.pitch_classes:
            tones = [p for p in range(note.pitch - 7, note.pitch - 2) if p % 12 in chord.pitch_classes]
            pitch = tones[-1] if tones else pitch
        if pitch >= low:
            voice.append(replace(note, pitch=pitch, velocity=limited(note.velocity - 14)))
    return tuple(voice)


def double_chorus(exact: Sequence[Note], frame: Frame, program: int) -> tuple[Note, ...]:
    """Return the tune of every chorus for a second instrument, in unison or the octave that suits it, softer."""
    player = instrument(program)
    sung = [note for note in exact if frame.passage_at(max(0.0, note.beat)).name == "chorus"]
    for shift in (0, 12, -12):
        if sung and all(player.low <= note.pitch + shift <= player.high for note in sung):
            return tuple(replace(note, pitch=note.pitch + shift, velocity=limited(note.velocity - 12)) for note in sung)
    return ()


def rests(lead: Sequence[Note], frame: Frame) -> tuple[tuple[float, float], ...]:
    """Return the stretches (first and last beat) in which the lead is silent or holds one note for long."""
    found = []
    for passage in frame.form.passages:
        if passage.name not in {"verse", "chorus", "bridge"}:
            continue
        start, end = frame.beat_of(passage.bar), frame.beat_of(passage.bar + passage.bars)
        inside = [note for note in lead if start - 1e-6 <= note.beat < end]
        for index, note in enumerate(inside):
            following = inside[index + 1].beat if index + 1 < len(inside) else end
            free = note.beat + min(note.beats, 1.5)
            if following - free >= _SHORTEST_REST:
                found.append((_ceil_half(free), following))
    return tuple(found)


def _ceil_half(beat: float) -> float:
    return -(-beat * 2 // 1) / 2


def answer(lead: Sequence[Note], frame: Frame, program: int) -> tuple[Note, ...]:
    """Return the fills: short pentatonic answers in the lead's rests, a call in the intro, a farewell in the outro."""
    rng = frame.rng("fills")
    player = instrument(program)
    notes: list[Note] = []
    for start, end in rests(lead, frame):
        if rng.random() < 0.35 + 0.45 * frame.energy_at(start):
            notes.extend(_run(start, min(end, start + 3.0), lead, frame, rng))
    for passage in frame.form.passages:
        if passage.name in {"intro", "outro"} and passage.bars >= 2:
            notes.extend(_arch(passage.bar, passage.bars - 1, frame, rng))
    return tuple(
        replace(note, pitch=_folded(note.pitch, max(player.low, 52), min(player.high, 91)))
        for note in sorted(notes, key=lambda n: (n.beat, n.pitch))
    )


def _run(start: float, end: float, lead: Sequence[Note], frame: Frame, rng: np.random.Generator) -> list[Note]:
    """Return eighths that walk the pentatonic scale from a chord tone, away from the lead and back to a chord tone."""
    scale = pentatonic(frame.key)
    before = max((n for n in lead if n.beat <= start), key=lambda n: n.beat)
    pitch = nearest(
        before.pitch - 5 + 12 * int(rng.integers(0, 2)), frozenset(chord_at(frame.chords, start).pitch_classes)
    )
    direction = 1 if rng.random() < 0.5 else -1
    notes = []
    beat = start
    while beat < end - 0.4:
        notes.append(Note(beat, 0.5, pitch, limited(58 + 22 * frame.energy_at(beat) + 4 * rng.random())))
        pitch = stepped(pitch, direction if rng.random() < 0.8 else -direction, scale)
        beat += 0.5
    if notes:
        final = notes[-1]
        classes = frozenset(chord_at(frame.chords, final.beat).pitch_classes)
        notes[-1] = replace(final, pitch=nearest(final.pitch, classes))
    return notes


def _arch(bar: int, bars: int, frame: Frame, rng: np.random.Generator) -> list[Note]:
    """Return a slow line of chord tones over `bars` bars, one shape for all bars so that it sounds meant."""
    shape = [int(x) for x in rng.permutation(3)[:2]]
    notes = []
    for index in range(bars):
        start = frame.beat_of(bar + index)
        tones = chord_at(frame.chords, start).pitch_classes[:3]
        first = nearest(74, frozenset({tones[shape[0]]}))
        second = nearest(first, frozenset({tones[shape[1]]}))
        half = frame.beats_per_bar / 2
        notes.append(Note(start + 0.5, half - 0.5, first, 62))
        notes.append(Note(start + half, half, second, 58))
    return notes
