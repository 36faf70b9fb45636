"""Three bugs of the kind that real systems had, each planted by changing one piece of the code while a run lasts.

They show that the simulation can fail: none of them breaks anything while all goes well.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from services.composer.usecases.charge import Charge
from services.kit.ids import new_id
from services.wallet.domain import credit
from tests.simulate.job_rows import MemoryJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from services.kit.jobs.job import Job
    from services.kit.jobs.run import JobRun
    from tests.simulate.world import Worker, World


@contextmanager
def _healthy(_world: World) -> Iterator[None]:
    """Change nothing."""
    yield


@contextmanager
def settle_before_commit(world: World) -> Iterator[None]:
    """Charge as soon as the work is done, before the row says that it is."""

    async def settle(worker: Worker, run: JobRun) -> None:
        await worker.charge._settle({"hold_id": run.job.job_id})

    world.planted.before_finish = settle
    yield


@contextmanager
def release_twice(_world: World) -> Iterator[None]:
    """Give every try of a release an id of its own, and trust that nobody releases what is closed."""
    release = Charge._release

    async def under_a_new_id(self: Charge, payload: dict[str, Any]) -> None:
        class Wallet:
            """Wallet's stub with another request id in each release."""

            async def Release(self, request: Any, timeout: float) -> Any:  # noqa: N802, ASYNC109
                request.request_id = f"release:{new_id()}"
                return await wallet.Release(request, timeout=timeout)

        wallet: Any = self._wallet
        other = Charge.__new__(Charge)
        other.__dict__ |= self.__dict__ | {"_wallet": Wallet()}
        await release(other, payload)

    def trusting(hold: credit.Hold) -> None:
        """Believe it."""

    with patch.object(Charge, "_release", under_a_new_id), patch.object(credit, "require_open", trusting):
        yield


@contextmanager
def lease_ignored(_world: World) -> Iterator[None]:
    """Let a worker write its progress and its heartbeat whatever its token says."""
    change = MemoryJobs.change

    async def unfenced(
        self: MemoryJobs, tx: Any, job_id: str, at: datetime, *, token: int | None, **rest: Any
    ) -> Job | None:
        return await change(self, tx, job_id, at, token=None, **rest)

    with patch.object(MemoryJobs, "change", unfenced):
        yield


BUGS: dict[str, Callable[[World], AbstractContextManager[None]]] = {
    "": _healthy,
    "settle-before-commit": settle_before_commit,
    "release-twice": release_twice,
    "lease-ignored": lease_ignored,
}
