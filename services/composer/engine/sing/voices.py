"""Who can sing: how far each voice reaches and what makes it another one than the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """A singer. Pitches are MIDI."""

    name: str
    low: int
    high: int
    centre: int
    """Where its verses lie; a chorus lies a little higher."""
    variant: str
    """The voice of espeak-ng that speaks for it; empty for the plain one."""
    tract: float
    """How much higher than the speaker's the resonances lie."""
    breath: float
    """Noise that is mixed into its vowels, 0 to 1."""


VOICES = {
    "female": Voice("female", 56, 73, 63, "", 1.16, 0.05),
    "male": Voice("male", 45, 62, 52, "", 1.0, 0.02),
}
"""Every voice by its name."""


@dataclass(frozen=True, slots=True)
class Singing:
    """Who sings a song: `tune` names the voice whose register the tune lies in, `cast` those that are heard.

    Without a cast the tune is played.
    """

    tune: str
    cast: tuple[str, ...]


SINGINGS = {
    "female": Singing("female", ("female",)),
    "male": Singing("male", ("male",)),
    "duet": Singing("female", ("female", "male")),
    "none": Singing("female", ()),
}
"""What may be asked for by name."""


def find_singing(name: str, seed: int) -> Singing:
    """Return who sings when this was asked for; for anything else, a woman or a man by the seed."""
    return SINGINGS.get(name) or SINGINGS["male" if seed % 2 else "female"]
