"""The order of waiting jobs in memory: the promises of `services.kit.jobs.store.TurnStore`, kept without SQL."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from services.kit.jobs.forecast import Ran
from services.kit.jobs.job import Job
from services.kit.jobs.states import State
from services.kit.jobs.store import Due
from tests.simulate.database import Table, Transaction


@dataclass(frozen=True)
class MemoryTurns:
    """The waiting jobs of one service."""

    jobs: Table
    counting: Table = field(default_factory=lambda: Table("running_counts"))

    async def next_due(self, tx: Transaction, kinds: Collection[str], at: datetime) -> Job | None:
        """Return the job whose turn it is, locked; jobs locked by others are passed."""
        await tx.trip()
        for job in self._waiting(tx, kinds, at):
            locked: Job | None = tx.try_lock(self.jobs, job.job_id)
            if locked is not None:
                return locked
        return None

    async def running_counts(self, tx: Transaction, kinds: Collection[str]) -> dict[str, int]:
        """Return how many jobs of each kind run; who asks for one of the kinds too waits until `tx` ends."""
        await tx.trip()
        for kind in sorted(kinds):
            await tx.claim(self.counting, kind)
        return dict(
            Counter(job.kind for _, job in tx.scan(self.jobs) if job.state is State.RUNNING and job.kind in kinds)
        )

    async def due(
        self, tx: Transaction, kinds: Collection[str], at: datetime, *, after: Due | None, most: int
    ) -> list[Due]:
        """Return queued jobs due at `at` in the order of their turns, from behind `after`."""
        await tx.trip()
        found = [Due(job.kind, job.turn_time, job.job_id, job.lease_token) for job in self._waiting(tx, kinds, at)]
        return [each for each in found if after is None or _place(each) > _place(after)][:most]

    async def due_count(
        self, tx: Transaction, kinds: Collection[str], at: datetime, before: Due | None
    ) -> dict[str, int]:
        """Return how many queued jobs of each kind are due at `at`, all of them or those whose turn is before."""
        await tx.trip()
        waiting = self._waiting(tx, kinds, at)
        return dict(Counter(job.kind for job in waiting if before is None or _place(job) < _place(before)))

    async def newest_runs(self, tx: Transaction, kinds: Collection[str], most: int) -> list[Ran]:
        """Return the jobs that were completed last by their first attempt, at most `most` of each kind."""
        await tx.trip()
        found = []
        for kind in kinds:
            done = [
                Ran(kind, job.create_time, job.start_time, job.finish_time)
                for _, job in tx.scan(self.jobs)
                if job.kind == kind and job.state is State.COMPLETED and job.attempt == 1
            ]
            found += sorted(done, key=lambda ran: ran.finish_time, reverse=True)[:most]
        return found

    async def running_since(self, tx: Transaction, kinds: Collection[str], most: int) -> list[tuple[str, datetime]]:
        """Return kind and time of the first start of the running jobs, at most `most`."""
        await tx.trip()
        return [
            (job.kind, job.start_time)
            for _, job in tx.scan(self.jobs)
            if job.state is State.RUNNING and job.kind in kinds
        ][:most]

    def _waiting(self, tx: Transaction, kinds: Collection[str], at: datetime) -> list[Job]:
        found = [
            job
            for _, job in tx.scan(self.jobs)
            if job.state is State.QUEUED and job.run_after <= at and job.kind in kinds
        ]
        return sorted(found, key=_place) if len(found) > 1 else found


def _place(job: Job | Due) -> tuple[datetime, str]:
    return (job.turn_time, job.job_id)
