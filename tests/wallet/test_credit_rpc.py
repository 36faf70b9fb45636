"""Wallet by its contract: people read their own, Composer holds, Auth grants, and nobody else moves money."""

import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cadenza.wallet.v1 import credit_service_pb2 as pb
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.ids import new_id
from services.kit.rpc.application import Application
from services.kit.rpc.around import Concern, concerns
from services.kit.rpc.errors import from_rpc
from services.kit.rpc.key_set import Published
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.serve import Server
from services.kit.rpc.tokens import TokenVerifier
from services.wallet.__main__ import build
from services.wallet.config import Config

if TYPE_CHECKING:
    from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceAsyncStub

_KEY = Ed25519PrivateKey.generate()

Metadata = tuple[tuple[str, str], ...]
Stub = Callable[[str], "CreditServiceAsyncStub"]


def _as(user_id: str, *roles: str) -> Metadata:
    """Return the metadata of a signed-in user."""
    now = int(time.time())
    claims = {"iss": "cadenza", "aud": "cadenza", "sub": user_id, "sid": new_id(), "jti": new_id()}
    times = {"iat": now, "exp": now + 60, "roles": list(roles)}
    token = jwt.encode({**claims, **times}, _KEY, algorithm="EdDSA", headers={"kid": "k"})
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
async def application(database_url: str) -> AsyncIterator[Application]:
    """Yield Wallet as its composition root builds it."""
    local = LocalMesh()
    async with build(Config(database_url=database_url), local.peers("wallet")) as application:
        yield application


@pytest.fixture
def around() -> tuple[Concern, ...]:
    """Return the standard concerns with a verifier that knows one key and no revocation."""

    async def keys() -> Published:
        return Published({"k": _KEY.public_key()})

    async def revoked(_identity: object) -> bool:
        return False

    return concerns("wallet", verifier=TokenVerifier(keys, revoked))


@pytest.fixture
async def stub(application: Application, around: tuple[Concern, ...]) -> AsyncIterator[Stub]:
    """Yield the way to Wallet as a caller of that name."""
    local = LocalMesh()
    local.add(application, around)
    yield lambda caller: CreditServiceStub(local.peers(caller).channel("wallet"))
    await local.drain(1.0)


async def _granted(stub: Stub) -> str:
    """Return a user with 100 credits."""
    user_id = new_id()
    request = pb.GrantRequest(request_id=f"signup:{user_id}", user_id=user_id, kind=pb.GRANT_KIND_SIGNUP)
    answer = await stub("auth").Grant(request)
    assert answer.balance.available_credits == 100
    return user_id


async def _refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc(caught.value)
    return caught.value.code(), str(error.reason), error.metadata


async def test_the_life_of_a_hold_as_its_owner_sees_it(stub: Stub) -> None:
    """Grant, hold, partial settlement and release appear in balance and lines exactly as they happened."""
    user_id, spent, failed = await _granted(stub), new_id(), new_id()
    composer, me = stub("composer"), _as(user_id)
    held = await composer.Hold(pb.HoldRequest(request_id=spent, user_id=user_id, price_kind="music"))
    assert (held.hold.hold_id, held.hold.amount_credits, held.hold.state) == (spent, 20, pb.Hold.STATE_HELD)
    assert (held.balance.available_credits, held.balance.held_credits) == (80, 20)
    assert held.balance.update_time.seconds > 0
    await composer.Hold(pb.HoldRequest(request_id=failed, user_id=user_id, price_kind="lyrics"))
    settled = await composer.Settle(pb.SettleRequest(request_id="s" + spent, hold_id=spent, amount_credits=0))
    assert (settled.hold.state, settled.hold.settled_credits) == (pb.Hold.STATE_SETTLED, 0)
    released = await composer.Release(
        pb.ReleaseRequest(request_id="r" + failed, hold_id=failed, description="lyrics failed")
    )
    assert released.hold.state == pb.Hold.STATE_RELEASED
    gateway = stub("gateway")
    balance = (await gateway.GetBalance(pb.GetBalanceRequest(), metadata=me)).balance
    assert (balance.available_credits, balance.held_credits) == (100, 0)
    first = await gateway.ListEntries(pb.ListEntriesRequest(page_size=3), metadata=me)
    rest = await gateway.ListEntries(pb.ListEntriesRequest(page_token=first.next_page_token), metadata=me)
    lines = [*first.entries, *rest.entries]
    assert [(line.kind, line.amount_credits, line.balance_after_credits, line.description) for line in lines] == [
        (pb.Entry.KIND_RELEASE, 10, 100, "lyrics failed"),
        (pb.Entry.KIND_SETTLE, 20, 90, "music"),
        (pb.Entry.KIND_HOLD, -10, 70, "lyrics"),
        (pb.Entry.KIND_HOLD, -20, 80, "music"),
        (pb.Entry.KIND_SIGNUP_GRANT, 100, 100, "signup"),
    ]
    assert [line.reference_id for line in lines[:2]] == [failed, spent]
    assert rest.next_page_token == ""


async def test_an_absent_amount_settles_everything(stub: Stub) -> None:
    """Settle without an amount spends the whole hold and repeats alike."""
    user_id, job_id = await _granted(stub), new_id()
    composer = stub("composer")
    await composer.Hold(pb.HoldRequest(request_id=job_id, user_id=user_id, price_kind="music"))
    request = pb.SettleRequest(request_id="s" + job_id, hold_id=job_id)
    first = await composer.Settle(request)
    assert (first.hold.settled_credits, first.balance.available_credits) == (20, 80)
    assert await composer.Settle(request) == first


async def test_each_user_sees_only_their_own(stub: Stub) -> None:
    """Balance and lines belong to the token, whatever the caller's name."""
    rich, poor = await _granted(stub), new_id()
    gateway = stub("gateway")
    balance = await gateway.GetBalance(pb.GetBalanceRequest(), metadata=_as(poor))
    assert balance.balance.available_credits == 0
    assert not balance.balance.HasField("update_time")
    lines = await gateway.ListEntries(pb.ListEntriesRequest(), metadata=_as(poor))
    assert len(lines.entries) == 0
    assert len((await gateway.ListEntries(pb.ListEntriesRequest(), metadata=_as(rich))).entries) == 1


async def test_prices_are_public(stub: Stub) -> None:
    """Anyone can read the price table."""
    prices = (await stub("gateway").ListPrices(pb.ListPricesRequest())).prices
    assert {price.kind: price.amount_credits for price in prices} == {"lyrics": 10, "music": 20}


async def test_too_little_credit_says_what_is_missing(stub: Stub) -> None:
    """A hold that the balance does not cover is FAILED_PRECONDITION with both numbers."""
    request = pb.HoldRequest(request_id=new_id(), user_id=new_id(), price_kind="music")
    code, reason, metadata = await _refused(stub("composer").Hold(request))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_CREDITS")
    assert (metadata["needed"], metadata["available"]) == ("20", "0")


def _grant(user_id: str) -> pb.GrantRequest:
    return pb.GrantRequest(request_id=new_id(), user_id=user_id, kind=pb.GRANT_KIND_SIGNUP)


_MOVES: dict[str, Callable[[str], Any]] = {
    "Grant": _grant,
    "Hold": lambda user_id: pb.HoldRequest(request_id=new_id(), user_id=user_id, price_kind="music"),
    "Settle": lambda _: pb.SettleRequest(request_id=new_id(), hold_id=new_id()),
    "Release": lambda _: pb.ReleaseRequest(request_id=new_id(), hold_id=new_id()),
}
_MAY = {"Grant": "auth", "Hold": "composer", "Settle": "composer", "Release": "composer"}
_CALLERS = ("gateway", "edge", "auth", "wallet", "composer", "media", "share", "", "Auth", "composer2")


@pytest.mark.parametrize(
    ("method", "caller"), [(method, caller) for method in _MOVES for caller in _CALLERS if caller != _MAY[method]]
)
async def test_only_the_named_service_moves_money(stub: Stub, method: str, caller: str) -> None:
    """Every other caller, also with a user's or an administrator's token, gets PERMISSION_DENIED and moves nothing."""
    user_id = await _granted(stub)
    for metadata in ((), _as(user_id), _as(user_id, "admin")):
        call = getattr(stub(caller), method)(_MOVES[method](user_id), metadata=metadata)
        code, reason, _ = await _refused(call)
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    balance = await stub("gateway").GetBalance(pb.GetBalanceRequest(), metadata=_as(user_id))
    assert (balance.balance.available_credits, balance.balance.held_credits) == (100, 0)


@pytest.mark.parametrize("method", _MOVES)
async def test_a_token_over_a_real_socket_moves_no_money(
    application: Application, around: tuple[Concern, ...], method: str
) -> None:
    """On a port without certificates an administrator's token does not open the internal methods."""
    server = Server([application], around, address="127.0.0.1:0", credentials=None)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = _MOVES[method](new_id())
            call = getattr(CreditServiceStub(channel), method)(request, metadata=_as(new_id(), "admin"))
            assert (await _refused(call))[1] == "PERMISSION_DENIED"
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Hold", pb.HoldRequest(request_id="job", user_id=new_id(), price_kind="music"), "request_id"),
        ("Hold", pb.HoldRequest(request_id=new_id(), user_id="me", price_kind="music"), "user_id"),
        ("Hold", pb.HoldRequest(request_id=new_id(), user_id=new_id()), "price_kind"),
        ("Hold", pb.HoldRequest(request_id=new_id(), user_id=new_id(), price_kind="opera"), "price_kind"),
        ("Settle", pb.SettleRequest(request_id="s", hold_id=new_id(), amount_credits=-1), "amount_credits"),
        ("Release", pb.ReleaseRequest(request_id="", hold_id=new_id()), "request_id"),
        ("Grant", pb.GrantRequest(request_id="g", user_id=new_id()), "kind"),
    ],
)
async def test_malformed_requests_name_their_field(stub: Stub, method: str, request_: Any, field: str) -> None:
    """A field that breaks its rule is PARAM_INVALID under its own name."""
    caller = _MAY[method]
    code, reason, metadata = await _refused(getattr(stub(caller), method)(request_))
    assert (code, reason, metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "PARAM_INVALID", field)


async def test_reading_needs_a_token(stub: Stub) -> None:
    """Without a token there is no balance and there are no lines."""
    gateway = stub("gateway")
    for call in (gateway.GetBalance(pb.GetBalanceRequest()), gateway.ListEntries(pb.ListEntriesRequest())):
        assert (await _refused(call))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "AUTH_REQUIRED")


async def test_an_id_in_capitals_is_the_same_id(stub: Stub) -> None:
    """A job id written in capitals is the same hold, and so is its settlement."""
    user_id, job_id = await _granted(stub), new_id()
    composer = stub("composer")
    first = await composer.Hold(pb.HoldRequest(request_id=job_id.upper(), user_id=user_id.upper(), price_kind="music"))
    assert await composer.Hold(pb.HoldRequest(request_id=job_id, user_id=user_id, price_kind="music")) == first
    settled = await composer.Settle(pb.SettleRequest(request_id="x" + job_id, hold_id=job_id.upper()))
    assert settled.hold.hold_id == job_id
