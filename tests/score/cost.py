"""What a song costs, each measured in a process that nothing else has warmed up or filled.

`python -m tests.score.cost SECONDS` is that process; it answers with one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.composer.engine.listen.record import analysis_to_json
from services.composer.engine.music import RENDER_RATE
from services.composer.engine.render.song import render
from services.mesh.home import Home
from tests.bench.children import watching
from tests.score.making import SOUNDFONT, Plan, analysis_for, score_for
from tests.score.row import Row

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAN = Plan("mo li hua", "pop", "A", 90.0, 100.0, 0, 20)
_ROUNDS = 3


def render_once(seconds: float) -> dict[str, Any]:
    """Render, mix and master a song twice and return the processor seconds of both, the digests, and its length."""
    score = score_for(replace(_PLAN, seconds=seconds))
    took, digests, length_s = [], [], 0.0
    for _ in range(2):
        began = time.process_time()
        song = render(score, soundfont=SOUNDFONT)
        took.append(time.process_time() - began)
        digests.append(hashlib.sha256(song.audio.tobytes()).hexdigest())
        length_s = len(song.audio) / RENDER_RATE
    other = render(replace(score, seed=score.seed + 1), soundfont=SOUNDFONT)
    return {
        "cold_s": took[0],
        "warm_s": took[1],
        "song_s": length_s,
        "digests": digests,
        "other": hashlib.sha256(other.audio.tobytes()).hexdigest(),
    }


def measure_cost(tick: Callable[[str], None]) -> list[Row]:
    """Return the rows of time, memory and repeatability."""
    runs = []
    for turn in range(_ROUNDS):
        runs.append(_child("cost", 90.0)[0])
        tick(f"cost, round {turn + 1}")
    per_minute = {kind: [60.0 * run[f"{kind}_s"] / run["song_s"] for run in runs] for kind in ("cold", "warm")}
    digests = {digest for run in runs for digest in run["digests"]}
    rows = [
        Row("song", "render, mix and master, CPU seconds a minute", "second song of a process, fastest of 3",
            min(per_minute["warm"]), _ROUNDS, at_most=3.0,
            control=f"median {statistics.median(per_minute['warm']):.1f}"),
        Row("song", "render, mix and master, CPU seconds a minute", "first song of a process, fastest of 3",
            min(per_minute["cold"]), _ROUNDS, at_most=3.0,
            control=f"median {statistics.median(per_minute['cold']):.1f}"),
        Row("song", "different songs out of one wish and seed", "six renders in three processes", float(len(digests)),
            2 * _ROUNDS, at_most=1.0,
            control=f"{len({run['other'] for run in runs} - digests)} with another seed"),
    ]  # fmt: skip
    analysis = json.dumps(analysis_to_json(analysis_for(_PLAN))) + "\n"
    for seconds, most in ((90.0, 700.0), (180.0, 1_000.0)):
        found, peak_bytes = _child("pair", seconds, analysis)
        tick(f"memory, {seconds:.0f} s")
        rows.append(
            Row("song", "memory of the worker and both engines, MB", f"A and B of {seconds:.0f} s at once",
                peak_bytes / 1e6, 1, at_most=most, control=f"{found['seconds']:.1f} s by the clock")
        )  # fmt: skip
    return rows


def _child(module: str, seconds: float, said: str = "") -> tuple[dict[str, Any], int]:
    """Return the answer of one fresh process of a module beside this one, and the most memory of it and all below."""
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.score.{module}", str(seconds)],
        cwd=Path(__file__).parents[2],
        env={**Home().environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        with watching(process.pid) as peak:
            out, _ = process.communicate(said.encode(), timeout=600)
        if process.returncode:
            raise ChildProcessError(f"{module} ended with status {process.returncode}")
    return dict(json.loads(out.splitlines()[-1])), peak.highest_bytes


def main() -> None:
    """Render a song of the length that the command line names."""
    sys.stdout.write(json.dumps(render_once(float(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
