"""The desk's processors one by one: filters, compressor, limiter, room, and the choice of a soundfont."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.signal import oaconvolve

from services.composer.engine.judge.loudness import true_peak_dbtp
from services.composer.engine.music import RENDER_RATE, Part
from services.composer.engine.render.effects import (
    _ROOM_STRETCH,
    BLOCK,
    apply_curve,
    bell,
    block_levels,
    compress,
    equalise,
    high_pass,
    high_shelf,
    low_pass,
    reverberate,
    room_impulse,
)
from services.composer.engine.render.master import (
    CEILING_DBTP,
    TARGET_LUFS,
    block_peaks,
    colour_gains_db,
    limiter_curve,
    master,
)
from services.composer.engine.render.soundfont import find_soundfont
from services.composer.engine.render.synth import events_of
from tests.composer.hand_made import analysis_of, brief

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _sine(hz: float, seconds: float = 1.0, level: float = 0.5) -> NDArray[np.float32]:
    time = np.arange(round(seconds * RENDER_RATE)) / RENDER_RATE
    return (level * np.sin(2.0 * np.pi * hz * time)).astype(np.float32)


def _gain_db(hz: float, sections: list[tuple[float, float, float, float, float, float]]) -> float:
    before = _sine(hz)
    after = before.copy()
    equalise(after, sections)
    settled = slice(RENDER_RATE // 2, None)
    return float(20.0 * np.log10(np.std(after[settled]) / np.std(before[settled])))


@pytest.mark.parametrize(
    ("filter_name", "hz", "gain"),
    [("high_pass", 100.0, -3.0), ("high_pass", 1000.0, 0.0), ("high_pass", 25.0, -24.1), ("bell", 1000.0, 6.0),
     ("bell", 60.0, 0.0), ("shelf", 15000.0, 4.0), ("shelf", 200.0, 0.0)],
)  # fmt: skip
def test_filters_have_the_gain_they_promise(filter_name: str, hz: float, gain: float) -> None:
    """A sine through each filter comes out at the level that the filter's design says."""
    sections = {"high_pass": high_pass(100.0), "bell": bell(1000.0, 6.0), "shelf": high_shelf(3000.0, 4.0)}[filter_name]
    assert _gain_db(hz, sections) == pytest.approx(gain, abs=0.35)


def test_filtering_in_stretches_equals_filtering_at_once() -> None:
    """The seams between stretches are inaudible: a long stereo signal equals the same filter in one go."""
    rng = np.random.default_rng(1)
    audio = rng.standard_normal((200_000, 2)).astype(np.float32)
    piecewise = audio.copy()
    equalise(piecewise, high_pass(150.0))
    alone = audio[:, 1].copy()
    equalise(alone, high_pass(150.0))
    assert np.allclose(piecewise[:, 1], alone, atol=1e-6)
    jump = float(np.abs(np.diff(piecewise[65_500:65_570, 0])).max())
    assert jump <= float(np.abs(np.diff(piecewise[:60_000, 0])).max())


def test_a_gain_curve_passes_through_its_points() -> None:
    """At the centre of each block the gain is that block's, between them it runs straight, over all stretches."""
    curve = np.random.default_rng(2).uniform(0.2, 1.0, 1500).astype(np.float32)
    audio = np.ones((1500 * BLOCK - 77, 2), dtype=np.float32)
    apply_curve(audio, curve)
    centres = (np.arange(1500) * BLOCK + BLOCK // 2)[:-1]
    middle = (audio[centres - 1, 0] + audio[centres, 0]) / 2
    assert np.allclose(middle, curve[:-1], atol=2e-3)
    assert float(np.abs(np.diff(audio[:, 1])).max()) <= 0.8 / BLOCK + 1e-6


def test_the_compressor_squeezes_by_its_ratio() -> None:
    """Two steady tones 12 dB apart, both over the threshold, come out 4 dB apart at a ratio of three."""
    loud, soft = _sine(500.0, level=0.8), _sine(500.0, level=0.2)
    for tone in (loud, soft):
        compress(tone, threshold_db=-30.0, ratio=3.0)
    levels = [float(block_levels(tone)[-20:].mean()) for tone in (loud, soft)]
    assert 20.0 * np.log10(levels[0] / levels[1]) == pytest.approx(4.0, abs=0.3)


def test_the_limiter_holds_the_ceiling_and_leaves_quiet_passages_alone() -> None:
    """Hot noise and clicks end under the ceiling between samples too; what is under it passes unchanged."""
    rng = np.random.default_rng(4)
    hot = (rng.standard_normal((RENDER_RATE * 2, 2)) * 0.5).astype(np.float32)
    hot[::9999] = 9.0
    equalise(hot, [*low_pass(15_000.0), *low_pass(15_000.0)])  # As music is; the white case is the master's test.
    assert true_peak_dbtp(hot, RENDER_RATE) > 6.0
    limited = hot.copy()
    apply_curve(limited, limiter_curve(block_peaks(hot)), 32)
    assert true_peak_dbtp(limited, RENDER_RATE) <= CEILING_DBTP + 0.15
    quiet = hot * np.float32(0.05)
    same = quiet.copy()
    apply_curve(same, limiter_curve(block_peaks(quiet)), 32)
    assert np.array_equal(same, quiet)


def test_mastering_reaches_loudness_and_ceiling_from_any_level() -> None:
    """Bursts with a high crest factor, far too soft or far too hot, leave at the target and under the ceiling."""
    rng = np.random.default_rng(5)
    envelope = np.exp(-(np.arange(RENDER_RATE * 6) % 22_050) / 6_000.0)[:, None]
    bursts = (rng.standard_normal((RENDER_RATE * 6, 2)) * envelope).astype(np.float32)
    for gain in (0.002, 4.0):
        done = master(bursts * np.float32(gain), tail_s=0.5)
        assert done.loudness_lufs == pytest.approx(TARGET_LUFS, abs=0.4)
        assert true_peak_dbtp(done.audio, RENDER_RATE) <= CEILING_DBTP + 0.01


@pytest.mark.parametrize(("wanting_db", "low_db", "high_db"), [(5.0, 2.0, 4.0), (14.0, 6.5, 10.0)])
def test_the_colour_is_mended_the_better_part_and_a_glaring_fault_nearly_whole(
    wanting_db: float, low_db: float, high_db: float
) -> None:
    """Noise of the usual colour but for one octave: seven tenths are given to it, more when it lacks very much."""
    rng = np.random.default_rng(2)
    spectrum = np.fft.rfft(rng.standard_normal(1 << 19))
    hertz = np.maximum(np.fft.rfftfreq(1 << 19, 1.0 / RENDER_RATE), 20.0)
    usual = np.interp(np.log2(hertz / 63.0), range(8), (-1.0, 0.0, -1.0, -2.0, -4.0, -7.0, -11.0, -16.0))
    usual -= 10.0 * np.log10(hertz)
    top = hertz >= 8000.0 / 2.0**0.5
    made = np.fft.irfft(spectrum * 10.0 ** ((usual - wanting_db * top) / 20.0)).astype(np.float32)
    gains = colour_gains_db(np.stack([made, made], axis=1))
    assert low_db <= gains[-1] <= high_db
    assert max(abs(gain) for gain in gains[:-1]) <= 2.5


def test_the_room_decays_and_differs_left_from_right() -> None:
    """A click comes back as a tail that falls by 50 dB within the room's time, unlike in the two ears."""
    impulse = room_impulse(1.5)
    click = np.zeros(RENDER_RATE * 2, dtype=np.float32)
    click[0] = 1.0
    left, right = (reverberate(click, impulse, channel) for channel in (0, 1))
    early = float(np.mean(left[2000:6000] ** 2))
    late = float(np.mean(left[60_000:64_000] ** 2))
    assert 10.0 * np.log10(early / max(late, 1e-20)) >= 50.0
    assert abs(float(np.corrcoef(left, right)[0, 1])) < 0.3


def test_the_room_has_no_seams() -> None:
    """A song longer than the room's stretches sounds as if the room had answered it whole, also across their ends."""
    song = np.random.default_rng(7).standard_normal(2 * _ROOM_STRETCH + 12_345).astype(np.float32)
    impulse = room_impulse(1.7)
    whole = oaconvolve(song.astype(np.float64), impulse[:, 0].astype(np.float64))[: len(song)]
    assert np.abs(reverberate(song, impulse, 0) - whole).max() < 1e-4 * np.abs(whole).max()


def test_events_release_every_key_and_never_overlap_a_key_with_itself() -> None:
    """Each stroke has its release, a repeated pitch is released before it is struck again, order is by time."""
    from services.composer.engine.compose.song import compose

    score = compose(analysis_of("frere jacques"), brief("jazz", seconds=45.0), "B")
    for part in score.parts:
        events = events_of(part, score)
        assert [event.sample for event in events] == sorted(event.sample for event in events)
        sounding: dict[int, int] = {}
        strokes = 0
        for event in events:
            if event.kind == 2:
                strokes += 1
                assert sounding.get(event.key, 0) == 0, (part.name, event)
                sounding[event.key] = 1
            elif event.kind == 0:
                sounding[event.key] = sounding.get(event.key, 0) - 1
        assert strokes == len(part.notes)
        assert not any(sounding.values())


def test_held_lead_notes_get_a_vibrato_that_ends_in_tune() -> None:
    """A sustaining lead bends around its pitch on long notes only, and the last bend is the centre."""
    from services.composer.engine.compose.song import compose

    score = compose(analysis_of("amazing grace"), brief("folk", seconds=45.0), "A")
    lead = score.parts[0]
    bends = [event.value for event in events_of(lead, score) if event.kind == 1]
    assert min(bends) < 8192 < max(bends)
    assert bends[-1] == 8192
    plucked = Part("lead", "lead", 0, drums=False, notes=lead.notes)
    assert not [event for event in events_of(plucked, score) if event.kind == 1]


def test_a_configured_soundfont_wins_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    """The setting is obeyed to the letter; without one, a readable font of the machine is found."""
    mine = tmp_path / "mine.sf2"
    mine.write_bytes(b"RIFF")
    assert find_soundfont(str(mine)) == mine
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        find_soundfont(str(tmp_path / "elsewhere.sf2"))
    found = find_soundfont(None)
    assert found.is_file()
    assert found.read_bytes()[:4] == b"RIFF"
