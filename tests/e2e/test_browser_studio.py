"""The pages in a real browser at a real mesh: from the microphone to a song that others hear."""

import asyncio
import json
import re
import wave
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from services.mesh.up import RunningMesh
from tests.e2e.browsing import ENGLISH, PHONE, STEP_MS, Open, overflow

SONG_MS = 240_000
# The address of a sound as it is when its hour is over: refused.
SPOILED = "sound => { sound.src = '/_objects/cadenza/gone.mp3?sig=over'; sound.play().catch(() => {}) }"


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    """Three seconds of nothing as a WAV file."""
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 3 * 16_000))
    return path


async def _bring(page: Page, sound: Path) -> None:
    """Choose a file, hear it shown, use it, and wait until it can be made into a song."""
    await page.set_input_files("#file", sound)
    await page.click("#take-use")
    await expect(page.locator("#make")).to_be_enabled(timeout=STEP_MS)


async def _playing(page: Page, selector: str) -> None:
    """Wait until the sound inside the element really moves."""
    await page.wait_for_function(
        "selector => { const sound = document.querySelector(selector + ' audio');"
        " return sound && !sound.paused && sound.currentTime > 0.3 }",
        arg=selector,
    )


async def test_hum_to_shared_song(open_page: Open) -> None:
    """A person hums, survives a broken stream and a reload, hears both versions, chooses, shares; a friend hears it."""
    page: Page = await open_page("/")
    await expect(page.locator("#purse")).to_have_text("100 credits")
    await expect(page.locator("#price")).to_have_text("20 credits. You have 100.")
    await page.click("#record")
    await expect(page.locator("#clock")).to_have_text("0:06", timeout=STEP_MS)
    await page.click("#record")
    await page.click("#take-player .play")
    await _playing(page, "#take-player")
    await page.click("#take-use")
    await page.check('input[name="style"][value="folk"]')
    await page.fill('input[name="title"]', "<img src=x onerror=alert(1)> 晨曲")
    await page.select_option('select[name="duration_s"]', "30")

    resumed: list[str] = []
    seen = asyncio.Event()

    async def break_off(route: Route) -> None:
        # The first connection ends after one event, without the event `end`.
        event: dict[str, Any] = {
            "state": "queued",
            "step": "",
            "step_progress_percent": 0,
            "progress_percent": 0,
            "final": False,
        }
        event |= {"queue_position": 3, "expected_start_time": "2026-01-02T03:04:05Z"}
        data = json.dumps({"sequence": 1, "job": None, "event": event})
        body = f"id: 1\nevent: change\ndata: {data}\n\n"
        if resumed:
            await seen.wait()
            resumed.append(route.request.headers.get("last-event-id", ""))
            await route.continue_()
        else:
            resumed.append("")
            await route.fulfill(status=200, content_type="text/event-stream", body=body)

    await page.route("**/api/v1/jobs/*/events", break_off)
    await expect(page.locator("#make")).to_be_enabled(timeout=STEP_MS)
    await page.click("#make")
    await expect(page.locator("#making-note")).to_contain_text(
        re.compile("Number 3 in the queue, to begin at about .+:05")
    )
    seen.set()
    await expect(page.locator('#stages [aria-current="step"]')).to_be_visible(timeout=STEP_MS)
    assert resumed[:2] == ["", "1"]
    await page.unroute_all(behavior="ignoreErrors")

    await page.reload()
    await expect(page.locator("#song")).to_be_visible(timeout=SONG_MS)
    await expect(page.locator("#purse")).to_have_text("80 credits")
    assert "<img" not in await page.inner_html("#song-head")
    await _compare(page)

    await page.eval_on_selector(".variant.b audio", SPOILED)
    await _playing(page, ".variant.b")

    await page.click(".variant.a [aria-pressed]")
    await expect(page.locator(".variant.a")).to_have_class(re.compile("chosen"))
    save = await page.request.get(str(await page.get_attribute(".variant.a a[download]", "href")))
    assert save.headers["content-disposition"].startswith("attachment")
    midi = await page.request.get(
        str(await page.get_by_role("link", name="Download version B as MIDI").get_attribute("href"))
    )
    assert (await midi.body())[:4] == b"MThd"
    await page.click(".variant.b .chord-sheet summary")
    await expect(page.locator(".variant.b .chord-sheet pre")).to_contain_text("[chorus]")
    assert await overflow(page) == 0
    await page.click("#share")
    await expect(page.locator("#share-link")).to_have_value(re.compile("/s/"))
    link = await page.input_value("#share-link")
    assert len(await page.query_selector_all("#tracks li")) == 1

    friend: Page = await open_page(link, **PHONE)
    assert "晨曲" in await friend.inner_text("h1")
    await friend.focus("audio")
    await friend.keyboard.press("Space")
    await _playing(friend, "main")
    await friend.eval_on_selector("audio", SPOILED)
    await _playing(friend, "main")
    assert await friend.eval_on_selector(".cover", "picture => picture.naturalWidth") == 800
    assert await overflow(friend) == 0

    plain: Page = await open_page("about:blank", java_script_enabled=False)
    async with plain.expect_response(lambda answer: answer.url == f"{link}/audio") as sound:
        await plain.goto(link)
    assert (await sound.value).status in {200, 206}

    await _change_the_tune(page)


async def _compare(page: Page) -> None:
    """Hear A from its middle, then B: one plays at a time, each from the moment at which the other was left."""
    at = "label => document.querySelector(`.variant.${label} audio`).currentTime"
    await page.click(".variant.a .play")
    await _playing(page, ".variant.a")
    await page.click(".variant.a .wave", position={"x": 60, "y": 20})
    await page.wait_for_function("() => document.querySelector('.variant.a audio').currentTime > 2")
    await page.click(".variant.b .play")
    await _playing(page, ".variant.b")
    left, taken = float(await page.evaluate(at, "a")), float(await page.evaluate(at, "b"))
    assert left > 2
    assert left - 0.1 <= taken < left + 3
    await page.click(".variant.b .play")
    stopped = float(await page.evaluate(at, "b"))
    await page.click(".variant.a .play")
    await page.wait_for_function("from => document.querySelector('.variant.a audio').currentTime > from", arg=stopped)
    assert await page.eval_on_selector_all("audio", "all => all.filter(each => !each.paused).length") == 1
    for label in ("a", "b"):
        await expect(page.locator(f".variant.{label} .facts")).to_contain_text(re.compile(r"Evaluation\s*\d+ of 100"))
        assert await page.locator(f".variant.{label} .melody meter").get_attribute("value")
    assert await page.locator(".remarks").count() == 1


async def _change_the_tune(page: Page) -> None:
    """See the notes on the curve of the voice, move one by the keyboard, and ask for another song of the tune."""
    await page.click("#tune summary")
    notes = page.locator("#tune-roll .note")
    await expect(notes.first).to_be_visible()
    assert await notes.count() >= 6
    assert len(str(await page.get_attribute("#tune-roll .voice", "d"))) > 1000
    before = str(await notes.nth(2).get_attribute("aria-label"))
    await notes.nth(2).focus()
    await page.keyboard.press("ArrowUp")
    await expect(notes.nth(2)).to_be_focused()
    assert await notes.nth(2).get_attribute("aria-label") != before
    await page.keyboard.press("Delete")
    await expect(page.locator("#tune-up")).to_be_enabled()
    await page.select_option("#tune-transpose", "2")
    await page.fill("#tune-tempo", "96")
    for width in (360, 1200):
        await page.set_viewport_size({"width": width, "height": 900})
        right = await page.eval_on_selector_all(
            ".variant, .tune", "all => Math.max(...all.map(each => each.getBoundingClientRect().right))"
        )
        assert right <= width
    assert await overflow(page) == 0

    async with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/tracks")) as asking:
        await page.click("#tune-make")
    body = json.loads(str((await asking.value).post_data))
    assert body["tune_change"]["transpose_semitones"] == 2
    assert body["tune_change"]["tempo_bpm"] == 96
    assert len(body["tune_change"]["notes"]) == await notes.count()
    await expect(page.locator("#making")).to_be_visible(timeout=STEP_MS)
    await page.click("#cancel")
    await expect(page.locator("#failed")).to_be_visible(timeout=SONG_MS)
    await expect(page.locator("#purse")).to_have_text("80 credits")


async def test_cancel_gives_the_credits_back(open_page: Open, hum: Path) -> None:
    """A song that is cancelled says so, and the price is back in the purse."""
    page: Page = await open_page("/")
    await _bring(page, hum)
    await page.click("#make")
    await expect(page.locator("#purse")).to_have_text("80 credits")
    await page.click("#cancel")

    await expect(page.locator("#failed-head")).to_have_text("Cancelled", timeout=STEP_MS)
    await expect(page.locator("#failed-credits")).to_have_text("Your 20 credits are back.")
    await expect(page.locator("#purse")).to_have_text("100 credits")


async def test_words_are_written_into_the_box(open_page: Open) -> None:
    """Asked for words, the page shows two versions with tags, takes one into its box, and the purse has paid ten."""
    page: Page = await open_page("/")
    await expect(page.locator("#purse")).to_have_text("100 credits")
    await page.click("#words > summary")
    await expect(page.locator("#words-write")).to_be_disabled()
    await page.fill("#words-theme", "my blue <b>bicycle</b>")
    await page.press("#words-theme", "Enter")

    await expect(page.locator(".written")).to_have_count(2)
    assert "<b>" not in await page.inner_html("#words-versions")
    await expect(page.locator("#purse")).to_have_text("90 credits")
    await page.click(".written.b button")
    taken = await page.input_value("#lyrics")
    assert taken == await page.locator(".written.b .sheet").evaluate("sheet => sheet.textContent")
    assert "bicycle" in taken
    assert "[chorus]" in taken
    assert await page.input_value("#title")
    assert await overflow(page) == 0


async def test_failure_says_what_to_do(open_page: Open, silence: Path) -> None:
    """A song of a take without a tune costs nothing, and the page says in the reader's language what to do about it."""
    page: Page = await open_page("/", **PHONE)
    await page.set_input_files("#file", silence)
    await page.click("#take-use")
    await expect(page.locator("#heard-verdict")).to_contain_text("录音几乎没有声音", timeout=STEP_MS)
    await expect(page.locator("#make")).to_be_disabled()
    # Who does not go by the page's advice, orders by the interface.
    session = json.loads(str(await page.evaluate("localStorage.getItem('cadenza.session')")))
    order = {"asset_id": str(await page.evaluate("location.hash")).removeprefix("#asset=")}
    headers = {"Authorization": f"Bearer {session['token']}"}
    answer = await page.request.post("/api/v1/tracks", data=order, headers=headers)
    await page.goto(f"/?failed#track={(await answer.json())['data']['track_id']}")

    await expect(page.locator("#failed-words")).to_contain_text("录音几乎没有声音", timeout=SONG_MS)
    await expect(page.locator("#failed-credits")).to_have_text("20 积分已退回。")
    await expect(page.locator("#purse")).to_have_text("100 积分")
    await page.click("#failed-again")
    await expect(page.locator("#heard-verdict")).to_contain_text("录音几乎没有声音", timeout=STEP_MS)


async def test_a_file_chosen_before_the_page_is_ready_is_not_lost(open_page: Open, hum: Path) -> None:
    """On a slow line the texts come late: recording waits for them, and a file that was chosen meanwhile is shown."""
    page: Page = await open_page("/")
    ready = asyncio.Event()

    async def late(route: Route) -> None:
        await ready.wait()
        await route.continue_()

    await page.route("**/text/*.json", late)
    await page.reload()
    await expect(page.locator("#record")).to_be_disabled()
    await page.set_input_files("#file", hum)
    ready.set()

    await expect(page.locator("#take-use")).to_be_visible()
    await expect(page.locator("#record")).to_be_enabled()


async def test_a_refused_file_is_explained(open_page: Open, tmp_path: Path) -> None:
    """A file that is no sound is refused with a sentence, and another one can be chosen at once."""
    page: Page = await open_page("/")
    text = tmp_path / "song.mp3"
    text.write_text("these are words and no sound " * 40)
    await page.set_input_files("#file", text)
    await page.click("#take-use")

    await expect(page.locator("#alert")).to_contain_text("This is not sound of a known format")
    await expect(page.locator("#file")).to_be_enabled()


async def test_language_and_theme_change_in_place(open_page: Open, hum: Path) -> None:
    """Changing the language keeps a take that is not sent yet, words everything anew, and both choices last."""
    page: Page = await open_page("/")
    await page.set_input_files("#file", hum)
    await expect(page.locator("#take-listen")).to_be_visible()
    await page.click("#language")

    await expect(page.locator("#take-use")).to_have_text("就用这一段")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator("#take-listen")).to_be_visible()
    await page.click("#theme")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(page.locator("h1")).to_have_text("哼一段旋律，听成一首歌")


@pytest.mark.parametrize("settings", [ENGLISH, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("path", ["/", "/api/docs", "/s/unknown"])
async def test_everything_has_a_name_and_fits(
    browser: Browser, mesh: RunningMesh, path: str, settings: dict[str, Any]
) -> None:
    """Every control can be called by a name and reached with the keyboard, and nothing is wider than the screen."""
    context = await browser.new_context(base_url=mesh.base_url, **settings)
    page = await context.new_page()
    await page.goto(path)
    await page.wait_for_load_state("networkidle")
    nameless = await page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, select, textarea, [role=slider]")]
            .filter(each => each.checkVisibility() && !(each.getAttribute("aria-label") || each.textContent.trim()
                || each.labels?.length)).map(each => each.outerHTML)"""
    )
    await page.keyboard.press("Tab")
    first = await page.evaluate("document.activeElement.className")

    assert nameless == []
    assert first == "skip"
    assert await overflow(page) == 0
    await context.close()
