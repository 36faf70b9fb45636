"""The process that does one piece of the offline engine's work and ends.

Standard input brings one line of JSON and the bytes it announces, standard output carries lines of JSON and, after
the answer, the bytes that belong to it. When standard input closes early the worker is gone and so are we.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import zipfile
from base64 import b64encode
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.composer.domain.tune import KEY_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from services.composer.engine.music import Analysis, Master, Score

_NOTHING_TO_SEE = frozenset({"silent", "too_long"})


def _take(request: dict[str, Any], blob: bytes) -> NDArray[np.float32]:
    from services.composer.engine.music import ANALYSIS_RATE
    from services.composer.providers.sound import decode

    return decode(blob, rate=ANALYSIS_RATE, channels=1, ffmpeg=request["ffmpeg"])


def _check(request: dict[str, Any], blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.listen.analyze import admit_take
    from services.composer.engine.listen.record import check_to_json

    return check_to_json(admit_take(_take(request, blob))), b""


def _listen(request: dict[str, Any], blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.listen.analyze import listen_to
    from services.composer.engine.listen.record import analysis_to_json

    return analysis_to_json(listen_to(_take(request, blob))), b""


def _segment(request: dict[str, Any], _blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.listen.analyze import cut_to_segment
    from services.composer.engine.listen.record import analysis_from_json, analysis_to_json

    return analysis_to_json(cut_to_segment(analysis_from_json(request["analysis"]))), b""


def _hear(request: dict[str, Any], blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.errors import TakeRefusedError
    from services.composer.engine.listen.analyze import admit_take, cut_to_segment, listen_to
    from services.composer.engine.listen.record import analysis_to_json, check_to_json
    from services.composer.engine.listen.take import check_take

    samples = _take(request, blob)
    answer: dict[str, Any] = {"refused": "", "analysis": None}
    try:
        answer["check"] = check_to_json(admit_take(samples))
    except TakeRefusedError as error:
        answer |= {"refused": error.code, "check": check_to_json(check_take(samples))}
    # Whose take is refused still wants to see why, unless nothing can be seen.
    if answer["refused"] not in _NOTHING_TO_SEE:
        with suppress(TakeRefusedError):
            answer["analysis"] = analysis_to_json(cut_to_segment(listen_to(samples)))
    return answer, b""


def _change(request: dict[str, Any], _blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.listen.change import change_tune
    from services.composer.engine.listen.record import analysis_from_json, analysis_to_json
    from services.composer.engine.music import HeardNote, Segment

    change = request["change"]
    start, end = change.get("segment_start_ms", 0), change.get("segment_end_ms", 0)
    changed = change_tune(
        analysis_from_json(request["analysis"]),
        notes=[HeardNote(a / 1e3, b / 1e3, pitch, float(pitch)) for a, b, pitch in change.get("notes", ())],
        segment=Segment(start / 1e3, end / 1e3, 1.0) if end else None,
    )
    # Other notes have their key and metre found anew; what the person says of them comes after that.
    changed = change_tune(
        _named(changed, change.get("key", ""), change.get("beats_per_bar", 0)),
        transpose=change.get("transpose_semitones", 0),
        tempo_bpm=change.get("tempo_bpm", 0.0),
    )
    return analysis_to_json(changed), b""


def _named(analysis: Analysis, key: str, beats_per_bar: int) -> Analysis:
    """Return the analysis in the key and the metre that a person names; empty and 0 keep what was heard."""
    from services.composer.engine.music import Key, Mode

    if key:
        tonic, _, mode = key.partition(" ")
        analysis = replace(analysis, key=Key(KEY_NAMES.index(tonic), Mode(mode)))
    if beats_per_bar and (analysis.compound or beats_per_bar != analysis.beats_per_bar):
        # Bars of 6/8 are told by the beats that are divided in three; whoever counts otherwise hears them in two.
        analysis = replace(analysis, beats_per_bar=beats_per_bar, compound=False)
    return analysis


def _make(request: dict[str, Any], _blob: bytes, say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine import VERSION
    from services.composer.engine.compose.midi import score_to_midi
    from services.composer.engine.compose.sheet import chord_sheet
    from services.composer.engine.music import RENDER_RATE
    from services.composer.engine.render.song import render
    from services.composer.engine.render.soundfont import find_soundfont
    from services.composer.engine.sing.timings import sung_lines
    from services.composer.providers.sound import decode, encode_mp3

    score = _composed(request["order"])
    soundfont = find_soundfont(request["soundfont"] or None)
    song: Master = render(score, soundfont=soundfont, progress=lambda share, what: say(0.85 * share, what))
    say(0.87, "encode mp3")
    mp3 = encode_mp3(song.audio, rate=RENDER_RATE, ffmpeg=request["ffmpeg"], title=f"{score.title} ({score.label})")
    say(0.93, "listen to the result")
    heard = decode(mp3, rate=RENDER_RATE, channels=2, ffmpeg=request["ffmpeg"])
    taken_away = {
        "midi": b64encode(score_to_midi(score)).decode(),
        "chord_sheet": chord_sheet(score),
        "lines": sung_lines(score),
    }
    return _measured(score, heard) | taken_away | {"engine": VERSION}, mp3


def _export(request: dict[str, Any], _blob: bytes, say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    """Make the song again for its wav and its stems, each encoded while the next one is not played yet."""
    from services.composer.engine import VERSION
    from services.composer.engine.music import RENDER_RATE
    from services.composer.engine.render.song import render
    from services.composer.engine.render.soundfont import find_soundfont
    from services.composer.providers.sound import encode_flac, encode_wav

    if request["engine"] != VERSION:
        return {"engine": VERSION, "stems": [], "wav_bytes": 0}, b""
    score = _composed(request["order"])
    names: list[str] = []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:

        def pack(name: str, stem: NDArray[np.float32]) -> None:
            names.append(name)
            # Without a date of its own the file would bear that of this minute, and no export would equal another.
            entry = zipfile.ZipInfo(f"{len(names):02d} {name}.flac")
            archive.writestr(entry, encode_flac(stem, rate=RENDER_RATE, ffmpeg=request["ffmpeg"]))

        soundfont = find_soundfont(request["soundfont"] or None)
        song = render(score, soundfont=soundfont, progress=lambda share, what: say(0.95 * share, what), on_stem=pack)
    wav = encode_wav(song.audio, rate=RENDER_RATE)
    return {"engine": VERSION, "stems": names, "wav_bytes": len(wav)}, wav + packed.getvalue()


def _composed(order: dict[str, Any]) -> Score:
    """Return the song that is ordered: of a tune, of words, or of both."""
    from services.composer.engine.compose.song import compose
    from services.composer.engine.compose.words import compose_words
    from services.composer.engine.compose.words_on_tune import compose_with_words
    from services.composer.engine.listen.record import analysis_from_json
    from services.composer.engine.music import Brief
    from services.composer.engine.sing.voices import find_singing

    brief = Brief(order["title"], order["style"], order["mood"], order["duration_s"], order["seed"])
    lyrics, singing = order.get("lyrics", ""), find_singing(order.get("voice", ""), brief.seed)
    if not order["analysis"]:
        return compose_words(lyrics, brief, order["label"], singing)
    analysis: Analysis = analysis_from_json(order["analysis"])
    if not lyrics:
        return compose(analysis, brief, order["label"])
    return compose_with_words(analysis, lyrics, brief, order["label"], singing=singing)


def _measured(score: Score, heard: NDArray[np.float32]) -> dict[str, Any]:
    """Return what is kept of a variant, measured on the sound that people will hear: the decoded mp3."""
    from services.composer.engine.judge.ab import measure_variant
    from services.composer.engine.judge.loudness import integrated_lufs, true_peak_dbtp
    from services.composer.engine.music import RENDER_RATE, Master
    from services.composer.providers.sound import outline

    loudness, peak = integrated_lufs(heard, RENDER_RATE), true_peak_dbtp(heard, RENDER_RATE)
    scores = measure_variant(score, Master(heard, loudness, peak))
    return {
        "label": score.label,
        "duration_ms": round(1000 * len(heard) / RENDER_RATE),
        "style": score.style,
        "key": f"{KEY_NAMES[score.key.tonic]} {score.key.mode.value}",
        "tempo_bpm": round(score.tempo_bpm, 2),
        "melody_score": round(scores.melody, 4),
        "loudness_lufs": round(loudness, 2),
        "true_peak_dbtp": round(peak, 2),
        "peaks": outline(heard),
        "chords": [chord.name for chord in score.chords],
        "instruments": [part.name for part in score.parts],
        "scores": asdict(scores),
    }


def _judge(request: dict[str, Any], _blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.engine.draw.cover import draw_cover
    from services.composer.engine.judge.ab import VariantScores, recommend
    from services.composer.engine.music import Key, Mode

    made = request["variants"]
    result = recommend(*(VariantScores(**made[label]["scores"]) for label in ("A", "B")))
    best = made[result.recommended]
    answer: dict[str, Any] = {"recommended": result.recommended}
    for scores in result.variants:
        chosen = scores.label == result.recommended
        remarks = list(result.reasons) if chosen else []
        answer[scores.label] = {"score": round(scores.total, 4), "recommended": chosen, "remarks": remarks}
    tonic, _, mode = best["key"].partition(" ")
    key = Key(KEY_NAMES.index(tonic), Mode(mode))
    return answer, draw_cover(best["peaks"], key, best["tempo_bpm"], request["seed"])


def _appraise(request: dict[str, Any], blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.providers.appraisal import appraise

    return appraise(blob, ffmpeg=request["ffmpeg"]), b""


def _compare(request: dict[str, Any], blob: bytes, _say: Callable[[float, str], None]) -> tuple[dict[str, Any], bytes]:
    from services.composer.providers.appraisal import compare

    return compare(request["variants"], blob, request["seed"])


_TASKS = {
    "appraise": _appraise,
    "compare": _compare,
    "check": _check,
    "listen": _listen,
    "hear": _hear,
    "segment": _segment,
    "change": _change,
    "make": _make,
    "judge": _judge,
    "export": _export,
}


def _end_with(source: int) -> None:
    """End the process when the other side of standard input is gone."""
    # Not through the buffered reader: its lock, held by this thread, would abort the interpreter at its proper end.
    os.read(source, 1)
    os._exit(1)


def main() -> None:
    """Do the piece of work that standard input brings."""
    from services.composer.engine.errors import TakeRefusedError

    source = sys.stdin.buffer
    # What a native library prints must not get between the lines of the answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.loads(source.readline())
    blob = source.read(request["blob"])
    threading.Thread(target=_end_with, args=(source.fileno(),), daemon=True).start()

    def send(message: dict[str, Any], data: bytes = b"") -> None:
        out.write(json.dumps(message).encode() + b"\n" + data)
        out.flush()

    def say(share: float, what: str) -> None:
        send({"percent": round(100 * share), "text": what})

    request["ffmpeg"] = _ffmpeg(request["ffmpeg"])
    try:
        answer, data = _TASKS[request["task"]](request, blob, say)
    except TakeRefusedError as error:
        send({"refused": error.code, "measure": error.measure})
        return
    send({"answer": answer, "blob": len(data)}, data)


def _ffmpeg(configured: str) -> str:
    from services.composer.providers.sound import ffmpeg_program

    return configured if configured and Path(configured).exists() else ffmpeg_program("")


if __name__ == "__main__":
    main()
