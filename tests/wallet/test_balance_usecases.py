"""Following a balance on a real ledger: nothing missed, nothing twice, with and without Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from redis.asyncio import Redis

from services.kit.db.engine import Database
from services.kit.ending import end
from services.kit.errors import ParamInvalid
from services.kit.ids import new_id
from services.kit.jobs.wakes import Wakes
from services.kit.redis import connect
from services.wallet.domain.balance import Change, Position
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.credit import Credits
from tests.conftest import SettableClock

Life = AsyncGenerator[tuple[Position, Change | None], None]
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def credits_(db: Database, clock: SettableClock) -> Credits:
    """Return the use cases of credits on the module's database."""
    return Credits(db, clock, signup_grant_credits=100)


@asynccontextmanager
async def _open(db: Database, redis: Redis, poll_s: float) -> AsyncIterator[Balances]:
    """Yield balances whose readers are woken by a loop, as in the server."""
    balances = Balances(db, Wakes(redis, topic="wallet"), poll_s=poll_s)
    loop = asyncio.create_task(balances.run())
    yield balances
    await end([loop])


async def _user(credits_: Credits) -> str:
    user_id = new_id()
    await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id)
    return user_id


async def _next(life: Life) -> tuple[Position, Change | None]:
    async with asyncio.timeout(30):
        return await anext(life)


async def test_a_change_wakes_its_reader_through_redis(db: Database, redis: Redis, credits_: Credits) -> None:
    """With a poll that never comes, a change arrives because it was told, in order and with its reason."""
    user_id, job_id = await _user(credits_), new_id()
    async with _open(db, redis, poll_s=3600) as balances, aclosing(balances.watch(user_id, 0)) as life:
        first, nothing = await _next(life)
        waiting = asyncio.create_task(_next(life))
        await asyncio.sleep(0.2)
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
        balances.changed(user_id)
        second, held = await waiting
        await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None)
        balances.changed(user_id)
        third, settled = await _next(life)

    assert (first.balance.available, nothing) == (100, None)
    assert held is not None
    assert (held.available_change, held.held_change, held.description) == (-20, 20, "music")
    assert settled is not None
    assert (settled.available_change, settled.held_change, settled.reference_id) == (0, -20, job_id)
    assert first.sequence < second.sequence < third.sequence
    assert (third.balance.available, third.balance.held) == (80, 0)


async def test_a_change_arrives_without_redis(db: Database, credits_: Credits) -> None:
    """While Redis is away the reader finds the change by looking itself, and nobody fails."""
    user_id = await _user(credits_)
    away = connect(NOBODY)
    async with _open(db, away, poll_s=0.3) as balances, aclosing(balances.watch(user_id, 0)) as life:
        await _next(life)
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
        balances.changed(user_id)
        _, change = await _next(life)
    await away.aclose()

    assert change is not None
    assert change.available_change == -10


async def test_a_reader_that_returns_misses_and_repeats_nothing(db: Database, redis: Redis, credits_: Credits) -> None:
    """From the place of any change on, exactly the later ones follow the present state."""
    user_id = await _user(credits_)
    jobs = [new_id() for _ in range(4)]
    async with _open(db, redis, poll_s=3600) as balances:
        start = await balances.now(user_id)
        for number, job_id in enumerate(jobs):
            await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
            await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=(None, 5, 0, 20)[number])
        async with aclosing(balances.watch(user_id, start.sequence)) as life:
            snapshot, *whole = [await _next(life) for _ in range(9)]
        assert snapshot[0].sequence == start.sequence
        assert snapshot[0].balance == (await balances.now(user_id)).balance
        assert [change.held_change for _, change in whole if change] == [20, -20] * 4
        for cut, (place, _) in enumerate(whole[:-1]):
            async with aclosing(balances.watch(user_id, place.sequence)) as life:
                await _next(life)
                assert [await _next(life) for _ in whole[cut + 1 :]] == whole[cut + 1 :]


async def test_a_busy_account_is_told_whole_over_many_looks(db: Database, redis: Redis, credits_: Credits) -> None:
    """Holds and ends that cross each other while the reader reads all arrive, the balance after each one right."""
    user_id = await _user(credits_)
    async with _open(db, redis, poll_s=0.05) as balances, aclosing(balances.watch(user_id, 0)) as life:
        at, _ = await _next(life)

        async def live() -> None:
            for _ in range(8):
                job_id = new_id()
                await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
                await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=1)
                balances.changed(user_id)

        living = asyncio.gather(*(live() for _ in range(4)))
        available, held = at.balance.available, at.balance.held
        for _ in range(64):
            at, change = await _next(life)
            assert change is not None
            available, held = available + change.available_change, held + change.held_change
            assert (at.balance.available, at.balance.held) == (available, held)
        await living
        assert at == await balances.now(user_id)
    assert (available, held) == (68, 0)


async def test_a_place_of_somebody_richer_is_refused(db: Database, redis: Redis, credits_: Credits) -> None:
    """A sequence that this balance has not reached is refused before anything is told."""
    rich, poor = await _user(credits_), new_id()
    async with _open(db, redis, poll_s=3600) as balances:
        place = (await balances.now(rich)).sequence
        with pytest.raises(ParamInvalid):
            await anext(balances.watch(poor, place))
        assert (await _next(balances.watch(poor, 0)))[0].sequence == 0


async def test_a_reader_that_leaves_holds_nothing(db: Database, redis: Redis, credits_: Credits) -> None:
    """After the last reader has gone no listener, no subscription and no connection is left."""
    user_id = await _user(credits_)
    wakes = Wakes(redis, topic="wallet")
    balances = Balances(db, wakes, poll_s=3600)
    for _ in range(3):
        life = balances.watch(user_id, 0)
        await _next(life)
        waiting = asyncio.create_task(_next(life))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await life.aclose()

    assert (wakes._count, wakes._ears, wakes._reader) == (0, {}, None)
    assert db.pool_status()["held"] == 0
