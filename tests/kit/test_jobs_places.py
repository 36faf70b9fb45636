"""The places of a worker: what works is bounded, and so is what only waits."""

import asyncio

import pytest

from services.kit.jobs.places import Place, Places


async def test_a_waiting_job_lets_another_one_work() -> None:
    """A job that waits aside leaves its place to the next one, and goes on as soon as there is one again."""
    places = Places(1, waiting=5)
    first = places.enter()
    assert not await _has_room(places)
    coming_back = asyncio.Event()

    async def wait_aside() -> None:
        async with first.aside():
            await coming_back.wait()

    waiting = asyncio.create_task(wait_aside())
    await asyncio.sleep(0)
    assert (places.aside, await _has_room(places)) == (1, True)
    second = places.enter()
    coming_back.set()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    second.leave()
    await asyncio.wait_for(waiting, 1)
    assert (places.aside, places.working, await _has_room(places)) == (0, 1, False)
    first.leave()
    assert await _has_room(places)


async def test_who_comes_back_need_not_wait_for_who_only_looks() -> None:
    """A place that somebody only looks for a job for is free, so that a worker with one place comes back to its job."""
    places = Places(1, waiting=1)
    only = places.enter()
    async with only.aside():
        await asyncio.wait_for(places.room(), 1)
    assert places.working == 1
    # The job that was found in that moment works beside it, and then there is no room for a third.
    late = places.enter()
    assert places.working == 2
    late.leave()
    assert not await _has_room(places)


async def test_so_many_wait_and_no_more() -> None:
    """Once as many wait as may, the next one waits in its place."""
    places = Places(1, waiting=2)
    may_end = asyncio.Event()

    async def wait_aside(place: Place) -> None:
        async with place.aside():
            await may_end.wait()
        place.leave()

    tasks = []
    for _ in range(3):
        await asyncio.wait_for(places.room(), 1)
        tasks.append(asyncio.create_task(wait_aside(places.enter())))
        await asyncio.sleep(0)
    assert places.aside == 2
    assert not await _has_room(places)
    may_end.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 1)
    assert (places.aside, places.working) == (0, 0)


async def test_those_that_come_back_go_first_and_one_by_one() -> None:
    """Jobs that come back while others work get the places in their order, never more than there are."""
    places = Places(1, waiting=3)
    order: list[int] = []
    go_on = asyncio.Event()

    async def job(number: int) -> None:
        place = places.enter()
        async with place.aside():
            await go_on.wait()
        order.append(number)
        assert places.working == 1
        await asyncio.sleep(0)
        place.leave()

    tasks = [asyncio.create_task(job(number)) for number in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 1)
    assert order == [0, 1, 2]


async def test_a_job_that_ends_while_it_waits_needs_no_place() -> None:
    """A job that is stopped aside, or on its way back, takes no place, and leaving twice gives none away twice."""
    places = Places(1, waiting=2)
    first = places.enter()
    aside = first.aside()
    await aside.__aenter__()
    second = places.enter()
    assert not await aside.__aexit__(RuntimeError, RuntimeError(), None)
    first.leave()
    assert places.working == 1

    third = places.enter()
    back = third.aside()
    await back.__aenter__()
    coming = asyncio.create_task(back.__aexit__(None, None, None))
    await asyncio.sleep(0)
    coming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await coming
    third.leave()
    assert places.working == 1
    second.leave()
    second.leave()
    assert places.working == 0


async def _has_room(places: Places) -> bool:
    """Return whether a job may be looked for at once."""
    try:
        await asyncio.wait_for(places.room(), 0.01)
    except TimeoutError:
        return False
    return True
