"""What is left of a person's jobs when their account is erased: that they were, when, and how they ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Executable, delete, select, update

from services.kit.jobs.table import JobTables


def left_of_jobs(_at: datetime) -> Mapping[str, Any]:
    """Return what is written over a job: nothing of what was asked for, of what came of it, or of what went wrong."""
    return {"params": {}, "result": None, "error_message": "", "error_metadata": {}, "log_purged": True}


def left_below_jobs(tables: JobTables, jobs: ColumnElement[bool]) -> Sequence[Executable]:
    """Return the statements that remove the results of steps, all of the logs but their last lines, and every word."""
    ids = select(tables.jobs.c.job_id).where(jobs)
    events, attempts, steps = tables.events, tables.attempts, tables.steps
    return (
        delete(events).where(events.c.job_id.in_(ids), events.c.final.is_(False)),
        update(events).where(events.c.job_id.in_(ids)).values(message=""),
        update(attempts).where(attempts.c.job_id.in_(ids)).values(error_message=""),
        delete(steps).where(steps.c.job_id.in_(ids)),
    )
