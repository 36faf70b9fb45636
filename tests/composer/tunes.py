"""Public-domain tunes typed as numbered notation, so that what is heard can be compared with what was sung.

`TUNING_TUNES` are looked at while the analyser's constants are set. Those in `frozen_tunes` gate, and no constant may
be changed because of one of them. Typed from memory, some with a simplified turn; what counts is that the singer
sings exactly what stands here. Last looked at: this group while the analyser's ears for rooms, triplets and 6/8 were
made, 29 November 2026.

Notation after the Chinese numbered one: digits are degrees of the major scale (minor tunes stand on 6), 0 rests,
`'` an octave up, `,` down, `#` and `b` before the digit, `_` an eighth, `=` a sixteenth, `t` an eighth of a triplet,
`.` half as long again, each `-` one quarter longer; bare is a quarter. Bars are for the reader and for the test that
counts them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.composer.engine.music import Key, Mode

Feel = Literal["straight", "swing", "six"]
"""Eighths as written, eighths sung long and short, or six eighths to the bar, beaten in two."""

_DEGREES = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11}
_SHARES = {"": 1.0, "_": 0.5, "=": 0.25, "t": 1.0 / 3.0}
_TOKEN = re.compile(r"([#b]?)([0-7])([',]*)([_=t]?)(\.?)(-*)$")


@dataclass(frozen=True, slots=True)
class Tune:
    """A tune in C major or A minor around middle C, with its metre and the beats before the first bar line."""

    name: str
    mode: Mode
    beats_per_bar: int
    pickup: float
    notation: str
    feel: Feel = "straight"

    @property
    def quarters_per_beat(self) -> float:
        """How many of the notation's quarters make a beat: one, or one and a half in 6/8."""
        return 1.5 if self.feel == "six" else 1.0

    def notes(self, transpose: int = 0) -> tuple[tuple[float, int | None], ...]:
        """Return the tune as (beats, MIDI pitch or None for a rest)."""
        return tuple(self._read(token, transpose) for token in self.notation.split() if token != "|")

    def bars(self) -> tuple[float, ...]:
        """Return the beats between the bar lines, the pickup first if there is one."""
        return tuple(sum(self._read(token, 0)[0] for token in bar.split()) for bar in self.notation.split("|"))

    def key(self, transpose: int = 0) -> Key:
        """Return the key the transposed tune is in."""
        return Key(((9 if self.mode is Mode.MINOR else 0) + transpose) % 12, self.mode)

    def _read(self, token: str, transpose: int) -> tuple[float, int | None]:
        match = _TOKEN.match(token)
        if match is None:
            message = f"unreadable note {token!r}"
            raise ValueError(message)
        sharp, digit, octave, short, dot, longer = match.groups()
        beats = (_SHARES[short] * (1.5 if dot else 1.0) + len(longer)) / self.quarters_per_beat
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
    Tune(
        "row row row your boat", Mode.MAJOR, 2, 0, feel="six", notation=
        "1. 1. | 1 2_ 3. | 3 2_ 3 4_ | 5-- | 1'_ 1'_ 1'_ 5_ 5_ 5_ | 3_ 3_ 3_ 1_ 1_ 1_ | 5 4_ 3 2_ | 1--",
    ),
    Tune(
        "pop goes the weasel", Mode.MAJOR, 2, 1 / 3, feel="six", notation=
        "5,_ | 1 1_ 2 2_ | 3_ 5_ 3_ 1 5,_ | 1 1_ 2 2_ | 3. 1 5,_ | 1 1_ 2 2_ | 3_ 5_ 3_ 1. | 6. 2 4_ "
        "| 3. 1",
    ),
    Tune(
        "when johnny comes marching home", Mode.MINOR, 2, 1 / 3, feel="six", notation=
        "3_ | 6 6_ 6 7_ | 1' 7_ 1' 6_ | 5. 3. | 5 0_ 0 3_ | 6 6_ 6 7_ | 1' 7_ 1' 2'_ | 3'. 1'. "
        "| 3' 0_ 0 1'_ | 3' 3'_ 3' 2'_ | 1' 1'_ 1' 7_ | 6 7_ 1' 6_ | 7 1'_ 7 5_ | 6. 6",
    ),
    Tune(
        "feng yang hua gu", Mode.MAJOR, 2, 0, notation=
        "5 5_ 3_ | 5 1' | 6_ 1'_ 6_ 5_ | 3- | 5_ 6_ 5_ 3_ | 2 2_ 3_ | 5_ 3_ 2_ 1_ | 2- | 3 3_ 5_ "
        "| 2_ 3_ 1 | 6,_ 1_ 2_ 3_ | 1-",
    ),
    Tune(
        "zi zhu diao", Mode.MAJOR, 2, 0, notation=
        "3_ 5_ 6_ 1'_ | 5_ 6_ 5 | 3_ 5_ 6_ 1'_ | 5- | 1'_ 6_ 5_ 6_ | 3_ 5_ 2 | 3_ 5_ 3_ 2_ | 1 6,_ 2_ "
        "| 1-",
    ),
    Tune(
        "arirang", Mode.MAJOR, 3, 0, notation=
        "5,. 6,_ 5,_ 6,_ | 1. 2_ 1_ 2_ | 3 2_ 3_ 1_ 6,_ | 5,. 6,_ 5,_ 6,_ | 1. 2_ 1_ 2_ "
        "| 3_ 2_ 1_ 6,_ 5,_ 6,_ | 1. 2_ 1 | 1--",
    ),
    Tune(
        "yankee doodle", Mode.MAJOR, 2, 0, notation=
        "1_ 1_ 2_ 3_ | 1_ 3_ 2_ 5,_ | 1_ 1_ 2_ 3_ | 1 7,_ 5,_ | 1_ 1_ 2_ 3_ | 4_ 3_ 2_ 1_ "
        "| 7,_ 5,_ 6,_ 7,_ | 1 1",
    ),
    Tune(
        "swing low", Mode.MAJOR, 4, 0, feel="swing", notation=
        "3- 1- | 3_ 1. 1_ 1_ 6,_ 5,_ | 1. 1_ 1_ 1_ 3_ 5_ | 5--- | 6- 5- | 3_ 1. 1_ 1_ 6,_ 5,_ "
        "| 1_ 1_ 1_ 1_ 3 2 | 1---",
    ),
    Tune(
        "st james infirmary", Mode.MINOR, 4, 1, feel="swing", notation=
        "6,_ 1_ | 3. 3_ 3_ 2_ 1 | 3-- 6,_ 1_ | 3_ 3_ 4_ 3_ 2_ 1_ 6, | 7,-- 6,_ 1_ | 3. 3_ 3_ 2_ 1 "
        "| 3_ 4_ 3_ 1_ 6, 6,_ 1_ | 2_ 2. 1_ 7,. | 6,--",
    ),
    Tune(
        "toreador", Mode.MAJOR, 4, 0, notation=
        "5 6_. 5= 3 3 | 3_. 2= 3_. 4= 3- | 4 2_. 5= 3- | 1 6,_. 2= 5,- | 5 6_. 5= 3 3 | 3_. 2= 3_. 4= 3- "
        "| 2 5 1' 7 | 6_. 5= 6_. 4= 3-",
    ),
    Tune(
        "wedding march", Mode.MAJOR, 4, 1, notation=
        "1't 1't 1't | 1'- 7 #4 | 6- 5 4 | 3 5t 4t 3t 2- | 1-- 1't 1't 1't | 1'- 7 #4 | 6- 5 4 "
        "| 3t 2t 1t 4 2- | 1--",
    ),
    Tune(
        "after aida", Mode.MAJOR, 4, 0, notation=
        "1- 1t 2t 3t 5 | 5. 3_ 1- | 4- 4t 3t 2t 6 | 5--- | 6 6t 5t 4t 5 3 | 4 4t 3t 2t 3- "
        "| 1- 1t 2t 3t 5 | 3 2 1-",
    ),
    Tune(
        "o tannenbaum", Mode.MAJOR, 3, 1, notation=
        "5, | 1_. 1= 1 2 | 3_. 3= 3. 3_ | 2_ 3_ 4 7, | 2 1 0_ 5_ | 5_ 3_ 6. 5_ | 5_ 4_ 4. 4_ "
        "| 4_ 2_ 5. 4_ | 4_ 3_ 3 5, | 1_. 1= 1 2 | 3_. 3= 3. 3_ | 2_ 3_ 4 7, | 2 1",
    ),
    Tune(
        "wayfaring stranger", Mode.MINOR, 3, 1, notation=
        "6, | 6,. 3_ 3 | 2. 1_ 2_ 1_ | 6,-- | 5,- 6, | 6,_ 1_ 2. 3_ | 2_ 1_ 6,- | 6,-- | 0 0 6, "
        "| 6,. 3_ 3 | 2. 1_ 2_ 1_ | 6,-- | 5,- 3, | 5,_ 6,_ 1. 2_ | 1_ 6,_ 6,- | 6,-",
    ),
    Tune(
        "drunken sailor", Mode.MINOR, 2, 0, notation=
        "3 3_ 3_ | 3 3_ 3_ | 3 6, | 1 3 | 2 2_ 2_ | 2 2_ 2_ | 2 5, | 7, 2 | 3 3_ 3_ | 3 3_ 3_ | 3 #4 "
        "| 5 6 | 5 3 | 2 7, | 6, 6,",
    ),
)  # fmt: skip
