"""One money write: the client's wish, the domain's decision, and both written under the locks of the accounts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.errors import IdempotencyKeyReused
from services.kit.ids import new_id
from services.wallet.domain import credit
from services.wallet.domain.audit import AdminAct
from services.wallet.domain.credit import (
    AccountKind,
    Answer,
    Balance,
    Hold,
    Operation,
    Postings,
    TransferKind,
)
from services.wallet.domain.ledger import Account, post
from services.wallet.storage import audit as audit_storage
from services.wallet.storage import credit as storage
from services.wallet.storage.credit import Transfer

_USER_ACCOUNTS = (AccountKind.USER, AccountKind.USER_HELD)


@dataclass(frozen=True)
class Wish:
    """One money write as the client asked for it."""

    operation: Operation
    request_id: str
    input_hash: bytes


@dataclass(frozen=True)
class Move:
    """What the domain decided: the postings and how the transfer is recorded."""

    kind: TransferKind
    user_id: str
    accounts: dict[AccountKind, Account]
    postings: Postings
    description: str
    reference_id: str
    hold: Hold | None = None
    # What an administrator did, for its audit line in the same transaction.
    act: AdminAct | None = None


class IdTaken(Exception):
    """Another transaction wrote under the same client-made id while this one was deciding."""


def wish_of(operation: Operation, request_id: str, **values: str | int | None) -> Wish:
    """Return a wish with the fingerprint of what was asked."""
    return Wish(operation, request_id, credit.fingerprint(operation, **values))


async def repeat(tx: AsyncConnection, wish: Wish) -> Answer | None:
    """Return the first answer under the wish's id, None without one; IdempotencyKeyReused for other input."""
    earlier = await storage.find_earlier(tx, wish.operation, wish.request_id)
    if earlier is None:
        return None
    if earlier.input_hash != wish.input_hash:
        raise IdempotencyKeyReused("the request id was used with other input", request_id=wish.request_id)
    return earlier.answer


async def record(tx: AsyncConnection, wish: Wish, move: Move, at: datetime) -> Answer:
    """Return the answer of a move after writing it; IdTaken when the id was used meanwhile."""
    transfer_id = new_id()
    posted = post(
        move.accounts,
        move.postings,
        transfer_id=transfer_id,
        entry_ids={kind: new_id() for kind in move.postings},
        at=at,
    )
    available, held = (posted.balance_of(kind, move.accounts) for kind in _USER_ACCOUNTS)
    answer = Answer(Balance(available, held, at), move.hold)
    transfer = Transfer(
        transfer_id=transfer_id,
        operation=wish.operation,
        request_id=wish.request_id,
        kind=move.kind,
        user_id=move.user_id,
        input_hash=wish.input_hash,
        answer=answer,
        description=move.description,
        reference_id=move.reference_id,
        create_time=at,
    )
    if not await storage.write(tx, transfer, posted):
        raise IdTaken
    if move.act is not None:
        told = {"balance_after": available}
        if not await audit_storage.add(tx, move.act, told, audit_id=transfer_id, at=at):
            raise IdTaken
    return answer


async def locked_accounts(tx: AsyncConnection, user_id: str) -> dict[AccountKind, Account]:
    """Return all accounts of the user, made if need be, and locked."""
    accounts = await storage.lock_accounts(tx, user_id)
    if AccountKind.USER in accounts:
        return accounts
    await storage.open_accounts(tx, user_id)
    return await storage.lock_accounts(tx, user_id)


async def lock_both(tx: AsyncConnection, one: str, other: str) -> dict[str, dict[AccountKind, Account]]:
    """Return the accounts of two users, locked in the one order in which everybody locks two."""
    return {user_id: await locked_accounts(tx, user_id) for user_id in sorted((one, other))}


async def shift(
    tx: AsyncConnection, accounts: dict[str, dict[AccountKind, Account]], amount: int, *, name: str,
    source: str, target: str, at: datetime,
) -> None:  # fmt: skip
    """Move credits between the locked accounts of two users, under a name that is never used again."""
    for user_id, signed in ((source, -amount), (target, amount)):
        made = wish_of(Operation.MOVE, f"{name}:{user_id}", user_id=user_id, amount=signed)
        move = Move(
            kind=TransferKind.MERGE,
            user_id=user_id,
            accounts=accounts[user_id],
            postings=credit.shift(signed),
            description="merge",
            reference_id=name.partition(":")[0],
        )
        await record(tx, made, move, at)
