"""WeChat's access token: one for all, taken anew once, and never in what is logged or raised."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.kit.errors import DomainError, Unavailable
from services.kit.http import HttpClient
from services.kit.redis import connect
from services.kit.wechat import WechatApi, WechatRefused
from tests.fakes.stand_in import served
from tests.fakes.wechat import Wechat

CHECK = "/wxa/msg_sec_check"
TAKEN = "* /cgi-bin/stable_token"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Yield a Valkey without tokens."""
    client = connect(redis_url)
    await client.delete(*[key async for key in client.scan_iter("wechat:token:*")] or ["none"])
    yield client
    await client.aclose()


@pytest.fixture
async def wechat() -> AsyncIterator[Wechat]:
    """Yield WeChat's stand-in."""
    async with served(Wechat()) as running:
        yield running
        await running.close()


def _api(wechat: Wechat, redis: Redis | None, secret: str = "") -> tuple[WechatApi, HttpClient]:
    http = HttpClient("wechat", private_allowed=True)
    return WechatApi(http, redis, wechat.config(secret=secret)), http


def _wish(wechat: Wechat, content: str = "风很大") -> dict[str, object]:
    """Return a check of words of somebody who is here."""
    wechat.see("o-reader")
    return {"content": content, "version": 2, "scene": 3, "openid": "o-reader"}


def _taken(wechat: Wechat) -> int:
    return sum(count for call, count in wechat.calls.items() if call.endswith("/cgi-bin/stable_token"))


async def test_a_hundred_calls_of_many_processes_take_one_token(wechat: Wechat, redis: Redis) -> None:
    """Calls at once and of other processes share a token: WeChat is asked for one once."""
    first, one = _api(wechat, redis)
    wish = _wish(wechat)
    await asyncio.gather(*(first.call(CHECK, wish) for _ in range(50)))
    second, two = _api(wechat, redis)
    await asyncio.gather(*(second.call(CHECK, wish) for _ in range(50)))
    assert _taken(wechat) == 1
    await one.close()
    await two.close()


async def test_a_token_that_was_superseded_is_taken_anew_once(wechat: Wechat, redis: Redis) -> None:
    """A token that WeChat calls wrong is taken anew and the call repeated; a second refusal is told."""
    api, http = _api(wechat, redis)
    wish = _wish(wechat)
    await api.call(CHECK, wish)
    wechat.tokens.end_all()
    assert (await api.call(CHECK, wish))["result"]["suggest"] == "pass"
    wechat.fail("superseded", times=2)
    with pytest.raises(WechatRefused) as caught:
        await api.call(CHECK, wish)
    assert caught.value.errcode in {40001, 42001}
    await http.close()


async def test_a_wrong_secret_is_told_and_costs_one_call(wechat: Wechat, redis: Redis) -> None:
    """A wrong secret is WeChat's own refusal, without a second try."""
    api, http = _api(wechat, redis, secret="wrong")
    with pytest.raises(WechatRefused) as caught:
        await api.call(CHECK, _wish(wechat))
    assert (caught.value.errcode, _taken(wechat)) == (40125, 1)
    await http.close()


@pytest.mark.parametrize("fault", ["down", "cut"])
async def test_no_answer_is_unavailable_and_tells_no_secret(
    wechat: Wechat, redis: Redis, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When WeChat is down or breaks off, the error and the log hold neither token nor secret."""
    caplog.set_level(logging.DEBUG)
    api, http = _api(wechat, redis)
    wish = _wish(wechat)
    await api.call(CHECK, wish)
    wechat.fail(fault, on="msg_sec_check")
    with pytest.raises(Unavailable) as caught:
        await api.call(CHECK, wish)
    # The stand-in runs in this process too, and its web server writes down what it was asked.
    ours = [f"{each.getMessage()} {each.__dict__}" for each in caplog.records if not each.name.startswith("aiohttp")]
    assert ours
    told = f"{caught.value!r} {caught.value.__cause__!r} {ours}"
    assert "sandbox_" not in told
    assert wechat.app_secret not in told
    await http.close()


async def test_without_redis_a_process_has_its_own_token(wechat: Wechat) -> None:
    """Without Redis the calls of one process still take one token."""
    api, http = _api(wechat, None)
    wish = _wish(wechat)
    await asyncio.gather(*(api.call(CHECK, wish) for _ in range(10)))
    assert _taken(wechat) == 1
    await http.close()


async def test_a_picture_is_told_from_an_error(wechat: Wechat, redis: Redis) -> None:
    """A call that gives bytes gives them, and its error, which is JSON with HTTP 200, is raised."""
    api, http = _api(wechat, redis)
    picture = await api.ask("/wxa/getwxacodeunlimit", {"scene": "abcDEF2345", "page": "pages/share/index"})
    assert picture.body[:1] != b"{"
    with pytest.raises(WechatRefused) as caught:
        await api.ask("/wxa/getwxacodeunlimit", {"scene": "x" * 33})
    assert caught.value.errcode == 40169
    with pytest.raises(DomainError):
        await api.call("/wxa/getwxacodeunlimit", {"scene": "abcDEF2345", "page": "pages/share/index"})
    await http.close()
