"""Watching a balance by its contract: only one's own, the whole first, then every change."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from cadenza.wallet.v1 import credit_service_pb2 as pb
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.wallet.conftest import Serving


async def _granted(serving: Serving) -> str:
    user_id = new_id()
    request = pb.GrantRequest(request_id=f"signup:{user_id}", user_id=user_id, kind=pb.GRANT_KIND_SIGNUP)
    await CreditServiceStub(serving.channel("auth")).Grant(request)
    return user_id


async def _read(call: Any) -> Any:
    async with asyncio.timeout(30):
        return await call.read()


async def test_a_hold_and_its_release_reach_their_owner_and_nobody_else(serving: Serving) -> None:
    """Two people watch; a hold of one arrives there, woken through Redis, and the other hears nothing of it."""
    mine, other, job_id = await _granted(serving), await _granted(serving), new_id()
    gateway, composer = CreditServiceStub(serving.channel("gateway")), CreditServiceStub(serving.channel("composer"))
    me, them = serving.as_user(mine), serving.as_user(other)
    life = gateway.WatchBalance(pb.WatchBalanceRequest(), metadata=me)
    other_life = gateway.WatchBalance(pb.WatchBalanceRequest(), metadata=them)
    first, _ = await _read(life), await _read(other_life)
    await composer.Hold(pb.HoldRequest(request_id=job_id, user_id=mine, price_kind="music"))
    held = await _read(life)
    await composer.Release(pb.ReleaseRequest(request_id="r" + job_id, hold_id=job_id, description="music failed"))
    released = await _read(life)
    await composer.Hold(pb.HoldRequest(request_id=new_id(), user_id=other, price_kind="lyrics"))
    foreign = await _read(other_life)
    life.cancel()
    other_life.cancel()

    assert (first.balance.available_credits, first.HasField("change")) == (100, False)
    assert (held.change.kind, held.change.available_change_credits) == (pb.Entry.KIND_HOLD, -20)
    assert (held.balance.available_credits, held.balance.held_credits) == (80, 20)
    assert (released.change.kind, released.change.description) == (pb.Entry.KIND_RELEASE, "music failed")
    assert first.sequence < held.sequence < released.sequence
    assert released.balance.sequence == released.sequence
    assert foreign.change.available_change_credits == -10
    balance = (await gateway.GetBalance(pb.GetBalanceRequest(), metadata=me)).balance
    assert balance.sequence == released.sequence


async def test_a_place_beyond_the_present_is_refused(serving: Serving) -> None:
    """The first read of such a stream is INVALID_ARGUMENT naming the field."""
    metadata = serving.as_user(await _granted(serving))
    stub = CreditServiceStub(serving.channel("gateway"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _read(stub.WatchBalance(pb.WatchBalanceRequest(after_sequence=1 << 40), metadata=metadata))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc(caught.value).metadata["field"] == "after_sequence"


async def test_entries_of_one_kind_are_paged_alone(serving: Serving) -> None:
    """The filter leaves out all other kinds, and pages of it show every line once."""
    user_id = await _granted(serving)
    composer, gateway = CreditServiceStub(serving.channel("composer")), CreditServiceStub(serving.channel("gateway"))
    for number in range(5):
        job_id = new_id()
        await composer.Hold(pb.HoldRequest(request_id=job_id, user_id=user_id, price_kind="lyrics"))
        if number % 2:
            await composer.Release(pb.ReleaseRequest(request_id=job_id, hold_id=job_id))
    seen: list[pb.Entry] = []
    token = ""
    while True:
        request = pb.ListEntriesRequest(page_size=2, page_token=token, kind=pb.Entry.KIND_HOLD)
        page = await gateway.ListEntries(request, metadata=serving.as_user(user_id))
        seen += page.entries
        token = page.next_page_token
        if not token:
            break

    assert [line.kind for line in seen] == [pb.Entry.KIND_HOLD] * 5
    assert len({line.entry_id for line in seen}) == 5
