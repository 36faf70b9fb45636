"""The renderer's one door: a score and a soundfont in, a mastered song out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.engine.compose.form import TAIL_S
from services.composer.engine.compose.styles import find_style
from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.errors import StoppedError
from services.composer.engine.music import RENDER_RATE, Master
from services.composer.engine.render.master import master
from services.composer.engine.render.mix import MIX_ORDER, Mix
from services.composer.engine.render.synth import Player
from services.composer.engine.sing.voice import sing_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from services.composer.engine.music import Score

_STEMS_SHARE = 0.7
_MIXED_SHARE = 0.8


def render(
    score: Score,
    *,
    soundfont: Path,
    progress: Callable[[float, str], None] | None = None,
    keep_stems: bool = False,
    on_stem: Callable[[str, NDArray[np.float32]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Master:
    """Return the mastered song of `score`; the same score and soundfont give the same samples.

    `progress` hears the share done (0 to 1) and what is being done. `on_stem` gets each part as it lies in the mix, in
    stereo, and at the end what the room adds as `room`: their sum is the song before the master. Never more than one of
    them is held here. `keep_stems` keeps the dry ones. `stop` is asked between the steps, every few
    notes of a part and in each round of mastering: when it says yes, StoppedError is raised. Raises ValueError when the
    score has no sound or the soundfont cannot be read.
    """

    def check() -> None:
        if stop is not None and stop():
            raise StoppedError("the caller asked for it")

    def step(share: float, what: str) -> None:
        check()
        if progress is not None:
            progress(share, what)

    step(0.0, "load soundfont")
    player = Player(soundfont)
    samples = song_samples(score)
    style = find_style(score.style)
    desk = Mix(score, samples, room=style.reverb if style is not None else 1.0, on_stem=on_stem)
    stems: dict[str, NDArray[np.float32]] = {}
    parts = sorted(score.parts, key=lambda part: MIX_ORDER.index(part.role))
    for index, part in enumerate(parts):
        step(_STEMS_SHARE * index / len(parts), f"{'sing' if part.voice else 'play'} {part.name}")
        if part.voice:
            stem = sing_part(part, score, samples, between=check)
        else:
            stem = player.play(part, score, samples, between=check)
        if keep_stems:
            stems[part.name] = stem.copy()
        desk.add(part, stem)
        del stem  # it would lie there while the next one is played
    del player
    step(_STEMS_SHARE, "mix")
    mix = desk.finish()
    step(_MIXED_SHARE, "master")
    song = master(mix, tail_s=TAIL_S, between=check)
    step(1.0, "done")
    return Master(song.audio, song.loudness_lufs, song.true_peak_dbtp, stems)


def song_samples(score: Score) -> int:
    """Return the length of the rendered song in samples: all beats and the tail in which the last chord rings."""
    end = seconds_at(score.total_beats, tempo_bpm=score.tempo_bpm, swing=score.swing)
    return round((end + TAIL_S) * RENDER_RATE)
