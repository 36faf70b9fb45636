"""What administrators do, by the contract: once for an id, audited, and for nobody else."""

import asyncio
import json
from typing import Any

import grpc.aio
import pytest

from cadenza.wallet.v1 import admin_service_pb2 as pb
from cadenza.wallet.v1 import credit_service_pb2 as credit_pb
from cadenza.wallet.v1.admin_service_pb2_grpc import AdminServiceStub
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.wallet.conftest import Serving

BOSS = new_id()


def _acts(user_id: str) -> dict[str, Any]:
    """Return one request of each act."""
    common: Any = {"reason": "because"}
    return {
        "FreezeWallet": pb.FreezeWalletRequest(request_id=new_id(), user_id=user_id, **common),
        "UnfreezeWallet": pb.UnfreezeWalletRequest(request_id=new_id(), user_id=user_id, **common),
        "SetPrice": pb.SetPriceRequest(request_id=new_id(), kind="opera", amount_credits=7, **common),
        "SetQuota": pb.SetQuotaRequest(
            request_id=new_id(), plan=credit_pb.PLAN_BASIC, kind="music", limit_runs=5, **common
        ),
        "SetPlan": pb.SetPlanRequest(request_id=new_id(), user_id=user_id, plan=credit_pb.PLAN_PREMIUM, **common),
    }


async def _reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return str(from_rpc(caught.value).reason)


@pytest.mark.parametrize("act", [*_acts("")])
async def test_an_act_happens_once_and_is_audited(serving: Serving, act: str) -> None:
    """Five equal calls at once answer alike and leave one line with operator and reason; other input is refused."""
    user_id = new_id()
    request = _acts(user_id)[act]
    call = getattr(AdminServiceStub(serving.channel("gateway")), act)
    boss = serving.as_user(BOSS, "admin")
    answers = await asyncio.gather(*(call(request, metadata=boss) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    other = type(request).FromString(request.SerializeToString())
    other.reason = "another reason"
    assert await _reason(call(other, metadata=boss)) == "IDEMPOTENCY_KEY_REUSED"

    subject = getattr(request, "kind", "") or user_id
    page = await AdminServiceStub(serving.channel("gateway")).ListAudits(
        pb.ListAuditsRequest(subject=subject), metadata=boss
    )
    lines = [line for line in page.audits if line.action == _snake(act)]
    assert [(line.operator_id, line.reason) for line in lines] == [(BOSS, "because")]
    assert isinstance(json.loads(lines[0].input), dict)


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).strip("_")


@pytest.mark.parametrize("act", [*_acts("")])
async def test_only_administrators_act(serving: Serving, act: str) -> None:
    """A user, a stranger and another service are refused, and nothing is audited."""
    user_id = new_id()
    request = _acts(user_id)[act]
    call = getattr(AdminServiceStub(serving.channel("composer")), act)
    assert await _reason(call(request, metadata=serving.as_user(user_id))) == "PERMISSION_DENIED"
    assert await _reason(call(request)) == "AUTH_REQUIRED"
    boss = serving.as_user(BOSS, "admin")
    page = await AdminServiceStub(serving.channel("gateway")).ListAudits(
        pb.ListAuditsRequest(subject=user_id), metadata=boss
    )
    assert list(page.audits) == []


async def test_a_frozen_wallet_says_so_to_its_owner(serving: Serving) -> None:
    """Freezing shows reason and time in the balance, freezing again the new reason, unfreezing neither."""
    user_id, boss = new_id(), serving.as_user(BOSS, "admin")
    admin, gateway = AdminServiceStub(serving.channel("gateway")), CreditServiceStub(serving.channel("gateway"))

    async def shown() -> Any:
        return await gateway.GetBalance(credit_pb.GetBalanceRequest(), metadata=serving.as_user(user_id))

    assert not (await shown()).HasField("freeze")
    for reason in ("chargeback", "a second chargeback"):
        request = pb.FreezeWalletRequest(request_id=new_id(), user_id=user_id, reason=reason)
        frozen = await admin.FreezeWallet(request, metadata=boss)
        assert (await shown()).freeze == frozen.freeze
        assert frozen.freeze.reason == reason
    for was_frozen in (True, False):
        unfreeze = pb.UnfreezeWalletRequest(request_id=new_id(), user_id=user_id, reason="settled")
        assert (await admin.UnfreezeWallet(unfreeze, metadata=boss)).was_frozen is was_frozen
    assert not (await shown()).HasField("freeze")


async def test_prices_and_quotas_are_those_of_the_newest_version(serving: Serving) -> None:
    """Everybody reads the new price with its version, and a user the limit of the plan they are on."""
    user_id, boss = new_id(), serving.as_user(BOSS, "admin")
    admin, gateway = AdminServiceStub(serving.channel("gateway")), CreditServiceStub(serving.channel("gateway"))
    for amount in (3, 4):
        await admin.SetPrice(
            pb.SetPriceRequest(request_id=new_id(), kind="jingle", amount_credits=amount, reason="new"), metadata=boss
        )
    prices = {each.kind: each for each in (await gateway.ListPrices(credit_pb.ListPricesRequest())).prices}
    assert (prices["jingle"].amount_credits, prices["jingle"].version) == (4, 2)
    assert (prices["lyrics"].amount_credits, prices["music"].amount_credits) == (10, 20)
    assert prices["music"].version == 1

    for limit, version in ((5, 1), (None, 2), (9, 3)):
        answer = await admin.SetQuota(
            pb.SetQuotaRequest(
                request_id=new_id(), plan=credit_pb.PLAN_PREMIUM, kind="jingle", limit_runs=limit, reason="new"
            ),
            metadata=boss,
        )
        assert (answer.version, answer.HasField("limit_runs")) == (version, limit is not None)
    await admin.SetPlan(
        pb.SetPlanRequest(request_id=new_id(), user_id=user_id, plan=credit_pb.PLAN_PREMIUM, reason="paid"),
        metadata=boss,
    )
    answer = await gateway.GetQuota(credit_pb.GetQuotaRequest(), metadata=serving.as_user(user_id))
    quotas = {each.kind: each for each in answer.quotas}
    assert answer.plan == credit_pb.PLAN_PREMIUM
    assert (quotas["jingle"].limit_runs, quotas["jingle"].used_runs) == (9, 0)
    assert not quotas["music"].HasField("limit_runs")
    stranger = await gateway.GetQuota(credit_pb.GetQuotaRequest(), metadata=serving.as_user(new_id()))
    assert stranger.plan == credit_pb.PLAN_FREE


async def test_a_quota_of_an_unknown_kind_is_refused(serving: Serving) -> None:
    """A kind of work without a price can have no limit, so that a slip of the pen is seen."""
    request = pb.SetQuotaRequest(request_id=new_id(), plan=credit_pb.PLAN_FREE, kind="musik", limit_runs=1, reason="x")
    call = AdminServiceStub(serving.channel("gateway")).SetQuota(request, metadata=serving.as_user(BOSS, "admin"))
    assert await _reason(call) == "PARAM_INVALID"
