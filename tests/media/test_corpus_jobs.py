"""Files made to do harm, through the real way in; all of them by `python -m tests.media.corpus`."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.media.jobs import cage
from tests.media.conftest import Media
from tests.media.corpus import Report, try_all
from tests.media.hostile import Lure, corpus
from tests.media.lures import escapes, traced, watched

_PART = 130
_TRACED = 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")


async def _try(media: Media, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[Report, list[str]]:
    """Return how a part of the corpus ended, by today's seed, and who touched the lures."""
    scratch = folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with watched(folder / "lures") as watch:
        files = list(corpus(watch.lure))
        report = await try_all(media, random.Random(7).sample(files, count), scratch)
        return report, watch.touched()


@pytest.mark.timeout(300)
async def test_hostile_files(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a good asset or an error with a number, bounded, traceless, and leads nobody anywhere."""
    report, touched = await _try(media, tmp_path, monkeypatch, _PART)

    assert report.faults == []
    assert touched == []
    assert sum(report.ends.values()) == _PART
    assert report.programs > _PART // 4


_FAT = """
import asyncio, json, pathlib, resource, sys
from services.media.jobs import cage
from tests.media.weighing import weighed

async def weights(*programs):
    with weighed(pathlib.Path(sys.argv[1])) as scales:
        ends = [(await cage.run([sys.executable, "-I", "-S", "-c", each], cage.Bars())).code for each in programs]
    return ends, scales.weights_mb()

fat = bytearray(b"x") * (600 * 2**20)
found = asyncio.run(weights("", "x = bytearray(b'x') * (200 * 2**20)", "import os; os.kill(os.getpid(), 24)"))
print(json.dumps([*found, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


@linux
def test_weighed_from_a_fat_process(tmp_path: Path) -> None:
    """A program weighs what it takes itself, though the process that starts it has 600 MiB; it ends as it ended."""
    command = [sys.executable, "-c", _FAT, str(tmp_path / "weights")]
    output = subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=Path(__file__).parents[2]).stdout
    ends, (little, much, _), by_the_kernel = json.loads(output)

    assert ends == [0, 0, -signal.SIGXCPU]
    assert 1 < little < 60
    assert 200 < much < 260
    # Which is why nobody is asked what all children took.
    assert by_the_kernel > 600


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.timeout(300)
async def test_system_calls(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the record of their system calls the programs open no socket, no file outside and start nothing."""
    with traced(tmp_path / "records") as records:
        report, touched = await _try(media, tmp_path, monkeypatch, _TRACED)

    assert (report.faults, touched) == ([], [])
    assert len(records) > _TRACED // 4
    assert [line for record in records for line in escapes(record)] == []


def test_the_corpus_is_large_and_steady() -> None:
    """There are 300 files or more under different names, the same for the same seed."""
    files, again = list(corpus(Lure())), list(corpus(Lure()))

    assert len(files) >= 300
    assert len({file.name for file in files}) == len(files)
    assert files == again


_TRIES = {
    "a file outside": "open('/etc/hostname').read()",
    "a folder outside": "import os; os.listdir('/etc')",
    "a new file outside": "open('/tmp/lure', 'w')",
    "the network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "a local socket": "import socket; socket.socket(socket.AF_UNIX)",
    "another process": "import os; os.fork()",
    "another program": "import subprocess; subprocess.run(['/bin/true'])",
    "somebody else's life": "import os; os.kill(os.getppid(), 0)",
}


@linux
@pytest.mark.parametrize("wish", _TRIES)
async def test_room(wish: str, tmp_path: Path) -> None:
    """A program in its room gets at nothing outside, though we could."""
    room = cage.Room(tmp_path, (Path(sys.prefix), Path(sys.base_prefix)))
    outcome = await cage.run([sys.executable, "-I", "-c", _TRIES[wish]], cage.Bars(), room)

    assert outcome.code == 1
    assert "PermissionError" in outcome.complaint


async def test_room_is_enough(tmp_path: Path) -> None:
    """Inside its folder a program reads, writes, renames and starts threads."""
    code = "import threading, os; open('a', 'w').write('x'); os.rename('a', 'b'); print(open('b').read())"
    code = f"import os; os.chdir({str(tmp_path)!r}); {code}; t = threading.Thread(target=print); t.start(); t.join()"
    room = cage.Room(tmp_path, (Path(sys.prefix), Path(sys.base_prefix)))
    outcome = await cage.run([sys.executable, "-I", "-c", code], cage.Bars(), room)

    assert (outcome.code, outcome.output) == (0, b"x\n\n"), outcome.complaint
