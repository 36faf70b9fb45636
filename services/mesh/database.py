"""The database that an operator's command means, waited for until it takes connections."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.kit.db.engine import Database
from services.kit.db.outage import is_outage
from services.mesh.errors import CannotStart
from services.mesh.home import Home
from services.mesh.postgres import Postgres

WAIT_S = 60.0
LOOK_EVERY_S = 0.05
# A server that should be running answers at once or needs somebody.
_RUNNING_WAIT_S = 5.0


@contextmanager
def at_hand(home: Home | None = None) -> Iterator[str]:
    """Yield the address of DATABASE_URL, or of the home's own database, which is started for the while if need be.

    Raises `CannotStart` when it does not take connections.
    """
    home = home or Home()
    given = home.environ.get("DATABASE_URL", "")
    if given:
        wait_for(given, _RUNNING_WAIT_S)
        yield given
        return
    if home.is_claimed():
        running = Postgres(home.root / "postgres", port=home.remembered_ports().get("postgres"))
        wait_for(running.url, _RUNNING_WAIT_S)
        yield running.url
        return
    home.claim()
    postgres = Postgres(home.root / "postgres")
    try:
        database_url = postgres.start()
        wait_for(database_url)
        yield database_url
    finally:
        postgres.stop()
        home.release()


def wait_for(database_url: str, wait_s: float = WAIT_S) -> None:
    """Return once the database takes connections; raise ``CannotStart`` when it does not within ``wait_s``."""
    asyncio.run(_answering(database_url, wait_s))


async def _answering(database_url: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    database = Database(database_url)
    try:
        while True:
            try:
                await database.ping()
            except Exception as error:
                if not is_outage(error) or time.monotonic() >= deadline:
                    message = f"The database does not answer: {error}"
                    raise CannotStart(message, "Start it, or correct DATABASE_URL.") from error
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return
    finally:
        await database.close()
