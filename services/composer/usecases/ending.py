"""What is written in the transaction that ends a job: Wallet's message, the subject's state, what its owner is told."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.usecases.charge import settlement
from services.composer.usecases.notice import telling
from services.composer.usecases.webhook_delivery import announcing
from services.kit.clock import Clock
from services.kit.jobs.job import Job
from services.kit.jobs.queue import EndHook
from services.kit.jobs.store import JobStore


def ending(store: JobStore, clock: Clock) -> EndHook:
    """Return the hook that writes all of it."""
    settle, announce, tell = settlement(store, clock), announcing(clock), telling(store)

    async def on_end(tx: AsyncConnection, job: Job) -> None:
        await settle(tx, job)
        await announce(tx, job)
        await tell(tx, job)

    return on_end
