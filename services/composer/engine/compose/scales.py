"""Scales and the moves inside them: the steps that fills, thirds and variations walk on."""

from __future__ import annotations

from services.composer.engine.music import Key, Mode

_DIATONIC = {Mode.MAJOR: (0, 2, 4, 5, 7, 9, 11), Mode.MINOR: (0, 2, 3, 5, 7, 8, 10)}
_PENTATONIC = {Mode.MAJOR: (0, 2, 4, 7, 9), Mode.MINOR: (0, 3, 5, 7, 10)}


def diatonic(key: Key) -> frozenset[int]:
    """Return the seven pitch classes of the key (natural minor)."""
    return frozenset((key.tonic + step) % 12 for step in _DIATONIC[key.mode])


def pentatonic(key: Key) -> frozenset[int]:
    """Return the five pitch classes of the key without semitones."""
    return frozenset((key.tonic + step) % 12 for step in _PENTATONIC[key.mode])


def stepped(pitch: int, steps: int, scale: frozenset[int]) -> int:
    """Return the pitch `steps` scale steps above (or below, when negative) `pitch`, which need not be in the scale."""
    move = 1 if steps > 0 else -1
    left = abs(steps)
    while left:
        pitch += move
        if pitch % 12 in scale:
            left -= 1
    return pitch


def nearest(pitch: int, classes: frozenset[int]) -> int:
    """Return the pitch of one of `classes` closest to `pitch`, the lower one of two equally close."""
    return min(
        (pitch + shift for shift in range(-6, 7) if (pitch + shift) % 12 in classes), key=lambda p: (abs(p - pitch), p)
    )
