"""A score as a standard MIDI file, written by hand: type 1, one track per part, swing included.

The format is that of "Standard MIDI Files 1.0" (MIDI Manufacturers Association, 1996).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.metre import metre_of
from services.composer.engine.compose.timing import swung
from services.composer.engine.music import BEND_RANGE_CENTS, Key, Mode

if TYPE_CHECKING:
    from services.composer.engine.music import Note, Part, Score

TICKS_PER_QUARTER = 480

_DRUM_CHANNEL = 9
_PLAIN_CHANNELS = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)
_SHARPS = {0: 0, 7: 1, 2: 2, 9: 3, 4: 4, 11: 5, 6: -6, 5: -1, 10: -2, 3: -3, 8: -4, 1: -5}
"""Sharps (or minus flats) of the major key on each tonic."""

_LARGEST_TEMPO = 0xFFFFFF
_BEND_CENTRE, _LARGEST_BEND = 0x2000, 0x3FFF

Timed = tuple[int, int, bytes]
"""Tick, order within the tick (releases before strokes), message."""


def score_to_midi(score: Score) -> bytes:
    """Return the score as a standard MIDI file of type 1 with tempo, metre, key, section markers and all parts.

    A note that carries its singer's bends has them as pitch bends. Where somebody sings, every syllable is a lyric
    event on its first note.
    """
    tracks = [_conductor(score)]
    free = iter(_PLAIN_CHANNELS)
    for part in score.parts:
        channel = _DRUM_CHANNEL if part.drums else next(free, None)
        if channel is None:
            raise ValueError("a MIDI file holds at most fifteen parts beside the drums")
        tracks.append(_track(_part_events(part, score, channel), _ticks(score.total_beats, score)))
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TICKS_PER_QUARTER)
    return header + b"".join(tracks)


def _conductor(score: Score) -> bytes:
    metre = metre_of(score)
    tempo = min(_LARGEST_TEMPO, round(60_000_000 / (score.tempo_bpm * metre.quarters_a_beat)))
    events: list[Timed] = [
        (0, 0, _meta(0x03, score.title.encode())),
        (0, 0, _meta(0x51, tempo.to_bytes(3, "big"))),
        (0, 0, _meta(0x58, bytes((metre.count, metre.unit.bit_length() - 1, round(24 * metre.quarters_a_beat), 8)))),
        (0, 0, _meta(0x59, _key_signature(score.key))),
    ]
    events += [(_ticks(section.beat, score), 1, _meta(0x06, section.name.encode())) for section in score.sections]
    return _track(events, _ticks(score.total_beats, score))


def _key_signature(key: Key) -> bytes:
    minor = key.mode is Mode.MINOR
    sharps = _SHARPS[(key.tonic + 3) % 12 if minor else key.tonic]
    return struct.pack(">bB", sharps, int(minor))


def _part_events(part: Part, score: Score, channel: int) -> list[Timed]:
    pan = min(127, max(0, round(64 + 63 * part.pan)))
    volume = min(127, max(0, round(100 * math.pow(10.0, part.gain_db / 40.0))))
    events: list[Timed] = [
        (0, 0, _meta(0x03, part.name.encode())),
        (0, 1, bytes((0xB0 | channel, 7, volume))),
        (0, 1, bytes((0xB0 | channel, 10, pan))),
    ]
    if not part.drums:
        events.append((0, 1, bytes((0xC0 | channel, part.program))))
    events += [(_ticks(each.notes[0].beat, score), 2, _meta(0x05, each.text.encode())) for each in part.sung]
    for note in part.notes:
        start = _ticks(note.beat, score)
        end = max(start + 1, _ticks(note.beat + note.beats, score))
        events.append((start, 3, bytes((0x90 | channel, note.pitch, note.velocity))))
        events.append((end, 2, bytes((0x80 | channel, note.pitch, 64))))
        if note.bend and not part.drums and instrument(part.program).sustains:
            events += _bends(note, start, end, channel)
    return events


def _bends(note: Note, start: int, end: int, channel: int) -> list[Timed]:
    """Return the pitch bends of a note that carries its singer's, and the centre a tick before its end."""
    step = (end - start) / len(note.bend)
    curve = [(start + round(index * step), cents) for index, cents in enumerate(note.bend)]
    moments = dict([*curve, (max(start, end - 1), 0)])
    found: list[Timed] = []
    for tick, cents in moments.items():
        value = min(_LARGEST_BEND, round(_BEND_CENTRE * (1.0 + cents / BEND_RANGE_CENTS)))
        found.append((tick, 2, bytes((0xE0 | channel, value & 0x7F, value >> 7))))
    return found


def _ticks(beat: float, score: Score) -> int:
    return max(0, round(swung(beat, score.swing) * metre_of(score).quarters_a_beat * TICKS_PER_QUARTER))


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + _variable(len(data)) + data


def _track(events: list[Timed], last_tick: int) -> bytes:
    body = bytearray()
    now = 0
    for tick, _, message in sorted(events):
        body += _variable(tick - now) + message
        now = tick
    body += _variable(max(0, last_tick - now)) + _meta(0x2F, b"")
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def _variable(value: int) -> bytes:
    """Return a variable-length quantity: seven bits per byte, the high bit set on all but the last."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
