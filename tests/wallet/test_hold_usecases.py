"""Holds as time passes and rules change: dates, expiry, quotas, freezes, prices, adjustments, on a real PostgreSQL."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from services.kit.db.engine import Database
from services.kit.errors import IdempotencyKeyReused, NotFound, ParamInvalid
from services.kit.ids import new_id
from services.wallet.domain.audit import Action, AdminAct
from services.wallet.domain.credit import Answer, HoldState, Price, TransferKind
from services.wallet.domain.errors import (
    CreditsHeld,
    HoldClosed,
    InsufficientCredits,
    PriceChanged,
    QuotaExceeded,
    WalletFrozen,
)
from services.wallet.domain.quota import Plan, Quota
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.hold import Holds
from services.wallet.usecases.quota import Quotas
from services.wallet.usecases.terms import Terms
from tests.conftest import SettableClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOUR = timedelta(hours=1)
TERMS = Terms(hold_expiry=HOUR, hold_longest=10 * HOUR)


@pytest.fixture
def credits_(db: Database, clock: SettableClock) -> Credits:
    """Return the use cases of credits on the module's database."""
    return Credits(db, clock, signup_grant_credits=100, terms=TERMS)


@pytest.fixture
def admin(db: Database, clock: SettableClock) -> Administration:
    """Return the acts of administrators on the same database and clock."""
    return Administration(db, clock)


@pytest.fixture
def holds(db: Database, clock: SettableClock, credits_: Credits) -> Holds:
    """Return the dates of holds on the same database and clock."""
    return Holds(db, credits_, clock, terms=TERMS, changed=lambda _user: None)


async def _user(credits_: Credits) -> str:
    user_id = new_id()
    await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id)
    return user_id


async def _have(credits_: Credits, user_id: str) -> tuple[int, int]:
    balance = await credits_.balance(user_id)
    return balance.available, balance.held


async def _swept(holds: Holds) -> None:
    """Sweep until nothing is overdue, also of what other tests left in the module's database."""
    while await holds.sweep():
        continue


def _adjustment(user_id: str, amount: int, request_id: str = "") -> AdminAct:
    return AdminAct(Action.ADJUST_BALANCE, request_id or new_id(), user_id, "boss", "because", {"amount": amount})


async def test_an_overdue_hold_goes_back_once_with_an_entry_that_says_so(
    db: Database, credits_: Credits, clock: SettableClock
) -> None:
    """Four sweepers at the same time give each overdue hold back once, and none before its date."""
    user_id, jobs = await _user(credits_), [new_id() for _ in range(5)]
    for job_id in jobs:
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    told: list[str] = []
    sweepers = [Holds(db, credits_, clock, terms=TERMS, changed=told.append) for _ in range(4)]
    clock.advance(3599)
    for each in sweepers:
        await _swept(each)  # what other tests left may be overdue by now, these are not
    assert (await _have(credits_, user_id), told.count(user_id)) == ((0, 100), 0)
    clock.advance(1)
    await asyncio.gather(*(_swept(each) for each in sweepers))
    assert await _have(credits_, user_id) == (100, 0)
    lines = (await credits_.entries(user_id, page_size=100, page_token="", kind=TransferKind.EXPIRE)).entries
    assert sorted(line.reference_id for line in lines) == sorted(jobs)
    assert {(line.amount, line.description) for line in lines} == {(20, "music: the hold expired")}
    assert told.count(user_id) >= len(jobs)


async def test_an_end_that_comes_too_late_is_refused_for_ever(
    credits_: Credits, holds: Holds, clock: SettableClock
) -> None:
    """Settle and release after the expiry are HOLD_CLOSED with the state `expired`, and nothing moves."""
    user_id, job_id = await _user(credits_), new_id()
    await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    clock.advance(3600)
    await _swept(holds)
    for _ in range(2):
        with pytest.raises(HoldClosed) as caught:
            await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None)
        assert caught.value.metadata == {"state": "expired"}
        with pytest.raises(HoldClosed):
            await credits_.release(request_id=f"r{job_id}", hold_id=job_id, description="")
        with pytest.raises(HoldClosed):
            await holds.extend(job_id, clock() + HOUR)
    assert await _have(credits_, user_id) == (100, 0)


async def test_settling_and_expiring_at_once_end_a_hold_once(
    credits_: Credits, holds: Holds, clock: SettableClock
) -> None:
    """Whichever of a settlement and three sweeps comes first wins, and the balance agrees with it."""
    for _ in range(6):
        user_id, job_id = await _user(credits_), new_id()
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
        clock.advance(3600)
        settle = credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None)
        settled, *_ = await asyncio.gather(settle, *(_swept(holds) for _ in range(3)), return_exceptions=True)
        assert await _have(credits_, user_id) == ((80, 0) if isinstance(settled, Answer) else (100, 0))


async def test_dates_move_forwards_only_and_within_bounds(
    credits_: Credits, holds: Holds, clock: SettableClock
) -> None:
    """An earlier date changes nothing, a later one keeps the hold alive, one too far ahead is refused."""
    user_id, job_id = await _user(credits_), new_id()
    made = clock()
    await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music", expire_time=made + 2 * HOUR)
    assert (await holds.extend(job_id, made + HOUR)).expire_time == made + 2 * HOUR
    assert (await holds.extend(job_id, made + 3 * HOUR)).expire_time == made + 3 * HOUR
    clock.advance(2.5 * 3600)
    await _swept(holds)
    assert await _have(credits_, user_id) == (80, 20)
    with pytest.raises(ParamInvalid) as caught:
        await holds.extend(job_id, made + 10 * HOUR + timedelta(seconds=1))
    assert caught.value.violations[0].field == "expire_time"
    with pytest.raises(NotFound):
        await holds.extend(new_id(), made + HOUR)
    clock.advance(1800)
    await _swept(holds)
    assert await _have(credits_, user_id) == (100, 0)


@pytest.mark.parametrize("ahead", [-HOUR, timedelta(0), 10 * HOUR + timedelta(seconds=1)])
async def test_a_hold_with_an_impossible_date_is_refused(
    credits_: Credits, clock: SettableClock, ahead: timedelta
) -> None:
    """A date that has passed or lies beyond the longest time names its field and costs nothing."""
    user_id = await _user(credits_)
    with pytest.raises(ParamInvalid) as caught:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music", expire_time=clock() + ahead)
    assert caught.value.violations[0].field == "expire_time"
    assert await _have(credits_, user_id) == (100, 0)


async def test_every_write_repeated_a_year_later_answers_as_the_first_time(
    credits_: Credits, holds: Holds, clock: SettableClock
) -> None:
    """Grant, hold, settle, release, expiry and adjustment give the first answer for ever, whatever happened since."""
    user_id, spent, failed, late = await _user(credits_), new_id(), new_id(), new_id()
    act = _adjustment(user_id, 7)
    writes: list[Callable[[], Awaitable[Answer]]] = [
        lambda: credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id),
        *(
            partial(credits_.hold, request_id=job, user_id=user_id, price_kind="lyrics")
            for job in (spent, failed, late)
        ),
        lambda: credits_.settle(request_id=f"s{spent}", hold_id=spent, amount=3),
        lambda: credits_.release(request_id=f"r{failed}", hold_id=failed, description="no"),
        lambda: credits_.adjust(act, 7),
    ]
    first = [await write() for write in writes]
    clock.advance(3600)
    await _swept(holds)
    expired = await credits_.expire(hold_id=late)
    clock.advance(365 * 86400)
    await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music")
    assert [await write() for write in writes] == first
    assert await credits_.expire(hold_id=late) == expired
    assert await _have(credits_, user_id) == (84, 20)
    with pytest.raises(IdempotencyKeyReused):
        await credits_.hold(request_id=spent, user_id=user_id, price_kind="lyrics", price_version=1)
    with pytest.raises(IdempotencyKeyReused):
        await credits_.adjust(_adjustment(user_id, 8, act.request_id), 8)


async def test_credits_that_other_jobs_hold_are_no_empty_wallet(credits_: Credits) -> None:
    """Enough but held names amount and jobs, at most ten of them; really too little names only the numbers."""
    user_id, jobs = await _user(credits_), [new_id() for _ in range(10)]
    for job_id in jobs:
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
    with pytest.raises(CreditsHeld) as caught:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music")
    assert caught.value.metadata == {
        "needed": "20",
        "available": "0",
        "held": "100",
        "holds": "10",
        "job_ids": ",".join(sorted(jobs)),
    }
    for job_id in jobs[:9]:
        await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None)
    with pytest.raises(InsufficientCredits) as poor:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music")
    assert poor.value.metadata == {"needed": "20", "available": "0"}


async def test_a_refusal_names_at_most_ten_jobs(credits_: Credits) -> None:
    """With twelve open holds the refusal counts twelve and names ten."""
    user_id = await _user(credits_)
    await credits_.adjust(_adjustment(user_id, 20), 20)
    for _ in range(12):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    with pytest.raises(CreditsHeld) as caught:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    assert caught.value.metadata["holds"] == "12"
    assert len(caught.value.metadata["job_ids"].split(",")) == 10


async def _limited(admin: Administration, user_id: str, limit: int) -> None:
    quota = Quota(Plan.BASIC, "lyrics", limit)
    await admin.set_quota("boss", request_id=new_id(), quota=quota, reason="test")
    await admin.set_plan("boss", request_id=new_id(), user_id=user_id, plan=Plan.BASIC, reason="test")


async def test_a_quota_allows_exactly_its_number_of_runs_at_once(credits_: Credits, admin: Administration) -> None:
    """Of thirty holds at the same time on a limit of four, four are granted, whatever the balance would allow."""
    user_id = await _user(credits_)
    await _limited(admin, user_id, 4)
    calls = [credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics") for _ in range(30)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert Counter(type(each) for each in outcomes) == {Answer: 4, QuotaExceeded: 26}
    refusal = next(each for each in outcomes if isinstance(each, QuotaExceeded))
    assert (refusal.metadata["limit"], refusal.metadata["used"], refusal.metadata["plan"]) == ("4", "4", "basic")
    await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music")


async def test_a_run_that_comes_back_does_not_count_and_a_new_day_begins_anew(
    db: Database, credits_: Credits, admin: Administration, holds: Holds, clock: SettableClock
) -> None:
    """Released and expired holds give the run back, settled ones do not, also in part; midnight in China resets."""
    user_id, jobs = await _user(credits_), [new_id() for _ in range(3)]
    await _limited(admin, user_id, 3)
    clock.at = clock.at.replace(hour=3, minute=0)
    for job_id in jobs:
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
    quotas = Quotas(db, clock, utc_offset=TERMS.utc_offset)

    async def used() -> int:
        _, uses = await quotas.of(user_id)
        return next(use.used for use in uses if use.quota.kind == "lyrics")

    assert await used() == 3
    await credits_.settle(request_id=f"s{jobs[0]}", hold_id=jobs[0], amount=0)
    assert await used() == 3
    await credits_.release(request_id=f"r{jobs[1]}", hold_id=jobs[1], description="failed")
    assert await used() == 2
    clock.advance(3600)
    await _swept(holds)
    assert await used() == 1
    for _ in range(2):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    with pytest.raises(QuotaExceeded) as caught:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    assert caught.value.metadata["resets_at"].endswith("T16:00:00Z")
    clock.at = clock.at.replace(hour=16, minute=0, second=0, microsecond=0)
    await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    assert await used() == 1


async def test_a_frozen_wallet_begins_nothing_and_ends_what_was_begun(credits_: Credits, admin: Administration) -> None:
    """Frozen: holds and grants are refused with the reason; settle, release and an administrator's hand still work."""
    user_id, spent, failed = await _user(credits_), new_id(), new_id()
    for job_id in (spent, failed):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await admin.freeze("boss", request_id=new_id(), user_id=user_id, reason="a chargeback")
    for write in (
        credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics"),
        credits_.grant_signup(request_id=new_id(), user_id=user_id),
    ):
        with pytest.raises(WalletFrozen) as caught:
            await write
        assert caught.value.metadata["freeze_reason"] == "a chargeback"
    again = await credits_.hold(request_id=spent, user_id=user_id, price_kind="music")
    assert again.hold is not None
    assert again.hold.state is HoldState.HELD
    await credits_.settle(request_id=f"s{spent}", hold_id=spent, amount=None)
    await credits_.release(request_id=f"r{failed}", hold_id=failed, description="")
    await credits_.adjust(_adjustment(user_id, -5), -5)
    assert await _have(credits_, user_id) == (75, 0)
    await admin.unfreeze("boss", request_id=new_id(), user_id=user_id, reason="paid")
    await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")


async def test_after_a_freeze_has_been_answered_nothing_is_granted(credits_: Credits, admin: Administration) -> None:
    """Of many holds around a freeze, those sent after its answer are all refused; the balance says the same."""
    user_id = await _user(credits_)
    await credits_.adjust(_adjustment(user_id, 200), 200)
    early = [
        asyncio.create_task(credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")) for _ in range(20)
    ]
    await asyncio.sleep(0)
    await admin.freeze("boss", request_id=new_id(), user_id=user_id, reason="stop")
    late = [credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics") for _ in range(10)]
    refused = await asyncio.gather(*late, return_exceptions=True)
    assert [type(each) for each in refused] == [WalletFrozen] * 10
    granted = [each for each in await asyncio.gather(*early, return_exceptions=True) if isinstance(each, Answer)]
    assert await _have(credits_, user_id) == (300 - 10 * len(granted), 10 * len(granted))


async def test_a_price_change_changes_nothing_for_what_was_quoted_or_runs(
    credits_: Credits, admin: Administration, clock: SettableClock
) -> None:
    """A running hold is settled at its price, a quote holds for its window, and later only the new price does."""
    user_id, running, quoted = await _user(credits_), new_id(), new_id()
    kind = "chant"
    await admin.set_price("boss", request_id=new_id(), price=Price(kind, 5), reason="first")
    first = await credits_.hold(request_id=running, user_id=user_id, price_kind=kind)
    clock.advance(10)
    await admin.set_price("boss", request_id=new_id(), price=Price(kind, 9), reason="dearer")
    kept = await credits_.hold(request_id=quoted, user_id=user_id, price_kind=kind, price_version=1)
    new = await credits_.hold(request_id=new_id(), user_id=user_id, price_kind=kind)
    made = [each.hold for each in (first, kept, new)]
    assert [(hold.amount, hold.price_version) for hold in made if hold] == [(5, 1), (5, 1), (9, 2)]
    clock.advance(TERMS.quote_window.total_seconds())
    with pytest.raises(PriceChanged) as caught:
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind=kind, price_version=1)
    assert caught.value.metadata == {"kind": kind, "version": "2", "amount": "9"}
    for job_id in (running, quoted):
        settled = await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None)
        assert settled.hold is not None
        assert settled.hold.settled == 5
    assert await _have(credits_, user_id) == (81, 9)


async def test_an_adjustment_happens_once_and_never_overdraws(
    db: Database, credits_: Credits, admin: Administration
) -> None:
    """Ten equal adjustments at once move credits once and leave one audit line; too much is refused and leaves none."""
    user_id = await _user(credits_)
    act = _adjustment(user_id, -60)
    answers = await asyncio.gather(*(credits_.adjust(act, -60) for _ in range(10)))
    assert {answer.balance.available for answer in answers} == {40}
    with pytest.raises(InsufficientCredits):
        await credits_.adjust(_adjustment(user_id, -41), -41)
    await credits_.adjust(_adjustment(user_id, 5), 5)
    lines = (await credits_.entries(user_id, page_size=9, page_token="", kind=TransferKind.ADMIN_ADJUST)).entries
    assert [(line.amount, line.description) for line in lines] == [(5, "because"), (-60, "because")]
    audits, _ = await admin.audits(page_size=9, page_token="", subject=user_id)
    assert [(line.operator_id, line.action, line.input) for line in audits] == [
        ("boss", Action.ADJUST_BALANCE, '{"amount": 5}'),
        ("boss", Action.ADJUST_BALANCE, '{"amount": -60}'),
    ]
    stranger = new_id()
    await credits_.adjust(_adjustment(stranger, 3), 3)
    assert await _have(credits_, stranger) == (3, 0)
