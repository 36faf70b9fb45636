"""Bounds on requests: per minute across gateways, and at a time within one."""

import asyncio
from contextlib import AsyncExitStack

import orjson
import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from gateway.limits import RateWindows
from services.kit.ids import new_id
from services.kit.redis import connect
from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import JOB, Fakes

PATH = "/api/v1/wallet/balance"


async def statuses(http: ClientSession, count: int, headers: dict[str, str]) -> list[int]:
    """Return the statuses of so many requests, one after another."""
    found = []
    for _ in range(count):
        async with http.get(PATH, headers=headers) as response:
            found.append(response.status)
    return found


async def test_two_gateways_share_one_count(gateway: Gateway, redis_url: str) -> None:
    """The limit of a token holds over all processes, and the refusal says when to come back."""
    token = {"Authorization": f"Bearer {new_id()}"}
    first = await gateway(redis_url=redis_url, rate_user_per_minute=10)
    second = await gateway(redis_url=redis_url, rate_user_per_minute=10)
    passed = [*await statuses(first, 7, token), *await statuses(second, 7, token)]
    # A minute may turn in between, which at worst lets all fourteen through.
    assert passed.count(200) in {10, *range(11, 15)}
    assert passed[:10] == [200] * 10
    async with second.get(PATH, headers=token) as response:
        body = orjson.loads(await response.read())
    if response.status == 429:
        assert body["code"] == 10029
        assert response.headers["RateLimit-Limit"] == "10"
        assert response.headers["RateLimit-Remaining"] == "0"
        assert 0 < int(response.headers["Retry-After"]) <= 60
        assert response.headers["Retry-After"] == response.headers["RateLimit-Reset"]
        assert not any(name.startswith("X-RateLimit") for name in response.headers)


@pytest.mark.point(27)
async def test_answers_say_how_many_requests_are_left(gateway: Gateway, redis_url: str) -> None:
    """The standing is told before the limit is met."""
    http = await gateway(redis_url=redis_url, rate_user_per_minute=50)
    async with http.get(PATH, headers={"Authorization": f"Bearer {new_id()}"}) as response:
        assert response.headers["RateLimit-Limit"] == "50"
        assert int(response.headers["RateLimit-Remaining"]) == 49


async def test_one_address_is_limited_whatever_tokens_it_shows(gateway: Gateway, redis_url: str) -> None:
    """Changing the token does not help; loopback itself is not limited by address."""
    http = await gateway(redis_url=redis_url, rate_address_per_minute=3, trusted_proxies=("127.0.0.1",))
    address = {"X-Forwarded-For": f"2001:db8::{new_id()[-4:]}"}
    found = [(await statuses(http, 1, {"Authorization": f"Bearer {new_id()}", **address}))[0] for _ in range(8)]
    assert found[:3] == [200, 200, 200]
    assert 429 in found
    assert await statuses(http, 8, ALICE) == [200] * 8


async def test_a_method_has_a_limit_of_its_own(gateway: Gateway, redis_url: str) -> None:
    """Words may be asked for five times a minute, on both their paths together; everything else goes on."""
    http = await gateway(redis_url=redis_url, rate_user_per_minute=50)
    token = {"Authorization": f"Bearer {new_id()}"}
    found, limits = [], set()
    for place in range(11):
        path = ("/api/v1/ai/lyrics", "/api/ai/lyrics/generate")[place % 2]
        async with http.post(path, json={"theme": "x"}, headers=token) as response:
            found.append(response.status)
            if response.status == 429:
                limits.add(response.headers["RateLimit-Limit"])
    assert 429 not in found[:5]
    # A minute may turn in between, which at worst lets ten through.
    assert 1 <= found.count(429) <= 6
    assert limits == {"5"}
    assert await statuses(http, 3, token) == [200] * 3


async def test_without_redis_nothing_is_refused(gateway: Gateway) -> None:
    """Counting is a guard and must not take the service down with it."""
    http = await gateway(redis_url="redis://127.0.0.1:1/0", rate_user_per_minute=2)
    assert await statuses(http, 10, ALICE) == [200] * 10


async def test_a_share_is_taken_at_once_and_never_more_than_the_limit(redis: Redis, redis_url: str) -> None:
    """With 100 a minute a process asks Redis about every fifth request, and the total stays exact."""
    client = connect(redis_url)
    key, windows = new_id(), RateWindows(client)
    standings = [await windows.take("test", key, 100) for _ in range(130)]
    await client.aclose()
    passed = sum(each.allowed for each in standings)
    assert passed == 100 or len({each.reset_s > 30 for each in standings}) == 2
    assert standings[0].remaining == 99


async def test_more_requests_at_a_time_than_the_process_takes_are_503(gateway: Gateway, fakes: Fakes) -> None:
    """The bound refuses at once instead of queueing without end, and is free again afterwards."""
    http = await gateway(requests_most=2)
    fakes.credits.delay_s = 0.3
    found = await asyncio.gather(*(statuses(http, 1, ALICE) for _ in range(4)))
    assert sorted(status for (status,) in found) == [200, 200, 503, 503]
    fakes.credits.delay_s = 0
    assert await statuses(http, 2, ALICE) == [200, 200]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes_are_not_counted(gateway: Gateway, fakes: Fakes, path: str) -> None:
    """A full gateway is alive and says so."""
    http = await gateway(requests_most=1)
    fakes.credits.delay_s = 0.5
    busy = asyncio.create_task(statuses(http, 1, ALICE))
    await fakes.credits.asked.wait()
    async with http.get(path) as response:
        assert response.status == 200
    assert await busy == [200]


async def test_open_streams_are_not_work(gateway: Gateway, fakes: Fakes) -> None:
    """Streams that have opened leave their places to requests; they have a bound of their own."""
    fakes.jobs.add()
    http = await gateway(requests_most=1, streams_most=3)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            stream = await stack.enter_async_context(http.get(f"/api/v1/jobs/{JOB}/events", headers=ALICE))
            assert stream.status == 200
            assert await stream.content.readline()
        assert await statuses(http, 2, ALICE) == [200, 200]
        async with http.get(f"/api/v1/jobs/{JOB}/events", headers=ALICE) as refused:
            assert refused.status == 503
    assert await statuses(http, 1, ALICE) == [200]
