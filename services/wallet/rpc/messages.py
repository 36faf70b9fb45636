"""Turns what Wallet knows into messages of the contract."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.wallet.v1 import credit_service_pb2 as pb
from services.wallet.domain.audit import Freeze
from services.wallet.domain.credit import Balance, Hold, HoldState, Price
from services.wallet.domain.quota import Plan, QuotaUse

_PLANS = {Plan.FREE: pb.PLAN_FREE, Plan.BASIC: pb.PLAN_BASIC, Plan.PREMIUM: pb.PLAN_PREMIUM}
_STATES = {
    HoldState.HELD: pb.Hold.STATE_HELD,
    HoldState.SETTLED: pb.Hold.STATE_SETTLED,
    HoldState.RELEASED: pb.Hold.STATE_RELEASED,
    HoldState.EXPIRED: pb.Hold.STATE_EXPIRED,
}
_PLANS_ASKED = {number: plan for plan, number in _PLANS.items()}


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the moment as a message, None for none."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def balance_message(balance: Balance) -> pb.Balance:
    """Return a balance without its place among the changes."""
    return pb.Balance(
        available_credits=balance.available, held_credits=balance.held, update_time=timestamp(balance.update_time)
    )


def hold_message(hold: Hold | None) -> pb.Hold | None:
    """Return a hold, None for none."""
    if hold is None:
        return None
    return pb.Hold(
        hold_id=hold.hold_id,
        user_id=hold.user_id,
        amount_credits=hold.amount,
        settled_credits=hold.settled,
        state=_STATES[hold.state],
        price_version=hold.price_version,
        expire_time=timestamp(hold.expire_time),
    )


def plan_number(plan: Plan) -> pb.Plan.ValueType:
    """Return the plan in the words of the contract."""
    return _PLANS[plan]


def plan_asked(number: pb.Plan.ValueType) -> Plan:
    """Return the plan that a request names; validation lets no other number through."""
    return _PLANS_ASKED[number]


def price_message(price: Price) -> pb.Price:
    """Return a price as everybody sees it."""
    return pb.Price(
        kind=price.kind,
        amount_credits=price.amount,
        version=price.version,
        valid_from_time=timestamp(price.valid_from),
        steps=[pb.PriceStep(step=step, amount_credits=amount) for step, amount in price.steps],
    )


def freeze_message(freeze: Freeze | None) -> pb.Freeze | None:
    """Return a freeze, None for none."""
    if freeze is None:
        return None
    return pb.Freeze(user_id=freeze.user_id, reason=freeze.reason, freeze_time=timestamp(freeze.freeze_time))


def quota_message(use: QuotaUse) -> pb.Quota:
    """Return what is allowed and used of one kind of work."""
    return pb.Quota(
        kind=use.quota.kind, limit_runs=use.quota.limit, used_runs=use.used, reset_time=timestamp(use.day.end)
    )
