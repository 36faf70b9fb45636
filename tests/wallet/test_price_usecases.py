"""Prices that name what is owed for finished steps, on a real PostgreSQL."""

from functools import partial

import pytest

from services.kit.db.engine import Database
from services.kit.errors import IdempotencyKeyReused, NotFound
from services.kit.ids import new_id
from services.wallet.domain.credit import HoldState, Price
from services.wallet.domain.errors import HoldClosed
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from tests.conftest import SettableClock


async def test_a_release_keeps_what_finished_steps_cost(db: Database, clock: SettableClock) -> None:
    """Finished steps are owed at the version that was held, whatever the price says now; a repeat is answered alike."""
    credits_, admin = Credits(db, clock, signup_grant_credits=100), Administration(db, clock)
    user_id, kind = new_id(), "opera"
    await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id)
    old = Price(kind, 20, steps=(("listen", 3), ("sing", 7)))
    await admin.set_price("boss", request_id=new_id(), price=old, reason="the first")
    held, other, free = [new_id() for _ in range(3)]
    for job_id in (held, other, free):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind=kind)
    clock.advance(1)
    new = Price(kind, 30, steps=(("sing", 30),))
    assert (await admin.set_price("boss", request_id=new_id(), price=new, reason="dearer")).steps == new.steps

    steps = frozenset({"listen", "sing", "mix"})
    release = partial(credits_.release, request_id=f"release:{held}", hold_id=held, description="cancelled")
    first = await release(finished_steps=steps)
    assert await release(finished_steps=steps) == first
    with pytest.raises(HoldClosed):
        await release(finished_steps=frozenset())
    with pytest.raises(IdempotencyKeyReused):
        await release(finished_steps=frozenset({"sing"}))
    nothing = await credits_.release(
        request_id=f"release:{other}", hold_id=other, description="", finished_steps=frozenset({"mix"})
    )
    with pytest.raises(NotFound):
        await credits_.release(request_id=new_id(), hold_id=new_id(), description="", finished_steps=steps)

    assert first.hold is not None
    assert nothing.hold is not None
    assert (first.hold.state, first.hold.settled) == (HoldState.SETTLED, 10)
    assert (nothing.hold.state, nothing.hold.settled) == (HoldState.RELEASED, 0)
    balance = await credits_.balance(user_id)
    assert (balance.available, balance.held) == (70, 20)
