"""The mixing desk: stems come in one by one and are summed at once, so that only one of them is ever held.

Order matters: the lead comes first, because the bed makes room for it; bass and bed also give way to the kick,
whose strokes are read from the score and not from the sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.judge.loudness import integrated_lufs
from services.composer.engine.music import RENDER_RATE
from services.composer.engine.render.effects import (
    BLOCK,
    Section,
    apply_curve,
    bell,
    block_levels,
    compress,
    equalise,
    high_pass,
    high_shelf,
    low_pass,
    reverberate,
    room_impulse,
    smoothed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from services.composer.engine.music import Part, Score

MIX_ORDER = ("voice", "lead", "choir", "drums", "bass", "harmony", "comp", "pad", "fill")
"""Roles in the order in which their stems must be added."""

_LEAD_LUFS = -22.0
_MONO_EDGE_HZ = 150.0
"""Corner of the two filters on the side, which together take 11 dB of it at 120 Hz, 22 at 80 and 32 at 60."""
_KICK_KEYS = frozenset({35, 36, 41})
_MOST_MEASURED_S = 14.0
_SILENT = 1e-5
"""RMS of a block in which nothing plays."""


@dataclass(frozen=True, slots=True)
class Strip:
    """A channel strip: level under the lead, filters, room, and how far it ducks under lead and kick."""

    level_lu: float
    low_cut_hz: float
    tone: tuple[Section, ...] = ()
    room: float = 0.0
    under_lead_db: float = 0.0
    under_kick_db: float = 0.0
    squeeze: float = 1.0
    """Compression ratio, 1 for none."""


STRIPS: dict[str, Strip] = {
    "voice": Strip(1.0, 120.0, tuple(bell(3000.0, 2.0, 0.8)), 0.16, squeeze=3.0),
    "choir": Strip(-8.0, 180.0, tuple(bell(2600.0, -1.0)), 0.26, 1.0, squeeze=2.5),
    "lead": Strip(0.0, 140.0, tuple(bell(1700.0, 1.5, 0.8)), 0.20, squeeze=2.5),
    "harmony": Strip(-8.5, 180.0, tuple(bell(2600.0, -1.5)), 0.28, 1.0, squeeze=2.0),
    "pad": Strip(-13.0, 170.0, tuple(bell(2400.0, -3.0, 0.7)), 0.34, 3.0, 1.5),
    "comp": Strip(-7.5, 110.0, tuple(bell(2600.0, -2.5, 0.8)), 0.16, 2.5, squeeze=2.0),
    "fill": Strip(-8.0, 160.0, (), 0.30, 3.0),
    "bass": Strip(-5.5, 32.0, tuple(low_pass(5000.0)), 0.0, 0.0, 3.5, squeeze=3.0),
    "drums": Strip(-5.0, 30.0, tuple(high_shelf(8000.0, 1.5)), 0.07),
}
"""One strip per role; the numbers are relative to the lead in the chorus."""


_BOWED = (*bell(440.0, 5.0, 0.9), *bell(1350.0, -6.0, 1.2), *high_shelf(2600.0, -10.0))
OWN_TONE: dict[int, tuple[Section, ...]] = {40: _BOWED, 110: _BOWED}
"""What the violin and the fiddle of the soundfonts need besides: around A4 they are so shrill that their third partial
stands over the tone itself."""


class Mix:
    """The stereo bus of one song. Add every part once, in `MIX_ORDER`, then take the result."""

    def __init__(
        self,
        score: Score,
        samples: int,
        *,
        room: float,
        on_stem: Callable[[str, NDArray[np.float32]], None] | None = None,
    ) -> None:
        """Set up an empty bus of `samples` samples with a room that is `room` times as wet as usual.

        `on_stem` gets each part as it lies in the mix, and the room as `room` at the end; their sum is the mix.
        """
        self._on_stem = on_stem
        self._score = score
        self._bus = np.zeros((samples, 2), dtype=np.float32)
        self._send = np.zeros(samples, dtype=np.float32)
        self._room = room
        blocks = -(-samples // BLOCK)
        self._lead_presence = np.zeros(blocks, dtype=np.float32)
        self._kick_presence = _kick_presence(score, blocks)

    def add(self, part: Part, stem: NDArray[np.float32]) -> None:
        """Add a dry stem (samples, 2) to the bus; the stem is changed in the process."""
        strip = STRIPS[part.role]
        sound = stem if part.role in {"pad", "comp", "drums"} else _mono(stem)[:, None]
        own = OWN_TONE.get(part.program, ()) if part.role in {"lead", "harmony"} else ()
        equalise(sound, [*high_pass(strip.low_cut_hz), *strip.tone, *own])
        levels = block_levels(sound)
        if not (levels > _SILENT).any():
            return
        if strip.squeeze > 1.0:
            usual = float(np.sqrt(np.mean(levels[levels > _SILENT] ** 2)))
            compress(sound, threshold_db=20.0 * math.log10(usual) - 1.0, ratio=strip.squeeze)
        level = self._chorus_loudness(sound)
        sound *= np.float32(10.0 ** ((_LEAD_LUFS + strip.level_lu + part.gain_db - level) / 20.0))
        if part.role in {"voice", "lead"}:
            np.maximum(self._lead_presence, _presence(sound), out=self._lead_presence)
        else:
            self._duck(sound, strip)
        left, right = _pan_gains(part.pan)
        self._bus[:, 0] += sound[:, 0] * left
        self._bus[:, 1] += sound[:, -1] * right
        if self._on_stem is not None:
            placed = np.stack([sound[:, 0] * left, sound[:, -1] * right], axis=1)
            _make_low_mono(placed)
            self._on_stem(part.name, placed)
        if strip.room:
            self._send += _mono(sound) * np.float32(strip.room * self._room)

    def finish(self) -> NDArray[np.float32]:
        """Return the mix (samples, 2): bus and room, mono in the lowest octaves. The desk is empty then."""
        impulse = room_impulse(1.7)
        equalise(self._send, high_pass(220.0))
        room = np.zeros_like(self._bus) if self._on_stem is not None else None
        for channel in (0, 1):
            wet = reverberate(self._send, impulse, channel)
            self._bus[:, channel] += wet
            if room is not None:
                room[:, channel] = wet
            del wet
        self._send = np.zeros(0, dtype=np.float32)
        if room is not None and self._on_stem is not None:
            _make_low_mono(room)
            self._on_stem("room", room)
        bus, self._bus = self._bus, np.zeros((0, 2), dtype=np.float32)
        _make_low_mono(bus)
        return bus

    def _chorus_loudness(self, sound: NDArray[np.float32]) -> float:
        """Return the loudness in the last chorus, where the balance is set, or of all when the part rests there."""
        chorus = next((s for s in reversed(self._score.sections) if s.name == "chorus"), None)
        if chorus is not None:
            first = round(self._seconds(chorus.beat) * RENDER_RATE)
            last = round(
                min(self._seconds(chorus.beat + chorus.beats) * RENDER_RATE, first + _MOST_MEASURED_S * RENDER_RATE)
            )
            level = integrated_lufs(sound[first:last], RENDER_RATE)
            if level > -60.0:
                return level
        return integrated_lufs(sound, RENDER_RATE)

    def _seconds(self, beat: float) -> float:
        return seconds_at(beat, tempo_bpm=self._score.tempo_bpm, swing=self._score.swing)

    def _duck(self, sound: NDArray[np.float32], strip: Strip) -> None:
        if not strip.under_lead_db and not strip.under_kick_db:
            return
        gain_db = -strip.under_lead_db * self._lead_presence - strip.under_kick_db * self._kick_presence
        apply_curve(sound, (10.0 ** (gain_db / 20.0)).astype(np.float32))


def _make_low_mono(audio: NDArray[np.float32]) -> None:
    """Take what differs between the channels out of the lowest octaves, in place."""
    side = (audio[:, 0] - audio[:, 1]) * np.float32(0.5)
    middle = audio[:, 0] - side
    equalise(side, [*high_pass(_MONO_EDGE_HZ), *high_pass(_MONO_EDGE_HZ)])
    audio[:, 0] = middle + side
    audio[:, 1] = middle - side


def _presence(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 0 to 1 per block: how much of its usual level the lead has, quick to come and slow to go."""
    levels = block_levels(sound)
    usual = float(np.percentile(levels[levels > _SILENT], 60)) if (levels > _SILENT).any() else 1.0
    return smoothed(np.minimum(levels / usual, 1.0).astype(np.float32), rise_s=0.03, fall_s=0.25)


def _kick_presence(score: Score, blocks: int) -> NDArray[np.float32]:
    """Return 0 to 1 per block: 1 at each stroke of the bass drum, gone after about 120 ms."""
    out = np.zeros(blocks, dtype=np.float32)
    decay = np.exp(-np.arange(40) * BLOCK / (0.06 * RENDER_RATE)).astype(np.float32)
    for part in score.parts:
        for note in part.notes if part.drums else ():
            if note.pitch in _KICK_KEYS:
                at = round(seconds_at(note.beat, tempo_bpm=score.tempo_bpm, swing=score.swing) * RENDER_RATE / BLOCK)
                stretch = out[at : at + len(decay)]
                np.maximum(stretch, decay[: len(stretch)], out=stretch)
    return out


def _mono(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the channels."""
    return sound[:, 0] if sound.shape[1] == 1 else (sound[:, 0] + sound[:, 1]) * np.float32(0.5)


def _pan_gains(pan: float) -> tuple[np.float32, np.float32]:
    """Return the gains of left and right at constant power, 1 and 1 in the middle."""
    angle = (pan + 1.0) * math.pi / 4.0
    return np.float32(math.sqrt(2.0) * math.cos(angle)), np.float32(math.sqrt(2.0) * math.sin(angle))
