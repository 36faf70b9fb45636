"""A task ends although its first cancellation was lost."""

import asyncio

import pytest

from services.kit import ending


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    """One that swallows its cancellation twice and one that ends at once are both over afterwards."""
    asked = 0

    async def deaf() -> None:
        nonlocal asked
        while asked < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                asked += 1
        raise asyncio.CancelledError

    async def failing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("on its way out")

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    await ending.end(tasks)

    assert asked == 3
    assert all(task.done() for task in tasks)


async def test_a_task_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the bound the caller learns which task it was, instead of waiting for ever."""
    monkeypatch.setattr(ending, "_ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(ending, "_MOST_TIMES", 3)
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn(), name="stubborn loop")
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError, match="stubborn loop"):
        await ending.end([task])
    over.set()
    await task
