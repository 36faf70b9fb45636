"""The stories of people at the doors, told over HTTP and gRPC by web and mini-program alike: E-01, E-10, E-20, E-33."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from sqlalchemy import text

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.mesh.up import RunningMesh, running_mesh
from tests.auth.house import PASSWORD, new_mailbox, new_phone
from tests.auth.outside import Outside, outside
from tests.e2e.conftest import home_at
from tests.e2e.doors import Visitor
from tests.e2e.people import until
from tests.fakes.stand_in import served
from tests.fakes.wechat import APP_ID, APP_SECRET, Wechat

WAYS = [(platform, wire) for wire in ("http", "grpc") for platform in ("web", "wxmp")]
WRONG = "not the password"
SEEN: dict[str, dict[tuple[str, str], list[str]]] = {}
"""What each story was answered on each way, by its name."""


@dataclass
class Street:
    """A mesh with mail, short messages and WeChat."""

    mesh: RunningMesh
    carriers: Outside
    wechat: Wechat


@pytest.fixture(scope="module")
async def street(homes: Callable[[str], Path]) -> AsyncIterator[Street]:
    """Yield the mesh."""
    async with AsyncExitStack() as stack:
        carriers = await stack.enter_async_context(outside())
        wechat = await stack.enter_async_context(served(Wechat()))
        settings = {name.upper(): str(value) for name, value in carriers.settings.items()} | {
            "CODE_RESEND_GAP": "0",
            "CODE_DAILY_PER_ADDRESS": "1000",
            "WECHAT_APP_ID": APP_ID,
            "WECHAT_APP_SECRET": APP_SECRET,
            "WECHAT_BASE_URL": wechat.url,
        }
        mesh = await stack.enter_async_context(running_mesh(home_at(homes("doors"), **settings)))
        yield Street(mesh, carriers, wechat)


@pytest.fixture
async def visit(street: Street) -> AsyncIterator[Callable[..., Visitor]]:
    """Return a maker of visitors of a platform over a wire."""
    async with ClientSession() as http, grpc.aio.insecure_channel(street.mesh.edge_address) as channel:

        def make(platform: str, wire: str) -> Visitor:
            edge = channel if wire == "grpc" else None
            return Visitor(street.mesh.base_url, http, platform, edge, street.carriers)

        yield make


def _told(story: str, way: tuple[str, str], *visitors: Visitor) -> None:
    """Check that a story was answered as on every way before."""
    told = SEEN.setdefault(story, {})
    told[way] = [line for visitor in visitors for line in visitor.seen]
    assert set(map(tuple, told.values())) == {tuple(told[way])}, told


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_a_mini_program_logs_in(street: Street, visit: Any, platform: str, wire: str) -> None:
    """E-01: two codes of one openid are one user with one gift; the session key is in Redis alone, and goes."""
    person, open_id = visit(platform, wire), f"open-{new_id()}"
    logins = []
    for path in ("/api/auth/wechat-auth", "/api/v1/auth/wechat"):
        code = street.wechat.new_code(open_id)
        logins.append(await person.get("SessionService.WechatLogin", path, code=code, nick_name="海"))
    refused, _ = await person.ask("SessionService.WechatLogin", code=code)
    assert refused == 20003
    assert [each["is_new"] for each in logins] == [True, False]
    assert logins[0]["user_id"] == logins[1]["user_id"]
    person.token = logins[1]["access_token"]
    (way,) = (await person.get("UserService.GetMe"))["user"]["identities"]
    entries = (await person.get("CreditService.ListEntries"))["entries"]
    assert [int(each["amount_credits"]) for each in entries] == [100]

    redis = Redis.from_url(street.mesh.environment["REDIS_URL"], decode_responses=True)
    place = f"wx:session_key:{way['identity_id']}"
    assert 0 < await redis.ttl(place) <= 7 * 86_400
    assert street.wechat.session_keys[-1] not in str(await redis.get(place))
    await redis.aclose()
    dump = await _dump(street.mesh.environment["DATABASE_URL"])
    assert logins[0]["user_id"] in dump
    for secret in (*street.wechat.session_keys[-2:], open_id, *(each["refresh_token"] for each in logins)):
        assert secret not in dump
    _told("E-01", (platform, wire), person)


async def _dump(url: str) -> str:
    """Return every row of every table of Auth as text."""
    db, found = Database(url), []
    async with db.transaction() as tx:
        tables = await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'auth'"))
        for table in tables.scalars().all():
            rows = await tx.execute(text(f"SELECT string_agg(row_to_json(t)::text, '') FROM auth.{table} t"))
            found.append(str(rows.scalar()))
    await db.close()
    return "".join(found)


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_one_library_on_two_clients(street: Street, visit: Any, platform: str, wire: str) -> None:
    """E-10: a browser and a mini-program that bind one phone are one user with one library and all credits once."""
    browser, phone = visit(platform, wire), new_phone()
    device = {"provider": "web", "provider_id": f"device-{new_id()}"}
    browser.token = (await browser.get("SessionService.AnonymousLogin", **device))["access_token"]
    song = await browser.get("TrackService.CreateTrack", lyrics="[verse]\nblue river runs", duration_s=30)
    program = visit(platform, wire)
    code = street.wechat.new_code(f"open-{new_id()}")
    program.token = (await program.get("SessionService.WechatLogin", code=code))["access_token"]
    way = {"provider": "phone", "provider_id": phone}
    code = await program.code(phone, "bind")
    await program.get("IdentityService.BindIdentity", **way, verification_code=code)

    code = await browser.code(phone, "bind")
    refused, details = await browser.ask("IdentityService.BindIdentity", **way, verification_code=code)
    assert refused == 20010
    merge_id = details["metadata"]["merge_id"]
    shown = await browser.get("MergeService.PreviewMerge", merge_id=merge_id)
    assert int(shown["source"]["track_count"]) == 1
    merged = await browser.get("MergeService.ConfirmMerge", merge_id=merge_id)
    browser.token = merged["session"]["access_token"]
    people = [(await each.get("UserService.GetMe"))["user"]["user_id"] for each in (browser, program)]
    assert people == [merged["merge"]["target_user_id"]] * 2
    quiet = len(browser.seen), len(program.seen)

    async def libraries() -> list[list[str]]:
        found = [(await each.get("TrackService.ListTracks"))["tracks"] for each in (browser, program)]
        return [[each["track_id"] for each in tracks] for tracks in found]

    await until(libraries, lambda found: found == [[song["track_id"]]] * 2)
    await browser.ask("JobService.CancelJob", job_id=song["job_id"])

    async def purse() -> tuple[int, int]:
        balance = (await program.get("CreditService.GetBalance"))["balance"]
        return int(balance["available_credits"]), int(balance["held_credits"])

    # What was made of the song before it was stopped is paid for, once.
    left, _ = await until(purse, lambda found: found[1] == 0)
    assert left in {200, 190, 180}
    # How often they looked is up to the machine.
    browser.seen, program.seen = browser.seen[: quiet[0]], program.seen[: quiet[1]]
    _told("E-10", (platform, wire), browser, program)


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_the_life_of_an_account(street: Street, visit: Any, platform: str, wire: str) -> None:
    """E-20: register by mail, be locked, come in by a code, refresh, replay, log out; each is a line in the log.

    That the lock opens again is shown where time can be moved (tests/auth/test_account_http.py).
    """
    person, mailbox = visit(platform, wire), new_mailbox()
    missing, _ = await person.ask("LoginService.Register", email=mailbox, password=PASSWORD)
    assert missing == 10001
    code = await person.code(mailbox, "register")
    made = await person.get("LoginService.Register", email=mailbox, password=PASSWORD, code=code)

    async def letters() -> list[str]:
        return [each["Subject"] for each in street.carriers.post.to(mailbox)]

    await until(letters, lambda found: any("欢迎" in each for each in found))
    login = await person.get("LoginService.Login", account=mailbox, password=PASSWORD)
    assert login["user_id"] == made["user_id"]
    wrong = [(await person.ask("LoginService.Login", account=mailbox, password=WRONG))[0] for _ in range(5)]
    locked, details = await person.ask("LoginService.Login", account=mailbox, password=PASSWORD)
    assert (set(wrong), locked) == ({20009}, 20006)
    assert 0 < int(details["metadata"]["retry_after_s"]) <= 900
    code = await person.code(mailbox, "login")
    await person.get("LoginService.Login", account=mailbox, code=code)

    tokens = [login["refresh_token"]]
    for _ in range(2):
        renewed = await person.get("SessionService.RefreshSession", refresh_token=tokens[-1])
        tokens.append(renewed["refresh_token"])
    replays = [(await person.ask("SessionService.RefreshSession", refresh_token=each))[0] for each in tokens[::2]]
    assert replays == [20002, 20002]
    person.token = made["access_token"]
    results = [
        each["result"].rpartition("_")[2].lower() for each in (await person.get("LoginService.ListLogins"))["logins"]
    ]
    assert results == ["ok", "locked", *["wrong"] * 5, "ok", "ok"]
    await person.get("SessionService.Logout")
    await _over(visit, person.token)
    _told("E-20", (platform, wire), person)


async def _over(visit: Any, token: str) -> None:
    """Check that a token is soon refused over both wires with the code of one that is over."""

    async def told(wire: str) -> int:
        person = visit("web", wire)
        person.token = token

        async def look() -> int:
            return int((await person.ask("UserService.GetMe"))[0])

        return await until(look, bool, patience_s=10)

    assert set(await asyncio.gather(told("http"), told("grpc"))) == {20002}


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_a_password_is_set_anew(street: Street, visit: Any, platform: str, wire: str) -> None:
    """E-33: known and unknown mailbox are answered alike, the new password counts, and all old sessions are over."""
    person, known, unknown = visit(platform, wire), new_mailbox(), new_mailbox()
    code = await person.code(known, "register")
    made = await person.get("LoginService.Register", email=known, password=PASSWORD, code=code)
    answers = [await person.ask("CodeService.SendCode", target=each, purpose="reset") for each in (known, unknown)]
    assert {code for code, _ in answers} == {0}
    assert set(answers[0][1]) == set(answers[1][1])

    async def codes() -> list[str]:
        return street.carriers.post.codes(known)

    code = (await until(codes, lambda found: len(found) == 2))[-1]
    weak, _ = await person.ask("PasswordService.ResetPassword", account=known, code=code, new_password="12345678")
    await person.get("PasswordService.ResetPassword", account=known, code=code, new_password=f"new {PASSWORD}")
    again, _ = await person.ask("PasswordService.ResetPassword", account=known, code=code, new_password=PASSWORD + "!")
    assert (weak, again) == (20011, 20007)
    old, _ = await person.ask("LoginService.Login", account=known, password=PASSWORD)
    over, _ = await person.ask("SessionService.RefreshSession", refresh_token=made["refresh_token"])
    assert (old, over) == (20009, 20002)
    await person.get("LoginService.Login", account=known, password=f"new {PASSWORD}")
    await _over(visit, made["access_token"])

    async def subjects() -> str:
        return " ".join(each["Subject"] for each in street.carriers.post.to(known))

    assert re.search("密码已更改", await until(subjects, lambda found: "密码已更改" in found))
    _told("E-33", (platform, wire), person)
