"""Comparing the books with themselves, with the holds and with the jobs that the holds are for.

Wallet never looks into the schema of another service: who has jobs tells it about them page by page through an internal
method, ordered by the same ids as the holds, so that two streams are merged and nothing is kept in memory.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.composer.v1 import bill_service_pb2
from cadenza.job.v1 import job_pb2
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import DomainError
from services.kit.ids import new_id
from services.kit.rpc.errors import calling
from services.wallet.domain.audit import Action, AdminAct
from services.wallet.domain.ledger import Account, Entry, flaw_of
from services.wallet.domain.reconciliation import (
    BilledJob,
    Finding,
    FindingKind,
    HeldCredits,
    Patience,
    Repair,
    compare,
    people,
)
from services.wallet.storage import audit as audit_storage
from services.wallet.storage import ledger as ledger_storage
from services.wallet.storage import merge as merge_storage
from services.wallet.storage import reconciliation as storage
from services.wallet.usecases.credit import Credits

if TYPE_CHECKING:
    from cadenza.composer.v1.bill_service_pb2_grpc import BillServiceAsyncStub

_log = logging.getLogger(__name__)

_PAGE = 500
_CALL_S = 30
_OPERATOR = "reconciliation"
_LOOK_EVERY_S = 60.0
_STALE = timedelta(hours=1)
# The night's run begins at three in the morning of the zone in which quotas are counted.
_HOUR = 3


class Reconciliation:
    """The comparison of everything that money says with everything else that does."""

    def __init__(
        self, db: Database, credits_: Credits, composer: "BillServiceAsyncStub", clock: Clock, *, patience: Patience
    ) -> None:
        """Keep the collaborators."""
        self._db = db
        self._credits = credits_
        self._composer = composer
        self._clock = clock
        self._patience = patience

    async def findings(self) -> list[Finding]:
        """Return every difference there is; raises RemoteError when the service with the jobs cannot be asked."""
        return [*await self._books(), *await self._jobs()]

    async def repair(self, finding: Finding) -> bool:
        """Do what is safe about a finding, with an entry and an audit line; say whether something was done.

        Everything else, and a hold that has been closed meanwhile, is left as it is.
        """
        if finding.repair is None:
            return False
        why = finding.kind.value
        try:
            # A settlement bears the id that its service would use, so that the service's own message is a repeat.
            if finding.repair is Repair.SETTLE:
                hold_id = finding.subject
                await self._credits.settle(request_id=f"settle:{hold_id}", hold_id=hold_id, amount=None)
            elif finding.repair is Repair.EXPIRE:
                await self._credits.expire(hold_id=finding.subject)
            else:
                request_id = f"reconcile:{finding.subject}"
                await self._credits.release(request_id=request_id, hold_id=finding.subject, description=why)
        except DomainError as error:
            _log.info("%s of %s needed no repair: %s", finding.kind.name, finding.subject, error.reason)
            return False
        request_id = f"{finding.kind.name}:{finding.subject}"
        values = {"repair": finding.repair.value}
        act = AdminAct(Action.REPAIR, request_id, finding.facts.get("user", finding.subject), _OPERATOR, why, values)
        async with self._db.transaction() as tx:
            await audit_storage.add(tx, act, {}, audit_id=new_id(), at=self._clock())
        return True

    async def nightly(self, utc_offset: timedelta) -> bool:
        """Reconcile and repair if this process is the one to do it this night; say whether it was."""
        now = self._clock()
        local = now + utc_offset
        if local.hour < _HOUR:
            return False
        night = local.date()
        async with self._db.transaction() as tx:
            if not await storage.claim_night(tx, night, now, stale=_STALE):
                return False
        found = await self.findings()
        for finding in found:
            repaired = await self.repair(finding)
            facts = {"kind": finding.kind.name, "subject": finding.subject, "repaired": repaired, **finding.facts}
            _log.error("reconciliation: %s", finding.kind.value, extra={"finding": facts})
        async with self._db.transaction() as tx:
            await storage.finish_night(tx, night, self._clock(), len(found))
        _log.info("the books of %s were reconciled: %d findings", night, len(found))
        return True

    async def run(self, utc_offset: timedelta) -> None:
        """Reconcile once every night, whichever process comes first, also through outages; ends by cancellation."""
        while True:
            # Not at the start: the services that are asked start at the same time.
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.nightly(utc_offset)
            except Exception as error:  # noqa: BLE001  # the loop must outlive every fault
                # The night stays claimed until the claim is stale, and then somebody tries again.
                _log.warning("the reconciliation waits: %r", error)

    async def _books(self) -> list[Finding]:
        """Return what is wrong inside the ledger, all read at one moment."""
        found: list[Finding] = []
        async with self._db.transaction() as tx:
            await ledger_storage.fix_moment(tx)
            await storage.read_long(tx)
            found += [each async for each in _chains(ledger_storage.accounts_with_entries(tx))]
        async with self._db.transaction() as tx:
            await storage.read_long(tx)
            found += [each async for each in storage.differences(tx)]
            found += await storage.overdue(tx, self._clock() - self._patience.grace)
        return found

    async def _jobs(self) -> list[Finding]:
        """Return what is wrong between holds and jobs, merged by their common id."""
        found: list[Finding] = []
        async with self._db.transaction() as tx:
            same = people(await merge_storage.all_pairs(tx))
        holds, jobs = self._all_holds(), self._all_jobs()
        hold, job = await anext(holds, None), await anext(jobs, None)
        while hold is not None or job is not None:
            here = min(each for each in (hold and hold.hold_id, job and job.job_id) if each)
            mine = hold if hold is not None and hold.hold_id == here else None
            theirs = job if job is not None and job.job_id == here else None
            if mine is not None and theirs is not None and same(mine.user_id) == same(theirs.user_id):
                # The job went with its owner's other account, the hold stays in the books where it was made.
                mine = replace(mine, user_id=theirs.user_id)
            found += compare(mine, theirs, self._clock(), self._patience)
            if mine is not None:
                hold = await anext(holds, None)
            if theirs is not None:
                job = await anext(jobs, None)
        return found

    async def _all_holds(self) -> AsyncIterator[HeldCredits]:
        """Yield every hold in the order of ids, page by page and never inside a lasting transaction."""
        after = ""
        while True:
            async with self._db.transaction() as tx:
                page = await storage.holds(tx, after=after, most=_PAGE)
            for hold in page:
                yield hold
            if len(page) < _PAGE:
                return
            after = page[-1].hold_id

    async def _all_jobs(self) -> AsyncIterator[BilledJob]:
        """Yield every job that costs credits in the order of ids."""
        token = ""
        while True:
            request = bill_service_pb2.ListBillsRequest(page_size=_PAGE, page_token=token)
            with calling():
                answer = await self._composer.ListBills(request, timeout=_CALL_S)
            for bill in answer.bills:
                yield _job(bill)
            token = answer.next_page_token
            if not token:
                return


async def _chains(rows: AsyncIterator[tuple[Account, Entry | None]]) -> AsyncIterator[Finding]:
    """Yield the first entry of each account that does not continue the one before it."""
    last: Entry | None = None
    told = ""
    async for _, entry in rows:
        if entry is None or entry.account_id == told:
            continue
        before = last if last is not None and last.account_id == entry.account_id else None
        if what := flaw_of(entry, before):
            told = entry.account_id
            facts = {"account": entry.account_id, "version": str(entry.version), "what": what}
            yield Finding(FindingKind.ENTRY_CHANGED, entry.entry_id, facts)
        last = entry


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _job(bill: bill_service_pb2.Bill) -> BilledJob:
    """Return a bill as the domain compares it."""
    return BilledJob(
        job_id=bill.job_id,
        user_id=bill.user_id,
        kind=bill.kind,
        state=job_pb2.JobState.Name(bill.state).removeprefix("JOB_STATE_").lower(),
        cost=bill.cost_credits,
        update_time=_moment(bill.update_time),
        message=bill.message,
        delivered=bill.delivered,
        message_time=_moment(bill.message_time) if bill.HasField("message_time") else None,
        finished_steps=frozenset(bill.finished_steps),
    )
