"""Give every job a turn: what its owner pays for, and the time that waiting jobs are ordered by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "jobs", sa.Column("level", sa.SmallInteger(), server_default=sa.text("0"), nullable=False), schema="media"
    )
    op.add_column(
        "jobs",
        sa.Column("turn_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        schema="media",
    )
    op.execute("UPDATE media.jobs SET turn_time = create_time")
    op.create_index(
        "ix_jobs_turn",
        "jobs",
        ["kind", "turn_time", "job_id", "run_after"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_kind_finish_time",
        "jobs",
        ["kind", "finish_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("state = 'completed'"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_index("ix_jobs_kind_finish_time", table_name="jobs", schema="media")
    op.drop_index("ix_jobs_turn", table_name="jobs", schema="media")
    op.drop_column("jobs", "turn_time", schema="media")
    op.drop_column("jobs", "level", schema="media")
