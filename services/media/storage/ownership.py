"""What belongs to people in Media."""

from services.kit.db.ownership import Owned
from services.media.storage.tables import assets, jobs

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
    Owned("jobs", jobs.jobs, "job_id", left=lambda _: {}),
)
