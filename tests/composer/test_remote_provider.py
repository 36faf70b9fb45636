"""The engine behind a URL, tried against the stand-in of an engine server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.composer.domain.errors import ProviderFailed
from services.composer.domain.vendor import Limits, flaw
from services.composer.providers import Made, Order, Stopped, TakeRefused
from services.composer.providers.appraisal import appraise
from services.composer.providers.remote import RemoteEngine
from services.composer.providers.sound import ffmpeg_program
from tests.fakes.engine import EngineServer, engine_server

ORDER = Order(label="A", analysis={}, title="Ode", style="", mood="", duration_s=30.0, seed=7)


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


@asynccontextmanager
async def remote(seconds: float = 0.05, refuses: str = "") -> AsyncIterator[tuple[RemoteEngine, EngineServer]]:
    """Run a server and a provider that speaks to it."""
    async with engine_server(seconds=seconds, refuses=refuses) as server:
        engine = RemoteEngine(server.url, "a key")
        try:
            yield engine, server
        finally:
            await engine.close()


async def make(engine: RemoteEngine, heard: list[int] | None = None, stop: Callable[[], bool] = never) -> Made:
    """Have the order made."""
    return await engine.make(ORDER, lambda percent, _text: None if heard is None else heard.append(percent), stop)


async def test_a_whole_song() -> None:
    """Every piece of work is answered in the form that the music job expects, with sound and picture."""
    async with remote() as (engine, _):
        check = await engine.check(b"take", never)
        analysis = await engine.listen(b"take", never)
        picked = await engine.pick(analysis, never)
        made = await make(engine)
        judged, cover = await engine.judge({}, 7, never)

    assert check["voiced_ratio"] == 0.9
    assert picked == analysis
    assert (made.label, made.duration_ms, len(made.peaks)) == ("A", 1000, 256)
    assert made.mp3[:3] in {b"ID3", b"\xff\xfb\x90"}
    assert judged[judged["recommended"]]["recommended"]
    assert cover[:2] == b"\xff\xd8"


async def test_its_song_would_count() -> None:
    """What an engine elsewhere makes passes the look at what vendors make: whole, audible, as long as it says."""
    async with remote() as (engine, _):
        made = await make(engine)
    measured = appraise(made.mp3, ffmpeg=ffmpeg_program(""))
    assert flaw(measured, made.duration_ms / 1000, Limits(shortest_s=0.5)) == ""


async def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that cannot be reached within its time fails the attempt with the reason of every maker's failure."""
    monkeypatch.setattr("services.composer.providers.offline._MAKE_TIMEOUT_S", 0.3)
    lost = RemoteEngine("http://127.0.0.1:9", "a key")
    with pytest.raises(ProviderFailed) as failed:
        await make(lost)
    await lost.close()
    assert failed.value.reason == "GENERATE_PROVIDER_ERROR"


async def test_an_order_is_bought_once() -> None:
    """Whoever asks again for the same, also at the same time, gets the one order's answer."""
    async with remote() as (engine, server):
        first, second = await asyncio.gather(make(engine), make(engine))
        third = await make(engine)

    assert first == second == third
    assert list(server.orders.values()) == [1]


async def test_progress_is_heard() -> None:
    """The progress of the order comes through and does not go back."""
    heard: list[int] = []
    async with remote(seconds=1.5) as (engine, _):
        await make(engine, heard)

    assert heard
    assert heard == sorted(heard)


async def test_a_refused_take() -> None:
    """The server's refusal of a take is the provider's."""
    async with remote(refuses="silent") as (engine, _):
        with pytest.raises(TakeRefused) as refused:
            await engine.check(b"take", never)

    assert refused.value.code == "silent"


async def test_the_server_is_away_and_forgets() -> None:
    """A server that goes away in the middle and comes back without its orders is asked until it has answered."""
    async with remote(seconds=0.6) as (engine, server):
        making = asyncio.create_task(make(engine))
        await server.began.wait()
        server.away = True
        await asyncio.sleep(0.15)  # shorter than it takes the client to stop knocking for a while
        server.forget()
        server.away = False
        made = await making

    assert made.label == "A"
    assert list(server.orders.values()) == [2]


async def test_stopping_abandons_the_order() -> None:
    """Whoever stops waiting says so to the server."""
    async with remote(seconds=30.0) as (engine, server):
        stopped = asyncio.Event()
        making = asyncio.create_task(make(engine, stop=stopped.is_set))
        await server.began.wait()
        stopped.set()
        with pytest.raises(Stopped):
            await making

        assert not server.waiting


async def test_nonsense_is_a_failure() -> None:
    """An order that the server refuses, and an answer without sense, fail the attempt instead of hanging it."""
    async with remote() as (engine, server):
        server.answers = b"{"
        with pytest.raises(ProviderFailed):
            await engine.pick({}, never)
        lost = RemoteEngine(f"{server.url}/health?", "")
        with pytest.raises(ProviderFailed):
            await lost.pick({}, never)
        await lost.close()
