"""Forget when a job was last pushed: workers look at the rows, and lost pointers are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.drop_column("jobs", "push_time", schema="composer")


def downgrade() -> None:
    """Take this step back."""
    op.add_column("jobs", sa.Column("push_time", sa.DateTime(timezone=True), nullable=True), schema="composer")
