"""Let old logs be shortened."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "jobs", sa.Column("log_purged", sa.Boolean(), server_default=sa.text("false"), nullable=False), schema="media"
    )
    op.create_index(
        "ix_jobs_log_old",
        "jobs",
        ["finish_time"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("finish_time IS NOT NULL AND NOT log_purged"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_index(
        "ix_jobs_log_old",
        table_name="jobs",
        schema="media",
        postgresql_where=sa.text("finish_time IS NOT NULL AND NOT log_purged"),
    )
    op.drop_column("jobs", "log_purged", schema="media")
