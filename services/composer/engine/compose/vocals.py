"""The arrangement around a singer: who sings which section, the second voice of the choruses, the band below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.composer.engine.compose.backing import play_bass, play_comp, play_pad
from services.composer.engine.compose.drums import play_drums
from services.composer.engine.compose.frame import limited
from services.composer.engine.compose.harmony import chord_at
from services.composer.engine.compose.instruments import instrument
from services.composer.engine.compose.lead import answer
from services.composer.engine.compose.scales import diatonic, nearest, stepped
from services.composer.engine.music import Note, Part, Score, Section
from services.composer.engine.sing.voices import VOICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.compose.frame import Frame
    from services.composer.engine.music import Sung
    from services.composer.engine.sing.voices import Singing

VOICE_PROGRAM = 53
"""General MIDI's "voice oohs": what stands in the MIDI file for a singer."""
_CHOIR_DB = -1.0
_OCTAVE = 12
_OF_MALE = {"female": 0, "male": -12}


@dataclass(frozen=True, slots=True)
class Stated:
    """The singer's own tune in a song: its notes as they are stated, and what the lead instrument plays besides."""

    notes: tuple[Note, ...]
    played: tuple[Note, ...]
    swing: float = 0.0
    """How late its off-beat eighths come; 0 leaves that to the style."""
    compound: bool = False


def sung_score(
    frame: Frame,
    sung: Sequence[tuple[Sung, ...]],
    singing: Singing,
    *,
    title: str,
    lines: tuple[str, ...],
    tune: Stated | None = None,
) -> Score:
    """Return the whole arranged song; `sung` has what is sung in each passage of the form, `lines` the written words.

    The lead instrument plays where nobody sings, and the tune itself when nobody sings at all. Without a `tune` of
    somebody's own it quotes the words' tune.
    """
    melody = tuple(note for section in sung for each in section for note in each.notes)
    quotes = tune.played if tune else _quotes(frame, sung)
    above = [replace(n, pitch=n.pitch + _OCTAVE) for n in melody] if singing.tune == "male" else list(melody)
    lead = tuple(sorted([*above, *quotes], key=lambda note: note.beat))
    voices = _voices(frame, sung, singing) if singing.cast else ()
    heard = tuple(sorted((n for part in voices if part.role == "voice" for n in part.notes), key=lambda n: n.beat))
    parts = (*voices, *_band(frame, lead, () if singing.cast else melody, quotes))
    return Score(
        title=title,
        label=frame.label,
        style=frame.style.name,
        key=frame.key,
        tempo_bpm=frame.tempo_bpm,
        beats_per_bar=frame.beats_per_bar,
        swing=(tune.swing if tune else 0.0) or frame.style.swing,
        parts=tuple(part for part in parts if part.notes),
        chords=frame.chords,
        sections=tuple(Section(p.name, frame.beat_of(p.bar), frame.beat_of(p.bars)) for p in frame.form.passages),
        melody=tune.notes if tune else heard or melody,
        seed=frame.seed,
        total_beats=frame.total_beats,
        compound=tune.compound if tune else False,
        lines=lines if singing.cast else (),
    )


def _voices(frame: Frame, sung: Sequence[tuple[Sung, ...]], singing: Singing) -> tuple[Part, ...]:
    """Return the sung parts: the singers, who take turns by sections, and the second voice of the choruses."""
    duet = len(singing.cast) > 1
    lines: dict[str, list[Sung]] = {name: [] for name in singing.cast}
    second: list[Sung] = []
    turn = 0
    for passage, section in zip(frame.form.passages, sung, strict=True):
        if not section:
            continue
        chorus = passage.name == "chorus"
        if not duet:
            lines[singing.cast[0]] += section
        elif chorus:
            lines["female"] += section
        else:
            name = singing.cast[turn % 2]
            lines[name] += [_lower(each, _OF_MALE[name]) for each in section]
            turn += 1
        if chorus:
            second += _second_voice(section, frame, singing, duet=duet)
    below = singing.cast[-1]
    pan = 0.12 if duet else 0.0
    parts = [
        _part(f"voice {name}", "voice", name, tuple(lines[name]), pan=-pan if name == "female" else pan)
        for name in singing.cast
        if lines[name]
    ]
    return (*parts, _part("choir", "choir", below, tuple(second), pan=0.3, gain_db=_CHOIR_DB))


def _part(name: str, role: str, voice: str, sung: tuple[Sung, ...], *, pan: float, gain_db: float = 0.0) -> Part:
    notes = tuple(note for each in sung for note in each.notes)
    return Part(name, role, VOICE_PROGRAM, drums=False, notes=notes, pan=pan, gain_db=gain_db, voice=voice, sung=sung)


def _lower(sung: Sung, semitones: int) -> Sung:
    return replace(sung, notes=tuple(replace(note, pitch=note.pitch + semitones) for note in sung.notes))


def _second_voice(section: tuple[Sung, ...], frame: Frame, singing: Singing, *, duet: bool) -> list[Sung]:
    """Return a chorus for the second voice: a third below the tune, in a duet for the man."""
    voice = VOICES[singing.cast[-1]]
    scale = diatonic(frame.key)
    found = []
    for each in section:
        notes = []
        for note in each.notes:
            pitch = stepped(note.pitch, -2, scale)
            classes = chord_at(frame.chords, note.beat).pitch_classes
            if note.beats >= 1.0 and pitch % 12 not in classes:
                tones = [p for p in range(note.pitch - 8, note.pitch - 2) if p % 12 in classes]
                pitch = tones[-1] if tones else pitch
            pitch -= _OCTAVE if duet else 0
            while pitch < voice.low:
                pitch += _OCTAVE
            notes.append(replace(note, pitch=pitch, velocity=limited(note.velocity - 8)))
        found.append(replace(each, notes=tuple(notes)))
    return found


def _quotes(frame: Frame, sung: Sequence[tuple[Sung, ...]]) -> list[Note]:
    """Return what the lead instrument plays where nobody sings: the head of the tune, and a farewell."""
    source = next((s for p, s in zip(frame.form.passages, sung, strict=True) if s and p.name == "chorus"), None)
    source = source or next(s for s in sung if s)
    bar = source[0].notes[0].beat // frame.beats_per_bar * frame.beats_per_bar
    tune = [(note.beat - bar, note.beats, note.pitch) for each in source for note in each.notes]
    notes = []
    for passage, section in zip(frame.form.passages, sung, strict=True):
        if section or passage.name == "outro":
            continue
        start, end = frame.beat_of(passage.bar), frame.beat_of(passage.bars)
        for beat, beats, pitch in tune:
            if beat < end - 1.0:
                chord = chord_at(frame.chords, start + beat)
                fitted = nearest(pitch, frozenset(chord.pitch_classes[:3])) if beats >= 1.0 else pitch
                notes.append(Note(start + beat, min(beats, end - beat), fitted, 80))
    start = frame.total_beats - frame.beats_per_bar
    notes.append(Note(start, float(frame.beats_per_bar), nearest(tune[-1][2], frozenset({frame.key.tonic})), 72))
    return notes


def _band(frame: Frame, lead: tuple[Note, ...], played: tuple[Note, ...], quotes: Sequence[Note]) -> tuple[Part, ...]:
    """Return the instruments; `lead` is all that they have to leave room for, `played` a tune that nobody sings."""
    palette, style = frame.palette, frame.style
    side = -1.0 if frame.label == "A" else 1.0
    program = palette.leads[frame.mood.lead % len(palette.leads)]
    own = _in_range([*played, *quotes], program)
    return (
        Part("lead", "lead", program, drums=False, notes=own, gain_db=0.0 if played else -2.0),
        Part("pad", "pad", palette.pad, drums=False, notes=play_pad(lead, frame), gain_db=style.pad_gain_db),
        Part("comp", "comp", palette.comp, drums=False, notes=play_comp(lead, frame), pan=0.35 * side),
        Part("fill", "fill", palette.fill, drums=False, notes=answer(lead, frame, palette.fill), pan=-0.45 * side),
        Part("bass", "bass", palette.bass, drums=False, notes=play_bass(frame)),
        Part("drums", "drums", 0, drums=True, notes=play_drums(frame), gain_db=style.drum_gain_db),
    )


def _in_range(notes: Sequence[Note], program: int) -> tuple[Note, ...]:
    """Return the notes in the register of an instrument, moved by octaves together."""
    player = instrument(program)
    if not notes:
        return ()
    middle = sum(note.pitch for note in notes) / len(notes)
    shift = _OCTAVE * round((player.centre - middle) / _OCTAVE)
    moved = []
    for note in sorted(notes, key=lambda n: n.beat):
        pitch = note.pitch + shift
        while pitch > player.high:
            pitch -= _OCTAVE
        while pitch < player.low:
            pitch += _OCTAVE
        moved.append(replace(note, pitch=pitch))
    return tuple(moved)
