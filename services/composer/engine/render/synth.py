"""Playing one part of a score through the soundfont, offline, with the small unevenness of human hands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tinysoundfont

from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.seeds import generator
from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.music import BEND_RANGE_CENTS, RENDER_RATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from services.composer.engine.music import Note, Part, Score

_HUMAN = {
    "lead": (0.004, 0.03), "harmony": (0.009, 0.05), "pad": (0.010, 0.03), "comp": (0.006, 0.07),
    "fill": (0.007, 0.06), "bass": (0.004, 0.04), "drums": (0.003, 0.07),
}  # fmt: skip
"""Standard deviation of onset in seconds and of velocity as a ratio, by role."""

_SNARE_KEYS = frozenset({37, 38, 39})
_SNARE_LATE_S = 0.006
"""A snare a little behind the beat is what makes a groove sit back."""

_DRUM_RING_S = 0.9
_CYMBAL_RING_S = 3.0
_LAST_RING_S = 1.6
"""How long the last chord is held into the tail."""
_CYMBALS = frozenset({46, 49, 51})
_IDLE_S = 4.0
"""After this long without a sounding note nothing is rendered: every release has died away."""

_VIBRATO_HZ = 5.3
_VIBRATO_CENTS = 16.0
_VIBRATO_DELAY_S = 0.30
_VIBRATO_STEP_S = 0.012
_BEND_CENTRE = 8192
_VOICES = 128
_EVENTS_BETWEEN = 64

_OFF, _BEND, _ON = 0, 1, 2
"""Kinds of events in the order in which they happen at the same sample."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something done to the instrument at a sample: a key released, a bend set, a key struck."""

    sample: int
    kind: int
    key: int
    value: int


class Player:
    """A loaded soundfont that plays one part after the other. Not safe to share between threads."""

    def __init__(self, soundfont: Path) -> None:
        """Load `soundfont` (sf2 or sf3); raises ValueError when it cannot be read as one."""
        self._synth = tinysoundfont.Synth(samplerate=RENDER_RATE)
        try:
            self._font = self._synth.sfload(str(soundfont), max_voices=_VOICES)
        except (RuntimeError, OSError) as problem:
            message = f"not a readable soundfont: {soundfont.name}"
            raise ValueError(message) from problem

    def play(
        self, part: Part, score: Score, samples: int, *, between: Callable[[], None] = lambda: None
    ) -> NDArray[np.float32]:
        """Return the dry stem of `part` as float32 stereo (samples, 2); `between` is called every few notes."""
        self._synth.sounds_off(0)
        bank, program = (128, 0) if part.drums else (0, part.program)
        self._synth.program_select(0, self._font, bank, program, part.drums)
        self._synth.pitchbend(0, _BEND_CENTRE)
        stem = np.zeros((samples, 2), dtype=np.float32)
        position, sounding, quiet_since = 0, 0, 0
        for index, event in enumerate(events_of(part, score)):
            if index % _EVENTS_BETWEEN == 0:
                between()
            until = min(event.sample, samples)
            if sounding or position - quiet_since < _IDLE_S * RENDER_RATE:
                self._generate(stem, position, until)
            position = max(position, until)
            sounding += {_ON: 1, _OFF: -1, _BEND: 0}[event.kind]
            if event.kind == _OFF:
                quiet_since = position
            self._do(event)
        self._generate(stem, position, min(samples, position + round(_IDLE_S * RENDER_RATE)))
        self._synth.sounds_off(0)
        return stem

    def _generate(self, stem: NDArray[np.float32], start: int, end: int) -> None:
        if end > start:
            self._synth.generate_simple(end - start, stem[start:end].data.cast("B"))

    def _do(self, event: Event) -> None:
        if event.kind == _ON:
            self._synth.noteon(0, event.key, event.value)
        elif event.kind == _OFF:
            self._synth.noteoff(0, event.key)
        else:
            self._synth.pitchbend(0, event.value)


def events_of(part: Part, score: Score) -> list[Event]:
    """Return the events of a part in order, humanised from the score's seed: the same score, the same events."""
    rng = generator(score.seed, score.label, f"human/{part.name}")
    onset_sd, velocity_sd = _HUMAN.get(part.role, (0.005, 0.05))
    events: list[Event] = []
    last_end: dict[int, tuple[int, int]] = {}
    for note in part.notes:
        late = float(np.clip(rng.normal(0.0, onset_sd), -2.5 * onset_sd, 2.5 * onset_sd))
        loud = note.velocity * (1.0 + float(np.clip(rng.normal(0.0, velocity_sd), -0.2, 0.2)))
        start, end = _span(note, part, score, late)
        before = last_end.get(note.pitch)
        if before is not None and events[before[1]].sample > start:
            old = events[before[1]]
            events[before[1]] = Event(max(start, before[0]), _OFF, old.key, 0)
        events.append(Event(start, _ON, note.pitch, int(min(127, max(1, round(loud))))))
        last_end[note.pitch] = (start, len(events))
        events.append(Event(max(end, start + 1), _OFF, note.pitch, 0))
        if not part.drums and note.bend and instrument(part.program).sustains:
            events.extend(_bent(note, start, end))
        elif part.role == "lead" and instrument(part.program).sustains:
            events.extend(_vibrato(start, end))
    return sorted(events)


def _span(note: Note, part: Part, score: Score, late: float) -> tuple[int, int]:
    """Return the first and last sample of a note."""
    start = seconds_at(note.beat, tempo_bpm=score.tempo_bpm, swing=score.swing) + late
    end = seconds_at(note.beat + note.beats, tempo_bpm=score.tempo_bpm, swing=score.swing)
    if note.beat + note.beats >= score.total_beats - 1e-6:
        end += _LAST_RING_S
    if part.drums:
        start += _SNARE_LATE_S if note.pitch in _SNARE_KEYS else 0.0
        end = start + (_CYMBAL_RING_S if note.pitch in _CYMBALS else _DRUM_RING_S)
    first = max(0, round(start * RENDER_RATE))
    return first, max(first + 1, round(end * RENDER_RATE))


def _bent(note: Note, start: int, end: int) -> list[Event]:
    """Return the bends of a note that carries its singer's, and the centre at its end."""
    step = (end - start) / len(note.bend)
    values = [round(_BEND_CENTRE * (1.0 + cents / BEND_RANGE_CENTS)) for cents in note.bend]
    bends = [Event(start + round(index * step), _BEND, 0, value) for index, value in enumerate(values)]
    return [*bends, Event(max(bends[-1].sample, end - 1), _BEND, 0, _BEND_CENTRE)]


def _vibrato(start: int, end: int) -> list[Event]:
    """Return bends for a held note: none at first, then growing to a full vibrato, and the centre at its end."""
    seconds = (end - start) / RENDER_RATE
    if seconds < 2 * _VIBRATO_DELAY_S:
        return []
    bends = []
    elapsed = _VIBRATO_DELAY_S
    while elapsed < seconds - _VIBRATO_STEP_S:
        depth = min(1.0, (elapsed - _VIBRATO_DELAY_S) / 0.5)
        cents = depth * _VIBRATO_CENTS * math.sin(2 * math.pi * _VIBRATO_HZ * (elapsed - _VIBRATO_DELAY_S))
        value = round(_BEND_CENTRE * (1.0 + cents / BEND_RANGE_CENTS))
        bends.append(Event(start + round(elapsed * RENDER_RATE), _BEND, 0, value))
        elapsed += _VIBRATO_STEP_S
    bends.append(Event(end, _BEND, 0, _BEND_CENTRE))
    return bends
