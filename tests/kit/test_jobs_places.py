"""The places of a worker: what works is bounded, and so is what only waits."""

import asyncio

import pytest

from services.kit.jobs.places import Place, Places


async def test_a_waiting_job_lets_another_one_work() -> None:
    """A job that waits aside leaves its place to the next one and has it again when it goes on."""
    places = Places(1, waiting=5)
    first = await places.take()
    async with first.aside():
        second = await asyncio.wait_for(places.take(), 1)
        assert places.aside == 1
        second.leave()
    assert places.aside == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(places.take(), 0.01)
    first.leave()
    await asyncio.wait_for(places.take(), 1)


async def test_so_many_wait_and_no_more() -> None:
    """Once as many wait as may, the next one waits in its place."""
    places = Places(1, waiting=2)
    held: list[Place] = []
    may_end = asyncio.Event()

    async def wait_aside(place: Place) -> None:
        async with place.aside():
            await may_end.wait()

    tasks = []
    for _ in range(3):
        held.append(await asyncio.wait_for(places.take(), 1))
        tasks.append(asyncio.create_task(wait_aside(held[-1])))
        await asyncio.sleep(0)
    assert places.aside == 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(places.take(), 0.01)
    may_end.set()
    held[2].leave()
    for place, task in zip(held, tasks, strict=True):
        await asyncio.wait_for(task, 1)
        place.leave()
    assert places.aside == 0


async def test_a_job_that_ends_while_it_waits_needs_no_place() -> None:
    """A job that is stopped aside does not wait for a place, and leaving twice gives none away twice."""
    places = Places(1, waiting=1)
    first = await places.take()
    aside = first.aside()
    await aside.__aenter__()
    second = await places.take()
    assert not await aside.__aexit__(RuntimeError, RuntimeError(), None)
    first.leave()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(places.take(), 0.01)
    second.leave()
    second.leave()
    await asyncio.wait_for(places.take(), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(places.take(), 0.01)
