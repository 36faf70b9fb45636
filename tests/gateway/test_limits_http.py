"""Bounds on requests: per minute across gateways, and at a time within one."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from gateway.windows import RateWindows, Rule
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
    """The limit of a token holds over all processes, exactly, and the refusal says when to come back."""
    token = {"Authorization": f"Bearer {new_id()}"}
    first = await gateway(redis_url=redis_url, rate_user_per_minute=10)
    second = await gateway(redis_url=redis_url, rate_user_per_minute=10)
    found = await asyncio.gather(*(statuses(http, 5, token) for http in (first, second, first, second)))
    assert sorted(status for each in found for status in each) == [200] * 10 + [429] * 10
    async with second.get(PATH, headers=token) as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["code"]) == (429, 10029)
    assert response.headers["RateLimit-Limit"] == "10"
    assert response.headers["RateLimit-Remaining"] == "0"
    assert 0 < int(response.headers["Retry-After"]) <= 61
    assert response.headers["Retry-After"] == response.headers["RateLimit-Reset"]
    assert response.headers["RateLimit-Policy"] == '"user";q=10;w=60'
    assert response.headers["RateLimit"] == f'"user";r=0;t={response.headers["Retry-After"]}'
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
    assert found[5:] == [429] * 6
    assert limits == {"5"}
    assert await statuses(http, 3, token) == [200] * 3


async def test_without_redis_each_process_counts_alone(gateway: Gateway) -> None:
    """Nobody is refused because Redis is away, and nobody may do what he likes because of it."""
    away = "redis://127.0.0.1:1/0"
    http = await gateway(redis_url=away, rate_user_per_minute=2)
    assert await statuses(http, 5, ALICE) == [200, 200, 429, 429, 429]
    other = await gateway(redis_url=away, rate_user_per_minute=2)
    assert await statuses(other, 3, ALICE) == [200, 200, 429]


async def test_the_older_paths_and_those_without_a_token_have_stricter_rules(gateway: Gateway, redis_url: str) -> None:
    """The strictest rule that matches wins: 3 a minute on an older path, 4 a quarter of an hour without a token."""
    http = await gateway(
        redis_url=redis_url,
        rate_user_per_minute=50,
        rate_older_per_minute=3,
        rate_anonymous_per_quarter=4,
        rate_address_per_minute=100,
        trusted_proxies=("127.0.0.1",),
    )
    address = {"X-Forwarded-For": f"2001:db8::{new_id()[-4:]}"}
    token = {"Authorization": f"Bearer {new_id()}", **address}
    found = []
    for _ in range(5):
        async with http.get(f"/api/music/{JOB}/status", headers=token) as response:
            found.append((response.status, response.headers["RateLimit-Policy"]))
    assert [status for status, _ in found] == [200, 200, 200, 429, 429]
    assert found[-1][1] == '"older";q=3;w=60'
    assert await statuses(http, 3, token) == [200] * 3
    assert await statuses(http, 6, address) == [401] * 4 + [429] * 2
    async with http.get(PATH, headers=address) as response:
        assert response.headers["RateLimit-Policy"] == '"anonymous";q=4;w=900'


async def test_the_window_slides(redis: Redis, redis_url: str) -> None:
    """No minute holds more than the limit, wherever it begins: by the clock of a test, and by the parts in Redis."""
    seconds = itertools.count(step=7)
    alone, rule = RateWindows(None, clock=lambda: float(next(seconds))), Rule("slides", 5)
    times = [place * 7 for place in range(60) if (await alone.take(rule, "x")).allowed]
    assert all(len([each for each in times if now - 60 < each <= now]) <= 5 for now in range(420))
    assert len(times) >= 30
    client = connect(redis_url)
    key, windows = new_id(), RateWindows(client)
    part = int((await redis.time())[0])
    await redis.hset(f"rw:slides:{key}", mapping={str(part - 62): 3, str(part - 58): 2, str(part - 1): 2})
    first, second = await windows.take(rule, key), await windows.take(rule, key)
    assert (first.allowed, first.remaining, second.allowed) == (True, 0, False)
    assert 1 <= second.reset_s <= 4
    await client.aclose()


async def test_the_count_is_exact_under_a_race(redis_url: str) -> None:
    """Four processes with 50 callers each, as fast as they can: of 400 requests exactly the limit pass, each time."""
    clients = [connect(redis_url) for _ in range(4)]
    for limit in (1, 7, 100, 399):
        key, processes = new_id(), [RateWindows(client) for client in clients]
        rule = Rule("race", limit)

        async def ask(windows: RateWindows, rule: Rule = rule, key: str = key) -> int:
            return (await windows.take(rule, key)).allowed

        passed = await asyncio.gather(*(ask(windows) for _ in range(100) for windows in processes))
        assert sum(passed) == limit
    for client in clients:
        await client.aclose()


async def test_whoever_asks_much_is_counted_with_few_questions(redis_url: str) -> None:
    """At a high pace places are taken several at a time; what is not spent is handed back, the total stays exact."""
    client = connect(redis_url)
    key, windows, asked = new_id(), RateWindows(client), 0
    together = windows._redis
    assert together is not None
    ask = together.ask

    async def counting(name: str, arguments: tuple[int, ...]) -> tuple[int, ...]:
        nonlocal asked
        asked += 1
        return await ask(name, arguments)

    together.ask = counting  # type: ignore[assignment, method-assign]  # to see how often Redis is asked
    rule, began, count = Rule("much", 10**6), time.monotonic(), 0
    while time.monotonic() < began + 1.5:
        count += (await windows.take(rule, key)).allowed
    assert asked < count / 3
    other = RateWindows(client)
    await asyncio.sleep(2.1)
    left = (await windows.take(rule, key)).remaining
    assert left == 10**6 - count - 1
    assert (await other.take(rule, key)).remaining == left - 1
    await client.aclose()


async def test_clients_who_wait_together_are_asked_for_together(redis_url: str) -> None:
    """Many clients at once take a few round trips, each with its own answer; a Redis without the script is told it."""
    client = connect(redis_url)
    windows, name, trips = RateWindows(client), new_id(), 0
    together = windows._redis
    assert together is not None
    run = together._run

    async def counting(asked: Any) -> list[Any]:
        nonlocal trips
        trips += 1
        return await run(asked)

    together._run = counting  # type: ignore[method-assign]  # to see how often Redis is asked
    await windows.take(Rule("together", 5), f"{name}-warm")
    await client.script_flush()
    trips = 0
    rule = Rule("together", 2)
    found = await asyncio.gather(*(windows.take(rule, f"{name}-{n % 25}") for n in range(75)))
    assert sum(each.allowed for each in found) == 50
    # The first questions, the same again after the script was loaded, and those that came meanwhile.
    assert trips <= 6
    await client.aclose()


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
