"""Lay down assets, the ledger of their objects, and the jobs that make them playable."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "assets",
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("raw_key", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("storage_key", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("peaks", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("sha256", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("etag", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("platform", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("failure", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name=op.f("ck_assets_failed")),
        sa.CheckConstraint("kind IN ('recording', 'music', 'image', 'document')", name=op.f("ck_assets_kind")),
        sa.CheckConstraint("state <> 'ready' OR storage_key <> ''", name=op.f("ck_assets_ready")),
        sa.CheckConstraint(
            "state IN ('uploading', 'uploaded', 'processing', 'ready', 'failed')", name=op.f("ck_assets_state")
        ),
        sa.CheckConstraint("size_bytes >= 0 AND duration_ms >= 0", name=op.f("ck_assets_sizes")),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_assets")),
        sa.UniqueConstraint("user_id", "request_key", name=op.f("uq_assets_user_id_request_key")),
        schema="media",
    )
    op.create_index(
        "ix_assets_abandoned",
        "assets",
        ["create_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state = 'uploading'"),
    )
    op.create_index(
        "ix_assets_delete_time",
        "assets",
        ["delete_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("delete_time IS NOT NULL"),
    )
    op.create_index(
        "ix_assets_open",
        "assets",
        ["user_id"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state IN ('uploading', 'uploaded', 'processing') AND delete_time IS NULL"),
    )
    op.create_index(
        "ix_assets_user_id_asset_id",
        "assets",
        ["user_id", "asset_id"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("subject_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("progress_percent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "params", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("error_message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "error_metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("push_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("platform", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(state = 'running') = (lease_expire_time IS NOT NULL)", name=op.f("ck_jobs_lease")),
        sa.CheckConstraint(
            "state IN ('pending', 'queued', 'running', 'completed', 'failed', 'cancelled')", name=op.f("ck_jobs_state")
        ),
        sa.CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name=op.f("ck_jobs_attempt")),
        sa.CheckConstraint("lease_token >= 0 AND last_sequence >= 0", name=op.f("ck_jobs_counters")),
        sa.CheckConstraint("progress_percent BETWEEN 0 AND 100", name=op.f("ck_jobs_progress_percent")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
        schema="media",
    )
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state IN ('pending', 'queued', 'running')"),
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["run_after"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state IN ('pending', 'queued')"),
    )
    op.create_index(
        "ix_jobs_lease",
        "jobs",
        ["lease_expire_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_jobs_state_create_time", "jobs", ["state", "create_time"], unique=False, schema="media")
    op.create_index("ix_jobs_subject_id", "jobs", ["subject_id"], unique=False, schema="media")
    op.create_index("ix_jobs_user_id_job_id", "jobs", ["user_id", "job_id"], unique=False, schema="media")
    op.create_index("ix_jobs_user_id_state", "jobs", ["user_id", "state"], unique=False, schema="media")
    op.create_table(
        "objects",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_after", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_objects")),
        schema="media",
    )
    op.create_index(
        "ix_objects_delete_after",
        "objects",
        ["delete_after"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("delete_after IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_outbox_attempt")),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("topic", "key", name=op.f("uq_outbox_topic_key")),
        schema="media",
    )
    op.create_index(
        "ix_outbox_done_time",
        "outbox",
        ["done_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("done_time IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["run_after"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("done_time IS NULL"),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("step_progress_percent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("progress_percent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("final", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'queued', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_job_events_state"),
        ),
        sa.CheckConstraint("progress_percent BETWEEN 0 AND 100", name=op.f("ck_job_events_progress_percent")),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_job_events_sequence")),
        sa.CheckConstraint("step_progress_percent BETWEEN 0 AND 100", name=op.f("ck_job_events_step_progress_percent")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["media.jobs.job_id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_job_events")),
        schema="media",
    )
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["media.jobs.job_id"], name=op.f("fk_job_steps_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_steps")),
        schema="media",
    )


def downgrade() -> None:
    """Undo this step."""
    for table in ("job_steps", "job_events", "outbox", "objects", "jobs", "assets"):
        op.drop_table(table, schema="media")
