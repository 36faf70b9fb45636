"""A sender of webhooks as a process of its own, for a test to kill: `python -m tests.composer.webhook_sender URL`."""

import asyncio
import sys
from datetime import timedelta

from services.composer.jobs.webhook import Deliverer
from services.composer.providers.webhook_receiver import HttpReceivers
from services.composer.usecases.webhook_delivery import Deliveries
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.sealing import Sealer
from tests.composer.studio import ENCRYPTION_KEY


async def main() -> None:
    """Send until killed."""
    deliveries = Deliveries(
        db=Database(sys.argv[1]),
        receivers=HttpReceivers(loopback_allowed=True, total_s=60.0),
        sealer=Sealer.from_hex(ENCRYPTION_KEY),
        clock=now,
        kept=timedelta(days=30),
    )
    await Deliverer(deliveries).run()


if __name__ == "__main__":
    asyncio.run(main())
