"""The one statement of the hot path when the database is in the way: races, deadlocks, and what is tried again."""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest

from services.kit.db.engine import Database
from services.kit.errors import Conflict
from services.kit.ids import new_id
from services.wallet.domain.credit import Answer
from services.wallet.storage.perform import Outcome, Write, perform
from services.wallet.usecases.credit import Credits
from tests.wallet.writes import CLOCK, hold_write

Fail = Callable[[int, Sequence[str]], Exception | None]


class Troubled:
    """The statement on its way to a real database that now and then refuses it first."""

    def __init__(self, db: Database, monkeypatch: pytest.MonkeyPatch, fail: Fail) -> None:
        self.asked: list[int] = []
        self._fail = fail
        self._fetch = db.prepared.fetch
        monkeypatch.setattr(db.prepared, "fetch", self.fetch)

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        """Ask the database unless it is to be in trouble this time; `fail` is told the turn and the request ids."""
        request_ids = arguments[1]
        self.asked.append(len(request_ids))
        error = self._fail(len(self.asked), request_ids)
        if error is not None:
            raise error
        return await self._fetch(statement, *arguments)


async def _perform(db: Database, writes: Sequence[Write]) -> list[Outcome]:
    return await perform(db, writes, at=CLOCK.at, day_start=CLOCK.at)


async def _holds(db: Database, count: int) -> list[Write]:
    """Return the wishes of as many new users."""
    users = [new_id() for _ in range(count)]
    for user_id in users:
        await Credits(db, CLOCK, signup_grant_credits=100).grant_signup(request_id=user_id, user_id=user_id)
    return [hold_write(user_id, new_id()) for user_id in users]


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError])
async def test_a_lost_race_is_run_again(db: Database, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A batch that lost a race twice is performed at the third try, all of it together."""
    writes = await _holds(db, 3)
    trouble = Troubled(db, monkeypatch, lambda turn, _ids: error("lost") if turn < 3 else None)
    outcomes = await _perform(db, writes)
    assert [type(each) for each in outcomes] == [Answer] * 3
    assert trouble.asked == [3, 3, 3]


async def test_a_race_that_is_always_lost_is_given_up(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single write is tried three times and then raises what the database says."""
    writes = await _holds(db, 1)
    trouble = Troubled(db, monkeypatch, lambda _turn, _ids: asyncpg.DeadlockDetectedError("lost"))
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await _perform(db, writes)
    assert trouble.asked == [1, 1, 1]


async def test_who_keeps_losing_alone_has_a_conflict(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one write spoils its batch again and again, the others are performed alone and it is told of a conflict."""
    writes = await _holds(db, 3)
    spoils = writes[1].request_id
    trouble = Troubled(
        db, monkeypatch, lambda _turn, ids: asyncpg.UniqueViolationError("lost") if spoils in ids else None
    )
    outcomes = await _perform(db, writes)
    assert [type(each) for each in outcomes] == [Answer, Conflict, Answer]
    assert trouble.asked == [3, 3, 3, 1, 1, 1, 1, 1]


async def test_what_the_database_forbids_is_not_tried_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that breaks a check is tried with its batch and alone, no more, and raises when it came alone."""
    writes = await _holds(db, 2)
    spoils = writes[0].request_id
    trouble = Troubled(db, monkeypatch, lambda _turn, ids: asyncpg.CheckViolationError("no") if spoils in ids else None)
    outcomes = await _perform(db, writes)
    assert [type(each) for each in outcomes] == [asyncpg.CheckViolationError, Answer]
    assert trouble.asked == [2, 1, 1]
    with pytest.raises(asyncpg.CheckViolationError):
        await _perform(db, writes[:1])
    assert trouble.asked == [2, 1, 1, 1]


async def test_a_database_that_is_away_is_told_to_the_whole_batch(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost connection says nothing about any write, so it is raised and nothing is tried again here."""
    writes = await _holds(db, 2)
    trouble = Troubled(db, monkeypatch, lambda _turn, _ids: ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await _perform(db, writes)
    assert trouble.asked == [2]
