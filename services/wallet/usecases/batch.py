"""Many waiting money writes share one commit.

A commit costs a flush of the disk, whatever is in it. While the database works on one batch, the writes that arrive
wait, and the next batch takes them all: no timer, and a lone write never waits. The writes of one account are never in
two batches at once, so a busy account is one queue and not a crowd at a lock. What each write answers is decided in the
order of arrival as if it were alone; that is the promise of `storage.perform.perform`.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.kit.errors import Unavailable
from services.wallet.storage.perform import Outcome, Write

Perform = Callable[[Sequence[Write]], Awaitable[list[Outcome]]]

_LANES = 4
_MOST_IN_ONE = 128
_MOST_WAITING = 4096
# Of so many open holds the user is remembered, which puts their settlement into the queue of that user.
_MOST_HINTS = 20_000


@dataclass(frozen=True)
class _Waiting:
    write: Write
    answer: asyncio.Future[Outcome]


class Batches:
    """The money writes of one process on their way to the database."""

    def __init__(
        self,
        perform: Perform,
        *,
        lanes: int = _LANES,
        most_in_one: int = _MOST_IN_ONE,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """Keep how a batch is performed; so many batches run at once, so many writes are in one, so many may wait."""
        self._perform = perform
        self._lanes = lanes
        self._most_in_one = most_in_one
        self._most_waiting = most_waiting
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._ready: deque[str] = deque()
        self._busy: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._count = 0
        self._users_of_holds = OrderedDict[str, str]()

    async def submit(self, write: Write) -> Outcome:
        """Return what came of the write; a caller who stops waiting before its batch begins leaves no trace.

        Raises Unavailable when too many wait already, and whatever befell the batch.
        """
        if self._count >= self._most_waiting:
            raise Unavailable("too many money writes are waiting", dependency="database")
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        account = self._account_of(write)
        if account not in self._waiting:
            self._waiting[account] = deque()
            if account not in self._busy:
                self._ready.append(account)
        self._waiting[account].append(waiting)
        self._count += 1
        self._start()
        return await waiting.answer

    def _account_of(self, write: Write) -> str:
        """Return whose queue a write joins: that of its user, or of its hold while the user is not known here."""
        if write.user_id is None:
            hold_id = str(write.hold_id)
            return self._users_of_holds.pop(hold_id, hold_id)
        if write.hold_id is not None:
            self._users_of_holds[write.hold_id] = write.user_id
            if len(self._users_of_holds) > _MOST_HINTS:
                self._users_of_holds.popitem(last=False)
        return write.user_id

    def _start(self) -> None:
        """Begin as many batches as there are free lanes and accounts with waiting writes."""
        while self._ready and len(self._running) < self._lanes:
            accounts, batch = self._take()
            task = asyncio.create_task(self._run(accounts, batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _take(self) -> tuple[list[str], list[_Waiting]]:
        """Return the next batch and its accounts, which nobody else touches until it has ended."""
        accounts: list[str] = []
        batch: list[_Waiting] = []
        while self._ready and len(batch) < self._most_in_one:
            account = self._ready.popleft()
            accounts.append(account)
            queue = self._waiting[account]
            while queue and len(batch) < self._most_in_one:
                waiting = queue.popleft()
                self._count -= 1
                if not waiting.answer.done():
                    batch.append(waiting)
            if not queue:
                del self._waiting[account]
        self._busy.update(accounts)
        return accounts, batch

    async def _run(self, accounts: list[str], batch: list[_Waiting]) -> None:
        """Perform one batch and tell everybody what came of it."""
        try:
            outcomes = await self._perform([waiting.write for waiting in batch]) if batch else []
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(outcome)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait, and they raise it
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
        finally:
            for waiting in batch:
                waiting.answer.cancel()
            self._busy.difference_update(accounts)
            self._ready.extend(account for account in accounts if account in self._waiting)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()
