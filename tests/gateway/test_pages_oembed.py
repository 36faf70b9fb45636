"""Shares as oEmbed tells them: which addresses are ours, how wide a player may be, and what other sites get."""

import html
import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gateway.pages_oembed import code_of
from tests.gateway.test_pages import CODE, NASTY, Shares, _Revoked, http, mesh, shares  # noqa: F401  # fixtures

LINK = f"http://gateway.test/s/{CODE}"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (LINK, CODE),
        (f"{LINK}/", CODE),
        (f"{LINK}/player", CODE),
        (f"https://gateway.test/s/{CODE}?utm=1#top", CODE),
        (f"http://elsewhere.test/s/{CODE}", ""),
        (f"http://gateway.test:81/s/{CODE}", ""),
        (f"http://gateway.test@elsewhere.test/s/{CODE}", ""),
        ("http://gateway.test/s/../api/v1/users/me", ""),
        (f"ftp://gateway.test/s/{CODE}", ""),
        ("", ""),
        (f"{LINK}?{'x' * 4000}", ""),
    ],
)
def test_only_our_own_pages_are_shares(address: str, code: str) -> None:
    """The address of a page or player here gives its code; any other host, port, scheme or path gives none."""
    assert code_of(address, "http://gateway.test") == code


async def _ask(client: TestClient[Any, Any], **asked: str) -> tuple[int, dict[str, Any]]:
    answer = await client.get("/oembed", params=asked)
    return answer.status, await answer.json()


async def test_another_site_gets_a_player(http: TestClient[Any, Any], shares: Shares) -> None:  # noqa: F811
    """The answer is oEmbed 1.0 with a frame of our player, title and picture, and is not counted as an opening."""
    status, answer = await _ask(http, url=LINK, format="json")
    assert status == 200
    assert (answer["version"], answer["type"], answer["title"]) == ("1.0", "rich", "Morning 晨曲")
    assert (answer["width"], answer["height"], answer["thumbnail_url"]) == (480, 180, "http://objects.test/cover.jpg")
    assert f'<iframe src="{LINK}/player" width="480" height="180"' in answer["html"]
    assert shares.methods == ["HEAD"]


@pytest.mark.parametrize(("asked", "width"), [("300", 300), ("480", 480), ("9999", 480), ("10", 240), ("0", 240)])
async def test_the_player_is_as_wide_as_it_may_be(http: TestClient[Any, Any], asked: str, width: int) -> None:  # noqa: F811
    """`maxwidth` makes the player narrower, but never so narrow that it cannot be used."""
    _, answer = await _ask(http, url=LINK, maxwidth=asked)
    assert answer["width"] == width
    assert f'width="{width}"' in answer["html"]


async def test_what_people_wrote_stays_text(http: TestClient[Any, Any], shares: Shares) -> None:  # noqa: F811
    """A title with markup is escaped in the frame, and the whole is one frame and nothing else."""
    shares.track.title = NASTY
    _, answer = await _ask(http, url=LINK)
    assert answer["title"] == NASTY
    assert re.fullmatch(r"<iframe [^<>]*></iframe>", answer["html"])
    assert html.escape(NASTY, quote=True) in answer["html"]


async def test_what_cannot_be_shown_is_refused(http: TestClient[Any, Any], shares: Shares) -> None:  # noqa: F811
    """A foreign address and an unknown code are 404, a share called back 410, another format 501, a bad width 400."""
    assert (await _ask(http, url="http://elsewhere.test/s/abcDEF2345"))[0] == 404
    assert (await _ask(http, url="http://gateway.test/s/zzzzzzzzzz"))[0] == 404
    assert (await _ask(http))[0] == 404
    status, body = await _ask(http, url=LINK, maxwidth="wide")
    assert (status, body["details"]["fields"][0]["field"]) == (400, "maxwidth")
    assert (await http.get("/oembed", params={"url": LINK, "format": "xml"})).status == 501
    shares.error = _Revoked("called back")
    assert (await _ask(http, url=LINK))[0] == 410


async def test_the_page_names_its_oembed(http: TestClient[Any, Any]) -> None:  # noqa: F811
    """The page of a share links to its description, and that link answers."""
    page = await (await http.get(f"/s/{CODE}", headers={"Accept": "text/html"})).text()
    found = re.search(r'<link rel="alternate" type="application/json\+oembed" href="http://gateway.test([^"]+)"', page)
    assert found is not None
    answer = await http.get(html.unescape(found[1]))
    assert (await answer.json())["title"] == "Morning 晨曲"
