"""The offline engine behind the provider's border: real processes, one real song, and every way to stop them."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.config import Config
from services.composer.domain.errors import ProviderFailed
from services.composer.engine.judge.loudness import integrated_lufs
from services.composer.engine.listen.record import analysis_to_json
from services.composer.engine.music import ANALYSIS_RATE, RENDER_RATE
from services.composer.providers import Order, Stopped, TakeRefused
from services.composer.providers.offline import OfflineProvider
from services.composer.providers.sound import SoundUnreadable, decode, encode_mp3, ffmpeg_program, outline
from services.composer.storage.tables import jobs
from services.composer.worker import runner as worker
from services.kit.jobs.states import State
from services.mesh.hum import SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, synthesize_hum
from tests.composer.hand_made import analysis_of
from tests.composer.singer import pink_noise, speak
from tests.composer.studio import Band, Studio, until

FFMPEG = ffmpeg_program("")


def engine() -> OfflineProvider:
    """Return the engine with the best soundfont there is."""
    return OfflineProvider(soundfont="", ffmpeg="")


def processes() -> list[psutil.Process]:
    """Return the engine's processes that we have started and that live."""
    found = []
    for each in psutil.Process().children():
        try:
            if "services.composer.providers.offline_process" in each.cmdline():
                found.append(each)
        except psutil.Error:  # it ended while we looked
            continue
    return found


@cache
def mp3(what: str) -> bytes:
    """Return a take as Media would store it."""
    makers: dict[str, Callable[[], NDArray[Any]]] = {
        "hum": lambda: synthesize_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, rate=ANALYSIS_RATE, seed=SAMPLE_SEED),
        "silence": lambda: np.zeros(8 * ANALYSIS_RATE),
        "noise": lambda: 0.1 * pink_noise(8 * ANALYSIS_RATE, 1),
        "speech": lambda: speak(8.0, 1),
    }
    sound = makers[what]()
    stereo = np.stack([sound, sound], axis=1).astype(np.float32)
    return encode_mp3(stereo, rate=ANALYSIS_RATE, ffmpeg=FFMPEG, title=what)


def order() -> Order:
    """Return an order for half a minute of a tune that needs no listening."""
    analysis = json.loads(json.dumps(analysis_to_json(analysis_of("twinkle"))))
    return Order(label="A", analysis=analysis, title="Song", style="pop", mood="", duration_s=30.0, seed=1)


class Hands(Band):
    """Hears what stands in a hand-made analysis at once, so that a test gets to the rendering soon."""

    async def listen(self, take: bytes, stop: Callable[[], bool]) -> dict[str, object]:
        """Return the analysis."""
        return order().analysis


@dataclass
class Made:
    """A song that the engine made although one of its processes was killed."""

    job_attempt: int
    track: pb.Track
    steps: dict[str, int]
    entries: list[int]
    sounds: dict[str, NDArray[np.float32]]
    cover: bytes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def song(house: Studio) -> AsyncIterator[Made]:
    """Yield a song of a bundled hum; at the first attempt one of its renderers is killed."""
    await house.new_user()
    answer = await house.create(await house.asset(mp3("hum")), title="夏天的风", duration_s=30, seed=11)
    runner = house.runner(engine(), engine())
    running = asyncio.create_task(runner.run(answer.job_id))

    async def rendering() -> bool:
        return (await house.job(answer.job_id)).step == "music_generate" and len(processes()) == 2

    await until(rendering, within_s=90)
    os.kill(processes()[0].pid, signal.SIGKILL)
    await running
    waiting = await house.job(answer.job_id)
    assert (waiting.state, waiting.attempt, processes()) == (State.QUEUED, 1, [])
    job = await house.finish(answer.job_id, runner)
    track = await house.track(answer.track_id)
    async with house.db.transaction() as tx:
        table = jobs.steps
        rows = await tx.execute(table.select().where(table.c.job_id == answer.job_id))
        found = list(rows.mappings())
    sounds = {}
    for each in track.variants:
        data = await read(house, each.asset_id)
        sounds[each.label] = decode(data, rate=RENDER_RATE, channels=2, ffmpeg=FFMPEG)
    cover = next(row["result"]["cover_asset_id"] for row in found if row["name"] == "ab_eval")
    yield Made(
        job_attempt=job.attempt,
        track=track,
        steps={row["name"]: row["attempt"] for row in found},
        entries=await house.entries(),
        sounds=sounds,
        cover=await read(house, cover),
    )


async def read(studio: Studio, asset_id: str) -> bytes:
    """Return the file of an asset of the person."""
    request = media_pb2.ReadAssetRequest(asset_id=asset_id, user_id=studio.user_id)
    return b"".join([each.chunk async for each in studio.media("composer").ReadAsset(request)])


@pytest.mark.timeout(240)
def test_a_killed_renderer_costs_one_attempt(song: Made) -> None:
    """After kill -9 of a renderer the song is made at the second attempt, from there on, and charged once."""
    assert song.job_attempt == 2
    assert song.steps == {
        "audio_check": 1,
        "audio_analyze": 1,
        "segment_pick": 1,
        "compose_params": 1,
        "music_generate": 2,
        "ab_eval": 2,
    }
    assert song.entries == [-20, 100]
    assert song.track.state == pb.Track.STATE_READY


@pytest.mark.timeout(240)
def test_two_different_songs(song: Made) -> None:
    """There are variants A and B that sound different, and exactly one is recommended, with its reasons."""
    one, other = song.track.variants
    assert (one.label, other.label) == ("A", "B")
    assert sorted((one.recommended, other.recommended)) == [False, True]
    chosen = one if one.recommended else other
    assert song.track.chosen_variant_id == chosen.variant_id
    assert chosen.score == max(one.score, other.score)
    assert chosen.remarks
    shorter = min(len(sound) for sound in song.sounds.values())
    apart = song.sounds["A"][:shorter] - song.sounds["B"][:shorter]
    assert float(np.sqrt((apart**2).mean())) > 0.3 * float(song.sounds["A"].std())
    assert (one.style, list(one.instruments), list(one.chords)) != (
        other.style,
        list(other.instruments),
        list(other.chords),
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("label", ["A", "B"])
def test_what_is_measured_is_true(song: Made, label: str) -> None:
    """The tune is clear, and loudness and length are those of the file that people hear."""
    variant = next(each for each in song.track.variants if each.label == label)
    sound = song.sounds[label]
    assert variant.melody_score >= 0.8
    assert -15.0 <= variant.loudness_lufs <= -13.0
    assert abs(integrated_lufs(sound, RENDER_RATE) - variant.loudness_lufs) < 0.1
    assert abs(1000 * len(sound) / RENDER_RATE - variant.duration_ms) < 50
    assert 20_000 <= variant.duration_ms <= 45_000
    assert len(variant.peaks) == 256
    assert max(variant.peaks) > 50


@pytest.mark.timeout(240)
def test_what_was_heard(song: Made) -> None:
    """The hum of Ode to Joy is shown in its key and near its tempo, or half or twice that."""
    heard = song.track.analysis
    assert heard.key == "D major"
    assert min(abs(heard.tempo_bpm * factor - SAMPLE_TEMPO_BPM) for factor in (0.5, 1, 2)) < 4
    assert len(heard.notes) >= 20


@pytest.mark.timeout(240)
def test_the_cover_is_a_picture(song: Made) -> None:
    """The cover is a JPEG that opens."""
    with Image.open(io.BytesIO(song.cover)) as picture:
        picture.load()
        assert picture.format == "JPEG"
        assert min(picture.size) >= 300
    assert song.track.cover_url


@pytest.mark.parametrize(
    ("what", "reasons"),
    [
        ("silence", {"TAKE_SILENT"}),
        ("noise", {"TAKE_NOISE", "TAKE_NO_MELODY"}),
        ("speech", {"TAKE_SPEECH"}),
    ],
)
async def test_takes_that_are_no_tune(studio: Studio, what: str, reasons: set[str]) -> None:
    """Silence, noise and speech fail the job with their reason at the first look, and the credits come back."""
    answer = await studio.create(await studio.asset(mp3(what)))
    job = await studio.finish(answer.job_id, studio.runner(engine(), engine()))
    assert (job.state, job.attempt, job.step) == (State.FAILED, 1, "audio_check")
    assert job.error_reason in reasons
    assert await studio.entries() == [20, -20, 100]
    assert processes() == []


async def test_the_worker_as_it_is_composed(studio: Studio, database_url: str, redis_url: str) -> None:
    """The worker that the composition root builds takes the server's jobs and delivers what they leave."""
    answer = await studio.create(await studio.asset(mp3("silence")))
    config = Config(database_url=database_url, redis_url=redis_url)
    async with worker(config, studio.mesh.peers("composer")) as parts:
        assert parts.queues == ("lyrics", "music", "export")
        await parts.runner.run(answer.job_id)
        assert parts.dispatcher is not None
        await parts.dispatcher.drain()
    assert (await studio.job(answer.job_id)).error_reason == "TAKE_SILENT"
    assert await studio.entries() == [20, -20, 100]


async def test_cancelling_ends_the_processes(studio: Studio) -> None:
    """Soon after a song is cancelled no process of the engine is left, and the credits are back once."""
    answer = await studio.create()
    running = asyncio.create_task(studio.runner(Hands(), engine()).run(answer.job_id))
    await until(lambda: len(processes()) == 2)
    request = job_pb.CancelJobRequest(job_id=answer.job_id)
    await studio.jobs().CancelJob(request, metadata=studio.metadata())
    await until(lambda: processes() == [], within_s=10)
    await running
    assert (await studio.job(answer.job_id)).state is State.CANCELLED
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [20, -20, 100]


async def test_a_lost_lease_ends_the_processes(studio: Studio) -> None:
    """A worker whose lease was taken ends its processes and writes nothing more."""
    answer = await studio.create()
    running = asyncio.create_task(studio.runner(Hands(), engine()).run(answer.job_id))
    await until(lambda: len(processes()) == 2)
    await studio.steal(answer.job_id)
    stolen = (await studio.job(answer.job_id)).last_sequence
    await until(lambda: processes() == [], within_s=10)
    await running
    job = await studio.job(answer.job_id)
    assert (job.state, job.last_sequence) == (State.RUNNING, stolen)


async def test_a_worker_that_leaves(studio: Studio) -> None:
    """A worker that is told to stop ends its processes and gives the job back without costing an attempt."""
    answer = await studio.create()
    runner = studio.runner(Hands(), engine())
    running = asyncio.create_task(runner.run(answer.job_id))
    await until(lambda: len(processes()) == 2)
    await runner.stop(5.0)
    await running
    assert processes() == []
    job = await studio.job(answer.job_id)
    assert (job.state, job.attempt) == (State.QUEUED, 0)


async def test_stopping_by_asking() -> None:
    """A caller that asks to stop gets Stopped, and the process is gone by then."""
    with pytest.raises(Stopped):
        await engine().make(order(), lambda _percent, _what: None, lambda: bool(processes()))
    assert processes() == []


async def started(request: dict[str, Any], blob: bytes = b"") -> asyncio.subprocess.Process:
    """Return a process of the engine that was told what to do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.composer.providers.offline_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    request |= {"blob": len(blob), "soundfont": "", "ffmpeg": ""}
    process.stdin.write(json.dumps(request).encode() + b"\n" + blob)
    await process.stdin.drain()
    return process


async def test_a_process_ends_with_its_worker() -> None:
    """A process whose worker died ends by itself, because its standard input closed."""
    process = await started({"task": "make", "order": order().__dict__})
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()  # the first progress: it is at work
    process.stdin.close()
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1


async def test_a_process_ends_after_its_answer() -> None:
    """A process that nobody ends comes to a proper end after its answer, without a word of complaint."""
    process = await started({"task": "check"}, mp3("silence"))
    assert process.stdout is not None
    assert process.stderr is not None
    said = json.loads(await asyncio.wait_for(process.stdout.read(), 30))
    assert said["refused"] == "silent"
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


async def test_what_is_no_sound() -> None:
    """Bytes that ffmpeg cannot decode are a failure of the provider and not of the worker."""
    with pytest.raises(ProviderFailed) as failed:
        await engine().check(b"no mp3 at all", lambda: False)
    assert failed.value.reason == "GENERATE_PROVIDER_ERROR"
    assert failed.value.metadata == {"task": "check"}


async def test_a_soundfont_that_is_not_there() -> None:
    """An engine that cannot play fails as a provider does."""
    broken = OfflineProvider(soundfont="/nowhere/at.all.sf2", ffmpeg="")
    with pytest.raises(ProviderFailed):
        await broken.make(order(), lambda _percent, _what: None, lambda: False)


async def test_a_refusal_keeps_its_measure() -> None:
    """What the engine refuses arrives with its word and what was measured."""
    with pytest.raises(TakeRefused) as refused:
        await engine().check(mp3("silence"), lambda: False)
    assert refused.value.code == "silent"
    assert refused.value.measure


async def test_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that takes longer than it may is ended, and that is a failure of the provider."""
    monkeypatch.setattr("services.composer.providers.offline._LISTEN_TIMEOUT_S", 0.05)
    with pytest.raises(ProviderFailed, match="too long"):
        await engine().check(mp3("hum"), lambda: False)
    assert processes() == []


def test_sounds_survive_the_way_through_mp3() -> None:
    """What is encoded is decoded with its length and level; nothing at all cannot be decoded."""
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RENDER_RATE) / RENDER_RATE)).astype(np.float32)
    data = encode_mp3(np.stack([tone, tone], axis=1), rate=RENDER_RATE, ffmpeg=FFMPEG, title="标题")
    stereo = decode(data, rate=RENDER_RATE, channels=2, ffmpeg=FFMPEG)
    mono = decode(data, rate=ANALYSIS_RATE, channels=1, ffmpeg=FFMPEG)
    assert abs(len(stereo) - RENDER_RATE) < 3000
    assert (stereo.shape[1], mono.ndim) == (2, 1)
    assert abs(float(stereo[5000:-5000].std()) - float(tone.std())) < 0.05 * float(tone.std())
    assert "标题".encode("utf-16-le") in data or "标题".encode() in data
    with pytest.raises(SoundUnreadable):
        decode(b"", rate=RENDER_RATE, channels=1, ffmpeg=FFMPEG)


def test_an_outline() -> None:
    """The outline is the loudest value of each stretch in per cent, and never above 100."""
    sound = np.concatenate([np.full(100, 0.25), np.full(100, -0.5), np.full(100, 1.5)]).astype(np.float32)
    assert outline(sound, 3) == [25, 50, 100]
    assert outline(np.stack([sound, np.zeros(300, dtype=np.float32)], axis=1), 3) == [25, 50, 100]
    assert len(outline(sound[:10])) == 256
