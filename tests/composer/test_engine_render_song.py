"""A rendered song: loud enough, never clipped, the tune on top of it, the same bytes every time."""

from __future__ import annotations

import hashlib
import subprocess
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np
import pyloudnorm
import pytest

from services.composer.engine.compose.form import TAIL_S
from services.composer.engine.compose.song import compose
from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.errors import StoppedError
from services.composer.engine.judge.loudness import true_peak_dbtp
from services.composer.engine.judge.melody import melody_presence
from services.composer.engine.music import RENDER_RATE, Master, Score
from services.composer.engine.render.song import render, song_samples
from services.composer.engine.render.soundfont import find_soundfont
from tests.composer.hand_made import analysis_of, brief, without_tune

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SOUNDFONT = find_soundfont(None)


@dataclass(frozen=True)
class Rendered:
    """A score with its song and with the same song when nobody sings the tune."""

    score: Score
    song: Master
    backing: Master


def _rendered(score: Score) -> Rendered:
    return Rendered(score, render(score, soundfont=SOUNDFONT), render(without_tune(score), soundfont=SOUNDFONT))


@pytest.fixture(scope="module")
def songs() -> dict[str, Rendered]:
    """Return two short songs far from each other: major and straight, minor in three with rich chords."""
    return {
        "pop A": _rendered(compose(analysis_of("ode to joy", tempo_bpm=112.0), brief("pop", seconds=30.0), "A")),
        "guofeng B": _rendered(
            compose(analysis_of("greensleeves", tempo_bpm=126.0), brief("guofeng", seconds=30.0), "B")
        ),
    }


def through_mp3(song: Master) -> NDArray[np.float32]:
    """Return the song after an encoder of 192 kbit/s and a decoder, as listeners get it."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    raw = ["-f", "f32le", "-ar", str(RENDER_RATE), "-ac", "2"]
    coded = subprocess.run(
        [ffmpeg, "-v", "error", *raw, "-i", "-", "-c:a", "libmp3lame", "-b:a", "192k", "-f", "mp3", "-"],
        input=song.audio.tobytes(), capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    plain = subprocess.run(
        [ffmpeg, "-v", "error", "-f", "mp3", "-i", "-", *raw, "-"],
        input=coded, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    return np.frombuffer(plain, dtype=np.float32).reshape(-1, 2)


@pytest.mark.parametrize("name", ["pop A", "guofeng B"])
def test_the_tune_is_carried_by_the_lead(songs: dict[str, Rendered], name: str) -> None:
    """Nine of ten notes are heard; with the lead muted, the tune shuffled in key or a semitone off, few are."""
    song = songs[name]
    tune = song.score.melody
    order = np.random.default_rng(11).permutation(len(tune))
    shuffled = [replace(note, pitch=tune[i].pitch) for note, i in zip(tune, order, strict=True)]
    raised = [replace(note, pitch=note.pitch + 1) for note in tune]
    heard = melody_presence(song.song.audio, tune, song.score.tempo_bpm)
    assert heard >= 0.9
    assert melody_presence(song.backing.audio, tune, song.score.tempo_bpm) <= 0.45
    assert melody_presence(song.song.audio, shuffled, song.score.tempo_bpm) <= 0.5
    assert melody_presence(song.song.audio, raised, song.score.tempo_bpm) <= 0.1


def test_a_tune_on_the_fiddle_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Around A4 the fiddle carries the tune as other leads do; without its own filters it does not."""
    score = compose(analysis_of("greensleeves", tempo_bpm=80.0), brief("ballad", seconds=50.0, seed=5), "A")
    assert next(part.program for part in score.parts if part.name == "lead") == 110

    def on_top() -> float:
        audio = render(score, soundfont=SOUNDFONT).audio
        return melody_presence(audio, score.melody, score.tempo_bpm, swing=score.swing)

    assert on_top() >= 0.95
    monkeypatch.setattr("services.composer.engine.render.mix.OWN_TONE", {})
    assert on_top() <= 0.8


@pytest.mark.parametrize("name", ["pop A", "guofeng B"])
def test_the_decoded_mp3_is_at_minus_fourteen_and_below_minus_one(songs: dict[str, Rendered], name: str) -> None:
    """After the encoder an independent meter reads -14 LUFS within half a unit and no true peak above -1 dBTP."""
    decoded = through_mp3(songs[name].song)
    loudness = pyloudnorm.Meter(RENDER_RATE).integrated_loudness(decoded.astype(np.float64))
    assert abs(loudness + 14.0) <= 0.5
    assert true_peak_dbtp(decoded, RENDER_RATE) <= -1.0


@pytest.mark.parametrize("name", ["pop A", "guofeng B"])
def test_the_master_reports_what_it_is(songs: dict[str, Rendered], name: str) -> None:
    """Shape, length and measures of the master are true, and an independent meter agrees with its loudness."""
    song = songs[name].song
    assert song.audio.dtype == np.float32
    assert song.audio.shape == (song_samples(songs[name].score), 2)
    meter = pyloudnorm.Meter(RENDER_RATE).integrated_loudness(song.audio.astype(np.float64))
    assert song.loudness_lufs == pytest.approx(meter, abs=0.1)
    assert song.true_peak_dbtp == pytest.approx(true_peak_dbtp(song.audio, RENDER_RATE), abs=0.05)
    assert song.true_peak_dbtp <= -1.3
    assert song.stems == {}


@pytest.mark.parametrize("name", ["pop A", "guofeng B"])
def test_no_bar_is_dead_and_the_end_is_silence(songs: dict[str, Rendered], name: str) -> None:
    """Every bar sounds, no offset is left, nothing clips, and the last samples fade to nothing."""
    score, audio = songs[name].score, songs[name].song.audio
    bar = round(score.beats_per_bar * 60.0 / score.tempo_bpm * RENDER_RATE)
    bars = int(score.total_beats / score.beats_per_bar)
    levels = [float(np.sqrt(np.mean(audio[i * bar : (i + 1) * bar] ** 2))) for i in range(bars)]
    assert 20.0 * np.log10(min(levels)) >= -38.0
    assert float(np.abs(audio.mean(axis=0)).max()) < 1e-3
    assert float(np.abs(audio).max()) < 1.0
    assert float(np.abs(audio[-441:]).max()) < 1e-3
    assert len(audio) / RENDER_RATE == pytest.approx(score.total_beats * 60.0 / score.tempo_bpm + TAIL_S, abs=0.01)


def test_low_frequencies_are_mono_and_the_rest_is_wide(songs: dict[str, Rendered]) -> None:
    """Below 80 Hz the side carries almost nothing, above it the song is not mono."""
    audio = songs["pop A"].song.audio
    side = np.abs(np.fft.rfft(audio[:, 0] - audio[:, 1])) ** 2
    middle = np.abs(np.fft.rfft(audio[:, 0] + audio[:, 1])) ** 2
    low = np.fft.rfftfreq(len(audio), 1.0 / RENDER_RATE) < 80.0
    assert side[low].sum() < 0.01 * middle[low].sum()
    assert side[~low].sum() > 0.01 * middle[~low].sum()


def test_the_chorus_is_louder_than_the_intro(songs: dict[str, Rendered]) -> None:
    """The form is audible: the chorus has clearly more energy than the intro."""
    score, audio = songs["pop A"].score, songs["pop A"].song.audio
    power = {}
    for section in score.sections:
        first, last = (
            round(seconds_at(beat, tempo_bpm=score.tempo_bpm, swing=score.swing) * RENDER_RATE)
            for beat in (section.beat, section.beat + section.beats)
        )
        power[section.name] = 10.0 * np.log10(np.mean(audio[first:last] ** 2))
    assert power["chorus"] >= power["intro"] + 2.0


def test_the_same_score_renders_to_the_same_bytes_and_another_seed_does_not(songs: dict[str, Rendered]) -> None:
    """Rendering is deterministic to the last bit, and the seed reaches the sound even where the notes are equal."""
    score = songs["pop A"].score
    again = render(score, soundfont=SOUNDFONT)
    other = render(replace(score, seed=score.seed + 1), soundfont=SOUNDFONT)
    digest = hashlib.sha256(songs["pop A"].song.audio.tobytes()).hexdigest()
    assert hashlib.sha256(again.audio.tobytes()).hexdigest() == digest
    assert hashlib.sha256(other.audio.tobytes()).hexdigest() != digest


def test_progress_rises_to_one_and_stems_are_kept_on_request(songs: dict[str, Rendered]) -> None:
    """Progress is told for each part and never falls; each part's dry stem comes back with its sound in it."""
    score = songs["guofeng B"].score
    told: list[tuple[float, str]] = []
    tracemalloc.start()
    song = render(score, soundfont=SOUNDFONT, progress=lambda share, what: told.append((share, what)), keep_stems=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert {f"play {part.name}" for part in score.parts} <= {what for _, what in told}
    assert set(song.stems) == {part.name for part in score.parts}
    for stem in song.stems.values():
        assert stem.shape == song.audio.shape
        assert float(np.abs(stem).max()) > 0.01
    # The kept stems, and beside them no more than ten songs' worth of working memory.
    assert peak <= (len(score.parts) + 10) * song.audio.nbytes


def test_a_stopped_render_ends_at_the_next_step(songs: dict[str, Rendered]) -> None:
    """Once `stop` says yes no further part is played and StoppedError is raised."""
    told: list[str] = []
    with pytest.raises(StoppedError):
        render(
            songs["pop A"].score,
            soundfont=SOUNDFONT,
            progress=lambda _share, what: told.append(what),
            stop=lambda: len(told) >= 3,
        )
    assert told == ["load soundfont", "play lead", "play double"]
    asked: list[bool] = []

    def within_the_first_part() -> bool:
        asked.append("play lead" in told)
        return asked.count(True) > 1

    told.clear()
    with pytest.raises(StoppedError):
        render(
            songs["pop A"].score,
            soundfont=SOUNDFONT,
            progress=lambda _share, what: told.append(what),
            stop=within_the_first_part,
        )
    assert told == ["load soundfont", "play lead"]


def test_a_score_without_sound_and_a_file_that_is_no_soundfont_are_refused(
    songs: dict[str, Rendered], tmp_path: Path
) -> None:
    """A silent score and an unreadable soundfont are ValueErrors, not silence or a crash."""
    score = replace(songs["pop A"].score, total_beats=8.0)
    with pytest.raises(ValueError, match="silent"):
        render(replace(score, parts=()), soundfont=SOUNDFONT)
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF" + bytes(400))
    with pytest.raises(ValueError, match=r"broken\.sf2"):
        render(score, soundfont=broken)
