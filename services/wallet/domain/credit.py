"""Decisions about credits: what a grant, a hold, a settlement and a release move.

Each decision is a pure function from what is known under the account locks to the postings
it makes. Postings are signed whole credits by kind of account and always sum to zero.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.kit.errors import Conflict, ParamInvalid
from services.wallet.domain.errors import HoldClosed, InsufficientCredits


class AccountKind(StrEnum):
    """The accounts of the ledger: what a user has and has set aside, and the house's side of it.

    The house keeps its side of every user in accounts of their own, so that no two users ever wait for each other and
    the accounts of one user sum to zero by themselves; what the house has is the sum over all of a kind.
    """

    USER = "user"
    USER_HELD = "user_held"
    REVENUE = "revenue"
    GRANTS = "grants"
    ADJUSTMENTS = "adjustments"


class Operation(StrEnum):
    """The money writes; a client-made id is unique within its operation."""

    GRANT = "grant"
    HOLD = "hold"
    SETTLE = "settle"
    RELEASE = "release"
    EXPIRE = "expire"
    ADJUST = "adjust"
    MOVE = "move"


class TransferKind(StrEnum):
    """What a transfer records, as the reader of a ledger sees it."""

    SIGNUP_GRANT = "signup_grant"
    HOLD = "hold"
    SETTLE = "settle"
    RELEASE = "release"
    EXPIRE = "expire"
    ADMIN_ADJUST = "admin_adjust"
    MERGE = "merge"


class HoldState(StrEnum):
    """Where a hold stands; all but the first are final."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


Postings = Mapping[AccountKind, int]


@dataclass(frozen=True)
class Balance:
    """What one user has: credits to spend and credits set aside; no time when nothing ever happened."""

    available: int
    held: int
    update_time: datetime | None


@dataclass(frozen=True)
class Price:
    """What one run of a kind of work costs, in credits; versions of a kind count from 1."""

    kind: str
    amount: int
    version: int = 1
    valid_from: datetime | None = None
    steps: tuple[tuple[str, int], ...] = ()
    """What is owed for each finished step when the owner cancels a run."""


@dataclass(frozen=True)
class Hold:
    """Credits set aside for one job, at the price of one version, until a date; `hold_id` is the id of the job."""

    hold_id: str
    user_id: str
    price_kind: str
    amount: int
    settled: int = 0
    state: HoldState = HoldState.HELD
    price_version: int = 1
    expire_time: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What a money write answered the first time, and answers for ever."""

    balance: Balance
    hold: Hold | None = None


@dataclass(frozen=True)
class EntryLine:
    """One line of a user's spendable account as shown to its owner; `version` counts the lines from 1."""

    entry_id: str
    version: int
    kind: TransferKind
    amount: int
    balance_after: int
    description: str
    reference_id: str
    create_time: datetime


def grant(amount: int) -> Postings:
    """Return the postings that give credits to a user."""
    return {AccountKind.GRANTS: -amount, AccountKind.USER: amount}


def reserve(available: int, price: Price) -> Postings:
    """Return the postings that set the price aside, all of it or nothing.

    Raises InsufficientCredits when the spendable balance does not cover it.
    """
    if available < price.amount:
        raise InsufficientCredits("the balance does not cover the price", needed=price.amount, available=available)
    return {AccountKind.USER: -price.amount, AccountKind.USER_HELD: price.amount}


def settle(hold: Hold, amount: int | None) -> tuple[Hold, Postings]:
    """Return the settled hold and its postings: the amount to revenue, the rest back to the user.

    None settles everything. Raises HoldClosed for a hold that is not open and ParamInvalid
    for more than was held.
    """
    require_open(hold)
    spent = hold.amount if amount is None else amount
    if not 0 <= spent <= hold.amount:
        raise ParamInvalid.of("amount_credits", f"must be from 0 to the {hold.amount} credits held")
    postings = {
        AccountKind.USER_HELD: -hold.amount,
        AccountKind.REVENUE: spent,
        AccountKind.USER: hold.amount - spent,
    }
    moved = {kind: credits_ for kind, credits_ in postings.items() if credits_}
    return replace(hold, settled=spent, state=HoldState.SETTLED), moved


def release(hold: Hold) -> tuple[Hold, Postings]:
    """Return the released hold and the postings that give it all back; HoldClosed when it is not open."""
    require_open(hold)
    postings = {AccountKind.USER_HELD: -hold.amount, AccountKind.USER: hold.amount}
    return replace(hold, state=HoldState.RELEASED), postings


def fingerprint(operation: Operation, **values: str | int | None) -> bytes:
    """Return the 32-byte hash of a write's input, by which a repeat is told from a reused id."""
    plain = json.dumps([operation.value, values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).digest()


def expire(hold: Hold, now: datetime) -> tuple[Hold, Postings]:
    """Return the expired hold and the postings that give it all back.

    Raises HoldClosed when it is not open and Conflict while its date lies ahead.
    """
    require_open(hold)
    if hold.expire_time is None or hold.expire_time > now:
        raise Conflict("the date of the hold lies ahead")
    postings = {AccountKind.USER_HELD: -hold.amount, AccountKind.USER: hold.amount}
    return replace(hold, state=HoldState.EXPIRED), postings


def adjust(available: int, amount: int) -> Postings:
    """Return the postings that give credits, or take them when the amount is below zero.

    Raises ParamInvalid for nothing, InsufficientCredits for more than the spendable balance.
    """
    if not amount:
        raise ParamInvalid.of("amount_credits", "must not be zero")
    if available + amount < 0:
        raise InsufficientCredits("the balance does not cover what is taken", needed=-amount, available=available)
    return {AccountKind.ADJUSTMENTS: -amount, AccountKind.USER: amount}


def shift(amount: int) -> Postings:
    """Return the postings of one side of a move between two accounts of one person; the other side's undo them."""
    return {AccountKind.ADJUSTMENTS: -amount, AccountKind.USER: amount}


def require_open(hold: Hold) -> None:
    """Raise HoldClosed unless the credits are still set aside."""
    if hold.state is not HoldState.HELD:
        raise HoldClosed(f"the hold is {hold.state.value}", state=hold.state.value)
