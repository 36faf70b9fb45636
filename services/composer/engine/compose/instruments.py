"""What each General MIDI instrument can play and where it sounds best, so that no part leaves its range."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instrument:
    """A playing range in MIDI pitches, the pitch around which a melody sits best, and whether tones are held."""

    low: int
    high: int
    centre: int
    sustains: bool = True


_FAMILIES: tuple[Instrument, ...] = (
    Instrument(28, 100, 72, sustains=False),  # pianos
    Instrument(48, 98, 77, sustains=False),  # chromatic percussion
    Instrument(36, 96, 72),  # organs
    Instrument(40, 86, 69, sustains=False),  # guitars
    Instrument(24, 60, 38),  # basses
    Instrument(40, 96, 71),  # strings
    Instrument(40, 88, 68),  # ensembles
    Instrument(46, 86, 68),  # brass
    Instrument(44, 90, 70),  # reeds
    Instrument(57, 98, 76),  # pipes
    Instrument(36, 98, 72),  # synth leads
    Instrument(36, 96, 66),  # synth pads
    Instrument(36, 96, 66),  # synth effects
    Instrument(43, 94, 71, sustains=False),  # plucked of the world
    Instrument(36, 96, 66, sustains=False),  # percussive
    Instrument(36, 96, 66),  # sound effects
)

_SINGLE: dict[int, Instrument] = {
    11: Instrument(53, 89, 73, sustains=False),  # vibraphone
    22: Instrument(55, 91, 73),  # harmonica
    29: Instrument(40, 88, 71),  # overdriven guitar: held by the amplifier
    30: Instrument(36, 86, 69),  # distortion guitar
    40: Instrument(55, 100, 74),  # violin
    42: Instrument(36, 79, 66),  # cello
    43: Instrument(24, 67, 40),  # contrabass
    46: Instrument(28, 100, 70, sustains=False),  # harp
    59: Instrument(54, 86, 72),  # muted trumpet
    64: Instrument(54, 88, 73),  # soprano sax
    65: Instrument(49, 84, 72),  # alto sax
    66: Instrument(44, 80, 69),  # tenor sax
    68: Instrument(58, 91, 73),  # oboe
    71: Instrument(50, 91, 73),  # clarinet
    73: Instrument(59, 98, 76),  # flute, dizi
    77: Instrument(55, 92, 74),  # shakuhachi, xiao
    105: Instrument(45, 91, 70, sustains=False),  # banjo, pipa
    107: Instrument(38, 93, 68, sustains=False),  # koto, guzheng
    110: Instrument(55, 96, 74),  # fiddle, erhu
}


def instrument(program: int) -> Instrument:
    """Return the instrument of a General MIDI program 0 to 127; raises ValueError outside."""
    if not 0 <= program <= 127:
        message = f"no General MIDI program {program}"
        raise ValueError(message)
    return _SINGLE.get(program, _FAMILIES[program // 8])
