"""Brings the schema up to date, waiting for a database that is only just starting."""

from services.kit.db.migrate import upgrade
from services.mesh.database import WAIT_S, at_hand, wait_for
from services.mesh.home import Home


def patiently(database_url: str, *, wait_s: float = WAIT_S) -> None:
    """Migrate as soon as the database takes connections; raise ``CannotStart`` when it does not within ``wait_s``."""
    wait_for(database_url, wait_s)
    upgrade(database_url)


def bring_up_to_date(home: Home | None = None) -> None:
    """Migrate the database of the environment, or that of the home, which is started for it when it is not running."""
    with at_hand(home) as database_url:
        upgrade(database_url)
