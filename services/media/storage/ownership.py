"""What belongs to people in Media."""

from services.kit.db.ownership import Owned
from services.media.storage.tables import assets, jobs

_RUNNING = ("pending", "queued", "running")

OWNED = (
    # Their files must go with them, so it is not the rows that are removed when their owner is erased.
    Owned(
        "assets",
        assets,
        "asset_id",
        shown=assets.c.delete_time.is_(None),
        forget="request_key",
        left=lambda _: {},
    ),
    # With their results and logs; nobody is charged for them, so nobody asks after them either.
    Owned("jobs", jobs.jobs, "job_id", busy=jobs.jobs.c.state.in_(_RUNNING)),
)
