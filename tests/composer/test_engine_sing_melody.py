"""Tunes for words: tones respected, verses alike, registers kept, a song as long as it may be; words on one's tune."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.engine.compose.midi import score_to_midi
from services.composer.engine.compose.record import score_from_json, score_to_json
from services.composer.engine.compose.words import compose_words
from services.composer.engine.compose.words_on_tune import compose_with_words
from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.music import Brief, Note, Score
from services.composer.engine.sing.on_tune import fit_words
from services.composer.engine.sing.rhythm import MOST_A_LINE, in_lines
from services.composer.engine.sing.setting import Verse
from services.composer.engine.sing.text import LONGEST_LYRICS, read_lyrics
from services.composer.engine.sing.timings import sung_lines
from services.composer.engine.sing.tones import shares, tone_pairs
from services.composer.engine.sing.voices import VOICES, find_singing
from tests.composer.hand_made import TUNES, analysis_of, brief
from tests.score.voice import shuffled_shares
from tests.score.words import FROZEN_EN, FROZEN_ZH, TUNED_ON


def song(words: str, voice: str = "female", *, seed: int = 1, seconds: float = 30.0, style: str = "pop") -> Score:
    """Return version A of a song of these words."""
    return compose_words(words, Brief("Song", style, "", seconds, seed), "A", find_singing(voice, seed))


def seconds(score: Score) -> float:
    """Return how long a song lasts without its tail."""
    return score.total_beats * 60.0 / score.tempo_bpm


def respects_tones(scores: list[Score]) -> bool:
    """Say whether tunes hardly ever go against the tones of their words, and with them far more than by chance."""
    contrary, parallel = shares([pair for score in scores for pair in tone_pairs(score.parts[0].sung)])
    by_chance = shuffled_shares([score.parts[0].sung for score in scores])
    return contrary <= 0.05 and parallel >= by_chance[1] + 0.2


def test_tunes_go_where_the_tones_go() -> None:
    """Under 5 % of steps go against the tones, far more with them than by chance; without the rule that gate fails."""
    singing = find_singing("female", 1)
    wishes = [Brief("Song", style, "", 30.0, seed) for seed, style in enumerate(("pop", "folk", "guofeng"))]
    kept = [compose_words(words, wish, "A", singing) for words in FROZEN_ZH for wish in wishes]
    without = [compose_words(words, wish, "A", singing, tone_weight=0.0) for words in FROZEN_ZH for wish in wishes]
    assert respects_tones(kept)
    assert not respects_tones(without)


@pytest.mark.parametrize("voice", ["female", "male", "duet"])
@pytest.mark.parametrize("words", [TUNED_ON, FROZEN_EN[0]])
def test_registers_are_kept(voice: str, words: str) -> None:
    """Nobody sings above or below the reach of the voice, two notes at once, or over a breath."""
    score = song(words, voice)
    sung = [part for part in score.parts if part.voice]
    assert {part.voice for part in sung} == ({"female", "male"} if voice == "duet" else {voice})
    for part in sung:
        reach = VOICES[part.voice]
        slack = 0 if part.role == "voice" else 5
        assert all(reach.low <= note.pitch <= reach.high + slack for note in part.notes)
        assert all(a.beat + a.beats <= b.beat + 1e-6 for a, b in pairwise(part.notes))


def test_choruses_lie_over_verses_and_have_a_second_voice() -> None:
    """The tune of a chorus lies higher than that of the verses, and only choruses are sung in two voices."""
    score = song(TUNED_ON)
    by_kind = defaultdict(list)
    for note in score.parts[0].notes:
        by_kind[next(s.name for s in reversed(score.sections) if s.beat <= note.beat)].append(note.pitch)
    middle = {kind: sum(pitches) / len(pitches) for kind, pitches in by_kind.items()}
    choir = next(part for part in score.parts if part.role == "choir")
    assert middle["chorus"] > middle["verse"] + 1.0
    assert len(choir.notes) == len(by_kind["chorus"])


def test_verses_share_a_tune() -> None:
    """A second verse is sung to the tune of the first as far as its tones allow; of two songs' tunes much less is."""

    def alike(first: Score, second: Score, lines: tuple[int, int]) -> float:
        tunes = []
        for score, line in zip((first, second), lines, strict=True):
            sung = [each for each in score.parts[0].sung if each.line == line]
            start = sung[0].notes[0].beat // 8 * 8
            tunes.append({each.notes[0].beat - start: each.notes[0].pitch - sung[0].notes[0].pitch for each in sung})
        shared = tunes[0].keys() & tunes[1].keys()
        return sum(abs(tunes[0][beat] - tunes[1][beat]) <= 2 for beat in shared) / max(len(t) for t in tunes)

    two = "[verse]\nI walk the long road home tonight\n[verse]\nI sing the old song loud and clear"
    same = [alike(song(two, seed=seed), song(two, seed=seed), (0, 1)) for seed in range(6)]
    other = [alike(song(two, seed=seed), song(two, seed=seed + 50), (0, 1)) for seed in range(6)]
    assert sum(same) / 6 > sum(other) / 6 + 0.2


def test_stresses_fall_on_strong_beats() -> None:
    """Stressed syllables of English begin on beats far more often than unstressed ones."""
    on_beat: dict[bool, list[bool]] = {True: [], False: []}
    for words in FROZEN_EN:
        read = [each for s in read_lyrics(words).sections for line in s.lines for each in line.syllables]
        for sung, each in zip(song(words).parts[0].sung, read, strict=False):
            on_beat[each.stressed].append(sung.notes[0].beat % 1 < 1e-6)
    rates = {stressed: sum(found) / len(found) for stressed, found in on_beat.items()}
    assert rates[True] > rates[False] + 0.15


@pytest.mark.parametrize("style", ["ballad", "pop", "rock"])
def test_the_longest_words(style: str) -> None:
    """Three thousand characters make a song of at most three minutes that sings them in order from the first."""
    words = "[verse]\n" + "\n".join("山上的老树开了新枝河水绕过三间土房" for _ in range(200))
    score = song(words[: LONGEST_LYRICS + 500], seconds=30.0, style=style)
    lines = [each.line for each in score.parts[0].sung]
    assert 120.0 <= seconds(score) <= 180.0
    assert lines == sorted(lines)
    assert lines[0] == 0
    assert len(set(lines)) >= 25


def test_few_words_are_sung_again() -> None:
    """A song of one line lasts about as long as was asked and sings it several times, each begun anew."""
    score = song("[chorus]\n潮水回家的时候", seconds=90.0)
    assert 65.0 <= seconds(score) <= 120.0
    assert [line[0] for line in sung_lines(score)] == ["潮水回家的时候"] * len(sung_lines(score))
    assert len(sung_lines(score)) >= 3


def test_nobody_sings() -> None:
    """Without a voice an instrument plays the tune that fits the words, and no words are shown."""
    silent, sung = song(TUNED_ON, "none"), song(TUNED_ON, "female")
    assert silent.melody == sung.melody
    assert not any(part.voice for part in silent.parts)
    lead = next(part for part in silent.parts if part.name == "lead")
    assert len(lead.notes) > len(silent.melody)
    assert sung_lines(silent) == []


def test_versions_and_seeds_differ() -> None:
    """The same wish gives the same song; another version or another seed gives another tune."""
    assert song(TUNED_ON) == song(TUNED_ON)
    other = compose_words(TUNED_ON, Brief("Song", "pop", "", 30.0, 1), "B", find_singing("female", 1))
    tunes = {tuple(note.pitch for note in score.melody) for score in (song(TUNED_ON), other, song(TUNED_ON, seed=2))}
    assert len(tunes) == 3
    assert {p.program for p in other.parts if p.role == "comp"} != {
        p.program for p in song(TUNED_ON).parts if p.role == "comp"
    }


def test_sung_songs_on_paper() -> None:
    """A sung song survives JSON exactly, and its MIDI file carries the words."""
    score = song(FROZEN_EN[1], "duet")
    assert score_from_json(score_to_json(score)) == score
    assert b"grand" in score_to_midi(score)


def test_words_without_anything_to_sing() -> None:
    """Words of which nothing can be sung are refused with their own code."""
    with pytest.raises(TakeRefusedError) as refused:
        song("[verse]\n🎸 ♪")
    assert refused.value.code == "no_words"


@pytest.mark.parametrize("name", sorted(TUNES))
def test_words_on_a_tune_keep_the_tune(name: str) -> None:
    """Words are sung to a tune note for note: every note is kept or split at its own pitch, and no word is lost."""
    analysis = analysis_of(name)
    score = compose_with_words(analysis, FROZEN_ZH[1], brief("folk", seed=3), "A", singing=find_singing("female", 1))
    sung = score.parts[0].sung
    covered = [note for each in sung for note in each.notes]
    assert all(a.beat + a.beats <= b.beat + 1e-6 for a, b in pairwise(covered))
    for note in score.melody:
        inside = [each for each in covered if note.beat - 1e-6 <= each.beat < note.beat + note.beats - 1e-6]
        assert inside
        assert {each.pitch for each in inside} == {note.pitch}
    assert {each.line for each in sung} == set(range(len(score.lines)))


def test_words_on_a_tune_without_a_voice_or_words() -> None:
    """Where nobody is to sing, or nothing can be sung, the song is the one that the tune alone makes."""
    analysis = analysis_of("twinkle")
    wish = brief("pop", seed=3)
    silent = compose_with_words(analysis, TUNED_ON, wish, "A", singing=find_singing("none", 1))
    wordless = compose_with_words(analysis, "🎸", wish, "A", singing=find_singing("female", 1))
    assert silent == wordless
    assert not any(part.voice for part in silent.parts)


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.sampled_from((0.25, 0.5, 1.0, 2.0, 4.0)), min_size=1, max_size=24),
    counts=st.lists(st.integers(1, 14), min_size=1, max_size=4),
)
def test_any_words_on_any_notes(lengths: list[float], counts: list[int]) -> None:
    """Whatever the numbers of notes and syllables, every note is sung on, in order, and no syllable twice."""
    notes, beat = [], 0.0
    for place, length in enumerate(lengths):
        notes.append(Note(beat, length, 60 + place % 7))
        beat += length
    line = read_lyrics("啊" * 14).sections[0].lines[0].syllables
    sung = fit_words(notes, [Verse(place, 0, line[:count]) for place, count in enumerate(counts)])
    pieces = [piece for each in sung for piece in each.notes]
    assert all(a.beat + a.beats <= b.beat + 1e-6 for a, b in pairwise(pieces))
    assert {note.pitch for note in notes} == {piece.pitch for piece in pieces}
    places = [(each.line, each.index) for each in sung]
    assert places == sorted(set(places))


@settings(max_examples=60, deadline=None)
@given(lyrics=st.text(alphabet="海边的 a bc,，\n我爱你hello", min_size=1, max_size=200))
def test_any_line_is_cut_whole(lyrics: str) -> None:
    """Lines of music hold all syllables of a line of words, in order, and none more than fit."""
    for section in read_lyrics(lyrics).sections:
        for line in section.lines:
            parts = in_lines(line.syllables)
            assert tuple(each for part in parts for each in part) == line.syllables
            assert all(0 < len(part) <= MOST_A_LINE for part in parts)
