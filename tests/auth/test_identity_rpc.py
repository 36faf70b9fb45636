"""Ways to log in by their contract: added by proof, taken away but for the last, never another one's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import identity_service_pb2 as pb
from cadenza.auth.v1 import login_service_pb2, session_service_pb2, user_pb2
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from services.kit.db.engine import Database
from services.kit.ids import new_id
from tests.auth.house import PURPOSES, House, house, new_mailbox, new_phone, refused, said
from tests.conftest import SettableClock
from tests.fakes.apple import CLIENT_ID, Apple
from tests.fakes.stand_in import Fault, served
from tests.fakes.wechat import APP_ID, APP_SECRET, Wechat, refusal

BIND, LOGIN = PURPOSES.CODE_PURPOSE_BIND, PURPOSES.CODE_PURPOSE_LOGIN
Provider = user_pb2.Identity.Provider


@pytest.fixture
async def wechat(clock: SettableClock) -> AsyncIterator[Wechat]:
    """Yield a running WeChat."""
    async with served(Wechat(clock=clock)) as vendor:
        yield vendor


@pytest.fixture
async def apple(clock: SettableClock) -> AsyncIterator[Apple]:
    """Yield a running Apple."""
    async with served(Apple(clock=clock)) as vendor:
        yield vendor


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, wechat: Wechat, apple: Apple
) -> AsyncIterator[House]:
    """Yield Auth and Wallet with all doors open."""
    doors = {
        "wechat_app_id": APP_ID,
        "wechat_app_secret": APP_SECRET,
        "wechat_base_url": wechat.url,
        "apple_client_ids": (CLIENT_ID,),
        "apple_base_url": apple.url,
    }
    async with house(database_url, redis_url, redis, clock, **doors) as made:
        yield made


async def _bind(home: House, token: str, provider: Any, **more: str) -> user_pb2.Identity:
    request = pb.BindIdentityRequest(provider=provider, **more)
    answer = await home.identities.BindIdentity(request, metadata=said(token))
    identity: user_pb2.Identity = answer.identity
    return identity


async def _bind_target(home: House, token: str, target: str) -> user_pb2.Identity:
    code = await home.code(target, BIND, token=token)
    provider = Provider.PROVIDER_EMAIL if "@" in target else Provider.PROVIDER_PHONE
    return await _bind(home, token, provider, provider_id=target, verification_code=code)


async def _unbind(home: House, token: str, identity_id: str) -> None:
    await home.identities.UnbindIdentity(pb.UnbindIdentityRequest(identity_id=identity_id), metadata=said(token))


async def _me(home: House, token: str) -> user_pb2.User:
    user: user_pb2.User = (await home.users.GetMe(GetMeRequest(), metadata=said(token))).user
    return user


async def test_one_person_has_many_doors(home: House, wechat: Wechat, apple: Apple) -> None:
    """Device, phone, mailbox, WeChat and Apple, once bound, all lead to the user of the first."""
    login = await home.device()
    token, phone, mailbox, open_id, subject = login.access_token, new_phone(), new_mailbox(), new_id(), new_id()
    await _bind_target(home, token, phone)
    await _bind_target(home, token, mailbox)
    await _bind(home, token, Provider.PROVIDER_WECHAT, wechat_code=wechat.new_code(open_id))
    nonce = "raw-nonce-9"
    await _bind(home, token, Provider.PROVIDER_APPLE, identity_token=apple.token(subject, nonce), nonce=nonce)
    found = await _me(home, token)
    assert [each.provider for each in found.identities] == [1, 3, 4, 2, 5]
    assert found.identities[1].label == f"{phone[:3]}****{phone[-4:]}"
    code = await home.code(phone, LOGIN)
    by_phone = await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))
    code = await home.code(mailbox, LOGIN)
    by_mail = await home.logins.Login(login_service_pb2.LoginRequest(email=mailbox, code=code))
    request = session_service_pb2.WechatLoginRequest(code=wechat.new_code(open_id))
    by_wechat = await home.sessions.WechatLogin(request)
    by_apple = await home.logins.AppleLogin(
        login_service_pb2.AppleLoginRequest(identity_token=apple.token(subject, nonce), nonce=nonce)
    )
    assert {each.user_id for each in (by_phone, by_mail, by_wechat, by_apple)} == {login.user_id}
    assert not any(each.is_new for each in (by_phone, by_mail, by_wechat, by_apple))


async def test_wechat_vouches_for_a_phone(home: House, wechat: Wechat) -> None:
    """The code of WeChat's button binds the phone that WeChat knows, once."""
    login, phone = await home.device(), new_phone()
    code = wechat.new_code("o-1", phone=phone)
    identity = await _bind(home, login.access_token, Provider.PROVIDER_PHONE, phone_code=code)
    assert identity.label == f"{phone[:3]}****{phone[-4:]}"
    again = await refused(_bind(home, login.access_token, Provider.PROVIDER_PHONE, phone_code=code))
    assert (again.reason, again.metadata["cause"]) == ("AUTH_PROVIDER_ERROR", "refused")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("busy", "unreachable"),
        ("down", "unreachable"),
        ("cut", "unreachable"),
        ("quota", "unreachable"),
        ("not_allowed", "not_configured"),
        (Fault(status=200, body=refusal(40013, "invalid appid")), "not_configured"),
        (Fault(status=200, body={"errcode": 0}), "unreachable"),
        (Fault(status=200, body={"phone_info": {"purePhoneNumber": "1", "watermark": {"appid": "wx1"}}}), "refused"),
        (Fault(status=200, body={"phone_info": {"watermark": {"appid": APP_ID}}}), "unreachable"),
    ],
)
async def test_a_wechat_that_does_not_tell_the_phone(
    home: House, wechat: Wechat, fault: str | Fault, cause: str
) -> None:
    """Whatever WeChat answers instead of a number of our own program binds nothing and has its cause."""
    login = await home.device()
    code = wechat.new_code("o-1", phone=new_phone())
    wechat.fail(fault, on="getuserphonenumber")
    error = await refused(_bind(home, login.access_token, Provider.PROVIDER_PHONE, phone_code=code))
    assert (error.reason, error.metadata["cause"]) == ("AUTH_PROVIDER_ERROR", cause)
    assert len((await _me(home, login.access_token)).identities) == 1


async def test_what_is_another_ones_is_not_bound(home: House) -> None:
    """A phone of another account is IDENTITY_IN_USE for who reads its code, and stays where it is."""
    owner, other, phone = await home.device(), await home.device(), new_phone()
    await _bind_target(home, owner.access_token, phone)
    code = await home.code(phone, BIND, token=other.access_token)
    given = {"provider_id": phone, "verification_code": code}
    error = await refused(_bind(home, other.access_token, Provider.PROVIDER_PHONE, **given))
    assert (error.reason, error.metadata["provider"]) == ("IDENTITY_IN_USE", "phone")
    assert len((await _me(home, other.access_token)).identities) == 1
    assert len((await _me(home, owner.access_token)).identities) == 2


async def test_a_code_to_bind_is_one_persons(home: House) -> None:
    """Whoever else shows the code, though logged in, has a wrong one."""
    asked, other, phone = await home.device(), await home.device(), new_phone()
    code = await home.code(phone, BIND, token=asked.access_token)
    given = {"provider_id": phone, "verification_code": code}
    assert (await refused(_bind(home, other.access_token, Provider.PROVIDER_PHONE, **given))).reason == "CODE_INVALID"
    assert (await _bind(home, asked.access_token, Provider.PROVIDER_PHONE, **given)).identity_id


async def test_bound_at_once_by_two_it_is_one_persons(home: House, wechat: Wechat) -> None:
    """Of two people who bind one WeChat account at the same moment one gets it, the other IDENTITY_IN_USE."""
    people, open_id = [await home.device() for _ in range(2)], new_id()
    answers = await asyncio.gather(
        *(
            _bind(home, each.access_token, Provider.PROVIDER_WECHAT, wechat_code=wechat.new_code(open_id))
            for each in people
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, user_pb2.Identity) for each in answers) == 1


async def test_bound_twice_it_is_given_back(home: House) -> None:
    """Binding what one has already changes nothing."""
    login, mailbox = await home.device(), new_mailbox()
    first = await _bind_target(home, login.access_token, mailbox)
    again = await _bind_target(home, login.access_token, mailbox)
    assert first.identity_id == again.identity_id


async def test_the_last_way_stays(home: House) -> None:
    """One of two ways can be taken away, the last cannot, also when both are asked for at the same moment."""
    login, mailbox = await home.device(), new_mailbox()
    bound = await _bind_target(home, login.access_token, mailbox)
    device = (await _me(home, login.access_token)).identities[0].identity_id
    answers = await asyncio.gather(
        *(_unbind(home, login.access_token, each) for each in (device, bound.identity_id)), return_exceptions=True
    )
    assert sum(each is None for each in answers) == 1
    (left,) = (await _me(home, login.access_token)).identities
    assert (await refused(_unbind(home, login.access_token, left.identity_id))).reason == "LAST_IDENTITY"


async def test_a_way_taken_away_ends_what_it_opened(home: House) -> None:
    """Sessions that the mailbox opened end, the one that asks and those of other doors go on, and it is free again."""
    login, mailbox = await home.device(), new_mailbox()
    bound = await _bind_target(home, login.access_token, mailbox)
    code = await home.code(mailbox, LOGIN)
    by_mail = await home.logins.Login(login_service_pb2.LoginRequest(email=mailbox, code=code))
    await _unbind(home, login.access_token, bound.identity_id)
    refresh = session_service_pb2.RefreshSessionRequest
    ended = home.sessions.RefreshSession(refresh(refresh_token=by_mail.refresh_token))
    assert (await refused(ended)).reason == "AUTH_EXPIRED"
    assert (await home.sessions.RefreshSession(refresh(refresh_token=login.refresh_token))).access_token
    code = await home.code(mailbox, LOGIN)
    again = await home.logins.Login(login_service_pb2.LoginRequest(email=mailbox, code=code))
    assert again.is_new
    assert again.user_id != login.user_id


async def test_the_session_that_asks_goes_on_without_its_way(home: House) -> None:
    """Whoever takes the way away that led them in stays logged in, and the list of sessions says no door for it."""
    login, mailbox = await home.device(), new_mailbox()
    await _bind_target(home, login.access_token, mailbox)
    device = (await _me(home, login.access_token)).identities[0].identity_id
    await _unbind(home, login.access_token, device)
    listed = await home.sessions.ListSessions(
        session_service_pb2.ListSessionsRequest(), metadata=said(login.access_token)
    )
    assert [(each.current, each.provider) for each in listed.sessions] == [(True, 0)]


async def test_nobody_takes_another_ones_way(home: House, db: Database) -> None:
    """Another person's identity, a made-up one and one that is gone are NOT_FOUND alike, and nothing changes."""
    owner, other = await home.device(), await home.device()
    bound = await _bind_target(home, owner.access_token, new_mailbox())
    for identity_id in (bound.identity_id, new_id()):
        assert (await refused(_unbind(home, other.access_token, identity_id))).reason == "NOT_FOUND"
    await _unbind(home, owner.access_token, bound.identity_id)
    assert (await refused(_unbind(home, owner.access_token, bound.identity_id))).reason == "NOT_FOUND"
    assert (await refused(home.identities.UnbindIdentity(pb.UnbindIdentityRequest(identity_id=new_id())))).reason == (
        "AUTH_REQUIRED"
    )
    async with db.transaction() as tx:
        count = text("SELECT count(*) FROM auth.identities WHERE user_id = CAST(:user AS uuid)")
        assert (await tx.execute(count, {"user": owner.user_id})).scalar() == 1


async def test_there_is_an_end_to_ways_of_a_kind(home: House) -> None:
    """The sixth mailbox is refused."""
    login = await home.device()
    for _ in range(5):
        await _bind_target(home, login.access_token, new_mailbox())
    assert (await refused(_bind_target(home, login.access_token, new_mailbox()))).reason == "BUSINESS_RULE"


@pytest.mark.parametrize(
    "given",
    [
        {"provider": 3},
        {"provider": 4, "provider_id": "13800000000", "verification_code": "123456"},
        {"provider": 3, "provider_id": "13800000000"},
        {"provider": 2},
        {"provider": 5, "identity_token": "x"},
        {"provider": 1, "provider_id": "device-0123456789abcdef"},
        {},
    ],
)
async def test_half_a_proof_is_a_parameter(home: House, given: dict[str, Any]) -> None:
    """What a door needs and does not get, and a door that cannot be bound, are PARAM_INVALID."""
    login = await home.device()
    call = home.identities.BindIdentity(pb.BindIdentityRequest(**given), metadata=said(login.access_token))
    assert (await refused(call)).reason == "PARAM_INVALID"
