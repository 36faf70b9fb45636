"""What belongs to people in Composer."""

from functools import partial

from services.composer.storage.tables import appeals, exports, jobs, lyrics, tracks, webhooks
from services.kit.db.ownership import Owned
from services.kit.jobs.erasure import left_below_jobs, left_of_jobs

_RUNNING = ("pending", "queued", "running")

OWNED = (
    Owned("tracks", tracks, "track_id", shown=tracks.c.delete_time.is_(None), forget="request_id"),
    Owned("lyrics", lyrics, "lyrics_id", shown=lyrics.c.delete_time.is_(None), forget="request_id"),
    Owned("exports", exports, "export_id"),
    Owned("appeals", appeals, "track_id"),
    Owned("webhooks", webhooks, "webhook_id", forget="request_id"),
    # Those that have ended too: whoever has the track may read how it was made.
    Owned(
        "running_jobs",
        jobs.jobs,
        "job_id",
        shown=jobs.jobs.c.state.in_(_RUNNING),
        busy=jobs.jobs.c.state.in_(_RUNNING),
        left=left_of_jobs,
        below=partial(left_below_jobs, jobs),
    ),
)
