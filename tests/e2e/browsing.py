"""Pages as new visitors open them, and what went wrong in them."""

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Page

from tests.e2e.people import Person

STEP_MS = 60_000
ENGLISH = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}}
PHONE = {"locale": "zh-CN", "viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}

# What WCAG 2.2 asks at levels A and AA, and nothing beyond it.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

# Opens a page at a path, for a visitor with these settings.
Open = Callable[..., Any]


class Watched:
    """What went wrong in a page, and where it went."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.problems: list[str] = []
        self.strangers: list[str] = []
        host = urlsplit(base_url).netloc
        page.on("console", lambda each: self._note(each) if each.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda each: self._look(each.url, host))

    def _note(self, said: ConsoleMessage) -> None:
        # Browsers call it an error too when a wish or an upload was refused, an address has ended, or a line is cut,
        # and at a door when a password is wrong or an account is another one's.
        more = "|401|409" if "/api/v1/auth/" in said.location["url"] else ""
        if not re.search(f"status of (403|410|415|422|429{more})|ERR_INTERNET_DISCONNECTED", said.text):
            self.problems.append(said.text)

    def _look(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.netloc != host:
            self.strangers.append(url)


async def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wide: int = await page.evaluate("Math.max(document.documentElement.scrollWidth - innerWidth, 0)")
    return wide


async def enter(page: Page, person: Person) -> None:
    """Let the page, which is the studio, be that person's browser."""
    # A page that still logs in as a visitor of its own would write that down over ours.
    await page.locator("#purse").wait_for()
    session = json.dumps({"token": person.token, "until": (time.time() + 3600) * 1000})
    await page.evaluate("kept => localStorage.setItem('cadenza.session', kept)", session)


async def faults(page: Page, axe: str) -> list[str]:
    """Return what axe finds wrong on the page as it stands: the rule, how grave, and where."""
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES
    )
    return [
        f"{each['impact']} {each['id']}: {' | '.join(str(node['target']) for node in each['nodes'][:4])}"
        for each in found["violations"]
    ]
