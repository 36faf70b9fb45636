"""The loop that gives overdue holds back: how much it takes at a time, when it rests, and what it counts."""

import asyncio
from datetime import timedelta

import pytest

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.wallet.usecases import hold as hold_module
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.hold import Holds
from services.wallet.usecases.terms import Terms
from tests.conftest import SettableClock

TERMS = Terms(hold_expiry=timedelta(hours=1))


async def overdue(credits_: Credits, clock: SettableClock, count: int) -> str:
    """Return a user with so many holds of ten credits whose date has passed."""
    user_id = new_id()
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    for _ in range(count):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    clock.advance(3600)
    return user_id


def sweeper(db: Database, credits_: Credits, clock: SettableClock) -> Holds:
    """Return the loop, which rests for longer than any test lasts."""
    return Holds(db, credits_, clock, terms=TERMS, changed=lambda _user: None, interval_s=1000.0)


async def test_a_sweep_counts_what_it_looked_at(
    db: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep takes as many overdue holds as its bound allows and says how many, at last none."""
    monkeypatch.setattr(hold_module, "_BATCH", 2)
    credits_ = Credits(db, clock, signup_grant_credits=100, terms=TERMS)
    await overdue(credits_, clock, 3)
    holds = sweeper(db, credits_, clock)
    assert [await holds.sweep() for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(("count", "sweeps"), [(4, 3), (3, 2), (1, 1), (0, 1)])
async def test_the_loop_rests_when_it_has_caught_up(
    db: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, count: int, sweeps: int
) -> None:
    """While a sweep is full the next one follows at once; after one that is not the loop rests."""
    monkeypatch.setattr(hold_module, "_BATCH", 2)
    credits_ = Credits(db, clock, signup_grant_credits=100, terms=TERMS)
    user_id = await overdue(credits_, clock, count)
    holds = sweeper(db, credits_, clock)
    done: list[int] = []
    enough = asyncio.Event()
    sweep = holds.sweep

    async def counted() -> int:
        done.append(await sweep())
        if len(done) == sweeps:
            enough.set()
        return done[-1]

    monkeypatch.setattr(holds, "sweep", counted)
    loop = asyncio.create_task(holds.run())
    await asyncio.wait_for(enough.wait(), 30)
    await asyncio.sleep(0.2)
    loop.cancel()
    await asyncio.wait({loop})
    assert (len(done), sum(done)) == (sweeps, count)
    assert (await credits_.balance(user_id)).available == 100


async def test_the_last_date_that_a_hold_may_have(db: Database, clock: SettableClock) -> None:
    """A hold can be extended to its longest life to the moment, which is thirty days after it was made."""
    credits_ = Credits(db, clock, signup_grant_credits=100, terms=TERMS)
    user_id, job_id = new_id(), new_id()
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    made = clock()
    await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
    longest = made + timedelta(days=30)
    assert (await sweeper(db, credits_, clock).extend(job_id, longest)).expire_time == longest
