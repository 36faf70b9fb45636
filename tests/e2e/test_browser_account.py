"""The account corner of the studio: credits, what became of them, and where one is logged in."""

from playwright.async_api import Page, expect

from tests.e2e.browsing import PHONE, Open, overflow
from tests.e2e.people import Person


async def _device(page: Page) -> str:
    """Return the id by which the page logs in."""
    return str(await page.evaluate("localStorage.getItem('cadenza.device')"))


async def test_the_account_shows_credits_and_where_one_is_logged_in(open_page: Open) -> None:
    """The purse opens to balance, ledger lines and sessions; another device is logged out from here and is refused."""
    page: Page = await open_page("/")
    await expect(page.locator("#purse")).to_have_text("100 credits")
    async with Person(str(page.url).rstrip("/")) as elsewhere:
        body = {"provider": "web", "provider_id": await _device(page)}
        answer = await elsewhere.ask("POST", "/api/v1/auth/anonymous", json=body, headers={"User-Agent": "curl/8.5.0"})
        login = answer.body["data"]
        other = {"Authorization": f"Bearer {login['access_token']}"}
        assert (await elsewhere.ask("GET", "/api/v1/wallet/balance", headers=other)).status == 200

        await page.click("#words > summary")
        await page.fill("#words-theme", "rain")
        await page.press("#words-theme", "Enter")
        await expect(page.locator("#purse")).to_have_text("90 credits")
        await page.focus("#purse")
        await page.keyboard.press("Enter")

        dialog = page.get_by_role("dialog", name="Account")
        await expect(dialog).to_be_visible()
        await expect(page.locator("#account-balance")).to_have_text("90 credits to spend, 0 set aside")
        lines = page.locator("#account-entries li")
        await expect(lines.last).to_contain_text("Welcome gift")
        await expect(lines.last).to_contain_text("+100")
        await expect(page.locator("#account-entries")).to_contain_text("Set aside · Lyrics")
        sessions = page.locator("#account-sessions li")
        await expect(sessions).to_have_count(2)
        await expect(sessions.first).to_contain_text("curl")
        await expect(sessions.last).to_contain_text("this device")
        await page.get_by_role("button", name="Log out curl").click()
        await expect(sessions).to_have_count(1)
        await expect(page.locator("#account-others")).to_be_hidden()
        refresh = {"refresh_token": login["refresh_token"]}
        refused = await elsewhere.ask("POST", "/api/v1/auth/refresh", json=refresh, headers={"Authorization": ""})
        assert refused.status == 401

    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#purse")).to_be_focused()


async def test_the_account_fits_a_phone_and_speaks_chinese(open_page: Open) -> None:
    """On 360 pixels, dark and in Chinese, the corner fits, has no English word, and its button is large enough."""
    page: Page = await open_page("/", **PHONE)
    await expect(page.locator("#purse")).to_have_text("100 积分")
    box = await page.locator("#purse").bounding_box()
    assert box is not None
    assert box["height"] >= 24
    await page.click("#purse")
    await expect(page.locator("#account-entries li")).to_have_count(1)
    await expect(page.locator("#account-sessions li")).to_have_count(1)
    await expect(page.locator("#account-entries")).to_contain_text("新用户赠送")
    wide = await page.locator("#account").bounding_box()
    assert wide is not None
    assert wide["x"] >= 0
    assert wide["x"] + wide["width"] <= 360
    assert await overflow(page) == 0
    words = await page.inner_text("#account")
    for program in ("Chrome", "Linux", "HeadlessChrome"):
        words = words.replace(program, "")
    assert not [each for each in words if each.isascii() and each.isalpha()]
