"""Words in the studio: a song without any recording, and lines that follow the voice."""

import json
import re

from playwright.async_api import Page, expect

from tests.e2e.browsing import PHONE, STEP_MS, Open, faults, overflow

SONG_MS = 240_000
WORDS = "[verse]\n海边的夏天风很大\n你来看我写的<b>名字</b>\n[chorus]\n请你记得今晚的月光"


async def test_words_alone_become_a_song_to_sing_along(open_page: Open, axe: str) -> None:
    """Words and a voice are enough for a song; its lines light up as they are sung, a click or a key jumps to one."""
    page: Page = await open_page("/")
    await expect(page.locator("#purse")).to_have_text("100 credits")
    await expect(page.locator("#make")).to_be_disabled()
    await page.click("#words > summary")
    await page.fill("#lyrics", WORDS)
    await expect(page.locator("#make")).to_be_enabled()
    await page.fill("#lyrics", "  ")
    await expect(page.locator("#make")).to_be_disabled()
    await page.fill("#lyrics", WORDS)
    await page.check('input[name="voice_gender"][value="male"]')
    await page.select_option('select[name="duration_s"]', "30")
    async with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/tracks")) as asking:
        await page.click("#make")
    body = json.loads(str((await asking.value).post_data))
    assert body["voice_gender"] == "male"
    assert "asset_id" not in body
    await expect(page.locator("#stages li")).to_have_count(3, timeout=STEP_MS)

    await expect(page.locator("#song")).to_be_visible(timeout=SONG_MS)
    await expect(page.locator("#tune")).to_be_hidden()
    card = page.locator(".variant.a")
    await card.locator(".sung-box > summary").click()
    lines = card.locator(".sung-line")
    assert await lines.count() >= 3
    assert await card.locator(".sung b").count() == 0
    await lines.nth(1).click()
    await expect(lines.nth(1)).to_have_attribute("aria-current", "true")
    await expect(lines.nth(1).locator(".heard").first).to_be_visible()
    for width in (360, 1200):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await overflow(page) == 0
    assert await faults(page, axe) == []

    await page.click("#share")
    await expect(page.locator("#share-link")).to_have_value(re.compile("/s/"))
    friend: Page = await open_page(await page.input_value("#share-link"), **PHONE)
    shared = friend.locator(".timed").get_by_role("button")
    assert await shared.count() >= 3
    assert await faults(friend, axe) == []
    await shared.nth(0).focus()
    await friend.keyboard.press("Tab")
    await expect(shared.nth(1)).to_be_focused()
    await friend.keyboard.press("Enter")
    await expect(shared.nth(1)).to_have_attribute("aria-current", "true")
    await shared.nth(2).click()
    await expect(shared.nth(2)).to_have_attribute("aria-current", "true")
    assert await overflow(friend) == 0

    plain: Page = await open_page("about:blank", java_script_enabled=False)
    await plain.goto(friend.url)
    assert await plain.locator(".timed li").count() == await shared.count()
    assert await plain.locator(".timed button").count() == 0


async def test_a_template_is_somewhere_to_begin(open_page: Open, axe: str) -> None:
    """Whoever is about to ask for words is offered templates in their language; one fills theme, style and mood."""
    page: Page = await open_page("/", **PHONE)
    await page.click("#words > summary")
    await page.focus("#words-theme")
    offered = page.locator("#words-templates button")
    await expect(offered).to_have_count(6)
    await offered.filter(has_text="月下独酌").click()
    await expect(page.locator("#words-theme")).to_have_value("月亮、酒和一个人的影子")
    assert await page.evaluate("new FormData(document.getElementById('wish')).get('style')") == "guofeng"
    assert await page.evaluate("new FormData(document.getElementById('wish')).get('mood')") == "calm"
    await expect(page.locator("#words-write")).to_be_enabled()
    await expect(page.locator("#words-write")).to_be_focused()
    assert await faults(page, axe) == []
    assert await overflow(page) == 0
    await page.click("#language")
    await page.focus("#words-theme")
    await expect(offered.first).to_have_text("Summer by the sea")
