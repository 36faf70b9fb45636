"""Moderation from the first word to a later verdict, with WeChat's stand-in behind a mesh (scenario E-16)."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.conftest import home_at
from tests.e2e.people import Person, until
from tests.fakes.stand_in import served
from tests.fakes.wechat import Wechat
from tests.fakes.wechat_push import Callback

AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
TOKEN = "push-token-of-the-test"
# Songs of words take the engine a few seconds.
WORDS = {"lyrics": "[verse]\n海边的风\n慢慢地吹", "duration_s": 30, "seed": 3, "title": "晨曲"}


@pytest.fixture(scope="module")
async def wechat() -> AsyncIterator[Wechat]:
    """Yield WeChat's stand-in."""
    async with served(Wechat(push_pause_s=0.2)) as running:
        yield running
        await running.close()


@pytest.fixture(scope="module")
async def checked(homes: Callable[[str], Path], wechat: Wechat) -> AsyncIterator[RunningMesh]:
    """Yield a mesh whose words and sounds WeChat judges."""
    settings = {
        **wechat.settings(),
        "MODERATION_CHECKS": "wechat",
        "MODERATION_SOUND": "1",
        "WECHAT_PUSH_TOKEN": TOKEN,
        "WECHAT_PUSH_AES_KEY": AES_KEY,
    }
    async with running_mesh(home_at(homes("checked"), **settings)) as running:
        callback = Callback(f"{running.base_url}/api/v1/wechat/push", TOKEN, AES_KEY)
        assert await wechat.pusher.check(callback, stamp=str(int(wechat.clock().timestamp())))
        wechat.pusher.callback = callback
        yield running


@pytest.fixture
async def reader(checked: RunningMesh, wechat: Wechat) -> AsyncIterator[Person]:
    """Yield somebody new who comes from WeChat."""
    async with Person(checked.base_url) as person:
        code = wechat.new_code("o-reader")
        answer = await person.call("POST", "/api/v1/auth/wechat", {"code": code})
        person.token = answer["access_token"]
        yield person


async def _made(reader: Person, **wishes: Any) -> str:
    created = await reader.call("POST", "/api/v1/tracks", {**WORDS, **wishes})
    job = await reader.finished(created["job_id"])
    assert job["state"] == "completed", job
    return str(created["track_id"])


async def test_words_and_sounds_are_judged_before_and_after_they_are_shown(
    reader: Person, checked: RunningMesh, wechat: Wechat
) -> None:
    """Risky words cost nothing on any platform, doubtful ones stay with their owner, a later verdict closes a share."""
    before = await reader.credits()
    for platform in ("web", "wxmp"):
        headers = {"X-Platform": platform}
        for path, wish in (
            ("/api/v1/tracks", {**WORDS, "title": "赌场开户"}),
            ("/api/music/generate", {**WORDS, "title": "赌场开户"}),
            ("/api/v1/ai/lyrics", {"theme": "赌场开户"}),
        ):
            answer = await reader.ask("POST", path, json=wish, headers=headers)
            assert answer.refusal == (422, 40005, "CONTENT_REJECTED")
    assert await reader.credits() == before

    doubtful = await _made(reader, title="sandbox-review")
    answer = await reader.ask("POST", f"/api/v1/tracks/{doubtful}/share", json={})
    assert answer.refusal == (422, 40018, "CONTENT_IN_REVIEW")
    assert (await reader.call("GET", f"/api/v1/tracks/{doubtful}"))["track"]["standing"] == "review"
    appeal = await reader.call("POST", f"/api/v1/tracks/{doubtful}/appeal", {"message": "It is a test of the sandbox."})
    assert appeal["moderation"]["appeal"]

    # The words pass; the verdict on the sound is on its way for as long as the stand-in likes.
    wechat.verdict_after_s = 3.0
    wechat.judge("mp3", "risky", 20002)
    track = await _made(reader)
    share = await reader.call("POST", f"/api/v1/tracks/{track}/share", {})
    code = share["share_code"]
    async with Person(checked.base_url) as stranger:
        await stranger.arrive()

        async def opened() -> int:
            return (await stranger.ask("GET", f"/api/v1/shares/{code}")).status

        assert await opened() == 200
        listed = await reader.ask("PATCH", f"/api/v1/shares/{code}", json={"listed": True})
        assert listed.refusal == (422, 40018, "CONTENT_IN_REVIEW")
        assert await until(opened, lambda status: status != 200) == 410
        assert (await stranger.ask("GET", f"/s/{code}", headers={"Accept": "text/html"})).status == 410
    shown = (await reader.call("GET", f"/api/v1/tracks/{track}"))["track"]
    assert (shown["standing"], bool(shown["variants"][0]["audio_url"])) == ("risky", True)


async def test_a_share_leads_into_the_mini_program(reader: Person, wechat: Wechat) -> None:
    """One call asks for page, code and link; a moment later all three are there, and the code is a picture (E-12)."""
    wechat.verdicts.clear()
    track = await _made(reader, title="夜曲")
    wish = {"share_types": ["link", "wxcode", "scheme"]}

    async def shared() -> dict[str, Any]:
        return dict(await reader.call("POST", f"/api/v1/tracks/{track}/share", wish))

    ways = await until(shared, lambda found: not found["pending"])
    assert ways["scheme_url"].startswith("weixin://dl/business/?t=")
    picture = await reader.ask("GET", ways["wxcode_url"])
    assert (picture.status, picture.raw[:8]) == (200, b"\x89PNG\r\n\x1a\n")
    code = ways["share_code"]
    # What the page pages/share/index of the mini-program asks for, with the scene that it was opened with.
    opened = await reader.ask("GET", f"/api/v1/shares/{code}", headers={"X-Platform": "wxmp"})
    assert opened.body["data"]["shared_track"]["title"] == "夜曲"
    assert opened.body["data"]["shared_track"]["audio_url"]
    again = await shared()
    assert (again["share_code"], again["scheme_url"]) == (code, ways["scheme_url"])
