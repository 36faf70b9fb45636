"""Files of strangers, made playable or refused, with the real ffmpeg and libav in their cages."""

import io
import os
import signal
import socketserver
import sys
import threading
import time
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from services.media.domain.errors import UploadDurationInvalid, UploadFormatInvalid
from services.media.domain.sound import MP3
from services.media.domain.upload import Limits
from services.media.jobs import cage
from services.media.jobs.ffmpeg import Ffmpeg, Playable, default_binary
from services.media.jobs.look import look
from services.media.jobs.measure import peaks_of
from tests.media.recordings import SOUNDS, ffmpeg, sound, video

_LIMITS = Limits()
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")


async def _playable(folder: Path, data: bytes, limits: Limits = _LIMITS) -> Playable:
    """Return what becomes of a file with this content."""
    source = folder / "source"
    source.write_bytes(data)
    return await Ffmpeg(default_binary()).make_playable(source, look(source), folder, limits)


@pytest.mark.parametrize("name", SOUNDS)
async def test_every_format(name: str, tmp_path: Path) -> None:
    """Every recording becomes an mp3 of 44.1 kHz and 128 kbit/s of the same length and channels."""
    made = await _playable(tmp_path, sound(name))

    with av.open(str(made.path)) as container:
        stream = container.streams.audio[0]
        assert container.format.name == "mp3"
        assert (stream.codec_context.sample_rate, stream.codec_context.channels) == (44_100, 1)
        assert stream.codec_context.bit_rate == 128_000
    assert made.duration_ms == pytest.approx(2000, abs=60)
    assert len(made.peaks) == 256
    # ffmpeg's sine has an amplitude of one eighth; the codec of old phones keeps half of it.
    assert 5 <= np.median(made.peaks) <= 15


@pytest.mark.parametrize(("channels", "kept"), [(2, 2), (6, 2)])
async def test_channels(channels: int, kept: int, tmp_path: Path) -> None:
    """Stereo stays stereo, and more channels than two become two."""
    data = ffmpeg(
        *("-f", "lavfi", "-i", "sine=frequency=440:duration=1.5", "-ac", str(channels), "-f", "wav", "pipe:1")
    )

    with av.open(str((await _playable(tmp_path, data)).path)) as container:
        assert container.streams.audio[0].codec_context.channels == kept


async def test_cover_picture(tmp_path: Path) -> None:
    """A sound file with a cover picture in it is a sound and no video."""
    picture = tmp_path / "cover.png"
    picture.write_bytes(ffmpeg("-f", "lavfi", "-i", "color=size=64x64:duration=1", "-frames:v", "1", "-f", "apng", "-"))
    take = tmp_path / "take.mp3"
    take.write_bytes(sound("take.mp3"))
    with_cover = tmp_path / "covered.mp3"
    pictured = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-i", str(take), "-i", str(picture), *pictured, str(with_cover))

    assert (await _playable(tmp_path, with_cover.read_bytes())).duration_ms == pytest.approx(2000, abs=60)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("take.mp3", sound("take.mp3"))
    return buffer.getvalue()


def _silent_wav(seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(seconds * 16000)))
    return buffer.getvalue()


def _half(name: str) -> bytes:
    data = sound(name, 4.0)
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"la la la " * 200, "text", id="text"),
        pytest.param(_zip, "zip", id="zip"),
        pytest.param(lambda: video("clip.mp4"), "video", id="mp4 video"),
        pytest.param(lambda: video("clip.webm"), "video", id="webm video"),
        pytest.param(lambda: _half("take.mp3"), "truncated", id="half an mp3"),
        pytest.param(lambda: _half("take.wav"), "truncated", id="half a wav"),
        pytest.param(lambda: _half("take.flac"), "truncated", id="half a flac"),
        pytest.param(lambda: _half("take.caf"), "truncated", id="half a caf"),
        pytest.param(lambda: _half("take.m4a"), "broken", id="half an m4a, its index lost"),
        pytest.param(lambda: sound("take.flac")[:4] + os.urandom(50_000), "broken", id="noise behind a signature"),
        pytest.param(lambda: sound("take.wav")[:60], "truncated", id="a header alone"),
        pytest.param(lambda: sound("take.mp3")[:10] + b"\0" * 5000, "broken", id="a tag alone"),
    ],
)
async def test_refused(data: bytes | Callable[[], bytes], found: str, tmp_path: Path) -> None:
    """Whatever is no whole sound is refused as 30002, naming the field and what it is instead."""
    content = data() if callable(data) else data

    with pytest.raises(UploadFormatInvalid) as caught:
        await _playable(tmp_path, content)
    assert (caught.value.metadata["field"], caught.value.metadata["found"]) == ("file", found)
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(("seconds", "told_ms"), [(0.5, 500), (600.0, 181_000)])
async def test_length(seconds: float, told_ms: int, tmp_path: Path) -> None:
    """A sound under one second or over three minutes is refused as 30003, and no more is decoded than tells it."""
    with pytest.raises(UploadDurationInvalid) as caught:
        await _playable(tmp_path, _silent_wav(seconds))
    assert int(caught.value.metadata["duration_ms"]) == pytest.approx(told_ms, abs=60)


async def test_stated_length(tmp_path: Path) -> None:
    """A file that says how long it is gets that length in its refusal."""
    silence = ("-f", "lavfi", "-i", "anullsrc=sample_rate=8000:channel_layout=mono")
    data = ffmpeg(*silence, "-t", "600", "-f", "flac", "-y", str(tmp_path / "long.flac"))
    assert data == b""

    with pytest.raises(UploadDurationInvalid) as caught:
        await _playable(tmp_path, (tmp_path / "long.flac").read_bytes())
    assert caught.value.metadata["duration_ms"] == "600000"


_SCRIPTS = [
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile '{target}'\n",
    "ID3\n#EXTM3U\n#EXTINF:2,\n{target}\n",
]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[int]]]:
    """Yield the address of an HTTP port on this machine and the list of those who came."""
    visits: list[int] = []

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            visits.append(1)

    with socketserver.TCPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/a.wav", visits
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("script", _SCRIPTS)
@pytest.mark.parametrize("scheme", ["file", "http"])
async def test_playlists(script: str, scheme: str, tmp_path: Path, listener: tuple[str, list[int]]) -> None:
    """A playlist or script leads nobody to another file or host, whatever it is disguised as."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound("take.wav"))
    address, visits = listener
    content = script.format(target=secret if scheme == "file" else address).encode()

    with pytest.raises(UploadFormatInvalid):
        await _playable(tmp_path, content)
    assert visits == []


@pytest.mark.parametrize("script", _SCRIPTS[:2])
@pytest.mark.parametrize("scheme", ["file", "http"])
async def test_ffmpeg_by_itself(script: str, scheme: str, tmp_path: Path, listener: tuple[str, list[int]]) -> None:
    """Even if a playlist got past every look inside, ffmpeg is told what the file is and follows nothing."""
    # A relative name, which the concat demuxer takes for safe.
    (tmp_path / "secret.ts").write_bytes(ffmpeg(*_TONE, "-c:a", "aac", "-f", "mpegts", "pipe:1"))
    address, visits = listener
    source = tmp_path / "source.m3u8"
    source.write_text(script.format(target="secret.ts" if scheme == "file" else address))

    with pytest.raises(UploadFormatInvalid):
        await Ffmpeg(default_binary()).make_playable(source, MP3, tmp_path, _LIMITS)
    assert visits == []


def test_peaks() -> None:
    """Each peak is the loudest magnitude of its stretch in percent, also of the lowest 16-bit value."""
    lows, highs = np.zeros((2, 2560), dtype=np.int16)
    lows[5] = -32768
    highs[15] = 16384

    peaks = peaks_of(lows, highs)

    assert (len(peaks), peaks[0], peaks[1], max(peaks[2:])) == (256, 100, 50, 0)
    assert peaks_of(lows[:3], np.array([0, 16384, 0], dtype=np.int16)) == (0, 50, 0)


async def test_cage_ends_what_hangs() -> None:
    """A program that never ends is killed with its children, and nobody waits longer than its time."""
    before = time.monotonic()
    with pytest.raises(cage.TookTooLong):
        # The program itself ends at once; its child keeps the output open.
        await cage.run(["/bin/sh", "-c", "sleep 30 & exit 0"], cage.Bars(wall_s=0.5))
    with pytest.raises(cage.TookTooLong):
        await cage.run(["sleep", "30"], cage.Bars(wall_s=0.5))

    assert time.monotonic() - before < 10


@pytest.mark.parametrize(
    ("program", "bars"),
    [
        ("while True: pass", cage.Bars(cpu_s=1)),
        ("print(len(bytearray(10**9)))", cage.Bars(memory_mb=300)),
        ("open('big', 'wb').write(bytes(4_000_000))", cage.Bars(file_mb=1)),
    ],
)
async def test_cage_bounds(program: str, bars: cage.Bars, tmp_path: Path) -> None:
    """A program gets no more processor time, memory or disk than its bars allow."""
    code = f"import os; os.chdir({str(tmp_path)!r}); {program}" if "while" not in program else program
    outcome = await cage.run([sys.executable, "-I", "-S", "-c", code], bars)

    assert outcome.code != 0
    if "while" in program:
        assert outcome.used_up


async def test_cage_keeps_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment reaches the program, and its output is cut."""
    monkeypatch.setenv("OBJECT_URL_SECRET", "hunter2")
    outcome = await cage.run(["/bin/sh", "-c", "env; yes | head -c 100000"], cage.Bars(output_bytes=1000))

    assert b"hunter2" not in outcome.output
    assert len(outcome.output) == 1000


async def test_cage_tells_our_faults() -> None:
    """A program that is not there is our fault, not that of the file."""
    outcome = await cage.run(["/nowhere/ffmpeg"], cage.Bars())

    with pytest.raises(OSError, match="nowhere"):
        outcome.check_our_side()
    assert outcome.code != -signal.SIGKILL
