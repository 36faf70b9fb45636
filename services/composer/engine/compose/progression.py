"""The chords of the whole song: under every statement those that fit the tune, elsewhere a loop that leads on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.composer.engine.compose.chords import Candidate, vocabulary
from services.composer.engine.compose.harmony import chord_at, harmonise
from services.composer.engine.music import Chord, Key, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.compose.form import Form, Passage
    from services.composer.engine.compose.tune import Tune

_LOOPS = {
    ("intro", Mode.MAJOR): ((0, 9, 5, 7), (0, 5, 0, 7), (0, 4, 5, 7), (5, 7, 9, 7)),
    ("intro", Mode.MINOR): ((0, 8, 3, 7), (0, 5, 0, 7), (0, 8, 10, 7), (0, 10, 8, 7)),
    ("bridge", Mode.MAJOR): ((9, 4, 5, 7), (5, 7, 4, 9), (2, 7, 4, 9), (9, 5, 2, 7)),
    ("bridge", Mode.MINOR): ((8, 10, 3, 0), (5, 10, 3, 8), (3, 10, 5, 7), (8, 5, 10, 7)),
    ("outro", Mode.MAJOR): ((0, 9, 5, 0), (0, 2, 5, 0)),
    ("outro", Mode.MINOR): ((0, 8, 5, 0), (0, 3, 5, 0)),
}
"""Roots above the tonic, one per bar; an intro and a bridge end on the dominant, an outro on the tonic."""


def song_chords(
    tune: Tune, form: Form, key: Key, *, colour: str, rng: np.random.Generator, avoid: Sequence[Chord] = ()
) -> tuple[Chord, ...]:
    """Return the chords of every bar of the form, in order, without gaps.

    `avoid` are the chords of one statement of the other version, which this one should differ from.
    """
    per_bar = tune.beats_per_bar
    chords: list[Chord] = []
    for passage in form.passages:
        if passage.statements:
            for statement in passage.statements:
                found = statement_chords(
                    tune.head(statement.bars), key, colour=colour, closed=statement.closed, avoid=avoid
                )
                chords.extend(_moved(found, float(statement.bar * per_bar)))
        else:
            loop = _LOOPS[passage.name, key.mode]
            chords.extend(_loop(passage, loop[int(rng.integers(len(loop)))], key, colour=colour, per_bar=per_bar))
    return tuple(chords)


def statement_chords(
    tune: Tune, key: Key, *, colour: str, closed: bool, avoid: Sequence[Chord] = ()
) -> tuple[Chord, ...]:
    """Return the chords under one statement, from its own beat 0."""
    return harmonise(
        tune.notes,
        key,
        beats=tune.beats,
        beats_per_bar=tune.beats_per_bar,
        colour=colour,
        ending="closed" if closed else "open",
        avoid=avoid,
    )


def roots_differ(one: Sequence[Chord], other: Sequence[Chord]) -> float:
    """Return the share of the beats of `one` whose chord name is another in `other`."""
    total = sum(chord.beats for chord in one)
    return sum(chord.beats for chord in one if chord_at(other, chord.beat).name != chord.name) / total


def _moved(chords: Sequence[Chord], beat: float) -> list[Chord]:
    return [replace(chord, beat=chord.beat + beat) for chord in chords]


def _loop(passage: Passage, loop: Sequence[int], key: Key, *, colour: str, per_bar: int) -> list[Chord]:
    """Return one chord per bar: the loop from its start, but always ending with its own last chord."""
    roots = [loop[index % len(loop)] for index in range(passage.bars)]
    roots[-1] = loop[-1]
    if passage.name == "outro" and passage.bars >= 3:
        roots[-2] = loop[-2]
    beat = float(passage.bar * per_bar)
    return [
        on_degree(root, key, colour).placed(key, beat + index * per_bar, float(per_bar))
        for index, root in enumerate(roots)
    ]


def on_degree(degree: int, key: Key, colour: str) -> Candidate:
    """Return the vocabulary's cheapest chord on a degree that is not a secondary dominant, else the plain one."""
    for table in (vocabulary(colour, key.mode), vocabulary("plain", key.mode)):
        found = [chord for chord in table if chord.degree == degree and chord.function != "X"]
        if found:
            return min(found, key=lambda chord: chord.price)
    message = f"no chord on degree {degree}"
    raise ValueError(message)
