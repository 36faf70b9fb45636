"""Sessions and keys over time, on a real PostgreSQL and Valkey with a clock that is set."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.auth.config import Config
from services.auth.domain.errors import AccountDisabled
from services.auth.domain.pepper import Pepper
from services.auth.domain.session import Lifetimes, Origin
from services.auth.domain.signing_key import ANNOUNCED
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import LoggedIn, Logins
from services.auth.usecases.login_log import LoginLog
from services.auth.usecases.message import Messages
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions
from services.auth.usecases.signing_key import SigningKeys
from services.kit.config import ConfigError
from services.kit.db.engine import Database
from services.kit.db.migrate import check
from services.kit.errors import AuthExpired, Unauthenticated, Unavailable
from services.kit.ids import new_id
from services.kit.redis import connect
from services.kit.rpc.local import LocalMesh
from services.kit.sealing import Sealer
from tests.conftest import SettableClock

KEY, OTHER = "ab" * 32, "cd" * 32
WEEK, MONTH = timedelta(days=7), timedelta(days=30)


@dataclass(frozen=True)
class House:
    """Auth's use cases with a clock of their own and no Wallet to be reached."""

    sessions: Sessions
    logins: Logins
    delivery: Delivery
    keys: SigningKeys

    async def login(self) -> LoggedIn:
        """Log in a new device."""
        return await self.logins.by_device(f"device-{new_id()}", Origin())


def _house(db: Database, redis: Redis, clock: SettableClock) -> House:
    keys = SigningKeys(db, Sealer.from_hex(KEY), clock, access_ttl=WEEK, longest=timedelta(days=90))
    wallet = CreditServiceStub(LocalMesh().peers("auth").channel("wallet"))
    delivery = Delivery(db, wallet, redis, clock, access_ttl=WEEK)
    sessions = Sessions(db, keys, delivery, clock, lifetimes=Lifetimes(WEEK, MONTH), pepper=Pepper.from_hex(KEY))
    identities = Identities(Pepper.from_hex(KEY), Sealer.from_hex(KEY))
    log = LoginLog(
        db, Notices(db, identities, Messages(db, Sealer.from_hex(KEY), clock, sms=None, mail=None), clock), clock
    )
    return House(sessions, Logins(db, sessions, delivery, clock, log=log), delivery, keys)


@pytest.fixture
async def house(db: Database, redis: Redis, clock: SettableClock) -> House:
    """Return the use cases on an empty key table, because the tests set the clock."""
    async with db.transaction() as tx:
        await tx.execute(text("TRUNCATE auth.signing_keys"))
    return _house(db, redis, clock)


async def _scalar(db: Database, statement: str, **values: object) -> object:
    async with db.transaction() as tx:
        return (await tx.execute(text(statement), values)).scalar_one()


async def test_the_retry_window_ends(house: House, clock: SettableClock) -> None:
    """Ten seconds after its exchange a token may come again, eleven seconds after it ends the session."""
    login = await house.login()
    await house.sessions.refresh(login.tokens.refresh_token, Origin())
    clock.advance(10)
    again = await house.sessions.refresh(login.tokens.refresh_token, Origin())
    clock.advance(1)
    with pytest.raises(AuthExpired):
        await house.sessions.refresh(login.tokens.refresh_token, Origin())
    with pytest.raises(AuthExpired):
        await house.sessions.refresh(again.refresh_token, Origin())
    assert not await house.sessions.is_open(login.tokens.session_id)


async def test_a_retry_does_not_stretch_its_own_window(house: House, clock: SettableClock) -> None:
    """Retries every six seconds succeed once, because the window counts from the first use."""
    login = await house.login()
    await house.sessions.refresh(login.tokens.refresh_token, Origin())
    clock.advance(6)
    await house.sessions.refresh(login.tokens.refresh_token, Origin())
    clock.advance(6)
    with pytest.raises(AuthExpired):
        await house.sessions.refresh(login.tokens.refresh_token, Origin())


async def test_a_session_lives_as_long_as_it_is_renewed(house: House, clock: SettableClock) -> None:
    """Renewed within 30 days it goes on, unused for 30 days it is over."""
    login = await house.login()
    clock.advance(29 * 86_400)
    renewed = await house.sessions.refresh(login.tokens.refresh_token, Origin())
    clock.advance(29 * 86_400)
    assert await house.sessions.is_open(login.tokens.session_id)
    renewed = await house.sessions.refresh(renewed.refresh_token, Origin())
    clock.advance(30 * 86_400)
    assert not await house.sessions.is_open(login.tokens.session_id)
    with pytest.raises(AuthExpired):
        await house.sessions.refresh(renewed.refresh_token, Origin())


async def test_long_expired_sessions_are_removed(house: House, db: Database, clock: SettableClock) -> None:
    """A month after its end a session and its tokens are gone, and its token is unknown; live ones stay."""
    old = await house.login()
    clock.advance(61 * 86_400)
    live = await house.login()
    assert await house.sessions.purge() >= 1
    query = "SELECT count(*) FROM auth.refresh_tokens WHERE session_id = CAST(:session AS uuid)"
    assert await _scalar(db, query, session=old.tokens.session_id) == 0
    with pytest.raises(Unauthenticated):
        await house.sessions.refresh(old.tokens.refresh_token, Origin())
    assert await house.sessions.is_open(live.tokens.session_id)


async def test_a_disabled_account_neither_logs_in_nor_renews(house: House, db: Database) -> None:
    """After an operator switched it off every door of the account is closed."""
    device = f"device-{new_id()}"
    login = await house.logins.by_device(device, Origin())
    async with db.transaction() as tx:
        statement = text("UPDATE auth.users SET disable_time = now() WHERE user_id = CAST(:user AS uuid)")
        await tx.execute(statement, {"user": login.tokens.user_id})
    with pytest.raises(AccountDisabled):
        await house.logins.by_device(device, Origin())
    with pytest.raises(AccountDisabled):
        await house.sessions.refresh(login.tokens.refresh_token, Origin())


async def test_roles_travel_in_the_token_from_the_next_refresh_on(house: House, db: Database) -> None:
    """A role given to a user appears in the access token of the next refresh."""
    login = await house.login()
    async with db.transaction() as tx:
        statement = text("UPDATE auth.users SET roles = '{admin}' WHERE user_id = CAST(:user AS uuid)")
        await tx.execute(statement, {"user": login.tokens.user_id})
    renewed = await house.sessions.refresh(login.tokens.refresh_token, Origin())
    claims = [
        jwt.decode(token, options={"verify_signature": False})
        for token in (login.tokens.access_token, renewed.access_token)
    ]
    assert [each["roles"] for each in claims] == [[], ["admin"]]
    assert claims[0]["sid"] == claims[1]["sid"]
    assert claims[0]["jti"] != claims[1]["jti"]


async def test_five_processes_make_one_first_key(db: Database, clock: SettableClock) -> None:
    """However many processes start at once on an empty table, one key is made and all sign with it."""
    async with db.transaction() as tx:
        await tx.execute(text("TRUNCATE auth.signing_keys"))
    sealer = Sealer.from_hex(KEY)
    sets = [SigningKeys(db, sealer, clock, access_ttl=WEEK, longest=MONTH) for _ in range(5)]
    signers = await asyncio.gather(*(keys.signer() for keys in sets))
    assert len({signer.key_id for signer in signers}) == 1
    assert await _scalar(db, "SELECT count(*) FROM auth.signing_keys") == 1


async def test_keys_rotate_without_a_token_going_bad(house: House, clock: SettableClock) -> None:
    """A key 90 days old gets a successor that is announced, then signs; tokens of both verify while they live."""
    old = await house.login()
    (first,) = await house.keys.published()
    clock.advance(90 * 86_400)
    announced = await house.login()
    assert jwt.get_unverified_header(announced.tokens.access_token)["kid"] == first.key_id
    second, still = await house.keys.published()
    assert still.key_id == first.key_id
    clock.advance(ANNOUNCED.total_seconds())
    new = await house.login()
    assert jwt.get_unverified_header(new.tokens.access_token)["kid"] == second.key_id
    public = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in await house.keys.published()}
    for login in (old, announced, new):
        token = login.tokens.access_token
        key = public[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(
            token, key, algorithms=["EdDSA"], audience="cadenza", options={"verify_exp": False, "verify_iat": False}
        )
    clock.advance((WEEK + 2 * ANNOUNCED).total_seconds())
    assert [key.key_id for key in await house.keys.published()] == [second.key_id]


async def test_another_encryption_key_stops_instead_of_making_new_keys(
    house: House, db: Database, clock: SettableClock
) -> None:
    """A process with the wrong ENCRYPTION_KEY refuses to sign and adds nothing; with the old one listed it works."""
    await house.login()
    wrong = SigningKeys(db, Sealer.from_hex(OTHER), clock, access_ttl=WEEK, longest=MONTH)
    with pytest.raises(Unavailable):
        await wrong.signer()
    assert await _scalar(db, "SELECT count(*) FROM auth.signing_keys") == 1
    both = SigningKeys(db, Sealer.from_hex(OTHER, KEY), clock, access_ttl=WEEK, longest=MONTH)
    assert (await both.signer()).key_id == (await house.keys.signer()).key_id


async def test_logout_while_redis_is_away_is_repeated(
    house: House, db: Database, redis: Redis, clock: SettableClock
) -> None:
    """The row ends at once, the mark waits in the outbox and is published once Redis is back."""
    gone = connect("redis://127.0.0.1:1/0")
    away = _house(db, gone, clock)
    login = await away.login()
    await away.sessions.end(login.tokens.session_id)
    mark = f"auth:revoked:{login.tokens.session_id}"
    assert not await house.sessions.is_open(login.tokens.session_id)
    assert await redis.exists(mark) == 0
    waiting = "SELECT count(*) FROM auth.outbox WHERE topic = 'session_revoked' AND key = :key AND done_time IS NULL"
    assert await _scalar(db, waiting, key=login.tokens.session_id) == 1
    # Wallet stays away: the grants of these logins go on waiting beside it.
    await house.delivery.dispatcher.drain()
    assert await redis.exists(mark) == 1
    assert await _scalar(db, waiting, key=login.tokens.session_id) == 0
    await gone.aclose()


async def test_ending_a_session_again_changes_nothing(house: House, db: Database, clock: SettableClock) -> None:
    """A second end keeps the time of the first."""
    login = await house.login()
    await house.sessions.end(login.tokens.session_id)
    query = "SELECT revoke_time FROM auth.sessions WHERE session_id = CAST(:session AS uuid)"
    first = await _scalar(db, query, session=login.tokens.session_id)
    clock.advance(5)
    await house.sessions.end(login.tokens.session_id)
    assert await _scalar(db, query, session=login.tokens.session_id) == first


async def test_the_database_holds_nothing_that_opens_a_door(house: House, db: Database) -> None:
    """A dump of every table of Auth has neither device id nor token nor private key in it."""
    device = f"device-{new_id()}"
    login = await house.logins.by_device(device, Origin())
    signer = await house.keys.signer()
    private = signer._private.private_bytes_raw().hex()
    tables = ("users", "identities", "sessions", "refresh_tokens", "signing_keys", "outbox")
    dump = ""
    for table in tables:
        dump += str(await _scalar(db, f"SELECT coalesce(json_agg(t)::text, '') FROM auth.{table} t"))
    assert login.tokens.user_id in dump
    for secret in (device, device.encode().hex(), login.tokens.refresh_token, login.tokens.access_token, private):
        assert secret not in dump
    assert login.tokens.refresh_token not in repr(login)
    assert login.tokens.access_token not in repr(login)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"encryption_key": "short"}, "ENCRYPTION_KEY"),
        ({"encryption_key": KEY, "encryption_keys_old": f"{OTHER},x"}, "ENCRYPTION_KEYS_OLD"),
        ({"encryption_key": KEY, "jwt_access_ttl": 0}, "JWT_ACCESS_TTL"),
        ({"encryption_key": KEY, "jwt_access_ttl": 10, "jwt_refresh_ttl": 9}, "JWT_REFRESH_TTL"),
        ({"encryption_key": KEY, "wechat_app_id": "wx1"}, "WECHAT_APP_SECRET"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, str], names: str) -> None:
    """A bad key, lifetime or half of a mini-program is refused at start, naming the variable and no secret."""
    with pytest.raises(ConfigError) as caught:
        Config(**values)  # type: ignore[arg-type]
    assert names in str(caught.value)
    assert KEY not in str(caught.value)


def test_migration_and_tables_agree(database_url: str) -> None:
    """Autogenerate finds nothing to add to the history."""
    assert check(database_url, "auth") == []
