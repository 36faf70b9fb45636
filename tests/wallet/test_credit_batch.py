"""Writes that share a commit: each answered as if it had come alone, whatever else is in the batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.kit.db.engine import Database
from services.kit.errors import Conflict, DomainError
from services.kit.ids import new_id
from services.wallet.domain import credit
from services.wallet.domain.credit import AccountKind, Answer, Hold, HoldState, Operation, Postings, Price
from services.wallet.domain.errors import CreditsHeld, InsufficientCredits
from services.wallet.domain.ledger import Account, first_broken, post
from services.wallet.storage import credit as storage
from services.wallet.storage.perform import Outcome, Write, perform
from services.wallet.usecases.credit import Credits
from tests.wallet.writes import CLOCK, close_write, hold_write

pytestmark = pytest.mark.timeout(120)
_PRICES = {"lyrics": 10, "music": 20}
_STEP = st.tuples(
    st.sampled_from(["hold", "settle", "release"]),
    st.integers(0, 1),
    st.integers(0, 5),
    st.none() | st.integers(0, 25),
)


async def _perform(db: Database, writes: Sequence[Write]) -> list[Outcome]:
    return await perform(db, writes, at=CLOCK.at, day_start=CLOCK.at)


async def _user(db: Database) -> str:
    """Return a new user with 100 credits."""
    user_id = new_id()
    await Credits(db, CLOCK, signup_grant_credits=100).grant_signup(request_id=user_id, user_id=user_id)
    return user_id


def _said(outcome: Outcome) -> object:
    return outcome.reason if isinstance(outcome, DomainError) else "done" if isinstance(outcome, Answer) else outcome


async def test_a_batch_grants_what_the_balance_covers(db: Database) -> None:
    """Of twelve holds of 10 on 100 credits in one statement the first ten are granted and the rest refused."""
    user_id = await _user(db)
    outcomes = await _perform(db, [hold_write(user_id, new_id()) for _ in range(12)])
    assert [_said(each) for each in outcomes] == ["done"] * 10 + ["CREDITS_HELD"] * 2
    refused = outcomes[-1]
    assert isinstance(refused, DomainError)
    assert (refused.metadata["available"], refused.metadata["held"], refused.metadata["holds"]) == ("0", "100", "10")


async def test_a_duplicate_in_a_batch_gets_the_first_answer_and_disturbs_nobody(db: Database) -> None:
    """The same write thrice, other input under its id, and another user's write between them: each has its answer."""
    user_id, other, job = await _user(db), await _user(db), new_id()
    again = hold_write(user_id, job)
    foreign = hold_write(user_id, job, "music")
    writes = [again, again, hold_write(other, new_id(), "music"), foreign, again]
    outcomes = await _perform(db, writes)
    assert [_said(each) for each in outcomes] == ["done", "done", "done", "IDEMPOTENCY_KEY_REUSED", "done"]
    assert outcomes[0] == outcomes[1] == outcomes[4] == (await _perform(db, [again]))[0]
    async with db.transaction() as tx:
        assert (await storage.get_balance(tx, user_id)).available == 90
        assert (await storage.get_balance(tx, other)).available == 80


async def test_a_hold_can_be_settled_in_the_batch_that_makes_it(db: Database) -> None:
    """Hold, partial settlement, and a release that comes too late, all in one statement."""
    user_id, job = await _user(db), new_id()
    writes = [
        hold_write(user_id, job, "music"),
        close_write(Operation.SETTLE, "s" + job, job, 5),
        close_write(Operation.RELEASE, "r" + job, job),
    ]
    outcomes = await _perform(db, writes)
    assert [_said(each) for each in outcomes] == ["done", "done", "HOLD_CLOSED"]
    async with db.transaction() as tx:
        balance = await storage.get_balance(tx, user_id)
        hold = await storage.lock_hold(tx, job)
    assert (balance.available, balance.held) == (95, 0)
    assert hold is not None
    assert (hold.state, hold.settled) == (HoldState.SETTLED, 5)


class _Spec:
    """One user's wallet by the domain alone."""

    def __init__(self, user_id: str, accounts: dict[AccountKind, Account]) -> None:
        self.user_id = user_id
        self.accounts = accounts
        self.holds: dict[str, Hold] = {}

    def do(self, write: Write) -> str:
        """Return the reason of the refusal or "done", as the functions of the domain decide."""
        hold: Hold | None = None
        postings: Postings
        try:
            if write.operation is Operation.HOLD:
                price = Price(str(write.price_kind), _PRICES[str(write.price_kind)])
                available = self.accounts[AccountKind.USER].balance
                held = self.accounts[AccountKind.USER_HELD].balance
                if available < price.amount <= available + held:
                    return "CREDITS_HELD"
                postings = credit.reserve(available, price)
                hold = Hold(str(write.hold_id), self.user_id, price.kind, price.amount)
            elif write.hold_id not in self.holds:
                return "NOT_FOUND"
            elif write.operation is Operation.SETTLE:
                hold, postings = credit.settle(self.holds[write.hold_id], write.amount)
            else:
                hold, postings = credit.release(self.holds[write.hold_id])
        except DomainError as error:
            return error.reason
        posted = post(
            self.accounts, postings, transfer_id=new_id(), entry_ids={kind: new_id() for kind in postings}, at=CLOCK.at
        )
        self.accounts = {**self.accounts, **{account.kind: account for account in posted.accounts}}
        self.holds[hold.hold_id] = hold
        return "done"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(_STEP, min_size=1, max_size=40), cuts=st.lists(st.integers(1, 12), min_size=1, max_size=6))
async def test_the_statement_decides_and_chains_as_the_domain(
    db: Database, steps: list[tuple[str, int, int, int | None]], cuts: list[int]
) -> None:
    """Any writes of two users in any batches end as the domain says one by one, and its hash chain holds."""
    users = [await _user(db), await _user(db)]
    jobs = [[new_id() for _ in range(6)] for _ in users]
    specs, writes, expected = [], [], []
    async with db.transaction() as tx:
        specs = [_Spec(user_id, await storage.lock_accounts(tx, user_id)) for user_id in users]
    done: set[str] = set()
    for number, (what, who, job, amount) in enumerate(steps):
        hold_id = jobs[who][job]
        if what == "hold":
            write = hold_write(users[who], hold_id, "music" if job % 2 else "lyrics")
        else:
            write = close_write(Operation(what), f"{hold_id}-{number}", hold_id, amount if what == "settle" else None)
        writes.append(write)
        said = "done" if what == "hold" and hold_id in done else specs[who].do(write)
        if what == "hold" and said == "done":
            done.add(hold_id)
        expected.append(said)
    told: list[object] = []
    position = turn = 0
    while position < len(writes):
        size = cuts[turn % len(cuts)]
        told += [_said(each) for each in await _perform(db, writes[position : position + size])]
        position, turn = position + size, turn + 1
    assert told == expected
    async with db.transaction() as tx:
        for spec in specs:
            accounts = await storage.lock_accounts(tx, spec.user_id)
            for kind, account in accounts.items():
                wanted = spec.accounts[kind]
                chain = await storage.read_chain(tx, account.account_id)
                assert (account.balance, account.version) == (wanted.balance, wanted.version)
                assert first_broken(chain) is None
                assert (len(chain), chain[-1].hash if chain else bytes(32)) == (account.version, account.last_hash)


async def test_a_write_that_the_database_refuses_takes_nobody_along(db: Database) -> None:
    """When a batch cannot be committed because of one account, the writes of all others are."""
    users = [await _user(db) for _ in range(4)]
    async with db.transaction() as tx:
        condition = f"kind <> 'user_held' OR owner_id <> '{users[1]}' OR balance = 0"
        await tx.execute(text(f"ALTER TABLE wallet.accounts ADD CONSTRAINT ck_test CHECK ({condition})"))
    try:
        outcomes = await _perform(db, [hold_write(user_id, new_id()) for user_id in users])
        with pytest.raises(asyncpg.CheckViolationError):
            await _perform(db, [hold_write(users[1], new_id())])
        credits_ = Credits(db, CLOCK, signup_grant_credits=1)
        calls = [credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics") for user_id in users * 2]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        async with db.transaction() as tx:
            await tx.execute(text("ALTER TABLE wallet.accounts DROP CONSTRAINT ck_test"))
    kinds = [Answer, asyncpg.CheckViolationError, Answer, Answer]
    assert [type(each) for each in outcomes] == kinds
    assert [type(each) for each in answers] == kinds * 2
    async with db.transaction() as tx:
        left = [(await storage.get_balance(tx, user_id)).available for user_id in users]
    assert left == [70, 100, 70, 70]


async def test_two_holds_of_one_id_are_told_apart(db: Database) -> None:
    """Of two holds that want one id in a batch the first is made, the second a conflict, a third undisturbed."""
    user_id, other, job = await _user(db), await _user(db), new_id()
    second = replace(hold_write(user_id, job), request_id=new_id())
    outcomes = await _perform(db, [hold_write(user_id, job), second, hold_write(other, new_id())])
    assert [_said(each) for each in outcomes] == ["done", Conflict.reason, "done"]


async def test_a_batch_is_one_statement(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many writes are in it, and however many lines each has, a batch without trouble asks once."""
    user_id, asked = await _user(db), []
    fetch = db.prepared.fetch

    async def counted(statement: str, *arguments: object) -> Sequence[Any]:
        asked.append(statement)
        return await fetch(statement, *arguments)

    monkeypatch.setattr(db.prepared, "fetch", counted)
    ids = [new_id() for _ in range(4)]
    partly = [close_write(Operation.SETTLE, f"s{each}", each, 4) for each in ids]
    outcomes = await _perform(db, [*(hold_write(user_id, each) for each in ids), *partly])
    assert [_said(each) for each in outcomes] == ["done"] * 8
    assert len(asked) == 1


async def test_random_storms_end_as_the_law_says(db: Database) -> None:
    """Hundreds of crossing holds, settlements and releases on one balance spend exactly what they say they spent."""
    credits_ = Credits(db, CLOCK, signup_grant_credits=100)
    user_id = await _user(db)

    async def run(number: int) -> int:
        job = new_id()
        try:
            await credits_.hold(request_id=job, user_id=user_id, price_kind="lyrics")
        except (InsufficientCredits, CreditsHeld):
            return 0
        if number % 2:
            await credits_.release(request_id="r" + job, hold_id=job, description="")
            return 0
        twice = [credits_.settle(request_id="s" + job, hold_id=job, amount=amount) for amount in (number % 7, 3)]
        outcomes = await asyncio.gather(*twice, return_exceptions=True)
        told = [each.hold.settled for each in outcomes if isinstance(each, Answer) and each.hold]
        assert len(set(told)) == 1
        return told[0]

    numbers = list(range(300))
    Random(7).shuffle(numbers)
    spent = sum(await asyncio.gather(*(run(number) for number in numbers)))
    balance = await credits_.balance(user_id)
    assert balance.held == 0
    assert balance.available + spent == 100
    assert spent > 0
