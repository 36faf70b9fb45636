"""Add attempts, orders to vendors and dead letters to the jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "job_attempts",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("error_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("error_message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("(outcome = '') = (end_time IS NULL)", name=op.f("ck_job_attempts_outcome")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["media.jobs.job_id"], name=op.f("fk_job_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "lease_token", name=op.f("pk_job_attempts")),
        schema="media",
    )
    op.create_table(
        "job_orders",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accept_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["media.jobs.job_id"], name=op.f("fk_job_orders_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_orders")),
        sa.UniqueConstraint("request_id", name=op.f("uq_job_orders_request_id")),
        schema="media",
    )
    op.add_column("jobs", sa.Column("kills", sa.Integer(), server_default=sa.text("0"), nullable=False), schema="media")
    op.add_column("jobs", sa.Column("dead_time", sa.DateTime(timezone=True), nullable=True), schema="media")
    op.add_column(
        "jobs",
        sa.Column("quarantined", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="media",
    )
    op.add_column(
        "jobs", sa.Column("revivals", sa.Integer(), server_default=sa.text("0"), nullable=False), schema="media"
    )
    op.add_column(
        "jobs",
        sa.Column("revival_request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        schema="media",
    )
    op.drop_constraint("ck_jobs_attempt", "jobs", schema="media")
    op.create_check_constraint(
        op.f("ck_jobs_attempt"), "jobs", "attempt >= 0 AND attempt <= max_attempts + kills", schema="media"
    )
    op.create_check_constraint(op.f("ck_jobs_kills"), "jobs", "kills >= 0 AND kills <= attempt", schema="media")
    op.create_check_constraint(op.f("ck_jobs_dead"), "jobs", "dead_time IS NULL OR state = 'failed'", schema="media")
    op.create_index(
        "ix_jobs_dead", "jobs", ["job_id"], schema="media", postgresql_where=sa.text("dead_time IS NOT NULL")
    )


def downgrade() -> None:
    """Undo this step; a job that outlived dead workers keeps no more attempts than it may have."""
    op.drop_index("ix_jobs_dead", table_name="jobs", schema="media", postgresql_where=sa.text("dead_time IS NOT NULL"))
    for name in ("ck_jobs_dead", "ck_jobs_kills", "ck_jobs_attempt"):
        op.drop_constraint(name, "jobs", schema="media")
    op.execute("UPDATE media.jobs SET attempt = max_attempts WHERE attempt > max_attempts")
    op.create_check_constraint(
        op.f("ck_jobs_attempt"), "jobs", "attempt >= 0 AND attempt <= max_attempts", schema="media"
    )
    for column in ("revival_request_id", "revivals", "quarantined", "dead_time", "kills"):
        op.drop_column("jobs", column, schema="media")
    op.drop_table("job_orders", schema="media")
    op.drop_table("job_attempts", schema="media")
