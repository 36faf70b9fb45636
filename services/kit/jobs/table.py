"""The six tables of background work, made in the schema of each service that has any.

One definition for all services, so that runner, sweeper and readers are written once; one set
of tables per service, so that a job commits together with what it is about.
"""

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.db.metadata import id_column, time_column
from services.kit.jobs.states import State

_STATES = ", ".join(f"'{state.value}'" for state in State)
_EMPTY_OBJECT = text("'{}'::jsonb")


@dataclass(frozen=True)
class JobTables:
    """The tables of one service."""

    jobs: Table
    events: Table
    steps: Table
    attempts: Table
    orders: Table
    outbox: Table


def job_tables(metadata: MetaData) -> JobTables:
    """Return the tables, defined on the service's metadata; call it once per metadata."""
    jobs = _jobs_table(metadata)
    return JobTables(
        jobs=jobs,
        events=_events_table(metadata, jobs),
        steps=_steps_table(metadata, jobs),
        attempts=_attempts_table(metadata, jobs),
        orders=_orders_table(metadata, jobs),
        outbox=outbox_table(metadata),
    )


def _count(name: str) -> Column[int]:
    """Return a whole number that starts at zero."""
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _words(name: str) -> Column[str]:
    """Return text that is empty rather than absent."""
    return Column(name, Text, nullable=False, server_default=text("''"))


def _flag(name: str) -> Column[bool]:
    """Return a truth that starts false."""
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _jobs_table(metadata: MetaData) -> Table:
    """Return the table whose rows are the truth about every job."""
    table = Table(
        "jobs",
        metadata,
        id_column("job_id", primary_key=True),
        Column("kind", Text, nullable=False),
        id_column("user_id", nullable=True),
        id_column("subject_id", nullable=True),
        Column("state", Text, nullable=False),
        _words("step"),
        _count("progress_percent"),
        Column("params", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
        Column("result", JSONB(none_as_null=True), nullable=True),
        _words("error_reason"),
        _words("error_message"),
        Column("error_metadata", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
        _count("attempt"),
        Column("max_attempts", Integer, nullable=False),
        # How many of the attempts ended with the death of their worker; those are counted apart.
        _count("kills"),
        # When the job came to the dead letters; absent when it is none, or an administrator has dealt with it.
        time_column("dead_time", nullable=True),
        _flag("quarantined"),
        # How often an administrator has put the job back, and the id of the last request that did.
        _count("revivals"),
        _words("revival_request_id"),
        time_column("run_after"),
        # See `turns`: what the owner pays for, and the time by which waiting jobs are ordered.
        Column("level", SmallInteger, nullable=False, server_default=text("0")),
        time_column("turn_time", server_default=text("now()")),
        time_column("deadline_time"),
        _words("lease_owner"),
        # The fencing token: grows with every lease, and every write of a worker names its own.
        Column("lease_token", BigInteger, nullable=False, server_default=text("0")),
        time_column("lease_expire_time", nullable=True),
        _flag("cancel_requested"),
        Column("last_sequence", BigInteger, nullable=False, server_default=text("0")),
        # All lines of the log but the last are removed some time after the end.
        _flag("log_purged"),
        _words("trace_id"),
        _words("platform"),
        time_column("create_time"),
        time_column("start_time", nullable=True),
        time_column("finish_time", nullable=True),
        time_column("update_time"),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_percent"),
        CheckConstraint("attempt >= 0 AND attempt <= max_attempts + kills", name="attempt"),
        CheckConstraint("kills >= 0 AND kills <= attempt", name="kills"),
        CheckConstraint("dead_time IS NULL OR state = 'failed'", name="dead"),
        CheckConstraint("lease_token >= 0 AND last_sequence >= 0", name="counters"),
        CheckConstraint("(state = 'running') = (lease_expire_time IS NOT NULL)", name="lease"),
    )
    _index_jobs(table)
    return table


def _index_jobs(table: Table) -> None:
    """Give the table its indexes; the finished rows, nearly all, are in none that workers and sweepers ask."""
    Index("ix_jobs_user_id_state", table.c.user_id, table.c.state)
    Index("ix_jobs_user_id_job_id", table.c.user_id, table.c.job_id)
    Index("ix_jobs_state_create_time", table.c.state, table.c.create_time)
    Index("ix_jobs_subject_id", table.c.subject_id)
    # The sweeper asks these every second; the finished rows, nearly all, are in none of them.
    Index("ix_jobs_due", table.c.run_after, postgresql_where=text("state IN ('pending', 'queued')"))
    # A worker asks for the head of this order; whether a job is due yet is decided inside the index.
    Index(
        "ix_jobs_turn",
        *(table.c.kind, table.c.turn_time, table.c.job_id, table.c.run_after),
        postgresql_where=text("state = 'queued'"),
    )
    # How long the newest jobs of a kind took.
    Index("ix_jobs_kind_finish_time", table.c.kind, table.c.finish_time, postgresql_where=text("state = 'completed'"))
    Index("ix_jobs_lease", table.c.lease_expire_time, postgresql_where=text("state = 'running'"))
    Index("ix_jobs_dead", table.c.job_id, postgresql_where=text("dead_time IS NOT NULL"))
    Index(
        "ix_jobs_log_old",
        table.c.finish_time,
        postgresql_where=text("finish_time IS NOT NULL AND NOT log_purged"),
    )
    Index(
        "ix_jobs_deadline",
        table.c.deadline_time,
        postgresql_where=text("state IN ('pending', 'queued', 'running')"),
    )


def _events_table(metadata: MetaData, jobs: Table) -> Table:
    """Return the log that all readers read."""
    return Table(
        "job_events",
        metadata,
        id_column("job_id", ForeignKey(jobs.c.job_id, ondelete="CASCADE"), primary_key=True),
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        time_column("event_time"),
        Column("state", Text, nullable=False),
        _words("step"),
        _count("step_progress_percent"),
        _count("progress_percent"),
        _words("message"),
        _flag("final"),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint("sequence > 0", name="sequence"),
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_percent"),
        CheckConstraint("step_progress_percent BETWEEN 0 AND 100", name="step_progress_percent"),
    )


def _steps_table(metadata: MetaData, jobs: Table) -> Table:
    """Return the results of finished steps, which a later attempt does not repeat."""
    return Table(
        "job_steps",
        metadata,
        id_column("job_id", ForeignKey(jobs.c.job_id, ondelete="CASCADE"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("result", JSONB, nullable=False),
        Column("attempt", Integer, nullable=False),
        time_column("start_time"),
        time_column("finish_time"),
    )


def _attempts_table(metadata: MetaData, jobs: Table) -> Table:
    """Return who ran each job when and how that ended, one row for each lease."""
    return Table(
        "job_attempts",
        metadata,
        id_column("job_id", ForeignKey(jobs.c.job_id, ondelete="CASCADE"), primary_key=True),
        Column("lease_token", BigInteger, primary_key=True, autoincrement=False),
        Column("attempt", Integer, nullable=False),
        Column("worker", Text, nullable=False),
        time_column("start_time"),
        time_column("end_time", nullable=True),
        # Empty while it runs.
        _words("outcome"),
        _words("error_reason"),
        _words("error_message"),
        CheckConstraint("(outcome = '') = (end_time IS NULL)", name="outcome"),
    )


def _orders_table(metadata: MetaData, jobs: Table) -> Table:
    """Return what was ordered from vendors, written before the vendor is asked, so that nothing is bought twice."""
    return Table(
        "job_orders",
        metadata,
        id_column("job_id", ForeignKey(jobs.c.job_id, ondelete="CASCADE"), primary_key=True),
        Column("name", Text, primary_key=True),
        # Made here and sent along, so that the vendor can be asked whether the order reached it.
        Column("request_id", Text, nullable=False),
        # The vendor's own id; empty until its answer has been written down.
        _words("order_id"),
        time_column("create_time"),
        time_column("accept_time", nullable=True),
        UniqueConstraint("request_id"),
    )


def outbox_table(metadata: MetaData) -> Table:
    """Return the table of messages that must reach another service because a row was committed."""
    table = Table(
        "outbox",
        metadata,
        id_column("outbox_id", primary_key=True),
        Column("topic", Text, nullable=False),
        # Given by the writer when the same message may be written twice.
        Column("key", Text, nullable=True),
        Column("payload", JSONB, nullable=False),
        _count("attempt"),
        # While a dispatcher is at it this is the end of its lease.
        time_column("run_after"),
        time_column("create_time"),
        time_column("done_time", nullable=True),
        _words("last_error"),
        CheckConstraint("attempt >= 0", name="attempt"),
        UniqueConstraint("topic", "key"),
    )
    Index("ix_outbox_due", table.c.run_after, postgresql_where=text("done_time IS NULL"))
    Index("ix_outbox_done_time", table.c.done_time, postgresql_where=text("done_time IS NOT NULL"))
    return table
