"""The WeChat door against a stand-in that keeps the real one's rules, over a real socket."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1 import user_pb2
from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceStub
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from cadenza.auth.v1.user_service_pb2_grpc import UserServiceStub
from services.auth.__main__ import build
from services.auth.config import Config
from services.auth.domain.errors import AuthProviderError
from services.auth.providers.wechat import Wechat as WechatDoor
from services.kit.db.engine import Database
from services.kit.http import HttpClient
from services.kit.ids import new_id
from services.kit.rpc.around import concerns
from services.kit.rpc.errors import from_rpc
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.kit.sealing import Sealer
from tests.auth.conftest import ENCRYPTION_KEY
from tests.conftest import SettableClock
from tests.fakes.stand_in import Fault, served
from tests.fakes.wechat import Wechat

APP_ID, SECRET = "wx0123456789abcdef", "s" * 32


@dataclass(frozen=True)
class Outside:
    """The stand-in and where it listens."""

    wechat: Wechat
    url: str


@pytest.fixture
async def outside(clock: SettableClock) -> AsyncIterator[Outside]:
    """Yield a running stand-in."""
    async with served(Wechat(APP_ID, SECRET, clock=clock)) as wechat:
        yield Outside(wechat, wechat.url)


@asynccontextmanager
async def _door(url: str, *, app_id: str = APP_ID, secret: str = SECRET) -> AsyncIterator[WechatDoor]:
    async with HttpClient("wechat", private_allowed=True) as http:
        yield WechatDoor(http, base_url=url, app_id=app_id, app_secret=secret, timeout_s=1.0)


async def _cause(door: WechatDoor, code: str) -> str:
    """Return why the door refused."""
    with pytest.raises(AuthProviderError) as caught:
        await door.exchange(code)
    assert caught.value.metadata["provider"] == "wechat"
    chain = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.metadata}"
    assert SECRET not in chain
    assert code not in chain
    return caught.value.metadata["cause"]


async def test_a_code_gives_its_account_with_one_exchange(outside: Outside) -> None:
    """One call with the configured id and secret gives open id, union id and session key, hidden in repr."""
    code = outside.wechat.new_code("open-1", "union-1")
    async with _door(outside.url) as door:
        account = await door.exchange(code)
    assert (account.open_id, account.union_id) == ("open-1", "union-1")
    assert account.session_key == outside.wechat.session_keys[-1]
    assert account.session_key not in repr(account)
    assert outside.wechat.exchanges(code) == 1


async def test_used_unknown_and_expired_codes_are_refused(outside: Outside, clock: SettableClock) -> None:
    """A second use, a made-up code and a code six minutes old are all refused, each after one call."""
    code, old = outside.wechat.new_code("open-1"), outside.wechat.new_code("open-1")
    async with _door(outside.url) as door:
        await door.exchange(code)
        assert await _cause(door, code) == "refused"
        assert await _cause(door, "made-up-code") == "refused"
        clock.advance(360)
        assert await _cause(door, old) == "refused"
    assert outside.wechat.exchanges(old) == 1


async def test_a_wrong_mini_program_is_a_matter_of_configuration(outside: Outside) -> None:
    """A wrong id and a wrong secret are told apart from a bad code, and the code stays good."""
    code = outside.wechat.new_code("open-1")
    async with _door(outside.url, app_id="wxother") as door:
        assert await _cause(door, code) == "not_configured"
    async with _door(outside.url, secret="other") as door:
        assert await _cause(door, code) == "not_configured"
    async with _door(outside.url) as door:
        assert (await door.exchange(code)).open_id == "open-1"


async def test_a_busy_wechat_is_asked_twice_and_no_more(outside: Outside) -> None:
    """One "system busy" is overcome; two in a row are given back as unreachable."""
    first, second = outside.wechat.new_code("open-1"), outside.wechat.new_code("open-2")
    outside.wechat.fail("busy")
    async with _door(outside.url) as door:
        assert (await door.exchange(first)).open_id == "open-1"
        outside.wechat.fail("busy", times=2)
        assert await _cause(door, second) == "unreachable"
    assert (outside.wechat.exchanges(first), outside.wechat.exchanges(second)) == (2, 2)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"status": 500, "text": "{}"}, "unreachable"),
        ({"status": 502, "text": "<html>"}, "unreachable"),
        ({"text": "<html>a captive portal</html>"}, "unreachable"),
        ({"text": ""}, "unreachable"),
        ({"text": "[]"}, "unreachable"),
        ({"text": "{}"}, "unreachable"),
        ({"text": '{"openid": "", "session_key": "k"}'}, "unreachable"),
        ({"text": '{"openid": 5, "session_key": "k"}'}, "unreachable"),
        ({"text": '{"openid": "' + "x" * 200 + '", "session_key": "k"}'}, "unreachable"),
        ({"text": '{"errcode": 45011, "errmsg": "api minute-quota reach limit"}'}, "unreachable"),
        ({"text": '{"errcode": 40226, "errmsg": "code blocked"}'}, "blocked"),
        ({"text": '{"errcode": "odd"}'}, "unreachable"),
        ({"text": '{"errcode": [1]}'}, "unreachable"),
    ],
)
async def test_strange_answers_are_provider_errors(outside: Outside, fault: dict[str, str | int], cause: str) -> None:
    """Whatever WeChat answers instead of an account is one reason with its cause, after one call."""
    code = outside.wechat.new_code("open-1")
    outside.wechat.fail(Fault(status=int(fault.get("status", 200)), body=fault["text"]))
    async with _door(outside.url) as door:
        assert await _cause(door, code) == cause
    assert outside.wechat.exchanges(code) == 1


async def test_a_wechat_that_is_away_is_a_provider_error(outside: Outside) -> None:
    """A refused connection is told as unreachable."""
    async with _door("http://127.0.0.1:1") as door:
        assert await _cause(door, "some-code") == "unreachable"


async def test_an_openid_without_errcode_or_with_zero_is_a_success(outside: Outside) -> None:
    """WeChat may send errcode 0 with a success."""
    code = outside.wechat.new_code("ignored")
    outside.wechat.fail(Fault(status=200, body='{"errcode": 0, "openid": "open-9", "session_key": "k"}'))
    async with _door(outside.url) as door:
        account = await door.exchange(code)
    assert (account.open_id, account.union_id) == ("open-9", "")


@asynccontextmanager
async def _auth(database_url: str, redis_url: str, redis: Redis, wechat_url: str) -> AsyncIterator[LocalMesh]:
    """Yield a mesh with Auth alone, its door open to the stand-in."""
    local = LocalMesh()
    config = Config(
        database_url=database_url,
        redis_url=redis_url,
        encryption_key=ENCRYPTION_KEY,
        wechat_app_id=APP_ID,
        wechat_app_secret=SECRET,
        wechat_base_url=wechat_url,
    )
    async with build(config, local.peers("auth")) as auth:
        local.add(auth, concerns("auth", verifier=standard_verifier(local.peers("auth"), redis)))
        yield local
        await local.drain(1.0)


async def test_a_mini_program_logs_in_and_its_session_key_stays_in_redis(
    outside: Outside, database_url: str, redis_url: str, redis: Redis, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The same openid is the same user; the session key is in Redis only, sealed, for three days; nothing is logged."""
    open_id = f"open-{new_id()}"
    with caplog.at_level(logging.DEBUG):
        async with _auth(database_url, redis_url, redis, outside.url) as local:
            stub = SessionServiceStub(local.peers("gateway").channel("auth"))
            codes = [outside.wechat.new_code(open_id, "union-7") for _ in range(2)]
            answers = [
                await stub.WechatLogin(
                    pb.WechatLoginRequest(code=code, nick_name=" 小明\x00 ", avatar_url="https://x/y")
                )
                for code in codes
            ]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.WechatLogin(pb.WechatLoginRequest(code=codes[0]))
            users = UserServiceStub(local.peers("gateway").channel("auth"))
            token = answers[1].access_token
            me = (await users.GetMe(GetMeRequest(), metadata=(("authorization", f"Bearer {token}"),))).user
    refusal = from_rpc(caught.value)
    assert (refusal.reason, refusal.metadata["cause"]) == ("AUTH_PROVIDER_ERROR", "refused")
    assert [answer.is_new for answer in answers] == [True, False]
    assert {answer.user_id for answer in answers} == {me.user_id}
    assert me.display_name == "小明"
    (identity,) = me.identities
    assert identity.provider == user_pb2.Identity.PROVIDER_WECHAT

    place = f"wx:session_key:{identity.identity_id}"
    sealed = str(await redis.get(place))
    assert 0 < await redis.ttl(place) <= 3 * 86_400
    assert outside.wechat.session_keys[-1] not in sealed
    assert Sealer.from_hex(ENCRYPTION_KEY).open(sealed, place).decode() == outside.wechat.session_keys[-1]
    async with db.transaction() as tx:
        rows = await tx.execute(
            text("SELECT i::text, u::text FROM auth.identities i JOIN auth.users u USING (user_id)")
        )
        dump = str(rows.all())
    # The access log of the stand-in is not ours.
    log = str([record.__dict__ for record in caplog.records if record.name != "aiohttp.access"])
    assert "outbound" in log
    for secret in (*outside.wechat.session_keys, *codes, open_id, "union-7", SECRET):
        assert secret not in dump
        assert secret not in log


async def test_the_login_stands_without_redis(outside: Outside, database_url: str, redis: Redis) -> None:
    """When Redis is away the session key is lost and the login is not."""
    async with _auth(database_url, "redis://127.0.0.1:1/0", redis, outside.url) as local:
        stub = SessionServiceStub(local.peers("gateway").channel("auth"))
        code = outside.wechat.new_code(f"open-{new_id()}")
        assert (await stub.WechatLogin(pb.WechatLoginRequest(code=code))).is_new
