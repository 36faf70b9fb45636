"""Stems: each part as it lies in the mix, and nothing else: together they are the song before its master."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.song import compose
from services.composer.engine.render import song as rendering
from services.composer.engine.render.master import master
from services.composer.engine.render.song import render
from services.composer.engine.render.soundfont import find_soundfont
from tests.composer.hand_made import analysis_of, brief

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from numpy.typing import NDArray

    from services.composer.engine.music import Master


def test_the_stems_are_the_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summed up they are the unmastered song to the last bits, with any one of them missing they are not."""
    score = compose(analysis_of("ode to joy", tempo_bpm=120.0), brief("lofi", seconds=30.0), "A")
    mixes: list[NDArray[np.float32]] = []

    def listening(mix: NDArray[np.float32], *, tail_s: float, between: Callable[[], None]) -> Master:
        mixes.append(mix.copy())
        return master(mix, tail_s=tail_s, between=between)

    monkeypatch.setattr(f"{rendering.__name__}.master", listening)
    stems: dict[str, NDArray[np.float32]] = {}
    with_stems = render(score, soundfont=find_soundfont(None), on_stem=stems.__setitem__)
    plain = render(score, soundfont=find_soundfont(None))

    assert np.array_equal(with_stems.audio, plain.audio), "asking for stems changes nothing of the song"
    assert set(stems) == {*(part.name for part in score.parts), "room"}
    whole = np.sum(list(stems.values()), axis=0)
    assert float(np.abs(whole - mixes[0]).max()) < 1e-4
    for name, stem in stems.items():
        assert stem.shape == mixes[0].shape
        assert float(np.abs(whole - stem - mixes[0]).max()) > 1e-3, name
