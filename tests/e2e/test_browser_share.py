"""The terms of a share as its owner sets them in the studio, and the pages that those meet who have the link."""

import pytest
from playwright.async_api import Page, expect

from services.kit.db.engine import Database
from services.mesh.up import RunningMesh
from tests.e2e.browsing import PHONE, Open, enter, faults, overflow
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song, until

SCRIPTLESS = {**PHONE, "java_script_enabled": False}


async def _shared(open_page: Open, singer: Person, song: Song) -> tuple[Page, str]:
    """Return the owner's page at a shared song with the terms unfolded, and the link."""
    page: Page = await open_page("/")
    await enter(page, singer)
    await page.goto(f"/?terms#track={song.track_id}")
    await page.click("#share")
    await page.click("#share-terms summary")
    await expect(page.locator("#share-locked")).to_contain_text("Whoever has the link can listen")
    return page, await page.input_value("#share-link")


async def _revoked(page: Page) -> None:
    await page.click("#share-revoke")
    await expect(page.locator("#share")).to_be_visible()


async def test_a_password_opens_the_page_without_scripts(open_page: Open, singer: Person, song: Song, axe: str) -> None:
    """With a password set in the studio a listener meets a door that tells what was wrong, and then hears the song."""
    page, link = await _shared(open_page, singer, song)
    await page.fill("#share-password", "晨曲2026")
    await page.click("#share-lock button:not([type=button])")
    await expect(page.locator("#share-locked")).to_contain_text("asked for the password")
    assert await faults(page, axe) == []
    assert await page.input_value("#share-password") == ""

    seen: Page = await open_page(link, **PHONE)
    assert await faults(seen, axe) == []
    assert await overflow(seen) == 0
    await seen.close()
    plain: Page = await open_page(link, **SCRIPTLESS)
    assert song.track["title"] not in await plain.content()
    await plain.fill("#password", "晨曲2025")
    await plain.click(".lock button")
    await expect(plain.locator("#lock-wrong")).to_contain_text("密码不正确")
    await plain.fill("#password", "晨曲2026")
    await plain.click(".lock button")
    await expect(plain.locator("h1")).to_contain_text(song.track["title"])
    assert plain.url == link
    await plain.reload()
    await expect(plain.locator("audio")).to_be_visible()
    (kept,) = await plain.context.cookies(link)
    assert (kept["httpOnly"], kept["sameSite"], link.endswith(kept["path"])) == (True, "Lax", True)

    # Another password ends what the old one had opened.
    await page.fill("#share-password", "another")
    await page.click("#share-lock button:not([type=button])")
    await expect(page.locator("#share-password")).to_have_value("")
    await plain.reload()
    await expect(plain.locator("#password")).to_be_visible()
    await page.click("#share-unlock")
    await expect(page.locator("#share-locked")).to_contain_text("Whoever has the link can listen")
    await plain.reload()
    await expect(plain.locator("h1")).to_contain_text(song.track["title"])
    await _revoked(page)


async def test_too_many_passwords_have_to_wait(open_page: Open, singer: Person, song: Song) -> None:
    """The door tells whoever has tried too many passwords how long to wait; even the right one does not open then."""
    page, link = await _shared(open_page, singer, song)
    await page.fill("#share-password", "right")
    await page.click("#share-lock button:not([type=button])")
    await expect(page.locator("#share-password")).to_have_value("")
    code = link.rsplit("/", 1)[-1]
    for _ in range(5):
        answer = await singer.ask("POST", f"/api/v1/shares/{code}/unlock", json={"password": "wrong"})
        assert answer.refusal == (403, 50006, "SHARE_PASSWORD_WRONG")
    door: Page = await open_page(link, **SCRIPTLESS)
    await door.fill("#password", "right")
    await door.click(".lock button")
    await expect(door.locator("#lock-wrong")).to_contain_text("十分钟")
    await _revoked(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_share_that_is_over_says_so(
    open_page: Open, arrive: Arrive, singer: Person, song: Song, mesh: RunningMesh, axe: str, scheme: str
) -> None:
    """An end set in the studio is told there with its time; once it has come, page and player say that it is over."""
    page, link = await _shared(open_page, singer, song)
    await page.select_option("#share-lifetime", "604800")
    await expect(page.locator("#share-locked")).to_contain_text("The link ends on")
    seen: Page = await open_page(link, **{**PHONE, "color_scheme": scheme})
    await expect(seen.locator("audio")).to_be_visible()
    db = Database(mesh.environment["DATABASE_URL"])
    code = link.rsplit("/", 1)[-1]
    await db.prepared.fetch(
        "UPDATE share.shares SET expire_time = now() WHERE share_code = $1 RETURNING share_code", code
    )
    await db.close()
    for path in ("", "/player"):
        answer = await seen.goto(link + path)
        assert answer is not None
        assert answer.status == 410
        await expect(seen.locator("h1")).to_have_text("这个分享已过期")
        assert await faults(seen, axe) == []
        assert await overflow(seen) == 0
    stranger = await arrive()
    assert (await stranger.ask("GET", f"/api/v1/shares/{code}")).refusal == (410, 50004, "SHARE_EXPIRED")
    await _revoked(page)


async def test_calling_back_closes_the_page(open_page: Open, singer: Person, song: Song) -> None:
    """The owner calls a link back by a button: its page says so at the next look, and another press shares anew."""
    page, link = await _shared(open_page, singer, song)
    heard = await singer.ask("GET", f"{link}/audio", headers={"Range": "bytes=100-199"})
    assert (heard.status, len(heard.raw), heard.headers["Content-Type"]) == (206, 100, "audio/mpeg")
    assert heard.headers["Cache-Control"] == "private, no-cache"
    await _revoked(page)
    await expect(page.locator("#share")).to_be_focused()

    async def silent() -> int:
        return (await singer.ask("GET", f"{link}/audio")).status

    # What the gateway has asked within the last second may be asked again.
    assert await until(silent, lambda status: status != 200) == 410
    seen: Page = await open_page(link, **PHONE)
    await expect(seen.locator("h1")).to_have_text("这个分享已被撤回")
    await page.click("#share")
    await expect(page.locator("#share-link")).to_have_value(link)
    await expect(page.locator("#share")).to_be_hidden()
    await seen.reload()
    await expect(seen.locator("h1")).to_contain_text(song.track["title"])
    await _revoked(page)


async def test_a_frame_elsewhere_leads_to_the_page(open_page: Open, singer: Person, song: Song) -> None:
    """The player of a song with a password shows none of it and leads to the page; oEmbed refuses it by its reason."""
    page, link = await _shared(open_page, singer, song)
    await page.fill("#share-password", "right")
    await page.click("#share-lock button:not([type=button])")
    await expect(page.locator("#share-password")).to_have_value("")
    player: Page = await open_page(f"{link}/player", **PHONE)
    assert song.track["title"] not in await player.content()
    onward = player.locator("a.button").first
    assert link.endswith(str(await onward.get_attribute("href")))
    assert (await singer.ask("GET", f"/oembed?url={link}")).refusal == (403, 50005, "SHARE_PASSWORD_REQUIRED")
    await _revoked(page)


async def test_a_song_that_may_not_be_shown_can_be_appealed(
    open_page: Open, singer: Person, song: Song, axe: str
) -> None:
    """Sharing a song of doubtful words says that a person has to look; its owner hears it and asks for another look."""
    path = f"/api/v1/tracks/{song.track_id}"
    await singer.call("PATCH", path, {"title": "I kill myself laughing"})
    page: Page = await open_page("/")
    await enter(page, singer)
    await page.goto(f"/?doubtful#track={song.track_id}")
    await expect(page.locator("#standing-words")).to_contain_text("A person has to look")
    await page.click("#share")
    await expect(page.locator("#alert")).to_contain_text("A person has to look at this before others may see it")
    await expect(page.locator(".variant.a .play")).to_be_visible()
    await page.fill("#standing-why", "It is a joke about laughing.")
    await page.click("#standing button")
    await expect(page.locator("#standing-asked")).to_contain_text("written down")
    assert await faults(page, axe) == []
    assert await overflow(page) == 0
    kept = (await singer.call("GET", f"{path}/moderation"))["moderation"]
    assert (kept["standing"], kept["appeal"]) == ("review", "It is a joke about laughing.")
    await singer.call("PATCH", path, {"title": song.track["title"]})
    assert (await singer.call("GET", path))["track"]["standing"] == "pass"


async def test_a_page_can_be_reported_without_scripts(open_page: Open, singer: Person, song: Song, axe: str) -> None:
    """Whoever sees a shared song can say what is wrong with it, by the keyboard and without scripts, and is thanked."""
    page, link = await _shared(open_page, singer, song)
    seen: Page = await open_page(link, **PHONE)
    await seen.click(".report summary")
    assert await faults(seen, axe) == []
    assert await overflow(seen) == 0
    plain: Page = await open_page(link, **SCRIPTLESS)
    await plain.click(".report summary")
    await plain.check('.report input[value="copyright"]')
    await plain.fill("#report-message", "这是我写的歌。")
    await plain.click(".report button")
    await expect(plain.locator(".report")).to_contain_text("谢谢")
    await expect(plain.locator("audio")).to_be_visible()
    await _revoked(page)
