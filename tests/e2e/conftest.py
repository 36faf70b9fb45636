"""One mesh for all stories, one hum, and one song that most of them look at."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from services.mesh.home import Home
from services.mesh.hum import SAMPLE_RATE, SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, synthesize_hum
from services.mesh.postgres import Postgres
from services.mesh.up import RunningMesh, running_mesh
from tests.auth.outside import Outside, outside
from tests.e2e import (
    aio_stubs,  # noqa: F401  # before anybody imports the typed client
    npm,
)
from tests.e2e.browsing import ENGLISH, STEP_MS, Open, Watched
from tests.e2e.chromium import NoChromiumError, find_chromium, singing_browser
from tests.e2e.people import Event, Person, Song, until
from tests.e2e.sounds import wav

# Values that a developer's own environment may hold must not reach the mesh under test.
FREE = {
    "GATEWAY_PORT": "0",
    "EDGE_PORT": "0",
    "WORKERS": "1",
    "MESH_PROCESSES": "1",
    "METRICS_PORT": "0",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "S3_ENDPOINT_URL": "",
    "PUBLIC_URL": "",
}
Arrive = Callable[[], Awaitable[Person]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the stories the time that a song takes on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


def home_at(root: Path, **settings: str) -> Home:
    """Return a home with free ports and one worker, whatever the environment says.

    A story makes more songs in a minute than the free plan allows people.
    """
    return Home(root, {**Home(root).environ, **FREE, "RATE_AI_FREE_PER_MINUTE": "600", **settings})


@pytest.fixture(scope="session")
def homes() -> Iterator[Callable[[str], Path]]:
    """Return a maker of folders for homes, which go at the end with their servers' data."""
    directory = Path(tempfile.mkdtemp(prefix="cadenza-e2e-", dir="/var/tmp"))
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(directory / name)
        return made[-1]

    yield make
    for root in made:
        Postgres(root / "postgres").remove()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
async def carriers() -> AsyncIterator[Outside]:
    """Where the letters and short messages of the shared mesh arrive."""
    async with outside() as found:
        yield found


@pytest.fixture(scope="session")
async def mesh(homes: Callable[[str], Path], carriers: Outside) -> AsyncIterator[RunningMesh]:
    """The running mesh that all stories share; it must be as it was when a story ends."""
    settings = {name.upper(): str(value) for name, value in carriers.settings.items()} | {"CODE_RESEND_GAP": "0"}
    async with running_mesh(home_at(homes("shared"), **settings)) as running:
        yield running


@pytest.fixture(scope="session")
def take() -> bytes:
    """The first phrase of the bundled sample as a WAV file: nine seconds with a clear tune."""
    return wav(synthesize_hum(SAMPLE_TUNE[:15], SAMPLE_TEMPO_BPM, seed=SAMPLE_SEED), SAMPLE_RATE)


@pytest.fixture(scope="session")
def hum(take: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same take as a file."""
    path = tmp_path_factory.mktemp("hum") / "hum.wav"
    path.write_bytes(take)
    return path


@pytest.fixture
async def arrive(mesh: RunningMesh) -> AsyncIterator[Arrive]:
    """A maker of new people at the shared mesh."""
    async with AsyncExitStack() as stack:

        async def newcomer() -> Person:
            return await (await stack.enter_async_context(Person(mesh.base_url))).arrive()

        yield newcomer


@pytest.fixture(scope="session")
async def singer(mesh: RunningMesh) -> AsyncIterator[Person]:
    """The person who owns the finished song."""
    async with Person(mesh.base_url) as person:
        yield await person.arrive()


@pytest.fixture(scope="session")
async def song(singer: Person, hum: Path) -> Song:
    """A finished song; its events were read live over a connection that broke off after the third."""
    asset = await singer.ready_asset(hum)
    created = await singer.order(asset["asset_id"])
    path = f"/api/v1/jobs/{created['job_id']}/events"
    events: list[Event] = await singer.stream(path, most=3)
    events += await singer.stream(path, after=events[-1].number)
    track = (await singer.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
    await until(singer.credits, lambda found: found == (80, 0))
    return Song(asset, created, track, events)


@pytest.fixture(scope="session")
async def browser(hum: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone hears the hum."""
    try:
        executable = find_chromium()
    except NoChromiumError as reason:
        pytest.skip(str(reason))
    async with singing_browser(executable, hum) as running:
        yield running


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    modules = npm.install(tmp_path_factory.mktemp("axe"), "axe-core@4.10")
    return (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
async def open_page(browser: Browser, mesh: RunningMesh) -> AsyncIterator[Open]:
    """Open pages as new visitors; at the end none had an error and none asked anybody else for anything."""
    watched: list[Watched] = []
    async with AsyncExitStack() as stack:

        async def open_one(path: str, **settings: Any) -> Page:
            context: BrowserContext = await browser.new_context(
                permissions=["microphone"], base_url=mesh.base_url, **(settings or ENGLISH)
            )
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(STEP_MS)
            watched.append(Watched(page, mesh.base_url))
            await page.goto(path)
            return page

        yield open_one
    assert [each.problems for each in watched if each.problems] == []
    assert [each.strangers for each in watched if each.strangers] == []
