"""The order of waiting jobs in PostgreSQL; see `store.TurnStore` for what each operation promises.

The index `ix_jobs_turn` holds the queued jobs in their order, so finding the next one costs the
same for ten and for a hundred thousand.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, Text, and_, column, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.jobs.forecast import Ran
from services.kit.jobs.job import Job, job_of
from services.kit.jobs.states import State
from services.kit.jobs.store import Due


@dataclass(frozen=True)
class PostgresTurns:
    """The waiting jobs of one service."""

    service: str
    jobs: Table

    async def next_due(self, tx: AsyncConnection, kinds: Collection[str], at: datetime) -> Job | None:
        """Return the job whose turn it is, locked."""
        heads = [await self._head(tx, kind, at) for kind in sorted(kinds)]
        found = [each for each in heads if each is not None]
        return min(found, key=lambda job: (job.turn_time, job.job_id), default=None)

    async def _head(self, tx: AsyncConnection, kind: str, at: datetime) -> Job | None:
        # One kind at a time, because only then the index gives the order; nearly every queue has one.
        query = (
            select(self.jobs)
            .where(self._due([kind], at))
            .order_by(self.jobs.c.turn_time, self.jobs.c.job_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = (await tx.execute(query)).mappings().one_or_none()
        return None if row is None else job_of(self.service, row)

    async def running_counts(self, tx: AsyncConnection, kinds: Collection[str]) -> dict[str, int]:
        """Return how many jobs of each kind run; the lock makes the answer true until the transaction ends."""
        for kind in sorted(kinds):
            key = func.hashtextextended(f"{self.jobs.fullname}:{kind}", 0)
            await tx.execute(select(func.pg_advisory_xact_lock(key)))
        # A statement of its own: it must see what was committed while the lock was waited for.
        return await self._counts(tx, and_(self.jobs.c.kind.in_(kinds), self._is(State.RUNNING)))

    async def due(
        self, tx: AsyncConnection, kinds: Collection[str], at: datetime, *, after: Due | None, most: int
    ) -> list[Due]:
        """Return queued jobs in the order of their turns, from behind `after`."""
        jobs = self.jobs
        query = select(jobs.c.kind, jobs.c.turn_time, jobs.c.job_id, jobs.c.lease_token).where(self._due(kinds, at))
        if after is not None:
            query = query.where(tuple_(jobs.c.turn_time, jobs.c.job_id) > self._place(after))
        query = query.order_by(jobs.c.turn_time, jobs.c.job_id).limit(most)
        return [Due(*row) for row in await tx.execute(query)]

    async def due_count(
        self, tx: AsyncConnection, kinds: Collection[str], at: datetime, before: Due | None
    ) -> dict[str, int]:
        """Return how many queued jobs of each kind are due, all of them or those whose turn is before."""
        condition = self._due(kinds, at)
        if before is not None:
            place = tuple_(self.jobs.c.turn_time, self.jobs.c.job_id) < self._place(before)
            condition = and_(condition, place)
        return await self._counts(tx, condition)

    async def newest_runs(self, tx: AsyncConnection, kinds: Collection[str], most: int) -> list[Ran]:
        """Return the jobs that were completed last by their first attempt, at most `most` of each kind."""
        kind = func.unnest(literal(sorted(kinds), ARRAY(Text))).table_valued("kind", name="kinds").render_derived()
        jobs = self.jobs
        newest = (
            select(jobs.c.create_time, jobs.c.start_time, jobs.c.finish_time)
            # A job that was tried twice says more about a fault than about the work.
            .where(jobs.c.kind == kind.c.kind, self._is(State.COMPLETED), jobs.c.attempt == 1)
            .order_by(jobs.c.finish_time.desc())
            .limit(most)
            .lateral("newest")
        )
        query = select(kind.c.kind, newest).select_from(kind.join(newest, literal(value=True)))
        return [Ran(*row) for row in await tx.execute(query)]

    async def running_since(self, tx: AsyncConnection, kinds: Collection[str], most: int) -> list[tuple[str, datetime]]:
        """Return kind and time of the first start of the running jobs."""
        jobs = self.jobs
        running = and_(self._is(State.RUNNING), jobs.c.kind.in_(kinds))
        rows = await tx.execute(select(jobs.c.kind, jobs.c.start_time).where(running).limit(most))
        return [(kind, start) for kind, start in rows]

    def _due(self, kinds: Collection[str], at: datetime) -> ColumnElement[bool]:
        jobs = self.jobs
        wanted = jobs.c.kind == next(iter(kinds)) if len(kinds) == 1 else jobs.c.kind.in_(sorted(kinds))
        return and_(self._is(State.QUEUED), wanted, jobs.c.run_after <= at)

    def _is(self, state: State) -> ColumnElement[bool]:
        # Spelled out, because a plan that is made for every value cannot use an index that holds one state only.
        return self.jobs.c.state == column(f"'{state.value}'", is_literal=True)

    def _place(self, due: Due) -> Any:
        return tuple_(literal(due.turn_time), literal(due.job_id, self.jobs.c.job_id.type))

    async def _counts(self, tx: AsyncConnection, condition: ColumnElement[bool]) -> dict[str, int]:
        query = select(self.jobs.c.kind, func.count()).where(condition).group_by(self.jobs.c.kind)
        return {kind: int(count) for kind, count in await tx.execute(query)}
