"""Public-domain tunes typed as numbered notation, so that what is heard can be compared with what was sung.

`TUNING_TUNES` were looked at while the analyser's constants were set. `HELD_OUT_TUNES` are frozen: they gate, and
no constant may be changed because of one of them. Typed from memory, some with a simplified turn; what counts is
that the singer sings exactly what stands here. Whoever tunes after a look at the second group must move the tunes
looked at into the first and type new ones. Last looked at: tuning group while the analyser was written, November
2026; held-out group only as figures of the gate, never note by note, November 2026.

Notation after the Chinese numbered one: digits are degrees of the major scale (minor tunes stand on 6), 0 rests,
`'` an octave up, `,` down, `#` and `b` before the digit, `_` an eighth, `=` a sixteenth, `.` half as long again,
each `-` one quarter longer; bare is a quarter. Bars are for the reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.composer.engine.music import Key, Mode

_DEGREES = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11}
_TOKEN = re.compile(r"([#b]?)([0-7])([',]*)([_=]?)(\.?)(-*)$")


@dataclass(frozen=True, slots=True)
class Tune:
    """A tune in C major or A minor around middle C, with its metre and the quarters before the first bar line."""

    name: str
    mode: Mode
    beats_per_bar: int
    pickup: float
    notation: str

    def notes(self, transpose: int = 0) -> tuple[tuple[float, int | None], ...]:
        """Return the tune as (quarters, MIDI pitch or None for a rest)."""
        return tuple(_read(token, transpose) for token in self.notation.split() if token != "|")

    def key(self, transpose: int = 0) -> Key:
        """Return the key the transposed tune is in."""
        return Key(((9 if self.mode is Mode.MINOR else 0) + transpose) % 12, self.mode)


def _read(token: str, transpose: int) -> tuple[float, int | None]:
    match = _TOKEN.match(token)
    if match is None:
        message = f"unreadable note {token!r}"
        raise ValueError(message)
    sharp, digit, octave, short, dot, longer = match.groups()
    beats = {"": 1.0, "_": 0.5, "=": 0.25}[short] * (1.5 if dot else 1.0) + len(longer)
    if digit == "0":
        return beats, None
    pitch = 60 + _DEGREES[digit] + {"#": 1, "b": -1, "": 0}[sharp]
    return beats, pitch + 12 * (octave.count("'") - octave.count(",")) + transpose


TUNING_TUNES: tuple[Tune, ...] = (
    Tune(
        "ode to joy",
        Mode.MAJOR,
        4,
        0,
        "3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 3. 2_ 2- | 3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 2. 1_ 1-",
    ),
    Tune(
        "twinkle",
        Mode.MAJOR,
        4,
        0,
        "1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1- | 5 5 4 4 | 3 3 2- | 5 5 4 4 | 3 3 2- "
        "| 1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1-",
    ),
    Tune(
        "frere jacques",
        Mode.MAJOR,
        4,
        0,
        "1 2 3 1 | 1 2 3 1 | 3 4 5- | 3 4 5- | 5_ 6_ 5_ 4_ 3 1 | 5_ 6_ 5_ 4_ 3 1 | 1 5, 1- | 1 5, 1-",
    ),
    Tune(
        "mo li hua",
        Mode.MAJOR,
        4,
        0,
        "3 3_ 5_ 6_ 1'_ 1'_ 6_ | 5 5_ 6_ 5- | 3 3_ 5_ 6_ 1'_ 1'_ 6_ | 5 5_ 6_ 5- | 5 5 5 3_ 5_ | 6 6 5- "
        "| 3 2_ 3_ 5 3_ 2_ | 1 1_ 2_ 1-",
    ),
    Tune(
        "greensleeves",
        Mode.MINOR,
        3,
        1,
        "6 | 1'- 2' | 3'. #4'_ 3' | 2'- 7 | 5. 6_ 7 | 1'- 6 | 6. #5_ 6 | 7- #5 | 3- 6 | 1'- 2' | 3'. #4'_ 3' "
        "| 2'- 7 | 5. 6_ 7 | 1'. 7_ 6 | #5. #4_ #5 | 6--",
    ),
    Tune(
        "amazing grace",
        Mode.MAJOR,
        3,
        1,
        "5, | 1- 3_ 1_ | 3- 2 | 1- 6, | 5,- 5, | 1- 3_ 1_ | 3- 2 | 5-- | 5- 3_ 5_ | 5- 3_ 1_ | 3- 2 | 1- 6, "
        "| 5,- 5, | 1- 3_ 1_ | 3- 2 | 1--",
    ),
    Tune(
        "auld lang syne",
        Mode.MAJOR,
        4,
        1,
        "5, | 1. 1_ 1 3 | 2. 1_ 2 3 | 1. 1_ 3 5 | 6-- 6 | 5. 3_ 3 1 | 2. 1_ 2 3 | 1. 6,_ 6, 5, | 1--",
    ),
    Tune(
        "scarborough fair",
        Mode.MINOR,
        3,
        0,
        "6- 6 | 3'- 3' | 7. 1'_ 7 | 6-- | 0 3' 5' | 6'- 5' | 3' #4' 2' | 3'-- | 0 0 6' | 6'- 6' | 5'- 3' | 3' 2' 1' "
        "| 7 5- | 6- 3' | 2'- 1' | 7 6 5 | 6--",
    ),
    Tune(
        "au clair de la lune",
        Mode.MAJOR,
        4,
        0,
        "1 1 1 2 | 3- 2- | 1 3 2 2 | 1--- | 2 2 2 2 | 6,- 6,- | 2 1 7, 6, | 5,--- | 1 1 1 2 | 3- 2- | 1 3 2 2 | 1---",
    ),
    Tune(
        "god save",
        Mode.MAJOR,
        3,
        0,
        "1 1 2 | 7,. 1_ 2 | 3 3 4 | 3. 2_ 1 | 2 1 7, | 1-- | 5 5 5 | 5. 4_ 3 | 4 4 4 | 4. 3_ 2 | 3 4_ 3_ 2_ 1_ "
        "| 3. 4_ 5 | 6_ 4_ 3 2 | 1--",
    ),
)

HELD_OUT_TUNES: tuple[Tune, ...] = (
    Tune(
        "silent night", Mode.MAJOR, 3, 0,
        "5. 6_ 5 | 3-- | 5. 6_ 5 | 3-- | 2'- 2' | 7-- | 1'- 1' | 5-- | 6- 6 | 1'. 7_ 6 | 5. 6_ 5 | 3--",
    ),
    Tune(
        "when the saints", Mode.MAJOR, 4, 3,
        "1 3 4 | 5--- | 0 1 3 4 | 5--- | 0 1 3 4 | 5- 3- | 1- 3- | 2--- | 0 3 3 2 | 1-- 1 | 3- 5 5 | 5- 4- | 0 0 3 4 "
        "| 5- 3- | 1- 2- | 1---",
    ),
    Tune(
        "brahms lullaby", Mode.MAJOR, 3, 1,
        "3_ 3_ | 5. 3_ 3 | 5- 3_ 5_ | 1' 7. 6_ | 6 5 2_ 3_ | 4 2 2_ 3_ | 4- 2_ 4_ | 7_ 6_ 5 7 | 1'-",
    ),
    Tune(
        "jingle bells", Mode.MAJOR, 4, 0,
        "3 3 3- | 3 3 3- | 3 5 1. 2_ | 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 3 2 2 3 | 2- 5- | 3 3 3- | 3 3 3- | 3 5 1. 2_ "
        "| 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 5 5 4 2 | 1---",
    ),
    Tune(
        "oh susanna", Mode.MAJOR, 4, 1,
        "1_ 2_ | 3 5 5. 6_ | 5 3 1. 2_ | 3 3 2 1 | 2-- 1_ 2_ | 3 5 5. 6_ | 5 3 1. 2_ | 3 3 2 2 | 1--",
    ),
    Tune(
        "long long ago", Mode.MAJOR, 4, 0,
        "1 1_ 2_ 3 3_ 4_ | 5 6_ 5_ 3- | 5 4_ 3_ 2- | 4 3_ 2_ 1- | 1 1_ 2_ 3 3_ 4_ | 5 6_ 5_ 3- "
        "| 5 4_ 3_ 2 3_ 2_ | 1---",
    ),
    Tune(
        "london bridge", Mode.MAJOR, 4, 0,
        "5. 6_ 5 4 | 3 4 5- | 2 3 4- | 3 4 5- | 5. 6_ 5 4 | 3 4 5- | 2- 5- | 3 1--",
    ),
    Tune(
        "korobeiniki", Mode.MINOR, 4, 0,
        "3' 7_ 1'_ 2' 1'_ 7_ | 6 6_ 1'_ 3' 2'_ 1'_ | 7. 1'_ 2' 3' | 1' 6 6- | 0_ 2' 4'_ 6' 5'_ 4'_ "
        "| 3'. 1'_ 3' 2'_ 1'_ | 7 7_ 1'_ 2' 3' | 1' 6 6-",
    ),
    Tune(
        "home on the range", Mode.MAJOR, 3, 1,
        "5, | 5, 1 2 | 3- 1_ 7,_ | 6, 4 4 | 4- 4_ 4_ | 5 1. 1_ | 1 7, 1 | 2-- | 2- 5, | 5, 1 2 | 3- 1_ 7,_ | 6, 4 4 "
        "| 4- 4_ 4_ | 3. 2_ 1 | 7,. 1_ 2 | 1--",
    ),
    Tune(
        "god rest ye merry", Mode.MINOR, 4, 1,
        "6, | 6, 3 3 2 | 1 7, 6, 5, | 6, 7, 1 2 | 3-- 6, | 6, 3 3 2 | 1 7, 6, 5, | 6, 7, 1 2 | 3-- 3 | 4 2 3 4 "
        "| 5 6 3 2 | 1 6, 7, 1 | 2-- 1_ 2_ | 3- 4 3 | 3 2 1 7, | 6,--",
    ),
    Tune(
        "my bonnie", Mode.MAJOR, 3, 1,
        "5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, | 3 2 1 | 1 7, 1 | 2-- | 2- 5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, "
        "| 6, 2 1 | 7, 6, 7, | 1--",
    ),
    Tune(
        "kangding love song", Mode.MINOR, 4, 0,
        "3 5 6 6_ 5_ | 6. 3_ 2- | 3 5 6 6_ 5_ | 6. 3_ 3- | 3 5 6 6_ 5_ | 6. 3_ 2- | 5_ 3_ 2_ 3_ 2 1_ 2_ | 6,---",
    ),
)  # fmt: skip
