"""Note what two users that become one had, so that it can be given back."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "merges",
        sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undo_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("merge_id", name="pk_merges"),
        schema="media",
    )
    op.create_table(
        "moved_rows",
        sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("merge_id", "noun", "row_id", name="pk_moved_rows"),
        schema="media",
    )


def downgrade() -> None:
    """Undo this step; merges can no longer be undone."""
    op.drop_table("moved_rows", schema="media")
    op.drop_table("merges", schema="media")
