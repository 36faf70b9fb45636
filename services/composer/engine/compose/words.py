"""A song from words alone: key, tempo, form and chords are chosen, the words are set to music, a band plays along."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from services.composer.engine.compose.form import ENERGY, Form, Passage, wanted_bars
from services.composer.engine.compose.frame import Frame
from services.composer.engine.compose.moods import find_mood
from services.composer.engine.compose.progression import on_degree
from services.composer.engine.compose.scales import diatonic, pentatonic
from services.composer.engine.compose.seeds import generator
from services.composer.engine.compose.song import LONGEST_S, SHORTEST_S
from services.composer.engine.compose.styles import choose_style, find_style
from services.composer.engine.compose.vocals import sung_score
from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.music import Chord, Key, Mode
from services.composer.engine.sing.melody import TONE_WEIGHT, Range
from services.composer.engine.sing.rhythm import MOST_A_LINE, line_grid
from services.composer.engine.sing.setting import Manner, Memory, Verse, set_section, verses_of
from services.composer.engine.sing.text import read_lyrics
from services.composer.engine.sing.voices import VOICES, Singing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.engine.music import Brief, Score, Sung
    from services.composer.engine.sing.text import SungLyrics

_PER_BAR = 4
_NUDGE = 0.055
_LOOPS = {
    ("verse", Mode.MAJOR): ((0, 7, 9, 5), (0, 9, 5, 7), (0, 4, 5, 7), (9, 5, 0, 7)),
    ("verse", Mode.MINOR): ((0, 8, 3, 10), (0, 5, 10, 3), (0, 10, 8, 7), (0, 3, 8, 7)),
    ("chorus", Mode.MAJOR): ((5, 7, 4, 9), (0, 7, 9, 5), (5, 7, 0, 9), (0, 4, 9, 5)),
    ("chorus", Mode.MINOR): ((8, 10, 0, 3), (0, 8, 3, 10), (3, 10, 5, 8), (5, 10, 3, 8)),
    ("bridge", Mode.MAJOR): ((9, 4, 5, 7), (2, 7, 4, 9), (5, 4, 2, 7)),
    ("bridge", Mode.MINOR): ((5, 10, 3, 8), (8, 10, 3, 7), (3, 10, 5, 7)),
}
"""Roots above the tonic, one for each bar."""
_ENOUGH = 0.85
"""Share of the wanted length below which words are sung again."""
_BREAK_BARS = 4
_SHORT_BARS = 20


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the form: its kind, its bars, and the words that are sung in it, if any."""

    kind: str
    bars: int
    verses: tuple[Verse, ...] = ()


def compose_words(
    lyrics: str, brief: Brief, label: Literal["A", "B"], singing: Singing, *, tone_weight: float = TONE_WEIGHT
) -> Score:
    """Return version `label` of a song that sings `lyrics`; the same arguments give the same score.

    It lasts about as long as the brief asks or, when the words need more, as long as they need up to 180 s; lines that
    do not fit even then are left out from the end, and words too few are sung again. `tone_weight` 0 forgets the tones
    of the words. Raises TakeRefusedError `no_words` when nothing of the lyrics can be sung.
    """
    words = read_lyrics(lyrics)
    if not words.sections:
        raise TakeRefusedError("no_words", "nothing in these words can be sung")
    tempo_bpm = _tempo(brief, label)
    blocks, tight = plan_blocks(words, tempo_bpm, min(LONGEST_S, max(SHORTEST_S, brief.duration_s)))
    frame = _frame(brief, label, tempo_bpm, blocks)
    sung = _sung(blocks, frame, singing, tight=tight, tone_weight=tone_weight)
    lines = [line.written for section in words.sections for line in section.lines]
    return sung_score(frame, sung, singing, title=brief.title, lines=tuple(lines))


def plan_blocks(words: SungLyrics, tempo_bpm: float, wanted_s: float) -> tuple[list[Block], bool]:
    """Return the form as blocks, intro and ending among them, and whether the words have to be sung tightly."""
    most = int(wanted_bars(LONGEST_S, tempo_bpm=tempo_bpm, beats_per_bar=_PER_BAR))
    wanted = wanted_bars(wanted_s, tempo_bpm=tempo_bpm, beats_per_bar=_PER_BAR)
    sections: list[tuple[str, list[Verse]]] = []
    line = 0
    for section in words.sections:
        sections.append((section.kind, verses_of(section.lines, line, MOST_A_LINE)))
        line += len(section.lines)
    around = 4 if wanted < _SHORT_BARS else 8
    tight = sum(_bars_of(len(verses), tight=False) for _, verses in sections) > most - around
    blocks: list[Block] = []
    room = most - around
    for kind, verses in sections:
        while verses and _bars_of(len(verses), tight=tight) > room:
            verses.pop()
        if not verses:
            break
        blocks.append(Block(kind, _bars_of(len(verses), tight=tight), tuple(verses)))
        room -= blocks[-1].bars
    again = next((blocks[at:] for at, block in enumerate(blocks) if block.kind == "chorus"), blocks)
    coming = list(again)
    while sum(block.bars for block in blocks) + around < _ENOUGH * wanted:
        extra = [Block("bridge", _BREAK_BARS), *coming]
        if sum(block.bars for block in blocks + extra) + around > min(most, 1.3 * wanted):
            break
        blocks += extra
    head = around // 2
    return [Block("intro", head), *blocks, Block("outro", around - head)], tight


def _bars_of(lines: int, *, tight: bool) -> int:
    """Return how many bars so many lines of music take; a section of two bars stays one, others come in fours."""
    bars = lines if tight else 2 * lines
    return bars if bars <= 2 else -(-bars // 4) * 4 if not tight else -(-bars // 2) * 2


def _tempo(brief: Brief, label: str) -> float:
    mood = find_mood(brief.mood)
    rng = generator(brief.seed, "", "words/tempo")
    style = find_style(brief.style) or choose_style(mood, 92.0, generator(brief.seed, "", "style"))
    low, high = style.tempo
    middle = (low + high) / 2 * (1.0 + 0.08 * mood.energy)
    tempo = min(high, max(low, middle + (high - low) * 0.2 * (2 * rng.random() - 1.0)))
    if label == "B":
        tempo *= 1.0 + (_NUDGE if tempo < (low + high) / 2 else -_NUDGE)
    return float(round(tempo, 2))


def _frame(brief: Brief, label: str, tempo_bpm: float, blocks: list[Block]) -> Frame:
    mood = find_mood(brief.mood)
    style = find_style(brief.style) or choose_style(mood, 92.0, generator(brief.seed, "", "style"))
    rng = generator(brief.seed, "", "words/key")
    dark = 0.3 - 0.5 * mood.energy
    key = Key(int(rng.integers(12)), Mode.MINOR if rng.random() < dark else Mode.MAJOR)
    palette = style.a if label == "A" else style.b
    form = _form(blocks)
    own = generator(brief.seed, label, "words/chords")
    loops = {
        kind: options[int(own.integers(len(options)))] for (kind, mode), options in _LOOPS.items() if mode is key.mode
    }
    frame = Frame(style, palette, mood, key, tempo_bpm, _PER_BAR, form, (), brief.seed, label)
    chords = [chord for passage in form.passages for chord in _chords(passage, loops, frame)]
    return replace(frame, chords=tuple(chords))


def _form(blocks: list[Block]) -> Form:
    kinds = [block.kind for block in blocks]
    climax = len(kinds) - 1 - kinds[::-1].index("chorus") if "chorus" in kinds else len(kinds) - 2
    passages = []
    bar = verses = 0
    for place, block in enumerate(blocks):
        energy = 1.0 if place == climax and block.kind == "chorus" else ENERGY[block.kind]
        energy += 0.1 if block.kind == "verse" and verses else 0.0
        verses += block.kind == "verse"
        passages.append(Passage(block.kind, bar, block.bars, energy, (), place == climax))
        bar += block.bars
    return Form(tuple(passages))


def _chords(passage: Passage, loops: Mapping[str, tuple[int, ...]], frame: Frame) -> list[Chord]:
    """Return one chord for each bar of a passage; verses and bridges end open, choruses and the ending at home."""
    loop = loops.get(passage.name, loops["verse"])
    roots = [loop[bar % len(loop)] for bar in range(passage.bars)]
    last = passage.bar + passage.bars >= frame.form.bars - 4 or passage.name == "chorus"
    if passage.name == "outro" or (last and passage.name != "intro"):
        roots[-1] = 0
        if passage.bars > 1:
            roots[-2] = 7 if frame.key.mode is Mode.MAJOR or passage.name == "outro" else 10
    elif passage.bars > 2 or passage.name == "intro":
        roots[-1] = 7
    return [
        on_degree(root, frame.key, frame.palette.colour).placed(
            frame.key, frame.beat_of(passage.bar + bar), float(frame.beats_per_bar)
        )
        for bar, root in enumerate(roots)
    ]


def _sung(
    blocks: list[Block], frame: Frame, singing: Singing, *, tight: bool, tone_weight: float
) -> list[tuple[Sung, ...]]:
    """Return what is sung in each passage of the form, in beats of the song; nothing where nobody sings."""
    grids = {kind: line_grid(_PER_BAR, tight=tight, rng=frame.rng(f"words/rhythm/{kind}")) for kind in ENERGY}
    scale = pentatonic(frame.key) if frame.style.name == "guofeng" else diatonic(frame.key)
    memories: dict[str, Memory] = {}
    known: dict[tuple[str, tuple[Verse, ...]], tuple[Sung, ...]] = {}
    found: list[tuple[Sung, ...]] = []
    final = max(place for place, block in enumerate(blocks) if block.verses)
    for place, (block, passage) in enumerate(zip(blocks, frame.form.passages, strict=True)):
        start = frame.beat_of(passage.bar)
        if not block.verses:
            found.append(())
            continue
        closed = block.kind == "chorus" or place == final
        name = (f"{block.kind} {closed}", block.verses)
        if name not in known:
            chords = [replace(c, beat=c.beat - start) for c in frame.chords if c.beat + c.beats > start]
            low, high, centre = _reach(block.kind, singing)
            manner = Manner(grids[block.kind], Range(low, high, centre, frame.key.tonic, scale), tone_weight)
            memory = memories.setdefault(block.kind, Memory())
            rng = frame.rng(f"words/{block.kind}")
            known[name] = set_section(block.verses, chords, manner, memory, rng=rng, closed=closed)
        found.append(tuple(_moved(each, start, frame) for each in known[name]))
    return found


def _reach(kind: str, singing: Singing) -> tuple[int, int, int]:
    """Return lowest, highest and middle pitch of a section in the voice of the tune: a chorus lies over a verse."""
    voice = VOICES[singing.tune]
    if kind == "chorus":
        return voice.low + 4, voice.high, voice.centre + 3
    if kind == "bridge":
        return voice.low + 2, voice.high - 1, voice.centre + 1
    return voice.low, voice.high - 4, voice.centre - 1


def _moved(sung: Sung, start: float, frame: Frame) -> Sung:
    """Return the syllable at its beat of the song, as loud as its section asks."""
    notes = []
    for note in sung.notes:
        accent = 4 if note.beat % frame.beats_per_bar < 1e-6 else 0
        velocity = round(78 + 18 * frame.energy_at(start + note.beat) + accent)
        notes.append(replace(note, beat=start + note.beat, velocity=min(120, velocity)))
    return replace(sung, notes=tuple(notes))
