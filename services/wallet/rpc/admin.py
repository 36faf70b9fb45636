"""AdminService: what administrators do with wallets, over its use cases."""

from datetime import UTC

from cadenza.wallet.v1 import admin_service_pb2 as pb
from cadenza.wallet.v1 import admin_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user
from services.wallet.domain.audit import Action, AdminAct
from services.wallet.domain.credit import Price
from services.wallet.domain.quota import Quota
from services.wallet.rpc.messages import (
    balance_message,
    freeze_message,
    plan_asked,
    plan_number,
    price_message,
    timestamp,
)
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.credit import Credits


class AdminServicer(pb_grpc.AdminServiceServicer):
    """Serves administrators; the caller's id goes into the audit."""

    def __init__(self, administration: Administration, credits_: Credits, balances: Balances) -> None:
        """Serve these acts; those who watch a balance that was adjusted are woken."""
        self._administration = administration
        self._credits = credits_
        self._balances = balances

    async def AdjustBalance(
        self, request: pb.AdjustBalanceRequest, context: ServicerContext
    ) -> pb.AdjustBalanceResponse:
        """Give or take credits."""
        user_id = request.user_id.lower()
        act = AdminAct(
            Action.ADJUST_BALANCE,
            request.request_id,
            user_id,
            current_user().user_id,
            request.reason,
            {"amount": request.amount_credits},
        )
        answer = await self._credits.adjust(act, request.amount_credits)
        self._balances.changed(user_id)
        return pb.AdjustBalanceResponse(balance=balance_message(answer.balance))

    async def FreezeWallet(self, request: pb.FreezeWalletRequest, context: ServicerContext) -> pb.FreezeWalletResponse:
        """Stop a wallet."""
        freeze = await self._administration.freeze(
            current_user().user_id,
            request_id=request.request_id,
            user_id=request.user_id.lower(),
            reason=request.reason,
        )
        return pb.FreezeWalletResponse(freeze=freeze_message(freeze))

    async def UnfreezeWallet(
        self, request: pb.UnfreezeWalletRequest, context: ServicerContext
    ) -> pb.UnfreezeWalletResponse:
        """Let a wallet be used again."""
        was_frozen = await self._administration.unfreeze(
            current_user().user_id,
            request_id=request.request_id,
            user_id=request.user_id.lower(),
            reason=request.reason,
        )
        return pb.UnfreezeWalletResponse(was_frozen=was_frozen)

    async def SetPrice(self, request: pb.SetPriceRequest, context: ServicerContext) -> pb.SetPriceResponse:
        """Add a version of a price."""
        begins = request.valid_from_time.ToDatetime(UTC) if request.HasField("valid_from_time") else None
        price = await self._administration.set_price(
            current_user().user_id,
            request_id=request.request_id,
            price=Price(
                request.kind,
                request.amount_credits,
                valid_from=begins,
                steps=tuple((each.step, each.amount_credits) for each in request.steps),
            ),
            reason=request.reason,
        )
        return pb.SetPriceResponse(price=price_message(price))

    async def SetQuota(self, request: pb.SetQuotaRequest, context: ServicerContext) -> pb.SetQuotaResponse:
        """Add a version of a limit."""
        limit = request.limit_runs if request.HasField("limit_runs") else None
        quota = await self._administration.set_quota(
            current_user().user_id,
            request_id=request.request_id,
            quota=Quota(plan_asked(request.plan), request.kind, limit),
            reason=request.reason,
        )
        return pb.SetQuotaResponse(
            plan=plan_number(quota.plan), kind=quota.kind, limit_runs=quota.limit, version=quota.version
        )

    async def SetPlan(self, request: pb.SetPlanRequest, context: ServicerContext) -> pb.SetPlanResponse:
        """Put a user on a plan."""
        plan = await self._administration.set_plan(
            current_user().user_id,
            request_id=request.request_id,
            user_id=request.user_id.lower(),
            plan=plan_asked(request.plan),
            reason=request.reason,
        )
        return pb.SetPlanResponse(plan=plan_number(plan))

    async def ListAudits(self, request: pb.ListAuditsRequest, context: ServicerContext) -> pb.ListAuditsResponse:
        """Return a page of audit lines."""
        found, token = await self._administration.audits(
            page_size=request.page_size, page_token=request.page_token, subject=request.subject
        )
        audits = [
            pb.Audit(
                audit_id=each.audit_id,
                action=each.action.value,
                subject=each.subject,
                operator_id=each.operator_id,
                reason=each.reason,
                input=each.input,
                create_time=timestamp(each.create_time),
            )
            for each in found
        ]
        return pb.ListAuditsResponse(audits=audits, next_page_token=token)
