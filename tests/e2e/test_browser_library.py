"""The person's own songs in the studio: found by words, renamed, put away and taken back."""

from playwright.async_api import Page, expect

from tests.e2e.browsing import PHONE, Open, enter, overflow
from tests.e2e.people import Person, Song

RTL = "שלום \u202eevil <script>alert(1)</script> 🎸 夏天"


async def test_songs_are_found_renamed_and_taken_back(open_page: Open, singer: Person, song: Song) -> None:
    """A song is found by a Chinese fragment, renamed to hostile text that stays text, put away and taken back."""
    before = song.track["title"]
    page: Page = await open_page("/")
    await enter(page, singer)
    await page.goto(f"/?library#track={song.track_id}")
    await expect(page.locator(".variant").first).to_be_visible()
    await page.click("#rename")
    await page.fill("#new-title", RTL)
    await page.keyboard.press("Enter")
    await expect(page.locator("#song-head")).to_contain_text("夏天")
    assert await page.locator("#song-head script").count() == 0
    rows = page.locator("#tracks li")
    await expect(rows.first).to_contain_text("夏天")

    await page.fill("#mine-find", "夏天")
    await expect(rows).to_have_count(1)
    await page.fill("#mine-find", "nothing like that")
    await expect(page.locator("#mine-none")).to_have_text("No song has these words.")
    await page.fill("#mine-find", "")
    await expect(rows.first).to_be_visible()

    await rows.filter(has_text="夏天").locator("[data-id]").click()
    await expect(page.locator("#take")).to_be_visible()
    assert (await singer.ask("GET", f"/api/v1/tracks/{song.track_id}")).status == 404
    await page.click("#trash")
    away = rows.filter(has_text="夏天")
    await expect(away).to_have_count(1)
    for width in (360, 1200):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await overflow(page) == 0
    await away.get_by_role("button").click()
    await expect(page.locator("#mine-none")).to_have_text("The trash is empty.")
    await page.click("#trash")
    await expect(rows.filter(has_text="夏天")).to_have_count(1)
    await singer.call("PATCH", f"/api/v1/tracks/{song.track_id}", {"title": before})


async def test_an_empty_library_is_not_shown(open_page: Open) -> None:
    """Whoever has no songs yet sees no list, no search and no trash."""
    page: Page = await open_page("/", **PHONE)
    await expect(page.locator("#purse")).to_have_text("100 积分")
    await expect(page.locator("#mine")).to_be_hidden()
