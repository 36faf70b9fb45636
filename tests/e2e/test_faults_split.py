"""Processes of their own with mutual TLS between them: keys and certificates change under load, and a service dies."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from services.kit.ids import new_id
from services.mesh.ca import Authority
from services.mesh.home import Home
from tests.e2e.people import until
from tests.e2e.split import Split, has_rclone, split_mesh, start

pytestmark = pytest.mark.timeout(300)

BALANCE, TRACKS = "/api/v1/wallet/balance", "/api/v1/tracks"
NAMES = ("auth", "wallet", "composer", "gateway")
SETTINGS = {
    "RATE_USER_PER_MINUTE": "0",
    "SIGNING_KEY_ANNOUNCED": "2",
    "SIGNING_KEY_MAX_AGE": "4",
}


class Client:
    """Asks the gateway, and keeps every answer that was not 200."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        """Ask over this session."""
        self._http = http
        self.wrong: list[tuple[str, int, str]] = []
        self.right = 0

    async def login(self) -> str:
        """Return the token of somebody new."""
        body = {"provider": "web", "provider_id": new_id()}
        async with self._http.post("/api/v1/auth/anonymous", json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return str(found["data"]["access_token"])

    async def ask(self, path: str, token: str) -> tuple[int, Any, str]:
        """Return status, JSON and Retry-After of a GET."""
        async with self._http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            body = await answer.json()
            if answer.status == 200:
                self.right += 1
            else:
                self.wrong.append((path, answer.status, body["error"]))
            return answer.status, body, answer.headers.get("Retry-After", "")


@pytest.fixture(scope="module")
def root(homes: Callable[[str], Path]) -> Path:
    """The folder of the layout."""
    return homes("faults")


@pytest.fixture(scope="module")
async def split(root: Path) -> AsyncIterator[Split]:
    """Gateway, Auth, Wallet and Composer; a key signs for four seconds and is announced for two before."""
    if has_rclone() is None:
        pytest.skip("rclone is not installed on this platform")
    async with split_mesh(root, names=NAMES, **SETTINGS) as running:
        yield running


@pytest.fixture
async def client(split: Split) -> AsyncIterator[Client]:
    """A client of the gateway once everything answers."""
    async with aiohttp.ClientSession(split.base_url) as http:

        async def answers() -> bool:
            try:
                asking = Client(http)
                token = await asking.login()
                return [(await asking.ask(path, token))[0] for path in (BALANCE, TRACKS)] == [200, 200]
            except (aiohttp.ClientError, AssertionError):
                return False

        await until(answers, bool)
        yield Client(http)


async def _while(change: Awaitable[Any], *asking: Callable[[], Awaitable[Any]]) -> None:
    """Ask again and again until the change is over."""
    over = asyncio.Event()

    async def again(ask: Callable[[], Awaitable[Any]]) -> None:
        while not over.is_set():
            await ask()

    tasks = [asyncio.create_task(again(ask)) for ask in asking]
    try:
        await change
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def test_no_honest_request_is_refused_while_signing_keys_change(client: Client) -> None:
    """Three keys follow each other while old and new tokens are used at two services; made-up keys change nothing."""
    first = await client.login()
    tokens, kids = [first], {_kid(first)}

    async def log_in() -> None:
        tokens.append(await client.login())
        kids.add(_kid(tokens[-1]))

    async def use() -> None:
        for path, token in itertools.product((BALANCE, TRACKS), (first, tokens[-1])):
            await client.ask(path, token)

    forged = jwt.encode({"sub": "x"}, "a secret that is long enough to sign", headers={"kid": "made-up"})
    lying = Client(client._http)

    async def lie() -> None:
        await lying.ask(BALANCE, forged)
        await asyncio.sleep(0.05)

    async def three() -> None:
        async with asyncio.timeout(60):
            while len(kids) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    await _while(three(), log_in, use, use, lie)
    assert client.wrong == []
    assert client.right > 20
    assert {status for _, status, _ in lying.wrong} == {401}


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_no_call_fails_while_certificates_and_authority_change(client: Client, root: Path) -> None:
    """Leaves, authority, leaves, authority: gateway and services take the new ones up under load without an error."""
    authority = Authority(Home(root / "home").authority, root / "tls")
    token = await client.login()

    async def change() -> None:
        for number in range(4):
            await asyncio.to_thread(authority.rotate_authority if number % 2 else authority.rotate)
            before, until_s = client.right, time.monotonic() + 1.5
            while client.right < before + 20 or time.monotonic() < until_s:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    ask = [lambda path=path: client.ask(path, token) for path in (BALANCE, TRACKS) * 3]
    await _while(change(), *ask)
    assert client.wrong == []


async def test_a_dead_service_takes_only_its_own_routes_down(client: Client, split: Split, root: Path) -> None:
    """After SIGKILL Composer's routes are 503 with Retry-After and Wallet's answer as ever; both do once it is back."""
    token = await client.login()
    split.processes["composer"].kill()
    await asyncio.to_thread(split.processes["composer"].wait)
    for _ in range(20):
        status, body, retry_after = await client.ask(TRACKS, token)
        assert (status, body["error"], retry_after.isdecimal()) == (503, "SERVICE_UNAVAILABLE", True)
        assert (await client.ask(BALANCE, token))[0] == 200
    _, body, retry_after = await client.ask(TRACKS, token)
    assert (body["details"]["metadata"], retry_after) == ({"dependency": "composer", "retry_after_s": "1"}, "1")
    start(split, root, "composer")

    async def back() -> int:
        return (await client.ask(TRACKS, token))[0]

    await until(back, lambda status: status == 200)
