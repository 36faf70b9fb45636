"""The terms of holds by themselves: how long they last, what keeps a user from one more, what steps owe."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.db.engine import Database
from services.kit.errors import ParamInvalid
from services.kit.ids import new_id
from services.wallet.domain.credit import AccountKind, Price
from services.wallet.domain.errors import CreditsHeld, PriceChanged, QuotaExceeded
from services.wallet.domain.ledger import Account
from services.wallet.domain.quota import Plan, Quota
from services.wallet.storage import credit as storage
from services.wallet.storage import quota as quota_storage
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.terms import Terms
from tests.conftest import SettableClock

TERMS = Terms()


def test_a_hold_lasts_a_day_unless_its_maker_says_otherwise(clock: SettableClock) -> None:
    """Without a date a hold expires in a day; a date must lie ahead, and thirty days ahead is the last that may."""
    at = clock()
    assert TERMS.expiry(None, at) == at + timedelta(days=1)
    longest = at + timedelta(days=30)
    assert TERMS.expiry(longest, at) == longest
    soonest = at + timedelta(microseconds=1)
    assert TERMS.expiry(soonest, at) == soonest
    for wrong in (at, at - timedelta(seconds=1), longest + timedelta(microseconds=1)):
        assert TERMS.lasting(wrong, at) is None
        with pytest.raises(ParamInvalid) as caught:
            TERMS.expiry(wrong, at)
        assert caught.value.violations[0].field == "expire_time"


def test_a_day_of_quotas_begins_at_midnight_in_china(clock: SettableClock) -> None:
    """Runs are counted from 16:00 UTC, which is midnight eight hours ahead, to the next."""
    day = TERMS.day(clock.at.replace(hour=15, minute=59))
    assert (day.end.hour, day.end.minute) == (16, 0)
    assert day.end - day.start == timedelta(days=1)
    assert TERMS.day(day.end).start == day.end


async def _accounts(db: Database, clock: SettableClock, available: int, held: int) -> dict[AccountKind, Account]:
    """Return the accounts of a new user with so many credits, some of them held at ten a time."""
    user_id = new_id()
    credits_ = Credits(db, clock, signup_grant_credits=available + held)
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    for _ in range(held // 10):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    async with db.transaction() as tx:
        return await storage.lock_accounts(tx, user_id)


async def _require(tx: AsyncConnection, accounts: dict[AccountKind, Account], amount: int, at: SettableClock) -> None:
    await TERMS.require(tx, Price("lyrics", amount), accounts, at())


@pytest.mark.parametrize(
    ("amount", "others_hold_it"), [(30, False), (31, True), (40, True), (50, True), (51, False), (90, False)]
)
async def test_credits_that_others_hold_are_told_from_credits_that_are_not_there(
    db: Database, clock: SettableClock, *, amount: int, others_hold_it: bool
) -> None:
    """With 30 to spend and 20 held, a price of 31 to 50 is one that other jobs hold; one of 51 is just too much."""
    accounts = await _accounts(db, clock, 30, 20)
    async with db.transaction() as tx:
        if others_hold_it:
            with pytest.raises(CreditsHeld) as caught:
                await _require(tx, accounts, amount, clock)
            told = caught.value.metadata
            assert (told["needed"], told["available"], told["held"], told["holds"]) == (str(amount), "30", "20", "2")
            assert len(told["job_ids"].split(",")) == 2
        else:
            await _require(tx, accounts, amount, clock)


async def test_ten_of_the_jobs_that_hold_the_credits_are_named(db: Database, clock: SettableClock) -> None:
    """A refusal counts all holds and names the jobs of ten of them."""
    accounts = await _accounts(db, clock, 0, 120)
    async with db.transaction() as tx:
        with pytest.raises(CreditsHeld) as caught:
            await _require(tx, accounts, 10, clock)
    assert caught.value.metadata["holds"] == "12"
    assert len(caught.value.metadata["job_ids"].split(",")) == 10


@pytest.mark.parametrize(("limit", "allowed"), [(None, True), (0, False), (1, False), (2, True)])
async def test_a_quota_counts_the_runs_of_today(
    db: Database, clock: SettableClock, *, limit: int | None, allowed: bool
) -> None:
    """With one run made today a quota of two allows another, a quota of one does not, and no limit always does."""
    accounts = await _accounts(db, clock, 20, 10)
    user_id = accounts[AccountKind.USER].owner_id
    admin = Administration(db, clock)
    await admin.set_plan("boss", request_id=new_id(), user_id=user_id, plan=Plan.BASIC, reason="test")
    clock.advance(1)
    await admin.set_quota("boss", request_id=new_id(), quota=Quota(Plan.BASIC, "lyrics", limit), reason="test")
    async with db.transaction() as tx:
        if allowed:
            await _require(tx, accounts, 10, clock)
        else:
            with pytest.raises(QuotaExceeded):
                await _require(tx, accounts, 10, clock)


async def test_the_first_run_of_a_day_counts_from_nothing(db: Database, clock: SettableClock) -> None:
    """A user who has not run anything today may use a quota of one."""
    accounts = await _accounts(db, clock, 20, 0)
    user_id = accounts[AccountKind.USER].owner_id
    async with db.transaction() as tx:
        await quota_storage.set_plan(tx, user_id, Plan.PREMIUM, clock())
        assert await quota_storage.add(tx, Quota(Plan.PREMIUM, "lyrics", 1), clock())
        await _require(tx, accounts, 10, clock)


async def test_a_quoted_price_holds_for_a_quarter_of_an_hour(db: Database, clock: SettableClock) -> None:
    """The version before a price change can be had for fifteen minutes after it, and not a moment longer."""
    admin, kind = Administration(db, clock), "symphony"
    for amount in (50, 60):
        await admin.set_price("boss", request_id=new_id(), price=Price(kind, amount), reason="test")
        changed = clock()
        clock.advance(1)
    async with db.transaction() as tx:
        good = await TERMS.price(tx, kind, 1, changed + timedelta(minutes=14, seconds=59))
        assert (good.version, good.amount) == (1, 50)
        assert (await TERMS.price(tx, kind, 0, changed)).amount == 60
        with pytest.raises(PriceChanged):
            await TERMS.price(tx, kind, 1, changed + timedelta(minutes=15, seconds=1))


async def test_nothing_is_owed_without_a_hold(db: Database) -> None:
    """Finished steps of a hold that does not exist owe nothing."""
    async with db.transaction() as tx:
        assert await TERMS.owed(tx, new_id(), {"listen"}) == 0
