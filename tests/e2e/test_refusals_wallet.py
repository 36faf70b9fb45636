"""Why not? Four different answers to the same wish, over JSON in both languages and over gRPC."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import track_service_pb2, track_service_pb2_grpc
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.mesh.up import RunningMesh
from services.wallet.domain.audit import Action, AdminAct
from services.wallet.domain.quota import Plan, Quota
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person


@dataclass
class House:
    """Wallet's own rules on the mesh's database, as other jobs and an administrator would use them."""

    credits_: Credits
    admin: Administration

    async def empty(self, user_id: str) -> None:
        """Take all but ten credits."""
        act = AdminAct(Action.ADJUST_BALANCE, new_id(), user_id, "boss", "test", {"amount": -90})
        await self.credits_.adjust(act, -90)

    async def hold(self, user_id: str) -> None:
        """Set ninety credits aside for other jobs."""
        for kind in ("music", "music", "music", "music", "lyrics"):
            await self.credits_.hold(request_id=new_id(), user_id=user_id, price_kind=kind)

    async def limit(self, user_id: str) -> None:
        """Put the user on a plan that allows one song a day, which has been had."""
        quota = Quota(Plan.PREMIUM, "music", 1)
        await self.admin.set_quota("boss", request_id=new_id(), quota=quota, reason="test")
        await self.admin.set_plan("boss", request_id=new_id(), user_id=user_id, plan=Plan.PREMIUM, reason="test")
        job_id = new_id()
        await self.credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
        await self.credits_.settle(request_id=job_id, hold_id=job_id, amount=None)

    async def freeze(self, user_id: str) -> None:
        """Stop the wallet."""
        await self.admin.freeze("boss", request_id=new_id(), user_id=user_id, reason="a chargeback")


@pytest.fixture
async def house(mesh: RunningMesh) -> AsyncIterator[House]:
    """Yield the house on the shared mesh's database."""
    db = Database(mesh.environment["DATABASE_URL"])
    yield House(Credits(db, now, signup_grant_credits=100), Administration(db, now))
    await db.close()


CASES: list[tuple[Callable[[House, str], Awaitable[None]], tuple[int, int, str], set[str], str, str]] = [
    (House.empty, (402, 40003, "INSUFFICIENT_CREDITS"), {"needed", "available"}, "积分不足", "Not enough credits"),
    (
        House.hold,
        (402, 40010, "CREDITS_HELD"),
        {"needed", "available", "held", "holds", "job_ids"},
        "其他任务",
        "other jobs hold them",
    ),
    (
        House.limit,
        (403, 40004, "QUOTA_EXCEEDED"),
        {"kind", "plan", "limit", "used", "resets_at"},
        "上限 1，已用 1",
        "1 of 1",
    ),
    (House.freeze, (403, 40011, "WALLET_FROZEN"), {"freeze_reason", "frozen_at"}, "a chargeback", "a chargeback"),
]


@pytest.mark.parametrize(
    ("arrange", "refusal", "facts", "zh", "en"), CASES, ids=[refusal[2] for _, refusal, _, _, _ in CASES]
)
async def test_each_reason_is_told_on_every_way_in(
    mesh: RunningMesh,
    arrive: Arrive,
    house: House,
    take: bytes,
    arrange: Callable[[House, str], Awaitable[None]],
    refusal: tuple[int, int, str],
    facts: set[str],
    zh: str,
    en: str,
) -> None:
    """A song is refused with its own number, status, facts and sentence; gRPC carries the same; nothing is left."""
    person = await arrive()
    uploaded = await person.send(take, "hum.wav")
    asset = await person.settled_asset(uploaded.body["data"]["asset"]["asset_id"])
    await arrange(house, person.user_id)
    before = await person.belongings()
    told = {}
    for language, sentence in (("zh-CN", zh), ("en", en)):
        answer = await person.ask(
            "POST",
            "/api/v1/tracks",
            json={"asset_id": asset["asset_id"]},
            headers={"Accept-Language": language},
        )
        assert answer.refusal == refusal
        assert sentence in answer.body["message"]
        told = answer.body["details"]["metadata"]
        assert facts <= set(told)
    error = await _over_grpc(mesh, person, asset["asset_id"])
    assert error.reason == refusal[2]
    assert {name: error.metadata[name] for name in facts} == {name: told[name] for name in facts}
    assert await person.belongings() == before


async def _over_grpc(mesh: RunningMesh, person: Person, asset_id: str) -> Any:
    """Return the refusal of the same wish at the edge port."""
    metadata = (("authorization", person.headers()["Authorization"]),)
    async with grpc.aio.insecure_channel(mesh.edge_address) as channel:
        stub = track_service_pb2_grpc.TrackServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateTrack(
                track_service_pb2.CreateTrackRequest(asset_id=asset_id), metadata=metadata, timeout=60
            )
    return from_rpc(caught.value)


async def test_a_hold_of_a_watched_balance_reaches_the_browser(arrive: Arrive, house: House) -> None:
    """Over SSE the whole balance comes first; a hold made meanwhile comes next, and after the break nothing twice."""
    person = await arrive()
    snapshot, *_ = await person.stream("/api/v1/wallet/events", most=1)
    job_id = new_id()
    await house.credits_.hold(request_id=job_id, user_id=person.user_id, price_kind="music")
    first, change = await person.stream("/api/v1/wallet/events", after=snapshot.number, most=2)

    assert snapshot.data["balance"]["available_credits"] == 100
    assert (first.name, first.number) == ("snapshot", snapshot.number)
    assert change.data["change"]["kind"] == "hold"
    assert change.data["change"]["reference_id"] == job_id
    assert change.number > first.number
    again, *_ = await person.stream("/api/v1/wallet/events", after=change.number, most=1)
    assert again.data["balance"]["held_credits"] == 20
