"""Songs in lists: the public one, the person's own as far as one scrolls, and a player that goes on meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from services.kit.db.engine import Database
from services.mesh.up import RunningMesh
from tests.e2e.browsing import PHONE, Open, enter, faults, overflow
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song

DOCK = "#dock-player"
MANY = 30


async def _sounds(page: Page) -> None:
    """Wait until the player at the foot moves on from where it is now."""
    await page.wait_for_function("() => !document.querySelector('#dock-player audio')?.paused")
    now = await page.eval_on_selector(f"{DOCK} audio", "sound => sound.currentTime")
    await page.wait_for_function("at => document.querySelector('#dock-player audio').currentTime > at + 0.2", arg=now)


async def test_a_song_is_public_by_its_owners_word_only(open_page: Open, singer: Person, song: Song, axe: str) -> None:
    """Shared it is on no list, ticked it is, strangers hear it while they browse, unticked it is gone."""
    page: Page = await open_page("/")
    await enter(page, singer)
    await page.goto(f"/?mine#track={song.track_id}")
    await page.click("#share")
    await expect(page.locator("#share-listed")).not_to_be_checked()
    stranger: Page = await open_page("/", **PHONE)
    await stranger.click("#listen a")
    await expect(stranger.locator("#public-none")).to_be_visible()
    await page.click("#share-listed")
    await expect(page.locator("#share-where")).to_contain_text("Listed under")

    await stranger.reload()
    row = stranger.locator("#public-songs li")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text(song.track["title"])
    await row.get_by_role("button").click()
    await _sounds(stranger)
    await expect(row.get_by_role("button")).to_have_attribute("aria-label", f"暂停 {song.track['title']}")
    assert await faults(stranger, axe) == []
    assert await overflow(stranger) == 0
    await stranger.locator("#public").get_by_role("link", name="哼一首自己的").click()
    await expect(stranger.locator("#record")).to_be_visible()
    await _sounds(stranger)
    await stranger.go_back()
    await expect(row).to_have_count(1)
    other = "jazz" if song.track["variants"][0]["style"] != "jazz" else "pop"
    await stranger.locator(f'input[name="category"][value="{other}"]').check()
    await expect(stranger.locator("#public-none")).to_be_visible()
    await _sounds(stranger)
    link = await stranger.request.get(await page.input_value("#share-link"))
    assert link.status == 200

    await page.click("#share-listed")
    await expect(page.locator("#share-where")).to_have_text("")
    await stranger.goto("/?again#public=")
    await expect(stranger.locator("#public-none")).to_be_visible()
    code = str(await page.input_value("#share-link")).rsplit("/", 1)[-1]
    await singer.call("DELETE", f"/api/v1/shares/{code}")


async def test_rows_stand_in_for_songs_on_their_way(open_page: Open) -> None:
    """While the list is on its way four empty rows stand there, unread by screen readers; they go however it ends."""
    page: Page = await open_page("/")
    come = asyncio.Event()
    await page.route("**/api/v1/public/songs*", lambda route: _when(come, route.continue_))
    await page.click("#listen a")
    rows = page.locator("#public-songs .skeleton[aria-hidden=true]")
    await expect(rows).to_have_count(4)
    await expect(page.locator("#public-none")).to_be_hidden()
    come.set()
    await expect(rows).to_have_count(0)
    await expect(page.locator("#public-none")).to_be_visible()

    await page.unroute("**/api/v1/public/songs*")
    await page.route("**/api/v1/public/songs*", lambda route: route.fulfill(status=403, json={"message": "no"}))
    await page.locator('input[name="category"][value="pop"]').check()
    await expect(page.locator("#alert")).to_contain_text("no")
    await expect(rows).to_have_count(0)


async def _when(come: asyncio.Event, go: Callable[[], Awaitable[None]]) -> None:
    await come.wait()
    await go()


async def test_the_library_goes_on_as_one_scrolls(open_page: Open, arrive: Arrive, mesh: RunningMesh) -> None:
    """Thirty songs come in three pages as the list is scrolled, each once, and the focus stays where it was."""
    person = await arrive()
    db = Database(mesh.environment["DATABASE_URL"])
    await db.prepared.fetch(
        """INSERT INTO composer.tracks (track_id, user_id, title, style, mood, lyrics, voice_gender, duration_s, seed,
             job_id, state, create_time, update_time)
           SELECT gen_random_uuid(), $1, 'Song ' || number, 'folk', '', '', '', 30, 1, gen_random_uuid(), 'failed',
             now(), now() FROM generate_series(1, $2::int) AS number RETURNING 1""",
        person.user_id,
        MANY,
    )
    await db.close()
    page: Page = await open_page("/", **PHONE)
    await enter(page, person)
    await page.goto("/?library")
    rows = page.locator("#tracks li")
    await expect(rows).to_have_count(12)
    kept = rows.nth(3).get_by_role("link")
    await kept.focus()
    for count in (24, MANY):
        await page.mouse.move(180, 400)
        await page.mouse.wheel(0, 9000)
        await expect(rows).to_have_count(count)
    await expect(page.locator("#more")).to_be_hidden()
    await expect(kept).to_be_focused()
    titles = await page.locator("#tracks strong").all_inner_texts()
    assert sorted(titles) == sorted(f"Song {number}" for number in range(1, MANY + 1))


async def test_the_player_goes_on_while_one_looks_around(open_page: Open, singer: Person, song: Song) -> None:
    """Started from the library it plays on through a song's page; its other versions and a recording hold it."""
    page: Page = await open_page("/")
    await enter(page, singer)
    await page.goto("/?look")
    row = page.locator("#tracks li").filter(has_text=song.track["title"]).first
    await row.locator(".cover-play").click()
    await _sounds(page)
    await expect(page.locator("#dock-title")).to_have_text(song.track["title"])
    await row.get_by_role("link").click()
    await expect(page.locator(".variant").first).to_be_visible()
    await _sounds(page)
    await page.click(".variant.a .play")
    await page.wait_for_function("() => document.querySelector('#dock-player audio').paused")
    await row.locator(".cover-play").click()
    await _sounds(page)
    await page.click("#song-new")
    await page.click("#record")
    await expect(page.locator("#clock")).to_have_text("0:01")
    assert await page.eval_on_selector(f"{DOCK} audio", "sound => sound.paused")
    await page.click("#record")
    await page.click("#dock-close")
    await expect(page.locator("#dock")).to_be_hidden()
