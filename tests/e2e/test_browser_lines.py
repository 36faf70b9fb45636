"""The studio on bad lines and among other tabs: slow, cut off, twice open, with a file as large as may be."""

from pathlib import Path

from playwright.async_api import Page, expect

from tests.e2e import sounds
from tests.e2e.browsing import STEP_MS, Open, enter, overflow
from tests.e2e.people import Person, Song

SONG_MS = 240_000
MEBIBYTE = 1024 * 1024
# Bits a second and delay of a poor mobile line.
SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
UNBOUND = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


async def _ready(page: Page, sound: Path) -> None:
    """Bring a take to where its song can be ordered."""
    await page.set_input_files("#file", sound)
    await page.click("#take-use")
    await expect(page.locator("#make")).to_be_enabled(timeout=STEP_MS)
    await page.select_option('select[name="duration_s"]', "30")


async def test_two_tabs_one_of_them_cut_off_follow_one_song(open_page: Open, hum: Path) -> None:
    """A second tab finds the song that the first one ordered; offline it says so, and back on line it knows the end."""
    page: Page = await open_page("/")
    await _ready(page, hum)
    await page.click("#make")
    await expect(page.locator("#making")).to_be_visible(timeout=STEP_MS)
    other = await page.context.new_page()
    await other.goto("/")
    await expect(other.locator('#stages [aria-current="step"]')).to_be_visible(timeout=STEP_MS)
    assert str(await other.evaluate("location.hash")) == str(await page.evaluate("location.hash"))
    # A browser that goes offline leaves open what is open, so the other tab's stream is cut too.
    line = await other.context.new_cdp_session(other)
    await line.send("Network.enable")
    await line.send("Network.emulateNetworkConditions", {**UNBOUND, "offline": True})
    await other.evaluate("window.stop()")
    await expect(other.locator("#making-note")).to_contain_text("Connection lost", timeout=STEP_MS)
    await page.click("#cancel")
    await expect(page.locator("#failed-head")).to_have_text("Cancelled", timeout=SONG_MS)
    await expect(other.locator("#making")).to_be_visible()
    await line.send("Network.emulateNetworkConditions", UNBOUND)
    await expect(other.locator("#failed-head")).to_have_text("Cancelled", timeout=SONG_MS)
    for each in (page, other):
        await expect(each.locator("#purse")).to_have_text("100 credits")
        await expect(each.locator("#tracks li")).to_have_count(1)


async def test_on_a_slow_line_progress_is_shown(open_page: Open, hum: Path) -> None:
    """On 50 kB a second with 0.4 s delay a take is sent with a bar that moves, can be given up, and arrives."""
    page: Page = await open_page("/")
    line = await page.context.new_cdp_session(page)
    await line.send("Network.emulateNetworkConditions", SLOW)
    await page.set_input_files("#file", hum)
    await page.click("#take-use")
    await page.wait_for_function("() => document.querySelector('#sending').value > 5")
    first = float(await page.evaluate("document.querySelector('#sending').value"))
    await page.wait_for_function("first => document.querySelector('#sending').value > first", arg=first)
    assert first < 60
    await line.send("Network.emulateNetworkConditions", UNBOUND)
    await expect(page.locator("#heard-verdict")).to_contain_text("15 notes", timeout=STEP_MS)


async def test_fifty_megabytes(open_page: Open, take: bytes, tmp_path: Path) -> None:
    """The largest file there may be is sent and judged; one byte over the limit is refused before it is sent."""
    page: Page = await open_page("/")
    limits = (await (await page.request.get("/api/v1/config/client")).json())["data"]["upload"]
    whole = tmp_path / "large.wav"
    whole.write_bytes(sounds.padded(take, limits["max_bytes"]))
    over = tmp_path / "over.wav"
    over.write_bytes(b"\0" * (limits["max_bytes"] + 1))
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url) if "upload" in each.url else None)

    await page.set_input_files("#file", over)
    await expect(page.locator("#alert")).to_contain_text(f"larger than {limits['max_bytes'] // MEBIBYTE} MB")
    assert asked == []
    await page.set_input_files("#file", whole)
    await page.click("#take-use")
    await expect(page.locator("#heard-verdict")).to_contain_text("notes", timeout=SONG_MS)
    assert len(asked) == 1


# Markup, both directions of writing and a mark that turns them, a family of emoji, and what templates would fill in.
HOSTILE = (
    "<img src=x onerror=alert(1)>\u202e \u0634\u0639\u0631 \u05e9\u05d9\u05e8 "
    "\U0001f3b8\U0001f468\u200d\U0001f469\u200d\U0001f467 {title} ${7*7} '\"`&amp; </p>"
)


async def test_hostile_words_stay_words(open_page: Open, singer: Person, song: Song) -> None:
    """Markup, both directions of writing, emoji and 10,000 characters are shown as text, in every place, and fit."""
    track = f"/api/v1/tracks/{song.track_id}"
    lyrics = (HOSTILE + "\n" + "\u6d77" * 60 + "\n") * 80
    before = {"title": song.track["title"], "lyrics": song.track["lyrics"]}
    await singer.call("PATCH", track, {"title": (HOSTILE * 3)[:128], "lyrics": lyrics[:10_000]})
    shared = await singer.call("POST", f"{track}/share", {})
    await singer.call("PATCH", f"/api/v1/shares/{shared['share_code']}", {"listed": True})

    page: Page = await open_page("/")
    dialogs: list[str] = []
    page.on("dialog", lambda each: dialogs.append(each.message))
    await enter(page, singer)
    for place in (
        f"/?song#track={song.track_id}",
        "/?public#public=",
        shared["link_url"],
        shared["link_url"] + "/player",
    ):
        await page.goto(place)
        await expect(page.get_by_text("{title} ${7*7} '\"`&amp;").filter(visible=True).first).to_be_visible()
        for width in (360, 1280):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await overflow(page) == 0, (place, width)
        assert await page.locator('img[src="x"]').count() == 0
        assert "\u202e" not in await page.inner_text("main")
    assert dialogs == []
    await singer.call("DELETE", f"/api/v1/shares/{shared['share_code']}")
    await singer.call("PATCH", track, before)
