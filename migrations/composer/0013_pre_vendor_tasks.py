"""Orders to vendors of songs, written down before the vendor hears of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_STATES = "'asked', 'accepted', 'delivered', 'refused', 'failed', 'lost', 'stopped'"


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "vendor_tasks",
        sa.Column("vendor_task_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("paid", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("remedy", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("offer", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("songs", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accept_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_vendor_tasks_state")),
        sa.CheckConstraint("labels IN ('A', 'B', 'AB')", name=op.f("ck_vendor_tasks_labels")),
        sa.CheckConstraint(
            "(state IN ('asked', 'accepted')) = (finish_time IS NULL)", name=op.f("ck_vendor_tasks_finish_time")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["composer.jobs.job_id"], name=op.f("fk_vendor_tasks_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("vendor_task_id", name=op.f("pk_vendor_tasks")),
        schema="composer",
    )
    op.create_index("ix_vendor_tasks_job_id", "vendor_tasks", ["job_id"], unique=False, schema="composer")


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("vendor_tasks", schema="composer")
