"""Words that a model writes, in the studio: they grow before one's eyes, and a vendor that is down is not noticed."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.browsing import STEP_MS, Open, faults, overflow
from tests.e2e.conftest import home_at
from tests.fakes.gemini import Gemini
from tests.fakes.ghostwriter import UNSAFE
from tests.fakes.openai_chat import OpenAiChat
from tests.fakes.stand_in import served


@pytest.fixture(scope="session")
async def gemini() -> AsyncIterator[Gemini]:
    """Yield a Gemini that writes slowly enough to be watched."""
    async with served(Gemini(pace_s=0.05)) as vendor:
        yield vendor


@pytest.fixture(scope="session")
async def mesh(homes: Callable[[str], Path], gemini: Gemini) -> AsyncIterator[RunningMesh]:
    """Yield a mesh whose words come from two stand-ins."""
    async with served(OpenAiChat()) as chat:
        home = home_at(homes("models"), WORKERS="0", **gemini.settings(), **chat.settings())
        async with running_mesh(home) as running:
            yield running


async def ask(page: Page, theme: str) -> None:
    """Ask for words about a theme."""
    await expect(page.locator("#purse")).to_contain_text("credits")
    if not await page.locator("#words-theme").is_visible():
        await page.click("#words > summary")
    await page.fill("#words-theme", theme)
    await page.press("#words-theme", "Enter")


async def test_words_grow_before_ones_eyes(open_page: Open, axe: str) -> None:
    """A sheet fills while the model writes, then both versions stand there and say who wrote them."""
    page: Page = await open_page("/")
    await ask(page, "my blue bicycle")
    sheet = page.locator(".written.a[aria-busy=true] .sheet")
    await expect(sheet).to_contain_text("[verse]", timeout=STEP_MS)
    early = await sheet.text_content() or ""
    await expect(page.locator(".written.b[aria-busy=true] .sheet")).to_contain_text("[verse]", timeout=STEP_MS)
    later = await page.locator(".written.a .sheet").text_content() or ""
    assert later.startswith(early)
    assert len(later) > len(early)
    await expect(page.locator(".written button")).to_have_count(2, timeout=STEP_MS)
    await expect(page.locator(".written[aria-busy]")).to_have_count(0)
    await expect(page.locator(".written.a")).to_contain_text("gemini")
    await expect(page.locator("#purse")).to_have_text("90 credits")
    assert (await page.locator(".written.a .sheet").text_content() or "").startswith(early)
    assert await overflow(page) == 0
    assert await faults(page, axe) == []


async def test_nobody_notices_that_a_vendor_is_down(open_page: Open, gemini: Gemini) -> None:
    """A vendor that breaks off in the middle leaves nothing behind: the sheets begin anew, and another one signs."""
    page: Page = await open_page("/")
    gemini.fail("error_in_stream")
    await ask(page, "my blue bicycle")
    await expect(page.locator(".written button")).to_have_count(2, timeout=STEP_MS)
    await expect(page.locator(".written.a")).to_contain_text("openai")
    await expect(page.locator("#purse")).to_have_text("90 credits")


async def test_a_refusal_says_what_to_do(open_page: Open) -> None:
    """What a model refuses is told in a sentence, the credits are back, and another theme is written about."""
    page: Page = await open_page("/")
    await ask(page, UNSAFE[1])
    await expect(page.locator("body")).to_contain_text("Choose another theme", timeout=STEP_MS)
    await expect(page.locator("#purse")).to_have_text("100 credits")
    await ask(page, "the sea")
    await expect(page.locator(".written button")).to_have_count(2, timeout=STEP_MS)
