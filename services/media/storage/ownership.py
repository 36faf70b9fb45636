"""What belongs to people in Media."""

from services.kit.db.ownership import Owned
from services.media.storage.tables import assets, jobs

OWNED = (
    Owned("assets", assets, "asset_id", shown=assets.c.delete_time.is_(None), forget="request_key"),
    Owned("jobs", jobs.jobs, "job_id"),
)
