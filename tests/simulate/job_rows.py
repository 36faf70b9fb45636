"""Jobs and outbox in memory: the promises of `services.kit.jobs.store`, kept without SQL."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from services.kit.ids import new_id
from services.kit.jobs.job import Job, JobEvent, Note, plain_text
from services.kit.jobs.states import State
from services.kit.jobs.store import Message
from services.kit.jobs.turns import Level
from tests.simulate.attempt_rows import MemoryAttempts
from tests.simulate.database import Table, Transaction
from tests.simulate.turn_rows import MemoryTurns

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIVE = frozenset({State.PENDING, State.QUEUED, State.RUNNING})


@dataclass(frozen=True)
class Letter:
    """One row of the outbox."""

    outbox_id: str
    topic: str
    key: str | None
    payload: dict[str, Any]
    attempt: int
    run_after: datetime
    done_time: datetime | None = None
    last_error: str = ""


@dataclass(frozen=True)
class StepRow:
    """The result of a finished step."""

    name: str
    result: dict[str, Any]
    attempt: int


@dataclass(frozen=True)
class MemoryOutbox:
    """The messages of one service."""

    letters: Table = field(default_factory=lambda: Table("outbox"))
    keys: Table = field(default_factory=lambda: Table("outbox_keys"))

    async def put(self, tx: Transaction, topic: str, payload: dict[str, Any], *, key: str | None = None) -> None:
        """Write a message that is due once the transaction commits; a second one with topic and key is dropped."""
        await tx.trip()
        letter = Letter(new_id(), topic, key, dict(payload), 0, _AT_ONCE)
        if key is not None:
            if not await tx.claim(self.keys, (topic, key)):
                return
            tx.write(self.keys, (topic, key), letter.outbox_id)
        await tx.insert(self.letters, letter.outbox_id, letter)

    async def claim(
        self, tx: Transaction, topics: Collection[str], *, at: datetime, until: datetime, most: int
    ) -> list[Message]:
        """Return messages due at `at`, the oldest first, out of the sight of other dispatchers until `until`."""
        await tx.trip()
        due = [
            letter
            for _, letter in tx.scan(self.letters)
            if letter.done_time is None and letter.run_after <= at and letter.topic in topics
        ]
        due.sort(key=lambda letter: (letter.run_after, letter.outbox_id))
        claimed: list[Message] = []
        for letter in due:
            if len(claimed) == most:
                break
            if tx.try_lock(self.letters, letter.outbox_id) is None:
                continue
            tx.write(self.letters, letter.outbox_id, replace(letter, attempt=letter.attempt + 1, run_after=until))
            claimed.append(Message(letter.outbox_id, letter.topic, dict(letter.payload), letter.attempt + 1))
        return claimed

    async def deliver(self, tx: Transaction, message: Message, at: datetime) -> bool:
        """Mark the message as done; return whether it was this claim that did it."""
        return await self._under(tx, message, done_time=at, last_error="")

    async def postpone(self, tx: Transaction, message: Message, *, until: datetime, error: str) -> None:
        """Make a failed message due at `until`, unless another dispatcher has it now."""
        await self._under(tx, message, run_after=until, last_error=plain_text(error))

    async def purge(self, tx: Transaction, before: datetime) -> int:
        """Return how many messages done before that time were removed."""
        await tx.trip()
        gone = [row for _, row in list(tx.scan(self.letters)) if row.done_time is not None and row.done_time < before]
        for letter in gone:
            await tx.lock(self.letters, letter.outbox_id)
            tx.delete(self.letters, letter.outbox_id)
            if letter.key is not None:
                await tx.lock(self.keys, (letter.topic, letter.key))
                tx.delete(self.keys, (letter.topic, letter.key))
        return len(gone)

    async def _under(self, tx: Transaction, message: Message, **values: Any) -> bool:
        await tx.trip()
        seen: Letter | None = tx.get(self.letters, message.outbox_id)
        if not _claimed(seen, message):
            return False
        letter: Letter | None = await tx.lock(self.letters, message.outbox_id)
        if letter is None or not _claimed(letter, message):
            return False
        tx.write(self.letters, message.outbox_id, replace(letter, **values))
        return True


def _claimed(letter: Letter | None, message: Message) -> bool:
    return letter is not None and letter.attempt == message.attempt and letter.done_time is None


@dataclass(frozen=True)
class MemoryJobs(MemoryAttempts):
    """The jobs of one service with their logs and finished steps."""

    service: str
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    done: Table = field(default_factory=lambda: Table("job_steps"))
    purged: Table = field(default_factory=lambda: Table("job_logs_purged"))
    counting: Table = field(default_factory=lambda: Table("running_counts"))

    @property
    def turns(self) -> MemoryTurns:
        """The same jobs as far as they wait."""
        return MemoryTurns(self.jobs, self.counting)

    async def add(self, tx: Transaction, values: Mapping[str, Any], note: Note) -> Job:
        """Return the new job, whose log holds its first event."""
        await tx.trip()
        row = _NEW | dict(values) | {"service": self.service, "last_sequence": 1}
        row |= {
            "state": State(row["state"]),
            "level": Level(row["level"]),
            "user_id": row["user_id"] or "",
            "subject_id": row["subject_id"] or "",
        }
        job = Job(**row)
        await tx.insert(self.jobs, job.job_id, job)
        self._write_event(tx, job, note)
        return job

    async def find(self, tx: Transaction, job_id: str, *, lock: bool = False) -> Job | None:
        """Return the job or None; with `lock` nobody else changes it until the transaction ends."""
        await tx.trip()
        found: Job | None = await tx.lock(self.jobs, job_id) if lock else tx.get(self.jobs, job_id)
        return found

    async def change(
        self,
        tx: Transaction,
        job_id: str,
        at: datetime,
        *,
        note: Note | None,
        token: int | None,
        values: Mapping[str, Any],
    ) -> Job | None:
        """Return the job with the new values, and an event if there is a note; None when the token is not its lease."""
        await tx.trip()
        if not _under_lease(tx.get(self.jobs, job_id), token):
            return None
        job: Job | None = await tx.lock(self.jobs, job_id)
        if job is None or not _under_lease(job, token):
            return None
        return self._put(tx, job, at, note, values)

    def _put(self, tx: Transaction, job: Job, at: datetime | None, note: Note | None, values: Mapping[str, Any]) -> Job:
        new = dict(values)
        if "state" in new:
            new["state"] = State(new["state"])
        if at is not None:
            new["update_time"] = at
        if note is not None:
            new["last_sequence"] = job.last_sequence + 1
        job = replace(job, **new)
        tx.write(self.jobs, job.job_id, job)
        if note is not None:
            self._write_event(tx, job, note)
        return job

    def _write_event(self, tx: Transaction, job: Job, note: Note) -> None:
        """Write the event that belongs to the job's newest sequence number; the job's lock covers its log."""
        event = JobEvent(
            job_id=job.job_id,
            sequence=job.last_sequence,
            event_time=job.update_time,
            state=job.state,
            step=job.step,
            step_progress_percent=note.step_progress_percent,
            progress_percent=job.progress_percent,
            message=plain_text(note.message),
            final=job.state.finished,
        )
        key = (job.job_id, event.sequence)
        if tx.get(self.log, key) is not None:
            message = f"the log of {job.job_id} has a line {event.sequence} already"
            raise AssertionError(message)
        tx.writes[self.log.name, key] = (self.log, event)

    async def remove(self, tx: Transaction, job_id: str) -> None:
        """Remove the job with its log and steps."""
        await tx.trip()
        job: Job | None = await tx.lock(self.jobs, job_id)
        if job is None:
            return
        tx.delete(self.jobs, job_id)
        for table, key in self._belongings(tx, job):
            tx.take(table, key) if key not in table.locks else None
            tx.delete(table, key)

    def _belongings(self, tx: Transaction, job: Job) -> list[tuple[Table, Any]]:
        lines = [(self.log, (job.job_id, number)) for number in range(1, job.last_sequence + 1)]
        return lines + [(self.done, key) for key, _ in tx.scan(self.done) if key[0] == job.job_id]

    async def page(
        self,
        tx: Transaction,
        user_id: str,
        *,
        states: Collection[State],
        kind: str,
        subject_id: str,
        before: str,
        most: int,
    ) -> list[Job]:
        """Return a user's jobs with ids below `before`, the newest first; what is empty does not narrow."""
        await tx.trip()
        found = [
            job
            for _, job in tx.scan(self.jobs)
            if job.user_id == user_id
            and (not states or job.state in states)
            and (not kind or job.kind == kind)
            and (not subject_id or job.subject_id == subject_id)
            and (not before or job.job_id < before)
        ]
        found.sort(key=lambda job: job.job_id, reverse=True)
        return found[:most]

    async def active_count(self, tx: Transaction, user_id: str, kind: str) -> int:
        """Return how many jobs are not finished; what is empty does not narrow."""
        await tx.trip()
        return sum(
            job.state in _ACTIVE and (not user_id or job.user_id == user_id) and (not kind or job.kind == kind)
            for _, job in tx.scan(self.jobs)
        )

    async def events(self, tx: Transaction, job_id: str, after: int, most: int) -> tuple[JobEvent, ...]:
        """Return the next events of the log in order, at most `most` of them."""
        await tx.trip()
        job: Job | None = tx.get(self.jobs, job_id)
        found: list[JobEvent] = []
        for number in range(after + 1, 0 if job is None else job.last_sequence + 1):
            event: JobEvent | None = tx.get(self.log, (job_id, number))
            if event is not None:
                found.append(event)
                if len(found) == most:
                    break
        return tuple(found)

    async def purge_events(self, tx: Transaction, before: datetime, most: int) -> int:
        """Return of how many jobs that ended before the time all lines of the log but the last were removed."""
        await tx.trip()
        old = [
            job
            for _, job in tx.scan(self.jobs)
            if job.finish_time is not None and job.finish_time < before and not tx.get(self.purged, job.job_id)
        ]
        shortened = 0
        for job in sorted(old, key=lambda job: job.finish_time or before)[:most]:
            if tx.try_lock(self.jobs, job.job_id) is not None:
                shortened += 1
                tx.writes[self.purged.name, job.job_id] = (self.purged, True)
                for number in range(1, job.last_sequence):
                    if tx.get(self.log, (job.job_id, number)) is not None:
                        tx.take(self.log, (job.job_id, number))
                        tx.delete(self.log, (job.job_id, number))
        return shortened

    async def stray_ids(self, tx: Transaction, at: datetime, most: int) -> list[str]:
        """Return ids of unfinished jobs whose lease or deadline has run out at `at`."""
        await tx.trip()
        return sorted(job.job_id for _, job in tx.scan(self.jobs) if _strayed(job, at))[:most]

    async def lock_stray(self, tx: Transaction, job_id: str, at: datetime) -> Job | None:
        """Return the job, locked, or None if another one holds it or it has not strayed at `at` any more."""
        await tx.trip()
        job: Job | None = tx.get(self.jobs, job_id)
        if job is None or not _strayed(job, at):
            return None
        locked: Job | None = tx.try_lock(self.jobs, job_id)
        return locked

    async def claim_pending(self, tx: Transaction, *, at: datetime, ask_again: datetime, most: int) -> list[Job]:
        """Return pending jobs that somebody should ask about at `at`; the next ask is due at `ask_again`."""
        await tx.trip()
        forgotten = [job for _, job in tx.scan(self.jobs) if job.state is State.PENDING and job.run_after <= at]
        return self._claim(tx, forgotten, most, {"run_after": ask_again})

    def _claim(self, tx: Transaction, jobs: list[Job], most: int, values: Mapping[str, Any]) -> list[Job]:
        claimed: list[Job] = []
        for job in sorted(jobs, key=lambda job: (job.run_after, job.job_id)):
            if len(claimed) < most and tx.try_lock(self.jobs, job.job_id) is not None:
                claimed.append(self._put(tx, job, None, None, values))
        return sorted(claimed, key=lambda job: job.run_after)

    async def steps(self, tx: Transaction, job_id: str) -> dict[str, dict[str, Any]]:
        """Return the results of the finished steps by name."""
        await tx.trip()
        return {key[1]: dict(row.result) for key, row in tx.scan(self.done) if key[0] == job_id}

    async def add_step(
        self,
        tx: Transaction,
        job: Job,
        name: str,
        result: dict[str, Any],
        *,
        start_time: datetime,
        finish_time: datetime,
    ) -> None:
        """Keep the result of a finished step; one that is there already stays."""
        await tx.trip()
        if await tx.claim(self.done, (job.job_id, name)):
            tx.write(self.done, (job.job_id, name), StepRow(name, dict(result), job.attempt))


def _under_lease(job: Job | None, token: int | None) -> bool:
    if job is None:
        return False
    return token is None or (job.lease_token == token and job.state is State.RUNNING)


def _strayed(job: Job, at: datetime) -> bool:
    if job.state not in _ACTIVE:
        return False
    lapsed = job.state is State.RUNNING and job.lease_expire_time is not None and job.lease_expire_time < at
    return lapsed or job.deadline_time < at


# What the columns of a new row hold when nothing else is said.
_NEW: dict[str, Any] = {
    "step": "",
    "progress_percent": 0,
    "params": {},
    "result": None,
    "error_reason": "",
    "error_message": "",
    "error_metadata": {},
    "attempt": 0,
    "kills": 0,
    "dead_time": None,
    "quarantined": False,
    "revivals": 0,
    "revival_request_id": "",
    "lease_owner": "",
    "lease_token": 0,
    "lease_expire_time": None,
    "cancel_requested": False,
    "trace_id": "",
    "platform": "",
    "start_time": None,
    "finish_time": None,
}
