"""The waiting jobs of one service as a line: which kinds may start, who stands where, and when a job will start."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.jobs.forecast import Place, Ran, pace_of, wait_s
from services.kit.jobs.job import Job
from services.kit.jobs.policy import Policy
from services.kit.jobs.states import State
from services.kit.jobs.store import Due, TurnStore, Tx

# So many of the newest jobs tell how long the next ones will take, and are asked for no more often than this.
_NEWEST = 50
_RUNS_LAST = timedelta(seconds=2)
_MOST_RUNNING = 1000


class Line:
    """Asks the store about waiting jobs, with what the policies say of their kinds."""

    def __init__(self, service: str, store: TurnStore, policies: Mapping[str, Policy], clock: Clock) -> None:
        """Keep the collaborators."""
        self._service = service
        self._store = store
        self._policies = policies
        self._clock = clock
        self._runs: dict[str, tuple[datetime, Sequence[Ran]]] = {}

    @property
    def queues(self) -> AbstractSet[str]:
        """Names of the queues that the kinds wait in."""
        return {policy.queue for policy in self._policies.values()}

    def kinds(self, queue_name: str) -> AbstractSet[str]:
        """Return the kinds that wait in the queue."""
        return {kind for kind, policy in self._policies.items() if policy.queue == queue_name}

    def limits(self, queue_name: str) -> Mapping[str, int]:
        """Return how many jobs may run at once, for the kinds of the queue that have a limit."""
        return self._limits(self.kinds(queue_name))

    async def holds_back(self, tx: Tx, kinds: Collection[str]) -> bool:
        """Return whether a job is due whose kind has all it may have."""
        full = set(kinds) - await self.open_kinds(tx, kinds)
        return bool(full and await self._store.due(tx, full, self._clock(), after=None, most=1))

    async def open_kinds(self, tx: Tx, kinds: Collection[str]) -> AbstractSet[str]:
        """Return the kinds of which one more may run; it stays true until the transaction ends."""
        limits = self._limits(kinds)
        if not limits:
            return set(kinds)
        running = await self._store.running_counts(tx, limits)
        return {kind for kind in kinds if kind not in limits or running.get(kind, 0) < limits[kind]}

    def _limits(self, kinds: Collection[str]) -> dict[str, int]:
        return {kind: self._policies[kind].most_running for kind in kinds if self._policies[kind].most_running}

    async def waiting(self, tx: Tx, queue_name: str) -> int:
        """Return how many jobs of the queue are due."""
        counts = await self._store.due_count(tx, self.kinds(queue_name), self._clock(), None)
        return sum(counts.values())

    def show_length(self, queue_name: str, waiting: int) -> None:
        """Show how many jobs of the queue are due on the metrics page."""
        telemetry.QUEUE_LENGTH.labels(self._service, queue_name).set(waiting)

    async def due(self, tx: Tx, queue_name: str, after: Due | None, most: int) -> list[Due]:
        """Return the next due jobs of the queue behind `after`."""
        return await self._store.due(tx, self.kinds(queue_name), self._clock(), after=after, most=most)

    async def placed(self, tx: Tx, job: Job) -> Job:
        """Return the job with its place, if it waits."""
        return replace(job, place=await self.place(tx, job))

    async def place(self, tx: Tx, job: Job) -> Place | None:
        """Return where a waiting job stands and when it should start; None for a job that does not wait.

        None too for a kind that is not known here: while versions change, a newer process may have made the job.
        A pending job stands where it will stand once it is queued. Right as far as the next jobs take
        as long as the newest finished ones, and as many run at once as run now.
        """
        if job.state not in {State.PENDING, State.QUEUED} or job.kind not in self._policies:
            return None
        at = self._clock()
        queue_name = self._policies[job.kind].queue
        kinds = self.kinds(queue_name)
        me = Due(job.kind, job.turn_time, job.job_id, job.lease_token)
        ahead = await self._store.due_count(tx, kinds, at, me)
        running = await self._store.running_since(tx, kinds, _MOST_RUNNING)
        spent = [(kind, (at - start).total_seconds()) for kind, start in running]
        pace = pace_of(await self._newest(tx, at, queue_name), [start for _, start in running])
        position, wait = sum(ahead.values()) + 1, wait_s(ahead, spent, pace)
        if wait is None:
            return Place(position, None)
        # A retry waits for its own time even at the head of the line.
        due = job.run_after if job.state is State.QUEUED else at
        return Place(position, max(at + timedelta(seconds=wait), due))

    async def _newest(self, tx: Tx, at: datetime, queue_name: str) -> Sequence[Ran]:
        """Return the newest completed jobs of the queue, a moment old at most."""
        until, runs = self._runs.get(queue_name, (at, ()))
        if not at < until <= at + _RUNS_LAST:
            runs = await self._store.newest_runs(tx, self.kinds(queue_name), _NEWEST)
            self._runs[queue_name] = at + _RUNS_LAST, runs
        return runs
