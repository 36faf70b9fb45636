"""What the engine refuses: each a plain exception with the measure that led to it; services map them to a Reason."""

from __future__ import annotations


class TakeRefusedError(Exception):
    """Raised when a take, or words without one, cannot be composed upon.

    `code` is one of silent, noise, no_melody, speech, clipped, too_short, too_long, two_voices, far, or no_words for
    words without a take; `measure` says what was found.
    """

    def __init__(self, code: str, measure: str) -> None:
        super().__init__(f"{code}: {measure}")
        self.code = code
        self.measure = measure


class StoppedError(Exception):
    """Raised by a long stage when its caller asked it to stop; nothing was made and nothing is kept."""
