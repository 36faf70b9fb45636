"""Lay down tracks, their variants and the jobs that make them."""

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
        schema="composer",
    )
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline_time"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("state IN ('pending', 'queued', 'running')"),
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["run_after"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("state IN ('pending', 'queued')"),
    )
    op.create_index(
        "ix_jobs_lease",
        "jobs",
        ["lease_expire_time"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_jobs_state_create_time", "jobs", ["state", "create_time"], unique=False, schema="composer")
    op.create_index("ix_jobs_subject_id", "jobs", ["subject_id"], unique=False, schema="composer")
    op.create_index("ix_jobs_user_id_job_id", "jobs", ["user_id", "job_id"], unique=False, schema="composer")
    op.create_index("ix_jobs_user_id_state", "jobs", ["user_id", "state"], unique=False, schema="composer")
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
        schema="composer",
    )
    op.create_index(
        "ix_outbox_done_time",
        "outbox",
        ["done_time"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("done_time IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["run_after"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("done_time IS NULL"),
    )
    op.create_table(
        "tracks",
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("mood", sa.Text(), nullable=False),
        sa.Column("lyrics", sa.Text(), nullable=False),
        sa.Column("voice_gender", sa.Text(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("analysis", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("chosen_variant_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("cover_asset_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("provider", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cost_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("request_hash", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("platform", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('generating', 'ready', 'failed', 'cancelled')", name=op.f("ck_tracks_state")),
        sa.CheckConstraint("char_length(lyrics) <= 10000", name=op.f("ck_tracks_lyrics")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 128", name=op.f("ck_tracks_title")),
        sa.CheckConstraint("duration_s BETWEEN 30 AND 180", name=op.f("ck_tracks_duration")),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_tracks")),
        sa.UniqueConstraint("job_id", name=op.f("uq_tracks_job_id")),
        schema="composer",
    )
    op.create_index(
        "ix_tracks_asset_id",
        "tracks",
        ["asset_id"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_index(
        "ix_tracks_user_id_track_id",
        "tracks",
        ["user_id", "track_id"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_index(
        "uq_tracks_user_id_request_id",
        "tracks",
        ["user_id", "request_id"],
        unique=True,
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
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
            ["job_id"], ["composer.jobs.job_id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_job_events")),
        schema="composer",
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
            ["job_id"], ["composer.jobs.job_id"], name=op.f("fk_job_steps_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_steps")),
        schema="composer",
    )
    op.create_table(
        "variants",
        sa.Column("variant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tempo_bpm", sa.Double(), nullable=False),
        sa.Column("melody_score", sa.Double(), nullable=False),
        sa.Column("loudness_lufs", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("recommended", sa.Boolean(), nullable=False),
        sa.Column("chords", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("instruments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("remarks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("label IN ('A', 'B')", name=op.f("ck_variants_label")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["composer.tracks.track_id"], name=op.f("fk_variants_track_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("variant_id", name=op.f("pk_variants")),
        sa.UniqueConstraint("track_id", "label", name=op.f("uq_variants_track_id_label")),
        schema="composer",
    )
    op.create_index("ix_variants_asset_id", "variants", ["asset_id"], unique=False, schema="composer")
    op.create_index(
        "ix_tracks_cover_asset_id",
        "tracks",
        ["cover_asset_id"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("cover_asset_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("variants", schema="composer")
    op.drop_table("job_steps", schema="composer")
    op.drop_table("job_events", schema="composer")
    op.drop_index(
        "uq_tracks_user_id_request_id",
        table_name="tracks",
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.drop_index(
        "ix_tracks_user_id_track_id",
        table_name="tracks",
        schema="composer",
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.drop_index(
        "ix_tracks_asset_id", table_name="tracks", schema="composer", postgresql_where=sa.text("delete_time IS NULL")
    )
    op.drop_table("tracks", schema="composer")
    op.drop_index(
        "ix_outbox_due", table_name="outbox", schema="composer", postgresql_where=sa.text("done_time IS NULL")
    )
    op.drop_index(
        "ix_outbox_done_time", table_name="outbox", schema="composer", postgresql_where=sa.text("done_time IS NOT NULL")
    )
    op.drop_table("outbox", schema="composer")
    op.drop_index("ix_jobs_user_id_state", table_name="jobs", schema="composer")
    op.drop_index("ix_jobs_user_id_job_id", table_name="jobs", schema="composer")
    op.drop_index("ix_jobs_subject_id", table_name="jobs", schema="composer")
    op.drop_index("ix_jobs_state_create_time", table_name="jobs", schema="composer")
    op.drop_index("ix_jobs_lease", table_name="jobs", schema="composer", postgresql_where=sa.text("state = 'running'"))
    op.drop_index(
        "ix_jobs_due", table_name="jobs", schema="composer", postgresql_where=sa.text("state IN ('pending', 'queued')")
    )
    op.drop_index(
        "ix_jobs_deadline",
        table_name="jobs",
        schema="composer",
        postgresql_where=sa.text("state IN ('pending', 'queued', 'running')"),
    )
    op.drop_table("jobs", schema="composer")
