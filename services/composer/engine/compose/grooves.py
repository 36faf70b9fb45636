"""Rhythm patterns as text: sixteenth-note grids for drums, bass and comping, in 4/4 and in 3/4.

Drum rows give a velocity digit per sixteenth (`.` is silence). Bass rows: `R` root, `5` fifth, `8` octave,
`A` step into the next root, `W` walking tone, `-` hold, `.` rest. Comping rows: `C` whole chord, `c` the same
softer, `d`/`u` strum down and up, `1`-`6` single chord tones from below, `P` root and fifth, `-` hold, `.` rest.
Blanks only separate beats. Other metres are put together from the first beats of these.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS_PER_BEAT = 4

DRUM_KEYS = {
    "K": 36, "S": 38, "R": 37, "L": 39, "H": 42, "P": 44, "O": 46, "D": 51, "C": 49,
    "F": 41, "T": 45, "M": 47, "Y": 50, "G": 54, "B": 70, "W": 76, "V": 77, "Q": 63, "Z": 64,
}  # fmt: skip
"""General MIDI percussion keys by the letter used in the grids."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One bar of a pattern in 4/4 (16 steps) and in 3/4 (12 steps), by row name."""

    four: dict[str, str]
    three: dict[str, str]


def _rows(text: str, steps: int) -> dict[str, str]:
    rows = {}
    for row in text.split("|"):
        name, cells = row.split(":")
        cells = cells.replace(" ", "")
        if len(cells) != steps:
            message = f"row {row!r} has {len(cells)} steps, not {steps}"
            raise ValueError(message)
        rows[name.strip()] = cells
    return rows


def _drums(four: str, three: str) -> Grid:
    return Grid(_rows(four, 16), _rows(three, 12))


def _line(four: str, three: str) -> Grid:
    return Grid(_rows("line:" + four, 16), _rows("line:" + three, 12))


def bar_of(grid: Grid, beats_per_bar: int) -> dict[str, str]:
    """Return the rows of one bar of the metre, joined from groups of four, three and two beats."""
    out = dict.fromkeys(grid.four | grid.three, "")
    for group in groups(beats_per_bar):
        source = grid.three if group == 3 else grid.four
        for name in out:
            out[name] += source.get(name, "." * 16)[: group * STEPS_PER_BEAT]
    return out


def groups(beats_per_bar: int) -> tuple[int, ...]:
    """Return the metre as groups of beats: 5 is 3+2, 6 is 3+3, 7 is 4+3."""
    known = {1: (1,), 2: (2,), 3: (3,), 4: (4,), 5: (3, 2), 6: (3, 3), 7: (4, 3)}
    rest = beats_per_bar % 4
    return known.get(beats_per_bar) or (4,) * (beats_per_bar // 4) + ((rest,) if rest else ())


DRUMS: dict[str, tuple[Grid, Grid]] = {
    "pop": (
        _drums(
            "K:8... .... 7.5. ....|R:.... 6... .... 6...|H:5.3. 5.3. 5.3. 5.3.",
            "K:8... .... ....|R:.... 5... 5...|H:5.3. 4.3. 4.3.",
        ),
        _drums(
            "K:9... ..5. 8.6. ....|S:.... 8..2 .... 8..1|H:6.4. 6.4. 6.4. 6.4.",
            "K:9... .... ..6.|S:.... 7... 7...|H:6.4. 5.4. 5.4.",
        ),
    ),
    "folk": (
        _drums("K:6... .... 5... ....|B:4.3. 5.3. 4.3. 5.3.", "K:6... .... ....|B:4.3. 5.3. 5.3."),
        _drums(
            "K:7... ..4. 7... ....|R:.... 6... .... 6...|B:5.3. 6.3. 5.3. 6.3.|G:.... 4... .... 4...",
            "K:7... .... ....|R:.... 5... 5...|B:5.3. 5.3. 5.3.",
        ),
    ),
    "rock": (
        _drums(
            "K:9... .... 8.7. ....|S:.... 8... .... 8...|H:7.5. 7.5. 7.5. 7.5.",
            "K:9... .... ....|S:.... 7... 7...|H:7.5. 6.5. 6.5.",
        ),
        _drums(
            "K:9.7. ..7. 9.7. ....|S:.... 9... .... 9..2|O:7... 7... 7... 7...",
            "K:9... ..6. ..7.|S:.... 8... 8...|O:7... 6... 6...",
        ),
    ),
    "electronic": (
        _drums("K:9... 9... 9... 9...|H:..5. ..5. ..5. ..5.", "K:9... 8... 8...|H:..5. ..5. ..5."),
        _drums(
            "K:9... 9... 9... 9...|L:.... 8... .... 8...|O:..6. ..6. ..6. ..6.|H:4.32 4.32 4.32 4.32",
            "K:9... 8... 8...|L:.... 7... 7...|O:..6. ..6. ..6.|H:4.32 4.32 4.32",
        ),
    ),
    "guofeng": (
        _drums("F:6... .... .... ....|W:.... 3... .... 3.2.", "F:6... .... ....|W:.... 3... 3..."),
        _drums(
            "F:8... ..4. 6... ....|T:.... .... ..4. 5...|W:.... 4... ...2 4...|K:6... .... 5... ....",
            "F:8... .... 4...|W:.... 4... ..2.|K:6... .... ....",
        ),
    ),
    "jazz": (
        _drums(
            "D:6... 7.4. 6... 7.4.|P:.... 5... .... 5...|K:3... .... 2... ....",
            "D:6... 6.4. 6.4.|P:.... 4... 4...|K:4... .... ....",
        ),
        _drums(
            "D:7... 8.5. 7... 8.5.|P:.... 6... .... 6...|K:4... ..3. 3... ....|R:.... .... ..3. ..4.",
            "D:7... 7.5. 7.5.|P:.... 5... 5...|K:5... .... ..3.",
        ),
    ),
    "lofi": (
        _drums(
            "K:8... .... ..6. ....|R:.... 6... .... 6...|H:4.3. 4.3. 4.3. 4.3.",
            "K:8... .... ....|R:.... 5... 5...|H:4.3. 4.3. 4.3.",
        ),
        _drums(
            "K:8... ...4 ..7. ....|S:.... 6... .... 6.1.|H:5.3. 5.32 5.3. 5.3.",
            "K:8... ...4 ....|S:.... 6... 5...|H:5.3. 5.3. 5.3.",
        ),
    ),
    "ballad": (
        _drums("K:6... .... 5... ....|H:4... 3... 4... 3...", "K:6... .... ....|H:4... 3... 3..."),
        _drums(
            "K:8... .... 6.4. ....|R:.... 7... .... 7...|H:5.3. 5.3. 5.3. 5.3.",
            "K:8... .... ....|R:.... 5... 6...|H:5.3. 4.3. 4.3.",
        ),
    ),
    "bossa": (
        _drums(
            "K:6... ..4. 6... ..4.|R:5..5 ..5. ..5. .5..|H:3.3. 3.3. 3.3. 3.3.",
            "K:6... .... ..4.|R:5... ..5. ..5.|H:3.3. 3.3. 3.3.",
        ),
        _drums(
            "K:7... ..5. 7... ..5.|R:6..6 ..6. ..6. .6..|H:4.34 4.34 4.34 4.34|B:3.3. 3.3. 3.3. 3.3.",
            "K:7... .... ..5.|R:6... ..6. ..6.|H:4.34 4.34 4.34",
        ),
    ),
    "cinematic": (
        _drums("F:8... .... .... ....|T:.... .... .... 3.4.", "F:8... .... ....|T:.... .... 3.4."),
        _drums(
            "F:9... ..5. 8... 5.5.|K:9... .... 8... ....|T:..4. 6... ..4. 6...|S:.... 5... .... 5.22",
            "F:9... ..5. 5...|K:9... .... ....|T:.... 5... 6...",
        ),
    ),
    "funk": (
        _drums(
            "K:8... ..6. ..7. .6..|S:.... 8..2 .2.. 8..2|H:6.42 6.42 6.42 6.42",
            "K:8... ..6. ..6.|S:.... 8..2 .2..|H:6.42 6.42 6.42",
        ),
        _drums(
            "K:9..7 ..6. .7.8 ..6.|S:.2.. 9..2 .3.. 9.23|H:7.53 7.5. 7.53 7.53|O:.... ..6. .... ....",
            "K:9..7 ..6. .7..|S:.2.. 9..2 .3.2|H:7.53 7.5. 7.53",
        ),
    ),
    "children": (
        _drums("K:6... .... 5... ....|W:.... 4... .... 4...", "K:6... .... ....|W:.... 4... 4..."),
        _drums(
            "K:7... .... 7... ....|G:..4. 6... ..4. 6...|W:5... ..4. 5... 4.4.",
            "K:7... .... ....|G:.... 6... 6...|W:5... ..4. ..4.",
        ),
    ),
}
"""Light and full drums of each style: the light one carries verses, the full one choruses."""

BASS: dict[str, Grid] = {
    "long": _line("R--- ---- R--- ----", "R--- ---- ----"),
    "root5": _line("R--- --.. 5--- --..", "R--- ---. 5--."),
    "pop": _line("R--- --R. R-R. --A-", "R--- --R. 5-A-"),
    "eighths": _line("R-R- R-R- R-R- R-A-", "R-R- R-R- R-A-"),
    "octaves": _line("..R. ..8. ..R. ..8.", "..R. ..8. ..8."),
    "drive": _line("R.R8 R.R8 R.R8 R.R8", "R.R8 R.R8 R.R8"),
    "walking": _line("W--- W--- W--- A---", "W--- W--- A---"),
    "lazy": _line("R--- ---- --R- A-..", "R--- ---- --A-"),
    "bossa": _line("R--- --5- 5--- --R-", "R--- --5- 5---"),
    "half": _line("R--- ---- ---- --5-", "R--- ---- --5-"),
    "slap": _line("R.R. ..8. .R.R ..A.", "R.R. ..8. .R.A"),
    "slap_busy": _line("R..R ..8. R..5 .8.A", "R..R ..8. .5.A"),
    "oompah": _line("R-.. .... 5-.. ....", "R-.. .... ...."),
}
"""Bass lines by name."""

COMPS: dict[str, Grid] = {
    "block": _line("C--- ---- c--- ----", "C--- ---- c---"),
    "piano8": _line("C-c- c-c- C-c- c-c-", "C-c- c-c- c-c-"),
    "broken8": _line("1-2- 3-2- 4-3- 2-3-", "1-2- 3-4- 3-2-"),
    "ballad": _line("1-3- 2-3- 4-3- 2-3-", "1-3- 4-3- 2-3-"),
    "arp16": _line("1234 3212 3454 3212", "1234 5432 3432"),
    "arp16up": _line("1.3. 2.4. 1.3. 2.5.", "1.3. 2.4. 3.5."),
    "fingers": _line("1-3- 2-4- 1-3- 2-3-", "1-3- 4-3- 4-3-"),
    "strum": _line("d--- d-u- --u- d-u-", "d--- d-u- d-u-"),
    "strum_soft": _line("d--- --u- --u- d---", "d--- --u- d---"),
    "power": _line("P-P- P-P- P-P- P-P-", "P-P- P-P- P-P-"),
    "power_long": _line("P--- ---- P--- --P-", "P--- ---- P---"),
    "charleston": _line("C-.. ..C- .... ....", "C-.. ..C- ...."),
    "jazz_push": _line(".... ..C- --.. ..c-", ".... C-.. ..c-"),
    "stabs": _line("..C. ..C. ..C. ..C.", "..C. ..C. ..C."),
    "zheng": _line("1-2- 3-4- 5-4- 3---", "1-2- 3-4- 5---"),
    "zheng_full": _line("1-34 5-4- 3-45 6-5-", "1-34 5-4- 3-5-"),
    "pluck": _line("1.3. 4.3. 2.4. 3.4.", "1.3. 4.3. 4.3."),
    "lofi": _line("C--- --.. ..c- ----", "C--- --.. ..c-"),
    "bossa": _line("C-.c ..C. ..C- .c..", "C-.. c-C. ..c."),
    "swell": _line("C--- ---- ---- ----", "C--- ---- ----"),
    "ostinato": _line("1-1- 3-1- 4-1- 3-1-", "1-1- 3-1- 3-1-"),
    "scratch": _line("...c .... ..C. .c..", "...c .... ..C."),
    "chank": _line("..Cc ..C. .cC. ..Cc", "..Cc ..C. .cC."),
    "clav": _line("P.3. .4P. 3..4 P.3.", "P.3. .4P. 3..4"),
    "oompah": _line(".... C-.. .... C-..", ".... C-.. C-.."),
    "oompah_full": _line("..c. C-c. ..c. C-c.", "..c. C-c. C-c."),
}
"""Comping patterns by name."""
