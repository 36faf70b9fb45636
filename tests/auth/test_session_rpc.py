"""Auth by its contract: login, refresh, logout, keys, with Wallet beside it."""

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1 import user_pb2
from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceStub
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from cadenza.auth.v1.user_service_pb2_grpc import UserServiceStub
from cadenza.wallet.v1.credit_service_pb2 import GetBalanceRequest, ListEntriesRequest
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.auth.conftest import Mesh

if TYPE_CHECKING:
    from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceAsyncStub


def _device() -> str:
    return f"device-{new_id()}"


def _sessions(mesh: Mesh, caller: str = "gateway") -> "SessionServiceAsyncStub":
    return SessionServiceStub(mesh.peers(caller).channel("auth"))


async def _login(mesh: Mesh, device: str = "") -> pb.AnonymousLoginResponse:
    request = pb.AnonymousLoginRequest(provider="web", provider_id=device or _device())
    return await _sessions(mesh).AnonymousLogin(request)


def _as(access_token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {access_token}"),)


async def _available(mesh: Mesh, access_token: str) -> int:
    stub = CreditServiceStub(mesh.peers("gateway").channel("wallet"))
    answer = await stub.GetBalance(GetBalanceRequest(), metadata=_as(access_token))
    return answer.balance.available_credits


async def _refused(call: Any) -> str:
    """Return the reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return str(from_rpc(caught.value).reason)


async def test_first_login_makes_a_user_with_100_credits(mesh: Mesh) -> None:
    """Right after the first login the balance is 100 with one line; the same device is the same user."""
    device = _device()
    first = await _login(mesh, device)
    assert first.is_new
    assert await _available(mesh, first.access_token) == 100
    second = await _login(mesh, device)
    assert not second.is_new
    assert second.user_id == first.user_id
    assert second.session.session_id != first.session.session_id
    assert await _available(mesh, second.access_token) == 100
    wallet = CreditServiceStub(mesh.peers("gateway").channel("wallet"))
    lines = await wallet.ListEntries(ListEntriesRequest(), metadata=_as(first.access_token))
    assert [line.amount_credits for line in lines.entries] == [100]
    other = await _login(mesh)
    assert other.user_id != first.user_id


async def test_a_login_answers_with_both_tokens_and_their_times(mesh: Mesh) -> None:
    """The access token lives 7 days and the refresh token 30; the flat fields repeat the session's."""
    answer = await _login(mesh)
    session = answer.session
    assert (answer.expires_in, session.expires_in, session.token_type) == (604_800, 604_800, "Bearer")
    assert (answer.access_token, answer.refresh_token) == (session.access_token, session.refresh_token)
    lives = session.refresh_expire_time.seconds - session.access_expire_time.seconds
    assert lives == (30 - 7) * 86_400


async def test_a_token_verifies_with_the_published_key_and_names_the_user(mesh: Mesh) -> None:
    """The key set verifies the token by its kid; its claims are the agreed ones and no more."""
    answer = await _login(mesh)
    keys = (await _sessions(mesh).GetKeySet(pb.GetKeySetRequest())).keys
    kid = jwt.get_unverified_header(answer.access_token)["kid"]
    public = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in keys}[kid]
    claims = jwt.decode(answer.access_token, public, algorithms=["EdDSA"], audience="cadenza", issuer="cadenza")
    assert claims["sub"] == answer.user_id
    assert claims["sid"] == answer.session.session_id
    assert claims["exp"] - claims["iat"] == 604_800
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp", "roles"}


async def test_ten_first_logins_at_once_make_one_user(mesh: Mesh) -> None:
    """Ten logins of a new device at the same time give one user, one is_new, and 100 credits."""
    device = _device()
    answers = await asyncio.gather(*(_login(mesh, device) for _ in range(10)))
    assert len({answer.user_id for answer in answers}) == 1
    assert sum(answer.is_new for answer in answers) == 1
    assert await _available(mesh, answers[0].access_token) == 100


@pytest.mark.parametrize(
    ("provider", "provider_id", "field"),
    [
        ("apple", "device-0123456789", "provider"),
        ("", "device-0123456789", "provider"),
        ("web", "", "provider_id"),
        ("web", "short", "provider_id"),
        ("web", "x" * 129, "provider_id"),
        ("web", "with space 0123456789", "provider_id"),
    ],
)
async def test_a_malformed_login_names_its_field(mesh: Mesh, provider: str, provider_id: str, field: str) -> None:
    """Unknown doors and ids that are short, long or odd are PARAM_INVALID with the field."""
    request = pb.AnonymousLoginRequest(provider=provider, provider_id=provider_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _sessions(mesh).AnonymousLogin(request)
    error = from_rpc(caught.value)
    assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", field)


async def test_refresh_rotates_and_a_replay_ends_the_session(mesh: Mesh) -> None:
    """Each refresh gives a new working pair; an old token shown later kills the newest one and the access token."""
    login = await _login(mesh)
    sessions = _sessions(mesh)
    second = await sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=login.refresh_token))
    assert second.session.session_id == login.session.session_id
    assert second.session.user_id == login.user_id
    assert await _available(mesh, second.access_token) == 100
    third = await sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=second.refresh_token))
    assert len({login.refresh_token, second.refresh_token, third.refresh_token}) == 3
    replay = sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=login.refresh_token))
    assert await _refused(replay) == "AUTH_EXPIRED"
    newest = sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=third.refresh_token))
    assert await _refused(newest) == "AUTH_EXPIRED"
    assert await mesh.redis.ttl(f"auth:revoked:{login.session.session_id}") > 604_000
    checked = await _sessions(mesh, "wallet").CheckSession(pb.CheckSessionRequest(session_id=login.session.session_id))
    assert not checked.open


async def test_a_retried_refresh_gets_the_same_answer(mesh: Mesh) -> None:
    """The same refresh sent again at once gets the same token; once that has gone on, the old one ends the session."""
    login = await _login(mesh)
    sessions = _sessions(mesh)
    request = pb.RefreshSessionRequest(refresh_token=login.refresh_token)
    lost = await sessions.RefreshSession(request)
    again = await sessions.RefreshSession(request)
    assert again.refresh_token == lost.refresh_token
    going_on = await sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=again.refresh_token))
    assert going_on.session.user_id == login.user_id
    assert await _refused(sessions.RefreshSession(request)) == "AUTH_EXPIRED"
    ended = sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=going_on.refresh_token))
    assert await _refused(ended) == "AUTH_EXPIRED"


@pytest.mark.parametrize("token", ["cdr_unknown", "x", "a" * 512])
async def test_an_unknown_refresh_token_is_refused(mesh: Mesh, token: str) -> None:
    """A token that was never given out is AUTH_REQUIRED."""
    assert await _refused(_sessions(mesh).RefreshSession(pb.RefreshSessionRequest(refresh_token=token))) == (
        "AUTH_REQUIRED"
    )


async def test_logout_ends_the_session_everywhere(mesh: Mesh) -> None:
    """After logout neither access nor refresh token works, the mark is in Redis with an end, others live on."""
    device = _device()
    login, other = await _login(mesh, device), await _login(mesh, device)
    await _sessions(mesh).Logout(pb.LogoutRequest(), metadata=_as(login.access_token))
    # A verifier that has not asked for this session yet sees the mark at once.
    stub = UserServiceStub(mesh.peers("gateway").channel("auth"))
    assert 604_000 < await mesh.redis.ttl(f"auth:revoked:{login.session.session_id}") < 605_000
    wallet = CreditServiceStub(mesh.peers("gateway").channel("wallet"))
    assert await _refused(wallet.GetBalance(GetBalanceRequest(), metadata=_as(login.access_token))) == "AUTH_EXPIRED"
    refresh = _sessions(mesh).RefreshSession(pb.RefreshSessionRequest(refresh_token=login.refresh_token))
    assert await _refused(refresh) == "AUTH_EXPIRED"
    me = await stub.GetMe(GetMeRequest(), metadata=_as(other.access_token))
    assert me.user.user_id == login.user_id


async def test_get_me_shows_the_user_and_their_doors(mesh: Mesh) -> None:
    """The caller sees their own id, one web identity, and no id of the device."""
    device = _device()
    login = await _login(mesh, device)
    stub = UserServiceStub(mesh.peers("gateway").channel("auth"))
    me = (await stub.GetMe(GetMeRequest(), metadata=_as(login.access_token))).user
    assert me.user_id == login.user_id
    assert [each.provider for each in me.identities] == [user_pb2.Identity.PROVIDER_WEB]
    assert me.create_time.seconds > 0
    assert device not in str(me)
    assert await _refused(stub.GetMe(GetMeRequest())) == "AUTH_REQUIRED"


async def test_check_session_is_for_the_mesh_only(mesh: Mesh) -> None:
    """A named caller learns whether a session is open; a stranger, even with a token, does not."""
    login = await _login(mesh)
    request = pb.CheckSessionRequest(session_id=login.session.session_id)
    assert (await _sessions(mesh, "share").CheckSession(request)).open
    unknown = pb.CheckSessionRequest(session_id=str(uuid.UUID(int=7)))
    assert not (await _sessions(mesh, "share").CheckSession(unknown)).open
    stranger = _sessions(mesh, "stranger").CheckSession(request, metadata=_as(login.access_token))
    assert await _refused(stranger) == "PERMISSION_DENIED"


async def test_wechat_login_without_configuration_is_a_provider_error(mesh: Mesh) -> None:
    """Where no mini-program is configured the login says so by its reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _sessions(mesh).WechatLogin(pb.WechatLoginRequest(code="code"))
    error = from_rpc(caught.value)
    assert (error.reason, error.metadata["cause"]) == ("AUTH_PROVIDER_ERROR", "not_configured")
