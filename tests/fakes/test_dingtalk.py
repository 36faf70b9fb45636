"""DingTalk's stand-in against the computed signature, and every rule that it keeps."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.conftest import SettableClock
from tests.fakes.dingtalk import SECRET, TOKEN, DingTalk, sign
from tests.fakes.stand_in import Ask, Reply, served

LINE = {"msgtype": "text", "text": {"content": "hello"}}


def test_the_computed_signature() -> None:
    """The vector of the contract page comes out, and escaped once it is what stands in an address."""
    found = sign("1700000000000", "SEC123")
    assert found == "lkcPI1uoxBY1gUnCnnPH1Kkru0Hqjo7rFpA3haIVhEQ="
    assert quote(found, safe="") == "lkcPI1uoxBY1gUnCnnPH1Kkru0Hqjo7rFpA3haIVhEQ%3D"


@pytest.fixture
async def dingtalk(clock: SettableClock) -> AsyncIterator[DingTalk]:
    """Yield a running robot whose clock the test sets."""
    async with served(DingTalk(clock=clock)) as vendor:
        yield vendor


async def _say(dingtalk: DingTalk, message: Any = LINE, *, early_ms: int = 0, **changed: Any) -> Reply:
    stamp = str(int(dingtalk.clock().timestamp() * 1000) - early_ms)
    query = {"access_token": TOKEN, "timestamp": stamp, "sign": sign(stamp, SECRET), **changed}
    async with aiohttp.ClientSession() as http:
        return await Ask(http, dingtalk.url)("POST", "/robot/send", params=query, json=message)


@pytest.mark.parametrize(
    ("message", "errcode"),
    [
        (LINE, 0),
        ({"msgtype": "markdown", "markdown": {"title": "t", "text": "# x"}, "at": {"isAtAll": True}}, 0),
        ({"msgtype": "markdown", "markdown": {"text": "# x"}}, 40035),
        ({"msgtype": "smoke"}, 40035),
        ([], 40035),
    ],
)
async def test_kinds_of_messages(dingtalk: DingTalk, message: Any, errcode: int) -> None:
    """A known kind with all of its fields is said to the group, anything else is 40035 in a 200."""
    reply = await _say(dingtalk, message)
    assert (reply.status, reply.json()["errcode"]) == (200, errcode)
    assert bool(dingtalk.letters) is (errcode == 0)


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [({"access_token": "x"}, 300001), ({"sign": "x"}, 310000), ({"timestamp": "x"}, 310000)],
)
async def test_what_opens_the_door(dingtalk: DingTalk, changed: dict[str, Any], errcode: int) -> None:
    """An unknown token, a wrong signature and a time that is none are refused by number."""
    assert (await _say(dingtalk, **changed)).json()["errcode"] == errcode


async def test_a_signature_lives_an_hour(dingtalk: DingTalk) -> None:
    """One that was made at start-up and kept fails after an hour."""
    assert (await _say(dingtalk, early_ms=3_599_000)).json()["errcode"] == 0
    assert (await _say(dingtalk, early_ms=3_601_000)).json()["errcode"] == 310000


async def test_twenty_a_minute_and_then_silence(dingtalk: DingTalk, clock: SettableClock) -> None:
    """The 21st line within a minute is 130101, and so is every one of the next ten minutes."""
    codes = [(await _say(dingtalk)).json()["errcode"] for _ in range(21)]
    assert codes == [0] * 20 + [130101]
    clock.advance(590)
    assert (await _say(dingtalk)).json()["errcode"] == 130101
    clock.advance(11)
    assert (await _say(dingtalk)).json()["errcode"] == 0
