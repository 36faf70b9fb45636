"""The studio in the other engine: what works in Chromium works in Firefox."""

import shutil
from pathlib import Path

import pytest

from services.mesh.up import RunningMesh
from tests.e2e.firefox import NAMES, firefox

_SONG_S = 240.0


@pytest.mark.skipif(not any(shutil.which(name) for name in NAMES), reason="Firefox is not installed")
async def test_a_hum_becomes_a_shared_song_in_firefox(mesh: RunningMesh, hum: Path, tmp_path: Path) -> None:
    """Take, judgement, song, player, link, share page and API page work in Firefox, and its console stays empty."""
    async with firefox(tmp_path) as tab:
        await tab.open(f"{mesh.base_url}/")
        await tab.until("document.querySelector('#purse')?.checkVisibility()", 30.0)
        await tab.put("#file", hum)
        await tab.press("#take-use")
        await tab.until("document.querySelector('#heard-verdict').innerText.includes('15 notes')", 60.0)
        await tab.until("document.querySelectorAll('#heard-roll .note').length === 15", 10.0)
        await tab.press("#make")
        await tab.until("document.querySelector('#song').checkVisibility()", _SONG_S)
        await tab.press("#song .play")
        await tab.until("[...document.querySelectorAll('audio')].some(one => one.currentTime > 0.3)", 30.0)
        await tab.press("#share")
        await tab.until("document.querySelector('#share-link')?.value", 30.0)
        link = await tab.look("document.querySelector('#share-link').value")

        await tab.open(link)
        await tab.look("document.querySelector('audio').play()")
        await tab.until("document.querySelector('audio').currentTime > 0.3", 30.0)
        await tab.open(f"{mesh.base_url}/api/docs")
        await tab.until("document.querySelectorAll('form, details').length > 40", 30.0)
        assert await tab.look("document.documentElement.scrollWidth <= innerWidth")
        assert tab.problems == []
