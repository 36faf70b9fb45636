"""Jobs in PostgreSQL: the statements on jobs, events and steps; `store.JobStore` says what each operation promises.

A change that readers may see takes the next sequence number and writes its event in the same
transaction, under the row's lock, which is why the log has no gaps.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_keep
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.jobs.job import Job, JobEvent, Note, event_of, job_of, plain_text
from services.kit.jobs.postgres_attempts import PostgresAttempts
from services.kit.jobs.postgres_outbox import PostgresOutbox
from services.kit.jobs.postgres_turns import PostgresTurns
from services.kit.jobs.states import State

_ACTIVE = (State.PENDING.value, State.QUEUED.value, State.RUNNING.value)


class PostgresJobs(PostgresAttempts):
    """The jobs of one service."""

    @property
    def outbox(self) -> PostgresOutbox:
        """The messages that commit together with the jobs."""
        return PostgresOutbox(self.tables.outbox)

    @property
    def turns(self) -> PostgresTurns:
        """The same jobs as far as they wait."""
        return PostgresTurns(self.service, self.tables.jobs)

    async def add(self, tx: AsyncConnection, values: Mapping[str, Any], note: Note) -> Job:
        """Return the new job, whose log holds its first event."""
        statement = insert(self.tables.jobs).values(**values, last_sequence=1).returning(self.tables.jobs)
        job = job_of(self.service, (await tx.execute(statement)).mappings().one())
        await self._log(tx, job, note)
        return job

    async def find(self, tx: AsyncConnection, job_id: str, *, lock: bool = False) -> Job | None:
        """Return the job or None; with `lock` its row is locked until the transaction ends."""
        query = select(self.tables.jobs).where(self.tables.jobs.c.job_id == job_id)
        row = (await tx.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
        return None if row is None else job_of(self.service, row)

    async def change(
        self,
        tx: AsyncConnection,
        job_id: str,
        at: datetime,
        *,
        note: Note | None,
        token: int | None,
        values: Mapping[str, Any],
    ) -> Job | None:
        """Return the job with the new values, and an event if there is a note; None when the token is not its lease."""
        jobs = self.tables.jobs
        statement = update(jobs).where(jobs.c.job_id == job_id)
        if token is not None:
            statement = statement.where(jobs.c.lease_token == token, jobs.c.state == State.RUNNING)
        if note is not None:
            statement = statement.values(last_sequence=jobs.c.last_sequence + 1)
        row = (await tx.execute(statement.values(update_time=at, **values).returning(jobs))).mappings().one_or_none()
        if row is None:
            return None
        job = job_of(self.service, row)
        if note is not None:
            await self._log(tx, job, note)
        return job

    async def remove(self, tx: AsyncConnection, job_id: str) -> None:
        """Remove the job; its log and steps go with it."""
        await tx.execute(delete(self.tables.jobs).where(self.tables.jobs.c.job_id == job_id))

    async def page(
        self,
        tx: AsyncConnection,
        user_id: str,
        *,
        states: Collection[State],
        kind: str,
        subject_id: str,
        before: str,
        most: int,
    ) -> list[Job]:
        """Return a user's jobs with ids below `before`, the newest first."""
        jobs = self.tables.jobs
        query = select(jobs).where(jobs.c.user_id == user_id)
        if states:
            query = query.where(jobs.c.state.in_([state.value for state in states]))
        if kind:
            query = query.where(jobs.c.kind == kind)
        if subject_id:
            query = query.where(jobs.c.subject_id == subject_id)
        if before:
            # Ids are made in time order, so the id alone is the sort key.
            query = query.where(jobs.c.job_id < before)
        rows = await tx.execute(query.order_by(jobs.c.job_id.desc()).limit(most))
        return [job_of(self.service, row) for row in rows.mappings()]

    async def active_count(self, tx: AsyncConnection, user_id: str, kind: str) -> int:
        """Return how many jobs are not finished."""
        jobs = self.tables.jobs
        query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(_ACTIVE))
        if user_id:
            query = query.where(jobs.c.user_id == user_id)
        if kind:
            query = query.where(jobs.c.kind == kind)
        return int((await tx.execute(query)).scalar_one())

    async def events(self, tx: AsyncConnection, job_id: str, after: int, most: int) -> tuple[JobEvent, ...]:
        """Return the next events of the log in order, at most `most` of them."""
        events = self.tables.events
        query = (
            select(events)
            .where(events.c.job_id == job_id, events.c.sequence > after)
            .order_by(events.c.sequence)
            .limit(most)
        )
        return tuple(event_of(row) for row in (await tx.execute(query)).mappings())

    async def purge_events(self, tx: AsyncConnection, before: datetime, most: int) -> int:
        """Return of how many jobs the log was shortened; those that another sweeper is at are left to it."""
        jobs, events = self.tables.jobs, self.tables.events
        old = (
            select(jobs.c.job_id)
            .where(jobs.c.finish_time < before, jobs.c.log_purged.is_(False))
            .order_by(jobs.c.finish_time)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("old")
        )
        marking = update(jobs).where(jobs.c.job_id == old.c.job_id).values(log_purged=True).returning(jobs.c.job_id)
        found = list((await tx.execute(marking)).scalars())
        if found:
            await tx.execute(delete(events).where(events.c.job_id.in_(found), events.c.final.is_(False)))
        return len(found)

    async def dead_letters(self, tx: AsyncConnection, kind: str, before: str, most: int) -> list[Job]:
        """Return dead letters with ids below `before`, the newest first."""
        jobs = self.tables.jobs
        query = select(jobs).where(jobs.c.dead_time.is_not(None))
        if kind:
            query = query.where(jobs.c.kind == kind)
        if before:
            query = query.where(jobs.c.job_id < before)
        rows = await tx.execute(query.order_by(jobs.c.job_id.desc()).limit(most))
        return [job_of(self.service, row) for row in rows.mappings()]

    async def reopen_log(self, tx: AsyncConnection, job_id: str) -> None:
        """Make the last event of the log an ordinary one, because more will follow."""
        events = self.tables.events
        await tx.execute(update(events).where(events.c.job_id == job_id, events.c.final).values(final=False))

    async def stray_ids(self, tx: AsyncConnection, at: datetime, most: int) -> list[str]:
        """Return ids of unfinished jobs whose lease or deadline has run out."""
        jobs = self.tables.jobs
        query = select(jobs.c.job_id).where(self._strayed(at)).order_by(jobs.c.job_id).limit(most)
        return list((await tx.execute(query)).scalars())

    async def lock_stray(self, tx: AsyncConnection, job_id: str, at: datetime) -> Job | None:
        """Return the job, locked, or None if another one holds it or it has moved on."""
        jobs = self.tables.jobs
        query = select(jobs).where(jobs.c.job_id == job_id, self._strayed(at)).with_for_update(skip_locked=True)
        row = (await tx.execute(query)).mappings().one_or_none()
        return None if row is None else job_of(self.service, row)

    def _strayed(self, at: datetime) -> ColumnElement[bool]:
        jobs = self.tables.jobs
        lapsed = and_(jobs.c.state == State.RUNNING, jobs.c.lease_expire_time < at)
        late = and_(jobs.c.state.in_(_ACTIVE), jobs.c.deadline_time < at)
        return or_(lapsed, late)

    async def claim_pending(self, tx: AsyncConnection, *, at: datetime, ask_again: datetime, most: int) -> list[Job]:
        """Return pending jobs that somebody should ask about; the next ask is due at `ask_again`."""
        jobs = self.tables.jobs
        forgotten = and_(jobs.c.state == State.PENDING, jobs.c.run_after <= at)
        return await self._claim(tx, forgotten, most, run_after=ask_again)

    async def _claim(
        self, tx: AsyncConnection, condition: ColumnElement[bool], most: int, **values: datetime
    ) -> list[Job]:
        """Return jobs that match, moved out of the sight of other sweepers by the new values."""
        jobs = self.tables.jobs
        due = (
            select(jobs.c.job_id)
            .where(condition)
            .order_by(jobs.c.run_after)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        statement = update(jobs).where(jobs.c.job_id == due.c.job_id).values(**values).returning(jobs)
        found = [job_of(self.service, row) for row in (await tx.execute(statement)).mappings()]
        return sorted(found, key=lambda job: job.run_after)

    async def steps(self, tx: AsyncConnection, job_id: str) -> dict[str, dict[str, Any]]:
        """Return the results of the finished steps by name."""
        steps = self.tables.steps
        query = select(steps.c.name, steps.c.result).where(steps.c.job_id == job_id)
        return {row.name: row.result for row in await tx.execute(query)}

    async def add_step(
        self,
        tx: AsyncConnection,
        job: Job,
        name: str,
        result: dict[str, Any],
        *,
        start_time: datetime,
        finish_time: datetime,
    ) -> None:
        """Keep the result of a finished step; one that is there already stays."""
        row = {
            "job_id": job.job_id,
            "name": name,
            "result": result,
            "attempt": job.attempt,
            "start_time": start_time,
            "finish_time": finish_time,
        }
        await tx.execute(insert_or_keep(self.tables.steps).values(**row).on_conflict_do_nothing())

    async def _log(self, tx: AsyncConnection, job: Job, note: Note) -> None:
        """Write the event that belongs to the job's newest sequence number."""
        await tx.execute(
            insert(self.tables.events).values(
                job_id=job.job_id,
                sequence=job.last_sequence,
                event_time=job.update_time,
                state=job.state.value,
                step=job.step,
                step_progress_percent=note.step_progress_percent,
                progress_percent=job.progress_percent,
                message=plain_text(note.message),
                final=job.state.finished,
            )
        )
