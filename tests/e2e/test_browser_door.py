"""The door in the studio's account corner: in by code or password, more ways, two accounts that become one, and out."""

import re

from playwright.async_api import Page, expect

from services.kit.ids import new_id
from tests.auth.house import PASSWORD, new_mailbox, new_phone
from tests.auth.outside import Outside
from tests.e2e.browsing import ENGLISH, PHONE, Open, faults, overflow
from tests.e2e.people import until


async def _door(page: Page) -> None:
    """Open the account corner."""
    await page.click("#purse")
    await expect(page.locator("#door-head")).to_be_visible()


async def _ask(page: Page, carriers: Outside, target: str) -> None:
    """Ask for a code and type it, as it arrives."""
    got = carriers.post.codes if "@" in target else carriers.sms.codes
    before = len(got(target))
    await page.fill("#door-account", target)
    await page.press("#door-account", "Enter")
    await expect(page.locator("#door-code")).to_be_focused()

    async def codes() -> list[str]:
        return got(target)[before:]

    await page.keyboard.type((await until(codes, bool))[0])
    await page.keyboard.press("Enter")


async def _person(page: Page) -> str:
    """Return whose session the page has."""
    return str(await page.evaluate("JSON.parse(localStorage.getItem('cadenza.session')).user"))


async def test_a_visitor_signs_up_and_comes_back(open_page: Open, carriers: Outside) -> None:
    """A mailbox is bound by its code to what one is already; a password set then lets in elsewhere; out is out."""
    mailbox = new_mailbox()
    page: Page = await open_page("/", **ENGLISH)
    await _door(page)
    await expect(page.locator("#door-head")).to_have_text("Log in or sign up")
    visitor = await _person(page)
    await _ask(page, carriers, mailbox)
    await expect(page.locator("#door-ways li")).to_have_count(2)
    await expect(page.locator("#door-ways")).to_contain_text(f"{mailbox[0]}***@cadenza.test")
    assert await _person(page) == visitor
    await page.click("#door-secret-box > summary")
    await page.fill("#door-new", PASSWORD)
    await page.press("#door-new", "Enter")
    await expect(page.locator("#said")).to_have_text("The password is set")

    other: Page = await open_page("/", **ENGLISH)
    await _door(other)
    stranger = await _person(other)
    await other.click("#door-by-password")
    await other.fill("#door-account", mailbox)
    await other.fill("#door-password", "not the password")
    await other.keyboard.press("Enter")
    await expect(other.locator("#account-alert")).to_contain_text("password")
    await other.fill("#door-password", PASSWORD)
    await other.keyboard.press("Enter")
    await expect(other.locator("#door-ways li")).to_have_count(2)
    assert await _person(other) == visitor
    await other.click("#door-out")
    await expect(other.locator("#door-head")).to_have_text("Log in or sign up")
    assert await _person(other) == stranger

    await page.click("#door-out")
    await expect(page.locator("#door-head")).to_have_text("Log in or sign up")
    assert await _person(page) not in {visitor, stranger}


async def test_two_accounts_become_one_and_two_again(open_page: Open, carriers: Outside) -> None:
    """A phone that is another account's shows what both have; both become one with all credits, and two again."""
    phone = new_phone()
    first: Page = await open_page("/", **ENGLISH)
    await _door(first)
    await _ask(first, carriers, phone)
    await expect(first.locator("#door-ways li")).to_have_count(2)
    owner = await _person(first)

    page: Page = await open_page("/", **ENGLISH)
    await _door(page)
    visitor = await _person(page)
    await _ask(page, carriers, phone)
    await expect(page.locator("#door-merge-lead")).to_contain_text("is an account already")
    await expect(page.locator("#door-merge-facts")).to_contain_text("100 + 100")
    await page.click("#door-merge-go")
    await expect(page.locator("#door-ways li")).to_have_count(3)
    await expect(page.locator("#purse")).to_have_text("200 credits")
    assert await _person(page) == owner
    await page.click("#door-undo")
    await expect(page.locator("#door-ways li")).to_have_count(2)
    await expect(page.locator("#purse")).to_have_text("100 credits")
    assert await _person(page) == owner
    await page.click("#door-out")
    await expect(page.locator("#door-head")).to_have_text("Log in or sign up")
    assert await _person(page) == visitor


async def test_the_inbox_tells_and_is_read(open_page: Open, carriers: Outside) -> None:
    """A new way to log in is told in the corner, in the language one reads, and is read by a button."""
    mailbox = new_mailbox()
    page: Page = await open_page("/", **ENGLISH)
    await _door(page)
    await expect(page.locator("#inbox")).to_be_hidden()
    await _ask(page, carriers, mailbox)
    await expect(page.locator("#inbox-head")).to_have_text("Notices, 1 new")
    await expect(page.locator("#inbox-list li")).to_contain_text(f"mailbox {mailbox[0]}***@cadenza.test")
    await page.click("#inbox-read")
    await expect(page.locator("#inbox-head")).to_have_text("Notices")
    await expect(page.locator("#inbox-head")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.click("#language")
    await page.click("#purse")
    await expect(page.locator("#inbox-list li")).to_contain_text("已绑定新的登录方式")


async def test_a_forgotten_password(open_page: Open, carriers: Outside) -> None:
    """Whoever forgot it sets a new one by a code and is in, and what an account is called cannot be found out."""
    mailbox = new_mailbox()
    page: Page = await open_page("/", **ENGLISH)
    await _door(page)
    await _ask(page, carriers, mailbox)
    await expect(page.locator("#door-ways li")).to_have_count(2)
    person = await _person(page)
    # The session here ends with the old password, and its page would say so in the console when it asks the next time.
    await page.close()
    other: Page = await open_page("/", **ENGLISH)
    await _door(other)
    await other.click("#door-by-password")
    await other.click("#door-forgotten")
    await other.fill("#door-account", mailbox)
    await other.keyboard.press("Enter")
    await expect(other.locator("#door-code")).to_be_focused()

    async def codes() -> list[str]:
        return carriers.post.codes(mailbox)[1:]

    await other.fill("#door-code", (await until(codes, bool))[0])
    await other.fill("#door-password", f"new {PASSWORD}")
    await other.keyboard.press("Enter")
    await expect(other.locator("#door-ways li")).to_have_count(2)
    assert await _person(other) == person


async def test_the_door_fits_a_phone_and_pleases_axe(open_page: Open, carriers: Outside, axe: str) -> None:
    """On 360 pixels in the dark, in Chinese, as visitor and as somebody known: it fits and axe finds nothing."""
    page: Page = await open_page("/", **PHONE)
    await _door(page)
    found = await faults(page, axe)
    wide = [await overflow(page)]
    await _ask(page, carriers, new_mailbox())
    await expect(page.locator("#door-ways li")).to_have_count(2)
    await page.click("#door-secret-box > summary")
    found += await faults(page, axe)
    wide.append(await overflow(page))
    assert found == []
    assert wide == [0, 0]
    words = re.sub(r"[a-z]\*\*\*@cadenza\.test|Chrome|Linux|Headless", "", await page.inner_text("#account"))
    assert not [each for each in words if each.isascii() and each.isalpha()]
    assert new_id() not in words
