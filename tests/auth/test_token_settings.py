"""How long tokens live and how old a signing key gets, as an operator sets it: through the whole of Auth."""

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from services.auth.config import Config
from services.auth.domain.signing_key import ANNOUNCED
from services.kit.config import ConfigError, load
from services.kit.db.engine import Database
from tests.auth.house import House, house, refused, said
from tests.conftest import SettableClock

DAY_S = 86_400
ACCESS_S, REFRESH_S = 5 * DAY_S, 6 * DAY_S


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, db: Database
) -> AsyncIterator[House]:
    """Yield Auth four days ago and without keys, so that all its tokens are good today."""
    async with db.transaction() as tx:
        await tx.execute(text("DELETE FROM auth.signing_keys"))
    clock.advance(-4 * DAY_S)
    settings = {"jwt_access_ttl": ACCESS_S, "jwt_refresh_ttl": REFRESH_S, "signing_key_max_age": DAY_S}
    async with house(database_url, redis_url, redis, clock, **settings) as made:
        yield made
    async with db.transaction() as tx:
        await tx.execute(text("DELETE FROM auth.signing_keys"))


def _header(answer: Any) -> str:
    return str(jwt.get_unverified_header(answer.access_token)["kid"])


def _claims(answer: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(answer.access_token, options={"verify_signature": False})
    return claims


def test_tokens_live_seven_and_thirty_days_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings an access token lives 7 days, a refresh token 30, a key signs for 90; nonsense is refused."""
    for name in ("JWT_ACCESS_TTL", "JWT_REFRESH_TTL", "SIGNING_KEY_MAX_AGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENCRYPTION_KEY", "5e" * 32)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1/none")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1/0")
    config = load(Config)
    assert (config.lifetimes.access.days, config.lifetimes.refresh.days) == (7, 30)
    assert config.signing_key_max_age == 90 * DAY_S
    monkeypatch.setenv("JWT_ACCESS_TTL", str(31 * DAY_S))
    with pytest.raises(ConfigError, match="JWT_ACCESS_TTL"):
        load(Config)


async def test_lifetimes_are_settings(home: House) -> None:
    """The figures an operator set are in the token and in the answer, and a refresh token ends with its own."""
    login = await home.device()
    claims = _claims(login)
    assert claims["exp"] - claims["iat"] == ACCESS_S == login.expires_in
    ends = login.session.refresh_expire_time.seconds
    assert ends - int(home.clock().timestamp()) in {REFRESH_S - 1, REFRESH_S}
    home.clock.advance(REFRESH_S + 1)
    late = pb.RefreshSessionRequest(refresh_token=login.refresh_token)
    assert (await refused(home.sessions.RefreshSession(late))).reason == "AUTH_EXPIRED"


async def test_a_new_key_signs_and_tokens_of_the_old_one_live_on(home: House) -> None:
    """After its age a key gets a successor: new tokens bear its name, and those of both keys open every door."""
    old = await home.device()
    home.clock.advance(DAY_S)
    announced = await home.device()
    home.clock.advance(ANNOUNCED.total_seconds())
    new = await home.device()
    keys = [key.key_id for key in (await home.sessions.GetKeySet(pb.GetKeySetRequest())).keys]
    assert _header(old) == _header(announced) == keys[1]
    assert _header(new) == keys[0]
    for answer in (old, announced, new):
        me = (await home.users.GetMe(GetMeRequest(), metadata=said(answer.access_token))).user
        assert me.user_id == answer.user_id
    refreshed = await home.sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=old.refresh_token))
    assert _header(refreshed) == keys[0]
