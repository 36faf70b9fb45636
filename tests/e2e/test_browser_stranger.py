"""A stranger who reads nothing: each step is a press on what the page offers next, from the open studio to a friend."""

import sys
import time
from collections.abc import Callable

from playwright.async_api import Locator, Page, expect

from tests.e2e.browsing import PHONE, Open

SONG_MS = 240_000
HUM_MS = 5_000


def _offered(page: Page) -> Locator:
    """Return the one button that the page puts forward: filled, enabled, in sight."""
    return page.locator("main .button:not(.quiet):enabled, main .record:enabled").filter(visible=True).first


async def test_a_stranger_gets_from_the_open_studio_to_a_shared_song(
    open_page: Open, record_property: Callable[[str, object], None]
) -> None:
    """Five presses on what the page puts forward lead to a song that a friend can hear."""
    began = time.monotonic()
    page: Page = await open_page("/")
    pressed: list[str] = []

    async def press(waiting_ms: float = 20_000) -> None:
        button = _offered(page)
        await button.wait_for(timeout=waiting_ms)
        pressed.append(" ".join((await button.inner_text()).split()))
        await button.click()

    await press()
    await page.wait_for_timeout(HUM_MS)  # a person hums
    await press()
    await expect(page.locator("#record")).to_be_hidden(timeout=SONG_MS)
    await press()
    await expect(page.locator("#make")).to_be_enabled(timeout=SONG_MS)
    await press()
    await expect(page.locator("#song")).to_be_visible(timeout=SONG_MS)
    share = page.locator(".sharing").get_by_role("button", name="Get a link")
    pressed.append(await share.inner_text())
    await share.click()
    await expect(page.locator("#share-link")).to_be_focused()
    link = await page.input_value("#share-link")
    seconds = time.monotonic() - began
    record_property("seconds_to_a_shared_song", round(seconds, 1))
    sys.stdout.write(f"\nfrom the open studio to a shared song: {seconds:.1f} s, {HUM_MS / 1000:.0f} s of it humming\n")

    assert pressed == ["Start recording", "Stop recording", "Use this take", "Make my song", "Get a link"]
    friend: Page = await open_page(link, **PHONE)
    await friend.focus("audio")
    await friend.keyboard.press("Space")
    await friend.wait_for_function("() => document.querySelector('audio').currentTime > 0.3")
