"""What must hold whatever happens: looked at with every commit, and once more when everything has come to rest."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.composer.domain.track import state_after
from services.kit.jobs.states import State
from services.wallet.domain.credit import AccountKind, HoldState, Operation
from services.wallet.domain.ledger import first_broken
from services.wallet.domain.price import owed

if TYPE_CHECKING:
    from services.composer.domain.track import Track
    from services.kit.jobs.job import Job, JobEvent
    from services.wallet.domain.credit import Hold, Price
    from services.wallet.domain.ledger import Account
    from services.wallet.storage.credit import Transfer
    from tests.simulate.database import Table
    from tests.simulate.rooms import Rooms

Change = tuple["Table", Any, Any, Any]


@dataclass(frozen=True)
class Effect:
    """What a handler leaves behind in the transaction that completes its job."""

    job_id: str
    token: int
    attempt: int


@dataclass
class Promises:
    """What users were told, which must come true."""

    # By key: the job that the answer named.
    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def acknowledge(self, user_id: str, key: str, job_id: str) -> None:
        """Remember an answer to a submission; the same key must always name the same job."""
        before = self.acknowledged.setdefault((user_id, key), job_id)
        if before != job_id:
            self.broken.append(f"same key, one job: {key} was answered with {before} and with {job_id}")


class Watchman:
    """Looks at every commit at the instant at which it becomes true."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.broken: list[str] = []

    def look(self, changes: list[Change]) -> None:
        """Note every law that the commit breaks."""
        moved = 0
        for table, key, before, after in changes:
            match table.name:
                case "accounts":
                    moved += self._account(before, after)
                case "jobs":
                    self._job(before, after)
                case "job_events":
                    self._event(key, before, after)
                case "job_steps" if after is not None:
                    self._step(key[0], key[1], after.attempt)
                case "holds" if after.settled and after.state is not HoldState.SETTLED:
                    self._say(f"quoted price: hold {key} is {after.state} and {after.settled} of it are spent")
                case "effects":
                    self._effect(before, after)
                case "transfers" | "entries" if before is not None:
                    self._say(f"append only: {table.name} {key} was changed")
                case _:
                    pass
        if moved:
            self._say(f"sum zero: a commit moved {moved} credits out of nowhere")

    def _account(self, before: Account | None, after: Account) -> int:
        if after.balance < 0 and after.kind is not AccountKind.GRANTS:
            self._say(f"never negative: {after.kind} of {after.owner_id} is at {after.balance}")
        if before is not None and after.version != before.version and after.version < before.version:
            self._say(f"append only: {after.kind} of {after.owner_id} went back to version {after.version}")
        return after.balance - (0 if before is None else before.balance)

    def _job(self, before: Job | None, after: Job | None) -> None:
        if before is None:
            return
        if after is None:
            if not before.state.finished and before.state is not State.PENDING:
                self._say(f"one end: job {before.job_id} was removed while {before.state}")
            return
        if before.state.finished:
            self._say(f"one end: job {before.job_id} had ended as {before.state} and was changed")
        if after.lease_token < before.lease_token:
            self._say(f"fencing: the token of job {before.job_id} went back")
        if after.last_sequence < before.last_sequence:
            self._say(f"gapless: the log of job {before.job_id} went back")

    def _event(self, key: tuple[str, int], before: JobEvent | None, after: JobEvent | None) -> None:
        if before is not None and after is not None:
            self._say(f"gapless: line {key} was written twice")
        if after is not None and key[1] > 1 and (key[0], key[1] - 1) not in self._rooms.jobs.log.rows:
            self._say(f"gapless: line {key} follows nothing")

    def _step(self, job_id: str, name: str, attempt: int) -> None:
        job: Job | None = self._rooms.jobs.jobs.rows.get(job_id)
        if job is None or job.attempt != attempt or job.state is not State.RUNNING:
            self._say(f"fencing: step {name} of job {job_id} was stored by attempt {attempt}, which has no lease")

    def _effect(self, before: Effect | None, after: Effect) -> None:
        job: Job | None = self._rooms.jobs.jobs.rows.get(after.job_id)
        if before is not None:
            self._say(f"one end: job {after.job_id} had its effect twice")
        if job is None or job.lease_token != after.token or job.state is not State.COMPLETED:
            self._say(f"fencing: job {after.job_id} has an effect under the stale token {after.token}")

    def _say(self, text: str) -> None:
        self.broken.append(text)


def at_rest(rooms: Rooms, promises: Promises) -> list[str]:
    """Return every law that is broken now that nothing moves any more."""
    broken = list(promises.broken)
    broken += _books(rooms)
    broken += _jobs(rooms)
    broken += _money(rooms)
    broken += [
        f"kept word: {key} was acknowledged, and its job {job_id} is gone"
        for (_, key), job_id in promises.acknowledged.items()
        if job_id not in rooms.jobs.jobs.rows
    ]
    return broken


def _books(rooms: Rooms) -> list[str]:
    accounts: list[Account] = list(rooms.ledger.accounts.rows.values())
    broken = []
    if (total := sum(account.balance for account in accounts)) != 0:
        broken.append(f"sum zero: all accounts together hold {total}")
    held: dict[str, int] = defaultdict(int)
    hold: Hold
    for hold in rooms.ledger.holds.rows.values():
        if hold.state is HoldState.HELD:
            held[hold.user_id] += hold.amount
    for account in accounts:
        chain = rooms.ledger.chain(account.account_id)
        if first_broken(chain) is not None or sum(entry.amount for entry in chain) != account.balance:
            broken.append(f"books: the chain of {account.kind} of {account.owner_id} is broken")
        if account.kind is AccountKind.USER_HELD:
            open_holds = held[account.owner_id]
            if account.balance != open_holds:
                broken.append(f"books: {account.owner_id} has {account.balance} aside for open holds of {open_holds}")
    return broken


def _jobs(rooms: Rooms) -> list[str]:
    broken = []
    job: Job
    for job in rooms.jobs.jobs.rows.values():
        lines = [rooms.jobs.log.rows.get((job.job_id, number)) for number in range(1, job.last_sequence + 1)]
        finals = [line is not None and line.final for line in lines]
        if not job.state.finished:
            broken.append(f"an end: job {job.job_id} is {job.state} for ever")
        elif None in lines or finals != [False] * (len(lines) - 1) + [True]:
            broken.append(f"gapless: the log of job {job.job_id} is not whole or does not end with its only final line")
        effect = rooms.effects.rows.get(job.job_id)
        if (effect is not None) != (job.state is State.COMPLETED):
            broken.append(f"one end: job {job.job_id} is {job.state} and its effect is {effect}")
    track: Track
    for track in rooms.tracks.tracks.rows.values():
        found = rooms.jobs.jobs.rows.get(track.job_id)
        if found is None:
            broken.append(f"no orphan: track {track.track_id} has no job")
        elif not rooms.tracks.away.rows.get(track.track_id) and track.state is not state_after(found.state):
            broken.append(f"one end: track {track.track_id} is {track.state}, its job {found.state}")
    return broken


def _money(rooms: Rooms) -> list[str]:
    """Check that each job was charged once or refunded once, at the price that was quoted."""
    broken = []
    ends: dict[str, list[Operation]] = defaultdict(list)
    transfer: Transfer
    for transfer in rooms.ledger.transfers.rows.values():
        if transfer.operation in {Operation.SETTLE, Operation.RELEASE} and transfer.answer.hold is not None:
            ends[transfer.answer.hold.hold_id].append(transfer.operation)
    hold: Hold
    for hold in rooms.ledger.holds.rows.values():
        job: Job | None = rooms.jobs.jobs.rows.get(hold.hold_id)
        state = "gone" if job is None else job.state.value
        due = _due(rooms, hold, job)
        wanted = HoldState.SETTLED if due else HoldState.RELEASED
        if hold.state is not wanted:
            broken.append(f"charged or refunded once: job {hold.hold_id} is {state} and its hold {hold.state}")
        if len(ends[hold.hold_id]) != 1:
            broken.append(f"charged or refunded once: hold {hold.hold_id} was ended by {ends[hold.hold_id]}")
        if hold.state is HoldState.SETTLED and hold.settled != due:
            broken.append(f"quoted price: hold {hold.hold_id} was settled with {hold.settled} instead of {due}")
    track: Track
    for track in rooms.tracks.tracks.rows.values():
        paid: Hold | None = rooms.ledger.holds.rows.get(track.job_id)
        if track.cost_credits and (paid is None or paid.amount != track.cost_credits):
            broken.append(f"quoted price: track {track.track_id} says {track.cost_credits}, its hold {paid}")
    broken += [
        f"charged or refunded once: job {job.job_id} completed and nobody paid"
        for job in rooms.jobs.jobs.rows.values()
        if job.state is State.COMPLETED and job.job_id not in rooms.ledger.holds.rows
    ]
    broken += [
        f"an end: the message {row.topic} of {row.key} was never delivered: {row.last_error}"
        for row in rooms.jobs.outbox.letters.rows.values()
        if row.done_time is None
    ]
    return broken


def _due(rooms: Rooms, hold: Hold, job: Job | None) -> int:
    """Return what of a hold is to be spent: all for a completed job, finished steps alone for a cancelled one."""
    if job is None or job.state is State.FAILED:
        return 0
    if job.state is State.COMPLETED:
        return hold.amount
    price: Price = rooms.terms.prices.rows[hold.price_kind, hold.price_version]
    return owed(price, {name for job_id, name in rooms.jobs.done.rows if job_id == job.job_id})
