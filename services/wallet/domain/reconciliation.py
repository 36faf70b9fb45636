"""What can be wrong between the books, the holds and the jobs, each difference under a name with its explanation.

Whatever is compared here may still be on its way: a pair that has changed within the grace is left for the next time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from services.wallet.domain.credit import HoldState, Price
from services.wallet.domain.price import owed


class FindingKind(Enum):
    """The names of all differences; the value says in one sentence what each means."""

    ENTRY_CHANGED = "An entry does not continue the entry before it: it was changed, or one before it is missing."
    ENTRY_WITHOUT_ACCOUNT = "An entry belongs to an account that does not exist."
    ENTRY_WITHOUT_TRANSFER = "An entry belongs to a transfer that does not exist."
    ENTRY_MISDATED = "An entry bears another time than its transfer."
    ACCOUNT_BALANCE_WRONG = "An account's balance is not the one after its newest entry."
    ACCOUNT_VERSION_WRONG = "An account counts another number of entries than there are."
    ACCOUNT_HASH_WRONG = "An account's seal is not that of its newest entry."
    ACCOUNT_OVERDRAWN = "An account that must not be below zero is."
    ACCOUNT_INCOMPLETE = "A user has only one of the two accounts that everybody has."
    BOOKS_UNBALANCED = "All balances together are not zero: credits appeared or vanished."
    TRANSFER_EMPTY = "A transfer moved nothing: it has fewer than two entries."
    TRANSFER_UNBALANCED = "The entries of a transfer do not sum to zero."
    TRANSFER_MISDIRECTED = "A transfer moved credits of another user than the one it names."
    TRANSFER_KIND_WRONG = "A transfer is called something else than the operation it records."
    ANSWER_WRONG = "The remembered answer of a money write names another balance than its entries."
    HELD_SUM_WRONG = "The credits set aside for a user are not the sum of the user's open holds."
    HOLD_WITHOUT_TRANSFER = "A hold exists that no transfer has paid for."
    TRANSFER_WITHOUT_HOLD = "A transfer set credits aside for a hold that does not exist."
    HOLD_AMOUNT_WRONG = "A hold names another amount than was set aside for it."
    HOLD_OWNER_WRONG = "A hold names another user than the one whose credits were set aside."
    HOLD_PRICE_WRONG = "A hold names a price version that does not exist or has another amount."
    HOLD_END_UNRECORDED = "A hold is closed, and no transfer closed it."
    HOLD_NOT_ENDED = "A transfer closed a hold that is still open."
    HOLD_END_WRONG = "A hold ended otherwise than the transfer that closed it says."
    HOLD_ENDED_TWICE = "More than one transfer closed the same hold."
    HOLD_SETTLED_WRONG = "A hold names another settled amount than revenue received for it."
    HOLD_OVERDUE = "A hold is open long after its date: no sweeper is at work."
    HOLD_WITHOUT_JOB = "A hold is open for a job that does not exist (any more)."
    SPENT_WITHOUT_JOB = "Credits were spent for a job that does not exist (any more)."
    JOB_WITHOUT_HOLD = "A job runs or is done, and nothing was ever set aside for it."
    JOB_ALIVE_UNPAID = "A job is not finished, and its hold is closed already."
    JOB_DONE_UNPAID = "A job succeeded, and its credits went back to the user."
    JOB_FAILED_CHARGED = "A job failed, and its credits were spent."
    JOB_CANCELLED_MISCHARGED = "A job was cancelled, and something else was spent than its finished steps cost."
    JOB_ENDED_WITHOUT_MESSAGE = "A job has ended, its hold is open, and no message to close it was ever written."
    JOB_ENDED_HOLD_OPEN = "A job has ended, its message counts as delivered, and its hold is open all the same."
    MESSAGE_STUCK = "A job has ended, and the message that closes its hold has not arrived for long."
    MESSAGE_WRONG = "A job's message says the opposite of how the job ended."
    JOB_OWNER_DIFFERS = "A job and its hold name different users."
    JOB_KIND_DIFFERS = "A job and its hold name different kinds of work."
    JOB_COST_DIFFERS = "What was made names another price than was held."
    PRICE_VERSION_MISSING = "The versions of a price do not count from 1 without gaps."
    PRICE_MISORDERED = "A version of a price begins before the one before it."
    PRICE_UNAUDITED = "A price was changed without a line in the audit."
    QUOTA_VERSION_MISSING = "The versions of a limit do not count from 1 without gaps."
    ADJUSTMENT_UNAUDITED = "A balance was adjusted without a line in the audit."
    AUDIT_WITHOUT_ADJUSTMENT = "The audit names an adjustment that moved nothing."
    FREEZE_UNAUDITED = "A wallet was frozen without a line in the audit."
    PLAN_UNAUDITED = "A user was put on a plan without a line in the audit."
    GUARD_DISABLED = "A guard of the database that keeps the books from being bent is switched off."
    GUARD_MISSING = "A guard of the database that keeps the books from being bent is gone."


class Repair(Enum):
    """What is safe to do about a difference: each leaves an entry that says so, and an audit line."""

    RELEASE = "release"
    SETTLE = "settle"
    EXPIRE = "expire"


@dataclass(frozen=True)
class Finding:
    """One difference: its kind, what it is about, the facts, and what would put it right."""

    kind: FindingKind
    subject: str
    facts: dict[str, str] = field(default_factory=dict)
    repair: Repair | None = None


@dataclass(frozen=True)
class HeldCredits:
    """A hold as the books have it."""

    hold_id: str
    user_id: str
    kind: str
    amount: int
    settled: int
    state: HoldState
    create_time: datetime
    update_time: datetime
    price: Price
    """The version that was held."""


@dataclass(frozen=True)
class BilledJob:
    """A job as its service tells it; `state` in the words of the contract, `message` empty when there is none."""

    job_id: str
    user_id: str
    kind: str
    state: str
    cost: int
    update_time: datetime
    message: str
    delivered: bool
    message_time: datetime | None
    finished_steps: frozenset[str] = frozenset()

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens to the job."""
        return self.state in {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Patience:
    """How long something may be on its way, and how long a hold may wait for its job to appear."""

    grace: timedelta
    job_gone: timedelta


def compare(hold: HeldCredits | None, job: BilledJob | None, now: datetime, patience: Patience) -> list[Finding]:
    """Return what is wrong with a hold and the job of the same id; one of them may be missing."""
    if hold is None:
        return [] if job is None else _unheld(job, now, patience)
    if job is None:
        return _jobless(hold, now, patience)
    if max(hold.update_time, job.update_time) > now - patience.grace:
        return []
    found = []
    if hold.user_id != job.user_id:
        found.append(Finding(FindingKind.JOB_OWNER_DIFFERS, job.job_id, {"job": job.user_id, "hold": hold.user_id}))
    if hold.kind != job.kind:
        found.append(Finding(FindingKind.JOB_KIND_DIFFERS, job.job_id, {"job": job.kind, "hold": hold.kind}))
    if job.cost not in {0, hold.amount}:
        facts = {"job": str(job.cost), "hold": str(hold.amount)}
        found.append(Finding(FindingKind.JOB_COST_DIFFERS, job.job_id, facts))
    if job.message and job.ended and (job.message == "settle") != (job.state == "completed"):
        facts = {"message": job.message, "state": job.state}
        found.append(Finding(FindingKind.MESSAGE_WRONG, job.job_id, facts))
    return [*found, *_ends(hold, job, now, patience)]


def people(merges: Iterable[tuple[str, str]]) -> Callable[[str], str]:
    """Return a function that gives all users whom merges, undone ones too, have made one person the same name."""
    leads: dict[str, str] = {}

    def name(user_id: str) -> str:
        while user_id in leads:
            user_id = leads[user_id]
        return user_id

    for source, target in merges:
        one, other = name(source), name(target)
        if one != other:
            leads[one] = other
    return name


def _unheld(job: BilledJob, now: datetime, patience: Patience) -> list[Finding]:
    """Return what is wrong with a job that nothing was held for: only one that never began may be so."""
    paid = {"queued", "running", "completed"}
    if job.state in paid and job.update_time <= now - patience.grace:
        return [Finding(FindingKind.JOB_WITHOUT_HOLD, job.job_id, {"state": job.state, "user": job.user_id})]
    return []


def _jobless(hold: HeldCredits, now: datetime, patience: Patience) -> list[Finding]:
    """Return what is wrong with a hold whose job does not exist: a job is written before its hold, always."""
    facts = {"user": hold.user_id, "amount": str(hold.amount)}
    if hold.create_time > now - patience.job_gone:
        return []
    if hold.state is HoldState.HELD:
        return [Finding(FindingKind.HOLD_WITHOUT_JOB, hold.hold_id, facts, Repair.RELEASE)]
    if hold.settled:
        return [Finding(FindingKind.SPENT_WITHOUT_JOB, hold.hold_id, facts)]
    return []


def _ends(hold: HeldCredits, job: BilledJob, now: datetime, patience: Patience) -> list[Finding]:
    """Return what is wrong between how the job and how its hold ended."""
    facts = {"job": job.state, "hold": hold.state.value, "user": hold.user_id}
    kind, repair = None, None
    if not job.ended:
        kind = None if hold.state is HoldState.HELD else FindingKind.JOB_ALIVE_UNPAID
    elif hold.state is HoldState.HELD:
        repair = Repair.SETTLE if job.state == "completed" else Repair.RELEASE
        if not job.message:
            kind = FindingKind.JOB_ENDED_WITHOUT_MESSAGE
        elif job.delivered:
            kind = FindingKind.JOB_ENDED_HOLD_OPEN
        elif job.message_time is not None and job.message_time <= now - patience.grace:
            # Whoever has the message is still at it, so it is not done over its head.
            kind, repair = FindingKind.MESSAGE_STUCK, None
    elif job.state == "completed" and hold.state is not HoldState.SETTLED:
        kind = FindingKind.JOB_DONE_UNPAID
    elif job.state == "failed" and hold.settled:
        kind = FindingKind.JOB_FAILED_CHARGED
    elif job.state == "cancelled" and hold.settled != owed(hold.price, job.finished_steps):
        kind = FindingKind.JOB_CANCELLED_MISCHARGED
        facts |= {"owed": str(owed(hold.price, job.finished_steps)), "spent": str(hold.settled)}
    return [] if kind is None else [Finding(kind, job.job_id, facts, repair)]
