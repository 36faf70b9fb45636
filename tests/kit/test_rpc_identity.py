"""Who may call what: tokens, certificates and the access option, over the whole chain."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from redis.asyncio import Redis

from cadenza.auth.v1 import session_service_pb2
from services.kit.errors import AuthExpired, RemoteError, Unauthenticated
from services.kit.ids import new_id
from services.kit.redis import connect
from services.kit.rpc.call import Identity
from services.kit.rpc.errors import calling
from services.kit.rpc.identity import current_user
from services.kit.rpc.sessions import Revocations
from services.kit.rpc.tokens import TokenVerifier
from tests.kit.echo_service import EchoRequest, EchoStub
from tests.kit.rpc_layouts import KEY_ID, Issuer, Layout, bearer, local_layout


@pytest.fixture
async def layout() -> AsyncIterator[Layout]:
    """Yield the echo application inside the process; the differential test covers the socket."""
    async with local_layout() as each:
        yield each


async def _reason(call: Any) -> str:
    try:
        with calling():
            await call
    except RemoteError as error:
        return error.reason
    return "OK"


def _unsigned(issuer: Issuer) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': KEY_ID})}.{part(issuer.claims())}."


def _hs256(issuer: Issuer) -> str:
    # The classic confusion: the public key, which everybody knows, as the secret of an HMAC.
    public = issuer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(issuer.claims(), public, algorithm="HS256", headers={"kid": KEY_ID})


def _tampered(issuer: Issuer) -> str:
    head, _, signature = issuer.token().split(".")
    _, body, _ = issuer.token(sub="someone-else").split(".")
    return f"{head}.{body}.{signature}"


FORGERIES: dict[str, Any] = {
    "alg none": _unsigned,
    "HS256 with the public key": _hs256,
    "claims changed after signing": _tampered,
    "another key": lambda issuer: issuer.token(key=Ed25519PrivateKey.generate()),
    "another key id": lambda issuer: issuer.token(headers={"kid": "key-2"}),
    "no key id": lambda issuer: issuer.token(headers={"kid": ""}),
    "another issuer": lambda issuer: issuer.token(iss="else"),
    "another audience": lambda issuer: issuer.token(aud="else"),
    "no subject": lambda issuer: issuer.token(sub=None),
    "no session": lambda issuer: issuer.token(sid=None),
    "no token id": lambda issuer: issuer.token(jti=None),
    "no expiry": lambda issuer: issuer.token(exp=None),
    "an expiry that is no number": lambda issuer: issuer.token(exp="soon"),
    "roles that are no list": lambda issuer: issuer.token(roles="admin"),
    "garbage": lambda _: "x.y.z",
    "five thousand characters": lambda issuer: issuer.token(sub="x" * 5000),
    "expired and forged": lambda issuer: issuer.token(key=Ed25519PrivateKey.generate(), exp=1),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_token_is_no_token(layout: Layout, name: str) -> None:
    """Whatever Auth did not sign is AUTH_REQUIRED, and the handler never runs."""
    token = FORGERIES[name](layout.issuer)
    stub: Any = EchoStub(layout.channel())
    assert await _reason(stub.User(EchoRequest(), metadata=bearer(token), timeout=5)) == "AUTH_REQUIRED"
    assert layout.echo.seen == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwdw=="])
async def test_a_header_without_token_is_no_token(layout: Layout, header: str) -> None:
    """An authorization entry of another kind is AUTH_REQUIRED."""
    stub: Any = EchoStub(layout.channel())
    assert await _reason(stub.User(EchoRequest(), metadata=(("authorization", header),), timeout=5)) == "AUTH_REQUIRED"


async def test_an_old_token_is_expired(layout: Layout) -> None:
    """A good token that has run out is AUTH_EXPIRED, so that the client knows to renew it."""
    stub: Any = EchoStub(layout.channel())
    old = layout.issuer.token(exp=int(time.time()) - 1)
    assert await _reason(stub.User(EchoRequest(), metadata=bearer(old), timeout=5)) == "AUTH_EXPIRED"


async def test_a_revoked_session_is_expired_although_cached(layout: Layout) -> None:
    """Ending a session counts at the very next call, also for a token that was verified before."""
    stub: Any = EchoStub(layout.channel())
    token = layout.issuer.token()
    assert await _reason(stub.User(EchoRequest(), metadata=bearer(token), timeout=5)) == "OK"
    layout.issuer.ended.add("session-1")
    assert await _reason(stub.User(EchoRequest(), metadata=bearer(token), timeout=5)) == "AUTH_EXPIRED"


@pytest.mark.parametrize(
    ("roles", "expected"), [([], "PERMISSION_DENIED"), (["admin"], "OK"), (["x"], "PERMISSION_DENIED")]
)
async def test_admin_methods_need_the_role(layout: Layout, roles: list[str], expected: str) -> None:
    """Only a token with the role admin opens an ADMIN method."""
    stub: Any = EchoStub(layout.channel())
    token = layout.issuer.token(roles=roles)
    assert await _reason(stub.Admin(EchoRequest(), metadata=bearer(token), timeout=5)) == expected


async def test_a_service_on_behalf_still_needs_the_token(layout: Layout) -> None:
    """A certificate of the mesh does not open a USER method."""
    stub: Any = EchoStub(layout.channel("wallet"))
    assert await _reason(stub.User(EchoRequest(), timeout=5)) == "AUTH_REQUIRED"


async def test_a_token_does_not_open_an_internal_method(layout: Layout) -> None:
    """A person, administrator or not, cannot call what is meant for services."""
    stub: Any = EchoStub(layout.channel("edge"))
    token = layout.issuer.token(roles=["admin"])
    assert await _reason(stub.Internal(EchoRequest(), metadata=bearer(token), timeout=5)) == "PERMISSION_DENIED"


async def test_a_public_method_takes_a_good_token_and_ignores_a_bad_one(layout: Layout) -> None:
    """Renewing a token works although the call still carries the one that has run out."""
    stub: Any = EchoStub(layout.channel())
    good = await stub.Public(EchoRequest(), metadata=bearer(layout.issuer.token()), timeout=5)
    bad = await stub.Public(EchoRequest(), metadata=bearer(layout.issuer.token(exp=1)), timeout=5)
    assert (good.user_id, bad.user_id) == ("user-1", "")


async def test_identity_is_checked_before_the_request() -> None:
    """A stranger learns nothing about the shape of a request."""
    async with local_layout() as layout:
        stub: Any = EchoStub(layout.channel())
        assert await _reason(stub.User(EchoRequest(text="x" * 50), timeout=5)) == "AUTH_REQUIRED"


def test_outside_a_call_there_is_no_user() -> None:
    """Code that asks for the current user at start-up or in a worker is refused."""
    with pytest.raises(Unauthenticated):
        current_user()


async def test_a_cached_token_still_runs_out() -> None:
    """The expiry is looked at in every call, cached or not."""
    issuer = Issuer()
    at = {"now": time.time()}

    class _At:
        def timestamp(self) -> float:
            return at["now"]

    verifier = TokenVerifier(issuer.keys, issuer.revoked, clock=_At)  # type: ignore[arg-type]
    token = issuer.token()
    await verifier.verify(token)
    at["now"] += 601
    with pytest.raises(AuthExpired):
        await verifier.verify(token)


class _Sessions:
    """Stands in for Auth's stub and counts how often it is asked."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self.asked = 0

    async def CheckSession(self, request: Any, timeout: float) -> Any:  # noqa: N802, ASYNC109  # as the stub has it
        """Answer whether the session is open."""
        self.asked += 1
        return session_service_pb2.CheckSessionResponse(open=self.is_open)


def _identity() -> Identity:
    return Identity("user", new_id(), frozenset(), new_id())


@pytest.mark.parametrize("what", ["session_id", "token_id"])
async def test_revocation_is_read_from_redis(redis: Redis, what: str) -> None:
    """A session or a single token marked in Redis is revoked; Auth is not asked."""
    sessions = _Sessions(is_open=True)
    revocations = Revocations(sessions, redis)  # type: ignore[arg-type]
    ended, other = _identity(), _identity()
    await redis.set(f"auth:revoked:{getattr(ended, what)}", "1", ex=60)
    assert await revocations.revoked(ended)
    assert not await revocations.revoked(other)
    assert sessions.asked == 0


@pytest.mark.parametrize("is_open", [True, False])
async def test_auth_decides_when_redis_is_down(is_open: bool) -> None:  # noqa: FBT001  # a table
    """Without Redis the session's own row decides, asked once in two seconds."""
    sessions = _Sessions(is_open=is_open)
    down = connect("redis://127.0.0.1:1")
    revocations = Revocations(sessions, down)  # type: ignore[arg-type]
    identity = _identity()
    answers = [await revocations.revoked(identity) for _ in range(5)]
    await down.aclose()
    assert answers == [not is_open] * 5
    assert sessions.asked == 1


async def test_one_call_does_not_see_another_ones_identity(layout: Layout) -> None:
    """Calls answered at the same time each have their own user."""
    stub: Any = EchoStub(layout.channel())
    tokens = [layout.issuer.token(sub=f"user-{number}") for number in range(20)]
    answers = await asyncio.gather(*(stub.User(EchoRequest(), metadata=bearer(token), timeout=5) for token in tokens))
    assert [answer.user_id for answer in answers] == [f"user-{number}" for number in range(20)]
