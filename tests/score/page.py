"""The page of the scores: the table, and a few takes and songs to be looked at and listened to, in one file."""

from __future__ import annotations

import html
from base64 import b64encode
from typing import TYPE_CHECKING

from services.composer.engine.compose.midi import score_to_midi
from services.composer.engine.compose.sheet import chord_sheet
from services.composer.engine.listen.analyze import listen_to
from services.composer.engine.music import RENDER_RATE
from services.composer.engine.render.song import render
from services.composer.providers.sound import decode, encode_mp3, ffmpeg_program
from tests.composer.singer import SLOPPY, sing
from tests.composer.tunes import TUNING_TUNES
from tests.score.making import SOUNDFONT, Plan, score_for
from tests.score.picture import loudness_curve, piano_roll, spectrogram, voice_curve
from tests.score.table import page_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.score.row import Row

SHOWN = (
    Plan("mo li hua", "guofeng", "A", 45.0, 84.0, 0, 3),
    Plan("mo li hua", "jazz", "B", 45.0, 112.0, 0, 3),
    Plan("ode to joy", "electronic", "B", 45.0, 120.0, 2, 4),
    Plan("amazing grace", "ballad", "A", 60.0, 72.0, -2, 5),
)
"""Songs of tunes that may be looked at."""

TAKES = (("ode to joy", 1), ("greensleeves", 2))

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:1180px;color:#222}"
    "table{border-collapse:collapse;margin:.5em 0 2em}td,th{border:1px solid #ccc;padding:3px 8px;text-align:left}"
    ".missed td{background:#ffd9d6}img{display:block;margin:.4em 0;max-width:100%}pre{background:#f5f5f5;padding:1em}"
)


def write_page(rows: Sequence[Row], tick: Callable[[str], None], measured: str) -> str:
    """Return the page as one HTML text that needs no other file."""
    parts = [f"<h1>Scores of the offline engine</h1><p>{html.escape(measured)}</p>", page_table(rows)]
    parts.append("<h2>Takes</h2><p>Red: pitch that was tracked. Blue: notes heard. Green: notes really sung.</p>")
    for name, seed in TAKES:
        parts.append(_take(name, seed))
        tick(f"picture of {name}")
    parts.append("<h2>Songs</h2>")
    for plan in SHOWN:
        parts.append(_song(plan))
        tick(f"picture of {plan.tune}, {plan.style}")
    head = f'<meta charset="utf-8"><title>Scores of the offline engine</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _take(name: str, seed: int) -> str:
    tune = next(tune for tune in TUNING_TUNES if tune.name == name)
    take = sing(tune, seed=seed, style=SLOPPY)
    analysis = listen_to(take.samples)
    picture = voice_curve(analysis.f0_hz, analysis.notes, take.notes)
    text = (
        f"{name}, sloppy singer: {analysis.key.tonic} {analysis.key.mode.value} at {analysis.tempo_bpm:.1f} bpm heard, "
        f"{take.key.tonic} {take.key.mode.value} at {take.tempo_bpm:.1f} bpm sung"
    )
    return f"<h3>{html.escape(text)}</h3>{_picture(picture, text)}"


def _song(plan: Plan) -> str:
    score = score_for(plan)
    ffmpeg = ffmpeg_program("")
    mp3 = encode_mp3(render(score, soundfont=SOUNDFONT).audio, rate=RENDER_RATE, ffmpeg=ffmpeg, title=plan.tune)
    audio = decode(mp3, rate=RENDER_RATE, channels=2, ffmpeg=ffmpeg)
    title = f"{plan.tune}, {plan.style} {plan.label}, {score.tempo_bpm:.0f} bpm"
    midi = f"data:audio/midi;base64,{b64encode(score_to_midi(score)).decode()}"
    return (
        f"<h3>{html.escape(title)}</h3>"
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{b64encode(mp3).decode()}"></audio> '
        f'<a download="{html.escape(plan.tune)}.mid" href="{midi}">MIDI</a>'
        + _picture(piano_roll(score), f"piano roll of {title}")
        + _picture(spectrogram(audio), f"spectrogram of {title}")
        + _picture(loudness_curve(audio, score), f"loudness of {title}")
        + f"<details><summary>Chords</summary><pre>{html.escape(chord_sheet(score))}</pre></details>"
    )


def _picture(png: bytes, text: str) -> str:
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{b64encode(png).decode()}">'
