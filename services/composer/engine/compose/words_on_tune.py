"""A song from a tune and words: the words are sung to the singer's own tune, verse by verse, chorus by chorus."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, groupby
from typing import TYPE_CHECKING, Literal

from services.composer.engine.compose.form import most_tune_bars, plan_form, wanted_bars
from services.composer.engine.compose.frame import Frame
from services.composer.engine.compose.lead import sing
from services.composer.engine.compose.song import LONGEST_S, SHORTEST_S, chords_of, compose, feel_of, in_time
from services.composer.engine.compose.tune import Tune, cut_to, read_tune, transposed
from services.composer.engine.compose.vocals import Stated, sung_score
from services.composer.engine.sing.on_tune import fit_words, room_on
from services.composer.engine.sing.rhythm import MOST_A_LINE
from services.composer.engine.sing.setting import Verse, verses_of
from services.composer.engine.sing.text import read_lyrics
from services.composer.engine.sing.voices import VOICES, Singing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.composer.engine.compose.form import Form
    from services.composer.engine.music import Analysis, Brief, Note, Score, Sung
    from services.composer.engine.sing.text import SungLyrics

_LONGER_S = 15.0
_TOUCH = 1e-6
_ENOUGH = 0.5
"""Syllables a note from which on a statement ends with the last line of its words, and does not begin them again."""
_FULL = 1.25
"""Syllables a note up to which another line is taken into a statement of the tune."""


def compose_with_words(
    analysis: Analysis, lyrics: str, brief: Brief, label: Literal["A", "B"], *, singing: Singing
) -> Score:
    """Return version `label` of a song that sings `lyrics` to the tune of `analysis`.

    The tune is stated exactly in verses and choruses; words too few are sung again, and for words that need more
    statements the song grows up to 180 s; what is left even then is not sung. Without a voice or without words that can
    be sung it is the song that `compose` makes. Raises ValueError when the analysis has no melody.
    """
    words = read_lyrics(lyrics)
    if not words.sections or not singing.cast:
        return compose(analysis, brief, label)
    feel = feel_of(analysis, brief, label)
    per_bar = analysis.beats_per_bar
    palette = feel.style.a if label == "A" else feel.style.b
    duration = min(LONGEST_S, max(SHORTEST_S, brief.duration_s))
    while True:
        bars = wanted_bars(duration, tempo_bpm=feel.tempo_bpm, beats_per_bar=per_bar)
        tune = in_register(cut_to(read_tune(analysis.melody, per_bar), most_tune_bars(bars)), singing)
        form = plan_form(tune.bars, bars, vary_first_verse=False, exact_verses=True)
        shares, all_sung = share_words(words, tune, form)
        if all_sung or duration >= LONGEST_S:
            break
        duration = min(LONGEST_S, duration + _LONGER_S)
    if label == "B":
        feel = in_time(feel, form.bars * per_bar, duration)
    frame = Frame(
        feel.style, palette, feel.mood, analysis.key, feel.tempo_bpm, per_bar, form,
        chords_of(tune, form, analysis.key, colour=palette.colour, seed=brief.seed, label=label), brief.seed, label,
    )  # fmt: skip
    pitches = [note.pitch for note in tune.notes]
    stated = sing(tune, frame, low=min(pitches) - 2, high=max(pitches) + 4)
    lines = tuple(line.written for section in words.sections for line in section.lines)
    sung, own = _sung(frame, shares, stated.lead, tune.pickup)
    own = replace(own, swing=analysis.swing, compound=analysis.compound)
    return sung_score(frame, sung, singing, title=brief.title, lines=lines, tune=own)


def in_register(tune: Tune, singing: Singing) -> Tune:
    """Return the tune moved by octaves to where the voice of the tune has most of it in reach."""
    voice = VOICES[singing.tune]
    length = sum(note.beats for note in tune.notes)
    middle = sum(note.pitch * note.beats for note in tune.notes) / length

    def out(shift: int) -> float:
        beyond = sum(max(0, voice.low - n.pitch - shift, n.pitch + shift - voice.high) for n in tune.notes)
        return 3.0 * beyond / len(tune.notes) + abs(middle + shift - voice.centre - 1.5)

    return transposed(tune, min(range(-60, 61, 12), key=out))


def share_words(words: SungLyrics, tune: Tune, form: Form) -> tuple[list[list[list[Verse]]], bool]:
    """Return the lines of each statement of each passage, and whether all lines of the words are among them.

    Choruses of the form get the words of the choruses, all other statements those of the other sections in order;
    where one kind is missing the other serves for both.
    """
    verses: list[Verse] = []
    choruses: list[list[Verse]] = []
    line = 0
    for section in words.sections:
        lines = verses_of(section.lines, line, MOST_A_LINE)
        line += len(section.lines)
        if section.kind == "chorus":
            choruses.append(lines)
        else:
            verses += lines
    told = _Told(verses or choruses[0])
    refrains = [_Told(each) for each in choruses]
    shares: list[list[list[Verse]]] = []
    turn = 0
    for passage in form.passages:
        source = told
        if passage.name == "chorus" and refrains:
            source = refrains[min(turn, len(refrains) - 1)]
            if source.done:
                source.begin()
            turn += 1
        shares.append([source.take(tune.head(statement.bars).notes) for statement in passage.statements])
    return shares, told.done and all(each.done for each in refrains[:turn])


class _Told:
    """Lines of words that are sung in order, and from the first again after the last."""

    def __init__(self, verses: Sequence[Verse]) -> None:
        self._lines = [list(parts) for _, parts in groupby(verses, key=lambda verse: verse.line)]
        self._next: Iterator[int] = cycle(range(len(self._lines)))
        self._seen: set[int] = set()

    @property
    def done(self) -> bool:
        return len(self._seen) == len(self._lines)

    def begin(self) -> None:
        self._next = cycle(range(len(self._lines)))

    def take(self, notes: Sequence[Note]) -> list[Verse]:
        """Return the next lines, as many as the notes hold at about a syllable a note."""
        taken: list[Verse] = []
        room, most = len(notes), room_on(notes)
        count = 0
        for _ in range(len(self._lines)):
            place = next(self._next)
            taken += self._lines[place]
            self._seen.add(place)
            count += _count(self._lines[place])
            following = _count(self._lines[(place + 1) % len(self._lines)])
            fuller = abs(count + following - room) < abs(count - room)
            ended = place + 1 == len(self._lines) and count > _ENOUGH * room
            if not fuller or count + following > min(most, _FULL * room) or ended:
                break
        return taken


def _count(line: Sequence[Verse]) -> int:
    return sum(len(part.syllables) for part in line)


def _sung(
    frame: Frame, shares: Sequence[Sequence[list[Verse]]], lead: Sequence[Note], pickup: float
) -> tuple[list[tuple[Sung, ...]], Stated]:
    """Return what is sung in each passage, each statement's lines on its notes, and the notes as they were and are."""
    found: list[tuple[Sung, ...]] = []
    stated: list[Note] = []
    rest = list(lead)
    for passage, lines in zip(frame.form.passages, shares, strict=True):
        sung: list[Sung] = []
        for statement, verses in zip(passage.statements, lines, strict=True):
            start = frame.beat_of(statement.bar) - pickup - _TOUCH
            end = start + statement.bars * frame.beats_per_bar
            notes = [note for note in rest if start <= note.beat < end]
            rest = [note for note in rest if not start <= note.beat < end]
            sung += fit_words(notes, verses) if notes else ()
            stated += notes
        found.append(tuple(sung))
    return found, Stated(tuple(stated), tuple(rest))
