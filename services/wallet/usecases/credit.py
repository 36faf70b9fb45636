"""What Wallet does with credits, one transaction each.

The four writes of every job go the hot path: one prepared statement, shared by all that wait (`usecases.batch`,
`storage.perform`). What it leaves undecided, and every other money write, follows the same four steps here: look for
the first answer under the client's id, lock, let the domain decide, write everything in one statement. A repeat that
loses a race sees it in the last step, rolls back and finds the answer in the first one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit import crash
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_token, encode_token
from services.kit.errors import Conflict, DomainError, NotFound, ParamInvalid
from services.wallet.domain import credit
from services.wallet.domain.audit import AdminAct
from services.wallet.domain.credit import (
    AccountKind,
    Answer,
    Balance,
    EntryLine,
    Hold,
    Operation,
    TransferKind,
)
from services.wallet.storage import credit as storage
from services.wallet.storage import perform as hot_storage
from services.wallet.storage.perform import Outcome, Write
from services.wallet.usecases.batch import Batches
from services.wallet.usecases.terms import Terms, require_usable
from services.wallet.usecases.write import IdTaken, Move, Wish, locked_accounts, record, repeat, wish_of

_ATTEMPTS = 3
_COMMITS = {
    Operation.GRANT: Act.GRANT_COMMIT,
    Operation.HOLD: Act.HOLD_COMMIT,
    Operation.SETTLE: Act.SETTLE_COMMIT,
    Operation.RELEASE: Act.RELEASE_COMMIT,
}
_NEWEST = 2**63 - 1
_USUAL_TERMS = Terms()
# What the hot path leaves undecided takes connections of the common pool; the rest of the process needs them too.
_MOST_UNDECIDED = 4


@dataclass(frozen=True)
class Page:
    """One page of ledger lines, the newest first; an empty token on the last page."""

    entries: list[EntryLine]
    next_page_token: str


class Credits:
    """The credits of all users."""

    def __init__(self, db: Database, clock: Clock, *, signup_grant_credits: int, terms: Terms = _USUAL_TERMS) -> None:
        """Keep the collaborators; the amount is what one signup grant gives."""
        self._terms = terms
        self._db = db
        self._clock = clock
        self._signup_grant_credits = signup_grant_credits
        self._batches = Batches(self._perform)
        self._undecided = asyncio.Semaphore(_MOST_UNDECIDED)

    async def balance(self, user_id: str) -> Balance:
        """Return what a user has now."""
        async with self._db.transaction() as tx:
            return await storage.get_balance(tx, user_id)

    async def entries(self, user_id: str, *, page_size: int, page_token: str, kind: TransferKind | None = None) -> Page:
        """Return a page of the lines of a spendable account, of one kind or all; ParamInvalid for a foreign token.

        The token is a place in the whole account, so that it fits every kind.
        """
        before = _NEWEST
        if page_token:
            match decode_token(page_token):
                case (int(version),):
                    before = version
                case _:
                    raise ParamInvalid.of("page_token", "is not one of ours")
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            lines = await storage.list_entries(tx, user_id, before=before, most=size + 1, kind=kind)
        more = len(lines) > size
        return Page(lines[:size], encode_token(lines[size - 1].version) if more else "")

    async def grant_signup(self, *, request_id: str, user_id: str) -> Answer:
        """Give a user the credits of registration, once for the request id."""
        kind = TransferKind.SIGNUP_GRANT
        wish = wish_of(Operation.GRANT, request_id, user_id=user_id, kind=kind.value)

        async def decide(tx: AsyncConnection) -> Move:
            accounts = await locked_accounts(tx, user_id)
            await require_usable(tx, user_id)
            return Move(
                kind=kind,
                user_id=user_id,
                accounts=accounts,
                postings=credit.grant(self._signup_grant_credits),
                description="signup",
                reference_id=request_id,
            )

        hot = _hot(wish, kind, user_id=user_id, amount=self._signup_grant_credits, description="signup")
        return await self._write_once(wish, decide, hot)

    async def hold(
        self,
        *,
        request_id: str,
        user_id: str,
        price_kind: str,
        price_version: int = 0,
        expire_time: datetime | None = None,
    ) -> Answer:
        """Set the price of one run aside under the job's id, at the quoted version or the current one for 0.

        The date is no part of the input that a repeat is compared by, for it may move. Raises WalletFrozen,
        QuotaExceeded, CreditsHeld, InsufficientCredits, PriceChanged, ParamInvalid for a kind without a price or a
        date that is out of bounds.
        """
        hold_id = request_id.lower()
        quoted = {"price_version": price_version} if price_version else {}
        wish = wish_of(Operation.HOLD, hold_id, user_id=user_id, price_kind=price_kind, **quoted)

        async def decide(tx: AsyncConnection) -> Move:
            now = self._clock()
            until = self._terms.expiry(expire_time, now)
            accounts = await locked_accounts(tx, user_id)
            price = await self._terms.price(tx, price_kind, price_version, now)
            await self._terms.require(tx, price, accounts, now)
            return Move(
                kind=TransferKind.HOLD,
                user_id=user_id,
                accounts=accounts,
                postings=credit.reserve(accounts[AccountKind.USER].balance, price),
                description=price_kind,
                reference_id=hold_id,
                hold=Hold(hold_id, user_id, price_kind, price.amount, price_version=price.version, expire_time=until),
            )

        terms = {"price_kind": price_kind, "price_version": price_version}
        until = self._terms.lasting(expire_time, self._clock())
        hot = _hot(wish, TransferKind.HOLD, user_id=user_id, hold_id=hold_id, **terms, expire_time=until)
        # A date that is out of bounds is refused only after a look for the first answer.
        return await self._write_once(wish, decide, hot if until is not None else None)

    async def settle(self, *, request_id: str, hold_id: str, amount: int | None) -> Answer:
        """Turn a hold into revenue, all of it or `amount`; the rest goes back to the user.

        Raises NotFound, HoldClosed, or ParamInvalid for more than was held.
        """
        wish = wish_of(Operation.SETTLE, request_id, hold_id=hold_id, amount=amount)

        async def decide(tx: AsyncConnection) -> Move:
            found = await _open_hold(tx, hold_id)
            hold, postings = credit.settle(found, amount)
            return Move(
                kind=TransferKind.SETTLE,
                user_id=hold.user_id,
                accounts=await locked_accounts(tx, hold.user_id),
                postings=postings,
                description=hold.price_kind,
                reference_id=hold.hold_id,
                hold=hold,
            )

        hot = _hot(wish, TransferKind.SETTLE, hold_id=hold_id, amount=amount)
        return await self._write_once(wish, decide, hot)

    async def release(
        self, *, request_id: str, hold_id: str, description: str, finished_steps: Collection[str] = ()
    ) -> Answer:
        """Give a hold back to its user, less what is owed for finished steps at the price that was held.

        Raises NotFound or HoldClosed.
        """
        if finished_steps:
            async with self._db.transaction() as tx:
                owed = await self._terms.owed(tx, hold_id, finished_steps)
            if owed:
                return await self.settle(request_id=request_id, hold_id=hold_id, amount=owed)
        wish = wish_of(Operation.RELEASE, request_id, hold_id=hold_id, description=description)

        async def decide(tx: AsyncConnection) -> Move:
            hold, postings = credit.release(await _open_hold(tx, hold_id))
            return Move(
                kind=TransferKind.RELEASE,
                user_id=hold.user_id,
                accounts=await locked_accounts(tx, hold.user_id),
                postings=postings,
                description=description or hold.price_kind,
                reference_id=hold.hold_id,
                hold=hold,
            )

        hot = _hot(wish, TransferKind.RELEASE, hold_id=hold_id, description=description)
        return await self._write_once(wish, decide, hot)

    async def expire(self, *, hold_id: str) -> Answer:
        """Give a hold whose date has passed back to its user; raises NotFound, HoldClosed, Conflict before the date."""

        async def decide(tx: AsyncConnection) -> Move:
            hold, postings = credit.expire(await _open_hold(tx, hold_id), self._clock())
            return Move(
                kind=TransferKind.EXPIRE,
                user_id=hold.user_id,
                accounts=await locked_accounts(tx, hold.user_id),
                postings=postings,
                description=f"{hold.price_kind}: the hold expired",
                reference_id=hold.hold_id,
                hold=hold,
            )

        return await self._write_once(wish_of(Operation.EXPIRE, hold_id, hold_id=hold_id), decide)

    async def adjust(self, act: AdminAct, amount: int) -> Answer:
        """Give the act's user credits, or take them, and write the audit line; a frozen wallet can be put right too.

        Raises InsufficientCredits for more than the user can spend, ParamInvalid for nothing.
        """
        wish = Wish(Operation.ADJUST, act.request_id, act.input_hash)

        async def decide(tx: AsyncConnection) -> Move:
            accounts = await locked_accounts(tx, act.subject)
            return Move(
                kind=TransferKind.ADMIN_ADJUST,
                user_id=act.subject,
                accounts=accounts,
                postings=credit.adjust(accounts[AccountKind.USER].balance, amount),
                description=act.reason,
                reference_id=act.request_id,
                act=act,
            )

        return await self._write_once(wish, decide)

    async def _write_once(
        self, wish: Wish, decide: Callable[[AsyncConnection], Awaitable[Move]], hot: Write | None = None
    ) -> Answer:
        """Return the first answer under the wish's id, making it now if there is none.

        Raises IdempotencyKeyReused when the id stands for other input, and what `decide` raises.
        """
        if hot is None:
            return await self._write_alone(wish, decide)
        outcome = await self._batches.submit(hot)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            async with self._undecided:
                return await self._write_alone(wish, decide)
        return outcome

    async def _write_alone(self, wish: Wish, decide: Callable[[AsyncConnection], Awaitable[Move]]) -> Answer:
        for _ in range(_ATTEMPTS):
            try:
                async with self._db.transaction(_COMMITS.get(wish.operation)) as tx:
                    return await self._answer(tx, wish, decide)
            except IdTaken:
                continue
        raise Conflict("the same request id is being written by somebody else")

    async def _perform(self, writes: Sequence[Write]) -> list[Outcome]:
        """Return what came of each write after their common commit."""
        with ExitStack() as stack:
            for operation in {write.operation for write in writes}:
                stack.enter_context(crash.around(_COMMITS[operation]))
            now = self._clock()
            return await hot_storage.perform(self._db, writes, at=now, day_start=self._terms.day(now).start)

    async def _answer(
        self, tx: AsyncConnection, wish: Wish, decide: Callable[[AsyncConnection], Awaitable[Move]]
    ) -> Answer:
        """Return the first answer, written now unless it was written before."""
        earlier = await repeat(tx, wish)
        if earlier is not None:
            return earlier
        try:
            move = await decide(tx)
        except DomainError:
            # The first call may have committed while this one waited for its locks; what it
            # left (less balance, a closed hold) must not turn its own repeat into a refusal.
            earlier = await repeat(tx, wish)
            if earlier is not None:
                return earlier
            raise
        return await record(tx, wish, move, self._clock())


def _hot(wish: Wish, kind: TransferKind, **fields: Any) -> Write:
    """Return the wish as the hot path takes it."""
    return Write(operation=wish.operation, request_id=wish.request_id, input_hash=wish.input_hash, kind=kind, **fields)


async def _open_hold(tx: AsyncConnection, hold_id: str) -> Hold:
    """Return a hold under its lock; NotFound when there is none."""
    hold = await storage.lock_hold(tx, hold_id)
    if hold is None:
        raise NotFound("there is no such hold", hold_id=hold_id)
    return hold
