"""How a job's row may change: by an event of the state machine, and by a worker only under its lease.

A worker's change names its fencing token, so a worker that lost its lease changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kit.ids import is_id
from services.kit.jobs.errors import JobNotFound, LeaseLost
from services.kit.jobs.job import Job, JobEvent, Note, plain_text
from services.kit.jobs.states import Event, State, transition
from services.kit.jobs.store import JobStore, Tx


@dataclass(frozen=True)
class Rows:
    """The jobs of one service under the rules of the state machine."""

    store: JobStore

    async def insert(self, tx: Tx, values: Mapping[str, Any], note: Note) -> Job:
        """Return the new job, whose log holds its first event."""
        return await self.store.add(tx, values, note)

    async def read(self, tx: Tx, job_id: str) -> Job:
        """Return the job; raises JobNotFound, also for text that is no id."""
        return await self._one(tx, job_id, lock=False)

    async def lock(self, tx: Tx, job_id: str) -> Job:
        """Return the job, its row locked until the transaction ends; raises JobNotFound."""
        return await self._one(tx, job_id, lock=True)

    async def _one(self, tx: Tx, job_id: str, *, lock: bool) -> Job:
        job = await self.store.find(tx, job_id, lock=lock) if is_id(job_id) else None
        if job is None:
            message = "no such job"
            raise JobNotFound(message, job_id=plain_text(job_id, 64))
        return job

    async def move(
        self,
        tx: Tx,
        job: Job,
        event: Event,
        at: datetime,
        *,
        note: Note,
        token: int | None = None,
        **values: Any,
    ) -> Job:
        """Return the job after the event, with the columns that follow from its new state.

        The caller holds the row's lock or gives the token. Raises IllegalTransition and LeaseLost.
        """
        state = transition(job.state, event)
        values["state"] = state.value
        if state is not State.RUNNING:
            values |= {"lease_owner": "", "lease_expire_time": None}
        if state.finished:
            values["finish_time"] = at
        return await self.change(tx, job.job_id, at, note=note, token=token, **values)

    async def change(
        self,
        tx: Tx,
        job_id: str,
        at: datetime,
        *,
        note: Note | None,
        token: int | None = None,
        **values: Any,
    ) -> Job:
        """Return the job with new values in its columns, and an event in its log if there is a note.

        With a token the job must be running under that lease; raises LeaseLost when it is not.
        """
        job = await self.store.change(tx, job_id, at, note=note, token=token, values=values)
        if job is None:
            message = "the job is not running under this lease"
            raise LeaseLost(message, job_id=job_id, lease_token=token or 0)
        return job

    async def events(self, tx: Tx, job_id: str, after: int, most: int) -> tuple[JobEvent, ...]:
        """Return the next events of the log in order, at most `most` of them."""
        return await self.store.events(tx, job_id, after, most)
