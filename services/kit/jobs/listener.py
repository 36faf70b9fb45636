"""Keeps a worker's places busy: takes the job whose turn it is whenever a place is free.

RQ's pointers make it fast, not right: after each of them, after every job, and once a second
otherwise it asks the rows, which alone decide. So work goes on while Redis is empty or away.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

from services.kit.jobs.hints import Hints
from services.kit.jobs.job import Job
from services.kit.jobs.places import Place, Places
from services.kit.jobs.runner import Runner

_log = logging.getLogger(__name__)

_WAIT_S = 1.0
_PAUSE_S = 0.5


class Listener:
    """Runs jobs of some queues with the runners that know them, at most `places` at once.

    Up to `waiting` more are there that only wait for somebody else.
    """

    def __init__(
        self, hints: Hints, runners: Sequence[Runner], queues: Sequence[str], *, places: int = 1, waiting: int = 0
    ) -> None:
        """Take the queues in the order of their precedence."""
        self._hints = hints
        self._runners = runners
        self._queues = {queue: [each for each in runners if queue in each.queue.line.queues] for queue in queues}
        self.places = Places(places, waiting=waiting)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take jobs for ever, also through outages; ends by cancellation, and leaves running jobs to their runners."""
        async with AsyncExitStack() as stack:
            for each in self._runners:
                await stack.enter_async_context(each.listening())
            while True:
                await self.places.room()
                runner, job = await self._next()
                work = self._perform(runner, job, self.places.enter())
                task = asyncio.create_task(work, name=f"perform {job.job_id}")
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _next(self) -> tuple[Runner, Job]:
        """Return the next job, taken, as soon as there is one."""
        # What became due while every place was taken is looked for before waiting.
        wait_s = 0.0
        while True:
            hint = await self._hints.take(wait_s)
            try:
                found = await self._look()
                if found is None and hint is not None:
                    if await self._is_held_back(hint):
                        # The pointers of such jobs are still good; other queues are served meanwhile.
                        self._hints.leave(hint, _PAUSE_S)
                        hint = None
                    elif self._is_limited(hint):
                        # A place of the kind may have become free between the two looks.
                        found = await self._look()
                if found is not None:
                    return found
                # One of the pointers dropped may be newer than the look at the rows.
                wait_s = 0.0 if hint is not None and await self._hints.drop_stale(hint) else _WAIT_S
            except Exception as error:  # noqa: BLE001  # the worker must outlive every fault
                _log.warning("no job can be taken: %r", error)
                await asyncio.sleep(_PAUSE_S)

    async def _look(self) -> tuple[Runner, Job] | None:
        """Return the job whose turn it is, taken; queues of higher precedence first, whichever was pointed at."""
        for queue, runners in self._queues.items():
            for runner in runners:
                job = await runner.take(queue)
                if job is not None:
                    return runner, job
        return None

    def _is_limited(self, queue: str) -> bool:
        """Return whether only so many jobs of a kind of the queue may run at once."""
        return any(runner.queue.line.limits(queue) for runner in self._queues[queue])

    async def _is_held_back(self, queue: str) -> bool:
        """Return whether a job of the queue is due that may not start because its kind has all it may have."""
        return any([await runner.holds_back(queue) for runner in self._queues[queue]])

    async def _perform(self, runner: Runner, job: Job, place: Place) -> None:
        try:
            await runner.perform(job, place)
        except Exception:  # noqa: BLE001  # the lease runs out, and a sweeper takes the job from here
            _log.exception("job %s was not performed", job.job_id)
        finally:
            place.leave()
