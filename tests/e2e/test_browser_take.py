"""The take in the studio before a song is ordered: judged at once, seen, heard by a click, and corrected."""

import json
from pathlib import Path

from playwright.async_api import Page, expect

from tests.e2e import sounds
from tests.e2e.browsing import PHONE, STEP_MS, Open, overflow

SOUND = "document.querySelector('#heard-player audio')"


async def _send(page: Page, sound: Path) -> None:
    """Choose a file and use it."""
    await page.set_input_files("#file", sound)
    await page.click("#take-use")


async def test_a_take_is_judged_seen_and_heard(open_page: Open, hum: Path) -> None:
    """A good hum is praised; a click on a note plays it and no more, one beside it plays on; changes are ordered."""
    page: Page = await open_page("/")
    await _send(page, hum)
    await expect(page.locator("#heard-verdict")).to_contain_text("A good take: 15 notes", timeout=STEP_MS)
    notes = page.locator("#heard-roll .note")
    await expect(notes).to_have_count(15)
    assert len(str(await page.get_attribute("#heard-roll .voice", "d"))) > 1000
    assert len(str(await page.get_attribute("#heard-roll .loud", "d"))) > 1000
    shown = [await page.input_value(f"#heard-{name}") for name in ("key", "metre", "tempo", "transpose")]
    assert shown == ["D major", "", "108", "0"]
    await expect(page.locator("#heard-metre option:checked")).to_have_text("4/4")
    await expect(page.locator("#price")).to_have_text("20 credits. You have 100.")

    await notes.nth(3).click()
    await page.wait_for_function(f"() => !{SOUND}.paused && {SOUND}.currentTime > 1.5")
    await page.wait_for_function(f"() => {SOUND}.paused")
    assert float(await page.evaluate(f"{SOUND}.currentTime")) < 3.2
    await notes.nth(3).focus()
    await page.keyboard.press("ArrowRight")
    await expect(notes.nth(4)).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_function(f"() => !{SOUND}.paused")
    box = await page.locator("#heard-roll svg").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 4)
    await page.wait_for_function(f"() => !{SOUND}.paused && {SOUND}.currentTime > 6.9")
    await _corrected(page)


async def _corrected(page: Page) -> None:
    """Change the tune, take it back, change it otherwise, in the other language too: only the last change is sent."""
    notes = page.locator("#heard-roll .note")
    await notes.nth(2).focus()
    await page.keyboard.press("ArrowUp")
    await page.click("#language")
    await expect(page.locator("#heard-verdict")).to_contain_text("15 个音")
    await page.click("#heard-undo")
    await page.select_option("#heard-key", "B minor")
    await page.select_option("#heard-metre", "3")
    await page.fill("#heard-to", "6.5")
    await page.select_option('select[name="duration_s"]', "30")
    async with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/tracks")) as asking:
        await page.click("#make")
    body = json.loads(str((await asking.value).post_data))
    heard = body["tune_change"].pop("segment_start_ms")
    assert body["tune_change"] == {"key": "B minor", "beats_per_bar": 3, "segment_end_ms": 6500}
    assert 0 <= heard < 1000
    await expect(page.locator("#making")).to_be_visible(timeout=STEP_MS)
    await page.click("#cancel")
    await expect(page.locator("#failed")).to_be_visible(timeout=STEP_MS)


async def test_a_take_that_will_not_do_says_what_to_do(open_page: Open, tmp_path: Path) -> None:
    """Speech is refused in words on a phone before anything is paid, and another take can be chosen."""
    path = tmp_path / "speech.wav"
    path.write_bytes(sounds.speech())
    page: Page = await open_page("/", **PHONE)
    await _send(page, path)
    await expect(page.locator("#heard-verdict")).to_contain_text("听到的是说话", timeout=STEP_MS)
    await expect(page.locator("#make")).to_be_disabled()
    await expect(page.locator("#make-hint")).to_have_text("这段录音做不成歌，请换一段。")
    await expect(page.locator("#heard-edit")).to_be_hidden()
    assert await overflow(page) == 0
    await page.click("#take-other")
    await expect(page.locator("#heard")).to_be_hidden()
    await expect(page.locator("#record")).to_be_visible()


async def test_a_take_that_cannot_be_judged_can_still_be_ordered(open_page: Open, hum: Path) -> None:
    """When nobody answers how the take is, the page says so and lets the person go on."""
    page: Page = await open_page("/")
    await page.route("**/assets/*/tune", lambda route: route.fulfill(status=403, body="{}"))
    await _send(page, hum)
    await expect(page.locator("#heard-verdict")).to_contain_text("could not be judged", timeout=STEP_MS)
    await expect(page.locator("#make")).to_be_enabled()
