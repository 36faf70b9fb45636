"""The hot path of the ledger: many money writes in one prepared statement.

Frozen wallets, used-up quotas and quoted prices of old are left undecided here.

This is the boundary between Wallet's rules and its store, and all that a store must offer: `perform` here, and the
named queries of `storage.credit`. A store kept in memory replaces `perform` by the functions of `domain.credit` and
`domain.ledger`, which stay the specification: a property test shows that the statement decides and chains as they do.

Each write gets the answer that it would have got alone, in the order given; a refused one leaves no trace and stops
nobody. The function in the database (migration `perform`) says how.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.kit.db.engine import Database
from services.kit.errors import Conflict, DomainError, IdempotencyKeyReused, NotFound, ParamInvalid
from services.kit.ids import new_id
from services.wallet.domain.credit import Answer, Operation, TransferKind
from services.wallet.domain.errors import CreditsHeld, HoldClosed, InsufficientCredits
from services.wallet.storage.credit import answer_from

_ATTEMPTS = 3
_LINES_OF_ONE = 3
_PERFORM = "SELECT outcome, facts FROM wallet.perform($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
# Somebody else was writing under the same id or locked in another order: the next attempt sees what they left.
_TRY_AGAIN = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError)
# What the database has against one write and not against the others beside it.
_REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)


@dataclass(frozen=True, kw_only=True)
class Write:
    """One money write as the client asked for it; `hold_id` is also the id of the hold that a hold makes."""

    operation: Operation
    request_id: str
    input_hash: bytes
    kind: TransferKind
    user_id: str | None = None
    hold_id: str | None = None
    price_kind: str | None = None
    price_version: int = 0
    """0 for the price that holds now."""
    expire_time: datetime | None = None
    amount: int | None = None
    """What a grant gives or a settlement spends; None spends all."""
    description: str = ""
    """Empty for the kind of work that the hold is for."""


# What came of a write: its first answer, a refusal of ours or the database's, or None where only the use case can tell.
Outcome = Answer | Exception | None


async def perform(db: Database, writes: Sequence[Write], *, at: datetime, day_start: datetime) -> list[Outcome]:
    """Return what came of each write, decided in order and committed together; quotas count from `day_start` on.

    When the whole cannot be committed, each write is tried alone, so that none suffers from another, and what the
    database says against one is what came of it; a single write raises that.
    """
    try:
        return await _together(db, writes, at, day_start)
    except _REFUSED:
        if len(writes) == 1:
            raise
    outcomes: list[Outcome] = []
    for write in writes:
        try:
            outcomes += await _together(db, [write], at, day_start)
        except _TRY_AGAIN:
            outcomes.append(Conflict("the same request id is being written by somebody else"))
        except _REFUSED as error:
            outcomes.append(error)
    return outcomes


async def _together(db: Database, writes: Sequence[Write], at: datetime, day_start: datetime) -> list[Outcome]:
    arguments = (
        [write.operation.value for write in writes],
        [write.request_id for write in writes],
        [write.input_hash for write in writes],
        [write.user_id for write in writes],
        [write.hold_id for write in writes],
        [write.amount for write in writes],
        [write.price_kind for write in writes],
        [write.price_version for write in writes],
        [write.expire_time for write in writes],
        [write.kind.value for write in writes],
        [write.description for write in writes],
        [new_id() for _ in writes],
        [new_id() for _ in range(_LINES_OF_ONE * len(writes))],
        at,
        day_start,
    )
    for attempt in range(_ATTEMPTS):
        try:
            rows = await db.prepared.fetch(_PERFORM, *arguments)
        except _TRY_AGAIN:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return [
                _outcome(write, row["outcome"], row["facts"] and json.loads(row["facts"]))
                for write, row in zip(writes, rows, strict=True)
            ]
    raise AssertionError("the last attempt returns or raises")


def _outcome(write: Write, outcome: str, facts: dict[str, Any]) -> Outcome:
    """Return the answer, or the error that the domain would raise."""
    if outcome in {"done", "repeat"}:
        return answer_from(facts)
    refusal = _REFUSALS.get(outcome)
    return refusal(write, facts) if refusal else None


_REFUSALS: dict[str, Callable[[Write, dict[str, Any]], DomainError]] = {
    "reused": lambda write, _: IdempotencyKeyReused(
        "the request id was used with other input", request_id=write.request_id
    ),
    "held": lambda _, facts: CreditsHeld("other jobs hold the credits", **facts),
    "insufficient": lambda _, facts: InsufficientCredits("the balance does not cover the price", **facts),
    "no_price": lambda *_: ParamInvalid.of("price_kind", "is not in the price table"),
    "not_found": lambda write, _: NotFound("there is no such hold", hold_id=str(write.hold_id)),
    "closed": lambda _, facts: HoldClosed(f"the hold is {facts['state']}", **facts),
    "too_much": lambda _, facts: ParamInvalid.of(
        "amount_credits", f"must be from 0 to the {facts['held']} credits held"
    ),
}
