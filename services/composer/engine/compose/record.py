"""A score as JSON and back, exactly: what the composer stores so that a song can be rendered again or edited."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from services.composer.engine.music import BEND_RANGE_CENTS, Chord, Key, Mode, Note, Part, Score, Section, Sung

FORMAT = 1
"""Number of this layout; a change that older readers cannot follow raises it."""

_MOST_BYTES = 8_000_000


def score_to_json(score: Score) -> str:
    """Return the score as a JSON object; `score_from_json` gives back an equal score."""
    plain: dict[str, Any] = {"format": FORMAT, **asdict(score)}
    plain["melody"] = [_row(note) for note in score.melody]
    plain["parts"] = [_plain_part(part) for part in score.parts]
    for name in ("lines", "compound"):
        if not plain[name]:
            del plain[name]
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain_part(part: Part) -> dict[str, Any]:
    """Return a part as plain data; one that nobody sings says nothing of voice and words."""
    plain = {**asdict(part), "notes": [_row(note) for note in part.notes]}
    del plain["sung"], plain["voice"]
    if part.voice:
        words = [{**asdict(each), "notes": [_row(note) for note in each.notes]} for each in part.sung]
        plain |= {"voice": part.voice, "sung": words}
    return plain


def score_from_json(text: str | bytes) -> Score:
    """Return the score written by `score_to_json`; raises ValueError when `text` is not one."""
    if len(text) > _MOST_BYTES:
        raise ValueError(f"a score of {len(text)} bytes is too long")
    try:
        plain = json.loads(text, parse_constant=_refuse)
        if plain["format"] != FORMAT:
            raise ValueError(f"score format {plain['format']!r} is not {FORMAT}")
        return _score(plain)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as problem:
        raise ValueError(f"not a score: {problem}") from problem


def _score(plain: dict[str, Any]) -> Score:
    return Score(
        title=_text(plain["title"]),
        label=_text(plain["label"]),
        style=_text(plain["style"]),
        key=Key(_whole(plain["key"]["tonic"], 0, 11), Mode(plain["key"]["mode"])),
        tempo_bpm=_number(plain["tempo_bpm"], above=0.0),
        beats_per_bar=_whole(plain["beats_per_bar"], 1, 64),
        swing=_number(plain["swing"]),
        parts=tuple(_part(part) for part in plain["parts"]),
        chords=tuple(
            Chord(
                _number(chord["beat"]),
                _number(chord["beats"]),
                _whole(chord["root"], 0, 11),
                tuple(_whole(pitch_class, 0, 11) for pitch_class in chord["pitch_classes"]),
                _text(chord["name"]),
            )
            for chord in plain["chords"]
        ),
        sections=tuple(Section(_text(s["name"]), _number(s["beat"]), _number(s["beats"])) for s in plain["sections"]),
        melody=tuple(_note(row) for row in plain["melody"]),
        seed=_whole(plain["seed"]),
        total_beats=_number(plain["total_beats"]),
        compound=_flag(plain.get("compound", False)),
        lines=tuple(_text(line) for line in plain.get("lines", ())),
    )


def _part(plain: dict[str, Any]) -> Part:
    return Part(
        name=_text(plain["name"]),
        role=_text(plain["role"]),
        program=_whole(plain["program"], 0, 127),
        drums=_flag(plain["drums"]),
        notes=tuple(_note(row) for row in plain["notes"]),
        pan=_number(plain["pan"]),
        gain_db=_number(plain["gain_db"]),
        voice=_text(plain.get("voice", "")),
        sung=tuple(_sung(each) for each in plain.get("sung", ())),
    )


def _sung(plain: dict[str, Any]) -> Sung:
    if plain["language"] not in {"zh", "en"} or not isinstance(plain["breath"], bool):
        raise TypeError("not a sung syllable")
    return Sung(
        text=_text(plain["text"]),
        language=plain["language"],
        spoken=_text(plain["spoken"]),
        place=_whole(plain["place"], 0),
        count=_whole(plain["count"], 1),
        tone=_whole(plain["tone"], 0, 5),
        line=_whole(plain["line"], 0),
        index=_whole(plain["index"], 0),
        breath=plain["breath"],
        notes=tuple(_note(row) for row in plain["notes"]),
    )


def _row(note: Note) -> list[Any]:
    return [note.beat, note.beats, note.pitch, note.velocity, *([list(note.bend)] if note.bend else [])]


def _note(row: list[Any]) -> Note:
    beat, beats, pitch, velocity, *more = row
    bend = tuple(_whole(cents, -BEND_RANGE_CENTS, BEND_RANGE_CENTS) for cents in (more[0] if more else ()))
    return Note(_number(beat), _number(beats), _whole(pitch, 0, 127), _whole(velocity, 1, 127), bend)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: object, *, above: float = -math.inf) -> float:
    """Return a finite number greater than `above`, an int staying an int so that equal scores stay equal in JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
        raise TypeError(f"{value!r} is not a fitting number")
    return value


def _whole(value: object, low: int | None = None, high: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    if (low is not None and value < low) or (high is not None and value > high):
        raise TypeError(f"{value} is out of range")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
