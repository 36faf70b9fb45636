"""The life of an account over HTTP, with the codes that web and mini-program clients meet, which are the same."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from redis.asyncio import Redis

from gateway.app import build
from gateway.config import Config
from gateway.listen import GatewayRunner
from tests.auth.house import PASSWORD, House, house, new_mailbox, new_phone, until
from tests.conftest import SettableClock


@dataclass
class Person:
    """Somebody with a client of one platform."""

    home: House
    http: ClientSession
    platform: str
    token: str = ""

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, int, Any]:
        """Return HTTP status, code and data or metadata of a call."""
        headers = {"X-Platform": self.platform, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        async with self.http.request(method, path, json=body or None, headers=headers) as answer:
            found = await answer.json()
        return answer.status, found["code"], found.get("data") or found.get("details", {}).get("metadata")

    async def get(self, method: str, path: str, **body: Any) -> Any:
        """Return the data of a call that succeeds."""
        status, code, data = await self.ask(method, path, **body)
        assert (status, code) == (200, 0), data
        return data

    async def code(self, target: str, purpose: str) -> str:
        """Return the code that a target gets."""
        got = self.home.outside.post.codes if "@" in target else self.home.outside.sms.codes
        before = len(got(target))
        sent = await self.get("POST", "/api/v1/verification/send", target=target, purpose=purpose)
        assert sent["request_id"] == sent["code_id"]
        assert sent["expires_in"] == 300
        await until(lambda: len(got(target)) > before)
        return got(target)[-1]


@pytest.fixture(params=["web", "wxmp"])
async def person(
    request: pytest.FixtureRequest,
    database_url: str,
    redis_url: str,
    redis: Redis,
    clock: SettableClock,
    tmp_path: Path,
) -> AsyncIterator[Person]:
    """Yield somebody at a gateway before Auth and Wallet."""
    config = Config(
        redis_url=redis_url,
        object_store_directory=tmp_path,
        object_url_secret="a secret of the tests",
        rate_user_per_minute=0,
        rate_address_per_minute=0,
    )
    away = {"apple_client_ids": ("com.example.app",), "apple_base_url": "http://127.0.0.1:1"}
    async with house(database_url, redis_url, redis, clock, **away) as home:
        runner = GatewayRunner(await build(config, home.local.peers("gateway")), drain_s=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with ClientSession(base, timeout=ClientTimeout(total=20)) as http:
                yield Person(home, http, request.param)
        finally:
            await runner.cleanup()


async def test_the_life_of_an_account(person: Person) -> None:
    """Register by a code, log in, be locked by five wrong passwords, wait, refresh twice, replay, log out (E-20)."""
    mailbox = new_mailbox()
    no_code = await person.ask("POST", "/api/v1/auth/register", email=mailbox, password=PASSWORD)
    assert no_code[:2] == (400, 10001)
    code = await person.code(mailbox, "register")
    made = await person.get("POST", "/api/v1/auth/register", email=mailbox, code=code, password=PASSWORD)
    assert made["token"] == made["access_token"]
    await until(lambda: any("欢迎" in each["Subject"] for each in person.home.outside.post.to(mailbox)))

    login = await person.get("POST", "/api/v1/auth/login", email=mailbox, password=PASSWORD)
    assert login["user_id"] == made["user_id"]
    for _ in range(5):
        wrong = await person.ask("POST", "/api/v1/auth/login", account=mailbox, password="not the password")
        assert wrong[:2] == (401, 20009)
    locked = await person.ask("POST", "/api/v1/auth/login", account=mailbox, password=PASSWORD)
    assert locked[:2] == (403, 20006)
    assert int(locked[2]["retry_after_s"]) > 0
    person.home.clock.advance(901)
    login = await person.get("POST", "/api/v1/auth/login", account=mailbox, password=PASSWORD)

    first, second = login["refresh_token"], ""
    for _ in range(2):
        renewed = await person.get("POST", "/api/v1/auth/refresh", refresh_token=second or first)
        second = renewed["refresh_token"]
    replayed = await person.ask("POST", "/api/v1/auth/refresh", refresh_token=first)
    assert replayed[:2] == (401, 20002)
    assert (await person.ask("POST", "/api/v1/auth/refresh", refresh_token=second))[:2] == (401, 20002)


async def test_a_password_is_set_anew(person: Person) -> None:
    """Known and unknown mailbox get the same answer and a letter each; old password and sessions are refused (E-33)."""
    known, unknown = new_mailbox(), new_mailbox()
    code = await person.code(known, "register")
    made = await person.get("POST", "/api/v1/auth/register", email=known, code=code, password=PASSWORD)
    answers = []
    for mailbox in (known, unknown):
        answers.append(
            await person.ask("POST", "/api/v1/verification/send", target=mailbox, purpose="reset", channel="email")
        )
        await until(lambda box=mailbox: len(person.home.outside.post.codes(box)) > (box == known))  # type: ignore[misc]
    assert answers[0][:2] == answers[1][:2] == (200, 0)
    assert set(answers[0][2]) == set(answers[1][2])
    reset = {"account": known, "code": person.home.outside.post.codes(known)[-1], "new_password": "12345678"}
    assert (await person.ask("POST", "/api/v1/auth/password/reset", **reset))[:2] == (400, 20011)
    reset["new_password"] = "another good phrase"
    await person.get("POST", "/api/v1/auth/password/reset", **reset)
    assert (await person.ask("POST", "/api/v1/auth/password/reset", **reset))[:2] == (400, 20007)
    assert (await person.ask("POST", "/api/v1/auth/refresh", refresh_token=made["refresh_token"]))[:2] == (401, 20002)
    assert (await person.ask("POST", "/api/v1/auth/login", email=known, password=PASSWORD))[:2] == (401, 20009)
    await person.get("POST", "/api/v1/auth/login", email=known, password="another good phrase")


async def test_ways_to_log_in_over_http(person: Person) -> None:
    """Bind a phone to a device, log in by it, take the device's way away, and not the last one (A-13, A-16, A-54)."""
    device = {"provider": "web", "provider_id": f"device-{new_phone()}-0123"}
    anonymous = await person.get("POST", "/api/v1/auth/anonymous", **device)
    person.token = anonymous["access_token"]
    phone = new_phone()
    code = await person.code(phone, "bind")
    wrong = {"provider": "phone", "provider_id": f"+86{phone}", "verification_code": f"{(int(code) + 1) % 10**6:06}"}
    assert (await person.ask("POST", "/api/v1/auth/bindIdentity", **wrong))[:2] == (400, 20007)
    bound = await person.get("POST", "/api/v1/auth/bind-identity", **{**wrong, "verification_code": code})
    assert (bound["identity"]["provider"], bound["identity"]["label"]) == ("phone", f"{phone[:3]}****{phone[-4:]}")
    code = await person.code(phone, "login")
    by_phone = await person.get("POST", "/api/v1/auth/phone", phone=phone, verification_code=code)
    assert by_phone["user_id"] == anonymous["user_id"]
    ways = (await person.get("GET", "/api/v1/users/me"))["user"]["identities"]
    assert [each["provider"] for each in ways] == ["web", "phone"]
    await person.get("DELETE", f"/api/v1/users/me/identities/{ways[0]['identity_id']}")
    last = await person.ask("DELETE", f"/api/v1/users/me/identities/{ways[1]['identity_id']}")
    assert last[:2] == (409, 20014)
    log = (await person.get("GET", "/api/v1/users/me/login-logs?page_size=1"))["logins"]
    assert [(each["provider"], each["result"], each["platform"]) for each in log] == [("phone", "ok", person.platform)]


async def test_refusals_have_the_same_numbers_everywhere(person: Person) -> None:
    """No token, a made-up one, no carrier's country, doors that are not configured: one code each (A-49)."""
    assert (await person.ask("GET", "/api/v1/users/me"))[:2] == (401, 20001)
    person.token = "forged"
    assert (await person.ask("GET", "/api/v1/users/me"))[:2] == (401, 20001)
    person.token = ""
    send = "/api/v1/verification/send"
    assert (await person.ask("POST", send, target="+15551234567", purpose="login"))[:2] == (400, 10001)
    assert (await person.ask("POST", send, target=new_phone(), purpose="play"))[:2] == (400, 10001)
    assert (await person.ask("POST", send, target=new_phone(), purpose="delete"))[:2] == (401, 20001)
    assert (await person.ask("POST", send, target=new_phone(), purpose="bind"))[:2] == (401, 20001)
    apple = {"identity_token": "a.b.c", "nonce": "12345678"}
    assert (await person.ask("POST", "/api/v1/auth/apple", **apple))[:2] == (401, 20003)
    # Its header is one of Apple's, so that the keys are asked for, which nobody answers.
    apple["identity_token"] = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AA"
    assert (await person.ask("POST", "/api/v1/auth/apple", **apple))[:2] == (503, 20003)
    assert (await person.ask("POST", "/api/v1/auth/wechat", code="x"))[:2] == (401, 20003)
    both = {"account": new_mailbox(), "password": PASSWORD, "code": "123456"}
    assert (await person.ask("POST", "/api/v1/auth/login", **both))[:2] == (400, 10001)
