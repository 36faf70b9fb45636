"""What people say of themselves by its contract: changed in part, checked, and used for letters."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import user_pb2
from cadenza.auth.v1 import user_service_pb2 as pb
from services.kit.db.engine import Database
from tests.auth.house import House, house, new_mailbox, refused, said, until
from tests.conftest import SettableClock

FAR = {"address": "203.0.113.7", "agent": "curl/8.5.0"}


@pytest.fixture
async def home(database_url: str, redis_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[House]:
    """Yield Auth and Wallet with a mail server and a carrier."""
    async with house(database_url, redis_url, redis, clock) as made:
        yield made


async def _update(home: House, token: str, **changes: Any) -> user_pb2.User:
    user: user_pb2.User = (await home.users.UpdateMe(pb.UpdateMeRequest(**changes), metadata=said(token))).user
    return user


async def test_what_is_given_changes_and_the_rest_stays(home: House) -> None:
    """Each field of a profile is changed alone, emptied when it is given empty, and without signs that are none."""
    token = (await home.register(new_mailbox(), username="Chen.Yu")).access_token
    said_all = {
        "display_name": "Chen\u0007 Yu ",
        "avatar_url": "https://example.org/a.png",
        "first_name": "Yu",
        "last_name": "Chen",
        "bio": "Hums.\n\u0000Sings.",
        "time_zone": "Asia/Shanghai",
        "language": "zh-CN",
    }
    user = await _update(home, token, **said_all)
    cleaned = {**said_all, "display_name": "Chen Yu", "bio": "Hums.\nSings."}
    assert {name: getattr(user, name) for name in said_all} == cleaned
    user = await _update(home, token, bio="", first_name="Yuyu")
    assert {name: getattr(user, name) for name in said_all} == {**cleaned, "bio": "", "first_name": "Yuyu"}
    assert user.username == "Chen.Yu"
    user = (await home.users.GetMe(pb.GetMeRequest(), metadata=said(token))).user
    assert user.last_name == "Chen"


@pytest.mark.parametrize(
    "change",
    [
        {"avatar_url": "http://example.org/a.png"},
        {"avatar_url": "javascript:alert(1)"},
        {"avatar_url": "https://e.org/a b"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"language": "tlh"},
        {"bio": "x" * 501},
        {"username": "1"},
    ],
)
async def test_what_cannot_be_is_refused(home: House, change: dict[str, str]) -> None:
    """Pictures that are no https address, zones that are none, and other languages than ours change nothing."""
    token = (await home.device()).access_token
    error = await refused(home.users.UpdateMe(pb.UpdateMeRequest(display_name="New", **change), metadata=said(token)))
    assert error.reason == "PARAM_INVALID"
    assert (await home.users.GetMe(pb.GetMeRequest(), metadata=said(token))).user.display_name == ""


async def test_a_name_is_one_persons(home: House) -> None:
    """Of two who take a name at the same moment one gets it, and the other changes nothing else either."""
    tokens = [(await home.device()).access_token for _ in range(2)]
    wish = pb.UpdateMeRequest(username=f"n{new_mailbox()[:20]}".replace("@", "."), bio="mine")
    answers = await asyncio.gather(
        *(home.users.UpdateMe(wish, metadata=said(token)) for token in tokens), return_exceptions=True
    )
    users = [(await home.users.GetMe(pb.GetMeRequest(), metadata=said(token))).user for token in tokens]
    assert sorted(isinstance(each, BaseException) for each in answers) == [False, True]
    assert sorted((bool(user.username), user.bio) for user in users) == [(False, ""), (True, "mine")]


async def test_letters_are_in_the_persons_language_and_time(home: House) -> None:
    """A login from afar is told in the language and the time zone of the profile, whatever the stranger speaks."""
    mailbox = new_mailbox()
    token = (await home.register(mailbox)).access_token
    await _update(home, token, language="en", time_zone="Asia/Tokyo")
    await home.login(mailbox, **FAR, language="zh-CN")
    await until(lambda: any("A new login" in letter["Subject"] for letter in home.outside.post.to(mailbox)))
    letter = home.outside.post.to(mailbox)[-1].get_content()
    assert "Asia/Tokyo" in letter
    assert "203.0.113.7" in letter


async def test_a_profile_goes_with_its_user(home: House, db: Database) -> None:
    """Deleting the row of a user takes the profile and the notices with it (A-25)."""
    user_id = (await home.device()).user_id
    async with db.transaction() as tx:
        for table, columns, values in (
            ("profiles", "user_id, bio", ":id, 'x'"),
            ("notifications", "notification_id, user_id, kind, create_time", ":id, :id, 'merged', now()"),
        ):
            await tx.execute(text(f"INSERT INTO auth.{table} ({columns}) VALUES ({values})"), {"id": user_id})
        for table in ("logins", "sessions", "identities", "users"):
            await tx.execute(text(f"DELETE FROM auth.{table} WHERE user_id = :id"), {"id": user_id})
        for table in ("profiles", "notifications"):
            rows = await tx.execute(text(f"SELECT count(*) FROM auth.{table} WHERE user_id = :id"), {"id": user_id})
            assert rows.scalar() == 0
