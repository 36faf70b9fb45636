"""The pages over HTTP: what a listener, a crawler and a browser get, from a Share service of a few lines."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cadenza.share.v1 import share_service_pb2 as pb
from cadenza.share.v1 import share_service_pb2_grpc
from gateway.app import build
from gateway.config import Config
from services.kit.errors import DomainError, NotFound
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.validation import Validation

CODE = "abcDEF2345"
NASTY = '<img src=x onerror="alert(1)">\'"&'
WECHAT = "Mozilla/5.0 (iPhone) AppleWebKit/605 MicroMessenger/8.0.40"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class _Unknown(NotFound):
    reason = "SHARE_NOT_FOUND"


class _Revoked(DomainError):
    reason = "SHARE_REVOKED"


class Shares(share_service_pb2_grpc.ShareServiceServicer):
    """One share, whose track the test sets."""

    def __init__(self) -> None:
        self.track = pb.SharedTrack(
            share_code=CODE,
            title="Morning 晨曲",
            audio_url="/_objects/cadenza/a.mp3?sig=1&exp=2",
            duration_ms=75_400,
            cover_url="http://objects.test/cover.jpg",
            style="guofeng",
            key="D minor",
            tempo_bpm=96.4,
            lyrics="line one\nline two",
            peaks=[0, 50, 100] * 80,
            link_url=f"http://gateway.test/s/{CODE}",
            chords=["Dm", "Gm7", "A7"],
            provider="offline",
        )
        self.error: Exception | None = None
        self.methods: list[str] = []

    async def ResolveShare(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return the track, or fail as the test wants."""
        self.methods.append(dict(context.invocation_metadata()).get("x-http-method", ""))
        if self.error is not None:
            raise self.error
        if request.share_code != CODE:
            raise _Unknown("no share has this code")
        return pb.ResolveShareResponse(shared_track=self.track)


def _made(cls: Any) -> Any:
    return cls()


@pytest.fixture
def shares() -> Shares:
    """Return the service."""
    made: Shares = _made(Shares)
    return made


@pytest.fixture
def mesh(shares: Shares) -> LocalMesh:
    """Return a mesh that holds nothing but Share."""
    local = LocalMesh()
    registered = Registered(share_service_pb2_grpc.add_ShareServiceServicer_to_server, shares)
    local.add(Application("share", [registered]), (Deadlines, Errors, Validation))
    return local


@pytest.fixture
async def http(mesh: LocalMesh, config: Config) -> AsyncIterator[TestClient[Any, Any]]:
    """Yield the client of a gateway in front of it."""
    app = await build(config, mesh.peers("gateway"))
    async with TestClient(TestServer(app)) as client:
        yield client


async def _html(http: TestClient[Any, Any], path: str, status: int = 200, **headers: str) -> str:
    answer = await http.get(
        path, headers={**BROWSER, **{name.replace("_", "-"): text for name, text in headers.items()}}
    )
    assert answer.status == status
    assert answer.content_type == "text/html"
    return await answer.text()


async def test_share_page_plays_and_previews(http: TestClient[Any, Any]) -> None:
    """The page of a share holds a sound that plays without scripts, the facts, and absolute addresses for previews."""
    html = await _html(http, f"/s/{CODE}", Accept_Language="en")

    audio = "http://gateway.test/_objects/cadenza/a.mp3?sig=1&amp;exp=2"
    assert re.search(rf'<audio [^>]*\bcontrols\b[^>]*src="{re.escape(audio)}"', html)
    for name, content in {
        "og:title": "Morning 晨曲",
        "og:url": f"http://gateway.test/s/{CODE}",
        "og:image": "http://objects.test/cover.jpg",
        "og:audio": audio,
        "og:locale": "en_US",
    }.items():
        assert f'<meta property="{name}" content="{content}">' in html
    assert f'<meta name="twitter:player" content="http://gateway.test/s/{CODE}/player">' in html
    for fact in ("Guofeng", "D minor", "96 bpm", "1:15", "Offline engine", "<li>Gm7</li>", "line one\nline two"):
        assert fact in html
    assert '<path d="M2 ' in html
    assert len(html.encode()) < 30_000


async def test_share_page_escapes_every_text(http: TestClient[Any, Any], shares: Shares) -> None:
    """Whatever people wrote is shown as they wrote it and never becomes markup or a link that runs."""
    for field in ("title", "style", "key", "lyrics"):
        setattr(shares.track, field, NASTY)
    shares.track.chords[:] = [NASTY]
    shares.track.audio_url = 'javascript:alert("1")'
    shares.track.cover_url = "//elsewhere.test/x.png"

    for path in (f"/s/{CODE}", f"/s/{CODE}/player"):
        html = await _html(http, path)

        assert "<img src=x" not in html
        assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in html
        assert "javascript:" not in html
        assert "elsewhere.test" not in html


async def test_sung_lines_are_shown_with_their_times(http: TestClient[Any, Any], shares: Shares) -> None:
    """Lines that are sung stand instead of the bare words, each syllable with its time; the page stays small."""
    for number in range(60):
        syllables = [
            pb.SharedSyllable(text=each, start_ms=1000 * number + at) for at, each in enumerate("海边的夏天风很大呀")
        ]
        line = pb.SharedLine(text="海边", start_ms=1000 * number, end_ms=1000 * number + 900, syllables=syllables)
        shares.track.lines.append(line)
    shares.track.lines[1].syllables[0].text = NASTY
    html = await _html(http, f"/s/{CODE}")
    assert '<li data-at="0" data-end="900"><span data-at="0">海</span><span data-at="1">边</span>' in html
    assert "<img src=x" not in html
    assert "line one" not in html
    assert len(html.encode()) < 30_000


async def test_wechat_is_shown_the_mini_program(http: TestClient[Any, Any]) -> None:
    """Inside WeChat the page guides to the mini-program with the share code, and nowhere else."""
    guide = f'data-mini-program-path="pages/share/index?code={CODE}"'

    assert guide in await _html(http, f"/s/{CODE}", User_Agent=WECHAT)
    assert "data-mini-program-path" not in await _html(http, f"/s/{CODE}", User_Agent="Mozilla/5.0 Safari")


@pytest.mark.parametrize(
    ("path", "error", "status", "words"),
    [
        ("/s/unknownone", None, 404, "No such share"),
        (f"/s/{'x' * 60}", None, 404, "No such share"),
        (f"/s/{CODE}", _Revoked("called back"), 410, "This share was called back"),
        (f"/s/{CODE}", RuntimeError("secret detail"), 503, "Not available just now"),
    ],
)
async def test_share_that_cannot_be_shown(
    http: TestClient[Any, Any], shares: Shares, path: str, error: Exception | None, status: int, words: str
) -> None:
    """Unknown, revoked and broken shares are pages of their own with the true status and no detail."""
    shares.error = error
    html = await _html(http, path, status, Accept_Language="en")

    assert f"<h1>{words}</h1>" in html
    assert "secret detail" not in html
    assert 'content="noindex"' in html


@pytest.mark.parametrize(
    "form", [b"", b"password=", b"password=" + b"x" * 65, b"password=" + b"x" * 4000, b"password=%ff", b"a=1" * 600]
)
async def test_a_password_that_cannot_be_one_is_told_as_wrong(
    http: TestClient[Any, Any], shares: Shares, form: bytes
) -> None:
    """An empty, endless or unreadable password is met by the door again, and Share is not asked."""
    headers = {**BROWSER, "Accept-Language": "en", "Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.post(f"/s/{CODE}", data=form, headers=headers)

    assert answer.status == 403
    assert "That is not the password" in await answer.text()
    assert shares.methods == []


async def test_share_service_is_down(http: TestClient[Any, Any], mesh: LocalMesh) -> None:
    """Without Share the page says so with 503 and when to come again."""
    mesh.remove("share")
    answer = await http.get(f"/s/{CODE}", headers=BROWSER)

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert "暂时打不开" in await answer.text()


async def test_language(http: TestClient[Any, Any]) -> None:
    """Pages are Chinese unless the reader's browser, cookie or choice says English, and the choice is kept."""
    assert '<html lang="zh-CN">' in await _html(http, "/")
    assert '<html lang="zh-CN">' in await _html(http, "/", Accept_Language="fr")
    assert '<html lang="en">' in await _html(http, "/", Accept_Language="en-GB,zh;q=0.5")
    assert '<html lang="en">' in await _html(http, "/?lang=en", Accept_Language="zh-CN")
    assert '<html lang="en">' in await _html(http, f"/s/{CODE}", Accept_Language="zh-CN")
    assert '<html lang="zh-CN">' in await _html(http, "/?lang=zh-CN")
    assert '<html lang="zh-CN">' in await _html(http, "/?lang=<script>", Accept_Language="en")


async def test_theme_cookie(http: TestClient[Any, Any]) -> None:
    """A reader's choice of dark holds from the first byte; a foreign value is ignored."""
    assert '<html lang="zh-CN" data-theme="dark">' in await _html(http, "/", Cookie="theme=dark")
    assert "data-theme" not in await _html(http, "/", Cookie="theme=x")


@pytest.mark.parametrize("path", ["/", "/api/docs", f"/s/{CODE}", "/nowhere"])
async def test_pages_run_nothing_inline(http: TestClient[Any, Any], path: str) -> None:
    """No page needs inline script or style, its policy allows none, and nothing is loaded from elsewhere."""
    answer = await http.get(path, headers=BROWSER)
    html, policy = await answer.text(), answer.headers["Content-Security-Policy"]

    assert "script-src 'self';" in policy
    assert "'unsafe-inline'" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", html)
    loaded = re.findall(r'<(?:script|link rel="(?:stylesheet|icon)")[^>]*(?:src|href)="([^"]+)"', html)
    assert loaded
    assert all(address.startswith("/web/") for address in loaded)
    for address in loaded:
        assert (await http.get(address)).status == 200


async def test_player_may_be_framed(http: TestClient[Any, Any]) -> None:
    """The player, and only the player, may be shown inside of other sites."""
    player = await http.get(f"/s/{CODE}/player")
    page = await http.get(f"/s/{CODE}")

    assert "frame-ancestors *" in player.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]


async def test_objects_of_an_s3_server_may_be_shown(mesh: LocalMesh, config: Config) -> None:
    """With an S3 server on plain http its pictures and sounds are in the policy of the pages."""
    elsewhere = replace(config, s3_endpoint_url="http://127.0.0.1:9000", s3_access_key="a", s3_secret_key="b")
    app = await build(elsewhere, mesh.peers("gateway"))
    async with TestClient(TestServer(app)) as client:
        policy = (await client.get("/")).headers["Content-Security-Policy"]

    assert re.search(r"img-src [^;]*http://127\.0\.0\.1:9000", policy)
    assert re.search(r"media-src [^;]*http://127\.0\.0\.1:9000", policy)


async def test_head_is_told_to_share(http: TestClient[Any, Any], shares: Shares) -> None:
    """Share hears that a HEAD is no listener, so that previews by HEAD are not counted."""
    await http.head(f"/s/{CODE}")
    await http.get(f"/s/{CODE}")

    assert shares.methods == ["HEAD", "GET"]


async def test_unknown_address(http: TestClient[Any, Any]) -> None:
    """An unknown address is a page for browsers and the envelope for programs and below the API."""
    assert "这里什么也没有" in await _html(http, "/nowhere", 404)
    for path, headers in (("/nowhere", {"Accept": "*/*"}), ("/nowhere", {}), ("/api/v1/nowhere", BROWSER)):
        answer = await http.get(path, headers=headers)

        assert answer.status == 404
        assert (await answer.json())["error"] == "NOT_FOUND"


async def test_caching(http: TestClient[Any, Any]) -> None:
    """Pages are asked for anew each time, files are kept for ever under their version and only there."""
    page = await http.get("/")
    address = re.findall(r'href="(/web/[^"]+page\.css)"', await page.text())[0]
    fresh = await http.get(address)
    older = await http.get(re.sub(r"/web/[^/]+/", "/web/000000000000/", address))
    again = await http.get(address, headers={"If-None-Match": fresh.headers["ETag"]})

    assert page.headers["Cache-Control"] == "no-cache"
    assert fresh.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (older.status, older.headers["Cache-Control"]) == (200, "no-cache")
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/web/x/pages.py", "/web/x/templates/page.html", "/web/x/../app.py", "/web/x/text/..json"]
)
async def test_only_files_for_browsers_are_served(http: TestClient[Any, Any], path: str) -> None:
    """Templates, code and paths that climb are not files of the pages."""
    assert (await http.get(path)).status == 404


async def test_icon_and_robots(http: TestClient[Any, Any]) -> None:
    """There is an icon, and crawlers may read shares but not the interface."""
    icon, robots = await http.get("/favicon.svg"), await http.get("/robots.txt")

    assert icon.content_type == "image/svg+xml"
    assert "Disallow: /api/v1/" in await robots.text()
