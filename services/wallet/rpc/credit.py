"""CreditService: the contract of Wallet over its use cases."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC

from cadenza.wallet.v1 import credit_service_pb2 as pb
from cadenza.wallet.v1 import credit_service_pb2_grpc as pb_grpc
from services.kit import tracing
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user
from services.wallet.domain.balance import Change, Position
from services.wallet.domain.credit import Answer, EntryLine, TransferKind
from services.wallet.rpc.messages import (
    balance_message,
    freeze_message,
    hold_message,
    plan_number,
    price_message,
    quota_message,
)
from services.wallet.rpc.messages import timestamp as _time
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.hold import Holds
from services.wallet.usecases.quota import Quotas

_KINDS = {
    TransferKind.SIGNUP_GRANT: pb.Entry.KIND_SIGNUP_GRANT,
    TransferKind.HOLD: pb.Entry.KIND_HOLD,
    TransferKind.SETTLE: pb.Entry.KIND_SETTLE,
    TransferKind.RELEASE: pb.Entry.KIND_RELEASE,
    TransferKind.EXPIRE: pb.Entry.KIND_EXPIRE,
    TransferKind.ADMIN_ADJUST: pb.Entry.KIND_ADMIN_ADJUST,
    TransferKind.MERGE: pb.Entry.KIND_MERGE,
}
_KINDS_ASKED = {number: kind for kind, number in _KINDS.items()}


class CreditServicer(pb_grpc.CreditServiceServicer):
    """Serves credits; people act on their own, other services by their certificates."""

    def __init__(self, credits_: Credits, holds: Holds, balances: Balances, quotas: Quotas) -> None:
        """Serve these credits, their balances to those who follow them, and what is allowed at which price."""
        self._credits = credits_
        self._holds = holds
        self._balances = balances
        self._quotas = quotas

    async def GetBalance(self, request: pb.GetBalanceRequest, context: ServicerContext) -> pb.GetBalanceResponse:
        """Return the caller's balance."""
        position, freeze = await self._balances.wallet(current_user().user_id)
        return pb.GetBalanceResponse(balance=_standing(position), freeze=freeze_message(freeze))

    async def ListEntries(self, request: pb.ListEntriesRequest, context: ServicerContext) -> pb.ListEntriesResponse:
        """Return a page of the caller's lines."""
        page = await self._credits.entries(
            current_user().user_id,
            page_size=request.page_size,
            page_token=request.page_token,
            kind=_KINDS_ASKED.get(request.kind),
        )
        entries = [_entry(line) for line in page.entries]
        return pb.ListEntriesResponse(entries=entries, next_page_token=page.next_page_token)

    async def WatchBalance(
        self, request: pb.WatchBalanceRequest, context: ServicerContext
    ) -> AsyncIterator[pb.WatchBalanceResponse]:
        """Stream the caller's balance: as it stands, then every change."""
        async with aclosing(self._balances.watch(current_user().user_id, request.after_sequence)) as life:
            async for position, change in life:
                yield pb.WatchBalanceResponse(
                    sequence=position.sequence, balance=_standing(position), change=_change(change)
                )

    async def ListPrices(self, request: pb.ListPricesRequest, context: ServicerContext) -> pb.ListPricesResponse:
        """Return the price table."""
        return pb.ListPricesResponse(prices=[price_message(each) for each in await self._quotas.prices()])

    async def GetQuota(self, request: pb.GetQuotaRequest, context: ServicerContext) -> pb.GetQuotaResponse:
        """Return what the caller may still have today."""
        plan, uses = await self._quotas.of(current_user().user_id)
        return pb.GetQuotaResponse(plan=plan_number(plan), quotas=[quota_message(each) for each in uses])

    async def Hold(self, request: pb.HoldRequest, context: ServicerContext) -> pb.HoldResponse:
        """Set the price of a job aside."""
        with _entered("hold", request.request_id) as entry:
            answer = await self._credits.hold(
                request_id=request.request_id,
                user_id=request.user_id.lower(),
                price_kind=request.price_kind,
                price_version=request.price_version,
                expire_time=request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None,
            )
            _tell_span(entry, answer)
        self._balances.changed(request.user_id.lower())
        return pb.HoldResponse(hold=hold_message(answer.hold), balance=balance_message(answer.balance))

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: ServicerContext) -> pb.ExtendHoldResponse:
        """Move the date of a hold."""
        hold = await self._holds.extend(request.hold_id.lower(), request.expire_time.ToDatetime(UTC))
        return pb.ExtendHoldResponse(hold=hold_message(hold))

    async def Settle(self, request: pb.SettleRequest, context: ServicerContext) -> pb.SettleResponse:
        """Turn a hold into revenue."""
        with _entered("settle", request.request_id) as entry:
            answer = await self._credits.settle(
                request_id=request.request_id,
                hold_id=request.hold_id.lower(),
                amount=request.amount_credits if request.HasField("amount_credits") else None,
            )
            _tell_span(entry, answer)
        self._tell(answer)
        return pb.SettleResponse(hold=hold_message(answer.hold), balance=balance_message(answer.balance))

    async def Release(self, request: pb.ReleaseRequest, context: ServicerContext) -> pb.ReleaseResponse:
        """Give a hold back."""
        with _entered("release", request.request_id) as entry:
            answer = await self._credits.release(
                request_id=request.request_id,
                hold_id=request.hold_id.lower(),
                description=request.description,
                finished_steps=frozenset(request.finished_steps),
            )
            _tell_span(entry, answer)
        self._tell(answer)
        return pb.ReleaseResponse(hold=hold_message(answer.hold), balance=balance_message(answer.balance))

    async def Grant(self, request: pb.GrantRequest, context: ServicerContext) -> pb.GrantResponse:
        """Give the credits of registration; validation lets no other kind through."""
        answer = await self._credits.grant_signup(request_id=request.request_id, user_id=request.user_id.lower())
        self._balances.changed(request.user_id.lower())
        return pb.GrantResponse(balance=balance_message(answer.balance))

    def _tell(self, answer: Answer) -> None:
        """Wake those who watch the balance that the hold belongs to."""
        if answer.hold is not None:
            self._balances.changed(answer.hold.user_id)


def _entered(operation: str, request_id: str) -> tracing.Span:
    """Return the span of an entry in the ledger, under the id that it has there too."""
    about = {"cadenza.ledger.operation": operation, "cadenza.ledger.request_id": request_id}
    return tracing.span(f"ledger {operation}", attributes=about)


def _tell_span(entry: tracing.Span, answer: Answer) -> None:
    if answer.hold is not None:
        entry.set("cadenza.ledger.hold_id", answer.hold.hold_id)
        entry.set("cadenza.ledger.amount_credits", answer.hold.amount)


def _standing(position: Position) -> pb.Balance:
    message = balance_message(position.balance)
    message.sequence = position.sequence
    return message


def _change(change: Change | None) -> pb.BalanceChange | None:
    if change is None:
        return None
    return pb.BalanceChange(
        kind=_KINDS[change.kind],
        available_change_credits=change.available_change,
        held_change_credits=change.held_change,
        description=change.description,
        reference_id=change.reference_id,
    )


def _entry(line: EntryLine) -> pb.Entry:
    return pb.Entry(
        entry_id=line.entry_id,
        kind=_KINDS[line.kind],
        amount_credits=line.amount,
        balance_after_credits=line.balance_after,
        description=line.description,
        reference_id=line.reference_id,
        create_time=_time(line.create_time),
    )
