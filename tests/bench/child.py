"""``python -m tests.bench.child TASK``: one measurement in a process that nothing else has warmed up or filled.

Standard input brings one line of JSON, standard output carries the answer as its last line.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

MAKING_SEED = 20


def song(request: dict[str, Any]) -> dict[str, Any]:
    """Compose, render, mix and master one variant of the analysed hum; its progress tells the stages."""
    from services.composer.engine.compose.song import compose
    from services.composer.engine.listen.record import analysis_from_json
    from services.composer.engine.music import RENDER_RATE, Brief
    from services.composer.engine.render.song import render
    from services.composer.engine.render.soundfont import find_soundfont

    analysis = analysis_from_json(request["analysis"])
    began = time.perf_counter()
    score = compose(analysis, Brief(seed=MAKING_SEED), "A")
    stages = {"compose": time.perf_counter() - began}
    entered = [("", time.perf_counter())]

    def progress(_share: float, what: str) -> None:
        before, since = entered[-1]
        entered.append((what, time.perf_counter()))
        # A part is put on the desk as soon as it has been played, so the two are one stage.
        name = {"load": "load soundfont", "play": "play", "mix": "room", "master": "master"}.get(before.split(" ")[0])
        if name:
            stages[name] = stages.get(name, 0.0) + entered[-1][1] - since

    master = render(score, soundfont=find_soundfont(None), progress=progress)
    return {"seconds": time.perf_counter() - began, "song_s": len(master.audio) / RENDER_RATE, "stages": stages}


def synth(request: dict[str, Any]) -> dict[str, Any]:
    """Play the same notes through the bare synthesiser, all parts at once on channels of their own."""
    import tinysoundfont

    from services.composer.engine.compose.song import compose
    from services.composer.engine.listen.record import analysis_from_json
    from services.composer.engine.music import RENDER_RATE, Brief
    from services.composer.engine.render.song import song_samples
    from services.composer.engine.render.soundfont import find_soundfont
    from services.composer.engine.render.synth import _BEND, _ON, _VOICES, events_of

    score = compose(analysis_from_json(request["analysis"]), Brief(seed=MAKING_SEED), "A")
    samples = song_samples(score)
    events = sorted(
        (event.sample, event.kind, channel, event.key, event.value)
        for channel, part in enumerate(score.parts)
        for event in events_of(part, score)
    )
    began = time.perf_counter()
    player = tinysoundfont.Synth(samplerate=RENDER_RATE)
    font = player.sfload(str(find_soundfont(None)), max_voices=_VOICES)
    for channel, part in enumerate(score.parts):
        player.program_select(channel, font, 128 if part.drums else 0, 0 if part.drums else part.program, part.drums)
    sound = memoryview(bytearray(samples * 8))
    position = 0
    for at, kind, channel, key, value in [*events, (samples, -1, 0, 0, 0)]:
        until = min(at, samples)
        if until > position:
            player.generate_simple(until - position, sound[position * 8 : until * 8])
            position = until
        if kind == _ON:
            player.noteon(channel, key, value)
        elif kind == _BEND:
            player.pitchbend(channel, value)
        elif kind >= 0:
            player.noteoff(channel, key)
    return {"seconds": time.perf_counter() - began, "song_s": samples / RENDER_RATE}


def stages(request: dict[str, Any]) -> dict[str, Any]:
    """Do all the engine's work for one track, one piece after the other, and return the seconds of each stage."""
    from services.composer.providers import Order
    from services.composer.providers.offline_process import _TASKS, _ffmpeg

    took: dict[str, float] = {}
    settings = {"soundfont": "", "ffmpeg": _ffmpeg("")}

    def run(stage: str, blob: bytes = b"", **said: Any) -> tuple[Any, bytes]:
        began = time.perf_counter()
        answer = _TASKS[said["task"]]({**said, **settings}, blob, lambda _share, _what: None)
        took[stage] = took.get(stage, 0.0) + time.perf_counter() - began
        return answer

    take = Path(request["take"]).read_bytes()
    run("audio_check", take, task="check")
    heard, _ = run("audio_analyze", take, task="listen")
    picked, _ = run("segment_pick", task="segment", analysis=heard)
    made: dict[str, Any] = {}
    for label in ("A", "B"):
        order = Order(label=label, analysis=picked, **request["order"])
        made[label], _ = run("music_generate", task="make", order=asdict(order))
    run("ab_eval", task="judge", variants=made, seed=request["order"]["seed"])
    return took


def listen(request: dict[str, Any]) -> dict[str, Any]:
    """Hear the take once, for the measurements that begin at its analysis."""
    from services.composer.providers.offline_process import _TASKS, _ffmpeg

    settings = {"soundfont": "", "ffmpeg": _ffmpeg("")}
    heard, _ = _TASKS["listen"](settings, Path(request["take"]).read_bytes(), lambda _share, _what: None)
    return {"analysis": _TASKS["segment"]({**settings, "analysis": heard}, b"", lambda _share, _what: None)[0]}


def libraries(request: dict[str, Any]) -> dict[str, Any]:
    """Import the libraries, say so, and wait until standard input ends."""
    for name in request["libraries"]:
        importlib.import_module(name)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    sys.stdin.read()
    return {}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "song": song,
    "synth": synth,
    "stages": stages,
    "listen": listen,
    "libraries": libraries,
}


def peak_bytes() -> int:
    """Return the most memory this process ever had resident.

    Linux carries ru_maxrss over from the process that started us, so its own high-water mark is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Do the task that the command line names."""
    answer = TASKS[sys.argv[1]](json.loads(sys.stdin.readline()))
    sys.stdout.write("\n" + json.dumps({**answer, "peak_bytes": peak_bytes()}) + "\n")


if __name__ == "__main__":
    main()
